// SPDX-License-Identifier: MIT OR Apache-2.0

//! Control groups whose memory is used up.

use std::os::fd::AsRawFd;

use nix::sys::{signal::Signal, wait::WaitStatus};
use nlcall::raw::{Arg, Batch, Call, Cancel, Data, Outcome, Session, Target};
use nlcall_tests::{
    calls::{self, call},
    group::Group,
    module, patience,
    pipe::Pipe,
    process::Child,
    session,
};

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    a_worker_that_uses_up_the_memory_ends_its_process,
    an_inline_call_that_uses_up_the_memory_ends_its_process,
    a_target_that_uses_up_its_memory_answers_every_call,
    calls_are_refused_or_completed_where_memory_is_short,
];

/// What a group may have. A process of these tests takes some 2 MiB of it.
const LIMIT: usize = 24 << 20;

/// Calls of one message.
const MESSAGE: usize = 500;

fn group() -> Group {
    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no control groups: {error}")));
    group.limit_memory(LIMIT);
    group
}

/// Takes more memory than the group has.
fn glutton() -> Call {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    call(
        libc::SYS_mmap,
        &[
            0.into(),
            calls::Arg::from((4 * LIMIT) as i32),
            protection.into(),
            flags.into(),
            (-1).into(),
            0.into(),
        ],
    )
}

fn assert_killed(child: &mut Child, group: &Group, port_id: u32) {
    let killed = WaitStatus::Signaled(child.pid(), Signal::SIGKILL, false);
    assert_eq!(child.wait(), killed);
    assert!(group.kills() > 0, "the group has not killed it");
    patience::until("its session is gone", || {
        session::of_port(port_id).is_none()
    });
}

/// With others that block, and others that wait for a worker.
fn a_worker_that_uses_up_the_memory_ends_its_process() {
    let (group, pipe) = (group(), Pipe::new());
    let references = module::references();
    let mut child = Child::fork(|channel| {
        group.enter();
        let session = Session::open().expect("a session");
        session::submit(&session, 0, (0..8).map(|_| pipe.read_call()));
        session::info_until(&session, "all reads block", |info| info.blocked == 8);
        channel.put(session.port_id().into());
        session::submit(&session, 8, [glutton()]);
        session::submit(&session, 9, (0..100).map(|_| calls::getpid()));
        session::collect(&session, 200);
    });
    let port_id = child.channel().get() as u32;
    assert_killed(&mut child, &group, port_id);
    patience::until("the module is free", || module::references() == references);
}

fn an_inline_call_that_uses_up_the_memory_ends_its_process() {
    let (group, pipe) = (group(), Pipe::new());
    let mut child = Child::fork(|channel| {
        group.enter();
        let session = Session::open().expect("a session");
        session::submit(&session, 0, [pipe.read_call()]);
        channel.put(session.port_id().into());
        session::run_inline(&session, [calls::getpid(), glutton(), calls::getpid()]);
    });
    let port_id = child.channel().get() as u32;
    assert_killed(&mut child, &group, port_id);
}

fn a_target_that_uses_up_its_memory_answers_every_call() {
    let (group, pipe) = (group(), Pipe::new());
    let mut child = Child::fork(|channel| {
        group.enter();
        channel.put(0);
        channel.try_get();
    });
    child.channel().get();
    let there = Target::open(child.pid().as_raw() as u32).expect("it is there");
    let session = Session::open().expect("a session");
    let mut data = Data::new();
    let mut batch = Batch::new();
    for name in 0..8 {
        let room = data.reserve(8);
        let args: [Arg; 3] = [pipe.reader.as_raw_fd().into(), room.output(), 8.into()];
        // SAFETY: the only address is in the memory that travels with the call.
        let read = unsafe { Call::with_args(libc::SYS_read as u32, &args) };
        batch.push(read.user_data(name));
    }
    batch.push(glutton().user_data(8));
    for name in 9..100 {
        batch.push(calls::getpid().user_data(name));
    }
    batch.data(data).target(&there);
    session.submit(batch).expect("the calls are accepted");
    for (name, completion) in session::collect(&session, 100) {
        let (pid, ret) = (i64::from(child.pid().as_raw()), completion.ret);
        let is_right = match completion.outcome {
            // What is mapped is mapped, although the process was killed for its first use.
            Outcome::Ran if name == 8 => ret > 0,
            Outcome::Ran => ret == pid,
            Outcome::Interrupted => ret == -i64::from(libc::EINTR),
            Outcome::NotStarted => ret == -i64::from(libc::ESRCH),
            _ => false,
        };
        assert!(is_right, "{completion:?}");
    }
    let killed = WaitStatus::Signaled(child.pid(), Signal::SIGKILL, false);
    assert_eq!(child.wait(), killed);
    assert!(group.kills() > 0, "the group has not killed it");
    session::close(session);
}

/// What calls take is charged: with less memory than they need, messages are refused or their process
/// is killed, and whatever was accepted is completed.
fn calls_are_refused_or_completed_where_memory_is_short() {
    let group = group();
    let references = module::references();
    let mut child = Child::fork(|_| {
        group.enter();
        let sessions: Vec<Session> = (0..40).map(|_| Session::open().expect("one")).collect();
        let pipe = Pipe::new();
        for round in 0..4 {
            for session in &sessions {
                let mut batch = Batch::new();
                for name in 0..MESSAGE {
                    batch.push(pipe.read_call().user_data((round * MESSAGE + name) as u64));
                }
                if let Err(error) = session.submit(batch) {
                    let errno = error.error.errno().map(|errno| errno.raw());
                    let expected = [Some(libc::ENOMEM), Some(libc::EAGAIN), Some(libc::ENOBUFS)];
                    assert!(expected.contains(&errno), "{error:?}");
                }
            }
        }
        for session in &sessions {
            session.cancel(Cancel::All).expect("an answer");
            session::collect(session, session.in_flight());
        }
    });
    let status = child.wait();
    let killed = WaitStatus::Signaled(child.pid(), Signal::SIGKILL, false);
    let ended = WaitStatus::Exited(child.pid(), 0);
    assert!(
        status == ended || status == killed && group.kills() > 0,
        "{status:?}"
    );
    patience::until("no session is left", || session::all().is_empty());
    patience::until("the module is free", || module::references() == references);
}
