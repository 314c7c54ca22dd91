// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sockets.

use libc::{
    AF_INET, AF_UNIX, EADDRINUSE, EAFNOSUPPORT, EAGAIN, EBADF, ECONNREFUSED, EINVAL, EISCONN,
    ENOPROTOOPT, ENOTCONN, ENOTSOCK, EOPNOTSUPP, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC,
    SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, SO_RCVLOWAT, SO_TYPE,
};
use nlcall_tests::memory::Memory;

use crate::{
    case::{args, fails, ok, Args, Case},
    world::{World, NO_FD},
};

/// `struct sockaddr_un` of a path in the scratch folder: the address and its length.
fn address(w: &mut World, path: &str) -> (Memory, usize) {
    let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    (w.bytes(&bytes), bytes.len())
}

fn socket(w: &mut World, kind: i32) -> i32 {
    w.sys("socket", args![AF_UNIX, kind, 0]) as i32
}

/// A socket that listens at the path `s`.
fn listener(w: &mut World) -> i32 {
    let fd = socket(w, SOCK_STREAM);
    let (address, len) = address(w, "s");
    w.sys("bind", args![fd, address, len]);
    w.sys("listen", args![fd, 5]);
    fd
}

/// One that listens, and one that waits to be accepted.
fn waiting(w: &mut World) -> (i32, i32) {
    let (listener, client) = (listener(w), socket(w, SOCK_STREAM));
    let (address, len) = address(w, "s");
    w.sys("connect", args![client, address, len]);
    (listener, client)
}

/// Two sockets for messages that are connected.
fn messengers(w: &mut World) -> (i32, i32) {
    let fds = w.out(8);
    w.sys("socketpair", args![AF_UNIX, SOCK_DGRAM, 0, fds]);
    let [a, b] = fds.get_as::<[i32; 2]>();
    (a, b)
}

/// `struct msghdr` with one buffer and a control message.
fn header(w: &mut World, buffer: Memory, control: Option<Memory>) -> Memory {
    let vector = w.words(&[buffer.address(), buffer.len() as u64]);
    let (control, len) = control.map_or((0, 0), |it| (it.address(), it.len() as u64));
    w.words(&[0, 0, vector.address(), 1, control, len, 0])
}

/// A control message that hands over a descriptor (`SCM_RIGHTS`).
fn rights(w: &mut World, fd: i32) -> Memory {
    w.words(&[20, 1 << 32 | SOL_SOCKET as u64, fd as u64])
}

/// Receives with room for a control message.
fn receive(w: &mut World, from: i32) -> Args {
    let (buffer, control) = (w.out(16), w.out(64));
    args![from, header(w, buffer, Some(control)), 0]
}

