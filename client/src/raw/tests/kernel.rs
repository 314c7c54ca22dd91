// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the kernel's side of the socket. It encodes with the netlink crates alone, so that
//! it shares no code with what it tests.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::size_of,
    num::NonZeroI32,
    ptr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netlink_packet_core::{
    DefaultNla, DoneMessage, Emitable, ErrorMessage, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NlaBuffer, NlasIterator, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_MULTIPART,
};
use netlink_packet_generic::{
    constants::{CTRL_ATTR_FAMILY_ID, CTRL_ATTR_VERSION, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL},
    GenlFamily, GenlMessage,
};
use nlcall_abi::{self as abi, Call, CallResult, Command};
use zerocopy::{FromBytes, IntoBytes};

use crate::raw::{
    self,
    connection::Connection,
    exchange::Patience,
    sys::{Received, Sent, Transport},
    Batch,
};

/// Number of the family in this kernel.
pub(super) const FAMILY: u16 = 0x42;
/// Port id of the socket.
pub(super) const PORT: u32 = 4711;
/// The kernel's limit for calls in flight.
pub(super) const MAX_IN_FLIGHT: u32 = 5000;

/// A request as the kernel sees it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) sequence: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) command: u8,
    pub(super) version: u8,
    /// Number and value of each attribute.
    pub(super) attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Self {
        let frame = NetlinkBuffer::new_checked(bytes).expect("a whole message");
        assert_eq!(
            frame.length() as usize,
            bytes.len(),
            "the message fills the datagram"
        );
        let payload = frame.payload();
        let attributes = NlasIterator::new(&payload[4..]).map(|attribute| {
            let attribute: NlaBuffer<&[u8]> = attribute.expect("whole attributes");
            (attribute.kind(), attribute.value().to_vec())
        });
        Self {
            bytes: bytes.to_vec(),
            sequence: frame.sequence_number(),
            kind: frame.message_type(),
            flags: frame.flags(),
            command: payload[0],
            version: payload[1],
            attributes: attributes.collect(),
        }
    }

    pub(super) fn is(&self, command: Command) -> bool {
        self.kind == FAMILY && self.command == command as u8
    }

    /// The calls of a SUBMIT.
    pub(super) fn calls(&self) -> Vec<Call> {
        let values = self
            .attributes
            .iter()
            .filter(|(kind, _)| *kind == abi::submit::CALLS);
        values
            .flat_map(|(_, value)| value.chunks(size_of::<Call>()))
            .map(|entry| Call::read_from_bytes(entry).expect("whole calls"))
            .collect()
    }

    /// All values of one attribute, one behind the other.
    pub(super) fn joined(&self, kind: u16) -> Vec<u8> {
        let values = self.attributes.iter().filter(|(it, _)| *it == kind);
        values.flat_map(|(_, value)| value.clone()).collect()
    }

    /// Where the results of a SUBMIT are to be written.
    pub(super) fn results_ptr(&self) -> Option<u64> {
        let mut attributes = self.attributes.iter();
        attributes.find_map(|(kind, value)| {
            let value = value.as_slice().try_into().ok();
            value
                .filter(|_| *kind == abi::submit::RESULTS_PTR)
                .map(u64::from_ne_bytes)
        })
    }

    /// Writes results to the array that the SUBMIT names.
    pub(super) fn write(&self, results: &[CallResult]) {
        let address = self.results_ptr().expect("the message has RESULTS_PTR");
        assert_eq!(address % 8, 0);
        let header = ptr::with_exposed_provenance_mut::<abi::ResultsHeader>(address as usize);
        // SAFETY: the library gave this address to a kernel, for as long as it sends the message.
        unsafe {
            let before = header.read();
            assert_eq!((before.done, before.reserved), (0, 0));
            assert!(self.calls().len() <= before.capacity as usize);
            let entries = header.add(1).cast::<CallResult>();
            for (index, result) in results.iter().enumerate() {
                entries.add(index).write(*result);
                (*header).done = index as u32 + 1;
            }
        }
    }

    /// A result for each call of a SUBMIT: its number plus 1000.
    pub(super) fn results(&self) -> Vec<CallResult> {
        self.calls()
            .iter()
            .map(|call| result(call.user_data, i64::from(call.nr) + 1000))
            .collect()
    }
}

pub(super) fn result(user_data: u64, ret: i64) -> CallResult {
    CallResult {
        user_data,
        ret,
        ..CallResult::default()
    }
}

/// Attributes with the command that they belong to.
#[derive(Debug)]
struct Attributes(u8, Vec<DefaultNla>);

