// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results as a picture.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::{contender::Contender, plan::Operation, result::Run};

const SIZE: (u32, u32) = (1100, 560);
/// Operations, and the batch size that is shown.
const SHOWN: &[(Operation, usize)] = &[
    (Operation::Trivial, 64),
    (Operation::Pread, 64),
    (Operation::Statx, 64),
    (Operation::OpenClose, 64),
    (Operation::FileChain, 64),
    (Operation::Listing, 1000),
    (Operation::Names, 64),
    (Operation::Fsync, 64),
];
const CONTENDERS: &[(Contender, RGBColor)] = &[
    (Contender::Inline, RGBColor(0, 114, 178)),
    (Contender::Worker, RGBColor(86, 180, 233)),
    (Contender::Uring, RGBColor(213, 94, 0)),
    (Contender::Pool, RGBColor(153, 153, 153)),
    (Contender::Aio, RGBColor(204, 204, 204)),
];
/// The scale: cheaper than plain calls below 1, dearer above.
const SCALE: std::ops::Range<f64> = 0.25..32.0;

/// Draws what each way costs beside plain calls.
pub fn draw(run: &Run, to: &Path) -> Result<()> {
    let root = SVGBackend::new(to, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{} per operation, relative to plain calls",
        run.unit.symbol()
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(58)
        .build_cartesian_2d(0f64..SHOWN.len() as f64, SCALE.log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc("cost / cost of plain calls (logarithmic)")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    let width = 0.8 / CONTENDERS.len() as f64;
    for (place, &(contender, color)) in CONTENDERS.iter().enumerate() {
        let bars = SHOWN
            .iter()
            .enumerate()
            .filter_map(|(group, &(operation, batch))| {
                let plain = run.cost(operation, batch, Contender::Plain)?;
                let ratio = run.cost(operation, batch, contender)? / plain;
                let left = group as f64 + 0.1 + place as f64 * width;
                let ratio = ratio.clamp(SCALE.start, SCALE.end);
                Some(Rectangle::new(
                    [(left, 1.0), (left + width * 0.9, ratio)],
                    color.filled(),
                ))
            });
        chart
            .draw_series(bars)?
            .label(contender.title())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
    }
    let line = [(0.0, 1.0), (SHOWN.len() as f64, 1.0)];
    chart.draw_series(LineSeries::new(line, BLACK.stroke_width(1)))?;
    for (group, (operation, batch)) in SHOWN.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, SCALE.start));
        for (text, below) in [(operation.name(), 8), (format!("batch {batch}"), 26)] {
            let position = plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Center,
                plotters::style::text_anchor::VPos::Top,
            );
            let style = TextStyle::from(("sans-serif", 14)).pos(position);
            root.draw_text(&text, &style, (x, y + below))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Unit,
        result::{Conditions, Row, Value},
    };

    #[test]
    fn a_chart_shows_every_operation_and_contender() {
        let mut rows = Vec::new();
        for &(operation, batch) in SHOWN {
            for (number, contender) in Contender::ALL.into_iter().enumerate() {
                rows.push(Row {
                    operation,
                    batch,
                    contender,
                    value: Value::of(vec![[100.0, 60.0, 150.0, 120.0, 900.0, 200.0][number]]),
                });
            }
        }
        let run = Run {
            unit: Unit::Instructions,
            conditions: Conditions {
                kernel: String::new(),
                cpus: 1,
                processor: String::new(),
                accelerator: String::new(),
                file_system: String::new(),
                module: None,
                rounds: 1,
            },
            rows,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chart.svg");
        draw(&run, &path).expect("a chart");
        let svg = std::fs::read_to_string(&path).expect("a file");
        for (operation, _) in SHOWN {
            assert!(svg.contains(&operation.name()), "{}", operation.name());
        }
        for (contender, _) in CONTENDERS {
            assert!(svg.contains(contender.title()), "{contender}");
        }
    }
}
