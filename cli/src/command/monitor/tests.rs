// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{
    Duration,
    UNIX_EPOCH, //
};

use nlcall::raw::{
    CallFlags,
    Restart,
    TracedCall, //
};
use nlcall_abi::syscalls;

use super::*;

/// A call of a worker with these arguments.
pub(super) fn call(name: &str, args: [u64; 6]) -> TracedCall {
    TracedCall {
        user_data: 7,
        nr: syscalls::by_name(name).unwrap().nr,
        flags: CallFlags::LINK,
        args,
        arg_kinds: 0,
        way: Way::Worker,
    }
}

/// A call that ran.
pub(super) fn end(ret: i64) -> TracedEnd {
    TracedEnd {
        ret,
        outcome: Outcome::Ran,
        restart: Restart::None,
        duration: Some(Duration::from_micros(12)),
        memory: Default::default(),
    }
}

/// The same with memory that an argument points to.
pub(super) fn with_memory(
    mut end: TracedEnd,
    argument: usize,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
) -> TracedEnd {
    end.memory[argument].before = before.map(<[u8]>::to_vec);
    end.memory[argument].after = after.map(<[u8]>::to_vec);
    end
}

fn event(pid: u32, what: What) -> Notice {
    Notice::Event(Box::new(Event {
        seq: 3,
        time: UNIX_EPOCH + Duration::from_micros(1_500_000),
        session: Some(1),
        pid,
        tid: Some(pid + 1),
        comm: "cat".to_owned(),
        what,
    }))
}

fn closed(ret: i64) -> Notice {
    event(
        12,
        What::Completed(call("close", [3, 0, 0, 0, 0, 0]), end(ret).into()),
    )
}

fn rejected() -> Notice {
    event(
        12,
        What::Rejected {
            command: 1,
            errno: Errno::from_raw(22),
            message: "call 0: no".to_owned(),
        },
    )
}

/// What the command prints with these options.
fn shown(words: &[&str], notice: &Notice) -> Option<String> {
    shown_in(words, notice, Palette::NONE)
}

/// The same in these colours.
fn shown_in(words: &[&str], notice: &Notice, palette: Palette) -> Option<String> {
    let words = [&["nlcall", "monitor"], words].concat();
    let options = clap::Parser::try_parse_from(words).unwrap();
    let crate::options::Options {
        json,
        command: crate::options::Command::Monitor(options),
    } = options
    else {
        panic!("another command")
    };
    let view = View {
        filter: Filter::of(&options.expressions),
        options: &options,
        json,
        palette,
    };
    view.show(notice)
}

#[test]
fn lines_name_the_process_where_there_may_be_several() {
    let line = |words| shown(words, &closed(0)).unwrap();
    assert_eq!(line(&[]), "[pid 12] close(3) = 0");
    assert_eq!(line(&["-p", "12,13"]), "[pid 12] close(3) = 0");
    assert_eq!(line(&["-p", "12"]), "close(3) = 0");
    assert_eq!(line(&["-w"]), "[pid 12 worker] close(3) = 0");
    assert_eq!(line(&["-w", "-p12"]), "[worker] close(3) = 0");
    assert_eq!(
        line(&["-tT", "-p12"]),
        "1970-01-01T00:00:01.500000Z close(3) = 0 <0.000012>"
    );
}

#[test]
fn only_what_was_asked_for_is_shown() {
    assert!(shown(&["-p", "13"], &closed(0)).is_none());
    assert!(shown(&["-e", "close"], &closed(0)).is_some());
    assert!(shown(&["-e", "!close"], &closed(0)).is_none());
    assert!(shown(&["--failed-only"], &closed(0)).is_none());
    assert!(shown(&["-Z"], &closed(-9)).is_some());
    let submitted = event(12, What::Submitted(call("close", [3, 0, 0, 0, 0, 0])));
    assert!(shown(&[], &submitted).is_none());
    assert_eq!(
        shown(&["--submissions"], &submitted).unwrap(),
        "[pid 12] close(3) <submitted>"
    );
    assert!(shown(&["--submissions", "-e", "read"], &submitted).is_none());
}

#[test]
fn rejections_say_why() {
    assert_eq!(
        shown(&[], &rejected()).unwrap(),
        "[pid 12] --- SUBMIT rejected: EINVAL (Invalid argument): call 0: no ---"
    );
    assert!(shown(&["-e", "!read"], &rejected()).is_some());
    assert!(shown(&["-e", "read"], &rejected()).is_none());
}

