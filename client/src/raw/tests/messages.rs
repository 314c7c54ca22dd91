// SPDX-License-Identifier: MIT OR Apache-2.0

//! What goes over the wire.

use std::{mem::size_of, time::Duration};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use nlcall_abi::{self as abi, flag, ArgKind, Command, SessionState, Verdict};
use proptest::{collection::vec, prelude::*};
use zerocopy::IntoBytes;

use super::kernel::{
    ack, batch, call, done, open, own_session, reply, take_all, Event, Kernel, Socket,
};
use crate::{
    raw::{connection::Connection, plan, Arg, Call, CallFlags, Cancel, Canceled, Config, Results},
    Error,
};

#[test]
fn a_submit_message_is_exactly_its_calls() {
    let kernel = Kernel::willing();
    let session = open(&kernel);
    let mut args = [1, 2, 3, 4, 5, 0].map(Arg::Value);
    args[5] = Arg::OutPtr(u64::MAX);
    // SAFETY: the model executes nothing.
    let full = unsafe { Call::with_args(257, &args) }
        .user_data(0x0102_0304_0506_0708)
        .flags(CallFlags::DRAIN | CallFlags::from_bits_retain(1 << 31))
        .timeout(Duration::from_micros(3));
    let calls = [full, call(39, 2)];
    let submitted = session
        .submit(calls.iter().cloned().collect())
        .expect("accepted");
    assert_eq!((submitted.calls, submitted.messages), (2, 1));

    let [message] = &kernel.log()[..] else {
        panic!("one message")
    };
    assert!(message.is(Command::Submit));
    assert_eq!(message.version, abi::FAMILY_VERSION);
    assert_eq!(message.flags, NLM_F_REQUEST | NLM_F_ACK);
    assert_ne!(message.sequence, 0, "events have sequence number zero");
    let expected = abi::Call {
        user_data: 0x0102_0304_0506_0708,
        nr: 257,
        flags: flag::DRAIN | 1 << 31,
        args: [1, 2, 3, 4, 5, u64::MAX],
        arg_kinds: (ArgKind::OutPtr as u32) << 20,
        reserved: 0,
        timeout_ns: 3000,
    };
    let second = abi::Call {
        user_data: 2,
        nr: 39,
        ..abi::Call::default()
    };
    assert_eq!(
        message.attributes,
        [
            (abi::submit::CALL_SIZE, 80u32.to_ne_bytes().to_vec()),
            (abi::submit::CALLS, [expected, second].as_bytes().to_vec()),
        ],
    );
    assert_eq!(take_all(&session).len(), 2);
}

#[test]
#[should_panic(expected = "at most six arguments")]
fn a_seventh_argument_is_a_mistake() {
    // SAFETY: it panics.
    let _ = unsafe { Call::new(0, &[0; 7]) };
}

#[test]
fn long_batches_use_several_attributes_of_at_most_65535_bytes() {
    let kernel = Kernel::willing();
    let session = open(&kernel);
    session.submit(batch(2000)).expect("accepted");
    let [message] = &kernel.log()[..] else {
        panic!("one message")
    };
    let lengths: Vec<_> = message.attributes[1..]
        .iter()
        .map(|(_, value)| value.len() / 80)
        .collect();
    assert_eq!(lengths, [819, 819, 362]);
    assert!(
        (819 + 1) * 80 + 4 > u16::MAX.into(),
        "an attribute could hold more"
    );
    assert_eq!(message.calls(), batch(2000).as_abi());
    assert_eq!(take_all(&session), (0..2000).collect::<Vec<_>>());
}

#[test]
fn a_batch_of_any_size_is_sent_in_messages_that_fit() {
    for message_max in [112, 200, 4096, 65_535 + 40, 180_000] {
        let kernel = Kernel::willing();
        let socket = Socket {
            message_max,
            ..Socket::new(&kernel)
        };
        let session = Connection::new(socket, None).expect("opened");
        let calls = 2500;
        let submitted = session.submit(batch(calls)).expect("accepted");
        let log = kernel.log();
        assert_eq!((submitted.calls, submitted.messages), (calls, log.len()));
        let sent: Vec<_> = log.iter().flat_map(|message| message.calls()).collect();
        assert_eq!(sent, batch(calls).as_abi());
        // No message but the last has room for another call in a new attribute.
        let (_, full) = log.split_last().expect("messages");
        assert!(full
            .iter()
            .all(|message| message.bytes.len() + 84 > message_max));
        assert_eq!(take_all(&session).len(), calls);
    }
}

