// SPDX-License-Identifier: MIT OR Apache-2.0

//! The archive that the kernel starts from: the first process, and a console for it.

use std::fs::File;
use std::io::{
    BufWriter,
    Write, //
};
use std::path::Path;

use anyhow::{
    Context,
    Result, //
};
use cpio::newc::{
    self,
    Builder,
    ModeFileType, //
};

/// Writes the archive with this program as the first process.
pub fn write(path: &Path, init: &Path) -> Result<()> {
    let init = std::fs::read(init).with_context(|| format!("reading {init:?}"))?;
    let file = File::create(path).with_context(|| format!("making {path:?}"))?;
    let entries = [
        Entry::folder("dev"),
        Entry::console("dev/console"),
        Entry::program("init", &init),
    ];
    let mut archive = BufWriter::new(file);
    for entry in entries {
        let size = u32::try_from(entry.contents.len()).context("the first process is too large")?;
        let mut writer = entry.header.write(&mut archive, size);
        writer
            .write_all(entry.contents)
            .with_context(|| format!("writing {path:?}"))?;
        writer
            .finish()
            .with_context(|| format!("writing {path:?}"))?;
    }
    newc::trailer(&mut archive)
        .and_then(|archive| archive.flush())
        .with_context(|| format!("writing {path:?}"))
}

struct Entry<'a> {
    header: Builder,
    contents: &'a [u8],
}

impl<'a> Entry<'a> {
    fn folder(name: &str) -> Self {
        let header = Builder::new(name)
            .mode(0o755)
            .set_mode_file_type(ModeFileType::Directory);
        Self {
            header,
            contents: &[],
        }
    }

    /// The kernel gives its first process this file as standard input, output and error.
    fn console(name: &str) -> Self {
        let header = Builder::new(name)
            .mode(0o600)
            .set_mode_file_type(ModeFileType::Char)
            .rdev_major(5)
            .rdev_minor(1);
        Self {
            header,
            contents: &[],
        }
    }

    fn program(name: &str, contents: &'a [u8]) -> Self {
        let header = Builder::new(name)
            .mode(0o755)
            .set_mode_file_type(ModeFileType::Regular);
        Self { header, contents }
    }
}
