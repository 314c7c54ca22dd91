// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the library parses of the module's answers, and what it sends.

use std::time::{Duration, UNIX_EPOCH};

use arbitrary::{Arbitrary, Result, Unstructured};
use nlcall::{
    raw::{
        fuzzing::{hear, messages, Answer, SEQUENCE},
        Arg, Batch, Call, CallFlags, Chain, Data, Event, Step, What,
    },
    Error,
};
use nlcall_abi::{
    self as abi, CallResult, Command, FrontEnd, Outcome, Restart, SessionState, TraceEvent,
    Verdict, Way,
};
use nlcall_kmod::parse::Submit;
use zerocopy::IntoBytes;

use crate::message::Attributes;

/// `NLMSG_ERROR` and `NLMSG_DONE`, `NLM_F_MULTI`, `NLM_F_CAPPED` and `NLM_F_ACK_TLVS` of
/// `include/uapi/linux/netlink.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const MULTI: u16 = 2;
const CAPPED: u16 = 0x100;
const ACK_TLVS: u16 = 0x200;
/// Number of the family: none of netlink's own.
const FAMILY: u16 = 0x42;

/// Bytes of `nlmsghdr` and `genlmsghdr`.
pub const HEADERS: usize = 20;

/// Pieces of at most so many bytes: the length of each in two bytes, and its bytes.
pub fn pieces(mut rest: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let (piece, others) = behind.split_at(len.min(behind.len()).min(most));
        rest = others;
        Some(piece)
    })
}

/// Datagrams as they are: the length of each in two bytes, and its bytes.
pub fn answers(bytes: &[u8]) {
    let mut datagrams: Vec<_> = pieces(bytes, usize::MAX).map(<[u8]>::to_vec).collect();
    let heard = hear(datagrams.clone());
    let results = heard.completions.len() * size_of::<CallResult>();
    assert!(results <= bytes.len(), "{heard:?}");
    assert!(heard
        .completions
        .iter()
        .all(|it| it.data().len() <= bytes.len()));
    for error in heard.errors.iter().chain(heard.answer.as_ref().err()) {
        assert!(!error.to_string().is_empty());
    }
    // What comes later changes nothing of what came before.
    if datagrams.len() > 1 {
        datagrams.pop();
        let before = hear(datagrams);
        assert!(heard.completions.starts_with(&before.completions));
        assert!(heard.events.starts_with(&before.events));
    }
}

/// A message of the module.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ((16 + payload.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(SEQUENCE.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn reply(command: Command, attributes: Attributes) -> Vec<u8> {
    let mut payload = vec![command as u8, abi::FAMILY_VERSION, 0, 0];
    payload.extend(attributes.0);
    message(FAMILY, 0, &payload)
}

fn acknowledgement() -> Vec<u8> {
    let mut payload = vec![0; 4];
    payload.extend([0; 16]);
    message(ERROR, CAPPED, &payload)
}

/// Answers that were made: what they say is what is heard.
pub fn replies(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let _ = match choices.int_in_range(0..=6) {
        Ok(0) => completions(&mut choices),
        Ok(1) => event(&mut choices),
        Ok(2) => features(&mut choices),
        Ok(3) => session(&mut choices),
        Ok(4) => config(&mut choices),
        Ok(5) => rejection(&mut choices),
        _ => others(&mut choices),
    };
}

/// A text as the kernel has it, of letters that end no text.
fn text(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(String::arbitrary(u)?.replace('\0', ""))
}