#[test]
fn no_message_has_more_calls_than_may_be_in_flight() {
    let kernel = Kernel::willing();
    let socket = Socket {
        message_max: 4 << 20,
        ..Socket::new(&kernel)
    };
    let session = Connection::new(socket, Some(usize::MAX)).expect("opened");
    session.submit(batch(12_000)).expect("accepted");
    let kernel_of_inline = Kernel::new(|request| {
        request.write(&request.results());
        Vec::new()
    });
    let socket = Socket {
        message_max: 4 << 20,
        ..Socket::new(&kernel_of_inline)
    };
    let inline = Connection::new(socket, None).expect("opened");
    let submitted = inline.submit_into(&batch(12_000), &mut Results::new());
    assert_eq!(submitted.expect("accepted").messages, 3);
    let lengths: Vec<_> = kernel
        .log()
        .iter()
        .map(|message| message.calls().len())
        .collect();
    assert_eq!(lengths, [5000, 5000, 2000]);
    assert_eq!(take_all(&session).len(), 12_000);
}

#[test]
fn an_empty_batch_sends_nothing() {
    let kernel = Kernel::willing();
    let submitted = open(&kernel).submit(batch(0)).expect("nothing to reject");
    assert_eq!((submitted.calls, submitted.messages), (0, 0));
    assert!(kernel.log().is_empty());
}

