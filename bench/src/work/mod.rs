// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the calls are.

use std::sync::atomic::AtomicU64;

use anyhow::Result;
use io_uring::{squeue, IoUring};
use nlcall_abi::{flag, ArgKind, Call, ARG_KIND_BITS};
use syscalls::Sysno;

mod file_chain;
mod fsync;
mod getdents;
mod listing;
mod names;
mod open_close;
mod pread;
mod statx;
mod trivial;

pub use file_chain::FileChain;
pub use fsync::Fsync;
pub use getdents::Getdents;
pub use listing::Listing;
pub use names::Names;
pub use open_close::OpenClose;
pub use pread::Pread;
pub use statx::StatxFile;
pub use trivial::Trivial;

/// A batch of system calls, as each contender needs them.
///
/// It has phases: the calls of a later one start when those of an earlier one are over. A phase
/// has units, which are independent of each other; a unit is one call, or several that need each
/// other in this order.
pub trait Work: Send + Sync + 'static {
    /// Phases.
    fn phases(&self) -> usize {
        1
    }

    /// Units of a phase.
    fn units(&self, phase: usize) -> usize;

    /// What a measurement is divided by.
    fn operations(&self) -> usize;

    /// Whether every contender makes the calls of this phase as plain ones.
    fn is_preparation(&self, _phase: usize) -> bool {
        false
    }

    /// Makes the calls of a unit; negative where one fails.
    fn plain(&self, phase: usize, unit: usize) -> i64;

    /// Adds the calls of a unit to a message. The first one gets the index `calls.len()`.
    fn calls(&self, phase: usize, unit: usize, calls: &mut Vec<Call>);

    /// Values for the second argument of each call of this phase that are only known when it
    /// begins.
    fn addresses(&self, _phase: usize) -> Option<&[AtomicU64]> {
        None
    }

    /// Whether a unit is a chain of calls.
    fn is_chain(&self) -> bool {
        false
    }

    /// Looks at what a phase brought, where the next one needs it. The program's own work, the same
    /// for every contender.
    fn conclude(&self, _phase: usize) {}

    /// Gives a ring what the entries refer to.
    fn prepare_ring(&self, _ring: &IoUring) -> Result<()> {
        Ok(())
    }

    /// The entries of a unit.
    fn entries(&self, phase: usize, unit: usize) -> Entries;

    /// The POSIX AIO request of a unit.
    fn request(&self, _phase: usize, _unit: usize) -> Request {
        Request::NotPossible("POSIX AIO only reads, writes and syncs")
    }

    /// Clears what the calls wrote, for [`verify`](Self::verify).
    fn clear(&self) {}

    /// Checks what the calls wrote. None is in flight.
    fn verify(&self) -> Result<()> {
        Ok(())
    }
}

/// How io_uring does a unit.
pub enum Entries {
    /// With these entries; [`Work::plain`] returns the same.
    Of(Vec<squeue::Entry>),
    /// It cannot; the program makes plain calls instead.
    PlainCalls,
    /// It cannot, and nothing would be left to measure.
    NotPossible(&'static str),
}

/// How POSIX AIO does a unit.
pub enum Request {
    /// `aio_read` of this many bytes from this descriptor.
    Read {
        /// The file.
        fd: i32,
        /// Where the bytes go.
        address: u64,
        /// How many.
        len: usize,
        /// From where.
        offset: i64,
    },
    /// `aio_fsync`.
    Sync {
        /// The file.
        fd: i32,
    },
    /// It cannot.
    NotPossible(&'static str),
}

/// A call with these arguments.
fn call(nr: Sysno, args: &[u64]) -> Call {
    let mut call = Call {
        nr: nr.id() as u32,
        ..Call::default()
    };
    call.args[..args.len()].copy_from_slice(args);
    call
}

/// A call that the next one waits for.
fn linked(call: Call) -> Call {
    Call {
        flags: call.flags | flag::LINK,
        ..call
    }
}

/// A call with an argument of another kind.
fn with_kind(mut call: Call, arg: usize, kind: ArgKind) -> Call {
    call.arg_kinds |= (kind as u32) << (arg as u32 * ARG_KIND_BITS);
    call
}

/// The result of the call with this index.
fn result_of(index: usize) -> u64 {
    index as u64
}

/// A field in the output of the call with this index.
fn field_of(index: usize, offset: usize, width: usize) -> u64 {
    index as u64 | (width as u64) << 24 | (offset as u64) << 32
}

/// What a plain call returned.
pub fn signed(ret: usize) -> i64 {
    ret as i64
}
