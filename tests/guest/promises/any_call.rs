// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any call that may run runs, and does what it does when a thread of the process makes it.

use std::{
    env,
    ffi::CStr,
    fs::{self, File},
    io::{Read, Write},
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

use nix::sys::{
    signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
    wait::WaitStatus,
};
use nlcall::raw::{Call, Session, Verdict};
use nlcall_tests::{
    calls::{self, call, Arg},
    memory::Memory,
    patience,
    pipe::Pipe,
    process::{exit_now, Child},
    session::{self, error, value},
};

use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    every_call_that_may_run_answers_as_a_plain_one,
    ids_are_those_of_the_process,
    an_opened_file_is_the_processs,
    files_are_read_and_written,
    the_file_system_is_the_same,
    memory_is_the_processs,
    descriptors_are_made_and_closed,
    processes_are_signalled_and_waited_for,
    calls_wait_and_are_woken,
    sockets_work,
    a_closed_file_is_closed_at_once,
];

fn open() -> Session {
    Session::open().expect("a session")
}

/// A descriptor that a call made.
fn owned(fd: u64) -> OwnedFd {
    // SAFETY: the call just made this descriptor, for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn openat(path: &str, flags: i32) -> Call {
    let path = Memory::string(path);
    call(
        libc::SYS_openat,
        &[
            libc::AT_FDCWD.into(),
            path.into(),
            flags.into(),
            0o600.into(),
        ],
    )
}

/// What a plain system call gives with the same arguments.
fn plain(call: &Call) -> Result<u64, i32> {
    let call = call.as_abi();
    let [a, b, c, d, e, f] = call.args;
    // SAFETY: the arguments are those of a call that was just submitted.
    let ret = unsafe { libc::syscall(call.nr.into(), a, b, c, d, e, f) };
    if ret == -1 {
        Err(std::io::Error::last_os_error()
            .raw_os_error()
            .expect("an error number"))
    } else {
        Ok(ret as u64)
    }
}

/// With arguments that make sense to hardly any call, each ends at once, and as it does plainly.
fn every_call_that_may_run_answers_as_a_plain_one() {
    // With these arguments it makes a message queue, which the next one then finds.
    const SKIPPED: &[&str] = &["msgget"];
    // What these may not have on a worker: the argument, and the bits of it.
    const WITHOUT: &[(&str, usize, u64)] = &[
        ("ppoll", 3, u64::MAX),
        ("pselect6", 5, u64::MAX),
        ("epoll_pwait", 4, u64::MAX),
        ("epoll_pwait2", 4, u64::MAX),
        ("io_pgetevents", 5, u64::MAX),
        ("close_range", 2, libc::CLOSE_RANGE_UNSHARE as u64),
        ("pidfd_send_signal", 2, u64::MAX),
        ("wait4", 2, libc::__WNOTHREAD as u64),
        ("waitid", 3, libc::__WNOTHREAD as u64),
        // All but LSM_ATTR_CURRENT.
        ("lsm_get_self_attr", 0, !100),
    ];

    let session = open();
    let mut count = 0;
    for entry in session.syscalls().expect("SYSCALL_GET is answered") {
        let runs = matches!(entry.verdict, Verdict::Both | Verdict::Differs);
        if !runs || SKIPPED.contains(&entry.name.as_str()) {
            continue;
        }
        let mut arguments = [u64::MAX; 6];
        for (_, argument, bits) in WITHOUT.iter().filter(|it| it.0 == entry.name) {
            arguments[*argument] &= !bits;
        }
        let call = call(entry.nr.into(), &arguments.map(Arg::wild));
        let completion = session::run(&session, call.clone());
        assert!(completion.ran(), "{}: {completion:?}", entry.name);
        let ours = completion.result().map_err(|errno| errno.raw());
        let plain = plain(&call);
        match (ours, plain) {
            // Values are looked at below: descriptors and the like are others each time.
            (Ok(_), Ok(_)) => {}
            (ours, plain) => assert_eq!(ours, plain, "{}", entry.name),
        }
        count += 1;
    }
    assert!(count > 250, "only {count} calls may run");
    session::assert_all_accounted_for(&session);
}

