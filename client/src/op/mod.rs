// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations: system calls with what belongs to them.
//!
//! An operation is made with what the call needs, by value: paths, descriptors, buffers. It owns
//! them until the call is over. [`Client::submit`](crate::Client::submit) begins it; what comes of it
//! is its [output](Operation::Output). Where the caller gave a buffer, the output is a pair: the
//! result of the call, and the buffer, whatever the result is.
//!
//! ```
//! use std::sync::Arc;
//!
//! use nlcall::{op, Client};
//!
//! # pollster::block_on(async {
//! let client = Client::new()?;
//! let file = client.submit(op::Open::new("/etc/os-release")).await??;
//! let read = op::Read::new(Arc::new(file), Vec::with_capacity(4096));
//! let (count, text) = client.submit(read).await?;
//! assert_eq!(count?, text.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The two question marks are two different questions: an [`Error`](crate::Error) says that the call
//! was not made (the client was shut down, the module rejects it); an [`Errno`] is the call's own.
//!
//! Flags are those of the crate [`rustix`]. What has no operation here is made with [`Syscall`].
//!
//! # What the compiler says
//!
//! *"`&mut Vec<u8>` is no memory that an operation can own and write"*: the kernel writes after
//! `submit` has returned, and the future may be dropped before. Give the vector away; it comes back.
//!
//! ```compile_fail,E0277
//! # use nlcall::op;
//! # let file = std::fs::File::open("/etc/os-release").unwrap();
//! let mut buffer = vec![0; 4096];
//! let read = op::Read::new(file, &mut buffer);
//! ```
//!
//! *"`&File` is no descriptor that an operation can own"*, or *borrowed data escapes*: likewise, the
//! descriptor must stay open. Share it in an `Arc`.
//!
//! ```compile_fail
//! # use nlcall::{op, Client};
//! # let client = Client::new().unwrap();
//! let file = std::fs::File::open("/etc/os-release").unwrap();
//! let read = client.submit(op::Read::new(&file, vec![0; 4096]));
//! drop(file);
//! ```
//!
//! *"use of moved value"*: an operation is used up by submitting it. Its output has the buffer.
//!
//! ```compile_fail,E0382
//! # use nlcall::{op, Client};
//! # let client = Client::new().unwrap();
//! # let file = std::fs::File::open("/etc/os-release").unwrap();
//! let buffer = Vec::with_capacity(4096);
//! let read = client.submit(op::Read::new(file, buffer));
//! println!("{}", buffer.len());
//! ```
//!
//! *"call to unsafe function `complete`"*: submit the operation. What comes of it is believed to be
//! what its own call left.
//!
//! ```compile_fail,E0133
//! # use nlcall::op::{self, End, Operation};
//! # fn example(end: End) {
//! let file = std::fs::File::open("/etc/os-release").unwrap();
//! let read = op::Read::new(file, Vec::<u8>::with_capacity(4096));
//! let (count, text) = read.complete(end);
//! # }
//! ```

mod argument;
mod buffer;
mod copies;
mod devices;
mod directories;
mod files;
mod memory;
mod mounts;
mod pipes;
mod processes;
mod sockets;
mod sync;
mod syscall;
mod timers;
mod xattr;

use std::time::Duration;

pub(crate) use argument::step;
pub use argument::{Args, Descriptor, Number};
pub use buffer::{Buf, BufMut, Slice};
pub use copies::*;
pub use devices::Ioctl;
pub use directories::*;
pub use files::*;
pub use memory::*;
pub use mounts::*;
pub use pipes::*;
pub use processes::*;
pub use sockets::*;
pub use sync::*;
pub use syscall::{Syscall, Sysno};
pub use timers::*;
pub use xattr::*;

pub use crate::engine::End;
use crate::Errno;

