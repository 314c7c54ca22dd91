// SPDX-License-Identifier: MIT OR Apache-2.0

//! INLINE chains end as a plain reading of the rules says, whichever way they are executed and
//! wherever their results go.

use std::os::fd::{AsRawFd, OwnedFd};

use fastrand::Rng;
use nlcall_abi::{flag, submit, ArgKind, Call, CallResult, Command, Outcome, ARG_KIND_BITS};
use nlcall_tests::{memory::Memory, message::Message, results::ResultsArray, socket::RawSocket};
use zerocopy::IntoBytes;

use crate::harness::{seed, tests, Test};

pub const TESTS: &[Test] = tests![chains_end_the_same_in_every_way];

/// Every round follows from this and its number.
const SEED: u64 = 6;
const ROUNDS: u64 = 400;
const MOST_CALLS: usize = 24;

/// Both kinds of links.
const LINKS: u32 = flag::LINK | flag::HARDLINK;

/// How a call ended: its name, how, and what it returned.
type End = (u64, u16, i64);

/// What a `pread64` of a round reads: small numbers, whatever the width and the offset.
const FILE: [u8; 16] = [7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];

/// Calls whose results are the same each time they are made, and their outputs.
struct Scene {
    file: OwnedFd,
    outputs: Vec<Memory>,
}

impl Scene {
    fn new() -> Self {
        let file = rustix::fs::memfd_create("ways", rustix::fs::MemfdFlags::CLOEXEC);
        let file = file.expect("a memfd");
        rustix::io::write(&file, &FILE).expect("writing the file");
        let outputs = (0..MOST_CALLS).map(|_| Memory::zeroed(32)).collect();
        Self { file, outputs }
    }

    /// The outputs as they were before the first call.
    fn clear(&self) {
        for output in &self.outputs {
            output.put(&[0; 32]);
        }
    }

    /// Any calls, in chains or not.
    fn calls(&self, rng: &mut Rng) -> Vec<Call> {
        let count = rng.usize(1..=MOST_CALLS);
        let (mut calls, mut chain) = (Vec::<Call>::new(), 0);
        for at in 0..count {
            let mut call = self.any_call(rng, at);
            let links = [0, flag::LINK, flag::LINK, flag::HARDLINK, LINKS];
            call.flags = flag::INLINE | rng.choice(links).unwrap_or(0);
            if at + 1 == count {
                call.flags = flag::INLINE;
            }
            if rng.u32(0..8) == 0 {
                call.flags |= flag::SKIP_SUCCESS;
            }
            if call.nr == libc::SYS_lseek as u32 && at > chain {
                self.refer(rng, &mut call, &calls, chain);
            }
            if call.flags & LINKS == 0 {
                chain = at + 1;
            }
            calls.push(call);
        }
        calls
    }

    fn any_call(&self, rng: &mut Rng, at: usize) -> Call {
        let file = self.file.as_raw_fd() as u64;
        let (nr, args, kind) = match rng.u32(0..8) {
            0 => (libc::SYS_getpid, [0; 6], 0),
            1 => (libc::SYS_close, [u64::MAX, 0, 0, 0, 0, 0], 0),
            2 => {
                // No memory of this process: the call and a LOAD from there fail.
                let args = [file, 0x1000, 16, 0, 0, 0];
                (libc::SYS_pread64, args, ArgKind::OutPtr as u32)
            }
            3..=5 => {
                // The second of these is short.
                let len = rng.choice([16, 17]).unwrap_or(0);
                let args = [file, self.outputs[at].address(), len, 0, 0, 0];
                (libc::SYS_pread64, args, ArgKind::OutPtr as u32)
            }
            _ => (libc::SYS_lseek, [file, 3, 0, 0, 0, 0], 0),
        };
        Call {
            user_data: at as u64,
            nr: nr as u32,
            args,
            arg_kinds: kind << ARG_KIND_BITS,
            ..Call::default()
        }
    }

    /// Lets an `lseek` take its offset from an earlier call of its chain, which began at `chain`.
    fn refer(&self, rng: &mut Rng, call: &mut Call, earlier: &[Call], chain: usize) {
        let to = rng.usize(chain..earlier.len());
        let has_output = earlier[to].arg_kinds != 0 && is_output(&earlier[to]);
        let (value, kind) = if has_output && rng.bool() {
            let (width, offset) = (1 << rng.u32(0..4), rng.u64(0..=8));
            (to as u64 | width << 24 | offset << 32, ArgKind::Load)
        } else {
            (to as u64, ArgKind::Result)
        };
        call.args[1] = value;
        call.arg_kinds = (kind as u32) << ARG_KIND_BITS;
    }

