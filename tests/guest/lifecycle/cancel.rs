// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cancelling, in every state that a call can be in.

use std::{os::fd::AsRawFd, time::Duration};

use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{waitpid, WaitPidFlag},
    },
    unistd::Pid,
};
use nlcall::raw::{Call, Cancel, Canceled, Completion, Outcome, Restart, Session};
use nlcall_abi::{cancel, Command};
use nlcall_tests::{
    calls::{self, call},
    memory::Memory,
    message::{Message, REQUEST},
    patience,
    pipe::Pipe,
    process::Child,
    session,
    socket::RawSocket,
    threads,
};

use zerocopy::IntoBytes;

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    cancel_finds_nothing_to_cancel,
    cancel_before_the_start,
    cancel_before_the_call_is_queued,
    cancel_of_a_running_call,
    cancel_selects_by_user_data_descriptor_and_number,
    cancel_while_stopped,
    cancel_races_with_stop,
    cancel_races_with_the_end_of_the_call,
    cancel_races_with_calls_that_are_taken_together,
];

/// Long enough that it only ends because it is cancelled.
const FOREVER: Duration = Duration::from_secs(1 << 20);

fn found(canceled: Canceled) -> (u32, u32) {
    (canceled.canceled, canceled.interrupted)
}

fn assert_interrupted(completion: &Completion) {
    assert_eq!(completion.outcome, Outcome::Interrupted, "{completion:?}");
    assert_eq!(completion.ret, -i64::from(libc::EINTR), "{completion:?}");
}

fn cancel_finds_nothing_to_cancel() {
    // Before there is a call.
    let session = Session::open().expect("a session");
    assert_eq!(
        found(session.cancel(Cancel::All).expect("an answer")),
        (0, 0)
    );

    // After its completion was delivered.
    session::value(&session, calls::getpid());
    for what in [
        Cancel::All,
        Cancel::UserData(1),
        Cancel::Nr(libc::SYS_getpid as u32),
    ] {
        assert_eq!(
            found(session.cancel(what).expect("an answer")),
            (0, 0),
            "{what:?}"
        );
    }
    session::assert_all_accounted_for(&session);

    // While its completion waits for room.
    const CALLS: usize = 20_000;
    let mut socket = RawSocket::with_large_send_buffer();
    socket
        .submit_unanswered((0..CALLS).map(|_| calls::getpid()))
        .expect("it is sent");
    patience::until(
        "all calls are over and some completions wait for room",
        || {
            session::of_port(socket.port_id()).is_some_and(|session| {
                session.undelivered > 0 && session.undelivered == session.in_flight
            })
        },
    );
    let mut request = Message::new(socket.family(), Command::Cancel);
    request.attribute(cancel::ALL, &[]);
    assert_eq!(socket.request(request).errno, 0);
    let completions = socket.completions(CALLS);
    assert!(completions
        .iter()
        .all(|completion| completion.outcome == Outcome::Ran as u16));
    socket.assert_no_more_completions();
}

fn cancel_before_the_start() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let crowd = super::crowd(&pipe);
    let (running, queued) = (super::worker_cap(), super::QUEUED);
    session::submit(&session, 0, crowd);
    session::info_until(&session, "the last calls are queued", |info| {
        info.blocked as usize == running && info.queued as usize == queued
    });

    // The last of the batch waits.
    let last = (running + queued - 1) as u64;
    assert_eq!(
        found(session.cancel(Cancel::UserData(last)).expect("an answer")),
        (1, 0)
    );
    let completion = session.wait().expect("it completes");
    assert_eq!(completion.user_data, last);
    assert_eq!(completion.outcome, Outcome::Canceled);
    assert_eq!(completion.ret, -i64::from(libc::ECANCELED));
    // Once is enough.
    assert_eq!(
        found(session.cancel(Cancel::UserData(last)).expect("an answer")),
        (0, 0)
    );

    let all = session.cancel(Cancel::All).expect("an answer");
    assert_eq!(found(all), (queued as u32 - 1, running as u32));
    let completions = session::collect(&session, running + queued - 1);
    let canceled = completions
        .values()
        .filter(|it| it.outcome == Outcome::Canceled);
    assert_eq!(canceled.count(), queued - 1);
    let interrupted = completions
        .values()
        .filter(|it| it.outcome == Outcome::Interrupted);
    assert_eq!(interrupted.count(), running);
    session::close(session);
}

