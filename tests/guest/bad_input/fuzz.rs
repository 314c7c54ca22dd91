// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages that were right once.

use fastrand::Rng;
use nix::{
    sys::{
        resource::{setrlimit, Resource},
        signal::{signal, SigHandler, Signal},
    },
    unistd::{dup2_stdin, setresgid, setresuid, Gid, Uid},
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
use rustix::net::{recv, RecvFlags};
use zerocopy::IntoBytes;

use crate::harness::{note, scaled, tests, Test};

pub const TESTS: &[Test] = tests![mutated_messages_do_no_harm];

/// A user that owns nothing.
const NOBODY: u32 = 54322;

/// Every message follows from this.
const SEED: u64 = 28;

/// Messages of one process.
const ROUND: usize = 100;

fn mutated_messages_do_no_harm() {
    let mut socket = RawSocket::open();
    let mut accepted = 0;
    let messages = scaled(3000, 50_000);
    for round in 0..messages / ROUND {
        // Mutated calls may do whatever their process may do: it may do little, and is alone.
        let mut child = Child::fork(|channel| {
            become_powerless();
            let socket = RawSocket::open();
            send_mutated(&mut Rng::with_seed(SEED + round as u64), &socket);
            channel.put(u64::from(socket.port_id()));
            channel.get();
        });
        // It may have closed its end of the channel, or put an end to itself.
        if let Some(port_id) = child.channel().try_get() {
            let session = session::of_port(port_id as u32);
            accepted += session.map_or(0, |session| session.accepted);
            child.signal(Signal::SIGKILL);
        }
        child.wait();
        patience::until("its session is gone", || {
            session::all()
                .iter()
                .all(|session| session.port_id == socket.port_id())
        });
        super::assert_well(&mut socket);
    }
    assert!(
        accepted > 0,
        "no mutated message was accepted: the mutations are too wild"
    );
    note(format_args!(
        "{messages} messages, {accepted} calls of them accepted, seed {SEED}"
    ));
}

fn become_powerless() {
    let nothing = Pipe::new();
    dup2_stdin(&nothing.reader).expect("standard input");
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64).expect("RLIMIT_NOFILE");
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0).expect("RLIMIT_FSIZE");
    // SAFETY: no handler is set.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignoring a signal");
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(gid, gid, gid).expect("becoming another group");
    setresuid(uid, uid, uid).expect("becoming another user");
}

/// Sends a round of messages.
fn send_mutated(random: &mut Rng, socket: &RawSocket) {
    for _ in 0..ROUND {
        let mut bytes = valid(random, socket.family());
        for _ in 0..random.usize(1..4) {
            mutate(random, &mut bytes);
        }
        // Netlink may refuse the datagram, the answer may be lost, and a mutated call may have
        // closed the socket: all of it is fine.
        let _ = socket.send(&bytes);
        while random.bool() {
            let _ = recv(socket, &mut [0; 8192], RecvFlags::DONTWAIT);
        }
    }
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