impl GenlFamily for Attributes {
    fn family_name() -> &'static str {
        "model"
    }

    fn command(&self) -> u8 {
        self.0
    }

    fn version(&self) -> u8 {
        abi::FAMILY_VERSION
    }
}

impl Emitable for Attributes {
    fn buffer_len(&self) -> usize {
        self.1.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.1.as_slice().emit(buffer);
    }
}

fn encode(sequence: u32, flags: u16, payload: NetlinkPayload<GenlMessage<Attributes>>) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.sequence_number = sequence;
    header.port_number = PORT;
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

pub(super) fn genl(
    family: u16,
    sequence: u32,
    command: u8,
    attributes: &[(u16, &[u8])],
) -> Vec<u8> {
    let attributes = attributes
        .iter()
        .map(|(kind, value)| DefaultNla::new(*kind, value.to_vec()))
        .collect();
    let mut message = GenlMessage::from_payload(Attributes(command, attributes));
    message.set_resolved_family_id(family);
    encode(sequence, 0, message.into())
}

pub(super) fn reply(request: &Message, command: Command, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    genl(FAMILY, request.sequence, command as u8, attributes)
}

/// A COMPLETE message.
pub(super) fn complete(results: &[CallResult]) -> Vec<u8> {
    let results = (abi::complete::RESULTS, results.as_bytes());
    genl(FAMILY, 0, Command::Complete as u8, &[results])
}

/// A COMPLETE message whose results refer to these bytes.
pub(super) fn complete_with(results: &[CallResult], data: &[u8]) -> Vec<u8> {
    let results = (abi::complete::RESULTS, results.as_bytes());
    let data = (abi::complete::DATA, data);
    genl(FAMILY, 0, Command::Complete as u8, &[results, data])
}

/// COMPLETE messages of the length that the protocol allows.
fn completes(results: &[CallResult]) -> impl Iterator<Item = Event> + '_ {
    let per_message = (abi::MAX_COMPLETE_LEN - 24) / size_of::<CallResult>();
    results
        .chunks(per_message)
        .map(|results| Event::Datagram(complete(results)))
}

/// An acknowledgement.
pub(super) fn ack(request: &Message) -> Vec<u8> {
    let mut error = ErrorMessage::default();
    error.header = request.bytes[..16].to_vec();
    encode(request.sequence, NLM_F_CAPPED, NetlinkPayload::Error(error))
}

/// A rejection; `capped` says whether the kernel leaves out the request.
pub(super) fn reject(
    request: &Message,
    errno: i32,
    text: Option<&str>,
    offset: Option<u32>,
    capped: bool,
) -> Vec<u8> {
    let mut extension = Vec::new();
    if let Some(text) = text {
        let mut text = text.as_bytes().to_vec();
        text.push(0);
        extension.push(DefaultNla::new(1, text));
    }
    if let Some(offset) = offset {
        extension.push(DefaultNla::new(2, offset.to_ne_bytes().to_vec()));
    }
    let mut error = ErrorMessage::default();
    error.code = NonZeroI32::new(-errno);
    error.header = request.bytes[..if capped { 16 } else { request.bytes.len() }].to_vec();
    let mut bytes = vec![0; extension.as_slice().buffer_len()];
    extension.as_slice().emit(&mut bytes);
    error.header.extend(&bytes);
    let mut flags = 0;
    if capped {
        flags |= NLM_F_CAPPED;
    }
    if !extension.is_empty() {
        flags |= NLM_F_ACK_TLVS;
    }
    encode(request.sequence, flags, NetlinkPayload::Error(error))
}

/// The end of a dump; `code` is zero or a negative error number.
pub(super) fn done(request: &Message, code: i32) -> Vec<u8> {
    let mut done = DoneMessage::default();
    done.code = code;
    encode(
        request.sequence,
        NLM_F_MULTIPART,
        NetlinkPayload::Done(done),
    )
}

/// A dump of one session that has so many calls in flight, after so many were skipped.
pub(super) fn skipping_session(request: &Message, in_flight: u32, skipped: u64) -> Vec<Event> {
    let attributes: &[(u16, &[u8])] = &[
        (abi::session::IN_FLIGHT, &in_flight.to_ne_bytes()),
        (abi::session::SKIPPED, &skipped.to_ne_bytes()),
    ];
    let mut datagram = reply(request, Command::SessionGet, attributes);
    datagram.extend(done(request, 0));
    vec![Event::Datagram(datagram)]
}