/// Both come by one system call, which goes on for a while behind them.
fn cancel_before_the_call_is_queued() {
    for _ in 0..scaled(20, 500) {
        let mut socket = RawSocket::with_large_send_buffer();
        let calls = [nlcall_abi::Call::from(calls::getpid().user_data(7))];
        let mut cancel = Message::new(socket.family(), Command::Cancel);
        cancel.attribute(cancel::ALL, &[]);
        let mut sent = Vec::new();
        for mut message in [Message::submit(socket.family(), &calls), cancel] {
            message.flags = REQUEST;
            sent.extend(message.bytes());
        }
        // Empty messages, which netlink passes over.
        sent.extend([16_u32, 0, 0, 0].as_bytes().repeat(20_000));
        socket.send(&sent).expect("it is sent");
        let completion = socket.completions(1)[0];
        assert_eq!(
            (completion.user_data, completion.outcome),
            (7, Outcome::Canceled as u16)
        );
        socket.assert_no_more_completions();
    }
}

fn cancel_of_a_running_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let sleeper = Child::fork(|channel| {
        channel.get();
    });
    let pollfd = Memory::of(&[pipe_number(&pipe), i32::from(libc::POLLIN)]);
    let no_signals = Memory::zeroed(8);
    // What the kernel would have done about each one is documented in signal(7).
    let cases = [
        (pipe.read_call(), Restart::Sys),
        (calls::futex_wait(Memory::zeroed(4), 0), Restart::Sys),
        (
            call(libc::SYS_wait4, &[sleeper.pid().as_raw().into(), 0.into()]),
            Restart::Sys,
        ),
        (calls::nanosleep(FOREVER), Restart::Block),
        (
            call(libc::SYS_poll, &[pollfd.into(), 1.into(), (-1).into()]),
            Restart::Block,
        ),
        (
            call(
                libc::SYS_rt_sigtimedwait,
                &[no_signals.into(), 0.into(), 0.into(), 8.into()],
            ),
            Restart::None,
        ),
    ];
    for (call, restart) in cases {
        let nr = call.as_abi().nr;
        session::submit(&session, 0, [call]);
        session::info_until(&session, "the call blocks", |info| info.blocked == 1);
        assert_eq!(
            found(session.cancel(Cancel::Nr(nr)).expect("an answer")),
            (0, 1)
        );
        let completion = session.wait().expect("it completes");
        assert_interrupted(&completion);
        assert_eq!(completion.restart, restart, "call {nr}");
        // The worker is none the worse for it.
        assert_eq!(
            session::value(&session, calls::getpid()),
            u64::from(std::process::id())
        );
    }
    // It has a copy of the socket.
    drop(sleeper);
    session::close(session);
}

fn cancel_selects_by_user_data_descriptor_and_number() {
    let session = Session::open().expect("a session");
    let pipes = Pipe::several(3);
    // Descriptor 0, 0, 1, 2 of the pipes; the first two share a name with the sleep.
    let read = |pipe: usize, user_data| pipes[pipe].read_call().user_data(user_data);
    let sleep = calls::nanosleep(FOREVER).user_data(7);
    let calls = [read(0, 7), read(0, 7), read(1, 8), read(2, 9), sleep];
    session
        .submit(calls.into_iter().collect())
        .expect("the calls are accepted");
    session::info_until(&session, "all block", |info| info.blocked == 5);
    let mut ended = 0;
    let mut cancel = |what, count: u32, user_data| {
        assert_eq!(
            found(session.cancel(what).expect("an answer")),
            (0, count),
            "{what:?}"
        );
        for _ in 0..count {
            let completion = session.wait().expect("it completes");
            assert_interrupted(&completion);
            assert_eq!(completion.user_data, user_data, "{what:?}");
            ended += 1;
        }
    };
    cancel(Cancel::Fd(pipe_number(&pipes[1])), 1, 8);
    cancel(Cancel::UserData(9), 1, 9);
    cancel(Cancel::UserData(7), 3, 7);
    cancel(Cancel::Nr(libc::SYS_read as u32), 0, 0);
    cancel(Cancel::Fd(-1), 0, 0);
    assert_eq!(ended, 5);
    session::close(session);
}

/// A debugger holds the worker: the call is interrupted and would be issued again.
fn cancel_while_stopped() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    session::submit(&session, 0, [pipe.read_call(), calls::nanosleep(FOREVER)]);
    session::info_until(&session, "both calls block", |info| info.blocked == 2);
    let workers: Vec<Pid> = threads::workers(Pid::this())
        .iter()
        .map(|it| it.tid)
        .collect();

    let mut debugger = Child::fork(|channel| {
        for worker in &workers {
            ptrace::seize(*worker, ptrace::Options::empty()).expect("the worker can be traced");
            ptrace::interrupt(*worker).expect("the worker can be stopped");
            let status = waitpid(*worker, Some(WaitPidFlag::__WALL)).expect("it stops");
            assert_eq!(status.pid(), Some(*worker));
        }
        channel.put(0);
        channel.get();
        for worker in &workers {
            ptrace::detach(*worker, None).expect("the worker goes on");
        }
    });
    debugger.channel().get();
    assert_eq!(
        found(session.cancel(Cancel::All).expect("an answer")),
        (0, 2)
    );
    assert_eq!(
        session.try_wait().expect("receiving works"),
        None,
        "no worker runs"
    );
    assert_eq!(session::info(&session).in_flight, 2);

    debugger.channel().put(0);
    let completions = session::collect(&session, 2);
    completions.values().for_each(assert_interrupted);
    assert_eq!(completions[&0].restart, Restart::Sys);
    assert_eq!(completions[&1].restart, Restart::Block);
    debugger.succeed();
    session::close(session);
}

