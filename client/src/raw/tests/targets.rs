// SPDX-License-Identifier: MIT OR Apache-2.0

//! Data and targets on the wire, and what comes back.

use std::{
    mem::size_of,
    os::fd::{AsFd, AsRawFd},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
};

use netlink_packet_generic::constants::GENL_ID_CTRL;
use nlcall_abi::{self as abi, flag, submit, ArgKind, CallResult, Command};
use proptest::{collection::vec, prelude::*};
use zerocopy::FromBytes;

use super::kernel::{
    ack, batch, call, complete, complete_with, done, family, features_with, open, reject, reply,
    result, take_all, Event, Kernel, Message, Socket, PORT,
};
use crate::{
    raw::{
        connection::Connection, exchange::Patience, Arg, Batch, Call, CallFlags, Chain, Completion,
        Data, Outcome, Results, Target,
    },
    Errno, Error,
};

const ALL_KINDS: u32 = 0b11_1111;
const ALL_ATTRS: u64 = 0b111_1110;

/// A kernel whose module has these features.
fn with_features(
    arg_kinds: u32,
    submit_attrs: u64,
    mut handler: impl FnMut(&Message) -> Vec<Event> + Send + 'static,
) -> Arc<Kernel> {
    Kernel::bare(move |request| {
        if request.is(Command::FeaturesGet) {
            features_with(request, arg_kinds, submit_attrs)
        } else if request.kind == GENL_ID_CTRL {
            family(request, abi::FAMILY_VERSION.into())
        } else if request.is(Command::Cancel) {
            vec![
                Event::Datagram(reply(request, Command::Cancel, &[])),
                Event::Datagram(ack(request)),
            ]
        } else {
            handler(request)
        }
    })
}

/// A kernel whose module knows everything.
fn with_all(handler: impl FnMut(&Message) -> Vec<Event> + Send + 'static) -> Arc<Kernel> {
    with_features(ALL_KINDS, ALL_ATTRS, handler)
}

/// A kernel that knows everything, and accepts and completes all calls.
fn able() -> Arc<Kernel> {
    with_all(|request| {
        vec![
            Event::Datagram(ack(request)),
            Event::Datagram(complete(&request.results())),
        ]
    })
}

fn with_args(args: &[Arg]) -> Call {
    // SAFETY: the model executes nothing.
    unsafe { Call::with_args(7, args) }
}

fn own_process() -> Target {
    Target::open(std::process::id()).expect("this process")
}

/// The message that the kernel got.
fn only(kernel: &Kernel) -> Message {
    let [message] = &kernel.log()[..] else {
        panic!("one message")
    };
    message.clone()
}

#[test]
fn a_target_is_named_by_its_pidfd_in_every_message() {
    let target = own_process();
    let pidfd = target.as_fd().as_raw_fd();
    let kernel = able();
    let socket = Socket {
        message_max: 4096,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let mut calls = batch(100);
    calls.target(&target);
    let submitted = session.submit(calls).expect("accepted");
    assert_eq!(submitted.messages, 2);
    for message in kernel.log() {
        let attribute = (submit::TARGET_PIDFD, pidfd.to_ne_bytes().to_vec());
        assert!(message.attributes.contains(&attribute));
        assert!(message.bytes.len() <= 4096);
    }
    assert_eq!(take_all(&session).len(), 100);
}

#[test]
fn a_batch_keeps_its_target_open() {
    let target = own_process();
    let pidfd = target.as_fd().as_raw_fd();
    let mut calls = batch(1);
    calls.target(&target);
    drop(target);
    let is_open = || std::path::Path::new(&format!("/proc/self/fdinfo/{pidfd}")).exists();
    assert!(is_open());
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).expect("its state");
    assert!(
        info.contains(&format!("Pid:\t{}\n", std::process::id())),
        "{info}"
    );
    open(&able()).submit(calls).expect("accepted");
}

#[test]
fn arguments_in_the_data_have_their_bits() {
    let mut data = Data::new();
    data.put(b"12345678");
    let text = data.put_c_str(c"text");
    let output = data.reserve(0x1234);
    let call = with_args(&[text.address(), output.output(), Arg::Value(9)]);
    let call = call.as_abi();
    assert_eq!(
        call.arg_kinds,
        ArgKind::Data as u32 | (ArgKind::Out as u32) << 4
    );
    assert_eq!(call.args, [8, 16 | 0x1234 << 32, 9, 0, 0, 0]);
}

