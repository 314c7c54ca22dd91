// SPDX-License-Identifier: MIT OR Apache-2.0

use nlcall::raw::{
    ArgKind,
    CallFlags, //
};
use nlcall::Errno;
use proptest::prelude::*;

use super::*;
use crate::options::{
    Command,
    Options, //
};

fn options(words: &[&str]) -> BatchOptions {
    let words = [&["nlcall", "batch"], words].concat();
    let options: Options = clap::Parser::try_parse_from(words).unwrap();
    match options.command {
        Command::Batch(options) => options,
        other => panic!("{other:?}"),
    }
}

/// A file opened, measured, read as long as it is, and closed.
const CHAIN: &str = r#"
{"id": "open", "call": "openat", "args": ["AT_FDCWD", "/etc/hostname", "O_RDONLY"], "flags": ["LINK"]}
{"id": "size", "call": "fstat", "args": [{"result_of": "open"}, "@"], "flags": ["hardlink"]}
{"call": "read", "args": [{"result_of": "open"}, "@100", {"load_from": "size", "offset": 48, "width": 8}], "flags": ["hardlink"], "timeout": 1.5}
{"call": "close", "args": [{"result_of": "open"}], "flags": ["skip_success"], "timeout": "500ms"}

{"id": 9, "call": 39}
"#;

fn wrong(text: &str) -> String {
    let Wrong { line, why } = Plan::read(text).unwrap_err();
    format!("{line}: {why}")
}

/// The calls that a batch of this process has.
fn here(plan: &Plan) -> (Batch, Placed<'_>) {
    // SAFETY: Nothing submits it.
    unsafe { plan.here() }.unwrap()
}

#[test]
fn lines_become_chains() {
    let plan = Plan::read(CHAIN).unwrap();
    let ids: Vec<_> = plan.items().iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids, ["\"open\"", "\"size\"", "4", "5", "9"]);
    let (batch, _) = here(&plan);
    let calls = batch.as_abi();
    let flags: Vec<_> = calls
        .iter()
        .map(|it| CallFlags::from_bits_retain(it.flags))
        .collect();
    let joined = CallFlags::HARDLINK;
    let skip = CallFlags::SKIP_SUCCESS;
    assert_eq!(
        flags,
        [CallFlags::LINK, joined, joined, skip, CallFlags::empty()]
    );
    let kind = |call: usize, argument: u32| {
        let kind = calls[call].arg_kinds >> (4 * argument) & 0xf;
        ArgKind::from_wire(kind as u8).unwrap()
    };
    assert_eq!((kind(1, 0), calls[1].args[0]), (ArgKind::Result, 0));
    assert_eq!(kind(1, 1), ArgKind::OutPtr);
    assert_eq!(kind(2, 2), ArgKind::Load);
    assert_eq!(calls[2].args[2], 1 | 8 << 24 | 48 << 32);
    assert_eq!((kind(2, 1), kind(3, 0)), (ArgKind::Value, ArgKind::Result));
    let timeouts: Vec<_> = calls.iter().map(|it| it.timeout_ns).collect();
    assert_eq!(timeouts, [0, 0, 1_500_000_000, 500_000_000, 0]);
    let numbers: Vec<_> = calls.iter().map(|it| it.user_data).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!((calls[4].nr, calls[4].args), (39, [0; 6]));
}

