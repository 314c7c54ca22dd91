// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest tests and the tour share: system calls as values, memory that outlives them,
//! processes to put an end to, and views of the module from outside.
//!
//! Everything here panics when the machine does not do what it should: a test has failed then.

pub mod audit;
pub mod calls;
pub mod classic;
pub mod config;
pub mod event;
pub mod files;
pub mod group;
pub mod memory;
pub mod message;
pub mod module;
pub mod patience;
pub mod pipe;
pub mod process;
pub mod results;
pub mod seccomp;
pub mod session;
pub mod socket;
pub mod threads;
