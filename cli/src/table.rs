// SPDX-License-Identifier: MIT OR Apache-2.0

//! Output for people: tables that fit the terminal.

use std::io::{
    self,
    Write, //
};

use crate::exit::Failure;
use comfy_table::{
    presets,
    CellAlignment,
    ContentArrangement,
    Table, //
};

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    /// Whether it holds numbers.
    pub numbers: bool,
}

/// A column of text.
pub const fn text(heading: &'static str) -> Column {
    Column {
        heading,
        numbers: false,
    }
}

/// A column of numbers.
pub const fn numbers(heading: &'static str) -> Column {
    Column {
        heading,
        numbers: true,
    }
}

/// Lays out a table, folded to `width` characters where there is one.
pub fn lay_out(
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<String>>,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(columns.iter().map(|column| column.heading));
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    for row in rows {
        table.add_row(row);
    }
    let last = columns.len().saturating_sub(1);
    for (index, layout) in table.column_iter_mut().enumerate() {
        layout.set_padding((0, if index == last { 0 } else { 2 }));
        if columns[index].numbers {
            layout.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// The terminal's width, where the standard output is one.
pub fn terminal_width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Writes a table to the standard output, as wide as the terminal is.
pub fn print_table(
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), Failure> {
    print(&lay_out(columns, rows, terminal_width()))
}

/// Writes to the standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![
            vec![
                "0".to_owned(),
                "read".to_owned(),
                "a reason of several words".to_owned(),
            ],
            vec!["317".to_owned(), "seccomp".to_owned(), String::new()],
        ]
    }

    const COLUMNS: &[Column] = &[numbers("NR"), text("NAME"), text("REASON")];

    #[test]
    fn a_table_has_one_line_per_row_where_there_is_no_terminal() {
        assert_eq!(
            lay_out(COLUMNS, rows(), None),
            " NR  NAME     REASON\n  0  read     a reason of several words\n317  seccomp\n"
        );
    }

    #[test]
    fn a_table_is_folded_to_the_terminal() {
        let text = lay_out(COLUMNS, rows(), Some(30));
        assert!(text.lines().all(|line| line.len() <= 30), "{text}");
        assert!(text.lines().count() > 3, "{text}");
    }
}
