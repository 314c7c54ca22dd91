// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds what runs in the guest.
//!
//! Rust programs are linked statically, so that they run in the guest whatever C library this
//! machine has. C programs are compiled in the sandbox, against the guest's own library.

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
use crate::header;
use crate::sandbox::{
    Extra,
    Sandbox, //
};

/// The target that this machine can always link for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The package of the guest's first process.
const INIT: &str = "nlcall-guest-init";
/// The package of the command.
const COMMAND: &str = "nlcall-cli";
/// The packages whose programs are on the guest's PATH.
const PACKAGES: &[&str] = &[COMMAND, "nlcall-tests", "nlcall-oracle", "nlcall-bench"];

/// C programs of the checkout, one a file.
struct CPrograms {
    folder: &'static str,
    /// What they need of the sandbox; without it they are not there.
    needs: Option<Extra>,
    /// How they are compiled.
    options: &'static [&'static str],
    libraries: &'static [&'static str],
}

const C_PROGRAMS: &[CPrograms] = &[
    CPrograms {
        folder: "tests/programs",
        needs: None,
        options: &["-O2", "-Wall", "-pthread"],
        libraries: &[],
    },
    CPrograms {
        folder: "examples/c",
        needs: Some(Extra::Languages),
        options: &["-O2", "-Wall", "-Wextra", "-Werror"],
        libraries: &["-lmnl"],
    },
];

/// Builds the guest's first process.
pub fn init() -> Result<PathBuf> {
    let programs = build(&[INIT])?;
    programs
        .into_iter()
        .next()
        .context("cargo built no program for the guest's first process")
}

/// Builds the command.
pub fn command() -> Result<PathBuf> {
    let programs = build(&[COMMAND])?;
    programs
        .into_iter()
        .next()
        .context("cargo built no command")
}

/// Builds all programs that the guest has on its PATH.
pub fn all(sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
    let mut programs = build(PACKAGES)?;
    for some in C_PROGRAMS {
        if some.needs.is_none_or(|extra| sandbox.has(extra)) {
            programs.extend(some.build(sandbox)?);
        }
    }
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

impl CPrograms {
    /// Compiles those that changed, or whose header did.
    fn build(&self, sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
        let root = checkout::root();
        let (sources, header) = (root.join(self.folder), header::path());
        let products = target().join("c-programs").join(self.folder);
        fs::create_dir_all(&products).with_context(|| format!("making {products:?}"))?;
        let mut programs = Vec::new();
        for entry in fs::read_dir(&sources).with_context(|| format!("reading {sources:?}"))? {
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
            if !is_newer(&product, &source) || !is_newer(&product, &header) {
                self.compile(sandbox, &sources, &products, &name.to_string_lossy())?;
            }
            programs.push(product);
        }
        Ok(programs)
    }

    fn compile(
        &self,
        sandbox: &Sandbox,
        sources: &Path,
        products: &Path,
        name: &str,
    ) -> Result<()> {
        let output = sandbox
            .command("gcc-14")
            .bind_read_only(sources, "/nlcall/sources")
            .bind_read_only(&checkout::root().join(header::FOLDER), header::INSIDE)
            .bind(products, "/nlcall/products")
            .folder("/nlcall/sources")
            .args(self.options.iter().copied())
            .arg(format!("-I{}", header::INSIDE))
            .args(["-o".to_owned(), format!("/nlcall/products/{name}")])
            .arg(format!("{name}.c"))
            .args(self.libraries.iter().copied())
            .command()?
            .output()
            .context("starting the compiler in the sandbox")?;
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            bail!("{}/{name}.c does not compile (see above)", self.folder);
        }
        Ok(())
    }
}

fn is_newer(product: &Path, source: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    matches!((changed(product), changed(source)), (Ok(product), Ok(source)) if product > source)
}
