// SPDX-License-Identifier: GPL-2.0-only

//! Memory for the calls of a session.

use kernel::{
    cred::Credential,
    prelude::*,
    sync::aref::ARef, //
};

use crate::calls::{
    Index,
    Slot,
    Store, //
};

/// The credentials that a call executes with.
pub type Credentials = ARef<Credential>;

/// Slots of one allocation; with them it fills a page at most.
pub const CHUNK: usize = 32;

const _: () = assert!(CHUNK * size_of::<Slot<Credentials>>() <= 4096);

/// Memory for the slots of a session: chunks, so that growing moves nothing.
pub struct Chunks(KVec<KVec<Slot<Credentials>>>);

impl Chunks {
    /// No slots, and room to [`add`](Chunks::add) up to `slots` of them.
    pub fn with_room_for(slots: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(
            slots.div_ceil(CHUNK),
            GFP_KERNEL_ACCOUNT,
        )?))
    }

    /// Adds a chunk, unless the room is used up.
    pub fn add(&mut self, chunk: Chunk) {
        // What does not fit is freed here, under the session's lock.
        let _ = self.0.push_within_capacity(chunk.0);
    }
}

impl Store<Credentials> for Chunks {
    fn count(&self) -> u32 {
        (self.0.len() * CHUNK) as u32
    }

    fn slot(&self, index: Index) -> &Slot<Credentials> {
        &self.0[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn slot_mut(&mut self, index: Index) -> &mut Slot<Credentials> {
        &mut self.0[index as usize / CHUNK][index as usize % CHUNK]
    }
}

/// [`CHUNK`] unused slots, charged to the memory cgroup of the thread that made them.
pub struct Chunk(KVec<Slot<Credentials>>);

impl Chunk {
    /// Allocates one.
    pub fn new() -> Result<Self> {
        let mut slots = KVec::with_capacity(CHUNK, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..CHUNK {
            slots.push(Slot::new(), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(slots))
    }
}