/// The same, with SIGSTOP at any moment.
fn cancel_races_with_stop() {
    let rounds = scaled(50, 1000);
    let mut owner = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        channel.put(0);
        for _ in 0..rounds {
            let blocked = [
                pipe.read_call(),
                pipe.read_call(),
                calls::nanosleep(FOREVER),
            ];
            session::submit(&session, 0, blocked);
            let found = session.cancel(Cancel::All).expect("an answer");
            assert_eq!(found.canceled + found.interrupted, 3);
            for completion in session::collect(&session, 3).values() {
                let expected = [Outcome::Canceled, Outcome::Interrupted];
                assert!(expected.contains(&completion.outcome), "{completion:?}");
            }
        }
        session::close(session);
    });
    owner.channel().get();
    let mut random = fastrand::Rng::with_seed(1);
    // The owner closes its end of the channel when it is done.
    while threads::of(owner.pid())
        .iter()
        .any(|thread| thread.state != 'Z')
    {
        owner.signal(Signal::SIGSTOP);
        std::thread::sleep(Duration::from_micros(random.u64(0..2000)));
        owner.signal(Signal::SIGCONT);
        std::thread::sleep(Duration::from_micros(random.u64(0..4000)));
    }
    owner.succeed();
}

fn cancel_races_with_the_end_of_the_call() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for _ in 0..scaled(300, 10_000) {
        let four: Vec<Call> = (0..4).map(|_| pipe.read_call()).collect();
        session::submit(&session, 0, four);
        pipe.fill(b"abcd");
        let found = session.cancel(Cancel::All).expect("an answer");
        let completions = session::collect(&session, 4);
        let count = |outcome| {
            completions
                .values()
                .filter(|it| it.outcome == outcome)
                .count()
        };
        assert_eq!(
            count(Outcome::Canceled),
            found.canceled as usize,
            "{completions:?}"
        );
        assert!(
            count(Outcome::Interrupted) <= found.interrupted as usize,
            "{completions:?}"
        );
        // A call that took a byte out of the pipe says so: nothing is lost.
        let ran = count(Outcome::Ran);
        assert_eq!(pipe.take().len(), 4 - ran, "{completions:?}");
        assert_eq!(
            ran + count(Outcome::Canceled) + count(Outcome::Interrupted),
            4
        );
    }
    session::close(session);
}

/// A worker takes many calls at once: those that it has not begun can be cancelled all the same,
/// one or all of them.
fn cancel_races_with_calls_that_are_taken_together() {
    const CALLS: u64 = 200;

    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    for round in 0..scaled(100, 2_000) as u64 {
        let writes = (0..CALLS).map(|_| calls::write(&pipe.writer, Memory::holding(b"x")));
        session::submit(&session, 0, writes);
        let which = match round % 3 {
            0 => Cancel::All,
            1 => Cancel::Fd(pipe.writer.as_raw_fd()),
            _ => Cancel::UserData(round % CALLS),
        };
        let found = session.cancel(which).expect("an answer");
        // One that ran a call just now stays for a while. They wait for each other at the pipe, and
        // then others join them.
        let workers = session::info(&session).workers;
        let completions = session::collect(&session, CALLS as usize);
        let count = |outcome| {
            let all = completions.values();
            all.filter(|it| it.outcome == outcome).count()
        };
        let (ran, canceled) = (count(Outcome::Ran), count(Outcome::Canceled));
        assert_eq!(canceled, found.canceled as usize, "{completions:?}");
        assert!(
            found.interrupted <= workers,
            "each of {workers} workers runs one call: {found:?}"
        );
        assert!(
            count(Outcome::Interrupted) <= found.interrupted as usize,
            "{found:?}, {completions:?}"
        );
        if let Cancel::UserData(one) = which {
            assert!(found.canceled + found.interrupted <= 1, "{found:?}");
            let others = completions.iter().filter(|(name, _)| **name != one);
            assert!(
                others.clone().all(|(_, it)| it.outcome == Outcome::Ran),
                "{completions:?}"
            );
        }
        // A call that wrote says so, and one that says so wrote.
        assert_eq!(pipe.take().len(), ran, "{completions:?}");
        assert_eq!(ran + canceled + count(Outcome::Interrupted), CALLS as usize);
    }
    session::close(session);
}

fn pipe_number(pipe: &Pipe) -> i32 {
    pipe.reader.as_raw_fd()
}
