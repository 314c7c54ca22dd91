// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals and time limits, which end what the submitter does INLINE.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
    unistd::{gettid, Pid},
};
use nlcall::raw::{Call, Completion, Outcome, Restart, Session};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    pipe::Pipe,
    process::in_a_child,
    session,
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_signal_ends_an_inline_batch,
    signals_that_nobody_gets_end_nothing,
    a_signal_interrupts_an_inline_call,
    an_inline_call_has_its_time_limit,
    a_call_with_a_signal_mask_of_its_own_gives_the_threads_back,
];

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler only touches an atomic.
    unsafe { sigaction(signal, &action) }.expect("a signal handler");
}

/// `tgkill(this process, thread, signal)`.
fn tgkill(thread: Pid, signal: Signal) -> Call {
    let signal = signal as i32;
    call(
        libc::SYS_tgkill,
        &[
            Pid::this().as_raw().into(),
            thread.as_raw().into(),
            signal.into(),
        ],
    )
}

fn end(completion: &Completion) -> (Outcome, i64) {
    (completion.outcome, completion.ret)
}

const NOT_STARTED: (Outcome, i64) = (Outcome::NotStarted, -(libc::EINTR as i64));

fn a_signal_ends_an_inline_batch() {
    handle(Signal::SIGUSR1, SigHandler::Handler(count));
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    for round in 1..=10 {
        let kill = tgkill(gettid(), Signal::SIGUSR1);
        let batch = [calls::getpid(), kill, calls::getpid(), calls::getpid()];
        let results = session::run_inline(&session, batch);
        assert_eq!(
            HANDLED.load(Ordering::Relaxed),
            round,
            "the handler ran once"
        );
        let ends: Vec<_> = results.iter().map(end).collect();
        let ran = |ret| (Outcome::Ran, ret);
        assert_eq!(ends, [ran(pid), ran(0), NOT_STARTED, NOT_STARTED]);
        // The next batch is not concerned.
        assert_eq!(session::inline_values(&session, [calls::getpid()]), [pid]);
    }
    session::assert_all_accounted_for(&session);
}

fn signals_that_nobody_gets_end_nothing() {
    handle(Signal::SIGUSR1, SigHandler::SigIgn);
    handle(Signal::SIGUSR2, SigHandler::Handler(count));
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGUSR2);
    mask.thread_block().expect("blocking a signal");
    let session = Session::open().expect("a session");
    let pid = i64::from(std::process::id());
    let batch = [
        tgkill(gettid(), Signal::SIGUSR1),
        tgkill(gettid(), Signal::SIGUSR2),
        calls::getpid(),
    ];
    assert_eq!(session::inline_values(&session, batch), [0, 0, pid]);
    assert_eq!(HANDLED.load(Ordering::Relaxed), 0);
    mask.thread_unblock().expect("unblocking it");
    assert_eq!(HANDLED.load(Ordering::Relaxed), 1, "it was pending");
}

/// What a call that waits ends with when its thread gets a signal.
fn interrupted(session: &Session, wait: &Call) -> Completion {
    let results = thread::scope(|scope| {
        let (named, name) = std::sync::mpsc::channel();
        let waiter = scope.spawn(move || {
            named.send(gettid()).expect("the test listens");
            loop {
                let results = session::run_inline(session, [wait.clone(), calls::getpid()]);
                assert_eq!(end(&results[1]), NOT_STARTED, "{results:?}");
                // The signal may come before the call.
                if end(&results[0]) != NOT_STARTED {
                    return results;
                }
            }
        });
        let waiter_id = name.recv().expect("a thread");
        while !waiter.is_finished() {
            calls::plainly(&tgkill(waiter_id, Signal::SIGUSR1));
            thread::sleep(Duration::from_millis(1));
        }
        waiter.join().expect("no panic")
    });
    results[0].clone()
}

fn a_signal_interrupts_an_inline_call() {
    handle(Signal::SIGUSR1, SigHandler::Handler(count));
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for (wait, restart) in [
        (pipe.read_call(), Restart::Sys),
        (calls::nanosleep(Duration::from_secs(1000)), Restart::Block),
    ] {
        let completion = interrupted(&session, &wait);
        assert_eq!(
            end(&completion),
            (Outcome::Interrupted, -i64::from(libc::EINTR)),
            "{completion:?}"
        );
        assert_eq!(completion.restart, restart);
    }
    assert!(HANDLED.load(Ordering::Relaxed) > 0);
    session::assert_all_accounted_for(&session);
}

fn an_inline_call_has_its_time_limit() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let limit = Duration::from_millis(20);
    let begun = Instant::now();
    let results = session::run_inline(
        &session,
        [
            calls::nanosleep(Duration::from_secs(1000)).timeout(limit),
            pipe.read_call().timeout(limit),
            calls::getpid().timeout(limit),
            calls::nanosleep(Duration::from_millis(1)).timeout(Duration::from_secs(1000)),
            calls::getpid(),
        ],
    );
    assert!(begun.elapsed() >= 2 * limit, "no limit passes early");
    let late = (Outcome::TimedOut, -i64::from(libc::ETIME));
    let ran = |ret| (Outcome::Ran, ret);
    let pid = i64::from(std::process::id());
    let ends: Vec<_> = results.iter().map(end).collect();
    assert_eq!(ends, [late, late, ran(pid), ran(0), ran(pid)]);
    session::assert_all_accounted_for(&session);
}

/// The kernel leaves that to the signal that it waits for, which never comes.
fn a_call_with_a_signal_mask_of_its_own_gives_the_threads_back() {
    in_a_child(|| {
        let session = Session::open().expect("a session");
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        blocked.thread_set_mask().expect("a signal mask");
        let none = Memory::zeroed(8);
        let limit = Duration::from_millis(20);
        let suspend = call(libc::SYS_rt_sigsuspend, &[none.into(), 8.into()]).timeout(limit);
        for completion in session::run_inline(&session, [suspend.clone(), suspend]) {
            assert_eq!(completion.outcome, Outcome::TimedOut);
            assert_eq!(SigSet::thread_get_mask(), Ok(blocked));
        }
    });
}
