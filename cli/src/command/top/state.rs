// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `nlcall top` shows, and what keys do to it; not how it is drawn.

use std::time::Duration;

use nlcall::raw::Latency;
use ratatui::crossterm::event::{
    KeyCode,
    KeyEvent,
    KeyModifiers, //
};

use super::columns;
use crate::activity::{
    Activity,
    Live,
    Period, //
};

/// Shortest and longest time between two looks that keys set.
const SHORTEST: Duration = Duration::from_millis(125);
const LONGEST: Duration = Duration::from_secs(64);

/// Rows that a page has for the keys that go by pages.
const PAGE: isize = 10;

/// What is shown.
#[derive(Debug)]
pub struct State {
    activity: Activity,
    sort: usize,
    is_reversed: bool,
    filter: String,
    /// The number of the session that is chosen, and where it is.
    chosen: Option<u64>,
    position: usize,
    mode: Mode,
    message: Option<String>,
    is_paused: bool,
    period: Period,
    of_one: bool,
    interval: Duration,
}

/// What keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The usual.
    Sessions,
    /// They are written into the filter, which was that before.
    Filter(String),
    /// They choose a signal for this process.
    Signal {
        /// Its number.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// Any key closes the help.
    Help,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The end.
    Quit,
    /// To be stopped, as job control does it.
    Stop,
    /// A look at once.
    Look,
    /// A signal to a process.
    Signal {
        /// The process.
        pid: u32,
        /// The signal.
        signal: u32,
    },
}

/// The signals that are sent by a letter.
pub const SIGNALS: &[(char, &str, i32)] = &[
    ('t', "TERM", libc::SIGTERM),
    ('i', "INT", libc::SIGINT),
    ('h', "HUP", libc::SIGHUP),
    ('k', "KILL", libc::SIGKILL),
];

impl State {
    /// Ordered by a column, with a filter, and with this time between looks.
    pub fn new(sort: usize, filter: &str, interval: Duration) -> Self {
        Self {
            activity: Activity::default(),
            sort,
            is_reversed: false,
            filter: filter.to_owned(),
            chosen: None,
            position: 0,
            mode: Mode::Sessions,
            message: None,
            is_paused: false,
            period: Period::Recent,
            of_one: false,
            interval,
        }
    }

    /// Takes in another look. The chosen session stays chosen, wherever it moves; where it has
    /// gone, the one in its place is.
    pub fn update(&mut self, activity: Activity) {
        self.activity = activity;
        self.follow();
    }

    /// Everything that was seen.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The sessions that are shown, in their order.
    pub fn rows(&self) -> Vec<&Live> {
        let mut rows: Vec<_> = self
            .activity
            .sessions
            .iter()
            .filter(|live| self.shows(live))
            .collect();
        let column = &columns::ALL[self.sort];
        rows.sort_by(|one, other| {
            let order = column.compare(one, other);
            let order = if self.is_reversed {
                order.reverse()
            } else {
                order
            };
            order.then(one.session.id.cmp(&other.session.id))
        });
        rows
    }

    fn shows(&self, live: &Live) -> bool {
        let session = &live.session;
        let filter = self.filter.to_lowercase();
        session.comm.to_lowercase().contains(&filter)
            || [session.id.to_string(), session.pid.to_string()]
                .iter()
                .any(|number| number.contains(&filter))
    }

    /// Where the chosen session is among the [`rows`](Self::rows).
    pub fn position(&self) -> Option<usize> {
        self.chosen.map(|_| self.position)
    }

    /// The session that is chosen.
    pub fn chosen(&self) -> Option<&Live> {
        let chosen = self.chosen?;
        let mut sessions = self.activity.sessions.iter();
        sessions.find(|live| live.session.id == chosen)
    }

    /// Finds the chosen session again.
    fn follow(&mut self) {
        let ids: Vec<_> = self.rows().iter().map(|live| live.session.id).collect();
        let again = ids.iter().position(|id| Some(*id) == self.chosen);
        self.position = again.unwrap_or(self.position.min(ids.len().saturating_sub(1)));
        self.chosen = ids.get(self.position).copied();
    }

