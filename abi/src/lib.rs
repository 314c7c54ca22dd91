// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! The wire format of nlcall.
//!
//! This crate holds numbers, layouts and the assertions that keep them, and which call may execute
//! where. The kernel module compiles the same files ([`wire`], [`syscalls`] and [`policy`]) that
//! clients compile, so the two ends cannot drift apart. `nlcall.yaml` beside this crate is the same description in
//! YNL, for other languages; a test holds the two together.

#![no_std]
#![forbid(unsafe_code)]

pub mod policy;
pub mod syscalls;
pub mod wire;

pub use wire::*;

/// Numbers of system calls from this one on are unknown to [`policy`]. Here none is: clients know
/// the newest kernel's. The module has those of the kernel that it is built for.
const KERNEL_NUMBERS: usize = policy::NUMBERS;
