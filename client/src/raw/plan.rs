// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a batch is cut into messages.

use std::mem::size_of;

use nlcall_abi::{self as abi, flag};

use super::message::{ATTR_HEADER_LEN, CALLS_PER_ATTR, HEADERS_LEN};
use crate::Error;

/// Most CALLS attributes in a message: two parts each, of at most 1024 (`UIO_MAXIOV`) that one
/// `sendmsg` takes.
const MAX_ATTRS: usize = 500;

/// Most calls that a SUBMIT message of at most `message_max` bytes can hold, with or without the
/// address of a results array.
pub(super) const fn calls_per_message(message_max: usize, with_results: bool) -> usize {
    const CALL: usize = size_of::<abi::Call>();
    const CALL_SIZE: usize = ATTR_HEADER_LEN + size_of::<u32>();
    const RESULTS_PTR: usize = ATTR_HEADER_LEN + size_of::<u64>();
    const FULL_ATTR: usize = ATTR_HEADER_LEN + CALLS_PER_ATTR * CALL;

    let fixed = HEADERS_LEN + CALL_SIZE + if with_results { RESULTS_PTR } else { 0 };
    let room = message_max.saturating_sub(fixed);
    if room >= MAX_ATTRS * FULL_ATTR {
        return MAX_ATTRS * CALLS_PER_ATTR;
    }
    room / FULL_ATTR * CALLS_PER_ATTR + (room % FULL_ATTR).saturating_sub(ATTR_HEADER_LEN) / CALL
}

/// Checks that so many calls, which belong into one message, are no more than it holds.
pub(super) fn whole_message(calls: usize, limit: usize) -> Result<usize, Error> {
    match calls <= limit {
        true => Ok(calls),
        false => Err(Error::BatchTooLong { calls, limit }),
    }
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
