// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that belong together: what their lines say of each other, and the batch that they make.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use nlcall::raw::{
    Arg,
    Batch,
    Call,
    Chain,
    Data,
    Step, //
};
use nlcall_abi::REACH;

use super::input::{
    Field,
    Item,
    Reference, //
};
use crate::image::Memory;
use crate::invocation::{
    memory,
    Elsewhere,
    Here,
    Invocation,
    InvocationError, //
};
use crate::kernel::Reply;

/// All calls, and how they are joined.
#[derive(Debug)]
pub struct Plan {
    items: Vec<Item>,
    /// Which of them are a chain; those that are joined to none are one of their own.
    chains: Vec<Range<usize>>,
    /// For each argument that comes from another call the index of that, in the order of the calls
    /// and of the arguments.
    sources: Vec<Vec<Source>>,
}

/// Where an argument comes from.
#[derive(Clone, Copy, Debug)]
struct Source {
    argument: usize,
    /// Index of the call.
    of: usize,
    field: Option<Field>,
}

/// What is wrong, and on which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The memory of the calls, where they are made.
#[derive(Debug)]
pub enum Placed<'a> {
    /// In this process.
    Here(Vec<Here>),
    /// In another one.
    Elsewhere(Vec<Elsewhere<'a>>),
}

impl Plan {
    /// Reads lines of JSON. Empty ones are passed over.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let mut items = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if !text.trim().is_empty() {
                items.push(Item::read(text, line).map_err(|why| Wrong { line, why })?);
            }
        }
        Self::new(items)
    }

    fn new(items: Vec<Item>) -> Result<Self, Wrong> {
        let chains = chains(&items)?;
        let mut by_id = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(first) = by_id.insert(item.id.to_string(), index) {
                let first = items[first].line;
                let why = format!("the id {} is that of line {first}", item.id);
                return Err(Wrong {
                    line: item.line,
                    why,
                });
            }
        }
        let mut sources = Vec::new();
        for chain in &chains {
            for index in chain.clone() {
                let of_call = items[index].references.iter().map(|(argument, reference)| {
                    let of = find(&items, &by_id, chain.start, index, reference)?;
                    Ok(Source {
                        argument: *argument,
                        of,
                        field: reference.field,
                    })
                });
                let of_call = of_call.collect::<Result<Vec<_>, String>>();
                sources.push(of_call.map_err(|why| Wrong {
                    line: items[index].line,
                    why: format!("{}: {why}", items[index].invocation.name()),
                })?);
            }
        }
        Ok(Self {
            items,
            chains,
            sources,
        })
    }

    /// The calls, in the order of their lines.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The batch for this process, whose memory the arguments are placed in.
    ///
    /// # Safety
    ///
    /// As for [`Call::new`], for all that is not that memory.
    pub unsafe fn here(&self) -> io::Result<(Batch, Placed<'_>)> {
        let here = self.items.iter().map(|item| item.invocation.here());
        let here = here.collect::<io::Result<Vec<_>>>()?;
        let mut args: Vec<Vec<_>> = here
            .iter()
            .map(|here| here.registers().into_iter().map(Arg::Value).collect())
            .collect();
        let loaded = self.sources.iter().flatten();
        for of in loaded.filter_map(|source| source.field.map(|_| source.of)) {
            // Its only output.
            for argument in self.items[of].invocation.outputs() {
                args[of][argument] = Arg::OutPtr(here[of].registers()[argument]);
            }
        }
        // SAFETY: The memory that the arguments were given is never unmapped; the caller promises
        // the rest.
        let batch = unsafe { self.batch(args) };
        Ok((batch, Placed::Here(here)))
    }

    /// The batch for another process, with the data that it takes along.
    ///
    /// # Safety
    ///
    /// As for [`Call::new`], for all that is not in that data.
    pub unsafe fn elsewhere(&self) -> Result<(Batch, Placed<'_>), Wrong> {
        let mut data = Data::new();
        let mut places = Vec::new();
        for item in &self.items {
            let wrong = |why: String| Wrong {
                line: item.line,
                why,
            };
            if item.is_inline() {
                let why = "no call of another process is `inline`: leave it away";
                return Err(wrong(why.to_owned()));
            }
            let place = item.invocation.elsewhere(&mut data);
            places.push(place.map_err(|error: InvocationError| wrong(error.to_string()))?);
        }
        let args = places.iter().map(|place| place.args().to_vec()).collect();
        // SAFETY: Addresses that come from the data are valid; the caller promises the rest.
        let mut batch = unsafe { self.batch(args) };
        if !data.is_empty() {
            batch.data(data);
        }
        Ok((batch, Placed::Elsewhere(places)))
    }

    /// The calls with these arguments, and with those that come from others.
    ///
    /// # Safety
    ///
    /// As for [`Call::new`].
    unsafe fn batch(&self, mut args: Vec<Vec<Arg>>) -> Batch {
        let mut batch = Batch::with_capacity(self.items.len());
        for range in &self.chains {
            let mut chain = Chain::new();
            let mut steps: Vec<Step> = Vec::new();
            for index in range.clone() {
                let args = &mut args[index];
                for source in &self.sources[index] {
                    let of = steps[source.of - range.start];
                    args[source.argument] = match source.field {
                        None => of.result(),
                        Some(Field { offset, width }) => Arg::Load { of, offset, width },
                    };
                }
                let item = &self.items[index];
                // SAFETY: The caller promises it.
                let call = unsafe { Call::with_args(item.invocation.nr(), args) }
                    .flags(item.flags)
                    .timeout(item.timeout)
                    .user_data(index as u64);
                steps.push(chain.push(call));
            }
            batch.push_chain(&chain);
        }
        batch
    }
}

