// SPDX-License-Identifier: MIT OR Apache-2.0

//! Workers and memory come to an end.

use nix::{
    sys::resource::{getrlimit, setrlimit, Resource},
    unistd::{setresuid, Uid},
};
use nlcall::raw::{Outcome, Session};
use nlcall_tests::{
    calls::{self, call, Arg},
    group::Group,
    memory::Memory,
    patience,
    pipe::Pipe,
    process::Child,
    session,
    socket::RawSocket,
};

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    calls_without_a_worker_are_not_started,
    calls_wait_for_the_workers_that_exist,
    calls_wait_for_a_higher_limit_of_the_control_group,
    calls_wait_for_workers_at_the_cap,
    a_call_has_its_own_errors,
    the_limit_of_calls_in_flight_is_named,
];

/// A user that has no other process.
const LONELY: Uid = Uid::from_raw(54321);

/// A process of a user that may have so many threads.
fn lonely_process(threads: u64, body: impl FnOnce()) {
    let mut child = Child::fork(|_| {
        setrlimit(Resource::RLIMIT_NPROC, threads, threads).expect("RLIMIT_NPROC");
        setresuid(LONELY, LONELY, LONELY).expect("becoming another user");
        body();
    });
    child.succeed();
}

fn calls_without_a_worker_are_not_started() {
    lonely_process(1, || {
        let session = Session::open().expect("a session");
        session::submit(&session, 0, (0..5).map(|_| calls::getpid()));
        for completion in session::collect(&session, 5).values() {
            assert_eq!(completion.outcome, Outcome::NotStarted, "{completion:?}");
            assert_eq!(completion.ret, -i64::from(libc::EAGAIN), "{completion:?}");
        }
        session::assert_all_accounted_for(&session);
        // The next message tries again.
        setrlimit(Resource::RLIMIT_NPROC, 1, 1).expect("RLIMIT_NPROC");
        let completion = session::run(&session, calls::getpid());
        assert_eq!(completion.outcome, Outcome::NotStarted);
    });
}

fn calls_wait_for_the_workers_that_exist() {
    lonely_process(2, || {
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        session::submit(&session, 0, [pipe.read_call()]);
        session::info_until(&session, "the read blocks", |info| info.blocked == 1);
        session::submit(&session, 1, [calls::getpid(), calls::getpid()]);
        session::info_until(&session, "the others wait", |info| info.queued == 2);
        assert_eq!(session.try_wait().expect("receiving works"), None);
        assert_eq!(
            session::info(&session).workers,
            1,
            "the user may have one thread more"
        );
        pipe.fill(b"x");
        let completions = session::collect(&session, 3);
        assert!(completions.values().all(|it| it.ran()), "{completions:?}");
        session::close(session);
    });
}

/// Nobody tells the module of the higher limit, nor submits: it tries again now and then.
fn calls_wait_for_a_higher_limit_of_the_control_group() {
    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no control groups: {error}")));
    // The process and two workers.
    group.limit_threads(3);
    Child::fork(|_| {
        group.enter();
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        session::submit(
            &session,
            0,
            [
                pipe.read_call(),
                pipe.read_call(),
                calls::getpid(),
                calls::getpid(),
            ],
        );
        session::info_until(&session, "the reads block, and the others wait", |info| {
            (info.blocked, info.queued) == (2, 2)
        });
        assert_eq!(session.try_wait().expect("receiving works"), None);
        let info = session::info(&session);
        assert_eq!((info.workers, info.saturated), (2, false), "{info:?}");

        group.limit_threads(4);
        let completions = session::collect(&session, 2);
        assert!(completions.keys().eq(&[2, 3]), "{completions:?}");
        assert!(completions.values().all(|it| it.ran()), "{completions:?}");
        session::info_until(&session, "one worker more rests", |info| {
            (info.workers, info.blocked, info.idle) == (3, 2, 1)
        });
        pipe.fill(b"xy");
        session::collect(&session, 2);
        session::close(session);
    })
    .succeed();
}

