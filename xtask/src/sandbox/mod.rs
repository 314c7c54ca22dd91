// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sandbox: a Debian tree with a stock kernel, its Rust artifacts, the toolchain that it was
//! built with, and QEMU.
//!
//! It is made in steps, each with a stamp that says it is done; a run that was interrupted goes on
//! with the first step that has none. The steps of a kernel have stamps of their own, so several
//! kernels share one tree.
//!
//! A debug kernel is made of a stock one's source, in steps that come on top of a ready sandbox.

mod debug;
mod layout;
mod steps;

use std::fmt;
use std::path::{
    Path,
    PathBuf, //
};
use std::str::FromStr;

use anyhow::{
    Context,
    Result, //
};

pub use self::debug::Checks;
use self::layout::Layout;
use crate::cache::Lock;
use crate::chamber::Chamber;
use crate::kernel::{
    Kernel,
    Request, //
};

/// What the tree holds besides the kernel. rustc, bindgen and gcc are the release's own: the kernel
/// was built with them, and Rust crates of different compilers do not fit together.
const PACKAGES: &[&str] = &[
    // The module's toolchain.
    "rustc",
    "rust-src",
    "bindgen",
    "gcc-14",
    "libc6-dev",
    "make",
    // What the kernel's build needs. Without pahole the configuration would lose its type
    // information, and with it members of `struct module`.
    "bc",
    "bison",
    "flex",
    "kmod",
    "libdw-dev",
    "libelf-dev",
    "libssl-dev",
    "pahole",
    "perl",
    "python3-minimal",
    "xz-utils",
    // The guest.
    "qemu-system-x86",
    "virtiofsd",
];

/// Packages that are added to a ready sandbox for what needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The benchmark's: mkfs.ext4.
    Bench,
    /// Programs that the tests run with their system calls redirected.
    Programs,
    /// What other languages need to speak the protocol: libraries for C and Python, a compiler for
    /// C++.
    Languages,
    /// Programs that the tests have look at tracepoints.
    Tracers,
    /// What the package of the module is built by.
    Packages,
}

impl Extra {
    /// The stamp of its packages.
    fn step(self) -> &'static str {
        match self {
            Extra::Bench => "bench-tools",
            Extra::Programs => "test-programs",
            Extra::Languages => "languages",
            Extra::Packages => "packages",
            Extra::Tracers => "tracers",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Extra::Bench => "adding the benchmark's tools",
            Extra::Programs => "adding the programs that the tests run",
            Extra::Languages => "adding other languages",
            Extra::Packages => "adding DKMS",
            Extra::Tracers => "adding bpftrace and perf",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Extra::Bench => &["e2fsprogs"],
            Extra::Programs => &[
                "git",
                "libpython3.13-testsuite",
                "python3",
                "sqlite3",
                "stress-ng",
            ],
            Extra::Packages => &["dkms"],
            Extra::Languages => &[
                "g++-14",
                "libmnl-dev",
                "python3",
                "python3-jsonschema",
                "python3-yaml",
            ],
            Extra::Tracers => &["bpftrace", "linux-perf"],
        }
    }
}

/// Compilers that a stock kernel was built with, for `make`.
const MAKE_COMPILERS: &[&str] = &["CC=gcc-14", "HOSTCC=gcc-14"];

/// Which kernel the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A stock one.
    Stock(Request),
    /// One that checks, made of the newest stock one's source.
    Debug(Checks),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(checks) = Checks::EACH.into_iter().find(|it| it.name() == text) {
            return Ok(Self::Debug(checks));
        }
        text.parse().map(Self::Stock).map_err(|error| {
            let [all, races] = Checks::EACH.map(Checks::name);
            format!("{error}; {all:?} is the one that checks, and {races:?} looks for data races")
        })
    }
}

/// A sandbox that is ready for a kernel.
#[derive(Clone, Debug)]
pub struct Sandbox {
    layout: Layout,
    /// The stock kernel that it is ready for.
    kernel: Kernel,
    /// The debug kernel made of that one's source, where it was asked for.
    debug: Option<DebugKernel>,
}

/// A debug kernel that is ready.
#[derive(Clone, Debug)]
struct DebugKernel {
    place: debug::Place,
    release: String,
}

impl Sandbox {
    /// The sandbox for the kernel that was asked for, or for the newest supported one. Makes what
    /// is missing.
    pub fn prepare(choice: Option<&Choice>) -> Result<Self> {
        let layout = Layout::find(PACKAGES)?;
        let request = match choice {
            Some(Choice::Stock(request)) => Some(request),
            Some(Choice::Debug(_)) | None => None,
        };
        let kernel = Self::stock_kernel(&layout, request)?;
        let debug = match choice {
            Some(Choice::Debug(checks)) => Some(Self::debug_kernel(&layout, &kernel, *checks)?),
            Some(Choice::Stock(_)) | None => None,
        };
        Ok(Self {
            layout,
            kernel,
            debug,
        })
    }

    fn stock_kernel(layout: &Layout, request: Option<&Request>) -> Result<Kernel> {
        if let Some(kernel) = layout.ready_kernel(request)? {
            return Ok(kernel);
        }
        let _lock = Lock::take(&layout.lock(), "preparing the sandbox")?;
        // Another run may have finished it meanwhile.
        match layout.ready_kernel(request)? {
            Some(kernel) => Ok(kernel),
            None => steps::carry_out(layout, request),
        }
    }

