// SPDX-License-Identifier: MIT OR Apache-2.0

//! A supervisor answers in the filter's place (`SECCOMP_RET_USER_NOTIF`).

use std::{
    os::fd::AsRawFd,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use io_uring::{opcode, types, IoUring};
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nlcall::raw::{Call, CallFlags, Outcome};
use nlcall_abi::{cancel, Command};
use nlcall_tests::{
    calls,
    message::{Message, REQUEST},
    pipe::Pipe,
    process::{in_a_child, Channel, Child},
    seccomp::{Answer, Filter, Supervisor},
    session,
    socket::RawSocket,
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::{ends, not_started, ran, session_with_worker, victim, Way};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_supervisor_answers_for_each_call,
    a_signal_ends_the_wait_for_a_supervisor,
    other_task_work_does_not_end_the_wait_for_a_supervisor,
    a_supervised_process_may_be_killed,
    calls_may_be_cancelled_while_a_supervisor_thinks,
];

/// A child whose victims a supervisor is asked about, and that supervisor.
fn supervised(body: impl FnOnce(&Channel, nlcall::raw::Session)) -> (Child, Supervisor) {
    let child = Child::fork(|channel| {
        let session = session_with_worker();
        let filter = Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_USER_NOTIF);
        let supervisor = filter.install_with_supervisor();
        channel.put_fd(supervisor.as_raw_fd());
        drop(supervisor);
        body(channel, session);
    });
    let supervisor = Supervisor::new(child.channel().get_fd());
    (child, supervisor)
}

