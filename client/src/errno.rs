// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{fmt, io};

/// An error number of the kernel, as in `errno(3)`.
///
/// It prints the way `strace` does:
///
/// ```
/// # use nlcall::Errno;
/// assert_eq!(Errno::from_raw(9).to_string(), "EBADF (Bad file descriptor)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(i32);

impl Errno {
    pub(crate) const PERM: Self = Self(nix::errno::Errno::EPERM as i32);
    pub(crate) const NOENT: Self = Self(nix::errno::Errno::ENOENT as i32);
    pub(crate) const SRCH: Self = Self(nix::errno::Errno::ESRCH as i32);
    pub(crate) const INVAL: Self = Self(nix::errno::Errno::EINVAL as i32);
    pub(crate) const INTR: Self = Self(nix::errno::Errno::EINTR as i32);
    pub(crate) const BADF: Self = Self(nix::errno::Errno::EBADF as i32);
    pub(crate) const AGAIN: Self = Self(nix::errno::Errno::EAGAIN as i32);
    pub(crate) const BUSY: Self = Self(nix::errno::Errno::EBUSY as i32);
    pub(crate) const IO: Self = Self(nix::errno::Errno::EIO as i32);
    pub(crate) const FAULT: Self = Self(nix::errno::Errno::EFAULT as i32);
    pub(crate) const NOSYS: Self = Self(nix::errno::Errno::ENOSYS as i32);
    pub(crate) const NOTSOCK: Self = Self(nix::errno::Errno::ENOTSOCK as i32);
    pub(crate) const OPNOTSUPP: Self = Self(nix::errno::Errno::EOPNOTSUPP as i32);
    pub(crate) const CANCELED: Self = Self(nix::errno::Errno::ECANCELED as i32);
    pub(crate) const NOBUFS: Self = Self(nix::errno::Errno::ENOBUFS as i32);

    /// The error with this (positive) number.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number, positive.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The symbolic name, such as `EBADF`; none for numbers that `errno.h` does not define.
    pub fn name(self) -> Option<String> {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => None,
            known => Some(format!("{known:?}")),
        }
    }

    /// The C library's description, such as `Bad file descriptor`.
    pub fn description(self) -> String {
        errno::Errno(self.0).to_string()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.description()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(&name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_number_has_a_name_and_a_description() {
        let errno = Errno::from_raw(11);
        assert_eq!(errno.name().as_deref(), Some("EAGAIN"));
        assert_eq!(format!("{errno:?}"), "EAGAIN");
        assert_eq!(io::Error::from(errno).raw_os_error(), Some(11));
    }

    #[test]
    fn a_number_without_a_name_prints_as_a_number() {
        assert_eq!(Errno::from_raw(4000).name(), None);
        assert_eq!(Errno::from_raw(4000).to_string(), "errno 4000");
    }
}
