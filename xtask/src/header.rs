// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C header of the wire format, which is made of its specification.

use std::fs;
use std::path::PathBuf;

use anyhow::{
    Context,
    Result, //
};

use crate::checkout;
use crate::exit::{
    Exit,
    Failure, //
};
use crate::sandbox::{
    Extra,
    Sandbox, //
};

/// Its folder in the checkout, which holds nothing else, and its name there.
pub const FOLDER: &str = "abi/include";
const FILE: &str = "nlcall.h";
/// Where compilers see that folder.
pub const INSIDE: &str = "/nlcall/include";
/// The languages that it is written for, and the compiler of each.
const LANGUAGES: &[(&str, &str, &[&str])] = &[
    ("C11", "gcc-14", &["-x", "c", "-std=c11"]),
    ("C++11", "g++-14", &["-x", "c++", "-std=c++11"]),
    ("C++20", "g++-14", &["-x", "c++", "-std=c++20"]),
];

/// Where it is.
pub fn path() -> PathBuf {
    checkout::root().join(FOLDER).join(FILE)
}

/// Writes it.
pub fn write() -> Result<PathBuf> {
    let path = path();
    fs::write(&path, made()?).with_context(|| format!("writing {path:?}"))?;
    Ok(path)
}

fn made() -> Result<String> {
    nlcall_spec::header().context("making the header")
}

/// Fails where the checkout's is another, or does not compile without a warning in one of the
/// languages. It asserts its own layout.
pub fn check(sandbox: &Sandbox) -> Result<()> {
    let path = path();
    let present = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
    if present != made()? {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{FOLDER}/{FILE} is not what the specification makes; `cargo xtask header` writes \
                 it anew"
            ),
        )
        .into());
    }
    sandbox.add(Extra::Languages)?;
    for (language, compiler, options) in LANGUAGES {
        let output = sandbox
            .command(compiler)
            .bind_read_only(&checkout::root().join(FOLDER), INSIDE)
            .args(options.iter().copied())
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .arg(format!("{INSIDE}/{FILE}"))
            .command()?
            .output()
            .context("starting the compiler in the sandbox")?;
        if !output.status.success() {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{FOLDER}/{FILE} is no header for {language}:\n{}",
                    String::from_utf8_lossy(&output.stderr).trim_end()
                ),
            )
            .into());
        }
    }
    Ok(())
}
