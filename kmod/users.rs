// SPDX-License-Identifier: GPL-2.0-only

//! What each user has in use, all sessions together, and what the machine has.
//!
//! A session belongs to the real user id of the thread that began it. It looks its user up once;
//! from then on charging is an atomic addition.

use kernel::{
    prelude::*,
    rbtree::{
        Entry,
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Task, //
};

use crate::{
    compat::sync::global_lock,
    config,
    reject::{
        reject,
        Rejection, //
    },
};

/// Something of which only so much may be in use.
struct Account(Atomic<u32>);

impl Account {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    fn in_use(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Takes `amount`, unless more than `most` would be in use; the error says how much is.
    fn take(&self, amount: u32, most: u32) -> core::result::Result<(), u32> {
        let mut now = self.in_use();
        loop {
            if amount > most.saturating_sub(now) {
                return Err(now);
            }
            match self.0.cmpxchg(now, now + amount, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => now = other,
            }
        }
    }

    fn give_back(&self, amount: u32) {
        self.0.fetch_sub(amount, Relaxed);
    }
}

/// Workers of the machine.
static WORKERS: Account = Account::new();

/// What a user has in use.
struct User {
    calls: Account,
    workers: Account,
    inline_bytes: Account,
}

/// A user with sessions.
struct Known {
    user: Arc<User>,
    sessions: usize,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before a session can begin.
    unsafe(uninit) static USERS: SpinLockIrq<Option<RBTree<u32, Known>>> = None;
}

/// Prepares the list of users.
pub fn init() {
    // SAFETY: Called once, by module initialisation, before anything else here.
    unsafe { USERS.init() };
    *USERS.lock() = Some(RBTree::new());
}

/// A limit that keeps workers from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `max_workers_user`
    User,
    /// `max_workers_total`
    Machine,
}

impl Full {
    /// What a SUBMIT is told.
    pub fn rejection(self) -> Rejection {
        match self {
            Self::User => reject!(
                EBUSY,
                "the user has {} workers (max_workers_user)",
                config::max_workers_user()
            ),
            Self::Machine => reject!(
                EBUSY,
                "the machine has {} workers (max_workers_total)",
                config::max_workers_total()
            ),
        }
    }
}

/// A session's access to what its user has in use.
///
/// # Invariants
///
/// Counted in [`Known::sessions`] of `uid`, whose user this is.
pub struct Payer {
    uid: u32,
    user: Arc<User>,
}

impl Payer {
    /// The real user of the current thread.
    pub fn current() -> Result<Self> {
        // SAFETY: `current` holds its credentials, and only it replaces them.
        let uid = unsafe { (*(*Task::current_raw()).cred).uid.val };
        // Most often the user is there already. What is left over is freed outside of the lock.
        let user = Arc::new(
            User {
                calls: Account::new(),
                workers: Account::new(),
                inline_bytes: Account::new(),
            },
            GFP_KERNEL,
        )?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut guard = USERS.lock();
        let users = guard.as_mut().ok_or(ENODEV)?;
        let known = match users.entry(uid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Known { user, sessions: 0 }, node),
        };
        known.sessions += 1;
        let user = known.user.clone();
        // INVARIANT: Just counted.
        Ok(Self { uid, user })
    }

    /// Takes `count` calls in flight, or says why not.
    pub fn charge_calls(&self, count: u32) -> Result<(), Rejection> {
        let most = config::max_in_flight_user();
        self.user.calls.take(count, most).map_err(|now| {
            reject!(
                EBUSY,
                "{count} calls and the user's {now} exceed max_in_flight_user {most}"
            )
        })
    }

    /// Gives calls in flight back.
    pub fn uncharge_calls(&self, count: u32) {
        self.user.calls.give_back(count);
    }

    /// Takes a worker.
    pub fn charge_worker(&self) -> core::result::Result<(), Full> {
        let user = &self.user.workers;
        user.take(1, config::max_workers_user())
            .map_err(|_| Full::User)?;
        WORKERS.take(1, config::max_workers_total()).map_err(|_| {
            user.give_back(1);
            Full::Machine
        })
    }

    /// Gives a worker back.
    pub fn uncharge_worker(&self) {
        self.user.workers.give_back(1);
        WORKERS.give_back(1);
    }

    /// The limit that keeps a worker from being made at this moment.
    pub fn full(&self) -> Option<Full> {
        if self.user.workers.in_use() >= config::max_workers_user() {
            Some(Full::User)
        } else if WORKERS.in_use() >= config::max_workers_total() {
            Some(Full::Machine)
        } else {
            None
        }
    }

    /// Takes the bytes of a message with INLINE calls, which waits for its sender, or says why
    /// not.
    pub fn charge_inline(&self, bytes: u32) -> Result<InlineBytes, Rejection> {
        let most = config::max_inline_bytes();
        match self.user.inline_bytes.take(bytes, most) {
            // INVARIANT: Just taken.
            Ok(()) => Ok(InlineBytes {
                user: self.user.clone(),
                bytes,
            }),
            Err(now) => Err(reject!(
                EBUSY,
                "{bytes} bytes and the user's {now} exceed max_inline_bytes {most}"
            )),
        }
    }
}

/// Bytes of a message with INLINE calls, given back when this is dropped.
///
/// # Invariants
///
/// `bytes` are charged to `user`.
pub struct InlineBytes {
    user: Arc<User>,
    bytes: u32,
}

impl Drop for InlineBytes {
    fn drop(&mut self) {
        self.user.inline_bytes.give_back(self.bytes);
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        let last = {
            let mut guard = USERS.lock();
            guard.as_mut().and_then(|users| {
                let known = users.get_mut(&self.uid)?;
                known.sessions -= 1;
                if known.sessions > 0 {
                    return None;
                }
                users.remove_node(&self.uid)
            })
        };
        // Freed outside of the lock. In any context, interrupts included.
        drop(last);
    }
}
