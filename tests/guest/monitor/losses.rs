// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nothing waits for those that listen; they are told what they lost.

use nlcall::raw::{Batch, Monitor, Notice, Session};
use nlcall_tests::{
    calls::{self, inline},
    session,
};

use super::hear;
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_listener_that_sleeps_is_told_what_it_lost,
    what_was_lost_last_is_told_as_well,
    a_listener_that_sleeps_holds_up_nobody_else,
];

const CALLS: u64 = 2000;

/// Makes calls, each of which two events tell.
fn make_calls(session: &Session) {
    let workers: Batch = (0..CALLS / 2).map(|_| calls::getpid()).collect();
    session.submit(workers).expect("accepted");
    session::collect_any(session, CALLS as usize / 2);
    session::inline_values(session, (0..CALLS / 2).map(|_| calls::getpid()));
}

fn a_listener_that_sleeps_is_told_what_it_lost() {
    let session = Session::open().expect("a session");
    let mut monitor = Monitor::with_receive_buffer(1).expect("the smallest there is");
    make_calls(&session);
    // Heard when the buffer has room again; before it, what is missing is told.
    let mut notices = Vec::new();
    while let Some(notice) = monitor.try_wait().expect("it listens") {
        notices.push(notice);
    }
    session::value(&session, calls::getpid());
    let (later, lost) = hear(&mut monitor);
    assert_eq!(later.len() as u64 + lost, 2, "nothing is told twice");

    let heard = notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Event(_)))
        .count() as u64;
    let lost: u64 = notices
        .iter()
        .map(|notice| match notice {
            Notice::Lost(count) => *count,
            Notice::Event(_) => 0,
        })
        .sum();
    assert!(heard > 0 && lost > 0, "{heard} heard, {lost} lost");
    assert_eq!(heard + lost, 2 * CALLS);
}

fn what_was_lost_last_is_told_as_well() {
    let session = Session::open().expect("a session");
    let mut monitor = Monitor::with_receive_buffer(1).expect("the smallest there is");
    make_calls(&session);
    // No event follows that would show a gap.
    let (heard, lost) = hear(&mut monitor);
    assert!(lost > 0);
    assert_eq!(heard.len() as u64 + lost, 2 * CALLS);
    let (heard, lost) = hear(&mut monitor);
    assert_eq!((heard.len(), lost), (0, 0), "it is told once");
}

fn a_listener_that_sleeps_holds_up_nobody_else() {
    let session = Session::open().expect("a session");
    let sleeper = Monitor::with_receive_buffer(1).expect("the smallest there is");
    let mut listener = Monitor::open().expect("one with a large buffer");
    let workers: Batch = (0..500).map(|_| calls::getpid()).collect();
    session.submit(workers).expect("accepted");
    session::collect_any(&session, 500);
    let inlined: Batch = inline((0..500).map(|_| calls::getpid()))
        .into_iter()
        .collect();
    session.submit(inlined).expect("accepted");
    session::collect_any(&session, 500);
    let (heard, lost) = hear(&mut listener);
    assert_eq!((heard.len(), lost), (2000, 0));
    session::assert_all_accounted_for(&session);
    drop(sleeper);
}
