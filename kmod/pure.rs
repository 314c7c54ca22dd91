// SPDX-License-Identifier: GPL-2.0-only

//! The parts of the nlcall module that know no kernel types.
//!
//! Kbuild compiles these files into the module; this crate compiles them on the host, where unit
//! tests and property tests run them. What binds them to the kernel is in the other files of this
//! folder.

pub mod answer;
pub mod burst;
pub mod calls;
pub mod chain;
pub mod ended;
pub mod entries;
pub mod gate;
pub mod latency;
pub mod owner;
pub mod parcels;
pub mod parse;
pub mod readi;
pub mod reject;
pub mod roster;
pub mod sched;
pub mod settings;
pub mod text;

pub use nlcall_abi::{
    policy,
    syscalls,
    wire, //
};