    fn debug_kernel(layout: &Layout, kernel: &Kernel, checks: Checks) -> Result<DebugKernel> {
        let place = debug::Place::of(kernel, checks);
        let step = place.kernel_step(kernel);
        let release = match layout.note(&step) {
            Some(release) => release,
            None => {
                let _lock = Lock::take(&layout.debug_lock(), "making the debug kernel")?;
                match layout.note(&step) {
                    Some(release) => release,
                    None => steps::make_debug_kernel(layout, kernel, &place)?,
                }
            }
        };
        Ok(DebugKernel { place, release })
    }

    /// Sees to it that the tree holds what not every command needs.
    pub fn add(&self, extra: Extra) -> Result<()> {
        if self.has(extra) {
            return Ok(());
        }
        let _lock = Lock::take(&self.layout.lock(), extra.title())?;
        steps::add(&self.layout, extra)
    }

    /// Whether the tree holds what not every command needs.
    pub fn has(&self, extra: Extra) -> bool {
        self.layout.is_done(extra.step())
    }

    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.layout.tree()
    }

    /// What the kernel calls itself (`uname -r`).
    pub fn release(&self) -> &str {
        match &self.debug {
            None => &self.kernel.release,
            Some(debug) => &debug.release,
        }
    }

    /// Whether there is no newer series that is supported.
    pub fn is_of_newest_series(&self) -> bool {
        self.kernel.is_of_newest_series()
    }

    /// A name that no other kernel of the sandbox has.
    pub fn kernel_name(&self) -> String {
        match &self.debug {
            None => self.kernel.release.clone(),
            Some(debug) => format!("{}-{}", debug.release, debug.place.key),
        }
    }

    /// What `--kernel` calls the kernel, unless it is the stock one that needs no such word.
    pub fn other_kernel(&self) -> Option<String> {
        match self.checks() {
            Some(checks) => Some(checks.name().to_owned()),
            None if self.kernel.is_of_newest_series() => None,
            None => Some(self.kernel.series()),
        }
    }

    /// Whether the kernel is one that checks.
    pub fn is_debug(&self) -> bool {
        self.debug.is_some()
    }

    /// What the kernel checks, if it is one that does.
    pub fn checks(&self) -> Option<Checks> {
        self.debug.as_ref().map(|debug| debug.place.checks)
    }

    /// Whether the kernel keeps account of its memory.
    pub fn finds_leaks(&self) -> bool {
        self.checks().is_some_and(Checks::finds_leaks)
    }

    /// How often longer than in a stock kernel everything may take.
    pub fn patience(&self) -> u32 {
        if self.is_debug() {
            debug::PATIENCE
        } else {
            1
        }
    }

    /// The source of the kernel, as a path inside the tree.
    pub fn source(&self) -> PathBuf {
        match &self.debug {
            None => layout::source(&self.kernel),
            Some(debug) => debug.place.source.clone(),
        }
    }

    /// A path of the tree, as seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.layout.outside(inside)
    }

    /// A command inside the tree.
    pub fn command(&self, program: &str) -> Chamber {
        Chamber::new(&self.tree(), program)
    }

    /// `make`, for modules of the kernel.
    pub fn make(&self) -> Chamber {
        let mut make = self.command("make");
        match &self.debug {
            None => make
                .folder(layout::source(&self.kernel))
                .args(MAKE_COMPILERS.iter().copied())
                .arg(format!("LOCALVERSION={}", self.kernel.local_version())),
            Some(debug) => make
                .folder(&debug.place.folder)
                .args(debug::MAKE_COMPILERS.iter().copied())
                .args(debug::MAKE_VARIABLES.iter().copied())
                .args(debug.place.checks.of_module().iter().copied()),
        };
        make
    }

    /// The kernel's image, as a path inside the tree.
    pub fn image(&self) -> Result<PathBuf> {
        match &self.debug {
            None => self.stock_image(),
            Some(debug) => Ok(debug.place.image()),
        }
    }

    /// The image of the stock kernel, as a path inside the tree.
    pub fn stock_image(&self) -> Result<PathBuf> {
        let release = &self.kernel.release;
        [
            format!("/usr/lib/modules/{release}/vmlinuz"),
            format!("/boot/vmlinuz-{release}"),
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| self.outside(path).exists())
        .with_context(|| format!("no image of {release} in {:?}", self.tree()))
    }
}

/// Names the kernel, for a person.
impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.debug {
            None => self.kernel.fmt(f),
            Some(debug) => write!(
                f,
                "{} ({} {}, from the source of Debian {})",
                debug.release,
                debug.place.checks.name(),
                debug.place.key,
                self.kernel.package_version
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_that_check_have_names_among_the_versions() {
        assert_eq!("debug".parse(), Ok(Choice::Debug(Checks::All)));
        assert_eq!("kcsan".parse(), Ok(Choice::Debug(Checks::Races)));
        assert_eq!("7.3".parse(), Ok(Choice::Stock("7.3".parse().unwrap())));
        for wrong in ["6.12", "debugger", ""] {
            let error = wrong.parse::<Choice>().unwrap_err();
            assert!(error.contains("\"debug\""), "{error}");
        }
    }
}
