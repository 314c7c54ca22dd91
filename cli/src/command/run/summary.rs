// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `-c` prints: strace's summary, and how each call travelled.

use std::io::{
    self,
    Write, //
};
use std::sync::atomic::Ordering::Relaxed;

use nlcall_abi::syscalls;
use nlcall_run::shared::{
    Counter,
    Shared,
    NUMBERS, //
};
use serde::Serialize;

use crate::json;
use crate::table::{
    lay_out,
    numbers,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[
    numbers("% time"),
    numbers("seconds"),
    numbers("usecs/call"),
    numbers("calls"),
    numbers("errors"),
    numbers("worker"),
    numbers("INLINE"),
    numbers("native"),
    text("syscall"),
];

/// What is known of one system call, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Row {
    name: String,
    calls: u64,
    errors: u64,
    worker: u64,
    inline: u64,
    native: u64,
    seconds: f64,
}

impl Row {
    fn new(name: &str, counter: &Counter) -> Self {
        let [worker, inline, native] = counter.calls.each_ref().map(|calls| calls.load(Relaxed));
        Self {
            name: name.to_owned(),
            calls: worker + inline + native,
            errors: counter.errors.load(Relaxed),
            worker,
            inline,
            native,
            seconds: counter.nanoseconds.load(Relaxed) as f64 / 1e9,
        }
    }

    fn add(mut self, other: &Row) -> Self {
        self.calls += other.calls;
        self.errors += other.errors;
        self.worker += other.worker;
        self.inline += other.inline;
        self.native += other.native;
        self.seconds += other.seconds;
        self
    }

    fn cells(&self, all: f64) -> Vec<String> {
        // Nothing where there is none, as strace does it for errors.
        let some = |count: u64| match count {
            0 => String::new(),
            count => count.to_string(),
        };
        let share = if all > 0.0 { self.seconds / all } else { 0.0 };
        vec![
            format!("{:.2}", share * 100.0),
            format!("{:.6}", self.seconds),
            format!("{:.0}", self.seconds * 1e6 / self.calls.max(1) as f64),
            self.calls.to_string(),
            some(self.errors),
            some(self.worker),
            some(self.inline),
            some(self.native),
            self.name.clone(),
        ]
    }
}

/// The system calls that were made, those first that took longest.
fn rows(shared: &Shared) -> Vec<Row> {
    let named = syscalls::TABLE
        .iter()
        .map(|call| (call.name, &shared.counters[call.nr as usize]));
    let mut rows: Vec<_> = named
        .chain([("(unknown)", &shared.counters[NUMBERS])])
        .map(|(name, counter)| Row::new(name, counter))
        .filter(|row| row.calls > 0)
        .collect();
    rows.sort_by(|a, b| {
        let by_time = b.seconds.total_cmp(&a.seconds);
        by_time.then(b.calls.cmp(&a.calls))
    });
    rows
}

fn table(rows: &[Row]) -> String {
    let total = Row {
        name: "total".to_owned(),
        ..Row::default()
    };
    let total = rows.iter().fold(total, Row::add);
    let cells = rows.iter().chain([&total]);
    lay_out(COLUMNS, cells.map(|row| row.cells(total.seconds)), None)
}

/// Prints the summary to the standard error output: the other one is the program's.
pub fn print(shared: &Shared, json: bool) {
    let rows = rows(shared);
    let text = match json {
        true => json::pretty_list("calls", &rows),
        false => table(&rows),
    };
    // Whoever does not want to read it need not.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, [worker, inline, native]: [u64; 3], errors: u64, seconds: f64) -> Row {
        Row {
            name: name.to_owned(),
            calls: worker + inline + native,
            errors,
            worker,
            inline,
            native,
            seconds,
        }
    }

    #[test]
    fn the_summary_says_how_each_call_travelled() {
        let rows = [
            row("read", [0, 30, 0], 2, 0.75),
            row("clone3", [0, 0, 5], 0, 0.25),
        ];
        assert_eq!(
            table(&rows),
            "% time   seconds  usecs/call  calls  errors  worker  INLINE  native  syscall\n \
             75.00  0.750000       25000     30       2              30          read\n \
             25.00  0.250000       50000      5                               5  clone3\n\
             100.00  1.000000       28571     35       2              30       5  total\n"
        );
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let rows = [row("read", [0, 30, 0], 2, 0.75)];
        let printed = json::pretty_list("calls", &rows);
        json::documented::assert_shows("nlcall run", &printed);
    }

    #[test]
    fn nothing_took_no_time() {
        assert!(table(&[]).ends_with(
            "0.00  0.000000           0      0                                  total\n"
        ));
    }
}