fn ids_are_those_of_the_process() {
    let session = open();
    for nr in [
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getpgrp,
    ] {
        let call = call(nr, &[]);
        assert_eq!(
            value(&session, call.clone()),
            plain(&call).expect("it works"),
            "call {nr}"
        );
    }
    let tid = value(&session, call(libc::SYS_gettid, &[]));
    assert_ne!(
        tid,
        u64::from(std::process::id()),
        "gettid is the worker's, as documented"
    );
}

fn an_opened_file_is_the_processs() {
    let session = open();
    fs::write("greeting", "hello").expect("a file");
    let mut file = File::from(owned(value(&session, openat("greeting", libc::O_RDONLY))));
    let mut text = String::new();
    file.read_to_string(&mut text).expect("a plain read");
    assert_eq!(text, "hello");

    // And the other way round.
    let file = OwnedFd::from(File::open("greeting").expect("a plain open"));
    let memory = Memory::zeroed(5);
    assert_eq!(value(&session, calls::read(&file, memory)), 5);
    assert_eq!(memory.get(), b"hello");
    assert_eq!(
        value(&session, calls::read(&file, memory)),
        0,
        "the position is shared"
    );
}

fn files_are_read_and_written() {
    let session = open();
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let file = owned(value(&session, openat("data", flags)));
    assert_eq!(
        value(
            &session,
            calls::write(&file, Memory::holding(b"0123456789"))
        ),
        10
    );
    assert_eq!(fs::read("data").expect("a plain read"), b"0123456789");

    let memory = Memory::zeroed(4);
    let pread = [(&file).into(), memory.into(), memory.len().into(), 3.into()];
    assert_eq!(value(&session, call(libc::SYS_pread64, &pread)), 4);
    assert_eq!(memory.get(), b"3456");

    let memory = Memory::holding(b"xy");
    let pwrite = [(&file).into(), memory.into(), memory.len().into(), 8.into()];
    assert_eq!(value(&session, call(libc::SYS_pwrite64, &pwrite)), 2);
    assert_eq!(
        value(
            &session,
            call(libc::SYS_ftruncate, &[(&file).into(), 9.into()])
        ),
        0
    );
    assert_eq!(fs::read("data").expect("a plain read"), b"01234567x");

    let (a, b) = (Memory::zeroed(2), Memory::zeroed(3));
    let vector = Memory::of(&[a.address(), 2, b.address(), 3]);
    let args = [(&file).into(), vector.into(), 2.into(), 1.into()];
    assert_eq!(value(&session, call(libc::SYS_preadv, &args)), 5);
    assert_eq!((a.get(), b.get()), (b"12".to_vec(), b"345".to_vec()));
    assert_eq!(value(&session, call(libc::SYS_fsync, &[(&file).into()])), 0);
}

fn the_file_system_is_the_same() {
    let session = open();
    let name = Memory::string("folder");
    let mkdirat = [libc::AT_FDCWD.into(), name.into(), 0o755.into()];
    assert_eq!(value(&session, call(libc::SYS_mkdirat, &mkdirat)), 0);
    assert!(Path::new("folder").is_dir());

    // The working directory is the process's.
    assert_eq!(value(&session, call(libc::SYS_chdir, &[name.into()])), 0);
    assert!(env::current_dir()
        .expect("a plain getcwd")
        .ends_with("folder"));
    env::set_current_dir("..").expect("a plain chdir");
    let memory = Memory::zeroed(4096);
    value(
        &session,
        call(libc::SYS_getcwd, &[memory.into(), memory.len().into()]),
    );
    assert_eq!(
        Path::new(&memory.text()),
        env::current_dir().expect("a plain getcwd")
    );

    // So is the mask of new files' modes.
    let umask = |mask: u32| call(libc::SYS_umask, &[mask.into()]);
    value(&session, umask(0o027));
    assert_eq!(plain(&umask(0o077)), Ok(0o027));
    assert_eq!(value(&session, umask(0o022)), 0o077);

    // A statx of the same file gives the same bytes.
    let path = Memory::string("/etc/hostname");
    let [ours, theirs] = [(); 2].map(|()| Memory::zeroed(256));
    let statx = |memory: Memory| {
        let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        let args = [
            libc::AT_FDCWD.into(),
            path.into(),
            0.into(),
            mask.into(),
            memory.into(),
        ];
        call(libc::SYS_statx, &args)
    };
    assert_eq!(value(&session, statx(ours)), 0);
    assert_eq!(plain(&statx(theirs)), Ok(0));
    assert_eq!(ours.get(), theirs.get());

    let to = Memory::string("renamed");
    let renameat2 = [
        libc::AT_FDCWD.into(),
        name.into(),
        libc::AT_FDCWD.into(),
        to.into(),
        0.into(),
    ];
    assert_eq!(value(&session, call(libc::SYS_renameat2, &renameat2)), 0);
    let unlinkat = [libc::AT_FDCWD.into(), to.into(), libc::AT_REMOVEDIR.into()];
    assert_eq!(value(&session, call(libc::SYS_unlinkat, &unlinkat)), 0);
    assert!(!Path::new("renamed").exists());
}

