// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process ends, or executes another program.

use std::{thread, time::Duration};

use nix::{
    sys::{signal::Signal, wait::WaitStatus},
    unistd::Pid,
};
use nlcall::raw::{Outcome, Session, SessionState};
use nlcall_tests::{
    calls, patience,
    pipe::Pipe,
    process::{end_this_thread, exit_now, Child},
    session,
    socket::RawSocket,
    threads,
};

use crate::{
    harness::{scaled, tests, Test},
    scenes,
};

pub const TESTS: &[Test] = tests![
    execve_ends_the_session,
    execve_of_another_thread_ends_the_session,
    execve_ends_a_session_without_workers,
    last_thread_exit_ends_the_process,
    the_end_of_the_first_thread_ends_nothing,
    calls_of_a_killed_process_end,
    completions_outlive_their_process,
];

fn execve_ends_the_session() {
    // Calls that are delivered, running and queued at the time of the execve.
    let mut owner = Child::fork(|_| {
        let mut socket = RawSocket::open();
        let pipe = Pipe::new();
        super::submit_crowd(&mut socket, &pipe);
        let calls = super::worker_cap() + super::QUEUED;
        scenes::after_execve(socket.inheritable_copy(), Some(calls));
    });
    owner.succeed();

    // Completions that wait for room.
    let mut owner = Child::fork(|_| {
        let mut socket = RawSocket::with_smallest_receive_buffer();
        let calls = (0..1000).map(|user_data| calls::getpid().user_data(user_data));
        socket.submit_unanswered(calls).expect("it is sent");
        patience::until("all calls are over", || {
            session::of_port(socket.port_id())
                .is_some_and(|session| session.accepted == 1000 && session.running == 0)
        });
        scenes::after_execve(socket.inheritable_copy(), Some(1000));
    });
    owner.succeed();
}

/// Whatever the sender is doing at that moment.
fn execve_of_another_thread_ends_the_session() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..scaled(10, 500) {
        let delay = random.u64(0..3000);
        let mut owner = Child::fork(|_| {
            let mut socket = RawSocket::open();
            let copy = socket.inheritable_copy();
            let port_id = socket.port_id();
            let pipe = Pipe::new();
            thread::spawn(move || {
                patience::until("there is a session", || session::of_port(port_id).is_some());
                thread::sleep(Duration::from_micros(delay));
                scenes::after_execve(copy, None);
            });
            for first in (0..).step_by(10) {
                let reads = (0..2).map(|_| pipe.read_call());
                let calls = reads.chain((0..8).map(|_| calls::getpid()));
                let calls = (first..)
                    .zip(calls)
                    .map(|(number, call)| call.user_data(number));
                // Where a limit is reached it is rejected, until the other thread comes.
                socket.submit_unanswered(calls).expect("it is sent");
            }
        });
        owner.succeed();
    }
}

/// No worker is there whose death would end it.
fn execve_ends_a_session_without_workers() {
    let mut owner = Child::fork(|_| {
        let mut socket = RawSocket::open();
        socket.accept(calls::inline([calls::getpid()]));
        let session = session::of_port(socket.port_id()).expect("the session is open");
        assert_eq!((session.accepted, session.workers), (1, 0), "{session:?}");
        scenes::after_execve(socket.inheritable_copy(), Some(1));
    });
    owner.succeed();
}

fn last_thread_exit_ends_the_process() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let mut owner = Child::fork(|_| {
        super::submit_crowd(&mut socket, &pipe);
        end_this_thread(5);
    });
    assert_eq!(owner.wait(), WaitStatus::Exited(owner.pid(), 5));
    super::assert_crowd_ended(socket.completions(super::worker_cap() + super::QUEUED));
    socket.assert_no_more_completions();
    let session = session::of_port(socket.port_id()).expect("the socket is open");
    assert_eq!(session.state, SessionState::Ended);
    assert_eq!(
        (session.pid, session.in_flight, session.workers),
        (0, 0, 0),
        "{session:?}"
    );
}

fn the_end_of_the_first_thread_ends_nothing() {
    let [plain, with_calls] = [false, true].map(|with_calls| {
        let mut owner = Child::fork(|_| {
            thread::spawn(move || {
                let pid = Pid::this();
                patience::until("the first thread is gone", || {
                    threads::own(pid)
                        .iter()
                        .any(|it| it.tid == pid && it.state == 'Z')
                });
                if with_calls {
                    submit_in_the_last_thread();
                }
                end_this_thread(5);
            });
            end_this_thread(3);
        });
        match owner.wait() {
            WaitStatus::Exited(_, status) => status,
            status => panic!("the threads ended by themselves, but: {status:?}"),
        }
    });
    assert_eq!(
        with_calls, plain,
        "the status that the process leaves behind"
    );
}

fn submit_in_the_last_thread() {
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    let pipe = Pipe::new();
    session::submit(&session, 0, [pipe.read_call(), calls::getpid()]);
    let completion = session.wait().expect("a fast call completes");
    assert_eq!(completion.ret, pid);
    pipe.fill(b"x");
    assert_eq!(session.wait().expect("and so does the other").ret, 1);
    session::assert_all_accounted_for(&session);
    // The process ends with its last thread, blocked calls or not.
    session::submit(&session, 0, [pipe.read_call()]);
    session::info_until(&session, "the read blocks", |info| info.blocked == 1);
    // The drop would cancel the read.
    std::mem::forget((session, pipe));
}

fn calls_of_a_killed_process_end() {
    for stopped_first in [false, true] {
        let mut socket = RawSocket::open();
        let pipe = Pipe::new();
        let mut owner = Child::fork(|channel| {
            super::submit_crowd(&mut socket, &pipe);
            channel.put(0);
            channel.get();
        });
        owner.channel().get();
        if stopped_first {
            owner.stop();
        }
        owner.kill();
        super::assert_crowd_ended(socket.completions(super::worker_cap() + super::QUEUED));
        socket.assert_no_more_completions();
        // Nobody is left that could take it away.
        pipe.fill(b"still here");
        assert_eq!(pipe.take(), b"still here");
    }
}

fn completions_outlive_their_process() {
    const CALLS: u64 = 500;
    for killed in [false, true] {
        let mut socket = RawSocket::with_smallest_receive_buffer();
        let mut owner = Child::fork(|channel| {
            let calls = (0..CALLS).map(|user_data| calls::getpid().user_data(user_data));
            socket.submit_unanswered(calls).expect("it is sent");
            patience::until("all calls are over", || {
                session::of_port(socket.port_id()).is_some_and(|session| {
                    session.accepted == CALLS && session.undelivered == session.in_flight
                })
            });
            channel.put(0);
            if killed {
                channel.get();
            }
            exit_now(0);
        });
        owner.channel().get();
        let session = session::of_port(socket.port_id()).expect("the socket is open");
        assert!(
            session.undelivered > 0,
            "the buffer is too large for this test: {session:?}"
        );
        let pid = i64::from(owner.pid().as_raw());
        if killed {
            owner.signal(Signal::SIGKILL);
            assert_eq!(
                owner.wait(),
                WaitStatus::Signaled(owner.pid(), Signal::SIGKILL, false)
            );
        } else {
            owner.succeed();
        }
        let mut completions = socket.completions(CALLS as usize);
        socket.assert_no_more_completions();
        completions.sort_by_key(|completion| completion.user_data);
        for (user_data, completion) in completions.iter().enumerate() {
            assert_eq!(completion.user_data, user_data as u64);
            assert_eq!(
                (completion.outcome, completion.ret),
                (Outcome::Ran as u16, pid)
            );
        }
    }
}