proptest! {
    #[test]
    fn messages_are_as_long_as_predicted(
        message_max in 124usize..300_000,
        with_results: bool,
    ) {
        let calls = plan::calls_per_message(message_max, with_results);
        let fixed = 16 + 4 + 8 + if with_results { 12 } else { 0 };
        let len = |calls: usize| fixed + calls * 80 + calls.div_ceil(819) * 4;
        prop_assert!(len(calls) <= message_max);
        prop_assert!(len(calls + 1) > message_max);
    }

    #[test]
    fn cutting_keeps_chains_whole(
        links in vec(prop_oneof![Just(0), Just(flag::LINK), Just(flag::HARDLINK)], 1..60),
        limit in 1usize..12,
    ) {
        let calls: Vec<_> =
            links.iter().map(|&flags| abi::Call { flags, ..abi::Call::default() }).collect();
        let mut rest = &calls[..];
        while !rest.is_empty() {
            match plan::next_message(rest, limit) {
                Ok(count) => {
                    prop_assert!((1..=limit).contains(&count));
                    prop_assert!(count == rest.len() || rest[count - 1].flags == 0);
                    rest = &rest[count..];
                }
                Err(Error::ChainTooLong { calls, limit: reported }) => {
                    prop_assert_eq!(reported, limit);
                    prop_assert!(calls > limit);
                    prop_assert!(rest[..calls - 1].iter().all(|call| call.flags != 0));
                    break;
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }
}

#[test]
fn a_cancel_names_what_and_returns_both_numbers() {
    let kernel = Kernel::new(|request| {
        let attributes: &[(u16, &[u8])] = &[
            (abi::cancel::CANCELED, &3u32.to_ne_bytes()),
            (abi::cancel::INTERRUPTED, &4u32.to_ne_bytes()),
        ];
        vec![
            Event::Datagram(reply(request, Command::Cancel, attributes)),
            Event::Datagram(ack(request)),
        ]
    });
    let session = open(&kernel);
    for (what, attribute) in [
        (
            Cancel::UserData(9),
            (abi::cancel::USER_DATA, 9u64.to_ne_bytes().to_vec()),
        ),
        (
            Cancel::Fd(-1),
            (abi::cancel::FD, (-1i32).to_ne_bytes().to_vec()),
        ),
        (
            Cancel::Nr(35),
            (abi::cancel::NR, 35u32.to_ne_bytes().to_vec()),
        ),
        (Cancel::All, (abi::cancel::ALL, Vec::new())),
    ] {
        let found = session.cancel(what).expect("accepted");
        assert_eq!(
            found,
            Canceled {
                canceled: 3,
                interrupted: 4
            }
        );
        let message = kernel.log().pop().expect("a message");
        assert!(message.is(Command::Cancel));
        assert_eq!(message.attributes, [attribute]);
    }
}

#[test]
fn features_are_read_at_open() {
    let session = open(&Kernel::willing());
    let features = &session.features;
    assert_eq!((features.call_size, features.result_size), (80, 32));
    assert_eq!(features.call_flags, CallFlags::DRAIN);
    assert!(features.supports_arg_kind(ArgKind::Value));
    assert!(!features.supports_arg_kind(ArgKind::Data));
    assert!(features.supports_submit_attr(abi::submit::CALLS));
    assert!(!features.supports_submit_attr(abi::submit::DATA));
    assert!(!features.supports_submit_attr(u16::MAX));
    assert_eq!((features.max_in_flight, features.max_workers), (5000, 64));
    assert_eq!(features.kernel, "7.3.4-model");
    assert_eq!(features.policy_hash, 0x1234_5678_9abc_def0);
    assert_eq!(features.module_version, "0.1.0");
}

#[test]
fn the_policy_table_comes_in_several_datagrams() {
    let kernel = Kernel::new(|request| {
        assert!(request.is(Command::SyscallGet));
        assert_eq!(request.flags, NLM_F_REQUEST | NLM_F_DUMP);
        let entry = |nr: u32, name: &[u8], verdict: Verdict, reason: Option<&[u8]>| {
            let verdict = (verdict as u32).to_ne_bytes();
            let nr = nr.to_ne_bytes();
            let mut attributes = vec![
                (abi::syscall::NR, &nr[..]),
                (abi::syscall::NAME, name),
                (abi::syscall::VERDICT, &verdict),
            ];
            attributes.extend(reason.map(|reason| (abi::syscall::REASON, reason)));
            reply(request, Command::SyscallGet, &attributes)
        };
        let mut first = entry(0, b"read\0", Verdict::Both, None);
        first.extend(entry(
            15,
            b"rt_sigreturn\0",
            Verdict::Refused,
            Some(b"works on registers\0"),
        ));
        vec![
            Event::Datagram(first),
            Event::Datagram(entry(56, b"clone\0", Verdict::InlineOnly, Some(b"why\0"))),
            Event::Datagram(done(request, 0)),
        ]
    });
    let table = open(&kernel).syscalls().expect("a table");
    let table: Vec<_> = table
        .iter()
        .map(|it| (it.nr, it.name.as_str(), it.verdict, it.reason.as_deref()))
        .collect();
    assert_eq!(
        table,
        [
            (0, "read", Verdict::Both, None),
            (
                15,
                "rt_sigreturn",
                Verdict::Refused,
                Some("works on registers")
            ),
            (56, "clone", Verdict::InlineOnly, Some("why")),
        ],
    );
}

#[test]
fn sessions_are_read_with_what_is_known_of_them() {
    let kernel = Kernel::new(|request| own_session(request, 12, 3));
    let session = open(&kernel);
    let own = session.own_info().expect("an answer").expect("a session");
    assert_eq!(
        (own.id, own.comm.as_str(), own.last_seq, own.in_flight),
        (7, "model", 12, 3)
    );
    assert_eq!((own.state, own.saturated), (SessionState::Open, true));
    assert_eq!(session.sessions().expect("an answer"), [own]);

    let [own, all] = &kernel.log()[..] else {
        panic!("two messages")
    };
    assert_eq!(own.attributes, [(abi::session::OWN, Vec::new())]);
    assert_eq!(all.attributes, []);
    assert_eq!(size_of::<abi::CallResult>(), 32);
}

#[test]
fn what_a_session_did_is_read_and_may_be_missing() {
    let latency = abi::Latency {
        nr: 0,
        count: 4,
        total_ns: 10_000,
        buckets: std::array::from_fn(|bucket| u32::from(bucket < 3) + u32::from(bucket == 1)),
        ..abi::Latency::default()
    };
    let others = abi::Latency {
        nr: u32::MAX,
        ..abi::Latency::default()
    };
    let kernel = Kernel::new(move |request| {
        let long = [
            (abi::session::SKIPPED, 1u64.to_ne_bytes()),
            (abi::session::CANCELED, 2u64.to_ne_bytes()),
            (abi::session::TIMED_OUT, 3u64.to_ne_bytes()),
            (abi::session::INLINE, 4u64.to_ne_bytes()),
        ];
        let idle = 5u32.to_ne_bytes();
        let sender = 77u32.to_ne_bytes();
        let mut attributes: Vec<(u16, &[u8])> = vec![
            (abi::session::IDLE, &idle),
            (abi::session::TARGET_OF, &sender),
            (abi::session::LATENCY, latency.as_bytes()),
            (abi::session::LATENCY, others.as_bytes()),
        ];
        attributes.extend(long.iter().map(|(kind, value)| (*kind, &value[..])));
        let mut datagram = reply(request, Command::SessionGet, &attributes);
        datagram.extend(done(request, 0));
        vec![Event::Datagram(datagram)]
    });
    let own = open(&kernel)
        .own_info()
        .expect("an answer")
        .expect("a session");
    assert_eq!(
        (
            own.skipped,
            own.canceled,
            own.timed_out,
            own.inline,
            own.idle
        ),
        (1, 2, 3, 4, 5)
    );
    assert_eq!(own.target_of, Some(77));
    let [reads, others] = &own.latency[..] else {
        panic!("{:?}", own.latency)
    };
    assert_eq!(
        (reads.nr, reads.count, others.nr, others.count),
        (Some(0), 4, None, 0)
    );
    // One call took less than 1024 ns, two less than 2048, one less than 4096.
    let nanos = |part| reads.percentile(part).map(|it| it.as_nanos());
    assert_eq!(
        [0.0, 0.25, 0.5, 0.75].map(nanos),
        [1024, 1024, 2048, 2048].map(Some)
    );
    assert_eq!([0.76, 0.99, 1.0].map(nanos), [4096, 4096, 4096].map(Some));
    assert_eq!(reads.mean(), Some(Duration::from_nanos(2500)));
    assert_eq!((others.percentile(0.5), others.mean()), (None, None));

    let older = open(&Kernel::new(|request| own_session(request, 0, 0)));
    let own = older.own_info().expect("an answer").expect("a session");
    assert_eq!((own.skipped, own.idle, own.latency), (0, 0, Vec::new()));
    assert_eq!(own.target_of, None);
}

#[test]
fn settings_are_read_and_those_that_are_given_are_set() {
    let kernel = Kernel::new(|request| {
        if request.is(Command::ConfigSet) {
            return vec![Event::Datagram(ack(request))];
        }
        assert!(request.is(Command::ConfigGet));
        let attributes: &[(u16, &[u8])] = &[
            (abi::config::ACCESS, b"everyone\0"),
            (abi::config::MAX_IN_FLIGHT, &7u32.to_ne_bytes()),
            (abi::config::IDLE_MS, &0u32.to_ne_bytes()),
            (1000, b"from the future"),
        ];
        vec![
            Event::Datagram(reply(request, Command::ConfigGet, attributes)),
            Event::Datagram(ack(request)),
        ]
    });
    let session = open(&kernel);
    let config = session.config().expect("an answer");
    let expected = Config {
        access: Some("everyone".to_owned()),
        max_in_flight: Some(7),
        idle_ms: Some(0),
        ..Config::default()
    };
    assert_eq!(config, expected);

    let change = Config {
        access: Some("root".to_owned()),
        max_running: Some(2),
        max_inline_bytes: Some(1 << 20),
        ..Config::default()
    };
    session.set_config(&change).expect("accepted");
    let message = kernel.log().pop().expect("a message");
    assert_eq!(
        message.attributes,
        [
            (abi::config::ACCESS, b"root\0".to_vec()),
            (abi::config::MAX_RUNNING, 2u32.to_ne_bytes().to_vec()),
            (
                abi::config::MAX_INLINE_BYTES,
                (1u32 << 20).to_ne_bytes().to_vec()
            ),
        ]
    );
}