    fn move_by(&mut self, rows: isize) {
        let ids: Vec<_> = self.rows().iter().map(|live| live.session.id).collect();
        let last = ids.len().saturating_sub(1);
        self.position = self.position.saturating_add_signed(rows).min(last);
        self.chosen = ids.get(self.position).copied();
    }

    /// How long calls took, by number.
    pub fn latency(&self) -> Vec<Latency> {
        let session = self.chosen.filter(|_| self.of_one);
        self.activity.latency(session, self.period)
    }

    /// What the sessions are ordered by.
    pub fn sort(&self) -> usize {
        self.sort
    }

    /// Whether the order is the other way round.
    pub fn is_reversed(&self) -> bool {
        self.is_reversed
    }

    /// What the sessions that are shown have in them.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What keys mean.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// What is to be said, until a key is pressed.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Says something.
    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Which calls the latency is of.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Whether the latency is that of the chosen session only.
    pub fn is_of_one(&self) -> bool {
        self.of_one && self.chosen.is_some()
    }

    /// Time between two looks.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Does what a key is for.
    pub fn on_key(&mut self, key: KeyEvent) -> Option<Request> {
        self.message = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Request::Quit),
                KeyCode::Char('z') => Some(Request::Stop),
                KeyCode::Char('l') => Some(Request::Look),
                _ => None,
            };
        }
        match self.mode.clone() {
            Mode::Sessions => self.on_usual_key(key.code),
            Mode::Help => {
                self.mode = Mode::Sessions;
                None
            }
            Mode::Filter(before) => {
                self.on_filter_key(key.code, before);
                None
            }
            Mode::Signal { pid, .. } => {
                self.mode = Mode::Sessions;
                let mut signals = SIGNALS.iter();
                let chosen = signals.find(|(letter, ..)| key.code == KeyCode::Char(*letter));
                chosen.map(|(_, _, signal)| Request::Signal {
                    pid,
                    signal: signal.unsigned_abs(),
                })
            }
        }
    }

    fn on_usual_key(&mut self, code: KeyCode) -> Option<Request> {
        match code {
            KeyCode::Char('q') => return Some(Request::Quit),
            KeyCode::Char(' ') => return Some(Request::Look),
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            KeyCode::PageUp => self.move_by(-PAGE),
            KeyCode::PageDown => self.move_by(PAGE),
            KeyCode::Home => self.move_by(isize::MIN),
            KeyCode::End => self.move_by(isize::MAX),
            KeyCode::Char('<') => self.order_by(self.sort + columns::ALL.len() - 1),
            KeyCode::Char('>') => self.order_by(self.sort + 1),
            KeyCode::Char('r') => {
                self.is_reversed = !self.is_reversed;
                self.order_by(self.sort);
            }
            KeyCode::Char('/' | 'f') => self.mode = Mode::Filter(self.filter.clone()),
            KeyCode::Esc => {
                self.filter.clear();
                self.follow();
            }
            KeyCode::Char('k' | 'c') => self.choose_signal(),
            KeyCode::Char('l') => {
                self.period = match self.period {
                    Period::Recent => Period::Whole,
                    Period::Whole => Period::Recent,
                }
            }
            KeyCode::Char('a') => self.of_one = !self.of_one,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('+') => self.interval = (self.interval * 2).min(LONGEST),
            KeyCode::Char('-') => self.interval = (self.interval / 2).max(SHORTEST),
            KeyCode::Char('h' | '?') | KeyCode::F(1) => self.mode = Mode::Help,
            _ => {}
        }
        None
    }

    fn order_by(&mut self, column: usize) {
        self.sort = column % columns::ALL.len();
        self.follow();
        // It may be one that there is no room for.
        let way = if self.is_reversed {
            ", the other way round"
        } else {
            ""
        };
        self.say(format!(
            "Ordered by {}{way}",
            columns::ALL[self.sort].heading
        ));
    }

    fn on_filter_key(&mut self, code: KeyCode, before: String) {
        match code {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Enter => self.mode = Mode::Sessions,
            KeyCode::Esc => {
                self.filter = before;
                self.mode = Mode::Sessions;
            }
            _ => {}
        }
        self.follow();
    }

    /// The session's own process alone may cancel its calls; another one can only end that.
    fn choose_signal(&mut self) {
        let Some(live) = self.chosen() else {
            return self.say("There is no session".to_owned());
        };
        let comm = match live.session.target_of {
            // Its name is not known here.
            Some(_) => format!("the sender of the calls in {}", live.session.comm),
            None => live.session.comm.clone(),
        };
        match live.session.sender() {
            Some(pid) => self.mode = Mode::Signal { pid, comm },
            None => self.say("Its process has ended, or is not visible from here".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Tracker;
    use crate::sessions::samples::{
        self,
        latency,
        session, //
    };
    use crate::sessions::Session;
    use proptest::prelude::*;

    fn state() -> State {
        State::new(
            columns::by_heading("CALLS/S").unwrap(),
            "",
            Duration::from_secs(1),
        )
    }

    /// Sessions of numbers, processes and names, and how many calls each had in the last second.
    fn activity(sessions: &[(u64, u32, &str, u64)]) -> Activity {
        let mut tracker = Tracker::default();
        let begun = |(id, pid, comm, accepted): &(u64, u32, &str, u64)| Session {
            accepted: *accepted,
            delivered: *accepted,
            latency: vec![latency(Some(0), *accepted)],
            ..session(*id, *pid, comm)
        };
        tracker.look(Duration::ZERO, Vec::new());
        tracker.look(Duration::from_secs(1), sessions.iter().map(begun).collect())
    }

    fn shown() -> State {
        let mut state = state();
        state.update(activity(&[
            (1, 100, "cat", 5),
            (2, 200, "nginx", 50),
            (3, 300, "Cat", 10),
        ]));
        state
    }

    fn ids(state: &State) -> Vec<u64> {
        state.rows().iter().map(|live| live.session.id).collect()
    }

    fn press(state: &mut State, keys: &str) -> Option<Request> {
        let mut last = None;
        for letter in keys.chars() {
            let code = match letter {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\x08' => KeyCode::Backspace,
                'v' => KeyCode::Down,
                '^' => KeyCode::Up,
                letter => KeyCode::Char(letter),
            };
            last = state.on_key(code.into());
        }
        last
    }

    #[test]
    fn sessions_are_ordered_by_the_chosen_column() {
        let mut state = shown();
        assert_eq!(ids(&state), [2, 3, 1]);
        press(&mut state, "r");
        assert_eq!(ids(&state), [1, 3, 2]);
        assert_eq!(
            state.message(),
            Some("Ordered by CALLS/S, the other way round")
        );
        state.order_by(columns::by_heading("COMM").unwrap());
        press(&mut state, "r");
        assert_eq!(ids(&state), [3, 1, 2]);
        let before = state.sort();
        press(&mut state, "<>");
        assert_eq!(state.sort(), before);
        for _ in columns::ALL {
            press(&mut state, ">");
            assert_eq!(ids(&state).len(), 3);
        }
        assert_eq!(state.sort(), before);
    }

    #[test]
    fn a_filter_shows_what_has_it_in_it() {
        let mut state = shown();
        press(&mut state, "/CA");
        assert_eq!(ids(&state), [3, 1]);
        assert_eq!(press(&mut state, "q"), None, "a letter like others");
        assert!(ids(&state).is_empty() && state.chosen().is_none());
        press(&mut state, "\x08\n");
        assert_eq!((state.filter(), state.mode()), ("CA", &Mode::Sessions));
        press(&mut state, "/x\x1b");
        assert_eq!(state.filter(), "CA", "as before");
        press(&mut state, "\x1b");
        assert_eq!(ids(&state).len(), 3);
        press(&mut state, "/200\n");
        assert_eq!(ids(&state), [2]);
    }

    #[test]
    fn the_chosen_session_stays_chosen() {
        let chosen = |state: &State| state.chosen().map(|live| live.session.id);
        let mut state = shown();
        assert_eq!((chosen(&state), state.position()), (Some(2), Some(0)));
        press(&mut state, "v");
        assert_eq!(chosen(&state), Some(3));
        state.update(activity(&[(1, 1, "a", 9), (2, 2, "b", 8), (3, 3, "c", 1)]));
        assert_eq!((chosen(&state), state.position()), (Some(3), Some(2)));
        state.update(activity(&[(1, 1, "a", 9), (2, 2, "b", 8)]));
        assert_eq!(chosen(&state), Some(2), "the one in its place");
        press(&mut state, "vvvv^");
        assert_eq!(chosen(&state), Some(1));
        state.on_key(KeyCode::End.into());
        assert_eq!(chosen(&state), Some(2));
        state.on_key(KeyCode::Home.into());
        assert_eq!(chosen(&state), Some(1));
        state.update(activity(&[]));
        assert_eq!((chosen(&state), state.position()), (None, None));
        press(&mut state, "v^k");
        assert_eq!(state.message(), Some("There is no session"));
    }

    #[test]
    fn a_signal_goes_to_the_process_whose_calls_they_are() {
        let mut state = shown();
        assert_eq!(press(&mut state, "k"), None);
        let comm = "nginx".to_owned();
        assert_eq!(state.mode(), &Mode::Signal { pid: 200, comm });
        let signal = |signal: i32| {
            Some(Request::Signal {
                pid: 200,
                signal: signal as u32,
            })
        };
        assert_eq!(press(&mut state, "t"), signal(libc::SIGTERM));
        assert_eq!(press(&mut state, "ck"), signal(libc::SIGKILL));
        assert_eq!(press(&mut state, "kx"), None);
        assert_eq!(press(&mut state, "k\x1b"), None);
        assert_eq!(state.mode(), &Mode::Sessions);

        let mut tracker = Tracker::default();
        state.update(tracker.look(Duration::ZERO, vec![samples::busy()]));
        press(&mut state, "k");
        assert!(matches!(state.mode(), Mode::Signal { pid: 8, .. }));
        press(&mut state, "x");
        state.update(tracker.look(Duration::ZERO, vec![session(1, 0, "gone")]));
        press(&mut state, "k");
        assert!(state.message().unwrap().contains("has ended"));
    }

    #[test]
    fn latency_is_that_of_all_sessions_or_of_one() {
        let mut state = shown();
        let count = |state: &State| state.latency().first().map(|latency| latency.count);
        assert_eq!(count(&state), Some(65));
        press(&mut state, "a");
        assert_eq!((count(&state), state.is_of_one()), (Some(50), true));
        press(&mut state, "l");
        assert_eq!(state.period(), Period::Whole);
        assert_eq!(count(&state), Some(50));
        press(&mut state, "a");
        assert_eq!(count(&state), Some(65));
    }

    #[test]
    fn keys_set_how_often_is_looked() {
        let mut state = shown();
        press(&mut state, "+");
        assert_eq!(state.interval(), Duration::from_secs(2));
        press(&mut state, "++++++++++");
        assert_eq!(state.interval(), LONGEST);
        press(&mut state, "--------------");
        assert_eq!(state.interval(), SHORTEST);
        assert_eq!(press(&mut state, " "), Some(Request::Look));
        press(&mut state, "p");
        assert!(state.is_paused());
    }

    #[test]
    fn it_ends_and_is_stopped_as_other_programs() {
        let mut state = shown();
        let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        assert_eq!(press(&mut state, "q"), Some(Request::Quit));
        for mode in ["", "?", "/", "k"] {
            press(&mut state, mode);
            assert_eq!(state.on_key(control('c')), Some(Request::Quit));
            assert_eq!(state.on_key(control('z')), Some(Request::Stop));
            press(&mut state, "\x1b");
        }
        assert_eq!(press(&mut state, "hq"), None, "closes the help");
    }

    proptest! {
        #[test]
        fn no_keys_break_it(keys in "[qk/cflaprRhv^<>+ \\-?\\x08\\x1bxTt\\n]{0,40}") {
            let mut state = shown();
            for (at, letter) in keys.chars().enumerate() {
                press(&mut state, &letter.to_string());
                if at % 7 == 3 {
                    state.update(activity(&[(4, 4, "cat", 1), (2, 2, "b", at as u64)]));
                }
                let rows = state.rows().len();
                prop_assert_eq!(state.position().is_some(), rows > 0);
                prop_assert!(state.position().is_none_or(|at| at < rows));
            }
        }
    }
}
