// SPDX-License-Identifier: GPL-2.0-only

//! Memory for the calls of a session, and for what those of a message have in common.

use core::ops::Deref;

use kernel::{
    cred::Credential,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

use crate::{
    area::Area,
    calls::{
        Calls,
        Index,
        Slot,
        Store, //
    },
    chunks,
    parcels::{
        self,
        Number,
        Parcels, //
    }, //
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

/// Places for areas of one allocation.
pub const AREAS: usize = 32;

/// The calls of a session.
pub type Table = Calls<Credentials, Slots>;
/// Memory for the slots of a session.
pub type Chunks = chunks::Chunks<Slot<Credentials>, CHUNK>;

/// Where the areas of the messages of a session are.
pub type Areas = Parcels<Arc<Area>, AreaChunks>;
/// Memory for that.
pub type AreaChunks = chunks::Chunks<parcels::Place<Arc<Area>>, AREAS>;

impl parcels::Places<Arc<Area>> for AreaChunks {
    fn count(&self) -> usize {
        self.len()
    }

    fn place(&self, at: usize) -> Option<&parcels::Place<Arc<Area>>> {
        self.get(at)
    }

    fn place_mut(&mut self, at: usize) -> Option<&mut parcels::Place<Arc<Area>>> {
        self.get_mut(at)
    }
}

/// The memory of a session's table.
pub struct Slots {
    /// That of its calls.
    pub chunks: Chunks,
    /// The areas of its messages.
    pub areas: Areas,
}

impl Slots {
    /// None.
    pub fn new() -> Self {
        Self {
            chunks: Chunks::new(),
            areas: Areas::new(AreaChunks::new()),
        }
    }
}

impl Store<Credentials> for Slots {
    fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    fn slot(&self, index: Index) -> &Slot<Credentials> {
        &self.chunks[index as usize]
    }

    fn slot_mut(&mut self, index: Index) -> &mut Slot<Credentials> {
        &mut self.chunks[index as usize]
    }

    fn hold(&mut self, parcel: Number) {
        self.areas.hold(parcel);
    }

    fn ended(&mut self, parcel: Number) {
        self.areas.ended(parcel);
    }

    fn gone(&mut self, parcel: Number) {
        self.areas.gone(parcel);
    }
}
