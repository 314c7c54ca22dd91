// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is shown of a session, and what sessions are ordered by.

use std::cmp::Ordering;

use crate::activity::{
    rate,
    Live,
    Period,
    Rates, //
};
use crate::sessions::{
    nanos,
    time, //
};

/// Something that is shown of a session.
pub struct Column {
    /// Its heading, which names it on the command line as well.
    pub heading: &'static str,
    /// Characters that it has.
    pub width: u16,
    /// Where there is not room for all, those of a lower rank go before those of a higher one.
    rank: u8,
    cell: fn(&Live) -> String,
    order: Order,
}

/// What sessions are ordered by.
#[derive(Clone, Copy)]
enum Order {
    /// The largest first.
    Number(fn(&Live) -> f64),
    /// By the alphabet.
    Text(fn(&Live) -> &str),
}

const fn number(
    heading: &'static str,
    width: u16,
    rank: u8,
    cell: fn(&Live) -> String,
    by: fn(&Live) -> f64,
) -> Column {
    Column {
        heading,
        width,
        rank,
        cell,
        order: Order::Number(by),
    }
}

const fn text(
    heading: &'static str,
    width: u16,
    rank: u8,
    cell: fn(&Live) -> String,
    by: fn(&Live) -> &str,
) -> Column {
    Column {
        heading,
        width,
        rank,
        cell,
        order: Order::Text(by),
    }
}

/// A column that is a number of a session.
macro_rules! count {
    ($heading:literal, $width:literal, $rank:literal, $field:ident) => {
        number(
            $heading,
            $width,
            $rank,
            |live| live.session.$field.to_string(),
            |live| live.session.$field as f64,
        )
    };
}

/// A column that is a rate.
macro_rules! frequency {
    ($heading:literal, $rank:literal, $field:ident) => {
        number(
            $heading,
            8,
            $rank,
            |live| rate(live.per_second.map(|rates| rates.$field)),
            |live| live.per_second.unwrap_or(Rates::default()).$field,
        )
    };
}

/// A column that is a time that a part of the recent calls did not exceed.
macro_rules! percentile {
    ($heading:literal, $rank:literal, $part:literal) => {
        number(
            $heading,
            8,
            $rank,
            |live| time(live.latency_of_all(Period::Recent).percentile($part)),
            |live| {
                let latency = live.latency_of_all(Period::Recent);
                let longest = if latency.count > 0 { u64::MAX } else { 0 };
                latency.percentile($part).map_or(longest, nanos) as f64
            },
        )
    };
}

/// All columns, as they stand beside each other.
pub const ALL: &[Column] = &[
    count!("ID", 6, 3, id),
    number(
        "PID",
        7,
        0,
        |live| match live.session.pid {
            // The owner has ended, or is not visible from here.
            0 => "-".to_owned(),
            pid => pid.to_string(),
        },
        |live| f64::from(live.session.pid),
    ),
    text(
        "COMM",
        15,
        0,
        |live| live.session.comm.clone(),
        |live| &live.session.comm,
    ),
    text("S", 1, 0, |live| mark(live).to_owned(), mark),
    number(
        "FOR",
        7,
        4,
        |live| {
            let sender = live.session.target_of;
            sender.map_or_else(|| "-".to_owned(), |pid| pid.to_string())
        },
        |live| f64::from(live.session.target_of.unwrap_or(0)),
    ),
    frequency!("CALLS/S", 0, accepted),
    frequency!("DONE/S", 3, delivered),
    frequency!("INLINE/S", 5, inline),
    frequency!("REJECT/S", 6, rejected),
    count!("FLIGHT", 7, 0, in_flight),
    count!("QUEUED", 7, 1, queued),
    count!("RUN", 6, 1, running),
    count!("BLOCKED", 7, 0, blocked),
    count!("UNDELIV", 7, 4, undelivered),
    count!("WORK", 5, 1, workers),
    count!("IDLE", 5, 4, idle),
    count!("ACCEPTED", 9, 5, accepted),
    count!("DELIVERED", 9, 7, delivered),
    count!("CANCELED", 8, 8, canceled),
    count!("TIMEDOUT", 8, 8, timed_out),
    percentile!("P50", 6, 0.50),
    percentile!("P99", 2, 0.99),
];

/// State of a session, in a letter.
fn mark(live: &Live) -> &'static str {
    match live.session.state {
        _ if live.session.saturated => "s",
        "ended" => "e",
        "closed" => "c",
        _ => "",
    }
}

/// The column of this heading, in whatever case.
pub fn by_heading(heading: &str) -> Option<usize> {
    ALL.iter()
        .position(|column| column.heading.eq_ignore_ascii_case(heading))
}

/// The columns that there is room for, with a space between them.
pub fn fitting(width: u16) -> Vec<usize> {
    let last = ALL.iter().map(|column| column.rank).max().unwrap_or(0);
    let up_to = |rank: u8| {
        let columns = ALL.iter().enumerate();
        let chosen = columns.filter(move |(_, column)| column.rank <= rank);
        chosen.map(|(index, _)| index)
    };
    let room = |rank: u8| -> u32 {
        up_to(rank)
            .map(|index| u32::from(ALL[index].width) + 1)
            .sum()
    };
    let rank = (0..=last)
        .rev()
        .find(|rank| room(*rank) <= u32::from(width) + 1);
    up_to(rank.unwrap_or(0)).collect()
}

impl Column {
    /// What it shows of a session.
    pub fn cell(&self, live: &Live) -> String {
        (self.cell)(live)
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        matches!(self.order, Order::Text(_))
    }

    /// Which of two sessions comes first.
    pub fn compare(&self, one: &Live, other: &Live) -> Ordering {
        match self.order {
            Order::Number(by) => by(other).total_cmp(&by(one)),
            Order::Text(by) => by(one).cmp(by(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_terminals_have_what_matters_most() {
        let headings = |width| {
            let columns = fitting(width).into_iter();
            columns.map(|index| ALL[index].heading).collect::<Vec<_>>()
        };
        let narrow = [
            "PID", "COMM", "S", "CALLS/S", "FLIGHT", "QUEUED", "RUN", "BLOCKED", "WORK", "P99",
        ];
        assert_eq!(headings(80), narrow);
        assert_eq!(headings(200).len(), ALL.len());
        assert!(headings(79).len() <= narrow.len());
        // Something is shown wherever it is.
        assert_eq!(headings(0), headings(50));
        for width in 50..200 {
            let room: u16 = fitting(width)
                .iter()
                .map(|index| ALL[*index].width + 1)
                .sum();
            assert!(room <= width + 1, "{width}");
        }
    }

    #[test]
    fn columns_are_named_by_their_heading() {
        assert_eq!(
            by_heading("blocked").map(|at| ALL[at].heading),
            Some("BLOCKED")
        );
        assert_eq!(by_heading("nothing"), None);
        for column in ALL {
            assert!(
                column.heading.len() <= usize::from(column.width),
                "{}",
                column.heading
            );
        }
    }
}
