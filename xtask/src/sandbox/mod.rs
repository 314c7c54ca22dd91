// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sandbox: a Debian tree with a stock kernel, its Rust artifacts, the toolchain that it was
//! built with, and QEMU.
//!
//! It is made in steps, each with a stamp that says it is done; a run that was interrupted goes on
//! with the first step that has none. The steps of a kernel have stamps of their own, so several
//! kernels share one tree.

mod layout;
mod steps;

use std::path::{
    Path,
    PathBuf, //
};

use anyhow::{
    Context,
    Result, //
};

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

/// Compilers that the kernel was built with, for `make`.
pub const MAKE_COMPILERS: &[&str] = &["CC=gcc-14", "HOSTCC=gcc-14"];

/// A sandbox that is ready for a kernel.
#[derive(Clone, Debug)]
pub struct Sandbox {
    layout: Layout,
    /// The kernel it is ready for.
    pub kernel: Kernel,
}

impl Sandbox {
    /// The sandbox for the kernel that was asked for, or for the newest supported one. Makes what
    /// is missing.
    pub fn prepare(request: Option<&Request>) -> Result<Self> {
        let layout = Layout::find(PACKAGES)?;
        if let Some(kernel) = layout.ready_kernel(request)? {
            return Ok(Self { layout, kernel });
        }
        let lock = Lock::take(&layout.lock(), "preparing the sandbox")?;
        // Another run may have finished it meanwhile.
        let kernel = match layout.ready_kernel(request)? {
            Some(kernel) => kernel,
            None => steps::carry_out(&layout, request)?,
        };
        drop(lock);
        Ok(Self { layout, kernel })
    }

    /// Sees to it that the tree holds what only the benchmark needs: the tools of ext4.
    pub fn add_bench_tools(&self) -> Result<()> {
        if self.layout.is_done(steps::BENCH_TOOLS) {
            return Ok(());
        }
        let _lock = Lock::take(&self.layout.lock(), "adding the benchmark's tools")?;
        steps::add_bench_tools(&self.layout)
    }

    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.layout.tree()
    }

    /// The prepared source of the kernel, as a path inside the tree.
    pub fn source(&self) -> PathBuf {
        layout::source(&self.kernel)
    }

    /// A path of the tree, as seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.layout.outside(inside)
    }

    /// A command inside the tree.
    pub fn command(&self, program: &str) -> Chamber {
        Chamber::new(&self.tree(), program)
    }

    /// The kernel's image, as a path inside the tree.
    pub fn image(&self) -> Result<PathBuf> {
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
