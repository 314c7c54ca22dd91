// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, Stdio},
};

use anyhow::{ensure, Context, Result};
use sha2::{Digest, Sha256};

use crate::report::Report;

const FILE: &str = "64-MiB";
const BYTES: usize = 64 << 20;
const PIECE: usize = 1 << 20;

/// Several reads in flight, and every byte in its place.
pub fn run(report: &mut Report) -> Result<()> {
    let written = write().with_context(|| format!("writing {FILE}"))?;
    let mut child = Command::new("nlcall")
        .args(["cat", FILE])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting nlcall")?;
    let output = child
        .stdout
        .take()
        .context("nlcall's output is not connected")?;
    let (bytes, read) = hash(output)?;
    let status = child.wait()?;
    report.show(format_args!("$ nlcall cat {FILE} | sha256sum"));
    report.show(format_args!("{read} ({bytes} bytes)"));
    ensure!(status.success(), "nlcall cat ended with {status}");
    ensure!(bytes == BYTES, "{bytes} bytes came, not {BYTES}");
    ensure!(read == written, "the file's SHA-256 is {written}");
    std::fs::remove_file(FILE)?;
    report.checked("the SHA-256 of the random bytes that were written to the file is the same");
    Ok(())
}

/// Writes random bytes and returns their hash.
fn write() -> Result<String> {
    let mut random = fastrand::Rng::new();
    let mut file = File::create(FILE)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    for _ in 0..BYTES / PIECE {
        random.fill(&mut piece);
        hash.update(&piece);
        file.write_all(&piece)?;
    }
    Ok(hex(hash))
}

fn hash(mut from: impl Read) -> Result<(usize, String)> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    loop {
        let length = from.read(&mut piece).context("reading nlcall's output")?;
        if length == 0 {
            return Ok((total, hex(hash)));
        }
        hash.update(&piece[..length]);
        total += length;
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
