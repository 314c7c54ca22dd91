// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the drop of a session does.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command as Process, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use nlcall_abi::{self as abi, CallResult, Command, Outcome};

use super::kernel::{
    ack, batch, complete, open, own_session, reply, result, Event, Kernel, Message, Socket,
};
use crate::raw::connection::Connection;

/// Accepts calls and completes them when they are cancelled, the last of them `late`.
fn stubborn(late: &Arc<AtomicBool>) -> Arc<Kernel> {
    let late = Arc::clone(late);
    let mut accepted: Vec<CallResult> = Vec::new();
    Kernel::new(move |request| {
        if request.is(Command::Submit) {
            accepted.extend(request.calls().iter().map(|call| CallResult {
                outcome: Outcome::Canceled as u16,
                ..result(call.user_data, -125)
            }));
            return vec![Event::Datagram(ack(request))];
        }
        if request.is(Command::Cancel) {
            let mut events = canceled(request);
            if late.load(Ordering::SeqCst) {
                let last = accepted.pop();
                events.push(Event::Datagram(complete(&std::mem::take(&mut accepted))));
                accepted.extend(last);
            } else {
                events.push(Event::Datagram(complete(&std::mem::take(&mut accepted))));
            }
            return events;
        }
        own_session(request, 0, accepted.len() as u32)
    })
}

fn canceled(request: &Message) -> Vec<Event> {
    let count = (abi::cancel::CANCELED, &1u32.to_ne_bytes()[..]);
    vec![
        Event::Datagram(reply(request, Command::Cancel, &[count])),
        Event::Datagram(ack(request)),
    ]
}

fn cancels(kernel: &Kernel) -> usize {
    kernel
        .log()
        .iter()
        .filter(|message| message.is(Command::Cancel))
        .count()
}

#[test]
fn a_drop_cancels_what_is_in_flight() {
    let kernel = stubborn(&Arc::default());
    let session = open(&kernel);
    session.submit(batch(3)).expect("accepted");
    drop(session);
    let message = kernel.log().pop().expect("a message");
    assert!(message.is(Command::Cancel));
    assert_eq!(message.attributes, [(abi::cancel::ALL, Vec::new())]);
}

#[test]
fn a_drop_with_nothing_in_flight_asks_nothing() {
    let kernel = Kernel::willing();
    drop(open(&kernel));
    assert!(kernel.log().is_empty());
}

#[test]
fn a_drop_waits_for_the_last_completion() {
    let late = Arc::new(AtomicBool::new(true));
    let kernel = stubborn(&late);
    let session = open(&kernel);
    session.submit(batch(2)).expect("accepted");
    let dropped = Arc::new(AtomicBool::new(false));
    let dropping = std::thread::spawn({
        let dropped = Arc::clone(&dropped);
        move || {
            drop(session);
            dropped.store(true, Ordering::SeqCst);
        }
    });
    // It has cancelled, and sleeps: one completion is missing.
    kernel.wait_for_sleepers(1);
    assert!(cancels(&kernel) > 0);
    assert!(!dropped.load(Ordering::SeqCst));
    late.store(false, Ordering::SeqCst);
    kernel.deliver(Event::Datagram(complete(&[result(1, 0)])));
    dropping.join().expect("no panic");
}

#[test]
fn a_drop_believes_the_kernel_that_nothing_is_left() {
    // A call that leaves no completion: SKIP_SUCCESS.
    let kernel = Kernel::new(|request| {
        if request.is(Command::Submit) {
            return vec![Event::Datagram(ack(request))];
        }
        if request.is(Command::Cancel) {
            return canceled(request);
        }
        own_session(request, 0, 0)
    });
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    drop(session);
    assert!(kernel
        .log()
        .pop()
        .expect("a message")
        .is(Command::SessionGet));
}

/// Accepts calls, and completes them when they are cancelled for the third time. Before, what is asked
/// about them fails with one of these numbers after the other.
fn failing(errnos: [i32; 2]) -> Arc<Kernel> {
    let mut errnos = errnos.into_iter();
    let mut accepted: Vec<CallResult> = Vec::new();
    Kernel::new(move |request| {
        if request.is(Command::Submit) {
            accepted.extend(request.results());
            return vec![Event::Datagram(ack(request))];
        }
        if request.is(Command::Cancel) {
            if let Some(errno) = errnos.next() {
                return vec![Event::Failure(errno)];
            }
            let mut events = canceled(request);
            events.push(Event::Datagram(complete(&std::mem::take(&mut accepted))));
            return events;
        }
        own_session(request, 0, accepted.len() as u32)
    })
}

const ENOMEM: i32 = 12;
const EIO: i32 = 5;
const EBADF: i32 = 9;

#[test]
fn a_drop_tries_again_what_fails() {
    let kernel = failing([ENOMEM, EIO]);
    let session = open(&kernel);
    session.submit(batch(2)).expect("accepted");
    drop(session);
    assert_eq!(cancels(&kernel), 3, "then they are over");
}

#[test]
fn a_drop_that_can_wait_for_nothing_ends_the_process() {
    const NAME: &str = "a_drop_that_can_wait_for_nothing_ends_the_process";
    if env::var_os(NAME).is_some() {
        let session = open(&failing([EBADF; 2]));
        session.submit(batch(1)).expect("accepted");
        drop(session);
        return;
    }
    let child = Process::new(env::current_exe().expect("this program"))
        .args([
            &format!("raw::tests::ends::{NAME}"),
            "--exact",
            "--nocapture",
        ])
        .env(NAME, "1")
        .stdout(Stdio::null())
        .output()
        .expect("a process");
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(text.contains("1 calls in flight"), "{text}");
}

#[test]
fn a_drop_in_a_child_process_leaves_the_calls_alone() {
    let kernel = stubborn(&Arc::default());
    let socket = Socket {
        is_owner: false,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    session.submit(batch(1)).expect("the model does not mind");
    drop(session);
    assert_eq!(cancels(&kernel), 0);
}

#[test]
fn abandoning_leaves_the_calls_alone() {
    let kernel = stubborn(&Arc::default());
    let mut session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    session.abandoned = true;
    drop(session);
    assert_eq!(cancels(&kernel), 0);
}
