// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall limits`: the resource limits of a program that runs.

use nix::{
    sys::resource::{getrlimit, Resource},
    unistd::{setresuid, Uid},
};
use nlcall_tests::process::Child;

use super::{ends, idle, USER};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    limits_are_shown_as_the_kernel_has_them,
    limits_are_changed_in_the_program_alone,
    a_limit_is_raised_with_the_programs_rights,
];

/// A limit of another process, asked for plainly.
fn limit(child: &Child, resource: Resource) -> (u64, u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is a local variable.
    let ret = unsafe {
        libc::prlimit(
            child.pid().as_raw(),
            resource as libc::__rlimit_resource_t,
            std::ptr::null(),
            &mut limit,
        )
    };
    assert_eq!(ret, 0, "prlimit(2)");
    (limit.rlim_cur, limit.rlim_max)
}

fn shown(number: u64) -> String {
    match number {
        libc::RLIM_INFINITY => "unlimited".to_owned(),
        number => number.to_string(),
    }
}

fn limits_are_shown_as_the_kernel_has_them() {
    let child = idle();
    let (printed, _) = ends(&["limits"], &child, 0);
    assert_eq!(printed.lines().count(), 1 + 16, "{printed}");
    for (name, resource) in [
        ("nofile", Resource::RLIMIT_NOFILE),
        ("core", Resource::RLIMIT_CORE),
        ("stack", Resource::RLIMIT_STACK),
        ("sigpending", Resource::RLIMIT_SIGPENDING),
    ] {
        let line = printed
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let words: Vec<_> = line.expect("a line for it").split_whitespace().collect();
        let (soft, hard) = limit(&child, resource);
        assert_eq!(words[1..3], [shown(soft), shown(hard)], "{printed}");
    }
    let (printed, _) = ends(&["limits", "nofile", "--json"], &child, 0);
    let (soft, _) = limit(&child, Resource::RLIMIT_NOFILE);
    assert!(printed.contains("\"resource\": \"nofile\""), "{printed}");
    assert!(printed.contains(&format!("\"soft\": {soft}")), "{printed}");
}

fn limits_are_changed_in_the_program_alone() {
    let child = idle();
    let own = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    let (_, hard) = limit(&child, Resource::RLIMIT_NOFILE);
    let (printed, complained) = ends(&["limits", "nofile=77"], &child, 0);
    assert_eq!((printed.as_str(), complained.as_str()), ("", ""));
    assert_eq!(limit(&child, Resource::RLIMIT_NOFILE), (77, hard));
    let change = [
        "limits",
        "nofile=:88",
        "core=unlimited:unlimited",
        "cpu=5:6",
    ];
    ends(&change, &child, 0);
    assert_eq!(limit(&child, Resource::RLIMIT_NOFILE), (77, 88));
    assert_eq!(limit(&child, Resource::RLIMIT_CPU), (5, 6));
    let unlimited = (libc::RLIM_INFINITY, libc::RLIM_INFINITY);
    assert_eq!(limit(&child, Resource::RLIMIT_CORE), unlimited);
    // Above the hard limit, which stays, and beside one that can be changed.
    let (_, complained) = ends(&["limits", "nofile=99", "cpu=4"], &child, 1);
    assert_eq!(
        complained,
        "nlcall limits: nofile: EINVAL (Invalid argument)\n"
    );
    assert_eq!(limit(&child, Resource::RLIMIT_NOFILE), (77, 88));
    assert_eq!(limit(&child, Resource::RLIMIT_CPU), (4, 6));
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit"), own);
}

fn a_limit_is_raised_with_the_programs_rights() {
    let child = Child::fork(|parent| {
        let uid = Uid::from_raw(USER);
        setresuid(uid, uid, uid).expect("becoming another user");
        parent.put(0);
        parent.try_get();
    });
    child.channel().get();
    let before = limit(&child, Resource::RLIMIT_NOFILE);
    ends(&["limits", "nofile=50:60"], &child, 0);
    let higher = format!("nofile=:{}", before.1);
    let (_, complained) = ends(&["limits", &higher], &child, 1);
    assert!(complained.contains("nofile: EPERM"), "{complained}");
    assert_eq!(limit(&child, Resource::RLIMIT_NOFILE), (50, 60));
}
