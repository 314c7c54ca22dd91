// SPDX-License-Identifier: MIT OR Apache-2.0

//! All tests: the host's, the guest's, and what must hold of the checkout and of the guest itself.
//! With the kernel that checks, only those in which the kernel has a part.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    Context,
    Result, //
};

use crate::checkout;
use crate::conditions;
use crate::contract;
use crate::dist;
use crate::header;
use crate::licences;
use crate::sandbox::{
    Choice,
    Extra,
    Sandbox, //
};
use crate::say::say;
use crate::syscalls;
use crate::tally::{
    Tally,
    Transcript, //
};
use crate::vm::{
    self,
    Streams, //
};

/// The tests that run in the guest.
const GUEST_TESTS: &str = "nlcall-guest-tests";
/// Time that they may take, and that the long ones may take.
const LIMIT: Duration = Duration::from_secs(1800);
const FULL_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// Where the results of long runs are written.
const RESULTS: &str = "docs/results";
/// What a short run leaves out, and how to run it.
const REST: &str = "this was the short run; the rest: `cargo xtask test` with --full, --oracle, \
                    --kernel debug, --kernel kcsan, --kernel 7.2; `cargo xtask soak`; the fuzzers \
                    (docs/reliability.md)";

/// Runs them and returns the exit status. The last line of the output is the sum.
pub fn run(choice: Option<&Choice>, full: bool) -> Result<u8> {
    let begun = Instant::now();
    let sandbox = Sandbox::prepare(choice)?;
    sandbox.add(Extra::Programs)?;
    sandbox.add(Extra::Tracers)?;
    let mut total = Tally::default();
    // The kernel has no part in these: they are done once, with a stock one.
    if !sandbox.is_debug() {
        total += host_tests()?;
        total += check("every file says its licence", licences::check());
    }
    total += check(
        "the table of system calls is the kernel's",
        syscalls::check(&sandbox),
    );
    total += check(
        "the C header is the specification's, for C and C++",
        header::check(&sandbox),
    );
    total += contract::run(&sandbox, full)?;
    // DKMS builds for stock kernels, whose headers are packages.
    if full && !sandbox.is_debug() {
        total += match dist::check(&sandbox) {
            Ok(tally) => tally,
            Err(error) => check("the packages are tried to the end", Err(error)),
        };
    }
    let guest = guest_tests(&sandbox, full)?;
    total += guest.tally;
    if full {
        let path = write_result(&sandbox, &guest, total, begun.elapsed())?;
        say!("the result is in {}", path.display());
    }
    if total.ignored > 0 {
        say!("{} tests were left out; each says why above", total.ignored);
    }
    if !full {
        say!("{REST}");
    }
    say!(
        "kernel {}, {} s",
        sandbox.release(),
        begun.elapsed().as_secs()
    );
    println!("{total}");
    Ok(total.status())
}

/// Prints the result of a check as test runners do.
pub fn check(what: &str, result: Result<()>) -> Tally {
    match result {
        Ok(()) => {
            println!("test {what} ... ok");
            Tally::PASSED
        }
        Err(error) => {
            println!("test {what} ... FAILED");
            say!("{error:#}");
            Tally::FAILED
        }
    }
}

/// The tests of all members of the workspace.
fn host_tests() -> Result<Tally> {
    let mut child = checkout::cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let mut output = child
        .stdout
        .take()
        .context("cargo's output is not connected")?;
    let transcript = Transcript::default();
    std::io::copy(&mut output, &mut transcript.and(std::io::stdout()))
        .context("passing cargo's output on")?;
    let status = child.wait().context("waiting for cargo")?;
    let mut tally = transcript.tally();
    if !status.success() && tally.failed == 0 {
        say!("the host's tests did not build, or did not run to their end ({status})");
        tally += Tally::FAILED;
    }
    Ok(tally)
}

/// What the guest's tests gave.
struct GuestResult {
    tally: Tally,
    output: String,
}

/// The tests in the guest, and what must hold after them: a kernel log without a complaint, and a
/// module that could be unloaded.
fn guest_tests(sandbox: &Sandbox, full: bool) -> Result<GuestResult> {
    let mut command = vec![OsString::from(GUEST_TESTS)];
    if full {
        command.push("--full".into());
    }
    let limit = if full { FULL_LIMIT } else { LIMIT };
    let options = vm::Options {
        timeout: limit * sandbox.patience(),
        leaks: sandbox.finds_leaks(),
        command,
        ..vm::Options::default()
    };
    let transcript = Transcript::default();
    let ended = vm::run(sandbox, &options, Streams::kept(&transcript)?);
    let mut tally = transcript.tally();
    match ended {
        Ok(status) => {
            tally += check("the guest's kernel log has no complaint", Ok(()));
            tally += check("the module can be unloaded after the tests", Ok(()));
            if options.leaks {
                tally += check("the kernel has lost no memory", Ok(()));
            }
            if status != 0 && tally.failed == 0 || tally.passed + tally.ignored == 0 {
                say!("{GUEST_TESTS} ended with status {status} and without a failed test");
                tally += Tally::FAILED;
            }
        }
        Err(error) => tally += check("the guest runs the tests to their end", Err(error)),
    }
    Ok(GuestResult {
        tally,
        output: transcript.text(),
    })
}

/// Writes down what the long run gave, and under which conditions. Returns where: each kernel has a
/// file of its own.
fn write_result(
    sandbox: &Sandbox,
    guest: &GuestResult,
    total: Tally,
    took: Duration,
) -> Result<PathBuf> {
    let (mut file, mut command) = ("test-full".to_owned(), "cargo xtask test --full".to_owned());
    if let Some(kernel) = sandbox.other_kernel() {
        file += &format!("-{kernel}");
        command += &format!(" --kernel {kernel}");
    }
    let text = format!(
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n\
         # The long test run\n\n\
         Written by `{command}`.\n\n\
         | | |\n| --- | --- |\n{}\
         | took | {} s |\n\
         | all tests | **{total}**, {} left out |\n\
         | of these in the guest | {}, {} left out |\n\n\
         ## The guest's tests\n\n```\n{}\n```\n",
        conditions::rows(sandbox)?,
        took.as_secs(),
        total.ignored,
        guest.tally,
        guest.tally.ignored,
        guest.output.trim(),
    );
    let folder = checkout::root().join(RESULTS);
    fs::create_dir_all(&folder).with_context(|| format!("making {folder:?}"))?;
    let path = folder.join(file + ".md");
    fs::write(&path, text).with_context(|| format!("writing {path:?}"))?;
    Ok(path)
}