    /// How the calls end by the rules, each made by a plain system call.
    fn expected(&self, calls: &[Call]) -> Vec<End> {
        let (mut ends, mut rets, mut is_broken) = (Vec::new(), Vec::new(), false);
        for call in calls {
            let (outcome, ret) = if is_broken {
                (Outcome::Canceled, -i64::from(libc::ECANCELED))
            } else {
                match self.resolved(call, calls, &rets) {
                    Some(args) => (Outcome::Ran, plainly(call.nr, args)),
                    None => (Outcome::NotStarted, -i64::from(libc::EFAULT)),
                }
            };
            rets.push(ret);
            let is_short = call.nr == libc::SYS_pread64 as u32 && ret as u64 != call.args[2];
            let succeeded = outcome == Outcome::Ran && ret >= 0 && !is_short;
            match call.flags & LINKS {
                0 => is_broken = false,
                flag::LINK => is_broken |= !succeeded,
                _ => {}
            }
            if call.flags & flag::SKIP_SUCCESS == 0 || !succeeded {
                ends.push((call.user_data, outcome as u16, ret));
            }
        }
        ends
    }

    /// The arguments of a call; `None` where one of them cannot be read.
    fn resolved(&self, call: &Call, calls: &[Call], rets: &[i64]) -> Option<[u64; 6]> {
        let (mut args, value) = (call.args, call.args[1]);
        let to = (value & 0xff_ffff) as usize;
        match call.arg_kinds >> ARG_KIND_BITS {
            kind if kind == ArgKind::Result as u32 => args[1] = rets[to] as u64,
            kind if kind == ArgKind::Load as u32 => {
                if calls[to].args[1] != self.outputs[to].address() {
                    return None;
                }
                let (width, offset) = ((value >> 24 & 0xff) as usize, (value >> 32) as usize);
                let mut field = [0; 8];
                field[..width].copy_from_slice(&self.outputs[to].get()[offset..][..width]);
                args[1] = u64::from_ne_bytes(field);
            }
            _ => {}
        }
        Some(args)
    }
}

fn is_output(call: &Call) -> bool {
    call.arg_kinds >> ARG_KIND_BITS == ArgKind::OutPtr as u32
}

fn plainly(nr: u32, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: the calls of a scene write to its outputs or to nothing.
    match unsafe { libc::syscall(nr.into(), a, b, c, d, e, f) } {
        -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        value => value,
    }
}

/// A message of these calls, with so many in each attribute.
fn message(family: u16, calls: &[Call], each: usize, array: Option<ResultsArray>) -> Message {
    let mut message = Message::new(family, Command::Submit);
    message.attribute(submit::CALL_SIZE, (size_of::<Call>() as u32).as_bytes());
    for part in calls.chunks(each) {
        message.attribute(submit::CALLS, part.as_bytes());
    }
    if let Some(array) = array {
        message.attribute(submit::RESULTS_PTR, array.address().as_bytes());
    }
    message
}

fn ends(results: &[CallResult]) -> Vec<End> {
    let end = |it: &CallResult| (it.user_data, it.outcome, it.ret);
    results.iter().map(end).collect()
}

fn chains_end_the_same_in_every_way() {
    let mut socket = RawSocket::open();
    let scene = Scene::new();
    for round in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed(SEED) << 32 | round);
        let calls = scene.calls(&mut rng);
        scene.clear();
        let expected = scene.expected(&calls);
        // One attribute or several; room for all results, for some, for none.
        let some = rng.usize(0..=expected.len());
        for (each, room) in [
            (MOST_CALLS, Some(MOST_CALLS)),
            (rng.usize(1..=3), Some(MOST_CALLS)),
            (rng.usize(4..=9), Some(some)),
            (MOST_CALLS, Some(some)),
            (MOST_CALLS, None),
        ] {
            scene.clear();
            let array = room.map(ResultsArray::new);
            let answer = socket.request(message(socket.family(), &calls, each, array));
            assert_eq!((answer.errno, answer.text.as_str()), (0, ""), "{round}");
            let mut results = array.map_or(Vec::new(), ResultsArray::results);
            assert_eq!(results.len(), room.unwrap_or(0).min(expected.len()));
            results.extend(socket.completions(expected.len() - results.len()));
            assert_eq!(ends(&results), expected, "round {round}: {each} {calls:?}");
            socket.assert_no_more_completions();
        }
    }
}
