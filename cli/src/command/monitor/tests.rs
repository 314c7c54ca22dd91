// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::UNIX_EPOCH;

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
        palette: Palette { dim: "", bad: "" },
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
