// SPDX-License-Identifier: GPL-2.0-only

//! Memory for the calls of a session.

use core::ops::Deref;

use kernel::{
    cred::Credential,
    sync::aref::ARef, //
};

use crate::{
    calls::{
        Calls,
        Index,
        Slot,
        Store, //
    },
    chunks, //
};

/// The credentials that a call executes with. Two are the same when they are one object.
#[derive(Clone)]
pub struct Credentials(ARef<Credential>);

impl From<ARef<Credential>> for Credentials {
    fn from(credentials: ARef<Credential>) -> Self {
        Self(credentials)
    }
}

impl Deref for Credentials {
    type Target = Credential;

    fn deref(&self) -> &Credential {
        &self.0
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq::<Credential>(&*self.0, &*other.0)
    }
}

/// Slots of one allocation; with them it fills a page at most.
pub const CHUNK: usize = 32;

const _: () = assert!(size_of::<Slot<Credentials>>() == 128);

/// The calls of a session.
pub type Table = Calls<Credentials, Chunks>;
/// Memory for the slots of a session.
pub type Chunks = chunks::Chunks<Slot<Credentials>, CHUNK>;
/// [`CHUNK`] unused slots.
pub type Chunk = chunks::Chunk<Slot<Credentials>, CHUNK>;
/// Room for chunks of slots.
pub type Room = chunks::Room<Slot<Credentials>, CHUNK>;

impl Store<Credentials> for Chunks {
    fn count(&self) -> u32 {
        self.len() as u32
    }

    fn slot(&self, index: Index) -> &Slot<Credentials> {
        &self[index as usize]
    }

    fn slot_mut(&mut self, index: Index) -> &mut Slot<Credentials> {
        &mut self[index as usize]
    }
}
