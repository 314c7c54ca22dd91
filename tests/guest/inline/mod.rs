// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that their submitter makes itself, and results in its memory.

mod chains;
mod results;
mod senders;
mod signals;
mod thread;
mod ways;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    results::TESTS,
    senders::TESTS,
    signals::TESTS,
    thread::TESTS,
    chains::TESTS,
    ways::TESTS,
];