/// A dump of one session and its end.
pub(super) fn own_session(request: &Message, last_seq: u32, in_flight: u32) -> Vec<Event> {
    let attributes: &[(u16, &[u8])] = &[
        (abi::session::ID, &7u64.to_ne_bytes()),
        (abi::session::COMM, b"model\0"),
        (abi::session::IN_FLIGHT, &in_flight.to_ne_bytes()),
        (abi::session::LAST_SEQ, &last_seq.to_ne_bytes()),
        (abi::session::SATURATED, &[]),
        (99, b"from the future"),
    ];
    let mut datagram = reply(request, Command::SessionGet, attributes);
    datagram.extend(done(request, 0));
    vec![Event::Datagram(datagram)]
}

/// Something that the socket holds for the process.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Datagram(Vec<u8>),
    Overrun,
    /// To receive fails with this number.
    Failure(i32),
    /// What the request leaves behind is found by the child that it made.
    InChild,
}

/// What the kernel does with a request of the family.
type Handler = Box<dyn FnMut(&Message) -> Vec<Event> + Send>;

pub(super) struct Kernel {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Event>,
    handler: Handler,
    log: Vec<Message>,
    signal: bool,
    has_room: bool,
    asleep: usize,
}

impl Kernel {
    /// A kernel that answers the requests of a session with `handler`, after it opened it.
    pub(super) fn new(
        mut handler: impl FnMut(&Message) -> Vec<Event> + Send + 'static,
    ) -> Arc<Self> {
        Self::bare(move |request| {
            if request.kind == GENL_ID_CTRL {
                family(request, abi::FAMILY_VERSION.into())
            } else if request.is(Command::FeaturesGet) {
                features(request)
            } else {
                handler(request)
            }
        })
    }

