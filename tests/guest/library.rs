// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library's own tests, with the module as its driver.

#[path = "../../client/tests/suite/mod.rs"]
mod suite;

use crate::harness::Test;

/// All of them.
pub fn tests() -> Vec<Test> {
    let tests = suite::TESTS.concat().into_iter();
    tests
        .map(|test| Test::new(test.name, test.netlink).in_theme("library"))
        .collect()
}
