// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netlink_packet_core::{parse_string, parse_u32, parse_u64, DecodeError};
use nlcall_abi::{self as abi, Outcome, Restart, Way};

use super::{
    message::{each, known},
    CallFlags,
};
use crate::Errno;

/// Something that the module did for somebody: see [`Monitor`](super::Monitor).
///
/// Process and thread ids are those of the initial pid namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, one more than that of the event before.
    pub seq: u64,
    /// When it happened.
    pub time: SystemTime,
    /// Number of the session; none where a rejected message had none.
    pub session: Option<u64>,
    /// The process that submitted, or in which the call was executed.
    pub pid: u32,
    /// The thread that submitted, or executed the call; none where none did.
    pub tid: Option<u32>,
    /// Name (`comm`) of that process.
    pub comm: String,
    /// What happened.
    pub what: What,
}

/// What an [`Event`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A call was accepted.
    Submitted(TracedCall),
    /// A call ended.
    Completed(TracedCall, Box<TracedEnd>),
    /// A message was rejected.
    Rejected {
        /// Number of its command.
        command: u8,
        /// Why.
        errno: Errno,
        /// Why, in words.
        message: String,
    },
}

/// A call, as an [`Event`] has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedCall {
    /// Its submitter's name for it.
    pub user_data: u64,
    /// System call number.
    pub nr: u32,
    /// Its flags.
    pub flags: CallFlags,
    /// Its arguments; of a call that was executed, those that it was executed with.
    pub args: [u64; 6],
    /// What the arguments of a call that was accepted are: `ArgKind`, four bits each.
    pub arg_kinds: u32,
    /// How it travels.
    pub way: Way,
}

/// How a call ended, and what it found in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedEnd {
    /// What it returned, as in a [`Completion`](super::Completion).
    pub ret: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the kernel would have done with a call that was interrupted.
    pub restart: Restart,
    /// How long it took; none where it never started.
    pub duration: Option<Duration>,
    /// Memory that its arguments point to.
    pub memory: [TracedMemory; 6],
}

/// The beginning of the memory that an argument points to: at most
/// [`TRACE_MEMORY_MAX`](abi::TRACE_MEMORY_MAX) bytes.
///
/// The kernel does not know which arguments are addresses. It looks at every number that may be one,
/// and does not wait for memory that is not there, such as a page that nobody has touched yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracedMemory {
    /// Before the call.
    pub before: Option<Vec<u8>>,
    /// After it, where that is something else.
    pub after: Option<Vec<u8>>,
}

impl TracedMemory {
    /// What was there before the call, or has come to be there since.
    pub fn input(&self) -> Option<&[u8]> {
        self.before.as_deref().or(self.after.as_deref())
    }

    /// What was there after the call.
    pub fn output(&self) -> Option<&[u8]> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

/// What the attributes of an event say.
struct Said {
    kind: Option<abi::TraceEvent>,
    event: Event,
    call: TracedCall,
    end: TracedEnd,
    command: u32,
    errno: u32,
    text: String,
}

impl Event {
    /// The event with these attributes.
    pub(super) fn parse(attributes: &[u8]) -> Result<Self, DecodeError> {
        let mut said = Said::nothing();
        each(attributes, |kind, value| said.hear(kind, value))?;
        let Said {
            kind,
            mut event,
            call,
            end,
            command,
            errno,
            text,
        } = said;
        event.what = match kind {
            Some(abi::TraceEvent::Submitted) => What::Submitted(call),
            Some(abi::TraceEvent::Completed) => What::Completed(call, end.into()),
            Some(abi::TraceEvent::Rejected) => What::Rejected {
                // A command has eight bits, an errno fewer than 31.
                command: command as u8,
                errno: Errno::from_raw(errno as i32),
                message: text,
            },
            None => return Err("an event that does not say what it is".into()),
        };
        Ok(event)
    }
}

impl Said {
    fn nothing() -> Self {
        let call = TracedCall {
            user_data: 0,
            nr: 0,
            flags: CallFlags::empty(),
            args: [0; 6],
            arg_kinds: 0,
            way: Way::Worker,
        };
        Self {
            kind: None,
            event: Event {
                seq: 0,
                time: UNIX_EPOCH,
                session: None,
                pid: 0,
                tid: None,
                comm: String::new(),
                what: What::Submitted(call.clone()),
            },
            call,
            end: TracedEnd {
                ret: 0,
                outcome: Outcome::Ran,
                restart: Restart::None,
                duration: None,
                memory: Default::default(),
            },
            command: 0,
            errno: 0,
            text: String::new(),
        }
    }

