// SPDX-License-Identifier: MIT OR Apache-2.0

//! Too much at once, and nobody who takes it.

use std::collections::BTreeSet;

use nlcall_abi::{cancel, Command};
use nlcall_tests::{
    calls::{self, call},
    event::Event,
    memory::Memory,
    message::Message,
    patience,
    pipe::Pipe,
    session,
    socket::{RawSocket, Received},
};

use super::{assert_well, getpid};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_hundred_thousand_calls_are_rejected_whole,
    sixty_thousand_calls_of_one_message_complete,
    answers_find_room_beside_completions,
    senders_that_never_read_hold_up_nobody,
];

fn a_hundred_thousand_calls_are_rejected_whole() {
    const CALLS: usize = 100_000;
    let pipe = Pipe::new();
    let many = || {
        let one = calls::write(&pipe.writer, Memory::holding(b"x"));
        (0..CALLS).map(move |_| one.clone())
    };
    // Longer than what a socket of the default size can send.
    let mut small = RawSocket::open();
    let error = small
        .submit_unanswered(many())
        .expect_err("it does not fit");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_well(&mut small);

    let mut socket = RawSocket::with_large_send_buffer();
    let answer = socket.submit(many());
    assert!(
        answer.is_rejection(libc::EAGAIN, "max_in_flight"),
        "{answer:?}"
    );
    assert_well(&mut socket);
    assert_eq!(pipe.take(), b"", "none of them ran");
}

fn sixty_thousand_calls_of_one_message_complete() {
    const CALLS: usize = 60_000;
    let mut socket = RawSocket::with_large_send_buffer();
    socket.accept((0..CALLS as u64).map(|name| calls::getpid().user_data(name)));
    let names: BTreeSet<u64> = socket
        .completions(CALLS)
        .iter()
        .map(|completion| completion.user_data)
        .collect();
    assert_eq!(names.len(), CALLS, "exactly one completion per call");
    assert_well(&mut socket);
}

/// Completions leave half of the buffer to acknowledgements and rejections.
fn answers_find_room_beside_completions() {
    let mut socket = RawSocket::open();
    socket
        .submit_unanswered((0..20_000).map(|_| calls::getpid()).take(2000))
        .expect("it is sent");
    for _ in 0..9 {
        socket
            .submit_unanswered((0..2000).map(|_| calls::getpid()))
            .expect("it is sent");
    }
    patience::until("completions wait for room", || {
        session::of_port(socket.port_id())
            .is_some_and(|it| it.undelivered > 0 && it.undelivered == it.in_flight)
    });
    // Nothing was read so far, and still an answer comes.
    let answer = socket.submit([call(libc::SYS_rt_sigreturn, &[])]);
    assert!(
        answer.is_rejection(libc::EOPNOTSUPP, "rt_sigreturn"),
        "{answer:?}"
    );
    let mut message = Message::new(socket.family(), Command::Cancel);
    message.attribute(cancel::ALL, &[]);
    assert_eq!(socket.request(message).errno, 0);
    assert_eq!(socket.completions(20_000).len(), 20_000);
    assert_well(&mut socket);
}

fn senders_that_never_read_hold_up_nobody() {
    let mut silent: Vec<RawSocket> = (0..20)
        .map(|_| RawSocket::with_smallest_receive_buffer())
        .collect();
    for socket in &mut silent {
        // Acknowledgements fill the buffer too.
        for _ in 0..50 {
            let message = Message::submit(socket.family(), &[getpid(); 20]);
            socket
                .send(&message.bytes())
                .expect("sending does not wait for room");
        }
    }
    let mut socket = RawSocket::open();
    assert_well(&mut socket);
    for socket in &silent {
        patience::until("all calls are over", || {
            session::of_port(socket.port_id())
                .is_some_and(|it| it.accepted == 1000 && it.undelivered == it.in_flight)
        });
    }
    // One of them begins to read after all, and has lost no completion.
    let late = &mut silent[0];
    let mut count = 0;
    patience::until("every completion has come", || loop {
        match late.receive(false) {
            Received::Events(events) => {
                for event in events {
                    if let Event::Completions(list) = event {
                        count += list.len();
                    }
                }
            }
            Received::Overrun => {}
            Received::Nothing => return count == 1000,
        }
    });
    drop(silent);
    assert_well(&mut socket);
}
