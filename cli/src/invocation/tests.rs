// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::kernel::plain::Plain;
use crate::kernel::{
    call,
    Reply, //
};
use crate::process::own::Own;
use crate::process::Caller;
use nlcall::raw::Call;
use proptest::prelude::*;

fn prepare(words: &[&str]) -> Result<Invocation, InvocationError> {
    let texts: Vec<_> = words[1..].iter().map(OsString::from).collect();
    Invocation::new(words[0], &texts)
}

/// Makes the call with the plain system call and shows it.
fn make(words: &[&str]) -> String {
    let invocation = prepare(words).unwrap();
    let mut kernel = Plain::new(1);
    let here = invocation.here().unwrap();
    // SAFETY: The tests make harmless calls, and an invocation's memory is never unmapped.
    let reply = unsafe { call(&mut kernel, invocation.nr(), here.registers()) }.unwrap();
    invocation.show(&reply, &here.memory(), Detail::default())
}

/// Makes the call as if it were made in another process, and shows it.
fn make_elsewhere(words: &[&str]) -> String {
    let invocation = prepare(words).unwrap();
    let mut data = Data::new();
    let elsewhere = invocation.elsewhere(&mut data).unwrap();
    // SAFETY: The tests make harmless calls, whose arguments are in memory that is never unmapped.
    let call = unsafe { Call::with_args(invocation.nr(), elsewhere.args()) };
    let mut own = Own::default();
    let answers = own.make(call.into(), data).unwrap();
    let ran = answers[0].reply.outcome == Outcome::Ran;
    let after = elsewhere.after(ran, &answers[0].data);
    invocation.show(&answers[0].reply, &memory(&after), Detail::default())
}

fn not_elsewhere(words: &[&str]) -> String {
    let invocation = prepare(words).unwrap();
    let error = invocation.elsewhere(&mut Data::new()).unwrap_err();
    error.to_string()
}

fn usage(words: &[&str]) -> String {
    prepare(words).unwrap_err().to_string()
}

#[test]
fn failures_are_shown_as_strace_shows_them() {
    let line = make(&["read", "999", "@16", "16"]);
    assert!(line.starts_with("read(999, 0x"), "{line}");
    assert!(
        line.ends_with(", 16) = -1 EBADF (Bad file descriptor)"),
        "{line}"
    );
    assert_eq!(
        make(&["openat", "AT_FDCWD", "/does/not/exist", "O_RDWR|O_CLOEXEC"]),
        "openat(AT_FDCWD, \"/does/not/exist\", O_RDWR|O_CLOEXEC) \
         = -1 ENOENT (No such file or directory)"
    );
    assert_eq!(
        make(&["openat", "AT_FDCWD", "0x1", "O_RDONLY"]),
        "openat(AT_FDCWD, 0x1, O_RDONLY) = -1 EFAULT (Bad address)"
    );
    assert_eq!(
        make(&["mkdir", "/etc", "01777"]),
        "mkdir(\"/etc\", 01777) = -1 EEXIST (File exists)"
    );
    assert_eq!(
        make(&["lseek", "-1", "-5", "SEEK_END"]),
        "lseek(-1, -5, SEEK_END) = -1 EBADF (Bad file descriptor)"
    );
    assert_eq!(
        make(&["kill", "0x7fffffff", "TERM"]),
        "kill(2147483647, SIGTERM) = -1 ESRCH (No such process)"
    );
}

#[test]
fn buffers_are_shown_after_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"hello\n\x00world, this is more than 32 bytes").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file).to_string();
    assert_eq!(
        make(&["pread64", &fd, "@5", "5", "0"]),
        format!("pread64({fd}, \"hello\", 5, 0) = 5")
    );
    assert_eq!(
        make(&["pread64", &fd, "@", "100", "0"]),
        format!("pread64({fd}, \"hello\\n\\0world, this is more than \"..., 100, 0) = 40")
    );
    assert_eq!(
        make(&["pread64", &fd, "@10", "10", "1000"]),
        format!("pread64({fd}, \"\", 10, 1000) = 0")
    );
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("target", &link).unwrap();
    let link = link.to_str().unwrap();
    assert_eq!(
        make(&["readlink", link, "@100", "100"]),
        format!("readlink(\"{link}\", \"target\", 100) = 6")
    );
}

