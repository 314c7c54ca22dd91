// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the arguments of a call point to, wherever it will lie.
//!
//! A [`Block`] is bytes and pointers to other blocks. Before a call it is placed: in memory of this
//! process ([`Local`]), or in the data that a call in another process takes along ([`Remote`]). What
//! the call made of it is a [`Memory`] either way.

use std::io;

use nlcall::raw::{
    Data,
    Place, //
};

use crate::memory::Buffer;

/// Length of a pointer in bytes.
const POINTER: usize = 8;

/// Bytes, and the blocks that they point to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The first bytes; the others are zero.
    contents: Vec<u8>,
    len: usize,
    pointers: Vec<(usize, Block)>,
}

/// Memory as a call left it.
pub trait Memory {
    /// Its size in bytes.
    fn len(&self) -> usize;

    /// A copy of its first bytes, `up_to` at most.
    fn copy(&self, up_to: usize) -> Vec<u8>;

    /// What the pointer at this offset points to, where it was made to point to something.
    fn pointee(&self, at: usize) -> Option<&dyn Memory>;

    /// What stands for it where its contents are not shown.
    fn name(&self) -> String;

    /// Whether it has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Block {
    /// So many zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    /// These bytes.
    pub fn holding(contents: Vec<u8>) -> Self {
        Self {
            len: contents.len(),
            contents,
            pointers: Vec::new(),
        }
    }

    /// Its size in bytes, without what it points to.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.contents.resize(self.len, 0);
        self.contents.extend(bytes);
        self.len += bytes.len();
    }

    /// Adds a pointer at the end.
    pub fn push_pointer(&mut self, to: Block) {
        self.pointers.push((self.len, to));
        self.push(&[0; POINTER]);
    }

    /// Bytes that it takes in the data of a message, with what it points to.
    pub fn footprint(&self) -> usize {
        let own = self.len.next_multiple_of(POINTER);
        let others = self.pointers.iter().map(|(_, to)| to.footprint());
        others.fold(own, usize::saturating_add)
    }

    /// What a call that had it, and what it points to, as an output left there.
    fn after(&self, remote: &Remote, from: u32, output: &[u8]) -> Self {
        let start = (remote.place.offset() - from) as usize;
        let end = start + remote.place.len() as usize;
        // The kernel returns outputs in their full length.
        let contents = output.get(start..end).unwrap_or_default().to_vec();
        let pointers = self.pointers.iter().zip(&remote.pointees);
        Self {
            contents,
            len: self.len,
            pointers: pointers
                .map(|((at, block), to)| (*at, block.after(to, from, output)))
                .collect(),
        }
    }
}

impl Memory for Block {
    fn len(&self) -> usize {
        self.len
    }

    fn copy(&self, up_to: usize) -> Vec<u8> {
        let len = self.len.min(up_to);
        let mut bytes = self.contents[..self.contents.len().min(len)].to_vec();
        bytes.resize(len, 0);
        bytes
    }

    fn pointee(&self, at: usize) -> Option<&dyn Memory> {
        let mut pointers = self.pointers.iter();
        let (_, to) = pointers.find(|(offset, _)| *offset == at)?;
        Some(to)
    }

    /// As it is written: where it lay is not known.
    fn name(&self) -> String {
        format!("@{}", self.len)
    }
}

/// A block in memory of this process, which is never unmapped.
#[derive(Debug)]
pub struct Local {
    buffer: Buffer,
    pointees: Vec<(usize, Local)>,
}

impl Local {
    /// Places a block and what it points to. Each ends where a page begins that nobody may touch.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where there is no room for it.
    pub fn new(block: &Block) -> io::Result<Self> {
        let mut contents = block.contents.clone();
        let mut pointees = Vec::new();
        for (at, to) in &block.pointers {
            let to = Self::new(to)?;
            contents[*at..][..POINTER].copy_from_slice(&to.address().to_ne_bytes());
            pointees.push((*at, to));
        }
        let buffer = Buffer::beginning_with(&contents, block.len)?;
        Ok(Self { buffer, pointees })
    }