fn completions(u: &mut Unstructured<'_>) -> Result<()> {
    let mut results = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut outputs = Vec::new();
    for user_data in 0..u.int_in_range(0..=40)? {
        let mut result = CallResult {
            user_data,
            ret: u.arbitrary()?,
            outcome: *u.choose(Outcome::ALL)? as u16,
            restart: *u.choose(Restart::ALL)? as u16,
            ..CallResult::default()
        };
        let output: Vec<u8> = vec![user_data as u8; u.int_in_range(0..=9)?];
        if !output.is_empty() {
            result.data_off = data.len() as u32;
            result.data_len = output.len() as u32;
            data.extend(&output);
        }
        outputs.push(output);
        results.push(result);
    }
    // RESULTS may come in several attributes, DATA comes in one.
    let mut attributes = Attributes::default();
    let data_first = u.arbitrary()?;
    if data_first {
        attributes.put(abi::complete::DATA, &data);
    }
    for results in results.chunks(u.int_in_range(1..=40)?) {
        attributes.put(abi::complete::RESULTS, results.as_bytes());
    }
    if !data_first {
        attributes.put(abi::complete::DATA, &data);
    }
    let heard = hear([reply(Command::Complete, attributes)]);
    assert!(heard.errors.is_empty(), "{heard:?}");
    assert_eq!(heard.completions.len(), results.len(), "{heard:?}");
    for ((completion, result), output) in heard.completions.iter().zip(&results).zip(&outputs) {
        assert_eq!(
            (completion.user_data, completion.ret),
            (result.user_data, result.ret)
        );
        assert_eq!(completion.outcome as u16, result.outcome);
        assert_eq!(completion.restart as u16, result.restart);
        assert_eq!(completion.data(), output);
    }
    Ok(())
}

fn event(u: &mut Unstructured<'_>) -> Result<()> {
    use abi::trace::*;

    let kind = *u.choose(TraceEvent::ALL)?;
    let (seq, time, comm): (u64, u64, String) = (u.arbitrary()?, u.arbitrary()?, text(u)?);
    let (session, tid): (Option<u64>, Option<u32>) = u.arbitrary()?;
    let (pid, nr, flags, errno): (u32, u32, u32, u16) = u.arbitrary()?;
    let (args, ret, duration): ([u64; 6], i64, Option<u64>) = u.arbitrary()?;
    let (way, outcome, restart) = (
        *u.choose(Way::ALL)?,
        *u.choose(Outcome::ALL)?,
        *u.choose(Restart::ALL)?,
    );
    let words = text(u)?;
    let mut memory: [[Option<Vec<u8>>; 2]; 6] = Default::default();

    let mut it = Attributes::default();
    it.put(EVENT, &(kind as u32).to_ne_bytes());
    it.put(SEQ, &seq.to_ne_bytes());
    it.put(TIME_NS, &time.to_ne_bytes());
    session.map(|session| it.put(SESSION, &session.to_ne_bytes()));
    it.put(PID, &pid.to_ne_bytes());
    tid.map(|tid| it.put(TID, &tid.to_ne_bytes()));
    it.put(COMM, &[comm.as_bytes(), b"\0"].concat());
    it.put(NR, &nr.to_ne_bytes());
    it.put(FLAGS, &flags.to_ne_bytes());
    it.put(ARGS, args.as_bytes());
    it.put(WAY, &(way as u32).to_ne_bytes());
    it.put(RET, &ret.to_ne_bytes());
    it.put(OUTCOME, &(outcome as u32).to_ne_bytes());
    it.put(RESTART, &(restart as u32).to_ne_bytes());
    duration.map(|duration| it.put(DURATION_NS, &duration.to_ne_bytes()));
    for (argument, memory) in memory.iter_mut().enumerate() {
        for (memory, kind) in memory.iter_mut().zip([BEFORE, AFTER]) {
            if u.ratio(1, 4)? {
                let bytes = vec![u.arbitrary()?; u.int_in_range(0..=9)?];
                it.put(
                    kind,
                    &[&(argument as u32).to_ne_bytes(), &bytes[..]].concat(),
                );
                *memory = Some(bytes);
            }
        }
    }
    it.put(COMMAND, &1_u32.to_ne_bytes());
    it.put(ERRNO, &u32::from(errno).to_ne_bytes());
    it.put(TEXT, &[words.as_bytes(), b"\0"].concat());

    let heard = hear([reply(Command::Trace, it)]);
    let [event] = &heard.events[..] else {
        panic!("{heard:?}");
    };
    assert_eq!((event.seq, event.session, event.pid), (seq, session, pid));
    assert_eq!(event.time, UNIX_EPOCH + Duration::from_nanos(time));
    assert_eq!((event.tid, &event.comm), (tid, &comm));
    let (Event { what, .. }, kind) = (event, kind);
    match (what, kind) {
        (What::Submitted(call), TraceEvent::Submitted) => {
            assert_eq!((call.nr, call.args, call.way), (nr, args, way));
            assert_eq!(call.flags.bits(), flags);
        }
        (What::Completed(call, end), TraceEvent::Completed) => {
            assert_eq!((call.nr, call.args, call.way), (nr, args, way));
            assert_eq!((end.ret, end.outcome, end.restart), (ret, outcome, restart));
            assert_eq!(end.duration, duration.map(Duration::from_nanos));
            for (heard, [before, after]) in end.memory.iter().zip(memory) {
                assert_eq!((&heard.before, &heard.after), (&before, &after));
            }
        }
        (
            What::Rejected {
                errno: heard,
                message,
                command,
            },
            TraceEvent::Rejected,
        ) => {
            assert_eq!((heard.raw(), *command), (i32::from(errno), 1));
            assert_eq!(*message, words);
        }
        (what, kind) => panic!("{kind:?}: {what:?}"),
    }
    Ok(())
}

