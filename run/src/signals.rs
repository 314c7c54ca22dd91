// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program's signal handlers.
//!
//! The kernel is told to call [`text::signal`] instead of each of them. What that does is to make
//! the handler's frame what the kernel would have made of it, had the program made its calls
//! itself: the program sees its own registers, and returns to where it was.

use core::ptr;
use core::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};

use crate::context::{
    Context,
    Info,
    SIGSYS_BIT, //
};
use crate::making::Making;
use crate::sys::{
    self,
    Action,
    EFAULT,
    EINVAL,
    MASK_LEN,
    SIG_UNBLOCK, //
};
use crate::text;

/// `SIGSYS`.
pub const SIGSYS: u64 = 31;
/// Signals are numbered from 1 to this.
const LAST: u64 = 64;
/// `SIG_DFL`, `SIG_IGN`; greater ones are handlers.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

const SA_RESTORER: u64 = 0x0400_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_SIGINFO: u64 = 4;

/// What the program asked for at a signal, with a handler; of SIGSYS with any action.
struct Wanted {
    handler: AtomicU64,
    flags: AtomicU64,
    restorer: AtomicU64,
    mask: AtomicU64,
}

static WANTED: [Wanted; LAST as usize + 1] = [const {
    Wanted {
        handler: AtomicU64::new(DEFAULT),
        flags: AtomicU64::new(0),
        restorer: AtomicU64::new(0),
        mask: AtomicU64::new(0),
    }
}; LAST as usize + 1];

impl Wanted {
    fn get(&self) -> Action {
        Action {
            handler: self.handler.load(Relaxed),
            flags: self.flags.load(Relaxed),
            restorer: self.restorer.load(Relaxed),
            mask: self.mask.load(Relaxed),
        }
    }

    fn set(&self, action: &Action) {
        self.handler.store(action.handler, Relaxed);
        self.flags.store(action.flags, Relaxed);
        self.restorer.store(action.restorer, Relaxed);
        self.mask.store(action.mask, Relaxed);
    }
}

/// Installs the handler that gets the program's system calls.
pub fn install(handler: unsafe extern "C" fn(i32, *const Info, *mut Context)) -> i64 {
    let action = Action {
        handler: sys::address(handler as *const ()),
        // Without SA_ONSTACK: on the program's stack, whichever that is.
        flags: SA_SIGINFO | SA_RESTORER | SA_NODEFER,
        restorer: text::restorer(),
        mask: u64::MAX,
    };
    // SAFETY: It is a handler.
    let ret = unsafe { sys::sigaction(SIGSYS, Some(&action), None) };
    sys::sigprocmask(SIG_UNBLOCK, SIGSYS_BIT);
    ret
}

/// The program's rt_sigaction.
pub fn sigaction(signal: u64, new: u64, old: u64, mask_len: u64) -> i64 {
    let signal = signal as u32 as u64;
    if mask_len != MASK_LEN || !(1..=LAST).contains(&signal) {
        return -EINVAL;
    }
    let wanted = match new {
        0 => None,
        address => match read_action(address) {
            Some(action) => Some(action),
            None => return -EFAULT,
        },
    };
    let before = match exchange(signal, wanted.as_ref()) {
        Ok(before) => before,
        Err(error) => return error,
    };
    if old != 0 && !write_action(old, &before) {
        return -EFAULT;
    }
    0
}

fn read_action(address: u64) -> Option<Action> {
    let [handler, flags, restorer, mask] = sys::read::<[u64; 4]>(address)?;
    Some(Action {
        handler,
        flags,
        restorer,
        mask,
    })
}

fn write_action(address: u64, action: &Action) -> bool {
    let words = [action.handler, action.flags, action.restorer, action.mask];
    sys::write_memory(address, zerocopy::IntoBytes::as_bytes(&words))
}

/// Sets what the program wants at a signal, and says what it wanted before.
fn exchange(signal: u64, new: Option<&Action>) -> Result<Action, i64> {
    let wanted = &WANTED[signal as usize];
    let before = wanted.get();
    if signal == SIGSYS {
        // The kernel's is ours.
        if let Some(new) = new {
            wanted.set(new);
        }
        return Ok(before);
    }
    let ours = new.map(|new| {
        if new.handler <= IGNORE {
            return *new;
        }
        // First, so that a signal that comes between finds it.
        wanted.set(new);
        Action {
            handler: text::signal(),
            flags: new.flags | SA_RESTORER,
            restorer: text::restorer(),
            mask: new.mask,
        }
    });
    let mut old = Action::default();
    // SAFETY: The handler is the program's, or the one that stands for it.
    let ret = unsafe { sys::sigaction(signal, ours.as_ref(), Some(&mut old)) };
    if ret < 0 {
        wanted.set(&before);
        return Err(ret);
    }
    // What is not ours the kernel knows best: SA_RESETHAND makes it the default.
    Ok(match old.handler == text::signal() {
        true => before,
        false => old,
    })
}

/// A signal interrupted the thread: prepares the frame, and says which handler is to run.
///
/// # Safety
///
/// Called by [`text::signal`] with what the kernel gave it.
pub unsafe extern "C" fn on_signal(signal: i32, _info: *const Info, context: *mut Context) -> u64 {
    let wanted = WANTED[signal as usize & 0x7f].get();
    // A program may have blocked SIGSYS, as it may have all signals: its next system call would
    // end it.
    sys::sigprocmask(SIG_UNBLOCK, SIGSYS_BIT);
    // SAFETY: The kernel gave it, and nobody else knows it.
    let context = unsafe { &mut *context };
    context.mask &= !SIGSYS_BIT;
    if (text::open()..text::closed()).contains(&context.registers.rip) {
        let making = ptr::with_exposed_provenance::<Making>(context.registers.rbx as usize);
        // SAFETY: Between these instructions the register leads to what is being made, which lives
        // on the stack that is interrupted.
        unsafe { (*making).interrupted(context, wanted.flags & SA_RESTART != 0) };
    }
    wanted.handler
}

/// SIGSYS for another reason than a system call: somebody sent it.
///
/// # Safety
///
/// The arguments are those of the handler that is running.
pub unsafe fn foreign(signal: i32, info: *const Info, context: *mut Context) {
    let wanted = WANTED[SIGSYS as usize].get();
    match wanted.handler {
        IGNORE => {}
        DEFAULT => {
            let default = Action::default();
            // SAFETY: Without a handler; the process ends by the signal as soon as it is let in.
            unsafe { sys::sigaction(SIGSYS, Some(&default), None) };
            sys::raise(SIGSYS);
            sys::sigprocmask(SIG_UNBLOCK, SIGSYS_BIT);
        }
        handler => {
            let handler = ptr::with_exposed_provenance::<()>(handler as usize);
            // SAFETY: The program installed it as a handler. Its mask is the program's business;
            // only SIGSYS may not be blocked while it runs.
            unsafe {
                let handler: unsafe extern "C" fn(i32, *const Info, *mut Context) =
                    core::mem::transmute(handler);
                sys::sigprocmask(SIG_UNBLOCK, SIGSYS_BIT);
                handler(signal, info, context);
            }
        }
    }
}
