// SPDX-License-Identifier: MIT OR Apache-2.0

//! After a rejection for want of room, `poll(2)` says when there is some.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    thread,
};

use nlcall_abi::{config as attr, submit};
use nlcall_tests::{
    calls, config::Changed, message::Message, patience, pipe::Pipe, process::Child, session,
    socket::RawSocket,
};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    net::sockopt,
};

use crate::{
    harness::{scaled, tests, Test},
    targets::{pidfd, waiting_child},
};

pub const TESTS: &[Test] = tests![
    room_is_waited_for_after_a_rejection,
    a_sleeping_poll_is_woken,
    a_saturated_session_is_waited_for,
    what_never_fits_is_not_waited_for,
    other_rejections_leave_the_socket_writable,
    no_send_buffer_is_large_enough,
    a_higher_limit_is_room,
    the_end_of_the_process_ends_the_waiting,
    a_session_is_closed_while_somebody_waits,
    sessions_of_a_socket_are_waited_for_together,
    room_comes_and_goes,
];

/// What `poll` says at once.
fn is_writable(socket: &RawSocket) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).expect("polling a socket");
    fds[0].revents().contains(PollFlags::OUT)
}

/// Waits in `poll`, however long it takes.
fn wait_until_writable(socket: &RawSocket) {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    assert_eq!(poll(&mut fds, None), Ok(1));
    assert!(fds[0].revents().contains(PollFlags::OUT));
}

fn assert_turned_away(socket: &mut RawSocket, calls: usize, limit: &str) {
    let answer = socket.submit((0..calls).map(|_| calls::getpid()));
    assert!(answer.is_rejection(libc::EAGAIN, limit), "{answer:?}");
}

/// A session with as many blocked reads in flight as it may have calls.
fn full(limit: u32) -> (Changed, RawSocket, Pipe) {
    let changed = Changed::numbers([(attr::MAX_IN_FLIGHT, limit)]);
    let (mut socket, pipe) = (RawSocket::open(), Pipe::new());
    socket.accept((0..limit).map(|_| pipe.read_call()));
    patience::until("the reads block", || {
        session::of_port(socket.port_id()).is_some_and(|it| it.blocked == limit)
    });
    (changed, socket, pipe)
}

/// Ends so many of the blocked reads.
fn end_reads(socket: &mut RawSocket, pipe: &Pipe, count: usize) {
    pipe.fill(&vec![0; count]);
    assert_eq!(socket.completions(count).len(), count);
}

fn room_is_waited_for_after_a_rejection() {
    let (_limit, mut socket, pipe) = full(10);
    assert!(is_writable(&socket), "nobody was turned away");
    assert_turned_away(&mut socket, 3, "max_in_flight");
    assert!(!is_writable(&socket));
    // There has to be room for all three.
    end_reads(&mut socket, &pipe, 2);
    assert!(!is_writable(&socket));
    end_reads(&mut socket, &pipe, 1);
    assert!(is_writable(&socket));
    // Somebody is turned away who needs less.
    assert_turned_away(&mut socket, 9, "max_in_flight");
    assert_turned_away(&mut socket, 4, "max_in_flight");
    assert!(!is_writable(&socket));
    end_reads(&mut socket, &pipe, 1);
    assert!(is_writable(&socket));
    socket.accept((0..4).map(|_| calls::getpid()));
    socket.completions(4);
    end_reads(&mut socket, &pipe, 6);
    assert!(is_writable(&socket));
}

fn a_sleeping_poll_is_woken() {
    for _ in 0..scaled(20, 500) {
        let (_limit, mut socket, pipe) = full(3);
        assert_turned_away(&mut socket, 1, "max_in_flight");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_until_writable(&socket));
            pipe.fill(b"x");
            waiting.join().expect("the thread is well");
        });
        end_reads(&mut socket, &pipe, 2);
    }
}

fn a_saturated_session_is_waited_for() {
    let _limit = Changed::numbers([(attr::MAX_WORKERS, 2)]);
    let (mut socket, pipe) = (RawSocket::open(), Pipe::new());
    socket.accept((0..2).map(|_| pipe.read_call()));
    patience::until("the reads block", || {
        session::of_port(socket.port_id()).is_some_and(|it| it.blocked == 2)
    });
    assert!(is_writable(&socket));
    assert_turned_away(&mut socket, 1, "max_workers");
    assert!(!is_writable(&socket));
    pipe.fill(b"x");
    wait_until_writable(&socket);
    socket.accept([calls::getpid()]);
    assert_eq!(socket.completions(2).len(), 2);
    end_reads(&mut socket, &pipe, 1);
}

fn what_never_fits_is_not_waited_for() {
    let (_limit, mut socket, pipe) = full(10);
    assert_turned_away(&mut socket, 11, "max_in_flight");
    assert!(is_writable(&socket));
    end_reads(&mut socket, &pipe, 10);
}

