// SPDX-License-Identifier: MIT OR Apache-2.0

//! A walk through 100,000 files: the examples of the library, and what they are compared with.

use std::{
    ffi::{CStr, CString},
    fs,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    thread,
};

use anyhow::{ensure, Context, Result};
use io_uring::{opcode, squeue, types::Fd, IoUring};
use nlcall::{op::Entries, Client, Driver};
use rustix::fs::{openat, statx, AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags, CWD};
use syscalls::{raw::syscall3, Sysno};

use crate::{
    contender::{uring, Contender, Job, Offer, Refusal, Run},
    work::signed,
};

#[path = "../../client/examples/async_walker.rs"]
#[allow(
    missing_docs,
    reason = "an example documents what a reader of it needs"
)]
mod async_walker;
#[path = "../../client/examples/walker.rs"]
#[allow(missing_docs, clippy::expect_used, reason = "as above")]
mod walker;

/// Files of the tree.
pub const FILES: usize = 100_000;
/// Those of one folder, and folders of one above that.
const PER_FOLDER: usize = 100;
const PER_GROUP: usize = 25;

/// Bytes of entries that are read at a time, and folders that a ring has open.
const ENTRIES: usize = 32 << 10;
const FOLDERS: usize = 32;
/// Entries of the ring.
const RING: usize = 8192;

const FLAGS: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const MASK: StatxFlags = StatxFlags::TYPE.union(StatxFlags::SIZE);

/// What a walk counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    files: u64,
    folders: u64,
    errors: usize,
}

/// Makes the tree.
pub fn plant(root: &Path) -> Result<()> {
    for folder in 0..FILES / PER_FOLDER {
        let path = root
            .join(format!("group-{:02}", folder / PER_GROUP))
            .join(format!("folder-{folder:04}"));
        fs::create_dir_all(&path).with_context(|| format!("making {path:?}"))?;
        for file in 0..PER_FOLDER {
            let path = path.join(format!("file-number-{file:02}.txt"));
            fs::write(&path, []).with_context(|| format!("writing {path:?}"))?;
        }
    }
    // What is written back now is not written back during the measurement.
    rustix::fs::sync();
    Ok(())
}

/// A walk through the tree.
pub fn job(contender: Contender, root: &Path) -> Offer {
    let root = root.to_owned();
    let mut walk: Box<dyn FnMut() -> Result<Found>> = match contender {
        Contender::Plain => Box::new(move || plain(&root)),
        Contender::Inline => {
            let threads = thread::available_parallelism()?.get();
            Box::new(move || {
                let found = walker::walk(&root, threads)?;
                Ok(Found {
                    files: found.files,
                    folders: found.folders,
                    errors: found.errors.len(),
                })
            })
        }
        Contender::Worker => through_client(&root, Driver::Netlink)?,
        Contender::Pool => through_client(&root, Driver::Threads)?,
        Contender::Uring => {
            let mut ring = uring::ring(RING)?;
            Box::new(move || in_ring(&mut ring, &root))
        }
        Contender::Aio => {
            return Err(Refusal::NotPossible(
                "POSIX AIO only reads, writes and syncs",
            ))
        }
    };
    let expected = Found {
        files: FILES as u64,
        // The one that is walked through is one of them.
        folders: (1 + FILES / PER_FOLDER + FILES / PER_FOLDER / PER_GROUP) as u64,
        errors: 0,
    };
    Ok(Job {
        operations: FILES,
        run: Run::Whole(Box::new(move || {
            let found = walk()?;
            ensure!(found == expected, "a walk found {found:?}");
            Ok(())
        })),
    })
}

/// The asynchronous example.
fn through_client(root: &Path, driver: Driver) -> Result<Box<dyn FnMut() -> Result<Found>>> {
    let client = Client::builder().driver(driver).open()?;
    let root = root.to_owned();
    Ok(Box::new(move || {
        let found = pollster::block_on(async_walker::walk(&client, &root))?;
        Ok(Found {
            files: found.files,
            folders: found.folders,
            errors: found.errors.len(),
        })
    }))
}

/// One call after the other.
fn plain(root: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut waiting = vec![c_string(root)?];
    let mut buf = Vec::with_capacity(ENTRIES);
    while let Some(path) = waiting.pop() {
        found.folders += 1;
        let fd = openat(CWD, &path, FLAGS, Mode::empty())?;
        let mut entries = RawDir::new(&fd, buf.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let stat = statx(&fd, name, AtFlags::SYMLINK_NOFOLLOW, MASK)?;
                if found.add(stat.stx_mode) {
                    waiting.push(join(&path, name)?);
                }
            }
        }
    }
    Ok(found)
}

