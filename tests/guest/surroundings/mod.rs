// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens to the machine while calls are in flight: processors go, memory runs out, it is to sleep.

mod memory;
mod processors;
mod sleep;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[memory::TESTS, processors::TESTS, sleep::TESTS];
