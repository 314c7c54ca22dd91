// SPDX-License-Identifier: MIT OR Apache-2.0

//! A call in another process acts as that process.

use std::{fs, os::fd::AsRawFd, path::PathBuf, thread, time::Duration};

use nix::{
    sched::{unshare, CloneFlags},
    sys::{signal::Signal, stat::umask},
    unistd::{chdir, setresgid, setresuid, Gid, Uid},
};
use nlcall::raw::{Arg, Batch, CallFlags, Cancel, Chain, Data, Outcome, Session};
use nlcall_tests::{calls, memory::Memory, patience, pipe::Pipe, process::Child, session, threads};

use super::{answering_child, assert_left, call, expect, make, target, value, waiting_child};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_call_acts_as_the_target,
    a_call_has_the_targets_directory_and_mask,
    a_call_has_the_targets_credentials,
    a_call_has_the_files_that_the_target_has_now,
    a_chain_opens_measures_reads_and_closes_there,
    a_blocked_target_goes_on_as_if_nothing_had_been,
    a_spinning_target_is_no_obstacle,
    a_stopped_target_answers_when_it_goes_on,
    a_blocked_call_blocks_neither_target_nor_sender,
    several_targets_of_one_socket_do_not_mix,
    a_target_may_be_this_process,
    a_target_without_its_first_thread_has_others,
    cancel_and_time_limits_reach_a_target,
    a_call_of_a_thread_alone_is_refused_there,
    the_session_of_a_target_is_shown_to_both,
];

fn a_call_acts_as_the_target() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let pid = value(&session, &there, libc::SYS_getpid, &[]);
    assert_eq!(pid as i32, child.pid().as_raw());
    let own = value(&session, &there, libc::SYS_getppid, &[]);
    assert_eq!(own, u64::from(std::process::id()));
    // A descriptor that is made there is there, and nowhere else.
    let before = fs::read_dir(format!("/proc/{}/fd", child.pid()))
        .unwrap()
        .count();
    let fd = value(&session, &there, libc::SYS_epoll_create1, &[0.into()]);
    let link = fs::read_link(format!("/proc/{}/fd/{fd}", child.pid())).unwrap();
    assert_eq!(link, PathBuf::from("anon_inode:[eventpoll]"));
    let after = fs::read_dir(format!("/proc/{}/fd", child.pid()))
        .unwrap()
        .count();
    assert_eq!(after, before + 1);
    // So is memory.
    let args = [0, 4096, 1, 0x22, -1, 0].map(Arg::from);
    let at = value(&session, &there, libc::SYS_mmap, &args);
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.pid())).unwrap();
    assert!(maps.contains(&format!("{at:08x}-")), "{at:x} in {maps}");
    drop(session);
    assert_left(child.pid());
}

