// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `vm` promises, held by booting guests: the tests of everything else rest on it.

use std::ffi::OsString;
use std::io::{
    self,
    Cursor,
    Write, //
};
use std::sync::atomic::{
    AtomicU64,
    Ordering, //
};
use std::sync::{
    Arc,
    Mutex,
    PoisonError, //
};
use std::time::Duration;

use crate::exit::{
    self,
    Exit, //
};
use crate::sandbox::{
    Checks,
    Sandbox, //
};
use crate::tally::Tally;
use crate::test::check;
use crate::vm::{
    self,
    Options,
    ShareArgument,
    Streams, //
};
use anyhow::{
    bail,
    ensure,
    Context,
    Result, //
};

/// Status of `nlcall` where the module is not loaded (`EX_UNAVAILABLE`).
const NO_MODULE: u8 = 69;
/// Bytes that a command writes in the long form: more than 32 bits count.
const MANY_BYTES: u64 = 5 << 30;
/// What it writes, over and over. Its length divides no buffer's.
const LINE: &[u8] = b"nlcall\n";
/// How often programs replace each other. Stale code shows in the second round.
const PROGRAM_ROUNDS: u32 = 2;
/// Time for one command in a stock kernel, and for the one that writes all those.
const LIMIT: Duration = Duration::from_secs(60);
const LONG_LIMIT: Duration = Duration::from_secs(3600);

/// Checks each promise in a guest of its own.
pub fn run(sandbox: &Sandbox, full: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    tally += check(
        "vm: streams and status pass unchanged, a shared folder both ways",
        streams_pass(sandbox),
    );
    tally += check(
        "vm: a complaint of the guest's kernel fails the run and shows its log",
        complaint_fails(sandbox),
    );
    if sandbox.checks() == Some(Checks::All) {
        tally += check(
            "vm: everything that the debug kernel is for is switched on",
            checkers_are_on(sandbox),
        );
    }
    // The stock kernel zeroes its pages of its own accord.
    if sandbox.is_debug() {
        tally += check(
            "vm: programs run that are read into pages where others were",
            programs_replace_programs(sandbox),
        );
    }
    // What follows is a matter of this program and takes long: once, with a stock kernel.
    if full && !sandbox.is_debug() {
        tally += check(
            "vm: a command that takes too long is ended",
            timeout_ends(sandbox),
        );
        tally += check("vm: a dead guest fails the run", death_fails(sandbox));
        tally += check(
            "vm: 5 GiB of output arrive as they were written",
            much_output_passes(sandbox),
        );
        tally += check("vm: an instruction counter", counts_instructions(sandbox));
    }
    Ok(tally)
}

/// The outcome of a command in the guest.
struct Ran {
    status: Result<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    /// What the error says and its exit status.
    fn failure(self) -> Result<(String, u8)> {
        match self.status {
            Ok(status) => bail!("the run succeeded, with status {status}"),
            Err(error) => Ok((format!("{error:#}"), exit::status_of(&error))),
        }
    }
}

fn shell(sandbox: &Sandbox, script: &str) -> Options {
    let command = ["sh", "-c", script].map(OsString::from).to_vec();
    Options {
        plain: true,
        timeout: LIMIT * sandbox.patience(),
        command,
        ..Options::default()
    }
}

fn ran(sandbox: &Sandbox, options: &Options, stdin: Vec<u8>) -> Ran {
    let (stdout, stderr) = (Sink::default(), Sink::default());
    let streams = Streams {
        stdin: Box::new(Cursor::new(stdin)),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
    };
    let status = vm::run(sandbox, options, streams);
    Ran {
        status,
        stdout: stdout.take(),
        stderr: stderr.take(),
    }
}

fn streams_pass(sandbox: &Sandbox) -> Result<()> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    std::fs::write(folder.path().join("from-host"), "host\n")?;
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    let mut options = shell(
        sandbox,
        "nlcall call getpid >&2; echo \"without module: $?\" >&2
         cat /mnt/from-host >&2; echo guest > /mnt/from-guest
         cat; kill -KILL $$",
    );
    let share = format!("{}:/mnt", folder.path().display());
    options.shares = vec![share.parse::<ShareArgument>().map_err(anyhow::Error::msg)?];
    let ran = ran(sandbox, &options, every_byte.clone());
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    let status = ran.status?;
    ensure!(
        status == 128 + 9,
        "a command that SIGKILL ended has status {status}; it wrote {stderr:?}"
    );
    ensure!(
        ran.stdout == every_byte,
        "the input did not come back as the output"
    );
    ensure!(
        stderr.contains(&format!("without module: {NO_MODULE}\n")),
        "standard error: {stderr:?}"
    );
    ensure!(stderr.ends_with("\nhost\n"), "standard error: {stderr:?}");
    let written =
        std::fs::read_to_string(folder.path().join("from-guest")).context("the guest's file")?;
    ensure!(written == "guest\n", "the guest's file holds {written:?}");
    Ok(())
}

