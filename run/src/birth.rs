// SPDX-License-Identifier: MIT OR Apache-2.0

//! New threads and processes: fork, vfork, clone, clone3.
//!
//! A child begins without syscall user dispatch. It is armed before it returns to the program, and
//! opens a session of its own where it is a process.

use core::mem::size_of;
use core::ptr;

use crate::context::Context;
use crate::count;
use crate::dispatch;
use crate::making::Call;
use crate::session;
use crate::shared::Way;
use crate::sys::{
    self,
    CLONE,
    CLONE3,
    EFAULT,
    EINVAL,
    VFORK, //
};
use crate::text;
use crate::vfork;

const CLONE_VM: u64 = 0x100;
const CLONE_FILES: u64 = 0x400;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x1_0000;

/// Below the stack pointer: what the compiler of the program may use.
const RED_ZONE: u64 = 128;

/// `struct clone_args`, as this kernel knows it.
const CLONE_ARGS: usize = 11;
/// Its fields, as words.
const FLAGS: usize = 0;
const STACK: usize = 5;
const STACK_SIZE: usize = 6;

/// A child that is being made. A copy of it lies where the child's own stack begins.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Birth {
    pub(crate) nr: u64,
    pub(crate) args: [u64; 6],
    /// Where a child with a stack of its own goes on: the context of a frame on that. 0: where its
    /// parent does.
    pub(crate) frame: u64,
    flags: u64,
}

/// Makes the child that the program asks for. Returns in the parent, and in a child that has the
/// parent's stack or a copy of it.
///
/// # Safety
///
/// The call is the program's, `context` that of the handler's frame.
pub unsafe fn give(context: *mut Context, call: &Call) -> i64 {
    let mut args = [0_u64; CLONE_ARGS];
    let (flags, top) = match call.nr {
        CLONE3 => {
            let len = call.args[1] as usize;
            if len > size_of::<[u64; CLONE_ARGS]>() {
                // Of a later kernel: the C library then tries clone.
                return settled(call, -7);
            }
            let bytes = &mut zerocopy::IntoBytes::as_mut_bytes(&mut args)[..len];
            if sys::read_memory(call.args[0], bytes) != len {
                return settled(call, -EFAULT);
            }
            let top = match args[STACK] {
                0 => 0,
                stack => stack.wrapping_add(args[STACK_SIZE]),
            };
            (args[FLAGS], top)
        }
        CLONE => (call.args[0] & 0xffff_ffff, call.args[1]),
        VFORK => (CLONE_VM | CLONE_VFORK, 0),
        _ => (0, 0),
    };
    let mut birth = Birth {
        nr: call.nr,
        args: call.args,
        frame: 0,
        flags,
    };
    // SAFETY: By the caller's promise.
    let ret = unsafe {
        if top != 0 {
            let place = prepare(context, &birth, top);
            birth.frame = (*place).frame;
            let top = sys::address(place);
            match call.nr {
                CLONE => birth.args[1] = top,
                _ => args[STACK_SIZE] = top.wrapping_sub(args[STACK]),
            }
        }
        if call.nr == CLONE3 {
            birth.args[0] = sys::address(&raw const args);
        }
        match (top, flags & (CLONE_VM | CLONE_VFORK)) {
            // Two threads on one stack: nothing can come of it.
            (0, CLONE_VM) => return settled(call, -EINVAL),
            (0, both) if both == CLONE_VM | CLONE_VFORK => vfork::give(context, &birth, call),
            _ => {
                let began = count::begin();
                let ret = text::clone(&birth);
                if ret != 0 {
                    count::ended(call, Way::Native, ret, began);
                }
                ret
            }
        }
    };
    if ret == 0 {
        begin(flags);
    }
    ret
}

fn settled(call: &Call, ret: i64) -> i64 {
    count::ended(call, Way::Native, ret, count::begin());
    ret
}

/// Lays out the stack of a child: a frame that makes it go on behind the program's instruction, and
/// what it needs before.
///
/// # Safety
///
/// `context` is that of a frame, and the program gave the memory below `top` to the child.
unsafe fn prepare(context: *const Context, birth: &Birth, top: u64) -> *mut Birth {
    // SAFETY: By the caller's promise.
    unsafe {
        let copy = Context::copy_frame(context, top - RED_ZONE);
        (*copy).registers.rsp = top;
        (*copy).registers.rax = 0;
        if birth.flags & (CLONE_VM | CLONE_VFORK) == CLONE_VM {
            (*copy).without_signal_stack();
        }
        let below = sys::address(copy) - size_of::<u64>() as u64 - size_of::<Birth>() as u64;
        let place = ptr::with_exposed_provenance_mut::<Birth>((below & !15) as usize);
        *place = Birth {
            frame: sys::address(copy),
            ..*birth
        };
        place
    }
}

/// A child with a stack of its own begins.
///
/// # Safety
///
/// Called by [`text::clone`] in the child.
pub unsafe extern "C" fn born(birth: *const Birth) {
    // SAFETY: By the caller's promise, the copy on the child's stack.
    begin(unsafe { (*birth).flags });
}

/// Makes the child one whose calls are sent.
fn begin(flags: u64) {
    let shares_memory = flags & CLONE_VM != 0;
    let shares_files = flags & CLONE_FILES != 0;
    if flags & CLONE_THREAD == 0 {
        if shares_memory && shares_files {
            // No place for a session of its own: its calls stay as they are.
            return;
        }
        session::begin_again(shares_files, shares_memory);
    }
    dispatch::arm();
}
