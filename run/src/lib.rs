// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `nlcall run` loads into a program.
//!
//! The library is loaded before the program's own ones (`LD_PRELOAD`), and arms syscall user
//! dispatch: from then on the kernel answers each system call of the program with SIGSYS, whose
//! handler ([`dispatch`]) sends the call to the module as a netlink message and returns its result.
//! [`shared`] is what the command needs to know.
//!
//! Everything here runs inside a signal handler, in programs with any C library. It uses none:
//! system calls are made by the few instructions in [`text`], and what is not on the stack is in
//! statics.

#![no_std]

pub mod shared;

mod birth;
mod context;
mod count;
mod descriptors;
mod dispatch;
mod making;
#[cfg(feature = "preload")]
mod preload;
pub mod program;
mod session;
mod signals;
mod sys;
mod text;
mod trace;
mod vfork;
mod worker;
