// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall monitor`

use std::io::{
    self,
    BufWriter,
    IsTerminal,
    Write, //
};
use std::time::Instant;

use nlcall::raw::{
    Event,
    Monitor,
    Notice,
    Outcome,
    TracedEnd,
    Way,
    What, //
};
use nlcall::Errno;
use nlcall_abi::Command;
use serde::Serialize;

use super::call::outcome;
use crate::colour;
use crate::exit::{
    Failure,
    Status, //
};
use crate::interrupt;
use crate::invocation::errno;
use crate::json;
use crate::layout::Detail;
use crate::options::MonitorOptions;

pub mod filter;
pub mod line;
#[cfg(test)]
mod tests;

use filter::Filter;
use line::{
    reply,
    Line, //
};

/// Prints what is executed until it is to end.
pub fn run(options: &MonitorOptions, json: bool) -> Result<Status, Failure> {
    interrupt::note();
    let mut monitor = Monitor::open()?;
    let out = io::stdout();
    let view = View {
        options,
        filter: Filter::of(&options.expressions),
        json,
        palette: Palette::of(out.is_terminal()),
    };
    let mut out = BufWriter::new(out.lock());
    if !options.quiet {
        eprintln!("nlcall: listening");
    }
    let end = options
        .duration
        .and_then(|time| Instant::now().checked_add(time));
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 && !interrupt::came() {
        let notice = match monitor.try_wait()? {
            Some(notice) => notice,
            None => {
                out.flush().map_err(Failure::Output)?;
                let time = end.map(|end| end.saturating_duration_since(Instant::now()));
                if time.is_some_and(|time| time.is_zero()) {
                    break;
                }
                match monitor.wait_timeout(time.unwrap_or(interrupt::STEP).min(interrupt::STEP))? {
                    Some(notice) => notice,
                    None => continue,
                }
            }
        };
        if let Some(text) = view.show(&notice) {
            writeln!(out, "{text}").map_err(Failure::Output)?;
            left -= u64::from(matches!(notice, Notice::Event(_)));
        }
        if let Notice::Lost(count) = notice {
            eprintln!(
                "nlcall: {count} events were lost here: they came faster than they were read"
            );
        }
    }
    out.flush().map_err(Failure::Output)?;
    Ok(Status::Success)
}

/// What is shown of events, and how.
struct View<'a> {
    options: &'a MonitorOptions,
    filter: Filter,
    json: bool,
    palette: Palette,
}

impl View<'_> {
    /// The line for a notice; none where it is not shown.
    fn show(&self, notice: &Notice) -> Option<String> {
        match notice {
            Notice::Event(event) if !self.wants(event) => None,
            Notice::Event(event) if self.json => Some(json::line(&self.record(event))),
            Notice::Event(event) => Some(self.line(event)),
            Notice::Lost(count) if self.json => Some(json::line(&Lost {
                event: "lost",
                count: *count,
            })),
            Notice::Lost(_) => None,
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let pids = &self.options.pids;
        if !pids.is_empty() && !pids.contains(&event.pid) {
            return false;
        }
        match &event.what {
            What::Submitted(call) => self.options.submissions && self.filter.shows(call.nr),
            What::Completed(call, end) => {
                self.filter.shows(call.nr) && (!self.options.failed_only || is_failure(end))
            }
            What::Rejected { .. } => !self.filter.is_selective(),
            _ => false,
        }
    }

    fn detail(&self) -> Detail {
        Detail {
            string: self.options.string_limit,
            in_full: self.options.verbose,
        }
    }

    fn line(&self, event: &Event) -> String {
        let palette = &self.palette;
        let mut text = String::new();
        if self.options.time {
            text.push_str(&format!(
                "{} ",
                humantime::format_rfc3339_micros(event.time)
            ));
        }
        let way = match &event.what {
            What::Submitted(call) | What::Completed(call, _) if self.options.ways => {
                format!(" {}", way(call.way))
            }
            _ => String::new(),
        };
        // As strace, which names the process where there are several.
        let pid = match self.options.pids.as_slice() {
            [_] if way.is_empty() => String::new(),
            [_] => format!("[{}] ", way.trim_start()),
            _ => format!("[pid {}{way}] ", event.pid),
        };
        text.push_str(&palette.paint(palette.dim, &pid));
        match &event.what {
            What::Submitted(call) => {
                let line = Line::new(call, self.detail());
                let arguments = line.arguments_before().join(", ");
                text.push_str(&format!("{}({arguments}) <submitted>", line.name));
            }
            What::Completed(call, end) => {
                let line = Line::new(call, self.detail());
                let arguments = line.arguments(end).join(", ");
                let colour = match is_failure(end) {
                    true => palette.bad,
                    false => "",
                };
                let result = palette.paint(colour, &line.result(end));
                text.push_str(&format!("{}({arguments}) = {result}", line.name));
                if let (true, Some(time)) = (self.options.durations, end.duration) {
                    text.push_str(&format!(" <{:.6}>", time.as_secs_f64()));
                }
            }
            What::Rejected {
                command,
                errno,
                message,
            } => {
                let name = command_name(*command);
                let why = format!("--- {name} rejected: {errno}: {message} ---");
                text.push_str(&palette.paint(palette.bad, &why));
            }
            _ => {}
        }
        text
    }

    fn record<'e>(&self, event: &'e Event) -> Record<'e> {
        let mut record = Record {
            event: "completed",
            seq: event.seq,
            time_ns: event
                .time
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos()),
            session: event.session,
            pid: event.pid,
            tid: event.tid,
            comm: &event.comm,
            call: None,
            end: None,
            rejection: None,
            line: View {
                palette: Palette::NONE,
                filter: Filter::default(),
                ..*self
            }
            .line(event),
        };
        match &event.what {
            What::Submitted(call) | What::Completed(call, _) => {
                let line = Line::new(call, self.detail());
                let end = match &event.what {
                    What::Completed(_, end) => Some(&**end),
                    _ => None,
                };
                if end.is_none() {
                    record.event = "submitted";
                }
                record.call = Some(CallRecord {
                    nr: call.nr,
                    args: end.map_or_else(|| line.arguments_before(), |end| line.arguments(end)),
                    registers: call.args.map(|arg| format!("{arg:#x}")),
                    flags: call.flags.iter_names().map(|(name, _)| name).collect(),
                    way: way(call.way),
                    user_data: call.user_data,
                    name: line.name.into_owned(),
                });
                record.end = end.map(|end| {
                    let errno = errno(&reply(call, end));
                    EndRecord {
                        ret: end.ret,
                        errno: errno.and_then(Errno::name),
                        error: errno.map(Errno::description),
                        outcome: outcome(end.outcome),
                        duration_ns: end.duration.map(|time| time.as_nanos()),
                    }
                });
            }
            What::Rejected {
                command,
                errno,
                message,
            } => {
                record.event = "rejected";
                record.rejection = Some(RejectionRecord {
                    command: command_name(*command),
                    errno: errno.name(),
                    message,
                });
            }
            _ => {}
        }
        record
    }
}

