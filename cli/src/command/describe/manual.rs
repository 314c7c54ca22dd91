// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manual pages of system calls, in the Linux man-pages and, for io_uring, in liburing.

/// Calls without a page of their name, and the page that has them.
const OTHERS: &[(&str, &str)] = &[
    ("epoll_ctl_old", "epoll_ctl"),
    ("epoll_wait_old", "epoll_wait"),
    ("fchmodat2", "fchmodat"),
    ("futex_requeue", "futex"),
    ("futex_wait", "futex"),
    ("futex_waitv", "futex"),
    ("futex_wake", "futex"),
    ("getxattrat", "getxattr"),
    ("io_pgetevents", "io_getevents"),
    ("listxattrat", "listxattr"),
    ("open_tree_attr", "open_tree"),
    ("quotactl_fd", "quotactl"),
    ("removexattrat", "removexattr"),
    ("rt_sigreturn", "sigreturn"),
    ("setxattrat", "setxattr"),
];

/// Calls that no page is about.
const NONE: &[&str] = &[
    "fchroot",
    "file_getattr",
    "file_setattr",
    "listns",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "map_shadow_stack",
    "mseal",
    "process_mrelease",
    "rseq",
    "rseq_slice_yield",
    "set_mempolicy_home_node",
    "uprobe",
];

/// The page that is about a call: `openat(2)`.
pub fn page(name: &str) -> Option<String> {
    if NONE.contains(&name) {
        return None;
    }
    let other = OTHERS.iter().find(|(call, _)| *call == name);
    let page = other.map_or(name, |(_, page)| page);
    Some(format!("{page}(2)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlcall_abi::syscalls;

    #[test]
    fn pages_are_those_of_calls() {
        assert_eq!(page("openat").as_deref(), Some("openat(2)"));
        assert_eq!(page("futex_wait").as_deref(), Some("futex(2)"));
        assert_eq!(page("fchroot"), None);
        let calls = OTHERS.iter().map(|(call, _)| call).chain(NONE);
        for call in calls {
            assert!(syscalls::by_name(call).is_some(), "{call}");
        }
        for (call, page) in OTHERS {
            assert!(!NONE.contains(call) && !NONE.contains(page), "{call}");
            assert!(OTHERS.iter().all(|(other, _)| other != page), "{call}");
        }
    }
}