/// `struct mmsghdr` of one message to send, or to be received.
fn messages(w: &mut World, buffer: Memory) -> Memory {
    let vector = w.words(&[buffer.address(), buffer.len() as u64]);
    w.words(&[0, 0, vector.address(), 1, 0, 0, 0, 0])
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("socket", "of a file system", |_| {
            args![AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0]
        }),
        fails("socket", EAFNOSUPPORT, "no family", |_| {
            args![99, SOCK_STREAM, 0]
        }),
        ok("socketpair", "for messages", |w| {
            args![AF_UNIX, SOCK_DGRAM, 0, w.out(8)]
        }),
        fails("socketpair", EOPNOTSUPP, "of the internet", |w| {
            args![AF_INET, SOCK_STREAM, 0, w.out(8)]
        }),
        ok("bind", "to a path", |w| {
            let fd = socket(w, SOCK_STREAM);
            let (address, len) = address(w, "s");
            args![fd, address, len]
        }),
        fails("bind", EADDRINUSE, "to a path that is taken", |w| {
            listener(w);
            let fd = socket(w, SOCK_STREAM);
            let (address, len) = address(w, "s");
            args![fd, address, len]
        }),
        ok("listen", "at a path", |w| {
            let fd = socket(w, SOCK_STREAM);
            let (address, len) = address(w, "s");
            w.sys("bind", args![fd, address, len]);
            args![fd, 5]
        }),
        fails("listen", EOPNOTSUPP, "for messages", |w| {
            args![socket(w, SOCK_DGRAM), 5]
        }),
        ok("connect", "to a path", |w| {
            listener(w);
            let fd = socket(w, SOCK_STREAM);
            let (address, len) = address(w, "s");
            args![fd, address, len]
        }),
        fails(
            "connect",
            ECONNREFUSED,
            "to one that does not listen",
            |w| {
                let bound = socket(w, SOCK_STREAM);
                let (address, len) = address(w, "s");
                w.sys("bind", args![bound, address, len]);
                args![socket(w, SOCK_STREAM), address, len]
            },
        ),
        ok("accept", "one that waits", |w| {
            let (listener, _) = waiting(w);
            args![listener, w.out(32), w.halves(&[32])]
        }),
        fails("accept", EINVAL, "it does not listen", |w| {
            args![socket(w, SOCK_STREAM), 0, 0]
        }),
        ok("accept4", "for this program alone", |w| {
            let (listener, _) = waiting(w);
            args![listener, 0, 0, SOCK_CLOEXEC]
        }),
        fails("accept4", EAGAIN, "nobody waits", |w| {
            let listener = listener(w);
            w.sys("fcntl", args![listener, libc::F_SETFL, libc::O_NONBLOCK]);
            args![listener, 0, 0, 0]
        }),
        ok("getsockname", "a path", |w| {
            args![listener(w), w.out(32), w.halves(&[32])]
        }),
        fails("getsockname", ENOTSOCK, "a file", |w| {
            args![w.open("f", b""), w.out(32), w.halves(&[32])]
        }),
        ok("getpeername", "a path", |w| {
            let (_, client) = waiting(w);
            args![client, w.out(32), w.halves(&[32])]
        }),
        fails("getpeername", ENOTCONN, "nobody", |w| {
            args![socket(w, SOCK_STREAM), w.out(32), w.halves(&[32])]
        }),
        ok("setsockopt", "a low-water mark", |w| {
            let (fd, value) = (socket(w, SOCK_STREAM), w.out(4));
            let len = w.halves(&[4]);
            w.then_call("getsockopt", args![fd, SOL_SOCKET, SO_RCVLOWAT, value, len]);
            w.then(move |_| format!("{:?}", value.get()));
            args![fd, SOL_SOCKET, SO_RCVLOWAT, w.halves(&[17]), 4]
        }),
        fails("setsockopt", ENOPROTOOPT, "no option", |w| {
            args![socket(w, SOCK_STREAM), SOL_SOCKET, 9999, w.halves(&[1]), 4]
        }),
        ok("getsockopt", "the kind", |w| {
            args![
                socket(w, SOCK_DGRAM),
                SOL_SOCKET,
                SO_TYPE,
                w.out(4),
                w.halves(&[4])
            ]
        }),
        ok("getsockopt", "whose the other end is", |w| {
            let (_, client) = waiting(w);
            let who = w.out_varying(12, &[0..4]);
            args![client, SOL_SOCKET, libc::SO_PEERCRED, who, w.halves(&[12])]
        }),
        fails("getsockopt", EBADF, "no descriptor", |w| {
            args![NO_FD, SOL_SOCKET, SO_TYPE, w.out(4), w.halves(&[4])]
        }),
        ok("shutdown", "one way", |w| {
            let (a, b) = w.sockets();
            w.then_read(b);
            args![a, libc::SHUT_WR]
        }),
        fails("shutdown", ENOTSOCK, "a file", |w| {
            args![w.open("f", b""), libc::SHUT_WR]
        }),
        ok("sendto", "to the other end", |w| {
            let (a, b) = w.sockets();
            w.then_read(b);
            args![a, w.bytes(b"bytes"), 5, MSG_NOSIGNAL, 0, 0]
        }),
        fails("sendto", libc::EPIPE, "nobody is there any more", |w| {
            let (a, b) = w.sockets();
            w.sys("close", args![b]);
            args![a, w.bytes(b"bytes"), 5, MSG_NOSIGNAL, 0, 0]
        }),
        ok("recvfrom", "what came", |w| {
            let (a, b) = w.sockets();
            w.put(a, b"bytes");
            args![b, w.out(16), 16, 0, 0, 0]
        }),
        ok("recvfrom", "from whom", |w| {
            let (to, from) = (socket(w, SOCK_DGRAM), socket(w, SOCK_DGRAM));
            for (fd, path) in [(to, "to"), (from, "from")] {
                let (address, len) = address(w, path);
                w.sys("bind", args![fd, address, len]);
            }
            let ((address, len), bytes) = (address(w, "to"), w.bytes(b"bytes"));
            w.sys("sendto", args![from, bytes, 5, 0, address, len]);
            args![to, w.out(16), 16, 0, w.out(32), w.halves(&[32])]
        }),
        fails("recvfrom", EAGAIN, "nothing came", |w| {
            let (a, _) = w.sockets();
            args![a, w.out(16), 16, MSG_DONTWAIT, 0, 0]
        }),
        ok("sendmsg", "with a descriptor", |w| {
            let (a, b) = w.sockets();
            let (fd, bytes) = (w.open("f", b""), w.bytes(b"bytes"));
            let control = rights(w, fd);
            let into = receive(w, b);
            w.then_call("recvmsg", into);
            args![a, header(w, bytes, Some(control)), 0]
        }),
        fails("sendmsg", EISCONN, "to an address, of a connection", |w| {
            let (a, _) = w.sockets();
            let ((address, len), bytes) = (address(w, "s"), w.bytes(b"bytes"));
            let vector = w.words(&[bytes.address(), 5]);
            args![
                a,
                w.words(&[address.address(), len as u64, vector.address(), 1, 0, 0, 0]),
                0
            ]
        }),
        ok("recvmsg", "with a descriptor", |w| {
            let (a, b) = w.sockets();
            let (fd, bytes) = (w.open("f", b""), w.bytes(b"bytes"));
            let control = rights(w, fd);
            let message = header(w, bytes, Some(control));
            w.sys("sendmsg", args![a, message, 0]);
            receive(w, b)
        }),
        ok("recvmsg", "whose it is", |w| {
            let (a, b) = w.sockets();
            let yes = w.halves(&[1]);
            w.sys(
                "setsockopt",
                args![b, SOL_SOCKET, libc::SO_PASSCRED, yes, 4],
            );
            w.put(a, b"bytes");
            let (buffer, control) = (w.out(16), w.out_varying(64, &[16..20]));
            args![b, header(w, buffer, Some(control)), 0]
        }),
        fails("recvmsg", ENOTSOCK, "a file", |w| {
            let fd = w.open("f", b"");
            receive(w, fd)
        }),
        ok("sendmmsg", "one message", |w| {
            let (a, b) = messengers(w);
            w.then_read(b);
            let bytes = w.bytes(b"bytes");
            args![a, messages(w, bytes), 1, 0]
        }),
        fails("sendmmsg", EBADF, "no descriptor", |w| {
            let bytes = w.bytes(b"bytes");
            args![NO_FD, messages(w, bytes), 1, 0]
        }),
        ok("recvmmsg", "one message", |w| {
            let (a, b) = messengers(w);
            w.put(a, b"bytes");
            let buffer = w.out(16);
            args![b, messages(w, buffer), 1, MSG_DONTWAIT, 0]
        }),
        fails("recvmmsg", EAGAIN, "nothing came", |w| {
            let (_, b) = messengers(w);
            let buffer = w.out(16);
            args![b, messages(w, buffer), 1, MSG_DONTWAIT, 0]
        }),
    ]
}
