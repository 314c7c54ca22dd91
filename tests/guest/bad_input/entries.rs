// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that cannot be executed, and calls with arguments that make no sense.

use std::mem::size_of;

use nlcall::raw::{Call, Outcome};
use nlcall_abi::{submit, Call as WireCall, Command};
use nlcall_tests::{
    calls::{call, Arg},
    memory::Memory,
    message::Message,
    pipe::Pipe,
    socket::RawSocket,
};
use zerocopy::IntoBytes;

use super::{assert_invalid, assert_well, getpid};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    unknown_call_flags_are_rejected,
    a_batch_of_no_calls_is_rejected,
    call_sizes_are_checked,
    addresses_of_the_kernel_are_the_calls_own_error,
];

/// Flags that join a call to the next one.
const LINKS: u32 = nlcall_abi::flag::LINK | nlcall_abi::flag::HARDLINK;

fn unknown_call_flags_are_rejected() {
    let mut socket = RawSocket::open();
    let inline = nlcall_abi::flag::INLINE.trailing_zeros();
    for bit in (0..u32::BITS).filter(|bit| *bit != inline) {
        let call = WireCall {
            flags: 1 << bit,
            ..getpid()
        };
        let message = Message::submit(socket.family(), &[call]);
        let answer = socket.request(message);
        if call.flags & !LINKS & nlcall_abi::flag::KNOWN != 0 {
            assert_eq!(answer.errno, 0, "{bit}: {answer:?}");
            continue;
        }
        // One that is known joins the call to the next, which is not there.
        let word = if call.flags & LINKS == 0 {
            "unknown flags"
        } else {
            "no call follows"
        };
        assert!(answer.is_rejection(libc::EINVAL, word), "{bit}: {answer:?}");
        assert!(answer.text.starts_with("call 0:"), "{bit}: {answer:?}");
    }
    // That of DRAIN; SKIP_SUCCESS has none.
    socket.completions(1);
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
