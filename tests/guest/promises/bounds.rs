// SPDX-License-Identifier: MIT OR Apache-2.0

//! What bounds a process bounds the calls that workers make for it.

use std::{
    fs,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use nix::sys::{
    resource::{setrlimit, Resource},
    signal::Signal,
    wait::WaitStatus,
};
use nlcall::raw::{Call, Cancel, Session};
use nlcall_tests::{
    calls::{self, call},
    group::Group,
    memory::Memory,
    pipe::Pipe,
    process::{in_a_child, Child},
    seccomp::gain_no_privileges,
    session::{self, error, value},
    socket::RawSocket,
    threads,
};

use crate::harness::{skip, tests, Test};

pub const TESTS: &[Test] = tests![
    files_are_counted,
    time_is_counted,
    threads_are_counted,
    a_root_is_the_processs,
    a_landlock_domain_holds,
    a_landlock_domain_of_all_threads_comes_while_a_call_blocks,
    a_port_id_that_is_used_anew_gets_nothing,
];

fn open(path: &str) -> Call {
    let path = Memory::string(path);
    call(
        libc::SYS_openat,
        &[libc::AT_FDCWD.into(), path.into(), 0.into()],
    )
}

/// As many descriptors as the process may have, whoever makes them.
fn files_are_counted() {
    const MOST: u64 = 64;

    in_a_child(|| {
        let session = Session::open().expect("a session");
        value(&session, calls::getpid());
        setrlimit(Resource::RLIMIT_NOFILE, MOST, MOST).expect("RLIMIT_NOFILE");
        let mut counts = Vec::new();
        for by_worker in [false, true] {
            let mut files = Vec::new();
            let last = loop {
                let ret = match by_worker {
                    false => calls::plainly(&open("/dev/null")),
                    true => session::run(&session, open("/dev/null")).ret,
                };
                if ret < 0 {
                    break ret;
                }
                // SAFETY: the call just made this descriptor, for us.
                files.push(unsafe { OwnedFd::from_raw_fd(ret as i32) });
            };
            assert_eq!(last, -i64::from(libc::EMFILE), "by a worker: {by_worker}");
            counts.push(files.len());
        }
        assert!(counts[0] > 0 && counts[0] == counts[1], "{counts:?}");
    });
}

/// A worker's time is its process's: that ends when it has used too much of it.
fn time_is_counted() {
    let mut child = Child::fork(|_| {
        setrlimit(Resource::RLIMIT_CPU, 1, 60).expect("RLIMIT_CPU");
        let session = Session::open().expect("a session");
        let memory = Memory::zeroed(1 << 20);
        let random = call(
            libc::SYS_getrandom,
            &[memory.into(), memory.len().into(), 0.into()],
        );
        loop {
            let count = session::submit(&session, 0, vec![random.clone(); 8]);
            session::collect(&session, count);
        }
    });
    let status = child.wait();
    let by_limit = matches!(status, WaitStatus::Signaled(_, Signal::SIGXCPU, _));
    assert!(by_limit, "{status:?}");
}

/// Workers are processes of the control group, as threads are.
fn threads_are_counted() {
    let group = Group::new()
        .unwrap_or_else(|error| skip(&format!("this guest has no control groups: {error}")));
    let mut child = Child::fork(|channel| {
        group.enter();
        let session = Session::open().expect("a session");
        let pipe = Pipe::new();
        let count = session::submit(&session, 0, (0..9).map(|_| pipe.read_call()));
        session::info_until(&session, "nine reads block", |info| info.blocked == 9);
        channel.put(0);
        channel.get();
        pipe.fill(&[0; 9]);
        session::collect(&session, count);
    });
    child.channel().get();
    let workers = threads::workers(child.pid()).len();
    assert!(workers >= 9, "{workers}");
    assert_eq!(group.threads(), 1 + workers);
    child.channel().put(0);
    child.succeed();
}

fn a_root_is_the_processs() {
    fs::create_dir("inside").expect("a folder");
    fs::write("inside/file", "inside").expect("a file");
    in_a_child(|| {
        let session = Session::open().expect("a session");
        assert_eq!(error(&session, open("/file")).raw(), libc::ENOENT);
        nix::unistd::chroot("inside").expect("another root");
        value(&session, open("/file"));
        assert_eq!(error(&session, open("/dev/null")).raw(), libc::ENOENT);
    });
    in_a_child(|| {
        let session = Session::open().expect("a session");
        let inside = Memory::string("inside");
        assert_eq!(value(&session, call(libc::SYS_chroot, &[inside.into()])), 0);
        assert_eq!(fs::read("/file").expect("a plain read"), b"inside");
    });
}

/// Forbids this thread to read any file from here on, or with `TSYNC` all of the process; `false`:
/// the kernel has no Landlock.
fn forbid_reading(flags: u32) -> bool {
    /// `LANDLOCK_ACCESS_FS_READ_FILE` of `include/uapi/linux/landlock.h`.
    const READ_FILE: u64 = 1 << 2;

    gain_no_privileges();
    let rules = READ_FILE;
    // SAFETY: the structure is as long as is said; later fields of it are zero.
    let domain = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const rules,
            size_of_val(&rules),
            0,
        )
    };
    if domain < 0 {
        return false;
    }
    // SAFETY: the call takes no pointers.
    let set = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, domain, flags) };
    assert_eq!(set, 0, "a Landlock domain");
    true
}