    fn hear(&mut self, kind: u16, value: &[u8]) -> Result<(), DecodeError> {
        use abi::trace::*;

        let Self {
            event, call, end, ..
        } = self;
        match kind {
            EVENT => {
                let known = known(abi::TraceEvent::from_wire, parse_u32(value)?, "event")?;
                self.kind = Some(known);
            }
            SEQ => event.seq = parse_u64(value)?,
            TIME_NS => event.time = UNIX_EPOCH + Duration::from_nanos(parse_u64(value)?),
            SESSION => event.session = Some(parse_u64(value)?),
            PID => event.pid = parse_u32(value)?,
            TID => event.tid = Some(parse_u32(value)?),
            // A program may call itself anything.
            COMM => event.comm = String::from_utf8_lossy(until_zero(value)).into_owned(),
            USER_DATA => call.user_data = parse_u64(value)?,
            NR => call.nr = parse_u32(value)?,
            FLAGS => call.flags = CallFlags::from_bits_retain(parse_u32(value)?),
            ARGS => call.args = six(value)?,
            ARG_KINDS => call.arg_kinds = parse_u32(value)?,
            WAY => call.way = known(Way::from_wire, parse_u32(value)?, "way")?,
            // The sign is a bit like any other.
            RET => end.ret = parse_u64(value)? as i64,
            OUTCOME => {
                let number = |number| u16::try_from(number).ok().and_then(Outcome::from_wire);
                end.outcome = known(number, parse_u32(value)?, "outcome")?;
            }
            RESTART => {
                let number = |number| u16::try_from(number).ok().and_then(Restart::from_wire);
                end.restart = known(number, parse_u32(value)?, "restart")?;
            }
            DURATION_NS => end.duration = Some(Duration::from_nanos(parse_u64(value)?)),
            BEFORE => {
                let (memory, bytes) = end.memory_of(value)?;
                memory.before = Some(bytes.to_vec());
            }
            AFTER => {
                let (memory, bytes) = end.memory_of(value)?;
                memory.after = Some(bytes.to_vec());
            }
            COMMAND => self.command = parse_u32(value)?,
            ERRNO => self.errno = parse_u32(value)?,
            TEXT => self.text = parse_string(value)?,
            _ => {}
        }
        Ok(())
    }
}

impl TracedEnd {
    /// The place for the memory that an attribute describes, and its bytes.
    fn memory_of<'a>(
        &mut self,
        value: &'a [u8],
    ) -> Result<(&mut TracedMemory, &'a [u8]), DecodeError> {
        let Some((argument, bytes)) = value.split_first_chunk() else {
            return Err(format!("{} bytes name no argument", value.len()).into());
        };
        let argument = u32::from_ne_bytes(*argument);
        match self.memory.get_mut(argument as usize) {
            Some(memory) => Ok((memory, bytes)),
            None => Err(format!("a call has no argument {argument}").into()),
        }
    }
}

