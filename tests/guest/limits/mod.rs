// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is limited, how limits are set, and what the counters say.

mod counters;
mod receiver;
mod room;
mod scale;
mod settings;
mod users;
mod workers;
mod writable;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    counters::TESTS,
    receiver::TESTS,
    room::TESTS,
    scale::TESTS,
    settings::TESTS,
    users::TESTS,
    workers::TESTS,
    writable::TESTS,
];