    /// Its address, as an argument of a call.
    pub fn address(&self) -> u64 {
        self.buffer.address()
    }
}

impl Memory for Local {
    fn len(&self) -> usize {
        self.buffer.len()
    }

    fn copy(&self, up_to: usize) -> Vec<u8> {
        self.buffer.copy(up_to)
    }

    fn pointee(&self, at: usize) -> Option<&dyn Memory> {
        let mut pointees = self.pointees.iter();
        let (_, to) = pointees.find(|(offset, _)| *offset == at)?;
        Some(to)
    }

    fn name(&self) -> String {
        format!("{:#x}", self.address())
    }
}

/// A block in the data of a message.
#[derive(Debug)]
pub struct Remote {
    place: Place,
    pointees: Vec<Remote>,
}

impl Remote {
    /// Places a block, and what it points to behind it.
    pub fn new(block: &Block, data: &mut Data) -> Self {
        let place = data.reserve(block.len);
        data.write(place, &block.contents);
        let pointees = block.pointers.iter().map(|(at, to)| {
            let to = Self::new(to, data);
            // A block that has pointers is no larger than the arguments of a call.
            data.pointer(place.offset() + *at as u32, to.place);
            to
        });
        let pointees = pointees.collect();
        Self { place, pointees }
    }

    /// The place of all of it.
    pub fn span(&self) -> Place {
        let last = self.pointees.last().map(Self::span);
        last.map_or(self.place, |last| self.place.through(last))
    }

    /// What a call left of the block, which was placed here, where it came back as an output.
    pub fn after(&self, block: &Block, output: &[u8]) -> Block {
        block.after(self, self.place.offset(), output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of two pointers, to text and to room.
    fn list() -> Block {
        let mut list = Block::default();
        list.push_pointer(Block::holding(b"text".to_vec()));
        list.push(&4u64.to_ne_bytes());
        list.push_pointer(Block::zeroed(5));
        list
    }

    #[test]
    fn a_block_in_this_process_points_to_the_others() {
        let local = Local::new(&list()).unwrap();
        let bytes = local.copy(usize::MAX);
        assert_eq!((bytes.len(), local.len()), (24, 24));
        for at in [0, 16] {
            let address = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            let pointee = local.pointee(at).unwrap();
            assert_eq!(pointee.name(), format!("{address:#x}"));
        }
        assert_eq!(local.pointee(0).unwrap().copy(99), b"text");
        assert_eq!(local.pointee(16).unwrap().copy(99), [0; 5]);
        assert!(local.pointee(8).is_none());
    }

    #[test]
    fn a_block_in_data_is_one_piece_with_the_others() {
        let mut data = Data::new();
        data.put(b"before");
        let block = list();
        let remote = Remote::new(&block, &mut data);
        let span = remote.span();
        assert_eq!((span.offset(), span.len()), (8, 24 + 8 + 5));
        assert_eq!(data.len() - 8, block.footprint() - 3);
        let relocs: Vec<_> = data.relocs().iter().map(|it| (it.at, it.to)).collect();
        assert_eq!(relocs, [(8, 32), (24, 40)]);
        assert_eq!(&data.bytes()[32..36], b"text");
        assert_eq!(data.bytes()[16], 4);
    }

    #[test]
    fn what_came_back_is_found_where_it_was_put() {
        let mut data = Data::new();
        data.put(b"before");
        let block = list();
        let remote = Remote::new(&block, &mut data);
        let mut output = vec![b'x'; 24];
        output.extend(b"TEXT....hello");
        let after = remote.after(&block, &output);
        assert_eq!(after.copy(99), [b'x'; 24]);
        assert_eq!(after.pointee(0).unwrap().copy(99), b"TEXT");
        assert_eq!(after.pointee(16).unwrap().copy(3), b"hel");
        assert_eq!(after.name(), "@24");
        // An answer that is too short has nothing to show.
        assert_eq!(remote.after(&block, b"").copy(99), [0; 24]);
    }
}