#[test]
fn a_buffer_too_small_for_the_call_is_not_overrun() {
    let line = make(&["getcwd", "@1", "4096"]);
    assert!(line.ends_with("= -1 EFAULT (Bad address)"), "{line}");
}

#[test]
fn structures_are_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"12345").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&path, mode).unwrap();
    let path = path.to_str().unwrap();
    let stat = "{st_mode=S_IFREG|0640, st_size=5, ...}";
    assert_eq!(
        make(&["stat", path, "@"]),
        format!("stat(\"{path}\", {stat}) = 0")
    );
    assert_eq!(
        make(&["newfstatat", "AT_FDCWD", path, "@144", "0"]),
        format!("newfstatat(AT_FDCWD, \"{path}\", {stat}, 0) = 0")
    );
    let line = make(&["statx", "AT_FDCWD", path, "0", "STATX_BASIC_STATS", "@"]);
    let start = format!(
        "statx(AT_FDCWD, \"{path}\", AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS, \
         {{stx_mask=STATX_BASIC_STATS"
    );
    assert!(line.starts_with(&start), "{line}");
    assert!(
        line.ends_with("stx_mode=S_IFREG|0640, stx_size=5, ...}) = 0"),
        "{line}"
    );
    assert_eq!(
        make(&["stat", "/dev/null", "@"]),
        "stat(\"/dev/null\", {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}) = 0"
    );
    let line = make(&["uname", "@"]);
    assert!(
        line.starts_with("uname({sysname=\"Linux\", nodename="),
        "{line}"
    );
    let line = make(&["clock_gettime", "CLOCK_MONOTONIC", "@"]);
    assert!(
        line.starts_with("clock_gettime(CLOCK_MONOTONIC, {tv_sec="),
        "{line}"
    );
    assert_eq!(
        make(&["nanosleep", "{0, 1}", "NULL"]),
        "nanosleep({tv_sec=0, tv_nsec=1}, NULL) = 0"
    );
    assert_eq!(
        make(&["poll", "[{fd=-1, events=POLLIN}]", "1", "0"]),
        "poll([{fd=-1, events=POLLIN, revents=0}], 1, 0) = 0"
    );
}

#[test]
fn descriptors_of_a_pipe_are_shown() {
    let line = make(&["pipe2", "@8", "O_CLOEXEC|O_NONBLOCK"]);
    let pair = line
        .strip_prefix("pipe2([")
        .and_then(|rest| rest.strip_suffix("], O_CLOEXEC|O_NONBLOCK) = 0"));
    let (read, write) = pair.and_then(|pair| pair.split_once(", ")).unwrap();
    for fd in [read, write] {
        assert_eq!(make(&["close", fd]), format!("close({fd}) = 0"));
    }
}

#[test]
fn results_are_shown_in_the_base_that_suits_them() {
    assert_eq!(
        make(&["getpid"]),
        format!("getpid() = {}", std::process::id())
    );
    let line = make(&[
        "mmap",
        "NULL",
        "4096",
        "PROT_READ|PROT_WRITE",
        "MAP_PRIVATE|MAP_ANONYMOUS",
        "-1",
        "0",
    ]);
    let address = line
        .strip_prefix("mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = ")
        .unwrap();
    assert!(address.starts_with("0x7"), "{line}");
    let umask = prepare(&["umask", "022"]).unwrap();
    let reply = Reply {
        user_data: 0,
        ret: 0o77,
        outcome: Outcome::Ran,
    };
    assert_eq!(
        umask.show(&reply, &[None], Detail::default()),
        "umask(022) = 077"
    );
}

