// SPDX-License-Identifier: GPL-2.0-only

//! Kernel memory for tables that grow: chunks, so that growing moves nothing.
//!
//! Everything here is allocated outside of the lock that protects the table, handed in, and what
//! is left over is handed out again, since neither may happen under a spinlock.

use core::ops::{
    Index,
    IndexMut, //
};

use kernel::prelude::*;
use pin_init::init_array_from_fn;

/// A table in chunks of `N` elements.
pub struct Chunks<T, const N: usize>(KVec<KBox<[T; N]>>);

impl<T, const N: usize> Chunks<T, N> {
    const FITS_A_PAGE: () = assert!(N * size_of::<T>() <= 4096);

    /// No elements.
    pub const fn new() -> Self {
        Self(KVec::new())
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.len() * N
    }

    /// How many elements there is room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity() * N
    }

    /// The element of this number, where there is one.
    pub fn get(&self, index: usize) -> Option<&T> {
        Some(&self.0.get(index / N)?[index % N])
    }

    /// The element of this number, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Some(&mut self.0.get_mut(index / N)?[index % N])
    }

    /// The room that has to be made first where `more` elements are to be added and there is none
    /// for them.
    pub fn lacks(&self, more: usize) -> Option<usize> {
        let needed = self.len() + more;
        (needed > self.capacity()).then(|| needed.next_power_of_two())
    }

    /// Takes in what [`extend`] made; gives back what is left over of it.
    pub fn take(&mut self, more: More<T, N>) -> Option<More<T, N>> {
        match more {
            More::Room(room) => Some(More::Room(self.move_into(room))),
            More::Chunk(chunk) => self.add(chunk).map(More::Chunk),
        }
    }

    /// Adds a chunk. What does not fit comes back.
    fn add(&mut self, chunk: Chunk<T, N>) -> Option<Chunk<T, N>> {
        let left = self.0.push_within_capacity(chunk.0).err()?;
        Some(Chunk(left.0))
    }

    /// Moves the chunks into `larger`, unless that has no more room than there is; gives back
    /// what is left over. The elements themselves stay where they are.
    fn move_into(&mut self, larger: Room<T, N>) -> Room<T, N> {
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

impl<T, const N: usize> Default for Chunks<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Index<usize> for Chunks<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.0[index / N][index % N]
    }
}

impl<T, const N: usize> IndexMut<usize> for Chunks<T, N> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.0[index / N][index % N]
    }
}

/// Room for chunks.
pub struct Room<T, const N: usize>(KVec<KBox<[T; N]>>);

impl<T, const N: usize> Room<T, N> {
    /// Allocates room for `count` elements.
    pub fn new(count: usize) -> Result<Self> {
        let chunks = count.div_ceil(N);
        Ok(Self(KVec::with_capacity(chunks, GFP_KERNEL_ACCOUNT)?))
    }
}

/// `N` unused elements, charged to the memory cgroup of the thread that made them.
pub struct Chunk<T, const N: usize>(KBox<[T; N]>);

impl<T: Default, const N: usize> Chunk<T, N> {
    /// Allocates one.
    pub fn new() -> Result<Self> {
        let () = Chunks::<T, N>::FITS_A_PAGE;
        let elements = init_array_from_fn(|_| T::default());
        Ok(Self(KBox::init(elements, GFP_KERNEL_ACCOUNT)?))
    }
}

/// What a table grows by.
pub enum More<T, const N: usize> {
    /// Room for chunks.
    Room(Room<T, N>),
    /// Elements.
    Chunk(Chunk<T, N>),
}

/// Makes a table larger by a chunk, after room for so many elements where it [`lacks`] that.
/// `take` gives what was made to the table, under its lock; what comes back is freed without it. A
/// chunk comes back where another thread used up the room.
///
/// [`lacks`]: Chunks::lacks
pub fn extend<T: Default, const N: usize>(
    room: Option<usize>,
    mut take: impl FnMut(More<T, N>) -> Option<More<T, N>>,
) -> Result {
    if let Some(count) = room {
        drop(take(More::Room(Room::new(count)?)));
    }
    drop(take(More::Chunk(Chunk::new()?)));
    Ok(())
}
