// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much room the files below a folder take, as `du` says it: many folders are read at a time,
//! and the files of each are looked at by batches.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::{fd::OwnedFd, unix::ffi::OsStrExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{stream::FuturesUnordered, StreamExt};
use nlcall::{
    op,
    rustix::fs::{AtFlags, FileType, OFlags, Statx, StatxFlags},
    Client,
};

/// Folders, and bytes of entries of each, that are read at a time.
const FOLDERS: usize = 32;
const ENTRIES: usize = 8 << 10;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Total {
    /// Whatever is no folder.
    pub files: u64,
    /// That of the walk included.
    pub folders: u64,
    /// Bytes that are taken on the disk, each file counted once.
    pub bytes: u64,
    /// What could not be looked at, and why.
    pub errors: Vec<String>,
    /// Files with several names that were counted.
    seen: HashSet<(u32, u32, u64)>,
}

/// What one folder holds.
struct Folder {
    path: PathBuf,
    entries: Vec<(CString, Statx)>,
    errors: Vec<String>,
}

impl Folder {
    fn fails(&mut self, name: &CStr, why: nlcall::Errno) {
        let path = self.path.join(OsStr::from_bytes(name.to_bytes()));
        self.errors.push(format!("{}: {why}", path.display()));
    }
}

/// Walks through everything below a folder, without following links.
pub async fn walk(client: &Client, root: &Path) -> Result<Total, nlcall::Error> {
    let mut total = Total::default();
    let mut waiting = vec![root.to_owned()];
    let mut reading = FuturesUnordered::new();
    loop {
        while reading.len() < FOLDERS {
            let Some(path) = waiting.pop() else { break };
            reading.push(read(client, path));
        }
        let Some(folder) = reading.next().await else {
            return Ok(total);
        };
        let folder = folder?;
        total.folders += 1;
        total.errors.extend(folder.errors);
        for (name, stat) in folder.entries {
            if is_folder(&stat) {
                waiting.push(folder.path.join(OsStr::from_bytes(name.as_bytes())));
            }
            total.add(&stat);
        }
    }
}

impl Total {
    fn add(&mut self, stat: &Statx) {
        let id = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        self.files += u64::from(!is_folder(stat));
        if !is_folder(stat) && stat.stx_nlink > 1 && !self.seen.insert(id) {
            return;
        }
        // Blocks of 512 bytes, whatever those of the file system are.
        self.bytes += stat.stx_blocks * 512;
    }
}

fn is_folder(stat: &Statx) -> bool {
    FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory
}

async fn read(client: &Client, path: PathBuf) -> Result<Folder, nlcall::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened = client.submit(op::Open::new(&path).flags(flags)).await?;
    let (entries, errors) = (Vec::new(), Vec::new());
    let mut folder = Folder {
        path,
        entries,
        errors,
    };
    match opened {
        Ok(fd) => look(client, &mut folder, Arc::new(fd)).await?,
        Err(why) => folder.fails(c"", why),
    }
    Ok(folder)
}

/// Reads the entries of an open folder, and looks at each.
async fn look(client: &Client, folder: &mut Folder, fd: Arc<OwnedFd>) -> Result<(), nlcall::Error> {
    let mask = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::BLOCKS;
    let mut buf = Vec::with_capacity(ENTRIES);
    loop {
        let (len, entries) = client.submit(op::ReadDir::new(fd.clone(), buf)).await?;
        if let Err(why) = len {
            folder.fails(c"", why);
        }
        if entries.is_empty() {
            return Ok(());
        }
        let (mut batch, mut stats) = (client.batch(), Vec::new());
        for name in entries.iter().map(|entry| entry.name) {
            if name != c"." && name != c".." {
                let stat = op::Stat::at(Arc::clone(&fd), OsStr::from_bytes(name.to_bytes()));
                let stat = stat.flags(AtFlags::SYMLINK_NOFOLLOW).mask(mask);
                stats.push((name.to_owned(), batch.push(stat)));
            }
        }
        batch.submit().await?;
        for (name, stat) in stats {
            match stat.await? {
                Ok(stat) => folder.entries.push((name, stat)),
                Err(why) => folder.fails(&name, why),
            }
        }
        buf = entries.into_inner();
    }
}

#[allow(dead_code, reason = "a test uses the rest")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::new()?;
    let root = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let total = pollster::block_on(walk(&client, Path::new(&root)))?;
    total.errors.iter().for_each(|error| eprintln!("{error}"));
    let (files, folders, kib) = (total.files, total.folders, total.bytes / 1024);
    println!("{files} files in {folders} folders take {kib} KiB");
    Ok(())
}
