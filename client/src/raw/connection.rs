// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{
    io::{self, Write},
    mem::{self, size_of},
    process,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nlcall_abi as abi;

use super::{
    enclosure::Enclosure,
    exchange::{Exchange, NotSubmitted, Patience},
    message::{Reply, Request},
    plan,
    session::{SubmitError, Submitted},
    sys::Transport,
    Batch, Cancel, Canceled, Config, Data, Features, Results, SessionInfo, SyscallInfo,
};
use crate::{Errno, Error};

/// How long the drop of a session waits for a completion before it asks the kernel what is still
/// in flight: the first time, and at most.
const FIRST_DRAIN_STEP: Duration = Duration::from_millis(10);
const DRAIN_STEP: Duration = Duration::from_secs(1);

/// A session over any transport.
pub(super) struct Connection<T: Transport> {
    pub(super) exchange: Exchange<T>,
    pub(super) features: Features,
    /// Held by the thread that submits: one batch at a time, one message at a time.
    submitting: Mutex<()>,
    calls_per_message: usize,
    /// The same of calls that write their results to memory.
    inline_calls_per_message: usize,
    max_in_flight: usize,
    /// Whether the drop leaves calls in flight alone.
    pub(super) abandoned: bool,
}

impl<T: Transport> Connection<T> {
    pub(super) fn new(transport: T, max_in_flight: Option<usize>) -> Result<Self, Error> {
        let exchange = Exchange::new(transport)?;
        let features = exchange
            .request(Request::features())?
            .into_iter()
            .find_map(|reply| match reply {
                Reply::Features(features) => Some(*features),
                _ => None,
            });
        let features = features
            .ok_or_else(|| Error::Protocol("FEATURES_GET was answered with nothing".into()))?;
        if features.result_size as usize != size_of::<abi::CallResult>() {
            let text = format!("the module's results have {} bytes", features.result_size);
            return Err(Error::Protocol(text.into()));
        }
        let kernel_limit = features.max_in_flight as usize;
        let max_in_flight = max_in_flight.unwrap_or(kernel_limit);
        let message_max = exchange.transport().message_max();
        let calls_per_message = |with_results| {
            plan::calls_per_message(message_max, with_results)
                .min(kernel_limit)
                .max(1)
        };
        let inline_calls_per_message = calls_per_message(true);
        let calls_per_message = calls_per_message(false);
        Ok(Self {
            exchange,
            features,
            submitting: Mutex::new(()),
            calls_per_message,
            inline_calls_per_message,
            max_in_flight,
            abandoned: false,
        })
    }

    pub(super) fn submit(&self, mut batch: Batch) -> Result<Submitted, SubmitError> {
        let _guard = self
            .submitting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let enclosure = match self.enclosure(&batch) {
            Ok(enclosure) => enclosure,
            Err(error) => {
                return Err(SubmitError {
                    error,
                    accepted: 0,
                    doubtful: 0,
                    rest: batch,
                })
            }
        };
        let mut submitted = Submitted::default();
        while submitted.calls < batch.len() {
            let sent = self.next_message(&batch.as_abi()[submitted.calls..], &enclosure);
            let sent = sent.map_err(|error| (error, 0)).and_then(|calls| {
                let message = batch.message(submitted.calls..submitted.calls + calls);
                let sent = self.exchange.submit(&message, &enclosure);
                keep_in_child(message, &sent);
                sent.map(|()| calls).map_err(|why| why.with(calls))
            });
            match sent {
                Ok(calls) => {
                    submitted.calls += calls;
                    submitted.messages += 1;
                }
                // A child frees nothing: see Sent::InChild.
                Err((error @ Error::InChild, _)) => {
                    mem::forget(batch);
                    return Err(SubmitError {
                        error,
                        accepted: submitted.calls,
                        doubtful: 0,
                        rest: Batch::new(),
                    });
                }
                Err((error, doubtful)) => {
                    let accepted = submitted.calls + doubtful;
                    batch.discard(accepted);
                    return Err(SubmitError {
                        error,
                        accepted,
                        doubtful,
                        rest: batch,
                    });
                }
            }
        }
        Ok(submitted)
    }

