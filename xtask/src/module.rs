// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds the kernel module in the sandbox.
//!
//! The sources are copied into a folder of the cache that belongs to this checkout, so that
//! Kbuild's products stay out of it. A file is copied only when its contents changed, so Kbuild
//! rebuilds only what it must.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::path::{
    Path,
    PathBuf, //
};
use std::sync::LazyLock;

use anyhow::{
    Context,
    Result, //
};
use regex::Regex;
use sha2::{
    Digest,
    Sha256, //
};

use crate::cache::{
    self,
    Lock, //
};
use crate::chamber::Chamber;
use crate::checkout;
use crate::exit::{
    Exit,
    Failure, //
};
use crate::sandbox::Sandbox;

/// What the module is made of, in the checkout. Their places relative to each other matter: the
/// module includes the wire format by path.
const SOURCES: &[&str] = &[MODULE, "abi/src"];
/// The module's own folder.
const MODULE: &str = "kmod";
/// The build folder, inside the tree.
const INSIDE: &str = "/nlcall/build";

/// Builds `nlcall.ko` for the sandbox's kernel and returns its path.
pub fn build(sandbox: &Sandbox) -> Result<PathBuf> {
    let checkout = checkout::root();
    let build = build_folder(&checkout, &sandbox.kernel_name())?;
    let _lock = Lock::take(&build.join("lock"), "building the module")?;
    let mut fingerprint = Sha256::new();
    for source in SOURCES {
        mirror(
            &checkout.join(source),
            &build.join(source),
            &mut fingerprint,
        )?;
    }
    fingerprint.update(sandbox.tree().as_os_str().as_encoded_bytes());
    let mut make = make(sandbox, &build)?;
    for word in make.words() {
        add(&mut fingerprint, word.as_encoded_bytes());
    }
    let fingerprint = hex(&fingerprint.finalize());
    let module = build.join(MODULE).join("nlcall.ko");
    let stamp = build.join("built");
    let is_built = fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == fingerprint);
    if is_built && module.exists() {
        return Ok(module);
    }
    run(&mut make, sandbox.release())?;
    fs::write(&stamp, fingerprint).with_context(|| format!("writing {stamp:?}"))?;
    Ok(module)
}

/// Copies what the module is made of into a folder, without the tests.
pub fn copy_sources(to: &Path) -> Result<()> {
    let checkout = checkout::root();
    for source in SOURCES {
        let to = to.join(source);
        mirror(&checkout.join(source), &to, &mut Sha256::new())?;
    }
    let tests = to.join(MODULE).join("tests");
    fs::remove_dir_all(&tests).with_context(|| format!("removing {tests:?}"))
}

/// Kbuild, for the module.
fn make(sandbox: &Sandbox, build: &Path) -> Result<Chamber> {
    let jobs = std::thread::available_parallelism()?;
    let mut make = sandbox.make();
    make.bind(build, INSIDE).args([
        format!("M={INSIDE}/{MODULE}"),
        format!("-j{jobs}"),
        "modules".to_owned(),
    ]);
    Ok(make)
}

/// Runs Kbuild. What the compilers say goes to standard error.
fn run(make: &mut Chamber, release: &str) -> Result<()> {
    let output = make
        .command()?
        .output()
        .context("starting make in the sandbox")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    for line in messages.lines().filter(|line| !is_expected(line)) {
        eprintln!("{}", with_path_of_checkout(line));
    }
    if !output.status.success() {
        return Err(Failure::new(
            Exit::Failed,
            format!("the module does not build for {release} (see above)"),
        )
        .into());
    }
    Ok(())
}

/// The line with the path that a file has in the checkout, so that an editor finds it. The
/// compilers run in the module's folder.
fn with_path_of_checkout(line: &str) -> Cow<'_, str> {
    static PATH: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"^(\s*--> |In file included from |\s+from )?([\w./-]+\.(?:rs|c|h):\d+)";
        Regex::new(pattern).unwrap_or_else(|error| panic!("the pattern is wrong: {error}"))
    });
    let Some(found) = PATH.captures(line) else {
        return Cow::Borrowed(line);
    };
    let before = found.get(1).map_or("", |before| before.as_str());
    let path = &found[2];
    let path = match path.strip_prefix(INSIDE) {
        Some(path) => path.trim_start_matches('/').to_owned(),
        None if path.starts_with('/') => path.to_owned(),
        None => match path.strip_prefix("../") {
            Some(path) => path.to_owned(),
            None => format!("{MODULE}/{path}"),
        },
    };
    let rest = &line[found[0].len()..];
    Cow::Owned(format!("{before}{path}{rest}"))
}

