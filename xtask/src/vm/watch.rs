// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows a machine from its start to its end.

use std::fs::File;
use std::io::{
    BufRead,
    BufReader,
    ErrorKind,
    Write, //
};
use std::os::unix::net::UnixStream;
use std::path::{
    Path,
    PathBuf, //
};
use std::sync::mpsc::{
    self,
    Receiver,
    RecvTimeoutError,
    Sender, //
};
use std::thread;
use std::time::{
    Duration,
    Instant, //
};

use anyhow::{
    Context,
    Result, //
};
use guest_init::{
    Finished,
    Report,
    ACKNOWLEDGED, //
};

use super::console::Scanner;
use super::machine::Machine;
use super::relay::{
    self,
    Outgoing, //
};
use super::Streams;
use crate::exit::Exit;
use crate::stage;

/// How long the parts of a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The kernel's start, up to its first process.
    boot: Duration,
    /// The command.
    command: Duration,
    /// What follows the command before the guest reports.
    after_command: Duration,
    /// What a kernel that complained may still do, so that its log shows all of it.
    complaint: Duration,
    /// The end of the machine once everything is done.
    end: Duration,
}

impl Limits {
    /// For a command that may take this long, in a kernel that needs this many times what a stock
    /// kernel needs.
    pub fn new(command: Duration, patience: u32) -> Self {
        Self {
            boot: Duration::from_secs(120) * patience,
            command,
            after_command: Duration::ZERO,
            complaint: Duration::from_secs(3) * patience,
            end: Duration::from_secs(30) * patience,
        }
    }

    /// Gives the guest this much time between the end of the command and its report.
    pub fn after_command(self, after_command: Duration) -> Self {
        Self {
            after_command,
            ..self
        }
    }
}

/// How often it is looked whether all output has arrived.
const OUTPUT_PERIOD: Duration = Duration::from_millis(2);
/// Lines of the log that are shown before and after the first complaint.
const LINES_BEFORE: usize = 5;
const LINES_AFTER: usize = 80;
/// Status of a command whose output nobody reads any more, as a shell has it for SIGPIPE.
const BROKEN_PIPE: u8 = 128 + 13;

/// How a boot ended.
#[derive(Debug)]
pub enum Outcome {
    /// The command ended with this status, and everything else went well.
    Ended(u8),
    /// Something went wrong in the guest.
    Failed(Exit, String),
    /// The first process never ran.
    NeverBooted(String),
}

/// What the threads that read from the machine say.
enum Event {
    /// The kernel wrote a line that says that something is wrong.
    Complaint(String),
    /// The first process said something.
    Report(Report),
    /// The first process said something that is not a report.
    Garbled(String),
    /// The command's output could not be passed on.
    OutputClosed(std::io::Error),
    /// A channel was closed: the machine has ended.
    Closed,
}

/// A machine that is being followed.
pub struct Watch {
    machine: Machine,
    console_log: PathBuf,
    qemu_log: PathBuf,
    limits: Limits,
    events: Receiver<Event>,
    sender: Sender<Event>,
    outgoing: Vec<Outgoing>,
    finished: Option<Finished>,
    booted: bool,
}

impl Watch {
    /// Starts to follow a machine whose kernel log goes to this file.
    pub fn new(
        machine: Machine,
        console_log: &Path,
        qemu_log: &Path,
        limits: Limits,
    ) -> Result<Self> {
        let (sender, events) = mpsc::channel();
        let log = File::create(console_log).with_context(|| format!("making {console_log:?}"))?;
        let console = machine.console.try_clone().context("reading the console")?;
        let to_main = sender.clone();
        thread::spawn(move || read_console(console, log, &to_main));
        let control = machine
            .control
            .try_clone()
            .context("reading the control port")?;
        let to_main = sender.clone();
        thread::spawn(move || read_reports(control, &to_main));
        Ok(Self {
            machine,
            console_log: console_log.to_owned(),
            qemu_log: qemu_log.to_owned(),
            limits,
            events,
            sender,
            outgoing: Vec::new(),
            finished: None,
            booted: false,
        })
    }

