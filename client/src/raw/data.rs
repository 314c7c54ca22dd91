// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that travels with the calls of a message.

use std::ffi::CStr;

use nlcall_abi as abi;

use super::Arg;

/// Memory for the calls of a [`Batch`](super::Batch): strings, structures and buffers that travel
/// with the message, so that a call in [another process](super::Target) needs no pointer of its
/// own.
///
/// The bytes are placed in an area of the memory of the process that executes the calls before the
/// first of them starts, and the area is removed when the last one has ended. Each submission has an
/// area of its own. [`Place::address`] is an argument that points into it; what lies in a
/// [`Place::output`] comes back with the completion of the call ([`Completion::data`]).
///
/// Calls that share an area are one message: such a batch is never split.
///
/// ```
/// use nlcall::raw::{Arg, Data};
///
/// // The arguments of writev(1, {{"Hello, ", 7}, {"world\n", 6}}, 2).
/// let mut data = Data::new();
/// let vectors = data.reserve(2 * 16);
/// for (entry, text) in ["Hello, ", "world\n"].iter().enumerate() {
///     let text = data.put(text.as_bytes());
///     let entry = vectors.part(16 * entry as u32, 16);
///     data.pointer(entry.offset(), text);
///     data.write(entry.part(8, 8), &u64::from(text.len()).to_ne_bytes());
/// }
/// let args: [Arg; 3] = [1.into(), vectors.address(), 2.into()];
/// # assert_eq!(args[1], Arg::Data(0));
/// ```
///
/// [`Completion::data`]: super::Completion::data
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The beginning of the area, up to its last byte that was given.
    bytes: Vec<u8>,
    /// Length of what was put and reserved.
    len: u32,
    relocs: Vec<abi::Reloc>,
}

/// Where something lies in a [`Data`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    offset: u32,
    len: u32,
}

impl Data {
    /// Most bytes of an area.
    pub const MAX_LEN: usize = abi::MAX_AREA;

    /// Most bytes that the outputs of one call have together.
    pub const MAX_OUTPUT: usize = abi::MAX_OUTPUT;

    /// What everything is aligned to, unless asked otherwise: no field of a kernel structure needs
    /// more.
    const ALIGNMENT: usize = 8;

    /// No memory.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            len: 0,
            relocs: Vec::new(),
        }
    }

    /// Adds bytes at the next multiple of 8.
    ///
    /// # Panics
    ///
    /// Panics, like everything that adds, where the whole would have 4 GiB. What has more than
    /// [`MAX_LEN`](Self::MAX_LEN) bytes cannot be submitted.
    pub fn put(&mut self, bytes: &[u8]) -> Place {
        self.put_aligned(bytes, Self::ALIGNMENT)
    }

    /// Adds a string with the zero byte that ends it.
    pub fn put_c_str(&mut self, text: &CStr) -> Place {
        self.put_aligned(text.to_bytes_with_nul(), 1)
    }

    /// Adds bytes at the next multiple of `alignment`.
    ///
    /// # Panics
    ///
    /// Panics where `alignment` is no power of two or greater than a page (4096).
    pub fn put_aligned(&mut self, bytes: &[u8], alignment: usize) -> Place {
        let place = self.reserve_aligned(bytes.len(), alignment);
        self.write(place, bytes);
        place
    }

    /// Adds zero bytes at the next multiple of 8, for what a call writes or for
    /// [`write`](Self::write). At the end of everything they are not sent where a call has them as
    /// an [output](Place::output).
    pub fn reserve(&mut self, len: usize) -> Place {
        self.reserve_aligned(len, Self::ALIGNMENT)
    }

    /// Adds zero bytes at the next multiple of `alignment`.
    ///
    /// # Panics
    ///
    /// As [`put_aligned`](Self::put_aligned).
    pub fn reserve_aligned(&mut self, len: usize, alignment: usize) -> Place {
        assert!(
            alignment.is_power_of_two() && alignment <= 4096,
            "{alignment} is no alignment within a page"
        );
        let offset = (self.len as usize).next_multiple_of(alignment);
        let place = u32::try_from(offset).ok().zip(u32::try_from(len).ok());
        let place = place.and_then(|(offset, len)| Some((offset, len, offset.checked_add(len)?)));
        let (offset, len, end) = place.expect("less than 4 GiB of data");
        self.len = end;
        Place { offset, len }
    }

    /// Writes bytes to the beginning of a place.
    ///
    /// # Panics
    ///
    /// Panics where the place is smaller, or not in here.
    pub fn write(&mut self, place: Place, bytes: &[u8]) {
        assert!(
            bytes.len() <= place.len as usize && place.end() <= self.len.into(),
            "{} bytes do not fit into {place:?}",
            bytes.len()
        );
        if bytes.is_empty() {
            return;
        }
        self.bytes_up_to(place.offset as usize + bytes.len())[place.offset as usize..]
            [..bytes.len()]
            .copy_from_slice(bytes);
    }

    /// Makes the eight bytes at the offset `at` point to the beginning of a place, wherever the area
    /// will lie.
    ///
    /// # Panics
    ///
    /// Panics where `at` is no multiple of 8, or one of both is not in here.
    pub fn pointer(&mut self, at: u32, to: Place) {
        assert!(
            at % 8 == 0,
            "a pointer lies at a multiple of 8, not at {at}"
        );
        assert!(
            u64::from(at) + 8 <= self.len.into() && to.end() <= self.len.into(),
            "neither a pointer at {at} nor {to:?} lies within {} bytes",
            self.len
        );
        self.bytes_up_to(at as usize + 8);
        self.relocs.push(abi::Reloc { at, to: to.offset });
    }

    /// Length of what was added.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from the beginning that were written or hold a pointer, those between included;
    /// what lies behind them is zero.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pointers, as they go over the wire.
    pub fn relocs(&self) -> &[abi::Reloc] {
        &self.relocs
    }

    /// The bytes, so many at least.
    fn bytes_up_to(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        &mut self.bytes
    }
}

