// SPDX-License-Identifier: MIT OR Apache-2.0

//! The family's messages: what its attributes mean. The netlink crates do the framing.

use std::{
    io::{self, IoSlice},
    mem::{self, size_of, size_of_val},
};

use netlink_packet_core::{
    emit_i32, emit_u32, emit_u64, parse_string, parse_u32, parse_u64, DecodeError, Emitable,
    ErrorContext, NetlinkDeserializable, NetlinkHeader, Nla, NlaBuffer, NlasIterator,
    ParseableParametrized, NLM_F_REQUEST,
};
use netlink_packet_generic::{constants::GENL_ID_CTRL, GenlFamily, GenlHeader, GenlMessage};
use nlcall_abi::{self as abi, Command, FrontEnd, SessionState, Verdict};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    controller::Family,
    enclosure::Enclosure,
    sys::{Sent, Transport},
    CallFlags, Cancel, Canceled, Completion, Config, Event, Features, Latency, SessionInfo,
    SyscallInfo,
};

/// Bytes of a message before its first attribute: `nlmsghdr` and `genlmsghdr`.
pub(super) const HEADERS_LEN: usize = 16 + 4;
/// Bytes of an attribute before its value.
pub(super) const ATTR_HEADER_LEN: usize = 4;
/// Most calls in one attribute: its length, header included, has 16 bits.
pub(super) const CALLS_PER_ATTR: usize =
    (u16::MAX as usize - ATTR_HEADER_LEN) / size_of::<abi::Call>();

/// One attribute of a request.
#[derive(Clone, Debug)]
struct Attribute {
    kind: u16,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Flag,
    I32(i32),
    U32(u32),
    U64(u64),
    Text(String),
}

impl Nla for Attribute {
    fn value_len(&self) -> usize {
        match &self.value {
            Value::Flag => 0,
            Value::I32(_) | Value::U32(_) => size_of::<u32>(),
            Value::U64(_) => size_of::<u64>(),
            Value::Text(text) => text.len() + 1,
        }
    }

    fn kind(&self) -> u16 {
        self.kind
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        let done = match &self.value {
            Value::Flag => Ok(()),
            Value::I32(value) => emit_i32(buffer, *value),
            Value::U32(value) => emit_u32(buffer, *value),
            Value::U64(value) => emit_u64(buffer, *value),
            Value::Text(text) => {
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                buffer[text.len()..].fill(0);
                Ok(())
            }
        };
        done.expect("the buffer has value_len() bytes");
    }
}

/// A message to the module.
#[derive(Debug)]
pub(super) struct Request {
    command: Command,
    attributes: Vec<Attribute>,
}

impl Request {
    pub(super) fn cancel(what: Cancel) -> Self {
        let (kind, value) = match what {
            Cancel::UserData(user_data) => (abi::cancel::USER_DATA, Value::U64(user_data)),
            Cancel::Fd(fd) => (abi::cancel::FD, Value::I32(fd)),
            Cancel::Nr(nr) => (abi::cancel::NR, Value::U32(nr)),
            Cancel::All => (abi::cancel::ALL, Value::Flag),
        };
        Self {
            command: Command::Cancel,
            attributes: vec![Attribute { kind, value }],
        }
    }

    pub(super) fn features() -> Self {
        Self {
            command: Command::FeaturesGet,
            attributes: Vec::new(),
        }
    }

    pub(super) fn sessions() -> Self {
        Self {
            command: Command::SessionGet,
            attributes: Vec::new(),
        }
    }

    pub(super) fn own_session() -> Self {
        let own = Attribute {
            kind: abi::session::OWN,
            value: Value::Flag,
        };
        Self {
            command: Command::SessionGet,
            attributes: vec![own],
        }
    }

    pub(super) fn config() -> Self {
        Self {
            command: Command::ConfigGet,
            attributes: Vec::new(),
        }
    }

