// SPDX-License-Identifier: MIT OR Apache-2.0

//! What calls hold is given back, whatever became of them.

use std::fs;

use nix::{
    sched::{unshare, CloneFlags},
    unistd::{setresuid, Uid},
};
use nlcall_tests::{
    calls,
    group::Group,
    patience,
    pipe::Pipe,
    process::{exit_now, Child},
    session,
    socket::RawSocket,
};

use crate::{
    harness::{scaled, skip, tests, Test},
    scenes,
};

pub const TESTS: &[Test] = tests![
    files_of_an_ended_process_are_closed,
    credentials_of_ended_calls_are_given_back,
    memory_of_calls_is_charged_and_given_back,
];

/// How a process with calls in flight ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Exit,
    Execve,
    Kill,
}

const ENDS: [End; 3] = [End::Exit, End::Execve, End::Kill];

/// Calls that are over, blocked, and on their way.
fn submit_all_kinds(socket: &mut RawSocket, pipe: &Pipe) {
    let reads = (0..4).map(|_| pipe.read_call());
    let calls: Vec<_> = reads.chain((0..20).map(|_| calls::getpid())).collect();
    socket.submit_unanswered(calls).expect("it is sent");
    patience::until("the reads block", || {
        session::of_port(socket.port_id()).is_none_or(|session| session.blocked == 4)
    });
    socket
        .submit_unanswered((0..20).map(|_| calls::getpid()))
        .expect("it is sent");
}

/// Ends a process in one of these ways.
fn end(child: &mut Child, how: End) {
    match how {
        End::Exit | End::Execve => {
            child.channel().put(0);
            child.succeed();
        }
        End::Kill => child.kill(),
    }
}

/// What the child of [`end`] does when it is told to.
fn leave(how: End) {
    match how {
        End::Exit | End::Kill => exit_now(0),
        End::Execve => {
            scenes::leave();
        }
    }
}

fn files_of_an_ended_process_are_closed() {
    for how in ENDS {
        // The session outlives its process, since this process holds the socket.
        let mut socket = RawSocket::open();
        let (held, blocking) = (Pipe::new(), Pipe::new());
        let mut child = Child::fork(|channel| {
            submit_all_kinds(&mut socket, &blocking);
            channel.put(0);
            channel.get();
            leave(how);
        });
        child.channel().get();
        let Pipe { reader, writer } = held;
        drop(writer);
        end(&mut child, how);
        // The end of the file comes when nobody has the other end open any more.
        patience::until("the child's descriptors are closed", || {
            rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).expect("F_SETFL");
            rustix::io::read(&reader, &mut [0; 1]) == Ok(0)
        });
        assert_eq!(socket.completions(44).len(), 44, "{how:?}");
    }
}

/// Puts a value into a file of `/proc/sys`, and the old one back in the end.
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn set(path: &'static str, value: &str) -> Self {
        let before = fs::read_to_string(path).expect("a setting");
        fs::write(path, value).expect("a setting that root may change");
        Self { path, before }
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(self.path, &self.before).expect("a setting that root may change");
    }
}

/// A user namespace lives as long as some credentials refer to it, and a user may have so many.
fn credentials_of_ended_calls_are_given_back() {
    const MOST: usize = 8;

    let _limit = Setting::set("/proc/sys/user/max_user_namespaces", &MOST.to_string());
    for round in 0..scaled(3 * MOST, 50 * MOST) {
        let how = ENDS[round % ENDS.len()];
        let mut child = Child::fork(|channel| {
            let lesser = Uid::from_raw(1000);
            setresuid(lesser, lesser, lesser).expect("becoming another user");
            patience::until("there is room for one user namespace more", || {
                unshare(CloneFlags::CLONE_NEWUSER).is_ok()
            });
            let mut socket = RawSocket::open();
            let pipe = Pipe::new();
            submit_all_kinds(&mut socket, &pipe);
            channel.put(0);
            channel.get();
            leave(how);
        });
        child.channel().get();
        end(&mut child, how);
    }
}

fn memory_of_calls_is_charged_and_given_back() {
    const CALLS: usize = 50_000;
    /// A call takes up more than its arguments.
    const LEAST: usize = CALLS * 64;

    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no memory control groups: {error}")));
    let mut child = Child::fork(|_| {
        group.enter();
        let before = group.kernel_memory();
        for _ in 0..scaled(2, 20) {
            let mut socket = RawSocket::with_large_send_buffer();
            socket
                .submit_unanswered((0..CALLS).map(|_| calls::getpid()))
                .expect("it is sent");
            patience::until("completions wait for room", || {
                session::of_port(socket.port_id())
                    .is_some_and(|it| it.undelivered > 0 && it.undelivered == it.in_flight)
            });
            let during = group.kernel_memory();
            assert!(
                during > before + LEAST,
                "{before} bytes before, {during} with calls"
            );
            drop(socket);
            patience::until("the memory is given back", || {
                group.kernel_memory() < before + LEAST / 4
            });
        }
    });
    child.succeed();
}