    pub(super) fn submit_into(
        &self,
        batch: &Batch,
        results: &mut Results,
    ) -> Result<Submitted, SubmitError> {
        results.clear_for(batch.len());
        // INLINE calls have none. Where there is one all the same, the kernel says so.
        let enclosure = self.enclosure(batch).map_err(|error| SubmitError {
            error,
            accepted: 0,
            doubtful: 0,
            rest: batch.clone(),
        })?;
        let mut submitted = Submitted::default();
        while submitted.calls < batch.len() {
            let rest = &batch.as_abi()[submitted.calls..];
            let limit = self.per_message(self.inline_calls_per_message, true, &enclosure);
            let sent = plan::next_message(rest, limit);
            let sent = sent.map_err(|error| (error, 0)).and_then(|calls| {
                let message = batch.message(submitted.calls..submitted.calls + calls);
                let sent = self.exchange.submit_into(&message, &enclosure, results);
                keep_in_child(message, &sent);
                sent.map(|()| calls).map_err(|why| why.with(calls))
            });
            match sent {
                Ok(calls) => {
                    submitted.calls += calls;
                    submitted.messages += 1;
                }
                Err((error, doubtful)) => {
                    let accepted = submitted.calls + doubtful;
                    let rest = match error {
                        // A child allocates nothing: see Sent::InChild.
                        Error::InChild => Batch::new(),
                        _ => batch.without_first(accepted),
                    };
                    return Err(SubmitError {
                        error,
                        accepted,
                        doubtful,
                        rest,
                    });
                }
            }
        }
        Ok(submitted)
    }

    /// What belongs to the calls of a batch, where the module knows what that is.
    fn enclosure(&self, batch: &Batch) -> Result<Enclosure, Error> {
        let (data, target) = batch.environment();
        if data.is_none() && target.is_none() {
            return Ok(Enclosure::default());
        }
        self.features.check_environment(data, target)?;
        match data.map(Data::len) {
            Some(len) if len > Data::MAX_LEN => Err(Error::DataTooLong { len }),
            _ => Ok(batch.enclosure()),
        }
    }

    /// Most calls of a message that has room for `without` where it holds nothing else.
    fn per_message(&self, without: usize, with_results: bool, enclosure: &Enclosure) -> usize {
        if enclosure.as_bytes().is_empty() {
            return without;
        }
        let message_max = self.exchange.transport().message_max();
        let message_max = message_max.saturating_sub(enclosure.as_bytes().len());
        without.min(plan::calls_per_message(message_max, with_results))
    }

    /// How many of these calls the next message takes, with the session's limit in mind.
    fn next_message(&self, calls: &[abi::Call], enclosure: &Enclosure) -> Result<usize, Error> {
        let limit = self.per_message(self.calls_per_message, false, enclosure);
        let next_message = |limit| match enclosure.is_whole() {
            true => plan::whole_message(calls.len(), limit),
            false => plan::next_message(calls, limit),
        };
        let without_limit = next_message(limit)?;
        if without_limit > self.room() {
            // Calls that ended without a completion are not in flight any more.
            self.exchange.learn_skipped()?;
        }
        let room = self.room();
        if without_limit <= room {
            return Ok(without_limit);
        }
        let full = Error::InFlightLimit {
            limit: self.max_in_flight,
        };
        if room == 0 {
            return Err(full);
        }
        next_message(room).map_err(|_| full)
    }

    fn room(&self) -> usize {
        self.max_in_flight.saturating_sub(self.exchange.in_flight())
    }

    pub(super) fn wait_for_room(&self) -> Result<(), Error> {
        self.exchange.wait_for_room(self.max_in_flight)
    }

    pub(super) fn cancel(&self, what: Cancel) -> Result<Canceled, Error> {
        let reply = self
            .exchange
            .request(Request::cancel(what))?
            .into_iter()
            .find_map(|reply| match reply {
                Reply::Canceled(canceled) => Some(canceled),
                _ => None,
            });
        reply.ok_or(Error::Unanswered)
    }