fn calls_wait_for_workers_at_the_cap() {
    let session = Session::open().expect("a session");
    let pipe = Pipe::new();
    let (cap, queued) = (super::worker_cap(), super::QUEUED);
    session
        .submit(super::crowd(&pipe).into_iter().collect())
        .expect("accepted");
    session::info_until(&session, "the session is saturated", |info| {
        info.blocked as usize == cap && info.queued as usize == queued && info.saturated
    });
    assert_eq!(session::info(&session).workers as usize, cap);

    // Nothing but the end of a running call can help, and SUBMIT says so.
    let refused = session
        .submit(calls::getpid().into())
        .expect_err("the session is saturated");
    assert_eq!(refused.accepted, 0);
    assert_eq!(refused.error.errno().map(|it| it.raw()), Some(libc::EAGAIN));
    assert!(
        refused.error.to_string().contains("max_workers"),
        "{}",
        refused.error
    );

    // One byte ends one call, and one that waits takes its place.
    pipe.fill(b"x");
    assert_eq!(session.wait().expect("one call ends").ret, 1);
    session::info_until(&session, "the next call blocks", |info| {
        info.blocked as usize == cap && info.queued as usize == queued - 1
    });
    pipe.fill(&vec![b'x'; cap + queued - 1]);
    let completions = session::collect(&session, cap + queued - 1);
    assert!(
        completions.values().all(|it| it.ret == 1),
        "{completions:?}"
    );
    session::assert_all_accounted_for(&session);
    assert_eq!(
        session::value(&session, calls::getpid()),
        u64::from(std::process::id())
    );
}

fn a_call_has_its_own_errors() {
    let session = Session::open().expect("a session");
    let missing = Memory::string("/does/not/exist");
    let openat = |path: Memory| call(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.into()]);
    let huge = [
        0.into(),
        (1_usize << 46).into(),
        3.into(),
        0x22.into(),
        (-1).into(),
    ];
    let cases = [
        (call(libc::SYS_mmap, &huge), libc::ENOMEM),
        (calls::read(-1, Memory::zeroed(1)), libc::EBADF),
        (call(libc::SYS_uname, &[Arg::wild(8)]), libc::EFAULT),
        (openat(missing), libc::ENOENT),
        (
            call(libc::SYS_kill, &[0x3fff_ffff.into(), 0.into()]),
            libc::ESRCH,
        ),
        (
            call(libc::SYS_lseek, &[Arg::from(&Pipe::new().reader), 0.into()]),
            libc::EBADF,
        ),
    ];
    for (call, errno) in cases {
        let nr = call.as_abi().nr;
        assert_eq!(session::error(&session, call).raw(), errno, "call {nr}");
    }

    // The process's limits are the calls' limits.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("RLIMIT_NOFILE");
    setrlimit(Resource::RLIMIT_NOFILE, 3, most).expect("RLIMIT_NOFILE");
    let root = Memory::string("/");
    assert_eq!(session::error(&session, openat(root)).raw(), libc::EMFILE);
    setrlimit(Resource::RLIMIT_NOFILE, 1024, most).expect("RLIMIT_NOFILE");
    session::value(&session, openat(root));
    session::close(session);
}

fn the_limit_of_calls_in_flight_is_named() {
    // Nobody reads: what finds no room in the receive buffer stays in flight.
    let mut socket = RawSocket::with_large_send_buffer();
    let limit = Session::open().expect("a session").features().max_in_flight as usize;
    let half = limit / 2 + 1;
    let calls = |count| (0..count).map(|_| calls::getpid());
    socket.submit_unanswered(calls(half)).expect("it is sent");
    patience::until("completions wait for room", || {
        session::of_port(socket.port_id())
            .is_some_and(|it| it.accepted == half as u64 && it.undelivered == it.in_flight)
    });
    let waiting = session::of_port(socket.port_id())
        .expect("a session")
        .in_flight as usize;
    assert!(
        waiting > 0,
        "the buffer took everything: the limit cannot be reached"
    );

    let answer = socket.submit(calls(limit - waiting + 1));
    assert!(
        answer.is_rejection(libc::EAGAIN, "max_in_flight"),
        "{answer:?}"
    );
    // Whatever was accepted completes, and then there is room again.
    assert_eq!(socket.completions(half).len(), half);
    socket.assert_no_more_completions();
    socket.accept(calls(limit / 2));
    let completions = socket.completions(limit / 2);
    assert!(completions
        .iter()
        .all(|it| it.outcome == Outcome::Ran as u16));
}