/// The only reply of a request.
fn only(attributes: Attributes, command: Command) -> Answer {
    let heard = hear([reply(command, attributes), acknowledgement()]);
    let answer = heard.answer.expect("an answer");
    let [answer] = &answer[..] else {
        panic!("{answer:?}");
    };
    answer.clone()
}

fn features(u: &mut Unstructured<'_>) -> Result<()> {
    use abi::features::*;

    let (numbers, masks): ([u32; 5], [u64; 3]) = u.arbitrary()?;
    let (kernel, version) = (text(u)?, text(u)?);
    let mut it = Attributes::default();
    let kinds = [
        CALL_SIZE,
        RESULT_SIZE,
        ARG_KINDS,
        MAX_IN_FLIGHT,
        MAX_WORKERS,
    ];
    for (kind, number) in kinds.into_iter().zip(numbers) {
        it.put(kind, &number.to_ne_bytes());
    }
    for (kind, mask) in [CALL_FLAGS, SUBMIT_ATTRS, POLICY_HASH]
        .into_iter()
        .zip(masks)
    {
        it.put(kind, &mask.to_ne_bytes());
    }
    it.put(KERNEL, &[kernel.as_bytes(), b"\0"].concat());
    it.put(MODULE_VERSION, &[version.as_bytes(), b"\0"].concat());
    let Answer::Features(heard) = only(it, Command::FeaturesGet) else {
        panic!("no features");
    };
    let Features {
        numbers: found,
        masks: found_masks,
    } = Features {
        numbers: [
            heard.call_size,
            heard.result_size,
            heard.arg_kinds,
            heard.max_in_flight,
            heard.max_workers,
        ],
        masks: [
            heard.call_flags.bits().into(),
            heard.submit_attrs,
            heard.policy_hash,
        ],
    };
    assert_eq!(found, numbers);
    assert_eq!(
        found_masks,
        [masks[0] & u64::from(u32::MAX), masks[1], masks[2]]
    );
    assert_eq!((heard.kernel, heard.module_version), (kernel, version));
    Ok(())
}

/// The numbers of a reply to FEATURES_GET.
struct Features {
    numbers: [u32; 5],
    masks: [u64; 3],
}

