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
    /// No slots.
    pub const fn new() -> Self {
        Self(KVec::new())
    }

    /// How many slots there is room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity() * CHUNK
    }

    /// Adds a chunk. What does not fit comes back.
    pub fn add(&mut self, chunk: Chunk) -> Option<Chunk> {
        let left = self.0.push_within_capacity(chunk.0).err()?;
        Some(Chunk(left.0))
    }

    /// Moves the chunks into `larger`, unless that has no more room than there is; gives back
    /// what is left over. The slots themselves stay where they are.
    pub fn move_into(&mut self, larger: Room) -> Room {
        let mut larger = larger.0;
        if larger.capacity() <= self.0.capacity() {
            return Room(larger);
        }
        for chunk in self.0.drain_all() {
            // Cannot fail: the new one is the larger.
            let _ = larger.push_within_capacity(chunk);
        }
        Room(core::mem::replace(&mut self.0, larger))
    }
}

/// Room for chunks.
pub struct Room(KVec<KVec<Slot<Credentials>>>);

impl Room {
    /// Allocates room for `slots` slots.
    pub fn new(slots: usize) -> Result<Self> {
        let chunks = slots.div_ceil(CHUNK);
        Ok(Self(KVec::with_capacity(chunks, GFP_KERNEL_ACCOUNT)?))
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
