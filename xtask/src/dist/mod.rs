// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian packages: the command, and the module as a source that DKMS builds.
//!
//! Their files are put together below `target/dist`; `dpkg-deb`, in the sandbox, makes the packages.

mod check;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::{
    Command,
    Stdio, //
};

use anyhow::{
    ensure,
    Context,
    Result, //
};

pub use self::check::check;

use crate::checkout;
use crate::header;
use crate::kernel::SUPPORTED;
use crate::module;
use crate::programs;
use crate::sandbox::Sandbox;

/// Version of the packages: that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Maintainer scripts and what DKMS reads, in the checkout.
const DKMS_FILES: &str = "packages/nlcall-dkms";
/// Where the staged files are inside the tree.
const INSIDE: &str = "/nlcall/dist";

/// Builds the packages of the workspace's version into `target/dist`, and returns their paths.
pub fn build(sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
    build_version(sandbox, VERSION, &checkout::target().join("dist"))
}

/// Builds the packages as those of a version, into a folder that then holds nothing else.
fn build_version(sandbox: &Sandbox, version: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {folder:?}"))?;
    }
    let packages = [command(folder, version)?, dkms(folder, version)?];
    packages
        .iter()
        .map(|package| package.build(sandbox, folder))
        .collect()
}

/// A package whose files are put together.
struct Package {
    name: &'static str,
    version: String,
    architecture: &'static str,
    /// Its files below this folder, as they will be below `/`.
    root: PathBuf,
    /// The rest of its control file.
    control: String,
}

impl Package {
    fn begin(
        folder: &Path,
        name: &'static str,
        version: &str,
        architecture: &'static str,
    ) -> Result<Self> {
        let package = Self {
            name,
            version: version.to_owned(),
            architecture,
            root: folder.join(name),
            control: String::new(),
        };
        let documentation = format!("usr/share/doc/{name}");
        for file in ["README.md", "CHANGELOG.md"] {
            package.copy(file, &format!("{documentation}/{file}"))?;
        }
        package.add(
            &format!("{documentation}/copyright"),
            "The module: GPL-2.0-only. The wire format and its descriptions: (GPL-2.0-only WITH\n\
             Linux-syscall-note) OR BSD-3-Clause. The command: MIT OR Apache-2.0.\n\
             Each source file says which holds for it.\n",
        )?;
        Ok(package)
    }

    /// Adds a file with these contents.
    fn add(&self, path: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.root.join(path);
        let parent = path.parent().context("a file in no folder")?;
        fs::create_dir_all(parent).with_context(|| format!("making {parent:?}"))?;
        fs::write(&path, contents).with_context(|| format!("writing {path:?}"))?;
        Ok(path)
    }

    /// Adds a program.
    fn add_program(&self, path: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.add(path, contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("changing the mode of {path:?}"))?;
        Ok(path)
    }

    /// Adds a file of the checkout.
    fn copy(&self, file: impl AsRef<Path>, path: &str) -> Result<PathBuf> {
        let source = checkout::root().join(file);
        self.add(
            path,
            fs::read(&source).with_context(|| format!("reading {source:?}"))?,
        )
    }

    /// Makes the package and returns its path.
    fn build(&self, sandbox: &Sandbox, folder: &Path) -> Result<PathBuf> {
        let Self {
            name,
            version,
            architecture,
            control,
            ..
        } = self;
        self.add(
            "DEBIAN/control",
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
                 Maintainer: The nlcall developers <nlcall@localhost>\nPriority: optional\n{control}"
            ),
        )?;
        let file = format!("{name}_{version}_{architecture}.deb");
        // Manual pages are compressed without a date, so that equal ones make an equal package.
        let script = format!(
            "set -e
             if [ -d {name}/usr/share/man ]; then
                 find {name}/usr/share/man -type f -exec gzip -9n {{}} +
             fi
             chmod -R go=u,go-w {name}
             dpkg-deb --root-owner-group --build {name} {file}"
        );
        sandbox
            .command("sh")
            .bind(folder, INSIDE)
            .folder(INSIDE)
            .args(["-c", &script])
            .output()
            .with_context(|| format!("making {file}"))?;
        Ok(folder.join(file))
    }
}

/// The command, with all that it says about itself, and the description of the protocol.
fn command(folder: &Path, version: &str) -> Result<Package> {
    let mut package = Package::begin(folder, "nlcall", version, "amd64")?;
    let program = programs::command()?;
    let contents = fs::read(&program).with_context(|| format!("reading {program:?}"))?;
    package.add_program("usr/bin/nlcall", contents)?;
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/nlcall"),
        ("zsh", "usr/share/zsh/vendor-completions/_nlcall"),
        ("fish", "usr/share/fish/vendor_completions.d/nlcall.fish"),
    ] {
        package.add(path, says(&program, &["completions", shell])?)?;
    }
    let pages = package.root.join("usr/share/man/man1");
    says(&program, &["man", &pages.to_string_lossy()])?;
    package.copy("abi/nlcall.yaml", "usr/share/ynl/specs/nlcall.yaml")?;
    package.copy(header::path(), "usr/include/nlcall.h")?;
    package.control = "Section: admin\nRecommends: nlcall-dkms\n\
        Description: any Linux system call, asynchronously, as a netlink message\n \
        The command nlcall, the description of the protocol for the kernel's ynl command and\n \
        other tools, and its header for C. The kernel module is in nlcall-dkms.\n"
        .to_owned();
    Ok(package)
}

/// What the command prints.
fn says(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {program:?}"))?;
    ensure!(
        output.status.success(),
        "{program:?} {arguments:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(output.stdout)
}

/// The module's source, and how DKMS builds it.
fn dkms(folder: &Path, version: &str) -> Result<Package> {
    let mut package = Package::begin(folder, "nlcall-dkms", version, "all")?;
    let source = format!("usr/src/nlcall-{version}");
    module::copy_sources(&package.root.join(&source))?;
    let series = SUPPORTED.join("|").replace('.', "[.]");
    for (file, to) in [
        ("dkms.conf", format!("{source}/dkms.conf")),
        ("build-module", format!("{source}/build-module")),
        ("postinst", "DEBIAN/postinst".to_owned()),
        ("prerm", "DEBIAN/prerm".to_owned()),
        ("postrm", "DEBIAN/postrm".to_owned()),
    ] {
        let path = checkout::root().join(DKMS_FILES).join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
        let text = text
            .replace("@VERSION@", version)
            .replace("@SERIES@", &format!("({series})"));
        match file {
            "dkms.conf" => package.add(&to, text)?,
            _ => package.add_program(&to, text)?,
        };
    }
    let sources: Vec<_> = SUPPORTED
        .iter()
        .map(|series| format!("linux-source-{series}"))
        .collect();
    package.control = format!(
        "Section: kernel\n\
         Depends: dkms, rustc, rust-src, bindgen, gcc-14, libc6-dev, make, bc, bison, flex, \
         libdw-dev, libelf-dev, libssl-dev, pahole, perl, python3-minimal, xz-utils, kmod\n\
         Recommends: {}, linux-headers-cloud-amd64 | linux-headers-amd64\n\
         Description: kernel module of nlcall, as a source that DKMS builds\n \
         Makes the Rust artifacts of the kernel that its headers leave out, from its source\n \
         package; once for each version of a kernel's packages.\n",
        sources.join(" | "),
    );
    Ok(package)
}