#[test]
fn written_bytes_are_shown_as_they_are_given() {
    let pipe = rustix::pipe::pipe().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&pipe.1).to_string();
    assert_eq!(
        make(&["write", &fd, "\"a\\n\"", "2"]),
        format!("write({fd}, \"a\\n\", 2) = 2")
    );
    assert_eq!(
        make(&["write", &fd, "abc", "4"]),
        format!("write({fd}, \"abc\\0\", 4) = 4")
    );
    assert_eq!(
        make(&["fcntl", &fd, "F_SETFD", "FD_CLOEXEC"]),
        format!("fcntl({fd}, F_SETFD, FD_CLOEXEC) = 0")
    );
    assert_eq!(
        make(&["fcntl", &fd, "F_GETFD"]),
        format!("fcntl({fd}, F_GETFD) = 1")
    );
}

#[test]
fn usage_errors_show_the_signature() {
    assert_eq!(
        usage(&["read", "3"]),
        "read takes 3 arguments, not 1\n  read(fd: fd, buf: @N, count: ulong)"
    );
    assert_eq!(
        usage(&["getpid", "3"]),
        "getpid takes no arguments, not 1\n  getpid()"
    );
    assert_eq!(
        usage(&["open", "/x"]),
        "open takes 2 to 3 arguments, not 1\n  open(filename: path, flags: O_*, [mode: mode])"
    );
    assert_eq!(
        usage(&["read", "x", "@1", "1"]),
        "read: argument 1, `x`: a descriptor is expected\n  read(fd: fd, buf: @N, count: ulong)"
    );
    let unknown = usage(&["open", "/x", "O_RDWT"]);
    assert!(
        unknown.contains("unknown name `O_RDWT`; known: O_RDWR"),
        "{unknown}"
    );
    assert!(usage(&["kill", "1", "SIGNONE"]).contains("unknown signal"));
    assert!(usage(&["chdir", "@"]).contains("say how many bytes"));
    assert!(usage(&["read", "0", "/x", "1"]).contains("a buffer, such as @100 is expected"));
    assert!(usage(&["rt_sigaction", "1", "{1}", "NULL", "8"]).contains("a quoted string"));
}

#[test]
fn unknown_calls_come_with_their_neighbours() {
    let text = usage(&["opnat"]);
    assert!(
        text.starts_with("unknown system call `opnat`; near: openat"),
        "{text}"
    );
    assert!(usage(&["zzzzzzzz"]).contains("nlcall list"));
}

#[test]
fn calls_go_by_number_too() {
    assert_eq!(make(&["39"]), format!("getpid() = {}", std::process::id()));
    assert_eq!(
        make(&["0xffff", "1", "0x10"]),
        "syscall_0xffff(0x1, 0x10) = -1 ENOSYS (Function not implemented)"
    );
    assert!(usage(&["-1"]).starts_with("unknown system call `-1`"));
}

#[test]
fn calls_that_did_not_run_have_no_result() {
    let invocation = prepare(&["getpid"]).unwrap();
    let shown = |outcome, errno: i32| {
        let reply = Reply {
            user_data: 0,
            ret: -i64::from(errno),
            outcome,
        };
        invocation.show(&reply, &[], Detail::default())
    };
    assert_eq!(
        shown(Outcome::NotStarted, libc::EAGAIN),
        "getpid() = ? (not started: EAGAIN (Resource temporarily unavailable))"
    );
    assert_eq!(
        shown(Outcome::Interrupted, libc::EINTR),
        "getpid() = ? (interrupted: EINTR (Interrupted system call))"
    );
    for outcome in Outcome::ALL
        .iter()
        .filter(|outcome| **outcome != Outcome::Ran)
    {
        assert!(shown(*outcome, libc::EINTR).contains("= ? ("));
    }
}

