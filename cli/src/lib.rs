// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `nlcall`, as a library so that its parts can be tested.
//!
//! [`syntax`] reads one argument, [`signature`] knows what each system call takes, [`names`] and
//! [`layout`] turn constants and structures into text and back, [`invocation`] puts them together,
//! and [`command`] holds the subcommands. [`sessions`] and [`activity`] are what they show of others,
//! [`looks`] how often. Calls go to the module through [`kernel`] and, where another process makes
//! them, [`process`] alone.

pub mod activity;
pub mod colour;
pub mod command;
pub mod exit;
pub mod image;
pub mod interrupt;
pub mod invocation;
pub mod json;
pub mod kernel;
pub mod layout;
pub mod looks;
pub mod memory;
pub mod names;
pub mod options;
pub mod process;
pub mod sessions;
pub mod signature;
pub mod syntax;
pub mod table;
