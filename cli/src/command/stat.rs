// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall stat [-i SECONDS] [COUNT]`

use std::io::{
    self,
    IsTerminal, //
};
use std::time::{
    Duration,
    SystemTime, //
};

use nlcall::raw::{
    Latency,
    Session, //
};
use serde::Serialize;

use crate::activity::{
    rate,
    Activity,
    Rates,
    Totals, //
};
use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::looks::{
    since_1970,
    Looks,
    Pace, //
};
use crate::options::StatOptions;
use crate::sessions::{
    nanos,
    time, //
};
use crate::table::print;

/// How many lines a heading stands above, on a terminal.
const LINES_BELOW_HEADING: u64 = 20;

/// Something that is known of each interval.
struct Column {
    heading: &'static str,
    width: usize,
    /// Whether it is only shown with `--wide`.
    is_wide: bool,
    cell: fn(&Interval) -> String,
}

const fn column(heading: &'static str, width: usize, cell: fn(&Interval) -> String) -> Column {
    Column {
        heading,
        width,
        is_wide: false,
        cell,
    }
}

const fn wide(column: Column) -> Column {
    Column {
        is_wide: true,
        ..column
    }
}

/// Eighty characters without the wide ones.
const COLUMNS: &[Column] = &[
    column("sess", 5, |it| it.totals.sessions.to_string()),
    column("sat", 3, |it| it.totals.saturated.to_string()),
    column("flight", 7, |it| it.totals.in_flight.to_string()),
    column("queued", 7, |it| it.totals.queued.to_string()),
    column("run", 6, |it| it.totals.running.to_string()),
    column("block", 6, |it| it.totals.blocked.to_string()),
    wide(column("undel", 6, |it| it.totals.undelivered.to_string())),
    column("work", 6, |it| it.totals.workers.to_string()),
    column("idle", 5, |it| it.totals.idle.to_string()),
    column("call/s", 6, |it| it.rate(|rates| rates.accepted)),
    column("done/s", 6, |it| it.rate(|rates| rates.delivered)),
    wide(column("inl/s", 6, |it| it.rate(|rates| rates.inline))),
    wide(column("skip/s", 6, |it| it.rate(|rates| rates.skipped))),
    wide(column("rej/s", 6, |it| it.rate(|rates| rates.rejected))),
    wide(column("canc/s", 6, |it| it.rate(|rates| rates.canceled))),
    wide(column("tout/s", 6, |it| it.rate(|rates| rates.timed_out))),
    wide(column("mean", 8, |it| time(it.latency.mean()))),
    wide(column("p50", 8, |it| time(it.latency.percentile(0.50)))),
    column("p99", 8, |it| time(it.latency.percentile(0.99))),
];

/// Prints a line for each interval.
pub fn run(options: &StatOptions, session: &Session, json: bool) -> Result<Status, Failure> {
    let mut looks = Looks::begin();
    let mut pace = Pace::begin(options.interval);
    looks.look(session)?;
    let is_terminal = io::stdout().is_terminal();
    let count = options.count.unwrap_or(u64::MAX);
    for line in 0..count {
        pace.wait();
        let activity = looks.look(session)?;
        let interval = Interval::new(&activity, SystemTime::now());
        if json {
            print(&(json::line(&interval.record()) + "\n"))?;
            continue;
        }
        let is_headed = match is_terminal {
            true => line % LINES_BELOW_HEADING == 0,
            false => line == 0,
        };
        if is_headed {
            print(&heading(options))?;
        }
        print(&interval.line(options))?;
    }
    Ok(Status::Success)
}

/// What is known of the time between two looks.
#[derive(Clone, Debug)]
struct Interval {
    end: SystemTime,
    elapsed: Option<Duration>,
    totals: Totals,
    latency: Latency,
}

/// The same for programs.
#[derive(Debug, Serialize)]
struct Record {
    /// When it ended: nanoseconds since 1970.
    time_ns: u64,
    /// How long it was.
    seconds: Option<f64>,
    #[serde(flatten)]
    totals: Totals,
    /// Of the calls of workers that were delivered in it.
    mean_ns: Option<u64>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

impl Interval {
    fn new(activity: &Activity, end: SystemTime) -> Self {
        Self {
            end,
            elapsed: activity.elapsed,
            totals: activity.totals(),
            latency: activity.recent_latency(),
        }
    }