fn memory_is_the_processs() {
    let session = open();
    let len = 1 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let mmap = [
        0.into(),
        len.into(),
        protection.into(),
        flags.into(),
        (-1).into(),
        0.into(),
    ];
    let address = value(&session, call(libc::SYS_mmap, &mmap));
    let mapping = || {
        let maps = fs::read_to_string("/proc/self/maps").expect("the memory map");
        let inside = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            let from = u64::from_str_radix(from, 16).ok()?;
            let to = u64::from_str_radix(to, 16).ok()?;
            Some((from..to).contains(&address))
        };
        maps.lines().any(|line| inside(line) == Some(true))
    };
    assert!(mapping());
    // SAFETY: the kernel just mapped a mebibyte there, for reading and writing.
    let bytes = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, len) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    bytes.fill(7);
    assert_eq!(
        value(
            &session,
            call(libc::SYS_munmap, &[Arg::mapped(address), len.into()])
        ),
        0
    );
    assert!(!mapping());
}

fn descriptors_are_made_and_closed() {
    let session = open();
    let fds = Memory::zeroed(8);
    assert_eq!(
        value(
            &session,
            call(libc::SYS_pipe2, &[fds.into(), libc::O_CLOEXEC.into()])
        ),
        0
    );
    let [reader, writer] = fds.get_as::<[i32; 2]>().map(|fd| owned(fd as u64));
    File::from(writer)
        .write_all(b"through")
        .expect("a plain write");
    let copy = owned(value(&session, call(libc::SYS_dup, &[(&reader).into()])));
    drop(reader);
    let memory = Memory::zeroed(7);
    assert_eq!(value(&session, calls::read(&copy, memory)), 7);
    assert_eq!(memory.get(), b"through");

    let number = copy.into_raw_fd();
    assert_eq!(value(&session, calls::close(number)), 0);
    assert!(!Path::new(&format!("/proc/self/fd/{number}")).exists());
    assert_eq!(error(&session, calls::close(number)).raw(), libc::EBADF);
}

