// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command parses: its arguments, lines of JSON, and what programs record.

use std::{
    cell::RefCell,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use clap::{CommandFactory, FromArgMatches};
use nlcall::raw::{fuzzing::messages, Batch, Call, Data, Outcome};
use nlcall_cli::{
    command::{
        batch::plan::{Placed, Plan},
        run::trace::Lines,
    },
    invocation::{memory, Invocation},
    kernel::Reply,
    layout::{structures, Detail},
    options::{spell_out_signal, Options},
    syntax::{parse, quote::quote, Value},
};
use nlcall_kmod::{parse::Submit, reject::errno};
use nlcall_run::shared::RECORD_LEN;

use crate::client::{is_parsed, pieces, HEADERS};

thread_local! {
    /// Made once: that takes longer than a case.
    static COMMAND: RefCell<clap::Command> = RefCell::new(Options::command());
}

/// A command line: arguments that end at a zero byte.
pub fn options(bytes: &[u8]) {
    let words = bytes.split(|byte| *byte == 0);
    let words = words.map(|word| OsString::from_vec(word.to_vec()));
    let words = spell_out_signal([OsString::from("nlcall")].into_iter().chain(words));
    assert_eq!(spell_out_signal(words.clone()), words, "once is enough");
    let matches = COMMAND.with_borrow_mut(|command| command.try_get_matches_from_mut(words));
    match matches {
        Ok(mut matches) => {
            let options = Options::from_arg_matches_mut(&mut matches);
            options.expect("what the command takes is an option");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // The help and the version are asked for; everything else is wrong usage.
            assert!(matches!(error.exit_code(), 0 | 2), "{error}");
        }
    }
}

/// A value in the syntax that it is read from.
fn written(value: &Value) -> Vec<u8> {
    let list = |open: u8, close: u8, items: Vec<Vec<u8>>| {
        let mut text = vec![open];
        text.extend(items.join(&b", "[..]));
        text.push(close);
        text
    };
    match value {
        Value::Number(number) => number.to_string().into_bytes(),
        Value::Quoted(bytes) => quote(bytes).into_bytes(),
        Value::Buffer(size) => {
            format!("@{}", size.map_or(String::new(), |it| it.to_string())).into()
        }
        Value::Structure(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let mut text = Vec::new();
                if let Some(name) = name {
                    text.extend(name.as_bytes());
                    text.push(b'=');
                }
                text.extend(written(value));
                text
            });
            list(b'{', b'}', fields.collect())
        }
        Value::Array(items) => list(b'[', b']', items.iter().map(written).collect()),
        Value::Word(text) => text.clone(),
        Value::Later => panic!("no text stands for it"),
    }
}

/// A system call as it is written, an argument a line: what is read of it is read of its own text,
/// and the module accepts it.
pub fn arguments(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let name = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let texts: Vec<OsString> = lines
        .map(|line| OsStr::from_bytes(line).to_owned())
        .collect();
    for text in &texts {
        if let Ok(value) = parse(text.as_bytes()) {
            let again = written(&value);
            assert_eq!(
                parse(&again),
                Ok(value),
                "{}",
                String::from_utf8_lossy(&again)
            );
        }
    }
    let invocation = match Invocation::new(&name, &texts) {
        Ok(invocation) => invocation,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut data = Data::new();
    let elsewhere = match invocation.elsewhere(&mut data) {
        Ok(elsewhere) => elsewhere,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let output = vec![0x41; Data::MAX_OUTPUT];
    for (ran, ret) in [(true, 3), (true, -2), (false, -4)] {
        let reply = Reply {
            user_data: 0,
            ret,
            outcome: if ran {
                Outcome::Ran
            } else {
                Outcome::NotStarted
            },
        };
        let after = elsewhere.after(ran, &output);
        let shown = invocation.show(&reply, &memory(&after), Detail::default());
        assert!(shown.starts_with(invocation.name()), "{shown}");
    }
    // SAFETY: The call is never made.
    let call = unsafe { Call::with_args(invocation.nr(), elsewhere.args()) };
    let mut batch = Batch::from(call);
    if !data.is_empty() {
        batch.data(data);
    }
    is_accepted(&batch);
}

/// Lines of JSON: what is a plan to the command is a message to the module.
pub fn lines(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let is_wrong_line = |line: usize, why: &str| {
        assert!((1..=text.lines().count()).contains(&line), "{line}: {why}");
        assert!(!why.is_empty());
    };
    let plan = match Plan::read(text) {
        Ok(plan) => plan,
        Err(wrong) => return is_wrong_line(wrong.line, &wrong.why),
    };
    // SAFETY: The calls are never made.
    let (batch, placed) = match unsafe { plan.elsewhere() } {
        Ok(batch) => batch,
        Err(wrong) => return is_wrong_line(wrong.line, &wrong.why),
    };
    assert!(matches!(placed, Placed::Elsewhere(_)));
    assert_eq!(batch.len(), plan.items().len());
    if !batch.is_empty() {
        is_accepted(&batch);
    }
}

/// Whether the module accepts a batch, but for what may not be made by a worker and for more than
/// a message has room for.
fn is_accepted(batch: &Batch) {
    let Ok(sent) = messages(batch, 65536, None) else {
        return;
    };
    let rejection = sent
        .iter()
        .find_map(|message| Submit::parse(&message[HEADERS..]).err());
    match rejection {
        None => is_parsed(batch, &sent),
        Some(rejection) => {
            let known = [errno::EOPNOTSUPP, errno::EMSGSIZE, errno::ENOSYS];
            assert!(known.contains(&rejection.errno), "{rejection:?}: {batch:?}");
        }
    }
}

/// Memory shown as one of the structures, whose number is the first byte: what is read of the text
/// is shown as that text.
pub fn layouts(bytes: &[u8]) {
    let Some((number, bytes)) = bytes.split_first() else {
        return;
    };
    let formats = structures::ALL;
    let format = formats[usize::from(*number) % formats.len()];
    let in_full = Detail {
        string: usize::MAX,
        in_full: true,
    };
    let brief = format.show(bytes, Detail::default());
    let Some(shown) = format.show(bytes, in_full) else {
        let is_short = format.size().is_none_or(|size| bytes.len() < size);
        assert!(is_short, "{} bytes of {format:?}", bytes.len());
        return assert_eq!(brief, None);
    };
    assert!(brief.is_some());
    let Ok(value) = parse(shown.as_bytes()) else {
        panic!("{shown} is no value");
    };
    if let Ok(again) = format.encode(&value) {
        assert_eq!(format.show(&again, in_full), Some(shown));
    }
}

/// What programs of `nlcall run --trace` send: the length of each record in two bytes, and its
/// bytes.
pub fn records(bytes: &[u8]) {
    let mut lines = Lines::default();
    let mut records = 0;
    let mut shown = 0;
    let mut check = |text: String| {
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        assert!(
            text.chars().all(|it| it == '\n' || !it.is_control()),
            "{text:?}"
        );
        shown += text.lines().count();
    };
    for record in pieces(bytes, RECORD_LEN) {
        check(lines.of(record));
        records += 1;
    }
    check(lines.rest());
    assert!(shown <= records, "a line for each call");
}
