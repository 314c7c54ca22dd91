// SPDX-License-Identifier: MIT OR Apache-2.0

//! One system call as somebody wrote it: arguments become registers and memory before the call,
//! and a line like strace's after it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nlcall::raw::{
    Arg,
    Data,
    Outcome, //
};
use nlcall::Errno;
use nlcall_abi::syscalls;

use crate::image::{
    Block,
    Local,
    Memory,
    Remote, //
};
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
    parse,
    Value, //
};

mod argument;
mod error;
#[cfg(test)]
mod tests;
mod vectors;

use argument::Argument;
pub(crate) use argument::{
    show_number,
    show_pointer, //
};
pub use error::{
    ArgumentError,
    InvocationError, //
};

/// A system call with its arguments.
#[derive(Debug)]
pub struct Invocation {
    name: String,
    nr: u32,
    signature: &'static Signature,
    texts: Vec<OsString>,
    arguments: Vec<Argument>,
}

/// An argument as it was written, and what it was understood to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// As it was written.
    pub text: OsString,
    /// What it is.
    pub value: Value,
}

/// Arguments of a call in this process, whose memory is never unmapped.
#[derive(Debug)]
pub struct Here {
    registers: [u64; 6],
    memory: Vec<Option<Local>>,
}

impl Here {
    /// The arguments as the kernel gets them.
    pub fn registers(&self) -> [u64; 6] {
        self.registers
    }

    /// The memory of each argument, as the call left it.
    pub fn memory(&self) -> Vec<Option<&dyn Memory>> {
        let memory = self.memory.iter().map(Option::as_ref);
        memory
            .map(|memory| memory.map(|memory| memory as &dyn Memory))
            .collect()
    }
}

/// Arguments of a call in another process.
#[derive(Debug)]
pub struct Elsewhere<'a> {
    invocation: &'a Invocation,
    args: Vec<Arg>,
    places: Vec<Option<Remote>>,
}

impl Elsewhere<'_> {
    /// The arguments as the library takes them.
    pub fn args(&self) -> &[Arg] {
        &self.args
    }

    /// The memory of each argument as the call left it, of which this came back. Where it ended
    /// without running, nothing did, and the memory is as it was.
    pub fn after(&self, ran: bool, mut output: &[u8]) -> Vec<Option<Block>> {
        let arguments = self.invocation.arguments.iter().zip(&self.places);
        arguments
            .map(|(argument, place)| {
                let (block, place) = (argument.block.as_ref()?, place.as_ref()?);
                if !ran || !argument.is_output() {
                    return Some(block.clone());
                }
                let length = (place.span().len() as usize).min(output.len());
                let (own, others) = output.split_at(length);
                output = others;
                Some(place.after(block, own))
            })
            .collect()
    }
}

/// Borrows memory for [`Invocation::show`].
pub fn memory(blocks: &[Option<Block>]) -> Vec<Option<&dyn Memory>> {
    let blocks = blocks.iter().map(Option::as_ref);
    blocks
        .map(|block| block.map(|block| block as &dyn Memory))
        .collect()
}

impl Invocation {
    /// Reads the arguments of the call `name`, which may also be a number.
    pub fn new(name: &str, texts: &[OsString]) -> Result<Self, InvocationError> {
        let (_, _, signature) = known(name)?;
        check_count(signature, texts.len())?;
        let given = texts.iter().enumerate().map(|(index, text)| {
            let value = parse(text.as_bytes()).map_err(|why| InvocationError::Argument {
                signature,
                index,
                text: text.to_string_lossy().into_owned(),
                why: ArgumentError::Syntax(why),
            })?;
            Ok(Given {
                text: text.clone(),
                value,
            })
        });
        Self::of(name, given.collect::<Result<Vec<_>, _>>()?)
    }

