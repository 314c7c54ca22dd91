// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module is asked to go.

use nlcall_tests::{
    calls, module, patience,
    pipe::Pipe,
    process::Child,
    session,
    socket::{RawSocket, Received},
};
use rustix::io::Errno;

use crate::{
    harness::{scaled, tests, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = tests![
    unload_is_refused_while_a_session_is_open,
    the_module_goes_and_comes_back
];

fn assert_refused() {
    assert_eq!(module::unload(), Err(Errno::AGAIN), "the module is in use");
}

fn unload_is_refused_while_a_session_is_open() {
    let before = module::references();
    let free = || patience::until("the module is free", || module::references() == before);

    // Calls that run and calls that wait.
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    super::submit_crowd(&mut socket, &pipe);
    assert_refused();
    drop(socket);
    free();

    // Calls of a process that is stopped: they are interrupted, and will be issued again.
    let mut owner = Child::fork(|channel| {
        let mut socket = RawSocket::open();
        socket
            .submit_unanswered([pipe.read_call()])
            .expect("it is sent");
        patience::until("the read blocks", || {
            session::of_port(socket.port_id()).is_some_and(|session| session.blocked == 1)
        });
        channel.put(0);
        channel.get();
    });
    owner.channel().get();
    owner.stop();
    assert_refused();
    owner.kill();
    free();

    // Completions that wait for room; then one that was delivered and not read.
    let mut socket = RawSocket::with_smallest_receive_buffer();
    socket
        .submit_unanswered((0..1000).map(|_| calls::getpid()))
        .expect("it is sent");
    patience::until("completions wait for room", || {
        session::of_port(socket.port_id()).is_some_and(|session| session.undelivered > 0)
    });
    assert_refused();
    drop(socket);
    free();
    let mut socket = RawSocket::open();
    socket
        .submit_unanswered([calls::getpid()])
        .expect("it is sent");
    patience::until("the completion was delivered", || {
        session::of_port(socket.port_id()).is_some_and(|session| session.delivered == 1)
    });
    assert_refused();
    assert!(matches!(socket.receive(false), Received::Events(_)));
    // A session without calls is a session.
    assert_refused();
    drop(socket);
    free();

    // The owner is gone, the socket is not.
    let mut socket = RawSocket::open();
    let mut owner = Child::fork(|_| {
        socket
            .submit_unanswered([calls::getpid()])
            .expect("it is sent");
    });
    owner.succeed();
    assert_refused();
    drop(socket);
    free();
}

fn the_module_goes_and_comes_back() {
    let parameters = module::parameters();
    for _ in 0..scaled(1, 20) {
        let mut socket = RawSocket::open();
        let pipe = Pipe::new();
        let calls = (0..8)
            .map(|_| pipe.read_call())
            .chain((0..64).map(|_| calls::getpid()));
        socket.submit_unanswered(calls).expect("it is sent");
        drop(socket);
        drop(Reloaded::with(&parameters));
        let mut socket = RawSocket::open();
        socket.accept([calls::getpid()]);
        assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
    }
}
