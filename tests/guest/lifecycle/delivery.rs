// SPDX-License-Identifier: MIT OR Apache-2.0

//! The receive buffer is full.

use std::collections::BTreeSet;

use nlcall::raw::{Outcome, Session};
use nlcall_abi::session as attribute;
use nlcall_tests::{calls, event::Event, message::Message, patience, session, socket::RawSocket};

use crate::harness::{scaled, tests, Test};

pub const TESTS: &[Test] = tests![
    a_reader_that_never_reads_loses_nothing,
    a_lost_acknowledgement_can_be_asked_for
];

fn a_reader_that_never_reads_loses_nothing() {
    let messages = scaled(20, 60);
    let per_message = 1000;
    for smallest in [true, false] {
        let mut socket = if smallest {
            RawSocket::with_smallest_receive_buffer()
        } else {
            RawSocket::open()
        };
        let mut next = 0;
        for _ in 0..messages {
            let calls = (0..per_message).map(|_| {
                next += 1;
                calls::getpid().user_data(next - 1)
            });
            socket.submit_unanswered(calls).expect("it is sent");
        }
        // The calls go on executing.
        let total = next;
        patience::until("all calls are over", || {
            session::of_port(socket.port_id()).is_some_and(|session| {
                session.accepted == total && session.undelivered == session.in_flight
            })
        });
        // Nobody else is held up.
        let other = Session::open().expect("a session");
        assert_eq!(
            session::value(&other, calls::getpid()),
            u64::from(std::process::id())
        );

        let completions = socket.completions(total as usize);
        socket.assert_no_more_completions();
        let names: BTreeSet<u64> = completions.iter().map(|it| it.user_data).collect();
        assert_eq!(names.len() as u64, total, "exactly one completion per call");
        assert!(completions
            .iter()
            .all(|it| it.outcome == Outcome::Ran as u16));
        let session = session::of_port(socket.port_id()).expect("the socket is open");
        assert_eq!(
            (session.in_flight, session.delivered),
            (0, total),
            "{session:?}"
        );
    }
}

fn a_lost_acknowledgement_can_be_asked_for() {
    // Nobody reads, so that acknowledgements pile up until the kernel drops one.
    let mut socket = RawSocket::with_smallest_receive_buffer();
    let messages = 200;
    for seq in 1..=messages {
        let call = calls::getpid().user_data(u64::from(seq)).into();
        let mut message = Message::submit(socket.family(), &[call]);
        message.seq = seq;
        // Where the answer found no room, sending succeeds all the same.
        socket.send(&message.bytes()).expect("it is sent");
    }
    let mut acknowledged = BTreeSet::new();
    let mut completed = BTreeSet::new();
    let mut overrun = false;
    let mut file = |events: Vec<Event>| {
        for event in events {
            match event {
                Event::Answer(answer) => {
                    assert_eq!(answer.errno, 0, "{answer:?}");
                    acknowledged.insert(answer.seq);
                }
                Event::Completions(list) => {
                    completed.extend(list.iter().map(|it| it.user_data));
                }
                Event::Reply(..) | Event::Done(_) => {}
            }
        }
        completed.len() == messages as usize
    };
    patience::until("no completion is lost", || {
        let (events, dropped) = socket.drain();
        overrun |= dropped;
        file(events)
    });
    assert!(
        overrun && acknowledged.len() < messages as usize,
        "no acknowledgement was lost"
    );

    // The last SUBMIT was accepted, says the kernel.
    let own = socket.own_session();
    assert_eq!(own.u32(attribute::LAST_SEQ), Some(messages));
    assert_eq!(own.u64(attribute::ACCEPTED), Some(u64::from(messages)));
}
