// SPDX-License-Identifier: MIT OR Apache-2.0

//! One system call as somebody wrote it: arguments become registers and memory before the call,
//! and a line like strace's after it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nlcall::raw::Outcome;
use nlcall::Errno;
use nlcall_abi::syscalls;

use crate::kernel::Reply;
use crate::layout::{
    octal,
    Detail, //
};
use crate::signature::{
    near,
    Returns,
    Signature, //
};
use crate::syntax::{
    number,
    parse, //
};

mod argument;
mod error;
#[cfg(test)]
mod tests;

use argument::Argument;
pub use error::{
    ArgumentError,
    InvocationError, //
};

/// A system call with its arguments, ready to be made.
#[derive(Debug)]
pub struct Invocation {
    name: String,
    nr: u32,
    signature: &'static Signature,
    arguments: Vec<Argument>,
}

impl Invocation {
    /// Reads the arguments of the call `name`, which may also be a number.
    pub fn new(name: &str, texts: &[OsString]) -> Result<Self, InvocationError> {
        let (name, nr, signature) = find(name).ok_or_else(|| InvocationError::UnknownCall {
            name: name.to_owned(),
            near: near(name),
        })?;
        let given = texts.len();
        if !(signature.required()..=signature.parameters.len()).contains(&given) {
            return Err(InvocationError::Count { signature, given });
        }
        let failed = |index: usize, why| InvocationError::Argument {
            signature,
            index,
            text: texts[index].to_string_lossy().into_owned(),
            why,
        };
        let values = texts.iter().enumerate().map(|(index, text)| {
            parse(text.as_bytes()).map_err(|why| failed(index, ArgumentError::Syntax(why)))
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let arguments = signature.parameters.iter().zip(&values).enumerate().map(
            |(index, (parameter, value))| {
                Argument::new(parameter, value, &values).map_err(|why| failed(index, why))
            },
        );
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name,
            nr,
            signature,
            arguments,
        })
    }

    /// The system call's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The system call's number.
    pub fn nr(&self) -> u32 {
        self.nr
    }

    /// The arguments as the kernel gets them.
    pub fn registers(&self) -> [u64; 6] {
        let mut registers = [0; 6];
        for (register, argument) in registers.iter_mut().zip(&self.arguments) {
            *register = argument.register;
        }
        registers
    }

    /// The arguments as strace prints them; memory is shown as it is after the call.
    pub fn show_arguments(&self, reply: &Reply, detail: Detail) -> Vec<String> {
        let registers = self.registers();
        let written = match reply.outcome {
            Outcome::Ran => u64::try_from(reply.ret).ok(),
            _ => None,
        };
        let show = |argument: &Argument| argument.show(&registers, written, detail);
        self.arguments.iter().map(show).collect()
    }

    /// The call and its result, as strace prints them.
    pub fn show(&self, reply: &Reply, detail: Detail) -> String {
        let arguments = self.show_arguments(reply, detail).join(", ");
        format!("{}({arguments}) = {}", self.name(), self.show_result(reply))
    }

    /// The result, as strace prints it.
    pub fn show_result(&self, reply: &Reply) -> String {
        let errno = errno(reply);
        let why = || errno.map_or_else(|| reply.ret.to_string(), |errno| errno.to_string());
        match (reply.outcome, errno) {
            (Outcome::Ran, Some(errno)) => format!("-1 {errno}"),
            (Outcome::Ran, None) => match self.signature.returns {
                Returns::Number => reply.ret.to_string(),
                // Addresses and permissions have no sign.
                Returns::Address => format!("{:#x}", reply.ret as u64),
                Returns::Mode => octal(reply.ret as u64),
            },
            (Outcome::NotStarted, _) => format!("? (not started: {})", why()),
            (Outcome::Canceled, _) => format!("? (cancelled before it started: {})", why()),
            (Outcome::TimedOut, _) => format!("? (timed out: {})", why()),
            (Outcome::Refused, _) => format!("? (refused: {})", why()),
            (Outcome::Interrupted, _) => format!("? (interrupted: {})", why()),
        }
    }
}

/// Name, number and signature of a call that is given by name or by number.
fn find(name: &str) -> Option<(String, u32, &'static Signature)> {
    let entry = match number(name.as_bytes()) {
        Some(number) => {
            let nr = u32::try_from(number.ok()?).ok()?;
            match syscalls::by_nr(nr) {
                Some(entry) => entry,
                // As strace calls it. Whether there is such a call is for the module to say.
                None => return Some((format!("syscall_{nr:#x}"), nr, Signature::of_number())),
            }
        }
        None => syscalls::by_name(name)?,
    };
    Some((entry.name.to_owned(), entry.nr, Signature::of(entry.name)?))
}

/// The error that a call ended with.
pub fn errno(reply: &Reply) -> Option<Errno> {
    match reply.ret {
        // The range of error numbers, MAX_ERRNO in include/linux/err.h.
        error @ -4095..=-1 => Some(Errno::from_raw(-(error as i32))),
        _ => None,
    }
}