impl Placed<'_> {
    /// Shows a call with the memory that it left.
    pub fn with_memory<T>(
        &self,
        index: usize,
        reply: &Reply,
        output: &[u8],
        show: impl FnOnce(&[Option<&dyn Memory>]) -> T,
    ) -> T {
        match self {
            Placed::Here(here) => show(&here[index].memory()),
            Placed::Elsewhere(places) => {
                let ran = reply.outcome == nlcall::raw::Outcome::Ran;
                let after = places[index].after(ran, output);
                show(&memory(&after))
            }
        }
    }
}

/// Which calls are joined.
fn chains(items: &[Item]) -> Result<Vec<Range<usize>>, Wrong> {
    let mut chains = Vec::new();
    let mut start = 0;
    for (index, item) in items.iter().enumerate() {
        let wrong = |why: &str| Wrong {
            line: item.line,
            why: format!("{}: {why}", item.invocation.name()),
        };
        if item.is_inline() != items[start].is_inline() {
            return Err(wrong("a chain is wholly `inline` or not at all"));
        }
        if !item.is_joined() {
            chains.push(start..index + 1);
            start = index + 1;
        } else if index + 1 == items.len() {
            return Err(wrong("it is linked to the next call, and there is none"));
        }
    }
    Ok(chains)
}

/// The call that an argument comes from.
fn find(
    items: &[Item],
    by_id: &HashMap<String, usize>,
    start: usize,
    index: usize,
    reference: &Reference,
) -> Result<usize, String> {
    let id = &reference.of;
    let of = *by_id
        .get(&id.to_string())
        .ok_or_else(|| format!("no call has the id {id}"))?;
    if !(start..index).contains(&of) {
        return Err(format!(
            "{id} is no earlier call of its chain: `link` or `hardlink` joins a call to the next"
        ));
    }
    if index - of > REACH {
        return Err(format!("{id} is more than {REACH} calls back"));
    }
    let outputs = |invocation: &Invocation| invocation.outputs().len();
    match (reference.field, outputs(&items[of].invocation)) {
        (None, _) | (Some(_), 1) => Ok(of),
        (Some(_), count) => Err(format!(
            "{id} has {count} buffers that it writes, and one is loaded from"
        )),
    }
}
