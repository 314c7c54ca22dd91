// SPDX-License-Identifier: MIT OR Apache-2.0

//! A control group that counts memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::patience;

/// A control group for memory and processes. It goes when this is dropped, once nobody is in it.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Group {
    /// A new one; an error says that this guest has none.
    pub fn new() -> io::Result<Self> {
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids")?;
        let path = Path::new("/sys/fs/cgroup/nlcall-test");
        fs::create_dir(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Puts this process in.
    pub fn enter(&self) {
        fs::write(self.0.join("cgroup.procs"), "0").expect("entering a control group");
    }

    /// Kernel memory that is charged to it, in bytes.
    pub fn kernel_memory(&self) -> usize {
        let stat = fs::read_to_string(self.0.join("memory.stat")).expect("memory.stat");
        let line = stat.lines().find_map(|line| line.strip_prefix("kernel "));
        line.expect("kernel memory is counted")
            .parse()
            .expect("a number")
    }

    /// Processes and threads in it.
    pub fn threads(&self) -> usize {
        let current = fs::read_to_string(self.0.join("pids.current")).expect("pids.current");
        current.trim().parse().expect("a number")
    }

    /// Freezes everybody in it, or lets them go on.
    pub fn freeze(&self, freeze: bool) {
        let value = if freeze { "1" } else { "0" };
        fs::write(self.0.join("cgroup.freeze"), value).expect("cgroup.freeze");
    }

    /// Whether everybody in it stands still.
    pub fn is_frozen(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events")).expect("cgroup.events");
        events.lines().any(|line| line == "frozen 1")
    }

    /// Lets it have at most so many bytes. Who needs more is killed.
    pub fn limit_memory(&self, most: usize) {
        fs::write(self.0.join("memory.max"), most.to_string()).expect("memory.max");
    }

    /// How many processes were killed for want of memory.
    pub fn kills(&self) -> usize {
        let events = fs::read_to_string(self.0.join("memory.events")).expect("memory.events");
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.expect("kills are counted").parse().expect("a number")
    }

    /// Lets it have at most so many processes and threads.
    pub fn limit_threads(&self, most: usize) {
        fs::write(self.0.join("pids.max"), most.to_string()).expect("pids.max");
    }
}

/// Fails where `bytes` of kernel memory are more than `most`, unless the kernel needs some for its
/// own checks.
#[track_caller]
pub fn assert_at_most(bytes: usize, most: usize, what: &str) {
    assert!(
        bytes <= most || patience::kernel_checks(),
        "{bytes} bytes for {what}, {most} at most"
    );
}

impl Drop for Group {
    fn drop(&mut self) {
        patience::until("the control group is empty", || {
            fs::remove_dir(&self.0).is_ok()
        });
    }
}
