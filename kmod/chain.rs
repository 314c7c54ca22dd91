// SPDX-License-Identifier: GPL-2.0-only

//! What joins the calls of a chain: links, and arguments that come from earlier calls.

use crate::{
    parse::{
        self,
        Load, //
    },
    wire::{
        flag,
        ArgKind,
        ARG_KIND_BITS, //
    },
};

/// Flags that join a call to the next one.
pub const LINKS: u32 = flag::LINK | flag::HARDLINK;

/// Where the arguments of an accepted call come from: four bits for each, the first in the lowest.
///
/// Besides values, which need no look, there are results of earlier calls, where the argument is
/// the number of that call's slot, and loads, where it is an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u32);

/// Where one argument comes from, if it is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the result of an earlier call of the chain.
    Result,
    /// It is read from memory, this many bytes.
    Load(u32),
}

impl Sources {
    const RESULT: u32 = 1;
    const LOAD_1: u32 = 2;

    /// Whether every argument is a value.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Says where argument `arg` comes from.
    pub fn set(&mut self, arg: usize, source: Source) {
        let code = match source {
            Source::Result => Self::RESULT,
            Source::Load(width) => Self::LOAD_1 + width.trailing_zeros(),
        };
        self.0 |= code << (arg as u32 * ARG_KIND_BITS);
    }

    /// The arguments that are no values.
    pub fn iter(self) -> impl Iterator<Item = (usize, Source)> {
        (0..6).filter_map(move |arg| {
            let source = match parse::arg_kind(self.0, arg) {
                0 => return None,
                Self::RESULT => Source::Result,
                load => Source::Load(1 << (load - Self::LOAD_1)),
            };
            Some((arg, source))
        })
    }

    /// Those that are still to be read from memory, once the results are known.
    #[must_use]
    pub fn loads(self) -> Self {
        let mut loads = Self::default();
        for (arg, source) in self.iter() {
            if source != Source::Result {
                loads.set(arg, source);
            }
        }
        loads
    }
}

/// What an argument on the wire refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// To nothing.
    Value,
    /// The result of the call at this place of the message.
    Result(usize),
    /// A field of the output of a call of the message.
    Load(Load),
}

impl Reference {
    /// Takes an argument of a call apart that [`Submit`](parse::Submit) has checked.
    pub fn of(arg_kinds: u32, arg: usize, value: u64) -> Self {
        let kind = parse::arg_kind(arg_kinds, arg);
        if kind == ArgKind::Result as u32 {
            Self::Result(value as usize)
        } else if kind == ArgKind::Load as u32 {
            Self::Load(Load::of(value))
        } else {
            Self::Value
        }
    }
}

/// The argument of a call that holds the address of its output.
pub fn output(arg_kinds: u32) -> Option<usize> {
    (0..6).find(|arg| parse::arg_kind(arg_kinds, *arg) == ArgKind::OutPtr as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_back_as_they_were_set() {
        let all = [
            (0, Source::Load(1)),
            (1, Source::Result),
            (2, Source::Load(2)),
            (4, Source::Load(8)),
            (5, Source::Load(4)),
        ];
        let mut sources = Sources::default();
        assert!(sources.is_empty());
        for (arg, source) in all {
            sources.set(arg, source);
        }
        assert_eq!(sources.iter().collect::<Vec<_>>(), all);
        let loads: Vec<_> = sources.loads().iter().collect();
        assert_eq!(loads, [all[0], all[2], all[3], all[4]]);
    }

    #[test]
    fn the_output_is_found() {
        assert_eq!(output(0), None);
        assert_eq!(output(5), Some(0));
        assert_eq!(output(5 << 20 | 3), Some(5));
    }
}
