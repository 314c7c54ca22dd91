// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs the job's command, with its standard streams on ports of their own.

use std::fs::File;
use std::io::{
    self,
    Read,
    Write, //
};
use std::path::Path;
use std::process::{
    Command,
    Stdio, //
};
use std::thread::{
    self,
    JoinHandle, //
};
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    bail,
    Context,
    Result, //
};
use guest_init::{
    port as port_name,
    Finished,
    Job,
    MODULE_FILE,
    PATIENCE_VARIABLE,
    PROGRAMS_DIR,
    RUN_DIR, //
};
use rustix::io::Errno;
use rustix::process::{
    Pid,
    Signal,
    WaitOptions,
    WaitStatus, //
};

use crate::port;

/// Fresh and empty: the command's working directory.
const FOLDER: &str = "/tmp/work";
/// Largest piece that a relay carries.
const PIECE_BYTES: usize = 256 * 1024;
/// How long processes may take to end once they have been killed, in a stock kernel.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit statuses of a command that cannot be started, as shells have them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the command to its end, kills what it leaves behind, and waits until its output has been
/// passed on.
pub fn run(job: &Job) -> Result<Finished> {
    let input = port::open(port_name::STDIN)?;
    let output = port::open(port_name::STDOUT)?;
    let mut errors = port::open(port_name::STDERR)?;
    let [program, args @ ..] = job.command.as_slice() else {
        bail!("the job has no command");
    };
    std::fs::create_dir_all(FOLDER).with_context(|| format!("making {FOLDER}"))?;
    let programs = Path::new(RUN_DIR).join(PROGRAMS_DIR);
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        programs.display()
    );
    // The program is looked up in the path of this process, not of the command.
    std::env::set_var("PATH", &path);
    let started = Command::new(program)
        .args(args)
        .current_dir(FOLDER)
        .env_clear()
        .env("PATH", &path)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LANG", "C.UTF-8")
        .env("NLCALL_MODULE", Path::new(RUN_DIR).join(MODULE_FILE))
        .env(PATIENCE_VARIABLE, job.patience.to_string())
        .envs(job.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let message = format!("{}: {error}\n", program.to_string_lossy());
            errors
                .write_all(message.as_bytes())
                .context("writing to the port of standard error")?;
            let status = if error.kind() == io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            };
            return Ok(Finished {
                status,
                stdout_bytes: 0,
                stderr_bytes: message.len() as u64,
            });
        }
    };
    let pid = Pid::from_child(&child);
    if let Some(to) = child.stdin.take() {
        // Ends with the machine if the host has more to say than the command reads.
        thread::spawn(move || copy(input, to));
    }
    let stdout = child.stdout.take().map(|from| relay(from, output));
    let stderr = child.stderr.take().map(|from| relay(from, errors));
    let status = wait_for(pid)?;
    end_all_others(PATIENCE * job.patience)?;
    Ok(Finished {
        status,
        stdout_bytes: join(stdout)?,
        stderr_bytes: join(stderr)?,
    })
}

fn relay<R: Read + Send + 'static>(from: R, to: File) -> JoinHandle<io::Result<u64>> {
    thread::spawn(move || copy(from, to))
}

fn join(relay: Option<JoinHandle<io::Result<u64>>>) -> Result<u64> {
    let relay = relay.context("the command's output is not connected")?;
    relay
        .join()
        .ok()
        .context("a relay of the command's output died")?
        .context("passing the command's output on")
}

/// Copies to the end, piece by piece: the reader's pace is the writer's.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut total = 0;
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return Ok(total),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&piece[..length])?;
        total += length as u64;
    }
}

/// Waits for this process, reaping every orphan that ends meanwhile.
fn wait_for(pid: Pid) -> Result<u8> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => return Ok(exit_status(status)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the command"),
        }
    }
}

/// As a shell says it.
fn exit_status(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Kills every other process and waits until none is left, as long as this.
fn end_all_others(patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        // To kill(2) the process group of the first process means: every process but the first.
        match rustix::process::kill_process_group(Pid::INIT, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error).context("killing the last processes"),
        }
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => {
                if begun.elapsed() > patience {
                    bail!(
                        "processes outlived SIGKILL for {} s:{}",
                        patience.as_secs(),
                        processes()
                    );
                }
                thread::sleep(Duration::from_millis(2));
            }
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error).context("waiting for the last processes"),
        }
    }
}

/// Every process but this one and the kernel's own, with its state.
fn processes() -> String {
    let mut list = String::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let is_thread_of_kernel =
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.is_empty());
        if entry.file_name() != "1" && (!is_thread_of_kernel || stat.contains(" Z ")) {
            let beginning: Vec<_> = stat.split(' ').take(3).collect();
            list.push_str(&format!("\n  {}", beginning.join(" ")));
        }
    }
    list
}
