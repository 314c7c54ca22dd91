// SPDX-License-Identifier: MIT OR Apache-2.0

//! What nlcall promises, one promise per file.

mod any_call;
mod audit;
mod blocking;
mod bounds;
mod hostile;
mod identity;
mod namespaces;
mod outside;
mod ownership;
mod policy;
mod raised;
mod sender;

use crate::harness::Test;

pub const TESTS: &[&[Test]] = &[
    any_call::TESTS,
    audit::TESTS,
    blocking::TESTS,
    bounds::TESTS,
    hostile::TESTS,
    identity::TESTS,
    namespaces::TESTS,
    outside::TESTS,
    ownership::TESTS,
    policy::TESTS,
    raised::TESTS,
    sender::TESTS,
];
