// SPDX-License-Identifier: MIT OR Apache-2.0

//! How `nlcall top` is drawn.

use nlcall::raw::Latency;
use nlcall_abi::LATENCY_BUCKETS;
use ratatui::buffer::Buffer;
use ratatui::layout::{
    Alignment,
    Constraint,
    Layout,
    Rect, //
};
use ratatui::style::{
    Color,
    Modifier,
    Style, //
};
use ratatui::text::{
    Line,
    Span, //
};
use ratatui::widgets::{
    Block,
    Cell,
    Clear,
    Paragraph,
    Row,
    StatefulWidget,
    Table,
    TableState,
    Widget, //
};

use super::columns;
use super::state::{
    Mode,
    State,
    SIGNALS, //
};
use crate::activity::{
    rate,
    Live,
    Period,
    Rates, //
};
use crate::sessions::{
    call,
    time, //
};

/// Rows of the summary, with the line for what is said.
const SUMMARY: u16 = 4;
/// Rows of a table that are none of its entries: of the sessions, and of the latency.
const HEADING: u16 = 1;
const LATENCY_HEADINGS: u16 = 2;
/// Part of the screen that the latency has at most.
const LATENCY_PART: u16 = 3;
/// The width from which on there are histograms.
const WIDE: u16 = 92;

/// How often something happened, by its name. Where there is not room for all, the last ones go.
type Named = (&'static str, fn(&Rates) -> f64);
const RATES: &[Named] = &[
    ("accepted", |rates| rates.accepted),
    ("delivered", |rates| rates.delivered),
    ("INLINE", |rates| rates.inline),
    ("rejected", |rates| rates.rejected),
    ("canceled", |rates| rates.canceled),
    ("timed out", |rates| rates.timed_out),
    ("skipped", |rates| rates.skipped),
];

const KEYS: &[(&str, &str)] = &[
    ("q", "quit"),
    ("<>", "sort"),
    ("r", "reverse"),
    ("/", "filter"),
    ("k", "signal"),
    ("l", "period"),
    ("p", "pause"),
    ("?", "help"),
];

const HELP: &[&str] = &[
    "up, down     choose a session",
    "< >          order by another column",
    "r            the other way round",
    "/            show sessions with a text in their",
    "             number, process or name; ESC: all",
    "k, c         signal the process: no other one",
    "             may cancel its calls",
    "l            latency of the last interval,",
    "             or since the sessions began",
    "a            latency of all sessions or of one",
    "+ -          look less or more often",
    "SPACE        look now",
    "p            stand still",
    "q            quit",
    "",
    "S: s saturated, e ended, c closed",
    "P50, P99: no more took half, 99 of 100",
];

/// Everything that is drawn.
pub struct View<'a> {
    /// What is shown.
    pub state: &'a State,
    /// What time it is.
    pub clock: &'a str,
    /// Whether there are colours.
    pub colours: bool,
    /// Whether there are keys to press.
    pub is_interactive: bool,
}

impl Widget for View<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let latency = self.state.latency();
        let wanted = LATENCY_HEADINGS + rows(latency.len()).max(1);
        let most = (area.height / LATENCY_PART).max(LATENCY_HEADINGS + 1);
        let latency_height = match self.is_interactive {
            true => wanted.min(most),
            false => wanted,
        };
        // What keys are is on a screen, and a line that keeps the tables apart in a text.
        let [summary, sessions, _, below, keys] = Layout::vertical([
            Constraint::Length(SUMMARY),
            Constraint::Min(HEADING),
            Constraint::Length(u16::from(!self.is_interactive)),
            Constraint::Length(latency_height),
            Constraint::Length(u16::from(self.is_interactive)),
        ])
        .areas(area);
        self.summary(summary, buffer);
        self.sessions(sessions, buffer);
        self.latency(&latency, below, buffer);
        self.keys(keys, buffer);
        if *self.state.mode() == Mode::Help {
            self.help(area, buffer);
        }
    }
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX - SUMMARY - HEADING)
}

