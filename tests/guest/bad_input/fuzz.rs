// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages that were right once.

use fastrand::Rng;
use nix::{
    sys::resource::{setrlimit, Resource},
    unistd::{setresgid, setresuid, Gid, Uid},
};
use nlcall_abi::{cancel, session as attribute, submit, Call, Command};
use nlcall_tests::{
    message::{Message, ACK, DUMP, REQUEST},
    patience,
    pipe::Pipe,
    process::Child,
    session,
    socket::RawSocket,
};
use zerocopy::IntoBytes;

use crate::harness::{note, scaled};

/// A user that owns nothing.
const NOBODY: u32 = 54322;

/// Every message follows from this.
const SEED: u64 = 28;

/// Messages between two looks at the module.
const ROUND: usize = 100;

pub fn mutated_messages_do_no_harm() {
    // Mutated calls may do whatever their process may do: it may do little, and is alone.
    let mut child = Child::fork(|channel| {
        let nothing = Pipe::new();
        nix::unistd::dup2_stdin(&nothing.reader).expect("standard input");
        drop(nothing);
        setrlimit(Resource::RLIMIT_NOFILE, 64, 64).expect("RLIMIT_NOFILE");
        setrlimit(Resource::RLIMIT_FSIZE, 0, 0).expect("RLIMIT_FSIZE");
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        setresgid(gid, gid, gid).expect("becoming another group");
        setresuid(uid, uid, uid).expect("becoming another user");
        let (accepted, messages) = fuzz(scaled(3000, 50_000));
        channel.put(accepted);
        channel.put(messages);
    });
    let accepted = child.channel().try_get();
    let messages = child.channel().try_get();
    child.succeed();
    let (accepted, messages) = (accepted.expect("a count"), messages.expect("a count"));
    assert!(
        accepted > 0,
        "no mutated message was accepted: the mutations are too wild"
    );
    note(format_args!(
        "{messages} messages, {accepted} calls of them accepted, seed {SEED}"
    ));
}

/// Sends so many messages; returns how many calls were accepted, and the messages.
fn fuzz(messages: usize) -> (u64, u64) {
    let mut random = Rng::with_seed(SEED);
    let mut accepted = 0;
    for _ in 0..messages / ROUND {
        let mut socket = RawSocket::open();
        for _ in 0..ROUND {
            let mut bytes = valid(&mut random, socket.family());
            for _ in 0..random.usize(1..4) {
                mutate(&mut random, &mut bytes);
            }
            // Netlink may refuse the datagram, and the answer may be lost: both are fine.
            let _ = socket.send(&bytes);
            if random.u8(0..8) == 0 {
                socket.drain();
            }
        }
        socket.drain();
        // A fresh socket, since the old one may be under a mutated call's spell.
        let mut fresh = RawSocket::open();
        fresh.accept([nlcall_tests::calls::getpid()]);
        assert_eq!(fresh.completions(1)[0].ret, i64::from(std::process::id()));
        let port_id = socket.port_id();
        accepted += session::of_port(port_id).map_or(0, |session| session.accepted);
        drop(socket);
        patience::until("the session is gone", || {
            session::of_port(port_id).is_none()
        });
    }
    (accepted, messages as u64)
}

/// Calls whose every word is 0 or 39: read where it is shifted, it is `read(0, ...)` or `getpid()`.
fn calls(random: &mut Rng) -> Vec<Call> {
    let call = Call {
        user_data: 39 << 32,
        nr: 39,
        ..Call::default()
    };
    vec![call; random.usize(1..6)]
}

fn valid(random: &mut Rng, family: u16) -> Vec<u8> {
    let mut message = match random.u8(0..10) {
        0 => {
            let mut message = Message::new(family, Command::Cancel);
            match random.u8(0..4) {
                0 => message.attribute(cancel::USER_DATA, &random.u64(..).to_ne_bytes()),
                1 => message.attribute(cancel::FD, &random.i32(-1..8).to_ne_bytes()),
                2 => message.attribute(cancel::NR, &random.u32(0..500).to_ne_bytes()),
                _ => message.attribute(cancel::ALL, &[]),
            };
            message
        }
        1 => Message::new(family, Command::FeaturesGet),
        2 => {
            let mut message = Message::new(family, Command::SessionGet);
            message.flags = REQUEST | DUMP;
            message.attribute(attribute::OWN, &[]);
            message
        }
        3 => {
            let mut message = Message::new(family, Command::SyscallGet);
            message.flags = REQUEST | DUMP;
            message
        }
        4 => {
            // Several attributes, and entries of a later version.
            let mut message = Message::new(family, Command::Submit);
            message.attribute(submit::CALL_SIZE, &88_u32.to_ne_bytes());
            for call in calls(random) {
                let mut bytes = call.as_bytes().to_vec();
                bytes.resize(88, 0);
                message.attribute(submit::CALLS, &bytes);
            }
            message
        }
        _ => Message::submit(family, &calls(random)),
    };
    message.seq = random.u32(..);
    if random.bool() {
        message.flags &= !ACK;
    }
    message.bytes()
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(0..bytes.len());
    match random.u8(0..7) {
        // A bit, a byte, a value that borders on something.
        0 => bytes[at] ^= 1 << random.u8(0..8),
        1 => bytes[at] = random.u8(..),
        2 => {
            let border = [0_u32, 1, 3, 4, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX];
            let border = border[random.usize(0..border.len())].to_ne_bytes();
            let at = at & !3;
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&border[..end - at]);
        }
        // Cut, grow, repeat, shift.
        3 => bytes.truncate(at),
        4 => bytes.extend((0..random.usize(1..64)).map(|_| 0)),
        5 => {
            let part = bytes[at..].to_vec();
            bytes.extend(part);
        }
        _ => {
            let shift = random.usize(1..9);
            bytes.splice(at..at, vec![0; shift]);
        }
    }
    // Most mutations are to get past netlink's own look at the length.
    if random.u8(0..4) != 0 && bytes.len() >= 4 {
        let len = (bytes.len() as u32).to_ne_bytes();
        bytes[..4].copy_from_slice(&len);
    }
}
