// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages made byte by byte, so that they can be wrong in every way.

use nlcall_abi::{submit, Call, Command, FAMILY_VERSION};
use zerocopy::IntoBytes;

/// `NLM_F_REQUEST`, `NLM_F_ACK` and `NLM_F_DUMP` of `include/uapi/linux/netlink.h`.
pub const REQUEST: u16 = 0x001;
/// See [`REQUEST`].
pub const ACK: u16 = 0x004;
/// See [`REQUEST`].
pub const DUMP: u16 = 0x300;

/// Most bytes that fit behind an attribute's header, by its 16-bit length.
pub const MAX_PAYLOAD: usize = u16::MAX as usize - 4;

/// A netlink message in its parts. Nothing in it need be right.
#[derive(Clone, Debug)]
pub struct Message {
    /// `nlmsg_len`; where it is `None`, the true length.
    pub len: Option<u32>,
    /// `nlmsg_type`: the family.
    pub family: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub seq: u32,
    /// `nlmsg_pid`.
    pub pid: u32,
    /// `genlmsghdr.cmd`.
    pub command: u8,
    /// `genlmsghdr.version`.
    pub version: u8,
    /// `genlmsghdr.reserved`.
    pub reserved: u16,
    /// What follows: the attributes.
    pub body: Vec<u8>,
}

impl Message {
    /// A request with an acknowledgement and without attributes.
    pub fn new(family: u16, command: Command) -> Self {
        Self {
            len: None,
            family,
            flags: REQUEST | ACK,
            seq: 0,
            pid: 0,
            command: command as u8,
            version: FAMILY_VERSION,
            reserved: 0,
            body: Vec::new(),
        }
    }

    /// A correct SUBMIT of these calls.
    pub fn submit(family: u16, calls: &[Call]) -> Self {
        let size = size_of::<Call>();
        let mut message = Self::new(family, Command::Submit);
        message.attribute(submit::CALL_SIZE, (size as u32).as_bytes());
        for part in calls.chunks(MAX_PAYLOAD / size) {
            message.attribute(submit::CALLS, part.as_bytes());
        }
        message
    }

    /// A correct SUBMIT of these INLINE calls, with their results to be written to this address.
    pub fn submit_into(family: u16, calls: &[Call], address: u64) -> Self {
        let mut message = Self::submit(family, calls);
        message.attribute(submit::RESULTS_PTR, address.as_bytes());
        message
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        let len = u16::try_from(payload.len() + 4).expect("the payload fits an attribute");
        self.attribute_claiming(len, kind, payload)
    }

    /// Appends an attribute that claims a length of its own.
    pub fn attribute_claiming(&mut self, len: u16, kind: u16, payload: &[u8]) -> &mut Self {
        self.body.extend_from_slice(&len.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(payload);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// The message as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.len.unwrap_or(20 + self.body.len() as u32);
        let mut bytes = Vec::with_capacity(20 + self.body.len());
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&self.family.to_ne_bytes());
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        bytes.extend_from_slice(&self.seq.to_ne_bytes());
        bytes.extend_from_slice(&self.pid.to_ne_bytes());
        bytes.extend_from_slice(&[self.command, self.version]);
        bytes.extend_from_slice(&self.reserved.to_ne_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
