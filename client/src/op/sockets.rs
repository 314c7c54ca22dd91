// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sockets.

use std::{
    mem::MaybeUninit,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use rustix::net::{
    addr::{SocketAddrArg, SocketAddrStorage},
    AddressFamily, Protocol, RecvFlags, SendFlags, Shutdown as How, SocketAddrAny, SocketFlags,
    SocketType,
};

use super::{
    argument::{Argument, Fd, In, Input, Output},
    operation, Args, Buf, BufMut, Descriptor, End,
};
use crate::Errno;

/// The address of a socket.
struct Address {
    bytes: In<[MaybeUninit<u8>; size_of::<SocketAddrStorage>()]>,
    len: u32,
}

impl Address {
    fn new(address: &impl SocketAddrArg) -> Self {
        let mut storage = MaybeUninit::<SocketAddrStorage>::zeroed();
        // SAFETY: the storage has room for an address of whatever kind.
        let len = unsafe { address.write_sockaddr(storage.as_mut_ptr()) };
        // SAFETY: they are as long, and any bytes, also uninitialized ones, are a value.
        let bytes = unsafe { std::mem::transmute_copy(&storage) };
        Self {
            bytes: In(bytes),
            len,
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("len", &self.len).finish()
    }
}

// SAFETY: it lies in the operation, which is not moved.
unsafe impl Argument for Address {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        self.bytes.push(args)?;
        self.len.push(args)
    }
}

/// Where the call writes the address of the other side, and the length of that.
#[derive(Debug)]
struct Peer {
    address: MaybeUninit<SocketAddrStorage>,
    len: u32,
}

impl Peer {
    const ROOM: u32 = size_of::<SocketAddrStorage>() as u32;

    const fn new() -> Self {
        Self {
            address: MaybeUninit::zeroed(),
            len: Self::ROOM,
        }
    }

    /// What a call that succeeded wrote; none where the other side has no address.
    fn address(self) -> Option<SocketAddrAny> {
        let len = self.len.min(Self::ROOM);
        // Shorter ones do not even have a family.
        let is_one = len as usize >= size_of::<u16>();
        // SAFETY: the call wrote so many bytes of an address, and what it did not write is zero.
        is_one.then(|| unsafe { SocketAddrAny::new(self.address, len) })
    }
}

// SAFETY: both lie in the operation, which is not moved.
unsafe impl Argument for Peer {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        args.push(self.address.as_mut_ptr().expose_provenance() as u64);
        args.push((&raw mut self.len).expose_provenance() as u64);
        Ok(())
    }
}

operation! {
    /// Makes a socket: `socket(2)`. It is closed on `execve`.
    pub struct Socket = socket {
        family: u32,
        kind: u32,
        protocol: u32,
    } -> OwnedFd
}

impl Socket {
    /// One of this family and type.
    pub fn new(family: AddressFamily, kind: SocketType) -> Self {
        Self {
            family: family.as_raw().into(),
            kind: kind.as_raw() | SocketFlags::CLOEXEC.bits(),
            protocol: 0,
        }
    }

    /// Of this protocol, and not the family's first one for the type.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol.as_raw().get();
        self
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: SocketFlags) -> Self {
        self.kind |= flags.bits();
        self
    }
}

operation! {
    /// Gives a socket its address: `bind(2)`.
    pub struct Bind<D: Descriptor> = bind {
        fd: Fd<D>,
        address: Address,
    } -> ()
}

impl<D: Descriptor> Bind<D> {
    /// This one, such as a [`SocketAddr`](std::net::SocketAddr) or a
    /// [`SocketAddrUnix`](rustix::net::SocketAddrUnix).
    pub fn new(fd: D, address: &impl SocketAddrArg) -> Self {
        Self {
            fd: Fd(fd),
            address: Address::new(address),
        }
    }
}

operation! {
    /// Connects a socket: `connect(2)`.
    pub struct Connect<D: Descriptor> = connect {
        fd: Fd<D>,
        address: Address,
    } -> ()
}

impl<D: Descriptor> Connect<D> {
    /// With the one at this address.
    pub fn new(fd: D, address: &impl SocketAddrArg) -> Self {
        Self {
            fd: Fd(fd),
            address: Address::new(address),
        }
    }
}

operation! {
    /// Lets others connect with a socket: `listen(2)`.
    pub struct Listen<D: Descriptor> = listen {
        fd: Fd<D>,
        backlog: u32,
    } -> ()
}

impl<D: Descriptor> Listen<D> {
    /// So many of them may wait.
    pub fn new(fd: D, backlog: u32) -> Self {
        Self {
            fd: Fd(fd),
            backlog,
        }
    }
}

operation! {
    /// Takes the next connection: `accept4(2)`. Its socket is closed on `execve`. [`AcceptFrom`] also
    /// says who it is from.
    pub struct Accept<D: Descriptor> = accept4 {
        fd: Fd<D>,
        address: u64,
        address_len: u64,
        flags: SocketFlags,
    } -> OwnedFd
}

