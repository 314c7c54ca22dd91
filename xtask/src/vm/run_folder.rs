// SPDX-License-Identifier: MIT OR Apache-2.0

//! The folder of one run: what the guest is given, and the logs.

use std::fs;
use std::path::{
    Path,
    PathBuf, //
};
use std::time::{
    SystemTime,
    UNIX_EPOCH, //
};

use anyhow::{
    Context,
    Result, //
};
use guest_init::{
    JOB_FILE,
    MODULE_FILE,
    PROGRAMS_DIR, //
};

use crate::cache;

/// Folders of failed runs that are kept.
const KEPT: usize = 10;

/// The folder of a run. It is removed when the run succeeded and kept when it failed.
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new one, and removes the oldest ones of runs that failed.
    pub fn new() -> Result<Self> {
        let runs = cache::folder()?.join("runs");
        fs::create_dir_all(&runs).with_context(|| format!("making {runs:?}"))?;
        remove_oldest(&runs)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock")?;
        let path = runs.join(format!("{:010}-{}", now.as_secs(), std::process::id()));
        let run = Self { path };
        for folder in [run.given(), run.logs()] {
            fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
        }
        Ok(run)
    }

    /// What the guest sees.
    pub fn given(&self) -> PathBuf {
        self.path.join("given")
    }

    /// The logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The guest's kernel log.
    pub fn console(&self) -> PathBuf {
        self.logs().join("console.log")
    }

    /// Where the initramfs is written.
    pub fn initramfs(&self) -> PathBuf {
        self.path.join("initramfs.cpio")
    }

    /// Gives the guest its job.
    pub fn give_job(&self, job: &guest_init::Job) -> Result<()> {
        let path = self.given().join(JOB_FILE);
        fs::write(&path, serde_json::to_vec(job)?).with_context(|| format!("writing {path:?}"))
    }

    /// Gives the guest the module.
    pub fn give_module(&self, module: &Path) -> Result<()> {
        give(module, &self.given().join(MODULE_FILE))
    }

    /// Gives the guest programs.
    pub fn give_programs(&self, programs: &[PathBuf]) -> Result<()> {
        let folder = self.given().join(PROGRAMS_DIR);
        fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
        for program in programs {
            let name = program
                .file_name()
                .with_context(|| format!("{program:?} has no name"))?;
            give(program, &folder.join(name))?;
        }
        Ok(())
    }

    /// Removes it: the run succeeded.
    pub fn remove(self) {
        // A folder that stays is removed with the oldest ones later.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Builds that go on meanwhile replace files and do not write into them, so a link keeps what was
/// built.
fn give(file: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(file, to).is_ok() {
        return Ok(());
    }
    fs::copy(file, to).with_context(|| format!("copying {file:?} to {to:?}"))?;
    Ok(())
}

fn remove_oldest(runs: &Path) -> Result<()> {
    let entries = fs::read_dir(runs).with_context(|| format!("reading {runs:?}"))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    // The names begin with the time.
    paths.sort();
    for path in paths.iter().rev().skip(KEPT) {
        fs::remove_dir_all(path).with_context(|| format!("removing {path:?}"))?;
    }
    Ok(())
}
