// SPDX-License-Identifier: MIT OR Apache-2.0

//! A blocked call blocks nobody else; every accepted call has exactly one completion.

use std::{collections::BTreeMap, thread};

use nlcall::raw::{Batch, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    process::Child,
    session,
};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    blocked_calls_do_not_hold_up_the_others,
    blocked_calls_of_one_process_do_not_hold_up_another,
    batches_of_every_size_complete,
    a_name_may_be_used_twice,
    threads_share_a_session,
    a_process_has_many_sessions,
    a_fast_result_does_not_wait_for_a_blocked_call,
];

fn blocked_calls_do_not_hold_up_the_others() {
    let session = Session::open().expect("a session");
    let pipes = Pipe::several(64);
    let memories: Vec<Memory> = pipes.iter().map(|_| Memory::zeroed(1)).collect();
    let reads = pipes
        .iter()
        .zip(&memories)
        .map(|(pipe, memory)| calls::read(&pipe.reader, *memory));
    session::submit(&session, 0, reads);
    let others = 1000;
    session::submit(&session, 1000, (0..others).map(|_| calls::getpid()));
    let pid = i64::from(std::process::id());
    for (user_data, completion) in session::collect(&session, others) {
        assert!(user_data >= 1000, "an empty pipe was read: {completion:?}");
        assert_eq!(completion.ret, pid);
    }
    session::info_until(&session, "64 reads block", |info| info.blocked == 64);
    for (number, pipe) in pipes.iter().enumerate() {
        pipe.fill(&[number as u8]);
    }
    for (user_data, completion) in session::collect(&session, 64) {
        assert_eq!(completion.ret, 1);
        assert_eq!(memories[user_data as usize].get(), [user_data as u8]);
    }
    session::assert_all_accounted_for(&session);
}

fn blocked_calls_of_one_process_do_not_hold_up_another() {
    let session = Session::open().expect("a session");
    let cap = session.features().max_workers as usize;
    let pipe = Pipe::new();
    session::submit(&session, 0, (0..cap + 1).map(|_| pipe.read_call()));
    session::info_until(&session, "the session is saturated", |info| info.saturated);
    let mut other = Child::fork(|_| {
        let session = Session::open().expect("a session");
        let pid = i64::from(std::process::id());
        for first in 0..10 {
            session::submit(&session, first * 20, (0..20).map(|_| calls::getpid()));
        }
        let completions = session::collect(&session, 200);
        assert!(completions.values().all(|it| it.ret == pid));
        session::assert_all_accounted_for(&session);
    });
    other.succeed();
    // Nor another session of the same process.
    let second = Session::open().expect("a session");
    session::value(&second, calls::getpid());
}

fn batches_of_every_size_complete() {
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    // 819 calls fill an attribute.
    let sizes = [
        1, 2, 3, 5, 8, 13, 64, 100, 255, 256, 257, 500, 818, 819, 820, 999, 1000,
    ];
    let sizes = scaled(sizes.to_vec(), (1..=1000).collect());
    for size in sizes {
        session::submit(&session, 0, (0..size).map(|_| calls::getpid()));
        let completions = session::collect(&session, size);
        assert!(completions.values().all(|it| it.ret == pid));
        assert!(completions.into_keys().eq(0..size as u64), "{size}");
    }
    session::submit(&session, 0, (0..60_000).map(|_| calls::getpid()));
    session::collect(&session, 60_000);
    session::assert_all_accounted_for(&session);
}

fn a_name_may_be_used_twice() {
    let session = Session::open().expect("a session");
    let batch: Batch = (0..300)
        .map(|number| calls::getpid().user_data(number % 3))
        .collect();
    session.submit(batch).expect("accepted");
    let mut count = BTreeMap::<u64, usize>::new();
    for _ in 0..300 {
        *count
            .entry(session.wait().expect("in flight").user_data)
            .or_default() += 1;
    }
    assert_eq!(count, BTreeMap::from([(0, 100), (1, 100), (2, 100)]));
    session::assert_all_accounted_for(&session);
}

fn threads_share_a_session() {
    let session = Session::open().expect("a session");
    let each = scaled(100, 5000);
    let mut all = BTreeMap::new();
    thread::scope(|scope| {
        let session = &session;
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for number in 0..each {
                        let call = calls::getpid().user_data(thread * each + number);
                        session.submit(call.into()).expect("accepted");
                        // Whoever waits gets whatever is over.
                        mine.push(session.wait().expect("in flight"));
                    }
                    mine
                })
            })
            .collect();
        for thread in threads {
            let mine = thread.join().expect("the thread is well");
            all.extend(
                mine.into_iter()
                    .map(|completion| (completion.user_data, completion)),
            );
        }
    });
    assert!(
        all.into_keys().eq(0..4 * each),
        "exactly one completion per call"
    );
    session::assert_all_accounted_for(&session);
}

fn a_process_has_many_sessions() {
    let sessions: Vec<Session> = (0..50)
        .map(|_| Session::open().expect("a session"))
        .collect();
    for (number, session) in (0..).zip(&sessions) {
        session::submit(session, number * 100, (0..3).map(|_| calls::getpid()));
    }
    for (number, session) in (0..).zip(&sessions) {
        let names = session::collect(session, 3).into_keys();
        assert!(
            names.eq(number * 100..number * 100 + 3),
            "it gets its own completions"
        );
        session::assert_all_accounted_for(session);
    }
}

/// The call that ran before a blocked one on the same worker is delivered before it blocks.
fn a_fast_result_does_not_wait_for_a_blocked_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for _ in 0..scaled(50, 2000) {
        session::submit(&session, 0, [calls::getpid(), pipe.read_call()]);
        assert_eq!(session.wait().expect("the fast one").user_data, 0);
        assert_eq!(session.try_wait().expect("receiving works"), None);
        session::submit(
            &session,
            2,
            [calls::write(&pipe.writer, Memory::holding(b"x"))],
        );
        session::collect(&session, 2);
        session::submit(&session, 3, [call(libc::SYS_getppid, &[]), calls::getpid()]);
        session::collect(&session, 2);
    }
    session::assert_all_accounted_for(&session);
}