/// Messages of Kbuild about the sandbox itself.
fn is_expected(line: &str) -> bool {
    // Type information for modules needs the kernel's own, which the stock packages carry without
    // its debug information; nothing here uses it.
    line.starts_with("Skipping BTF generation for")
}

/// The build folder of a checkout for a kernel.
fn build_folder(checkout: &Path, kernel: &str) -> Result<PathBuf> {
    let key = hex(&Sha256::digest(checkout.as_os_str().as_encoded_bytes()));
    let folder = cache::folder()?
        .join("builds")
        .join(format!("{}-{kernel}", &key[..8]));
    fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
    Ok(folder)
}

/// Makes the sources in `to` those in `from`, leaving Kbuild's products alone, and adds them to the
/// fingerprint.
fn mirror(from: &Path, to: &Path, fingerprint: &mut Sha256) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {to:?}"))?;
    let names = entries(from)?;
    for old in entries(to)? {
        if is_source(&old) && !names.contains(&old) {
            fs::remove_file(to.join(&old))
                .with_context(|| format!("removing {:?}", to.join(&old)))?;
        }
    }
    for name in names {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            mirror(&source, &copy, fingerprint)?;
        } else if is_source(&name) {
            let contents = fs::read(&source).with_context(|| format!("reading {source:?}"))?;
            add(fingerprint, name.as_encoded_bytes());
            add(fingerprint, &contents);
            if !fs::read(&copy).is_ok_and(|copied| copied == contents) {
                fs::write(&copy, contents).with_context(|| format!("writing {copy:?}"))?;
            }
        }
    }
    Ok(())
}

/// Adds bytes to a fingerprint so that no other bytes in their place give the same one.
fn add(fingerprint: &mut Sha256, bytes: &[u8]) {
    fingerprint.update(bytes.len().to_le_bytes());
    fingerprint.update(bytes);
}

/// The names in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {folder:?}"))?;
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("reading {folder:?}"))?;
    names.sort();
    Ok(names)
}

/// Whether this is a file that people write, and not one of Kbuild's products.
fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_product = name.ends_with(".mod.c") || name.starts_with('.');
    let is_written = [".rs", ".c", ".h"]
        .iter()
        .any(|extension| name.ends_with(extension))
        || matches!(&*name, "Kbuild" | "Makefile");
    is_written && !is_product
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_files_as_the_checkout_does() {
        for (said, shown) in [
            ("   --> session.rs:416:19", "   --> kmod/session.rs:416:19"),
            ("  --> ../abi/src/wire.rs:3:1", "  --> abi/src/wire.rs:3:1"),
            ("shim.c:12:5: error: x", "kmod/shim.c:12:5: error: x"),
            (
                "/nlcall/build/kmod/shim.c:1:2: note: y",
                "kmod/shim.c:1:2: note: y",
            ),
            (
                "/usr/src/nlcall/x/include/linux/net.h:9:1: note: z",
                "/usr/src/nlcall/x/include/linux/net.h:9:1: note: z",
            ),
            ("error[E0599]: no method", "error[E0599]: no method"),
            ("416 |     inner.rs:1", "416 |     inner.rs:1"),
        ] {
            assert_eq!(with_path_of_checkout(said), shown);
        }
    }

    #[test]
    fn a_mirror_follows_its_original_and_keeps_products() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::write(from.join("a.rs"), "1").unwrap();
        fs::write(from.join("deep/b.c"), "2").unwrap();
        fs::write(from.join("Cargo.toml"), "3").unwrap();
        let print = |from: &Path| {
            let mut fingerprint = Sha256::new();
            mirror(from, &to, &mut fingerprint).unwrap();
            hex(&fingerprint.finalize())
        };
        let first = print(&from);
        fs::write(to.join("a.o"), "product").unwrap();
        fs::write(to.join("nlcall.mod.c"), "product").unwrap();
        assert_eq!(print(&from), first);
        assert_eq!(fs::read_to_string(to.join("deep/b.c")).unwrap(), "2");
        assert!(!to.join("Cargo.toml").exists());
        fs::remove_file(from.join("a.rs")).unwrap();
        assert_ne!(print(&from), first);
        assert!(!to.join("a.rs").exists());
        assert!(to.join("a.o").exists());
        assert!(to.join("nlcall.mod.c").exists());
    }
}
