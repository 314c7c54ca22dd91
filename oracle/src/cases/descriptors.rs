// SPDX-License-Identifier: MIT OR Apache-2.0

//! Descriptors: copies, pipes, events, watches, and waiting for them.

use std::ops::Range;

use libc::{EAGAIN, EBADF, EEXIST, EFAULT, EINVAL, ENOENT, ENOTTY, EPERM, O_CLOEXEC, O_RDWR};

use crate::{
    case::{args, fails, ok, Aspect::*, Case},
    world::{World, NO_FD},
};

/// A time that a case never waits for: it is over at once, or before the call.
const NO_TIME: [u64; 2] = [0, 0];

/// A descriptor that watches this one for input.
fn watching(w: &mut World, fd: i32) -> i32 {
    let epoll = w.sys("epoll_create1", args![O_CLOEXEC]) as i32;
    let event = w.bytes(&event(1, 77));
    w.sys("epoll_ctl", args![epoll, libc::EPOLL_CTL_ADD, fd, event]);
    epoll
}

/// `struct epoll_event`, which is packed.
fn event(events: u32, data: u64) -> Vec<u8> {
    [&events.to_ne_bytes()[..], &data.to_ne_bytes()].concat()
}

/// A pipe with a byte in it, watched.
fn watched_pipe(w: &mut World) -> i32 {
    let (reader, _) = w.filled_pipe(b"x");
    watching(w, reader)
}

/// `struct pollfd` for input at a pipe with a byte and at one without.
fn two_pipes(w: &mut World) -> nlcall_tests::memory::Memory {
    let (a, _) = w.filled_pipe(b"x");
    let (b, _) = w.pipe();
    let input = u32::from(libc::POLLIN as u16);
    w.halves(&[a as u32, input, b as u32, input])
}

/// Sets of descriptors: a pipe with a byte and one without; the number behind the highest.
fn set_of_pipes(w: &mut World) -> (i32, nlcall_tests::memory::Memory) {
    let (a, _) = w.filled_pipe(b"x");
    let (b, _) = w.pipe();
    let mut set = [0_u64; 16];
    for fd in [a, b] {
        set[fd as usize / 64] |= 1 << (fd % 64);
    }
    (a.max(b) + 1, w.words(&set))
}

/// A timer that is not armed.
fn timer(w: &mut World) -> i32 {
    w.sys("timerfd_create", args![libc::CLOCK_MONOTONIC, 0]) as i32
}

/// A mask of signals that blocks one.
fn mask(w: &mut World) -> nlcall_tests::memory::Memory {
    w.words(&[1 << (libc::SIGUSR1 - 1)])
}

/// What is left of a time.
const LEFT: &[Range<usize>] = &[0..16];

/// A descriptor that was told of a file being made in a folder.
fn notified(w: &mut World) -> i32 {
    let fd = w.sys("inotify_init1", args![0]) as i32;
    let path = w.text(".");
    w.sys("inotify_add_watch", args![fd, path, libc::IN_CREATE]);
    std::fs::write("new", b"").expect("a file");
    fd
}

/// An AIO context.
fn aio(w: &mut World) -> u64 {
    let context = w.words(&[0]);
    w.sys("io_setup", args![8, context]);
    context.get_as::<u64>()
}

