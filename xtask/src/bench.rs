// SPDX-License-Identifier: MIT OR Apache-2.0

//! The benchmark: boots the guests that measure, and writes down what they found.

use std::ffi::OsString;
use std::fs;
use std::io::{
    self,
    IsTerminal,
    Write, //
};
use std::process::Command;
use std::sync::{
    Arc,
    Mutex,
    PoisonError, //
};
use std::time::Duration;

use anyhow::{
    bail,
    Context,
    Result, //
};
use indicatif::{
    ProgressBar,
    ProgressStyle, //
};
use nlcall_bench::{
    chart,
    clock::Unit,
    report,
    result::{
        Event,
        Report,
        Run,
        SCHEMA, //
    },
    table,
    target, //
};

use crate::checkout;
use crate::conditions;
use crate::sandbox::{
    Extra,
    Sandbox, //
};
use crate::say::say;
use crate::vm::{
    self,
    Accelerator,
    Streams, //
};

/// The program that measures, in the guest.
const PROGRAM: &str = "nlcall-bench";
/// Time that one guest may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Where a whole run is written, without the extension.
const RESULT: &str = "docs/results/bench";

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to count
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    mode: Mode,
    /// Fewer rounds
    #[arg(long)]
    quick: bool,
    /// Measure only these operations (`cargo xtask vm -- nlcall-bench --help` names them) and write
    /// nothing
    #[arg(long, value_name = "OPERATION,...")]
    only: Option<String>,
    /// Measure only these ways to make calls, and write nothing
    #[arg(long, value_name = "CONTENDER,...")]
    contenders: Option<String>,
    /// Measure only batches of these sizes, and write nothing
    #[arg(long, value_name = "N,...")]
    batches: Option<String>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Guest instructions: the same on every machine
    Icount,
    /// Time: ratios within the run say something, the numbers themselves little
    Time,
    /// One after the other
    Both,
}

/// A guest that measures.
struct Guest {
    title: &'static str,
    cpus: u32,
    icount: bool,
    throughput: bool,
}

impl Arguments {
    fn is_whole(&self) -> bool {
        self.mode == Mode::Both
            && self.only.is_none()
            && self.contenders.is_none()
            && self.batches.is_none()
    }

    fn guests(&self) -> Vec<Guest> {
        let guest = |title, cpus, icount, throughput| Guest {
            title,
            cpus,
            icount,
            throughput,
        };
        let mut guests = Vec::new();
        if self.mode != Mode::Time {
            guests.push(guest("instructions", 1, true, false));
        }
        if self.mode != Mode::Icount {
            guests.push(guest("time, 2 processors", 2, false, false));
            if self.only.is_none() {
                guests.push(guest("throughput, 2 processors", 2, false, true));
                guests.push(guest("throughput, 1 processor", 1, false, true));
            }
        }
        guests
    }

    fn command(&self, guest: &Guest) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec![PROGRAM.into(), "--json".into()];
        if self.quick {
            command.push("--quick".into());
        }
        if guest.throughput {
            command.push("--throughput".into());
        }
        for (option, value) in [
            ("--only", &self.only),
            ("--contenders", &self.contenders),
            ("--batches", &self.batches),
        ] {
            if let Some(value) = value {
                command.extend([option.into(), value.into()]);
            }
        }
        command
    }
}

