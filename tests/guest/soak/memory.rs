// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel takes for itself.

use std::{fmt, fs, thread, time::Duration};

/// Lines of `/proc/meminfo` that are the kernel's own and are not given back when others need memory.
pub const KIB: [&str; 5] = [
    "SUnreclaim",
    "KernelStack",
    "PageTables",
    "Percpu",
    "VmallocUsed",
];

/// Looks of which the least counts: what is freed a grace period later, or by a work queue, is still
/// there for a while.
const LOOKS: usize = 10;

/// Sizes in KiB, in the order of [`KIB`].
#[derive(Clone, Copy, Debug)]
pub struct KernelMemory {
    pub kib: [i64; KIB.len()],
}

impl KernelMemory {
    /// As it is.
    pub fn now() -> Self {
        let info = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
        Self {
            kib: KIB.map(|name| kib(&info, name)),
        }
    }

    /// The least of several looks, without what caches hold.
    pub fn least() -> Self {
        let look = |_| {
            fs::write("/proc/sys/vm/drop_caches", "3").expect("drop_caches");
            thread::sleep(Duration::from_secs(1));
            Self::now()
        };
        let looks = (0..LOOKS).map(look).min_by_key(Self::all);
        looks.expect("there are looks")
    }

    /// All of it together. What is allocated by vmalloc has no other entry but stacks, which have.
    pub fn all(&self) -> i64 {
        self.kib.iter().sum()
    }
}

impl fmt::Display for KernelMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB for itself", self.all())
    }
}

/// What this process has in memory, in KiB.
pub fn own() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    kib(&status, "VmRSS")
}

/// The value of a line `Name:  123 kB`.
fn kib(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.strip_prefix(':'));
    let value = value.and_then(|value| value.split_whitespace().next());
    value
        .expect("the kernel has this line")
        .parse()
        .expect("a number")
}
