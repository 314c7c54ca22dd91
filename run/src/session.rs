// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process's session: one socket, whose number is the same in every child.

use core::mem::size_of;
use core::sync::atomic::{
    AtomicI32,
    AtomicU32,
    Ordering::Relaxed, //
};

use nlcall_abi::{
    self as abi,
    cancel,
    flag,
    submit,
    Command, //
};
use zerocopy::IntoBytes as _;
use zerocopy_derive::{
    Immutable,
    IntoBytes, //
};

use crate::making::Call;
use crate::sys;
use crate::worker;

/// The socket; -1 for none.
static SOCKET: AtomicI32 = AtomicI32::new(-1);
/// Number of the family `nlcall`; 0 where there is none.
static FAMILY: AtomicU32 = AtomicU32::new(0);

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
const fn attribute(len: usize) -> u16 {
    (4 + len) as u16
}

/// `struct nlmsghdr` and `struct genlmsghdr`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
struct Headers {
    len: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    command: u8,
    version: u8,
    reserved: u16,
}

/// SUBMIT with one INLINE call whose result is written to memory.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub struct Message {
    headers: Headers,
    call_size: [u16; 2],
    size: u32,
    calls: [u16; 2],
    call: [u32; size_of::<abi::Call>() / 4],
    results_ptr: [u16; 2],
    results: [u32; 2],
}

impl Message {
    /// None yet.
    pub const EMPTY: Self = Self {
        headers: Headers {
            len: size_of::<Self>() as u32,
            kind: 0,
            flags: REQUEST,
            sequence: 0,
            port: 0,
            command: Command::Submit as u8,
            version: abi::FAMILY_VERSION,
            reserved: 0,
        },
        call_size: [attribute(4), submit::CALL_SIZE],
        size: size_of::<abi::Call>() as u32,
        calls: [attribute(size_of::<abi::Call>()), submit::CALLS],
        call: [0; size_of::<abi::Call>() / 4],
        results_ptr: [attribute(8), submit::RESULTS_PTR],
        results: [0; 2],
    };

    /// With this call; its result comes to that address.
    pub fn inline(call: &Call, results: u64) -> Self {
        let entry = abi::Call {
            nr: call.nr as u32,
            flags: flag::INLINE,
            args: call.args,
            ..abi::Call::default()
        };
        let mut message = Self::EMPTY;
        message.headers.kind = FAMILY.load(Relaxed) as u16;
        message.call = zerocopy::transmute!(entry);
        message.results = [results as u32, (results >> 32) as u32];
        message
    }

    /// With this call, for a worker.
    pub fn for_worker(call: &Call) -> Self {
        let entry = abi::Call {
            nr: call.nr as u32,
            args: call.args,
            ..abi::Call::default()
        };
        let mut message = Self::EMPTY;
        message.headers.kind = FAMILY.load(Relaxed) as u16;
        message.call = zerocopy::transmute!(entry);
        // Ignored.
        message.results_ptr[1] = submit::PAD;
        message
    }
}

/// CANCEL of everything in flight.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub struct Cancel {
    headers: Headers,
    all: [u16; 2],
}

impl Cancel {
    /// The message.
    pub fn all() -> Self {
        Self {
            headers: Headers {
                len: size_of::<Self>() as u32,
                kind: FAMILY.load(Relaxed) as u16,
                command: Command::Cancel as u8,
                ..Message::EMPTY.headers
            },
            all: [attribute(0), cancel::ALL],
        }
    }
}

/// Bytes of a message before its first attribute.
pub const HEADERS_LEN: usize = size_of::<Headers>();

/// Whether a message is one of the family's, and not netlink's own.
pub fn is_of_family(message: &[u8]) -> bool {
    let family = (FAMILY.load(Relaxed) as u16).to_ne_bytes();
    message.get(4..6) == Some(&family[..])
}

/// The session's socket.
pub fn socket() -> Option<i32> {
    let socket = SOCKET.load(Relaxed);
    (socket >= 0).then_some(socket)
}

/// Finds the module and opens the process's session. Without either, calls are made natively.
pub fn begin() {
    let Some(socket) = sys::place(None, sys::netlink_socket) else {
        return;
    };
    match resolve(socket) {
        Some(family) => {
            FAMILY.store(u32::from(family), Relaxed);
            SOCKET.store(socket, Relaxed);
        }
        None => sys::close(socket),
    }
}

/// In a child: opens a session of its own. It has its parent's place, except where the parent's
/// socket is not the child's to close; a child that shares its parent's memory has no choice.
pub fn begin_again(shares_files: bool, shares_memory: bool) {
    let Some(old) = socket() else {
        return;
    };
    if !shares_files {
        sys::close(old);
    }
    let new = sys::place(Some(old as u64), sys::netlink_socket);
    if !shares_memory {
        worker::begin_again(shares_files);
        SOCKET.store(new.unwrap_or(-1), Relaxed);
    }
}

/// Takes away what a rejection left behind.
pub fn discard() {
    if let Some(socket) = socket() {
        let mut answer = [0; 64];
        while sys::receive(socket, &mut answer, false).is_some() {}
    }
}

/// The number of the family, from generic netlink's own family.
fn resolve(socket: i32) -> Option<u16> {
    /// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_NAME`, `CTRL_ATTR_FAMILY_ID`.
    const CONTROL: u16 = 16;
    const GET_FAMILY: u8 = 3;
    const NAME: u16 = 2;
    const ID: u16 = 1;
    /// `NLMSG_ERROR`.
    const ERROR: u16 = 2;

    #[derive(IntoBytes, Immutable)]
    #[repr(C)]
    struct Request {
        headers: Headers,
        name: [u16; 2],
        text: [u8; 8],
    }
    let mut text = [0; 8];
    text[..abi::FAMILY_NAME.len()].copy_from_slice(abi::FAMILY_NAME.as_bytes());
    let request = Request {
        headers: Headers {
            len: size_of::<Request>() as u32,
            kind: CONTROL,
            command: GET_FAMILY,
            version: 1,
            ..Message::EMPTY.headers
        },
        name: [attribute(abi::FAMILY_NAME.len() + 1), NAME],
        text,
    };
    sys::send(socket, request.as_bytes());
    let mut answer = [0; 2048];
    let len = sys::receive(socket, &mut answer, true)?;
    let answer = answer.get(..len)?;
    let word = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if word(4)? == ERROR {
        return None;
    }
    let mut at = size_of::<Headers>();
    loop {
        let (len, kind) = (usize::from(word(at)?), word(at + 2)?);
        if kind == ID {
            return word(at + 4);
        }
        if len < 4 {
            return None;
        }
        at += len.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_the_module_reads() {
        let call = Call {
            nr: 257,
            args: [1, 2, 3, 4, 5, 6],
        };
        let message = Message::inline(&call, 0x1234_5678_9abc_def0);
        let bytes = message.as_bytes();
        assert_eq!(bytes.len(), 20 + 8 + 84 + 12);
        assert_eq!(bytes[..4], 124_u32.to_ne_bytes());
        assert_eq!(bytes[20..28], [8, 0, 1, 0, 80, 0, 0, 0]);
        assert_eq!(bytes[28..32], [84, 0, 2, 0]);
        assert_eq!(bytes[40..44], 257_u32.to_ne_bytes());
        assert_eq!(bytes[44..48], flag::INLINE.to_ne_bytes());
        assert_eq!(bytes[48..56], 1_u64.to_ne_bytes());
        assert_eq!(bytes[112..116], [12, 0, 6, 0]);
        assert_eq!(bytes[116..], 0x1234_5678_9abc_def0_u64.to_ne_bytes());
    }
}
