// SPDX-License-Identifier: MIT OR Apache-2.0

//! Raw netlink protocol 28, as the early demonstration spoke it.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use netlink_sys::Socket;
use nix::unistd::Pid;
use nlcall_abi::Readi;
use nlcall_tests::{
    classic::{message, socket},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::Child,
    seccomp::Filter,
    session, threads,
};
use rustix::net::{recv, RecvFlags};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    harness::{tests, Test},
    reloaded::Reloaded,
};

pub const TESTS: &[Test] = tests![
    a_read_brings_the_right_bytes,
    an_error_comes_in_count,
    two_reads_are_in_flight_at_once,
    a_read_happens_in_the_process_that_is_named,
    a_copy_of_the_socket_serves_nobody_else,
    a_filter_of_the_sender_decides,
    a_short_message_is_rejected,
    close_ends_a_read_in_flight,
    several_messages_of_one_datagram_are_served,
];

/// `nlmsgerr`'s message type.
const NLMSG_ERROR: u16 = 2;

/// A socket of the classic protocol, and the module loaded so that it serves it.
struct Classic {
    socket: Socket,
    // Dropped after the socket, which holds the module.
    _reloaded: Option<Reloaded>,
}

/// What came back.
#[derive(Debug)]
enum Echo {
    /// The message, with the return value in `count`.
    Readi(Readi),
    /// An error message with this positive error number.
    Rejected(i32),
}

impl Classic {
    fn open() -> Self {
        let reloaded = Reloaded::with_classic();
        Self {
            socket: socket(),
            _reloaded: reloaded,
        }
    }

    fn send(&self, readi: &Readi) {
        self.send_bytes(&message(0, readi.as_bytes()));
    }

    fn send_bytes(&self, bytes: &[u8]) {
        send(&self.socket, bytes);
    }

    fn receive(&self) -> Echo {
        receive(&self.socket)
    }
}

fn send(socket: &Socket, bytes: &[u8]) {
    socket.send(bytes, 0).expect("the message is sent");
}

fn receive(socket: &Socket) -> Echo {
    let mut buffer = vec![0; 4096];
    let (_, length) = recv(socket, &mut buffer[..], RecvFlags::TRUNC).expect("an answer");
    let (kind, payload) = (
        u16::from_ne_bytes([buffer[4], buffer[5]]),
        &buffer[16..length],
    );
    if kind == NLMSG_ERROR {
        let (code, _) = i32::read_from_prefix(payload).expect("an error number");
        Echo::Rejected(-code)
    } else {
        Echo::Readi(Readi::read_from_prefix(payload).expect("a struct readi").0)
    }
}

/// A message as the early demonstration's program made it: no flags, a type that means nothing.
fn read(fd: i32, memory: Memory) -> Readi {
    Readi {
        pid: Pid::this().as_raw(),
        fd,
        ptr: memory.address(),
        count: memory.len() as i32,
        ..Readi::default()
    }
}

fn assert_read(echo: Echo, sent: &Readi, count: i32) {
    let Echo::Readi(echo) = echo else {
        panic!("{echo:?}")
    };
    assert_eq!((echo.pid, echo.fd, echo.ptr), (sent.pid, sent.fd, sent.ptr));
    assert_eq!(echo.count, count);
}

fn a_read_brings_the_right_bytes() {
    let classic = Classic::open();
    fs::write("file", "abcdefgh").expect("a file");
    let file = OwnedFd::from(fs::File::open("file").expect("a plain open"));
    for expected in [b"abcd", b"efgh"] {
        let memory = Memory::zeroed(4);
        let readi = read(file.as_raw_fd(), memory);
        classic.send(&readi);
        assert_read(classic.receive(), &readi, 4);
        assert_eq!(memory.get(), expected);
    }
    let readi = read(file.as_raw_fd(), Memory::zeroed(4));
    classic.send(&readi);
    assert_read(classic.receive(), &readi, 0);
}

fn an_error_comes_in_count() {
    let classic = Classic::open();
    let readi = read(-1, Memory::zeroed(4));
    classic.send(&readi);
    assert_read(classic.receive(), &readi, -libc::EBADF);

    let pipe = Pipe::new();
    pipe.fill(b"abcd");
    let mut readi = read(pipe.reader.as_raw_fd(), Memory::zeroed(4));
    readi.ptr = 0xffff_8880_0000_0000;
    classic.send(&readi);
    assert_read(classic.receive(), &readi, -libc::EFAULT);
}

fn two_reads_are_in_flight_at_once() {
    let classic = Classic::open();
    let pipes = Pipe::several(2);
    let memories = [Memory::zeroed(4), Memory::zeroed(4)];
    let reads = [0, 1].map(|at: usize| read(pipes[at].reader.as_raw_fd(), memories[at]));
    reads.iter().for_each(|readi| classic.send(readi));
    // The second one is not held up by the first.
    pipes[1].fill(b"2222");
    assert_read(classic.receive(), &reads[1], 4);
    assert_eq!(memories[1].get(), b"2222");
    pipes[0].fill(b"1111");
    assert_read(classic.receive(), &reads[0], 4);
    assert_eq!(memories[0].get(), b"1111");
}

