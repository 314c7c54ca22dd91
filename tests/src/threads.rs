// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads of a process, as `/proc/PID/task` shows them.

use std::fs;

use nix::unistd::Pid;

/// `PF_USER_WORKER` of `include/linux/sched.h`: made by the kernel inside of a process.
const PF_USER_WORKER: u64 = 0x4000;

/// One thread.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its id.
    pub tid: Pid,
    /// Its name.
    pub comm: String,
    /// One letter, as `proc_pid_stat(5)` has it: `S` sleeps, `T` is stopped, `Z` is a zombie.
    pub state: char,
    flags: u64,
}

impl Thread {
    /// Whether the kernel made it to execute calls.
    pub fn is_worker(&self) -> bool {
        self.flags & PF_USER_WORKER != 0
    }
}

/// All threads of a process; none when there is no such process.
pub fn of(pid: Pid) -> Vec<Thread> {
    inside(&pid.to_string())
}

/// The first thread of a process, which may have ended before the others; none when there is no such
/// process.
pub fn first(pid: Pid) -> Option<Thread> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All threads of this process, also where it has another id in the namespace that `/proc` shows.
pub fn of_this_process() -> Vec<Thread> {
    inside("self")
}

fn inside(process: &str) -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter_map(|stat| parse(&stat))
        .collect()
}

/// The workers of a process.
pub fn workers(pid: Pid) -> Vec<Thread> {
    of(pid).into_iter().filter(Thread::is_worker).collect()
}

/// The threads that the process made itself.
pub fn own(pid: Pid) -> Vec<Thread> {
    of(pid)
        .into_iter()
        .filter(|thread| !thread.is_worker())
        .collect()
}

/// A line of `/proc/PID/stat`: `1234 (name) S ...`, where the name may contain anything.
fn parse(stat: &str) -> Option<Thread> {
    let (tid, rest) = stat.split_once(" (")?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some(Thread {
        tid: Pid::from_raw(tid.parse().ok()?),
        comm: comm.to_owned(),
        state: fields.next()?.chars().next()?,
        // Field 9 of the line; 3 was the state.
        flags: fields.nth(5)?.parse().ok()?,
    })
}
