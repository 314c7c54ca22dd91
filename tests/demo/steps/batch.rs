// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls that a script wrote down.

use anyhow::{ensure, Context, Result};

use super::run;
use crate::report::Report;

/// A file opened, measured, read as long as it is, and closed: four lines of JSON.
pub fn run_lines(report: &mut Report) -> Result<()> {
    const BYTES: &str = "as long as it is";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    std::fs::write(&path, BYTES)?;
    let path = path.to_str().context("a path in UTF-8")?;
    let lines = [
        format!(
            r#"{{"id": "open", "call": "openat", "args": ["AT_FDCWD", "{path}", "O_RDONLY"], "flags": ["link"]}}"#
        ),
        r#"{"id": "stat", "call": "fstat", "args": [{"result_of": "open"}, "@"], "flags": ["link"]}"#
            .to_owned(),
        r#"{"call": "read", "args": [{"result_of": "open"}, "@100", {"load_from": "stat", "offset": 48, "width": 8}], "flags": ["hardlink"]}"#
            .to_owned(),
        r#"{"call": "close", "args": [{"result_of": "open"}]}"#.to_owned(),
    ];
    let file = folder.path().join("calls.json");
    std::fs::write(&file, lines.join("\n"))?;
    for line in &lines {
        report.show(line);
    }
    report.show("$ nlcall batch calls.json");
    let file = file.to_str().context("a path in UTF-8")?;
    let printed = String::from_utf8(run("nlcall", &["batch", file])?.stdout)?;
    let mut shown = Vec::new();
    for line in printed.lines() {
        // What is for people comes last.
        let (_, line) = line
            .rsplit_once("\"line\":\"")
            .context("a line for people")?;
        let line = line.trim_end_matches("\"}").replace("\\\"", "\"");
        report.show(&line);
        shown.push(line);
    }
    ensure!(shown.len() == lines.len(), "one line for each call");
    let read = format!("\"{BYTES}\"");
    ensure!(shown[2].contains(&read), "the bytes of the file");
    ensure!(
        shown[2].ends_with(&format!("= {}", BYTES.len())),
        "as many as it has"
    );
    ensure!(shown[3].ends_with(") = 0"), "it was closed");
    report
        .checked("as many bytes were asked for as fstat had found, and they are those of the file");
    Ok(())
}
