// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals: who gets them, and what happens then.

use libc::{
    EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EPERM, ESRCH, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2,
    SIG_BLOCK, SI_QUEUE,
};
use nlcall_tests::memory::Memory;

use crate::{
    case::{args, ends, fails, ok, Aspect::*, Case},
    world::{World, NO_FD, NO_PID},
};

/// A mask with one signal.
fn mask(w: &mut World, signal: i32) -> Memory {
    w.words(&[1 << (signal - 1)])
}

/// Blocks a signal, so that it stays pending.
fn block(w: &mut World, signal: i32) {
    let mask = mask(w, signal);
    w.sys("rt_sigprocmask", args![SIG_BLOCK, mask, 0, 8]);
}

/// This process's id.
fn this() -> u32 {
    std::process::id()
}

/// `siginfo_t` that a process may send to others: signal, error, code, pad, pid, uid, value.
fn info(w: &mut World, signal: i32, code: i32) -> Memory {
    let mut bytes = [0; 128];
    bytes[..4].copy_from_slice(&signal.to_ne_bytes());
    bytes[8..12].copy_from_slice(&code.to_ne_bytes());
    bytes[24..32].copy_from_slice(&77_u64.to_ne_bytes());
    w.bytes(&bytes)
}

/// What of the information about a signal is the same each time: all but the sender.
fn then_take(w: &mut World, signal: i32) {
    let (mask, info, time) = (mask(w, signal), Memory::zeroed(128), Memory::zeroed(16));
    w.then(move |_| {
        let taken = crate::world::plain("rt_sigtimedwait", args![mask, info, time, 8]);
        let info = info.get();
        format!("{taken} {:?} {:?}", &info[..12], &info[24..32])
    });
}

