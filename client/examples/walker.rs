// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many files are below a folder, and how long they are together. Threads share the folders of
//! a level; each makes all calls of a step itself, INLINE, with one message.

use std::ffi::{CStr, CString};
use std::{iter::zip, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path, thread};

use libc::{statx, AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW};
use nlcall::raw::{Batch, Call, CallFlags, Results, Session};
use nlcall::{op::Entries, Errno, Error};

/// Folders that are read at a time, and bytes of entries of each. An entry has 24 of them at least.
const FOLDERS: usize = 32;
const ENTRIES: usize = 32 << 10;

/// What a walk found; `bytes` is how long the files are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Total {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) folders: u64,
    pub(crate) errors: Vec<String>,
}

/// Walks through everything below a folder, without following links, with so many threads.
pub fn walk(root: &Path, threads: usize) -> Result<Total, Error> {
    let mut total = Total::default();
    let mut level = vec![CString::new(root.as_os_str().as_bytes()).unwrap_or_default()];
    while !level.is_empty() {
        total.folders += level.len() as u64;
        let (own, rest) = level.split_at(level.len().div_ceil(threads));
        let found = thread::scope(|scope| {
            let shares = rest.chunks(own.len()).map(|it| scope.spawn(|| read(it)));
            let others = Vec::from_iter(shares)
                .into_iter()
                .map(|it| it.join().expect("no panic"));
            let all = std::iter::once(read(own)).chain(others);
            all.collect::<Result<Vec<_>, _>>()
        })?;
        level.clear();
        for (part, below) in found {
            level.extend(below);
            total.files += part.files;
            total.bytes += part.bytes;
            total.errors.extend(part.errors);
        }
    }
    Ok(total)
}

/// Looks at everything in these folders. Returns the folders among that as well.
fn read(folders: &[CString]) -> Result<(Total, Vec<CString>), Error> {
    let (mut total, mut below, mut calls) = (Total::default(), Vec::new(), Batch::new());
    let mut entries = vec![0; FOLDERS * ENTRIES];
    let mut stats = Box::new_uninit_slice(FOLDERS * ENTRIES / 24);
    let (session, mut results) = (Session::open()?, Results::new());
    for paths in folders.chunks(FOLDERS) {
        let mut open = Vec::new();
        let opens = paths.iter().map(|path| opening(path));
        session.submit_into(&opens.collect(), &mut results)?;
        for ((path, done), buf) in zip(zip(paths, results.iter()), entries.chunks_mut(ENTRIES)) {
            let fd = done
                .result()
                .map_err(|why| total.errors.push(error(path, c"", why)));
            open.extend(fd.ok().map(|fd| (path, fd, buf)));
        }
        while !open.is_empty() {
            let reads = open.iter_mut().map(|(_, fd, buf)| listing(*fd, buf));
            session.submit_into(&reads.collect(), &mut results)?;
            let (mut lists, mut names) = (Vec::new(), Vec::with_capacity(4096));
            for (done, (path, fd, buf)) in zip(results.iter(), &open) {
                let len = done
                    .result()
                    .map_err(|why| total.errors.push(error(path, c"", why)));
                lists.push((path, *fd, Entries::new(&**buf, len.unwrap_or(0) as usize)));
            }
            calls.clear();
            for (path, fd, list) in &lists {
                let all = list.iter().map(|entry| entry.name);
                for name in all.filter(|name| *name != c"." && *name != c"..") {
                    calls.push(looking(*fd, name, &mut stats[names.len()]));
                    names.push((path, name));
                }
            }
            let over = lists.iter().filter(|(_, _, list)| list.is_empty());
            let over = Vec::from_iter(over.map(|(_, fd, _)| *fd));
            calls.extend(over.iter().map(|fd| call(libc::SYS_close, &[*fd])));
            session.submit_into(&calls, &mut results)?;
            for (((path, name), stat), done) in zip(zip(names, &stats), results.iter()) {
                // SAFETY: where the call succeeded, it filled it.
                match done.result().map(|_| unsafe { stat.assume_init_ref() }) {
                    Ok(stat) if u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFDIR => {
                        below.push(join(path, name));
                    }
                    Ok(stat) => {
                        total.files += 1;
                        total.bytes += stat.stx_size;
                    }
                    Err(why) => total.errors.push(error(path, name, why)),
                }
            }
            open.retain(|(_, fd, _)| !over.contains(fd));
        }
    }
    Ok((total, below))
}

fn call(nr: i64, args: &[u64]) -> Call {
    // SAFETY: `read` keeps what the addresses refer to, and looks at it when the calls are over; the
    // descriptors are its own.
    unsafe { Call::new(nr as u32, args) }.flags(CallFlags::INLINE)
}

fn opening(path: &CStr) -> Call {
    let (path, flags) = (path.as_ptr() as u64, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    call(libc::SYS_openat, &[AT_FDCWD as u64, path, flags as u64])
}

fn listing(fd: u64, buf: &mut [u8]) -> Call {
    call(
        libc::SYS_getdents64,
        &[fd, buf.as_mut_ptr() as u64, ENTRIES as u64],
    )
}

fn looking(fd: u64, name: &CStr, stat: &mut MaybeUninit<statx>) -> Call {
    const FLAGS: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;
    const MASK: u64 = (libc::STATX_TYPE | libc::STATX_SIZE) as u64;
    let (name, stat) = (name.as_ptr() as u64, stat.as_mut_ptr() as u64);
    call(libc::SYS_statx, &[fd, name, FLAGS, MASK, stat])
}

fn join(folder: &CStr, name: &CStr) -> CString {
    let path = [folder.to_bytes(), b"/", name.to_bytes()].concat();
    CString::new(path).expect("neither has a zero byte")
}

fn error(folder: &CStr, name: &CStr, why: Errno) -> String {
    format!("{:?}: {why}", join(folder, name))
}

#[allow(dead_code, reason = "a test uses the rest")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let found = walk(Path::new(&root), thread::available_parallelism()?.get())?;
    println!("{found:#?}");
    Ok(())
}
