// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls with a time limit.

use std::{os::fd::AsRawFd, time::Duration};

use fastrand::Rng;
use nix::sys::signal::Signal;
use nlcall::raw::{Batch, Call, CallFlags, Cancel, Chain, Completion, Outcome, Restart, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::Child,
    session, threads,
};

use crate::harness::{note, scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    a_time_limit_ends_a_blocked_call,
    a_call_that_ends_in_time_has_run,
    a_call_that_does_not_let_go_runs_to_its_end,
    time_begins_with_the_call,
    a_time_limit_breaks_a_chain,
    a_time_limit_races_with_the_end_of_the_call,
    the_first_of_cancel_and_time_limit_wins,
    time_goes_on_while_a_process_is_stopped,
    the_longest_limit_is_none,
];

/// Long enough that it only ends because it is interrupted.
const FOREVER: Duration = Duration::from_secs(1 << 20);
/// A limit that passes soon.
const SOON: Duration = Duration::from_millis(5);

fn assert_timed_out(completion: &Completion) {
    assert_eq!(completion.outcome, Outcome::TimedOut, "{completion:?}");
    assert_eq!(completion.ret, -i64::from(libc::ETIME), "{completion:?}");
}

fn a_time_limit_ends_a_blocked_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let sleeper = Child::fork(|channel| {
        channel.get();
    });
    let fd = pipe.reader.as_raw_fd();
    let pollfd = Memory::of(&[fd, i32::from(libc::POLLIN)]);
    let child = sleeper.pid().as_raw();
    let cases = [
        (pipe.read_call(), Restart::Sys),
        (calls::futex_wait(Memory::zeroed(4), 0), Restart::Sys),
        (
            call(libc::SYS_wait4, &[child.into(), 0.into()]),
            Restart::Sys,
        ),
        (calls::nanosleep(FOREVER), Restart::Block),
        (
            call(libc::SYS_poll, &[pollfd.into(), 1.into(), (-1).into()]),
            Restart::Block,
        ),
        (
            call(
                libc::SYS_ppoll,
                &[pollfd.into(), 1.into(), 0.into(), 0.into(), 0.into()],
            ),
            Restart::NoHand,
        ),
        (
            call(
                libc::SYS_rt_sigtimedwait,
                &[Memory::zeroed(8).into(), 0.into(), 0.into(), 8.into()],
            ),
            Restart::None,
        ),
    ];
    for (call, restart) in cases {
        let nr = call.as_abi().nr;
        let completion = session::run(&session, call.timeout(SOON));
        assert_timed_out(&completion);
        assert_eq!(completion.restart, restart, "call {nr}");
    }
    assert_eq!(session::info(&session).timed_out, 7);
    // Nothing was taken out of the pipe, and the worker is none the worse.
    pipe.fill(b"x");
    assert_eq!(session::value(&session, pipe.read_call()), 1);
    drop(sleeper);
    session::close(session);
}

fn a_call_that_ends_in_time_has_run() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for _ in 0..50 {
        pipe.fill(b"x");
        let in_time = [
            pipe.read_call().timeout(FOREVER),
            calls::getpid().timeout(FOREVER),
            call(libc::SYS_close, &[(-1).into()]).timeout(FOREVER),
            // What was left of the limits before does not interrupt this one.
            calls::nanosleep(Duration::from_micros(200)),
        ];
        session::submit(&session, 0, in_time);
        let completions = session::collect(&session, 4);
        let rets: Vec<i64> = completions.values().map(|it| it.ret).collect();
        let pid = i64::from(std::process::id());
        assert_eq!(rets, [1, pid, -i64::from(libc::EBADF), 0]);
        assert!(completions.values().all(|it| it.outcome == Outcome::Ran));
    }
    assert_eq!(session::info(&session).timed_out, 0);
    session::close(session);
}

/// Populating memory looks at no signal but a deadly one.
fn a_call_that_does_not_let_go_runs_to_its_end() {
    let session = Session::open().expect("a session");
    let size = 16_usize << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let mmap = call(
        libc::SYS_mmap,
        &[
            0.into(),
            size.into(),
            protection.into(),
            flags.into(),
            (-1).into(),
            0.into(),
        ],
    );
    let completion = session::run(&session, mmap.timeout(Duration::from_nanos(1)));
    assert_eq!(completion.outcome, Outcome::Ran, "{completion:?}");
    let at = completion.result().expect("there is memory");
    let munmap = call(libc::SYS_munmap, &[calls::Arg::mapped(at), size.into()]);
    let completion = session::run(&session, munmap.timeout(Duration::from_nanos(1)));
    assert_eq!((completion.outcome, completion.ret), (Outcome::Ran, 0));
    session::close(session);
}

