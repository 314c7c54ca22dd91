// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls that the library makes itself. Nobody sees them.

use core::mem::size_of;

use nlcall_abi::syscalls;

use crate::shared::{
    above,
    below,
    PLACES, //
};
use crate::text;

/// The number of a system call, at compile time; an unknown name does not compile.
pub const fn nr(name: &str) -> u64 {
    syscalls::nr(name) as u64
}

/// Numbers of system calls.
macro_rules! numbers {
    ($($name:ident = $call:literal;)+) => {
        $(pub const $name: u64 = nr($call);)+
    };
}

numbers! {
    CLONE = "clone";
    CLONE3 = "clone3";
    CLOSE = "close";
    CLOSE_RANGE = "close_range";
    DUP = "dup";
    DUP2 = "dup2";
    DUP3 = "dup3";
    EXECVE = "execve";
    EXECVEAT = "execveat";
    EXIT = "exit";
    EXIT_GROUP = "exit_group";
    FCNTL = "fcntl";
    FORK = "fork";
    PRCTL = "prctl";
    RECVFROM = "recvfrom";
    RESTART_SYSCALL = "restart_syscall";
    RT_SIGACTION = "rt_sigaction";
    RT_SIGPROCMASK = "rt_sigprocmask";
    RT_SIGRETURN = "rt_sigreturn";
    SENDTO = "sendto";
    SIGALTSTACK = "sigaltstack";
    VFORK = "vfork";
}

const BIND: u64 = nr("bind");
const CLOCK_GETTIME: u64 = nr("clock_gettime");
const GETPID: u64 = nr("getpid");
const GETTID: u64 = nr("gettid");
const KILL: u64 = nr("kill");
const MMAP: u64 = nr("mmap");
const PRLIMIT64: u64 = nr("prlimit64");
const PROCESS_VM_READV: u64 = nr("process_vm_readv");
const PROCESS_VM_WRITEV: u64 = nr("process_vm_writev");
const SOCKET: u64 = nr("socket");

pub const EBADF: i64 = 9;
pub const EFAULT: i64 = 14;
pub const EFBIG: i64 = 27;
pub const EINTR: i64 = 4;
pub const EINVAL: i64 = 22;
pub const ENOMEM: i64 = 12;
pub const ENOSYS: i64 = 38;
pub const EPIPE: i64 = 32;

/// Bytes of a signal mask.
pub const MASK_LEN: u64 = 8;
/// `SIG_UNBLOCK`, `SIG_SETMASK`.
pub const SIG_UNBLOCK: u64 = 1;
const SIG_SETMASK: u64 = 2;

/// `struct kernel_sigaction`: what rt_sigaction takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Action {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// The address of something, as an argument.
pub fn address<T>(of: *const T) -> u64 {
    of.expose_provenance() as u64
}

/// A call of up to six arguments.
///
/// # Safety
///
/// As that call.
unsafe fn call<const N: usize>(nr: u64, args: [u64; N]) -> i64 {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&args);
    // SAFETY: By the caller's promise.
    unsafe { text::syscall(nr, &all) }
}

/// The id of the process.
pub fn getpid() -> u64 {
    // SAFETY: Has no arguments.
    unsafe { call(GETPID, []) as u64 }
}

/// The id of the thread.
pub fn gettid() -> u32 {
    // SAFETY: Has no arguments.
    unsafe { call(GETTID, []) as u32 }
}

/// Sends a signal to the own process.
pub fn raise(signal: u64) {
    // SAFETY: What the signal does is what it is sent for.
    unsafe { call(KILL, [getpid(), signal]) };
}

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: The kernel writes two words. 1 is CLOCK_MONOTONIC.
    unsafe { call(CLOCK_GETTIME, [1, address(&raw mut time)]) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}

