// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever is sent, the module rejects it clearly or serves it correctly, and goes on.

mod fuzz;

use std::{collections::BTreeSet, mem::size_of};

use nlcall::raw::{Call, Outcome};
use nlcall_abi::{cancel, submit, Call as WireCall, Command};
use nlcall_tests::{
    calls::{self, call, Arg},
    memory::Memory,
    message::{Message, ACK, DUMP, REQUEST},
    patience,
    pipe::Pipe,
    session,
    socket::{Answer, Event, RawSocket, Received},
};
use zerocopy::IntoBytes;

use self::fuzz::mutated_messages_do_no_harm;
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    truncated_messages_are_rejected_or_ignored,
    attributes_with_wrong_lengths_are_rejected,
    misaligned_attributes_are_rejected,
    unknown_attributes_are_rejected,
    unknown_commands_are_rejected,
    another_version_is_rejected,
    reserved_fields_must_be_zero,
    wrong_netlink_flags_are_rejected,
    unknown_call_flags_are_rejected,
    a_batch_of_no_calls_is_rejected,
    call_sizes_are_checked,
    a_hundred_thousand_calls_are_rejected_whole,
    sixty_thousand_calls_of_one_message_complete,
    addresses_of_the_kernel_are_the_calls_own_error,
    a_cancel_names_exactly_one_thing,
    several_messages_of_one_datagram_are_served,
    answers_find_room_beside_completions,
    senders_that_never_read_hold_up_nobody,
    mutated_messages_do_no_harm,
];

/// Checks that the module answers, executes, and has nothing left of what was before.
fn assert_well(socket: &mut RawSocket) {
    socket.accept([calls::getpid().user_data(77)]);
    let completion = socket.completions(1)[0];
    assert_eq!(
        (completion.user_data, completion.ret),
        (77, i64::from(std::process::id()))
    );
    socket.assert_no_more_completions();
    patience::until("the kernel has delivered everything", || {
        let session = session::of_port(socket.port_id()).expect("the socket has a session");
        session.in_flight == 0 && session.accepted == session.delivered
    });
}

fn getpid() -> WireCall {
    calls::getpid().into()
}

fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.errno, libc::EINVAL, "{answer:?}");
    assert!(!answer.text.is_empty(), "{answer:?}");
}

/// Sends bytes that may get an answer or none, and returns the error number of the answer.
fn provoke(socket: &mut RawSocket, bytes: &[u8]) -> Option<i32> {
    // Netlink itself may refuse the datagram.
    if socket.send(bytes).is_err() {
        return None;
    }
    let (events, _) = socket.drain();
    events.into_iter().find_map(|event| match event {
        Event::Answer(answer) => Some(answer.errno),
        _ => None,
    })
}

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

