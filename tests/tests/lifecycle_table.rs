// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/lifecycle.md` keeps its word: every state has every event, no cell is empty, and each row
//! names a test that exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const STATES: &[&str] = &[
    "Parsed",
    "Accepted",
    "Asked",
    "Queued",
    "Chained",
    "Taken",
    "Running",
    "Interrupted",
    "Done",
    "Delivered",
    "Inline accepted",
    "Inline running",
    "Inline due",
];

const EVENTS: &[&str] = &[
    "signal",
    "execve",
    "exit",
    "SIGKILL",
    "close",
    "cancel",
    "timeout",
    "allocation failure",
    "full receive buffer",
    "faulting results pointer",
    "target death",
    "unload",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One row of a state's table.
struct Row {
    state: String,
    cells: Vec<String>,
}

impl Row {
    fn event(&self) -> &str {
        &self.cells[0]
    }

    /// The cell that names the test.
    fn test(&self) -> &str {
        &self.cells[4]
    }
}

/// The rows of all states.
fn rows() -> Vec<Row> {
    let path = repository().join("docs/lifecycle.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut state = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            state = heading.to_owned();
        }
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"))
        else {
            continue;
        };
        let cells: Vec<String> = row
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect();
        let is_event = EVENTS.contains(&cells[0].as_str());
        if STATES.contains(&state.as_str()) && is_event {
            rows.push(Row {
                state: state.clone(),
                cells,
            });
        }
    }
    rows
}

/// The names in backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names of all functions of these folders.
fn functions(folders: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest: Vec<PathBuf> = folders
        .iter()
        .map(|folder| repository().join(folder))
        .collect();
    while let Some(path) = rest.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the checkout");
            rest.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let functions = text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split_once('('));
            names.extend(functions.map(|(name, _)| name.to_owned()));
        }
    }
    names
}

#[test]
fn every_state_has_every_event_and_no_cell_is_empty() {
    let rows = rows();
    for state in STATES {
        let events: Vec<&str> = rows
            .iter()
            .filter(|row| row.state == *state)
            .map(Row::event)
            .collect();
        assert_eq!(events, EVENTS, "{state}");
    }
    for row in &rows {
        let place = format!("{}, {}", row.state, row.event());
        assert_eq!(row.cells.len(), 5, "{place}");
        assert!(row.cells.iter().all(|cell| !cell.is_empty()), "{place}");
    }
}

#[test]
fn each_row_names_a_test_that_exists() {
    let guest = functions(&["tests/guest"]);
    let host = functions(&["kmod"]);
    for row in rows() {
        let place = format!("{}, {}: {}", row.state, row.event(), row.test());
        let is_host = row.test().starts_with("host:");
        let mut named = 0;
        for name in names(row.test()) {
            let known = if is_host { &host } else { &guest };
            assert!(known.contains(name), "{place}");
            named += 1;
        }
        assert!(named > 0, "{place}");
    }
}