fn complaint_fails(sandbox: &Sandbox) -> Result<()> {
    let options = shell(
        sandbox,
        "echo '<4>WARNING: made by a test' > /dev/kmsg; sleep 60",
    );
    let (message, status) = ran(sandbox, &options, Vec::new()).failure()?;
    ensure!(
        status == Exit::Guest as u8,
        "the status is {status}: {message}"
    );
    ensure!(
        message.matches("WARNING: made by a test").count() >= 2,
        "the log is not shown: {message}"
    );
    Ok(())
}

/// The files by which each kind of fault can be asked for, and what says that locks and objects are
/// still watched.
fn checkers_are_on(sandbox: &Sandbox) -> Result<()> {
    let options = Options {
        leaks: true,
        ..shell(
            sandbox,
            "set -e; cd /sys/kernel/debug
             for file in failslab/ignore-gfp-wait failslab/stacktrace-depth \
                 fail_page_alloc/min-order fail_usercopy/probability fail_futex/probability \
                 fail_function/inject /proc/self/fail-nth /proc/self/make-it-fail kmemleak \
                 debug_objects/stats; do
                 test -e $file || { echo \"no $file\" >&2; exit 1; }
             done
             grep -q '^ debug_locks: *1$' /proc/lockdep_stats",
        )
    };
    let ran = ran(sandbox, &options, Vec::new());
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    let status = ran.status?;
    ensure!(status == 0, "the status is {status}: {stderr}");
    Ok(())
}

/// Each program is read from the shared folder anew, into memory that held another one's code a
/// moment before.
fn programs_replace_programs(sandbox: &Sandbox) -> Result<()> {
    let script = format!(
        "set -e
         for round in $(seq {PROGRAM_ROUNDS}); do
             python3 -m unittest -q test.test_json.test_scanstring 2>/dev/null
             git --version
             perl -e 'use POSIX; print floor(1.5)'
             openssl version
             sort /etc/passwd
             gcc-14 --version
             xz -c /usr/bin/perl
             bash -c 'echo a | sed s/a/b/ | grep b'
             echo 3 > /proc/sys/vm/drop_caches
         done > /dev/null"
    );
    let ran = ran(sandbox, &shell(sandbox, &script), Vec::new());
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    let status = ran.status?;
    ensure!(status == 0, "the status is {status}: {stderr}");
    Ok(())
}

fn timeout_ends(sandbox: &Sandbox) -> Result<()> {
    let options = Options {
        timeout: Duration::from_secs(2),
        ..shell(sandbox, "sleep 600")
    };
    let (message, status) = ran(sandbox, &options, Vec::new()).failure()?;
    ensure!(
        status == Exit::TimedOut as u8,
        "the status is {status}: {message}"
    );
    Ok(())
}

fn death_fails(sandbox: &Sandbox) -> Result<()> {
    let options = shell(sandbox, "echo b > /proc/sysrq-trigger; sleep 60");
    let (message, status) = ran(sandbox, &options, Vec::new()).failure()?;
    ensure!(
        status == Exit::Guest as u8,
        "the status is {status}: {message}"
    );
    Ok(())
}

fn much_output_passes(sandbox: &Sandbox) -> Result<()> {
    let line = std::str::from_utf8(LINE)?.trim();
    let script = format!(
        "yes {line} | dd bs=1M iflag=fullblock count={} status=none; exit 137",
        MANY_BYTES >> 20
    );
    let options = Options {
        timeout: LONG_LIMIT,
        ..shell(sandbox, &script)
    };
    let sink = LineSink::default();
    let streams = Streams {
        stdin: Box::new(io::empty()),
        stdout: Box::new(sink.clone()),
        stderr: Box::new(io::sink()),
    };
    let status = vm::run(sandbox, &options, streams)?;
    let arrived = sink.arrived.load(Ordering::Acquire);
    ensure!(status == 137, "the status is {status}");
    ensure!(
        arrived == MANY_BYTES,
        "{arrived} bytes arrived of {MANY_BYTES}"
    );
    Ok(())
}

fn counts_instructions(sandbox: &Sandbox) -> Result<()> {
    let options = Options {
        icount: true,
        ..shell(sandbox, "nproc")
    };
    let ran = ran(sandbox, &options, Vec::new());
    ensure!(
        ran.status? == 0 && ran.stdout == b"1\n",
        "there is not one processor: {:?}",
        ran.stdout
    );
    Ok(())
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes nothing but [`LINE`], over and over.
#[derive(Clone, Default)]
struct LineSink {
    arrived: Arc<AtomicU64>,
}

impl Write for LineSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let already = self.arrived.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        let offset = usize::try_from(already % LINE.len() as u64).unwrap_or_default();
        if !bytes
            .iter()
            .eq(LINE.iter().cycle().skip(offset).take(bytes.len()))
        {
            return Err(io::Error::other(format!(
                "wrong bytes in the piece that begins at {already}"
            )));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
