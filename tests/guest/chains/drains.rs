// SPDX-License-Identifier: MIT OR Apache-2.0

//! DRAIN: "it will not be issued until all previously submitted SQEs complete; later ones will not
//! be issued until it completes" (io_uring_enter(2), `IOSQE_IO_DRAIN`).

use nlcall::raw::{Batch, Call, CallFlags, Session};
use nlcall_tests::{calls, pipe::Pipe, session};

use super::{endings, failing, ran, write, CANCELED, FAILED};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_draining_call_waits_for_all_before_it,
    calls_behind_a_draining_one_wait,
    a_draining_chain_runs_alone,
    a_draining_call_waits_for_earlier_messages,
    a_drain_ends_with_a_broken_chain,
    every_call_may_drain,
];

fn drain(call: Call) -> Call {
    call.flags(CallFlags::DRAIN)
}

fn number(calls: impl IntoIterator<Item = Call>) -> Batch {
    (0..)
        .zip(calls)
        .map(|(user_data, call)| call.user_data(user_data))
        .collect()
}

fn a_draining_call_waits_for_all_before_it() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    let batch = number([
        blocked.read_call(),
        blocked.read_call(),
        write(&order, b"a"),
        drain(write(&order, b"b")),
    ]);
    session.submit(batch).expect("the calls are accepted");
    assert_eq!(session.wait().expect("one is over").user_data, 2);
    for left in [2, 1] {
        session::info_until(&session, "the others block", |info| {
            info.blocked == left && info.queued == 1
        });
        assert_eq!(session.try_wait().expect("receiving works"), None);
        blocked.fill(b"x");
        let completion = session.wait().expect("a read is over");
        assert!(completion.user_data < 2, "{completion:?}");
    }
    assert_eq!(session.wait().expect("the drain is over").user_data, 3);
    assert_eq!(order.take(), b"ab");
    session::close(session);
}

fn calls_behind_a_draining_one_wait() {
    let session = Session::open().expect("a session");
    let blocked = Pipe::new();
    let mut batch: Vec<Call> = vec![drain(blocked.read_call())];
    batch.extend((0..200).map(|_| calls::getpid()));
    session
        .submit(number(batch))
        .expect("the calls are accepted");
    session::submit(&session, 300, [calls::getpid()]);
    session::info_until(&session, "the drain blocks", |info| {
        info.blocked == 1 && info.running == 1 && info.queued == 201
    });
    assert_eq!(session.try_wait().expect("receiving works"), None);
    blocked.fill(b"x");
    assert_eq!(session.wait().expect("the drain is over").user_data, 0);
    session::collect(&session, 201);
    session::close(session);
}

/// "If a drain is in a chain, it holds for the whole chain."
fn a_draining_chain_runs_alone() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    let link = CallFlags::LINK;
    let batch = number([
        blocked.read_call(),
        write(&order, b"a").flags(link),
        write(&order, b"b").flags(link | CallFlags::DRAIN),
        write(&order, b"c"),
        write(&order, b"d"),
    ]);
    session.submit(batch).expect("the calls are accepted");
    session::info_until(&session, "the first blocks", |info| {
        info.blocked == 1 && info.queued == 2 && info.in_flight == 5
    });
    assert_eq!(order.take(), b"");
    blocked.fill(b"x");
    let completions: Vec<_> = session::collect(&session, 5).into_values().collect();
    assert_eq!(endings(&completions), [ran(1); 5]);
    assert_eq!(order.take(), b"abcd");
    session::close(session);
}

fn a_draining_call_waits_for_earlier_messages() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    session::submit(&session, 0, [blocked.read_call()]);
    session::submit(
        &session,
        1,
        [drain(write(&order, b"a")), write(&order, b"b")],
    );
    session::submit(
        &session,
        3,
        [drain(write(&order, b"c")), write(&order, b"d")],
    );
    session::info_until(&session, "the first blocks", |info| {
        info.blocked == 1 && info.queued == 4
    });
    blocked.fill(b"x");
    session::collect(&session, 5);
    assert_eq!(order.take(), b"abcd");
    session::close(session);
}

fn a_drain_ends_with_a_broken_chain() {
    let session = Session::open().expect("a session");
    let order = Pipe::new();
    let link = CallFlags::LINK;
    let batch = number([
        drain(failing()).flags(link | CallFlags::DRAIN),
        write(&order, b"a").flags(link),
        write(&order, b"b"),
        write(&order, b"c"),
    ]);
    session.submit(batch).expect("the calls are accepted");
    let completions: Vec<_> = session::collect(&session, 4).into_values().collect();
    assert_eq!(endings(&completions), [FAILED, CANCELED, CANCELED, ran(1)]);

    // Cancelled while it waits, it holds up nobody any more.
    let blocked = Pipe::new();
    let batch = number([
        blocked.read_call(),
        drain(write(&order, b"d")),
        write(&order, b"e"),
    ]);
    session.submit(batch).expect("the calls are accepted");
    session::info_until(&session, "the first blocks", |info| {
        info.blocked == 1 && info.queued == 2
    });
    let found = session.cancel(nlcall::raw::Cancel::UserData(1));
    assert_eq!(found.expect("an answer").canceled, 1);
    let mut first_two = [0; 2].map(|_| session.wait().expect("a call is over"));
    first_two.sort_by_key(|it| it.user_data);
    assert_eq!(endings(&first_two), [CANCELED, ran(1)]);
    blocked.fill(b"x");
    assert_eq!(session.wait().expect("the read is over").user_data, 0);
    assert_eq!(order.take(), b"ce");
    session::close(session);
}

fn every_call_may_drain() {
    let session = Session::open().expect("a session");
    let order = Pipe::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let calls = bytes.iter().map(|byte| drain(write(&order, &[*byte])));
    session
        .submit(number(calls))
        .expect("the calls are accepted");
    for expected in 0..256 {
        assert_eq!(session.wait().expect("in order").user_data, expected);
    }
    assert_eq!(order.take(), bytes);
    session::close(session);
}