    /// The call `name` with arguments that have been read.
    pub fn of(name: &str, given: Vec<Given>) -> Result<Self, InvocationError> {
        let (name, nr, signature) = known(name)?;
        check_count(signature, given.len())?;
        let (texts, values): (Vec<_>, Vec<_>) =
            given.into_iter().map(|it| (it.text, it.value)).unzip();
        let failed = |index: usize, why| InvocationError::Argument {
            signature,
            index,
            text: texts[index].to_string_lossy().into_owned(),
            why,
        };
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
            texts,
            arguments,
        })
    }

    /// Which arguments point to memory that the call may write to.
    pub fn outputs(&self) -> Vec<usize> {
        let arguments = self.arguments.iter().enumerate();
        let outputs = arguments.filter(|(_, argument)| argument.is_output());
        outputs.map(|(index, _)| index).collect()
    }

    /// The system call's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The system call's number.
    pub fn nr(&self) -> u32 {
        self.nr
    }

    /// The arguments for a call in this process, with their memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where there is no room for it.
    pub fn here(&self) -> io::Result<Here> {
        let memory = self.arguments.iter().map(|argument| {
            let block = argument.block.as_ref();
            block.map(Local::new).transpose()
        });
        let memory = memory.collect::<io::Result<Vec<_>>>()?;
        let mut registers = self.values();
        for (register, memory) in registers.iter_mut().zip(&memory) {
            if let Some(memory) = memory {
                *register = memory.address();
            }
        }
        Ok(Here { registers, memory })
    }

    /// The arguments for a call in another process, for which memory is added to the data that goes
    /// along.
    ///
    /// # Errors
    ///
    /// Memory is not separated there as it is here: where it is known that the call may reach beyond
    /// that of an argument, it is an error. So is more memory than a message may bring.
    pub fn elsewhere(&self, data: &mut Data) -> Result<Elsewhere<'_>, InvocationError> {
        let mut known = self.values().map(Some);
        for (value, argument) in known.iter_mut().zip(&self.arguments) {
            *value = value.filter(|_| !argument.is_later());
        }
        for (index, argument) in self.arguments.iter().enumerate() {
            argument
                .check_size(&known)
                .map_err(|why| InvocationError::Argument {
                    signature: self.signature,
                    index,
                    text: self.texts[index].to_string_lossy().into_owned(),
                    why,
                })?;
        }
        let footprints = self.arguments.iter().map(|argument| {
            let block = argument.block.as_ref();
            block.map_or(0, Block::footprint)
        });
        let bytes = footprints.fold(data.len(), usize::saturating_add);
        self.check_memory("memory", bytes, Data::MAX_LEN)?;

        let mut args = Vec::new();
        let mut places = Vec::new();
        for argument in &self.arguments {
            let block = argument.block.as_ref();
            let place = block.map(|block| Remote::new(block, data));
            args.push(match &place {
                None => Arg::Value(argument.register),
                Some(place) if argument.is_output() => place.span().output(),
                Some(place) => place.span().address(),
            });
            places.push(place);
        }
        let outputs = args.iter().map(|arg| match arg {
            Arg::Out { len, .. } => *len as usize,
            _ => 0,
        });
        self.check_memory("output", outputs.sum(), Data::MAX_OUTPUT)?;
        Ok(Elsewhere {
            invocation: self,
            args,
            places,
        })
    }

    fn check_memory(
        &self,
        what: &'static str,
        bytes: usize,
        limit: usize,
    ) -> Result<(), InvocationError> {
        match bytes > limit {
            false => Ok(()),
            true => Err(InvocationError::TooLarge {
                name: self.name.clone(),
                what,
                bytes,
                limit,
            }),
        }
    }

    /// The registers, without those that point to memory of the call.
    fn values(&self) -> [u64; 6] {
        let mut registers = [0; 6];
        for (register, argument) in registers.iter_mut().zip(&self.arguments) {
            *register = argument.register;
        }
        registers
    }

    /// The arguments as strace prints them; `memory` is what the call left of theirs.
    pub fn show_arguments(
        &self,
        reply: &Reply,
        memory: &[Option<&dyn Memory>],
        detail: Detail,
    ) -> Vec<String> {
        let registers = self.values();
        let written = match reply.outcome {
            Outcome::Ran => u64::try_from(reply.ret).ok(),
            _ => None,
        };
        let arguments = self.arguments.iter().zip(&self.texts).zip(memory);
        arguments
            .map(|((argument, text), memory)| match argument.is_later() {
                // What it came to be is not known here.
                true => text.to_string_lossy().into_owned(),
                false => argument.show(&registers, *memory, written, detail),
            })
            .collect()
    }

    /// The call and its result, as strace prints them.
    pub fn show(&self, reply: &Reply, memory: &[Option<&dyn Memory>], detail: Detail) -> String {
        let arguments = self.show_arguments(reply, memory, detail).join(", ");
        format!("{}({arguments}) = {}", self.name(), self.show_result(reply))
    }

    /// The result, as strace prints it.
    pub fn show_result(&self, reply: &Reply) -> String {
        show_result(self.signature.returns, reply)
    }
}

/// A result of this kind, as strace prints it.
pub fn show_result(returns: Returns, reply: &Reply) -> String {
    let errno = errno(reply);
    let why = || errno.map_or_else(|| reply.ret.to_string(), |errno| errno.to_string());
    match (reply.outcome, errno) {
        (Outcome::Ran, Some(errno)) => format!("-1 {errno}"),
        (Outcome::Ran, None) => match returns {
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

/// The call of this name or number.
fn known(name: &str) -> Result<(String, u32, &'static Signature), InvocationError> {
    find(name).ok_or_else(|| InvocationError::UnknownCall {
        name: name.to_owned(),
        near: near(name),
    })
}

fn check_count(signature: &'static Signature, given: usize) -> Result<(), InvocationError> {
    match (signature.required()..=signature.parameters.len()).contains(&given) {
        true => Ok(()),
        false => Err(InvocationError::Count { signature, given }),
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
