// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each fuzz target does with a case.
//!
//! A target takes bytes: as what is parsed lies on the wire or in a file, or as the choices that a
//! message is made from ([`arbitrary`]). It panics where a rule does not hold. `fuzz/fuzz_targets/`
//! calls the targets under a fuzzer; `tests/corpora.rs` calls them with the cases of `fuzz/corpus/`.

mod cli;
mod client;
mod kernel;
mod message;

pub use cli::{arguments, layouts, lines, options, records};
pub use client::{answers, batches, replies};
pub use kernel::{calls, entries, readi, requests, submit};

/// A target: its name, and what it does with a case.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("submit", submit),
    ("calls", calls),
    ("entries", entries),
    ("readi", readi),
    ("requests", requests),
    ("answers", answers),
    ("replies", replies),
    ("batches", batches),
    ("options", options),
    ("arguments", arguments),
    ("lines", lines),
    ("layouts", layouts),
    ("records", records),
];
