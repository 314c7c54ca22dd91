// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall redirect`: the output of a running program moves, and nothing of it is lost.

use std::{
    env, fs,
    fs::File,
    io::Read,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sys::prctl,
    unistd::{dup2_stdout, setresgid, setresuid, Gid, Uid},
};
use nlcall_tests::{
    patience,
    pipe::Pipe,
    process::{Channel, Child},
};

use rustix::io::ioctl_fionread;

use super::{descriptors, ends, ends_as, is_inside, target, text, OTHER, USER};
use crate::harness::{tests, Test};

pub const TESTS: &[Test] = tests![
    a_busy_program_loses_no_line,
    a_write_that_is_blocked_loses_nothing,
    a_program_in_nanosleep_sleeps_on,
    a_program_in_epoll_wait_waits_on,
    threads_are_redirected_together,
    files_are_emptied_or_appended_to,
    a_relative_file_is_the_operators,
    input_is_replaced_too,
    both_outputs_share_a_file,
    nothing_changes_where_a_file_cannot_be_opened,
    a_closed_descriptor_is_none_to_replace,
    another_users_program_is_refused,
    a_program_of_the_same_user_is_redirected,
    a_program_that_has_ended_is_said_to_be_none,
];

/// The program's outputs, one after the other.
const OUTPUTS: usize = 8;
/// A program ends when it finds this file.
const STOP: &str = "stop";

fn output(number: usize) -> PathBuf {
    PathBuf::from(format!("output-{number}"))
}

/// Makes a new file the standard output of this process.
fn print_to(path: impl AsRef<Path>) {
    dup2_stdout(File::create(path).expect("a new file")).expect("dup2");
}

/// Prints a line with one plain write, which nothing may interrupt.
fn print(line: &str) {
    let line = format!("{line}\n");
    // SAFETY: the bytes are those of the line.
    let written = unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    assert_eq!(
        written,
        line.len() as isize,
        "{}",
        std::io::Error::last_os_error()
    );
}

/// Prints numbered lines until it is told to stop.
fn chatter(prefix: &str) {
    for number in 0.. {
        print(&format!("{prefix}{number}"));
        if number % 64 == 0 && Path::new(STOP).exists() {
            return;
        }
        thread::yield_now();
    }
}

fn redirect(child: &Child, to: &Path) {
    let before = target(child.pid(), 1).expect("it has an output");
    let to = env::current_dir().expect("a folder").join(to);
    let to = to.to_str().expect("UTF-8");
    let (printed, complained) = ends(&["redirect", "--stdout", to], child, 0);
    assert_eq!(printed, format!("1: {before} -> {to}\n"));
    assert_eq!(complained, "");
    assert_eq!(target(child.pid(), 1).as_deref(), Some(to));
}

/// The numbers behind a prefix, in the order in which they were printed.
fn numbers(outputs: &[String], prefix: &str) -> Vec<usize> {
    let lines = outputs.iter().flat_map(|output| output.lines());
    let numbers = lines.filter_map(|line| line.strip_prefix(prefix)?.parse().ok());
    numbers.collect()
}

fn assert_complete(outputs: &[String], prefix: &str) {
    let numbers = numbers(outputs, prefix);
    let expected: Vec<_> = (0..numbers.len()).collect();
    assert!(!numbers.is_empty() && numbers == expected, "{numbers:?}");
}

fn a_busy_program_loses_no_line() {
    let mut child = Child::fork(|parent| {
        print_to(output(0));
        parent.put(0);
        chatter("");
    });
    child.channel().get();
    let before = descriptors(child.pid());
    for number in 1..OUTPUTS {
        patience::until("the program prints", || {
            !text(output(number - 1)).is_empty()
        });
        redirect(&child, &output(number));
    }
    let last = output(OUTPUTS - 1);
    patience::until("it prints to the last file", || !text(&last).is_empty());
    assert_eq!(descriptors(child.pid()), before, "nothing is left open");
    fs::write(STOP, "").expect("a file");
    child.succeed();
    let outputs: Vec<_> = (0..OUTPUTS).map(|number| text(output(number))).collect();
    assert!(
        outputs.iter().all(|output| output.ends_with('\n')),
        "whole lines"
    );
    assert_complete(&outputs, "");
}

