// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall ps`

use std::time::Duration;

use nlcall::raw::{
    FrontEnd,
    Latency,
    Session,
    SessionInfo,
    SessionState, //
};
use nlcall_abi::syscalls;
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::options::PsOptions;
use crate::table::{
    numbers,
    print_table,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[
    numbers("ID"),
    numbers("PID"),
    text("COMM"),
    text("STATE"),
    numbers("IN FLIGHT"),
    numbers("QUEUED"),
    numbers("RUNNING"),
    numbers("BLOCKED"),
    numbers("UNDELIVERED"),
    numbers("WORKERS"),
    numbers("IDLE"),
    numbers("ACCEPTED"),
    numbers("DELIVERED"),
];

/// Behind the others with `--long`.
const MORE_COLUMNS: &[Column] = &[
    numbers("INLINE"),
    numbers("SKIPPED"),
    numbers("CANCELED"),
    numbers("TIMED OUT"),
    numbers("REJECTED"),
    numbers("FOR"),
];

/// With `--latency`.
const LATENCY_COLUMNS: &[Column] = &[
    numbers("ID"),
    numbers("PID"),
    text("COMM"),
    text("CALL"),
    numbers("COUNT"),
    numbers("MEAN"),
    numbers("P50"),
    numbers("P99"),
];

/// Prints the sessions.
pub fn run(options: &PsOptions, session: &Session, json: bool) -> Result<Status, Failure> {
    let mut sessions: Vec<_> = session.sessions()?.into_iter().map(Row::from).collect();
    sessions.sort_by_key(|row| row.id);
    if json {
        json::print_list("sessions", &sessions)?;
    } else if options.latency {
        let rows = sessions.iter().flat_map(Row::latency_cells);
        print_table(LATENCY_COLUMNS, rows)?;
    } else if options.long {
        let columns = [COLUMNS, MORE_COLUMNS].concat();
        let rows = sessions
            .iter()
            .map(|row| [row.cells(), row.more_cells()].concat());
        print_table(&columns, rows)?;
    } else {
        let rows = sessions.iter().map(Row::cells);
        print_table(COLUMNS, rows)?;
    }
    Ok(Status::Success)
}

/// One session, for programs.
#[derive(Debug, Serialize)]
struct Row {
    id: u64,
    pid: u32,
    /// Of the process that the calls come from, where it is another one.
    target_of: Option<u32>,
    comm: String,
    port_id: u32,
    state: &'static str,
    front_end: &'static str,
    in_flight: u32,
    queued: u32,
    running: u32,
    blocked: u32,
    undelivered: u32,
    workers: u32,
    saturated: bool,
    accepted: u64,
    delivered: u64,
    rejected: u64,
    last_seq: u32,
    idle: u32,
    inline: u64,
    skipped: u64,
    canceled: u64,
    timed_out: u64,
    latency: Vec<LatencyRow>,
}

/// How long the calls of one system call number took on workers, for programs.
#[derive(Debug, Serialize)]
struct LatencyRow {
    /// None for all those that the kernel kept no number of their own for.
    nr: Option<u32>,
    name: Option<&'static str>,
    count: u64,
    mean_ns: Option<u64>,
    /// No longer than that, as a power of two; none beyond what the kernel tells apart.
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    /// As the kernel counts them: `struct nlcall_latency`.
    buckets: Vec<u32>,
}

impl Row {
    /// Which session it is.
    fn names(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            // The owner has ended, or is not visible from here.
            if self.pid == 0 {
                "-".to_owned()
            } else {
                self.pid.to_string()
            },
            self.comm.clone(),
        ]
    }

    fn cells(&self) -> Vec<String> {
        let state = match self.saturated {
            true => format!("{}, saturated", self.state),
            false => self.state.to_owned(),
        };
        let mut cells = self.names();
        cells.extend([
            state,
            self.in_flight.to_string(),
            self.queued.to_string(),
            self.running.to_string(),
            self.blocked.to_string(),
            self.undelivered.to_string(),
            self.workers.to_string(),
            self.idle.to_string(),
            self.accepted.to_string(),
            self.delivered.to_string(),
        ]);
        cells
    }

    fn more_cells(&self) -> Vec<String> {
        vec![
            self.inline.to_string(),
            self.skipped.to_string(),
            self.canceled.to_string(),
            self.timed_out.to_string(),
            self.rejected.to_string(),
            self.target_of
                .map_or_else(|| "-".to_owned(), |sender| sender.to_string()),
        ]
    }

    fn latency_cells(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        self.latency.iter().map(|latency| {
            let call = match (latency.name, latency.nr) {
                (Some(name), _) => name.to_owned(),
                (None, Some(nr)) => nr.to_string(),
                (None, None) => "(others)".to_owned(),
            };
            let mut cells = self.names();
            cells.extend([
                call,
                latency.count.to_string(),
                latency.mean_ns.map_or_else(|| "-".to_owned(), time),
                latency.p50_ns.map_or_else(|| "-".to_owned(), time),
                latency.p99_ns.map_or_else(|| "-".to_owned(), time),
            ]);
            cells
        })
    }
}

