// SPDX-License-Identifier: MIT OR Apache-2.0

//! What goes on in the module: what two looks at its sessions differ by.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use nlcall::raw::Latency;
use serde::Serialize;

use crate::sessions::{
    latencies,
    Session, //
};

/// Remembers the look before.
#[derive(Debug, Default)]
pub struct Tracker {
    before: Option<(Duration, BTreeMap<u64, Session>)>,
}

/// What two looks differ by.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// Time between the looks; none at the first.
    pub elapsed: Option<Duration>,
    /// The sessions of the last look, in the order of their numbers.
    pub sessions: Vec<Live>,
}

/// A session, and what happened in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    /// As it is.
    #[serde(flatten)]
    pub session: Session,
    /// What happened since the look before; none at the first.
    pub per_second: Option<Rates>,
    /// How long the calls took that were delivered since the look before.
    #[serde(rename = "recent_latency", serialize_with = "latencies")]
    pub recent: Vec<Latency>,
}

/// How often something happened, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Calls that were accepted.
    pub accepted: f64,
    /// Completions that were delivered.
    pub delivered: f64,
    /// Calls that their submitters executed.
    pub inline: f64,
    /// Calls that succeeded without a completion.
    pub skipped: f64,
    /// Calls that were rejected.
    pub rejected: f64,
    /// Calls that were cancelled.
    pub canceled: f64,
    /// Calls whose time limit passed.
    pub timed_out: f64,
}

/// All sessions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Their number.
    pub sessions: usize,
    /// Those that are saturated.
    pub saturated: usize,
    /// Calls that were accepted and whose completion was not delivered.
    pub in_flight: u64,
    /// Of these, calls that wait for a worker.
    pub queued: u64,
    /// Calls that a worker executes.
    pub running: u64,
    /// Of these, calls that are blocked.
    pub blocked: u64,
    /// Completions that wait for room.
    pub undelivered: u64,
    /// Workers.
    pub workers: u64,
    /// Of these, those without a call.
    pub idle: u64,
    /// What happened since the look before; none at the first.
    pub per_second: Option<Rates>,
}

/// Which calls a latency is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Those that were delivered since the look before.
    Recent,
    /// Those since the sessions began.
    Whole,
}

impl Tracker {
    /// Takes in the sessions as they are at this time, of whatever clock that does not stand still.
    ///
    /// What happened in a session between the last look at it and its end is not known.
    pub fn look(&mut self, at: Duration, sessions: Vec<Session>) -> Activity {
        let before = self.before.take();
        let elapsed = before
            .as_ref()
            .map(|(before, _)| at.saturating_sub(*before));
        let known = before.map(|(_, sessions)| sessions).unwrap_or_default();
        let live = sessions.iter().map(|session| {
            // One with less than before is another one: the module was loaded anew.
            let before = known.get(&session.id).filter(|before| {
                before.accepted <= session.accepted && before.delivered <= session.delivered
            });
            Live::new(session, before, elapsed)
        });
        let sessions_now = live.collect();
        let by_id = sessions.into_iter().map(|session| (session.id, session));
        self.before = Some((at, by_id.collect()));
        Activity {
            elapsed,
            sessions: sessions_now,
        }
    }
}

impl Live {
    /// A session that had this state before; none where it is new, and all that happened in it is.
    fn new(session: &Session, before: Option<&Session>, elapsed: Option<Duration>) -> Self {
        let Some(elapsed) = elapsed.filter(|elapsed| !elapsed.is_zero()) else {
            return Self {
                session: session.clone(),
                per_second: None,
                recent: Vec::new(),
            };
        };
        let rate = |count: fn(&Session) -> u64| {
            let since = count(session).saturating_sub(before.map_or(0, count));
            since as f64 / elapsed.as_secs_f64()
        };
        let recent = session.latency.iter().map(|latency| {
            let mut known = before.iter().flat_map(|before| &before.latency);
            match known.find(|known| known.nr == latency.nr) {
                Some(known) => latency.since(known),
                None => latency.clone(),
            }
        });
        Self {
            per_second: Some(Rates {
                accepted: rate(|it| it.accepted),
                delivered: rate(|it| it.delivered),
                inline: rate(|it| it.inline),
                skipped: rate(|it| it.skipped),
                rejected: rate(|it| it.rejected),
                canceled: rate(|it| it.canceled),
                timed_out: rate(|it| it.timed_out),
            }),
            recent: recent.filter(|latency| latency.count > 0).collect(),
            session: session.clone(),
        }
    }