/// Interrupts this thread, in whatever it waits for, by a signal that has a handler.
fn be_interrupted(w: &mut World) {
    extern "C" fn handler(_: i32) {}
    handle(handler);
    w.child_doing(|| {
        let parent = std::os::unix::process::parent_id();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{parent}/stat"));
            let stat = stat.unwrap_or_default();
            // Only while it waits, so that no signal comes before the call.
            if stat.contains(") S ") {
                crate::world::plain("kill", args![parent, SIGUSR2]);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
}

/// Handles SIGUSR2 from now on.
fn handle(handler: extern "C" fn(i32)) {
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
}

pub fn cases() -> Vec<Case> {
    vec![
        ok("kill", "a helper", |w| {
            let child = w.child();
            w.then_wait(child);
            args![child, SIGTERM]
        }),
        ok("kill", "this process, which blocks it", |w| {
            block(w, SIGUSR1);
            args![this(), SIGUSR1]
        }),
        ends("kill", -SIGKILL, "this process", |_| args![this(), SIGKILL]),
        fails("kill", EINVAL, "no signal", |_| args![this(), 99]),
        fails("kill", EPERM, "another's process", |_| args![1, SIGTERM]).by_user(),
        ok("tkill", "this thread, which blocks it", |w| {
            block(w, SIGUSR1);
            args![this(), SIGUSR1]
        }),
        fails("tkill", EINVAL, "no thread", |_| args![0, SIGUSR1]),
        ok("tgkill", "this thread, which blocks it", |w| {
            block(w, SIGUSR1);
            args![this(), this(), SIGUSR1]
        }),
        fails("tgkill", ESRCH, "no thread", |_| {
            args![this(), NO_PID, SIGUSR1]
        }),
        ok("rt_sigqueueinfo", "a value", |w| {
            block(w, SIGUSR1);
            then_take(w, SIGUSR1);
            args![this(), SIGUSR1, info(w, SIGUSR1, SI_QUEUE)]
        }),
        ok("rt_sigqueueinfo", "to itself, as the kernel would", |w| {
            block(w, SIGUSR1);
            then_take(w, SIGUSR1);
            args![this(), SIGUSR1, info(w, SIGUSR1, libc::SI_KERNEL)]
        })
        .differs(
            &[Result, Process, Aftermath],
            "a code of the kernel's: only the thread itself may send it, and the worker is another",
        ),
        fails(
            "rt_sigqueueinfo",
            EPERM,
            "to another, as the kernel would",
            |w| args![w.child(), SIGUSR1, info(w, SIGUSR1, libc::SI_KERNEL)],
        ),
        ok("rt_tgsigqueueinfo", "a value", |w| {
            block(w, SIGUSR1);
            then_take(w, SIGUSR1);
            args![this(), this(), SIGUSR1, info(w, SIGUSR1, SI_QUEUE)]
        }),
        ok("rt_tgsigqueueinfo", "to itself, as the kernel would", |w| {
            block(w, SIGUSR1);
            then_take(w, SIGUSR1);
            args![this(), this(), SIGUSR1, info(w, SIGUSR1, libc::SI_KERNEL)]
        })
        .differs(
            &[Result, Process, Aftermath],
            "a code of the kernel's: only the thread itself may send it, and the worker is another",
        ),
        fails("rt_tgsigqueueinfo", ESRCH, "no thread", |w| {
            args![this(), NO_PID, SIGUSR1, info(w, SIGUSR1, SI_QUEUE)]
        }),
        ok("pidfd_send_signal", "a helper", |w| {
            let child = w.child();
            w.then_wait(child);
            let pidfd = w.sys("pidfd_open", args![child, 0]);
            args![pidfd, SIGTERM, 0, 0]
        }),
        ok("pidfd_send_signal", "this process by its own name", |w| {
            block(w, SIGUSR1);
            // PIDFD_SELF_THREAD_GROUP
            args![-10001, SIGUSR1, 0, 0]
        }),
        ok("pidfd_send_signal", "this thread by its own name", |w| {
            block(w, SIGUSR1);
            // PIDFD_SELF_THREAD
            args![-10000, SIGUSR1, 0, 0]
        })
        .only_inline(),
        fails("pidfd_send_signal", EBADF, "no descriptor", |_| {
            args![NO_FD, SIGTERM, 0, 0]
        }),
        ok("rt_sigaction", "ignores a signal", |w| {
            // struct kernel_sigaction: SIG_IGN, flags, restorer, mask.
            args![SIGUSR1, w.words(&[1, 0, 0, 0]), w.out(32), 8]
        }),
        fails("rt_sigaction", EINVAL, "one that cannot be ignored", |w| {
            args![SIGKILL, w.words(&[1, 0, 0, 0]), 0, 8]
        }),
        ok("rt_sigprocmask", "blocks a signal", |w| {
            args![SIG_BLOCK, mask(w, SIGUSR1), w.out(8), 8]
        }),
        fails("rt_sigprocmask", EINVAL, "nothing known", |w| {
            args![9, mask(w, SIGUSR1), 0, 8]
        }),
        ok("rt_sigpending", "one is pending", |w| {
            block(w, SIGUSR1);
            w.sys("kill", args![this(), SIGUSR1]);
            args![w.out(8), 8]
        }),
        fails("rt_sigpending", EFAULT, "no memory", |w| {
            args![w.nowhere(), 8]
        }),
        ok("rt_sigtimedwait", "one is pending for the process", |w| {
            block(w, SIGUSR1);
            w.sys("kill", args![this(), SIGUSR1]);
            args![
                mask(w, SIGUSR1),
                w.out_varying(128, &[16..20]),
                w.words(&[5, 0]),
                8
            ]
        }),
        ok("rt_sigtimedwait", "one is pending for the thread", |w| {
            block(w, SIGUSR1);
            w.sys("tkill", args![this(), SIGUSR1]);
            args![
                mask(w, SIGUSR1),
                w.out_varying(128, &[16..20]),
                w.words(&[0, 0]),
                8
            ]
        })
        .differs(
            &[Result, Memory, Process],
            "a signal sent to the thread: the worker looks for its own and the process's",
        ),
        fails("rt_sigtimedwait", EAGAIN, "none comes", |w| {
            args![mask(w, SIGUSR1), 0, w.words(&[0, 1000]), 8]
        }),
        fails("rt_sigsuspend", EINTR, "until a handler ran", |w| {
            be_interrupted(w);
            args![w.words(&[0]), 8]
        }),
        fails("pause", EINTR, "until a handler ran", |w| {
            be_interrupted(w);
            args![]
        }),
        ok("sigaltstack", "a stack", |w| {
            let stack = Memory::pages(16);
            let now = w.out_zeroed(24);
            w.then_call("sigaltstack", args![0, now]);
            w.then(move |_| format!("{:?}", now.get()));
            args![w.words(&[stack.address(), 0, stack.len() as u64]), 0]
        }),
        fails("sigaltstack", libc::ENOMEM, "too small", |w| {
            let stack = Memory::pages(1);
            args![w.words(&[stack.address(), 0, 100]), 0]
        }),
    ]
}