fn time_begins_with_the_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let limited = |call: Call| call.timeout(SOON);
    let mut batch: Batch = [pipe.read_call().user_data(0)].into_iter().collect();
    // Held up by the first one, and waiting for each other in a chain.
    let mut chain = Chain::new();
    let sleep = calls::nanosleep(SOON * 4).flags(CallFlags::DRAIN);
    chain.push(sleep.user_data(1));
    chain.push(limited(calls::getpid()).user_data(2));
    batch.push_chain(&chain);
    session.submit(batch).expect("the calls are accepted");
    session::info_until(&session, "the first blocks", |info| info.blocked == 1);
    std::thread::sleep(SOON * 4);
    pipe.fill(b"x");
    let completions = session::collect(&session, 3);
    assert!(
        completions.values().all(|it| it.outcome == Outcome::Ran),
        "{completions:?}"
    );
    session::close(session);
}

fn a_time_limit_breaks_a_chain() {
    let session = Session::open().expect("a session");
    let (blocked, order) = (Pipe::new(), Pipe::new());
    for hard in [false, true] {
        let mut chain = Chain::new();
        let flags = if hard {
            CallFlags::HARDLINK
        } else {
            CallFlags::LINK
        };
        let read = blocked.read_call().flags(flags).timeout(SOON);
        chain.push(read.user_data(0));
        chain.push(calls::write(&order.writer, Memory::holding(b"a")).user_data(1));
        chain.push(calls::write(&order.writer, Memory::holding(b"b")).user_data(2));
        let mut batch = Batch::new();
        batch.push_chain(&chain);
        session.submit(batch).expect("the chain is accepted");
        let completions = session::collect(&session, 3);
        assert_timed_out(&completions[&0]);
        let (outcome, written) = match hard {
            true => (Outcome::Ran, &b"ab"[..]),
            false => (Outcome::Canceled, &b""[..]),
        };
        assert_eq!(completions[&1].outcome, outcome);
        assert_eq!(completions[&2].outcome, outcome);
        assert_eq!(order.take(), written);
    }
    session::close(session);
}

/// A byte that a call took out of the pipe was taken by a call that has run; any other is still
/// there.
fn a_time_limit_races_with_the_end_of_the_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let mut random = Rng::with_seed(8);
    let mut timed_out = 0;
    let rounds = scaled(500, 20_000);
    for _ in 0..rounds {
        let limit = Duration::from_nanos(random.u64(1..400_000));
        let reads = (0..3).map(|_| pipe.read_call().timeout(limit));
        session::submit(&session, 0, reads);
        for _ in 0..random.u32(0..200) {
            std::hint::spin_loop();
        }
        pipe.fill(b"abc");
        let completions = session::collect(&session, 3);
        let ran = completions.values().filter(|it| it.outcome == Outcome::Ran);
        let ran = ran.count();
        for completion in completions.values() {
            match completion.outcome {
                Outcome::Ran => assert_eq!(completion.ret, 1),
                _ => assert_timed_out(completion),
            }
        }
        assert_eq!(pipe.take().len(), 3 - ran, "{completions:?}");
        timed_out += 3 - ran;
    }
    assert_eq!(session::info(&session).timed_out, timed_out as u64);
    note(format_args!(
        "{timed_out} of {} calls timed out",
        3 * rounds
    ));
    session::close(session);
}

fn the_first_of_cancel_and_time_limit_wins() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let mut random = Rng::with_seed(9);
    for _ in 0..scaled(300, 10_000) {
        let limit = Duration::from_nanos(random.u64(1..300_000));
        session::submit(&session, 0, [pipe.read_call().timeout(limit)]);
        for _ in 0..random.u32(0..200) {
            std::hint::spin_loop();
        }
        let found = session.cancel(Cancel::All).expect("an answer");
        let completion = session.wait().expect("it completes");
        match (found.canceled, found.interrupted) {
            (1, 0) => assert_eq!(completion.outcome, Outcome::Canceled),
            (0, 1) => assert_eq!(completion.outcome, Outcome::Interrupted),
            (0, 0) => assert_timed_out(&completion),
            found => panic!("one call is found {found:?} times"),
        }
    }
    session::close(session);
}

/// The limit passes while the worker does not run: it has passed when it does.
fn time_goes_on_while_a_process_is_stopped() {
    let limit = Duration::from_secs(1);
    let mut owner = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        for call in [pipe.read_call(), calls::nanosleep(FOREVER)] {
            session::submit(&session, 0, [call.timeout(limit)]);
            session::info_until(&session, "it blocks", |info| info.blocked == 1);
            channel.put(0);
            channel.get();
            let completion = session.wait().expect("it completes");
            assert_timed_out(&completion);
        }
        session::close(session);
    });
    for _ in 0..2 {
        owner.channel().get();
        owner.signal(Signal::SIGSTOP);
        patience::until("it is stopped", || {
            threads::of(owner.pid())
                .iter()
                .all(|thread| thread.state == 'T')
        });
        std::thread::sleep(limit * 2);
        owner.signal(Signal::SIGCONT);
        owner.channel().put(0);
    }
    owner.succeed();
}

fn the_longest_limit_is_none() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let longest = Duration::from_nanos(u64::MAX);
    session::submit(&session, 0, [pipe.read_call().timeout(longest)]);
    session::info_until(&session, "it blocks", |info| info.blocked == 1);
    pipe.fill(b"x");
    let completion = session.wait().expect("it completes");
    assert_eq!((completion.outcome, completion.ret), (Outcome::Ran, 1));
    session::close(session);
}