fn a_write_that_is_blocked_loses_nothing() {
    let pipe = Pipe::new();
    let reader = pipe.reader.as_raw_fd();
    let mut child = Child::fork(|_| {
        dup2_stdout(&pipe.writer).expect("dup2");
        for fd in [reader, pipe.writer.as_raw_fd()] {
            // SAFETY: this process's copies, which it does not use any more.
            unsafe { libc::close(fd) };
        }
        chatter("");
    });
    drop(pipe.writer);
    // More than is left when it has no room for a page.
    patience::until("the pipe is full", || {
        let filled = ioctl_fionread(&pipe.reader).expect("FIONREAD");
        filled > 61440 && is_inside(child.pid(), &[libc::SYS_write])
    });
    redirect(&child, &output(1));
    // The write goes on where it began, or begins again with the new file, and no byte of it is in both.
    // The program has no other copy of the pipe, so that this ends with it.
    let mut piped = String::new();
    let mut reader = File::from(pipe.reader);
    reader.read_to_string(&mut piped).expect("text");
    patience::until("it prints to the file", || !text(output(1)).is_empty());
    fs::write(STOP, "").expect("a file");
    child.succeed();
    assert!(piped.ends_with('\n'), "a whole line");
    assert_complete(&[piped, text(output(1))], "");
}

fn a_program_in_nanosleep_sleeps_on() {
    let mut child = Child::fork(|parent| {
        print_to(output(0));
        while let seconds @ 1.. = parent.get() {
            let time = [seconds, 0];
            // SAFETY: the time is a local variable.
            let ret = unsafe { libc::syscall(libc::SYS_nanosleep, time.as_ptr(), 0) };
            assert_eq!(ret, 0, "nothing interrupts it");
            print(&format!("{seconds}"));
            parent.put(seconds);
        }
    });
    // Where a wait goes on, it is called by its other name.
    let asleep = [libc::SYS_nanosleep, libc::SYS_restart_syscall];
    let mut seconds = 1;
    loop {
        child.channel().put(seconds);
        patience::until("it sleeps", || is_inside(child.pid(), &asleep));
        redirect(&child, &output(1));
        let slept_on = is_inside(child.pid(), &asleep);
        child.channel().get();
        if slept_on {
            break;
        }
        // It was over before the command was.
        seconds *= 2;
    }
    child.channel().put(0);
    child.succeed();
    assert_eq!(text(output(1)), format!("{seconds}\n"));
}

/// Waits for input with `epoll_wait`. The kernel never restarts that, so that every program which may
/// be stopped and continued calls it again after EINTR.
fn wait_for_input(fd: RawFd) {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 7,
    };
    // SAFETY: the events are local variables.
    unsafe {
        let set = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        assert_eq!(libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &mut event), 0);
        let ready = loop {
            let ready = libc::epoll_wait(set, events.as_mut_ptr(), 2, -1);
            let error = std::io::Error::last_os_error();
            if ready >= 0 || error.kind() != std::io::ErrorKind::Interrupted {
                break ready;
            }
        };
        assert_eq!(ready, 1, "{}", std::io::Error::last_os_error());
        libc::close(set);
    }
}

fn a_program_in_epoll_wait_waits_on() {
    let pipe = Pipe::new();
    let reader = pipe.reader.as_raw_fd();
    let mut child = Child::fork(|parent| {
        print_to(output(0));
        parent.put(0);
        wait_for_input(reader);
        print("awake");
    });
    child.channel().get();
    let wait = [libc::SYS_epoll_wait];
    patience::until("it waits", || is_inside(child.pid(), &wait));
    for number in 1..OUTPUTS {
        redirect(&child, &output(number));
        patience::until("it waits on", || is_inside(child.pid(), &wait));
    }
    pipe.fill(b"x");
    child.succeed();
    assert_eq!(text(output(OUTPUTS - 1)), "awake\n");
    assert_eq!(text(output(0)), "");
}

