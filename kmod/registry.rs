// SPDX-License-Identifier: GPL-2.0-only

//! All sessions, by number.

use kernel::{
    bindings,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock,
        Arc, //
    }, //
};

use crate::session::{
    End, //
    Session,
};

/// The sessions whose socket is open.
struct Sessions {
    /// Number of the last session that was begun.
    last: u64,
    by_number: RBTree<u64, Arc<Session>>,
    /// The same, by the address of the `struct pid` of their process and their number: when a thread
    /// ends, or executes a program, only those of its process are gone through.
    by_process: RBTree<(usize, u64), Arc<Session>>,
}

global_lock! {
    // SAFETY: Initialised by `init()`, before a session can begin.
    unsafe(uninit) static SESSIONS: SpinLock<Option<Sessions>> = None;
}

/// How many sessions the tree holds, to pass over it cheaply when a thread ends.
static COUNT: Atomic<u32> = Atomic::new(0);

/// Prepares the registry.
pub fn init() {
    // SAFETY: Called once, by module initialisation, before anything else here.
    unsafe { SESSIONS.init() };
    *SESSIONS.lock() = Some(Sessions {
        last: 0,
        by_number: RBTree::new(),
        by_process: RBTree::new(),
    });
}

/// A number for a new session and a place in the registry.
pub struct Place {
    /// The number.
    pub id: u64,
    by_number: RBTreeNodeReservation<u64, Arc<Session>>,
    by_process: RBTreeNodeReservation<(usize, u64), Arc<Session>>,
}

/// Reserves a place.
pub fn reserve() -> Result<Place> {
    let by_number = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let by_process = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
    let mut guard = SESSIONS.lock();
    let sessions = guard.as_mut().ok_or(ENODEV)?;
    sessions.last += 1;
    Ok(Place {
        id: sessions.last,
        by_number,
        by_process,
    })
}

/// Enters a session at its place; it stays until [`remove`].
pub fn insert(place: Place, session: Arc<Session>) {
    let by_process = (session.owner().as_ptr() as usize, place.id);
    let by_process = place.by_process.into_node(by_process, session.clone());
    let by_number = place.by_number.into_node(place.id, session);
    if let Some(sessions) = SESSIONS.lock().as_mut() {
        sessions.by_number.insert(by_number);
        sessions.by_process.insert(by_process);
        COUNT.fetch_add(1, Relaxed);
    }
}

/// Takes a session out.
pub fn remove(session: &Session) {
    let id = session.id();
    let by_process = (session.owner().as_ptr() as usize, id);
    let gone = SESSIONS.lock().as_mut().map(|sessions| {
        let other = sessions.by_process.remove(&by_process);
        (sessions.by_number.remove(&id), other)
    });
    if let Some((Some(_), _)) = &gone {
        COUNT.fetch_sub(1, Relaxed);
    }
    // The references are dropped here, outside of the lock.
}

/// The session with the lowest number above `id`.
pub fn after(id: u64) -> Option<Arc<Session>> {
    let guard = SESSIONS.lock();
    let sessions = &guard.as_ref()?.by_number;
    let cursor = sessions.cursor_lower_bound(&(id + 1))?;
    Some(cursor.current().1.clone())
}

/// Every session, one after the other; the lock is not held between them.
pub fn all() -> impl Iterator<Item = Arc<Session>> {
    let mut id = 0;
    core::iter::from_fn(move || {
        let session = after(id)?;
        id = session.id();
        Some(session)
    })
}

/// Those of the process with that `struct pid`, one after the other; the lock is not held between
/// them.
pub fn of(tgid: *const bindings::pid) -> impl Iterator<Item = Arc<Session>> {
    let mut id = 0;
    core::iter::from_fn(move || {
        let guard = SESSIONS.lock();
        let sessions = &guard.as_ref()?.by_process;
        let cursor = sessions.cursor_lower_bound(&(tgid as usize, id + 1))?;
        let ((process, number), session) = cursor.current();
        if *process != tgid as usize {
            return None;
        }
        id = *number;
        Some(session.clone())
    })
}

/// Whether there is any session: asked first, when a thread ends.
#[no_mangle]
extern "C" fn nlcall_has_sessions() -> bool {
    COUNT.load(Relaxed) != 0
}

/// Whether a process has any session.
#[no_mangle]
extern "C" fn nlcall_has_session(tgid: *const bindings::pid) -> bool {
    of(tgid).next().is_some()
}

/// A process ends, but for its workers, or executes another program: its sessions end.
#[no_mangle]
extern "C" fn nlcall_process_ends(tgid: *const bindings::pid) {
    for session in of(tgid) {
        session.end(End::Process);
    }
}