    /// A kernel that answers all requests with `handler`.
    pub(super) fn bare(handler: impl FnMut(&Message) -> Vec<Event> + Send + 'static) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            handler: Box::new(handler),
            log: Vec::new(),
            signal: false,
            has_room: true,
            asleep: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// A kernel that accepts and completes all calls at once.
    pub(super) fn willing() -> Arc<Self> {
        Self::new(|request| {
            if request.is(Command::SessionGet) {
                return own_session(request, 0, 0);
            }
            let mut events = vec![Event::Datagram(ack(request))];
            events.extend(completes(&request.results()));
            events
        })
    }

    /// Puts something into the socket.
    pub(super) fn deliver(&self, event: Event) {
        self.lock().queue.push_back(event);
        self.changed.notify_all();
    }

    /// Whether the socket is writable.
    pub(super) fn set_room(&self, has_room: bool) {
        self.lock().has_room = has_room;
        self.changed.notify_all();
    }

    /// The requests of the family so far, except those that opened the session.
    pub(super) fn log(&self) -> Vec<Message> {
        let log = self.lock().log.clone();
        log.into_iter()
            .filter(|it| it.kind == FAMILY && it.command != Command::FeaturesGet as u8)
            .collect()
    }

    /// Returns once this many threads sleep.
    pub(super) fn wait_for_sleepers(&self, count: usize) {
        let state = self.lock();
        drop(
            self.changed
                .wait_while(state, |state| state.asleep < count)
                .expect("no panic"),
        );
    }

    pub(super) fn is_signaled(&self) -> bool {
        self.lock().signal
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A handler that panicked has failed the test already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket of the modelled kernel.
pub(super) struct Socket {
    pub(super) kernel: Arc<Kernel>,
    pub(super) message_max: usize,
    /// What it really takes.
    pub(super) send_max: usize,
    pub(super) is_owner: bool,
}

impl Socket {
    pub(super) fn new(kernel: &Arc<Kernel>) -> Self {
        Self {
            kernel: Arc::clone(kernel),
            message_max: 200 << 10,
            send_max: usize::MAX,
            is_owner: true,
        }
    }
}

pub(super) fn open(kernel: &Arc<Kernel>) -> Connection<Socket> {
    Connection::new(Socket::new(kernel), None).expect("the kernel is willing")
}

impl Transport for Socket {
    fn port_id(&self) -> u32 {
        PORT
    }

    fn message_max(&self) -> usize {
        self.message_max
    }

    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<Sent> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if bytes.len() > self.message_max.min(self.send_max) {
            return Err(io::Error::from_raw_os_error(90)); // EMSGSIZE
        }
        let message = Message::parse(&bytes);
        let mut state = self.kernel.lock();
        let events = (state.handler)(&message);
        state.log.push(message);
        let in_child = events.iter().any(|event| matches!(event, Event::InChild));
        state.queue.extend(events);
        drop(state);
        self.kernel.changed.notify_all();
        Ok(if in_child { Sent::InChild } else { Sent::Here })
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        match self.kernel.lock().queue.pop_front() {
            None => Ok(Received::Empty),
            Some(Event::Overrun) => Ok(Received::Overrun),
            Some(Event::Failure(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Event::InChild) => panic!("the child receives from the parent's socket"),
            Some(Event::Datagram(datagram)) => {
                let copied = datagram.len().min(buffer.len());
                buffer[..copied].copy_from_slice(&datagram[..copied]);
                Ok(Received::Datagram(datagram.len()))
            }
        }
    }

    fn sleep(&self, timeout: Option<Duration>, for_room: bool) -> io::Result<()> {
        let mut state = self.kernel.lock();
        state.asleep += 1;
        self.kernel.changed.notify_all();
        let idle = |state: &mut State| {
            state.queue.is_empty() && !state.signal && !(for_room && state.has_room)
        };
        let changed = &self.kernel.changed;
        let mut state = match timeout {
            Some(time) => {
                changed
                    .wait_timeout_while(state, time, idle)
                    .expect("no panic")
                    .0
            }
            None => changed.wait_while(state, idle).expect("no panic"),
        };
        state.asleep -= 1;
        Ok(())
    }

    fn has_room(&self) -> io::Result<bool> {
        Ok(self.kernel.lock().has_room)
    }

    fn signal(&self, on: bool) {
        self.kernel.lock().signal = on;
        self.kernel.changed.notify_all();
    }

    fn is_owner(&self) -> bool {
        self.is_owner
    }
}

/// The controller's answer: the family is there, in this version.
pub(super) fn family(request: &Message, version: u32) -> Vec<Event> {
    let attributes: &[(u16, &[u8])] = &[
        (CTRL_ATTR_FAMILY_ID, &FAMILY.to_ne_bytes()),
        (CTRL_ATTR_VERSION, &version.to_ne_bytes()),
    ];
    let reply = genl(
        GENL_ID_CTRL,
        request.sequence,
        CTRL_CMD_NEWFAMILY,
        attributes,
    );
    vec![Event::Datagram(reply), Event::Datagram(ack(request))]
}

pub(super) fn features(request: &Message) -> Vec<Event> {
    features_with(request, 1, 0b110)
}

/// The reply of a module with these argument kinds and attributes of SUBMIT.
pub(super) fn features_with(request: &Message, arg_kinds: u32, submit_attrs: u64) -> Vec<Event> {
    let attributes: &[(u16, &[u8])] = &[
        (
            abi::features::CALL_SIZE,
            &(size_of::<Call>() as u32).to_ne_bytes(),
        ),
        (
            abi::features::RESULT_SIZE,
            &(size_of::<CallResult>() as u32).to_ne_bytes(),
        ),
        (
            abi::features::CALL_FLAGS,
            &u64::from(abi::flag::DRAIN).to_ne_bytes(),
        ),
        (abi::features::ARG_KINDS, &arg_kinds.to_ne_bytes()),
        (abi::features::SUBMIT_ATTRS, &submit_attrs.to_ne_bytes()),
        (abi::features::MAX_IN_FLIGHT, &MAX_IN_FLIGHT.to_ne_bytes()),
        (abi::features::MAX_WORKERS, &64u32.to_ne_bytes()),
        (abi::features::KERNEL, b"7.3.4-model\0"),
        (
            abi::features::POLICY_HASH,
            &0x1234_5678_9abc_def0u64.to_ne_bytes(),
        ),
        (abi::features::MODULE_VERSION, b"0.1.0\0"),
    ];
    let reply = reply(request, Command::FeaturesGet, attributes);
    vec![Event::Datagram(reply), Event::Datagram(ack(request))]
}

/// A call of the model, where numbers mean nothing.
pub(super) fn call(nr: u32, user_data: u64) -> raw::Call {
    // SAFETY: the model executes nothing.
    unsafe { raw::Call::new(nr, &[]) }.user_data(user_data)
}

/// A batch of this many calls, with their index as `user_data`.
pub(super) fn batch(calls: usize) -> Batch {
    (0..calls)
        .map(|index| call(index as u32 % 400, index as u64))
        .collect()
}

/// Takes completions until there is none, and returns their `user_data` in order.
pub(super) fn take_all(connection: &Connection<Socket>) -> Vec<u64> {
    let take = || {
        connection
            .exchange
            .completion(Patience::None)
            .expect("no error")
    };
    std::iter::from_fn(take)
        .map(|completion| completion.user_data)
        .collect()
}
