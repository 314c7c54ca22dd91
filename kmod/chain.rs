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
/// the number of that call's slot; loads, where it is an address; and what lies in the message's
/// area, where it is an offset in there, below its length where it is an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u32);

/// Where one argument comes from, if it is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the result of an earlier call of the chain.
    Result,
    /// It is read from memory, this many bytes.
    Load(u32),
    /// The same, from the area.
    LoadArea(u32),
    /// It is the address of a place in the area.
    Data,
    /// It is the address of an output in the area.
    Out,
}

impl Sources {
    const RESULT: u32 = 1;
    /// Loads of 1, 2, 4 and 8 bytes.
    const LOAD_1: u32 = 2;
    const LOAD_8: u32 = Self::LOAD_1 + 3;
    const LOAD_AREA_1: u32 = 6;
    const LOAD_AREA_8: u32 = Self::LOAD_AREA_1 + 3;
    const DATA: u32 = 10;
    const OUT: u32 = 11;

    /// Whether every argument is a value.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Says where argument `arg` comes from.
    pub fn set(&mut self, arg: usize, source: Source) {
        let code = match source {
            Source::Result => Self::RESULT,
            Source::Load(width) => Self::LOAD_1 + width.trailing_zeros(),
            Source::LoadArea(width) => Self::LOAD_AREA_1 + width.trailing_zeros(),
            Source::Data => Self::DATA,
            Source::Out => Self::OUT,
        };
        self.0 |= code << (arg as u32 * ARG_KIND_BITS);
    }

    /// The arguments that are no values.
    pub fn iter(self) -> impl Iterator<Item = (usize, Source)> {
        (0..6).filter_map(move |arg| {
            let source = match parse::arg_kind(self.0, arg) {
                Self::RESULT => Source::Result,
                load @ Self::LOAD_1..=Self::LOAD_8 => Source::Load(1 << (load - Self::LOAD_1)),
                load @ Self::LOAD_AREA_1..=Self::LOAD_AREA_8 => {
                    Source::LoadArea(1 << (load - Self::LOAD_AREA_1))
                }
                Self::DATA => Source::Data,
                Self::OUT => Source::Out,
                _ => return None,
            };
            Some((arg, source))
        })
    }

    /// Those that the worker is to look for, once the results are known.
    #[must_use]
    pub fn loads(self) -> Self {
        self.only(|source| source != Source::Result)
    }

    /// The outputs in the area.
    #[must_use]
    pub fn outputs(self) -> Self {
        self.only(|source| source == Source::Out)
    }

    fn only(self, which: impl Fn(Source) -> bool) -> Self {
        let mut some = Self::default();
        for (arg, source) in self.iter() {
            if which(source) {
                some.set(arg, source);
            }
        }
        some
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
    /// To a place in the message's area.
    Data,
    /// To an output there.
    Out,
}

impl Reference {
    /// Takes an argument of a call apart that [`Submit`](parse::Submit) has checked.
    pub fn of(arg_kinds: u32, arg: usize, value: u64) -> Self {
        let kind = parse::arg_kind(arg_kinds, arg);
        if kind == ArgKind::Result as u32 {
            Self::Result(value as usize)
        } else if kind == ArgKind::Load as u32 {
            Self::Load(Load::of(value))
        } else if kind == ArgKind::Data as u32 {
            Self::Data
        } else if kind == ArgKind::Out as u32 {
            Self::Out
        } else {
            Self::Value
        }
    }
}

/// The argument of a call that holds the address of its output, or the place in the area.
pub fn output(arg_kinds: u32) -> Option<usize> {
    (0..6).find(|arg| {
        let kind = parse::arg_kind(arg_kinds, *arg);
        kind == ArgKind::OutPtr as u32 || kind == ArgKind::Out as u32
    })
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
            (3, Source::Out),
            (4, Source::LoadArea(8)),
            (5, Source::Data),
        ];
        let mut sources = Sources::default();
        assert!(sources.is_empty());
        for (arg, source) in all {
            sources.set(arg, source);
        }
        assert_eq!(sources.iter().collect::<Vec<_>>(), all);
        let loads: Vec<_> = sources.loads().iter().collect();
        assert_eq!(loads, [all[0], all[2], all[3], all[4], all[5]]);
        assert_eq!(sources.outputs().iter().collect::<Vec<_>>(), [all[3]]);
        for width in [1, 2, 4, 8] {
            for source in [Source::Load(width), Source::LoadArea(width)] {
                let mut sources = Sources::default();
                sources.set(5, source);
                assert_eq!(sources.iter().collect::<Vec<_>>(), [(5, source)]);
            }
        }
    }

    #[test]
    fn the_output_is_found() {
        assert_eq!(output(0), None);
        assert_eq!(output(5), Some(0));
        assert_eq!(output(5 << 20 | 3), Some(5));
        assert_eq!(output(2 << 4 | 1), Some(1));
    }
}
