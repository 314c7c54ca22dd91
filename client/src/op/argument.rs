// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the fields of operations become among the arguments of their calls.

use std::{
    ffi::{CString, OsStr},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use super::{Buf, BufMut};
use crate::{
    raw::{Arg, Step},
    Errno, Passed,
};

/// The arguments of a call, being put together.
#[derive(Clone, Debug)]
pub struct Args {
    args: [Arg; 6],
    len: usize,
    /// The chain that some of them come from.
    chain: Option<u64>,
    /// Whether they come from more than one.
    is_mixed: bool,
}

impl Default for Args {
    /// None.
    fn default() -> Self {
        Self {
            args: [Arg::Value(0); 6],
            len: 0,
            chain: None,
            is_mixed: false,
        }
    }
}

impl Args {
    /// Adds the next one.
    ///
    /// # Panics
    ///
    /// Panics where there are six.
    pub fn push(&mut self, arg: impl Into<Arg>) {
        self.args[self.len] = arg.into();
        self.len += 1;
    }

    pub(crate) fn as_slice(&self) -> &[Arg] {
        &self.args[..self.len]
    }

    /// Whether those that come from other calls all come from this chain.
    pub(crate) fn belong_to(&self, chain: Option<u64>) -> bool {
        !self.is_mixed && (self.chain.is_none() || self.chain == chain)
    }

    /// Adds an argument that comes from a call of this chain.
    pub(crate) fn push_passed(&mut self, chain: u64, arg: Arg) {
        self.is_mixed |= self.chain.is_some_and(|other| other != chain);
        self.chain = Some(chain);
        self.push(arg);
    }
}

/// A field of an operation that is one or several arguments of its call.
///
/// # Safety
///
/// As long as the value is neither moved nor touched, what the arguments refer to is there, and
/// the kernel may use it as the operation says.
pub(crate) unsafe trait Argument {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno>;
}

/// What operations take as a descriptor: everything that owns one for as long as it is there
/// (`Arc<File>`, `Arc<OwnedFd>`, `OwnedFd`, `&'static Stdin`, ...), and one that an earlier
/// operation of the same [`Chain`](crate::Chain) gives ([`Passed`]).
///
/// The operation owns it until the call is over, so that it cannot be closed and mean another file
/// meanwhile. To use a file for more than one operation, share it in an `Arc`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no descriptor that an operation can own",
    label = "does not own a descriptor",
    note = "an operation keeps its descriptor open until the call is over, so that it must own it: \
            give it an `Arc<OwnedFd>` or an `Arc<File>` (clones share it) instead of a reference",
    note = "a number of type `RawFd` is not enough either: `OwnedFd::from_raw_fd` makes an owner of it"
)]
pub trait Descriptor: sealed::Descriptor + Send + 'static {}

pub(crate) mod sealed {
    use super::Args;

    /// # Safety
    ///
    /// The descriptor that is pushed stays open as long as the value is there, or is passed on from
    /// a call of a chain.
    pub unsafe trait Descriptor {
        fn push(&self, args: &mut Args);
    }
}

// SAFETY: it lends its descriptor out for as long as it is borrowed. The operation owns it, and does
// not touch it until the call is over: so long the loan goes on.
unsafe impl<T: AsFd> sealed::Descriptor for T {
    fn push(&self, args: &mut Args) {
        args.push(self.as_fd().as_raw_fd());
    }
}

impl<T: AsFd + Send + 'static> Descriptor for T {}

// SAFETY: a chain takes it only where no call before closes it.
unsafe impl sealed::Descriptor for Passed<OwnedFd> {
    fn push(&self, args: &mut Args) {
        self.push_to(args);
    }
}

impl Descriptor for Passed<OwnedFd> {}

/// The descriptor of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Fd<D>(pub(crate) D);

// SAFETY: as `sealed::Descriptor` promises.
unsafe impl<D: Descriptor> Argument for Fd<D> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        self.0.push(args);
        Ok(())
    }
}

/// A string that ends with a zero byte.
#[derive(Clone, Debug)]
pub(crate) struct Text(Option<CString>);

impl Text {
    pub(crate) fn new(text: impl AsRef<OsStr>) -> Self {
        Self(CString::new(text.as_ref().as_bytes()).ok())
    }
}

