// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls in other processes, and memory that travels with calls.

mod area;
mod ends;
mod rights;
mod within;

use std::{fs, os::fd::OwnedFd};

use nix::unistd::Pid;
use nlcall::raw::{Arg, Batch, Call, Completion, Data, Outcome, Session, Target};
use nlcall_tests::{
    patience,
    process::{Channel, Child},
    session, threads,
};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[area::TESTS, ends::TESTS, rights::TESTS, within::TESTS];

/// A call with arguments of any kind.
fn call(nr: libc::c_long, args: &[Arg]) -> Call {
    // SAFETY: pointers among the arguments lie in the data of the message, or are none of this
    // process's memory; what the calls do to a process is what a test is about.
    unsafe { Call::with_args(nr as u32, args) }
}

/// A child that waits for its end.
pub fn waiting_child() -> Child {
    let child = Child::fork(|channel| {
        channel.put(0);
        channel.try_get();
    });
    child.channel().get();
    child
}

/// A child that answers each number with the next one.
fn answering_child() -> Child {
    let child = Child::fork(|channel| {
        channel.put(0);
        while let Some(number) = channel.try_get() {
            channel.put(number + 1);
        }
    });
    child.channel().get();
    child
}

pub fn target(pid: Pid) -> Target {
    Target::open(pid.as_raw() as u32).expect("the process is there")
}

/// Makes calls in a process, numbered from 0, with memory; returns their completions in that order.
fn make(session: &Session, target: &Target, data: Data, calls: &[Call]) -> Vec<Completion> {
    let mut batch: Batch = (0..)
        .zip(calls)
        .map(|(name, call)| call.clone().user_data(name))
        .collect();
    batch.data(data).target(target);
    session.submit(batch).expect("the calls are accepted");
    session::collect(session, calls.len())
        .into_values()
        .collect()
}

/// Makes a call in a process that must run to its end; returns its value.
fn value(session: &Session, target: &Target, nr: libc::c_long, args: &[Arg]) -> u64 {
    let [completion] = &make(session, target, Data::new(), &[call(nr, args)])[..] else {
        panic!("one completion");
    };
    assert_eq!(completion.outcome, Outcome::Ran, "{completion:?}");
    completion
        .result()
        .unwrap_or_else(|errno| panic!("the call failed: {errno}"))
}

/// How many mappings a process has.
fn mappings(pid: Pid) -> usize {
    fs::read_to_string(format!("/proc/{pid}/maps"))
        .expect("its memory can be looked at")
        .lines()
        .count()
}

/// Waits until a process has no worker any more.
fn assert_left(pid: Pid) {
    patience::until("the workers have left the process", || {
        threads::workers(pid).is_empty()
    });
}

/// A pidfd, as a plain descriptor.
pub fn pidfd(pid: Pid) -> OwnedFd {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).expect("a number");
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd_open")
}

/// Lets a child say when it is through with what it does.
fn expect(channel: &Channel, word: u64) {
    assert_eq!(channel.get(), word, "what the child says");
}
