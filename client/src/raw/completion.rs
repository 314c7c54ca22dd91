// SPDX-License-Identifier: MIT OR Apache-2.0

use nlcall_abi::{self as abi, Outcome, Restart};

use crate::Errno;

/// The result of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// Of the call.
    pub user_data: u64,
    /// What the system call returned: a value, or a negative error number in `-4095..=-1`. Where it
    /// did not run to its end, the error number says why not.
    pub ret: i64,
    /// How the call ended.
    pub outcome: Outcome,
    /// What the kernel would have done with a call that was interrupted.
    pub restart: Restart,
    /// What came back of the call's outputs, where it has any.
    pub(super) data: Option<Box<[u8]>>,
}

impl Completion {
    /// The value that the system call returned, or the error.
    pub fn result(&self) -> Result<u64, Errno> {
        result(self.ret)
    }

    /// Whether the system call ran to its end, whatever it returned.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Ran
    }

    /// The call's outputs ([`Place::output`](super::Place::output)) as they were at its end, one
    /// behind the other in the order of its arguments; each is as long as was asked for. Nothing
    /// where it did not run or has none.
    pub fn data(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    /// As [`data`](Self::data), to keep.
    pub fn into_data(self) -> Vec<u8> {
        self.data.map(Vec::from).unwrap_or_default()
    }

    /// The completion that this wire entry stands for; none where a number in it is unknown.
    #[inline]
    pub(super) fn from_abi(result: &abi::CallResult) -> Option<Self> {
        Some(Self {
            user_data: result.user_data,
            ret: result.ret,
            outcome: Outcome::from_wire(result.outcome)?,
            restart: Restart::from_wire(result.restart)?,
            data: None,
        })
    }
}

/// The value that a system call returned, or the error.
pub(crate) fn result(ret: i64) -> Result<u64, Errno> {
    match ret {
        // The range of error numbers, MAX_ERRNO in include/linux/err.h.
        error @ -4095..=-1 => Err(Errno::from_raw(-(error as i32))),
        // Addresses are returned too: the sign bit is part of the value.
        value => Ok(value as u64),
    }
}
