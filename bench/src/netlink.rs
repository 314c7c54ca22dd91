// SPDX-License-Identifier: MIT OR Apache-2.0

//! The leanest way to the module: a message that is built once and sent as it is, answers that
//! are decoded where they lie.

use std::{
    mem::{offset_of, size_of, size_of_val},
    os::fd::AsFd,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{bail, ensure, Context, Result};
use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlaBuffer, NlasIterator,
    NLM_F_ACK, NLM_F_REQUEST,
};
use netlink_packet_generic::{
    ctrl::{nlas::GenlCtrlAttrs, GenlCtrl, GenlCtrlCmd},
    GenlFamily, GenlMessage,
};
use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use nlcall::raw::{CallFlags, Features, Session};
use nlcall_abi::{self as abi, submit, Call, CallResult, Command, Outcome, ResultsHeader};
use rustix::net::{recv, send, sockopt, RecvFlags, SendFlags};
use zerocopy::{FromBytes, IntoBytes};

use crate::area::Area;

/// Longer than any datagram of the kernel.
const DATAGRAM_MAX: usize = 64 << 10;
/// Room for the largest batch in one message, and for all its completions.
const SOCKET_BUFFER: usize = 8 << 20;
/// Bytes of a message before its first attribute: `nlmsghdr` and `genlmsghdr`.
const HEADERS: usize = 16 + 4;
/// Bytes of an attribute before its payload.
const ATTR_HEADER: usize = 4;
/// Most calls of one attribute: its length, header included, has 16 bits.
const CALLS_PER_ATTR: usize = (u16::MAX as usize - ATTR_HEADER) / size_of::<Call>();
/// `NLMSG_ERROR` of `include/uapi/linux/netlink.h`.
const NLMSG_ERROR: u16 = 2;

/// A socket that is connected to the kernel, and what the module can do.
pub struct Channel {
    socket: Socket,
    family: u16,
    /// What the module supports.
    pub features: Features,
    buffer: Vec<u64>,
}

impl Channel {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let features = Session::open()?.features().clone();
        let mut socket = Socket::new(NETLINK_GENERIC).context("opening a netlink socket")?;
        socket
            .set_ext_ack(true)
            .context("setting NETLINK_EXT_ACK")?;
        socket
            .set_cap_ack(true)
            .context("setting NETLINK_CAP_ACK")?;
        socket.bind_auto().context("binding the socket")?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .context("connecting to the kernel")?;
        // Without the right to exceed the system's limit, large batches are not possible.
        let _ = sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER);
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER);
        let family = resolve(&socket)?;
        Ok(Self {
            socket,
            family,
            features,
            buffer: vec![0; DATAGRAM_MAX / 8],
        })
    }

    /// Whether calls can be executed INLINE, with results in memory.
    pub fn has_inline(&self) -> bool {
        self.features.call_flags.contains(CallFlags::INLINE)
            && self.features.supports_submit_attr(submit::RESULTS_PTR)
    }

    /// A SUBMIT message of these calls, without an acknowledgement: a rejection is answered all
    /// the same.
    pub fn submit(&self, calls: &[Call], results: Option<&Results>) -> Message {
        let call_size = size_of::<Call>() as u32;
        let attribute = |kind, value: &[u8]| DefaultNla::new(kind, value.to_owned());
        let mut attributes = vec![attribute(submit::CALL_SIZE, call_size.as_bytes())];
        if let Some(results) = results {
            let address = results.area.address(0);
            attributes.push(attribute(submit::RESULTS_PTR, address.as_bytes()));
        }
        let mut first = HEADERS + attributes.as_slice().buffer_len();
        let parts = calls.chunks(CALLS_PER_ATTR);
        let mut offsets = Vec::with_capacity(calls.len());
        for part in parts {
            attributes.push(attribute(submit::CALLS, part.as_bytes()));
            offsets.extend(
                (0..part.len()).map(|index| first + ATTR_HEADER + index * size_of::<Call>()),
            );
            first += ATTR_HEADER + size_of_val(part);
        }
        Message {
            bytes: self.request(Command::Submit, attributes),
            offsets,
        }
    }

    /// A CONFIG_SET message of one number, without an acknowledgement.
    pub fn config_set(&self, setting: u16, value: u32) -> Vec<u8> {
        let attribute = DefaultNla::new(setting, value.as_bytes().to_owned());
        self.request(Command::ConfigSet, vec![attribute])
    }

    fn request(&self, command: Command, attributes: Vec<DefaultNla>) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let mut payload = GenlMessage::from_payload(Request {
            command,
            attributes,
        });
        payload.set_resolved_family_id(self.family);
        serialized(NetlinkMessage::new(header, NetlinkPayload::from(payload)))
    }

    /// The cheapest message that a generic-netlink socket takes: a header of type NLMSG_NOOP,
    /// which the kernel skips.
    pub fn noop(&self) -> Vec<u8> {
        serialized(NetlinkMessage::<GenlMessage<Request>>::new(
            NetlinkHeader::default(),
            NetlinkPayload::Noop,
        ))
    }

    /// Sends a request with an acknowledgement, and takes that.
    pub fn acknowledged(&self, request: &[u8]) -> Result<()> {
        const FLAGS: usize = 6;
        let mut request = request.to_vec();
        request[FLAGS..FLAGS + 2].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        self.send(&request)?;
        let mut buffer = vec![0; DATAGRAM_MAX];
        let (_, len) = recv(self.socket.as_fd(), &mut buffer[..], RecvFlags::DONTWAIT)
            .context("receiving the acknowledgement")?;
        let answer = &buffer[..len];
        if answer.get(16..20) == Some(&[0; 4]) {
            return Ok(());
        }
        Err(rejection(answer))
    }

    /// Sends a message.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        send(self.socket.as_fd(), bytes, SendFlags::empty()).context("sending")?;
        Ok(())
    }

    /// Waits for `count` completions. Each must say that its call ran and did not fail.
    pub fn complete(&mut self, count: usize) -> Result<()> {
        let mut missing = count;
        while missing > 0 {
            let bytes = self.buffer.as_mut_bytes();
            let (_, len) =
                recv(self.socket.as_fd(), &mut *bytes, RecvFlags::empty()).context("receiving")?;
            let datagram = &self.buffer.as_bytes()[..len];
            if datagram[4..6] == NLMSG_ERROR.to_ne_bytes() {
                return Err(rejection(datagram));
            }
            for attribute in NlasIterator::new(&datagram[HEADERS..]) {
                let attribute: NlaBuffer<&[u8]> = attribute?;
                if attribute.kind() != abi::complete::RESULTS {
                    continue;
                }
                let results = attribute.value().chunks_exact(size_of::<CallResult>());
                missing = missing
                    .checked_sub(results.len())
                    .context("more completions than calls")?;
                for result in results {
                    let result = CallResult::read_from_bytes(result)
                        .map_err(|_| anyhow::anyhow!("a result of another size"))?;
                    check(&result)?;
                }
            }
        }
        Ok(())
    }

    /// What was answered to a message that left no results.
    pub fn why_rejected(&mut self) -> anyhow::Error {
        let bytes = self.buffer.as_mut_bytes();
        match recv(self.socket.as_fd(), &mut *bytes, RecvFlags::DONTWAIT) {
            Ok((_, len)) => rejection(&self.buffer.as_bytes()[..len]),
            Err(errno) => anyhow::anyhow!("the module wrote no results and no answer ({errno})"),
        }
    }
}