fn session(u: &mut Unstructured<'_>) -> Result<()> {
    use abi::session::*;

    let state = *u.choose(SessionState::ALL)?;
    let front_end = *u.choose(FrontEnd::ALL)?;
    let (id, numbers, totals): (u64, [u32; 10], [u64; 7]) = u.arbitrary()?;
    let (comm, saturated): (String, bool) = (text(u)?, u.arbitrary()?);
    let mut it = Attributes::default();
    it.put(ID, &id.to_ne_bytes());
    it.put(COMM, &[comm.as_bytes(), b"\0"].concat());
    it.put(STATE, &(state as u32).to_ne_bytes());
    it.put(FRONT_END, &(front_end as u32).to_ne_bytes());
    let kinds = [
        PID,
        PORTID,
        IN_FLIGHT,
        QUEUED,
        RUNNING,
        BLOCKED,
        UNDELIVERED,
        WORKERS,
        LAST_SEQ,
        IDLE,
    ];
    for (kind, number) in kinds.into_iter().zip(numbers) {
        it.put(kind, &number.to_ne_bytes());
    }
    let kinds = [
        ACCEPTED, DELIVERED, REJECTED, SKIPPED, CANCELED, TIMED_OUT, INLINE,
    ];
    for (kind, total) in kinds.into_iter().zip(totals) {
        it.put(kind, &total.to_ne_bytes());
    }
    if saturated {
        it.put(SATURATED, &[]);
    }
    let latency = abi::Latency {
        nr: u.arbitrary()?,
        count: u.arbitrary()?,
        total_ns: u.arbitrary()?,
        ..abi::Latency::default()
    };
    it.put(LATENCY, latency.as_bytes());
    let Answer::Session(heard) = only(it, Command::SessionGet) else {
        panic!("no session");
    };
    assert_eq!(
        (heard.id, heard.comm, heard.saturated),
        (id, comm, saturated)
    );
    assert_eq!((heard.state, heard.front_end), (state, front_end));
    let found = [
        heard.pid,
        heard.port_id,
        heard.in_flight,
        heard.queued,
        heard.running,
        heard.blocked,
        heard.undelivered,
        heard.workers,
        heard.last_seq,
        heard.idle,
    ];
    assert_eq!(found, numbers);
    let found = [
        heard.accepted,
        heard.delivered,
        heard.rejected,
        heard.skipped,
        heard.canceled,
        heard.timed_out,
        heard.inline,
    ];
    assert_eq!(found, totals);
    let [found] = &heard.latency[..] else {
        panic!("{:?}", heard.latency);
    };
    assert_eq!(found.nr.unwrap_or(u32::MAX), latency.nr);
    assert_eq!(found.count, latency.count);
    assert_eq!(found.total, Duration::from_nanos(latency.total_ns));
    // Whatever the numbers are, they are something.
    let _ = (
        found.mean(),
        found.percentile(0.5),
        found.since(found),
        found.and(found),
    );
    Ok(())
}

fn config(u: &mut Unstructured<'_>) -> Result<()> {
    use abi::config::*;

    let values: [Option<u32>; 8] = u.arbitrary()?;
    let access = u.arbitrary::<bool>()?.then(|| text(u)).transpose()?;
    let mut it = Attributes::default();
    let kinds = [
        MAX_IN_FLIGHT,
        MAX_WORKERS,
        MAX_IN_FLIGHT_USER,
        MAX_WORKERS_USER,
        MAX_WORKERS_TOTAL,
        MAX_RUNNING,
        IDLE_MS,
        MAX_INLINE_BYTES,
    ];
    for (kind, value) in kinds.into_iter().zip(values) {
        value.map(|value| it.put(kind, &value.to_ne_bytes()));
    }
    access
        .as_ref()
        .map(|access| it.put(ACCESS, &[access.as_bytes(), b"\0"].concat()));
    let Answer::Config(heard) = only(it, Command::ConfigGet) else {
        panic!("no settings");
    };
    let found = [
        heard.max_in_flight,
        heard.max_workers,
        heard.max_in_flight_user,
        heard.max_workers_user,
        heard.max_workers_total,
        heard.max_running,
        heard.idle_ms,
        heard.max_inline_bytes,
    ];
    assert_eq!((found, heard.access), (values, access));
    Ok(())
}