impl Place {
    /// Where it begins, in bytes from the beginning of the area.
    pub const fn offset(self) -> u32 {
        self.offset
    }

    /// Its length in bytes.
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Whether it has no byte.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Its address, as an argument.
    pub const fn address(self) -> Arg {
        Arg::Data(self.offset)
    }

    /// Its address, as an argument; when the call has run, its bytes come back with the completion
    /// ([`Completion::data`](super::Completion::data)).
    ///
    /// The outputs of a batch lie in its [`Data`] in the order of the calls and their arguments, and
    /// do not overlap; those of one call have at most [`Data::MAX_OUTPUT`] bytes together. The kernel
    /// rejects others.
    pub const fn output(self) -> Arg {
        Arg::Out {
            offset: self.offset,
            len: self.len,
        }
    }

    /// A part of it, such as a field of a structure.
    ///
    /// # Panics
    ///
    /// Panics where it ends before the part does.
    pub const fn part(self, offset: u32, len: u32) -> Self {
        assert!(
            offset as u64 + len as u64 <= self.len as u64,
            "the part ends behind the whole"
        );
        Self {
            offset: self.offset + offset,
            len,
        }
    }

    /// From the beginning of this place to the end of a later one: a structure and what it points
    /// to.
    ///
    /// # Panics
    ///
    /// Panics where the other one ends before this begins.
    pub const fn through(self, last: Self) -> Self {
        assert!(
            last.end() >= self.offset as u64,
            "the last place lies before the first"
        );
        Self {
            offset: self.offset,
            len: last.offset + last.len - self.offset,
        }
    }

    const fn end(self) -> u64 {
        self.offset as u64 + self.len as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn what_is_put_lies_where_its_place_says() {
        let mut data = Data::new();
        let one = data.put(b"1");
        let text = data.put_c_str(c"ab");
        let eight = data.put(b"12345678");
        let aligned = data.put_aligned(b"x", 512);
        let room = data.reserve(100);
        assert_eq!([one, text, eight].map(Place::offset), [0, 1, 8]);
        assert_eq!(
            (aligned.offset(), room.offset(), room.len()),
            (512, 520, 100)
        );
        assert_eq!(&data.bytes()[..16], b"1ab\0\0\0\0\x0012345678");
        assert_eq!(data.bytes().len(), 513, "zeroes at the end are not kept");
        assert_eq!(data.len(), 620);
        data.write(room.part(8, 4), b"abcd");
        assert_eq!(&data.bytes()[513..], b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0abcd");
    }

    #[test]
    fn a_pointer_is_within_the_bytes_that_are_sent() {
        let mut data = Data::new();
        let room = data.reserve(24);
        let target = data.reserve(0);
        data.pointer(8, target);
        assert_eq!(data.bytes(), [0; 16]);
        assert_eq!(data.relocs(), [abi::Reloc { at: 8, to: 24 }]);
        assert_eq!(room.through(target).len(), 24);
        assert_eq!(room.part(8, 8).address(), Arg::Data(8));
        assert_eq!(room.output(), Arg::Out { offset: 0, len: 24 });
    }

    #[test]
    #[should_panic(expected = "multiple of 8")]
    fn a_pointer_that_is_not_aligned_is_a_mistake() {
        let mut data = Data::new();
        let room = data.reserve(24);
        data.pointer(4, room);
    }

    #[test]
    #[should_panic(expected = "within 12 bytes")]
    fn a_pointer_behind_the_end_is_a_mistake() {
        let mut data = Data::new();
        let room = data.reserve(12);
        data.pointer(8, room);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn what_does_not_fit_is_a_mistake() {
        let mut data = Data::new();
        let room = data.reserve(3);
        data.write(room, b"abcd");
    }

    #[test]
    #[should_panic(expected = "ends behind the whole")]
    fn a_part_is_within_the_whole() {
        Data::new().reserve(8).part(4, u32::MAX);
    }

    #[test]
    #[should_panic(expected = "less than 4 GiB")]
    fn four_gibibytes_are_too_much() {
        let mut data = Data::new();
        data.reserve(u32::MAX as usize);
        data.reserve(0);
    }

    proptest! {
        #[test]
        fn places_are_aligned_and_do_not_overlap(
            parts in vec((vec(any::<u8>(), 0..20), 0u32..13, any::<bool>()), 0..20),
        ) {
            let mut data = Data::new();
            let mut end = 0;
            let mut places = Vec::new();
            for (bytes, alignment, put) in &parts {
                let alignment = 1usize << alignment;
                let place = match put {
                    true => data.put_aligned(bytes, alignment),
                    false => data.reserve_aligned(bytes.len(), alignment),
                };
                prop_assert_eq!(place.offset() as usize % alignment, 0);
                prop_assert!(place.offset() >= end);
                end = place.offset() + place.len();
                places.push(place);
            }
            prop_assert_eq!(data.len(), end as usize);
            for ((bytes, _, put), place) in parts.iter().zip(places) {
                let from = place.offset() as usize;
                for (index, byte) in bytes.iter().enumerate() {
                    let kept = data.bytes().get(from + index).copied().unwrap_or(0);
                    prop_assert_eq!(kept, if *put { *byte } else { 0 });
                }
            }
        }
    }
}
