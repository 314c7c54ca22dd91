// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processes that send, and who watches them: in namespaces of their own, so that nothing of
//! them is left.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ptr::{with_exposed_provenance_mut, NonNull},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    mount::{mount, MsFlags},
    sched::{unshare, CloneFlags},
    sys::{
        signal::{kill, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::Pid,
};
use nlcall_tests::{
    patience,
    process::{exit_now, fork_unwatched},
    threads,
};
use rustix::process::{wait, WaitOptions};

use super::{grammar::Grammar, sender};

/// Processes that send at the same time.
const AT_ONCE: usize = 6;

/// How long the watcher sleeps between two looks in a stock kernel. One that checks itself takes
/// more than a millisecond for each file in /proc.
const LOOK: Duration = Duration::from_millis(5);

/// After so many looks at a process that sleeps and has sent nothing since, it waits for something
/// that does not come.
const LOOKS: u32 = 4;

/// What became of messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Sent.
    pub sent: u64,
    /// Acknowledged; others were accepted without it, or it was lost.
    pub accepted: u64,
    /// Rejected, likewise.
    pub rejected: u64,
}

impl Counts {
    pub fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
        }
    }
}

/// What a process counts, in memory that it shares with the watcher.
#[derive(Debug, Default)]
pub struct Counters {
    pub sent: AtomicU64,
    pub accepted: AtomicU64,
    pub rejected: AtomicU64,
}

impl Counters {
    fn take(&self) -> Counts {
        Counts {
            sent: self.sent.swap(0, Relaxed),
            accepted: self.accepted.swap(0, Relaxed),
            rejected: self.rejected.swap(0, Relaxed),
        }
    }
}

/// Where the counters are mapped: far from all else that a process has. A call may write past the end
/// of the memory that it is given, as far as there is memory.
const SHARED_AT: usize = 1 << 44;

/// The counters of all processes that send at the same time, followed by what the watcher reports
/// at its end.
struct Shared {
    senders: [Counters; AT_ONCE],
    total: Counters,
    next: AtomicU64,
}

impl Shared {
    /// Memory that all children of this process share.
    fn new() -> &'static Self {
        let len = size_of::<Self>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let at = with_exposed_provenance_mut(SHARED_AT);
        // SAFETY: a new mapping, which the kernel refuses where there is one already.
        let at = unsafe { libc::mmap(at, len, protection, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED, "shared memory");
        let at = NonNull::new(at.cast::<Self>()).expect("not at address zero");
        // SAFETY: it is never unmapped, holds zeroes, and is made of atomics.
        unsafe { at.as_ref() }
    }
}

/// Has processes send so many messages, in namespaces that end with this. Their numbers begin at
/// `first`; returns what became of the messages, and the next number.
pub fn in_namespaces_of_its_own(grammar: &Grammar, first: u64, quota: u64) -> (Counts, u64) {
    let shared = Shared::new();
    let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS;
    unshare(namespaces).expect("new namespaces");
    hide_files();
    // The first process of the namespace: when it ends, the kernel ends all the others.
    let watcher = fork_unwatched(|| watch(shared, grammar, first, quota));
    let status = waitpid(watcher, None).expect("the watcher is ours");
    assert_eq!(status, WaitStatus::Exited(watcher, 0), "the watcher");
    (shared.total.take(), shared.next.load(Relaxed))
}

/// What is written to where everybody may write is written to memory, and gone afterwards. /proc is
/// that of the namespace.
fn hide_files() {
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).expect("mounts of its own");
    for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
        let size = Some("size=1m,mode=1777");
        match mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), size) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => panic!("{folder}: {errno}"),
        }
    }
}

/// A process that sends.
struct Sender {
    slot: usize,
    /// What it had sent at the last look.
    sent: u64,
    /// Looks since then that found it asleep.
    looks: u32,
}

fn watch(shared: &Shared, grammar: &Grammar, first: u64, quota: u64) -> Infallible {
    let none = None::<&str>;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
        .expect("the namespace's /proc");
    let mut senders: BTreeMap<Pid, Sender> = BTreeMap::new();
    let mut free: Vec<usize> = (0..AT_ONCE).collect();
    let mut next = first;
    let mut total = Counts::default();
    while total.sent < quota || !senders.is_empty() {
        for slot in free.drain(..).filter(|_| total.sent < quota) {
            let counters = &shared.senders[slot];
            let pid = fork_unwatched(|| sender::live(next, grammar, counters));
            let (sent, looks) = (0, 0);
            senders.insert(pid, Sender { slot, sent, looks });
            next += 1;
        }
        // Its own children, and those that they left behind. They end by any signal.
        match wait(WaitOptions::NOHANG) {
            Ok(None) => {
                senders
                    .iter_mut()
                    .for_each(|(pid, it)| look(shared, *pid, it));
                thread::sleep(patience::scaled(LOOK));
            }
            Ok(Some((pid, status))) => {
                let pid = Pid::from_raw(pid.as_raw_pid());
                if !(status.exited() || status.signaled()) {
                    // A call made this process its tracer.
                    let _ = kill(pid, Signal::SIGKILL);
                } else if let Some(sender) = senders.remove(&pid) {
                    let counts = shared.senders[sender.slot].take();
                    assert!(
                        counts.sent <= sender::MOST_MESSAGES as u64,
                        "something wrote over a process's counters: {counts:?}"
                    );
                    total = total.and(counts);
                    free.push(sender.slot);
                }
            }
            Err(errno) => panic!("waiting for {} processes: {errno}", senders.len()),
        }
    }
    for (of, is) in [
        (&shared.total.sent, total.sent),
        (&shared.total.accepted, total.accepted),
        (&shared.total.rejected, total.rejected),
        (&shared.next, next),
    ] {
        of.store(is, Relaxed);
    }
    exit_now(0)
}

/// Puts an end to a process that waits for something that does not come.
fn look(shared: &Shared, pid: Pid, sender: &mut Sender) {
    let sent = shared.senders[sender.slot].sent.load(Relaxed);
    if sent != sender.sent || !is_asleep(pid) {
        (sender.sent, sender.looks) = (sent, 0);
        return;
    }
    sender.looks += 1;
    if sender.looks >= LOOKS {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Whether its first thread sleeps, is stopped, or has ended before the others.
fn is_asleep(pid: Pid) -> bool {
    let first = threads::first(pid);
    first.is_some_and(|it| matches!(it.state, 'S' | 'D' | 'T' | 't' | 'Z'))
}
