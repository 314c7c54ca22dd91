// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals that a call raises in whoever makes it: SIGPIPE and SIGXFSZ.

use std::{
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::{
    resource::{setrlimit, Resource},
    signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
    wait::WaitStatus,
};
use nlcall::raw::{Call, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::{exit_now, in_a_child, Child},
    session,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_write_that_nobody_reads_ends_the_process,
    a_write_beyond_the_limit_ends_the_process,
    a_handler_hears_of_it_once,
    a_signal_that_is_ignored_leaves_the_error,
    a_signal_does_not_wait_for_the_calls_behind,
];

/// A call that raises SIGPIPE, and what it needs.
fn into_a_pipe() -> (Call, OwnedFd) {
    let Pipe { reader, writer } = Pipe::new();
    drop(reader);
    let write = calls::write(&writer, Memory::holding(b"text"));
    (write, writer)
}

fn into_a_socket() -> (Call, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    drop(theirs);
    let text = Memory::holding(b"text");
    let none = || 0.into();
    let args = [
        ours.as_fd().into(),
        text.into(),
        text.len().into(),
        none(),
        none(),
        none(),
    ];
    (call(libc::SYS_sendto, &args), ours.into())
}

/// A call that raises SIGXFSZ, for a process that may write files of four bytes.
fn beyond_the_limit() -> (Call, OwnedFd) {
    let file = tempfile::tempfile().expect("a file");
    setrlimit(Resource::RLIMIT_FSIZE, 4, 4).expect("RLIMIT_FSIZE");
    let text = Memory::holding(b"text");
    let at = [
        file.as_fd().into(),
        text.into(),
        text.len().into(),
        4.into(),
    ];
    (call(libc::SYS_pwrite64, &at), file.into())
}

fn truncated_beyond_the_limit() -> (Call, OwnedFd) {
    let (_, file) = beyond_the_limit();
    (
        call(libc::SYS_ftruncate, &[file.as_fd().into(), 5.into()]),
        file,
    )
}

/// How a process ends that has this call made by a worker, or plainly, with the signal's default
/// action.
fn end_of(by_worker: bool, signal: Signal, prepare: fn() -> (Call, OwnedFd)) -> WaitStatus {
    let mut child = Child::fork(|_| {
        let session = Session::open().expect("a session");
        session::value(&session, calls::getpid());
        handle(signal, SigHandler::SigDfl);
        let (call, _file) = prepare();
        if by_worker {
            session::run(&session, call);
        } else {
            calls::plainly(&call);
        }
        // It came to the process first.
        exit_now(1);
    });
    match child.wait() {
        // Whether there is a dump is another question.
        WaitStatus::Signaled(pid, signal, _) => WaitStatus::Signaled(pid, signal, false),
        status => status,
    }
}

fn ends_the_process(signal: Signal, prepare: fn() -> (Call, OwnedFd)) {
    for by_worker in [false, true] {
        let status = end_of(by_worker, signal, prepare);
        assert!(
            matches!(status, WaitStatus::Signaled(_, by, _) if by == signal),
            "by a worker: {by_worker}: {status:?}"
        );
    }
}

fn a_write_that_nobody_reads_ends_the_process() {
    ends_the_process(Signal::SIGPIPE, into_a_pipe);
    ends_the_process(Signal::SIGPIPE, into_a_socket);
}

fn a_write_beyond_the_limit_ends_the_process() {
    ends_the_process(Signal::SIGXFSZ, beyond_the_limit);
    ends_the_process(Signal::SIGXFSZ, truncated_beyond_the_limit);
}

fn handle(signal: Signal, handler: SigHandler) {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_SIGINFO;
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handler only touches atomics.
    unsafe { sigaction(signal, &action) }.expect("a signal handler");
}

static HANDLED: AtomicU64 = AtomicU64::new(0);
static CODE: AtomicU64 = AtomicU64::new(0);
static SENDER: AtomicU64 = AtomicU64::new(0);

extern "C" fn take_note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gave a whole structure.
    let (code, pid) = unsafe { ((*info).si_code, (*info).si_pid()) };
    CODE.store(code as u64, Ordering::Relaxed);
    SENDER.store(pid as u64, Ordering::Relaxed);
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handled() -> u64 {
    HANDLED.load(Ordering::Relaxed)
}

fn a_handler_hears_of_it_once() {
    for (signal, prepare, errno) in [
        (Signal::SIGPIPE, into_a_pipe as fn() -> _, libc::EPIPE),
        (Signal::SIGXFSZ, beyond_the_limit, libc::EFBIG),
    ] {
        in_a_child(|| {
            let session = Session::open().expect("a session");
            handle(signal, SigHandler::SigAction(take_note));
            let (call, _file) = prepare();
            let mut noted = Vec::new();
            for (by_worker, round) in [false, true, true].into_iter().zip(1..) {
                let ret = if by_worker {
                    session::run(&session, call.clone()).ret
                } else {
                    calls::plainly(&call)
                };
                assert_eq!(ret, -i64::from(errno), "by a worker: {by_worker}");
                patience::until("the signal is handled", || handled() == round);
                let info = [&CODE, &SENDER].map(|it| it.load(Ordering::Relaxed));
                noted.push(info);
            }
            assert!(noted.iter().all(|it| *it == noted[0]), "{noted:?}");
            // No more than one for each call, whatever comes then.
            session::value(&session, calls::getpid());
            assert_eq!(handled(), 3);
            session::assert_all_accounted_for(&session);
        });
    }
}

fn a_signal_that_is_ignored_leaves_the_error() {
    in_a_child(|| {
        let session = Session::open().expect("a session");
        for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
            handle(signal, SigHandler::SigIgn);
        }
        let (write, _pipe) = into_a_pipe();
        assert_eq!(session::error(&session, write).raw(), libc::EPIPE);
        let (write, _file) = beyond_the_limit();
        assert_eq!(session::error(&session, write).raw(), libc::EFBIG);
    });
}

/// A worker takes several calls at once, and the last of them may take for ever.
fn a_signal_does_not_wait_for_the_calls_behind() {
    in_a_child(|| {
        let session = Session::open().expect("a session");
        handle(Signal::SIGPIPE, SigHandler::SigAction(take_note));
        let empty = Pipe::new();
        let (write, _pipe) = into_a_pipe();
        let mut batch = vec![calls::getpid(), write];
        batch.extend((0..20).map(|_| empty.read_call()));
        let count = session::submit(&session, 0, batch);
        patience::until("the signal is handled", || handled() == 1);
        empty.fill(&[0; 20]);
        session::collect(&session, count);
    });
}