fn a_supervisor_answers_for_each_call() {
    let (mut child, supervisor) = supervised(|channel, session| {
        for way in Way::ALL {
            for _ in 0..3 {
                channel.put(way.make(&session, victim()) as u64);
            }
        }
        session::assert_all_accounted_for(&session);
    });
    let (pid, parent) = (child.pid(), i64::from(std::process::id()));
    for way in Way::ALL {
        for (answer, expected) in [
            (Answer::Error(libc::EDOM), -i64::from(libc::EDOM)),
            (Answer::Value(77), 77),
            (Answer::Continue, parent),
        ] {
            let question = supervisor.question();
            let asked = (question.pid as i32, question.data.nr);
            assert_eq!(asked, (pid.as_raw(), libc::SYS_getppid as i32), "{way:?}");
            assert!(supervisor.answer(question.id, answer), "{way:?}");
            let returned = child.channel().get() as i64;
            assert_eq!(returned, expected, "{way:?}: {answer:?}");
        }
    }
    child.succeed();
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn a_signal_ends_the_wait_for_a_supervisor() {
    for way in Way::OURS {
        let (mut child, supervisor) = supervised(|_, session| {
            let handler = SigHandler::Handler(count);
            let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handler only touches an atomic.
            unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a signal handler");
            let completions = way.completions(&session, [victim(), calls::getpid()]);
            assert_eq!(ends(&completions), [not_started(libc::EINTR); 2], "{way:?}");
            assert_eq!(HANDLED.load(Ordering::Relaxed), 1, "{way:?}");
            // The thread is as it was before.
            assert_eq!(way.make(&session, calls::getpid()), ran().1);
        });
        supervisor.question();
        child.signal(Signal::SIGUSR1);
        child.succeed();
    }
}

/// What another part of the kernel has to do in the thread is done, and the question is asked
/// anew, as that of a plain call is.
fn other_task_work_does_not_end_the_wait_for_a_supervisor() {
    for way in Way::ALL {
        let pipe = Pipe::new();
        let (mut child, supervisor) = supervised(|channel, session| {
            let mut ring = IoUring::new(2).expect("a ring");
            let poll = opcode::PollAdd::new(types::Fd(pipe.reader.as_raw_fd()), 1).build();
            // SAFETY: the operation refers to a descriptor that outlives it.
            unsafe { ring.submission().push(&poll) }.expect("the ring has room");
            ring.submit().expect("the ring works");
            channel.put(way.make(&session, victim()) as u64);
            assert!(ring.completion().next().is_some(), "the poll is over");
        });
        let first = supervisor.question();
        pipe.fill(b"x");
        let second = supervisor.question();
        assert_ne!(first.id, second.id, "{way:?}");
        assert!(!supervisor.answer(first.id, Answer::Value(1)), "{way:?}");
        assert!(supervisor.answer(second.id, Answer::Value(2)), "{way:?}");
        assert_eq!(child.channel().get(), 2, "{way:?}");
        child.succeed();
    }
}

fn a_supervised_process_may_be_killed() {
    for way in Way::OURS {
        let (mut child, supervisor) = supervised(|_, session| {
            way.completions(&session, [calls::getpid(), victim(), calls::getpid()]);
            unreachable!("nobody answers");
        });
        supervisor.question();
        child.kill();
    }
}

/// A chain of workers' calls: the second is asked about while what `which` names is cancelled, and
/// then allowed. How the calls ended, and how many were cancelled.
fn cancel_while_asked(flags: CallFlags, which: (u16, &[u8])) -> (Vec<(Outcome, i64)>, Vec<u64>) {
    let mut socket = RawSocket::open();
    socket.accept([calls::getpid()]);
    socket.completions(1);
    let batch = [calls::getpid(), victim(), victim(), calls::getpid()];
    let mut batch: Vec<Call> = batch.map(|call| call.flags(flags)).into();
    batch[3] = calls::getpid();
    let numbered = (0..).zip(batch).map(|(at, call)| call.user_data(at).into());
    let mut message = Message::submit(socket.family(), &numbered.collect::<Vec<_>>());
    (message.flags, message.seq) = (REQUEST, 1000);
    let bytes = message.bytes();
    let fd = socket.as_raw_fd();
    let (to, from) = mpsc::channel();
    let sender = thread::spawn(move || {
        let filter = Filter::calls(libc::SYS_getppid, libc::SECCOMP_RET_USER_NOTIF);
        to.send(filter.install_with_supervisor())
            .expect("a receiver");
        // SAFETY: the bytes outlive the call.
        unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
    });
    let supervisor = Supervisor::new(from.recv().expect("the filter is set"));
    let question = supervisor.question();
    let mut request = Message::new(socket.family(), Command::Cancel);
    request.attribute(which.0, which.1);
    let answer = socket.request(request);
    assert_eq!(answer.errno, 0, "{answer:?}");
    assert!(supervisor.answer(question.id, Answer::Continue));
    // Others, as far as there is still a question about them.
    let mut ended = Vec::new();
    while ended.len() < 4 {
        ended.extend(socket.completions_at_hand());
        if asks(&supervisor) {
            let question = supervisor.question();
            supervisor.answer(question.id, Answer::Continue);
        }
    }
    sender.join().expect("no panic");
    socket.assert_no_more_completions();
    ended.sort_by_key(|it| it.user_data);
    let canceled = ended
        .iter()
        .filter(|it| it.outcome == Outcome::Canceled as u16);
    let canceled = canceled.map(|it| it.user_data).collect();
    let outcome = |it: u16| Outcome::from_wire(it).expect("an outcome");
    let ends = ended.iter().map(|it| (outcome(it.outcome), it.ret));
    (ends.collect(), canceled)
}

/// Whether there is a question for the supervisor.
fn asks(supervisor: &Supervisor) -> bool {
    let mut fds = [PollFd::new(supervisor, PollFlags::IN)];
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    poll(&mut fds, Some(&moment)).expect("polling a descriptor");
    fds[0].revents().contains(PollFlags::IN)
}

fn calls_may_be_cancelled_while_a_supervisor_thinks() {
    let second = 1_u64.to_ne_bytes();
    let third = 2_u64.to_ne_bytes();
    let parent = i64::from(nix::unistd::getppid().as_raw());
    in_a_child(move || {
        let parent_here = i64::from(nix::unistd::getppid().as_raw());
        assert_ne!(parent_here, parent);
        let ran_parent = (Outcome::Ran, parent_here);
        let all = (cancel::ALL, &[][..]);
        // The first of single calls was on its way before; it may have come to its end.
        let (ended, canceled) = cancel_while_asked(CallFlags::empty(), all);
        assert!(canceled.ends_with(&[1, 2, 3]), "{ended:?}");
        for flags in [CallFlags::LINK, CallFlags::HARDLINK] {
            let (ended, canceled) = cancel_while_asked(flags, all);
            assert_eq!(canceled, [0, 1, 2, 3], "{flags:?}: {ended:?}");
        }
        let link = CallFlags::LINK;
        let (ended, canceled) = cancel_while_asked(link, (cancel::USER_DATA, &second));
        assert_eq!(canceled, [1, 2, 3], "{ended:?}");
        assert_eq!(ended[0], ran());
        let (ended, canceled) = cancel_while_asked(link, (cancel::USER_DATA, &third));
        assert_eq!(canceled, [2, 3], "{ended:?}");
        assert_eq!(ended[..2], [ran(), ran_parent]);
        let hard = CallFlags::HARDLINK;
        let (ended, canceled) = cancel_while_asked(hard, (cancel::USER_DATA, &second));
        assert_eq!(canceled, [1], "{ended:?}");
        assert_eq!((ended[0], ended[2], ended[3]), (ran(), ran_parent, ran()));
    });
}
