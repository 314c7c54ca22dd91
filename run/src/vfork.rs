// SPDX-License-Identifier: MIT OR Apache-2.0

//! A child that uses its parent's stack until it executes a program or ends.
//!
//! It returns through the handler's frames and overwrites them. The parent goes on from a copy.

use core::mem::size_of;
use core::ptr;
use core::sync::atomic::{
    AtomicPtr,
    AtomicU32,
    Ordering::{
        Acquire,
        Relaxed, //
    }, //
};

use crate::birth::Birth;
use crate::context::Context;
use crate::count;
use crate::making::Call;
use crate::shared::{
    Way,
    RECORD_LEN, //
};
use crate::sys;
use crate::text;

/// Room for a frame with all that the processor's extensions need.
const FRAME: usize = 24 << 10;
/// Stack on which the parent restores it, and tells of the call: a record alone is 4 KiB.
const STACK: usize = 16 << 10;
const _: () = assert!(STACK >= 4 * RECORD_LEN);

/// What a parent needs when its child is done with the stack.
#[repr(C, align(64))]
pub struct Saved {
    stack: [u8; STACK],
    /// The upper end of that.
    pub(crate) stack_end: [u64; 2],
    /// Whether a parent waits.
    pub(crate) in_use: AtomicU32,
    /// Of the next one.
    next: *mut Saved,
    /// Where the frame was.
    context: *mut Context,
    /// The copy, in `frame`.
    copy: *mut Context,
    call: Call,
    began: u64,
    frame: [u8; FRAME],
}

/// All that were ever made; they are used again.
static ALL: AtomicPtr<Saved> = AtomicPtr::new(ptr::null_mut());

/// One that nobody uses, or a new one.
fn claim() -> Option<*mut Saved> {
    let mut at = ALL.load(Acquire);
    while !at.is_null() {
        // SAFETY: None is ever unmapped; `next` does not change once one can be found.
        let (in_use, next) = unsafe { (&(*at).in_use, (*at).next) };
        if in_use.compare_exchange(0, 1, Acquire, Relaxed).is_ok() {
            return Some(at);
        }
        at = next;
    }
    let new = sys::map_own(size_of::<Saved>())?;
    let new = ptr::with_exposed_provenance_mut::<Saved>(new as usize);
    // SAFETY: Just mapped: zeroes, that nobody else knows.
    unsafe {
        (*new).in_use = AtomicU32::new(1);
        let mut first = ALL.load(Relaxed);
        loop {
            (*new).next = first;
            match ALL.compare_exchange(first, new, Acquire, Relaxed) {
                Ok(_) => return Some(new),
                Err(now) => first = now,
            }
        }
    }
}

/// Makes the child, and returns in it, or with an error. The parent goes on in the program.
///
/// # Safety
///
/// The birth is that of the program's call, of a child that shares memory and stack, and stops its parent meanwhile.
pub unsafe fn give(context: *mut Context, birth: &Birth, call: &Call) -> i64 {
    let Some(saved) = claim() else {
        return -sys::ENOMEM;
    };
    // SAFETY: It is ours since it was claimed. The frame fits: the kernel's largest is smaller,
    // and a larger one is not taken.
    unsafe {
        if Context::frame_len(context) > FRAME - 128 {
            (*saved).in_use.store(0, Relaxed);
            return -sys::ENOMEM;
        }
        let top = sys::address((&raw const (*saved).frame).cast::<u8>()) + FRAME as u64;
        (*saved).context = context;
        (*saved).copy = Context::copy_frame(context, top);
        (*saved).call = *call;
        (*saved).began = count::begin();
        let ret = text::vfork(birth.nr, &birth.args, saved);
        if ret < 0 {
            count::ended(call, Way::Native, ret, (*saved).began);
            (*saved).in_use.store(0, Relaxed);
        }
        ret
    }
}

/// In the parent, on the stack in `saved`: puts the frame back, and says where its context is.
///
/// # Safety
///
/// Called by [`text::vfork`] when the child is done.
pub unsafe extern "C" fn resume(saved: *mut Saved, ret: i64) -> *mut Context {
    // SAFETY: By the caller's promise.
    unsafe {
        let context = (*saved).context;
        Context::restore_frame(context, (*saved).copy);
        (*context).registers.rax = ret as u64;
        count::ended(&(*saved).call, Way::Native, ret, (*saved).began);
        context
    }
}
