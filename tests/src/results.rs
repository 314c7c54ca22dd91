// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results arrays, wherever they lie.

use nlcall_abi::{CallResult, ResultsHeader};
use zerocopy::{FromBytes, IntoBytes};

use crate::memory::Memory;

/// A results array in memory that is never freed.
#[derive(Clone, Copy, Debug)]
pub struct ResultsArray(Memory);

impl ResultsArray {
    /// An empty one for so many results.
    pub fn new(capacity: usize) -> Self {
        let array = Memory::zeroed(Self::len(capacity));
        Self::begin(array, capacity);
        Self(array)
    }

    /// Length of an array for so many results in bytes.
    pub fn len(capacity: usize) -> usize {
        size_of::<ResultsHeader>() + capacity * size_of::<CallResult>()
    }

    /// Writes the head of an array for so many results.
    pub fn begin(memory: Memory, capacity: usize) -> Self {
        let header = ResultsHeader {
            capacity: capacity as u32,
            ..ResultsHeader::default()
        };
        memory.put(header.as_bytes());
        Self(memory)
    }

    /// The one that lies there.
    pub fn at(memory: Memory) -> Self {
        Self(memory)
    }

    /// Where it lies.
    pub fn address(self) -> u64 {
        self.0.address()
    }

    /// The results that were written.
    pub fn results(self) -> Vec<CallResult> {
        let header: ResultsHeader = self.0.get_as();
        let entries = self.0.get();
        entries[size_of::<ResultsHeader>()..]
            .chunks_exact(size_of::<CallResult>())
            .take(header.done as usize)
            .map(|entry| CallResult::read_from_bytes(entry).expect("the length of a result"))
            .collect()
    }
}
