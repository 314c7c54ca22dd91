// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls that the library makes itself, and nothing else.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use netlink_sys::{protocols::NETLINK_GENERIC, SocketAddr};
use rustix::{
    event::{epoll, eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec},
    io::Errno,
    net::{recv, sendmsg, sockopt, RecvFlags, SendAncillaryBuffer, SendFlags},
    process::{pidfd_open, Pid, PidfdFlags},
};

use crate::Error;

/// The largest datagram that the kernel sends: a dump fills 32 KiB (`netlink_recvmsg`), a COMPLETE
/// message 8 KiB. Twice that leaves room for a module that does more.
pub(super) const DATAGRAM_MAX: usize = 64 << 10;

/// What `netlink_sendmsg` takes off the send buffer before it compares the length of a message.
const SEND_RESERVE: usize = 32;

/// What one attempt to receive found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A datagram of this many bytes, which may be more than the buffer holds.
    Datagram(usize),
    /// Nothing is there.
    Empty,
    /// The kernel had to drop something (`ENOBUFS`): an acknowledgement or a reply, since
    /// completions wait in the kernel until there is room.
    Overrun,
}

impl Received {
    /// What the result of `recv(2)` says.
    fn of(result: Result<usize, Errno>) -> io::Result<Self> {
        match result {
            Ok(length) => Ok(Self::Datagram(length)),
            Err(Errno::AGAIN) => Ok(Self::Empty),
            // EINVAL: `netlink_recvmsg` looks without a lock whether a dump goes on, and where another
            // thread ends it meanwhile, `netlink_dump` leaves this error for the next `recv`, in the
            // place of any that was there. The socket is as good as before.
            Err(Errno::NOBUFS | Errno::INVAL) => Ok(Self::Overrun),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Where the sending of a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// In the thread that sent it.
    Here,
    /// In the child process that an INLINE call of the message made of that thread. Other threads
    /// may have held any lock at that moment, the allocator's included.
    InChild,
}

/// The way to the kernel. Tests put a model of the kernel here.
pub(super) trait Transport {
    /// Port id of the socket.
    fn port_id(&self) -> u32;

    /// Longest message that [`send`](Self::send) takes, in bytes.
    fn message_max(&self) -> usize;

    /// Sends one message, given in parts. The kernel has answered it when this returns.
    fn send(&self, message: &[IoSlice<'_>]) -> io::Result<Sent>;

    /// Takes one datagram; does not block.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Blocks until something can be received, or [`signal`](Self::signal) is on, or the time is
    /// over, or a signal handler ran; where `for_room` says so, also until
    /// [`has_room`](Self::has_room).
    fn sleep(&self, timeout: Option<Duration>, for_room: bool) -> io::Result<()>;

    /// Whether the kernel does not keep back its `POLLOUT`, as it does after it rejected a message
    /// for a limit, until there is room.
    fn has_room(&self) -> io::Result<bool>;

    /// Switches on or off what makes [`sleep`](Self::sleep) return at once although nothing can be
    /// received.
    fn signal(&self, on: bool);

    /// Whether this is still the process that opened the socket, and not a child after a fork.
    fn is_owner(&self) -> bool;
}

/// Sizes of the socket's buffers in bytes.
#[derive(Clone, Debug)]
pub(super) struct BufferSizes {
    pub(super) receive: usize,
    pub(super) send: usize,
}

/// A generic-netlink socket that is connected to the kernel.
#[derive(Debug)]
pub(super) struct Socket {
    netlink: netlink_sys::Socket,
    /// Readable while [`Transport::signal`] is on.
    signal: OwnedFd,
    /// Readable while either of the two above is.
    readiness: OwnedFd,
    port_id: u32,
    message_max: usize,
    owner: Pid,
}

impl Socket {
    pub(super) fn open(sizes: &BufferSizes) -> Result<Self, Error> {
        let mut netlink = netlink_sys::Socket::new(NETLINK_GENERIC)
            .map_err(failed("opening a generic-netlink socket"))?;
        netlink
            .set_ext_ack(true)
            .map_err(failed("setting NETLINK_EXT_ACK"))?;
        netlink
            .set_cap_ack(true)
            .map_err(failed("setting NETLINK_CAP_ACK"))?;

        resize(
            &netlink,
            sizes.receive,
            sockopt::set_socket_recv_buffer_size_force,
            sockopt::set_socket_recv_buffer_size,
        )
        .map_err(failed("setting the size of the receive buffer"))?;
        resize(
            &netlink,
            sizes.send,
            sockopt::set_socket_send_buffer_size_force,
            sockopt::set_socket_send_buffer_size,
        )
        .map_err(failed("setting the size of the send buffer"))?;
        let send_buffer = sockopt::socket_send_buffer_size(&netlink)
            .map_err(failed("reading the size of the send buffer"))?;

        let port_id = netlink
            .bind_auto()
            .map_err(failed("binding the socket"))?
            .port_number();
        // From here on the kernel refuses messages that other processes send to this port.
        netlink
            .connect(&SocketAddr::new(0, 0))
            .map_err(failed("connecting to the kernel"))?;

        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(failed("making an eventfd"))?;
        let readiness =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed("making an epoll set"))?;
        for fd in [netlink.as_fd(), signal.as_fd()] {
            epoll::add(
                &readiness,
                fd,
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN,
            )
            .map_err(failed("filling the epoll set"))?;
        }

        let message_max = send_buffer.saturating_sub(SEND_RESERVE);
        let owner = rustix::process::getpid();
        Ok(Self {
            netlink,
            signal,
            readiness,
            port_id,
            message_max,
            owner,
        })
    }

    /// Joins a multicast group.
    pub(super) fn join(&self, group: u32) -> io::Result<()> {
        self.netlink.add_membership(group)
    }

    /// A descriptor that is readable while a message is there or [`Transport::signal`] is on.
    pub(super) fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    /// The netlink socket.
    pub(super) fn netlink(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

impl Transport for Socket {
    fn port_id(&self) -> u32 {
        self.port_id
    }

    fn message_max(&self) -> usize {
        self.message_max
    }

    fn send(&self, message: &[IoSlice<'_>]) -> io::Result<Sent> {
        let sent = sendmsg(
            &self.netlink,
            message,
            &mut SendAncillaryBuffer::default(),
            SendFlags::empty(),
        );
        match sent? {
            // What any call of fork(2) returns in the child, whichever way it was made.
            0 => Ok(Sent::InChild),
            // Netlink takes a message whole or not at all.
            _ => Ok(Sent::Here),
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        Received::of(recv(&self.netlink, buffer, flags).map(|(_, length)| length))
    }

    fn sleep(&self, timeout: Option<Duration>, for_room: bool) -> io::Result<()> {
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, for_room);
        let mut fds = [
            PollFd::new(&self.netlink, events),
            PollFd::new(&self.signal, PollFlags::IN),
        ];
        // A time beyond what the kernel can express is as good as none.
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn has_room(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.netlink, PollFlags::OUT)];
        Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
    }

    fn signal(&self, on: bool) {
        let done = if on {
            rustix::io::write(&self.signal, &1u64.to_ne_bytes())
        } else {
            rustix::io::read(&self.signal, &mut [0; 8])
        };
        // EAGAIN says that it was on, or off, already. There is no other error, unless somebody
        // closed a descriptor that is not his.
        let _ = done;
    }

    fn is_owner(&self) -> bool {
        rustix::process::getpid() == self.owner
    }
}

/// A pidfd of the process with this number.
pub(super) fn open_process(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    let pid = pid.and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sets a buffer size past the system's limit where that is allowed, and up to it otherwise.
fn resize<'a>(
    socket: &'a netlink_sys::Socket,
    bytes: usize,
    force: fn(&'a netlink_sys::Socket, usize) -> Result<(), Errno>,
    plain: fn(&'a netlink_sys::Socket, usize) -> Result<(), Errno>,
) -> Result<(), Errno> {
    match force(socket, bytes) {
        Err(Errno::PERM) => plain(socket, bytes),
        done => done,
    }
}

/// For `map_err`: what was attempted.
pub(crate) fn failed<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Io {
        operation,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{poll, PollFd, PollFlags, Timespec};

    use super::*;

    const SIZES: BufferSizes = BufferSizes {
        receive: 64 << 10,
        send: 32 << 10,
    };

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).expect("a poll") == 1
    }

    #[test]
    fn the_kernel_takes_messages_of_the_promised_length_and_no_longer() {
        let socket = Socket::open(&SIZES).expect("a socket");
        assert!(
            socket.message_max() >= SIZES.send,
            "the kernel doubles what is asked for"
        );
        // An NLMSG_NOOP that fills the datagram: the kernel ignores it.
        let mut message = vec![0; socket.message_max()];
        message[..4].copy_from_slice(&(socket.message_max() as u32).to_ne_bytes());
        message[4..6].copy_from_slice(&1u16.to_ne_bytes());
        socket.send(&[IoSlice::new(&message)]).expect("it fits");
        message.push(0);
        let error = socket
            .send(&[IoSlice::new(&message)])
            .expect_err("one byte more does not");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::MSGSIZE));
    }

    #[test]
    fn the_kernel_answers_before_send_returns() {
        let socket = Socket::open(&SIZES).expect("a socket");
        let mut buffer = [0; 1024];
        assert_eq!(
            socket.receive(&mut buffer).expect("no error"),
            Received::Empty
        );
        assert!(!is_readable(socket.readiness()));

        // A request of a type that no family has, with an acknowledgement.
        let mut message = [0; 20];
        message[..4].copy_from_slice(&20u32.to_ne_bytes());
        message[4..6].copy_from_slice(&u16::MAX.to_ne_bytes());
        message[6..8].copy_from_slice(&5u16.to_ne_bytes());
        message[8..12].copy_from_slice(&77u32.to_ne_bytes());
        socket.send(&[IoSlice::new(&message)]).expect("sent");
        assert!(is_readable(socket.readiness()));
        socket.sleep(None, false).expect("no sleep");
        let Received::Datagram(length) = socket.receive(&mut buffer).expect("no error") else {
            panic!("no answer");
        };
        assert!(length >= 36, "an NLMSG_ERROR");
        assert_eq!(buffer[4..6], 2u16.to_ne_bytes());
        assert_eq!(buffer[8..12], 77u32.to_ne_bytes());
        assert_eq!(buffer[12..16], socket.port_id().to_ne_bytes());
        assert_eq!(
            socket.receive(&mut buffer).expect("no error"),
            Received::Empty
        );
    }

    #[test]
    fn a_datagram_that_is_cut_off_tells_its_length() {
        let socket = Socket::open(&SIZES).expect("a socket");
        let mut message = [0; 20];
        message[..4].copy_from_slice(&20u32.to_ne_bytes());
        message[4..6].copy_from_slice(&u16::MAX.to_ne_bytes());
        message[6..8].copy_from_slice(&5u16.to_ne_bytes());
        socket.send(&[IoSlice::new(&message)]).expect("sent");
        let mut buffer = [0; 8];
        let Received::Datagram(length) = socket.receive(&mut buffer).expect("no error") else {
            panic!("no answer");
        };
        assert!(length >= 36);
    }

    #[test]
    fn errors_after_which_the_socket_goes_on_are_told_from_others() {
        for (errno, received) in [
            (Errno::AGAIN, Some(Received::Empty)),
            (Errno::NOBUFS, Some(Received::Overrun)),
            (Errno::INVAL, Some(Received::Overrun)),
            (Errno::BADF, None),
        ] {
            assert_eq!(Received::of(Err(errno)).ok(), received, "{errno:?}");
        }
    }

    #[test]
    fn a_socket_has_room_where_nothing_was_rejected() {
        let socket = Socket::open(&SIZES).expect("a socket");
        assert!(socket.has_room().expect("no error"));
        socket.sleep(None, true).expect("no sleep");
    }

    #[test]
    fn the_signal_wakes_a_sleeper_and_shows_in_the_descriptor() {
        let socket = Socket::open(&SIZES).expect("a socket");
        for _ in 0..2 {
            socket.signal(true);
        }
        assert!(is_readable(socket.readiness()));
        socket.sleep(None, false).expect("no sleep");
        for _ in 0..2 {
            socket.signal(false);
        }
        assert!(!is_readable(socket.readiness()));
        socket
            .sleep(Some(Duration::from_millis(1)), false)
            .expect("a short sleep");
    }
}
