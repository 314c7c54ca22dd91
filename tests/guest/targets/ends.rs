// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a target, of a sender, of a socket, at any moment.

use std::{os::fd::AsRawFd, thread, time::Duration};

use nix::{
    sys::{
        signal::{kill, Signal},
        wait::WaitStatus,
    },
    unistd::execv,
};
use nlcall::raw::{Batch, Data, Outcome, Session, Target};
use nlcall_tests::{
    patience,
    pipe::Pipe,
    process::{exit_now, Child},
    session, threads,
};

use super::{answering_child, assert_left, call, mappings, target, value, waiting_child};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_killed_target_answers_every_call,
    a_target_that_exits_answers_every_call,
    a_target_that_executes_a_program_begins_anew,
    a_stopped_target_that_is_killed_answers,
    closing_the_socket_leaves_the_target_as_it_was,
    the_senders_death_leaves_the_target_as_it_was,
    a_target_that_forks_keeps_the_area_to_itself,
    targets_die_at_any_moment,
];

/// Reads that block, with memory, and more calls than there are workers for.
fn fill(session: &Session, there: &Target, pipe: &Pipe, count: u64) {
    for first in (0..count).step_by(64) {
        let mut data = Data::new();
        let mut batch = Batch::new();
        for name in first..(first + 64).min(count) {
            let room = data.reserve(8);
            let fd = pipe.reader.as_raw_fd();
            let read = call(libc::SYS_read, &[fd.into(), room.output(), 8.into()]);
            batch.push(read.user_data(name));
        }
        batch.data(data).target(there);
        session.submit(batch).expect("the calls are accepted");
    }
}

/// Each call has one completion, which says that it did not run, or was interrupted.
fn assert_over(session: &Session, count: u64) {
    let done = session::collect(session, count as usize);
    for completion in done.values() {
        match completion.outcome {
            Outcome::Interrupted => assert_eq!(completion.ret, -i64::from(libc::EINTR)),
            Outcome::NotStarted => assert_eq!(completion.ret, -i64::from(libc::ESRCH)),
            _ => panic!("{completion:?}"),
        }
        assert_eq!(completion.data(), b"");
    }
    assert_eq!(session.try_wait().unwrap(), None, "one too many");
}

fn a_killed_target_answers_every_call() {
    let pipe = Pipe::new();
    let mut child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    fill(&session, &there, &pipe, 1000);
    child.kill();
    assert_over(&session, 1000);
    // The session itself is as good as before.
    let own = session::value(&session, nlcall_tests::calls::getpid());
    assert_eq!(own, u64::from(std::process::id()));
    session::assert_all_accounted_for(&session);
}

fn a_target_that_exits_answers_every_call() {
    let pipe = Pipe::new();
    let mut child = Child::fork(|channel| {
        channel.put(0);
        channel.get();
        exit_now(7);
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    fill(&session, &there, &pipe, 300);
    child.channel().put(0);
    assert_eq!(
        child.wait(),
        WaitStatus::Exited(child.pid(), 7),
        "its own status"
    );
    assert_over(&session, 300);
}

fn a_target_that_executes_a_program_begins_anew() {
    let pipe = Pipe::new();
    let child = Child::fork(|channel| {
        channel.put(0);
        channel.get();
        execv(c"/bin/sleep", &[c"sleep", c"1000"]).expect("execv");
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    fill(&session, &there, &pipe, 300);
    child.channel().put(0);
    assert_over(&session, 300);
    patience::until("the program runs", || {
        threads::own(child.pid())
            .iter()
            .any(|it| it.comm == "sleep" && it.state == 'S')
    });
    // The same pidfd means the new program.
    let pid = value(&session, &there, libc::SYS_getpid, &[]);
    assert_eq!(pid as i32, child.pid().as_raw());
    child.signal(Signal::SIGKILL);
}

fn a_stopped_target_that_is_killed_answers() {
    let pipe = Pipe::new();
    let mut child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    child.stop();
    fill(&session, &there, &pipe, 100);
    child.kill();
    assert_over(&session, 100);
}

fn closing_the_socket_leaves_the_target_as_it_was() {
    let pipe = Pipe::new();
    let mut child = answering_child();
    let before = mappings(child.pid());
    for round in 0..10 {
        let (session, there) = (Session::open().unwrap(), target(child.pid()));
        fill(&session, &there, &pipe, 100);
        if round % 2 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        session.abandon();
        assert_left(child.pid());
        patience::until("the areas are gone", || mappings(child.pid()) <= before + 1);
    }
    child.channel().put(1);
    assert_eq!(child.channel().get(), 2, "it goes on");
    child.signal(Signal::SIGTERM);
    child.wait();
}

fn the_senders_death_leaves_the_target_as_it_was() {
    let pipe = Pipe::new();
    let child = waiting_child();
    let before = mappings(child.pid());
    let pid = child.pid();
    for signal in [Signal::SIGKILL, Signal::SIGSEGV] {
        let sender = Child::fork(|channel| {
            let (session, there) = (Session::open().unwrap(), target(pid));
            fill(&session, &there, &pipe, 100);
            channel.put(0);
            channel.try_get();
        });
        sender.channel().get();
        patience::until("a call is made there", || !threads::workers(pid).is_empty());
        kill(sender.pid(), signal).expect("it is there");
        drop(sender);
        assert_left(pid);
        patience::until("the areas are gone", || mappings(pid) <= before + 1);
    }
    let session = Session::open().unwrap();
    let got = value(&session, &target(pid), libc::SYS_getpid, &[]);
    assert_eq!(got as i32, pid.as_raw(), "it is there");
}

fn a_target_that_forks_keeps_the_area_to_itself() {
    let pipe = Pipe::new();
    let mut child = Child::fork(|channel| {
        channel.put(0);
        channel.get();
        let inner = nlcall_tests::process::fork_unwatched(|| loop {
            thread::sleep(Duration::from_secs(100));
        });
        channel.put(inner.as_raw() as u64);
        channel.try_get();
        kill(inner, Signal::SIGKILL).expect("it is there");
        nix::sys::wait::waitpid(inner, None).expect("it is ours");
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let before = mappings(child.pid());
    fill(&session, &there, &pipe, 1);
    patience::until("the area is there", || mappings(child.pid()) > before);
    child.channel().put(0);
    let inner = nix::unistd::Pid::from_raw(child.channel().get() as i32);
    assert!(
        mappings(inner) <= before + 1,
        "the child of the target has no copy"
    );
    session.abandon();
    child.channel().put(0);
    child.wait();
}

fn targets_die_at_any_moment() {
    let rounds = if crate::harness::is_full() { 1000 } else { 60 };
    let pipe = Pipe::new();
    let session = Session::open().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..rounds {
        let mut child = waiting_child();
        let there = target(child.pid());
        let count = random.u64(1..200);
        fill(&session, &there, &pipe, count);
        if random.bool() {
            thread::sleep(Duration::from_micros(random.u64(0..3000)));
        }
        match random.u8(0..3) {
            0 => child.kill(),
            1 => {
                child.signal(Signal::SIGABRT);
                child.wait();
            }
            _ => {
                child.stop();
                child.kill();
            }
        }
        assert_over(&session, count);
        assert_eq!(session.in_flight(), 0, "round {round}");
    }
}