/// A system call, what it needs, and what becomes of its result.
///
/// # Safety
///
/// Making the call of [`request`](Self::request) is as harmless as any safe function, on any thread
/// of the process, at any moment between the submission and the end of the call. What its arguments
/// refer to is there, and used by nobody else, as long as the operation is neither moved nor touched
/// after `request`: which is until [`complete`](Self::complete), after the call is over. Nothing
/// but the operation itself is referred to, or what it owns.
///
/// A descriptor that the call makes belongs to the [output](Self::Output): dropping that closes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no operation",
    label = "not an operation",
    note = "operations are in `nlcall::op`; `nlcall::raw::Call` belongs to `nlcall::raw::Session`"
)]
pub unsafe trait Operation: Send + Sized + 'static {
    /// What comes of it.
    type Output: Send + 'static;

    /// The call. It may be asked for more than once, and is the same as long as the operation is not
    /// moved.
    ///
    /// # Errors
    ///
    /// With an argument that no call can have: the operation ends with this error number, and no
    /// call is made.
    fn request(&mut self) -> Result<Request, Errno>;

    /// What comes of a call that ended so. The client asks for it when the call is over.
    ///
    /// # Safety
    ///
    /// `end` is that of this operation's own call, which was made as [`request`](Self::request) said,
    /// or was never made. An end says how many bytes of a buffer were written, and which descriptor
    /// is new: that of another call is wrong about both.
    unsafe fn complete(self, end: End) -> Self::Output;

    /// Interrupts the call when it runs longer than this; its result is `ETIME` then. Zero means no
    /// limit.
    ///
    /// The threads' driver cannot do that: there the call goes on, however long it lasts.
    fn timeout(self, limit: Duration) -> TimeLimit<Self> {
        TimeLimit { op: self, limit }
    }
}

/// The call of an [`Operation`].
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) nr: u32,
    pub(crate) args: Args,
    pub(crate) timeout: Duration,
}

impl Request {
    /// The system call of this number with these arguments.
    pub fn new(nr: Sysno, args: Args) -> Self {
        Self {
            nr: nr.number(),
            args,
            timeout: Duration::ZERO,
        }
    }
}

/// An operation with a time limit: see [`Operation::timeout`].
#[derive(Clone, Debug)]
pub struct TimeLimit<O> {
    op: O,
    limit: Duration,
}

// SAFETY: it is the same call.
unsafe impl<O: Operation> Operation for TimeLimit<O> {
    type Output = O::Output;

    fn request(&mut self) -> Result<Request, Errno> {
        let mut request = self.op.request()?;
        request.timeout = self.limit;
        Ok(request)
    }

    unsafe fn complete(self, end: End) -> O::Output {
        // SAFETY: it is the end of the same call.
        unsafe { self.op.complete(end) }
    }
}

/// An operation whose output is a descriptor of its own, which later operations of a
/// [`Chain`](crate::Chain) may use.
pub trait GivesDescriptor: Operation + sealed::GivesDescriptor {}

pub(crate) mod sealed {
    pub trait GivesDescriptor {}
}

impl<O: GivesDescriptor> sealed::GivesDescriptor for TimeLimit<O> {}
impl<O: GivesDescriptor> GivesDescriptor for TimeLimit<O> {}

