// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes the kernel refuse one chosen allocation, or one chosen copy, of the module.
//!
//! The kernel's fault injection lets an allocation fail where a return address lies in a range
//! (`require-start`, `require-end`) on the stack. With the range of one byte that a call of the
//! module returns to, nothing but what that very call needs fails, in whatever thread it is made.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::pipe::{pipe_with, PipeFlags};

use super::points::Point;
use crate::harness::skip;

/// What can be made to fail, by the folders of its settings in [`DEBUGFS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Objects of the slab allocator.
    Slab,
    /// Pages.
    Pages,
    /// Copies from and to the memory of a process.
    Copies,
}

const DEBUGFS: &str = "/sys/kernel/debug";

impl Kind {
    const ALL: [Self; 3] = [Self::Slab, Self::Pages, Self::Copies];

    fn folder(self) -> &'static str {
        match self {
            Self::Slab => "failslab",
            Self::Pages => "fail_page_alloc",
            Self::Copies => "fail_usercopy",
        }
    }

    fn file(self, name: &str) -> String {
        format!("{DEBUGFS}/{}/{name}", self.folder())
    }

    fn set(self, name: &str, value: &str) {
        let path = self.file(name);
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// The kernel's fault injection, which nobody else uses meanwhile. Off again when it is dropped.
#[derive(Debug)]
pub struct Injector(());

impl Injector {
    /// Leaves the test out where the kernel has no such thing.
    pub fn new() -> Self {
        for kind in Kind::ALL {
            if !Path::new(&kind.file("require-start")).exists() {
                skip(&format!(
                    "this kernel makes nothing fail on purpose ({}): `--kernel debug` does",
                    kind.folder()
                ));
            }
            for (name, value) in [
                ("probability", "0"),
                ("space", "0"),
                // A line, by which the log's reader knows that what follows was asked for.
                ("verbose", "1"),
                ("stacktrace-depth", "32"),
            ] {
                kind.set(name, value);
            }
        }
        // Also what may sleep, and whatever its size.
        Kind::Slab.set("ignore-gfp-wait", "N");
        Kind::Pages.set("ignore-gfp-wait", "N");
        Kind::Pages.set("ignore-gfp-highmem", "N");
        Kind::Pages.set("min-order", "0");
        Self(())
    }

    /// From here on the `nth` thing of this kind that the call at `point` needs, from 1, is refused,
    /// and no other. The module's code begins at `base`.
    pub fn arm(&self, kind: Kind, base: u64, point: &Point, nth: usize) {
        if nth > 1 {
            start_counting(kind, nth);
        }
        let back = base + point.back;
        kind.set("require-start", &format!("{back:#x}"));
        kind.set("require-end", &format!("{:#x}", back + 1));
        kind.set("interval", &nth.to_string());
        kind.set("task-filter", "N");
        kind.set("times", "1");
        kind.set("probability", "100");
    }

    /// From here on `fail-nth` of a thread counts objects that are allocated below calls which
    /// return to this range, and each refusal is told in the kernel's log, with a trace.
    pub fn arm_loading(&self, back: Range<u64>) {
        for kind in Kind::ALL {
            let range = if kind == Kind::Slab {
                back.clone()
            } else {
                1..2
            };
            kind.set("require-start", &format!("{:#x}", range.start));
            kind.set("require-end", &format!("{:#x}", range.end));
        }
        Kind::Slab.set("verbose", "2");
    }

    /// The end of [`arm_loading`](Self::arm_loading).
    pub fn disarm_loading(&self) {
        Kind::Slab.set("verbose", "1");
    }

    /// Refuses nothing any more. Says whether something was refused.
    pub fn disarm(&self, kind: Kind) -> bool {
        kind.set("probability", "0");
        let times = fs::read_to_string(kind.file("times")).expect("times");
        times.trim() == "0"
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        for kind in Kind::ALL {
            self.disarm(kind);
        }
    }
}

/// The kernel refuses each `interval`-th of what the settings are about, by a counter that it never
/// sets back. Once it has refused something of this thread, the counter is a multiple.
fn start_counting(kind: Kind, interval: usize) {
    let open = |path: &str| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let put = |mut file: &File, text: &[u8]| file.write_all(text).is_ok();
    kind.set("require-start", "0");
    kind.set("require-end", "0xffffffffffffffff");
    kind.set("task-filter", "Y");
    kind.set("interval", &interval.to_string());
    kind.set("times", "1");
    // What is refused shall be one of the pipes, so everything else is open by now.
    let only = open("/proc/self/make-it-fail");
    let (probability, times) = (open(&kind.file("probability")), open(&kind.file("times")));
    loop {
        assert!(put(&only, b"1"), "make-it-fail");
        let on = put(&probability, b"100");
        for _ in 0..interval {
            // It needs memory, and copies its result: it may well be refused.
            let _ = pipe_with(PipeFlags::CLOEXEC);
        }
        while !put(&only, b"0") {}
        let mut left = [0; 16];
        let len = times.read_at(&mut left, 0).expect("times");
        if on && left[..len].starts_with(b"0") {
            break;
        }
    }
    kind.set("probability", "0");
}
