// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel that runs was made without.

use std::collections::HashMap;

use libc::ENOSYS;
use procfs::{kernel_config, ConfigSetting};

use crate::case::Case;

/// Options without which calls are not there.
const OPTIONS: &[(&str, &[&str])] = &[
    ("CONFIG_BSD_PROCESS_ACCT", &["acct"]),
    ("CONFIG_SYSFS_SYSCALL", &["sysfs"]),
    (
        "CONFIG_NUMA",
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("CONFIG_KEXEC", &["kexec_load"]),
    ("CONFIG_KEXEC_FILE", &["kexec_file_load"]),
    ("CONFIG_QUOTACTL", &["quotactl", "quotactl_fd"]),
    ("CONFIG_X86_IOPL_IOPERM", &["ioperm", "iopl"]),
    (
        "CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS",
        &["pkey_alloc", "pkey_free", "pkey_mprotect"],
    ),
    ("CONFIG_X86_USER_SHADOW_STACK", &["map_shadow_stack"]),
];

/// A kernel's configuration. One that does not tell it, as the stock ones, must have everything.
pub struct Configuration(Option<HashMap<String, ConfigSetting>>);

impl Configuration {
    /// That of the kernel that runs.
    pub fn of_this_kernel() -> Self {
        Self(kernel_config().ok())
    }

    /// Whether the kernel was made without this option.
    fn lacks(&self, option: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|options| !matches!(options.get(option), Some(ConfigSetting::Yes)))
    }

    /// Whether the kernel was made without this call.
    pub fn leaves_out(&self, call: &str) -> bool {
        let option = OPTIONS.iter().find(|(_, calls)| calls.contains(&call));
        option.is_some_and(|(option, _)| self.lacks(option))
    }

    /// Makes a case expect what a kernel without the call, or without what it needs, gives.
    pub fn adapt(&self, case: &mut Case) {
        if self.leaves_out(case.call) {
            case.must_fail(ENOSYS);
        }
        if let Some((_, errno)) = case.needs.filter(|(option, _)| self.lacks(option)) {
            case.must_fail(errno);
        }
    }
}
