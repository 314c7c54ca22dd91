// SPDX-License-Identifier: GPL-2.0-only

//! Slots in memory of the host.

use nlcall_kmod::calls::{Index, Slot, Store};

pub struct Memory<C>(Vec<Slot<C>>);

impl<C> Memory<C> {
    pub fn new(slots: usize) -> Self {
        let mut memory = Self(Vec::new());
        memory.add(slots);
        memory
    }

    pub fn add(&mut self, slots: usize) {
        self.0.extend((0..slots).map(|_| Slot::new()));
    }
}

impl<C> Store<C> for Memory<C> {
    fn count(&self) -> u32 {
        self.0.len() as u32
    }

    fn slot(&self, index: Index) -> &Slot<C> {
        &self.0[index as usize]
    }

    fn slot_mut(&mut self, index: Index) -> &mut Slot<C> {
        &mut self.0[index as usize]
    }
}
