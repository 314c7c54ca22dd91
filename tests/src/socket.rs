// SPDX-License-Identifier: MIT OR Apache-2.0

//! A netlink socket without a library around it.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload, NLM_F_REQUEST};
use netlink_packet_generic::{
    ctrl::{
        nlas::{GenlCtrlAttrs, McastGrpAttrs},
        GenlCtrl, GenlCtrlCmd,
    },
    GenlMessage,
};
use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use nlcall::raw::Call;
use nlcall_abi::{session, CallResult, Command, FAMILY_NAME};
use rustix::{
    io::Errno,
    net::{recv, sockopt, RecvFlags},
};

use crate::{
    event::{events, Answer, Attributes, Event},
    message::{Message, DUMP, REQUEST},
};

/// Longer than any datagram of the kernel.
const DATAGRAM_MAX: usize = 64 << 10;

/// Send buffer in bytes, large enough for a message of 100,000 calls.
const SEND_BUFFER: usize = 16 << 20;

/// What one attempt to receive found.
#[derive(Clone, Debug)]
pub enum Received {
    /// The messages of a datagram.
    Events(Vec<Event>),
    /// Nothing is there.
    Nothing,
    /// The kernel had to drop something (`ENOBUFS`).
    Overrun,
}

/// A generic-netlink socket.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    family: u16,
    trace_group: u32,
    port_id: u32,
    last_seq: u32,
    completions: VecDeque<CallResult>,
    replies: Vec<Attributes>,
}

impl RawSocket {
    /// A socket with buffers of the system's default size.
    pub fn open() -> Self {
        Self::open_with(|_| {})
    }

    /// A socket whose receive buffer is the smallest that there is.
    pub fn with_smallest_receive_buffer() -> Self {
        Self::open_with(|socket| {
            // The kernel raises it to its minimum.
            sockopt::set_socket_recv_buffer_size(socket, 1).expect("SO_RCVBUF");
        })
    }