/// Runs the benchmark.
pub fn run(sandbox: &Sandbox, arguments: &Arguments) -> Result<u8> {
    sandbox.add(Extra::Bench)?;
    // Now, not later: what is written changes the checkout.
    let commit = first_line(Command::new("git").current_dir(checkout::root()).args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
    ]))?;
    let mut runs = Vec::new();
    for guest in arguments.guests() {
        let options = vm::Options {
            cpus: guest.cpus,
            icount: guest.icount,
            timeout: LIMIT,
            command: arguments.command(&guest),
            ..vm::Options::default()
        };
        let listener = Listener::new(guest.title)?;
        let streams = Streams {
            stdin: Box::new(io::empty()),
            stdout: Box::new(listener.clone()),
            stderr: Streams::own()?.stderr,
        };
        let status = vm::run(sandbox, &options, streams)?;
        let found = listener.finish();
        let Some(mut found) = found.filter(|_| status == 0) else {
            bail!("{PROGRAM} ended with status {status} before it had measured everything");
        };
        let accelerator = match guest.icount {
            true => Accelerator::Icount,
            false => Accelerator::fastest(sandbox)?,
        };
        found.conditions.accelerator = accelerator.arguments().join(" ");
        println!("{}", table::text(&found, None));
        if found.unit == Unit::Instructions {
            println!("{}", report::target_table(&target::targets(&found)));
        }
        runs.push(found);
        // After each guest, so that what was found is not lost with a later one.
        if arguments.is_whole() {
            write(&describe(sandbox, &commit, runs.clone())?)?;
        }
    }
    Ok(0)
}

/// The first line that a command prints.
fn first_line(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The conditions that the guests do not see.
fn describe(sandbox: &Sandbox, commit: &str, runs: Vec<Run>) -> Result<Report> {
    let qemu = sandbox
        .command("qemu-system-x86_64")
        .arg("--version")
        .output()?;
    let processors = std::thread::available_parallelism().context("counting processors")?;
    Ok(Report {
        schema: SCHEMA,
        date: first_line(Command::new("date").args(["--utc", "+%F"]))?,
        commit: commit.to_owned(),
        machine: format!("{processors} processors, {}", conditions::processor_model()),
        emulator: qemu.lines().next().unwrap_or_default().to_owned(),
        runs,
    })
}

fn write(result: &Report) -> Result<()> {
    let path = |extension| checkout::root().join(RESULT).with_extension(extension);
    let save = |extension, text: String| {
        let path = path(extension);
        fs::write(&path, text).with_context(|| format!("writing {path:?}"))
    };
    save("json", serde_json::to_string_pretty(result)? + "\n")?;
    save("md", report::markdown(result))?;
    if let Some(counted) = result
        .runs
        .iter()
        .find(|run| run.unit == Unit::Instructions)
    {
        chart::draw(counted, &path("svg")).context("drawing the chart")?;
    }
    say!("the result is in {}", path("md").display());
    Ok(())
}

/// Takes what the program says: shows progress, keeps the result.
#[derive(Clone)]
struct Listener(Arc<Mutex<Heard>>);

struct Heard {
    title: &'static str,
    bar: ProgressBar,
    line: Vec<u8>,
    run: Option<Run>,
}

impl Listener {
    fn new(title: &'static str) -> Result<Self> {
        let bar = if io::stderr().is_terminal() {
            let bar = ProgressBar::new(1);
            bar.set_style(
                ProgressStyle::with_template(
                    "xtask: {prefix} {bar:24} {pos}/{len} {elapsed} {wide_msg}",
                )
                .context("the progress bar's template")?
                .progress_chars("=> "),
            );
            bar.set_prefix(title);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        } else {
            ProgressBar::hidden()
        };
        Ok(Self(Arc::new(Mutex::new(Heard {
            title,
            bar,
            line: Vec::new(),
            run: None,
        }))))
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result, where it came.
    fn finish(&self) -> Option<Run> {
        let mut heard = self.heard();
        heard.bar.finish_and_clear();
        heard.run.take()
    }
}

impl Heard {
    fn take(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Event::Begins { done, of, what }) if self.bar.is_hidden() => {
                say!("{} {}/{of}: {what}", self.title, done + 1);
            }
            Ok(Event::Begins { done, of, what }) => {
                self.bar.set_length(of as u64);
                self.bar.set_position(done as u64);
                self.bar.set_message(what);
            }
            Ok(Event::Ends(run)) => self.run = Some(run),
            Err(error) => say!("{PROGRAM} said something else than events: {error}"),
        }
    }
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.heard();
        heard.line.extend_from_slice(bytes);
        while let Some(end) = heard.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = heard.line.drain(..=end).collect();
            heard.take(&line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