/// A folder that is open, and the entries of it that were read last.
struct Folder {
    path: CString,
    fd: OwnedFd,
    entries: Entries<Vec<u8>>,
}

/// With many folders open at a time, as the example for nlcall has them. There is no operation that
/// reads a directory: that is done by plain calls.
fn in_ring(ring: &mut IoUring, root: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut waiting = vec![c_string(root)?];
    let mut open: Vec<Folder> = Vec::new();
    let mut spare = vec![vec![0; ENTRIES]; FOLDERS];
    let mut stats: Box<[MaybeUninit<libc::statx>]> = Box::new_uninit_slice(RING);
    while !waiting.is_empty() || !open.is_empty() {
        let paths = waiting.split_off(waiting.len().saturating_sub(spare.len()));
        found.folders += paths.len() as u64;
        let opens = paths.iter().map(|path| {
            let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr());
            open.flags(FLAGS.bits() as i32).build()
        });
        for (path, fd) in paths.iter().zip(make(ring, opens)?) {
            // SAFETY: the call that succeeded has opened it for this.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let entries = Entries::new(spare.pop().context("a buffer for each")?, 0);
            let path = path.clone();
            open.push(Folder { path, fd, entries });
        }
        open = open.into_iter().map(Folder::list).collect::<Result<_>>()?;

        let entries = open
            .iter()
            .flat_map(|folder| folder.entries.iter().map(move |entry| (folder, entry.name)))
            .filter(|(_, name)| *name != c"." && *name != c"..");
        let mut names = Vec::with_capacity(RING);
        let looks = entries.zip(&mut stats).map(|((folder, name), stat)| {
            names.push((&folder.path, name));
            let fd = Fd(folder.fd.as_raw_fd());
            opcode::Statx::new(fd, name.as_ptr(), stat.as_mut_ptr().cast())
                .flags(AtFlags::SYMLINK_NOFOLLOW.bits() as i32)
                .mask(MASK.bits())
                .build()
        });
        let looked_at = make(ring, looks)?.len();
        ensure!(looked_at < RING, "a ring holds less than these folders");
        for ((path, name), stat) in names.into_iter().zip(&stats) {
            // SAFETY: the call succeeded, and filled it.
            if found.add(unsafe { stat.assume_init_ref() }.stx_mode) {
                waiting.push(join(path, name)?);
            }
        }
        let (over, more) = open.into_iter().partition(|it| it.entries.is_empty());
        open = more;
        spare.extend(
            Vec::from_iter(over)
                .into_iter()
                .map(|it: Folder| it.entries.into_inner()),
        );
    }
    Ok(found)
}

/// Makes these calls in one go. All of them succeed, and what they return is in their order.
fn make(ring: &mut IoUring, calls: impl Iterator<Item = squeue::Entry>) -> Result<Vec<i32>> {
    let mut count = 0;
    for call in calls {
        // SAFETY: what the callers' entries point to outlives the calls, which are over when this
        // returns, and each has its own memory.
        unsafe { ring.submission().push(&call.user_data(count)) }.context("filling the ring")?;
        count += 1;
    }
    let mut returned = vec![0; count as usize];
    if count > 0 {
        ring.submit_and_wait(count as usize)
            .context("io_uring_enter")?;
    }
    for completion in ring.completion() {
        let errno = -completion.result();
        ensure!(
            errno <= 0,
            "entry {}: errno {errno}",
            completion.user_data()
        );
        returned[completion.user_data() as usize] = completion.result();
        count -= 1;
    }
    ensure!(count == 0, "{count} completions are missing");
    Ok(returned)
}

impl Folder {
    /// Reads the next entries.
    fn list(self) -> Result<Self> {
        let mut buf = self.entries.into_inner();
        let (fd, at) = (self.fd.as_raw_fd() as usize, buf.as_mut_ptr() as usize);
        // SAFETY: the kernel writes to the buffer, and no more than it holds.
        let len = signed(unsafe { syscall3(Sysno::getdents64 as usize, fd, at, buf.len()) });
        let entries = Entries::new(buf, len.try_into().context("reading a folder")?);
        Ok(Self { entries, ..self })
    }
}

impl Found {
    /// Counts a file, and returns whether it is a folder.
    fn add(&mut self, mode: u16) -> bool {
        let is_folder = FileType::from_raw_mode(mode.into()) == FileType::Directory;
        self.files += u64::from(!is_folder);
        is_folder
    }
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path with a zero byte")
}

fn join(folder: &CStr, name: &CStr) -> Result<CString> {
    let path = [folder.to_bytes(), b"/", name.to_bytes()].concat();
    CString::new(path).context("a path with a zero byte")
}
