// SPDX-License-Identifier: MIT OR Apache-2.0

//! The beginning of a program, and of the next one.

use core::ptr;

use crate::context::Context;
use crate::count;
use crate::descriptors;
use crate::dispatch;
use crate::making::{
    leave,
    Call, //
};
use crate::session;
use crate::shared::{
    parse_descriptors,
    Way, //
    LIBRARY_PATH,
    PRELOAD,
    VARIABLE,
};
use crate::sys::{
    self,
    EXECVE, //
};
use crate::text;

/// `E2BIG`.
const TOO_BIG: i64 = 7;
/// Most strings of an environment; the kernel's own limit is lower where the stack is not huge.
const MOST_STRINGS: usize = 1 << 20;
/// Bytes of the two strings that are added, without the program's own `LD_PRELOAD`.
const STRINGS: usize = 128;

/// Text that is put together in a place that is large enough.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    fn add(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn add_number(&mut self, number: i32) {
        if number < 0 {
            return self.add(b"-1");
        }
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.add(&digits[at..]);
    }

    /// The path of the library.
    fn add_library(&mut self) {
        self.add(LIBRARY_PATH);
        self.add_number(descriptors::placed()[0]);
    }
}

/// The value of an environment string, where it is that variable's.
fn value_of<'a>(string: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    string.strip_prefix(name)?.strip_prefix(b"=")
}

/// The program's own part of `LD_PRELOAD`: what follows the library's path.
fn own_part(value: &[u8]) -> Option<&[u8]> {
    let rest = value.strip_prefix(LIBRARY_PATH)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.get(digits..) {
        Some([b':' | b' ', own @ ..]) => Some(own),
        _ => Some(b""),
    }
}

/// A string of this process's memory.
///
/// # Safety
///
/// There is one that ends with a zero byte.
unsafe fn string<'a>(at: *const u8) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: By the caller's promise.
    unsafe {
        while *at.add(len) != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(at, len)
    }
}

/// Begins: called by the dynamic linker before the program.
///
/// # Safety
///
/// `environment` is the process's, as the C library has it, and no other thread exists.
pub unsafe extern "C" fn start(
    _count: i32,
    _arguments: *const *const u8,
    environment: *mut *mut u8,
) {
    // SAFETY: By the caller's promise.
    let Some(placed) = (unsafe { take_variables(environment) }) else {
        return;
    };
    descriptors::set_placed(placed);
    if count::map(placed[1]) {
        session::begin();
        dispatch::arm();
    }
}

/// Finds the library's own variables and removes them from the environment.
///
/// # Safety
///
/// As for [`start`].
unsafe fn take_variables(environment: *mut *mut u8) -> Option<[i32; 3]> {
    if environment.is_null() {
        return None;
    }
    let mut placed = None;
    let (mut from, mut to) = (environment, environment);
    // SAFETY: By the caller's promise: an array that ends with a null pointer.
    unsafe {
        while !(*from).is_null() {
            let mut kept = Some(*from);
            let text = string(*from);
            if let Some(value) = value_of(text, VARIABLE) {
                placed = parse_descriptors(value);
                kept = None;
            } else if let Some(own) = value_of(text, PRELOAD).and_then(own_part) {
                kept = (!own.is_empty()).then(|| {
                    // Moved down: the name stays.
                    let place = (*from).add(PRELOAD.len() + 1);
                    ptr::copy(own.as_ptr(), place, own.len());
                    *place.add(own.len()) = 0;
                    *from
                });
            }
            if let Some(kept) = kept {
                *to = kept;
                to = to.add(1);
            }
            from = from.add(1);
        }
        *to = ptr::null_mut();
    }
    placed
}

/// What becomes of an execve with the environment that the library makes of the program's.
struct Execution<'a> {
    context: *mut Context,
    call: &'a Call,
    /// Which argument is the environment.
    index: usize,
    /// Strings in the program's environment.
    strings: usize,
    /// Bytes of the program's own `LD_PRELOAD`.
    own: usize,
}

/// The program executes another one, which gets the library as well.
///
/// # Safety
///
/// As for [`make`](crate::making::make).
pub unsafe fn execute(context: *mut Context, call: &Call) -> i64 {
    let index = if call.nr == EXECVE { 2 } else { 3 };
    let Some((strings, own)) = measure(call.args[index]) else {
        // What is wrong with it the kernel says.
        // SAFETY: By the caller's promise.
        return unsafe { leave(context, call) };
    };
    if strings > MOST_STRINGS {
        count::ended(call, Way::Native, -TOO_BIG, 0);
        return -TOO_BIG;
    }
    let mut execution = Execution {
        context,
        call,
        index,
        strings,
        own,
    };
    let bytes = (strings + 3) * size_of::<u64>() + STRINGS + own;
    // SAFETY: The function gets what it takes.
    unsafe { text::with_stack(bytes, execute_with, (&raw mut execution).cast()) }
}

