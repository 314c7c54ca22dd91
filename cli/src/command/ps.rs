// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall ps`

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::options::PsOptions;
use crate::sessions::{
    self,
    call,
    time,
    Session, //
};
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
pub fn run(
    options: &PsOptions,
    session: &nlcall::raw::Session,
    json: bool,
) -> Result<Status, Failure> {
    let sessions = sessions::all(session)?;
    if json {
        json::print_list("sessions", &sessions)?;
    } else if options.latency {
        let rows = sessions.iter().flat_map(latency_cells);
        print_table(LATENCY_COLUMNS, rows)?;
    } else if options.long {
        let columns = [COLUMNS, MORE_COLUMNS].concat();
        let rows = sessions
            .iter()
            .map(|session| [cells(session), more_cells(session)].concat());
        print_table(&columns, rows)?;
    } else {
        let rows = sessions.iter().map(cells);
        print_table(COLUMNS, rows)?;
    }
    Ok(Status::Success)
}

/// Which session it is.
fn names(session: &Session) -> Vec<String> {
    vec![
        session.id.to_string(),
        // The owner has ended, or is not visible from here.
        if session.pid == 0 {
            "-".to_owned()
        } else {
            session.pid.to_string()
        },
        session.comm.clone(),
    ]
}

fn cells(session: &Session) -> Vec<String> {
    let state = match session.saturated {
        true => format!("{}, saturated", session.state),
        false => session.state.to_owned(),
    };
    let mut cells = names(session);
    cells.extend([
        state,
        session.in_flight.to_string(),
        session.queued.to_string(),
        session.running.to_string(),
        session.blocked.to_string(),
        session.undelivered.to_string(),
        session.workers.to_string(),
        session.idle.to_string(),
        session.accepted.to_string(),
        session.delivered.to_string(),
    ]);
    cells
}

fn more_cells(session: &Session) -> Vec<String> {
    vec![
        session.inline.to_string(),
        session.skipped.to_string(),
        session.canceled.to_string(),
        session.timed_out.to_string(),
        session.rejected.to_string(),
        session
            .target_of
            .map_or_else(|| "-".to_owned(), |sender| sender.to_string()),
    ]
}

fn latency_cells(session: &Session) -> impl Iterator<Item = Vec<String>> + '_ {
    session.latency.iter().map(|latency| {
        let mut cells = names(session);
        cells.extend([
            call(latency).into_owned(),
            latency.count.to_string(),
            time(latency.mean()),
            time(latency.percentile(0.50)),
            time(latency.percentile(0.99)),
        ]);
        cells
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::samples;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let session = samples::busy();
        let row = cells(&session);
        assert_eq!(row.len(), COLUMNS.len());
        assert_eq!(row[..4], ["1", "-", "sh", "open, saturated"]);
        let more = more_cells(&session);
        assert_eq!(more.len(), MORE_COLUMNS.len());
        assert_eq!(more.last().map(String::as_str), Some("8"));
        let rows: Vec<_> = latency_cells(&session).collect();
        assert!(rows
            .iter()
            .all(|cells| cells.len() == LATENCY_COLUMNS.len()));
        assert_eq!(rows[0][..4], ["1", "-", "sh", "read"]);
        assert_eq!(rows[0][4..], ["4", "2.0 us", "2.0 us", "4.0 us"]);
        assert_eq!(
            (rows[1][3].as_str(), rows[2][3].as_str()),
            ("999", "(others)")
        );
        // Longer than the kernel tells apart.
        assert_eq!(rows[1][7], "-");
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let printed = json::pretty_list("sessions", &[samples::busy()]);
        json::documented::assert_shows("nlcall ps", &printed);
    }
}
