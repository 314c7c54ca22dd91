// SPDX-License-Identifier: GPL-2.0-only

//! The sessions of the sockets that sent last, beside the array that has them all.
//!
//! The array is indexed by the address of the socket, which makes it a tree of ten levels: looking
//! there costs a small message as much as several calls. Nothing here waits: who finds a
//! place being written goes to the array, and who would write there leaves it.

use core::ffi::c_void;

use kernel::{
    bindings,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

/// How many sockets there is room for; a power of two.
const PLACES: usize = 1 << BITS;
const BITS: u32 = 6;

/// A socket and its session, by address.
struct Place {
    /// Odd while it is being written, and another value after that.
    turn: Atomic<u32>,
    sk: Atomic<usize>,
    session: Atomic<*mut c_void>,
}

static RECENT: [Place; PLACES] = [const {
    Place {
        turn: Atomic::new(0),
        sk: Atomic::new(0),
        session: Atomic::new(core::ptr::null_mut()),
    }
}; PLACES];

/// Where a socket would be.
fn place(sk: usize) -> &'static Place {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
    let hash = (sk as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS);
    &RECENT[hash as usize % PLACES]
}

impl Place {
    /// Writes both, unless somebody else is writing.
    fn write(&self, sk: usize, session: *mut c_void) {
        let turn = self.turn.load(Relaxed);
        let ours = turn & 1 == 0 && self.turn.cmpxchg(turn, turn.wrapping_add(1), Full).is_ok();
        if ours {
            self.sk.store(sk, Relaxed);
            self.session.store(session, Relaxed);
            self.turn.store(turn.wrapping_add(2), Release);
        }
    }
}

/// The session of a socket, null where it is not here. The caller holds the socket.
#[inline]
pub fn session_of(sk: *mut bindings::sock) -> *mut c_void {
    let place = place(sk as usize);
    // Each is read before the next; the turn was the same before and after, so both belong
    // together.
    let turn = place.turn.load(Acquire);
    let (found, session) = (place.sk.load(Acquire), place.session.load(Acquire));
    if turn & 1 == 0 && found == sk as usize && place.turn.load(Relaxed) == turn {
        session
    } else {
        core::ptr::null_mut()
    }
}

/// Notes the session of a socket that the caller holds.
pub fn note(sk: *mut bindings::sock, session: *mut c_void) {
    place(sk as usize).write(sk as usize, session);
}

/// Forgets a socket that is being released: nobody sends on it any more, so nobody notes it.
pub fn forget(sk: *mut bindings::sock) {
    let place = place(sk as usize);
    // Whoever writes there at this moment writes about another socket, which does as well.
    if place.sk.load(Relaxed) == sk as usize {
        place.write(0, core::ptr::null_mut());
    }
}