fn processes_are_signalled_and_waited_for() {
    let session = open();
    let child = Child::fork(|channel| {
        channel.get();
    });
    let pid = child.pid().as_raw();
    assert_eq!(
        value(
            &session,
            call(libc::SYS_kill, &[pid.into(), libc::SIGTERM.into()])
        ),
        0
    );
    let status = Memory::zeroed(4);
    let wait4 = [pid.into(), status.into(), 0.into(), 0.into()];
    assert_eq!(value(&session, call(libc::SYS_wait4, &wait4)), pid as u64);
    let status = WaitStatus::from_raw(child.pid(), status.get_as()).expect("a status");
    assert_eq!(
        status,
        WaitStatus::Signaled(child.pid(), Signal::SIGTERM, false)
    );
    child.was_reaped();

    // A signal to the process reaches a thread of its own.
    extern "C" fn end_well(_: i32) {
        exit_now(0);
    }
    let mut child = Child::fork(|channel| {
        let action = SigAction::new(
            SigHandler::Handler(end_well),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler ends the process and does nothing else.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a signal handler");
        let session = open();
        let pid = std::process::id();
        let kill = call(libc::SYS_kill, &[pid.into(), libc::SIGUSR1.into()]);
        session.submit(kill.into()).expect("accepted");
        channel.get();
    });
    child.succeed();
}

fn calls_wait_and_are_woken() {
    let session = open();
    let clock = Memory::zeroed(16);
    let args = [libc::CLOCK_MONOTONIC.into(), clock.into()];
    let clock_gettime = call(libc::SYS_clock_gettime, &args);
    let mut readings = Vec::new();
    for ours in [false, true, false] {
        let result = if ours {
            value(&session, clock_gettime.clone())
        } else {
            plain(&clock_gettime).expect("it works")
        };
        assert_eq!(result, 0);
        readings.push(clock.get_as::<[u64; 2]>());
    }
    assert!(readings.is_sorted(), "the same clock: {readings:?}");

    assert_eq!(
        value(&session, calls::nanosleep(Duration::from_millis(20))),
        0
    );
    let never = Memory::of(&[0_u64, u64::MAX]);
    let nanosleep = call(libc::SYS_nanosleep, &[never.into(), 0.into()]);
    assert_eq!(error(&session, nanosleep).raw(), libc::EINVAL);

    let word = Memory::zeroed(4);
    assert_eq!(
        error(&session, calls::futex_wait(word, 1)).raw(),
        libc::EAGAIN
    );
    session::submit(&session, 0, [calls::futex_wait(word, 0)]);
    session::info_until(&session, "the waiter sleeps", |info| info.blocked == 1);
    assert_eq!(plain(&calls::futex_wake(word, 1)), Ok(1));
    assert_eq!(session.wait().expect("it was woken").ret, 0);

    let random = Memory::zeroed(32);
    let getrandom = [random.into(), random.len().into(), 0.into()];
    assert_eq!(value(&session, call(libc::SYS_getrandom, &getrandom)), 32);
    assert_ne!(random.get(), [0; 32]);

    let name = Memory::zeroed(6 * 65);
    assert_eq!(value(&session, call(libc::SYS_uname, &[name.into()])), 0);
    let name = name.get();
    let release = CStr::from_bytes_until_nul(&name[2 * 65..]).expect("a NUL");
    assert_eq!(release, rustix::system::uname().release());
}

fn sockets_work() {
    let session = open();
    let fds = Memory::zeroed(8);
    let stream = [libc::AF_UNIX, libc::SOCK_STREAM, 0].map(Arg::from);
    let socketpair = [stream[0], stream[1], stream[2], fds.into()];
    assert_eq!(value(&session, call(libc::SYS_socketpair, &socketpair)), 0);
    let [a, b] = fds.get_as::<[i32; 2]>().map(|fd| owned(fd as u64));
    let memory = Memory::zeroed(5);
    let recvfrom = [
        (&a).into(),
        memory.into(),
        memory.len().into(),
        libc::MSG_WAITALL.into(),
    ];
    session::submit(&session, 0, [call(libc::SYS_recvfrom, &recvfrom)]);
    let hello = Memory::holding(b"hello");
    let sendto = [(&b).into(), hello.into(), hello.len().into()];
    session::submit(&session, 1, [call(libc::SYS_sendto, &sendto)]);
    let completions = session::collect(&session, 2);
    assert!(
        completions.values().all(|it| it.ret == 5),
        "{completions:?}"
    );
    assert_eq!(memory.get(), b"hello");
}

/// The end of a file comes with the last close, not with the worker's next rest.
fn a_closed_file_is_closed_at_once() {
    let session = open();
    let Pipe { reader, writer } = Pipe::new();
    // More descriptors of the reading end do not matter, one of the writing end would.
    let copy = owned(value(&session, call(libc::SYS_dup, &[(&writer).into()])));
    drop(writer);
    let number = copy.into_raw_fd();
    let memory = Memory::zeroed(1);
    session::submit(&session, 0, [calls::read(&reader, memory)]);
    session::info_until(&session, "the read blocks", |info| info.blocked == 1);
    session::submit(&session, 1, [calls::close(number)]);
    let completions = session::collect(&session, 2);
    assert!(
        completions.values().all(|it| it.ret == 0),
        "{completions:?}"
    );

    // dup2 over a descriptor closes what was there.
    let Pipe { reader, writer } = Pipe::new();
    let other = File::open("/dev/null").expect("/dev/null");
    let dup2 = [other.as_raw_fd().into(), (&writer).into()];
    value(&session, call(libc::SYS_dup2, &dup2));
    patience::until("the pipe has no writer", || {
        rustix::io::read(&reader, &mut [0; 1]) == Ok(0)
    });
}
