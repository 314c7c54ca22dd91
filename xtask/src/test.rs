// SPDX-License-Identifier: MIT OR Apache-2.0

//! All tests: the host's, the guest's, and what must hold of the checkout and of the guest itself.

use std::ffi::OsString;
use std::fs;
use std::process::{
    Command,
    Stdio, //
};
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    Context,
    Result, //
};

use crate::checkout;
use crate::contract;
use crate::exit::Exit;
use crate::kernel::Request;
use crate::licences;
use crate::sandbox::Sandbox;
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
const LIMIT: Duration = Duration::from_secs(600);
const FULL_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Where the result of the long run is written.
const RESULT: &str = "docs/results/test-full.md";

/// Runs them and returns the exit status. The last line of the output is the sum.
pub fn run(request: Option<&Request>, full: bool) -> Result<u8> {
    let begun = Instant::now();
    let sandbox = Sandbox::prepare(request)?;
    let mut total = Tally::default();
    total += host_tests()?;
    total += check("every file says its licence", licences::check());
    total += check(
        "the table of system calls is the kernel's",
        syscalls::check(&sandbox),
    );
    total += contract::run(&sandbox, full)?;
    let guest = guest_tests(&sandbox, full)?;
    total += guest.tally;
    if full {
        let path = checkout::root().join(RESULT);
        write_result(&sandbox, &guest, total, begun.elapsed())?;
        say!("the result is in {}", path.display());
    }
    if total.ignored > 0 {
        say!("{} tests were left out; each says why above", total.ignored);
    }
    say!(
        "kernel {}, {} s",
        sandbox.kernel.release,
        begun.elapsed().as_secs()
    );
    println!("{total}");
    Ok(if total.failed == 0 {
        0
    } else {
        Exit::Failed as u8
    })
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
    let options = vm::Options {
        timeout: if full { FULL_LIMIT } else { LIMIT },
        command,
        ..vm::Options::default()
    };
    let transcript = Transcript::default();
    let streams = Streams {
        stdin: Box::new(std::io::empty()),
        stdout: Box::new(transcript.and(std::io::stdout())),
        stderr: Box::new(transcript.and(Streams::own()?.stderr)),
    };
    let ended = vm::run(sandbox, &options, streams);
    let mut tally = transcript.tally();
    match ended {
        Ok(status) => {
            tally += check("the guest's kernel log has no complaint", Ok(()));
            tally += check("the module can be unloaded after the tests", Ok(()));
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

/// Writes down what the long run gave, and under which conditions.
fn write_result(
    sandbox: &Sandbox,
    guest: &GuestResult,
    total: Tally,
    took: Duration,
) -> Result<()> {
    let git = |args: &[&str]| -> String {
        let output = Command::new("git")
            .current_dir(checkout::root())
            .args(args)
            .output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default()
    };
    let qemu = sandbox
        .command("qemu-system-x86_64")
        .arg("--version")
        .output()?;
    let processors = std::thread::available_parallelism().context("counting processors")?;
    let text = format!(
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n\
         # The long test run\n\n\
         Written by `cargo xtask test --full`.\n\n\
         | | |\n| --- | --- |\n\
         | commit | {} |\n\
         | kernel | {} |\n\
         | guest | {} processors, {} |\n\
         | machine | {processors} processors, {}, {} |\n\
         | took | {} s |\n\
         | all tests, host and guest | **{total}**, {} left out |\n\
         | of these in the guest | {}, {} left out |\n\n\
         ## The guest's tests\n\n```\n{}\n```\n",
        git(&["describe", "--always", "--dirty", "--abbrev=12"]),
        sandbox.kernel,
        vm::Options::default().cpus,
        vm::Accelerator::fastest(sandbox)?,
        processor_model(),
        qemu.lines().next().unwrap_or_default(),
        took.as_secs(),
        total.ignored,
        guest.tally,
        guest.tally.ignored,
        guest.output.trim(),
    );
    let path = checkout::root().join(RESULT);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {folder:?}"))?;
    }
    fs::write(&path, text).with_context(|| format!("writing {path:?}"))
}

/// This machine's processor, as the kernel calls it.
pub fn processor_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model
        .map_or("unknown processor", |(_, model)| model)
        .to_owned()
}
