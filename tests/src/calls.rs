// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls as values.

use std::{
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use nlcall::raw::{Call, CallFlags};
use nlcall_abi::syscalls::{Syscall, TABLE};

use crate::memory::Memory;

/// One argument of a system call.
#[derive(Clone, Copy, Debug)]
pub struct Arg(u64);

impl Arg {
    /// Its value.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Arg {
    /// An address that no memory of this process lies at.
    pub fn wild(address: u64) -> Self {
        Self(address)
    }

    /// An address that the kernel gave, for the call that gives it back.
    pub fn mapped(address: u64) -> Self {
        Self(address)
    }
}

impl From<Memory> for Arg {
    fn from(memory: Memory) -> Self {
        Self(memory.address())
    }
}

impl From<&OwnedFd> for Arg {
    fn from(fd: &OwnedFd) -> Self {
        Self(fd.as_raw_fd() as u64)
    }
}

impl From<BorrowedFd<'_>> for Arg {
    fn from(fd: BorrowedFd<'_>) -> Self {
        Self(fd.as_raw_fd() as u64)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        // As a C program would widen it.
        Self(i64::from(number) as u64)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self(u64::from(number))
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self(number as u64)
    }
}

/// The call of this number, which is one of `libc::SYS_*`.
pub fn call(nr: libc::c_long, args: &[Arg]) -> Call {
    let args: Vec<u64> = args.iter().map(|arg| arg.0).collect();
    // SAFETY: addresses come from Memory, which is never freed and which Rust code reaches only by
    // volatile copies, or are none of this process's memory. Effects on descriptors and on the
    // process are what a test is about; it has its process to itself.
    unsafe { Call::new(nr as u32, &args) }
}

/// What a plain system call returns in place of this one: a value or a negative error number.
pub fn plainly(call: &Call) -> i64 {
    let abi = call.as_abi();
    let [a, b, c, d, e, f] = abi.args;
    // SAFETY: as in `call`.
    match unsafe { libc::syscall(abi.nr.into(), a, b, c, d, e, f) } {
        -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        value => value,
    }
}

/// Calls that the oldest supported kernel has not, and the release that brought each.
const NEW: &[(&str, (u32, u32))] = &[("fchroot", (7, 3))];

/// The system calls of the kernel that runs: all of the table, which is the newest kernel's, or the
/// beginning of it.
pub fn of_this_kernel() -> &'static [Syscall] {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    let release = number().zip(number()).expect("a release has two numbers");
    let has = |entry: &&Syscall| {
        let new = NEW.iter().find(|(name, _)| *name == entry.name);
        new.is_none_or(|(_, since)| *since <= release)
    };
    &TABLE[..TABLE.iter().take_while(has).count()]
}

/// These calls, to be made by the thread that submits them.
pub fn inline(calls: impl IntoIterator<Item = Call>) -> Vec<Call> {
    let inline = |call: Call| {
        let flags = CallFlags::from_bits_retain(call.as_abi().flags);
        call.flags(flags | CallFlags::INLINE)
    };
    calls.into_iter().map(inline).collect()
}

/// `getpid()`: harmless and fast.
pub fn getpid() -> Call {
    call(libc::SYS_getpid, &[])
}

/// `read(fd, memory, memory.len())`.
pub fn read(fd: impl Into<Arg>, memory: Memory) -> Call {
    call(
        libc::SYS_read,
        &[fd.into(), memory.into(), memory.len().into()],
    )
}

/// `write(fd, memory, memory.len())`.
pub fn write(fd: impl Into<Arg>, memory: Memory) -> Call {
    call(
        libc::SYS_write,
        &[fd.into(), memory.into(), memory.len().into()],
    )
}

/// `close(fd)`, which takes the descriptor over.
pub fn close(fd: RawFd) -> Call {
    call(libc::SYS_close, &[fd.into()])
}

/// `nanosleep(time, NULL)`.
pub fn nanosleep(time: Duration) -> Call {
    let time = Memory::of(&[time.as_secs(), u64::from(time.subsec_nanos())]);
    call(libc::SYS_nanosleep, &[time.into(), 0.into()])
}

/// `futex(word, FUTEX_WAIT, expected, NULL)` on a word that other processes may share.
pub fn futex_wait(word: Memory, expected: u32) -> Call {
    call(
        libc::SYS_futex,
        &[
            word.into(),
            libc::FUTEX_WAIT.into(),
            expected.into(),
            0.into(),
        ],
    )
}

/// `futex(word, FUTEX_WAKE, waiters)`.
pub fn futex_wake(word: Memory, waiters: u32) -> Call {
    call(
        libc::SYS_futex,
        &[word.into(), libc::FUTEX_WAKE.into(), waiters.into()],
    )
}