#[test]
fn chains_are_sent_to_another_process_with_their_memory() {
    let text = CHAIN.replace(
        "{\"load_from\": \"size\", \"offset\": 48, \"width\": 8}",
        "100",
    );
    let plan = Plan::read(&text).unwrap();
    // SAFETY: Nothing submits it.
    let (batch, _) = unsafe { plan.elsewhere() }.unwrap();
    let kinds: Vec<_> = batch.as_abi().iter().map(|it| it.arg_kinds).collect();
    let [data, out, result] = [ArgKind::Data, ArgKind::Out, ArgKind::Result].map(|it| it as u32);
    assert_eq!(
        kinds,
        [data << 4, result | out << 4, result | out << 4, result, 0]
    );

    // What a call may write there must be known.
    let plan = Plan::read(CHAIN).unwrap();
    // SAFETY: As above.
    let unknown = unsafe { plan.elsewhere() }.unwrap_err();
    assert!(
        unknown.line == 4 && unknown.why.contains("give a number"),
        "{unknown:?}"
    );
    let inline = Plan::read(r#"{"call": "getpid", "flags": ["inline"]}"#).unwrap();
    // SAFETY: As above.
    let inline = unsafe { inline.elsewhere() }.unwrap_err();
    assert!(inline.why.contains("leave it away"), "{inline:?}");
}

#[test]
fn arguments_are_those_of_call() {
    for (args, shown) in [
        (r#"[1, "abc", 3]"#, "write(1, \"abc\", 3) = 3"),
        (r#"[1, {"text": "7\n"}, 2]"#, "write(1, \"7\\n\", 2) = 2"),
        (r#"["1", "\"7\"", 1]"#, "write(1, \"7\", 1) = 1"),
        (r#"[-1, null, 0]"#, "write(-1, NULL, 0) = 0"),
        (r#"[1, "@2", 2]"#, "write(1, \"\\0\\0\", 2) = 2"),
    ] {
        let text = format!("{{\"call\": \"write\", \"args\": {args}}}");
        let plan = Plan::read(&text).unwrap();
        let (_, placed) = here(&plan);
        let ret = shown.rsplit(' ').next().unwrap().parse().unwrap();
        let reply = Reply {
            user_data: 0,
            ret,
            outcome: Outcome::Ran,
        };
        let line = placed.with_memory(0, &reply, &[], |memory| {
            plan.items()[0]
                .invocation
                .show(&reply, memory, Detail::default())
        });
        assert_eq!(line, shown);
    }
    for line in [
        r#"{"call": "nanosleep", "args": [{"tv_sec": 1, "tv_nsec": 0}, null]}"#,
        r#"{"call": "poll", "args": [[{"fd": 0, "events": "POLLIN|POLLOUT"}], 1, 0]}"#,
        r#"{"call": "execve", "args": ["/bin/true", ["\"true\"", {"text": "-l"}], []], "flags": ["inline"]}"#,
        r#"{"call": "writev", "args": [1, [{"iov_base": {"text": "abc"}, "iov_len": 2}], 1]}"#,
        r#"{"call": "lseek", "args": [0, -5, "SEEK_END"], "flags": ["drain"]}"#,
    ] {
        assert!(Plan::read(line).is_ok(), "{line}");
    }
}

#[test]
fn wrong_lines_say_what_to_do() {
    for (text, why) in [
        ("{", "1: EOF while parsing an object at column 1"),
        ("\n\n[]", "3: a line is an object: {\"call\": NAME"),
        (r#"{"call": "getpid"} x"#, "1: trailing characters at column 20"),
        (r#"{"args": []}"#, "1: missing field `call`"),
        (r#"{"call": "getpid", "arg": []}"#, "1: unknown field `arg`, expected one of"),
        (r#"{"call": null}"#, "1: `call` is the name or the number"),
        (r#"{"call": "getpdi"}"#, "1: unknown system call `getpdi`; near: getpid"),
        (r#"{"call": "close"}"#, "1: close takes 1 argument, not 0"),
        (r#"{"call": "close", "args": ["x"]}"#, "1: close: argument 1, `x`: a descriptor is expected"),
        (r#"{"call": "close", "args": [1.5]}"#, "1: argument 1, `1.5`: it is not a whole number"),
        (r#"{"call": "close", "args": [true]}"#, "1: argument 1, `true`: write 1 or 0"),
        (r#"{"call": "close", "args": ["@x"]}"#, "`@x` is not a buffer"),
        (r#"{"call": "write", "args": [1, {"text": 7}, 1]}"#, "`text` is a text"),
        (r#"{"call": "write", "args": [1, {"text": "7", "x": 1}, 1]}"#, "unknown `x`; there may be text"),
        (r#"{"call": "poll", "args": [[{"result_of": 1}], 1, 1]}"#, "only a whole argument"),
        (r#"{"call": "getpid", "id": []}"#, "1: `id` is a text or a number"),
        (r#"{"call": "getpid", "flags": ["later"]}"#, "1: unknown flag `later`; there are link, hardlink, drain, inline, skip_success"),
        (r#"{"call": "getpid", "flags": ["drain", "inline"]}"#, "1: `drain` orders calls of workers"),
        (r#"{"call": "getpid", "flags": ["link"]}"#, "1: getpid: it is linked to the next call, and there is none"),
        (r#"{"call": "getpid", "timeout": 0}"#, "1: `timeout`: an interval is longer than nothing"),
        (r#"{"call": "getpid", "timeout": "soon"}"#, "1: `timeout`: expected number"),
        (r#"{"call": "getpid", "timeout": []}"#, "1: `timeout` is a number of seconds"),
        ("{\"call\": \"getpid\", \"id\": 2}\n{\"call\": \"getpid\"}", "2: the id 2 is that of line 1"),
        ("{\"call\": \"getpid\", \"flags\": [\"link\"]}\n{\"call\": \"getpid\", \"flags\": [\"inline\"]}", "2: getpid: a chain is wholly `inline` or not at all"),
        (r#"{"call": "close", "args": [{"result_of": "x"}]}"#, "1: close: no call has the id \"x\""),
        (r#"{"call": "close", "args": [{"result_of": 1}]}"#, "1: close: 1 is no earlier call of its chain: `link`"),
        ("{\"call\": \"getpid\"}\n{\"call\": \"close\", \"args\": [{\"result_of\": 1}]}", "2: close: 1 is no earlier call of its chain"),
        ("{\"call\": \"getpid\", \"flags\": [\"link\"]}\n{\"call\": \"close\", \"args\": [{\"load_from\": 1, \"offset\": 0, \"width\": 4}]}", "2: close: 1 has 0 buffers"),
        (r#"{"call": "close", "args": [{"load_from": 1, "offset": 0, "width": 3}]}"#, "`width` is 1, 2, 4 or 8"),
        (r#"{"call": "close", "args": [{"load_from": 1, "width": 4}]}"#, "`offset` is a number up to 4294967295"),
        (r#"{"call": "close", "args": [{"result_of": 1, "width": 4}]}"#, "unknown `width`; there may be result_of"),
    ] {
        let found = wrong(text);
        assert!(found.contains(why), "{text}\n{found}\n{why}");
    }
}

#[test]
fn an_empty_file_is_no_call() {
    assert!(Plan::read("\n \n").unwrap().items().is_empty());
}

#[test]
fn a_long_chain_is_no_panic() {
    let line = "{\"call\": \"getpid\", \"flags\": [\"link\"]}\n";
    let far =
        |count: usize| line.repeat(count) + "{\"call\": \"close\", \"args\": [{\"result_of\": 1}]}";
    let plan = Plan::read(&far(1024)).unwrap();
    assert_eq!(here(&plan).0.len(), 1025);
    assert_eq!(
        wrong(&far(1025)),
        "1026: close: 1 is more than 1024 calls back"
    );
}

#[test]
fn a_refusal_is_about_a_line() {
    let plan = Plan::read(CHAIN).unwrap();
    let rejected = |message: Option<&str>, first| {
        let (batch, _) = here(&plan);
        let calls = batch.as_abi()[first..].iter();
        // SAFETY: Nothing submits them.
        let rest = calls.map(|call| unsafe { nlcall::raw::Call::from_abi(*call) });
        // What the library gives back cannot be made here otherwise.
        let rest: Batch = rest.collect();
        let error = Error::Rejected {
            errno: Errno::from_raw(libc::EOPNOTSUPP),
            message: message.map(str::to_owned),
            attr_offset: None,
        };
        refusal(
            &error,
            plan.items().len() - rest.len(),
            &plan,
            &options(&["calls.json"]),
        )
    };
    let failure = rejected(Some("call 1: setuid: credentials are per thread"), 3).unwrap();
    assert_eq!(
        failure.message(),
        "calls.json:7: refused: setuid: credentials are per thread"
    );
    assert_eq!(failure.status(), Status::Failed);
    for other in [
        None,
        Some("too many calls"),
        Some("call 9: x"),
        Some("call x: y"),
    ] {
        assert!(rejected(other, 3).is_none());
    }
}

#[test]
fn files_have_names_in_messages() {
    let wrong = || Wrong {
        line: 3,
        why: "x".to_owned(),
    };
    assert_eq!(
        line(&options(&[]), wrong()).message(),
        "standard input:3: x"
    );
    let failure = line(&options(&["a/b.json"]), wrong());
    assert_eq!(
        (failure.message().as_str(), failure.status()),
        ("a/b.json:3: x", Status::Usage)
    );
}

#[test]
fn the_documentation_shows_what_programs_get() {
    let plan = Plan::read(CHAIN).unwrap();
    let (_, placed) = here(&plan);
    let reply = Reply {
        user_data: 3,
        ret: -9,
        outcome: Outcome::Ran,
    };
    let printed = placed.with_memory(3, &reply, &[], |memory| {
        let item = &plan.items()[3];
        json::line(&Completed {
            id: &item.id,
            report: Report::of(&item.invocation, &reply, memory, Detail::default()),
        })
    });
    json::documented::assert_shows("nlcall batch", &printed);
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
        let _ = Plan::read(&text);
    }

    #[test]
    fn anything_made_of_the_syntax_is_read_without_a_panic(
        lines in proptest::collection::vec(
            (
                prop::sample::select(vec!["read", "openat", "close", "poll", "fstat", "execve"]),
                proptest::collection::vec(
                    prop::sample::select(vec![
                        "0", "\"@\"", "\"@9\"", "{\"result_of\": 1}", "null", "[]", "{}",
                        "{\"load_from\": 2, \"offset\": 4, \"width\": 8}", "\"/x\"", "[[{}]]",
                    ]),
                    0..4,
                ),
                prop::sample::select(vec!["", "\"link\"", "\"hardlink\"", "\"inline\""]),
            ),
            0..6,
        ),
    ) {
        let text: String = lines
            .iter()
            .map(|(call, args, flags)| {
                let args = args.join(", ");
                format!("{{\"call\": \"{call}\", \"args\": [{args}], \"flags\": [{flags}]}}\n")
            })
            .collect();
        if let Ok(plan) = Plan::read(&text) {
            // SAFETY: Nothing submits it.
            let (batch, _) = unsafe { plan.here() }.unwrap();
            prop_assert_eq!(batch.len(), plan.items().len());
            // SAFETY: As above.
            let _ = unsafe { plan.elsewhere() };
        }
    }
}
