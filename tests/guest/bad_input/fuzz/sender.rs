// SPDX-License-Identifier: MIT OR Apache-2.0

//! A process that sends, and its end.

use std::{
    convert::Infallible,
    mem::forget,
    os::fd::{AsFd, IntoRawFd},
    panic,
    sync::atomic::Ordering::Relaxed,
};

use fastrand::Rng;
use netlink_sys::Socket;
use nix::{
    sys::{
        prctl::set_dumpable,
        resource::{setrlimit, Resource},
        signal::{raise, signal, SigHandler, Signal},
    },
    unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getpid, setresgid, setresuid, Gid, Uid},
};
use nlcall_tests::{classic, memory::Memory, pipe::Pipe, process::exit_now, socket::RawSocket};
use rustix::{
    io::Errno,
    net::{recv, send, RecvFlags, SendFlags},
    process::{pidfd_open, Pid, PidfdFlags},
};

use super::{
    grammar::{readi, Grammar, World, ROOM},
    mutation::{frame, mutate},
    ring::Counters,
    SEED,
};
use crate::{harness::seed, scenes};

/// A user that owns nothing.
const NOBODY: u32 = 54322;

/// Most datagrams of a process, and most messages of a datagram.
const DATAGRAMS: usize = 120;
const MESSAGES: usize = 64;

/// Most messages of a process.
pub const MOST_MESSAGES: usize = DATAGRAMS * MESSAGES;

/// Where netlink's type and a reply's error number are in a message; `NLMSG_ERROR`.
const TYPE: usize = 4;
const CODE: usize = 16;
const ERROR: u16 = 2;

/// The sockets of a process, and where each answer is counted.
struct Sockets<'a> {
    generic: Vec<RawSocket>,
    classic: Option<Socket>,
    counters: &'a Counters,
    buffer: Vec<u8>,
}

/// The life of the process of this number. Its calls may do whatever it may do: it may do little,
/// and whatever comes of it is fine.
pub fn live(number: u64, grammar: &Grammar, counters: &Counters) -> Infallible {
    panic::set_hook(Box::new(|_| {}));
    let mut random = Rng::with_seed(seed(SEED) ^ number << 16);
    become_powerless();
    let world = World {
        room: Memory::pages(ROOM.div_ceil(4096)),
        path: path(),
        pidfds: pidfds(&mut random),
        pid: getpid().as_raw(),
    };
    let mut sockets = Sockets::open(&mut random, counters);
    for _ in 0..random.usize(1..DATAGRAMS) {
        let is_last = !sockets.act(&mut random, grammar, &world);
        if is_last {
            break;
        }
    }
    die(&mut random, sockets)
}

fn die(random: &mut Rng, sockets: Sockets<'_>) -> ! {
    match random.u8(0..16) {
        0..=5 => {
            let _ = raise(Signal::SIGKILL);
        }
        6 => {
            scenes::leave();
        }
        7 => std::process::abort(),
        8 => {
            // The watcher sees that.
            let _ = raise(Signal::SIGSTOP);
        }
        9..=11 => drop(sockets),
        _ => {}
    }
    exit_now(0)
}

fn become_powerless() {
    close_what_is_others();
    for (resource, limit) in [
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NPROC, 300),
        (Resource::RLIMIT_AS, 1 << 30),
    ] {
        setrlimit(resource, limit, limit).expect("a resource limit");
    }
    // SAFETY: no handler is set.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignoring a signal");
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(gid, gid, gid).expect("becoming another group");
    setresuid(uid, uid, uid).expect("becoming another user");
    // Others of this user may act in it.
    set_dumpable(true).expect("PR_SET_DUMPABLE");
    // SAFETY: it only says who may trace this process.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
}

/// A call may write to any descriptor, and those that this process was born with lead to the test.
fn close_what_is_others() {
    let nothing = Pipe::new();
    dup2_stdin(&nothing.reader).expect("standard input");
    dup2_stdout(&nothing.reader).expect("standard output");
    dup2_stderr(&nothing.reader).expect("standard error");
    // SAFETY: this process has one thread, and uses none of them any more: it ends without
    // dropping what it took over.
    let closed = unsafe { libc::close_range(3, u32::MAX, 0) };
    assert_eq!(closed, 0, "close_range");
    // The pipe's are among them.
    forget(nothing);
}

/// "/", and a short time behind it.
fn path() -> Memory {
    let mut bytes = [0; 32];
    bytes[0] = b'/';
    bytes[24..28].copy_from_slice(&1000_u32.to_ne_bytes());
    Memory::holding(&bytes)
}

/// Descriptors of some of the processes beside, and of the one that watches.
fn pidfds(random: &mut Rng) -> Vec<i32> {
    let pids = (0..4).filter_map(|_| Pid::from_raw(random.i32(1..30)));
    let fds = pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    fds.map(IntoRawFd::into_raw_fd).collect()
}

impl<'a> Sockets<'a> {
    fn open(random: &mut Rng, counters: &'a Counters) -> Self {
        let generic = |random: &mut Rng| match random.u8(0..8) {
            0 => RawSocket::with_smallest_receive_buffer(),
            _ => RawSocket::open(),
        };
        Self {
            generic: (0..random.usize(1..3)).map(|_| generic(random)).collect(),
            classic: (random.u8(0..3) == 0).then(classic::socket),
            counters,
            buffer: vec![0; 32 << 10],
        }
    }

    /// Sends a datagram, and may read answers. False where nothing is left to go on with.
    fn act(&mut self, random: &mut Rng, grammar: &Grammar, world: &World) -> bool {
        let classic = self.classic.as_ref().filter(|_| random.u8(0..4) == 0);
        let generic = &self.generic[random.usize(0..self.generic.len())];
        let mut bytes = Vec::new();
        let messages = random.usize(1..=MESSAGES);
        for index in 0..messages {
            let mut message = match classic {
                Some(_) => readi(random, world),
                None => grammar.message(random, generic.family(), world).bytes(),
            };
            if random.bool() {
                for _ in 0..random.usize(1..4) {
                    mutate(random, &mut message);
                }
            }
            // A wrong length ends the datagram.
            if index + 1 < messages || random.u8(0..4) != 0 {
                frame(&mut message);
            }
            bytes.extend(message);
        }
        let socket = match classic {
            Some(classic) => classic.as_fd(),
            None => generic.as_fd(),
        };
        match send(socket, &bytes, SendFlags::empty()) {
            // The child that a call made of this thread.
            Ok(0) if !bytes.is_empty() => exit_now(0),
            Ok(_) => {
                self.counters.sent.fetch_add(messages as u64, Relaxed);
            }
            // A call closed the socket, or made another file of it.
            Err(Errno::BADF | Errno::NOTSOCK | Errno::PIPE) => return false,
            // Netlink refuses the datagram, or a signal came, or memory is short.
            Err(_) => {}
        }
        let reads_all = random.bool();
        while reads_all || random.u8(0..4) != 0 {
            let Ok((len, _)) = recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT) else {
                break;
            };
            count(&self.buffer[..len], self.counters);
        }
        true
    }
}

/// Counts an answer: each is a datagram.
fn count(datagram: &[u8], counters: &Counters) {
    let Some(kind) = datagram.get(TYPE..).and_then(|rest| rest.first_chunk()) else {
        return;
    };
    let Some(code) = datagram.get(CODE..).and_then(|rest| rest.first_chunk()) else {
        return;
    };
    if u16::from_ne_bytes(*kind) == ERROR {
        match i32::from_ne_bytes(*code) {
            0 => &counters.accepted,
            _ => &counters.rejected,
        }
        .fetch_add(1, Relaxed);
    }
}
