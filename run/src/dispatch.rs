// SPDX-License-Identifier: MIT OR Apache-2.0

//! The handler of SIGSYS: gets every system call of the program.

use crate::birth;
use crate::context::{Context, Info};
use crate::count;
use crate::descriptors::{
    around_ours,
    is_ours, //
};
use crate::making::{
    make,
    Call, //
};
use crate::program;
use crate::shared::Way;
use crate::signals;
use crate::sys::{
    self,
    CLONE,
    CLONE3,
    CLOSE,
    CLOSE_RANGE,
    DUP,
    DUP2,
    DUP3,
    EBADF,
    EINVAL,
    ENOSYS,
    EXECVE,
    EXECVEAT,
    EXIT,
    EXIT_GROUP,
    FCNTL,
    FORK,
    PRCTL,
    RESTART_SYSCALL,
    RT_SIGACTION,
    RT_SIGPROCMASK,
    RT_SIGRETURN,
    SET_DISPATCH,
    SIGALTSTACK,
    VFORK, //
};
use crate::text;

/// `SYS_USER_DISPATCH`.
const USER_DISPATCH: i32 = 2;
/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;

/// SIGSYS: a system call of the program.
///
/// # Safety
///
/// Called by the kernel, with all signals blocked.
pub unsafe extern "C" fn on_sigsys(signal: i32, info: *const Info, context: *mut Context) {
    // SAFETY: The kernel gave both.
    unsafe {
        if (*info).code != USER_DISPATCH {
            return signals::foreign(signal, info, context);
        }
        let registers = &(*context).registers;
        let call = Call {
            // The kernel looks at the lower half.
            nr: u64::from(registers.rax as u32),
            args: registers.arguments(),
        };
        let ret = match (*info).architecture {
            X86_64 => dispatch(context, &call),
            // int 0x80: the module has no 32-bit calls.
            _ => -ENOSYS,
        };
        (*context).registers.rax = ret as u64;
    }
}

/// Makes a call of the program, in the way that it can be made.
///
/// # Safety
///
/// As for [`make`].
unsafe fn dispatch(context: *mut Context, call: &Call) -> i64 {
    let args = &call.args;
    // SAFETY: By the caller's promise, in all arms.
    unsafe {
        match call.nr {
            RT_SIGRETURN => go_back(context),
            EXIT | EXIT_GROUP => {
                count::begins(call);
                text::syscall(call.nr, args)
            }
            FORK | VFORK | CLONE | CLONE3 => birth::give(context, call),
            EXECVE | EXECVEAT => program::execute(context, call),
            RT_SIGACTION => {
                let began = count::begin();
                let ret = signals::sigaction(args[0], args[1], args[2], args[3]);
                settled(call, Way::Native, ret, began)
            }
            // Undone by the handler's return, unless that is told.
            RT_SIGPROCMASK => make(context, call, Way::Native),
            SIGALTSTACK => {
                let ret = make(context, call, Way::Native);
                if ret == 0 {
                    let stack = &raw mut (*context).stack;
                    text::syscall(SIGALTSTACK, &[0, sys::address(stack), 0, 0, 0, 0]);
                }
                ret
            }
            RESTART_SYSCALL => make(context, call, Way::Native),
            CLOSE | DUP if is_ours(args[0]) => refused(call, -EBADF),
            FCNTL if is_ours(args[0]) => refused(call, -EBADF),
            DUP2 | DUP3 if is_ours(args[0]) || is_ours(args[1]) => refused(call, -EBADF),
            CLOSE_RANGE => close_range(context, call),
            PRCTL if args[0] == SET_DISPATCH => refused(call, -EINVAL),
            _ => make(context, call, count::way(call.nr)),
        }
    }
}

fn settled(call: &Call, way: Way, ret: i64, began: u64) -> i64 {
    count::ended(call, way, ret, began);
    ret
}

/// A call that the library answers itself.
fn refused(call: &Call, ret: i64) -> i64 {
    settled(call, Way::Native, ret, count::begin())
}

/// The program returns from a handler of its own through code of its own.
///
/// # Safety
///
/// The context is that of the program's call.
unsafe fn go_back(context: *mut Context) -> ! {
    // SAFETY: At this call the stack pointer leads to the context of the program's frame, or to
    // what the kernel will not take for one.
    unsafe {
        text::go_on(core::ptr::with_exposed_provenance(
            (*context).registers.rsp as usize,
        ))
    }
}

/// Closes what lies in the range, but none of the library's own.
///
/// # Safety
///
/// As for [`make`].
unsafe fn close_range(context: *mut Context, call: &Call) -> i64 {
    let [first, last, flags, ..] = call.args;
    let (first, last) = (first as u32, last as u32);
    if first > last {
        // SAFETY: By the caller's promise.
        return unsafe { make(context, call, Way::Inline) };
    }
    let mut ret = 0;
    for (first, last) in around_ours(first, last) {
        let part = Call {
            nr: call.nr,
            args: [first.into(), last.into(), flags, 0, 0, 0],
        };
        // SAFETY: By the caller's promise.
        ret = unsafe { make(context, &part, Way::Inline) };
        if ret < 0 {
            break;
        }
    }
    ret
}

/// Sends the current thread's system calls here.
pub fn arm() -> bool {
    signals::install(on_sigsys) == 0 && sys::arm() == 0
}
