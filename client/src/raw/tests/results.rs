// SPDX-License-Identifier: MIT OR Apache-2.0

//! INLINE calls, and results in memory.

use std::sync::{Arc, Mutex};

use nlcall_abi::{self as abi, CallResult, Command, Outcome};
use proptest::{collection::vec, prelude::*};

use super::kernel::{
    ack, batch, call, complete, done, open, reject, result, skipping_session, take_all, Event,
    Kernel, Message, Socket,
};
use crate::{
    raw::{connection::Connection, exchange::Patience, Batch, CallFlags, Results},
    Error,
};

const EINVAL: i32 = 22;

/// A kernel that writes all results; it acknowledges where that is asked for.
fn writing() -> Arc<Kernel> {
    Kernel::new(|request| {
        request.write(&request.results());
        acknowledged(request)
    })
}

/// An acknowledgement, where it is asked for.
fn acknowledged(request: &Message) -> Vec<Event> {
    match request.flags & netlink_packet_core::NLM_F_ACK {
        0 => Vec::new(),
        _ => vec![Event::Datagram(ack(request))],
    }
}

fn values(results: &Results) -> Vec<(u64, i64)> {
    results.iter().map(|it| (it.user_data, it.ret)).collect()
}

/// What [`Message::results`] says of `batch(calls)`.
fn expected(calls: usize) -> Vec<(u64, i64)> {
    (0..calls)
        .map(|index| (index as u64, index as i64 % 400 + 1000))
        .collect()
}

#[test]
fn results_are_in_memory_and_no_message_comes_back() {
    let kernel = writing();
    let session = open(&kernel);
    let mut results = Results::new();
    for calls in [64, 1, 3] {
        let submitted = session
            .submit_into(&batch(calls), &mut results)
            .expect("accepted");
        assert_eq!((submitted.calls, submitted.messages), (calls, 1));
        assert_eq!(values(&results), expected(calls));
        assert_eq!(results.len(), calls);
        assert_eq!(results.get(0).expect("a result").ret, 1000);
        assert_eq!(results.get(calls), None);
        assert_eq!(session.exchange.in_flight(), 0);
    }
    assert_eq!(results.capacity(), 64, "the memory is used again");
    let log = kernel.log();
    assert!(
        log.iter().all(|message| message.flags & 4 == 0),
        "no ACK is asked for"
    );
    let kinds: Vec<_> = log[0].attributes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            abi::submit::CALL_SIZE,
            abi::submit::RESULTS_PTR,
            abi::submit::CALLS
        ]
    );
}

#[test]
fn an_empty_batch_has_no_results() {
    let kernel = writing();
    let session = open(&kernel);
    let mut results = Results::with_capacity(4);
    session
        .submit_into(&batch(2), &mut results)
        .expect("accepted");
    session
        .submit_into(&batch(0), &mut results)
        .expect("nothing to reject");
    assert!(results.is_empty());
    assert_eq!(kernel.log().len(), 1);
}

#[test]
fn the_results_of_several_messages_follow_each_other() {
    for message_max in [124, 210, 4096, 65_535 + 52, 180_000] {
        let kernel = writing();
        let socket = Socket {
            message_max,
            ..Socket::new(&kernel)
        };
        let session = Connection::new(socket, Some(1)).expect("opened");
        let mut results = Results::new();
        let submitted = session
            .submit_into(&batch(2500), &mut results)
            .expect("accepted");
        let log = kernel.log();
        assert_eq!((submitted.calls, submitted.messages), (2500, log.len()));
        assert_eq!(values(&results), expected(2500));
        let (_, full) = log.split_last().expect("messages");
        assert!(full
            .iter()
            .all(|message| message.bytes.len() + 84 > message_max));
    }
}

