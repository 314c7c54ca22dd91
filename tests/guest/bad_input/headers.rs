// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands, versions and flags that do not exist.

use std::collections::BTreeSet;

use nlcall_abi::{cancel, Call as WireCall, Command};
use nlcall_tests::{
    message::{Message, ACK, DUMP, REQUEST},
    pipe::Pipe,
    socket::RawSocket,
};

use super::{assert_invalid, assert_well, getpid, provoke};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    unknown_commands_are_rejected,
    another_version_is_rejected,
    wrong_netlink_flags_are_rejected,
    reserved_fields_must_be_zero,
    a_cancel_names_exactly_one_thing,
];

fn unknown_commands_are_rejected() {
    let mut socket = RawSocket::open();
    let known: BTreeSet<u8> = [
        Command::Submit,
        Command::Cancel,
        Command::FeaturesGet,
        Command::SessionGet,
        Command::SyscallGet,
        Command::ConfigGet,
        Command::ConfigSet,
        Command::TraceStart,
    ]
    .map(|command| command as u8)
    .into();
    for command in (0..=u8::MAX).filter(|command| !known.contains(command)) {
        let mut message = Message::submit(socket.family(), &[getpid()]);
        message.command = command;
        let answer = socket.request(message);
        assert_eq!(
            answer.errno,
            libc::EOPNOTSUPP,
            "command {command}: {answer:?}"
        );
    }
    assert_well(&mut socket);
}

fn another_version_is_rejected() {
    let mut socket = RawSocket::open();
    for version in [0, 2, u8::MAX] {
        for command in [
            Command::Submit,
            Command::Cancel,
            Command::FeaturesGet,
            Command::ConfigGet,
            Command::ConfigSet,
        ] {
            let mut message = Message::new(socket.family(), command);
            message.version = version;
            let answer = socket.request(message);
            assert!(answer.is_rejection(libc::EINVAL, "version"), "{answer:?}");
        }
        for command in [Command::SessionGet, Command::SyscallGet] {
            let mut message = Message::new(socket.family(), command);
            message.version = version;
            message.flags = REQUEST | DUMP | ACK;
            let answer = socket.request(message);
            assert_eq!(answer.errno, libc::EINVAL, "{answer:?}");
        }
    }
    assert_well(&mut socket);
}

fn wrong_netlink_flags_are_rejected() {
    let mut socket = RawSocket::open();
    // A dump of what cannot be dumped, and the other way round.
    let mut message = Message::submit(socket.family(), &[getpid()]);
    message.flags = REQUEST | ACK | DUMP;
    assert_eq!(socket.request(message).errno, libc::EOPNOTSUPP);
    let message = Message::new(socket.family(), Command::SyscallGet);
    assert_eq!(socket.request(message).errno, libc::EOPNOTSUPP);
    // Bits that mean nothing for a generic-netlink request.
    for bit in [0x10, 0x20, 0x40, 0x80, 0x1000, 0x8000] {
        let mut message = Message::submit(socket.family(), &[getpid()]);
        message.flags |= bit;
        assert_invalid(&socket.request(message));
    }
    // No request at all: netlink passes it over.
    let mut message = Message::submit(socket.family(), &[getpid()]);
    message.flags = 0;
    assert_eq!(provoke(&mut socket, &message.bytes()), None);
    assert_well(&mut socket);
}

fn reserved_fields_must_be_zero() {
    let mut socket = RawSocket::open();
    let mut message = Message::submit(socket.family(), &[getpid()]);
    message.reserved = 1;
    assert_invalid(&socket.request(message));

    let fields = [
        (
            WireCall {
                reserved: 1,
                ..getpid()
            },
            "reserved",
        ),
        (
            WireCall {
                arg_kinds: 1 << 24,
                ..getpid()
            },
            "arg_kinds",
        ),
        (
            WireCall {
                arg_kinds: 1 << 31,
                ..getpid()
            },
            "arg_kinds",
        ),
    ];
    for (call, word) in fields {
        let message = Message::submit(socket.family(), &[getpid(), call]);
        let answer = socket.request(message);
        assert!(answer.is_rejection(libc::EINVAL, word), "{answer:?}");
        assert!(answer.text.starts_with("call 1:"), "{answer:?}");
    }
    assert_well(&mut socket);
}

fn a_cancel_names_exactly_one_thing() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    socket.accept([pipe.read_call().user_data(5)]);
    let attributes: [(u16, &[u8]); 4] = [
        (cancel::USER_DATA, &5_u64.to_ne_bytes()),
        (cancel::FD, &5_i32.to_ne_bytes()),
        (cancel::NR, &0_u32.to_ne_bytes()),
        (cancel::ALL, &[]),
    ];
    assert_invalid(&socket.request(Message::new(socket.family(), Command::Cancel)));
    for (first, payload) in attributes {
        for (second, other) in attributes {
            if first != second {
                let mut message = Message::new(socket.family(), Command::Cancel);
                message.attribute(first, payload).attribute(second, other);
                assert_invalid(&socket.request(message));
            }
        }
    }
    // ALL is a flag: it has no value.
    let mut message = Message::new(socket.family(), Command::Cancel);
    message.attribute(cancel::ALL, &[1]);
    assert_ne!(socket.request(message).errno, 0);
    pipe.fill(b"x");
    assert_eq!(socket.completions(1)[0].ret, 1, "nothing was cancelled");
    assert_well(&mut socket);
}
