// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who submits INLINE calls, by which way, and what the calls do to that way.

use std::{
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
    thread,
};

use io_uring::{opcode, squeue, types, IoUring};
use nix::{
    sched::{unshare, CloneFlags},
    unistd::gettid,
};
use nlcall::{
    raw::{Call, Session},
    Error,
};
use nlcall_abi::Outcome;
use nlcall_tests::{
    calls::{self, call, inline, Arg},
    event::Event,
    memory::Memory,
    message::{Message, REQUEST},
    pipe::Pipe,
    results::ResultsArray,
    session,
    socket::RawSocket,
};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    an_inline_call_may_not_submit_calls,
    an_inline_call_may_close_its_own_socket,
    an_inline_call_may_close_a_copy_of_its_socket,
    a_file_that_an_inline_call_closes_is_closed_at_once,
    threads_share_a_session_for_inline_calls,
    a_thread_with_its_own_files_may_submit_inline_calls,
    several_messages_of_one_system_call_are_served_in_order,
    inline_calls_do_not_come_through_a_ring,
    each_socket_keeps_its_own_session,
];

/// A SUBMIT of these calls for this array, without an acknowledgement.
fn message(socket: &RawSocket, calls: Vec<Call>, array: ResultsArray) -> Memory {
    let calls: Vec<_> = calls.into_iter().map(nlcall_abi::Call::from).collect();
    let mut message = Message::submit_into(socket.family(), &calls, array.address());
    message.flags = REQUEST;
    message.seq = 1000;
    Memory::holding(&message.bytes())
}

/// `sendto(socket, message, length, 0, NULL, 0)`.
fn sendto(socket: &RawSocket, message: Memory) -> Call {
    let none = || Arg::from(0);
    let args = [
        socket.as_fd().into(),
        message.into(),
        message.len().into(),
        none(),
        none(),
        none(),
    ];
    call(libc::SYS_sendto, &args)
}

fn an_inline_call_may_not_submit_calls() {
    let session = Session::open().expect("a session");
    let mut other = RawSocket::open();
    let array = ResultsArray::new(1);
    let inner = message(&other, inline([calls::getpid()]), array);
    let mut own = RawSocket::open();
    let sends = [sendto(&other, inner), calls::getpid(), sendto(&own, inner)];
    let values = session::inline_values(&session, sends);
    let pid = i64::from(std::process::id());
    assert_eq!(values, [inner.len() as i64, pid, inner.len() as i64]);
    for socket in [&mut other, &mut own] {
        let (events, _) = socket.drain();
        let [Event::Answer(answer)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(answer.seq, 1000);
        assert!(answer.is_rejection(libc::ELOOP, "INLINE"), "{answer:?}");
    }
    assert_eq!(array.results(), [], "the inner call was not made");
    other.accept(inline([calls::getpid()]));
    assert_eq!(other.completions(1).len(), 1);
}

fn an_inline_call_may_close_its_own_socket() {
    let socket = RawSocket::open();
    let array = ResultsArray::new(3);
    let close = calls::close(socket.as_raw_fd());
    let batch = inline([calls::getpid(), close, calls::getpid()]);
    let bytes = message(&socket, batch, array).get();
    socket.send(&bytes).expect("it is sent");
    // The descriptor is no longer the socket's.
    let _ = OwnedFd::from(socket).into_raw_fd();
    let results = array.results();
    assert_eq!(results.len(), 3);
    assert_eq!(
        (results[0].ret, results[1].ret),
        (std::process::id().into(), 0)
    );
    assert_eq!(
        (results[2].outcome, results[2].ret),
        (Outcome::NotStarted as u16, -i64::from(libc::ESRCH)),
        "no call of a closed session begins"
    );
}

fn an_inline_call_may_close_a_copy_of_its_socket() {
    let mut socket = RawSocket::open();
    let array = ResultsArray::new(2);
    let close = calls::close(socket.inheritable_copy());
    let answer = socket.submit_into(inline([close, calls::getpid()]), array.address());
    assert_eq!(answer.errno, 0, "{answer:?}");
    let values: Vec<_> = array.results().iter().map(|it| it.ret).collect();
    assert_eq!(values, [0, std::process::id().into()]);
}

/// What a call closes is closed before the next one begins, as between plain calls: otherwise the
/// read would wait for ever.
fn a_file_that_an_inline_call_closes_is_closed_at_once() {
    let session = Session::open().expect("a session");
    let other = tempfile::tempfile().expect("a file");
    let byte = Memory::zeroed(1);
    let (first, second) = (Pipe::new(), Pipe::new());
    let dup3 = call(
        libc::SYS_dup3,
        &[
            other.as_fd().into(),
            (&first.writer).into(),
            libc::O_CLOEXEC.into(),
        ],
    );
    let writer = second.writer.into_raw_fd();
    let batch = [
        dup3,
        calls::read(&first.reader, byte),
        calls::close(writer),
        calls::read(&second.reader, byte),
    ];
    let values = session::inline_values(&session, batch);
    assert_eq!(values, [i64::from(first.writer.as_raw_fd()), 0, 0, 0]);
}

fn threads_share_a_session_for_inline_calls() {
    let session = Session::open().expect("a session");
    let rounds = scaled(200, 5000);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let tid = i64::from(gettid().as_raw());
                for round in 0..rounds {
                    let batch = vec![call(libc::SYS_gettid, &[]); 1 + round % 17];
                    let values = session::inline_values(&session, batch);
                    assert!(
                        values.iter().all(|value| *value == tid),
                        "{tid}: {values:?}"
                    );
                }
            });
        }
        // A blocked one holds up nobody.
        let pipe = Pipe::new();
        let blocked = scope.spawn({
            let (session, read) = (&session, pipe.read_call());
            move || session::inline_values(session, [read])
        });
        for _ in 0..rounds {
            session::inline_values(&session, [calls::getpid()]);
        }
        pipe.fill(b"x");
        assert_eq!(blocked.join().expect("no panic"), [1]);
    });
    session::assert_all_accounted_for(&session);
}