    pub(super) fn set_config(config: &Config) -> Self {
        use abi::config::*;

        let numbers = [
            (MAX_IN_FLIGHT, config.max_in_flight),
            (MAX_IN_FLIGHT_USER, config.max_in_flight_user),
            (MAX_WORKERS, config.max_workers),
            (MAX_WORKERS_USER, config.max_workers_user),
            (MAX_WORKERS_TOTAL, config.max_workers_total),
            (MAX_RUNNING, config.max_running),
            (IDLE_MS, config.idle_ms),
            (MAX_INLINE_BYTES, config.max_inline_bytes),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(kind, number)| Some((kind, Value::U32(number?))));
        let access = config.access.clone().map(Value::Text);
        let attributes = access
            .map(|access| (ACCESS, access))
            .into_iter()
            .chain(numbers)
            .map(|(kind, value)| Attribute { kind, value });
        Self {
            command: Command::ConfigSet,
            attributes: attributes.collect(),
        }
    }

    pub(super) fn trace_start() -> Self {
        Self {
            command: Command::TraceStart,
            attributes: Vec::new(),
        }
    }

    pub(super) fn syscalls() -> Self {
        Self {
            command: Command::SyscallGet,
            attributes: Vec::new(),
        }
    }
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        abi::FAMILY_NAME
    }

    fn command(&self) -> u8 {
        self.command as u8
    }

    fn version(&self) -> u8 {
        abi::FAMILY_VERSION
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

/// A SUBMIT message. Its calls are sent from where they lie.
pub(super) struct Submit<'a> {
    head: [u8; HEAD_MAX],
    head_len: usize,
    calls: &'a [abi::Call],
    /// Attributes behind the calls.
    enclosure: &'a [u8],
}

/// Longest head: the headers, CALL_SIZE, RESULTS_PTR and the header of the first CALLS.
const HEAD_MAX: usize = HEADERS_LEN
    + (ATTR_HEADER_LEN + size_of::<u32>())
    + (ATTR_HEADER_LEN + size_of::<u64>())
    + ATTR_HEADER_LEN;

impl<'a> Submit<'a> {
    /// A message of these calls (not none) with these attributes behind them, whose results are to
    /// be written to the array at this address.
    pub(super) fn new(
        family: u16,
        sequence: u32,
        flags: u16,
        calls: &'a [abi::Call],
        enclosure: &'a Enclosure,
        results: Option<u64>,
    ) -> Self {
        let enclosure = enclosure.as_bytes();
        let mut head = [0; HEAD_MAX];
        let mut header = NetlinkHeader::default();
        header.message_type = family;
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = sequence;
        let command = GenlHeader {
            cmd: Command::Submit as u8,
            version: abi::FAMILY_VERSION,
        };
        let size = Attribute {
            kind: abi::submit::CALL_SIZE,
            value: Value::U32(size_of::<abi::Call>() as u32),
        };
        let results = results.map(|address| Attribute {
            kind: abi::submit::RESULTS_PTR,
            value: Value::U64(address),
        });

        let mut at = header.buffer_len();
        let mut emit = |part: &dyn Emitable| {
            part.emit(&mut head[at..at + part.buffer_len()]);
            at += part.buffer_len();
        };
        emit(&command);
        emit(&size);
        if let Some(results) = &results {
            emit(results);
        }
        let first = calls.len().min(CALLS_PER_ATTR);
        head[at..at + ATTR_HEADER_LEN].copy_from_slice(&calls_header(first));
        let head_len = at + ATTR_HEADER_LEN;

        let more = calls.len().div_ceil(CALLS_PER_ATTR).saturating_sub(1) * ATTR_HEADER_LEN;
        header.length = (head_len + more + size_of_val(calls) + enclosure.len()) as u32;
        header.emit(&mut head);
        Self {
            head,
            head_len,
            calls,
            enclosure,
        }
    }