#[test]
fn data_and_pointers_follow_the_calls() {
    let mut data = Data::new();
    let vector = data.reserve(16);
    let text = data.put(b"hello");
    data.pointer(vector.offset(), text);
    data.write(vector.part(8, 8), &5u64.to_ne_bytes());
    let mut calls = Batch::from(with_args(&[1.into(), vector.address(), 1.into()]));
    calls.data(data);
    let kernel = able();
    let session = open(&kernel);
    session.submit(calls).expect("accepted");
    let message = only(&kernel);
    let kinds: Vec<_> = message.attributes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            submit::CALL_SIZE,
            submit::CALLS,
            submit::RELOC,
            submit::DATA
        ]
    );
    let bytes = b"\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0hello";
    assert_eq!(message.joined(submit::DATA), bytes);
    assert_eq!(message.joined(submit::RELOC), [0, 0, 0, 0, 16, 0, 0, 0]);
    take_all(&session);
}

#[test]
fn zeroes_at_the_end_are_sent_where_no_output_has_them() {
    let sent = |calls: Batch| {
        let kernel = able();
        let session = open(&kernel);
        session.submit(calls).expect("accepted");
        take_all(&session);
        only(&kernel).joined(submit::DATA)
    };
    let mut data = Data::new();
    let head = data.put(b"head");
    let room = data.reserve(100);
    let mut calls = Batch::from(with_args(&[head.address(), room.output()]));
    calls.data(data.clone());
    assert_eq!(sent(calls), b"head");

    // Its beginning is an output, and its end is in the area all the same.
    let mut calls = Batch::from(with_args(&[room.address(), room.part(0, 99).output()]));
    calls.data(data);
    let bytes = sent(calls);
    assert_eq!((&bytes[..4], bytes.len()), (&b"head"[..], 108));
    assert!(bytes[4..].iter().all(|byte| *byte == 0));

    let mut data = Data::new();
    let room = data.reserve(100);
    let mut calls = Batch::from(with_args(&[room.output()]));
    calls.data(data);
    assert_eq!(sent(calls), b"", "the outputs alone make the area");
}

