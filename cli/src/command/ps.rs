// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall ps`

use nlcall::raw::{
    FrontEnd,
    Session,
    SessionInfo,
    SessionState, //
};
use serde::Serialize;

use crate::exit::{
    Failure,
    Status, //
};
use crate::table::{
    lay_out,
    numbers,
    print,
    print_json,
    terminal_width,
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
    numbers("ACCEPTED"),
    numbers("DELIVERED"),
];

/// Prints the sessions.
pub fn run(session: &Session, json: bool) -> Result<Status, Failure> {
    let mut sessions: Vec<_> = session.sessions()?.into_iter().map(Row::from).collect();
    sessions.sort_by_key(|row| row.id);
    match json {
        true => print_json(&sessions)?,
        false => {
            let rows = sessions.into_iter().map(Row::into_cells);
            print(&lay_out(COLUMNS, rows, terminal_width()))?;
        }
    }
    Ok(Status::Success)
}

/// One session, for programs.
#[derive(Debug, Serialize)]
struct Row {
    id: u64,
    pid: u32,
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
}

impl Row {
    fn into_cells(self) -> Vec<String> {
        let state = match self.saturated {
            true => format!("{}, saturated", self.state),
            false => self.state.to_owned(),
        };
        vec![
            self.id.to_string(),
            // The owner has ended, or is not visible from here.
            if self.pid == 0 {
                "-".to_owned()
            } else {
                self.pid.to_string()
            },
            self.comm,
            state,
            self.in_flight.to_string(),
            self.queued.to_string(),
            self.running.to_string(),
            self.blocked.to_string(),
            self.undelivered.to_string(),
            self.workers.to_string(),
            self.accepted.to_string(),
            self.delivered.to_string(),
        ]
    }
}

impl From<SessionInfo> for Row {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id,
            pid: info.pid,
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
        };
        let cells = row.into_cells();
        assert_eq!(cells.len(), COLUMNS.len());
        assert_eq!(cells[..4], ["1", "-", "sh", "open, saturated"]);
    }
}