impl View<'_> {
    /// How many rows a text with everything has.
    pub fn height(&self) -> u16 {
        let latency = LATENCY_HEADINGS + rows(self.state.latency().len()).max(1);
        let sessions = HEADING + rows(self.state.rows().len()).max(1);
        let tables = sessions.saturating_add(1).saturating_add(latency);
        SUMMARY.saturating_add(tables)
    }

    fn colour(&self, colour: Color) -> Style {
        match self.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn heading(&self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn bad(&self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn summary(&self, area: Rect, buffer: &mut Buffer) {
        let totals = self.state.activity().totals();
        let some = |count: u64, style| {
            Span::styled(
                count.to_string(),
                if count > 0 { style } else { Style::new() },
            )
        };
        let mut first = vec![
            Span::styled("nlcall top", self.heading()),
            format!("  {}  ", self.clock).into(),
            format!(
                "every {}  ",
                humantime::format_duration(self.state.interval())
            )
            .into(),
            format!("{} sessions, ", totals.sessions).into(),
            some(totals.saturated as u64, self.bad()),
            " saturated".into(),
        ];
        if self.state.is_paused() {
            first.push(Span::styled("  PAUSED", self.bad()));
        }
        let second = vec![
            format!(
                "In flight {}: {} queued, {} running, ",
                totals.in_flight, totals.queued, totals.running
            )
            .into(),
            some(totals.blocked, self.colour(Color::Yellow)),
            " blocked, ".into(),
            some(totals.undelivered, self.bad()),
            " undelivered".into(),
        ];
        let mut third = format!(
            "Workers {}, {} idle. Per second:",
            totals.workers, totals.idle
        );
        for (name, of) in RATES {
            let more = format!(" {} {name},", rate(totals.per_second.as_ref().map(of)));
            // Without the last comma.
            if third.len() + more.len() > usize::from(area.width) + 1 {
                break;
            }
            third.push_str(&more);
        }
        let third = third.trim_end_matches(',').to_owned();
        let lines = vec![
            Line::from(first),
            Line::from(second),
            Line::from(third),
            self.said(),
        ];
        Paragraph::new(lines).render(area, buffer);
    }

    /// The line for what is said, asked or set.
    fn said(&self) -> Line<'_> {
        if let Some(message) = self.state.message() {
            return Line::styled(message, self.heading());
        }
        let filter = self.state.filter();
        match self.state.mode() {
            Mode::Filter(_) => Line::from(vec![
                Span::styled("Show what has in it: ", self.heading()),
                Span::styled(
                    format!("{filter}_"),
                    Style::new().add_modifier(Modifier::BOLD),
                ),
                "  ENTER keeps it, ESC the one before".into(),
            ]),
            Mode::Signal { pid, comm } => {
                let letters = SIGNALS
                    .iter()
                    .map(|(letter, name, _)| format!("{letter} {name}"));
                let letters: Vec<_> = letters.collect();
                Line::styled(
                    format!(
                        "Signal process {pid} ({comm})? {}; others: none",
                        letters.join(", ")
                    ),
                    self.bad(),
                )
            }
            _ if !filter.is_empty() => Line::from(vec![
                Span::styled(format!("Only what has in it: {filter}"), self.heading()),
                "  ESC shows all".into(),
            ]),
            _ => Line::default(),
        }
    }

    fn sessions(&self, area: Rect, buffer: &mut Buffer) {
        let shown = columns::fitting(area.width);
        let heading = shown.iter().map(|index| {
            let column = &columns::ALL[*index];
            let mut style = self.heading();
            if *index == self.state.sort() {
                style = style.add_modifier(Modifier::REVERSED);
            }
            aligned(column.heading.to_owned(), column.is_text()).style(style)
        });
        let live = self.state.rows();
        let rows = live.iter().map(|live| {
            let cells = shown.iter().map(|index| {
                let column = &columns::ALL[*index];
                aligned(column.cell(live), column.is_text())
            });
            Row::new(cells).style(self.session_style(live))
        });
        let widths = shown.iter().map(|index| columns::ALL[*index].width);
        let table = Table::new(rows, widths)
            .header(Row::new(heading))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let chosen = match self.is_interactive {
            true => self.state.position(),
            false => None,
        };
        let mut place = TableState::new().with_selected(chosen);
        StatefulWidget::render(table, area, buffer, &mut place);
        if live.is_empty() {
            let why = match self.state.activity().sessions.is_empty() {
                true => "No session is open. (The host's root sees all, others only their own.)",
                false => "No session has that in it.",
            };
            let [_, below] =
                Layout::vertical([Constraint::Length(HEADING), Constraint::Min(0)]).areas(area);
            Paragraph::new(why).render(below, buffer);
        }
    }

    fn session_style(&self, live: &Live) -> Style {
        let session = &live.session;
        match session.state {
            _ if session.saturated => self.bad(),
            "open" if session.blocked > 0 => self.colour(Color::Yellow),
            "open" => Style::new(),
            _ => Style::new().add_modifier(Modifier::DIM),
        }
    }

    fn latency(&self, latency: &[Latency], area: Rect, buffer: &mut Buffer) {
        let [title, below] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        let whose = match self.state.chosen() {
            Some(live) if self.state.is_of_one() => {
                let session = &live.session;
                format!("session {} ({}, {})", session.id, session.pid, session.comm)
            }
            _ => "all sessions".to_owned(),
        };
        let when = match self.state.period() {
            Period::Recent => "in the last interval",
            Period::Whole => "since they began",
        };
        let text = format!("Latency on workers: {whose}, {when}");
        Paragraph::new(Line::styled(text, self.heading())).render(title, buffer);
        if latency.is_empty() {
            Paragraph::new("None was delivered.").render(below, buffer);
            return;
        }
        let is_wide = area.width >= WIDE;
        let mut heading = vec![
            aligned("CALL".to_owned(), true),
            aligned("DONE/S".to_owned(), false),
            aligned("DONE".to_owned(), false),
            aligned("MEAN".to_owned(), false),
            aligned("P50".to_owned(), false),
            aligned("P99".to_owned(), false),
        ];
        let mut widths = vec![20, 8, 10, 9, 9, 9];
        if is_wide {
            heading.push(aligned(scale(), true));
            widths.push(LATENCY_BUCKETS as u16);
        }
        let rows = latency.iter().map(|latency| {
            // Of the whole time, which is not known, there is no rate.
            let often = match self.state.period() {
                Period::Recent => self.state.activity().per_second(latency.count),
                Period::Whole => None,
            };
            let mut cells = vec![
                aligned(call(latency).into_owned(), true),
                aligned(rate(often), false),
                aligned(latency.count.to_string(), false),
                aligned(time(latency.mean()), false),
                aligned(time(latency.percentile(0.50)), false),
                aligned(time(latency.percentile(0.99)), false),
            ];
            if is_wide {
                cells.push(aligned(histogram(latency), true).style(self.colour(Color::Green)));
            }
            Row::new(cells)
        });
        let table = Table::new(rows, widths).header(Row::new(heading).style(self.heading()));
        Widget::render(table, below, buffer);
    }

    fn keys(&self, area: Rect, buffer: &mut Buffer) {
        let mut line = Line::default();
        for (key, what) in KEYS {
            line.push_span(Span::styled(*key, self.heading()));
            line.push_span(format!(" {what}  "));
        }
        Paragraph::new(line).render(area, buffer);
    }

    fn help(&self, area: Rect, buffer: &mut Buffer) {
        let width = HELP.iter().map(|line| line.len()).max().unwrap_or(0);
        let [_, row, _] = Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(rows(HELP.len() + 2)),
            Constraint::Fill(1),
        ])
        .areas(area);
        let [_, place, _] = Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(rows(width + 4)),
            Constraint::Fill(1),
        ])
        .areas(row);
        Clear.render(place, buffer);
        let lines: Vec<_> = HELP
            .iter()
            .map(|line| Line::from(format!(" {line}")))
            .collect();
        Paragraph::new(lines)
            .block(
                Block::bordered()
                    .title(" Keys ")
                    .border_style(self.heading()),
            )
            .render(place, buffer);
    }
}