// SAFETY: the string's bytes stay where they are as long as it is not touched.
unsafe impl Argument for Text {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        // As the standard library does, it is not cut at the zero byte in it.
        let text = self.0.as_ref().ok_or(Errno::INVAL)?;
        args.push(text.as_ptr().expose_provenance() as u64);
        Ok(())
    }
}

// SAFETY: a null pointer, which calls take for "none", or as above.
unsafe impl Argument for Option<Text> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        match self {
            Some(text) => text.push(args),
            None => {
                args.push(0u64);
                Ok(())
            }
        }
    }
}

/// A buffer that the call reads: its address and its length.
#[derive(Clone, Debug)]
pub(crate) struct Input<B>(pub(crate) B);

// SAFETY: by the contract of `Buf`.
unsafe impl<B: Buf> Argument for Input<B> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        args.push(self.0.as_ptr().expose_provenance() as u64);
        args.push(self.0.len());
        Ok(())
    }
}

/// A buffer that the call writes: its address and its capacity.
#[derive(Clone, Debug)]
pub(crate) struct Output<B>(pub(crate) B);

// SAFETY: by the contract of `BufMut`.
unsafe impl<B: BufMut> Argument for Output<B> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        args.push(self.0.as_mut_ptr().expose_provenance() as u64);
        args.push(self.0.capacity());
        Ok(())
    }
}

impl<B: BufMut> Output<B> {
    /// The number of bytes that the call wrote, and the buffer with them.
    ///
    /// # Safety
    ///
    /// The result is that of the call that this was an argument of.
    pub(crate) unsafe fn filled(mut self, result: Result<u64, Errno>) -> (Result<usize, Errno>, B) {
        let count = result.map(|count| count as usize);
        if let Ok(count) = count {
            assert!(count <= self.0.capacity(), "the call wrote {count} bytes");
            // SAFETY: the call wrote so many, and there is room for them.
            unsafe { self.0.set_filled(count) };
        }
        (count, self.0)
    }
}

impl<B: BufMut> Output<B> {
    /// As [`filled`](Self::filled), for calls that only tell the length where there is no buffer.
    ///
    /// # Safety
    ///
    /// As for [`filled`](Self::filled).
    pub(crate) unsafe fn measured(self, result: Result<u64, Errno>) -> (Result<usize, Errno>, B) {
        match self.0.capacity() {
            0 => (result.map(|length| length as usize), self.0),
            // SAFETY: by the contract of this function.
            _ => unsafe { self.filled(result) },
        }
    }
}

/// Where a buffer is: a `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Place {
    begin: u64,
    len: u64,
}

/// Where several buffers are. They lie in the same memory each time that they are asked for.
#[derive(Debug, Default)]
struct Places(Vec<Place>);

impl Places {
    /// Adds the address of these, and their number.
    fn push(&mut self, places: impl Iterator<Item = Place>, args: &mut Args) {
        self.0.clear();
        self.0.extend(places);
        args.push(self.0.as_ptr().expose_provenance() as u64);
        args.push(self.0.len());
    }
}

/// Buffers that the call reads, one after the other: where their places are, and how many.
#[derive(Debug)]
pub(crate) struct Inputs<B>(pub(crate) Vec<B>, Places);

impl<B> Inputs<B> {
    pub(crate) fn new(bufs: Vec<B>) -> Self {
        Self(bufs, Places::default())
    }
}

// SAFETY: by the contract of `Buf`; the buffers and their places lie in vectors that nobody touches.
unsafe impl<B: Buf> Argument for Inputs<B> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        let place = |buf: &B| Place {
            begin: buf.as_ptr().expose_provenance() as u64,
            len: buf.len() as u64,
        };
        self.1.push(self.0.iter().map(place), args);
        Ok(())
    }
}

/// Buffers that the call writes, one after the other: where their places are, and how many.
#[derive(Debug)]
pub(crate) struct Outputs<B>(Vec<B>, Places);

impl<B> Outputs<B> {
    pub(crate) fn new(bufs: Vec<B>) -> Self {
        Self(bufs, Places::default())
    }
}

// SAFETY: by the contract of `BufMut`; the buffers and their places lie in vectors that nobody
// touches.
unsafe impl<B: BufMut> Argument for Outputs<B> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        let place = |buf: &mut B| Place {
            begin: buf.as_mut_ptr().expose_provenance() as u64,
            len: buf.capacity() as u64,
        };
        self.1.push(self.0.iter_mut().map(place), args);
        Ok(())
    }
}

