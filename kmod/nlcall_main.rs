// SPDX-License-Identifier: GPL-2.0-only

//! nlcall: any Linux system call, asynchronously, as a netlink message.
//!
//! Where things live:
//!
//! | file | noun |
//! | --- | --- |
//! | `family.rs` | the generic-netlink commands: checks, replies, dumps |
//! | `session.rs` | a socket that submits and its process: beginning, rights, end |
//! | `submission.rs` | a message on its way through its sender's task work into the queue |
//! | `errand.rs` | a piece of task work |
//! | `inline.rs` | calls that their submitter executes itself |
//! | `room.rs` | senders that wait for room |
//! | `slots.rs`, `chunks.rs` | memory for calls, memory for tables |
//! | `area.rs` | memory that the calls of a message need where they execute |
//! | `crew.rs` | the workers of a session |
//! | `worker.rs` | a thread of the process that executes calls |
//! | `delivery.rs` | completions on their way into the receive buffer |
//! | `registry.rs` | all sessions |
//! | `config.rs` | the settings that are in force |
//! | `users.rs` | what each user has in use |
//! | `sender.rs` | the thread that sent a message: who it is and whether it may |
//! | `target.rs`, `target.c`, `target.h` | another process: whether the sender may act in it |
//! | `abroad.rs` | the sessions of a socket in other processes |
//! | `socket.rs` | a netlink socket and the session bound to it |
//! | `recent.rs` | the sessions of the sockets that sent last |
//! | `trace.rs`, `trace.c`, `trace.h` | who looks on while calls are executed |
//! | `listeners.rs` | those that listen to the multicast group, and what they hear |
//! | `message.rs` | a netlink message being written |
//! | `classic.rs` | the front end of the early demonstration |
//! | `shim.rs`, `shim.c`, `shim.h` | what Rust cannot reach |
//! | `compat.rs`, `compat.c` | what an older kernel lacks |
//!
//! The rest knows no kernel types and is tested on the host (`pure.rs`): `parse`, `policy`,
//! `answer` (what seccomp said), `calls` (the life of a call, after `docs/lifecycle.md`), `entries`
//! (INLINE calls in their message), `roster` (the list of workers), `latency` (how long calls took), `ended`, `sched`,
//! `owner`, `gate`, `parcels`, `readi` (the classic front end's messages), `settings`, `reject`,
//! `text`.

use kernel::{
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Release, //
    }, //
};

pub mod abroad;
pub mod answer;
pub mod area;
pub mod burst;
pub mod calls;
pub mod chain;
pub mod chunks;
pub mod classic;
#[cfg(before_7_3)]
pub mod compat;
pub mod config;
pub mod crew;
pub mod delivery;
pub mod ended;
pub mod entries;
pub mod errand;
pub mod family;
pub mod gate;
pub mod inline;
pub mod latency;
pub mod listeners;
pub mod message;
pub mod owner;
pub mod parcels;
pub mod parse;
#[path = "../abi/src/policy.rs"]
pub mod policy;
pub mod readi;
pub mod recent;
pub mod registry;
pub mod reject;
pub mod room;
pub mod roster;
pub mod sched;
pub mod sender;
pub mod session;
pub mod settings;
pub mod shim;
pub mod slots;
pub mod socket;
pub mod submission;
#[path = "../abi/src/syscalls.rs"]
pub mod syscalls;
pub mod target;
pub mod text;
pub mod trace;
pub mod users;
#[path = "../abi/src/wire.rs"]
pub mod wire;
pub mod worker;

/// What the module needs of the newest kernel; `compat.rs` has it for an older one.
#[cfg(not(before_7_3))]
use kernel as compat;

module! {
    type: Nlcall,
    name: "nlcall",
    authors: ["The nlcall developers"],
    description: "Any system call, asynchronously, as a netlink message",
    license: "GPL v2",
}

/// Numbers of system calls from this one on are unknown to `policy`: the kernel has none.
const KERNEL_NUMBERS: usize = kernel::bindings::__NR_syscalls as usize;

/// Whether the module is initialised: before that no session begins, since its references could
/// not keep the module.
static READY: AtomicFlag = AtomicFlag::new(false);

/// This module.
const fn this_module() -> *mut kernel::bindings::module {
    compat::module::this_module::<LocalModule>().as_ptr()
}

/// Version of the module, that of the workspace.
pub const VERSION: &str = "0.1.0";

/// The loaded module. Fields are dropped in this order: first nobody new can come, then what is
/// still running is waited for.
struct Nlcall {
    _classic: Option<classic::Registration>,
    _family: family::Registration,
    _border: shim::Border,
}

impl kernel::Module for Nlcall {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        config::init()?;
        let border = shim::Border::new()?;
        registry::init();
        listeners::init();
        users::init();
        let family = family::Registration::new()?;
        let classic = if shim::classic_wanted() {
            Some(classic::Registration::new()?)
        } else {
            None
        };
        READY.store(true, Release);
        Ok(Self {
            _classic: classic,
            _family: family,
            _border: border,
        })
    }
}
