// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a call cannot be made.

use crate::layout::{
    EncodeError,
    NameError, //
};
use crate::signature::Signature;
use crate::syntax::SyntaxError;

/// Why a call cannot be made as it was written.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// No system call has this name.
    #[error("unknown system call `{name}`{}", did_you_mean(.near))]
    UnknownCall {
        /// The name.
        name: String,
        /// Names that resemble it.
        near: Vec<&'static str>,
    },
    /// Too few or too many arguments.
    #[error("{} takes {}, not {given}\n  {signature}", signature.name, count(signature))]
    Count {
        /// What it takes.
        signature: &'static Signature,
        /// How many were given.
        given: usize,
    },
    /// An argument that was not understood.
    #[error("{}: argument {}, `{text}`: {why}\n  {signature}", signature.name, index + 1)]
    Argument {
        /// What the call takes.
        signature: &'static Signature,
        /// Index of the argument.
        index: usize,
        /// The argument as it was written.
        text: String,
        /// Why it was not understood.
        why: ArgumentError,
    },
    /// The arguments take more memory than a call in another process may have.
    #[error("{name}: its {what} has {bytes} bytes; in another process it may have {limit}")]
    TooLarge {
        /// The call.
        name: String,
        /// What is too large.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
}

/// Why an argument was not understood.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// It is not in the syntax of arguments.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// It is not what the parameter takes.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It has a name that is not known.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is not what the parameter takes.
    #[error("{0} is expected")]
    Expected(&'static str),
    /// `@` for a parameter that does not say how large its buffer is.
    #[error("say how many bytes: @N")]
    SizeNeeded,
    /// How much of the memory the call uses in another process is known only when it starts.
    #[error(
        "how much of it the call uses must be known before, in another process: give a number"
    )]
    Unbounded,
    /// No such signal.
    #[error("unknown signal")]
    Signal,
    /// The call may reach beyond the memory of the argument, into other memory of the process that
    /// it is made in.
    #[error("it has {has} bytes, and the call may use {needs}")]
    TooSmall {
        /// Bytes that it has.
        has: u64,
        /// Bytes that the call may read or write.
        needs: u64,
    },
}

fn did_you_mean(near: &[&'static str]) -> String {
    match near {
        [] => "; `nlcall list` shows those that there are".to_owned(),
        _ => format!("; near: {}", near.join(", ")),
    }
}

fn count(signature: &Signature) -> String {
    let (required, all) = (signature.required(), signature.parameters.len());
    match (required, all) {
        (_, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        _ if required == all => format!("{all} arguments"),
        _ => format!("{required} to {all} arguments"),
    }
}