fn other_rejections_leave_the_socket_writable() {
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT_USER, 1)]);
    let (mut socket, mut other) = (RawSocket::open(), RawSocket::open());
    let pipe = Pipe::new();
    other.accept([pipe.read_call()]);
    // Other sessions are in the way: no completion of this one makes room.
    let answer = socket.submit([calls::getpid()]);
    assert!(
        answer.is_rejection(libc::EBUSY, "max_in_flight_user"),
        "{answer:?}"
    );
    assert!(is_writable(&socket));
    let answer = socket.submit([calls::call(libc::SYS_rt_sigreturn, &[])]);
    assert_eq!(answer.errno, libc::EOPNOTSUPP, "{answer:?}");
    assert!(is_writable(&socket));
    end_reads(&mut other, &pipe, 1);
}

fn no_send_buffer_is_large_enough() {
    let (_limit, mut socket, pipe) = full(5);
    assert_turned_away(&mut socket, 1, "max_in_flight");
    for size in [1, 1 << 20, usize::from(u16::MAX) << 14] {
        sockopt::set_socket_send_buffer_size_force(&socket, size).expect("SO_SNDBUFFORCE");
        assert!(!is_writable(&socket), "a buffer of {size} bytes");
    }
    // Messages are sent and answered all the same.
    assert_turned_away(&mut socket, 1, "max_in_flight");
    end_reads(&mut socket, &pipe, 1);
    assert!(is_writable(&socket));
    end_reads(&mut socket, &pipe, 4);
}

fn a_higher_limit_is_room() {
    let (limit, mut socket, pipe) = full(5);
    assert_turned_away(&mut socket, 1, "max_in_flight");
    assert!(!is_writable(&socket));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_until_writable(&socket));
        drop(limit);
        waiting.join().expect("the thread is well");
    });
    end_reads(&mut socket, &pipe, 5);
}

fn the_end_of_the_process_ends_the_waiting() {
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, 4)]);
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let mut child = Child::fork(|channel| {
        socket.accept((0..4).map(|_| pipe.read_call()));
        assert_turned_away(&mut socket, 1, "max_in_flight");
        assert!(!is_writable(&socket));
        channel.put(0);
        channel.get();
    });
    child.channel().get();
    assert!(!is_writable(&socket));
    child.kill();
    // Nobody reads meanwhile. Whoever waited learns that there is nothing to wait for.
    wait_until_writable(&socket);
    assert_eq!(socket.completions(4).len(), 4);
}

fn a_session_is_closed_while_somebody_waits() {
    for round in 0..scaled(20, 500) {
        let (_limit, mut socket, pipe) = full(3);
        assert_turned_away(&mut socket, 1, "max_in_flight");
        let port = socket.port_id();
        if round % 2 == 0 {
            // While the completion that makes room is on its way.
            pipe.fill(b"x");
        }
        drop(socket);
        session::assert_gone(port);
    }
}

/// Somebody waits for room in this process, and for room in two others.
fn sessions_of_a_socket_are_waited_for_together() {
    const PLACES: usize = 3;

    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, 2)]);
    let (mut socket, pipe) = (RawSocket::open(), Pipe::new());
    let reads = vec![nlcall_abi::Call::from(pipe.read_call()); 2];
    // They have the pipe, and the memory that is read to.
    let others = [waiting_child(), waiting_child()];
    let [one, two] = others.each_ref().map(|it| Some(pidfd(it.pid())));
    let everywhere: [_; PLACES] = [None, one, two];
    let submit = |socket: &mut RawSocket, place: &Option<OwnedFd>, calls: &[_]| {
        let mut message = Message::submit(socket.family(), calls);
        if let Some(pidfd) = place {
            message.attribute(submit::TARGET_PIDFD, &pidfd.as_raw_fd().to_ne_bytes());
        }
        socket.request(message)
    };
    for place in &everywhere {
        assert_eq!(submit(&mut socket, place, &reads).errno, 0);
    }
    for place in &everywhere {
        let answer = submit(&mut socket, place, &reads);
        assert!(
            answer.is_rejection(libc::EAGAIN, "max_in_flight"),
            "{answer:?}"
        );
    }
    assert!(!is_writable(&socket));
    end_reads(&mut socket, &pipe, 2 * PLACES);
    assert!(is_writable(&socket));
    for place in &everywhere {
        assert_eq!(submit(&mut socket, place, &reads).errno, 0);
    }
    end_reads(&mut socket, &pipe, 2 * PLACES);
}

/// Several threads are turned away and wait, and none waits in vain.
fn room_comes_and_goes() {
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, 5), (attr::MAX_WORKERS, 3)]);
    let rounds = scaled(100, 3000);
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let mut rejected = 0;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..3 * rounds {
                pipe.fill(b"x");
                thread::yield_now();
            }
        });
        let mut in_flight = 0;
        for round in 0..rounds {
            loop {
                let answer = socket.submit((0..3).map(|_| pipe.read_call()));
                if answer.errno == 0 {
                    in_flight += 3;
                    break;
                }
                assert_eq!(answer.errno, libc::EAGAIN, "round {round}: {answer:?}");
                rejected += 1;
                wait_until_writable(&socket);
                in_flight -= socket.completions_at_hand().len();
            }
        }
        assert_eq!(socket.completions(in_flight).len(), in_flight);
        writer.join().expect("the thread is well");
    });
    assert!(rejected > 0, "nobody was turned away");
}
