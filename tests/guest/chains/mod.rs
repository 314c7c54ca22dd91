// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that depend on each other: chains, drains, and results that are passed on.

mod cancels;
mod drains;
mod links;
mod values;

use nlcall::raw::{Batch, Call, Chain, Completion, Outcome, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    session,
};

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[links::TESTS, drains::TESTS, values::TESTS, cancels::TESTS];

/// A batch of one chain, whose calls are numbered from `first`.
fn chain(first: u64, calls: impl IntoIterator<Item = Call>) -> Batch {
    let mut chain = Chain::new();
    for (user_data, call) in (first..).zip(calls) {
        chain.push(call.user_data(user_data));
    }
    let mut batch = Batch::new();
    batch.push_chain(&chain);
    batch
}

/// Executes a chain and returns its completions, in the order of the calls.
fn run(session: &Session, calls: impl IntoIterator<Item = Call>) -> Vec<Completion> {
    let batch = chain(0, calls);
    let count = batch.len();
    session.submit(batch).expect("the chain is accepted");
    session::collect(session, count).into_values().collect()
}

/// How each call ended, and with what value.
fn endings(completions: &[Completion]) -> Vec<(Outcome, i64)> {
    completions.iter().map(|it| (it.outcome, it.ret)).collect()
}

const fn ran(ret: i64) -> (Outcome, i64) {
    (Outcome::Ran, ret)
}

const CANCELED: (Outcome, i64) = (Outcome::Canceled, -(libc::ECANCELED as i64));

/// A call that fails: a descriptor that is none.
fn failing() -> Call {
    call(libc::SYS_close, &[(-1).into()])
}

const FAILED: (Outcome, i64) = ran(-(libc::EBADF as i64));

/// Writes these bytes into a pipe.
fn write(pipe: &Pipe, bytes: &[u8]) -> Call {
    calls::write(&pipe.writer, Memory::holding(bytes))
}