fn threads_are_redirected_together() {
    const WRITERS: usize = 3;

    let pipes = Pipe::several(2);
    let [waited, read] = [&pipes[0], &pipes[1]].map(|pipe| pipe.reader.as_raw_fd());
    let mut child = Child::fork(|parent| {
        print_to(output(0));
        let writers =
            (0..WRITERS).map(|writer| thread::spawn(move || chatter(&format!("{writer} "))));
        let writers: Vec<_> = writers.collect();
        let waiter = thread::spawn(move || {
            wait_for_input(waited);
            print("awake");
        });
        let reader = thread::spawn(move || {
            let mut byte = 0u8;
            // SAFETY: the byte is a local variable.
            let read = unsafe { libc::read(read, (&raw mut byte).cast(), 1) };
            assert_eq!(read, 1, "nothing interrupts it");
        });
        parent.put(0);
        for thread in writers.into_iter().chain([waiter, reader]) {
            thread.join().expect("no panic");
        }
    });
    child.channel().get();
    for number in 1..OUTPUTS {
        patience::until("the program prints", || {
            !text(output(number - 1)).is_empty()
        });
        redirect(&child, &output(number));
    }
    fs::write(STOP, "").expect("a file");
    pipes.iter().for_each(|pipe| pipe.fill(b"x"));
    child.succeed();
    let outputs: Vec<_> = (0..OUTPUTS).map(|number| text(output(number))).collect();
    for writer in 0..WRITERS {
        assert_complete(&outputs, &format!("{writer} "));
    }
    assert!(outputs[OUTPUTS - 1].contains("awake\n"));
}

/// A program that prints each number that it is told, to its output, and says when it did.
fn parrot() -> Child {
    let child = Child::fork(|parent| {
        print_to(output(0));
        parent.put(0);
        while let Some(number) = parent.try_get() {
            print(&number.to_string());
            parent.put(number);
        }
    });
    child.channel().get();
    child
}

/// Has a [`parrot`] print something.
fn say(channel: &Channel, number: u64) {
    channel.put(number);
    assert_eq!(channel.get(), number);
}

fn files_are_emptied_or_appended_to() {
    let child = parrot();
    fs::write(output(1), "before\n").expect("a file");
    ends(&["redirect", "--stdout", "output-1", "--append"], &child, 0);
    say(child.channel(), 1);
    // As a log: what others append stays.
    let mut appended = fs::read(output(1)).expect("a file");
    appended.extend(b"other\n");
    fs::write(output(1), appended).expect("a file");
    say(child.channel(), 2);
    assert_eq!(text(output(1)), "before\n1\nother\n2\n");

    fs::write(output(2), "before\n").expect("a file");
    ends(&["redirect", "--stdout", "output-2"], &child, 0);
    say(child.channel(), 3);
    assert_eq!(text(output(2)), "3\n");
    // Nobody else is to inherit what the program's output was opened with.
    let (printed, _) = ends(&["fds"], &child, 0);
    let line = printed.lines().find(|line| line.contains("output-2"));
    let line = line.expect("the output is among the descriptors");
    assert!(
        line.contains("O_WRONLY") && !line.contains("O_CLOEXEC"),
        "{line}"
    );
}

fn a_relative_file_is_the_operators() {
    let folder = env::current_dir().expect("a folder");
    let child = Child::fork(|parent| {
        print_to(output(0));
        env::set_current_dir("/").expect("there is a root");
        // SAFETY: it has no address; the process has one thread.
        unsafe { libc::umask(0o027) };
        parent.put(0);
        while let Some(number) = parent.try_get() {
            print(&number.to_string());
            parent.put(number);
        }
    });
    child.channel().get();
    ends(&["redirect", "--stdout", "output-1"], &child, 0);
    say(child.channel(), 5);
    assert_eq!(text(folder.join("output-1")), "5\n");
    let mode = fs::metadata(output(1))
        .expect("the file is there")
        .permissions();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
    assert_eq!(mode, 0o640, "the umask is the program's");
}

fn input_is_replaced_too() {
    let pipe = Pipe::new();
    fs::write("input", "from the file").expect("a file");
    let mut child = Child::fork(|parent| {
        // SAFETY: the standard input of this process, which nothing else uses.
        unsafe { libc::dup2(pipe.reader.as_raw_fd(), 0) };
        parent.put(0);
        parent.get();
        let mut read = String::new();
        std::io::stdin().read_to_string(&mut read).expect("text");
        assert_eq!(read, "from the file");
    });
    child.channel().get();
    let (printed, _) = ends(&["redirect", "--stdin", "input"], &child, 0);
    assert!(printed.starts_with("0: pipe:["), "{printed}");
    child.channel().put(1);
    child.succeed();
}

