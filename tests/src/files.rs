// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many small files, and what it takes to read one.

use std::{fs, mem::offset_of};

use nlcall::raw::{Arg, Call, CallFlags, Chain};

use crate::memory::Memory;

/// A file with contents of its own.
#[derive(Debug)]
pub struct Contents {
    path: Memory,
    contents: Vec<u8>,
}

/// Files in a folder of their own, which goes with them.
#[derive(Debug)]
pub struct Files {
    files: Vec<Contents>,
    _folder: tempfile::TempDir,
}

impl Files {
    /// So many, of many lengths below 4 KiB.
    pub fn make(count: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = (0..count).map(|number| {
            let contents: Vec<u8> = (0..number * 7 % 4096)
                .map(|at| (at * 31 + number) as u8)
                .collect();
            let path = folder.path().join(format!("file-{number}"));
            fs::write(&path, &contents).expect("writing a file");
            Contents {
                path: Memory::string(path.to_str().expect("a path in UTF-8")),
                contents,
            }
        });
        Self {
            files: files.collect(),
            _folder: folder,
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Contents> {
        self.files.iter()
    }
}

impl Contents {
    /// What it holds.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// Opens the file, measures, reads and closes it; the memory that its contents come to.
    pub fn chain(&self, flags: CallFlags) -> (Chain, Memory) {
        let call = |nr: libc::c_long, args: &[Arg]| {
            // SAFETY: all memory is of the kind that is never freed; descriptors are the chain's.
            unsafe { Call::with_args(nr as u32, args) }
        };
        let stat = Memory::zeroed(size_of::<libc::stat>());
        let to = Memory::zeroed(self.contents.len().max(1));
        let path = Arg::Value(self.path.address());
        let hard = flags | CallFlags::HARDLINK;

        let mut chain = Chain::new();
        let open = call(libc::SYS_openat, &[libc::AT_FDCWD.into(), path]);
        let open = chain.push(open.flags(flags));
        let measure = [open.result(), Arg::OutPtr(stat.address())];
        let measure = chain.push(call(libc::SYS_fstat, &measure).flags(hard));
        let size = measure.load::<i64>(offset_of!(libc::stat, st_size) as u32);
        let read = [open.result(), Arg::Value(to.address()), size];
        chain.push(call(libc::SYS_read, &read).flags(hard));
        chain.push(call(libc::SYS_close, &[open.result()]).flags(flags));
        (chain, to)
    }
}
