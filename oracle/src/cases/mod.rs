// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cases, by area.

mod descriptors;
mod files;
mod ipc;
mod machine;
mod memory;
mod mounts;
mod none;
mod processes;
mod security;
mod signals;
mod sockets;
mod time;

use crate::case::Case;

pub use none::{NEVER_FAIL, NEVER_SUCCEED};

/// All of them.
pub fn all() -> Vec<Case> {
    [
        files::cases(),
        descriptors::cases(),
        memory::cases(),
        processes::cases(),
        signals::cases(),
        time::cases(),
        sockets::cases(),
        ipc::cases(),
        security::cases(),
        mounts::cases(),
        machine::cases().into_iter().map(Case::alone).collect(),
        none::cases(),
    ]
    .concat()
}