#[test]
fn results_that_could_not_be_written_come_as_completions() {
    let kernel = Kernel::new(|request| {
        let results = request.results();
        request.write(&results[..3]);
        vec![Event::Datagram(complete(&results[3..]))]
    });
    let session = open(&kernel);
    let mut results = Results::new();
    let submitted = session
        .submit_into(&batch(5), &mut results)
        .expect("accepted");
    assert_eq!(submitted.calls, 5);
    assert_eq!(values(&results), expected(3));
    assert_eq!(session.exchange.in_flight(), 2);
    assert_eq!(take_all(&session), [3, 4]);
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn a_rejected_message_leaves_the_results_before_it() {
    let mut messages = 0;
    let kernel = Kernel::new(move |request| {
        messages += 1;
        if messages == 2 {
            let text = Some("call 1: not INLINE");
            return vec![Event::Datagram(reject(request, EINVAL, text, None, true))];
        }
        request.write(&request.results());
        Vec::new()
    });
    let socket = Socket {
        message_max: 40 + 4 + 2 * 80,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let mut results = Results::new();
    let error = session
        .submit_into(&batch(5), &mut results)
        .expect_err("the second message is rejected");
    assert!(matches!(error.error, Error::Rejected { .. }), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (2, 3));
    assert_eq!(error.rest.as_abi(), &batch(5).as_abi()[2..]);
    assert_eq!(values(&results), expected(2));
    assert_eq!(session.exchange.in_flight(), 0);
    session
        .submit_into(&error.rest, &mut results)
        .expect("accepted");
    assert_eq!(values(&results), expected(5)[2..]);
}

#[test]
fn a_message_that_cannot_be_sent_is_handed_back() {
    let kernel = writing();
    let socket = Socket {
        send_max: 100,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let error = session
        .submit_into(&batch(2), &mut Results::new())
        .expect_err("too long");
    assert!(matches!(error.error, Error::Io { .. }), "{error:?}");
    assert_eq!((error.accepted, error.rest), (0, batch(2)));
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn calls_without_a_trace_count_as_in_flight() {
    // Nothing was written, and whatever was to say so is lost.
    let kernel = Kernel::new(|request| match request.is(Command::Submit) {
        true => vec![Event::Overrun],
        false => vec![
            Event::Datagram(ack(request)),
            Event::Datagram(complete(&[result(0, 0), result(1, 0)])),
        ],
    });
    let session = open(&kernel);
    let mut results = Results::new();
    let error = session
        .submit_into(&batch(2), &mut results)
        .expect_err("no answer");
    assert!(matches!(error.error, Error::Unanswered), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (2, 0));
    assert_eq!(
        session.exchange.in_flight(),
        2,
        "the drop has to wait for them"
    );
}

#[test]
fn a_first_result_says_that_the_message_was_accepted() {
    let kernel = Kernel::new(|request| {
        request.write(&request.results()[..1]);
        vec![Event::Overrun]
    });
    let session = open(&kernel);
    let mut results = Results::new();
    session
        .submit_into(&batch(2), &mut results)
        .expect("accepted");
    assert_eq!((results.len(), session.exchange.in_flight()), (1, 1));
    kernel.deliver(Event::Datagram(complete(&[result(1, 0)])));
    assert_eq!(take_all(&session), [1]);
}

#[test]
fn a_result_that_is_not_understood_is_an_error() {
    let kernel = Kernel::new(|request| {
        let mut results = request.results();
        results[1].outcome = 77;
        request.write(&results);
        Vec::new()
    });
    let session = open(&kernel);
    let mut results = Results::new();
    let error = session
        .submit_into(&batch(3), &mut results)
        .expect_err("an unknown outcome");
    assert!(matches!(error.error, Error::Protocol(_)), "{error:?}");
    assert_eq!((error.accepted, error.rest.len(), results.len()), (3, 0, 1));
    assert_eq!(session.exchange.in_flight(), 0, "they have ended");
}

#[test]
fn results_say_how_a_call_ended() {
    let kernel = Kernel::new(|request| {
        let mut results = request.results();
        results[1] = CallResult {
            outcome: Outcome::NotStarted as u16,
            ..result(1, -4)
        };
        request.write(&results);
        Vec::new()
    });
    let mut results = Results::new();
    open(&kernel)
        .submit_into(&batch(2), &mut results)
        .expect("accepted");
    let outcomes: Vec<_> = results.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ran, Outcome::NotStarted]);
}

#[test]
fn the_child_of_a_fork_touches_nothing() {
    let kernel = Kernel::new(|_| vec![Event::InChild]);
    let socket = Socket {
        is_owner: false,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let error = session
        .submit_into(&batch(2), &mut Results::new())
        .expect_err("a child");
    assert!(matches!(error.error, Error::InChild), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (0, 0));
    let error = session.submit(batch(1000)).expect_err("a child");
    assert!(matches!(error.error, Error::InChild), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (0, 0));
}

/// A call that writes no result where it succeeds: where its number is even.
fn skipping(index: u64) -> crate::raw::Call {
    call(index as u32, index).flags(CallFlags::INLINE | CallFlags::SKIP_SUCCESS)
}

fn failures(request: &Message) -> Vec<CallResult> {
    let mut results = request.results();
    results.retain(|result| result.user_data % 2 == 1);
    results
}

#[test]
fn calls_without_a_completion_are_in_flight_until_the_kernel_is_asked() {
    let mut skipped = 0;
    let kernel = Kernel::new(move |request| {
        if request.is(Command::SessionGet) {
            return skipping_session(request, 0, skipped);
        }
        let failures = failures(request);
        skipped += (request.calls().len() - failures.len()) as u64;
        request.write(&failures);
        acknowledged(request)
    });
    let session = open(&kernel);
    let mut results = Results::new();
    let batch: Batch = (0..10).map(skipping).collect();
    for _ in 0..2 {
        session.submit_into(&batch, &mut results).expect("accepted");
        assert_eq!(results.len(), 5);
    }
    assert_eq!(session.exchange.in_flight(), 10, "an upper bound");
    let error = session.exchange.completion(Patience::Forever);
    assert!(
        matches!(error, Err(Error::NothingInFlight)),
        "waiting does not hang: {error:?}"
    );
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn a_message_all_of_whose_calls_succeeded_silently_was_accepted() {
    let kernel = Kernel::new(|request| match request.is(Command::Submit) {
        true => {
            request.write(&[]);
            acknowledged(request)
        }
        false => vec![Event::Datagram(done(request, 0))],
    });
    let session = open(&kernel);
    let mut results = Results::new();
    let batch: Batch = [skipping(0), skipping(2)].into_iter().collect();
    let submitted = session.submit_into(&batch, &mut results).expect("accepted");
    assert_eq!((submitted.calls, results.len()), (2, 0));
}

proptest! {
    /// However the messages are cut and whatever is written, each call ends in exactly one way.
    #[test]
    fn every_call_has_a_result_or_a_completion(
        fates in vec(any::<bool>(), 1..80),
        per_message in 1usize..20,
    ) {
        // The indices of the results that the kernel could not write.
        let lost = Arc::new(Mutex::new(Vec::new()));
        let kernel = Kernel::new({
            let (lost, fates) = (Arc::clone(&lost), fates.clone());
            move |request| {
                let (written, missing): (Vec<_>, Vec<_>) = request
                    .results()
                    .into_iter()
                    .partition(|result| fates[result.user_data as usize]);
                request.write(&written);
                lost.lock().expect("no panic").extend(missing.iter().map(|it| it.user_data));
                match missing.is_empty() {
                    true => Vec::new(),
                    false => vec![Event::Datagram(complete(&missing))],
                }
            }
        });
        let socket = Socket { message_max: 44 + per_message * 80, ..Socket::new(&kernel) };
        let session = Connection::new(socket, None).expect("opened");
        let mut results = Results::new();
        // A message of which nothing at all was written cannot be told from one whose rejection
        // was lost: it ends the submission, and counts as accepted.
        let mut rest = batch(fates.len());
        let mut written = Vec::new();
        loop {
            let end = session.submit_into(&rest, &mut results);
            written.extend(results.iter().map(|it| it.user_data));
            match end {
                Ok(_) => break,
                Err(error) => {
                    prop_assert!(matches!(error.error, Error::Unanswered), "{:?}", error);
                    rest = error.rest;
                }
            }
        }
        let lost = lost.lock().expect("no panic").clone();
        prop_assert_eq!(session.exchange.in_flight(), lost.len());
        prop_assert_eq!(take_all(&session), lost.clone());
        prop_assert_eq!(session.exchange.in_flight(), 0);
        let mut all = [written, lost].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..fates.len() as u64).collect::<Vec<_>>());
    }
}