    pub(super) fn config(&self) -> Result<Config, Error> {
        let reply = self
            .exchange
            .request(Request::config())?
            .into_iter()
            .find_map(|reply| match reply {
                Reply::Config(config) => Some(*config),
                _ => None,
            });
        reply.ok_or(Error::Unanswered)
    }

    pub(super) fn set_config(&self, config: &Config) -> Result<(), Error> {
        self.exchange.request(Request::set_config(config)).map(drop)
    }

    pub(super) fn syscalls(&self) -> Result<Vec<SyscallInfo>, Error> {
        let entries = self
            .exchange
            .dump(Request::syscalls)?
            .into_iter()
            .filter_map(|reply| match reply {
                Reply::Syscall(entry) => Some(entry),
                _ => None,
            });
        Ok(entries.collect())
    }

    pub(super) fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let sessions = self.exchange.dump(Request::sessions)?.into_iter();
        Ok(sessions.filter_map(session_info).collect())
    }

    pub(super) fn own_info(&self) -> Result<Option<SessionInfo>, Error> {
        let sessions = self.exchange.dump(Request::own_session)?.into_iter();
        Ok(sessions.filter_map(session_info).next())
    }

    /// Cancels everything and waits until no call can touch this process's memory any more. An error
    /// says that it cannot be waited for.
    fn drain(&self) -> Result<(), Error> {
        let mut step = FIRST_DRAIN_STEP;
        while self.exchange.in_flight() > 0 {
            // A refusal changes nothing: the calls have to come to their end all the same.
            tolerate(self.cancel(Cancel::All))?;
            tolerate(self.exchange.learn_skipped())?;
            let deadline = Instant::now() + step;
            step = (step * 2).min(DRAIN_STEP);
            while self.exchange.in_flight() > 0 {
                let taken = self.exchange.completion(Patience::Until(deadline));
                if tolerate(taken)?.flatten().is_none() {
                    break;
                }
            }
            if self.exchange.in_flight() == 0 {
                break;
            }
            // The kernel's number decides where ours is wrong: an answer may have been lost.
            if let Some(own) = tolerate(self.exchange.own_sessions())? {
                if own.iter().all(|session| session.in_flight == 0) {
                    break;
                }
            }
            // Where something failed, the time is not over yet.
            thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

impl<T: Transport> Drop for Connection<T> {
    fn drop(&mut self) {
        if !self.abandoned && self.exchange.transport().is_owner() {
            if let Err(error) = self.drain() {
                end_process(self.exchange.in_flight(), &error);
            }
        }
    }
}

/// Drops a message, except in a child: see [`Sent::InChild`](super::sys::Sent::InChild).
fn keep_in_child<M>(message: M, sent: &Result<(), NotSubmitted>) {
    let in_child = |why: &NotSubmitted| matches!(why.error, Error::InChild);
    if sent.as_ref().is_err_and(in_child) {
        mem::forget(message);
    }
}

/// Ends the process, since calls are in flight whose end cannot be learned: whoever went on might free
/// what they still use ([`Call::new`](super::Call::new)).
fn end_process(calls: usize, error: &Error) -> ! {
    // It must not panic: that would go on as well.
    let _ = writeln!(
        io::stderr(),
        "nlcall: a session is dropped whose socket somebody else closed ({error}): {calls} calls in \
         flight may use memory of this process, which is ended"
    );
    process::abort()
}

/// Passes on only what says that the socket is not there any more. What else goes wrong, for want of
/// memory for example, may go right the next time.
fn tolerate<V>(done: Result<V, Error>) -> Result<Option<V>, Error> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error @ Error::Io { .. })
            if matches!(error.errno(), Some(Errno::BADF | Errno::NOTSOCK)) =>
        {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}

fn session_info(reply: Reply) -> Option<SessionInfo> {
    match reply {
        Reply::Session(session) => Some(*session),
        _ => None,
    }
}