    /// How long its calls took, by number.
    pub fn latency(&self, period: Period) -> &[Latency] {
        match period {
            Period::Recent => &self.recent,
            Period::Whole => &self.session.latency,
        }
    }

    /// How long all its calls took.
    pub fn latency_of_all(&self, period: Period) -> Latency {
        together(self.latency(period))
    }
}

impl Activity {
    /// All sessions together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            sessions: self.sessions.len(),
            per_second: self.elapsed.map(|_| Rates::default()),
            ..Totals::default()
        };
        for live in &self.sessions {
            let session = &live.session;
            totals.saturated += usize::from(session.saturated);
            totals.in_flight += u64::from(session.in_flight);
            totals.queued += u64::from(session.queued);
            totals.running += u64::from(session.running);
            totals.blocked += u64::from(session.blocked);
            totals.undelivered += u64::from(session.undelivered);
            totals.workers += u64::from(session.workers);
            totals.idle += u64::from(session.idle);
            totals.per_second = totals
                .per_second
                .zip(live.per_second)
                .map(|(all, own)| all + own);
        }
        totals
    }

    /// How long calls took, by number: those of one session, or of all. Those come first that are
    /// most.
    pub fn latency(&self, session: Option<u64>, period: Period) -> Vec<Latency> {
        let mut by_number: BTreeMap<_, Latency> = BTreeMap::new();
        let chosen = self
            .sessions
            .iter()
            .filter(|live| session.is_none_or(|id| live.session.id == id));
        for latency in chosen.flat_map(|live| live.latency(period)) {
            by_number
                .entry(latency.nr)
                .and_modify(|all| *all = all.and(latency))
                .or_insert_with(|| latency.clone());
        }
        let mut latency: Vec<_> = by_number.into_values().collect();
        latency.sort_by_key(|latency| std::cmp::Reverse(latency.count));
        latency
    }

    /// How long all calls took that were delivered since the look before.
    pub fn recent_latency(&self) -> Latency {
        let recent: Vec<_> = self
            .sessions
            .iter()
            .map(|live| live.latency_of_all(Period::Recent))
            .collect();
        together(&recent)
    }

    /// So many in the time between the looks, per second.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        let seconds = self.elapsed?.as_secs_f64();
        (seconds > 0.0).then(|| count as f64 / seconds)
    }
}

/// Several latencies as one, of no number.
fn together(latency: &[Latency]) -> Latency {
    let none = Latency::default();
    latency.iter().fold(none, |all, latency| all.and(latency))
}

impl Add for Rates {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            delivered: self.delivered + other.delivered,
            inline: self.inline + other.inline,
            skipped: self.skipped + other.skipped,
            rejected: self.rejected + other.rejected,
            canceled: self.canceled + other.canceled,
            timed_out: self.timed_out + other.timed_out,
        }
    }
}