#[test]
fn what_a_call_did_not_write_is_not_shown() {
    let invocation = prepare(&["read", "0", "@4", "4"]).unwrap();
    let reply = Reply {
        user_data: 0,
        ret: -4,
        outcome: Outcome::Interrupted,
    };
    let here = invocation.here().unwrap();
    let line = invocation.show(&reply, &here.memory(), Detail::default());
    assert!(line.starts_with("read(0, 0x"), "{line}");
}

#[test]
fn vectors_of_bytes_are_written_and_read() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let [reader, writer] =
        [&reader, &writer].map(|fd| std::os::fd::AsRawFd::as_raw_fd(fd).to_string());
    for make in [make, make_elsewhere] {
        let words = [
            "writev",
            &writer,
            "[\"abc\", {iov_base=\"defgh\", iov_len=3}]",
            "2",
        ];
        let shown = "[{iov_base=\"abc\", iov_len=3}, {iov_base=\"def\", iov_len=3}]";
        assert_eq!(make(&words), format!("writev({writer}, {shown}, 2) = 6"));
        let words = ["readv", &reader, "[@2, {@10, 10}]", "2"];
        let shown = "[{iov_base=\"ab\", iov_len=2}, {iov_base=\"cdef\", iov_len=10}]";
        assert_eq!(make(&words), format!("readv({reader}, {shown}, 2) = 6"));
    }
    let line = make(&["readv", "-1", "[@2]", "1"]);
    assert!(line.starts_with("readv(-1, 0x"), "{line}");
    assert_eq!(
        make_elsewhere(&["readv", "-1", "[@2]", "1"]),
        "readv(-1, @16, 1) = -1 EBADF (Bad file descriptor)"
    );
    assert_eq!(
        make(&["writev", "-1", "[{iov_base=0x10, iov_len=3}, NULL]", "1"]),
        "writev(-1, [{iov_base=0x10, iov_len=3}, {iov_base=NULL, iov_len=0}], 1) \
         = -1 EBADF (Bad file descriptor)"
    );
    assert!(usage(&["writev", "1", "[3]", "1"]).contains("a length: {iov_base"));
    assert!(usage(&["writev", "1", "[{iov_len=3}]", "1"]).contains("iov_base=..., iov_len=N"));
    assert!(usage(&["writev", "1", "/x", "1"]).contains("array of strings or addresses"));
    assert!(usage(&["readv", "1", "[@]", "1"]).contains("say how many bytes"));
}

#[test]
fn arguments_of_programs_are_strings() {
    let words = ["execve", "/does/not/exist", "[\"ls\", -l]", "[]"];
    for make in [make, make_elsewhere] {
        assert_eq!(
            make(&words),
            "execve(\"/does/not/exist\", [\"ls\", \"-l\"], []) \
             = -1 ENOENT (No such file or directory)"
        );
    }
    assert!(usage(&["execve", "/x", "ls"]).contains("an array of strings"));
}

#[test]
fn a_call_in_another_process_is_shown_as_one_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"some bytes of a file").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file).to_string();
    let path = path.to_str().unwrap();
    for words in [
        &["getpid"][..],
        &["openat", "AT_FDCWD", "/does/not/exist", "O_RDWR|O_CLOEXEC"],
        &["pread64", &fd, "@5", "5", "0"],
        &["pread64", &fd, "@", "100", "5"],
        &["readlink", "/proc/self/exe", "@4096", "4096"],
        &["stat", path, "@"],
        &["newfstatat", "AT_FDCWD", path, "@144", "0"],
        &["statx", "AT_FDCWD", path, "0", "STATX_BASIC_STATS", "@"],
        &["nanosleep", "{0, 1}", "NULL"],
        &["poll", "[{fd=-1, events=POLLIN}]", "1", "0"],
        &["prlimit64", "0", "RLIMIT_CORE", "NULL", "@"],
        &["getresuid", "@", "@", "@"],
        &["uname", "@"],
        &["getcwd", "@4096", "4096"],
        &["fcntl", &fd, "F_GETFD"],
        &["access", path, "R_OK"],
        &[
            "openat2",
            "AT_FDCWD",
            "/does/not/exist",
            "{flags=O_RDONLY}",
            "24",
        ],
    ] {
        assert_eq!(make_elsewhere(words), make(words), "{words:?}");
    }
    // An address there is not known here.
    assert_eq!(
        make_elsewhere(&["read", "999", "@16", "16"]),
        "read(999, @16, 16) = -1 EBADF (Bad file descriptor)"
    );
}

