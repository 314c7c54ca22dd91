// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use proptest::prelude::*;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use ratatui::Terminal;

use super::*;
use crate::activity::Tracker;
use crate::sessions::samples::{
    self,
    latency, //
};
use crate::sessions::Session;

const CLOCK: &str = "2026-11-26T06:12:01Z";
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

/// Sessions of all kinds, as many as asked for, in which something happened for a second.
fn sessions(count: u64) -> Vec<Session> {
    const NAMES: [&str; 5] = ["nginx", "postgres", "a-name-as-long1", "cat", "rustc"];
    let state = |at: u64| match at % 7 {
        5 => "ended",
        6 => "closed",
        _ => "open",
    };
    (1..=count)
        .map(|at| {
            let busy = u32::try_from((at * 37) % 128).unwrap();
            let calls = at * at * 131 % 20_000;
            Session {
                state: state(at),
                target_of: (at % 4 == 3).then_some(4711),
                in_flight: busy * 3,
                queued: if at % 5 == 0 { busy } else { 0 },
                running: busy,
                blocked: busy / 2,
                undelivered: u32::from(at % 6 == 0),
                workers: busy + 1,
                idle: 1,
                saturated: at % 5 == 0,
                accepted: calls + u64::from(busy) * 3,
                delivered: calls,
                rejected: at % 3,
                inline: calls / 2,
                latency: vec![
                    latency(Some(0), calls),
                    latency(Some(257), calls / 3),
                    latency(Some(262), 1),
                    latency(None, 1),
                ],
                ..samples::session(
                    at,
                    1000 + 7 * u32::try_from(at).unwrap(),
                    NAMES[at as usize % 5],
                )
            }
        })
        .collect()
}

fn state(count: u64) -> State {
    let sort = columns::by_heading("CALLS/S").unwrap();
    let mut state = State::new(sort, "", Duration::from_secs(1));
    let mut tracker = Tracker::default();
    tracker.look(Duration::ZERO, Vec::new());
    state.update(tracker.look(Duration::from_secs(1), sessions(count)));
    state
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        state.on_key(KeyCode::Char(key).into());
    }
}

fn terminal(state: &State, (width, height): (u16, u16), colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = View {
        state,
        clock: CLOCK,
        colours,
        is_interactive: true,
    };
    terminal
        .draw(|frame| frame.render_widget(view, frame.area()))
        .unwrap();
    terminal
}

/// What is on the screen, and below it which cells look how.
fn with_styles(terminal: &Terminal<TestBackend>) -> String {
    format!("{:#?}", terminal.backend().buffer())
}

#[test]
fn nothing_goes_on() {
    for size in SIZES {
        let name = format!("empty-{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, terminal(&state(0), size, true).backend());
    }
}

#[test]
fn a_few_sessions() {
    for size in SIZES {
        let name = format!("few-{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, terminal(&state(4), size, true).backend());
    }
}

#[test]
fn more_sessions_than_fit() {
    for size in SIZES {
        let mut state = state(120);
        let name = format!("full-{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, terminal(&state, size, true).backend());
        state.on_key(KeyCode::End.into());
        press(&mut state, "al");
        let name = format!("full-end-{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, terminal(&state, size, true).backend());
    }
}

#[test]
fn colours_say_what_letters_say_as_well() {
    let mut state = state(7);
    state.on_key(KeyCode::Down.into());
    let coloured = terminal(&state, (80, 24), true);
    let plain = terminal(&state, (80, 24), false);
    insta::assert_snapshot!("colours", with_styles(&coloured));
    insta::assert_snapshot!("no-colours", with_styles(&plain));
    for (with, without) in coloured
        .backend()
        .buffer()
        .content()
        .iter()
        .zip(plain.backend().buffer().content())
    {
        assert_eq!(with.symbol(), without.symbol());
        assert_eq!((without.fg, without.bg), (Color::Reset, Color::Reset));
    }
}

#[test]
fn what_is_asked_and_said_has_a_line() {
    let line = |state: &State| {
        let terminal = terminal(state, (80, 24), false);
        let buffer = terminal.backend().buffer();
        let row = &buffer.content()[3 * 80..4 * 80];
        let text: String = row.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned()
    };
    let mut state = state(4);
    assert_eq!(line(&state), "");
    press(&mut state, "/ng");
    assert_eq!(
        line(&state),
        "Show what has in it: ng_  ENTER keeps it, ESC the one before"
    );
    state.on_key(KeyCode::Enter.into());
    assert_eq!(line(&state), "Only what has in it: ng  ESC shows all");
    state.on_key(KeyCode::Esc.into());
    press(&mut state, "/cat");
    state.on_key(KeyCode::Enter.into());
    press(&mut state, "k");
    assert_eq!(
        line(&state),
        "Signal process 4711 (the sender of the calls in cat)? t TERM, i INT, h HUP, k KILL; others: none"
            .chars()
            .take(80)
            .collect::<String>()
            .trim_end()
    );
    press(&mut state, "x");
    state.say("kill(4711): ESRCH (No such process)".to_owned());
    assert_eq!(line(&state), "kill(4711): ESRCH (No such process)");
}

#[test]
fn help_lies_above_everything() {
    let mut state = state(4);
    press(&mut state, "?");
    insta::assert_snapshot!("help", terminal(&state, (80, 24), true).backend());
}

#[test]
fn a_look_is_text() {
    let text = |count, width| {
        let state = state(count);
        let view = View {
            state: &state,
            clock: CLOCK,
            colours: false,
            is_interactive: false,
        };
        as_text(view, width)
    };
    insta::assert_snapshot!("text-80", text(3, 80));
    insta::assert_snapshot!("text-200", text(3, 200));
    let long = text(300, 80);
    assert_eq!(
        long.lines().filter(|line| line.contains("nginx")).count(),
        60,
        "all of them, however many"
    );
    assert_eq!(text(700, 200).lines().count(), 4 + 1 + 700 + 1 + 2 + 4);
}

#[test]
fn every_call_is_seen_in_a_histogram() {
    let mut one = latency(Some(0), 100);
    one.buckets[20] = 1;
    let bars = histogram(&one);
    assert_eq!(bars.chars().count(), LATENCY_BUCKETS);
    assert_eq!(bars.trim(), format!("██{}▁", " ".repeat(17)));
    assert_eq!(histogram(&Latency::default()).trim(), "");
    let mut large = Latency::default();
    large.buckets = [u32::MAX; LATENCY_BUCKETS];
    assert_eq!(histogram(&large), "█".repeat(LATENCY_BUCKETS));
    assert_eq!(scale().find("1ms"), Some(11));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_terminal_is_drawn_on(
        width in 0u16..250,
        height in 0u16..60,
        count in 0u64..90,
        keys in "[?k/al^<>r]{0,6}",
    ) {
        let mut state = state(count);
        press(&mut state, &keys);
        terminal(&state, (width, height), true);
    }
}
