// SPDX-License-Identifier: MIT OR Apache-2.0

//! Acknowledgements, rejections and completions, in any order, and what is lost on the way.

use nlcall_abi::{CallResult, Command, Outcome, Restart};
use proptest::{collection::vec, prelude::*};

use super::kernel::{
    ack, batch, call, complete, done, family, open, own_session, reject, result, take_all, Event,
    Kernel, Socket, FAMILY,
};
use crate::{
    raw::{connection::Connection, exchange::Patience, sys::DATAGRAM_MAX, CallFlags},
    Errno, Error,
};

const EINVAL: i32 = 22;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;
const ENOENT: i32 = 2;
const ENOBUFS: i32 = 105;

#[test]
fn without_the_family_the_module_is_missing() {
    let kernel =
        Kernel::bare(|request| vec![Event::Datagram(reject(request, ENOENT, None, None, true))]);
    let error = Connection::new(Socket::new(&kernel), None)
        .err()
        .expect("no family");
    assert!(matches!(error, Error::ModuleMissing));
    assert!(error.to_string().contains("modprobe nlcall"));
    assert!(error.to_string().contains("cargo xtask vm"));
}

#[test]
fn another_version_of_the_family_is_refused() {
    let kernel = Kernel::bare(|request| family(request, 2));
    let error = Connection::new(Socket::new(&kernel), None)
        .err()
        .expect("no such version");
    assert!(
        matches!(
            error,
            Error::WrongVersion {
                found: 2,
                expected: 1
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_completion_says_what_the_call_returned() {
    let results = [
        result(1, 4096),
        result(2, -9),
        result(3, -4095),
        result(4, -4096),
        CallResult {
            outcome: Outcome::Interrupted as u16,
            restart: Restart::Sys as u16,
            ..result(5, -4)
        },
    ];
    let kernel = Kernel::willing();
    let session = open(&kernel);
    kernel.deliver(Event::Datagram(complete(&results)));
    let next = || {
        session
            .exchange
            .completion(Patience::None)
            .unwrap()
            .unwrap()
    };
    assert_eq!(next().result(), Ok(4096));
    let failed = next();
    assert_eq!(failed.result(), Err(Errno::from_raw(9)));
    assert_eq!(
        failed.result().unwrap_err().to_string(),
        "EBADF (Bad file descriptor)"
    );
    assert!(failed.ran());
    assert_eq!(next().result(), Err(Errno::from_raw(4095)));
    assert_eq!(
        next().result(),
        Ok(-4096i64 as u64),
        "no error number, so an address"
    );
    let interrupted = next();
    assert_eq!(
        (interrupted.outcome, interrupted.restart),
        (Outcome::Interrupted, Restart::Sys)
    );
    assert!(!interrupted.ran());
}

#[test]
fn completions_that_overtake_the_acknowledgement_are_kept() {
    let kernel = Kernel::new(|request| {
        let results = request.results();
        // The last one shares a datagram with the acknowledgement.
        let mut last = complete(&results[2..]);
        last.extend(ack(request));
        vec![
            Event::Datagram(complete(&results[..2])),
            Event::Datagram(last),
        ]
    });
    let session = open(&kernel);
    session.submit(batch(3)).expect("accepted");
    assert_eq!(session.exchange.in_flight(), 3, "none was taken yet");
    assert_eq!(take_all(&session), [0, 1, 2]);
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn completions_within_a_dump_are_kept() {
    let kernel = Kernel::new(|request| {
        let mut events = vec![Event::Datagram(complete(&[result(1, 0)]))];
        events.extend(own_session(request, 0, 1));
        events.insert(2, Event::Datagram(complete(&[result(2, 0)])));
        events
    });
    let session = open(&kernel);
    assert!(session.own_info().expect("an answer").is_some());
    assert_eq!(take_all(&session), [1, 2]);
}

#[test]
fn answers_to_other_requests_are_not_taken_for_ours() {
    let kernel = Kernel::new(|request| {
        let mut stranger = request.clone();
        stranger.sequence = request.sequence + 1000;
        vec![
            Event::Datagram(reject(&stranger, EINVAL, Some("not yours"), None, true)),
            Event::Datagram(ack(request)),
        ]
    });
    let session = open(&kernel);
    session.submit(batch(1)).expect("accepted");
    assert_eq!(session.exchange.in_flight(), 1);
    kernel.deliver(Event::Datagram(complete(&[result(0, 0)])));
    assert_eq!(take_all(&session), [0]);
}

#[test]
fn a_rejection_carries_the_kernels_words_and_the_place() {
    for capped in [true, false] {
        let kernel = Kernel::new(move |request| {
            let text = Some("call 1: unknown flag 0x80000000");
            vec![Event::Datagram(reject(
                request,
                EINVAL,
                text,
                Some(112),
                capped,
            ))]
        });
        let session = open(&kernel);
        let error = session.submit(batch(3)).expect_err("rejected");
        assert_eq!((error.accepted, &error.rest), (0, &batch(3)));
        assert_eq!(session.exchange.in_flight(), 0);
        assert_eq!(
            error.error.to_string(),
            "the kernel rejected the request: call 1: unknown flag 0x80000000: \
             EINVAL (Invalid argument)",
        );
        let Error::Rejected {
            errno,
            message,
            attr_offset,
        } = error.error
        else {
            panic!("{error:?}");
        };
        assert_eq!(errno, Errno::from_raw(EINVAL));
        assert_eq!(message.as_deref(), Some("call 1: unknown flag 0x80000000"));
        assert_eq!(attr_offset, Some(112));
    }
}

#[test]
fn a_rejection_without_words_is_still_one() {
    for capped in [true, false] {
        let kernel = Kernel::new(move |request| {
            vec![Event::Datagram(reject(request, EAGAIN, None, None, capped))]
        });
        let error = Error::from(open(&kernel).submit(batch(1)).expect_err("rejected"));
        assert_eq!(error.errno(), Some(Errno::from_raw(EAGAIN)));
        assert!(matches!(
            error,
            Error::Rejected {
                message: None,
                attr_offset: None,
                ..
            }
        ));
    }
}

#[test]
fn a_rejected_message_hands_back_exactly_what_was_not_accepted() {
    let mut messages = 0;
    let kernel = Kernel::new(move |request| {
        messages += 1;
        if messages == 3 {
            let text = Some("the limit of calls in flight is reached");
            return vec![Event::Datagram(reject(request, EAGAIN, text, None, true))];
        }
        vec![
            Event::Datagram(ack(request)),
            Event::Datagram(complete(&request.results())),
        ]
    });
    let socket = Socket {
        message_max: 28 + 4 + 10 * 80,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let error = session
        .submit(batch(35))
        .expect_err("the third message is rejected");
    assert_eq!(error.accepted, 20);
    assert_eq!(error.rest.as_abi(), &batch(35).as_abi()[20..]);
    assert_eq!(error.to_string(), "20 calls were accepted, 15 were not");
    assert_eq!(take_all(&session), (0..20).collect::<Vec<_>>());
    session.submit(error.rest).expect("the limit is gone");
    assert_eq!(take_all(&session), (20..35).collect::<Vec<_>>());
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn the_sessions_own_limit_lets_through_what_fits() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(ack(request))]);
    let session = Connection::new(Socket::new(&kernel), Some(5)).expect("opened");
    let error = session
        .submit(batch(8))
        .expect_err("eight are more than five");
    assert!(matches!(error.error, Error::InFlightLimit { limit: 5 }));
    assert_eq!((error.accepted, error.rest.len()), (5, 3));
    kernel.deliver(Event::Datagram(complete(&[result(0, 0), result(1, 0)])));
    assert_eq!(take_all(&session), [0, 1]);
    // A chain of three is more than the two that there is room for; a shorter one is not.
    let linked = |data| call(0, data).flags(CallFlags::LINK);
    let error = session.submit([linked(5), linked(6), call(0, 7)].into_iter().collect());
    let error = error.expect_err("a chain is not cut");
    assert!(matches!(error.error, Error::InFlightLimit { limit: 5 }));
    assert_eq!((error.accepted, error.rest.len()), (0, 3));
    session
        .submit([linked(5), call(0, 6)].into_iter().collect())
        .expect("it fits");
    let rest: Vec<_> = (2..7).map(|data| result(data, 0)).collect();
    kernel.deliver(Event::Datagram(complete(&rest)));
    assert_eq!(take_all(&session), [2, 3, 4, 5, 6]);
}

#[test]
fn a_chain_that_no_message_holds_is_an_error_of_its_own() {
    let kernel = Kernel::willing();
    let socket = Socket {
        message_max: 28 + 4 + 2 * 80,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let linked = |data| call(0, data).flags(CallFlags::HARDLINK);
    let chain = [call(0, 0), linked(1), linked(2), call(0, 3), call(0, 4)];
    let error = session
        .submit(chain.into_iter().collect())
        .expect_err("too long");
    assert!(
        matches!(error.error, Error::ChainTooLong { calls: 3, limit: 2 }),
        "{error:?}"
    );
    assert_eq!((error.accepted, error.rest.len()), (1, 4));
    assert_eq!(take_all(&session), [0]);
}

#[test]
fn a_lost_acknowledgement_of_an_accepted_message_is_no_error() {
    let mut submitted = 0;
    let kernel = Kernel::new(move |request| {
        if request.is(Command::Submit) {
            submitted = request.sequence;
            return vec![
                Event::Datagram(complete(&request.results())),
                Event::Overrun,
            ];
        }
        own_session(request, submitted, 2)
    });
    let session = open(&kernel);
    let submitted = session.submit(batch(2)).expect("accepted");
    assert_eq!((submitted.calls, submitted.messages), (2, 1));
    assert_eq!(take_all(&session), [0, 1], "no completion is lost with it");
}

#[test]
fn a_lost_rejection_is_known_to_be_one() {
    let kernel = Kernel::new(move |request| {
        if request.is(Command::Submit) {
            return vec![Event::Overrun];
        }
        own_session(request, request.sequence - 2, 0)
    });
    let session = open(&kernel);
    let error = session.submit(batch(2)).expect_err("rejected");
    assert!(matches!(error.error, Error::RejectionLost), "{error:?}");
    assert_eq!((error.accepted, error.rest), (0, batch(2)));
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn without_a_session_a_lost_answer_was_a_rejection() {
    let kernel = Kernel::new(move |request| {
        if request.is(Command::Submit) {
            return vec![Event::Overrun];
        }
        vec![Event::Datagram(done(request, 0))]
    });
    let error = open(&kernel).submit(batch(1)).expect_err("rejected");
    assert!(matches!(error.error, Error::RejectionLost), "{error:?}");
}

#[test]
fn calls_whose_fate_is_unknown_count_as_in_flight() {
    let mut deaf = true;
    let kernel = Kernel::new(move |request| {
        if request.is(Command::Submit) {
            return vec![Event::Overrun];
        }
        if request.is(Command::Cancel) {
            deaf = false;
        }
        if deaf {
            return Vec::new();
        }
        vec![
            Event::Datagram(ack(request)),
            Event::Datagram(complete(&[result(0, 0)])),
        ]
    });
    let session = open(&kernel);
    let error = session.submit(batch(1)).expect_err("no answer at all");
    assert!(matches!(error.error, Error::Unanswered), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (1, 0));
    assert_eq!(
        session.exchange.in_flight(),
        1,
        "the drop has to wait for it"
    );
}

#[test]
fn calls_whose_answer_is_not_understood_count_as_in_flight() {
    let kernel = Kernel::new(|request| {
        vec![
            Event::Datagram(vec![1, 2, 3]),
            Event::Datagram(ack(request)),
        ]
    });
    let session = open(&kernel);
    let error = session
        .submit(batch(2))
        .expect_err("nonsense before the answer");
    assert!(matches!(error.error, Error::Protocol(_)), "{error:?}");
    assert_eq!((error.accepted, error.rest.len()), (2, 0));
    assert_eq!(session.exchange.in_flight(), 2);
    kernel.deliver(Event::Datagram(complete(&[result(0, 0), result(1, 0)])));
    assert_eq!(take_all(&session), [0, 1]);
}

#[test]
fn calls_that_could_not_be_sent_are_handed_back() {
    let kernel = Kernel::willing();
    // It takes no message of more than one call, and does not say so beforehand.
    let socket = Socket {
        send_max: 112,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let error = session.submit(batch(2)).expect_err("too long");
    assert!(
        matches!(
            error.error,
            Error::Io {
                operation: "sending a message",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!((error.accepted, error.rest), (0, batch(2)));
    assert_eq!(session.exchange.in_flight(), 0);
}

#[test]
fn an_overrun_loses_no_completion() {
    let kernel = Kernel::willing();
    let session = open(&kernel);
    kernel.deliver(Event::Overrun);
    kernel.deliver(Event::Datagram(complete(&[result(1, 0)])));
    kernel.deliver(Event::Overrun);
    kernel.deliver(Event::Datagram(complete(&[result(2, 0)])));
    assert_eq!(take_all(&session), [1, 2]);
}

#[test]
fn a_dump_is_begun_again_where_the_kernel_had_no_room() {
    for errno in [ENOBUFS, EBUSY] {
        let mut attempts = 0;
        let kernel = Kernel::new(move |request| {
            attempts += 1;
            match attempts {
                1 => vec![Event::Datagram(reject(request, errno, None, None, true))],
                2 => vec![Event::Datagram(done(request, -errno))],
                3 => vec![Event::Overrun],
                _ => own_session(request, 0, 0),
            }
        });
        assert!(open(&kernel)
            .own_info()
            .expect("the fourth succeeds")
            .is_some());
        assert_eq!(kernel.log().len(), 4);
    }
}

#[test]
fn a_dump_that_fails_says_why() {
    let kernel = Kernel::new(|request| vec![Event::Datagram(done(request, -EINVAL))]);
    let error = open(&kernel).syscalls().expect_err("broken off");
    assert_eq!(error.errno(), Some(Errno::from_raw(EINVAL)));
    assert_eq!(kernel.log().len(), 1, "and is not begun again");
}

#[test]
fn a_message_that_was_cut_off_is_an_error() {
    let kernel = Kernel::willing();
    let session = open(&kernel);
    kernel.deliver(Event::Datagram(vec![0; DATAGRAM_MAX + 1]));
    let error = session
        .exchange
        .completion(Patience::None)
        .expect_err("it has no end");
    assert!(matches!(error, Error::Truncated { length } if length == DATAGRAM_MAX + 1));
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let unknown_outcome = CallResult {
        outcome: 99,
        ..result(1, 0)
    };
    let mut ragged = complete(&[result(1, 0)]);
    // The attribute and the message lose four bytes of the result.
    ragged.truncate(ragged.len() - 4);
    let (message_len, attr_len) = (ragged.len() as u32, ragged.len() as u16 - 20);
    ragged[..4].copy_from_slice(&message_len.to_ne_bytes());
    ragged[20..22].copy_from_slice(&attr_len.to_ne_bytes());
    for datagram in [complete(&[unknown_outcome]), ragged, vec![1, 2, 3]] {
        let kernel = Kernel::willing();
        let session = open(&kernel);
        kernel.deliver(Event::Datagram(datagram));
        let error = session
            .exchange
            .completion(Patience::None)
            .expect_err("nonsense");
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    }
}

proptest! {
    /// However the kernel packs results into messages and messages into datagrams, and wherever
    /// the acknowledgement is among them: each completion comes out once, in order.
    #[test]
    fn every_completion_comes_out_once(
        packing in vec((1usize..9, any::<bool>()), 1..12),
        ack_at in 0usize..12,
    ) {
        let total: usize = packing.iter().map(|(count, _)| count).sum();
        let kernel = Kernel::new(move |request| {
            let results = request.results();
            let mut rest = &results[..];
            let mut datagrams = vec![Vec::new()];
            for (at, &(count, starts_datagram)) in packing.iter().enumerate() {
                if starts_datagram {
                    datagrams.push(Vec::new());
                }
                let datagram = datagrams.last_mut().unwrap();
                if at == ack_at.min(packing.len() - 1) {
                    datagram.extend(ack(request));
                }
                let (now, later) = rest.split_at(count);
                datagram.extend(complete(now));
                rest = later;
            }
            datagrams.into_iter().filter(|it| !it.is_empty()).map(Event::Datagram).collect()
        });
        let session = open(&kernel);
        session.submit(batch(total)).unwrap();
        prop_assert_eq!(take_all(&session), (0..total as u64).collect::<Vec<_>>());
        prop_assert_eq!(session.exchange.in_flight(), 0);
    }

    /// Whatever bytes arrive, they are an error or they are nothing, never a panic.
    #[test]
    fn no_datagram_panics(
        kind in prop_oneof![Just(2u16), Just(3), Just(4), Just(16), Just(FAMILY)],
        flags in any::<u16>(),
        sequence in 0u32..4,
        payload in vec(any::<u8>(), 0..80),
        length_error in prop_oneof![9 => Just(0i32), 1 => -80i32..80],
    ) {
        let kernel = Kernel::willing();
        let session = open(&kernel);
        let mut datagram = Vec::new();
        let length = (16 + payload.len() as i32 + length_error).max(0) as u32;
        datagram.extend(length.to_ne_bytes());
        datagram.extend(kind.to_ne_bytes());
        datagram.extend(flags.to_ne_bytes());
        datagram.extend(sequence.to_ne_bytes());
        datagram.extend([0; 4]);
        datagram.extend(payload);
        kernel.deliver(Event::Datagram(datagram.clone()));
        let _ = session.exchange.completion(Patience::None);
        // The same as the answer to a request.
        drop(session);
        let kernel = Kernel::new(move |request| {
            let mut datagram = datagram.clone();
            datagram[8..12].copy_from_slice(&request.sequence.to_ne_bytes());
            vec![Event::Datagram(datagram)]
        });
        let _ = open(&kernel).syscalls();
    }
}
