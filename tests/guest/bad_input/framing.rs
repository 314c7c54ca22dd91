// SPDX-License-Identifier: MIT OR Apache-2.0

//! What netlink looks at before the module does: lengths, alignment, attributes.

use std::collections::BTreeSet;

use nlcall_abi::{cancel, submit, Call as WireCall, Command};
use nlcall_tests::{event::Event, message::Message, patience, socket::RawSocket};
use zerocopy::IntoBytes;

use super::{assert_invalid, assert_well, getpid, provoke};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    truncated_messages_are_rejected_or_ignored,
    attributes_with_wrong_lengths_are_rejected,
    misaligned_attributes_are_rejected,
    unknown_attributes_are_rejected,
    several_messages_of_one_datagram_are_served,
];

fn truncated_messages_are_rejected_or_ignored() {
    let mut socket = RawSocket::open();
    let whole = Message::submit(socket.family(), &[getpid(), getpid()]).bytes();
    for length in 0..whole.len() {
        // The header claims more than there is: netlink looks at nothing of it.
        assert_eq!(
            provoke(&mut socket, &whole[..length]),
            None,
            "{length} bytes"
        );
        // The header says how short it is.
        let mut honest = whole[..length].to_vec();
        if length >= 4 {
            honest[..4].copy_from_slice(&(length as u32).to_ne_bytes());
        }
        let errno = provoke(&mut socket, &honest);
        assert_ne!(errno, Some(0), "{length} bytes are no batch");
    }
    // A header that claims less than itself.
    for claimed in 0..16 {
        let mut message = Message::submit(socket.family(), &[getpid()]);
        message.len = Some(claimed);
        assert_eq!(
            provoke(&mut socket, &message.bytes()),
            None,
            "{claimed} bytes claimed"
        );
    }
    assert_well(&mut socket);
}

fn attributes_with_wrong_lengths_are_rejected() {
    let mut socket = RawSocket::open();
    let family = socket.family();
    let calls = [getpid(), getpid()];
    // nla_len of CALLS, from nothing to far beyond the end of the message.
    let right = 4 + calls.as_bytes().len() as u16;
    for claimed in (0..right + 40).chain([1000, u16::MAX - 3, u16::MAX]) {
        let mut message = Message::new(family, Command::Submit);
        message.attribute(submit::CALL_SIZE, &80_u32.to_ne_bytes());
        message.attribute_claiming(claimed, submit::CALLS, calls.as_bytes());
        // One whole call and a rest that reads as attributes is right by chance only.
        if claimed == right {
            continue;
        }
        let answer = socket.request(message);
        assert_invalid(&answer);
    }
    // Sizes of the numbers.
    for len in [0, 1, 2, 3, 5, 8] {
        let mut message = Message::new(family, Command::Submit);
        message.attribute(submit::CALL_SIZE, &[80; 8][..len]);
        message.attribute(submit::CALLS, calls.as_bytes());
        assert_ne!(socket.request(message).errno, 0, "CALL_SIZE of {len} bytes");
        let mut message = Message::new(family, Command::Cancel);
        message.attribute(cancel::USER_DATA, &[1; 8][..len.min(7)]);
        assert_ne!(socket.request(message).errno, 0, "USER_DATA of {len} bytes");
    }
    // A call that is cut in two by the border of two attributes.
    let mut message = Message::new(family, Command::Submit);
    message.attribute(submit::CALL_SIZE, &80_u32.to_ne_bytes());
    message.attribute(submit::CALLS, &calls.as_bytes()[..100]);
    message.attribute(submit::CALLS, &calls.as_bytes()[100..]);
    assert_invalid(&socket.request(message));
    assert_well(&mut socket);
}

fn misaligned_attributes_are_rejected() {
    let mut socket = RawSocket::open();
    for shift in 1..4 {
        let mut message = Message::submit(socket.family(), &[getpid()]);
        // The attributes begin where none may begin.
        message.body.splice(0..0, vec![0; shift]);
        assert_invalid(&socket.request(message));
        let mut message = Message::submit(socket.family(), &[getpid()]);
        // So does the second one.
        message.body.splice(8..8, vec![0; shift]);
        assert_invalid(&socket.request(message));
        // Bytes behind the last one.
        let mut message = Message::submit(socket.family(), &[getpid()]);
        message.body.extend(vec![0xff; shift]);
        assert_invalid(&socket.request(message));
    }
    assert_well(&mut socket);
}

fn unknown_attributes_are_rejected() {
    let mut socket = RawSocket::open();
    for kind in [0, submit::MAX + 1, 100, 0x3fff] {
        let mut message = Message::submit(socket.family(), &[getpid()]);
        message.attribute(kind, &[0; 4]);
        assert_invalid(&socket.request(message));
        let mut message = Message::new(socket.family(), Command::Cancel);
        message.attribute(cancel::ALL, &[]);
        message.attribute(
            if kind == submit::MAX + 1 {
                cancel::MAX + 1
            } else {
                kind
            },
            &[0; 4],
        );
        assert_invalid(&socket.request(message));
    }
    // Attributes of a command that takes none.
    let mut message = Message::new(socket.family(), Command::FeaturesGet);
    message.attribute(1, &[0; 4]);
    assert_invalid(&socket.request(message));
    // NLA_F_NESTED on what is no nest.
    let mut message = Message::new(socket.family(), Command::Submit);
    message.attribute(submit::CALL_SIZE | 0x8000, &80_u32.to_ne_bytes());
    message.attribute(submit::CALLS | 0x8000, getpid().as_bytes());
    assert_invalid(&socket.request(message));
    // The same attribute twice.
    let mut message = Message::submit(socket.family(), &[getpid()]);
    message.attribute(submit::CALL_SIZE, &80_u32.to_ne_bytes());
    assert_invalid(&socket.request(message));
    assert_well(&mut socket);
}

fn several_messages_of_one_datagram_are_served() {
    let mut socket = RawSocket::open();
    let mut bytes = Vec::new();
    for seq in 0..10 {
        let call = WireCall {
            user_data: u64::from(seq),
            ..getpid()
        };
        let mut message = Message::submit(socket.family(), &[call]);
        message.seq = 1000 + seq;
        // Every third one is wrong, and the others do not suffer from it.
        if seq % 3 == 2 {
            message.version = 9;
        }
        bytes.extend(message.bytes());
    }
    // The last one is cut off.
    bytes.extend_from_slice(&Message::submit(socket.family(), &[getpid()]).bytes()[..30]);
    socket.send(&bytes).expect("netlink takes the datagram");
    let (mut answers, mut names) = (Vec::new(), BTreeSet::new());
    patience::until("all messages are answered", || {
        for event in socket.drain().0 {
            match event {
                Event::Answer(answer) => answers.push(answer),
                Event::Completions(list) => names.extend(list.iter().map(|it| it.user_data)),
                Event::Reply(..) | Event::Done(_) => {}
            }
        }
        answers.len() == 10 && names.len() == 7
    });
    for answer in answers {
        let wrong = answer.seq % 3 == (1000 + 2) % 3;
        assert_eq!(
            answer.errno,
            if wrong { libc::EINVAL } else { 0 },
            "{answer:?}"
        );
    }
    assert!(names.into_iter().eq([0, 1, 3, 4, 6, 7, 9]));
    assert_well(&mut socket);
}
