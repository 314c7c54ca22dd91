// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that workers execute, where the command asked for it.
//!
//! A thread that waits for a worker has a session to itself, so that what it receives is its own.
//! There are as many as threads ever waited at the same time.

use core::sync::atomic::{
    AtomicI32,
    AtomicU32,
    Ordering::{
        Acquire,
        Relaxed,
        Release, //
    }, //
};

use nlcall_abi::{
    CallResult,
    Command, //
};
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

use crate::session::{
    self,
    Cancel,
    HEADERS_LEN, //
};
use crate::sys;

/// Most sessions; where all are taken, calls go INLINE.
const SESSIONS: usize = 64;
/// Bytes of a message with one completion, and more.
pub const MESSAGE_LEN: usize = 256;

/// A session for one thread at a time.
struct Slot {
    /// Its socket; -1 before the first use.
    socket: AtomicI32,
    is_taken: AtomicU32,
}

static SLOTS: [Slot; SESSIONS] = [const {
    Slot {
        socket: AtomicI32::new(-1),
        is_taken: AtomicU32::new(0),
    }
}; SESSIONS];

/// A session that this thread has taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken(usize);

impl Taken {
    /// Takes a session that nobody uses.
    pub fn one() -> Option<Self> {
        let taken = SLOTS.iter().position(|slot| {
            slot.is_taken
                .compare_exchange(0, 1, Acquire, Relaxed)
                .is_ok()
        })?;
        let slot = &SLOTS[taken];
        if slot.socket.load(Relaxed) < 0 {
            let socket = sys::place(None, sys::netlink_socket).unwrap_or(-1);
            slot.socket.store(socket, Relaxed);
            if socket < 0 {
                slot.is_taken.store(0, Release);
                return None;
            }
        }
        Some(Self(taken))
    }

    /// Its socket.
    pub fn socket(self) -> i32 {
        SLOTS[self.0].socket.load(Relaxed)
    }

    /// Leaves it to others. Nothing is in flight or to be received.
    pub fn leave(self) {
        SLOTS[self.0].is_taken.store(0, Release);
    }

    /// Interrupts the only call in flight, and says how it ended. All signals are blocked.
    pub fn interrupt(self) -> Option<CallResult> {
        let mut bytes = [0; MESSAGE_LEN];
        sys::send(self.socket(), Cancel::all().as_bytes());
        let (mut result, mut is_answered) = (None, false);
        // Both come, in either order.
        while !is_answered || result.is_none() {
            let len = sys::receive(self.socket(), &mut bytes, true)?;
            match Received::of(&bytes[..len]) {
                Received::Completion(completion) => result = Some(completion),
                Received::Answer => is_answered = true,
                Received::Rejection => return None,
            }
        }
        result
    }
}

/// The sessions' sockets.
pub fn sockets() -> impl Iterator<Item = i32> {
    SLOTS
        .iter()
        .map(|slot| slot.socket.load(Relaxed))
        .filter(|socket| *socket >= 0)
}

/// In a child with memory of its own: the sessions are its parent's.
pub fn begin_again(shares_files: bool) {
    for slot in &SLOTS {
        let socket = slot.socket.swap(-1, Relaxed);
        slot.is_taken.store(0, Relaxed);
        if socket >= 0 && !shares_files {
            sys::close(socket);
        }
    }
}

/// What a socket received.
#[derive(Clone, Copy, Debug)]
pub enum Received {
    /// How the call ended.
    Completion(CallResult),
    /// The answer to [`Cancel`].
    Answer,
    /// The message was not accepted.
    Rejection,
}

impl Received {
    /// Reads a message.
    pub fn of(bytes: &[u8]) -> Self {
        /// Behind the headers: `struct nlattr` of RESULTS, the only attribute of one completion.
        const RESULTS: usize = HEADERS_LEN + 4;
        match bytes.get(16) {
            Some(command) if session::is_of_family(bytes) => {
                let result = bytes.get(RESULTS..).map(CallResult::read_from_prefix);
                match result {
                    Some(Ok((result, _))) if *command == Command::Complete as u8 => {
                        Self::Completion(result)
                    }
                    _ => Self::Answer,
                }
            }
            _ => Self::Rejection,
        }
    }
}
