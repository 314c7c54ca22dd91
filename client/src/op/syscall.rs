// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any other system call.

use nlcall_abi::syscalls;

use super::{Args, End, Operation, Request};
use crate::Errno;

/// The number of a system call of x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sysno(u32);

impl Sysno {
    /// That of the call with this name, as in the kernel's table. In a constant, an unknown name
    /// does not compile.
    ///
    /// ```
    /// use nlcall::op::Sysno;
    ///
    /// const GETPID: Sysno = Sysno::of("getpid");
    /// assert_eq!(GETPID.number(), 39);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics where the table has no such name.
    pub const fn of(name: &str) -> Self {
        Self(syscalls::nr(name))
    }

    /// This number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Any system call, by its number, with what it needs.
///
/// ```
/// use nlcall::{op, Client};
///
/// const GETPPID: op::Sysno = op::Sysno::of("getppid");
/// # pollster::block_on(async {
/// let client = Client::new()?;
/// // SAFETY: getppid has no arguments and no effects.
/// let call = unsafe { op::Syscall::new(GETPPID, &[]) };
/// let (parent, ()) = client.submit(call).await?;
/// assert_eq!(parent?, std::os::unix::process::parent_id().into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// It cannot be cloned: the clone's arguments would point into what the original
/// [keeps](Self::keep).
///
/// ```compile_fail,E0599
/// # use nlcall::op;
/// # const READ: op::Sysno = op::Sysno::of("read");
/// let mut buf = vec![0u8; 16];
/// let args = [0, buf.as_mut_ptr() as u64, 16];
/// // SAFETY: the buffer is kept.
/// let call = unsafe { op::Syscall::new(READ, &args) }.keep(buf);
/// let other = call.clone();
/// ```
#[derive(Debug)]
pub struct Syscall<K = ()> {
    nr: Sysno,
    args: Args,
    kept: K,
}

impl Syscall {
    /// The system call `nr` with up to six arguments; missing ones are zero.
    ///
    /// # Panics
    ///
    /// Panics when `args` has more than six elements.
    ///
    /// # Safety
    ///
    /// As for [`raw::Call::new`](crate::raw::Call::new). What the arguments refer to can be
    /// [kept](Self::keep) with it; then it is there for as long as it has to.
    pub unsafe fn new(nr: Sysno, args: &[u64]) -> Self {
        assert!(
            args.len() <= 6,
            "a system call has at most six arguments, not {}",
            args.len()
        );
        let mut all = Args::default();
        for arg in args {
            all.push(*arg);
        }
        Self {
            nr,
            args: all,
            kept: (),
        }
    }

    /// Keeps this until the call is over, and gives it back with the output: boxes and vectors that
    /// the arguments point into, descriptors. It is moved, but what is in a box stays where it is.
    pub fn keep<K: Send + 'static>(self, kept: K) -> Syscall<K> {
        Syscall {
            nr: self.nr,
            args: self.args,
            kept,
        }
    }
}

// SAFETY: whoever made it promised what is needed.
unsafe impl<K: Send + 'static> Operation for Syscall<K> {
    type Output = (Result<u64, Errno>, K);

    fn request(&mut self) -> Result<Request, Errno> {
        Ok(Request::new(self.nr, self.args.clone()))
    }

    unsafe fn complete(self, end: End) -> Self::Output {
        (end.result(), self.kept)
    }
}