fn unknown_commands_are_rejected() {
    let mut socket = RawSocket::open();
    let known: BTreeSet<u8> = [
        Command::Submit,
        Command::Cancel,
        Command::FeaturesGet,
        Command::SessionGet,
        Command::SyscallGet,
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
        for command in [Command::Submit, Command::Cancel, Command::FeaturesGet] {
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

fn unknown_call_flags_are_rejected() {
    let mut socket = RawSocket::open();
    for bit in 0..u32::BITS {
        let call = WireCall {
            flags: 1 << bit,
            ..getpid()
        };
        let message = Message::submit(socket.family(), &[call]);
        let answer = socket.request(message);
        let errno = if call.flags & nlcall_abi::flag::KNOWN == 0 {
            libc::EINVAL
        } else {
            libc::EOPNOTSUPP
        };
        assert!(answer.is_rejection(errno, "call 0:"), "{bit}: {answer:?}");
    }
    assert_well(&mut socket);
}

fn a_batch_of_no_calls_is_rejected() {
    let mut socket = RawSocket::open();
    let family = socket.family();
    assert_invalid(&socket.request(Message::new(family, Command::Submit)));
    assert_invalid(&socket.request(Message::submit(family, &[])));
    let mut message = Message::submit(family, &[]);
    message.attribute(submit::CALLS, &[]);
    assert_invalid(&socket.request(message));
    let mut message = Message::new(family, Command::Submit);
    message.attribute(submit::CALLS, getpid().as_bytes());
    let answer = socket.request(message);
    assert!(answer.is_rejection(libc::EINVAL, "CALL_SIZE"), "{answer:?}");
    assert_well(&mut socket);
}

fn call_sizes_are_checked() {
    let mut socket = RawSocket::open();
    let known = size_of::<WireCall>();
    let of_size = |size: usize, fill: u8| {
        let mut message = Message::new(socket.family(), Command::Submit);
        message.attribute(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
        let mut bytes = getpid().as_bytes().to_vec();
        bytes.resize(size.max(1), fill);
        message.attribute(submit::CALLS, &bytes[..size.min(60_000)]);
        message
    };
    let wrong = [
        0,
        1,
        known - 8,
        known - 1,
        known + 1,
        known + 4,
        1 << 16,
        usize::MAX >> 32,
    ];
    let messages: Vec<Message> = wrong
        .iter()
        .map(|size| {
            let mut message = of_size(known, 0);
            message.body[4..8].copy_from_slice(&(*size as u32).to_ne_bytes());
            message
        })
        .collect();
    let (larger, dirty) = (of_size(known + 64, 0), of_size(known + 64, 1));
    for message in messages {
        assert_invalid(&socket.request(message));
    }
    // A call of a later version, whose new fields say nothing.
    assert_eq!(socket.request(larger).errno, 0);
    assert_eq!(socket.completions(1)[0].ret, i64::from(std::process::id()));
    let answer = socket.request(dirty);
    assert!(answer.is_rejection(libc::E2BIG, "call 0:"), "{answer:?}");
    assert_well(&mut socket);
}

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

fn addresses_of_the_kernel_are_the_calls_own_error() {
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    pipe.fill(b"not to be lost");
    // The direct map, the module area, the vsyscall page, beyond what is canonical, and page zero.
    let addresses = [
        0xffff_8880_0000_0000,
        0xffff_ffff_c000_0000,
        0xffff_ffff_ff60_0000,
        0x8000_0000_0000_0000,
        0x0000_8000_0000_0000,
        0xffff_ffff_ffff_f000,
        0,
    ];
    let mut named: Vec<Call> = Vec::new();
    for address in addresses {
        let at = Arg::wild(address);
        let reader = Arg::from(&pipe.reader);
        let writer = Arg::from(&pipe.writer);
        let cwd = libc::AT_FDCWD.into();
        named.extend([
            call(libc::SYS_read, &[reader, at, 4.into()]),
            call(libc::SYS_write, &[writer, at, 4.into()]),
            call(libc::SYS_readv, &[reader, at, 1.into()]),
            call(libc::SYS_openat, &[cwd, at, 0.into()]),
            call(
                libc::SYS_newfstatat,
                &[cwd, Memory::string("/").into(), at, 0.into()],
            ),
            call(libc::SYS_uname, &[at]),
            call(libc::SYS_pipe2, &[at, 0.into()]),
            call(libc::SYS_clock_gettime, &[libc::CLOCK_REALTIME.into(), at]),
            call(libc::SYS_nanosleep, &[at, 0.into()]),
        ]);
    }
    let count = named.len();
    socket.accept(
        (0..)
            .zip(named.clone())
            .map(|(name, call)| call.user_data(name)),
    );
    for completion in socket.completions(count) {
        let call = named[completion.user_data as usize].as_abi();
        assert_eq!(completion.outcome, Outcome::Ran as u16, "{call:?}");
        assert_eq!(completion.ret, -i64::from(libc::EFAULT), "{call:?}");
    }
    assert_eq!(pipe.take(), b"not to be lost");
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
