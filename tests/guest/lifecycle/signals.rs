// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals, and stops.

use std::{
    os::fd::AsRawFd,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
    time::Duration,
};

use nix::{
    sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
    unistd::Pid,
};
use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::Child,
    session, threads,
};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    signals_reach_the_sender_not_the_calls,
    stop_and_continue_is_invisible
];

static HANDLED: AtomicU64 = AtomicU64::new(0);
static HANDLED_ELSEWHERE: AtomicU64 = AtomicU64::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_: i32) {
    // SAFETY: gettid has no preconditions, and is safe in a handler.
    let thread = unsafe { libc::gettid() };
    let counter = if thread == SENDER.load(Ordering::Relaxed) {
        &HANDLED
    } else {
        &HANDLED_ELSEWHERE
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Has this process interrupted by a signal again and again, at this interval; zero stops it.
fn interrupt_every(interval: Duration) {
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: i64::from(interval.subsec_micros()),
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: the timer outlives the call, and the old value is not asked for.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

fn signals_reach_the_sender_not_the_calls() {
    SENDER.store(Pid::this().as_raw(), Ordering::Relaxed);
    let handler = SigHandler::Handler(count);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only touches atomics.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("a signal handler");

    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let blocked = 8;
    session::submit(&session, 0, (0..blocked).map(|_| pipe.read_call()));
    interrupt_every(Duration::from_millis(2));
    let mut rounds = 0;
    while rounds < scaled(200, 5000) || HANDLED.load(Ordering::Relaxed) < 20 {
        rounds += 1;
        session::submit(&session, 100, (0..4).map(|_| calls::getpid()));
        let completions = session::collect(&session, 4);
        assert!(completions.values().all(|it| it.ran()), "{completions:?}");
        if rounds % 10 == 0 {
            // Workers are made in spite of signals that are pending.
            let fresh = Session::open().expect("a session");
            let calls = [pipe.read_call(), calls::getpid()];
            session::submit(&fresh, 0, calls);
            assert!(fresh.wait().expect("a fast call completes").ran());
        }
    }
    interrupt_every(Duration::ZERO);
    session::info_until(&session, "the reads still block", |info| {
        info.blocked == blocked as u32
    });
    pipe.fill(&[b'x'; 8]);
    let completions = session::collect(&session, blocked);
    assert!(
        completions.values().all(|it| it.ret == 1),
        "{completions:?}"
    );
    session::assert_all_accounted_for(&session);
    assert_eq!(
        HANDLED_ELSEWHERE.load(Ordering::Relaxed),
        0,
        "a worker took a signal"
    );
}

fn stop_and_continue_is_invisible() {
    // Calls that the kernel continues after SIGCONT (signal(7)).
    let mut owner = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        let (pipe, polled) = (Pipe::new(), Pipe::new());
        let word = Memory::zeroed(4);
        let fd = polled.reader.as_raw_fd();
        let pollfd = Memory::of(&[fd, i32::from(libc::POLLIN)]);
        let sleeper = Child::fork(|channel| {
            channel.get();
        });
        let blocked = [
            pipe.read_call(),
            calls::futex_wait(word, 0),
            call(libc::SYS_poll, &[pollfd.into(), 1.into(), (-1).into()]),
            call(libc::SYS_poll, &[pollfd.into(), 1.into(), 3_600_000.into()]),
            call(libc::SYS_wait4, &[sleeper.pid().as_raw().into(), 0.into()]),
        ];
        session::submit(&session, 0, blocked);
        // Comes to its end by itself, however often it is stopped.
        session::submit(&session, 5, [calls::nanosleep(Duration::from_millis(500))]);
        session::info_until(&session, "the calls block", |info| info.blocked >= 5);
        channel.put(0);
        channel.get();
        session::info_until(&session, "five still block", |info| info.blocked >= 5);

        pipe.fill(b"x");
        polled.fill(b"x");
        sleeper.channel().put(0);
        patience::until("the waiter is back at its futex", || word.wake(1) == 1);
        let completions = session::collect(&session, 6);
        let results: Vec<i64> = completions.values().map(|it| it.ret).collect();
        let child = i64::from(sleeper.pid().as_raw());
        assert_eq!(results, [1, 0, 1, 1, child, 0], "{completions:?}");
        assert!(completions.values().all(|it| it.ran()), "{completions:?}");
        session::assert_all_accounted_for(&session);
        sleeper.was_reaped();
    });
    owner.channel().get();
    for _ in 0..scaled(5, 100) {
        owner.stop();
        assert!(
            threads::workers(owner.pid()).len() >= 5,
            "workers stand still as the rest does"
        );
        owner.go_on();
    }
    owner.channel().put(0);
    owner.succeed();
}
