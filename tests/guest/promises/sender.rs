// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may send at all.

use std::{
    arch::asm,
    os::fd::{AsFd, AsRawFd},
};

use nix::unistd::{setresgid, setresuid, Gid, Uid};
use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, call, Arg},
    event::Event,
    memory::Memory,
    message::Message,
    module, patience,
    process::Child,
    session,
    socket::RawSocket,
};

use rustix::io::Errno;

use crate::{
    harness::{skip, tests, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = tests![
    a_32_bit_sender_is_refused,
    a_call_may_not_submit_calls,
    only_root_may_submit_by_default,
    a_group_may_be_let_in,
    a_wrong_access_parameter_is_no_access,
];

fn a_32_bit_sender_is_refused() {
    /// `sendto` of `arch/x86/entry/syscalls/syscall_32.tbl`.
    const SENDTO: u64 = 369;

    let mut socket = RawSocket::open();
    let mut message = Message::submit(socket.family(), &[calls::getpid().into()]);
    message.seq = 1;
    let bytes = message.bytes();
    // The entry for 32-bit programs takes addresses of 32 bits.
    let low = low_memory(&bytes);
    let fd = u64::from(socket.as_raw_fd().unsigned_abs());
    let ret: i64;
    // SAFETY: as sendto(fd, low, len, 0, NULL, 0), which reads the message; the entry for 32-bit
    // programs changes r8 to r11 besides the result. rbx cannot be named, so it changes places.
    unsafe {
        asm!(
            "xchg rbx, {fd}",
            "push rbp",
            "xor ebp, ebp",
            "int 0x80",
            "pop rbp",
            "xchg rbx, {fd}",
            fd = inout(reg) fd => _,
            inlateout("rax") SENDTO => ret,
            in("rcx") low,
            in("rdx") bytes.len(),
            in("rsi") 0,
            in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if ret as i32 == -libc::ENOSYS {
        skip("this kernel has no entry for 32-bit programs");
    }
    assert_eq!(ret as i32 as usize, bytes.len(), "the message is sent");
    let (events, _) = socket.drain();
    let [Event::Answer(answer)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(
        answer.is_rejection(libc::EOPNOTSUPP, "32-bit"),
        "{answer:?}"
    );
}

/// A copy of these bytes at an address of 32 bits, for ever.
fn low_memory(bytes: &[u8]) -> u64 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let nowhere = std::ptr::null_mut();
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let memory = unsafe { libc::mmap(nowhere, bytes.len(), protection, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: the mapping is as long as the bytes, and new.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast(), bytes.len()) };
    memory as u64
}

/// A worker is no sender: calls cannot make calls without end.
fn a_call_may_not_submit_calls() {
    let session = Session::open().expect("a session");
    let mut other = RawSocket::open();
    other.accept([calls::getpid()]);
    other.completions(1);
    let mut message = Message::submit(other.family(), &[calls::getpid().into()]);
    message.seq = 1000;
    let bytes = Memory::holding(&message.bytes());
    let socket = Arg::from(other.as_fd());
    let send = [
        socket,
        bytes.into(),
        bytes.len().into(),
        0.into(),
        0.into(),
        0.into(),
    ];
    let sent = session::value(&session, call(libc::SYS_sendto, &send));
    assert_eq!(sent as usize, bytes.len());
    let (events, _) = other.drain();
    let [Event::Answer(answer)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(answer.seq, 1000);
    assert!(answer.errno != 0 && !answer.text.is_empty(), "{answer:?}");
    other.accept([calls::getpid()]);
    assert_eq!(other.completions(1).len(), 1);
}

/// What a process with these ids gets for a submission: 0, or the error number.
fn submission_as(uid: u32, gid: u32) -> i32 {
    let mut child = Child::fork(|channel| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        nix::unistd::setgroups(&[]).expect("no supplementary groups");
        setresgid(gid, gid, gid).expect("becoming another group");
        setresuid(uid, uid, uid).expect("becoming another user");
        let answer = RawSocket::open().submit([calls::getpid()]);
        assert_eq!(answer.errno != 0, !answer.text.is_empty(), "{answer:?}");
        channel.put(answer.errno as u64);
    });
    let errno = child.channel().get() as i32;
    child.succeed();
    errno
}

fn only_root_may_submit_by_default() {
    let _reloaded = Reloaded::with("");
    assert_eq!(module::access(), "root");
    assert_eq!(submission_as(0, 0), 0);
    assert_eq!(submission_as(1000, 1000), libc::EPERM);
}

fn a_group_may_be_let_in() {
    let _reloaded = Reloaded::with("access=1234");
    assert_eq!(submission_as(0, 0), 0);
    assert_eq!(submission_as(1000, 1234), 0);
    assert_eq!(submission_as(1000, 1000), libc::EPERM);
}

fn a_wrong_access_parameter_is_no_access() {
    let reloaded = Reloaded::with("");
    patience::until("the module goes", || module::unload().is_ok());
    for wrong in ["everybody", "-1", "1234x", "99999999999"] {
        let error = module::load(&format!("access={wrong}"));
        assert_eq!(error, Err(Errno::INVAL), "{wrong}");
    }
    module::load("").expect("the module can be loaded again");
    drop(reloaded);
}
