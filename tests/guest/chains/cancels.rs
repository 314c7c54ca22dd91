// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cancels that meet a chain.

use nlcall::raw::{Call, CallFlags, Cancel, Outcome, Session};
use nlcall_tests::{
    calls::{call, Arg},
    pipe::Pipe,
    session,
};

use super::{chain, endings, ran, write, CANCELED};
use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    a_cancelled_head_takes_its_chain_along,
    a_cancelled_member_breaks_its_chain,
    a_cancel_selects_within_chains,
    cancels_race_with_chains,
];

/// A read that blocks and two writes, the first two with these flags. The head runs when this
/// returns.
fn submit(session: &Session, blocked: &Pipe, order: &Pipe, flags: [CallFlags; 2]) {
    let calls = [
        blocked.read_call().flags(flags[0]),
        write(order, b"a").flags(flags[1]),
        write(order, b"b"),
    ];
    session
        .submit(chain(0, calls))
        .expect("the chain is accepted");
    session::info_until(session, "the head blocks", |info| {
        info.blocked == 1 && info.in_flight == 3
    });
}

fn cancel(session: &Session, what: Cancel) -> (u32, u32) {
    let found = session.cancel(what).expect("an answer");
    (found.canceled, found.interrupted)
}

const INTERRUPTED: (Outcome, i64) = (Outcome::Interrupted, -(libc::EINTR as i64));

fn a_cancelled_head_takes_its_chain_along() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    let (link, hard) = (CallFlags::LINK, CallFlags::HARDLINK);
    for (flags, expected) in [
        ([link, link], [INTERRUPTED, CANCELED, CANCELED]),
        ([hard, link], [INTERRUPTED, ran(1), ran(1)]),
    ] {
        submit(&session, &blocked, &order, flags);
        // The rest is not found: it ends with its chain, or goes on.
        assert_eq!(cancel(&session, Cancel::UserData(0)), (0, 1));
        let completions: Vec<_> = session::collect(&session, 3).into_values().collect();
        assert_eq!(endings(&completions), expected);
    }
    assert_eq!(order.take(), b"ab");

    // All of it: each call is found once.
    submit(&session, &blocked, &order, [link, link]);
    assert_eq!(cancel(&session, Cancel::All), (2, 1));
    let completions: Vec<_> = session::collect(&session, 3).into_values().collect();
    assert_eq!(endings(&completions), [INTERRUPTED, CANCELED, CANCELED]);
    session::close(session);
}

fn a_cancelled_member_breaks_its_chain() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    let (link, hard) = (CallFlags::LINK, CallFlags::HARDLINK);
    for (flags, at, ended, expected, written) in [
        ([link, link], 1, 2, [ran(1), CANCELED, CANCELED], &b""[..]),
        ([link, hard], 1, 1, [ran(1), CANCELED, ran(1)], b"b"),
        ([link, link], 2, 1, [ran(1), ran(1), CANCELED], b"a"),
        ([hard, hard], 2, 1, [ran(1), ran(1), CANCELED], b"a"),
    ] {
        submit(&session, &blocked, &order, flags);
        assert_eq!(cancel(&session, Cancel::UserData(at)), (1, 0));
        // It need not wait for the call that runs, nor does what ends with it.
        let mut completions = session::collect(&session, ended);
        assert!(completions.contains_key(&at), "{completions:?}");
        assert_eq!(cancel(&session, Cancel::UserData(at)), (0, 0));
        blocked.fill(b"x");
        completions.append(&mut session::collect(&session, 3 - ended));
        let completions: Vec<_> = completions.into_values().collect();
        assert_eq!(endings(&completions), expected, "{flags:?} {at}");
        assert_eq!(order.take(), written, "{flags:?} {at}");
    }
    session::close(session);
}

/// By number, and by descriptor, as far as that is known.
fn a_cancel_selects_within_chains() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    let (link, hard) = (CallFlags::LINK, CallFlags::HARDLINK);
    let writer = std::os::fd::AsRawFd::as_raw_fd(&order.writer);
    submit(&session, &blocked, &order, [link, hard]);
    assert_eq!(
        cancel(&session, Cancel::Nr(libc::SYS_read as u32 + 1000)),
        (0, 0)
    );
    assert_eq!(cancel(&session, Cancel::Fd(writer)), (2, 0));
    blocked.fill(b"x");
    let completions: Vec<_> = session::collect(&session, 3).into_values().collect();
    assert_eq!(endings(&completions), [ran(1), CANCELED, CANCELED]);

    // A descriptor that an earlier call will return has no number yet.
    let mut chain = nlcall::raw::Chain::new();
    let head = chain.push(blocked.read_call().user_data(0));
    // SAFETY: closing the descriptor 1, should it come to that, is of no concern to this test.
    let close = unsafe { Call::with_args(libc::SYS_close as u32, &[head.result()]) };
    chain.push(close.user_data(1));
    let mut batch = nlcall::raw::Batch::new();
    batch.push_chain(&chain);
    session.submit(batch).expect("the chain is accepted");
    session::info_until(&session, "the head blocks", |info| info.blocked == 1);
    for fd in 0..64 {
        if fd != std::os::fd::AsRawFd::as_raw_fd(&blocked.reader) {
            assert_eq!(cancel(&session, Cancel::Fd(fd)), (0, 0), "{fd}");
        }
    }
    assert_eq!(cancel(&session, Cancel::UserData(1)), (1, 0));
    blocked.fill(b"x");
    let completions: Vec<_> = session::collect(&session, 2).into_values().collect();
    assert_eq!(endings(&completions), [ran(1), CANCELED]);
    session::close(session);
}

/// A chain of reads and writes is cancelled at any moment; whatever it did shows in the pipes.
fn cancels_race_with_chains() {
    let session = Session::open().expect("a session");
    let (from, to) = (Pipe::new(), Pipe::new());
    let yields = || call(libc::SYS_sched_yield, &[] as &[Arg]);
    for round in 0..scaled(300_u64, 10_000) {
        from.fill(b"12");
        let steps = [
            from.read_call(),
            write(&to, b"1"),
            yields(),
            from.read_call(),
            write(&to, b"2"),
        ];
        session
            .submit(chain(0, steps))
            .expect("the chain is accepted");
        for _ in 0..round % 7 {
            std::thread::yield_now();
        }
        let found = session
            .cancel(Cancel::UserData(round % 5))
            .expect("an answer");
        let completions: Vec<_> = session::collect(&session, 5).into_values().collect();
        let done = completions
            .iter()
            .take_while(|it| it.outcome == Outcome::Ran);
        let done = done.count();
        // What comes behind the first call that did not run did not run either.
        let rest = &completions[done..];
        let behind = rest.iter().skip(1);
        assert!(
            behind.clone().all(|it| (it.outcome, it.ret) == CANCELED),
            "{completions:?}"
        );
        match (found.canceled, found.interrupted) {
            (1, 0) => assert_eq!(
                (rest[0].user_data, rest[0].outcome),
                (round % 5, Outcome::Canceled)
            ),
            (0, 1) => assert!(
                rest.first()
                    .is_none_or(|it| it.outcome == Outcome::Interrupted),
                "{completions:?}"
            ),
            (0, 0) => assert_eq!(done, 5, "{completions:?}"),
            found => panic!("one call is found {found:?} times"),
        }
        assert_eq!(
            to.take(),
            b"12"[..usize::from(done > 1) + usize::from(done > 4)]
        );
        let left = 2 - usize::from(done > 0) - usize::from(done > 3);
        assert_eq!(from.take().len(), left, "{completions:?}");
    }
    session::close(session);
}