    /// Sends the message, in parts.
    pub(super) fn send(&self, transport: &impl Transport) -> io::Result<Sent> {
        let head = IoSlice::new(&self.head[..self.head_len]);
        if self.calls.len() <= CALLS_PER_ATTR && self.enclosure.is_empty() {
            return transport.send(&[head, IoSlice::new(self.calls.as_bytes())]);
        }
        let mut attributes = self.calls.chunks(CALLS_PER_ATTR);
        let first = attributes.next().unwrap_or_default();
        let headers: Vec<_> = attributes
            .clone()
            .map(|calls| calls_header(calls.len()))
            .collect();
        let more = headers
            .iter()
            .zip(attributes)
            .flat_map(|(header, calls)| [IoSlice::new(header), IoSlice::new(calls.as_bytes())]);
        let parts: Vec<_> = [head, IoSlice::new(first.as_bytes())]
            .into_iter()
            .chain(more)
            .chain([IoSlice::new(self.enclosure)])
            .collect();
        let sent = transport.send(&parts);
        if matches!(sent, Ok(Sent::InChild)) {
            mem::forget(parts);
            mem::forget(headers);
        }
        sent
    }
}

/// The header of a CALLS attribute.
fn calls_header(calls: usize) -> [u8; ATTR_HEADER_LEN] {
    let length = (ATTR_HEADER_LEN + calls * size_of::<abi::Call>()) as u16;
    let mut header = [0; ATTR_HEADER_LEN];
    header[..2].copy_from_slice(&length.to_ne_bytes());
    header[2..].copy_from_slice(&abi::submit::CALLS.to_ne_bytes());
    header
}

/// A message of the module.
#[derive(Debug)]
pub(super) enum Reply {
    Complete(Vec<Completion>),
    Canceled(Canceled),
    Features(Box<Features>),
    Session(Box<SessionInfo>),
    Config(Box<Config>),
    Syscall(SyscallInfo),
    Trace(Box<Event>),
    TraceStart(u64),
}

impl ParseableParametrized<[u8], GenlHeader> for Reply {
    fn parse_with_param(attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        match Command::from_wire(header.cmd) {
            Some(Command::Complete) => completions(attributes).map(Self::Complete),
            Some(Command::Cancel) => canceled(attributes).map(Self::Canceled),
            Some(Command::FeaturesGet) => features(attributes).map(|it| Self::Features(it.into())),
            Some(Command::SessionGet) => session(attributes).map(|it| Self::Session(it.into())),
            Some(Command::ConfigGet) => config(attributes).map(|it| Self::Config(it.into())),
            Some(Command::SyscallGet) => syscall(attributes).map(Self::Syscall),
            Some(Command::Trace) => Event::parse(attributes).map(|it| Self::Trace(it.into())),
            Some(Command::TraceStart) => trace_start(attributes).map(Self::TraceStart),
            _ => Err(format!(
                "command {} has no reply that this version knows",
                header.cmd
            )
            .into()),
        }
    }
}

/// A message of the module or of the controller that knows its number.
#[derive(Debug)]
pub(super) enum Incoming {
    Controller(Family),
    Nlcall(Reply),
}

impl NetlinkDeserializable for Incoming {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        if header.message_type == GENL_ID_CTRL {
            let message = GenlMessage::deserialize(header, payload)?;
            Ok(Self::Controller(message.payload))
        } else {
            let message = GenlMessage::deserialize(header, payload)?;
            Ok(Self::Nlcall(message.payload))
        }
    }
}

fn completions(attributes: &[u8]) -> Result<Vec<Completion>, DecodeError> {
    let mut completions = Vec::new();
    // Few calls have an output: which they are, and where it lies.
    let mut outputs = Vec::new();
    each(attributes, |kind, value| {
        if kind != abi::complete::RESULTS {
            return Ok(());
        }
        let entries = value.chunks_exact(size_of::<abi::CallResult>());
        if !entries.remainder().is_empty() {
            return Err(format!("RESULTS of {} bytes hold no whole results", value.len()).into());
        }
        completions.reserve(entries.len());
        for entry in entries {
            let result = abi::CallResult::read_from_bytes(entry)
                .map_err(|_| DecodeError::from("the chunk has the size of a result"))?;
            if result.data_len > 0 {
                let from = result.data_off as usize;
                outputs.push((completions.len(), from, result.data_len as usize));
            }
            completions.push(
                Completion::from_abi(&result)
                    .ok_or_else(|| DecodeError::from(format!("unknown outcome in {result:?}")))?,
            );
        }
        Ok(())
    })?;
    if outputs.is_empty() {
        return Ok(completions);
    }
    each(attributes, |kind, value| {
        if kind != abi::complete::DATA {
            return Ok(());
        }
        for (index, from, len) in outputs.drain(..) {
            let output = value.get(from..).and_then(|rest| rest.get(..len));
            let output = output.ok_or_else(|| {
                let have = value.len();
                DecodeError::from(format!("an output of {len} bytes at {from} of {have}"))
            })?;
            completions[index].data = Some(output.into());
        }
        Ok(())
    })?;
    match outputs.is_empty() {
        true => Ok(completions),
        false => Err("results with outputs and no DATA".into()),
    }
}