fn a_call_has_the_targets_directory_and_mask() {
    let scratch = tempfile::tempdir().expect("a folder");
    let child = Child::fork(|channel| {
        chdir(scratch.path()).expect("chdir");
        umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        channel.put(0);
        channel.try_get();
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let mut data = Data::new();
    let path = data.put_c_str(c"made").address();
    let args = [path, libc::O_CREAT.into(), 0o666.into()];
    let [made] = &make(&session, &there, data, &[call(libc::SYS_open, &args)])[..] else {
        panic!("one completion");
    };
    made.result().expect("it is made");
    let mode = fs::metadata(scratch.path().join("made")).expect("in its directory");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(mode.mode() & 0o777, 0o600);
}

fn a_call_has_the_targets_credentials() {
    let child = Child::fork(|channel| {
        let (user, group) = (Uid::from_raw(1000), Gid::from_raw(1001));
        setresgid(group, group, group).expect("setresgid");
        setresuid(user, user, user).expect("setresuid");
        channel.put(0);
        channel.try_get();
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    assert_eq!(value(&session, &there, libc::SYS_geteuid, &[]), 1000);
    assert_eq!(value(&session, &there, libc::SYS_getegid, &[]), 1001);
    let mut data = Data::new();
    let path = data.put_c_str(c"/etc/shadow").address();
    let open = call(libc::SYS_open, &[path, libc::O_RDONLY.into()]);
    let completions = make(&session, &there, data, &[open]);
    assert_eq!(completions[0].ret, -i64::from(libc::EACCES), "root sent it");
}

/// A worker of an earlier call makes the target one of two that have them, so that it gets its own.
fn a_call_has_the_files_that_the_target_has_now() {
    let pipe = Pipe::new();
    let child = Child::fork(|channel| {
        channel.put(0);
        channel.get();
        unshare(CloneFlags::CLONE_FILES | CloneFlags::CLONE_FS).expect("files of its own");
        let file = rustix::event::eventfd(0, rustix::event::EventfdFlags::empty());
        let file = file.expect("a descriptor");
        chdir("/proc").expect("chdir");
        channel.put(file.as_raw_fd() as u64);
        channel.try_get();
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    value(&session, &there, libc::SYS_getpid, &[]);
    // This one stays where it began.
    let args = [pipe.reader.as_raw_fd().into(), 0.into(), 1.into()];
    let mut batch = Batch::from(call(libc::SYS_read, &args).user_data(77));
    batch.target(&there);
    session.submit(batch).expect("the read is accepted");
    child.channel().put(0);
    let file = child.channel().get();
    let dup = value(&session, &there, libc::SYS_dup, &[file.into()]);
    let link = fs::read_link(format!("/proc/{}/fd/{dup}", child.pid())).expect("it is there");
    assert_eq!(link, PathBuf::from("anon_inode:[eventfd]"));
    let mut data = Data::new();
    let path = data.put_c_str(c"self/stat").address();
    let opened = make(
        &session,
        &there,
        data,
        &[call(libc::SYS_open, &[path, 0.into()])],
    );
    opened[0].result().expect("it is in its directory");
    pipe.fill(b"x");
    assert_eq!(session.wait().expect("a completion").user_data, 77);
}

fn a_chain_opens_measures_reads_and_closes_there() {
    const ST_SIZE: u32 = 48;
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let expected = fs::read("/etc/os-release").unwrap();
    let fds = || {
        fs::read_dir(format!("/proc/{}/fd", child.pid()))
            .unwrap()
            .count()
    };
    let before = fds();

    let mut data = Data::new();
    let path = data.put_c_str(c"/etc/os-release");
    let stat = data.reserve(144);
    let bytes = data.reserve(4096);
    let link = |call: nlcall::raw::Call| call.flags(CallFlags::HARDLINK);
    let mut chain = Chain::new();
    let open = chain.push(link(call(libc::SYS_open, &[path.address(), 0.into()])).user_data(0));
    let measure = call(libc::SYS_fstat, &[open.result(), stat.output()]);
    let measure = chain.push(link(measure).user_data(1));
    let size = measure.load::<i64>(ST_SIZE);
    let read = call(libc::SYS_read, &[open.result(), bytes.output(), size]);
    chain.push(link(read).user_data(2));
    chain.push(call(libc::SYS_close, &[open.result()]).user_data(3));
    let mut batch = Batch::new();
    batch.push_chain(&chain).data(data).target(&there);
    session.submit(batch).expect("the chain is accepted");
    let completions = session::collect(&session, 4);
    assert!(
        completions.values().all(|it| it.ran() && it.ret >= 0),
        "{completions:?}"
    );
    let read = &completions[&2];
    assert_eq!(read.ret as usize, expected.len());
    assert_eq!(read.data()[..expected.len()], expected);
    assert!(read.data()[expected.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(completions[&1].data().len(), 144);
    assert_eq!(fds(), before, "the file is closed there");
    session::assert_all_accounted_for(&session);
}

/// In each of these a task of another process interrupts the target, which must not notice.
fn a_blocked_target_goes_on_as_if_nothing_had_been() {
    let word = Memory::zeroed(4);
    type Block = fn(&Pipe, Memory);
    let blocks: [(&str, Block); 5] = [
        ("read", |pipe, _| {
            let read = calls::plainly(&calls::read(&pipe.reader, Memory::zeroed(1)));
            assert_eq!(read, 1);
        }),
        ("poll", |pipe, _| {
            let fd = pipe.reader.as_raw_fd();
            let poll = Memory::of(&[fd, i32::from(libc::POLLIN)]);
            let args = [poll.into(), 1.into(), (-1).into()];
            assert_eq!(calls::plainly(&calls::call(libc::SYS_poll, &args)), 1);
        }),
        ("nanosleep", |_, _| {
            let sleep = calls::nanosleep(Duration::from_millis(700));
            assert_eq!(calls::plainly(&sleep), 0);
        }),
        ("write", |pipe, _| {
            // More than a pipe holds. What is under way may come back short, as after any signal.
            let mut left = 200_000;
            while left > 0 {
                let written = calls::plainly(&calls::write(&pipe.writer, Memory::zeroed(left)));
                left -= usize::try_from(written).expect("no error");
            }
        }),
        ("write into a full pipe", |pipe, _| {
            let full = calls::plainly(&calls::write(&pipe.writer, Memory::zeroed(1)));
            assert_eq!(full, 1);
        }),
    ];
    for (name, block) in blocks {
        let pipe = Pipe::new();
        if name == "write into a full pipe" {
            pipe.fill(&[0; 65_536]);
        }
        let mut child = Child::fork(|channel| {
            channel.put(0);
            block(&pipe, word);
            channel.put(1);
        });
        child.channel().get();
        patience::until("the child sleeps", || {
            threads::own(child.pid())
                .iter()
                .all(|thread| thread.state == 'S')
        });
        let (session, there) = (Session::open().unwrap(), target(child.pid()));
        for _ in 0..3 {
            let pid = value(&session, &there, libc::SYS_getpid, &[]);
            assert_eq!(pid as i32, child.pid().as_raw(), "{name}");
        }
        drop(session);
        assert_left(child.pid());
        match name {
            "read" | "poll" => pipe.fill(b"x"),
            "write" | "write into a full pipe" => {
                let mut left = if name == "write" { 200_000 } else { 65_537 };
                while left > 0 {
                    let read = calls::plainly(&calls::read(&pipe.reader, Memory::zeroed(4096)));
                    left -= read;
                }
            }
            _ => {}
        }
        expect(child.channel(), 1);
        child.succeed();
    }
}

fn a_spinning_target_is_no_obstacle() {
    let child = Child::fork(|channel| {
        channel.put(0);
        loop {
            std::hint::spin_loop();
        }
    });
    child.channel().get();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let pid = value(&session, &there, libc::SYS_getpid, &[]);
    assert_eq!(pid as i32, child.pid().as_raw());
}

fn a_stopped_target_answers_when_it_goes_on() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    child.stop();
    let mut batch = Batch::from(call(libc::SYS_getpid, &[]));
    batch.target(&there);
    session.submit(batch).expect("it is accepted");
    let early = session.wait_timeout(Duration::from_millis(300)).unwrap();
    assert_eq!(early, None, "the process stands still");
    child.go_on();
    let completion = session.wait().unwrap();
    assert_eq!(completion.ret, i64::from(child.pid().as_raw()));
    // And with workers that are there.
    child.stop();
    let mut batch = Batch::from(call(libc::SYS_getppid, &[]));
    batch.target(&there);
    session.submit(batch).expect("it is accepted");
    child.go_on();
    assert_eq!(session.wait().unwrap().ret, i64::from(std::process::id()));
}

fn a_blocked_call_blocks_neither_target_nor_sender() {
    let pipe = Pipe::new();
    let mut child = answering_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    // The child has the pipe under the same numbers.
    let fd = pipe.reader.as_raw_fd();
    let mut data = Data::new();
    let byte = data.reserve(1);
    let mut batch = Batch::new();
    batch.push(call(libc::SYS_read, &[fd.into(), byte.output(), 1.into()]).user_data(9));
    batch.data(data).target(&there);
    session.submit(batch).expect("it is accepted");
    for _ in 0..20 {
        let mut batch = Batch::from(call(libc::SYS_getpid, &[]));
        batch.target(&there);
        session.submit(batch).expect("it is accepted");
        assert_eq!(session.wait().unwrap().ret, i64::from(child.pid().as_raw()));
    }
    child.channel().put(7);
    expect(child.channel(), 8);
    pipe.fill(b"!");
    let read = session.wait().unwrap();
    assert_eq!((read.user_data, read.ret, read.data()), (9, 1, &b"!"[..]));
    child.signal(Signal::SIGTERM);
    child.wait();
}

fn several_targets_of_one_socket_do_not_mix() {
    let children: Vec<Child> = (0..8).map(|_| waiting_child()).collect();
    let session = Session::open().unwrap();
    for round in 0..4 {
        for (name, child) in (0..).zip(&children) {
            let mut batch = Batch::from(call(libc::SYS_getpid, &[]).user_data(name));
            batch.target(&target(child.pid()));
            session.submit(batch).expect("it is accepted");
        }
        session::submit(&session, 100, [calls::getpid()]);
        let completions = session::collect(&session, children.len() + 1);
        for (name, child) in (0..).zip(&children) {
            let pid = i64::from(child.pid().as_raw());
            assert_eq!(completions[&name].ret, pid, "round {round}");
        }
        assert_eq!(completions[&100].ret, i64::from(std::process::id()));
    }
    drop(session);
    for child in &children {
        assert_left(child.pid());
    }
}

fn a_target_may_be_this_process() {
    let session = Session::open().unwrap();
    let own = target(nix::unistd::getpid());
    let pid = value(&session, &own, libc::SYS_getpid, &[]);
    assert_eq!(pid, u64::from(std::process::id()));
    session::assert_all_accounted_for(&session);
}

fn a_target_without_its_first_thread_has_others() {
    let child = Child::fork(|channel| {
        let second = thread::spawn({
            let channel = channel as *const _ as usize;
            move || {
                // SAFETY: the thread that has it ends without leaving this function.
                let channel = unsafe { &*(channel as *const nlcall_tests::process::Channel) };
                channel.put(0);
                channel.try_get();
                nlcall_tests::process::exit_now(0);
            }
        });
        std::mem::forget(second);
        nlcall_tests::process::end_this_thread(0);
    });
    child.channel().get();
    patience::until("the first thread has ended", || {
        threads::own(child.pid())
            .iter()
            .any(|thread| thread.state == 'Z')
    });
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let pid = value(&session, &there, libc::SYS_getpid, &[]);
    assert_eq!(pid as i32, child.pid().as_raw());
}

fn cancel_and_time_limits_reach_a_target() {
    let pipe = Pipe::new();
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    let fd = pipe.reader.as_raw_fd();
    let mut data = Data::new();
    let byte = data.reserve(1);
    let read = call(libc::SYS_read, &[fd.into(), byte.address(), 1.into()]);
    let mut batch = Batch::new();
    batch.push(read.clone().user_data(5));
    batch.push(read.user_data(6).timeout(Duration::from_millis(50)));
    batch.data(data).target(&there);
    session.submit(batch).expect("it is accepted");
    let late = session.wait().unwrap();
    assert_eq!(
        (late.user_data, late.outcome),
        (6, Outcome::TimedOut),
        "{late:?}"
    );
    patience::until("the other one blocks", || {
        session::all().iter().any(|info| info.blocked == 1)
    });
    let found = session.cancel(Cancel::UserData(5)).unwrap();
    assert_eq!((found.canceled, found.interrupted), (0, 1));
    let canceled = session.wait().unwrap();
    assert_eq!(canceled.user_data, 5);
    assert_eq!(canceled.outcome, Outcome::Interrupted, "{canceled:?}");
    session::assert_all_accounted_for(&session);
}

fn a_call_of_a_thread_alone_is_refused_there() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    for nr in [libc::SYS_fork, libc::SYS_execve, libc::SYS_setuid] {
        let mut batch = Batch::from(call(nr, &[]));
        batch.target(&there);
        let error = session
            .submit(batch)
            .expect_err("a worker does not make it");
        assert!(error.error.to_string().contains("INLINE"), "{error:?}");
    }
    let mut batch = Batch::from(call(libc::SYS_getpid, &[]).flags(CallFlags::INLINE));
    batch.target(&there);
    let error = session
        .submit(batch)
        .expect_err("INLINE is for this process");
    assert!(
        error.error.to_string().contains("TARGET_PIDFD"),
        "{error:?}"
    );
}

fn the_session_of_a_target_is_shown_to_both() {
    let child = waiting_child();
    let (session, there) = (Session::open().unwrap(), target(child.pid()));
    value(&session, &there, libc::SYS_getpid, &[]);
    let pid = child.pid().as_raw() as u32;
    let all = session.sessions().unwrap();
    let shown: Vec<_> = all.iter().filter(|it| it.pid == pid).collect();
    let [shown] = &shown[..] else {
        panic!("one session in the child: {all:?}");
    };
    assert_eq!(shown.target_of, Some(std::process::id()));
    assert_eq!((shown.port_id, shown.accepted), (session.port_id(), 1));
}