fn others(u: &mut Unstructured<'_>) -> Result<()> {
    let mut it = Attributes::default();
    if u.arbitrary()? {
        let (canceled, interrupted): (u32, u32) = u.arbitrary()?;
        it.put(abi::cancel::CANCELED, &canceled.to_ne_bytes());
        it.put(abi::cancel::INTERRUPTED, &interrupted.to_ne_bytes());
        let Answer::Canceled(heard) = only(it, Command::Cancel) else {
            panic!("no counts");
        };
        assert_eq!((heard.canceled, heard.interrupted), (canceled, interrupted));
        return Ok(());
    }
    let (nr, name, verdict) = (u.arbitrary::<u32>()?, text(u)?, *u.choose(Verdict::ALL)?);
    let reason = u.arbitrary::<bool>()?.then(|| text(u)).transpose()?;
    it.put(abi::syscall::NR, &nr.to_ne_bytes());
    it.put(abi::syscall::NAME, &[name.as_bytes(), b"\0"].concat());
    it.put(abi::syscall::VERDICT, &(verdict as u32).to_ne_bytes());
    reason
        .as_ref()
        .map(|reason| it.put(abi::syscall::REASON, &[reason.as_bytes(), b"\0"].concat()));
    let heard = hear([
        reply(Command::SyscallGet, it),
        message(DONE, MULTI, &0_i32.to_ne_bytes()),
    ]);
    let answer = heard.answer.expect("an answer");
    let [Answer::Syscall(heard)] = &answer[..] else {
        panic!("{answer:?}");
    };
    assert_eq!((heard.nr, &heard.name), (nr, &name));
    assert_eq!((heard.verdict, &heard.reason), (verdict, &reason));
    Ok(())
}

/// An extended acknowledgement, capped or with the request, or the end of a dump.
fn rejection(u: &mut Unstructured<'_>) -> Result<()> {
    let (words, offset): (Option<String>, Option<u32>) = (
        u.arbitrary::<bool>()?.then(|| text(u)).transpose()?,
        u.arbitrary()?,
    );
    let errno: i32 = u.int_in_range(1..=4095)?;
    let mut it = Attributes::default();
    words
        .as_ref()
        .map(|words| it.put(1, &[words.as_bytes(), b"\0"].concat()));
    offset.map(|offset| it.put(2, &offset.to_ne_bytes()));
    let mut payload = (-errno).to_ne_bytes().to_vec();
    let answer = match u.int_in_range(0..=2)? {
        0 => {
            payload.extend(it.0);
            message(DONE, MULTI | ACK_TLVS, &payload)
        }
        form => {
            let request = message(FAMILY, 0, &vec![7; u.int_in_range(0..=40)?]);
            let (flags, request) = match form {
                1 => (CAPPED, &request[..16]),
                _ => (0, &request[..]),
            };
            payload.extend(request);
            payload.extend(it.0);
            message(ERROR, flags | ACK_TLVS, &payload)
        }
    };
    match hear([answer]).answer {
        Err(Error::Rejected {
            errno: heard,
            message,
            attr_offset,
        }) => {
            assert_eq!((heard.raw(), attr_offset), (errno, offset));
            assert_eq!(message, words);
        }
        answer => panic!("{answer:?}"),
    }
    Ok(())
}