/// A time with three or four digits and its unit.
fn time(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, tenths) = (nanos / unit, nanos % unit * 10 / unit);
    format!("{whole}.{tenths} {name}")
}

impl From<Latency> for LatencyRow {
    fn from(latency: Latency) -> Self {
        let nanos = |time: Option<Duration>| {
            time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        let entry = latency.nr.and_then(syscalls::by_nr);
        Self {
            nr: latency.nr,
            name: entry.map(|entry| entry.name),
            count: latency.count,
            mean_ns: nanos(latency.mean()),
            p50_ns: nanos(latency.percentile(0.50)),
            p99_ns: nanos(latency.percentile(0.99)),
            buckets: latency.buckets.to_vec(),
        }
    }
}

impl From<SessionInfo> for Row {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id,
            pid: info.pid,
            target_of: info.target_of,
            comm: info.comm,
            port_id: info.port_id,
            state: match info.state {
                SessionState::Open => "open",
                SessionState::Ended => "ended",
                SessionState::Closed => "closed",
            },
            front_end: match info.front_end {
                FrontEnd::Generic => "generic",
                FrontEnd::Classic => "classic",
            },
            in_flight: info.in_flight,
            queued: info.queued,
            running: info.running,
            blocked: info.blocked,
            undelivered: info.undelivered,
            workers: info.workers,
            saturated: info.saturated,
            accepted: info.accepted,
            delivered: info.delivered,
            rejected: info.rejected,
            last_seq: info.last_seq,
            idle: info.idle,
            inline: info.inline,
            skipped: info.skipped,
            canceled: info.canceled,
            timed_out: info.timed_out,
            latency: info.latency.into_iter().map(LatencyRow::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let row = Row {
            id: 1,
            pid: 0,
            target_of: Some(8),
            comm: "sh".to_owned(),
            port_id: 7,
            state: "open",
            front_end: "generic",
            in_flight: 3,
            queued: 1,
            running: 2,
            blocked: 2,
            undelivered: 0,
            workers: 2,
            saturated: true,
            accepted: 9,
            delivered: 6,
            rejected: 0,
            last_seq: 4,
            idle: 0,
            inline: 3,
            skipped: 0,
            canceled: 0,
            timed_out: 0,
            latency: vec![
                latency(Some(0), Some("read"), Some(2048)),
                latency(Some(999), None, None),
                latency(None, None, None),
            ],
        };
        let cells = row.cells();
        assert_eq!(cells.len(), COLUMNS.len());
        assert_eq!(cells[..4], ["1", "-", "sh", "open, saturated"]);
        assert_eq!(row.more_cells().len(), MORE_COLUMNS.len());
        assert_eq!(row.more_cells().last().map(String::as_str), Some("8"));
        let rows: Vec<_> = row.latency_cells().collect();
        assert!(rows
            .iter()
            .all(|cells| cells.len() == LATENCY_COLUMNS.len()));
        assert_eq!(rows[0][..4], ["1", "-", "sh", "read"]);
        assert_eq!(rows[0][4..], ["5", "999 ns", "2.0 us", "2.0 us"]);
        assert_eq!(
            (rows[1][3].as_str(), rows[2][3].as_str()),
            ("999", "(others)")
        );
        assert_eq!(rows[2][7], "-");
        let printed = json::pretty_list("sessions", &[row]);
        json::documented::assert_shows("nlcall ps", &printed);
    }

    fn latency(nr: Option<u32>, name: Option<&'static str>, percentile: Option<u64>) -> LatencyRow {
        LatencyRow {
            nr,
            name,
            count: 5,
            mean_ns: Some(999),
            p50_ns: percentile,
            p99_ns: percentile,
            buckets: Vec::new(),
        }
    }

    #[test]
    fn times_have_their_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1024, "1.0 us"),
            (999_999, "999.9 us"),
            (1_500_000, "1.5 ms"),
            (90_000_000_000, "90.0 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(time(nanos), text);
        }
    }
}