    fn rate(&self, of: fn(&Rates) -> f64) -> String {
        rate(self.totals.per_second.as_ref().map(of))
    }

    fn line(&self, options: &StatOptions) -> String {
        let mut line = String::new();
        if options.time {
            line.push_str(&humantime::format_rfc3339_seconds(self.end).to_string());
        }
        put(&mut line, options, |column| (column.cell)(self))
    }

    fn record(&self) -> Record {
        Record {
            time_ns: since_1970(self.end),
            seconds: self.elapsed.map(|elapsed| elapsed.as_secs_f64()),
            totals: self.totals,
            mean_ns: self.latency.mean().map(nanos),
            p50_ns: self.latency.percentile(0.50).map(nanos),
            p99_ns: self.latency.percentile(0.99).map(nanos),
        }
    }
}

fn heading(options: &StatOptions) -> String {
    let mut line = String::new();
    if options.time {
        line.push_str("time                ");
    }
    put(&mut line, options, |column| column.heading.to_owned())
}

/// A line with a cell for each column.
fn put(line: &mut String, options: &StatOptions, cell: impl Fn(&Column) -> String) -> String {
    let columns = COLUMNS
        .iter()
        .filter(|column| options.wide || !column.is_wide);
    for column in columns {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&format!("{:>width$}", cell(column), width = column.width));
    }
    std::mem::take(line) + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::activity::Tracker;
    use crate::sessions::samples;

    fn options(words: &[&str]) -> StatOptions {
        let words = [&["nlcall", "stat"], words].concat();
        let options: crate::options::Options = clap::Parser::try_parse_from(words).unwrap();
        match options.command {
            crate::options::Command::Stat(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// A second in which a session came to be.
    fn interval() -> Interval {
        let mut tracker = Tracker::default();
        tracker.look(Duration::ZERO, Vec::new());
        let activity = tracker.look(Duration::from_secs(1), vec![samples::busy()]);
        Interval::new(&activity, UNIX_EPOCH + Duration::from_secs(1_800_000_000))
    }

    /// One in which everything is as large as may be.
    fn large() -> Interval {
        let count = 1_048_576;
        let rates = Rates {
            accepted: 12_345_678.0,
            delivered: 12_345_678.0,
            inline: 12_345_678.0,
            ..Rates::default()
        };
        Interval {
            totals: Totals {
                sessions: 10_000,
                saturated: 100,
                in_flight: count,
                queued: count,
                running: 100_000,
                blocked: 100_000,
                undelivered: 100_000,
                workers: 100_000,
                idle: 10_000,
                per_second: Some(rates),
            },
            ..interval()
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        for words in [&[][..], &["--time"], &["--wide"], &["-wt"]] {
            let options = options(words);
            let heading = heading(&options);
            let limit = match (options.wide, options.time) {
                (false, false) => 80,
                (false, true) => 101,
                _ => 200,
            };
            for interval in [interval(), large()] {
                let line = interval.line(&options);
                assert_eq!(line.len(), heading.len(), "{heading}{line}");
                assert!(line.len() <= limit + 1, "{heading}{line}");
            }
        }
    }

    #[test]
    fn an_interval_is_a_line() {
        let shown = |words| {
            let options = options(words);
            heading(&options) + &interval().line(&options) + &large().line(&options)
        };
        insta::assert_snapshot!("narrow", shown(&[]));
        insta::assert_snapshot!("wide", shown(&["--wide", "--time"]));
    }

    #[test]
    fn intervals_are_seconds_or_have_a_unit() {
        let interval = |text| options(&["-i", text]).interval;
        assert_eq!(interval("2"), Duration::from_secs(2));
        assert_eq!(interval("0.5"), Duration::from_millis(500));
        assert_eq!(interval("250ms"), Duration::from_millis(250));
        assert_eq!(options(&["7"]).count, Some(7));
        for wrong in ["0", "-1", "x", "nan", "inf", "1e300", "0s", ""] {
            let words = ["nlcall", "stat", &format!("-i{wrong}")];
            let read: Result<crate::options::Options, _> = clap::Parser::try_parse_from(words);
            assert!(read.is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let printed = json::line(&interval().record());
        json::documented::assert_shows("nlcall stat", &printed);
    }
}