/// Batches as programs make them: the module parses what is sent for them, and finds in it what was
/// said.
pub fn batches(choices: &[u8]) {
    let mut choices = Unstructured::new(choices);
    let Ok((batch, limit, results)) = batch(&mut choices) else {
        return;
    };
    let sent = match messages(&batch, limit, results) {
        Ok(sent) => sent,
        Err(Error::ChainTooLong { .. } | Error::BatchTooLong { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    is_parsed(&batch, &sent);
}

/// Whether the module accepts the messages that a batch was sent in, and finds its calls in them.
pub fn is_parsed(batch: &Batch, sent: &[Vec<u8>]) {
    let mut calls = batch.as_abi().iter();
    for message in sent {
        let len = message.first_chunk().map(|len| u32::from_ne_bytes(*len));
        assert_eq!(len, Some(message.len() as u32));
        let submit = Submit::parse(&message[HEADERS..])
            .unwrap_or_else(|rejection| panic!("{rejection:?}: {batch:?}"));
        for (parsed, call) in submit.calls().zip(calls.by_ref()) {
            assert_eq!(parsed.user_data, call.user_data);
            assert_eq!((parsed.nr, parsed.flags), (call.nr, call.flags));
            assert_eq!(parsed.arg_kinds, call.arg_kinds);
            assert_eq!(parsed.timeout_ns, call.timeout_ns);
        }
    }
    assert_eq!(calls.count(), 0);
}

fn batch(u: &mut Unstructured<'_>) -> Result<(Batch, usize, Option<u64>)> {
    let inline = u.ratio(1, 3)?;
    let mut data = Data::new();
    let mut batch = Batch::new();
    while batch.len() < 3000 && !u.is_empty() && !u.ratio(1, 16)? {
        if u.ratio(1, 32)? {
            // SAFETY: The call is never made.
            let call = unsafe { Call::new(39, &[]) }.user_data(u.arbitrary()?);
            let call = call.flags(if inline {
                CallFlags::INLINE
            } else {
                CallFlags::empty()
            });
            for _ in 0..u.int_in_range(1..=900)? {
                batch.push(call.clone());
            }
            continue;
        }
        let mut chain = Chain::new();
        let mut steps: Vec<(Step, bool)> = Vec::new();
        for _ in 0..u.int_in_range(1..=6)? {
            let call = call(u, &steps, inline, &mut data)?;
            let kinds = call.as_abi().arg_kinds;
            let outputs = (0..6).filter(|arg| matches!(kinds >> (4 * arg) & 15, 2 | 5));
            let loadable = outputs.count() == 1;
            steps.push((chain.push(call), loadable));
        }
        batch.push_chain(&chain);
    }
    if !data.is_empty() {
        batch.data(data);
    }
    let limit = u.int_in_range(1..=4000)?;
    let results = (inline && u.arbitrary()?).then_some(0x7000);
    Ok((batch, limit, results))
}

fn call(
    u: &mut Unstructured<'_>,
    steps: &[(Step, bool)],
    inline: bool,
    data: &mut Data,
) -> Result<Call> {
    let mut args = Vec::new();
    let mut has_out_ptr = false;
    for _ in 0..u.int_in_range(0..=6)? {
        args.push(match u.int_in_range(0..=9)? {
            0 if !has_out_ptr => {
                has_out_ptr = true;
                Arg::OutPtr(u.arbitrary()?)
            }
            1 | 2 if !steps.is_empty() => u.choose(steps)?.0.result(),
            3 | 4 if !steps.is_empty() => match u.choose(steps)? {
                (step, true) => match u.int_in_range(0..=3)? {
                    0 => step.load::<u8>(u.arbitrary()?),
                    1 => step.load::<u16>(u.arbitrary()?),
                    2 => step.load::<u32>(u.arbitrary()?),
                    _ => step.load::<u64>(u.arbitrary()?),
                },
                (step, false) => step.result(),
            },
            5 if !inline => data.put(&[1; 40][..u.int_in_range(0..=40)?]).address(),
            6 if !inline => data.reserve(u.int_in_range(0..=40)?).output(),
            7 if !inline => {
                let to = data.put(&[2; 9]);
                let pointer = data.put_aligned(&[0; 8], 8);
                data.pointer(pointer.offset(), to);
                pointer.address()
            }
            _ => Arg::Value(u.arbitrary()?),
        });
    }
    let mut flags = match inline {
        true => CallFlags::INLINE,
        false if u.ratio(1, 16)? => CallFlags::DRAIN,
        false => CallFlags::empty(),
    };
    if u.ratio(1, 8)? {
        flags |= CallFlags::HARDLINK;
    }
    if u.ratio(1, 8)? {
        flags |= CallFlags::SKIP_SUCCESS;
    }
    // Numbers of calls that everybody may make.
    let nr = *u.choose(&[0, 1, 3, 5, 39, 257])?;
    // SAFETY: The call is never made.
    let call = unsafe { Call::with_args(nr, &args) }.flags(flags);
    Ok(call
        .user_data(u.arbitrary()?)
        .timeout(Duration::from_nanos(u.arbitrary::<u16>()?.into())))
}
