// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits, and waiting until there is room under them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nlcall_abi::Command;

use super::kernel::{
    ack, batch, call, complete, open, reject, result, skipping_session, take_all, Event, Kernel,
    Socket,
};
use crate::{
    raw::{connection::Connection, exchange::Patience, Batch, CallFlags},
    Error,
};

const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;

#[test]
fn limits_of_the_session_are_told_from_other_errors() {
    for (errno, is_limit) in [(EAGAIN, true), (EBUSY, false), (EINVAL, false)] {
        let kernel = Kernel::new(move |request| {
            vec![Event::Datagram(reject(request, errno, None, None, true))]
        });
        let error = open(&kernel).submit(batch(1)).expect_err("rejected");
        assert_eq!(error.error.is_limit(), is_limit, "{error:?}");
    }
    assert!(Error::InFlightLimit { limit: 1 }.is_limit());
    assert!(!Error::NothingInFlight.is_limit());
}

#[test]
fn there_is_room_where_nothing_stands_in_the_way() {
    let session = open(&Kernel::willing());
    session.wait_for_room().expect("room");
}

#[test]
fn room_is_waited_for() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = open(&kernel);
    kernel.set_room(false);
    let has_room = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            session.wait_for_room().expect("room");
            assert!(has_room.load(Ordering::SeqCst));
        });
        kernel.wait_for_sleepers(1);
        has_room.store(true, Ordering::SeqCst);
        kernel.set_room(true);
        waiter.join().expect("no panic");
    });
}

#[test]
fn a_completion_to_take_ends_the_wait() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = Connection::new(Socket::new(&kernel), Some(1)).expect("opened");
    session.submit(batch(1)).expect("accepted");
    // Neither the kernel nor the session has room.
    kernel.set_room(false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| session.wait_for_room());
        kernel.wait_for_sleepers(1);
        kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
        waiter.join().expect("no panic").expect("a completion");
    });
    session.wait_for_room().expect("it is still there");
    assert_eq!(take_all(&session), [0]);
    kernel.set_room(true);
    session.wait_for_room().expect("room");
    session.submit(batch(1)).expect("accepted");
    kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
    assert_eq!(take_all(&session), [0]);
}

#[test]
fn what_another_thread_takes_makes_room() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = Connection::new(Socket::new(&kernel), Some(2)).expect("opened");
    session.submit(batch(2)).expect("accepted");
    let error = session.submit(batch(1)).expect_err("the limit is reached");
    assert!(error.error.is_limit());
    thread::scope(|scope| {
        let taker = scope.spawn(|| session.exchange.completion(Patience::Forever));
        let waiter = scope.spawn(|| session.wait_for_room());
        kernel.wait_for_sleepers(2);
        kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
        taker
            .join()
            .expect("no panic")
            .expect("no error")
            .expect("a completion");
        waiter.join().expect("no panic").expect("room");
    });
    session.submit(error.rest).expect("there is room");
    assert!(!kernel.is_signaled());
    kernel.deliver(Event::Datagram(complete(&[result(1, 0), result(2, 0)])));
    assert_eq!(take_all(&session), [1, 2]);
}

#[test]
fn calls_that_ended_without_a_completion_make_room() {
    // The kernel says how many there were when it is asked for the third time.
    let mut asked = 0;
    let kernel = Kernel::new(move |request| {
        if request.is(Command::SessionGet) {
            asked += 1;
            let (in_flight, skipped) = if asked > 2 { (1, 3) } else { (4, 0) };
            return skipping_session(request, in_flight, skipped);
        }
        vec![Event::Datagram(ack(request))]
    });
    let session = Connection::new(Socket::new(&kernel), Some(4)).expect("opened");
    let silent = |name| call(0, name).flags(CallFlags::SKIP_SUCCESS);
    let calls: Batch = (0..4).map(silent).collect();
    session.submit(calls).expect("accepted");
    let error = session.submit(batch(1)).expect_err("the limit is reached");
    assert!(error.error.is_limit(), "{error:?}");
    session.wait_for_room().expect("room");
    assert_eq!(session.exchange.in_flight(), 1);
    session.submit(error.rest).expect("accepted");
    kernel.deliver(Event::Datagram(complete(&[result(3, -9), result(0, 0)])));
    assert_eq!(take_all(&session), [3, 0]);
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn a_submission_asks_before_it_reports_a_limit() {
    let kernel = Kernel::new(|request| match request.is(Command::SessionGet) {
        true => skipping_session(request, 0, 4),
        false => vec![Event::Datagram(ack(request))],
    });
    let session = Connection::new(Socket::new(&kernel), Some(4)).expect("opened");
    let silent = |name| call(0, name).flags(CallFlags::SKIP_SUCCESS);
    session
        .submit((0..4).map(silent).collect())
        .expect("accepted");
    session.submit(batch(3)).expect("there is room");
    assert_eq!(session.exchange.in_flight(), 3);
    let completions: Vec<_> = (0..3).map(|name| result(name, 0)).collect();
    kernel.deliver(Event::Datagram(complete(&completions)));
    assert_eq!(take_all(&session), [0, 1, 2]);
}