fn six(value: &[u8]) -> Result<[u64; 6], DecodeError> {
    let mut args = [0; 6];
    if value.len() != size_of_val(&args) {
        return Err(format!("{} bytes are no six arguments", value.len()).into());
    }
    for (arg, bytes) in args.iter_mut().zip(value.chunks_exact(8)) {
        *arg = parse_u64(bytes)?;
    }
    Ok(args)
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DefaultNla, Emitable};
    use proptest::prelude::*;

    use super::*;

    fn attributes(list: &[(u16, &[u8])]) -> Vec<u8> {
        let list: Vec<_> = list
            .iter()
            .map(|(kind, value)| DefaultNla::new(*kind, value.to_vec()))
            .collect();
        let mut bytes = vec![0; list.as_slice().buffer_len()];
        list.as_slice().emit(&mut bytes);
        bytes
    }

    fn parse(list: &[(u16, &[u8])]) -> Result<Event, String> {
        Event::parse(&attributes(list)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_ending_has_all_that_was_said() {
        use abi::trace::*;

        let args = [1, 2, 3, 4, 5, 6].map(u64::to_ne_bytes).concat();
        let before = [&1u32.to_ne_bytes()[..], b"/etc\0"].concat();
        let after = [&5u32.to_ne_bytes()[..], b"x"].concat();
        let event = parse(&[
            (EVENT, &1u32.to_ne_bytes()),
            (SEQ, &9u64.to_ne_bytes()),
            (TIME_NS, &1_500_000_000u64.to_ne_bytes()),
            (SESSION, &4u64.to_ne_bytes()),
            (PID, &12u32.to_ne_bytes()),
            (TID, &13u32.to_ne_bytes()),
            (COMM, b"a\xffb\0"),
            (USER_DATA, &7u64.to_ne_bytes()),
            (NR, &257u32.to_ne_bytes()),
            (FLAGS, &8u32.to_ne_bytes()),
            (ARGS, &args),
            (WAY, &1u32.to_ne_bytes()),
            (RET, &(-2i64).to_ne_bytes()),
            (OUTCOME, &5u32.to_ne_bytes()),
            (RESTART, &2u32.to_ne_bytes()),
            (DURATION_NS, &30u64.to_ne_bytes()),
            (BEFORE, &before),
            (AFTER, &after),
            (PAD, &[]),
            (MAX + 1, b"what a later module says"),
        ])
        .unwrap();
        assert_eq!((event.seq, event.session), (9, Some(4)));
        assert_eq!(event.time, UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!((event.pid, event.tid), (12, Some(13)));
        assert_eq!(event.comm, "a\u{fffd}b");
        let What::Completed(call, end) = event.what else {
            panic!("{event:?}");
        };
        assert_eq!((call.user_data, call.nr), (7, 257));
        assert_eq!(call.flags, CallFlags::INLINE);
        assert_eq!(call.args, [1, 2, 3, 4, 5, 6]);
        assert_eq!(call.way, Way::Inline);
        assert_eq!((end.ret, end.outcome), (-2, Outcome::Interrupted));
        assert_eq!(end.restart, Restart::Sys);
        assert_eq!(end.duration, Some(Duration::from_nanos(30)));
        assert_eq!(end.memory[1].input(), Some(&b"/etc\0"[..]));
        assert_eq!(end.memory[5].output(), Some(&b"x"[..]));
        assert_eq!(end.memory[5].before, None);
        assert_eq!(end.memory[0], TracedMemory::default());
    }

    #[test]
    fn what_is_missing_or_wrong_is_an_error() {
        use abi::trace::*;

        let completed = (EVENT, &1u32.to_ne_bytes()[..]);
        assert!(parse(&[]).unwrap_err().contains("does not say what"));
        assert!(parse(&[(EVENT, &99u32.to_ne_bytes())]).is_err());
        assert!(parse(&[completed, (OUTCOME, &0x1_0000u32.to_ne_bytes())]).is_err());
        assert!(parse(&[completed, (ARGS, &[0; 47])]).is_err());
        assert!(parse(&[completed, (BEFORE, &[0; 3])]).is_err());
        assert!(parse(&[completed, (BEFORE, &6u32.to_ne_bytes())]).is_err());
        assert!(parse(&[completed, (AFTER, &5u32.to_ne_bytes())]).is_ok());
    }

    proptest! {
        #[test]
        fn any_attributes_are_read_without_a_panic(
            list in proptest::collection::vec(
                (0..abi::trace::MAX + 2, proptest::collection::vec(any::<u8>(), 0..64)), 0..12,
            ),
        ) {
            let list: Vec<_> = list.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            let _ = parse(&list);
        }
    }
}
