// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds the library that `nlcall run` loads into programs, so that the command carries it along.
//!
//! It is a package of the same workspace, built without the standard library and with other flags
//! than the command, and therefore by a cargo of its own, in a target folder of its own.

use std::env;
use std::path::{
    Path,
    PathBuf, //
};
use std::process::Command;

const PACKAGE: &str = "nlcall-run";
/// The sources that it is made of, beside this package.
const SOURCES: &[&str] = &["../run", "../abi", "../Cargo.toml"];

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", here.join(source).display());
    }
    let library = build(&here.join("../run/Cargo.toml"));
    println!("cargo::rustc-env=NLCALL_RUN_LIBRARY={}", library.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo did not set {name}"))
}

/// Builds the library and says where it is.
fn build(manifest: &Path) -> PathBuf {
    let target = variable("TARGET");
    let folder = PathBuf::from(variable("OUT_DIR")).join("run");
    let mut command = Command::new(variable("CARGO"));
    command
        .args(["rustc", "--quiet", "--release", "--lib", "--locked"])
        .args(["--crate-type", "cdylib", "--features", "preload"])
        .args(["--target", &target, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&folder)
        // No file of the C library or the compiler's runtime belongs to it, and nothing is looked
        // up when a function is first called: that may be in the middle of anything.
        .args([
            "--",
            "-Clink-args=-nostartfiles -nostdlib -Wl,-z,now,-z,defs",
        ])
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        // Flags for the command are not for the library: it is linked dynamically, whatever the
        // command is.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cforce-unwind-tables=yes");
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        command.env_remove(name);
    }
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("starting cargo for {PACKAGE}: {error}"));
    assert!(status.success(), "{PACKAGE} does not build (see above)");
    folder.join(target).join("release/libnlcall_run.so")
}