/// `struct iocb` that reads from a file.
fn read_block(w: &mut World) -> nlcall_tests::memory::Memory {
    let fd = w.open("f", b"contents");
    let buffer = w.out(4);
    // data; key and flags; pread and priority; descriptor; buffer, length, offset.
    let block = [7, 0, (fd as u64) << 32, buffer.address(), 4, 1, 0, 0];
    let block = w.words(&block);
    w.words(&[block.address()])
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("close", "a file", |w| {
            let fd = w.open("f", b"");
            args![fd]
        }),
        fails("close", EBADF, "no descriptor", |_| args![NO_FD]),
        ok("close_range", "two of three", |w| {
            let first = w.open("a", b"");
            w.open("b", b"");
            w.open("c", b"");
            args![first, first + 1, 0]
        }),
        ok("close_range", "marks them for execve", |w| {
            let (a, _) = w.pipe();
            w.sys("fcntl", args![a, libc::F_SETFD, 0]);
            args![a, a + 1, libc::CLOSE_RANGE_CLOEXEC]
        }),
        ok("close_range", "from a table of its own", |w| {
            let first = w.open("a", b"");
            args![first, first, libc::CLOSE_RANGE_UNSHARE]
        })
        .only_inline(),
        fails("close_range", EINVAL, "the wrong way round", |_| {
            args![9, 8, 0]
        }),
        ok("dup", "a file", |w| {
            let fd = w.open("f", b"");
            args![fd]
        }),
        fails("dup", EBADF, "no descriptor", |_| args![NO_FD]),
        ok("dup2", "over another", |w| {
            let (a, b) = (w.open("a", b""), w.open("b", b""));
            args![a, b]
        }),
        fails("dup2", EBADF, "no descriptor", |_| args![NO_FD, 50]),
        ok("dup3", "for this program alone", |w| {
            let fd = w.open("f", b"");
            args![fd, 60, O_CLOEXEC]
        }),
        fails("dup3", EINVAL, "onto itself", |w| {
            let fd = w.open("f", b"");
            args![fd, fd, 0]
        }),
        ok("fcntl", "a copy of a higher number", |w| {
            let fd = w.open("f", b"");
            args![fd, libc::F_DUPFD_CLOEXEC, 80]
        }),
        ok("fcntl", "does not block any more", |w| {
            let (reader, _) = w.pipe();
            args![reader, libc::F_SETFL, libc::O_NONBLOCK]
        }),
        ok("fcntl", "locks a part", |w| {
            let fd = w.open("f", b"contents");
            // struct flock: F_WRLCK, SEEK_SET, 2, 3.
            args![fd, libc::F_SETLK, w.words(&[1, 2, 3, 0])]
        }),
        ok("fcntl", "asks for a lock", |w| {
            let fd = w.open("f", b"contents");
            args![fd, libc::F_GETLK, w.words(&[1, 0, 0, 0])]
        }),
        ok("fcntl", "seals memory", |w| {
            let name = w.text("m");
            let fd = w.sys("memfd_create", args![name, libc::MFD_ALLOW_SEALING]);
            args![fd, libc::F_ADD_SEALS, libc::F_SEAL_GROW]
        }),
        ok("fcntl", "an owner of signals", |w| {
            let (reader, _) = w.pipe();
            w.then_call("fcntl", args![reader, libc::F_GETOWN]);
            args![reader, libc::F_SETOWN, 0]
        }),
        ok("fcntl", "a lease", |w| {
            let fd = w.open("f", b"");
            args![fd, libc::F_SETLEASE, libc::F_WRLCK]
        })
        .only_inline(),
        ok("fcntl", "signals at input", |w| {
            let (a, _) = w.sockets();
            args![a, libc::F_SETFL, libc::O_ASYNC]
        })
        .only_inline(),
        ok("fcntl", "signals at changes of a folder", |w| {
            let fd = w.open_folder(".");
            // DN_CREATE | DN_MULTISHOT
            args![fd, libc::F_NOTIFY, 0x8000_0004_u32]
        })
        .needs("CONFIG_DNOTIFY", EINVAL)
        .only_inline(),
        fails("fcntl", EBADF, "no descriptor", |_| {
            args![NO_FD, libc::F_GETFD]
        }),
        fails("fcntl", EAGAIN, "another has the lock", |w| {
            let fd = w.open("f", b"contents");
            // struct flock: F_WRLCK, SEEK_SET, everything.
            let lock = w.words(&[1, 0, 0, 0]);
            w.sys("fcntl", args![fd, libc::F_OFD_SETLK, lock]);
            let other = w.open_with("f", O_RDWR);
            args![other, libc::F_SETLK, lock]
        }),
        ok("ioctl", "bytes to read", |w| {
            let (reader, _) = w.filled_pipe(b"bytes");
            args![reader, libc::FIONREAD, w.out(4)]
        }),
        ok("ioctl", "a terminal's size", |w| {
            let fd = w.open_with("/dev/ptmx", O_RDWR | libc::O_NOCTTY);
            args![fd, libc::TIOCSWINSZ, w.bytes(&[24, 0, 80, 0, 0, 0, 0, 0])]
        }),
        ok("ioctl", "a terminal's modes", |w| {
            let fd = w.open_with("/dev/ptmx", O_RDWR | libc::O_NOCTTY);
            let modes = w.out(60);
            w.sys("ioctl", args![fd, libc::TCGETS, modes]);
            args![fd, libc::TCSETS, modes]
        })
        .only_inline(),
        ok("ioctl", "signals at input", |w| {
            let (a, _) = w.sockets();
            args![a, libc::FIOASYNC, w.halves(&[1])]
        })
        .only_inline(),
        fails("ioctl", ENOTTY, "a file", |w| {
            let fd = w.open("f", b"");
            args![fd, libc::TIOCGWINSZ, w.out(8)]
        }),
        ok("pipe", "two descriptors", |w| args![w.out(8)]),
        fails("pipe", EFAULT, "no memory", |w| args![w.nowhere()]),
        ok("pipe2", "for this program alone", |w| {
            args![w.out(8), O_CLOEXEC | libc::O_DIRECT]
        }),
        fails("pipe2", EINVAL, "an unknown flag", |w| args![w.out(8), 1]),
        ok("eventfd", "with a count", |_| args![5]),
        fails("eventfd", libc::EMFILE, "no more descriptors", |w| {
            no_more_descriptors(w);
            args![5]
        }),
        ok("eventfd2", "a semaphore", |_| {
            args![5, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK]
        }),
        fails("eventfd2", EINVAL, "an unknown flag", |_| args![5, 2]),
        ok("signalfd", "a descriptor for a signal", |w| {
            args![-1, mask(w), 8]
        }),
        fails("signalfd", EINVAL, "a wrong size", |w| {
            args![-1, mask(w), 4]
        }),
        ok("signalfd4", "another mask", |w| {
            let old = w.words(&[1]);
            let fd = w.sys("signalfd4", args![-1, old, 8, 0]);
            args![fd, mask(w), 8, 0]
        }),
        fails("signalfd4", EBADF, "no descriptor", |w| {
            args![NO_FD, mask(w), 8, 0]
        }),
        ok("read", "a signal from its descriptor", |w| {
            let mask = mask(w);
            w.sys("rt_sigprocmask", args![libc::SIG_BLOCK, mask, 0, 8]);
            let fd = w.sys("signalfd4", args![-1, mask, 8, libc::SFD_NONBLOCK]);
            let this = std::process::id();
            // To the thread, and not to the process.
            w.sys("tgkill", args![this, this, libc::SIGUSR1]);
            args![fd, w.out_varying(128, &[12..20]), 128]
        })
        .differs(
            &[Result, Memory, Process],
            "a signal sent to the thread: the worker looks for its own and the process's",
        ),
        ok("timerfd_create", "a timer", |_| {
            args![libc::CLOCK_BOOTTIME, libc::TFD_CLOEXEC]
        }),
        fails("timerfd_create", EINVAL, "no clock", |_| args![99, 0]),
        ok("timerfd_settime", "arms a timer", |w| {
            let fd = timer(w);
            args![fd, 0, w.words(&[0, 0, 1000, 0]), w.out(32)]
        }),
        fails("timerfd_settime", EINVAL, "too many nanoseconds", |w| {
            let fd = timer(w);
            args![fd, 0, w.words(&[0, 0, 0, 2_000_000_000]), 0]
        }),
        ok("timerfd_gettime", "what is left", |w| {
            let fd = timer(w);
            let time = w.words(&[3, 0, 1000, 0]);
            w.sys("timerfd_settime", args![fd, 0, time, 0]);
            args![fd, w.out_varying(32, &[16..32])]
        }),
        fails("timerfd_gettime", EINVAL, "no timer", |w| {
            let fd = w.open("f", b"");
            args![fd, w.out(32)]
        }),
        ok("poll", "one of two is ready", |w| {
            args![two_pipes(w), 2, -1]
        }),
        fails("poll", EFAULT, "no memory", |w| args![w.nowhere(), 2, 0]),
        ok("ppoll", "one of two is ready", |w| {
            let pipes = two_pipes(w);
            let time = w.words(&[5, 0]);
            w.vary(LEFT);
            args![pipes, 2, time, 0, 8]
        }),
        ok("ppoll", "under a mask", |w| {
            args![two_pipes(w), 2, 0, mask(w), 8]
        })
        .only_inline(),
        fails("ppoll", EINVAL, "no time", |w| {
            args![two_pipes(w), 2, w.words(&[0, u64::MAX]), 0, 8]
        }),
        ok("select", "one of two is ready", |w| {
            let (count, set) = set_of_pipes(w);
            let time = w.words(&[5, 0]);
            w.vary(LEFT);
            args![count, set, 0, 0, time]
        }),
        fails("select", EINVAL, "fewer than none", |_| {
            args![-1, 0, 0, 0, 0]
        }),
        ok("pselect6", "one of two is ready", |w| {
            let (count, set) = set_of_pipes(w);
            args![count, set, 0, 0, w.words(&NO_TIME), 0]
        }),
        ok("pselect6", "under a mask", |w| {
            let (count, set) = set_of_pipes(w);
            let mask = mask(w);
            args![
                count,
                set,
                0,
                0,
                w.words(&NO_TIME),
                w.words(&[mask.address(), 8])
            ]
        })
        .only_inline(),
        fails("pselect6", EBADF, "no descriptor", |w| {
            let mut set = [0_u64; 16];
            // Within the smallest table.
            set[0] |= 1 << 60;
            args![61, w.words(&set), 0, 0, w.words(&NO_TIME), 0]
        }),
        ok("epoll_create", "a descriptor", |_| args![1]),
        fails("epoll_create", EINVAL, "for none", |_| args![0]),
        ok("epoll_create1", "for this program alone", |_| {
            args![libc::EPOLL_CLOEXEC]
        }),
        fails("epoll_create1", EINVAL, "an unknown flag", |_| args![1]),
        ok("epoll_ctl", "watches a pipe", |w| {
            let (reader, _) = w.pipe();
            let epoll = w.sys("epoll_create1", args![0]);
            args![epoll, libc::EPOLL_CTL_ADD, reader, w.bytes(&event(1, 5))]
        }),
        fails("epoll_ctl", EPERM, "a file", |w| {
            let (fd, epoll) = (w.open("f", b""), w.sys("epoll_create1", args![0]));
            args![epoll, libc::EPOLL_CTL_ADD, fd, w.bytes(&event(1, 5))]
        }),
        fails("epoll_ctl", EEXIST, "watched already", |w| {
            let (reader, _) = w.pipe();
            let epoll = watching(w, reader);
            args![epoll, libc::EPOLL_CTL_ADD, reader, w.bytes(&event(1, 5))]
        }),
        ok("epoll_wait", "a pipe is ready", |w| {
            args![watched_pipe(w), w.out(24), 2, -1]
        }),
        fails("epoll_wait", EINVAL, "room for none", |w| {
            args![watched_pipe(w), w.out(24), 0, -1]
        }),
        ok("epoll_pwait", "a pipe is ready", |w| {
            args![watched_pipe(w), w.out(24), 2, -1, 0, 8]
        }),
        ok("epoll_pwait", "under a mask", |w| {
            args![watched_pipe(w), w.out(24), 2, -1, mask(w), 8]
        })
        .only_inline(),
        fails("epoll_pwait", EBADF, "no descriptor", |w| {
            args![NO_FD, w.out(24), 2, 0, 0, 8]
        }),
        ok("epoll_pwait2", "nothing is ready", |w| {
            let (reader, _) = w.pipe();
            args![watching(w, reader), w.out(24), 2, w.words(&[0, 1000]), 0, 8]
        }),
        ok("epoll_pwait2", "under a mask", |w| {
            args![watched_pipe(w), w.out(24), 2, 0, mask(w), 8]
        })
        .only_inline(),
        fails("epoll_pwait2", EINVAL, "no time", |w| {
            args![watched_pipe(w), w.out(24), 2, w.words(&[0, u64::MAX]), 0, 8]
        }),
        ok("inotify_init", "a descriptor", |_| args![]),
        fails("inotify_init", libc::EMFILE, "no more descriptors", |w| {
            no_more_descriptors(w);
            args![]
        }),
        ok("inotify_init1", "for this program alone", |_| {
            args![libc::IN_CLOEXEC]
        }),
        fails("inotify_init1", EINVAL, "an unknown flag", |_| args![1]),
        ok("inotify_add_watch", "a folder", |w| {
            let fd = w.sys("inotify_init1", args![0]);
            args![fd, w.text("."), libc::IN_CREATE]
        }),
        fails("inotify_add_watch", ENOENT, "no file", |w| {
            let fd = w.sys("inotify_init1", args![0]);
            args![fd, w.text("none"), libc::IN_CREATE]
        }),
        ok("read", "what happened in a folder", |w| {
            args![notified(w), w.out(64), 64]
        }),
        ok("inotify_rm_watch", "a folder", |w| args![notified(w), 1]),
        fails("inotify_rm_watch", EINVAL, "no watch", |w| {
            args![notified(w), 9]
        }),
        ok("fanotify_init", "a group", |_| args![0x200 | 1, O_RDWR]),
        fails("fanotify_init", EINVAL, "unknown flags", |_| {
            args![0x8000_0000_u32, 0]
        }),
        ok("fanotify_mark", "a folder", |w| {
            // FAN_CLASS_NOTIF | FAN_REPORT_FID, FAN_MARK_ADD, FAN_CREATE
            let fd = w.sys("fanotify_init", args![0x200, 0]);
            args![fd, 1, 0x100, libc::AT_FDCWD, w.text(".")]
        }),
        fails("fanotify_mark", EBADF, "no group", |w| {
            args![NO_FD, 1, 0x100, libc::AT_FDCWD, w.text(".")]
        }),
        ok("memfd_create", "memory", |w| {
            args![w.text("m"), libc::MFD_CLOEXEC]
        }),
        fails("memfd_create", EFAULT, "no name", |w| args![w.nowhere(), 0]),
        ok("memfd_secret", "memory", |_| args![O_CLOEXEC]),
        fails("memfd_secret", EINVAL, "an unknown flag", |_| args![1]),
        ok("userfaultfd", "a descriptor", |_| args![O_CLOEXEC]),
        fails("userfaultfd", EINVAL, "an unknown flag", |_| args![2]),
        ok("io_setup", "a context", |w| args![8, w.words(&[0])]),
        fails("io_setup", EINVAL, "it is in use", |w| {
            args![8, w.words(&[1])]
        }),
        ok("io_destroy", "a context", |w| args![aio(w)]),
        fails("io_destroy", EINVAL, "no context", |_| args![12345]),
        ok("io_submit", "a read", |w| {
            let context = aio(w);
            let events = w.out(32);
            w.then_call("io_getevents", args![context, 1, 1, events, 0]);
            w.then(move |_| format!("{:?}", events.get_as::<[u64; 4]>()));
            args![context, 1, read_block(w)]
        }),
        fails("io_submit", EINVAL, "no context", |w| {
            args![12345, 1, read_block(w)]
        }),
        ok("io_getevents", "a read that is over", |w| {
            let context = aio(w);
            let block = read_block(w);
            w.sys("io_submit", args![context, 1, block]);
            args![context, 1, 1, w.out(32), 0]
        }),
        fails("io_getevents", EINVAL, "no context", |w| {
            args![12345, 1, 1, w.out(32), 0]
        }),
        ok("io_pgetevents", "a read that is over", |w| {
            let context = aio(w);
            let block = read_block(w);
            w.sys("io_submit", args![context, 1, block]);
            args![context, 1, 1, w.out(32), 0, 0]
        }),
        ok("io_pgetevents", "under a mask", |w| {
            let context = aio(w);
            let mask = mask(w);
            args![
                context,
                0,
                1,
                w.out(32),
                w.words(&NO_TIME),
                w.words(&[mask.address(), 8])
            ]
        })
        .only_inline(),
        fails("io_pgetevents", EINVAL, "no context", |w| {
            args![12345, 1, 1, w.out(32), 0, 0]
        }),
        fails(
            "io_cancel",
            libc::EINPROGRESS,
            "a poll, whose event says the rest",
            |w| {
                let (reader, _) = w.pipe();
                let context = aio(w);
                // data, key, opcode IOCB_CMD_POLL and descriptor, events POLLIN.
                let block = w.words(&[7, 0, 5 | (reader as u64) << 32, 1, 0, 0, 0, 0]);
                let pointer = w.words(&[block.address()]);
                w.sys("io_submit", args![context, 1, pointer]);
                let events = w.out(32);
                w.then_call("io_getevents", args![context, 1, 1, events, 0]);
                args![context, block, w.out(32)]
            },
        ),
        fails("io_cancel", EINVAL, "no context", |w| {
            args![12345, w.words(&[0; 8]), w.out(32)]
        }),
        ok("io_uring_setup", "a ring", |w| args![8, w.out_zeroed(120)]),
        fails("io_uring_setup", EINVAL, "for none", |w| {
            args![0, w.out_zeroed(120)]
        }),
        ok("io_uring_enter", "nothing to do", |w| {
            args![ring(w), 0, 0, 0, 0, 0]
        }),
        fails("io_uring_enter", EBADF, "no ring", |_| {
            args![NO_FD, 0, 0, 0, 0, 0]
        }),
        ok("io_uring_register", "an eventfd", |w| {
            let event = w.sys("eventfd2", args![0, 0]);
            args![ring(w), 4, w.halves(&[event as u32]), 1]
        }),
        fails("io_uring_register", EBADF, "no ring", |w| {
            args![NO_FD, 4, w.halves(&[0]), 1]
        }),
    ]
}

/// An io_uring.
fn ring(w: &mut World) -> i32 {
    let parameters = w.out_zeroed(120);
    w.sys("io_uring_setup", args![8, parameters]) as i32
}

/// Descriptors up to the limit.
fn no_more_descriptors(w: &mut World) {
    let limit = 64;
    for fd in 3..limit {
        if w.is_free(fd) {
            w.sys("dup2", args![2, fd]);
        }
    }
    let limits = w.words(&[limit as u64, limit as u64]);
    w.sys("prlimit64", args![0, libc::RLIMIT_NOFILE, limits, 0]);
}