/// Something that happened, for programs.
#[derive(Debug, Serialize)]
struct Record<'a> {
    /// `submitted`, `completed` or `rejected`.
    event: &'static str,
    /// Number of the event.
    seq: u64,
    /// Nanoseconds since 1970.
    time_ns: u128,
    session: Option<u64>,
    pid: u32,
    tid: Option<u32>,
    comm: &'a str,
    #[serde(flatten)]
    call: Option<CallRecord>,
    #[serde(flatten)]
    end: Option<EndRecord>,
    #[serde(flatten)]
    rejection: Option<RejectionRecord<'a>>,
    /// The line for people.
    line: String,
}

#[derive(Debug, Serialize)]
struct CallRecord {
    name: String,
    nr: u32,
    /// As strace prints them.
    args: Vec<String>,
    /// As they were passed, in hexadecimal.
    registers: [String; 6],
    flags: Vec<&'static str>,
    way: &'static str,
    user_data: u64,
}

#[derive(Debug, Serialize)]
struct EndRecord {
    ret: i64,
    /// `EBADF`.
    errno: Option<String>,
    /// `Bad file descriptor`.
    error: Option<String>,
    outcome: &'static str,
    duration_ns: Option<u128>,
}

#[derive(Debug, Serialize)]
struct RejectionRecord<'a> {
    command: String,
    errno: Option<String>,
    message: &'a str,
}

/// Events that were lost, for programs.
#[derive(Debug, Serialize)]
struct Lost {
    event: &'static str,
    count: u64,
}

fn is_failure(end: &TracedEnd) -> bool {
    end.outcome != Outcome::Ran || (-4095..0).contains(&end.ret)
}

fn way(way: Way) -> &'static str {
    match way {
        Way::Worker => "worker",
        Way::Inline => "inline",
        Way::Target => "target",
    }
}

/// The name of a command, as the protocol's description writes it.
fn command_name(command: u8) -> String {
    match Command::from_wire(command) {
        Some(Command::Submit) => "SUBMIT".to_owned(),
        Some(Command::Cancel) => "CANCEL".to_owned(),
        Some(Command::FeaturesGet) => "FEATURES_GET".to_owned(),
        Some(Command::ConfigGet) => "CONFIG_GET".to_owned(),
        Some(Command::ConfigSet) => "CONFIG_SET".to_owned(),
        Some(Command::TraceStart) => "TRACE_START".to_owned(),
        _ => format!("command {command}"),
    }
}

/// Colours, as terminals take them; empty where there are none.
#[derive(Clone, Copy)]
struct Palette {
    dim: &'static str,
    bad: &'static str,
}

impl Palette {
    const NONE: Self = Self { dim: "", bad: "" };

    const TERMINAL: Self = Self {
        dim: "\x1b[2m",
        bad: "\x1b[31m",
    };

    fn of(is_terminal: bool) -> Self {
        match colour::wanted(is_terminal) {
            true => Self::TERMINAL,
            false => Self::NONE,
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match colour.is_empty() || text.is_empty() {
            true => text.to_owned(),
            false => format!("{colour}{text}\x1b[0m"),
        }
    }
}
