// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall call --pid`: any call, with arguments of all kinds, in another process.

use std::{
    env, fs,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::fd::AsRawFd,
};

use nlcall_tests::{pipe::Pipe, process::Child};

use super::{descriptors, ends, idle, mappings, target};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    numbers_go_there_and_back,
    strings_are_found_there,
    buffers_come_back,
    structures_go_there_and_back,
    vectors_of_bytes_go_there_and_back,
    bad_addresses_are_those_of_the_program,
    what_executes_only_inline_does_not_execute_there,
    a_call_there_has_a_time_limit,
    nothing_is_left_in_the_program,
];

/// Makes a call in the process, which must succeed, and returns the line.
fn line(child: &Child, words: &[&str]) -> String {
    let words = [&["call"], words].concat();
    let (printed, complained) = ends(&words, child, 0);
    assert_eq!(complained, "");
    let line = printed.strip_suffix('\n').expect("a line");
    line.to_owned()
}

/// A process with a file, which this one has as well, and its number there.
fn with_file(contents: &str) -> (Child, String, File) {
    fs::write("file", contents).expect("a file");
    let child = Child::fork(|parent| {
        // Not the same number as here.
        let others = [(); 20].map(|()| File::open("/dev/null").expect("it is there"));
        let file = File::options().read(true).write(true).open("file");
        let file = file.expect("it is there");
        parent.put(file.as_raw_fd() as u64);
        parent.try_get();
        drop(others);
    });
    let fd = child.channel().get().to_string();
    (child, fd, File::open("file").expect("it is there"))
}

fn numbers_go_there_and_back() {
    let child = idle();
    let pid = child.pid();
    assert_eq!(line(&child, &["getpid"]), format!("getpid() = {pid}"));
    let own = std::process::id();
    assert_eq!(line(&child, &["getppid"]), format!("getppid() = {own}"));
    assert_eq!(line(&child, &["umask", "031"]), "umask(031) = 022");
    assert_eq!(line(&child, &["umask", "022"]), "umask(022) = 031");
    let (printed, _) = ends(&["call", "close", "999"], &child, 1);
    assert_eq!(printed, "close(999) = -1 EBADF (Bad file descriptor)\n");
    let (printed, _) = ends(&["call", "--json", "getpid"], &child, 0);
    assert!(printed.contains(&format!("\"ret\": {pid},")), "{printed}");
}

fn strings_are_found_there() {
    let child = idle();
    let folder = env::current_dir().expect("a folder");
    fs::create_dir("below").expect("a folder");
    fs::write("below/file", "").expect("a file");
    assert_eq!(line(&child, &["chdir", "below"]), "chdir(\"below\") = 0");
    assert_eq!(env::current_dir().expect("a folder"), folder);
    let cwd = fs::read_link(format!("/proc/{}/cwd", child.pid())).expect("the process is there");
    assert_eq!(cwd, folder.join("below"));
    let opened = line(
        &child,
        &["openat", "AT_FDCWD", "file", "O_RDONLY|O_CLOEXEC"],
    );
    let (call, fd) = opened.rsplit_once(" = ").expect("a result");
    assert_eq!(call, "openat(AT_FDCWD, \"file\", O_RDONLY|O_CLOEXEC)");
    let fd = fd.parse().expect("a descriptor");
    let path = folder.join("below/file");
    assert_eq!(target(child.pid(), fd).as_deref(), path.to_str());
    assert_eq!(
        line(&child, &["rename", "file", "renamed"]),
        "rename(\"file\", \"renamed\") = 0"
    );
    assert!(folder.join("below/renamed").exists());
}

fn buffers_come_back() {
    let (child, fd, mut file) = with_file("some bytes of a file");
    assert_eq!(
        line(&child, &["pread64", &fd, "@5", "5", "5"]),
        format!("pread64({fd}, \"bytes\", 5, 5) = 5")
    );
    assert_eq!(
        line(&child, &["read", &fd, "@", "100"]),
        format!("read({fd}, \"some bytes of a file\", 100) = 20")
    );
    let write = ["write", &fd, "\" and more\"", "9"];
    assert_eq!(
        line(&child, &write),
        format!("write({fd}, \" and more\", 9) = 9")
    );
    let mut all = String::new();
    file.read_to_string(&mut all).expect("text");
    assert_eq!(all, "some bytes of a file and more");
    let folder = env::current_dir().expect("a folder");
    assert_eq!(
        line(&child, &["getcwd", "@4096", "4096"]),
        format!(
            "getcwd(\"{}\", 4096) = {}",
            folder.display(),
            folder.as_os_str().len() + 1
        )
    );
    // As much as a call may bring back, in one piece.
    let long: String = (0..60_000)
        .map(|at| char::from(b'a' + (at % 26) as u8))
        .collect();
    fs::write("file", &long).expect("a file");
    let words = [
        "call", "-s", "70000", "pread64", &fd, "@60000", "60000", "0",
    ];
    let (printed, _) = ends(&words, &child, 0);
    assert_eq!(
        printed,
        format!("pread64({fd}, \"{long}\", 60000, 0) = 60000\n")
    );
}

