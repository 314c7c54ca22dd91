// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the library promises, whichever driver makes the calls.
//!
//! Each test is handed the driver. On the host the threads' one is tested (`client/tests/drivers.rs`),
//! in the guest the module's one as well.

mod batches;
mod cancels;
mod chains;
mod depth;
mod drops;
mod ends;
mod files;
mod operations;
mod tools;

/// A test, with each driver.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub name: &'static str,
    #[allow(dead_code, reason = "the guest's tests leave it to the host")]
    pub threads: fn(),
    pub netlink: fn(),
}

/// Lists tests by the names of their functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$(Test {
            name: stringify!($name),
            threads: || $name(nlcall::Driver::Threads),
            netlink: || $name(nlcall::Driver::Netlink),
        }),*]
    };
}
use tests;

/// All of them.
pub const TESTS: &[&[Test]] = &[
    files::TESTS,
    operations::TESTS,
    depth::TESTS,
    drops::TESTS,
    cancels::TESTS,
    chains::TESTS,
    batches::TESTS,
    ends::TESTS,
];
