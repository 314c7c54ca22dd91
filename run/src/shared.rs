// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command and the library in the program agree on.
//!
//! The command places three descriptors, which programs inherit from one another: the library, the
//! counters, and where the trace goes. [`VARIABLE`] says which they are.

use core::mem::size_of;
use core::sync::atomic::{
    AtomicU16,
    AtomicU32,
    AtomicU64,
    AtomicU8, //
};

use nlcall_abi::syscalls;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Environment variable that names the descriptors: `library,counters,trace` in decimal, -1 for no
/// trace.
pub const VARIABLE: &[u8] = b"NLCALL_RUN";
/// The dynamic linker's variable.
pub const PRELOAD: &[u8] = b"LD_PRELOAD";
/// How the path of the library begins, before its descriptor.
pub const LIBRARY_PATH: &[u8] = b"/proc/self/fd/";

/// One more than the highest number of a system call.
pub const NUMBERS: usize = syscalls::TABLE[syscalls::TABLE.len() - 1].nr as usize + 1;

/// How a call travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Way {
    /// As a netlink message; a worker executed it.
    Worker = 0,
    /// As a netlink message; the thread itself executed it, before its `sendto` returned.
    Inline = 1,
    /// As a plain system call.
    Native = 2,
}

impl Way {
    /// All ways, in the order of their numbers.
    pub const ALL: [Way; 3] = [Way::Worker, Way::Inline, Way::Native];
}

/// What is counted of one system call.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counter {
    /// Calls, by [`Way`].
    pub calls: [AtomicU64; 3],
    /// Calls that returned an error.
    pub errors: AtomicU64,
    /// Nanoseconds from the program's instruction to the result.
    pub nanoseconds: AtomicU64,
}

/// [`Shared::flags`]: calls are timed.
pub const TIMED: u32 = 1 << 0;

/// What of an argument's memory goes with the record of a call. A command that wants no more than
/// numbers leaves all at [`Capture::None`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Nothing.
    None,
    /// Up to the first zero byte.
    Text,
    /// The same, where the call succeeded.
    TextAfter,
    /// As many bytes as the argument with this index says.
    Bytes(u16),
    /// As many bytes as the call returned.
    Returned,
    /// So many bytes.
    Structure(u16),
    /// So many bytes, where the call succeeded.
    StructureAfter(u16),
}

impl Capture {
    /// Bits of the number that stand for the kind.
    const KIND_BITS: u32 = 3;

    /// As [`Shared`] has it.
    pub const fn to_bits(self) -> u16 {
        let (kind, value) = match self {
            Capture::None => (0, 0),
            Capture::Text => (1, 0),
            Capture::TextAfter => (2, 0),
            Capture::Bytes(argument) => (3, argument),
            Capture::Returned => (4, 0),
            Capture::Structure(len) => (5, len),
            Capture::StructureAfter(len) => (6, len),
        };
        kind | value << Self::KIND_BITS
    }

    /// The other way round.
    pub const fn from_bits(bits: u16) -> Self {
        let value = bits >> Self::KIND_BITS;
        match bits & ((1 << Self::KIND_BITS) - 1) {
            1 => Capture::Text,
            2 => Capture::TextAfter,
            3 => Capture::Bytes(value),
            4 => Capture::Returned,
            5 => Capture::Structure(value),
            6 => Capture::StructureAfter(value),
            _ => Capture::None,
        }
    }

    /// How many bytes there are at most, of a call with these arguments that returned `ret`.
    pub fn bytes(self, args: &[u64; 6], ret: i64) -> Option<usize> {
        /// Most of a text.
        const TEXT: usize = 1024;
        /// Most of anything else.
        const BYTES: u64 = 256;
        let succeeded = !(-4095..0).contains(&ret);
        match self {
            Capture::None => None,
            Capture::Text => Some(TEXT),
            Capture::TextAfter => succeeded.then_some(TEXT),
            Capture::Bytes(argument) => {
                let len = args.get(usize::from(argument))?;
                Some((*len).min(BYTES) as usize)
            }
            Capture::Returned => succeeded.then_some((ret as u64).min(BYTES) as usize),
            Capture::Structure(len) => Some(usize::from(len)),
            Capture::StructureAfter(len) => succeeded.then_some(usize::from(len)),
        }
    }
}

/// When a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Moment {
    /// The call returned.
    Ended = 0,
    /// The call begins, and does not come back if it succeeds.
    Begins = 1,
}