fn check(result: &CallResult) -> Result<()> {
    ensure!(
        result.ret >= 0 && result.outcome == Outcome::Ran as u16,
        "a call did not succeed: {result:?}"
    );
    Ok(())
}

/// The module's answer to a message that it did not accept.
#[derive(Debug, thiserror::Error)]
#[error("the module rejected the message: {text} (errno {errno})")]
pub struct Rejected {
    /// Positive.
    pub errno: i32,
    /// The reason in words.
    pub text: String,
}

/// The error that an answer carries: an errno, the header of the request, attributes.
fn rejection(datagram: &[u8]) -> anyhow::Error {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let errno = datagram
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, |bytes| -i32::from_ne_bytes(bytes));
    let attributes = NlasIterator::new(datagram.get(36..).unwrap_or_default());
    let text = attributes
        .flatten()
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).into_owned());
    let text = text.map_or_else(
        || "no reason given".to_owned(),
        |text| text.trim_end_matches('\0').to_owned(),
    );
    Rejected { errno, text }.into()
}

/// A message, and where its calls are.
pub struct Message {
    /// As it is sent.
    pub bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl Message {
    /// Changes an argument of a call.
    pub fn set_arg(&mut self, call: usize, arg: usize, value: u64) {
        let at = self.offsets[call] + offset_of!(Call, args) + arg * 8;
        self.bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
}

/// A results array, for RESULTS_PTR.
pub struct Results {
    area: Area,
    count: usize,
}

impl Results {
    /// Room for `count` results.
    pub fn new(count: usize) -> Result<Self> {
        let area = Area::new(size_of::<ResultsHeader>() + count * size_of::<CallResult>())?;
        let header = ResultsHeader {
            capacity: count as u32,
            ..ResultsHeader::default()
        };
        // SAFETY: The area begins with a page that nobody uses yet; it is aligned for anything.
        unsafe { area.at(0).cast::<ResultsHeader>().write(header) };
        Ok(Self { area, count })
    }

    fn done(&self) -> &AtomicU32 {
        // SAFETY: `done` is the header's first field, which the kernel changes atomically, and
        // the memory lives as long as `self`.
        unsafe { AtomicU32::from_ptr(self.area.at(0).cast()) }
    }

    /// Before a message is sent.
    pub fn reset(&self) {
        self.done().store(0, Ordering::Relaxed);
    }

    /// Whether every call has its result; each must say that its call ran and did not fail.
    pub fn complete(&self) -> Result<bool> {
        if self.done().load(Ordering::Acquire) as usize != self.count {
            return Ok(false);
        }
        let first = self
            .area
            .at(size_of::<ResultsHeader>())
            .cast::<CallResult>();
        // SAFETY: The area holds `count` results behind the header, all of them written: the
        // kernel is done with the message, and any bytes are a result.
        let results = unsafe { std::slice::from_raw_parts(first, self.count) };
        for result in results {
            check(result)?;
        }
        Ok(true)
    }
}

/// The bytes of a message.
fn serialized(mut message: NetlinkMessage<GenlMessage<Request>>) -> Vec<u8> {
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// A message to the module.
#[derive(Debug)]
struct Request {
    command: Command,
    attributes: Vec<DefaultNla>,
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

/// Asks the controller for the number of the family.
fn resolve(socket: &Socket) -> Result<u16> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let question = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(abi::FAMILY_NAME.to_owned())],
    });
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0).context("asking the controller")?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    let (_, len) = recv(socket, &mut buffer[..], RecvFlags::empty()).context("the answer")?;
    let answer = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(&buffer[..len])?;
    let NetlinkPayload::InnerMessage(answer) = answer.payload else {
        bail!("the kernel has no family {}", abi::FAMILY_NAME);
    };
    answer
        .payload
        .nlas
        .iter()
        .find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        })
        .context("the controller names the family's number")
}
