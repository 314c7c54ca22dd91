// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    collections::HashMap,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nlcall_abi::{self as abi, flag, policy, Outcome, Verdict};

use super::{Backend, Driver, Stopped};
use crate::{
    engine::{End, Engine, Key},
    panics::Panics,
    raw::{self, Batch, Source, SubmitError},
    Errno, Error,
};

/// Threads of this process make the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    /// The chains that have not ended, a single call being one of length one, by the key of the
    /// first call.
    chains: Arc<Mutex<HashMap<Key, Progress>>>,
}

/// How far a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// No call has begun.
    Queued,
    /// So many calls have not begun; where `stop` is set, none of them will.
    Running { left: usize, stop: bool },
}

/// Calls that one thread makes, one after the other.
struct Job {
    threads: Threads,
    engine: Arc<Engine>,
    calls: Vec<abi::Call>,
    /// Index of the first of them in the batch, from which their sources count.
    first: usize,
}

impl Threads {
    fn chains(&self) -> MutexGuard<'_, HashMap<Key, Progress>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain of this key begins; not where it was cancelled.
    fn begin(&self, key: Key, calls: usize) -> bool {
        match self.chains().get_mut(&key) {
            Some(progress) => {
                *progress = Progress::Running {
                    left: calls,
                    stop: false,
                };
                true
            }
            None => false,
        }
    }

