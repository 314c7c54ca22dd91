// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw layer against a model of the kernel.

mod answers;
mod chains;
mod ends;
mod kernel;
mod messages;
mod results;
mod room;
mod targets;
mod threads;
