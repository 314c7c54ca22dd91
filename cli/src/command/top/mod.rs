// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall top`

use std::io::{
    self,
    IsTerminal, //
};
use std::time::{
    Duration,
    Instant,
    SystemTime, //
};

use nlcall::raw::Session;
use ratatui::crossterm::event::{
    self,
    Event,
    KeyEventKind, //
};
use serde::Serialize;

use super::kill::send;
use crate::activity::{
    Activity,
    Live, //
};
use crate::colour;
use crate::exit::{
    Failure,
    Status, //
};
use crate::interrupt;
use crate::json;
use crate::looks::{
    since_1970,
    Looks,
    Pace, //
};
use crate::options::TopOptions;
use crate::table::{
    print,
    terminal_width, //
};

pub mod columns;
pub mod screen;
pub mod state;
pub mod view;

use screen::Screen;
use state::{
    Request,
    State, //
};
use view::{
    as_text,
    View, //
};

/// How wide a look is that is printed where there is no terminal.
const WIDTH: u16 = 200;

/// Shows the sessions until it is to end.
pub fn run(options: &TopOptions, json: bool) -> Result<Status, Failure> {
    let is_terminal = io::stdout().is_terminal();
    if !options.batch && !json && !is_terminal {
        return Err(Failure::Setting {
            name: "top".to_owned(),
            why: "the standard output is no terminal; --batch prints text".to_owned(),
        });
    }
    let mut module = Module {
        session: Session::open()?,
        looks: Looks::begin(),
    };
    let mut state = State::new(options.sort, &options.filter, options.interval);
    let count = options.count.unwrap_or(u64::MAX);
    match options.batch || json {
        true => print_looks(&mut module, &mut state, options, count, json)?,
        false => interact(&mut module, &mut state, count)?,
    }
    Ok(Status::Success)
}

/// What is looked at.
pub trait Source {
    /// The sessions as they are, and what happened since the look before.
    fn look(&mut self) -> Result<Activity, Failure>;

    /// Sends a signal to a process, and says what became of it.
    fn signal(&mut self, pid: u32, signal: u32) -> Result<String, Failure>;
}

/// The module.
struct Module {
    session: Session,
    looks: Looks,
}

impl Source for Module {
    fn look(&mut self) -> Result<Activity, Failure> {
        Ok(self.looks.look(&self.session)?)
    }

    /// As `nlcall kill` does.
    fn signal(&mut self, pid: u32, signal: u32) -> Result<String, Failure> {
        let sent = send(&mut self.session, i64::from(pid), signal)?;
        Ok(match sent {
            Ok(()) => format!("Signal {signal} was sent to process {pid}"),
            Err(errno) => format!("Process {pid}: {errno}"),
        })
    }
}

/// A look for programs.
#[derive(Debug, Serialize)]
struct Record<'a> {
    /// Nanoseconds since 1970.
    time_ns: u64,
    /// Since the look before.
    seconds: Option<f64>,
    sessions: &'a [Live],
}

impl<'a> Record<'a> {
    fn new(activity: &'a Activity, at: SystemTime) -> Self {
        Self {
            time_ns: since_1970(at),
            seconds: activity.elapsed.map(|elapsed| elapsed.as_secs_f64()),
            sessions: &activity.sessions,
        }
    }
}

/// Prints looks, each after an interval.
fn print_looks(
    source: &mut dyn Source,
    state: &mut State,
    options: &TopOptions,
    count: u64,
    json: bool,
) -> Result<(), Failure> {
    let width = options.width.or_else(terminal_width).unwrap_or(WIDTH);
    source.look()?;
    let mut pace = Pace::begin(options.interval);
    for number in 0..count {
        pace.wait();
        let now = SystemTime::now();
        state.update(source.look()?);
        if json {
            print(&(json::line(&Record::new(state.activity(), now)) + "\n"))?;
            continue;
        }
        let view = View {
            state,
            clock: &clock(now),
            colours: false,
            is_interactive: false,
        };
        let between = if number > 0 { "\n" } else { "" };
        print(&format!("{between}{}", as_text(view, width)))?;
    }
    Ok(())
}

/// Draws looks, and does what keys say, until one of them or a signal ends it. Whatever
/// does, the terminal is then as it was.
pub fn interact(source: &mut dyn Source, state: &mut State, count: u64) -> Result<(), Failure> {
    interrupt::note();
    let colours = colour::wanted(true);
    let failed = Failure::Terminal;
    // What fails from here on is said when the terminal is what it was.
    let mut screen = Screen::enter().map_err(failed)?;
    let mut last = Instant::now();
    state.update(source.look()?);
    let mut looks = 1;
    while !interrupt::came() {
        let now = clock(SystemTime::now());
        screen
            .draw(View {
                state,
                clock: &now,
                colours,
                is_interactive: true,
            })
            .map_err(failed)?;
        let due = state.interval().saturating_sub(last.elapsed());
        let mut is_due = due.is_zero() && !state.is_paused();
        if !is_due && event::poll(wait(due, state.is_paused())).map_err(failed)? {
            match event::read().map_err(failed)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match state.on_key(key) {
                    Some(Request::Quit) => break,
                    Some(Request::Stop) => screen.stop().map_err(failed)?,
                    Some(Request::Look) => is_due = true,
                    Some(Request::Signal { pid, signal }) => {
                        state.say(source.signal(pid, signal)?);
                    }
                    None => {}
                },
                _ => {}
            }
        }
        if is_due {
            if looks == count {
                break;
            }
            looks += 1;
            last = Instant::now();
            state.update(source.look()?);
        }
    }
    Ok(())
}

/// How long to wait for a key.
fn wait(due: Duration, is_paused: bool) -> Duration {
    match is_paused {
        true => interrupt::STEP,
        false => due.min(interrupt::STEP),
    }
}

fn clock(now: SystemTime) -> String {
    humantime::format_rfc3339_seconds(now).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::activity::Tracker;
    use crate::sessions::samples;

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let mut tracker = Tracker::default();
        tracker.look(Duration::ZERO, Vec::new());
        let activity = tracker.look(Duration::from_secs(1), vec![samples::busy()]);
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let printed = json::line(&Record::new(&activity, at));
        json::documented::assert_shows("nlcall top", &printed);
    }
}