    /// The next call of a running chain begins; not where the chain was cancelled.
    fn next(&self, key: Key) -> bool {
        match self.chains().get_mut(&key) {
            Some(Progress::Running { left, stop: false }) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Backend for Threads {
    fn kind(&self) -> Driver {
        Driver::Threads
    }

    fn submit(&self, engine: &Arc<Engine>, batch: Batch) -> Result<(), SubmitError> {
        let calls = batch.as_abi();
        if let Err(error) = check(calls) {
            return Err(SubmitError {
                error,
                accepted: 0,
                doubtful: 0,
                rest: batch,
            });
        }
        let mut first = 0;
        for chain in calls.split_inclusive(|call| !is_joined(call)) {
            let job = Job {
                threads: self.clone(),
                engine: Arc::clone(engine),
                calls: chain.to_vec(),
                first,
            };
            first += chain.len();
            self.chains().insert(job.key(), Progress::Queued);
            blocking::unblock(move || job.run()).detach();
        }
        Ok(())
    }

    fn cancel(&self, engine: &Engine, keys: &[Key]) -> Result<Stopped, Error> {
        let Some(first) = keys.first() else {
            return Ok(Stopped::Soon);
        };
        let mut chains = self.chains();
        match chains.get_mut(first) {
            // Its completion is on its way.
            None => Ok(Stopped::Soon),
            Some(Progress::Running { left: 0, .. }) => Ok(Stopped::Cannot),
            Some(Progress::Running { stop, .. }) => {
                *stop = true;
                Ok(Stopped::Soon)
            }
            Some(Progress::Queued) => {
                chains.remove(first);
                drop(chains);
                let mut panics = Panics::default();
                for key in keys {
                    panics.catch(|| engine.complete(*key, End::CANCELED));
                }
                panics.resume();
                Ok(Stopped::Soon)
            }
        }
    }
}

impl Job {
    fn key(&self) -> Key {
        Key::from_user_data(self.calls[0].user_data)
    }

    /// Makes the calls, in the way in which the module makes those of a chain.
    fn run(self) {
        let key = self.key();
        if !self.threads.begin(key, self.calls.len()) {
            return;
        }
        let mut ends: Vec<End> = Vec::with_capacity(self.calls.len());
        let mut goes_on = true;
        for call in &self.calls {
            goes_on = goes_on && self.threads.next(key);
            if !goes_on {
                ends.push(End::CANCELED);
                continue;
            }
            let args = self.arguments(call, &ends);
            let end = args.map_or_else(End::never, |args| make(call.nr, &args));
            let length = args.ok().zip(policy::length_argument(call.nr));
            let is_short = length.is_some_and(|(args, at)| args[at] != end.ret() as u64);
            let is_hard = call.flags & flag::HARDLINK != 0;
            goes_on = is_hard || end.result().is_ok() && !is_short;
            ends.push(end);
        }
        self.threads.chains().remove(&key);
        let mut panics = Panics::default();
        for (call, end) in self.calls.iter().zip(ends) {
            let key = Key::from_user_data(call.user_data);
            panics.catch(|| self.engine.complete(key, end));
        }
        panics.resume();
    }

    /// The arguments of a call, those included that come from the calls before it. An error is why
    /// it is not made.
    fn arguments(&self, call: &abi::Call, ends: &[End]) -> Result<[u64; 6], Errno> {
        let mut args = call.args;
        let index_here = |index: u64| index as usize - self.first;
        for (arg, value) in args.iter_mut().enumerate() {
            match raw::source(call, arg) {
                None => {}
                Some(Source::Result(index)) => *value = ends[index_here(index)].ret() as u64,
                Some(Source::Load {
                    index,
                    offset,
                    width,
                }) => {
                    let output = raw::output(&self.calls[index_here(index)]);
                    let output = output.ok_or(Errno::FAULT)?;
                    *value = load(output.wrapping_add(offset.into()), width);
                }
            }
        }
        // What is known beforehand was looked at when the call was submitted.
        match call.arg_kinds != 0 && !policy::suits_worker(call.nr, &args) {
            true => Err(Errno::OPNOTSUPP),
            false => Ok(args),
        }
    }
}

fn is_joined(call: &abi::Call) -> bool {
    call.flags & raw::JOINED != 0
}

/// Rejects calls that the module rejects where they are for a worker, with its words: they act on
/// the thread that makes them, or not at all.
fn check(calls: &[abi::Call]) -> Result<(), Error> {
    for (index, call) in calls.iter().enumerate() {
        let depends = (0..call.args.len()).any(|arg| raw::source(call, arg).is_some());
        let judgement = match depends {
            true => policy::entry(call.nr),
            false => policy::judge(call.nr, &call.args),
        };
        let (errno, message) = match judgement {
            None => {
                let text = format!("call {index}: no system call has the number {}", call.nr);
                (Errno::NOSYS, text)
            }
            Some(judgement) => {
                if matches!(judgement.verdict, Verdict::Both | Verdict::Differs) {
                    continue;
                }
                let name = policy::name(call.nr);
                let reason = judgement.reason.unwrap_or_default();
                (Errno::OPNOTSUPP, format!("call {index}: {name}: {reason}"))
            }
        };
        return Err(Error::Rejected {
            errno,
            message: Some(message),
            attr_offset: None,
        });
    }
    Ok(())
}

/// Makes a system call.
fn make(nr: u32, args: &[u64; 6]) -> End {
    let [a, b, c, d, e, f] = args.map(|arg| arg as libc::c_long);
    // SAFETY: whoever made the call of these arguments promised that its effects are welcome, and
    // that what they refer to is there until it has ended (`raw::Call::new`). Those that act on the
    // thread that makes them were refused.
    let ret = unsafe { libc::syscall(nr.into(), a, b, c, d, e, f) };
    let ret = match ret {
        -1 => -i64::from(errno::errno().0),
        value => value,
    };
    End::new(ret, Outcome::Ran)
}

/// Reads a number of `width` bytes, at most eight, that a call may have left at an address.
fn load(address: u64, width: u8) -> u64 {
    let mut field = [0; size_of::<u64>()];
    let from = ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: it lies in the output of an earlier call of the chain, as whoever made that promised
    // (`raw::Call::with_args`), and that call is over. The kernel knows no longer fields.
    unsafe { ptr::copy_nonoverlapping(from, field.as_mut_ptr(), usize::from(width).min(8)) };
    u64::from_ne_bytes(field)
}