fn a_landlock_domain_holds() {
    fs::write("file", "text").expect("a file");
    let mut child = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        // There are workers from before.
        value(&session, open("file"));
        let is_there = forbid_reading(0);
        channel.put(is_there.into());
        if is_there {
            assert_eq!(calls::plainly(&open("file")), -i64::from(libc::EACCES));
            assert_eq!(error(&session, open("file")).raw(), libc::EACCES);
            let inline = &session::run_inline(&session, [open("file")])[0];
            assert_eq!(inline.ret, -i64::from(libc::EACCES));
        }
    });
    let is_there = child.channel().get() != 0;
    child.succeed();
    if !is_there {
        skip("this kernel has no Landlock");
    }
}

/// The kernel has each thread take new credentials, on its way to user mode, which is where a worker
/// closes a file, too: here the one that it reads, and that nobody else has by then.
fn a_landlock_domain_of_all_threads_comes_while_a_call_blocks() {
    /// `LANDLOCK_RESTRICT_SELF_TSYNC`.
    const TSYNC: u32 = 1 << 3;

    fs::write("file", "text").expect("a file");
    let mut child = Child::fork(|channel| {
        let session = Session::open().expect("a session");
        let (read, _write) = rustix::pipe::pipe().expect("a pipe");
        let buffer = Memory::zeroed(1);
        let call = calls::read(read.as_raw_fd(), buffer).user_data(7);
        session.submit(call.into()).expect("it is accepted");
        session::info_until(&session, "the read blocks", |it| it.blocked == 1);
        drop(read);
        let is_there = forbid_reading(TSYNC);
        channel.put(is_there.into());
        if is_there {
            session.cancel(Cancel::All).expect("it is cancelled");
            assert_eq!(session.wait().expect("a completion").user_data, 7);
            assert_eq!(error(&session, open("file")).raw(), libc::EACCES);
        }
    });
    let is_there = child.channel().get() != 0;
    child.succeed();
    if !is_there {
        skip("this kernel has no Landlock");
    }
}

/// The completions of a socket that is gone go to nobody, whoever has its port id by then.
fn a_port_id_that_is_used_anew_gets_nothing() {
    let mut heir = Child::fork(|channel| {
        let port_id = channel.get();
        let mut own = Socket::new(NETLINK_GENERIC).expect("a socket");
        own.bind(&SocketAddr::new(port_id as u32, 0))
            .expect("the port id is free");
        channel.put(0);
        channel.get();
        let mut byte = [0; 1];
        // SAFETY: the buffer is as long as is said.
        let got = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recv(own.as_raw_fd(), byte.as_mut_ptr().cast(), byte.len(), flags)
        };
        let errno = std::io::Error::last_os_error().raw_os_error();
        assert_eq!((got, errno), (-1, Some(libc::EAGAIN)));
    });
    let mut socket = RawSocket::open();
    let pipe = Pipe::new();
    let reads = (0..20).map(|_| pipe.read_call());
    socket.accept(reads);
    let port_id = socket.port_id();
    drop(socket);
    heir.channel().put(port_id.into());
    heir.channel().get();
    pipe.fill(&[0; 20]);
    session::assert_gone(port_id);
    heir.channel().put(0);
    heir.succeed();
}
