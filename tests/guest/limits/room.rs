// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a submitter does that meets a limit.

use nlcall::{
    raw::{Batch, Cancel, Outcome, Session},
    Error,
};
use nlcall_abi::config as attr;
use nlcall_tests::{calls, config::Changed, pipe::Pipe, session};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    a_submitter_that_waits_for_room_gets_everything_through,
    a_limit_of_the_kernel_is_told_from_other_rejections,
];

/// As the library's documentation has it.
fn a_submitter_that_waits_for_room_gets_everything_through() {
    let count = scaled(3000, 100_000);
    let session = Session::open().expect("a session");
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, 16)]);
    let mut seen = vec![false; count];
    let mut take = |completion: nlcall::raw::Completion| {
        assert_eq!(completion.ret, std::process::id().into());
        let before = std::mem::replace(&mut seen[completion.user_data as usize], true);
        assert!(!before, "a second completion: {completion:?}");
    };
    let mut limits = 0;
    for first in (0..count as u64).step_by(10) {
        let mut batch: Batch = (first..first + 10)
            .map(|name| calls::getpid().user_data(name))
            .collect();
        while let Err(rejected) = session.submit(batch) {
            assert!(rejected.error.is_limit(), "{rejected:?}");
            limits += 1;
            batch = rejected.rest;
            while let Some(completion) = session.try_wait().expect("receiving works") {
                take(completion);
            }
            session.wait_for_room().expect("waiting works");
        }
    }
    while session.in_flight() > 0 {
        take(session.wait().expect("a call is in flight"));
    }
    assert!(limits > 0, "the limit was never met");
    assert!(seen.iter().all(|seen| *seen));
    session::assert_all_accounted_for(&session);
}

fn a_limit_of_the_kernel_is_told_from_other_rejections() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let _limit = Changed::numbers([(attr::MAX_IN_FLIGHT, 8)]);
    session::submit(&session, 0, (0..8).map(|_| pipe.read_call()));
    let error = session
        .submit(calls::getpid().into())
        .expect_err("eight are in flight");
    assert!(error.error.is_limit(), "{error:?}");
    let Error::Rejected { message, .. } = &error.error else {
        panic!("{error:?}")
    };
    let names_it = |text: &String| text.contains("max_in_flight");
    assert!(message.as_ref().is_some_and(names_it), "{error:?}");
    assert_eq!(error.rest.len(), 1);

    session.cancel(Cancel::All).expect("the cancel is answered");
    let completions = session::collect(&session, 8);
    let is_over = |outcome| matches!(outcome, Outcome::Interrupted | Outcome::Canceled);
    assert!(completions.values().all(|it| is_over(it.outcome)));
    session.wait_for_room().expect("there is room");
    session.submit(error.rest).expect("there is room");
    assert_eq!(
        session.wait().expect("it completes").ret,
        std::process::id().into()
    );
    session::assert_all_accounted_for(&session);
}
