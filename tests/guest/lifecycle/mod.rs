// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cells of docs/lifecycle.md: every state of a call against every event.

mod cancel;
mod close;
mod delivery;
mod end;
mod leaks;
mod limits;
mod rejection;
mod signals;
mod unload;

use nlcall::raw::{Call, Outcome, Session};
use nlcall_abi::CallResult;
use nlcall_tests::{patience, pipe::Pipe, session, socket::RawSocket};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    cancel::TESTS,
    close::TESTS,
    delivery::TESTS,
    end::TESTS,
    leaks::TESTS,
    limits::TESTS,
    rejection::TESTS,
    signals::TESTS,
    unload::TESTS,
];

/// Calls that queue when all workers are blocked.
const QUEUED: usize = 3;

/// Most workers of a session.
fn worker_cap() -> usize {
    Session::open().expect("a session").features().max_workers as usize
}

/// Reads of this empty pipe that block every worker up to the cap, and some that have to wait.
fn crowd(pipe: &Pipe) -> Vec<Call> {
    let calls = worker_cap() + QUEUED;
    (0..)
        .map(|user_data| pipe.read_call().user_data(user_data))
        .take(calls)
        .collect()
}

/// Submits a crowd and waits until it stands. Nothing is received meanwhile.
fn submit_crowd(socket: &mut RawSocket, pipe: &Pipe) {
    socket
        .submit_unanswered(crowd(pipe))
        .expect("netlink takes the message");
    let cap = worker_cap() as u32;
    patience::until("all workers are blocked and calls wait", || {
        session::of_port(socket.port_id()).is_some_and(|session| {
            session.blocked == cap && session.queued == QUEUED as u32 && session.saturated
        })
    });
}

/// Checks the completions of a crowd whose process has come to its end.
fn assert_crowd_ended(mut completions: Vec<CallResult>) {
    completions.sort_by_key(|completion| completion.user_data);
    let cap = worker_cap();
    assert_eq!(completions.len(), cap + QUEUED);
    for (user_data, completion) in completions.iter().enumerate() {
        assert_eq!(
            completion.user_data, user_data as u64,
            "exactly one completion per call"
        );
    }
    let count = |outcome: Outcome, errno: i32| {
        let ret = -i64::from(errno);
        let selected = completions.iter().filter(|it| it.outcome == outcome as u16);
        selected.filter(|it| it.ret == ret).count()
    };
    assert_eq!(
        count(Outcome::Interrupted, libc::EINTR),
        cap,
        "running calls: {completions:?}"
    );
    assert_eq!(
        count(Outcome::NotStarted, libc::ESRCH),
        QUEUED,
        "queued calls: {completions:?}"
    );
}
