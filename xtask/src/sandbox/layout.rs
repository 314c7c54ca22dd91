// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the parts of a sandbox are, and which are done.

use std::fs;
use std::path::{
    Path,
    PathBuf, //
};

use anyhow::{
    Context,
    Result, //
};

use crate::apt;
use crate::cache;
use crate::kernel::{
    self,
    Kernel,
    Request, //
};

/// Folder of the prepared kernel sources in the tree.
pub const SOURCES: &str = "/usr/src/nlcall";

/// Stamp that names the kernel that runs use by default.
pub const DEFAULT: &str = "default";
/// Extension of the stamps that describe kernels.
const KERNEL: &str = "kernel";

/// Where the parts of a sandbox are.
#[derive(Clone, Debug)]
pub struct Layout {
    /// All of it.
    pub folder: PathBuf,
}

impl Layout {
    /// The sandbox that this version of the project makes; one with other contents has another
    /// name.
    pub fn find(packages: &[&str]) -> Result<Self> {
        let suites = [apt::SUITE, apt::BACKPORTS];
        let key = cache::key(suites.iter().chain(packages).copied());
        let folder = cache::folder()?.join(format!("sandbox-{}-{key}", apt::SUITE));
        for part in ["logs", "stamps"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {part:?}"))?;
        }
        Ok(Self { folder })
    }

    /// The file that is locked while something is made.
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// The file that is locked while a debug kernel is made, which takes long and is in nobody
    /// else's way.
    pub fn debug_lock(&self) -> PathBuf {
        self.folder.join("debug.lock")
    }

    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The tree while it is being made.
    pub fn partial_tree(&self) -> PathBuf {
        self.folder.join("tree.partial")
    }

    /// A path of the tree, as seen from outside.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        outside(&self.tree(), inside)
    }

    /// The file that says that a step is done.
    fn stamp(&self, name: &str) -> PathBuf {
        self.folder.join("stamps").join(name)
    }

    /// The log of a step.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// What is noted about a step that is done.
    pub fn note(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.stamp(name)).ok()
    }

    /// Whether a step is done.
    pub fn is_done(&self, name: &str) -> bool {
        self.stamp(name).exists()
    }

    /// Marks a step as done, with a note of what it made.
    pub fn set_done(&self, name: &str, note: &str) -> Result<()> {
        let stamp = self.stamp(name);
        let partial = stamp.with_extension("partial");
        fs::write(&partial, note).with_context(|| format!("writing {partial:?}"))?;
        fs::rename(&partial, &stamp).with_context(|| format!("writing {stamp:?}"))
    }

    /// The kernels whose packages are in the tree, newest first.
    pub fn installed_kernels(&self) -> Result<Vec<Kernel>> {
        let stamps = self.folder.join("stamps");
        let mut kernels: Vec<Kernel> = Vec::new();
        for entry in fs::read_dir(&stamps).with_context(|| format!("reading {stamps:?}"))? {
            let entry = entry?;
            if entry
                .path()
                .extension()
                .is_none_or(|extension| extension != KERNEL)
            {
                continue;
            }
            let text = fs::read_to_string(entry.path())?;
            kernels.push(
                serde_json::from_str(&text)
                    .with_context(|| format!("reading {:?}", entry.path()))?,
            );
        }
        kernel::sort(&mut kernels);
        Ok(kernels)
    }

    /// A kernel for which nothing is left to do: one that was asked for, or else the one that was
    /// the newest when the sandbox was made.
    pub fn ready_kernel(&self, request: Option<&Request>) -> Result<Option<Kernel>> {
        let mut ready = self.installed_kernels()?;
        ready.retain(|kernel| self.is_done(&artifacts_step(kernel)));
        if request.is_none() {
            // Without the stamp nobody has asked the mirror for its newest yet.
            let newest = self.note(DEFAULT).unwrap_or_default();
            ready.retain(|kernel| kernel.release == newest);
        }
        Ok(kernel::choose(&ready, request).ok())
    }
}

/// The prepared source of a kernel, as a path inside the tree.
pub fn source(kernel: &Kernel) -> PathBuf {
    Path::new(SOURCES).join(&kernel.release)
}

/// A path inside a tree, as seen from outside.
pub fn outside(tree: &Path, inside: &Path) -> PathBuf {
    tree.join(inside.strip_prefix("/").unwrap_or(inside))
}

/// The stamp of a kernel's packages, which describes it.
pub fn kernel_step(kernel: &Kernel) -> String {
    format!("{}.{KERNEL}", kernel.release)
}

/// The stamp of a kernel's source.
pub fn source_step(kernel: &Kernel) -> String {
    format!("{}.source", kernel.release)
}

/// The stamp of a kernel's Rust artifacts.
pub fn artifacts_step(kernel: &Kernel) -> String {
    format!("{}.artifacts", kernel.release)
}