fn both_outputs_share_a_file() {
    let child = parrot();
    let before = descriptors(child.pid());
    let both = ["redirect", "--stdout", "output-1", "--stderr", "output-1"];
    let (printed, _) = ends(&both, &child, 0);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    assert_eq!(target(child.pid(), 1), target(child.pid(), 2));
    assert_eq!(descriptors(child.pid()), before);
    let position = |fd| text(format!("/proc/{}/fdinfo/{fd}", child.pid()));
    say(child.channel(), 1);
    assert_eq!(position(1), position(2), "one offset for both");
    assert!(position(2).starts_with("pos:\t2\n"), "{}", position(2));
}

fn nothing_changes_where_a_file_cannot_be_opened() {
    let child = parrot();
    let (pid, before) = (child.pid(), descriptors(child.pid()));
    let targets = [target(pid, 1), target(pid, 2)];
    let files = [
        "redirect",
        "--stdout",
        "output-1",
        "--stderr",
        "no/such/folder",
    ];
    let (_, complained) = ends(&files, &child, 1);
    assert!(
        complained.contains("no/such/folder: ENOENT"),
        "{complained}"
    );
    assert!(complained.contains("nothing was changed"), "{complained}");
    assert_eq!([target(pid, 1), target(pid, 2)], targets);
    assert_eq!(descriptors(pid), before, "what was opened is closed");
    say(child.channel(), 1);
    assert_eq!(text(output(0)), "1\n");
}

fn a_closed_descriptor_is_none_to_replace() {
    let child = Child::fork(|parent| {
        // SAFETY: nothing in this process reads.
        drop(unsafe { OwnedFd::from_raw_fd(0) });
        parent.put(0);
        parent.try_get();
    });
    child.channel().get();
    let before = descriptors(child.pid());
    let (_, complained) = ends(&["redirect", "--stdin", "/dev/null"], &child, 1);
    assert!(
        complained.contains("descriptor 0 is not open"),
        "{complained}"
    );
    assert_eq!(descriptors(child.pid()), before);
}

/// A process of another user, which others of that user may trace.
fn of_user(uid: u32) -> Child {
    let child = Child::fork(|parent| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        setresgid(gid, gid, gid).expect("becoming another group");
        setresuid(uid, uid, uid).expect("becoming another user");
        prctl::set_dumpable(true).expect("PR_SET_DUMPABLE");
        // SAFETY: it has no address. Where there is no Yama there is nothing to permit.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
        parent.put(0);
        parent.try_get();
    });
    child.channel().get();
    child
}

fn another_users_program_is_refused() {
    let child = of_user(USER);
    let before = target(child.pid(), 1);
    let pid = child.pid();
    for arguments in [
        &["redirect", "--stdout", "/dev/null"][..],
        &["fds", "--close", "1"],
        &["limits", "nofile=7"],
        &["call", "getpid"],
    ] {
        let (printed, complained) = ends_as(OTHER, arguments, &child, 1);
        assert_eq!(printed, "");
        assert!(complained.contains("ptrace"), "{complained}");
        let about = [
            format!("process {pid}: refused"),
            "getpid: refused".to_owned(),
        ];
        assert!(
            about.iter().any(|about| complained.contains(about)),
            "{complained}"
        );
    }
    let (_, complained) = ends_as(OTHER, &["fds"], &child, 1);
    assert!(
        complained.contains(&format!("process {pid}: ")),
        "{complained}"
    );
    assert_eq!(target(child.pid(), 1), before);
}

fn a_program_of_the_same_user_is_redirected() {
    let child = of_user(USER);
    ends_as(USER, &["redirect", "--stdout", "/dev/null"], &child, 0);
    assert_eq!(target(child.pid(), 1).as_deref(), Some("/dev/null"));
    // The rights are the program's: it may not open this file, whoever asks.
    fs::write("secret", "").expect("a file");
    fs::set_permissions(
        "secret",
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("it is ours");
    let (_, complained) = ends(&["redirect", "--stdout", "secret"], &child, 1);
    assert!(complained.contains("EACCES"), "{complained}");
}

fn a_program_that_has_ended_is_said_to_be_none() {
    let mut child = Child::fork(|_| {});
    patience::until("it has ended", || target(child.pid(), 1).is_none());
    // Not waited for, it is a process still, without anything to make a call with.
    let (_, complained) = ends(&["call", "getpid"], &child, 1);
    assert!(
        complained.contains("ESRCH") || complained.contains("ended"),
        "{complained}"
    );
    child.succeed();
    let (_, complained) = ends(&["call", "getpid"], &child, 1);
    let pid = child.pid();
    assert_eq!(
        complained,
        format!("nlcall: process {pid}: there is none\n")
    );
}