impl<D: Descriptor> Accept<D> {
    /// Of this listening socket.
    pub fn new(fd: D) -> Self {
        Self {
            fd: Fd(fd),
            // Null pointers.
            address: 0,
            address_len: 0,
            flags: SocketFlags::CLOEXEC,
        }
    }

    /// The new one has these flags, too.
    pub fn flags(mut self, flags: SocketFlags) -> Self {
        self.flags |= flags;
        self
    }
}

operation! {
    /// Takes the next connection, and says who it is from: `accept4(2)`. The address is none where the
    /// other side has none. The socket is closed on `execve`.
    pub struct AcceptFrom<D: Descriptor> = accept4 {
        fd: Fd<D>,
        peer: Peer,
        flags: SocketFlags,
    } -> Result<(OwnedFd, Option<SocketAddrAny>), Errno>: |op: AcceptFrom<D>, end: End| {
        let fd = end.result()?;
        // SAFETY: the call made it for whoever takes the output.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        Ok((fd, op.peer.address()))
    }
}

impl<D: Descriptor> AcceptFrom<D> {
    /// Of this listening socket.
    pub fn new(fd: D) -> Self {
        Self {
            fd: Fd(fd),
            peer: Peer::new(),
            flags: SocketFlags::CLOEXEC,
        }
    }

    /// The new one has these flags, too.
    pub fn flags(mut self, flags: SocketFlags) -> Self {
        self.flags |= flags;
        self
    }
}

operation! {
    /// Sends through a connected socket: `send(2)`. A closed connection is `EPIPE`, and no signal.
    pub struct SendBytes<D: Descriptor, B: Buf> = sendto {
        fd: Fd<D>,
        buf: Input<B>,
        flags: SendFlags,
    } -> with(buf): B
}

impl<D: Descriptor, B: Buf> SendBytes<D, B> {
    /// These bytes.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Input(buf),
            flags: SendFlags::NOSIGNAL,
        }
    }

    /// With these flags, too.
    pub fn flags(mut self, flags: SendFlags) -> Self {
        self.flags |= flags;
        self
    }
}

operation! {
    /// Sends a datagram: `sendto(2)`.
    pub struct SendTo<D: Descriptor, B: Buf> = sendto {
        fd: Fd<D>,
        buf: Input<B>,
        flags: SendFlags,
        address: Address,
    } -> with(buf): B
}

impl<D: Descriptor, B: Buf> SendTo<D, B> {
    /// These bytes, to this address.
    pub fn new(fd: D, buf: B, address: &impl SocketAddrArg) -> Self {
        Self {
            fd: Fd(fd),
            buf: Input(buf),
            flags: SendFlags::NOSIGNAL,
            address: Address::new(address),
        }
    }
}

operation! {
    /// Receives from a socket: `recv(2)`. The buffer is filled from its beginning; what it has no room
    /// for is cut off a datagram.
    pub struct Recv<D: Descriptor, B: BufMut> = recvfrom {
        fd: Fd<D>,
        buf: Output<B>,
        flags: RecvFlags,
    } -> filled(buf): B
}

impl<D: Descriptor, B: BufMut> Recv<D, B> {
    /// Up to the capacity of the buffer.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
            flags: RecvFlags::empty(),
        }
    }

    /// Leaves what it receives where it is (`MSG_PEEK`).
    pub fn peek(mut self) -> Self {
        self.flags |= RecvFlags::PEEK;
        self
    }

    /// Waits until the buffer is full (`MSG_WAITALL`).
    pub fn whole(mut self) -> Self {
        self.flags |= RecvFlags::WAITALL;
        self
    }
}

operation! {
    /// Receives from a socket, and says who it is from: `recvfrom(2)`. The address is none where the
    /// sender has none, and on connections. The buffer is filled from its beginning; what it has no
    /// room for is cut off a datagram.
    pub struct RecvFrom<D: Descriptor, B: BufMut> = recvfrom {
        fd: Fd<D>,
        buf: Output<B>,
        flags: RecvFlags,
        peer: Peer,
    } -> (Result<(usize, Option<SocketAddrAny>), Errno>, B): |op: RecvFrom<D, B>, end: End| {
        // SAFETY: it is the result of the operation's own call, which the buffer is an argument of.
        let (len, buf) = unsafe { op.buf.filled(end.result()) };
        (len.map(|len| (len, op.peer.address())), buf)
    }
}

impl<D: Descriptor, B: BufMut> RecvFrom<D, B> {
    /// Up to the capacity of the buffer.
    pub fn new(fd: D, buf: B) -> Self {
        Self {
            fd: Fd(fd),
            buf: Output(buf),
            flags: RecvFlags::empty(),
            peer: Peer::new(),
        }
    }
}

operation! {
    /// Ends one or both directions of a connection: `shutdown(2)`.
    pub struct Shutdown<D: Descriptor> = shutdown {
        fd: Fd<D>,
        how: u32,
    } -> ()
}

impl<D: Descriptor> Shutdown<D> {
    /// This one.
    pub fn new(fd: D, how: How) -> Self {
        Self {
            fd: Fd(fd),
            how: how as u32,
        }
    }
}