fn a_read_happens_in_the_process_that_is_named() {
    let classic = Classic::open();
    let (pipe, memory) = (Pipe::new(), Memory::zeroed(4));
    // It has the pipe and the memory where this process has them.
    let mut other = Child::fork(|channel| {
        channel.get();
        assert_eq!(memory.get(), b"over", "its own memory");
    });
    let mut readi = read(pipe.reader.as_raw_fd(), memory);
    readi.pid = other.pid().as_raw();
    classic.send(&readi);
    pipe.fill(b"over");
    assert_read(classic.receive(), &readi, 4);
    assert_eq!(memory.get(), [0; 4], "not this process's memory");
    // Its descriptors count, not those of this process.
    readi.fd = 999;
    classic.send(&readi);
    assert_read(classic.receive(), &readi, -libc::EBADF);
    other.channel().put(0);
    other.succeed();
    for nobody in [readi.pid, 0, -1, 2] {
        readi.pid = nobody;
        classic.send(&readi);
        let Echo::Rejected(errno) = classic.receive() else {
            panic!("{nobody}: it is rejected")
        };
        assert_eq!(errno, libc::ESRCH, "{nobody}");
    }
}

fn a_filter_of_the_sender_decides() {
    let classic = Classic::open();
    let mut child = Child::fork(|_| {
        let socket = socket();
        let pipe = Pipe::new();
        pipe.fill(b"abcd");
        let denied = Filter::with_argument(
            libc::SYS_read,
            0,
            pipe.reader.as_raw_fd() as u32,
            libc::SECCOMP_RET_ERRNO | libc::EDOM as u32,
        );
        denied.install();
        let readi = read(pipe.reader.as_raw_fd(), Memory::zeroed(4));
        send(&socket, &message(0, readi.as_bytes()));
        assert_read(receive(&socket), &readi, -libc::EDOM);
        // Of another descriptor it says nothing.
        let other = read(999, Memory::zeroed(4));
        send(&socket, &message(0, other.as_bytes()));
        assert_read(receive(&socket), &other, -libc::EBADF);
    });
    child.succeed();
    drop(classic);
}

fn a_copy_of_the_socket_serves_nobody_else() {
    let classic = Classic::open();
    let readi = read(-1, Memory::zeroed(4));
    classic.send(&readi);
    assert_read(classic.receive(), &readi, -libc::EBADF);
    let mut child = Child::fork(|_| {
        classic.send(&read(-1, Memory::zeroed(4)));
        let Echo::Rejected(errno) = classic.receive() else {
            panic!("it is rejected")
        };
        assert_eq!(errno, libc::EPERM);
    });
    child.succeed();
}

fn a_short_message_is_rejected() {
    let classic = Classic::open();
    classic.send_bytes(&message(0, &[0; 8]));
    let Echo::Rejected(errno) = classic.receive() else {
        panic!("it is rejected")
    };
    assert_eq!(errno, libc::EINVAL);
    // A header that claims more than there is gets no answer; the next message does.
    let readi = read(-1, Memory::zeroed(4));
    let mut long = message(0, readi.as_bytes());
    long[0] = 200;
    classic.send_bytes(&long);
    classic.send(&readi);
    assert_read(classic.receive(), &readi, -libc::EBADF);
}

fn close_ends_a_read_in_flight() {
    let Classic { socket, _reloaded } = Classic::open();
    let pipe = Pipe::new();
    let readi = read(pipe.reader.as_raw_fd(), Memory::zeroed(4));
    socket
        .send(&message(0, readi.as_bytes()), 0)
        .expect("the message is sent");
    patience::until("the read blocks", || {
        session::all().iter().any(|it| it.blocked == 1)
    });
    drop(socket);
    patience::until("the worker is gone", || {
        threads::workers(Pid::this()).is_empty()
    });
    patience::until("the session is gone", || session::all().is_empty());
    pipe.fill(b"still here");
    assert_eq!(pipe.take(), b"still here");
}

fn several_messages_of_one_datagram_are_served() {
    let classic = Classic::open();
    let pipe = Pipe::new();
    pipe.fill(b"0123456789abcdef");
    let memories: Vec<Memory> = (0..4).map(|_| Memory::zeroed(4)).collect();
    let mut bytes = Vec::new();
    for memory in &memories {
        bytes.extend(message(
            0,
            read(pipe.reader.as_fd().as_raw_fd(), *memory).as_bytes(),
        ));
    }
    classic.send_bytes(&bytes);
    for _ in 0..4 {
        let Echo::Readi(echo) = classic.receive() else {
            panic!("it is served")
        };
        assert_eq!(echo.count, 4);
    }
    let mut parts: Vec<Vec<u8>> = memories.iter().map(|memory| memory.get()).collect();
    parts.sort();
    assert_eq!(parts.concat(), b"0123456789abcdef");
}