/// Reads memory of the process, wherever it is; the number of bytes that could be read.
pub fn read_memory(from: u64, into: &mut [u8]) -> usize {
    let local = [address(into.as_mut_ptr()), into.len() as u64];
    let remote = [from, into.len() as u64];
    // SAFETY: The kernel writes into `into` alone, as far as `from` can be read.
    let read = unsafe {
        let (local, remote) = (address(&raw const local), address(&raw const remote));
        call(PROCESS_VM_READV, [getpid(), local, 1, remote, 1, 0])
    };
    usize::try_from(read).unwrap_or(0)
}

/// Reads a structure from the program's memory.
pub fn read<T: zerocopy::FromBytes>(from: u64) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: The bytes of `value` are initialised, and nobody else refers to them.
    let bytes =
        unsafe { core::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    // SAFETY: Any bytes are a `T`.
    (read_memory(from, bytes) == size_of::<T>()).then(|| unsafe { value.assume_init() })
}

/// Writes to memory of the process; whether all could be written.
pub fn write_memory(to: u64, from: &[u8]) -> bool {
    let local = [address(from.as_ptr()), from.len() as u64];
    let remote = [to, from.len() as u64];
    // SAFETY: The kernel reads `from`, and writes where the program asked for it.
    let written = unsafe {
        let (local, remote) = (address(&raw const local), address(&raw const remote));
        call(PROCESS_VM_WRITEV, [getpid(), local, 1, remote, 1, 0])
    };
    written == from.len() as i64
}

/// Sets what the kernel does at a signal; returns an errno, negative.
///
/// # Safety
///
/// A handler of `new` is one.
pub unsafe fn sigaction(signal: u64, new: Option<&Action>, old: Option<&mut Action>) -> i64 {
    let new = new.map_or(0, |new| address(new));
    let old = old.map_or(0, |old| address(old));
    // SAFETY: By the caller's promise; the kernel writes one structure.
    unsafe { call(RT_SIGACTION, [signal, new, old, MASK_LEN]) }
}

/// Changes the signal mask of the thread.
pub fn sigprocmask(how: u64, set: u64) {
    // SAFETY: The kernel reads one mask.
    unsafe { call(RT_SIGPROCMASK, [how, address(&raw const set), 0, MASK_LEN]) };
}

/// Blocks all signals, and says which were blocked.
pub fn block_all() -> u64 {
    let mut before = 0_u64;
    let all = u64::MAX;
    let (all, old) = (address(&raw const all), address(&raw mut before));
    // SAFETY: The kernel reads one mask and writes one.
    unsafe { call(RT_SIGPROCMASK, [SIG_SETMASK, all, old, MASK_LEN]) };
    before
}

/// Blocks these signals.
pub fn set_mask(mask: u64) {
    sigprocmask(SIG_SETMASK, mask);
}

/// `PR_SET_SYSCALL_USER_DISPATCH`.
pub const SET_DISPATCH: u64 = 59;

/// Sends the system calls of the current thread to the handler of SIGSYS, all but those of
/// [`text`].
pub fn arm() -> i64 {
    let start = text::start();
    // SAFETY: The handler was installed before. 1 is PR_SYS_DISPATCH_ON.
    unsafe { call(PRCTL, [SET_DISPATCH, 1, start, text::end() - start, 0]) }
}

/// Maps memory that is shared with the process that owns the descriptor.
pub fn map(fd: i32, len: usize) -> Option<u64> {
    // SAFETY: The kernel chooses the address. PROT_READ | PROT_WRITE, MAP_SHARED.
    let address = unsafe { call(MMAP, [0, len as u64, 3, 1, fd as u64, 0]) };
    (address > 0).then_some(address as u64)
}

/// Maps memory of the process's own.
pub fn map_own(len: usize) -> Option<u64> {
    // SAFETY: As above. MAP_PRIVATE | MAP_ANONYMOUS.
    let address = unsafe { call(MMAP, [0, len as u64, 3, 0x22, u64::MAX, 0]) };
    (address > 0).then_some(address as u64)
}

