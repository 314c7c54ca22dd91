// SPDX-License-Identifier: MIT OR Apache-2.0

use nlcall_abi::{submit, ArgKind};

use super::{CallFlags, Data, Target};
use crate::Error;

/// What the loaded module supports, as it said when the session was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// Size of one call in bytes.
    pub call_size: u32,
    /// Size of one result in bytes.
    pub result_size: u32,
    /// Call flags that it honours.
    pub call_flags: CallFlags,
    /// Mask with bit `k` set where argument kind `k` works.
    pub arg_kinds: u32,
    /// Mask with bit `n` set where attribute `n` of SUBMIT works.
    pub submit_attrs: u64,
    /// Most calls in flight per session.
    pub max_in_flight: u32,
    /// Most workers per session.
    pub max_workers: u32,
    /// Release of the running kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Hash of the policy table; two modules with the same hash decide alike.
    pub policy_hash: u64,
    /// Version of the module.
    pub module_version: String,
}

impl Features {
    /// Whether arguments of this kind work.
    pub const fn supports_arg_kind(&self, kind: ArgKind) -> bool {
        self.arg_kinds & 1 << kind as u32 != 0
    }

    /// Whether this attribute of SUBMIT ([`abi::submit`](nlcall_abi::submit)) works.
    pub const fn supports_submit_attr(&self, attr: u16) -> bool {
        attr < u64::BITS as u16 && self.submit_attrs & 1 << attr != 0
    }

    /// Whether what a batch has besides its calls works.
    pub(super) fn check_environment(
        &self,
        data: Option<&Data>,
        target: Option<&Target>,
    ) -> Result<(), Error> {
        let data_works = || {
            [submit::DATA, submit::RELOC]
                .iter()
                .all(|attr| self.supports_submit_attr(*attr))
                && [ArgKind::Data, ArgKind::Out]
                    .iter()
                    .all(|kind| self.supports_arg_kind(*kind))
        };
        let missing = if target.is_some() && !self.supports_submit_attr(submit::TARGET_PIDFD) {
            "make calls in other processes"
        } else if data.is_some() && !data_works() {
            "place data in a process's memory"
        } else {
            return Ok(());
        };
        Err(Error::Unsupported {
            what: missing,
            version: self.module_version.clone(),
        })
    }
}
