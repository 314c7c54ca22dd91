// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may listen. Generic netlink lets people join the group who may not: they hear nothing.

use std::os::fd::AsRawFd;

use nix::{
    sched::{unshare, CloneFlags},
    unistd::{setresuid, Uid},
};
use nlcall::{
    raw::{Monitor, Session},
    Errno, Error,
};
use nlcall_abi::{trace, Command};
use nlcall_tests::{
    calls,
    event::{Answer, Event},
    message::Message,
    process::{in_a_child, Child},
    session,
    socket::RawSocket,
};

use super::{endings, hear_all};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    who_has_not_the_right_is_told_so,
    the_rights_of_a_namespace_are_not_enough,
    another_network_namespace_hears_nothing,
    a_socket_that_somebody_else_opened_hears_nothing,
    members_that_may_not_listen_begin_nothing,
    events_end_with_their_listeners,
    several_listeners_hear_the_same,
];

/// `NETLINK_LISTEN_ALL_NSID` of `include/uapi/linux/netlink.h`.
const LISTEN_ALL_NSID: libc::c_int = 8;

fn become_nobody() {
    let nobody = Uid::from_raw(54321);
    setresuid(nobody, nobody, nobody).expect("becoming somebody without rights");
}

fn set(socket: &RawSocket, option: libc::c_int, value: u32) -> Result<(), i32> {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option takes an int, which is read.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

fn join(socket: &RawSocket) -> Result<(), i32> {
    set(socket, libc::NETLINK_ADD_MEMBERSHIP, socket.trace_group())
}

fn start(socket: &mut RawSocket) -> Answer {
    let message = Message::new(socket.family(), Command::TraceStart);
    socket.request(message)
}

/// The number of the last event.
fn last(socket: &mut RawSocket) -> u64 {
    assert_eq!(start(socket).errno, 0);
    socket.replies()[0].u64(trace::SEQ).expect("a number")
}

/// Makes a call that everybody hears of who may.
fn call() {
    let session = Session::open().expect("a session");
    session::value(&session, calls::getpid());
}

/// How many events a socket heard.
fn heard(socket: &mut RawSocket) -> usize {
    let (events, overrun) = socket.drain();
    assert!(!overrun);
    let is_event = |event: &&Event| match event {
        Event::Reply(_, command, _) => *command == Command::Trace as u8,
        _ => false,
    };
    events.iter().filter(is_event).count()
}

fn who_has_not_the_right_is_told_so() {
    in_a_child(|| {
        become_nobody();
        match Monitor::open().expect_err("nobody may not listen") {
            Error::Rejected { errno, message, .. } => {
                assert_eq!(errno, Errno::from_raw(libc::EPERM));
                let message = message.expect("a reason");
                assert!(message.contains("CAP_SYS_ADMIN"), "{message}");
            }
            other => panic!("{other}"),
        }
        let mut socket = RawSocket::open();
        assert_eq!(join(&socket), Err(libc::EPERM));
        assert!(start(&mut socket).is_rejection(libc::EPERM, "CAP_SYS_ADMIN"));
    });
}

fn the_rights_of_a_namespace_are_not_enough() {
    let mut monitor = Monitor::open().expect("root may listen");
    in_a_child(|| {
        become_nobody();
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).expect("namespaces");
        let mut socket = RawSocket::open();
        // Generic netlink asks for a right over the network namespace alone.
        assert_eq!(join(&socket), Ok(()));
        assert_eq!(set(&socket, LISTEN_ALL_NSID, 1), Ok(()));
        assert!(start(&mut socket).is_rejection(libc::EPERM, "network namespace"));
        call();
        assert_eq!(heard(&mut socket), 0);
        let error = Monitor::open().expect_err("it may not listen").to_string();
        assert!(error.contains("network namespace"), "{error}");
    });
    in_a_child(|| {
        become_nobody();
        unshare(CloneFlags::CLONE_NEWUSER).expect("a user namespace");
        let mut socket = RawSocket::open();
        assert_eq!(join(&socket), Err(libc::EPERM));
        assert!(start(&mut socket).is_rejection(libc::EPERM, "CAP_SYS_ADMIN"));
    });
    while monitor.try_wait().expect("it listens").is_some() {}
}

fn another_network_namespace_hears_nothing() {
    let mut monitor = Monitor::open().expect("root may listen");
    in_a_child(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace of its own");
        let mut socket = RawSocket::open();
        assert_eq!(join(&socket), Ok(()));
        assert_eq!(set(&socket, LISTEN_ALL_NSID, 1), Ok(()));
        assert!(start(&mut socket).is_rejection(libc::EPERM, "network namespace"));
        call();
        assert_eq!(heard(&mut socket), 0);
    });
    let mut calls = 0;
    while let Some(notice) = monitor.wait_timeout(super::SILENCE).expect("it listens") {
        if let nlcall::raw::Notice::Event(event) = notice {
            calls += usize::from(matches!(event.what, nlcall::raw::What::Completed(..)));
        }
    }
    assert_eq!(calls, 1, "the call was made where events are sent from");
}

fn a_socket_that_somebody_else_opened_hears_nothing() {
    let mut monitor = Monitor::open().expect("root may listen");
    let mut child = Child::fork(|channel| {
        become_nobody();
        channel.put_fd(RawSocket::open().as_raw_fd());
        channel.get();
    });
    let mut socket = RawSocket::adopt(child.channel().get_fd());
    assert_eq!(join(&socket), Ok(()), "this process has the right");
    assert!(start(&mut socket).is_rejection(libc::EPERM, "CAP_SYS_ADMIN"));
    call();
    assert_eq!(heard(&mut socket), 0);
    assert_eq!(endings(&hear_all(&mut monitor)).len(), 1);
    child.channel().put(0);
    child.succeed();
}

fn members_that_may_not_listen_begin_nothing() {
    let mut socket = RawSocket::open();
    // Not a member, so that the next event is the last.
    let before = last(&mut socket);
    let mut child = Child::fork(|channel| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace of its own");
        let socket = RawSocket::open();
        assert_eq!(join(&socket), Ok(()));
        channel.put(0);
        channel.get();
    });
    child.channel().get();
    for _ in 0..10 {
        call();
    }
    assert_eq!(last(&mut socket), before + 1);
    child.channel().put(0);
    child.succeed();
    // What that began ends again.
    call();
}

fn events_end_with_their_listeners() {
    let mut socket = RawSocket::open();
    let mut monitor = Monitor::open().expect("root may listen");
    call();
    assert_eq!(endings(&hear_all(&mut monitor)).len(), 1);
    drop(monitor);
    call();
    let after = last(&mut socket);
    call();
    call();
    assert_eq!(last(&mut socket), after + 1);
    call();
}

fn several_listeners_hear_the_same() {
    let mut first = Monitor::open().expect("root may listen");
    let mut second = Monitor::open().expect("so may he again");
    call();
    let one = hear_all(&mut first);
    assert_eq!(endings(&one).len(), 1);
    assert_eq!(one, hear_all(&mut second));
    drop(first);
    call();
    assert_eq!(endings(&hear_all(&mut second)).len(), 1);
}
