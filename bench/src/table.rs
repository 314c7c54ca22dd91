// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results as text.

use comfy_table::{presets, CellAlignment, ContentArrangement, Table};

use crate::{
    contender::Contender,
    plan::Operation,
    result::{Row, Run, Value},
};

/// A table of a run: a line for each operation and batch size, a column for each contender that
/// appears, with the ratio to plain calls. The reasons of what is missing follow.
pub fn text(run: &Run, width: Option<u16>) -> String {
    let contenders = contenders(&run.rows);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut header = vec!["OPERATION".to_owned(), "BATCH".to_owned()];
    header.extend(
        contenders
            .iter()
            .map(|contender| contender.title().to_uppercase()),
    );
    table.set_header(header);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    for (operation, batch) in lines(&run.rows) {
        let mut line = vec![operation.name(), batch.to_string()];
        line.extend(cells(run, operation, batch, &contenders));
        table.add_row(line);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt() + "\n";
    for reason in reasons(&run.rows) {
        text += &format!("{reason}\n");
    }
    text
}

/// The contenders that appear, in order.
pub fn contenders(rows: &[Row]) -> Vec<Contender> {
    Contender::ALL
        .into_iter()
        .filter(|contender| rows.iter().any(|row| row.contender == *contender))
        .collect()
}

/// The operations and batch sizes that appear, in order.
pub fn lines(rows: &[Row]) -> Vec<(Operation, usize)> {
    let mut lines: Vec<_> = rows.iter().map(|row| (row.operation, row.batch)).collect();
    lines.dedup();
    lines
}

/// What each contender needs, and the ratio to the plain calls of the same line.
pub fn cells(run: &Run, operation: Operation, batch: usize, of: &[Contender]) -> Vec<String> {
    let plain = run.cost(operation, batch, Contender::Plain);
    let cell = |contender: &Contender| {
        let row = run.rows.iter().find(|row| {
            row.operation == operation && row.batch == batch && row.contender == *contender
        });
        match row.map(|row| &row.value) {
            None => String::new(),
            Some(Value::Measured { median, .. }) => match plain {
                Some(plain) if *contender != Contender::Plain => {
                    format!("{median:.0} ({:.2})", median / plain)
                }
                _ => format!("{median:.0}"),
            },
            Some(Value::NotPossible { .. }) => "-".to_owned(),
            Some(Value::NotSupported { .. }) => "unsupported".to_owned(),
            Some(Value::Failed { .. }) => "FAILED".to_owned(),
        }
    };
    of.iter().map(cell).collect()
}

/// Why numbers are missing, each reason once.
pub fn reasons(rows: &[Row]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for row in rows {
        let Some(reason) = row.value.reason() else {
            continue;
        };
        let line = format!("{}, {}: {reason}", row.operation.name(), row.contender);
        if !reasons.contains(&line) {
            reasons.push(line);
        }
    }
    reasons
}
