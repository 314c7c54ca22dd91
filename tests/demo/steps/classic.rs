// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;

use anyhow::{ensure, Context, Result};

use crate::report::Report;

/// Raw netlink protocol 28, `struct readi`, four bytes.
pub fn run(report: &mut Report) -> Result<()> {
    let file = "/etc/os-release";
    let output = super::run("classic", &[file])?;
    let shown = String::from_utf8_lossy(&output.stdout);
    report.show(format_args!("$ classic {file}"));
    report.show(shown.trim_end());
    let plain = fs::read(file).with_context(|| format!("reading {file}"))?;
    ensure!(
        output.stdout.strip_suffix(b"\n") == plain.get(..4),
        "the file begins otherwise"
    );
    report.checked("a plain read of the file gives the same first four bytes");
    Ok(())
}
