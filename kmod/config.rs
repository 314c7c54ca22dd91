// SPDX-License-Identifier: GPL-2.0-only

//! The settings that are in force.
//!
//! The numbers are the module's parameters themselves, so that sysfs shows what is in force. Each
//! is read on its own, without a lock: who reads two of them may see one from before a change.

use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        msecs_to_jiffies,
        Jiffies, //
    }, //
};

use crate::{
    registry,
    session::EXCUSE,
    settings::{
        self,
        Access,
        Changes,
        SETTINGS, //
    },
    shim,
    text::Text, //
};

/// Who may submit, encoded; the parameter `access` is its text.
static ACCESS: Atomic<u64> = Atomic::new(Access::Root.encode());

/// Checks the parameters that the module is being loaded with.
pub fn init() -> Result {
    let refused = |text: &Text| {
        pr_err!("{}\n", text.as_str());
        EINVAL
    };
    for (place, setting) in SETTINGS.iter().enumerate() {
        setting
            .check(get(place))
            .map_err(|rejection| refused(&rejection.text))?;
    }
    let access = Access::parse(shim::access_parameter());
    let access = access.map_err(|rejection| refused(&rejection.text))?;
    ACCESS.store(access.encode(), Relaxed);
    Ok(())
}

/// Puts all changes into force. They were checked.
pub fn set(changes: &Changes) {
    let parameters = Parameters::lock();
    for (value, place) in changes.values.iter().zip(shim::settings()) {
        if let Some(value) = value {
            place.store(*value, Relaxed);
        }
    }
    if let Some(access) = changes.access {
        ACCESS.store(access.encode(), Relaxed);
        let text = Text::format(format_args!("{access}"));
        // SAFETY: The lock of the parameters is held.
        unsafe { shim::show_access(text.as_str()) };
    }
    drop(parameters);
    for session in registry::all() {
        session.offer_room();
        if changes.values[settings::IDLE_MS].is_some() {
            // Workers that rest already may have to leave sooner than they were told.
            shim::hurry::<EXCUSE>(session);
        }
    }
}

/// Keeps changes apart, and sysfs from showing half of one.
struct Parameters(());

impl Parameters {
    fn lock() -> Self {
        // SAFETY: A handler may sleep; the module is ours.
        unsafe { bindings::kernel_param_lock(crate::this_module()) };
        Self(())
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: Locked by `lock()`.
        unsafe { bindings::kernel_param_unlock(crate::this_module()) };
    }
}

/// The setting at this place of [`SETTINGS`].
pub fn get(place: usize) -> u32 {
    shim::settings()[place].load(Relaxed)
}

/// Most calls in flight per session.
pub fn max_in_flight() -> u32 {
    get(settings::MAX_IN_FLIGHT)
}

/// Most workers per session.
pub fn max_workers() -> u32 {
    get(settings::MAX_WORKERS)
}

/// Most calls in flight of all sessions of a user.
pub fn max_in_flight_user() -> u32 {
    get(settings::MAX_IN_FLIGHT_USER)
}

/// Most workers of all sessions of a user.
pub fn max_workers_user() -> u32 {
    get(settings::MAX_WORKERS_USER)
}

/// Most workers of the machine.
pub fn max_workers_total() -> u32 {
    get(settings::MAX_WORKERS_TOTAL)
}

/// Most bytes of messages with INLINE calls that wait, of all sessions of a user.
pub fn max_inline_bytes() -> u32 {
    get(settings::MAX_INLINE_BYTES)
}

/// Most workers of a session that run at the same time.
pub fn max_running() -> u32 {
    match get(settings::MAX_RUNNING) {
        0 => shim::online_cpus().clamp(1, 4),
        most => most,
    }
}

/// How long a worker without a call stays. Jiffies.
pub fn idle() -> Jiffies {
    msecs_to_jiffies(get(settings::IDLE_MS)).max(1)
}

/// Who may submit.
pub fn access() -> Access {
    Access::decode(ACCESS.load(Relaxed))
}