/// Closes a descriptor of the library's own.
pub fn close(fd: i32) {
    // SAFETY: Nobody else uses it.
    unsafe { call(CLOSE, [fd as u64]) };
}

/// The limits of the number of descriptors, soft and hard.
fn descriptor_limits() -> [u64; 2] {
    let mut limits = [0_u64; 2];
    // SAFETY: The kernel writes two words. 7 is RLIMIT_NOFILE.
    unsafe { call(PRLIMIT64, [0, 7, 0, address(&raw mut limits)]) };
    limits
}

fn set_descriptor_limits(limits: [u64; 2]) -> bool {
    // SAFETY: The kernel reads two words.
    unsafe { call(PRLIMIT64, [0, 7, address(&raw const limits), 0]) == 0 }
}

/// Opens a descriptor out of the program's way: at the first free place from `lowest` on, or
/// above what the program can be given.
pub fn place(lowest: Option<u64>, open: impl FnOnce() -> Option<i32>) -> Option<i32> {
    let limits = descriptor_limits();
    let wanted = lowest.unwrap_or(above(limits[0]));
    let needed = wanted + PLACES;
    let raised = [limits[0].max(needed), limits[1].max(needed)];
    let is_raised = limits[0] < needed && set_descriptor_limits(raised);
    let wanted = match is_raised || limits[0] >= needed {
        true => Some(wanted),
        false => below(limits[0]),
    };
    let placed = wanted.and_then(|wanted| move_up(open()?, wanted));
    if is_raised {
        set_descriptor_limits(limits);
    }
    placed
}

/// Moves a descriptor to the first free place from `lowest` on.
fn move_up(fd: i32, lowest: u64) -> Option<i32> {
    /// `F_DUPFD_CLOEXEC`.
    const DUPFD_CLOEXEC: u64 = 1030;
    // SAFETY: Makes a descriptor, which is the library's own.
    let moved = unsafe { call(FCNTL, [fd as u64, DUPFD_CLOEXEC, lowest]) };
    close(fd);
    i32::try_from(moved).ok().filter(|fd| *fd >= 0)
}

/// A socket of generic netlink, with a port id that is nobody's process id.
pub fn netlink_socket() -> Option<i32> {
    // SAFETY: Makes a descriptor. AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC.
    let fd = unsafe { call(SOCKET, [16, 3 | 0o2_000_000, 16]) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    /// Where port ids begin that netlink itself gives to nobody's first socket.
    const HIGH: u32 = 1 << 31;
    let mut port = HIGH | now() as u32 ^ (getpid() as u32).rotate_left(16);
    for _ in 0..64 {
        // struct sockaddr_nl: family, port id, groups.
        let name = [16, port, 0];
        // SAFETY: The kernel reads the name.
        if unsafe { call(BIND, [fd as u64, address(&raw const name), 12]) } == 0 {
            break;
        }
        port = HIGH | port.wrapping_add(0x9e37);
    }
    Some(fd)
}

/// Sends bytes; returns an errno, negative, or their number.
pub fn send(fd: i32, bytes: &[u8]) -> i64 {
    let (at, len) = (address(bytes.as_ptr()), bytes.len() as u64);
    // SAFETY: The kernel reads the bytes. MSG_NOSIGNAL.
    unsafe { call(SENDTO, [fd as u64, at, len, 0x4000, 0, 0]) }
}

/// Receives a message, without waiting unless `wait`; the number of its bytes.
pub fn receive(fd: i32, into: &mut [u8], wait: bool) -> Option<usize> {
    /// `MSG_DONTWAIT`.
    const DONT_WAIT: u64 = 0x40;
    let flags = if wait { 0 } else { DONT_WAIT };
    let (at, len) = (address(into.as_mut_ptr()), into.len() as u64);
    // SAFETY: The kernel writes into `into` alone.
    let received = unsafe { call(RECVFROM, [fd as u64, at, len, flags, 0, 0]) };
    usize::try_from(received).ok()
}
