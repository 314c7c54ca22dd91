// SPDX-License-Identifier: GPL-2.0-only

//! Why a message is rejected as a whole.

use crate::text::Text;

/// Errno values, positive, as `include/uapi/asm-generic/errno.h` has them on x86-64.
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// No such process.
    pub const ESRCH: i32 = 3;
    /// Interrupted system call.
    pub const EINTR: i32 = 4;
    /// Argument list too long: a structure has non-zero bytes that the module does not know.
    pub const E2BIG: i32 = 7;
    /// Bad file descriptor.
    pub const EBADF: i32 = 9;
    /// Try again: a limit is reached.
    pub const EAGAIN: i32 = 11;
    /// Out of memory.
    pub const ENOMEM: i32 = 12;
    /// Bad address.
    pub const EFAULT: i32 = 14;
    /// A limit of the user or the machine is reached.
    pub const EBUSY: i32 = 16;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// No such system call.
    pub const ENOSYS: i32 = 38;
    /// A message from inside a message's call.
    pub const ELOOP: i32 = 40;
    /// Timer expired.
    pub const ETIME: i32 = 62;
    /// Message too long: more data than a message may have.
    pub const EMSGSIZE: i32 = 90;
    /// Operation not supported.
    pub const EOPNOTSUPP: i32 = 95;
    /// Operation canceled.
    pub const ECANCELED: i32 = 125;
}

/// A message is accepted whole or rejected whole; this is the second case.
///
/// It reaches the sender as a netlink error message with an extended acknowledgement: `text` as
/// `NLMSGERR_ATTR_MSG`, the attribute as `NLMSGERR_ATTR_OFFS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Positive errno.
    pub errno: i32,
    /// Offset of the offending attribute from the first attribute of the message, in bytes.
    pub at: Option<usize>,
    /// What is wrong, and with which call.
    pub text: Text,
}

impl Rejection {
    /// Names the attribute that is wrong, by its offset.
    pub fn at(self, at: usize) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }
}

/// Makes a [`Rejection`]: `reject!(EINVAL, "call {index}: ...")`, or with the offset of an
/// attribute, `reject!(EINVAL, at offset, "...")`.
macro_rules! reject {
    ($errno:ident, at $at:expr, $($format:tt)+) => {
        $crate::reject::Rejection {
            errno: $crate::reject::errno::$errno,
            at: Some($at),
            text: $crate::text::Text::format(format_args!($($format)+)),
        }
    };
    ($errno:ident, $($format:tt)+) => {
        $crate::reject::Rejection {
            errno: $crate::reject::errno::$errno,
            at: None,
            text: $crate::text::Text::format(format_args!($($format)+)),
        }
    };
}
pub(crate) use reject;
