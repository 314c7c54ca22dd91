// SPDX-License-Identifier: MIT OR Apache-2.0

//! One test in a process of its own, and what must be true when it has ended.

use std::{
    env,
    fs::File,
    io::{Read, Seek},
    os::unix::{
        fs::FileExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use libtest_mimic::{Completion, Failed};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{killpg, Signal},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::Pid,
};
use nlcall_tests::{module, patience, session};
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::MemfdFlags,
    process::{pidfd_open, PidfdFlags},
};

use super::{traces, Test, FULL, INSIDE, NOTE, NOTES, PROGRESS, SEED};

/// Exit status of a test that cannot be run here, as automake has it.
pub const SKIPPED: i32 = 77;

/// How often a test is looked at for how far it is.
const LOOK: Duration = Duration::from_secs(60);

/// Makes this process the parent of what tests leave behind, so that it is seen.
pub fn adopt_orphans() {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
}

/// Runs a test and checks that nothing of it is left.
pub fn run(test: &Test) -> Result<Completion, Failed> {
    let references = module::references();
    let sessions = session::all().len();
    let mut output = output_file();
    let folder = tempfile::tempdir().expect("a folder for the test's files");
    let mut child = start(test, &output, folder.path());
    let group = Pid::from_raw(child.id() as i32);
    let patience = patience::scaled(test.patience);
    let status = match wait(&mut child, patience, &output) {
        Some(status) => status,
        None => {
            let traces = traces::of_group(group);
            end(group, &mut child);
            let secs = patience.as_secs();
            let said = said(&mut output);
            return Err(format!("hangs: no end after {secs} s\n{traces}\n{said}").into());
        }
    };
    let left = leftovers(group);
    let said = said(&mut output);
    if status.code() == Some(SKIPPED) {
        return Ok(Completion::ignored_with(said.trim()));
    }
    if !status.success() {
        return Err(format!("{}\n{said}", describe(status)).into());
    }
    left.map_err(|left| format!("{left}\n{said}"))?;
    nothing_held(references, sessions).map_err(|held| format!("{held}\n{said}"))?;
    let notes = said.lines().filter_map(|line| line.strip_prefix(NOTE));
    let notes = notes.map(|note| format!("{}: {note}", test.name));
    super::lock(&NOTES).extend(notes);
    Ok(Completion::Completed)
}

/// A file for what the test says. Unlike a pipe it is over when the test is, whoever still has it.
fn output_file() -> File {
    rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)
        .expect("a file in memory")
        .into()
}

fn start(test: &Test, output: &File, folder: &Path) -> Child {
    let copy = || output.try_clone().expect("a copy of the descriptor");
    let seed = super::given_seed().map(|seed| [SEED.to_owned(), seed.to_string()]);
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command
        .args([INSIDE, &test.path()])
        .args(super::is_full().then_some(FULL))
        .args(seed.iter().flatten())
        .process_group(0)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(copy())
        .stderr(copy());
    command.spawn().expect("this program can be started")
}

/// Waits for the end of a process, and passes on how far it is; none when it takes too long.
fn wait(child: &mut Child, patience: Duration, output: &File) -> Option<ExitStatus> {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd of the test");
    let begun = Instant::now();
    let mut seen = 0;
    loop {
        let left = patience.checked_sub(begun.elapsed())?;
        let timeout = Timespec::try_from(left.min(LOOK)).expect("a time limit");
        let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        if ready.expect("polling a pidfd") > 0 {
            return Some(child.wait().expect("the test is a child of ours"));
        }
        seen += pass_progress_on(output, seen);
    }
}

/// Shows the last line about progress after so many bytes of what a test says. Returns how many
/// there are of them.
fn pass_progress_on(output: &File, seen: u64) -> u64 {
    let all = output.metadata().expect("the size of memory").len();
    let new = all.saturating_sub(seen);
    let mut bytes = vec![0; new as usize];
    // Not from the position, which the test has too.
    let read = output.read_exact_at(&mut bytes, seen);
    read.expect("reading memory");
    let said = String::from_utf8_lossy(&bytes);
    let mut lines = said.lines().rev();
    if let Some(progress) = lines.find_map(|line| line.strip_prefix(PROGRESS)) {
        eprintln!("{progress}");
    }
    new
}

/// Kills the test and its children.
fn end(group: Pid, child: &mut Child) {
    // Whoever ended meanwhile is not missed.
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
    reap();
}

/// Waits until the orphans of a test are gone.
fn leftovers(group: Pid) -> Result<(), String> {
    if patience::holds_eventually(reap) {
        return Ok(());
    }
    let traces = traces::of_group(group);
    let _ = killpg(group, Signal::SIGKILL);
    let _ = patience::holds_eventually(reap);
    Err(format!("processes outlived the test:\n{traces}"))
}

/// Reaps orphans that have ended; true when no child is left.
fn reap() -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Waits until the module is held by no more than before.
fn nothing_held(references: u64, sessions: usize) -> Result<(), String> {
    let mut now = (0, Vec::new());
    let free = patience::holds_eventually(|| {
        now = (module::references(), session::all());
        now.0 <= references && now.1.len() <= sessions
    });
    if free {
        return Ok(());
    }
    Err(format!(
        "after the test the module has {} references, {references} before; {sessions} sessions \
         before, now: {:#?}",
        now.0, now.1
    ))
}

fn said(output: &mut File) -> String {
    let mut bytes = Vec::new();
    output
        .rewind()
        .and_then(|()| output.read_to_end(&mut bytes))
        .expect("reading memory");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the test's process ended with status {code}"),
        (None, Some(signal)) => format!("the test's process was ended by signal {signal}"),
        (None, None) => format!("the test's process ended: {status}"),
    }
}
