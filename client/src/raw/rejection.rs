// SPDX-License-Identifier: MIT OR Apache-2.0

//! Netlink's acknowledgement and its extension, which the netlink crates leave as bytes.

use netlink_packet_core::{
    parse_string, parse_u32, DecodeError, DoneMessage, ErrorMessage, NetlinkBuffer, NetlinkHeader,
    NlasIterator, NLM_F_ACK_TLVS, NLM_F_CAPPED,
};

use crate::{Errno, Error};

// enum nlmsgerr_attrs in include/uapi/linux/netlink.h.
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;

/// What an `NLMSG_ERROR` says about the request: acknowledged or rejected.
pub(super) fn of_request(header: &NetlinkHeader, error: &ErrorMessage) -> Result<(), Error> {
    // The request's header follows the code; unless capped, so does the rest of the request.
    let request = NetlinkBuffer::new(&error.header[..]);
    let attributes = if header.flags & NLM_F_ACK_TLVS == 0 || error.header.len() < REQUEST_HEADER {
        &[]
    } else if header.flags & NLM_F_CAPPED != 0 {
        &error.header[REQUEST_HEADER..]
    } else {
        let request = (request.length() as usize).next_multiple_of(4);
        error.header.get(request..).unwrap_or_default()
    };
    verdict(error.raw_code(), attributes)
}

/// What an `NLMSG_DONE` says about the dump: complete or broken off.
pub(super) fn of_dump(header: &NetlinkHeader, done: &DoneMessage) -> Result<(), Error> {
    let with_attributes = header.flags & NLM_F_ACK_TLVS != 0;
    verdict(
        done.code,
        if with_attributes {
            &done.extended_ack
        } else {
            &[]
        },
    )
}

/// Length of a `nlmsghdr` in bytes.
const REQUEST_HEADER: usize = 16;

fn verdict(code: i32, attributes: &[u8]) -> Result<(), Error> {
    // Dumps end with the last callback's result, which is not negative on success.
    if code >= 0 {
        return Ok(());
    }
    let (message, attr_offset) = extension(attributes).map_err(Error::Protocol)?;
    Err(Error::Rejected {
        errno: Errno::from_raw(code.saturating_neg()),
        message,
        attr_offset,
    })
}

/// The kernel's words, and where in the request the trouble is.
fn extension(attributes: &[u8]) -> Result<(Option<String>, Option<u32>), DecodeError> {
    let (mut message, mut offset, mut missing) = (None, None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            NLMSGERR_ATTR_MSG => message = Some(parse_string(attribute.value())?),
            NLMSGERR_ATTR_OFFS => offset = Some(parse_u32(attribute.value())?),
            NLMSGERR_ATTR_MISS_TYPE => missing = Some(parse_u32(attribute.value())?),
            _ => {}
        }
    }
    let missing = missing.map(|kind| format!("attribute {kind} is missing"));
    Ok((message.or(missing), offset))
}
