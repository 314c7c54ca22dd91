// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall run`: a program is the same, whichever way its system calls travel.

mod command;
mod compare;
mod programs;
mod shell;
mod signals;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    command::TESTS,
    programs::TESTS,
    shell::TESTS,
    signals::TESTS,
];
