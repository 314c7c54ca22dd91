// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every file says under which licence it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{
    ensure,
    Context,
    Result, //
};

use crate::checkout;
use crate::exit::{
    Exit,
    Failure, //
};

/// What the line holds. Split, so that this file does not count twice.
const MARK: &str = concat!("SPDX-License-", "Identifier:");
/// The line stands among the first ones: a script's first is its interpreter.
const LINES: usize = 5;
/// Files whose format has no comments, or that tools write.
const WITHOUT: &[&str] = &["Cargo.lock", ".gitignore", ".gitattributes", "rustfmt.toml"];
/// Folders of files that are licences, prose or data.
const FOLDERS_WITHOUT: &[&str] = &["LICENSES/", "docs/results/", "fuzz/corpus/"];
/// Formats that have no comments.
const EXTENSIONS_WITHOUT: &[&str] = &["md", "json", "svg", "txt", "proptest-regressions", "snap"];

/// Fails where a file that git knows lacks the line, naming each.
pub fn check() -> Result<()> {
    let root = checkout::root();
    let output = Command::new("git")
        .current_dir(&root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("starting git")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout).context("the names of the files")?;
    let mut missing = Vec::new();
    for name in names
        .split('\0')
        .filter(|name| !name.is_empty() && must_have(name))
    {
        let path = root.join(name);
        // A file that was removed and not yet committed.
        let Ok(bytes) = fs::read(&path) else { continue };
        if !has(&String::from_utf8_lossy(&bytes)) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing.iter().map(|name| format!("\n  {name}")).collect();
    Err(Failure::new(
        Exit::Failed,
        format!("files without a licence line ({MARK} ...):{list}"),
    )
    .into())
}

fn must_have(name: &str) -> bool {
    let path = Path::new(name);
    let is = |list: &[&str], part: Option<&std::ffi::OsStr>| {
        part.and_then(std::ffi::OsStr::to_str)
            .is_some_and(|part| list.contains(&part))
    };
    !is(WITHOUT, path.file_name())
        && !is(EXTENSIONS_WITHOUT, path.extension())
        && !FOLDERS_WITHOUT
            .iter()
            .any(|folder| name.starts_with(folder))
}

fn has(text: &str) -> bool {
    text.lines().take(LINES).any(|line| line.contains(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_must_have_the_line_and_data_need_not() {
        assert!(must_have("kmod/shim.c"));
        assert!(must_have(".ci/run"));
        assert!(must_have("kmod/Kbuild"));
        assert!(!must_have("README.md"));
        assert!(!must_have("Cargo.lock"));
        assert!(!must_have("docs/results/test-full.json"));
    }

    #[test]
    fn the_line_stands_at_the_top() {
        assert!(has(&format!("#!/bin/sh\n# {MARK} MIT\n")));
        assert!(!has(&format!("\n\n\n\n\n\n// {MARK} MIT\n")));
        assert!(!has("fn main() {}\n"));
    }
}
