// SPDX-License-Identifier: MIT OR Apache-2.0

//! The socket is closed.

use std::{
    io,
    os::fd::{AsRawFd, IntoRawFd, OwnedFd},
    sync::Barrier,
    thread,
};

use nix::unistd::Pid;
use nlcall::raw::CallFlags;
use nlcall_tests::{
    calls, memory::Memory, message::Message, patience, pipe::Pipe, session, socket::RawSocket,
    threads,
};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    close_ends_what_is_in_flight,
    close_races_with_submit,
    a_call_may_close_its_own_socket,
];

fn close_ends_what_is_in_flight() {
    let mut socket = RawSocket::open();
    let port_id = socket.port_id();
    let (pipe, untouched) = (Pipe::new(), Pipe::new());
    // Delivered and not read; then running and queued.
    socket
        .submit_unanswered((0..8).map(|_| calls::getpid()))
        .expect("it is sent");
    super::submit_crowd(&mut socket, &pipe);
    let never = (0..8).map(|_| calls::write(&untouched.writer, Memory::holding(b"never")));
    let never: Vec<_> = never.collect();
    // The session is saturated: these are rejected, and must not run either.
    socket.submit_unanswered(never).expect("it is sent");
    drop(socket);
    session::assert_gone(port_id);
    assert_eq!(untouched.take(), b"", "a call that was rejected ran");
    // No reader is left that could take it away.
    pipe.fill(b"still here");
    assert_eq!(pipe.take(), b"still here");

    // Completions that wait for room.
    let mut socket = RawSocket::with_smallest_receive_buffer();
    let port_id = socket.port_id();
    socket
        .submit_unanswered((0..2000).map(|_| calls::getpid()))
        .expect("it is sent");
    patience::until("completions wait for room", || {
        session::of_port(port_id).is_some_and(|session| session.undelivered > 0)
    });
    drop(socket);
    session::assert_gone(port_id);

    // Queued calls never start.
    let mut socket = RawSocket::open();
    let port_id = socket.port_id();
    let (pipe, untouched) = (Pipe::new(), Pipe::new());
    let blocked = (0..super::worker_cap()).map(|_| pipe.read_call());
    // The first drains: two workers that run at the same time may otherwise begin one of these
    // before one of those.
    let waiting = (0..8).map(|at| {
        let write = calls::write(&untouched.writer, Memory::holding(b"never"));
        let first = at == 0;
        if first {
            write.flags(CallFlags::DRAIN)
        } else {
            write
        }
    });
    socket
        .submit_unanswered(blocked.chain(waiting))
        .expect("it is sent");
    patience::until("the writes wait", || {
        session::of_port(port_id).is_some_and(|session| session.saturated && session.queued == 8)
    });
    drop(socket);
    session::assert_gone(port_id);
    assert_eq!(untouched.take(), b"", "a queued call ran after the close");
}

fn close_races_with_submit() {
    let pipe = Pipe::new();
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..scaled(100, 5000) {
        let socket = RawSocket::open();
        let calls = [calls::getpid(), pipe.read_call(), calls::getpid()].map(|call| call.into());
        let message = Message::submit(socket.family(), &calls).bytes();
        let fd = OwnedFd::from(socket).into_raw_fd();
        let start = Barrier::new(2);
        let (send_delay, close_delay) = (random.u32(0..20_000), random.u32(0..20_000));
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                start.wait();
                spin(send_delay);
                // SAFETY: the message outlives the call; the descriptor may be closed by then,
                // and no other is opened meanwhile.
                let sent = unsafe { libc::send(fd, message.as_ptr().cast(), message.len(), 0) };
                if sent < 0 {
                    Err(io::Error::last_os_error())
                } else {
                    Ok(())
                }
            });
            start.wait();
            spin(close_delay);
            // SAFETY: the descriptor is ours.
            assert_eq!(unsafe { libc::close(fd) }, 0);
            sender.join().expect("the sender is well")
        });
        if let Err(error) = sent {
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EBADF),
                "closed before it was sent"
            );
        }
    }
    patience::until("all workers are gone", || {
        threads::workers(Pid::this()).is_empty()
    });
    patience::until("all sessions are gone", || session::all().is_empty());
    pipe.fill(b"still here");
    assert_eq!(pipe.take(), b"still here");
}

fn spin(rounds: u32) {
    (0..rounds).for_each(|_| std::hint::spin_loop());
}

fn a_call_may_close_its_own_socket() {
    for blocked in [0, 3] {
        let mut socket = RawSocket::open();
        let port_id = socket.port_id();
        let pipe = Pipe::new();
        let reads = (0..blocked).map(|_| pipe.read_call());
        let close = calls::close(socket.as_raw_fd());
        let calls: Vec<_> = reads.chain([close]).collect();
        socket.submit_unanswered(calls).expect("it is sent");
        // The descriptor is gone, and must not be closed twice.
        let _ = OwnedFd::from(socket).into_raw_fd();
        session::assert_gone(port_id);
        pipe.fill(b"still here");
        assert_eq!(pipe.take(), b"still here");
    }
}
