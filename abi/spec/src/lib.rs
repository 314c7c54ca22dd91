// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! The YNL specification of the family as a value, and the C header that is made of it.
//!
//! `nlcall.yaml` has the names, numbers and documentation, in words that belong to no language;
//! what a member of a structure is made of, it cannot say (YNL has no arrays of numbers), so that
//! is read from `wire.rs`. The tests of `nlcall-abi` hold the two together.

mod header;
mod spec;
mod wire;

pub use header::header;
pub use spec::{
    entries, numbered, AttributeSet, AttributeSpec, Checks, Definition, Entry, Exchange,
    McastGroup, McastGroups, Member, Message, Operation, Operations, Spec,
};
pub use wire::{kebab, scalar, structs, Scalar};

/// The specification, `nlcall.yaml`.
pub const SPEC: &str = include_str!("../../nlcall.yaml");
/// The same description for the module and the Rust client, `wire.rs`.
pub const WIRE: &str = include_str!("../../src/wire.rs");

/// Why the specification cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `nlcall.yaml` has another shape.
    #[error("nlcall.yaml has not the shape of a specification: {0}")]
    Spec(#[from] serde_norway::Error),
    /// `wire.rs` is not Rust.
    #[error("wire.rs is not Rust: {0}")]
    Wire(#[from] syn::Error),
    /// The two differ.
    #[error("nlcall.yaml and wire.rs differ: {0}")]
    Differ(String),
}