fn structures_go_there_and_back() {
    let (child, fd, _) = with_file("12345");
    assert_eq!(
        line(&child, &["fstat", &fd, "@"]),
        format!("fstat({fd}, {{st_mode=S_IFREG|0644, st_size=5, ...}}) = 0")
    );
    assert_eq!(
        line(&child, &["nanosleep", "{0, 1}", "NULL"]),
        "nanosleep({tv_sec=0, tv_nsec=1}, NULL) = 0"
    );
    let poll = format!("[{{fd={fd}, events=POLLIN}}]");
    assert_eq!(
        line(&child, &["poll", &poll, "1", "0"]),
        format!("poll([{{fd={fd}, events=POLLIN, revents=POLLIN}}], 1, 0) = 1")
    );
    assert_eq!(
        line(&child, &["getresuid", "@", "@", "@"]),
        "getresuid([0], [0], [0]) = 0"
    );
    let before = descriptors(child.pid());
    let pipe = line(&child, &["pipe2", "@", "O_CLOEXEC"]);
    let mut made = descriptors(child.pid());
    made.retain(|fd| !before.contains(fd));
    assert_eq!(
        pipe,
        format!("pipe2([{}, {}], O_CLOEXEC) = 0", made[0], made[1])
    );
}

fn vectors_of_bytes_go_there_and_back() {
    let (child, fd, mut file) = with_file("");
    let words = [
        "writev",
        &fd,
        "[\"abc\", {iov_base=\"defgh\", iov_len=3}]",
        "2",
    ];
    let shown = "[{iov_base=\"abc\", iov_len=3}, {iov_base=\"def\", iov_len=3}]";
    assert_eq!(
        line(&child, &words),
        format!("writev({fd}, {shown}, 2) = 6")
    );
    let mut all = String::new();
    file.seek(SeekFrom::Start(0))
        .expect("a file can be read again");
    file.read_to_string(&mut all).expect("text");
    assert_eq!(all, "abcdef");
    let words = ["preadv", &fd, "[@2, @10]", "2", "0", "0"];
    let shown = "[{iov_base=\"ab\", iov_len=2}, {iov_base=\"cdef\", iov_len=10}]";
    assert_eq!(
        line(&child, &words),
        format!("preadv({fd}, {shown}, 2, 0, 0) = 6")
    );
}

fn bad_addresses_are_those_of_the_program() {
    let child = idle();
    let (printed, _) = ends(&["call", "uname", "0x10"], &child, 1);
    assert_eq!(printed, "uname(0x10) = -1 EFAULT (Bad address)\n");
    let (_, complained) = ends(&["call", "read", "0", "@10", "100"], &child, 2);
    assert!(complained.contains("it has 10 bytes"), "{complained}");
}

fn what_executes_only_inline_does_not_execute_there() {
    let child = idle();
    for words in [&["call", "fork"][..], &["call", "setuid", "1000"]] {
        let (printed, complained) = ends(words, &child, 1);
        assert_eq!(printed, "");
        assert!(
            complained.contains("not in another process"),
            "{complained}"
        );
    }
    let (_, complained) = ends(&["call", "rt_sigreturn"], &child, 1);
    assert!(complained.contains("registers"), "{complained}");
}

fn a_call_there_has_a_time_limit() {
    let pipe = Pipe::new();
    let reader = pipe.reader.as_raw_fd().to_string();
    let child = idle();
    let words = ["call", "--timeout", "20ms", "read", &reader, "@1", "1"];
    let (printed, _) = ends(&words, &child, 1);
    assert_eq!(
        printed,
        format!("read({reader}, @1, 1) = ? (timed out: ETIME (Timer expired))\n")
    );
}

fn nothing_is_left_in_the_program() {
    let (child, fd, _) = with_file("12345");
    let before = (mappings(child.pid()), descriptors(child.pid()));
    line(&child, &["pread64", &fd, "@", "50000", "0"]);
    line(&child, &["chdir", "/"]);
    ends(&["limits"], &child, 0);
    assert_eq!((mappings(child.pid()), descriptors(child.pid())), before);
}
