// SPDX-License-Identifier: MIT OR Apache-2.0

//! Filters that end a thread or a process.

use std::{
    os::fd::{AsRawFd, RawFd},
    thread,
};

use nix::sys::{signal::Signal, wait::WaitStatus};
use nlcall::raw::{Call, Outcome, Session};
use nlcall_abi::CallResult;
use nlcall_tests::{
    calls::{self, inline},
    memory::Memory,
    message::{Message, REQUEST},
    patience,
    pipe::Pipe,
    process::{exit_now, in_a_child, Child},
    results::ResultsArray,
    seccomp::Filter,
    socket::RawSocket,
    threads,
};

use super::{not_started, ran, refused, session_with_worker, victim, Way};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_killed_process_makes_no_further_call,
    a_killed_thread_leaves_the_others,
    a_killed_thread_leaves_its_results,
    the_last_thread_takes_the_process_along,
    strict_mode_allows_what_it_allows_plainly,
    strict_mode_kills,
];

/// How a process ends that makes the victim's call in this way, and then another.
fn end_of(way: Way, action: u32) -> (WaitStatus, Vec<u8>) {
    let pipe = Pipe::new();
    let mark = |text: &str| calls::write(&pipe.writer, Memory::holding(text.as_bytes()));
    let mut child = Child::fork(|_| {
        let session = session_with_worker();
        Filter::calls(libc::SYS_getppid, action).install();
        way.make(&session, mark("a"));
        match way {
            Way::Plain => {
                way.make(&session, victim());
                way.make(&session, mark("b"));
            }
            Way::Inline | Way::Worker => {
                way.completions(&session, [victim(), mark("b")]);
            }
        }
        exit_now(1);
    });
    let status = match child.wait() {
        // Whether there is a dump is another question.
        WaitStatus::Signaled(pid, signal, _) => WaitStatus::Signaled(pid, signal, false),
        status => status,
    };
    assert_eq!(
        status,
        WaitStatus::Signaled(child.pid(), Signal::SIGSYS, false),
        "{way:?}"
    );
    (status, pipe.take())
}

fn a_killed_process_makes_no_further_call() {
    for way in Way::ALL {
        let (_, made) = end_of(way, libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(made, b"a", "{way:?}");
    }
}

/// A process of one thread ends with it, as if there were no workers.
fn the_last_thread_takes_the_process_along() {
    for way in Way::ALL {
        let (_, made) = end_of(way, libc::SECCOMP_RET_KILL_THREAD);
        assert_eq!(made, b"a", "{way:?}");
    }
}

/// Waits until the thread that makes these calls under this filter is gone.
fn lose_a_thread(action: u32, body: impl FnOnce() + Send + 'static) {
    let own = || threads::own(nix::unistd::getpid()).len();
    assert_eq!(own(), 1);
    // Nobody joins it: it never returns.
    thread::spawn(move || {
        Filter::calls(libc::SYS_getppid, action).install();
        body();
        // Then it is still here.
        loop {
            thread::park();
        }
    });
    patience::until("the thread is gone", || own() == 1);
}

/// Sends these bytes and nothing else: a killed thread must not hold a lock.
fn send(socket: RawFd, bytes: &[u8]) {
    // SAFETY: the bytes outlive the call.
    unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), 0) };
}

fn a_killed_thread_leaves_the_others() {
    in_a_child(|| {
        let session = session_with_worker();
        lose_a_thread(libc::SECCOMP_RET_KILL_THREAD, || {
            Way::Plain.make(&Session::open().expect("a session"), victim());
        });
        assert_eq!(Way::Worker.make(&session, calls::getpid()), ran().1);
    });
    for flagged in [false, true] {
        in_a_child(|| {
            let mut socket = RawSocket::open();
            socket.accept([calls::getpid()]);
            socket.completions(1);
            let batch = vec![calls::getpid(), victim(), calls::getpid(), calls::getpid()];
            let batch = if flagged { inline(batch) } else { batch };
            let bytes = submission(&socket, batch, None);
            let fd = socket.as_raw_fd();
            lose_a_thread(libc::SECCOMP_RET_KILL_THREAD, move || send(fd, &bytes));
            let mut ended = socket.completions(4);
            ended.sort_by_key(|it| it.user_data);
            let gone = not_started(libc::ESRCH);
            let expected = [ran(), refused(libc::ENOSYS), gone, gone];
            assert_eq!(ends_of(&ended), expected, "INLINE: {flagged}");
            socket.assert_no_more_completions();
            // The session is the process's, and goes on.
            for again in [calls::getpid(), victim()] {
                socket.accept([again.clone()]);
                let expected = calls::plainly(&again);
                assert_eq!(ends_of(&socket.completions(1)), [(Outcome::Ran, expected)]);
            }
        });
    }
}

