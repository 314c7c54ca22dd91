// SPDX-License-Identifier: MIT OR Apache-2.0

//! The log rotator of the library's examples, and the rotation of a log with its program's help.

use std::{
    fs::{self, File},
    io::{Read, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure, Context, Result};
use rustix::{
    io::dup2,
    process::{kill_process, set_parent_process_death_signal, waitpid, Pid, Signal, WaitOptions},
};

use crate::contender::{Contender, Job, Offer, Refusal, Run};

#[path = "../../client/examples/log_rotator.rs"]
#[allow(
    missing_docs,
    reason = "an example documents what a reader of it needs"
)]
mod log_rotator;

/// Old logs that are kept.
const KEPT: usize = 3;

/// One rotation.
pub fn job(contender: Contender, root: &Path) -> Offer {
    fs::create_dir_all(root)?;
    let log = root.join(format!("{contender}.log"));
    let mut program = Program::start(&log)?;
    let mut rotate: Box<dyn FnMut() -> Result<()>> = match contender {
        Contender::Plain => Box::new(move || program.rotate()),
        Contender::Worker => Box::new(move || {
            let pid = program.pid.as_raw_nonzero().get() as u32;
            match log_rotator::rotate(pid, &program.log, KEPT) {
                Ok(writers) => ensure!(writers == 1, "{writers} descriptors write to it"),
                Err(error) => bail!("{error}"),
            }
            Ok(())
        }),
        Contender::Inline => return Err(Refusal::NotPossible("the program is another one")),
        _ => return Err(Refusal::NotPossible("it makes no calls in other processes")),
    };
    rotate()?;
    let (old, new) = (
        fs::metadata(log.with_extension("log.1"))?,
        fs::metadata(&log)?,
    );
    if old.len() != 1 || new.len() != 0 {
        return Err(anyhow::anyhow!("a rotation that moved no log").into());
    }
    Ok(Job {
        operations: 1,
        run: Run::Whole(Box::new(rotate)),
    })
}

/// A program that has written a byte to its log.
struct Program {
    pid: Pid,
    log: PathBuf,
    /// Here it says that it has opened its log again.
    answers: File,
}

impl Program {
    fn start(log: &Path) -> Result<Self> {
        let (ours, theirs) = rustix::pipe::pipe().context("making a pipe")?;
        // SAFETY: the process of a contender has one thread, so that the child finds no lock taken.
        match unsafe { libc::fork() } {
            -1 => Err(std::io::Error::last_os_error()).context("making a process"),
            0 => {
                drop(ours);
                let _ = write_on(log, theirs);
                // SAFETY: ends the process without running what its parent registered for its own
                // exit.
                unsafe { libc::_exit(1) }
            }
            pid => {
                let mut program = Self {
                    pid: Pid::from_raw(pid).context("a process without a number")?,
                    log: log.to_owned(),
                    answers: ours.into(),
                };
                program.answer()?;
                Ok(program)
            }
        }
    }

    fn answer(&mut self) -> Result<()> {
        self.answers
            .read_exact(&mut [0])
            .context("the program died")
    }

    /// As such programs are rotated: the log gets another name, and the program a signal.
    fn rotate(&mut self) -> Result<()> {
        log_rotator::put_away(&self.log, KEPT)?;
        kill_process(self.pid, Signal::HUP)?;
        self.answer()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have died already.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The program's side: opens its log again at each SIGHUP.
fn write_on(log: &Path, answers: OwnedFd) -> Result<()> {
    // A contender is killed when it has been measured, and then nobody else ends this.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut answers = File::from(answers);
    let mut hang_up = MaybeUninit::uninit();
    // SAFETY: the set is made empty before anything is put into it.
    let hang_up = unsafe {
        libc::sigemptyset(hang_up.as_mut_ptr());
        libc::sigaddset(hang_up.as_mut_ptr(), libc::SIGHUP);
        hang_up.assume_init()
    };
    // SAFETY: the set is initialised, and nobody wants the old one.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &hang_up, std::ptr::null_mut()) };
    let open = || File::options().create(true).append(true).open(log);
    let mut file = OwnedFd::from(open()?);
    (&File::from(file.try_clone()?)).write_all(b"1")?;
    loop {
        answers.write_all(b"1")?;
        // Calls that are made here from outside interrupt the wait, as a stop does.
        // SAFETY: as above; nobody wants what came with the signal.
        while unsafe { libc::sigwaitinfo(&hang_up, std::ptr::null_mut()) } < 0 {}
        dup2(open()?.as_fd(), &mut file)?;
    }
}
