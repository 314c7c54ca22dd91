// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds what runs in the guest.
//!
//! Rust programs are linked statically, so that they run in the guest whatever C library this
//! machine has. The C programs under `tests/programs` are compiled in the sandbox, against the
//! guest's own library.

use std::ffi::OsString;
use std::fs;
use std::io::BufReader;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::{
    Command,
    Stdio, //
};

use anyhow::{
    bail,
    Context,
    Result, //
};
use cargo_metadata::Message;

use crate::checkout;
use crate::exit::{
    Exit,
    Failure, //
};
use crate::sandbox::Sandbox;

/// The target that this machine can always link for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The package of the guest's first process.
const INIT: &str = "nlcall-guest-init";
/// The packages whose programs are on the guest's PATH.
const PACKAGES: &[&str] = &[
    "nlcall-cli",
    "nlcall-tests",
    "nlcall-oracle",
    "nlcall-bench",
];
/// C programs of the checkout.
const C_PROGRAMS: &str = "tests/programs";

/// Builds the guest's first process.
pub fn init() -> Result<PathBuf> {
    let programs = build(&[INIT])?;
    programs
        .into_iter()
        .next()
        .context("cargo built no program for the guest's first process")
}

/// Builds all programs that the guest has on its PATH.
pub fn all(sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
    let mut programs = build(PACKAGES)?;
    programs.extend(c_programs(sandbox)?);
    Ok(programs)
}

/// Where guest programs are built, apart from the host's.
fn target() -> PathBuf {
    checkout::target().join("guest")
}

fn build(packages: &[&str]) -> Result<Vec<PathBuf>> {
    check_static_library()?;
    let mut command = checkout::cargo();
    command
        .args([
            "build",
            "--quiet",
            "--release",
            "--bins",
            "--target",
            TARGET,
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("starting cargo")?;
    let output = child
        .stdout
        .take()
        .context("cargo's output is not connected")?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message.context("reading cargo's messages")? {
            programs.extend(artifact.executable.map(PathBuf::from));
        }
    }
    if !child.wait().context("waiting for cargo")?.success() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the guest's programs do not build: {} (see above)",
                packages.join(", ")
            ),
        )
        .into());
    }
    Ok(programs)
}

/// Static linking needs the C library as an archive; some systems keep it in a package of its own.
fn check_static_library() -> Result<()> {
    let output = Command::new("cc").arg("-print-file-name=libc.a").output();
    let found = output.is_ok_and(|output| {
        let path = OsString::from(String::from_utf8_lossy(&output.stdout).trim());
        Path::new(&path).is_absolute()
    });
    if found {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Machine,
        "the C library for static linking (libc.a) is missing; install it: libc6-dev on Debian and Ubuntu, \
         glibc-static on Fedora",
    )
    .into())
}

/// Compiles the C programs that are newer than what was made of them.
fn c_programs(sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
    let sources = checkout::root().join(C_PROGRAMS);
    let products = target().join("c-programs");
    fs::create_dir_all(&products).with_context(|| format!("making {products:?}"))?;
    let mut programs = Vec::new();
    let Ok(entries) = fs::read_dir(&sources) else {
        return Ok(programs);
    };
    for entry in entries {
        let source = entry
            .with_context(|| format!("reading {sources:?}"))?
            .path();
        if source.extension().is_none_or(|extension| extension != "c") {
            continue;
        }
        let name = source
            .file_stem()
            .context("a program without a name")?
            .to_owned();
        let product = products.join(&name);
        if !is_newer(&product, &source) {
            compile(sandbox, &sources, &products, &name.to_string_lossy())?;
        }
        programs.push(product);
    }
    Ok(programs)
}

fn is_newer(product: &Path, source: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    matches!((changed(product), changed(source)), (Ok(product), Ok(source)) if product > source)
}

fn compile(sandbox: &Sandbox, sources: &Path, products: &Path, name: &str) -> Result<()> {
    let output = sandbox
        .command("gcc-14")
        .bind_read_only(sources, "/nlcall/sources")
        .bind(products, "/nlcall/products")
        .folder("/nlcall/sources")
        .args(["-O2", "-Wall", "-pthread", "-o"])
        .args([format!("/nlcall/products/{name}"), format!("{name}.c")])
        .command()?
        .output()
        .context("starting the compiler in the sandbox")?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{C_PROGRAMS}/{name}.c does not compile (see above)");
    }
    Ok(())
}