/// The number of strings of an environment, and the length of the program's own `LD_PRELOAD`.
fn measure(environment: u64) -> Option<(usize, usize)> {
    let mut own = 0;
    let mut strings = 0;
    if environment == 0 {
        return Some((0, 0));
    }
    loop {
        let at = sys::read::<u64>(environment.checked_add(8 * strings as u64)?)?;
        if at == 0 {
            return Some((strings, own));
        }
        if starts_with(at, PRELOAD) {
            own = own.max(length(at)?);
        }
        strings += 1;
    }
}

/// Whether the string at this address is that variable's.
fn starts_with(at: u64, name: &[u8]) -> bool {
    let mut head = [0; 16];
    let len = name.len() + 1;
    sys::read_memory(at, &mut head[..len]) == len && value_of(&head[..len], name).is_some()
}

/// The length of the string at this address.
fn length(at: u64) -> Option<usize> {
    let mut len = 0;
    loop {
        let mut byte = [0];
        if sys::read_memory(at.checked_add(len)?, &mut byte) == 0 {
            return None;
        }
        if byte[0] == 0 {
            return usize::try_from(len).ok();
        }
        len += 1;
    }
}

/// Puts the environment together and executes the program.
///
/// # Safety
///
/// `execution` is an [`Execution`], and `memory` has as many bytes as that needs.
unsafe extern "C" fn execute_with(execution: *mut u8, memory: *mut u8) -> i64 {
    // SAFETY: By the caller's promise, in the whole function.
    unsafe {
        let execution = &*execution.cast::<Execution<'_>>();
        let pointers = memory.cast::<u64>();
        let strings = memory.add((execution.strings + 3) * size_of::<u64>());
        let mut text = Text {
            bytes: core::slice::from_raw_parts_mut(strings, STRINGS + execution.own),
            len: 0,
        };
        let environment = execution.call.args[execution.index];
        let mut count = 0;
        let mut put = |address: u64| {
            pointers.add(count).write(address);
            count += 1;
        };
        let preload = sys::address(strings);
        text.add(PRELOAD);
        text.add(b"=");
        text.add_library();
        for index in 0..execution.strings {
            let Some(at) = sys::read::<u64>(environment + 8 * index as u64) else {
                break;
            };
            if starts_with(at, VARIABLE) {
                continue;
            }
            if !starts_with(at, PRELOAD) {
                put(at);
                continue;
            }
            let own = at + PRELOAD.len() as u64 + 1;
            let len = length(own).unwrap_or(0);
            let start = text.len + 1;
            if let Some(place) = text.bytes.get_mut(start..start + len) {
                if len > 0 && sys::read_memory(own, place) == len {
                    text.bytes[start - 1] = b':';
                    text.len = start + len;
                }
            }
        }
        text.add(b"\0");
        put(preload);
        put(preload + text.len as u64);
        put(0);
        text.add(VARIABLE);
        text.add(b"=");
        let [library, counters, trace] = descriptors::placed();
        text.add_number(library);
        text.add(b",");
        text.add_number(counters);
        text.add(b",");
        text.add_number(trace);
        text.add(b"\0");
        let mut call = *execution.call;
        call.args[execution.index] = sys::address(pointers);
        leave(execution.context, &call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_part_of_the_variable_is_what_follows_ours() {
        assert_eq!(own_part(b"/proc/self/fd/1024"), Some(&b""[..]));
        assert_eq!(own_part(b"/proc/self/fd/1024:a.so"), Some(&b"a.so"[..]));
        assert_eq!(
            own_part(b"/proc/self/fd/7 a.so:b.so"),
            Some(&b"a.so:b.so"[..])
        );
        assert_eq!(own_part(b"a.so"), None);
        assert_eq!(value_of(b"LD_PRELOAD=x", PRELOAD), Some(&b"x"[..]));
        assert_eq!(value_of(b"LD_PRELOADS=x", PRELOAD), None);
    }

    #[test]
    fn text_that_does_not_fit_is_left_out() {
        let mut bytes = [0; 12];
        let mut text = Text {
            bytes: &mut bytes,
            len: 0,
        };
        text.add_number(1024);
        text.add(b",");
        text.add_number(-1);
        text.add(b",");
        text.add_number(0);
        text.add(b"too much");
        assert_eq!(text.len, 9);
        assert_eq!(&bytes[..9], b"1024,-1,0");
    }
}
