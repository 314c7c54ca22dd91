// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files that the calls work on.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{bail, Context, Result};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, CWD},
};

use crate::walk;

/// Bytes of one page, of a read and of each small file.
pub const PAGE: usize = 4096;
/// Pages of the large file.
pub const PAGES: usize = 1024;
/// Small files.
pub const FILES: usize = 1024;
/// Entries of the directory that is listed.
pub const ENTRIES: usize = 1000;

/// The folder that is walked through.
pub const TREE: &str = "tree";
/// The folder that is served.
pub const SERVED: &str = "served";
/// The folder of logs.
pub const LOGS: &str = "logs";

/// Where the ext4 of [`Fixtures::on_ext4`] is made, and its size.
const IMAGE_BYTES: u64 = 256 << 20;
/// More than it has files.
const INODES: &str = "131072";

/// A folder with the files. It is removed in the end.
#[derive(Debug)]
pub struct Fixtures {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl Fixtures {
    /// Makes the files below a folder.
    pub fn below(folder: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("nlcall-bench")
            .tempdir_in(folder)
            .with_context(|| format!("making a folder in {folder:?}"))?;
        Self {
            folder,
            mounted: false,
        }
        .filled()
    }

    /// Makes the files on an ext4 of their own: a loop device over a file in memory. Needs root,
    /// and mkfs.ext4.
    pub fn on_ext4() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("nlcall-bench")
            .tempdir()
            .context("making a temporary folder")?;
        let image = folder.path().join("ext4.img");
        let mount_point = folder.path().join("ext4");
        fs::create_dir(&mount_point).context("making the mount point")?;
        File::create(&image)
            .and_then(|file| file.set_len(IMAGE_BYTES))
            .context("making the image")?;
        // Everything is written at once: no kernel thread goes on with it during the measurement.
        run(Command::new("mkfs.ext4")
            .args([
                "-q",
                "-N",
                INODES,
                "-E",
                "lazy_itable_init=0,lazy_journal_init=0",
            ])
            .arg(&image))?;
        // It may be built in.
        let _ = Command::new("modprobe").arg("loop").status();
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .args([&image, &mount_point]))?;
        let inner = Self {
            folder,
            mounted: true,
        };
        inner.filled()
    }

    fn filled(self) -> Result<Self> {
        let page: Vec<u8> = (0..PAGE).map(|byte| byte as u8 | 1).collect();
        let write = |path: PathBuf, bytes: &[u8]| {
            fs::write(&path, bytes).with_context(|| format!("writing {path:?}"))
        };
        write(self.path("large"), &page.repeat(PAGES))?;
        for folder in ["files", "listed", "names"] {
            fs::create_dir(self.path(folder)).context("making a folder")?;
        }
        for number in 0..FILES {
            write(self.path("files").join(name(number)), &page)?;
        }
        for number in 0..ENTRIES {
            write(self.path("listed").join(name(number)), &[])?;
        }
        // What is written back now is not written back during the measurement.
        rustix::fs::sync();
        Ok(self)
    }

    /// Makes the tree that is walked through, unless it is there.
    pub fn plant(&self) -> Result<()> {
        let root = self.path(TREE);
        match root.exists() {
            true => Ok(()),
            false => walk::plant(&root),
        }
    }

    /// The folder on the file system that is measured.
    pub fn root(&self) -> PathBuf {
        match self.mounted {
            true => self.folder.path().join("ext4"),
            false => self.folder.path().to_owned(),
        }
    }

    /// A file or folder below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Opens a folder below it.
    pub fn open_folder(&self, name: &str) -> Result<OwnedFd> {
        let path = self.path(name);
        rustix::fs::openat(
            CWD,
            &path,
            OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .with_context(|| format!("opening {path:?}"))
    }

    /// The kind of file system, as the kernel calls it.
    pub fn file_system(&self) -> String {
        kind_of_mount(&self.root()).unwrap_or_else(|| "unknown".to_owned())
    }
}

impl Drop for Fixtures {
    fn drop(&mut self) {
        if self.mounted {
            // The mount is nobody else's; what cannot be undone here ends with the machine.
            let _ = rustix::mount::unmount(self.root(), rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// The name of a small file.
pub fn name(number: usize) -> String {
    format!("f{number:04}")
}

/// The names of the small files, for the kernel.
pub fn names(count: usize) -> Vec<CString> {
    (0..count)
        .map(|number| CString::new(name(number)).expect("a name without a zero byte"))
        .collect()
}

/// The address of a name, for the argument of a call.
pub fn address(name: &CStr) -> u64 {
    name.as_ptr() as u64
}

/// The file system type of the mount that a path lies on.
fn kind_of_mount(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| path.starts_with(at))
        .max_by_key(|(at, _)| at.len())
        .map(|(_, kind)| kind.to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| {
        format!(
            "starting {:?}",
            program.as_bytes().escape_ascii().to_string()
        )
    })?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            program.to_string_lossy(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
