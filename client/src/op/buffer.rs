// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that an operation owns while the kernel uses it.

use std::ops::{Bound, Range, RangeBounds};

/// Memory that a call reads.
///
/// An operation takes it by value and gives it back with its output: until then nobody else can
/// touch it.
///
/// # Safety
///
/// As long as the value is neither moved nor touched through a `&mut` to it, [`as_ptr`] and [`len`]
/// return the same, and so many bytes there are initialized and can be read by any thread.
///
/// [`as_ptr`]: Self::as_ptr
/// [`len`]: Self::len
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no memory that an operation can own",
    label = "not an owned buffer",
    note = "the kernel reads it after the function that submits the call has returned, so that a \
            borrowed slice is not enough: give the operation a `Vec<u8>`, a `Box<[u8]>`, a `String` \
            or a `&'static [u8]`; it comes back with the output"
)]
pub unsafe trait Buf: Send + 'static {
    /// Where it begins.
    fn as_ptr(&self) -> *const u8;

    /// Number of bytes.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it.
    ///
    /// # Panics
    ///
    /// Panics where the part is not within it.
    fn slice(self, part: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        let part = within(part, self.len());
        Slice { buf: self, part }
    }
}

/// Memory that a call writes.
///
/// # Safety
///
/// As long as the value is neither moved nor touched through a `&mut` to it,
/// [`as_mut_ptr`](Self::as_mut_ptr) and [`capacity`](Self::capacity) return the same, and any thread
/// may write so many bytes there, which nothing else refers to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no memory that an operation can own and write",
    label = "not an owned, writable buffer",
    note = "the kernel writes it after the function that submits the call has returned, so that \
            `&mut [u8]` is not enough: give the operation a `Vec<u8>` (it is filled up to its \
            capacity) or a `Box<[u8]>`; it comes back with the output"
)]
pub unsafe trait BufMut: Send + 'static {
    /// Where it begins.
    fn as_mut_ptr(&mut self) -> *mut u8;

    /// Number of bytes that may be written.
    fn capacity(&self) -> usize;

    /// A call has written the first `len` bytes.
    ///
    /// # Safety
    ///
    /// They are initialized, and no more than the capacity.
    unsafe fn set_filled(&mut self, len: usize);
}

// SAFETY: a vector's bytes stay where they are as long as the vector is not touched.
unsafe impl Buf for Vec<u8> {
    fn as_ptr(&self) -> *const u8 {
        Vec::as_ptr(self)
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

// SAFETY: as above. All of the capacity is the vector's, whatever its length.
unsafe impl BufMut for Vec<u8> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        Vec::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }

    unsafe fn set_filled(&mut self, len: usize) {
        // SAFETY: by the contract of this function.
        unsafe { self.set_len(len) }
    }
}

// SAFETY: a box's bytes stay where they are as long as the box is not touched.
unsafe impl Buf for Box<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: as above.
unsafe impl BufMut for Box<[u8]> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        <[u8]>::len(self)
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: a string's bytes stay where they are as long as the string is not touched.
unsafe impl Buf for String {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }

    fn len(&self) -> usize {
        str::len(self)
    }
}

// SAFETY: they are there for ever, and never change.
unsafe impl Buf for &'static [u8] {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

// SAFETY: they are there for ever, and never change.
unsafe impl Buf for &'static str {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }

    fn len(&self) -> usize {
        str::len(self)
    }
}

// SAFETY: what is shared is not changed, and not freed while the value is there.
unsafe impl Buf for std::sync::Arc<[u8]> {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

#[cfg(feature = "bytes")]
// SAFETY: what is shared is not changed, and not freed while the value is there.
unsafe impl Buf for bytes::Bytes {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        bytes::Bytes::len(self)
    }
}

#[cfg(feature = "bytes")]
// SAFETY: its bytes stay where they are as long as the value is not touched.
unsafe impl Buf for bytes::BytesMut {
    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }

    fn len(&self) -> usize {
        bytes::BytesMut::len(self)
    }
}

#[cfg(feature = "bytes")]
// SAFETY: as above. All of the capacity is this value's, whatever its length.
unsafe impl BufMut for bytes::BytesMut {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        <[u8]>::as_mut_ptr(self)
    }

    fn capacity(&self) -> usize {
        bytes::BytesMut::capacity(self)
    }

    unsafe fn set_filled(&mut self, len: usize) {
        // SAFETY: by the contract of this function.
        unsafe { self.set_len(len) }
    }
}

/// A part of a buffer: see [`Buf::slice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice<B> {
    buf: B,
    part: Range<usize>,
}

impl<B> Slice<B> {
    /// The whole.
    pub fn into_inner(self) -> B {
        self.buf
    }
}

// SAFETY: a part of what can be read.
unsafe impl<B: Buf> Buf for Slice<B> {
    fn as_ptr(&self) -> *const u8 {
        self.buf.as_ptr().wrapping_add(self.part.start)
    }

    fn len(&self) -> usize {
        self.part.len()
    }
}

// SAFETY: a part of what can be written: `slice` looked at the length, which is not greater than
// what can be written.
unsafe impl<B: Buf + BufMut> BufMut for Slice<B> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.buf.as_mut_ptr().wrapping_add(self.part.start)
    }

    fn capacity(&self) -> usize {
        self.part.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {
        // All bytes of a slice are initialized from the beginning.
    }
}

fn within(part: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match part.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match part.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    assert!(
        start <= end && end <= len,
        "{start}..{end} is not within a buffer of {len} bytes"
    );
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_part_of_the_bytes_of_its_buffer() {
        let bytes: Vec<u8> = (0..10).collect();
        let begin = Vec::as_ptr(&bytes);
        let slice = bytes.slice(2..=4);
        assert_eq!(slice.as_ptr(), begin.wrapping_add(2));
        assert_eq!(Buf::len(&slice), 3);
        assert_eq!(BufMut::capacity(&slice), 3);
        assert_eq!(slice.into_inner().len(), 10);
        assert_eq!(Buf::len(&vec![0; 4].slice(..)), 4);
        assert!(vec![0; 4].slice(4..).is_empty());
    }

    #[test]
    #[should_panic(expected = "2..5 is not within a buffer of 4 bytes")]
    fn a_slice_cannot_be_longer_than_its_buffer() {
        let _ = vec![0; 4].slice(2..5);
    }
}