#[test]
fn each_event_is_one_object() {
    let object = |notice: &Notice| -> serde_json::Value {
        let line = shown(&["--json"], notice).unwrap();
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    };
    let completed = object(&closed(-9));
    assert_eq!(completed["version"], 1);
    assert_eq!(completed["event"], "completed");
    assert_eq!(completed["time_ns"], 1_500_000_000);
    assert_eq!(completed["pid"], 12);
    assert_eq!(completed["tid"], 13);
    assert_eq!(completed["name"], "close");
    assert_eq!(completed["args"], serde_json::json!(["3"]));
    assert_eq!(completed["registers"][0], "0x3");
    assert_eq!(completed["flags"], serde_json::json!(["LINK"]));
    assert_eq!(completed["way"], "worker");
    assert_eq!(completed["ret"], -9);
    assert_eq!(completed["errno"], "EBADF");
    assert_eq!(completed["duration_ns"], 12_000);
    assert_eq!(
        completed["line"],
        "[pid 12] close(3) = -1 EBADF (Bad file descriptor)"
    );
    let rejected = object(&rejected());
    assert_eq!(rejected["event"], "rejected");
    assert_eq!(rejected["command"], "SUBMIT");
    assert_eq!(rejected["errno"], "EINVAL");
    assert_eq!(rejected["message"], "call 0: no");
    assert!(rejected.get("name").is_none());
    let lost = object(&Notice::Lost(5));
    assert_eq!(
        lost,
        serde_json::json!({"version": 1, "event": "lost", "count": 5})
    );
}

#[test]
fn the_documentation_shows_what_programs_get() {
    for notice in [closed(-9), rejected(), Notice::Lost(5)] {
        let printed = shown(&["--json"], &notice).unwrap();
        json::documented::assert_shows("nlcall monitor", &printed);
    }
}

#[test]
fn what_was_lost_is_no_line_for_people() {
    assert!(shown(&[], &Notice::Lost(5)).is_none());
}

#[test]
fn colours_end_where_they_begin() {
    let palette = Palette { dim: "<", bad: "[" };
    assert_eq!(palette.paint(palette.dim, "x"), "<x\x1b[0m");
    assert_eq!(palette.paint(palette.dim, ""), "");
    assert_eq!(palette.paint("", "x"), "x");
}

/// What the command prints of these, on a terminal of this size.
fn on_a_terminal((columns, rows): (u16, u16), words: &[&str], notices: &[Notice]) -> vt100::Parser {
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    for notice in notices {
        let line = shown_in(words, notice, Palette::TERMINAL).unwrap();
        terminal.process(format!("{line}\r\n").as_bytes());
    }
    terminal
}

/// Calls that are short, long, and went wrong.
fn calls() -> Vec<Notice> {
    let completed =
        |name, args, end: TracedEnd| event(4711, What::Completed(call(name, args), end.into()));
    let path =
        b"/usr/lib/x86_64-linux-gnu/a-folder-with-a-long-name/and-another-one/libexample.so\0";
    let missing = with_memory(end(-2), 1, Some(path), None);
    let opened = with_memory(end(3), 1, Some(b"/etc/hostname\0"), None);
    let read = with_memory(end(12), 1, Some(&[0; 12]), Some(b"debian-13\n\x01\xff"));
    let mut canceled = end(-125);
    canceled.outcome = Outcome::Canceled;
    let at_fdcwd = -100i64 as u64;
    vec![
        completed("openat", [at_fdcwd, 0x7f00, 0x80000, 0, 0, 0], missing),
        completed("openat", [at_fdcwd, 0x7f00, 0, 0, 0, 0], opened),
        completed("read", [3, 0x7f00, 4096, 0, 0, 0], read),
        completed("close", [3, 0, 0, 0, 0, 0], end(0)),
        completed("close", [3, 0, 0, 0, 0, 0], canceled),
        rejected(),
    ]
}

#[test]
fn lines_are_wrapped_by_the_terminal() {
    for size in [(80, 24), (200, 50)] {
        for (name, words) in [("plain", &[][..]), ("in-full", &["-tTw"])] {
            let terminal = on_a_terminal(size, words, &calls());
            let name = format!("{name}-{}x{}", size.0, size.1);
            let rows: Vec<_> = terminal.screen().rows(0, size.0).collect();
            insta::assert_snapshot!(name, rows.join("\n"));
        }
    }
}

#[test]
fn colours_are_dim_and_red_and_say_nothing_more() {
    let terminal = on_a_terminal((80, 24), &[], &calls());
    let colour = |row, column| terminal.screen().cell(row, column).unwrap().fgcolor();
    let red = vt100::Color::Idx(1);
    let is_red = |row: &u16| (0..80).any(|column| colour(*row, column) == red);
    // The result of the first call, on its second and third row, that of the cancelled one, and the
    // message.
    let rows: Vec<_> = (0..24).filter(is_red).collect();
    assert_eq!(rows, [1, 2, 6, 7, 8], "{}", terminal.screen().contents());
    assert_eq!(colour(9, 0), vt100::Color::Default, "it ends");
    let plain: String = calls()
        .iter()
        .map(|notice| shown(&[], notice).unwrap())
        .collect();
    let contents = terminal.screen().contents().replace('\n', "");
    assert_eq!(contents, plain);
}