/// A rate in at most six characters, or a dash.
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) if rate < 99_999.5 => format!("{rate:.0}"),
        Some(rate) if rate < 9_999_500.0 => format!("{:.0}k", rate / 1e3),
        Some(rate) => format!("{:.0}M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::samples::{
        latency,
        session, //
    };
    use proptest::prelude::*;

    fn counted(id: u64, accepted: u64, delivered: u64) -> Session {
        Session {
            accepted,
            delivered,
            latency: vec![latency(Some(0), delivered)],
            ..session(id, 10, "a")
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_look_knows_no_rates() {
        let first = Tracker::default().look(SECOND, vec![counted(1, 9, 8)]);
        assert_eq!(first.elapsed, None);
        assert_eq!(first.sessions[0].per_second, None);
        assert!(first.sessions[0].recent.is_empty());
        let totals = first.totals();
        assert_eq!((totals.sessions, totals.per_second), (1, None));
        assert_eq!(first.latency(None, Period::Whole)[0].count, 8);
    }

    #[test]
    fn rates_are_what_two_looks_differ_by() {
        let mut tracker = Tracker::default();
        tracker.look(SECOND, vec![counted(1, 100, 90), counted(2, 5, 5)]);
        // In two seconds: calls of the first, the second has gone, and a third has come.
        let now = tracker.look(3 * SECOND, vec![counted(1, 140, 100), counted(3, 8, 4)]);
        assert_eq!(now.elapsed, Some(2 * SECOND));
        let rates: Vec<_> = now
            .sessions
            .iter()
            .map(|live| {
                live.per_second
                    .map(|rates| (rates.accepted, rates.delivered))
            })
            .collect();
        assert_eq!(rates, [Some((20.0, 5.0)), Some((4.0, 2.0))]);
        let all = now.totals().per_second.unwrap();
        assert_eq!((all.accepted, all.delivered), (24.0, 7.0));
        assert_eq!(now.sessions[0].recent[0].count, 10);
        assert_eq!(now.recent_latency().count, 14);
        assert_eq!(now.latency(None, Period::Recent)[0].count, 14);
        assert_eq!(now.latency(Some(3), Period::Recent)[0].count, 4);
        assert_eq!(now.latency(Some(1), Period::Whole)[0].count, 100);
        assert_eq!(now.per_second(14), Some(7.0));
    }

    #[test]
    fn a_number_that_was_given_again_is_another_session() {
        let mut tracker = Tracker::default();
        tracker.look(SECOND, vec![counted(1, 100, 90)]);
        let now = tracker.look(2 * SECOND, vec![counted(1, 3, 2)]);
        assert_eq!(now.sessions[0].per_second.unwrap().accepted, 3.0);
        assert_eq!(now.sessions[0].recent[0].count, 2);
    }

    #[test]
    fn a_clock_that_stands_still_divides_nothing() {
        let mut tracker = Tracker::default();
        tracker.look(SECOND, vec![counted(1, 1, 1)]);
        let now = tracker.look(SECOND, vec![counted(1, 2, 2)]);
        assert_eq!(now.sessions[0].per_second, None);
        assert_eq!(now.totals().per_second, None);
        assert_eq!(now.per_second(1), None);
    }

    #[test]
    fn rates_are_short() {
        for (per_second, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (9.96, "10"),
            (12_345.6, "12346"),
            (99_999.6, "100k"),
            (1_234_567.0, "1235k"),
            (1e10, "10000M"),
        ] {
            assert_eq!(rate(Some(per_second)), text);
        }
        assert_eq!(rate(None), "-");
    }

    proptest! {
        #[test]
        fn nothing_that_two_looks_show_breaks_it(
            looks in proptest::collection::vec(
                (0u64..5, proptest::collection::vec((0u64..4, any::<u32>(), any::<u32>()), 0..5)),
                0..6,
            ),
        ) {
            let mut tracker = Tracker::default();
            let mut clock = Duration::ZERO;
            for (passed, sessions) in looks {
                clock += Duration::from_secs(passed);
                let sessions: Vec<_> = sessions
                    .into_iter()
                    .map(|(id, accepted, delivered)| counted(id, accepted.into(), delivered.into()))
                    .collect();
                let count = sessions.len();
                let activity = tracker.look(clock, sessions);
                let totals = activity.totals();
                prop_assert_eq!(totals.sessions, count);
                for live in &activity.sessions {
                    let rates = live.per_second.unwrap_or_default();
                    prop_assert!(rates.accepted >= 0.0 && rates.accepted.is_finite());
                    prop_assert!(live.recent_is_part_of_all());
                }
            }
        }
    }

    impl Live {
        fn recent_is_part_of_all(&self) -> bool {
            let [recent, all] = [Period::Recent, Period::Whole].map(|it| self.latency_of_all(it));
            recent.count <= all.count
        }
    }
}
