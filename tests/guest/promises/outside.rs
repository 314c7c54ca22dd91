// SPDX-License-Identifier: MIT OR Apache-2.0

//! Workers as others see them: debuggers, the freezer, `/proc`, and what threads stand in the way of.

use std::{fs::File, os::fd::AsFd};

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
use nlcall::{abi::Outcome, raw::Session};
use nlcall_tests::{
    calls::{self, call},
    group::Group,
    patience,
    pipe::Pipe,
    process::in_a_child,
    session, threads,
};

use crate::{
    crowd::{crowd, BLOCKED},
    harness::{skip, tests, Test},
};

pub const TESTS: &[Test] = tests![
    workers_are_threads_of_their_process,
    a_debugger_attaches_and_detaches,
    a_frozen_process_goes_on,
    workers_are_in_the_way_of_what_threads_are_in_the_way_of,
    workers_at_rest_leave_for_a_namespace_of_one_thread,
];

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

/// A user namespace is for a process of one thread. INLINE, workers that rest leave for it.
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
            // Other namespaces are nobody's business but this thread's.
            unshare(CloneFlags::CLONE_NEWUTS).expect("names of its own");
            let inline = call(libc::SYS_unshare, &[flags.bits().into()]);
            let result = &session::run_inline(&session, [inline])[0];
            let pid = nix::unistd::getpid();
            if busy {
                let busy = (Outcome::NotStarted, -i64::from(libc::EBUSY));
                assert_eq!((result.outcome, result.ret), busy);
                assert!(!threads::workers(pid).is_empty());
                pipe.fill(b"x");
                assert_eq!(session.wait().expect("it is over").ret, 1);
            } else {
                assert_eq!(result.ret, 0);
                assert_eq!(threads::workers(pid).len(), 0);
            }
        });
    }
}

/// Several sessions have workers at rest, and go on afterwards.
fn workers_at_rest_leave_for_a_namespace_of_one_thread() {
    in_a_child(|| {
        let sessions = [(); 3].map(|()| Session::open().expect("a session"));
        let pipe = Pipe::new();
        for session in &sessions {
            let count = session::submit(session, 0, (0..4).map(|_| pipe.read_call()));
            session::info_until(session, "all reads block", |info| info.blocked == 4);
            pipe.fill(&[0; 4]);
            session::collect(session, count);
        }
        let pid = nix::unistd::getpid();
        assert!(threads::workers(pid).len() >= sessions.len());
        let time = File::open("/proc/self/ns/time").expect("a time namespace");
        // Of its kind, the one of a process with threads is rejected: EUSERS.
        let enter = call(
            libc::SYS_setns,
            &[
                time.as_fd().into(),
                CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)
                    .bits()
                    .into(),
            ],
        );
        assert_eq!(calls::plainly(&enter), -i64::from(libc::EUSERS));
        assert_eq!(session::run_inline(&sessions[0], [enter])[0].ret, 0);
        assert_eq!(threads::workers(pid).len(), 0);
        for session in &sessions {
            let result = &session::run_inline(session, [calls::getpid()])[0];
            assert_eq!(result.ret, i64::from(pid.as_raw()));
            session::assert_all_accounted_for(session);
        }
    });
}