fn trace_start(attributes: &[u8]) -> Result<u64, DecodeError> {
    let mut last = None;
    each(attributes, |kind, value| {
        if kind == abi::trace::SEQ {
            last = Some(parse_u64(value)?);
        }
        Ok(())
    })?;
    last.ok_or_else(|| "the reply to TRACE_START has no number".into())
}

fn canceled(attributes: &[u8]) -> Result<Canceled, DecodeError> {
    let mut canceled = Canceled::default();
    each(attributes, |kind, value| {
        match kind {
            abi::cancel::CANCELED => canceled.canceled = parse_u32(value)?,
            abi::cancel::INTERRUPTED => canceled.interrupted = parse_u32(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(canceled)
}

fn features(attributes: &[u8]) -> Result<Features, DecodeError> {
    let mut it = Features::default();
    each(attributes, |kind, value| {
        match kind {
            abi::features::CALL_SIZE => it.call_size = parse_u32(value)?,
            abi::features::RESULT_SIZE => it.result_size = parse_u32(value)?,
            abi::features::CALL_FLAGS => {
                // The mask has room for 64 flags, a call for 32.
                it.call_flags = CallFlags::from_bits_retain(parse_u64(value)? as u32);
            }
            abi::features::ARG_KINDS => it.arg_kinds = parse_u32(value)?,
            abi::features::SUBMIT_ATTRS => it.submit_attrs = parse_u64(value)?,
            abi::features::MAX_IN_FLIGHT => it.max_in_flight = parse_u32(value)?,
            abi::features::MAX_WORKERS => it.max_workers = parse_u32(value)?,
            abi::features::KERNEL => it.kernel = parse_string(value)?,
            abi::features::POLICY_HASH => it.policy_hash = parse_u64(value)?,
            abi::features::MODULE_VERSION => it.module_version = parse_string(value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(it)
}

fn session(attributes: &[u8]) -> Result<SessionInfo, DecodeError> {
    let mut it = SessionInfo {
        id: 0,
        pid: 0,
        target_of: None,
        comm: String::new(),
        port_id: 0,
        state: SessionState::Open,
        front_end: FrontEnd::Generic,
        in_flight: 0,
        queued: 0,
        running: 0,
        blocked: 0,
        undelivered: 0,
        workers: 0,
        saturated: false,
        accepted: 0,
        delivered: 0,
        rejected: 0,
        last_seq: 0,
        skipped: 0,
        canceled: 0,
        timed_out: 0,
        inline: 0,
        idle: 0,
        latency: Vec::new(),
    };
    each(attributes, |kind, value| {
        match kind {
            abi::session::ID => it.id = parse_u64(value)?,
            abi::session::PID => it.pid = parse_u32(value)?,
            abi::session::TARGET_OF => it.target_of = Some(parse_u32(value)?),
            abi::session::COMM => it.comm = parse_string(value)?,
            abi::session::PORTID => it.port_id = parse_u32(value)?,
            abi::session::STATE => {
                it.state = known(SessionState::from_wire, parse_u32(value)?, "session state")?;
            }
            abi::session::FRONT_END => {
                it.front_end = known(FrontEnd::from_wire, parse_u32(value)?, "front end")?;
            }
            abi::session::IN_FLIGHT => it.in_flight = parse_u32(value)?,
            abi::session::QUEUED => it.queued = parse_u32(value)?,
            abi::session::RUNNING => it.running = parse_u32(value)?,
            abi::session::BLOCKED => it.blocked = parse_u32(value)?,
            abi::session::UNDELIVERED => it.undelivered = parse_u32(value)?,
            abi::session::WORKERS => it.workers = parse_u32(value)?,
            abi::session::SATURATED => it.saturated = true,
            abi::session::ACCEPTED => it.accepted = parse_u64(value)?,
            abi::session::DELIVERED => it.delivered = parse_u64(value)?,
            abi::session::REJECTED => it.rejected = parse_u64(value)?,
            abi::session::LAST_SEQ => it.last_seq = parse_u32(value)?,
            abi::session::SKIPPED => it.skipped = parse_u64(value)?,
            abi::session::CANCELED => it.canceled = parse_u64(value)?,
            abi::session::TIMED_OUT => it.timed_out = parse_u64(value)?,
            abi::session::INLINE => it.inline = parse_u64(value)?,
            abi::session::IDLE => it.idle = parse_u32(value)?,
            abi::session::LATENCY => {
                let latency = abi::Latency::read_from_bytes(value).map_err(|_| {
                    DecodeError::from(format!("a latency of {} bytes", value.len()))
                })?;
                it.latency.push(Latency::from_abi(&latency));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(it)
}

fn config(attributes: &[u8]) -> Result<Config, DecodeError> {
    let mut it = Config::default();
    each(attributes, |kind, value| {
        let number = match kind {
            abi::config::ACCESS => {
                it.access = Some(parse_string(value)?);
                return Ok(());
            }
            abi::config::MAX_IN_FLIGHT => &mut it.max_in_flight,
            abi::config::MAX_IN_FLIGHT_USER => &mut it.max_in_flight_user,
            abi::config::MAX_WORKERS => &mut it.max_workers,
            abi::config::MAX_WORKERS_USER => &mut it.max_workers_user,
            abi::config::MAX_WORKERS_TOTAL => &mut it.max_workers_total,
            abi::config::MAX_RUNNING => &mut it.max_running,
            abi::config::IDLE_MS => &mut it.idle_ms,
            abi::config::MAX_INLINE_BYTES => &mut it.max_inline_bytes,
            _ => return Ok(()),
        };
        *number = Some(parse_u32(value)?);
        Ok(())
    })?;
    Ok(it)
}

fn syscall(attributes: &[u8]) -> Result<SyscallInfo, DecodeError> {
    let (mut nr, mut name, mut verdict, mut reason) = (None, String::new(), None, None);
    each(attributes, |kind, value| {
        match kind {
            abi::syscall::NR => nr = Some(parse_u32(value)?),
            abi::syscall::NAME => name = parse_string(value)?,
            abi::syscall::VERDICT => {
                verdict = Some(known(Verdict::from_wire, parse_u32(value)?, "verdict")?);
            }
            abi::syscall::REASON => reason = Some(parse_string(value)?),
            _ => {}
        }
        Ok(())
    })?;
    match (nr, verdict) {
        (Some(nr), Some(verdict)) => Ok(SyscallInfo {
            nr,
            name,
            verdict,
            reason,
        }),
        _ => Err("a policy entry without number or verdict".into()),
    }
}

/// Hands each attribute's number and value to `take`. Numbers that are not known are the module's
/// way to grow: `take` skips them.
pub(super) fn each(
    attributes: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for attribute in NlasIterator::new(attributes) {
        let attribute: NlaBuffer<&[u8]> = attribute?;
        let kind = attribute.kind();
        take(kind, attribute.value()).with_context(|| format!("attribute {kind}"))?;
    }
    Ok(())
}

pub(super) fn known<N: Copy + std::fmt::Display, T>(
    from_wire: impl Fn(N) -> Option<T>,
    number: N,
    what: &str,
) -> Result<T, DecodeError> {
    from_wire(number).ok_or_else(|| format!("unknown {what} {number}").into())
}