/// Defines an operation: its fields are the arguments of its call, in the order of its manual page,
/// or those that are listed in brackets. Behind the arrow is what its output is:
///
/// - `()`: nothing but success;
/// - `usize`, `u64`: a number;
/// - `OwnedFd`: a new descriptor;
/// - `filled(buf)`: the number of bytes that were written to the field `buf`, and the buffer;
/// - `with(buf)`: the number that was returned, and the buffer of the field `buf`;
/// - `value(out): T`: what the field `out` was filled with;
/// - anything else as a closure of the operation and the end of the call.
macro_rules! operation {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(<$($param:ident: $bound:ident),*>)? = $call:ident {
            $($field:ident: $type:ty),* $(,)?
        } $([$($arg:ident),*])? -> $($output:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name $(<$($param),*>)? {
            $($field: $type),*
        }

        // SAFETY: the arguments own what they refer to (`Argument`), and are those that the manual
        // page of the call names, buffers with their own length. Whatever else the call does, any
        // safe code could do with the same descriptors, paths and numbers.
        unsafe impl $(<$($param: $bound),*>)? $crate::op::Operation for $name $(<$($param),*>)? {
            type Output = operation!(@type $($output)*);

            fn request(&mut self) -> Result<$crate::op::Request, $crate::Errno> {
                let mut args = $crate::op::Args::default();
                operation!(@push self, args, [$($($arg),*)?], [$($field),*]);
                const NR: $crate::op::Sysno = $crate::op::Sysno::of(stringify!($call));
                Ok($crate::op::Request::new(NR, args))
            }

            unsafe fn complete(self, end: $crate::op::End) -> Self::Output {
                operation!(@complete self, end, $($output)*)
            }
        }

        operation!(@gives [$name $(<$($param: $bound),*>)?] [$name $(<$($param),*>)?] $($output)*);
    };

    (@push $self:ident, $args:ident, [], [$($field:ident),*]) => {
        $($crate::op::argument::Argument::push(&mut $self.$field, &mut $args)?;)*
    };
    (@push $self:ident, $args:ident, [$($arg:ident),+], [$($field:ident),*]) => {
        $($crate::op::argument::Argument::push(&mut $self.$arg, &mut $args)?;)*
    };

    (@type ()) => { Result<(), $crate::Errno> };
    (@type usize) => { Result<usize, $crate::Errno> };
    (@type u64) => { Result<u64, $crate::Errno> };
    (@type OwnedFd) => { Result<std::os::fd::OwnedFd, $crate::Errno> };
    (@type filled($buf:ident): $type:ty) => { (Result<usize, $crate::Errno>, $type) };
    (@type with($buf:ident): $type:ty) => { (Result<usize, $crate::Errno>, $type) };
    (@type value($out:ident): $type:ty) => { Result<$type, $crate::Errno> };
    (@type $type:ty: $complete:expr) => { $type };

    (@complete $self:ident, $end:ident, ()) => { $end.result().map(drop) };
    (@complete $self:ident, $end:ident, usize) => { $end.result().map(|value| value as usize) };
    (@complete $self:ident, $end:ident, u64) => { $end.result() };
    (@complete $self:ident, $end:ident, OwnedFd) => {
        $end.result().map(|fd| {
            // SAFETY: the call made it for whoever takes the output.
            unsafe { std::os::fd::FromRawFd::from_raw_fd(fd as std::os::fd::RawFd) }
        })
    };
    (@complete $self:ident, $end:ident, filled($buf:ident): $type:ty) => {
        // SAFETY: it is the result of the operation's own call, which this buffer is an argument of.
        unsafe { $self.$buf.filled($end.result()) }
    };
    (@complete $self:ident, $end:ident, with($buf:ident): $type:ty) => {
        ($end.result().map(|value| value as usize), $self.$buf.0)
    };
    (@complete $self:ident, $end:ident, value($out:ident): $type:ty) => {
        $end.result().map(|_| {
            // SAFETY: the call succeeded, so that it filled what its argument points to.
            unsafe { $self.$out.value() }
        })
    };
    (@complete $self:ident, $end:ident, $type:ty: $complete:expr) => {
        ($complete)($self, $end)
    };

    (@gives [$name:ident $(<$($param:ident: $bound:ident),*>)?] [$self:ty] OwnedFd) => {
        impl $(<$($param: $bound),*>)? $crate::op::sealed::GivesDescriptor for $self {}
        impl $(<$($param: $bound),*>)? $crate::op::GivesDescriptor for $self {}
    };
    (@gives [$($name:tt)*] [$self:ty] $($other:tt)*) => {};
}
pub(crate) use operation;