    /// A socket that takes messages of many thousand calls.
    pub fn with_large_send_buffer() -> Self {
        Self::open_with(|socket| {
            sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER).expect("SO_SNDBUF");
        })
    }

    fn open_with(prepare: impl FnOnce(&Socket)) -> Self {
        let mut socket = Socket::new(NETLINK_GENERIC).expect("a generic-netlink socket");
        socket.set_ext_ack(true).expect("NETLINK_EXT_ACK");
        socket.set_cap_ack(true).expect("NETLINK_CAP_ACK");
        let port_id = socket.bind_auto().expect("binding").port_number();
        socket
            .connect(&SocketAddr::new(0, 0))
            .expect("connecting to the kernel");
        let numbers = resolve(&socket);
        prepare(&socket);
        Self::of(socket, numbers, port_id)
    }

    /// A socket that another process opened and handed over.
    pub fn adopt(fd: OwnedFd) -> Self {
        // SAFETY: the descriptor was ours, and is now the socket's.
        let socket = unsafe { Socket::from_raw_fd(fd.into_raw_fd()) };
        let mut address = SocketAddr::new(0, 0);
        socket
            .get_address(&mut address)
            .expect("the socket is bound");
        // The numbers are asked for elsewhere: answers to the owner stay undisturbed.
        let other = Self::open();
        let port_id = address.port_number();
        Self::of(socket, (other.family, other.trace_group), port_id)
    }

    fn of(socket: Socket, (family, trace_group): (u16, u32), port_id: u32) -> Self {
        let (completions, replies) = Default::default();
        Self {
            socket,
            family,
            trace_group,
            port_id,
            last_seq: 0,
            completions,
            replies,
        }
    }

    /// A second descriptor of the same socket, which also survives an execve.
    pub fn inheritable_copy(&self) -> RawFd {
        // SAFETY: duplicating a descriptor touches nothing else.
        let fd = unsafe { libc::fcntl(self.as_raw_fd(), libc::F_DUPFD, 3) };
        assert!(
            fd >= 0,
            "duplicating the socket: {}",
            io::Error::last_os_error()
        );
        fd
    }

    /// Number of the family.
    pub fn family(&self) -> u16 {
        self.family
    }

    /// Number of its multicast group `trace`.
    pub fn trace_group(&self) -> u32 {
        self.trace_group
    }

    /// Port id, which names the session.
    pub fn port_id(&self) -> u32 {
        self.port_id
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, 0).map(drop)
    }

    /// Takes one datagram; waits for it where `wait` says so.
    pub fn receive(&self, wait: bool) -> Received {
        let mut buffer = vec![0; DATAGRAM_MAX];
        let flags = if wait {
            RecvFlags::TRUNC
        } else {
            RecvFlags::TRUNC | RecvFlags::DONTWAIT
        };
        loop {
            return match recv(&self.socket, &mut buffer[..], flags) {
                Ok((_, length)) => {
                    assert!(
                        length <= buffer.len(),
                        "the kernel sent {length} bytes at once"
                    );
                    Received::Events(events(&buffer[..length]))
                }
                Err(Errno::AGAIN) => Received::Nothing,
                Err(Errno::NOBUFS) => Received::Overrun,
                Err(Errno::INTR) => continue,
                Err(errno) => panic!("receiving: {errno}"),
            };
        }
    }

    /// Sends a request and waits for its answer. Completions that arrive meanwhile are kept.
    pub fn request(&mut self, mut message: Message) -> Answer {
        self.last_seq += 1;
        message.seq = self.last_seq;
        self.request_as_it_is(&message)
    }

    /// As [`request`](Self::request), without touching the message's sequence number.
    pub fn request_as_it_is(&mut self, message: &Message) -> Answer {
        self.replies.clear();
        self.send(&message.bytes())
            .expect("netlink takes the message");
        loop {
            for event in self.events() {
                match event {
                    Event::Answer(answer) if answer.seq == message.seq => return answer,
                    Event::Completions(list) => self.completions.extend(list),
                    Event::Reply(seq, _, attributes) if seq == message.seq => {
                        self.replies.push(attributes);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The replies to a request that came before its answer.
    pub fn replies(&self) -> &[Attributes] {
        &self.replies
    }

    /// What the kernel knows about the session of this socket.
    pub fn own_session(&mut self) -> Attributes {
        let mut message = Message::new(self.family(), Command::SessionGet);
        message.attribute(session::OWN, &[]);
        let [own] = &self.dump(message)[..] else {
            panic!("one session of this socket");
        };
        own.clone()
    }

    /// Sends a dump request and waits for its end.
    pub fn dump(&mut self, mut message: Message) -> Vec<Attributes> {
        self.last_seq += 1;
        message.seq = self.last_seq;
        message.flags = REQUEST | DUMP;
        self.send(&message.bytes())
            .expect("netlink takes the message");
        let mut replies = Vec::new();
        loop {
            for event in self.events() {
                match event {
                    Event::Reply(seq, _, attributes) if seq == message.seq => {
                        replies.push(attributes);
                    }
                    Event::Done(seq) if seq == message.seq => return replies,
                    Event::Answer(answer) if answer.seq == message.seq => panic!("{answer:?}"),
                    Event::Completions(list) => self.completions.extend(list),
                    _ => {}
                }
            }
        }
    }

    /// Submits these calls as one message.
    pub fn submit(&mut self, calls: impl IntoIterator<Item = Call>) -> Answer {
        self.request(Message::submit(self.family, &on_the_wire(calls)))
    }

    /// Submits these calls as one message, with a results array at this address.
    pub fn submit_into(&mut self, calls: impl IntoIterator<Item = Call>, address: u64) -> Answer {
        let calls = on_the_wire(calls);
        self.request(Message::submit_into(self.family, &calls, address))
    }

    /// Submits these calls, which must be accepted.
    pub fn accept(&mut self, calls: impl IntoIterator<Item = Call>) {
        let answer = self.submit(calls);
        assert_eq!(
            (answer.errno, answer.text.as_str()),
            (0, ""),
            "the calls are accepted"
        );
    }

    /// Submits these calls without asking for an acknowledgement; a rejection comes all the same.
    pub fn submit_unanswered(&mut self, calls: impl IntoIterator<Item = Call>) -> io::Result<()> {
        self.last_seq += 1;
        let mut message = Message::submit(self.family, &on_the_wire(calls));
        message.flags = REQUEST;
        message.seq = self.last_seq;
        self.send(&message.bytes())
    }

    /// Waits until so many calls are over, in the order in which they came.
    pub fn completions(&mut self, count: usize) -> Vec<CallResult> {
        while self.completions.len() < count {
            for event in self.events() {
                if let Event::Completions(list) = event {
                    self.completions.extend(list);
                }
            }
        }
        self.completions.drain(..count).collect()
    }

    /// The completions that are there, without waiting.
    pub fn completions_at_hand(&mut self) -> Vec<CallResult> {
        let (events, _) = self.drain();
        for event in events {
            if let Event::Completions(list) = event {
                self.completions.extend(list);
            }
        }
        self.completions.drain(..).collect()
    }

    /// Whatever is there to receive, without waiting; the second value says whether the kernel had
    /// to drop something.
    pub fn drain(&mut self) -> (Vec<Event>, bool) {
        let mut all: Vec<Event> = Vec::new();
        let mut overrun = false;
        loop {
            match self.receive(false) {
                Received::Events(events) => all.extend(events),
                Received::Overrun => overrun = true,
                Received::Nothing => return (all, overrun),
            }
        }
    }

    /// Checks that no completion is there any more.
    pub fn assert_no_more_completions(&mut self) {
        let (events, _) = self.drain();
        for event in events {
            if let Event::Completions(list) = event {
                self.completions.extend(list);
            }
        }
        assert!(
            self.completions.is_empty(),
            "too many completions: {:?}",
            self.completions
        );
    }

    /// The messages of the next datagram, waiting for it.
    fn events(&self) -> Vec<Event> {
        match self.receive(true) {
            Received::Events(events) => events,
            Received::Nothing | Received::Overrun => Vec::new(),
        }
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RawSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<RawSocket> for OwnedFd {
    fn from(socket: RawSocket) -> Self {
        // SAFETY: the descriptor was the socket's, and is now its own.
        unsafe { Self::from_raw_fd(socket.socket.into_raw_fd()) }
    }
}

fn on_the_wire(calls: impl IntoIterator<Item = Call>) -> Vec<nlcall_abi::Call> {
    calls.into_iter().map(nlcall_abi::Call::from).collect()
}

/// Asks the controller for the number of the family and that of its multicast group.
fn resolve(socket: &Socket) -> (u16, u32) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let question = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY_NAME.to_owned())],
    });
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket
        .send(&bytes, 0)
        .expect("the controller takes the question");

    let mut buffer = vec![0; DATAGRAM_MAX];
    let (_, length) = recv(socket, &mut buffer[..], RecvFlags::TRUNC).expect("an answer");
    let answer = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&buffer[..length])
        .expect("the controller speaks netlink");
    let NetlinkPayload::InnerMessage(answer) = answer.payload else {
        panic!(
            "the kernel has no family {FAMILY_NAME}: {:?}",
            answer.payload
        );
    };
    let (mut family, mut group) = (None, None);
    for attribute in &answer.payload.nlas {
        match attribute {
            GenlCtrlAttrs::FamilyId(id) => family = Some(*id),
            GenlCtrlAttrs::McastGroups(groups) => {
                let ids = groups.iter().flatten().find_map(|it| match it {
                    McastGrpAttrs::Id(id) => Some(*id),
                    McastGrpAttrs::Name(_) => None,
                });
                group = ids;
            }
            _ => {}
        }
    }
    (
        family.expect("the controller names the family's number"),
        group.expect("the family has a multicast group"),
    )
}
