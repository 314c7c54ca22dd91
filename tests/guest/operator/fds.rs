// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall fds`: what a program has open, and what it shall have open no more.

use std::{
    fs::File,
    os::fd::{AsRawFd, IntoRawFd},
};

use nlcall_tests::{pipe::Pipe, process::Child};

use super::{descriptors, ends};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    descriptors_are_listed,
    descriptors_are_closed_in_the_program_alone,
    a_read_that_is_blocked_goes_on,
];

fn descriptors_are_listed() {
    let child = Child::fork(|parent| {
        let file = File::open("/etc/hostname").expect("it is there");
        parent.put(file.as_raw_fd() as u64);
        parent.try_get();
    });
    let fd = child.channel().get().to_string();
    let (printed, _) = ends(&["fds"], &child, 0);
    let line = |printed: &str| -> Option<Vec<String>> {
        let mut lines = printed.lines();
        let line = lines.find(|line| line.ends_with(" /etc/hostname"))?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    };
    let expected = [&fd, "O_RDONLY|O_CLOEXEC", "0", "/etc/hostname"].map(str::to_owned);
    assert_eq!(line(&printed), Some(expected.to_vec()), "{printed}");
    assert_eq!(
        printed.lines().count(),
        descriptors(child.pid()).len() + 1,
        "a line each, and the heading"
    );
    let (printed, _) = ends(&["fds", "--json"], &child, 0);
    assert!(
        printed.contains("\"target\": \"/etc/hostname\""),
        "{printed}"
    );
}

fn descriptors_are_closed_in_the_program_alone() {
    let child = Child::fork(|parent| {
        for _ in 0..3 {
            let file = File::open("/etc/hostname").expect("it is there");
            parent.put(file.into_raw_fd() as u64);
        }
        parent.try_get();
    });
    let opened = [(); 3].map(|()| child.channel().get() as i32);
    // A descriptor of this number is ours as well.
    let own = File::open("/dev/null").expect("it is there");
    let own_before = descriptors(nix::unistd::getpid());
    let before = descriptors(child.pid());
    let [one, two, three] = opened.map(|fd| fd.to_string());
    let close = ["fds", "--close", &one, "--close", "9999", "--close", &three];
    let (printed, complained) = ends(&close, &child, 1);
    assert_eq!(printed, "");
    assert_eq!(
        complained,
        "nlcall fds: descriptor 9999: EBADF (Bad file descriptor)\n"
    );
    let mut expected = before;
    expected.retain(|fd| *fd != opened[0] && *fd != opened[2]);
    assert_eq!(descriptors(child.pid()), expected);
    assert_eq!(descriptors(nix::unistd::getpid()), own_before);
    ends(&["fds", "-c", &two], &child, 0);
    assert!(!descriptors(child.pid()).contains(&opened[1]));
    drop(own);
}

/// Or begins again, where the worker that closes was made by the thread that reads, and then it
/// finds no descriptor.
fn a_read_that_is_blocked_goes_on() {
    let pipe = Pipe::new();
    let reader = pipe.reader.as_raw_fd();
    let mut child = Child::fork(|parent| {
        parent.put(0);
        let mut byte = [0; 1];
        let mut read = || rustix::io::read(&pipe.reader, &mut byte[..]);
        let first = read();
        if first != Err(rustix::io::Errno::BADF) {
            assert_eq!(first, Ok(1));
            assert_eq!(read(), Err(rustix::io::Errno::BADF));
        }
        // Nothing is to be closed at the end that is not there.
        nlcall_tests::process::exit_now(0);
    });
    child.channel().get();
    nlcall_tests::patience::until("it reads", || {
        super::is_inside(child.pid(), &[libc::SYS_read])
    });
    ends(&["fds", "--close", &reader.to_string()], &child, 0);
    pipe.fill(b"x");
    child.succeed();
}