#[test]
fn a_batch_with_data_is_one_message_or_none() {
    let kernel = able();
    let socket = Socket {
        message_max: 4096,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let mut data = Data::new();
    data.put(&[1; 1000]);
    // 4096 bytes less 28 of headers, 4 + 1000 of data, 4 of CALLS: 38 calls of 80 bytes.
    let mut calls = batch(38);
    calls.data(data.clone());
    let submitted = session.submit(calls).expect("accepted");
    assert_eq!((submitted.calls, submitted.messages), (38, 1));

    let mut calls = batch(39);
    calls.data(data);
    let error = session.submit(calls.clone()).expect_err("it does not fit");
    assert!(
        matches!(
            error.error,
            Error::BatchTooLong {
                calls: 39,
                limit: 38
            }
        ),
        "{error:?}"
    );
    assert_eq!((error.accepted, error.rest), (0, calls));
    assert_eq!(kernel.log().len(), 1);
    take_all(&session);
}

#[test]
fn data_without_room_in_a_message_is_an_error() {
    let kernel = able();
    let socket = Socket {
        message_max: 4096,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, None).expect("opened");
    let mut data = Data::new();
    data.put(&[1; 5000]);
    let mut calls = batch(1);
    calls.data(data);
    let error = session.submit(calls).expect_err("it does not fit").error;
    assert!(
        matches!(error, Error::BatchTooLong { calls: 1, limit: 0 }),
        "{error:?}"
    );

    let mut data = Data::new();
    data.reserve(Data::MAX_LEN + 1);
    let mut calls = batch(1);
    calls.data(data);
    let error = session
        .submit(calls)
        .expect_err("no area is so large")
        .error;
    assert!(
        matches!(error, Error::DataTooLong { len } if len == Data::MAX_LEN + 1),
        "{error:?}"
    );
    assert!(kernel.log().is_empty());
}

#[test]
fn a_batch_with_data_waits_for_room_as_a_whole() {
    let kernel = with_all(|request| vec![Event::Datagram(ack(request))]);
    let session = Connection::new(Socket::new(&kernel), Some(10)).expect("opened");
    session.submit(batch(5)).expect("accepted");
    let mut calls = batch(6);
    calls.data(Data::new());
    let error = session.submit(calls).expect_err("five have room");
    assert!(matches!(error.error, Error::InFlightLimit { limit: 10 }));
    assert_eq!((error.accepted, error.rest.len()), (0, 6));
    for index in 0..5 {
        kernel.deliver(Event::Datagram(complete(&[result(index, 0)])));
    }
    take_all(&session);
    session.submit(error.rest).expect("there is room");
    for index in 0..6 {
        kernel.deliver(Event::Datagram(complete(&[result(index, 0)])));
    }
    take_all(&session);
}

#[test]
fn the_rest_of_a_batch_keeps_its_target() {
    let target = own_process();
    let kernel = with_all(|request| {
        vec![Event::Datagram(reject(
            request,
            1,
            Some("not you"),
            None,
            true,
        ))]
    });
    let session = open(&kernel);
    let mut calls = batch(2);
    calls.target(&target).data(Data::new());
    let rejected = session.submit(calls.clone()).expect_err("rejected");
    assert_eq!(rejected.rest, calls);
    // What is not meant for INLINE calls is not left out either.
    let rejected = session.submit_into(&calls, &mut Results::new());
    assert_eq!(rejected.expect_err("rejected").rest, calls);
    let named = |message: &Message| !message.joined(submit::TARGET_PIDFD).is_empty();
    assert!(kernel.log().iter().all(named));
    assert_eq!(kernel.log().len(), 2);
}

#[test]
fn a_module_that_cannot_is_named() {
    let target = own_process();
    for (kinds, attrs, words) in [
        (1, 0b110, ["other processes", "place data"]),
        (ALL_KINDS, 0b10_0110, ["", "place data"]),
        (0b11_1001, ALL_ATTRS, ["", "place data"]),
        (ALL_KINDS, ALL_ATTRS & !0b10_0000, ["other processes", ""]),
    ] {
        let kernel = with_features(kinds, attrs, |request| {
            vec![
                Event::Datagram(ack(request)),
                Event::Datagram(complete(&request.results())),
            ]
        });
        let session = open(&kernel);
        let mut in_target = batch(1);
        in_target.target(&target);
        let mut with_data = batch(1);
        with_data.data(Data::new());
        for (calls, word) in [in_target, with_data].into_iter().zip(words) {
            match session.submit(calls).map_err(|error| error.error) {
                Ok(_) => assert_eq!(word, ""),
                Err(error @ Error::Unsupported { .. }) => {
                    let text = error.to_string();
                    assert!(!word.is_empty() && text.contains(word), "{text}");
                    assert!(text.contains("version 0.1.0"), "{text}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        take_all(&session);
    }
}

#[test]
fn completions_carry_their_outputs() {
    let entry = |user_data, data_off, data_len| CallResult {
        data_off,
        data_len,
        ..result(user_data, 0)
    };
    let kernel = with_all(move |request| {
        let results = [entry(0, 4, 3), entry(1, 0, 0), entry(2, 0, 4)];
        vec![
            Event::Datagram(ack(request)),
            Event::Datagram(complete_with(&results, b"tailout")),
        ]
    });
    let session = open(&kernel);
    session.submit(batch(3)).expect("accepted");
    let take = || -> Completion {
        let taken = session.exchange.completion(Patience::None);
        taken.expect("no error").expect("a completion")
    };
    assert_eq!(take().data(), b"out");
    assert_eq!(take().data(), b"");
    let last = take();
    assert_eq!(last.outcome, Outcome::Ran);
    assert_eq!(last.into_data(), b"tail");
}

#[test]
fn outputs_that_are_not_there_break_the_protocol() {
    let entry = |data_off, data_len| CallResult {
        data_off,
        data_len,
        ..result(0, 0)
    };
    for datagram in [
        complete_with(&[entry(1, 4)], b"four"),
        complete_with(&[entry(5, 1)], b"four"),
        complete_with(&[entry(u32::MAX, u32::MAX)], b"four"),
        complete(&[entry(0, 1)]),
    ] {
        let kernel = able();
        let session = open(&kernel);
        kernel.deliver(Event::Datagram(datagram));
        let error = session.exchange.completion(Patience::None);
        assert!(matches!(error, Err(Error::Protocol(_))), "{error:?}");
    }
}

#[test]
fn a_rejection_of_a_target_keeps_the_kernels_words() {
    let kernel = with_all(|request| {
        vec![Event::Datagram(reject(
            request,
            1,
            Some("TARGET_PIDFD: no right to ptrace it"),
            Some(40),
            true,
        ))]
    });
    let mut calls = batch(1);
    calls.target(&own_process());
    let error = open(&kernel).submit(calls).expect_err("rejected").error;
    assert_eq!(error.errno().map(Errno::raw), Some(1));
    assert!(error.to_string().contains("no right to ptrace it"));
}

#[test]
fn a_field_of_a_single_output_can_be_loaded() {
    let mut data = Data::new();
    let stat = data.reserve(144);
    let mut chain = Chain::new();
    let first = chain.push(with_args(&[1.into(), stat.output()]));
    chain.push(with_args(&[first.load::<u64>(48)]).flags(CallFlags::HARDLINK));
    let two = with_args(&[stat.output(), stat.output()]);
    let load = std::panic::catch_unwind(|| {
        let mut chain = Chain::new();
        let first = chain.push(two);
        chain.push(with_args(&[first.load::<u64>(0)]));
    });
    assert!(load.is_err(), "which of them?");
    let mut calls = Batch::new();
    calls.push(call(1, 1)).push_chain(&chain);
    assert_eq!(calls.as_abi()[1].flags, flag::LINK);
    assert_eq!(calls.as_abi()[2].args[0], 1 | 8 << 24 | 48 << 32);
    assert_eq!(
        calls.as_abi()[1].args[1],
        144 << 32,
        "an offset is no index"
    );
}

/// A session in the kernel's list.
#[derive(Clone, Copy, Default)]
struct Listed {
    port: u32,
    pid: u32,
    target_of: Option<u32>,
    last_seq: u32,
    in_flight: u32,
    skipped: u64,
}

/// A dump of these sessions.
fn sessions(request: &Message, listed: &[Listed]) -> Vec<Event> {
    assert!(request.joined(abi::session::OWN).is_empty());
    let mut datagram = Vec::new();
    for session in listed {
        let numbers = [
            (abi::session::PORTID, session.port),
            (abi::session::PID, session.pid),
            (abi::session::LAST_SEQ, session.last_seq),
            (abi::session::IN_FLIGHT, session.in_flight),
        ];
        let target_of = session.target_of.map(|pid| (abi::session::TARGET_OF, pid));
        let numbers: Vec<_> = numbers
            .into_iter()
            .chain(target_of)
            .map(|(kind, number)| (kind, number.to_ne_bytes()))
            .collect();
        let skipped = session.skipped.to_ne_bytes();
        let mut attributes: Vec<(u16, &[u8])> = vec![(abi::session::SKIPPED, &skipped)];
        attributes.extend(numbers.iter().map(|(kind, number)| (*kind, &number[..])));
        datagram.extend(reply(request, Command::SessionGet, &attributes));
    }
    datagram.extend(done(request, 0));
    vec![Event::Datagram(datagram)]
}

/// The session of this process's socket in another one.
fn abroad() -> Listed {
    Listed {
        port: PORT,
        pid: 1,
        target_of: Some(std::process::id()),
        ..Listed::default()
    }
}

fn in_target(flags: CallFlags) -> Batch {
    let mut calls = Batch::from(call(1, 1).flags(flags));
    calls.target(&own_process());
    calls
}

#[test]
fn a_lost_acknowledgement_is_looked_for_in_the_targets_session() {
    for (in_abroad, others) in [(true, false), (false, false), (false, true)] {
        let mut sequence = 0;
        let kernel = with_all(move |request| {
            if request.is(Command::Submit) {
                sequence = request.sequence;
                return vec![Event::Overrun];
            }
            let own = Listed {
                port: PORT,
                pid: std::process::id(),
                ..Listed::default()
            };
            let last_seq = if in_abroad { sequence } else { 0 };
            let there = Listed {
                last_seq,
                ..abroad()
            };
            let last_seq = if others { sequence } else { 0 };
            // Another socket of this process, and one of another in another network namespace.
            let other = Listed {
                port: 7,
                last_seq,
                ..own
            };
            let stranger = Listed {
                pid: 3,
                last_seq,
                ..own
            };
            sessions(request, &[own, other, there, stranger])
        });
        let session = open(&kernel);
        let submitted = session.submit(in_target(CallFlags::empty()));
        match in_abroad {
            true => {
                submitted.expect("accepted");
                kernel.deliver(Event::Datagram(complete(&[result(1, 0)])));
                take_all(&session);
            }
            false => assert!(matches!(
                submitted.expect_err("rejected").error,
                Error::RejectionLost
            )),
        }
    }
}

#[test]
fn calls_that_were_skipped_in_a_target_are_not_waited_for() {
    // The target's session is there and tells it, or has ended and is forgotten.
    for listed in [
        Some(Listed {
            skipped: 1,
            ..abroad()
        }),
        None,
    ] {
        let kernel = with_all(move |request| {
            if request.is(Command::Submit) {
                return vec![Event::Datagram(ack(request))];
            }
            let own = Listed {
                port: PORT,
                pid: std::process::id(),
                ..Listed::default()
            };
            let all: Vec<_> = listed.into_iter().chain([own]).collect();
            sessions(request, &all)
        });
        let session = open(&kernel);
        session
            .submit(in_target(CallFlags::SKIP_SUCCESS))
            .expect("accepted");
        let waited = session.exchange.completion(Patience::Forever);
        assert!(matches!(waited, Err(Error::NothingInFlight)), "{waited:?}");
    }
}

#[test]
fn a_drop_waits_for_calls_in_a_target() {
    let asked = Arc::new(AtomicU32::new(0));
    let times = Arc::clone(&asked);
    let kernel = with_all(move |request| {
        if request.is(Command::SessionGet) {
            // One completion, the only one, is on its way and was lost: the kernel knows better.
            let in_flight = u32::from(times.fetch_add(1, Ordering::SeqCst) < 2);
            return sessions(
                request,
                &[Listed {
                    in_flight,
                    ..abroad()
                }],
            );
        }
        vec![Event::Datagram(ack(request))]
    });
    let session = open(&kernel);
    session
        .submit(in_target(CallFlags::empty()))
        .expect("accepted");
    drop(session);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn data_of_any_length_arrives_in_one_piece(
        length in prop_oneof![0usize..100, 65_500usize..65_600, 131_000usize..131_200],
        pointers in vec(any::<u16>(), 0..20),
        many in any::<bool>(),
        calls in prop_oneof![1usize..4, 815usize..825],
    ) {
        let mut data = Data::new();
        let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let place = data.put(&bytes);
        // More than one attribute holds.
        let times = if many && length > 8 { 9000 } else { 1 };
        for pointer in pointers.iter().cycle().take(pointers.len() * times) {
            let at = u32::from(*pointer) / 8 * 8;
            if at as usize + 8 <= length {
                data.pointer(at, place);
            }
        }
        let mut batch = batch(calls);
        batch.data(data.clone()).target(&own_process());
        let kernel = able();
        let socket = Socket { message_max: 4 << 20, ..Socket::new(&kernel) };
        let session = Connection::new(socket, None).expect("opened");
        session.submit(batch.clone()).expect("accepted");
        let message = only(&kernel);
        prop_assert_eq!(message.calls(), batch.as_abi());
        prop_assert_eq!(message.joined(submit::DATA), data.bytes());
        let relocs = message.joined(submit::RELOC);
        let relocs: Vec<_> = relocs
            .chunks(size_of::<abi::Reloc>())
            .map(|entry| abi::Reloc::read_from_bytes(entry).expect("a whole entry"))
            .collect();
        prop_assert_eq!(relocs, data.relocs());
        // No entry straddles two attributes.
        for (kind, value) in &message.attributes {
            prop_assert!(*kind != submit::RELOC || value.len() % size_of::<abi::Reloc>() == 0);
        }
        prop_assert_eq!(take_all(&session).len(), calls);
    }
}
