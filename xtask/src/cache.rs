// SPDX-License-Identifier: MIT OR Apache-2.0

//! The folder that keeps what takes long to make, and locks on parts of it.

use std::fs::File;
use std::io::{
    Read,
    Seek,
    Write, //
};
use std::path::{
    Path,
    PathBuf, //
};

use anyhow::{
    Context,
    Result, //
};
use rustix::fs::FlockOperation;
use sha2::{
    Digest,
    Sha256, //
};

use crate::exit::{
    Exit,
    Failure, //
};
use crate::say::say;

/// `$NLCALL_CACHE`, `$XDG_CACHE_HOME/nlcall` or `~/.cache/nlcall`, made when missing.
pub fn folder() -> Result<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = variable("NLCALL_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("nlcall")))
        .or_else(|| Some(variable("HOME")?.join(".cache/nlcall")))
        .ok_or_else(|| {
            Failure::new(
                Exit::Machine,
                "no place for the sandbox: set NLCALL_CACHE to a folder",
            )
        })?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("making the cache folder {folder:?}"))?;
    folder
        .canonicalize()
        .with_context(|| format!("looking up the cache folder {folder:?}"))
}

/// A short name for what is made of these parts: other parts have another one.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update("\n");
    }
    hash.finalize()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The right to change a part of the cache, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock in this file, waiting for another run that holds it, and saying so.
    pub fn take(path: &Path, purpose: &str) -> Result<Self> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("opening the lock {path:?}"))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            say!("process {} is {purpose}; waiting for it", holder.trim());
            rustix::fs::flock(&file, FlockOperation::LockExclusive)
                .with_context(|| format!("waiting for the lock {path:?}"))?;
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}