impl<B: BufMut> Outputs<B> {
    /// The number of bytes that the call wrote to all of them, and the buffers with them.
    ///
    /// # Safety
    ///
    /// The result is that of the call that these were an argument of.
    pub(crate) unsafe fn filled(
        mut self,
        result: Result<u64, Errno>,
    ) -> (Result<usize, Errno>, Vec<B>) {
        let count = result.map(|count| count as usize);
        if let Ok(count) = count {
            let mut left = count;
            for buf in &mut self.0 {
                let len = left.min(buf.capacity());
                left -= len;
                // SAFETY: the call wrote so many: it fills one buffer after the other.
                unsafe { buf.set_filled(len) };
            }
            assert_eq!(left, 0, "the call wrote {count} bytes");
        }
        (count, self.0)
    }
}

/// A structure that the call reads: its address.
#[derive(Clone, Debug)]
pub(crate) struct In<T>(pub(crate) T);

// SAFETY: it lies in the operation, which is not moved.
unsafe impl<T: Send + 'static> Argument for In<T> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        args.push((&raw const self.0).expose_provenance() as u64);
        Ok(())
    }
}

// SAFETY: a null pointer, which calls take for "none", or as above.
unsafe impl<T: Send + 'static> Argument for Option<In<T>> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        match self {
            Some(value) => value.push(args),
            None => {
                args.push(0u64);
                Ok(())
            }
        }
    }
}

/// A structure that the call fills: its address. It is the call's output for
/// [`Chain`](crate::Chain)s.
#[derive(Debug)]
pub(crate) struct Out<T>(MaybeUninit<T>);

impl<T> Out<T> {
    /// All bytes zero.
    pub(crate) const fn zeroed() -> Self {
        Self(MaybeUninit::zeroed())
    }

    /// What the call left.
    ///
    /// # Safety
    ///
    /// The call filled it, or zeroes are a value of the type.
    pub(crate) unsafe fn value(self) -> T {
        // SAFETY: by the contract of this function.
        unsafe { self.0.assume_init() }
    }
}

// SAFETY: it lies in the operation, which is not moved.
unsafe impl<T: Copy + Send + 'static> Argument for Out<T> {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        let address = self.0.as_mut_ptr().expose_provenance() as u64;
        args.push(Arg::OutPtr(address));
        Ok(())
    }
}

/// A number that may come from an earlier operation of the same chain.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Number {
    /// It is known.
    Known(u64),
    /// It is passed on.
    Passed(Passed<u64>),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Known(number)
    }
}

impl From<Passed<u64>> for Number {
    fn from(number: Passed<u64>) -> Self {
        Self::Passed(number)
    }
}

// SAFETY: a number refers to nothing.
unsafe impl Argument for Number {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        match self {
            Self::Known(number) => args.push(*number),
            Self::Passed(passed) => passed.push_to(args),
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        // SAFETY: a number refers to nothing.
        unsafe impl Argument for $number {
            fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
                args.push(*self);
                Ok(())
            }
        }
    )*};
}

numbers!(u32, i32, u64, usize);

macro_rules! flags {
    ($($flags:ty),* $(,)?) => {$(
        // SAFETY: a number refers to nothing.
        unsafe impl Argument for $flags {
            fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
                args.push(self.bits());
                Ok(())
            }
        }
    )*};
}

flags!(
    rustix::fs::OFlags,
    rustix::fs::AtFlags,
    rustix::fs::StatxFlags,
    rustix::fs::RenameFlags,
    rustix::fs::XattrFlags,
    rustix::fs::FallocateFlags,
    rustix::fs::Access,
    rustix::event::EventfdFlags,
    rustix::pipe::PipeFlags,
    rustix::pipe::SpliceFlags,
    rustix::net::RecvFlags,
    rustix::net::SendFlags,
    rustix::net::SocketFlags,
    rustix::mount::MountFlags,
    rustix::mount::UnmountFlags,
    rustix::process::PidfdFlags,
    rustix::time::TimerfdFlags,
    rustix::time::TimerfdTimerFlags,
);

// SAFETY: a number refers to nothing.
unsafe impl Argument for rustix::fs::Mode {
    fn push(&mut self, args: &mut Args) -> Result<(), Errno> {
        args.push(self.as_raw_mode());
        Ok(())
    }
}

/// The call that this index of a chain means.
pub(crate) const fn step(index: usize) -> Step {
    Step::new(index as u32)
}
