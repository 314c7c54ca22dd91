// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel sends.

use netlink_packet_core::{
    parse_string, parse_u32, parse_u64, NetlinkBuffer, NlaBuffer, NlasIterator, NLMSG_DONE,
    NLMSG_ERROR, NLM_F_ACK_TLVS,
};
use nlcall_abi::{complete, CallResult, Command};
use zerocopy::FromBytes;

/// The kernel's answer to a request: an acknowledgement or a rejection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `nlmsg_seq` of the request.
    pub seq: u32,
    /// 0, or a positive error number.
    pub errno: i32,
    /// The kernel's words.
    pub text: String,
    /// Where in the request the trouble is.
    pub offset: Option<u32>,
}

impl Answer {
    /// Whether the request was rejected with this error number, in words that contain `word`.
    pub fn is_rejection(&self, errno: i32, word: &str) -> bool {
        self.errno == errno && self.text.contains(word)
    }
}

/// One message of the kernel.
#[derive(Clone, Debug)]
pub enum Event {
    /// The end of a request.
    Answer(Answer),
    /// Calls that are over.
    Completions(Vec<CallResult>),
    /// A reply of the family: sequence number, command, attributes.
    Reply(u32, u8, Attributes),
    /// The end of a dump.
    Done(u32),
}

/// The attributes of a reply.
#[derive(Clone, Debug)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// The value of an attribute; none where there is none of this kind.
    pub fn value(&self, kind: u16) -> Option<Vec<u8>> {
        NlasIterator::new(&self.0[..]).find_map(|attribute| {
            let attribute: NlaBuffer<&[u8]> = attribute.expect("whole attributes");
            (attribute.kind() == kind).then(|| attribute.value().to_vec())
        })
    }

    /// The values of an attribute that may be there several times.
    pub fn values(&self, kind: u16) -> Vec<Vec<u8>> {
        NlasIterator::new(&self.0[..])
            .map(|attribute| attribute.expect("whole attributes"))
            .filter(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == kind)
            .map(|attribute| attribute.value().to_vec())
            .collect()
    }

    /// A number of 32 bits.
    pub fn u32(&self, kind: u16) -> Option<u32> {
        self.value(kind)
            .map(|value| parse_u32(&value).expect("a u32"))
    }

    /// A number of 64 bits.
    pub fn u64(&self, kind: u16) -> Option<u64> {
        self.value(kind)
            .map(|value| parse_u64(&value).expect("a u64"))
    }
}

/// The messages of a datagram.
pub(crate) fn events(datagram: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let frame = NetlinkBuffer::new_checked(rest).expect("the kernel speaks netlink");
        events.push(event(&frame));
        let length = (frame.length() as usize)
            .next_multiple_of(4)
            .min(rest.len());
        rest = &rest[length..];
    }
    events
}

fn event(frame: &NetlinkBuffer<&[u8]>) -> Event {
    let payload = frame.payload();
    match frame.message_type() {
        NLMSG_ERROR => Event::Answer(answer(frame, payload)),
        NLMSG_DONE => Event::Done(frame.sequence_number()),
        _ => {
            let (header, attributes) = payload.split_at(4);
            if header[0] == Command::Complete as u8 {
                Event::Completions(completions(attributes))
            } else {
                let attributes = Attributes(attributes.to_vec());
                Event::Reply(frame.sequence_number(), header[0], attributes)
            }
        }
    }
}

/// An `nlmsgerr`: the code, the header of the request (`NETLINK_CAP_ACK`), attributes.
fn answer(frame: &NetlinkBuffer<&[u8]>, payload: &[u8]) -> Answer {
    // enum nlmsgerr_attrs in include/uapi/linux/netlink.h.
    const MSG: u16 = 1;
    const OFFS: u16 = 2;

    let (code, rest) = i32::read_from_prefix(payload).expect("an error message has a code");
    let mut answer = Answer {
        seq: frame.sequence_number(),
        errno: -code,
        ..Answer::default()
    };
    if frame.flags() & NLM_F_ACK_TLVS != 0 {
        for attribute in NlasIterator::new(&rest[16..]) {
            let attribute = attribute.expect("whole attributes");
            match attribute.kind() {
                MSG => answer.text = parse_string(attribute.value()).expect("text"),
                OFFS => answer.offset = Some(parse_u32(attribute.value()).expect("a u32")),
                _ => {}
            }
        }
    }
    answer
}

fn completions(attributes: &[u8]) -> Vec<CallResult> {
    let mut results = Vec::new();
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.expect("whole attributes");
        if attribute.kind() == complete::RESULTS {
            let entries = attribute.value().chunks_exact(size_of::<CallResult>());
            assert!(
                entries.remainder().is_empty(),
                "RESULTS holds whole results"
            );
            results.extend(entries.map(|entry| {
                CallResult::read_from_bytes(entry).expect("the chunk has the size of a result")
            }));
        }
    }
    results
}