/// A cell; numbers stand on the right.
fn aligned(text: String, is_text: bool) -> Cell<'static> {
    let alignment = match is_text {
        true => Alignment::Left,
        false => Alignment::Right,
    };
    Cell::new(Line::from(text).alignment(alignment))
}

/// Above the histograms: where a microsecond, a millisecond and a second are.
fn scale() -> String {
    let mut scale = vec![b' '; LATENCY_BUCKETS];
    // Bucket k begins with 2^(k+9) nanoseconds.
    for (bucket, unit) in [(1, "1us"), (11, "1ms"), (21, "1s")] {
        scale[bucket..][..unit.len()].copy_from_slice(unit.as_bytes());
    }
    String::from_utf8_lossy(&scale).into_owned()
}

/// A bar for each bucket, as high as its part of the largest; any call is seen.
fn histogram(latency: &Latency) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = latency.buckets.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u32| match u64::from(*count) * BARS.len() as u64 / u64::from(most) {
        _ if *count == 0 => ' ',
        eighths => BARS[usize::try_from(eighths).unwrap_or(0).saturating_sub(1)],
    };
    latency.buckets.iter().map(bar).collect()
}

/// A look as text, without the empty end of its lines.
pub fn as_text(view: View<'_>, width: u16) -> String {
    let area = Rect::new(0, 0, width, view.height());
    let mut buffer = Buffer::empty(area);
    view.render(area, &mut buffer);
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(width)) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
