// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session belongs to the process that made it.

use std::{os::fd::AsRawFd, thread};

use nix::{
    sched::{clone, unshare, CloneFlags},
    sys::wait::{waitpid, WaitStatus},
    unistd::{setresuid, Uid},
};
use nlcall_abi::{cancel, Command};
use nlcall_tests::{
    calls::{self, call},
    event::Event,
    message::Message,
    pipe::Pipe,
    process::{Channel, Child},
    socket::RawSocket,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    another_process_may_not_use_the_session,
    a_forked_child_may_not_use_the_session,
    a_child_that_shares_the_memory_may_not_use_the_session,
    a_privileged_process_does_not_speak_for_the_opener,
    another_process_does_not_cancel,
    a_thread_with_files_of_its_own_is_refused,
];

const REFUSED: i32 = libc::EPERM;

fn another_process_may_not_use_the_session() {
    let mut other = Child::fork(|channel| {
        let mut socket = RawSocket::adopt(channel.get_fd());
        let answer = socket.submit([calls::getpid()]);
        assert!(
            answer.errno == REFUSED && !answer.text.is_empty(),
            "{answer:?}"
        );
        socket.assert_no_more_completions();
    });
    let mut socket = RawSocket::open();
    socket.accept([calls::getpid()]);
    socket.completions(1);
    other.channel().put_fd(socket.as_raw_fd());
    other.succeed();
    socket.accept([calls::getpid()]);
    assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
}

fn a_forked_child_may_not_use_the_session() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    socket.accept([pipe.read_call()]);
    let mut child = Child::fork(|_| {
        let answer = socket.submit([calls::getpid()]);
        assert!(
            answer.errno == REFUSED && !answer.text.is_empty(),
            "{answer:?}"
        );
        // A socket of its own is as good as any.
        let mut own = RawSocket::open();
        own.accept([calls::getpid()]);
        assert_eq!(own.completions(1)[0].ret, i64::from(std::process::id()));
    });
    child.succeed();
    // The end of the child is not the end of the session.
    pipe.fill(b"x");
    assert_eq!(socket.completions(1)[0].ret, 1);
    socket.accept([calls::getpid()]);
    assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
}

/// As after vfork: the same memory, and yet another process.
fn a_child_that_shares_the_memory_may_not_use_the_session() {
    let mut socket = RawSocket::open();
    socket.accept([calls::getpid()]);
    socket.completions(1);
    let mut message = Message::submit(socket.family(), &[calls::getpid().into()]);
    message.seq = 1000;
    let bytes = message.bytes();
    let fd = socket.as_raw_fd();
    let mut stack = vec![0; 64 << 10];
    let child = Box::new(|| {
        // SAFETY: the message outlives the call; the parent waits until the child is gone.
        let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
        isize::from(sent < 0)
    });
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: this thread sleeps until the child, which has a stack of its own and only sends,
    // has ended.
    let pid = unsafe { clone(child, &mut stack, flags, Some(libc::SIGCHLD)) }.expect("clone");
    assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
    // The answer is there already: asking for another one finds it first.
    let mut answers = Vec::new();
    for event in socket.drain().0 {
        if let Event::Answer(answer) = event {
            answers.push(answer);
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(
        answers[0].seq == 1000 && answers[0].errno == REFUSED,
        "{answers:?}"
    );
    socket.accept([calls::getpid()]);
    assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
}

/// A program with more rights takes a socket for its output; the opener wrote what it says.
fn a_privileged_process_does_not_speak_for_the_opener() {
    let (ours, theirs) = Channel::pair();
    let mut opener = Child::fork(|channel| {
        let lesser = Uid::from_raw(1000);
        setresuid(lesser, lesser, lesser).expect("becoming another user");
        let mut socket = RawSocket::open();
        theirs.put_fd(socket.as_raw_fd());
        channel.get();
        // The opener itself may begin a session on it.
        socket.accept([call(libc::SYS_getuid, &[])]);
        assert_eq!(socket.completions(1)[0].ret, 1000);
    });
    let mut socket = RawSocket::adopt(ours.get_fd());
    let answer = socket.submit([calls::getpid()]);
    assert!(answer.is_rejection(REFUSED, "opener"), "{answer:?}");
    socket.assert_no_more_completions();
    opener.channel().put(0);
    opener.succeed();
}

fn another_process_does_not_cancel() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    socket.accept([pipe.read_call()]);
    let mut child = Child::fork(|_| {
        let mut request = Message::new(socket.family(), Command::Cancel);
        request.attribute(cancel::ALL, &[]);
        let answer = socket.request(request);
        assert_eq!(answer.errno, REFUSED, "{answer:?}");
    });
    child.succeed();
    pipe.fill(b"x");
    assert_eq!(
        socket.completions(1)[0].ret,
        1,
        "the call was not cancelled"
    );
}

/// A worker has the process's files; this thread's may be others.
fn a_thread_with_files_of_its_own_is_refused() {
    for own in [CloneFlags::CLONE_FILES, CloneFlags::CLONE_FS] {
        let mut socket = RawSocket::open();
        socket.accept([calls::getpid()]);
        socket.completions(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                unshare(own).expect("something of its own");
                let answer = socket.submit([calls::getpid()]);
                assert!(answer.is_rejection(libc::EOPNOTSUPP, "files"), "{answer:?}");
            });
        });
        // The others are not refused because of it.
        socket.accept([calls::getpid()]);
        assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
    }
}
