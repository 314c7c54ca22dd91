// SPDX-License-Identifier: GPL-2.0-only

//! The sessions of a socket in other processes.
//!
//! What a socket submits for another process forms a session of its own, which belongs to that
//! process: it ends with it, its workers are threads of it. It is kept by the session of
//! the socket, its home, and ends with that too.

use kernel::{
    prelude::*,
    sync::Arc,
    task::Task, //
};

use crate::{
    calls::{
        List,
        Which, //
    },
    parse::Submit,
    reject::{
        reject,
        Rejection, //
    },
    session::{
        Canceled,
        End,
        Inner,
        Origin,
        Session, //
    },
    target::Target,
    wire::{
        Call,
        SessionState, //
    },
};

/// Most processes that a socket acts in at the same time.
const MOST: usize = 64;

/// Their sessions.
pub(crate) type Abroad = KBox<[Option<Arc<Session>>; MOST]>;

impl Session {
    /// The session of this socket in another process. Begun where there is none.
    pub fn abroad(self: &Arc<Self>, target: &Target) -> Result<Arc<Session>, Rejection> {
        let no_memory = |_| reject!(ENOMEM, "no memory for a session");
        if let Some(there) = self.inner().lock().find_abroad(target) {
            return Ok(there);
        }
        if self.inner().lock().abroad.is_none() {
            let table = KBox::new([const { None }; MOST], GFP_KERNEL_ACCOUNT);
            let table = table.map_err(|_| reject!(ENOMEM, "no memory for a session"))?;
            // Another thread may have been first: then its table is the one.
            let left = match &mut self.inner().lock().abroad {
                Some(_) => Some(table),
                none => none.replace(table),
            };
            drop(left);
        }
        self.forget_abroad(target);
        let origin = Origin {
            process: target.process.clone(),
            mm: target.mm.clone(),
            surroundings: target.surroundings,
            comm: target.comm,
            sock: self.inner().lock().sock.clone(),
            on_behalf_of: Some(self.owner().clone()),
            front_end: self.front_end(),
            portid: self.portid(),
        };
        let made = Session::new(origin).map_err(no_memory)?;
        let there = self.inner().lock().keep_abroad(target, &made);
        match there {
            Ok(there) if Arc::ptr_eq(&there, &made) => Ok(there),
            other => {
                made.end(End::Socket);
                other
            }
        }
    }

    /// Closes those that are of no use any more: of processes that have ended, or that are not as
    /// they were, as is `target`, where nothing is in flight.
    fn forget_abroad(&self, target: &Target) {
        for at in 0..MOST {
            let Some(there) = self.inner().lock().abroad_at(at) else {
                continue;
            };
            let has_changed = there.owner().is(target.process.as_ptr()) && !there.is_in(target);
            let is_old = has_changed || !there.is_open() || there.owner().is_gone();
            if !is_old || !there.end_unused() {
                continue;
            }
            let gone = {
                let mut inner = self.inner().lock();
                let place = inner.abroad.as_mut().and_then(|table| table.get_mut(at));
                place.and_then(|place| place.take_if(|now| Arc::ptr_eq(now, &there)))
            };
            drop(gone);
        }
    }

    /// Accepts a message for another process, this session's, whole or not at all.
    pub(crate) fn submit_abroad(
        self: &Arc<Self>,
        submit: &Submit<'_>,
        target: &Target,
        seq: u32,
    ) -> Result<(), Rejection> {
        let calls = self.accept_for_workers(submit, &target.credentials)?;
        self.depart_abroad(calls, &target.task, seq);
        Ok(())
    }

    /// The same for one call that refers to nothing.
    pub(crate) fn submit_one_abroad(
        self: &Arc<Self>,
        call: Call,
        target: &Target,
        seq: u32,
    ) -> Result<(), Rejection> {
        let calls = core::iter::once(call);
        let calls = self.accept_some(1, calls, &target.credentials)?;
        self.depart_abroad(calls, &target.task, seq);
        Ok(())
    }

    /// Queues what was accepted. Nothing of it concerns the sender: where a worker is missing, a
    /// thread of the process makes it, on its way to user mode.
    fn depart_abroad(self: &Arc<Self>, mut calls: List, task: &Task, seq: u32) {
        self.inner().lock().last_seq = seq;
        self.take_over(&mut calls, false);
        self.ask_for_worker(task);
    }

    /// Cancels calls in all processes.
    pub fn cancel_everywhere(self: &Arc<Self>, which: Which) -> Canceled {
        let mut found = self.cancel(which);
        for at in 0..MOST {
            let there = self.inner().lock().abroad_at(at);
            if let Some(there) = there {
                let more = there.cancel(which);
                found.canceled += more.canceled;
                found.interrupted += more.interrupted;
            }
        }
        found
    }

    /// This session ends, and with it those in other processes. Never sleeps.
    pub(crate) fn end_abroad(&self, end: End) {
        for at in 0..MOST {
            let there = self.inner().lock().abroad_at(at);
            if let Some(there) = there {
                there.end(end);
            }
        }
        if end == End::Socket {
            let table = self.inner().lock().abroad.take();
            drop(table);
        }
    }
}

impl Inner {
    fn abroad_at(&self, at: usize) -> Option<Arc<Session>> {
        self.abroad.as_ref()?.get(at)?.clone()
    }

    fn find_abroad(&self, target: &Target) -> Option<Arc<Session>> {
        let mut all = self.abroad.as_ref()?.iter().flatten();
        all.find(|there| there.is_open() && there.is_in(target))
            .cloned()
    }

    /// Keeps the session `made` in the process `target`, unless there is one.
    fn keep_abroad(
        &mut self,
        target: &Target,
        made: &Arc<Session>,
    ) -> Result<Arc<Session>, Rejection> {
        if self.state != SessionState::Open {
            return Err(reject!(EPERM, "the session has ended: open a new one"));
        }
        if let Some(there) = self.find_abroad(target) {
            return Ok(there);
        }
        let mut places = self.abroad.iter_mut().flat_map(|table| table.iter_mut());
        match places.find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(made.clone());
                Ok(made.clone())
            }
            None => Err(reject!(
                EAGAIN,
                "the socket acts in {MOST} processes: close it, or read the completions of one"
            )),
        }
    }
}
