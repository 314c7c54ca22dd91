// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the module parses of a message.

use std::{collections::BTreeMap, num::NonZeroUsize};

use arbitrary::Unstructured;
use nlcall_abi::{
    cancel, config, flag, submit as attribute, ArgKind, Call, Outcome, Readi, Restart, Verdict,
    MAX_AREA, MAX_OUTPUT, REACH,
};
use nlcall_kmod::{
    calls::Which,
    chain::{self, Reference},
    ended::Ending,
    entries::{Earlier, Entry, Walk},
    parse::{self, arg_kind, count_named, Attrs, Load, Output, Shape, Submit},
    policy,
    readi::Messages,
    reject::{errno, Rejection},
    settings::{Access, Changes, SETTINGS},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::message::{Form, Message};

const LINKS: u32 = flag::LINK | flag::HARDLINK;

/// The attributes of a SUBMIT as they are.
pub fn submit(bytes: &[u8]) {
    match Submit::parse(bytes) {
        Ok(submit) => {
            is_consistent(&submit, bytes);
            // What was understood, written anew, is understood alike.
            let message = Message {
                calls: submit.calls().collect(),
                data: has(bytes, attribute::DATA).then(|| joined(&submit)),
                relocs: has(bytes, attribute::RELOC).then(|| submit.relocs().collect()),
                pidfd: submit.target().map(|pidfd| pidfd.fd),
                results: submit.results_ptr(),
            };
            let (again, _) = message.write(Form::USUAL);
            let again = Submit::parse(&again).expect("what was accepted is accepted again");
            is_same(&submit, &again);
        }
        Err(rejection) => is_clear(&rejection, bytes),
    }
}

/// A SUBMIT that was made: accepted exactly where it is right, however it is laid out.
pub fn calls(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let Ok((form, message)) = choices.arbitrary::<(Form, Message)>() else {
        return;
    };
    let (usual, _) = message.write(Form::USUAL);
    let (other, _) = message.write(form);
    match (Submit::parse(&usual), Submit::parse(&other)) {
        (Ok(submit), Ok(again)) => {
            assert!(is_right(&message), "accepted: {message:?}");
            is_consistent(&submit, &usual);
            is_consistent(&again, &other);
            is_same(&submit, &again);
            is_what_was_said(&submit, &message);
        }
        (Err(rejection), Err(other_rejection)) => {
            assert!(!is_right(&message), "{rejection:?}: {message:?}");
            is_clear(&rejection, &usual);
            is_clear(&other_rejection, &other);
            // The first that is wrong is the same one, unless a second look at the message found
            // it: then what is said of the whole message comes first.
            assert_eq!(rejection.errno, other_rejection.errno);
            assert_eq!(rejection.text, other_rejection.text);
            assert_eq!(rejection.at.is_some(), other_rejection.at.is_some());
        }
        (usual, other) => panic!(
            "{:?} or {:?}: {message:?} {form:?}",
            usual.map(|it| it.count()),
            other.map(|it| it.count())
        ),
    }
}

fn has(attrs: &[u8], kind: u16) -> bool {
    Attrs::from(attrs, 0).any(|attr| attr.kind == kind)
}

/// A rejection has an errno of a rule and words; an attribute that it names is one of the message.
fn is_clear(rejection: &Rejection, attrs: &[u8]) {
    let known = [
        errno::EINVAL,
        errno::E2BIG,
        errno::EMSGSIZE,
        errno::ENOSYS,
        errno::EOPNOTSUPP,
    ];
    assert!(known.contains(&rejection.errno), "{rejection:?}");
    assert!(!rejection.text.as_str().is_empty(), "{rejection:?}");
    if let Some(at) = rejection.at {
        let mut rest = Attrs::from(attrs, 0);
        let is_attribute = loop {
            match (rest.position(), rest.next()) {
                (_, None) => break false,
                (position, Some(_)) if position == at => break true,
                _ => {}
            }
        };
        assert!(is_attribute, "{rejection:?}");
    }
    count_named(attrs);
}

/// What a message says of itself is true of its calls.
fn is_consistent(submit: &Submit<'_>, attrs: &[u8]) {
    let calls: Vec<Call> = submit.calls().collect();
    let is_inline = |call: &&Call| call.flags & flag::INLINE != 0;
    assert!(submit.count() > 0);
    assert_eq!(submit.count(), calls.len());
    assert_eq!(submit.count(), submit.entries().count());
    assert_eq!(submit.count(), count_named(attrs));
    assert_eq!(submit.inline(), calls.iter().filter(is_inline).count());
    assert_eq!(submit.workers() + submit.inline(), submit.count());
    let size = submit.call_size().get();
    assert!(submit.payloads().all(|payload| payload.len() % size == 0));
    assert!(submit.results_ptr().is_none_or(|it| it != 0 && it % 8 == 0));

    let is_bare = |call: &Call| {
        policy::is_plain(call.nr)
            && call.arg_kinds == 0
            && call.timeout_ns == 0
            && call.reserved == 0
    };
    let is_all = |flags: u32| {
        calls
            .iter()
            .all(|call| is_bare(call) && call.flags == flags)
    };
    if submit.shape() == Shape::Plain {
        assert!(is_all(flag::INLINE));
    }
    if submit.shape() == Shape::Simple {
        let is_simple = |call: &Call| {
            policy::is_plain(call.nr)
                && call.timeout_ns == 0
                && call.flags & !(flag::INLINE | LINKS) == 0
                && (0..6).all(|arg| !matches!(arg_kind(call.arg_kinds, arg), 1 | 2))
        };
        assert!(calls.iter().all(is_simple));
    }
    if submit.is_plain_work() {
        assert!(is_all(0));
    }
    if size == size_of::<Call>() {
        assert_eq!(submit.shape() == Shape::Plain, is_all(flag::INLINE));
        assert_eq!(submit.is_plain_work(), is_all(0));
    }

    let area = submit.area();
    let len = area.map_or(0, |area| area.len);
    assert!(area.is_none_or(|area| area.data <= area.len && area.len <= MAX_AREA));
    let mut refers = false;
    for (index, call) in calls.iter().enumerate() {
        for (arg, value) in call.args.iter().enumerate() {
            match Reference::of(call.arg_kinds, arg, *value) {
                Reference::Value => continue,
                Reference::Result(earlier) => assert!(earlier < index && index - earlier <= REACH),
                Reference::Load(load) => {
                    assert!(load.call < index && index - load.call <= REACH);
                    assert!(matches!(load.width, 1 | 2 | 4 | 8));
                    assert!(chain::output(calls[load.call].arg_kinds).is_some());
                }
                Reference::Data => assert!(*value <= len as u64),
                Reference::Out => assert!(Output::of(*value).end() <= len as u64),
            }
            let kind = arg_kind(call.arg_kinds, arg);
            let is_reference = kind == ArgKind::Result as u32 || kind == ArgKind::Load as u32;
            refers |= is_reference && call.flags & flag::INLINE == 0;
        }
        let known = parse::references(call.arg_kinds) == 0
            && (0..6).all(|arg| !matches!(arg_kind(call.arg_kinds, arg), 1 | 2));
        if known && call.flags & flag::INLINE == 0 {
            assert!(policy::suits_worker(call.nr, &call.args), "{call:?}");
        }
    }
    assert_eq!(submit.refers(), refers);
    let bytes: usize = submit.data().map(<[u8]>::len).sum();
    assert!(area.is_none_or(|area| area.data == bytes));
}

/// All of DATA.
fn joined(submit: &Submit<'_>) -> Vec<u8> {
    submit.data().collect::<Vec<_>>().concat()
}

fn is_same(one: &Submit<'_>, other: &Submit<'_>) {
    assert!(one.calls().eq(other.calls()));
    assert_eq!(joined(one), joined(other));
    assert!(one.relocs().eq(other.relocs()));
    assert_eq!(one.inline(), other.inline());
    assert_eq!(one.refers(), other.refers());
    assert_eq!(one.area(), other.area());
    assert_eq!(one.results_ptr(), other.results_ptr());
    assert_eq!(
        one.target().map(|pidfd| pidfd.fd),
        other.target().map(|pidfd| pidfd.fd)
    );
}

fn is_what_was_said(submit: &Submit<'_>, message: &Message) {
    assert!(submit.calls().eq(message.calls.iter().copied()));
    assert_eq!(submit.results_ptr(), message.results);
    assert_eq!(submit.target().map(|pidfd| pidfd.fd), message.pidfd);
    assert_eq!(joined(submit), message.data.clone().unwrap_or_default());
    assert!(submit.relocs().eq(message.relocs.iter().flatten().copied()));
}

/// What the wire format says of a SUBMIT, in the plainest words.
fn is_right(message: &Message) -> bool {
    let calls = &message.calls;
    let links = |call: &Call| call.flags & LINKS != 0;
    let is_inline = |call: &Call| call.flags & flag::INLINE != 0;
    let kinds = |call: &Call| {
        let kinds = call.arg_kinds;
        (0..6).map(move |arg| ArgKind::from_wire(arg_kind(kinds, arg) as u8))
    };
    let count = |call: &Call, of| kinds(call).filter(|kind| *kind == Some(of)).count();
    let inline = calls.iter().filter(|call| is_inline(call)).count();
    let has_area = message.data.is_some() || message.relocs.is_some();
    if calls.is_empty()
        || calls.last().is_some_and(links)
        || message
            .results
            .is_some_and(|it| it == 0 || it % 8 != 0 || inline < calls.len())
        || inline > 0 && (message.pidfd.is_some() || has_area)
    {
        return false;
    }

    // The area: all outputs in order, and what refers to it within it.
    let data = message.data.as_ref().map_or(0, Vec::len);
    let mut end = 0;
    for call in calls {
        let mut total = 0;
        for (kind, value) in kinds(call).zip(call.args) {
            if kind == Some(ArgKind::Out) {
                let output = Output::of(value);
                total += output.len as usize;
                if u64::from(output.offset) < end {
                    return false;
                }
                end = output.end();
            }
        }
        if total > MAX_OUTPUT {
            return false;
        }
    }
    let len = (data as u64).max(end);
    let fits = |reloc: &nlcall_abi::Reloc| {
        reloc.at % 8 == 0 && reloc.at as usize + 8 <= data && u64::from(reloc.to) <= len
    };
    if len > MAX_AREA as u64 || !message.relocs.iter().flatten().all(fits) {
        return false;
    }

    let mut chain = 0;
    for (index, call) in calls.iter().enumerate() {
        if index > 0 && !links(&calls[index - 1]) {
            chain = index;
        }
        let is_earlier = |of: u64| (chain as u64..index as u64).contains(&of);
        let is_near = |of: u64| is_earlier(of) && index - of as usize <= REACH;
        let fits = |(kind, value): (Option<ArgKind>, u64)| match kind {
            None => false,
            Some(ArgKind::Value | ArgKind::OutPtr) => true,
            Some(ArgKind::Out) => !is_inline(call),
            Some(ArgKind::Data) => !is_inline(call) && value <= len,
            Some(ArgKind::Result) => is_near(value),
            Some(ArgKind::Load) => {
                let load = Load::of(value);
                let outputs = |of: &Call| count(of, ArgKind::Out) + count(of, ArgKind::OutPtr);
                is_near(load.call as u64)
                    && matches!(load.width, 1 | 2 | 4 | 8)
                    && outputs(&calls[load.call]) == 1
            }
        };
        let known = kinds(call).all(|kind| matches!(kind, Some(ArgKind::Value | ArgKind::OutPtr)));
        let judgement = match known {
            true => policy::judge(call.nr, &call.args),
            false => policy::entry(call.nr),
        };
        let is_permitted = judgement.is_some_and(|it| match it.verdict {
            Verdict::Both | Verdict::Differs => true,
            Verdict::InlineOnly => is_inline(call),
            Verdict::Refused => false,
        });
        let is_well = call.flags & !flag::KNOWN == 0
            && call.flags & (flag::DRAIN | flag::INLINE) != flag::DRAIN | flag::INLINE
            && call.reserved == 0
            && call.arg_kinds >> 24 == 0
            && is_inline(call) == is_inline(&calls[chain])
            && count(call, ArgKind::OutPtr) <= 1
            && kinds(call).zip(call.args).all(fits)
            && is_permitted;
        if !is_well {
            return false;
        }
    }
    true
}

/// The entries of an accepted message while its INLINE calls are made.
pub fn entries(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let Ok((form, message)) = choices.arbitrary::<(Form, Message)>() else {
        return;
    };
    let (mut attrs, places) = message.write(form);
    if Submit::parse(&attrs).is_err() {
        return;
    }
    let size = form.call_size();
    let together = places
        .windows(2)
        .position(|pair| pair[1] - pair[0] != size)
        .map_or(places.len(), |last| last + 1);
    let mut walk = Walk::new(NonZeroUsize::new(size).expect("entries have a size"));
    let mut done = 0;
    let mut recorded: BTreeMap<usize, Ending> = BTreeMap::new();
    let before = attrs.clone();
    while !choices.is_empty() {
        let Ok(step) = choices.arbitrary::<u8>() else {
            break;
        };
        match step % 4 {
            0 => {
                assert_eq!(walk.next(&attrs), places.get(done).copied());
                if done < places.len() {
                    let ending = ending(&mut choices).unwrap_or(Ending::ran(0));
                    let mut entry = Entry::at(&mut attrs, places[done]).expect("an entry");
                    let call = message.calls[done];
                    assert_eq!(entry.args(), call.args);
                    assert_eq!((entry.nr(), entry.flags()), (call.nr, call.flags));
                    assert_eq!(entry.is_due(), call.flags & flag::INLINE != 0);
                    entry.record(ending);
                    recorded.insert(done, ending);
                    done += 1;
                }
            }
            1 => {
                let most = usize::from(step >> 4) + 1;
                let first = done / together * together;
                let left = places.len().min(first + together).saturating_sub(done);
                match walk.row(&mut attrs, most) {
                    None => assert_eq!(done, places.len()),
                    Some(row) => {
                        assert_eq!((row.first(), row.count()), (first, left.min(most)));
                        assert_eq!(row.from(), (done - first) * size);
                        let count = row.count();
                        let back = usize::from(step >> 2) % (count + 1);
                        walk.back(back);
                        done += count - back;
                    }
                }
            }
            2 => {
                let index = usize::from(step >> 2) * 20 % (places.len() + 2);
                assert_eq!(walk.nth(&attrs, index), places.get(index).copied());
            }
            _ => {
                let Some(at) = places.get(usize::from(step >> 2)) else {
                    continue;
                };
                let earlier = Earlier::at(&attrs, *at).expect("an entry");
                let call = message.calls[usize::from(step >> 2)];
                let output = (0..6).find(|arg| arg_kind(call.arg_kinds, *arg) == 5);
                assert_eq!(earlier.output(), output.map(|arg| call.args[arg]));
            }
        }
    }
    for (index, ending) in &recorded {
        let entry = Entry::at(&mut attrs, places[*index]).expect("an entry");
        let result = entry.result();
        assert_eq!(result.user_data, message.calls[*index].user_data);
        assert_eq!(
            (result.ret, result.outcome, result.restart),
            (ending.ret, ending.outcome as u16, ending.restart as u16)
        );
        assert_eq!(entry.ret(), ending.ret);
    }
    // Nothing but the recorded entries has changed.
    let mut expected = before;
    for index in recorded.keys() {
        let entry = places[*index]..places[*index] + size_of::<Call>();
        expected[entry.clone()].copy_from_slice(&attrs[entry]);
    }
    assert_eq!(expected, attrs);
}

fn ending(choices: &mut Unstructured<'_>) -> arbitrary::Result<Ending> {
    Ok(Ending {
        ret: choices.arbitrary()?,
        outcome: *choices.choose(Outcome::ALL)?,
        restart: *choices.choose(Restart::ALL)?,
    })
}

/// What is sent to the classic front end, as it is.
pub fn readi(bytes: &[u8]) {
    let mut end = 0;
    for message in Messages::of(bytes) {
        assert!(message.at >= end && message.at % 4 == 0);
        end = message.at + 16 + message.payload.len();
        assert!(end <= bytes.len());
        assert_eq!(&bytes[message.at + 16..end], message.payload);
        match message.call() {
            Err(rejection) => {
                assert!(message.payload.len() < size_of::<Readi>());
                assert_eq!((rejection.errno, rejection.at), (errno::EINVAL, None));
            }
            Ok((pid, call)) => {
                let (readi, _) = Readi::read_from_prefix(message.payload).expect("a structure");
                assert_eq!((call.nr, call.flags, call.arg_kinds), (0, 0, 0));
                assert_eq!(pid, readi.pid);
                assert_eq!(call.user_data >> 32, u64::from(message.seq));
                let [fd, ptr, count, ..] = call.args;
                let again = Readi {
                    pid,
                    fd: fd as i32,
                    ptr,
                    count: count as i32,
                    padding: readi.padding,
                };
                assert_eq!(again.as_bytes(), readi.as_bytes());
            }
        }
    }
}

/// What CANCEL and CONFIG_SET say.
pub fn requests(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let _ = cancel_names_one(&mut choices);
    let _ = config_is_read(&mut choices);
}

fn cancel_names_one(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (user_data, fd, nr, all): (Option<u64>, Option<i32>, Option<u32>, bool) = u.arbitrary()?;
    let count = [user_data.is_some(), fd.is_some(), nr.is_some(), all];
    let count = count.into_iter().filter(|it| *it).count();
    let which = Which::named(user_data, fd, nr, all);
    assert_eq!(which.is_ok(), count == 1);
    let said = which.ok().map(|which| match which {
        Which::UserData(it) => (cancel::USER_DATA, it),
        Which::Fd(it) => (cancel::FD, it as u64),
        Which::Nr(it) => (cancel::NR, it.into()),
        Which::All => (cancel::ALL, 0),
    });
    let given = user_data
        .map(|it| (cancel::USER_DATA, it))
        .or(fd.map(|it| (cancel::FD, it as u64)))
        .or(nr.map(|it| (cancel::NR, it.into())))
        .unwrap_or((cancel::ALL, 0));
    assert!(said.is_none_or(|said| said == given));
    Ok(())
}

fn config_is_read(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut values: BTreeMap<u16, u32> = BTreeMap::new();
    for setting in &SETTINGS {
        if u.arbitrary()? {
            let border = *u.choose(&[setting.min, setting.max, 0])?;
            let value = border.wrapping_add_signed(u.int_in_range(-1..=1)?);
            values.insert(setting.attr, value);
        }
    }
    let access: Option<&str> = u.arbitrary()?;
    let parsed = access.map(Access::parse);
    if let Some(Ok(access)) = &parsed {
        assert_eq!(Access::parse(&access.to_string()), Ok(*access));
        assert_eq!(Access::decode(access.encode()), *access);
    }
    let in_range = |setting: &&nlcall_kmod::settings::Setting| {
        let value = values.get(&setting.attr);
        value.is_none_or(|value| (setting.min..=setting.max).contains(value))
    };
    let wrong = SETTINGS.iter().find(|setting| !in_range(setting));
    match Changes::read(|attr| values.get(&attr).copied(), access) {
        Ok(changes) => {
            assert!(wrong.is_none() && !changes.is_empty());
            for (setting, change) in SETTINGS.iter().zip(changes.values) {
                assert_eq!(change, values.get(&setting.attr).copied());
            }
            assert_eq!(changes.access, parsed.and_then(Result::ok));
        }
        Err((attr, rejection)) => {
            assert_eq!(rejection.errno, errno::EINVAL);
            let expected = match (wrong, &parsed) {
                (Some(setting), _) => Some(setting.attr),
                (None, Some(Err(_))) => Some(config::ACCESS),
                _ => {
                    assert!(values.is_empty() && access.is_none());
                    None
                }
            };
            assert_eq!(attr, expected);
        }
    }
    Ok(())
}