/// Most bytes of a record, with what it captured.
pub const RECORD_LEN: usize = 4096;

/// A call, as the program's thread tells of it: one message of a socket. [`Piece`]s follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// Its number.
    pub nr: u64,
    /// Its arguments.
    pub args: [u64; 6],
    /// What it returned.
    pub ret: i64,
    /// The thread that made it.
    pub thread: u32,
    /// A [`Way`].
    pub way: u8,
    /// A [`Moment`].
    pub moment: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Memory of an argument; so many bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Piece {
    /// Index of the argument.
    pub argument: u16,
    /// Bytes.
    pub len: u16,
}

/// The memory that the command and all its programs share.
#[derive(Debug)]
#[repr(C)]
pub struct Shared {
    /// [`VERSION`]: a library of another version stays out of the way.
    pub version: u32,
    /// What is asked for.
    pub flags: AtomicU32,
    /// By number; the last one is for numbers beyond the table.
    pub counters: [Counter; NUMBERS + 1],
    /// By number, what a record holds of each argument: a [`Capture`] in bits.
    pub captures: [[AtomicU16; 6]; NUMBERS],
    /// By number, not 0 for the calls that workers are to execute.
    pub for_workers: [AtomicU8; NUMBERS],
}

/// Of the layout of [`Shared`].
pub const VERSION: u32 = 1;

/// Bytes of [`Shared`].
pub const SHARED_LEN: usize = size_of::<Shared>();

/// Descriptors that are placed together.
pub const PLACES: u64 = 16;

/// Where descriptors are placed that the program cannot be given itself: above the limit of their
/// number, which has to be raised for it.
pub const fn above(soft: u64) -> u64 {
    /// A file table has as many places as its highest descriptor asks for.
    const MOST: u64 = 1 << 16;
    if soft > MOST {
        MOST
    } else {
        soft
    }
}

/// Where they are placed if it cannot be raised: at the upper end, unless there are so few that
/// the program would miss them.
pub const fn below(soft: u64) -> Option<u64> {
    const FEW: u64 = 64;
    if soft < FEW {
        return None;
    }
    Some(above(soft) - PLACES)
}

/// The descriptors of [`VARIABLE`]'s value.
pub fn parse_descriptors(text: &[u8]) -> Option<[i32; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split(|byte| *byte == b',');
    for number in &mut numbers {
        let part = parts.next()?;
        *number = match part {
            b"-1" => -1,
            _ => decimal(part)?,
        };
    }
    parts.next().is_none().then_some(numbers)
}

fn decimal(text: &[u8]) -> Option<i32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_i32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_three_numbers() {
        assert_eq!(parse_descriptors(b"1024,1025,-1"), Some([1024, 1025, -1]));
        assert_eq!(parse_descriptors(b"0,1,2"), Some([0, 1, 2]));
        for wrong in [
            "",
            "1",
            "1,2",
            "1,2,3,4",
            "1,2,",
            "1,x,3",
            "1,2,-2",
            "1,2,99999999999",
        ] {
            assert_eq!(parse_descriptors(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn captures_are_numbers_and_back() {
        for capture in [
            Capture::None,
            Capture::Text,
            Capture::TextAfter,
            Capture::Bytes(5),
            Capture::Returned,
            Capture::Structure(144),
            Capture::StructureAfter(1024),
        ] {
            assert_eq!(Capture::from_bits(capture.to_bits()), capture);
        }
        let args = [0, 0, 3, 1 << 40, 0, 0];
        assert_eq!(Capture::Bytes(2).bytes(&args, -9), Some(3));
        assert_eq!(Capture::Bytes(3).bytes(&args, 0), Some(256));
        assert_eq!(Capture::Bytes(9).bytes(&args, 0), None);
        assert_eq!(Capture::Returned.bytes(&args, 7), Some(7));
        assert_eq!(Capture::Returned.bytes(&args, -9), None);
        assert_eq!(Capture::StructureAfter(16).bytes(&args, -9), None);
    }

    #[test]
    fn descriptors_lie_above_the_limit_where_it_can_be_raised() {
        assert_eq!(above(8), 8);
        assert_eq!(above(1024), 1024);
        assert_eq!(above(u64::MAX), 1 << 16);
        assert_eq!(below(8), None);
        assert_eq!(below(1024), Some(1008));
        assert_eq!(below(1 << 20), Some((1 << 16) - 16));
    }
}
