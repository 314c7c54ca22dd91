// SPDX-License-Identifier: MIT OR Apache-2.0

//! One long step: a bar while it runs, a log file, a stamp when it is done.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{
    BufRead,
    BufReader,
    IsTerminal,
    Write, //
};
use std::path::{
    Path,
    PathBuf, //
};
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
use indicatif::{
    ProgressBar,
    ProgressStyle, //
};

use crate::exit::{
    Exit,
    Failure, //
};
use crate::say::say;

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 25;

/// A step that is running.
pub struct Stage {
    title: &'static str,
    log_path: PathBuf,
    log: File,
    bar: ProgressBar,
    started: Instant,
}

impl Stage {
    /// Begins a step whose commands print about this many lines.
    pub fn begin(title: &'static str, log_path: PathBuf, expected_lines: u64) -> Result<Self> {
        let log =
            File::create(&log_path).with_context(|| format!("making the log {log_path:?}"))?;
        let bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(expected_lines);
            bar.set_style(
                ProgressStyle::with_template(
                    "xtask: {prefix} {bar:24} {percent:>3}% {elapsed} {wide_msg}",
                )
                .context("the progress bar's template")?
                .progress_chars("=> "),
            );
            bar.set_prefix(title);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        } else {
            say!("{title} ... (log: {})", log_path.display());
            ProgressBar::hidden()
        };
        bar.set_length(expected_lines);
        Ok(Self {
            title,
            log_path,
            log,
            bar,
            started: Instant::now(),
        })
    }

    /// Runs a command of this step. Its output goes to the log.
    pub fn run(&mut self, mut command: Command) -> Result<()> {
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe")?;
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("making a pipe")?)
            .stderr(writer);
        let program = command.get_program().to_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {program:?}"))?;
        // Ours ends here, so that the reader sees the end of the child's.
        drop(command);
        for line in BufReader::new(File::from(reader)).split(b'\n') {
            let line = line.context("reading the output")?;
            self.note(&String::from_utf8_lossy(&line))?;
        }
        let status = child
            .wait()
            .with_context(|| format!("waiting for {program:?}"))?;
        if !status.success() {
            self.bar.abandon();
            return Err(Failure::new(
                Exit::Machine,
                format!(
                    "{}: {program:?} ended with {status}; the end of its log:\n{}\n  the whole log: {}\n  \
                     Run the same command again once the cause is gone: the finished steps are kept.",
                    self.title,
                    tail(&self.log_path),
                    self.log_path.display(),
                ),
            )
            .into());
        }
        Ok(())
    }

    /// Adds a line to the log.
    pub fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.log, "{line}").with_context(|| format!("writing {:?}", self.log_path))?;
        // The expected number of lines is an estimate: the bar waits short of its end.
        if self.bar.position() + 1 < self.bar.length().unwrap_or(0) {
            self.bar.inc(1);
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(line.trim().to_owned());
        }
        Ok(())
    }

    /// Ends the step and says how long it took.
    pub fn done(self) {
        self.bar.finish_and_clear();
        say!(
            "{}: done in {} s",
            self.title,
            self.started.elapsed().as_secs()
        );
    }
}

/// The last lines of a file, indented.
pub fn tail(path: &Path) -> String {
    let Ok(file) = File::open(path) else {
        return "    (no log)".to_owned();
    };
    let mut last = VecDeque::new();
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if last.len() == TAIL_LINES {
            last.pop_front();
        }
        last.push_back(format!("    {}", String::from_utf8_lossy(&line)));
    }
    Vec::from(last).join("\n")
}
