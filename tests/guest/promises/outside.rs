// SPDX-License-Identifier: MIT OR Apache-2.0

//! Workers as others see them: debuggers, the freezer, `/proc`, and what threads stand in the way of.

use nix::{
    errno::Errno,
    sched::{unshare, CloneFlags},
    sys::{
        ptrace,
        signal::Signal,
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::Pid,
};
use nlcall::raw::Session;
use nlcall_tests::{
    calls::{self, call},
    group::Group,
    patience,
    pipe::Pipe,
    process::{in_a_child, Child},
    session, threads,
};

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    workers_are_threads_of_their_process,
    a_debugger_attaches_and_detaches,
    a_frozen_process_goes_on,
    workers_are_in_the_way_of_what_threads_are_in_the_way_of,
];

const BLOCKED: usize = 4;

/// A child with workers that are blocked in reads, and others without a call. It completes its calls
/// when the pipe is filled.
fn crowd(pipe: &Pipe, prepare: impl FnOnce()) -> Child {
    let child = Child::fork(|channel| {
        prepare();
        let session = Session::open().expect("a session");
        let other = Pipe::new();
        session::submit(&session, 0, (0..3).map(|_| other.read_call()));
        let count = session::submit(&session, 10, (0..BLOCKED).map(|_| pipe.read_call()));
        session::info_until(&session, "all reads block", |info| {
            info.blocked as usize == BLOCKED + 3
        });
        other.fill(&[0; 3]);
        session::collect(&session, 3);
        session::info_until(&session, "some workers rest", |info| info.idle > 0);
        channel.put(0);
        let completions = session::collect(&session, count);
        assert!(
            completions.values().all(|it| it.ret == 1),
            "{completions:?}"
        );
        // And on with new ones.
        for _ in 0..20 {
            session::value(&session, calls::getpid());
        }
        session::assert_all_accounted_for(&session);
    });
    child.channel().get();
    child
}

fn workers_are_threads_of_their_process() {
    let pipe = Pipe::new();
    let mut child = crowd(&pipe, || {});
    let workers = threads::workers(child.pid());
    assert!(workers.len() >= BLOCKED, "{workers:?}");
    assert!(workers.iter().all(|it| it.comm == "nlcall"), "{workers:?}");
    assert_eq!(threads::own(child.pid()).len(), 1);
    pipe.fill(&[0; BLOCKED]);
    child.succeed();
}

/// Stops a thread as a debugger does when it attaches, and waits until it stands still.
fn attach(thread: Pid) {
    ptrace::attach(thread).expect("the thread can be traced");
    let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
    assert_eq!(stopped, WaitStatus::Stopped(thread, Signal::SIGSTOP));
}

fn a_debugger_attaches_and_detaches() {
    let pipe = Pipe::new();
    let mut child = crowd(&pipe, || {});
    for _ in 0..3 {
        let all: Vec<Pid> = threads::of(child.pid()).iter().map(|it| it.tid).collect();
        for thread in &all {
            attach(*thread);
        }
        for thread in &all {
            ptrace::detach(*thread, None).expect("it goes on");
        }
    }
    // What becomes ready while all stand still is done afterwards.
    let all: Vec<Pid> = threads::of(child.pid()).iter().map(|it| it.tid).collect();
    for thread in &all {
        attach(*thread);
    }
    pipe.fill(&[0; BLOCKED]);
    for thread in &all {
        ptrace::detach(*thread, None).expect("it goes on");
    }
    child.succeed();
}

fn a_frozen_process_goes_on() {
    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no control groups: {error}")));
    let pipe = Pipe::new();
    let mut child = crowd(&pipe, || group.enter());
    group.freeze(true);
    patience::until("all threads are frozen", || group.is_frozen());
    pipe.fill(&[0; BLOCKED]);
    group.freeze(false);
    child.succeed();
}

/// A user namespace is for a process of one thread.
fn workers_are_in_the_way_of_what_threads_are_in_the_way_of() {
    for busy in [false, true] {
        in_a_child(|| {
            let session = Session::open().expect("a session");
            let pipe = Pipe::new();
            session::value(&session, calls::getpid());
            if busy {
                session::submit(&session, 0, [pipe.read_call()]);
                session::info_until(&session, "a read blocks", |info| info.blocked == 1);
            }
            let flags = CloneFlags::CLONE_NEWUSER;
            assert_eq!(unshare(flags), Err(Errno::EINVAL), "busy: {busy}");
            let inline = call(libc::SYS_unshare, &[flags.bits().into()]);
            let ret = session::run_inline(&session, [inline])[0].ret;
            assert_eq!(ret, -i64::from(libc::EINVAL), "busy: {busy}");
            // Other namespaces are nobody's business but this thread's.
            unshare(CloneFlags::CLONE_NEWUTS).expect("names of its own");
            pipe.fill(b"x");
            if busy {
                assert_eq!(session.wait().expect("it is over").ret, 1);
            }
        });
    }
}