fn a_thread_with_its_own_files_may_submit_inline_calls() {
    let session = Session::open().expect("a session");
    session::inline_values(&session, [calls::getpid()]);
    let path = Memory::string("/proc/self/status");
    let open = call(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), 0.into()],
    );
    thread::scope(|scope| {
        let values = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FILES).expect("files of its own");
            let error = session
                .submit(calls::getpid().into())
                .expect_err("workers have the session's files");
            let Error::Rejected { errno, message, .. } = &error.error else {
                panic!("{error:?}")
            };
            assert_eq!(errno.raw(), libc::EOPNOTSUPP);
            assert!(
                message.as_ref().is_some_and(|it| it.contains("INLINE")),
                "{error:?}"
            );
            let values = session::inline_values(&session, [open, calls::getpid()]);
            // SAFETY: the descriptor is this thread's, and nothing refers to it.
            assert_ne!(unsafe { libc::fcntl(values[0] as i32, libc::F_GETFD) }, -1);
            values
        });
        let values = values.join().expect("no panic");
        assert!(values[0] > 0, "{values:?}");
        assert_eq!(values[1], std::process::id().into());
        // SAFETY: only asks.
        let here = unsafe { libc::fcntl(values[0] as i32, libc::F_GETFD) };
        assert_eq!(here, -1, "the file was opened for the thread alone");
    });
    session::assert_all_accounted_for(&session);
}

fn several_messages_of_one_system_call_are_served_in_order() {
    const MESSAGES: usize = 3;
    const CALLS: usize = 5;

    let socket = RawSocket::open();
    let file = tempfile::tempfile().expect("a file");
    let step = call(
        libc::SYS_lseek,
        &[file.as_fd().into(), 1.into(), libc::SEEK_CUR.into()],
    );
    let arrays = [(); MESSAGES].map(|()| ResultsArray::new(CALLS));
    let messages = arrays.map(|array| message(&socket, inline(vec![step.clone(); CALLS]), array));
    let mut parts = messages.map(|message| libc::iovec {
        iov_base: message.address() as *mut _,
        iov_len: message.len(),
    });
    let mut headers: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: zeros are a header without anything.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    let count = headers.len() as u32;
    // SAFETY: the headers and what they refer to outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    assert_eq!(sent, MESSAGES as i32);
    let values: Vec<_> = arrays
        .iter()
        .flat_map(|array| array.results())
        .map(|result| result.ret)
        .collect();
    assert_eq!(values, (1..=(MESSAGES * CALLS) as i64).collect::<Vec<_>>());
}

/// The thread is in the middle of the ring's own call, which has no end where one of them is `exit`.
/// Calls for workers may come.
fn inline_calls_do_not_come_through_a_ring() {
    let mut ring = IoUring::new(4).expect("a ring");
    let mut socket = RawSocket::open();
    let fd = types::Fd(socket.as_raw_fd());
    let array = ResultsArray::new(2);
    let calls = inline([calls::getpid(), call(libc::SYS_gettid, &[])]);
    let bytes = message(&socket, calls.clone(), array);
    let mut enter = |bytes: Memory, flags: squeue::Flags| {
        let mut part = libc::iovec {
            iov_base: bytes.address() as *mut _,
            iov_len: bytes.len(),
        };
        // SAFETY: zeros are a header without anything.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        let entry = opcode::SendMsg::new(fd, &header).build().flags(flags);
        // SAFETY: header, part and message outlive the operation, which is waited for.
        unsafe { ring.submission().push(&entry) }.expect("the ring has room");
        ring.submit_and_wait(1).expect("the ring works");
        let sent = ring.completion().next().expect("it is over").result();
        assert_eq!(sent, bytes.len() as i32);
    };
    let mut rejected = |errno, word| {
        let (events, _) = socket.drain();
        let [Event::Answer(answer)] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(answer.is_rejection(errno, word), "{answer:?}");
        assert_eq!(array.results(), []);
    };
    enter(bytes, squeue::Flags::empty());
    rejected(libc::EOPNOTSUPP, "io_uring");
    // A thread of the ring is no sender at all: the calls would be made as that thread's own.
    enter(bytes, squeue::Flags::ASYNC);
    rejected(libc::EPERM, "worker");

    let calls = [nlcall_abi::Call::from(calls::getpid())];
    let mut work = Message::submit(socket.family(), &calls);
    work.flags = REQUEST;
    enter(Memory::holding(&work.bytes()), squeue::Flags::empty());
    assert_eq!(socket.completions(1)[0].ret, std::process::id().into());
}

/// More sockets than the kernel remembers at a time, some of them closed and opened again, so that
/// their memory is used anew.
fn each_socket_keeps_its_own_session() {
    const SOCKETS: usize = 150;
    let open = || (Session::open().expect("a session"), 0_u64);
    let mut sessions: Vec<_> = (0..SOCKETS).map(|_| open()).collect();
    let pid = i64::from(std::process::id());
    for round in 0..6 {
        for (at, (session, sent)) in sessions.iter_mut().enumerate() {
            // Not all of them equally often.
            for calls in 1..=1 + at % 3 {
                let values = session::inline_values(session, vec![calls::getpid(); calls]);
                assert_eq!(values, vec![pid; calls]);
                *sent += calls as u64;
            }
            let info = session::info(session);
            assert_eq!((info.accepted, info.delivered), (*sent, *sent), "{at}");
        }
        for at in (round..SOCKETS).step_by(7) {
            sessions[at] = open();
        }
    }
}