#[test]
fn memory_of_another_process_is_not_overrun() {
    assert_eq!(
        not_elsewhere(&["read", "0", "@10", "100"]),
        "read: argument 2, `@10`: it has 10 bytes, and the call may use 100\n  \
         read(fd: fd, buf: @N, count: ulong)"
    );
    assert!(not_elsewhere(&["write", "1", "abc", "5"]).contains("has 4 bytes"));
    assert!(not_elsewhere(&["uname", "@10"]).contains("may use 390"));
    assert!(not_elsewhere(&["readv", "0", "[{@1, 2}]", "1"]).contains("has 1 bytes"));
    assert!(not_elsewhere(&["read", "0", "@10", "-1"]).contains("may use 18446744073709551615"));
    assert!(prepare(&["read", "0", "@10", "10"])
        .unwrap()
        .elsewhere(&mut Data::new())
        .is_ok());
}

#[test]
fn no_more_memory_is_placed_than_a_message_brings() {
    assert_eq!(
        not_elsewhere(&["read", "0", "@60001", "60001"]),
        "read: its output has 60001 bytes; in another process it may have 60000"
    );
    assert!(not_elsewhere(&["read", "0", "@1073741824", "5"]).contains("its memory has"));
    let long = "x".repeat(Data::MAX_LEN);
    assert!(not_elsewhere(&["chdir", &long]).contains("1048584 bytes"));
    assert!(prepare(&["read", "0", "@60000", "5"])
        .unwrap()
        .elsewhere(&mut Data::new())
        .is_ok());
}

#[test]
fn what_the_call_did_not_reach_is_as_it_was() {
    let invocation = prepare(&["poll", "[{fd=7, events=POLLIN}]", "1", "0"]).unwrap();
    let mut data = Data::new();
    let elsewhere = invocation.elsewhere(&mut data).unwrap();
    let reply = Reply {
        user_data: 0,
        ret: -i64::from(libc::ESRCH),
        outcome: Outcome::NotStarted,
    };
    let after = elsewhere.after(false, b"");
    assert_eq!(
        invocation.show(&reply, &memory(&after), Detail::default()),
        "poll([{fd=7, events=POLLIN, revents=0}], 1, 0) \
         = ? (not started: ESRCH (No such process))"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_arguments_are_read_and_shown_without_a_panic(
        texts in proptest::collection::vec("[-@\"{}\\[\\],=|x0-9aO_RDWR]{0,8}", 0..7),
        ret in prop_oneof![-4096i64..4096, any::<i64>()],
    ) {
        let texts: Vec<_> = texts
            .into_iter()
            // Large buffers take long to make and show nothing more.
            .filter(|text| !text.contains('@') || text.len() < 4)
            .map(OsString::from)
            .collect();
        for entry in syscalls::TABLE {
            if let Ok(invocation) = Invocation::new(entry.name, &texts) {
                let here = invocation.here().unwrap();
                let elsewhere = invocation.elsewhere(&mut Data::new());
                for outcome in Outcome::ALL {
                    let reply = Reply { user_data: 0, ret, outcome: *outcome };
                    let detail = Detail { string: 4, in_full: true };
                    let _ = invocation.show(&reply, &here.memory(), detail);
                    if let Ok(elsewhere) = &elsewhere {
                        let after = elsewhere.after(*outcome == Outcome::Ran, &[b'x'; 10]);
                        let _ = invocation.show(&reply, &memory(&after), detail);
                    }
                }
            }
        }
    }
}