    /// Follows it until it has ended, by itself or because it had to be ended.
    pub fn until_end(mut self, streams: &mut Option<Streams>) -> Result<Outcome> {
        let outcome = self.follow(streams);
        // Ended already, where all went well.
        drop(self.machine.process.kill());
        self.machine.process.wait().context("waiting for QEMU")?;
        for outgoing in std::mem::take(&mut self.outgoing) {
            outgoing.join();
        }
        outcome
    }

    fn follow(&mut self, streams: &mut Option<Streams>) -> Result<Outcome> {
        let mut deadline = Instant::now() + self.limits.boot;
        let mut complaint: Option<String> = None;
        let mut failure: Option<String> = None;
        // Both must have been read to their ends before it is known what was said.
        let mut open_channels = 2;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let event = match self.next_event(patience) {
                Some(event) => event,
                None => {
                    return Ok(match complaint {
                        Some(line) => self.complained(&line),
                        None => self.out_of_time(),
                    })
                }
            };
            match event {
                Event::Complaint(line) => {
                    if complaint.is_none() {
                        deadline = Instant::now() + self.limits.complaint;
                        complaint = Some(line);
                    }
                }
                Event::Report(Report::Booted) if !self.booted => {
                    self.booted = true;
                    if complaint.is_none() {
                        deadline = Instant::now() + self.limits.command + self.limits.after_command;
                    }
                    self.connect(streams)?;
                }
                Event::Report(Report::Finished(finished))
                    if self.finished.is_none() && failure.is_none() =>
                {
                    self.finished = Some(finished);
                    self.acknowledge(&mut deadline)?;
                }
                Event::Report(Report::Failed { finished, reason })
                    if self.finished.is_none() && failure.is_none() =>
                {
                    self.finished = finished;
                    failure = Some(reason);
                    self.acknowledge(&mut deadline)?;
                }
                Event::Report(report) => {
                    failure = Some(format!(
                        "the guest reported twice; the second time: {report:?}"
                    ));
                }
                Event::Garbled(line) => {
                    failure = Some(format!(
                        "the guest sent something that is not a report: {line:?}"
                    ));
                }
                Event::OutputClosed(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Ok(Outcome::Ended(BROKEN_PIPE));
                }
                Event::OutputClosed(error) => {
                    return Err(error).context("passing the command's output on");
                }
                Event::Closed if open_channels > 1 => open_channels -= 1,
                Event::Closed => {
                    return Ok(match (complaint, failure, self.finished) {
                        (Some(line), _, _) => self.complained(&line),
                        (None, Some(reason), _) => self.failed(Exit::Guest, &reason),
                        (None, None, Some(finished)) => Outcome::Ended(finished.status),
                        (None, None, None) => self.ended_early(),
                    });
                }
            }
        }
    }

    fn next_event(&self, patience: Duration) -> Option<Event> {
        match self.events.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            // This side holds a sender, so the channel is never closed.
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Connects the command's streams with this program's.
    fn connect(&mut self, streams: &mut Option<Streams>) -> Result<()> {
        let Some(streams) = streams.take() else {
            return Ok(());
        };
        relay::incoming(
            streams.stdin,
            self.machine
                .stdin
                .try_clone()
                .context("connecting standard input")?,
        );
        for (from, to) in [
            (&self.machine.stdout, streams.stdout),
            (&self.machine.stderr, streams.stderr),
        ] {
            let from = from
                .try_clone()
                .context("connecting the command's output")?;
            let to_main = self.sender.clone();
            self.outgoing.push(Outgoing::start(from, to, move |error| {
                // Nobody listens once the machine has ended.
                drop(to_main.send(Event::OutputClosed(error)));
            }));
        }
        Ok(())
    }

    /// Tells the first process that everything has been read, once it has. The guest waits with its
    /// end for that; it has ended the command itself.
    fn acknowledge(&mut self, deadline: &mut Instant) -> Result<()> {
        if let Some(finished) = self.finished {
            let expected = [finished.stdout_bytes, finished.stderr_bytes];
            let arrived = |watch: &Self| {
                watch
                    .outgoing
                    .iter()
                    .zip(expected)
                    .all(|(outgoing, bytes)| outgoing.passed_on() >= bytes || outgoing.is_over())
            };
            // A reader of our output may be slow: its patience is the command's.
            while !arrived(self) && Instant::now() < *deadline {
                thread::sleep(OUTPUT_PERIOD);
            }
        }
        *deadline = (*deadline).min(Instant::now() + self.limits.end);
        self.machine
            .control
            .write_all(&[ACKNOWLEDGED])
            .context("answering the guest")
    }

    fn complained(&self, line: &str) -> Outcome {
        if !self.booted {
            return Outcome::NeverBooted(
                self.with_log(&format!("the kernel complained while booting: {line}")),
            );
        }
        self.failed(
            Exit::Guest,
            &format!("the guest's kernel complained: {line}"),
        )
    }

    fn out_of_time(&self) -> Outcome {
        if !self.booted {
            let limit = self.limits.boot.as_secs();
            return Outcome::NeverBooted(
                self.with_log(&format!("the guest did not come up within {limit} s")),
            );
        }
        match self.finished {
            None => self.failed(
                Exit::TimedOut,
                &format!(
                    "the command did not end within {} s (--timeout)",
                    self.limits.command.as_secs()
                ),
            ),
            Some(_) => self.failed(Exit::Guest, "the command ended, and the guest did not"),
        }
    }

    fn ended_early(&self) -> Outcome {
        if !self.booted {
            let qemu = stage::tail(&self.qemu_log);
            let reason =
                format!("the machine ended before its first process ran\n  QEMU said:\n{qemu}");
            return Outcome::NeverBooted(self.with_log(&reason));
        }
        self.failed(Exit::Guest, "the machine ended before the command did")
    }

    fn failed(&self, exit: Exit, reason: &str) -> Outcome {
        let status = match self.finished {
            Some(finished) => format!(
                "\n  The command itself had ended with status {}.",
                finished.status
            ),
            None => String::new(),
        };
        Outcome::Failed(exit, self.with_log(reason) + &status)
    }

    /// The reason and what the kernel said around it.
    fn with_log(&self, reason: &str) -> String {
        let log = std::fs::read(&self.console_log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let excerpt = excerpt(&log).replace('\n', "\n    ");
        format!(
            "{reason}\n  The kernel's log:\n    {excerpt}\n  All of it: {}",
            self.console_log.display()
        )
    }
}

/// What surrounds the first complaint of a log, or its end.
fn excerpt(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let mut scanner = Scanner::default();
    let range = match lines.iter().position(|line| scanner.complains(line)) {
        Some(at) => at.saturating_sub(LINES_BEFORE)..lines.len().min(at + LINES_AFTER),
        None => lines.len().saturating_sub(LINES_AFTER / 4)..lines.len(),
    };
    lines[range].join("\n")
}

/// Writes the console to its log and reports complaints, until the machine ends.
fn read_console(console: UnixStream, mut log: File, events: &Sender<Event>) {
    let mut scanner = Scanner::default();
    for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        // The log is for a person; the verdict does not depend on it.
        drop(writeln!(log, "{line}"));
        if scanner.complains(line) {
            drop(events.send(Event::Complaint(line.to_owned())));
        }
    }
    drop(events.send(Event::Closed));
}

fn read_reports(control: UnixStream, events: &Sender<Event>) {
    for line in BufReader::new(control).lines().map_while(Result::ok) {
        let event = serde_json::from_str(&line).map_or(Event::Garbled(line), Event::Report);
        drop(events.send(event));
    }
    drop(events.send(Event::Closed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_begins_shortly_before_the_first_complaint() {
        let mut lines: Vec<_> = (0..200)
            .map(|number| format!("[ {number}.0] line {number}"))
            .collect();
        lines[150] = "[ 150.0] WARNING: something".to_owned();
        let excerpt = excerpt(&lines.join("\n"));
        assert!(excerpt.starts_with("[ 145.0] line 145\n"), "{excerpt}");
        assert!(excerpt.ends_with("line 199"), "{excerpt}");
    }

    #[test]
    fn without_a_complaint_it_is_the_end() {
        let lines: Vec<_> = (0..200).map(|number| format!("line {number}")).collect();
        assert!(excerpt(&lines.join("\n")).starts_with("line 180\n"));
        assert_eq!(excerpt(""), "");
    }
}
