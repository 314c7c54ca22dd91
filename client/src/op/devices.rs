// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices.

use std::fmt;

use super::{
    argument::{Argument, Fd},
    Args, Descriptor, End, Operation, Request, Sysno,
};
use crate::Errno;

/// Asks a device for something of its own: `ioctl(2)`, with a typed opcode
/// ([`rustix::ioctl`] has the types to make one).
///
/// Those that act on the thread that asks (of terminals, virtual processors, ...) are rejected.
///
/// ```
/// use nlcall::{op, rustix::ioctl, Client};
///
/// # pollster::block_on(async {
/// const FIONREAD: ioctl::Opcode = 0x541b;
/// let client = Client::new()?;
/// let (reader, writer) = client.submit(op::Pipe::new()).await??;
/// client.submit(op::Write::new(writer, "12345")).await?.0?;
/// // SAFETY: FIONREAD writes an int.
/// let waiting = unsafe { ioctl::Getter::<FIONREAD, i32>::new() };
/// // SAFETY: as above, for every kind of file that knows it.
/// let waiting = unsafe { op::Ioctl::new(reader, waiting) };
/// assert_eq!(client.submit(waiting).await??, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Ioctl<D, I> {
    fd: Fd<D>,
    ioctl: I,
}

impl<D: Descriptor, I: rustix::ioctl::Ioctl + Send + 'static> Ioctl<D, I> {
    /// This, of the device of this descriptor.
    ///
    /// # Safety
    ///
    /// As for [`rustix::ioctl::ioctl`]: the device knows this opcode for what its type says. Where it
    /// refers to memory, that is in the value itself or stays valid, and untouched, until the call is
    /// over. The value may be moved before it is used.
    pub unsafe fn new(fd: D, ioctl: I) -> Self {
        Self { fd: Fd(fd), ioctl }
    }
}

// SAFETY: whoever made it promised what is needed.
unsafe impl<D, I> Operation for Ioctl<D, I>
where
    D: Descriptor,
    I: rustix::ioctl::Ioctl + Send + 'static,
    I::Output: Send + 'static,
{
    type Output = Result<I::Output, Errno>;

    fn request(&mut self) -> Result<Request, Errno> {
        const IOCTL: Sysno = Sysno::of("ioctl");
        let mut args = Args::default();
        self.fd.push(&mut args)?;
        args.push(u64::from(self.ioctl.opcode()));
        args.push(self.ioctl.as_ptr().expose_provenance());
        Ok(Request::new(IOCTL, args))
    }

    unsafe fn complete(mut self, end: End) -> Self::Output {
        let ret = end.result()?;
        let address = self.ioctl.as_ptr();
        // SAFETY: the call succeeded, with this value, and what it left is where the value is now.
        let output = unsafe { I::output_from_ptr(ret as i32, address) };
        output.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }
}

impl<D: fmt::Debug, I> fmt::Debug for Ioctl<D, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ioctl")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}