/// A SUBMIT of these calls, numbered, without an acknowledgement.
fn submission(socket: &RawSocket, calls: Vec<Call>, array: Option<ResultsArray>) -> Vec<u8> {
    let numbered = (0..).zip(calls).map(|(at, call)| call.user_data(at));
    let calls: Vec<_> = numbered.map(nlcall_abi::Call::from).collect();
    let mut message = match array {
        None => Message::submit(socket.family(), &calls),
        Some(array) => Message::submit_into(socket.family(), &calls, array.address()),
    };
    message.flags = REQUEST;
    message.seq = 1000;
    message.bytes()
}

fn ends_of(results: &[CallResult]) -> Vec<(Outcome, i64)> {
    let outcome = |it: &CallResult| Outcome::from_wire(it.outcome).expect("an outcome");
    results.iter().map(|it| (outcome(it), it.ret)).collect()
}

/// What was written by then stays, and the rest arrives as completions.
fn a_killed_thread_leaves_its_results() {
    in_a_child(|| {
        let mut socket = RawSocket::open();
        let array = ResultsArray::new(4);
        let batch = vec![calls::getpid(), calls::getpid(), victim(), calls::getpid()];
        let bytes = submission(&socket, inline(batch), Some(array));
        let fd = socket.as_raw_fd();
        lose_a_thread(libc::SECCOMP_RET_KILL_THREAD, move || send(fd, &bytes));
        assert_eq!(ends_of(&array.results()), [ran(); 2]);
        let rest = socket.completions(2);
        let expected = [refused(libc::ENOSYS), not_started(libc::ESRCH)];
        assert_eq!(ends_of(&rest), expected);
        let names: Vec<_> = rest.iter().map(|it| it.user_data).collect();
        assert_eq!(names, [2, 3]);
        socket.assert_no_more_completions();
    });
}

/// Ends this thread without any other call.
fn leave() -> ! {
    // SAFETY: the system call ends the thread.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit returned")
}

/// From here on: `read`, `write`, `exit` and `rt_sigreturn`.
fn enter_strict_mode() {
    // SAFETY: the option takes no pointers.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
    assert_eq!(set, 0, "strict mode");
}

/// `write(fd, bytes)` and nothing else.
fn write(fd: RawFd, bytes: &[u8]) {
    // SAFETY: the bytes outlive the call.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) };
}

fn strict_mode_allows_what_it_allows_plainly() {
    for flagged in [false, true] {
        let pipe = Pipe::new();
        let mut child = Child::fork(|_| {
            let mut socket = RawSocket::open();
            socket.accept([calls::getpid()]);
            socket.completions(1);
            let mark = calls::write(&pipe.writer, Memory::holding(b"a"));
            let batch = if flagged { inline([mark]) } else { vec![mark] };
            let bytes = submission(&socket, batch, None);
            let (fd, answer) = (socket.as_raw_fd(), Memory::zeroed(4096));
            enter_strict_mode();
            write(fd, &bytes);
            // SAFETY: the memory is never freed.
            unsafe { libc::syscall(libc::SYS_read, fd, answer.address(), answer.len()) };
            leave()
        });
        child.succeed();
        assert_eq!(pipe.take(), b"a", "INLINE: {flagged}");
    }
}

fn strict_mode_kills() {
    for way in Way::ALL {
        let pipe = Pipe::new();
        let mut child = Child::fork(|_| {
            let mut socket = RawSocket::open();
            socket.accept([calls::getpid()]);
            socket.completions(1);
            let mark = calls::write(&pipe.writer, Memory::holding(b"a"));
            let batch = vec![victim(), mark];
            let batch = match way {
                Way::Inline => inline(batch),
                Way::Plain | Way::Worker => batch,
            };
            let bytes = submission(&socket, batch, None);
            let fd = socket.as_raw_fd();
            enter_strict_mode();
            match way {
                Way::Plain => drop(calls::plainly(&victim())),
                Way::Inline | Way::Worker => write(fd, &bytes),
            }
            leave()
        });
        let status = child.wait();
        let killed = WaitStatus::Signaled(child.pid(), Signal::SIGKILL, false);
        assert_eq!(status, killed, "{way:?}");
        assert_eq!(pipe.take(), b"", "{way:?}");
    }
}
