// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a batch is cut into messages.

use std::mem::size_of;

use nlcall_abi::{self as abi, flag};

use super::message::{ATTR_HEADER_LEN, CALLS_PER_ATTR, HEADERS_LEN};
use crate::Error;

/// Most calls that a SUBMIT message of at most `message_max` bytes can hold.
pub(super) const fn calls_per_message(message_max: usize) -> usize {
    const CALL: usize = size_of::<abi::Call>();
    const FIXED: usize = HEADERS_LEN + ATTR_HEADER_LEN + size_of::<u32>();
    const FULL_ATTR: usize = ATTR_HEADER_LEN + CALLS_PER_ATTR * CALL;

    let room = message_max.saturating_sub(FIXED);
    room / FULL_ATTR * CALLS_PER_ATTR + (room % FULL_ATTR).saturating_sub(ATTR_HEADER_LEN) / CALL
}

/// How many of these calls the next message takes: at most `limit` (which is not zero), and no
/// chain in part.
pub(super) fn next_message(calls: &[abi::Call], limit: usize) -> Result<usize, Error> {
    let ends_chain = |call: &abi::Call| call.flags & (flag::LINK | flag::HARDLINK) == 0;

    if calls.len() <= limit {
        return Ok(calls.len());
    }
    match calls[..limit].iter().rposition(ends_chain) {
        Some(last) => Ok(last + 1),
        None => {
            let chain = calls
                .iter()
                .position(ends_chain)
                .map_or(calls.len(), |last| last + 1);
            Err(Error::ChainTooLong {
                calls: chain,
                limit,
            })
        }
    }
}
