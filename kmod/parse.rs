// SPDX-License-Identifier: GPL-2.0-only

//! SUBMIT: from bytes to calls.
//!
//! A message is looked at once, where it lies. Most calls use nothing but a number and arguments:
//! one test tells them from the rest, and what a rejection costs is paid by who is rejected.

use core::{
    mem::size_of,
    num::NonZeroUsize, //
};
use zerocopy::FromBytes;

use crate::{
    policy,
    reject::{
        reject,
        Rejection, //
    },
    wire::{
        flag,
        submit,
        ArgKind,
        Call,
        Reloc,
        Verdict,
        ARG_KIND_BITS,
        MAX_AREA,
        MAX_OUTPUT,
        REACH, //
    },
};

/// `NLA_HDRLEN` and `NLA_ALIGNTO` of `include/uapi/linux/netlink.h`.
const HEADER: usize = 4;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, which no attribute of SUBMIT may have.
const ATTR_FLAGS: u16 = 0xc000;

/// Largest accepted CALL_SIZE; a call of a later version is not larger than a page.
const MAX_CALL_SIZE: usize = 4096;

/// Size of a call as this module knows it.
const CALL: usize = size_of::<Call>();

/// Call flags that this module carries out. What is not in these three is rejected with
/// -EOPNOTSUPP.
pub const CALL_FLAGS: u32 = flag::KNOWN;
/// Argument kinds that this module carries out.
pub const ARG_KINDS: u32 = 1 << ArgKind::Value as u32
    | 1 << ArgKind::Data as u32
    | 1 << ArgKind::Out as u32
    | 1 << ArgKind::Result as u32
    | 1 << ArgKind::Load as u32
    | 1 << ArgKind::OutPtr as u32;
/// SUBMIT attributes that this module carries out.
pub const SUBMIT_ATTRS: u64 = 1 << submit::CALL_SIZE
    | 1 << submit::CALLS
    | 1 << submit::DATA
    | 1 << submit::RELOC
    | 1 << submit::TARGET_PIDFD
    | 1 << submit::RESULTS_PTR
    | 1 << submit::PAD;

/// The kind of argument `arg`, as its number on the wire.
pub const fn arg_kind(arg_kinds: u32, arg: usize) -> u32 {
    arg_kinds >> (arg as u32 * ARG_KIND_BITS) & ((1 << ARG_KIND_BITS) - 1)
}

/// `arg_kinds` of calls on a descriptor that comes from an earlier call, the most frequent ones of
/// chains: alone, and with an output.
const RESULT: u32 = ArgKind::Result as u32;
const RESULT_AND_OUT_PTR: u32 = RESULT | (ArgKind::OutPtr as u32) << ARG_KIND_BITS;

/// The lowest bit of each kind in `arg_kinds`.
const LOWEST: u32 = 0x11_1111;

const _: () = {
    // What the next three functions know.
    assert!(ARG_KIND_BITS == 4);
    assert!(ArgKind::Value as u32 == 0b000);
    assert!(ArgKind::Result as u32 == 0b011);
    assert!(ArgKind::Load as u32 == 0b100);
    assert!(ArgKind::OutPtr as u32 == 0b101);
};

/// The arguments that take their value from an earlier call: a bit each, the lowest of its kind.
/// Every kind is one of a chain.
#[inline]
pub const fn references(arg_kinds: u32) -> u32 {
    (arg_kinds >> 1 | arg_kinds >> 2 & !arg_kinds) & LOWEST
}

/// The arguments that are an output, likewise.
#[inline]
pub const fn outputs(arg_kinds: u32) -> u32 {
    arg_kinds >> 2 & arg_kinds & LOWEST
}

/// Whether each kind is one that chains are made of.
#[inline(always)]
const fn are_of_chains(arg_kinds: u32) -> bool {
    let (bit0, bit1, bit2) = (arg_kinds, arg_kinds >> 1, arg_kinds >> 2);
    // With bit 2, bit 1 is not set; without it, the lower two are the same.
    let is_none = bit0 & bit2 ^ bit0 ^ bit1;
    is_none & LOWEST | arg_kinds & !(LOWEST * 0b111) == 0
}

/// A LOAD argument, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The call whose output it reads, by its place in the message.
    pub call: usize,
    /// Bytes to read.
    pub width: u32,
    /// Where in the output they lie.
    pub offset: u32,
}

impl Load {
    /// Takes the value of an argument of kind [`ArgKind::Load`] apart.
    pub const fn of(arg: u64) -> Self {
        Self {
            call: (arg & 0xff_ffff) as usize,
            width: (arg >> 24 & 0xff) as u32,
            offset: (arg >> 32) as u32,
        }
    }
}

/// An output area: where in the message's area it lies, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Where it begins.
    pub offset: u32,
    /// Its length.
    pub len: u32,
}

impl Output {
    /// Takes the value of an argument of kind [`ArgKind::Out`] apart.
    pub const fn of(arg: u64) -> Self {
        Self {
            offset: arg as u32,
            len: (arg >> 32) as u32,
        }
    }

    /// Where it ends.
    pub const fn end(self) -> u64 {
        self.offset as u64 + self.len as u64
    }
}

/// One attribute: where it starts, its type, its payload.
pub struct Attr<'a> {
    at: usize,
    /// Its type.
    pub kind: u16,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Attr<'_> {
    /// Where the payload is.
    pub fn payload_at(&self) -> usize {
        self.at + HEADER
    }
}

/// The attributes of a message, in order.
#[derive(Clone)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attrs<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self::from(bytes, 0)
    }

    /// Those from this place on.
    pub fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next one is.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let &[l0, l1, k0, k1, ..] = rest else {
            return None;
        };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = rest.get(HEADER..len)?;
        self.at = at + len.next_multiple_of(HEADER);
        Some(Attr {
            at,
            kind: u16::from_ne_bytes([k0, k1]),
            payload,
        })
    }
}

/// The entries of the CALLS attributes among `attrs`, each `call_size` bytes.
fn entries(attrs: &[u8], call_size: NonZeroUsize) -> impl Iterator<Item = &[u8]> {
    Attrs::new(attrs)
        .filter(|attr| attr.kind == submit::CALLS)
        .flat_map(move |attr| attr.payload.chunks_exact(call_size.get()))
}

/// The first bytes of an entry, those that this module knows.
type Entry = [u8; CALL];

/// Whether the entry at this place, one of today's size, has an output.
#[inline(always)]
fn output_of(payload: &[u8], place: usize) -> bool {
    let entry = payload.get(place.wrapping_mul(CALL)..);
    entry
        .and_then(|entry| entry.first_chunk())
        .is_some_and(|entry| outputs(half(entry, KINDS)) != 0)
}

/// How many of the first `count` entries are INLINE.
#[cold]
fn inline_among(payload: &[u8], count: usize) -> usize {
    let entries = payload.chunks_exact(CALL).take(count);
    let entries = entries.filter_map(|entry| entry.first_chunk());
    entries
        .filter(|entry| half(entry, FLAGS) & flag::INLINE != 0)
        .count()
}

/// How many calls before `index` an argument may refer to, where its chain began at `chain`.
#[inline(always)]
fn reach(index: usize, chain: usize) -> usize {
    index.wrapping_sub(chain).min(REACH)
}

/// Whether the call `earlier` lies before `index`, by `reach` calls at most.
#[inline(always)]
fn is_within(index: usize, earlier: usize, reach: usize) -> bool {
    // From 0 for the call before; a later one is far away.
    index.wrapping_sub(earlier).wrapping_sub(1) < reach
}

/// Eight bytes of an entry.
#[inline(always)]
fn word(entry: &Entry, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&entry[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

/// Four bytes of an entry.
#[inline(always)]
fn half(entry: &Entry, at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&entry[at..at + 4]);
    u32::from_ne_bytes(bytes)
}

const NR: usize = core::mem::offset_of!(Call, nr);
const FLAGS: usize = core::mem::offset_of!(Call, flags);
const KINDS: usize = core::mem::offset_of!(Call, arg_kinds);
const RESERVED: usize = core::mem::offset_of!(Call, reserved);
const TIMEOUT: usize = core::mem::offset_of!(Call, timeout_ns);

#[inline]
fn read_call_size(attr: &Attr<'_>) -> Result<NonZeroUsize, Rejection> {
    let Ok(bytes) = attr.payload.try_into() else {
        return Err(reject!(EINVAL, at attr.at, "CALL_SIZE: not a u32"));
    };
    let size = u32::from_ne_bytes(bytes) as usize;
    match NonZeroUsize::new(size) {
        Some(size) if (CALL..=MAX_CALL_SIZE).contains(&size.get()) && size.get() % 8 == 0 => {
            Ok(size)
        }
        _ => Err(reject!(
            EINVAL,
            at attr.at,
            "CALL_SIZE: {size} is not a multiple of 8 from {CALL} to {MAX_CALL_SIZE}"
        )),
    }
}

#[inline]
fn read_results_ptr(attr: &Attr<'_>) -> Result<u64, Rejection> {
    let Ok(bytes) = attr.payload.try_into() else {
        return Err(reject!(EINVAL, at attr.at, "RESULTS_PTR: not a u64"));
    };
    let address = u64::from_ne_bytes(bytes);
    if address == 0 || address % 8 != 0 {
        return Err(reject!(
            EINVAL,
            at attr.at,
            "RESULTS_PTR: {address:#x} is not a multiple of 8 above 0"
        ));
    }
    Ok(address)
}

#[cold]
fn read_pidfd(attr: &Attr<'_>) -> Result<i32, Rejection> {
    match attr.payload.try_into() {
        Ok(bytes) => Ok(i32::from_ne_bytes(bytes)),
        Err(_) => Err(reject!(EINVAL, at attr.at, "TARGET_PIDFD: not a u32")),
    }
}

/// The name of an attribute of SUBMIT.
fn attribute(kind: u16) -> &'static str {
    match kind {
        submit::CALL_SIZE => "CALL_SIZE",
        submit::DATA => "DATA",
        submit::RELOC => "RELOC",
        submit::TARGET_PIDFD => "TARGET_PIDFD",
        submit::RESULTS_PTR => "RESULTS_PTR",
        submit::DATA_PTR => "DATA_PTR",
        submit::DATA_LEN => "DATA_LEN",
        _ => "attribute",
    }
}

/// An attribute that this module does not carry out.
#[cold]
fn unsupported(attr: &Attr<'_>) -> Rejection {
    if attr.kind & ATTR_FLAGS != 0 {
        let kind = attr.kind & !ATTR_FLAGS;
        return reject!(EINVAL, at attr.at, "attribute {kind}: neither nested nor in network order");
    }
    if attr.kind == 0 || attr.kind > submit::MAX {
        let kind = attr.kind;
        return reject!(EINVAL, at attr.at, "attribute {kind}: unknown in SUBMIT");
    }
    let name = attribute(attr.kind);
    reject!(EOPNOTSUPP, at attr.at, "{name}: not supported by this version (FEATURES_GET)")
}

/// Bytes of a message that are no attribute.
#[cold]
fn no_attribute(at: usize) -> Rejection {
    reject!(
        EINVAL,
        "no attribute at byte {at} of the message's attributes"
    )
}

#[cold]
fn twice(attr: &Attr<'_>) -> Rejection {
    reject!(EINVAL, at attr.at, "{}: given twice", attribute(attr.kind))
}

/// What there is to the calls of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Every call is INLINE, and a number and arguments: it executes everywhere, whatever these
    /// are.
    Plain,
    /// Each is that, INLINE or for a worker, and may have a place in a chain; none leaves its
    /// completion out.
    Simple,
    /// Anything.
    Any,
}

/// A SUBMIT message whose every call may be accepted.
///
/// # Invariants
///
/// Each CALLS attribute holds a whole number of entries of `call_size` bytes, `call_size` is at
/// least the size of [`Call`], and `count` entries there are in all, at least one. Each was
/// checked: its chain, what its arguments refer to, and the verdict on it.
pub struct Submit<'a> {
    attrs: &'a [u8],
    call_size: NonZeroUsize,
    count: usize,
    inline: usize,
    refers: bool,
    results_ptr: Option<u64>,
    shape: Shape,
    plain_work: bool,
    area: Option<Area>,
    target: Option<Pidfd>,
}

/// What a message says about the memory that its calls need, in bytes.
///
/// # Invariants
///
/// The DATA attributes hold `data` bytes, which is at most `len`. Every Data argument and every
/// target of a RELOC is at most `len`, every output area ends there at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Bytes of DATA.
    pub data: usize,
    /// Bytes of the whole area.
    pub len: usize,
}

/// A TARGET_PIDFD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pidfd {
    /// The descriptor.
    pub fd: i32,
    /// Where the attribute is.
    pub at: usize,
}

impl<'a> Submit<'a> {
    /// Checks the attributes of a message, given from the first attribute to the end.
    pub fn parse(attrs: &'a [u8]) -> Result<Self, Rejection> {
        let mut rest = Attrs::new(attrs);
        let mut call_size = None;
        let mut results = None;
        let mut check = Check::new();
        let mut is_late = false;
        let mut target = None;
        let mut data = None;
        for attr in rest.by_ref() {
            let is_second = match attr.kind {
                submit::CALLS => {
                    match call_size {
                        Some(size) => check.all_of(&attr, size)?,
                        None => is_late = true,
                    }
                    false
                }
                submit::CALL_SIZE => call_size.replace(read_call_size(&attr)?).is_some(),
                submit::RESULTS_PTR => results
                    .replace((read_results_ptr(&attr)?, attr.at))
                    .is_some(),
                submit::DATA | submit::RELOC => {
                    data.get_or_insert(attr.at);
                    false
                }
                submit::TARGET_PIDFD => {
                    let fd = read_pidfd(&attr)?;
                    target.replace(Pidfd { fd, at: attr.at }).is_some()
                }
                submit::PAD => false,
                _ => return Err(unsupported(&attr)),
            };
            if is_second {
                return Err(twice(&attr));
            }
        }
        if rest.position() < attrs.len() {
            return Err(no_attribute(rest.position()));
        }
        let Some(call_size) = call_size else {
            return Err(reject!(EINVAL, "CALL_SIZE: missing"));
        };
        if is_late {
            // Calls came before their size was known.
            check = Check::new();
            for attr in Attrs::new(attrs).filter(|attr| attr.kind == submit::CALLS) {
                check.all_of(&attr, call_size)?;
            }
        }
        let (refers, mut shape, places) = (check.refers, check.shape, check.places);
        let (count, inline) = check.end()?;
        let plain_work = inline == 0 && shape == Shape::Plain;
        if inline < count && shape == Shape::Plain {
            shape = Shape::Simple;
        }
        if let Some((_, at)) = results.filter(|_| inline < count) {
            return Err(reject!(
                EINVAL,
                at at,
                "RESULTS_PTR: only where every call of the message is INLINE"
            ));
        }
        if let Some(Pidfd { at, .. }) = target.filter(|_| inline > 0) {
            return Err(reject!(
                EINVAL,
                at at,
                "TARGET_PIDFD: an INLINE call executes in its sender"
            ));
        }
        let mut area = None;
        if let Some(at) = data.filter(|_| inline > 0) {
            return Err(reject!(
                EINVAL,
                at at,
                "DATA and RELOC: only where every call of the message is for a worker"
            ));
        } else if places || data.is_some() {
            area = Some(Area::check(attrs, call_size)?);
        }
        Ok(Self {
            attrs,
            call_size,
            count,
            inline,
            refers,
            results_ptr: results.map(|(address, _)| address),
            shape,
            plain_work,
            area: area.filter(|_| places),
            target,
        })
    }

    /// What the calls need of memory; none where no argument refers to it.
    pub fn area(&self) -> Option<Area> {
        self.area
    }

    /// The process that the calls execute in, where that is not the sender's.
    pub fn target(&self) -> Option<Pidfd> {
        self.target
    }

    /// The payloads of the DATA attributes, in their order.
    pub fn data(&self) -> impl Iterator<Item = &'a [u8]> {
        let all = Attrs::new(self.attrs);
        all.filter(|attr| attr.kind == submit::DATA)
            .map(|attr| attr.payload)
    }

    /// The pointers in DATA.
    pub fn relocs(&self) -> impl Iterator<Item = Reloc> + 'a {
        relocs(self.attrs).map(|(_, reloc)| reloc)
    }

    /// How many calls the message holds; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many of them are INLINE.
    pub fn inline(&self) -> usize {
        self.inline
    }

    /// How many of them are for workers.
    pub fn workers(&self) -> usize {
        self.count - self.inline
    }

    /// What there is to the calls.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether every call is for workers, and nothing but its number and arguments counts.
    pub fn is_plain_work(&self) -> bool {
        self.plain_work
    }

    /// Bytes of an entry.
    pub fn call_size(&self) -> NonZeroUsize {
        self.call_size
    }

    /// Whether an argument of a call for a worker comes from an earlier call.
    pub fn refers(&self) -> bool {
        self.refers
    }

    /// The address that the results are written to, a multiple of 8; only where every call is
    /// INLINE.
    pub fn results_ptr(&self) -> Option<u64> {
        self.results_ptr
    }

    /// The payloads of the CALLS attributes: a whole number of entries each.
    pub fn payloads(&self) -> impl Iterator<Item = &'a [u8]> {
        let all = Attrs::new(self.attrs);
        all.filter(|attr| attr.kind == submit::CALLS)
            .map(|attr| attr.payload)
    }

    /// The entries as they lie in the message, in its order: each is CALL_SIZE bytes long and
    /// begins with a [`Call`].
    pub fn entries(&self) -> impl Iterator<Item = &'a [u8]> {
        entries(self.attrs, self.call_size)
    }

    /// The calls, in the order of the message.
    pub fn calls(&self) -> impl Iterator<Item = Call> + 'a {
        self.entries()
            .filter_map(|entry| Some(Call::read_from_prefix(entry).ok()?.0))
    }
}

/// The entries of the RELOC attributes among `attrs`, each with the place of its attribute.
fn relocs(attrs: &[u8]) -> impl Iterator<Item = (usize, Reloc)> + '_ {
    Attrs::new(attrs)
        .filter(|attr| attr.kind == submit::RELOC)
        .flat_map(|attr| {
            let entries = attr.payload.chunks_exact(size_of::<Reloc>());
            entries.filter_map(move |entry| Some((attr.at, Reloc::read_from_bytes(entry).ok()?)))
        })
}

impl Area {
    /// Checks what a message says about its area: its DATA, its RELOC, and the arguments of its
    /// entries, which are checked otherwise.
    #[cold]
    fn check(attrs: &[u8], call_size: NonZeroUsize) -> Result<Self, Rejection> {
        let (mut data, mut last) = (0, 0);
        for attr in Attrs::new(attrs) {
            match attr.kind {
                submit::DATA => {
                    data += attr.payload.len();
                    last = attr.at;
                }
                submit::RELOC if attr.payload.len() % size_of::<Reloc>() != 0 => {
                    return Err(reject!(
                        EINVAL,
                        at attr.at,
                        "RELOC: {} bytes are not a number of {}-byte entries",
                        attr.payload.len(),
                        size_of::<Reloc>()
                    ));
                }
                _ => {}
            }
        }
        if data > MAX_AREA {
            return Err(reject!(
                EMSGSIZE,
                at last,
                "DATA: {data} bytes are more than {MAX_AREA}"
            ));
        }
        let end = Self::check_outputs(attrs, call_size)?;
        // INVARIANT: As far as the last output, and what follows is checked against it.
        let len = data.max(end as usize);
        for (at, reloc) in relocs(attrs) {
            if reloc.at % 8 != 0 || reloc.at as usize + 8 > data {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "RELOC: {} is no multiple of 8 with 8 of the {data} bytes of DATA behind it",
                    reloc.at
                ));
            }
            if reloc.to as usize > len {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "RELOC: {} lies beyond the {len} bytes of the area",
                    reloc.to
                ));
            }
        }
        Self::each(attrs, call_size, |at, index, arg, kind, value| {
            if kind == ArgKind::Data as u32 && value > len as u64 {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: {value} lies beyond the {len} bytes of the area"
                ));
            }
            Ok(())
        })?;
        Ok(Self { data, len })
    }

    /// Checks the output areas. Says where the last one ends.
    fn check_outputs(attrs: &[u8], call_size: NonZeroUsize) -> Result<u64, Rejection> {
        let (mut end, mut call, mut total) = (0, usize::MAX, 0);
        Self::each(attrs, call_size, |at, index, arg, kind, value| {
            if kind != ArgKind::Out as u32 {
                return Ok(());
            }
            let output = Output::of(value);
            if output.end() > MAX_AREA as u64 {
                return Err(reject!(
                    EMSGSIZE,
                    at at,
                    "call {index}: argument {arg}: ends beyond {MAX_AREA} bytes of the area"
                ));
            }
            if u64::from(output.offset) < end {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: begins before the output area before it ends"
                ));
            }
            end = output.end();
            if call != index {
                (call, total) = (index, 0);
            }
            total += output.len as usize;
            if total > MAX_OUTPUT {
                return Err(reject!(
                    EMSGSIZE,
                    at at,
                    "call {index}: argument {arg}: {total} bytes of output, more than {MAX_OUTPUT}"
                ));
            }
            Ok(())
        })?;
        Ok(end)
    }

    /// Shows each argument that is no value: the place of its attribute, its call, its number, its
    /// kind and what it says.
    fn each(
        attrs: &[u8],
        call_size: NonZeroUsize,
        mut check: impl FnMut(usize, usize, usize, u32, u64) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        let mut index = 0;
        for attr in Attrs::new(attrs).filter(|attr| attr.kind == submit::CALLS) {
            for entry in attr.payload.chunks_exact(call_size.get()) {
                if let Ok((call, _)) = Call::read_from_prefix(entry) {
                    for (arg, value) in call.args.iter().enumerate() {
                        let kind = arg_kind(call.arg_kinds, arg);
                        if kind != ArgKind::Value as u32 {
                            check(attr.at, index, arg, kind, *value)?;
                        }
                    }
                }
                index += 1;
            }
        }
        Ok(())
    }
}

/// How many calls a message names, whether or not they may be accepted; for counting what was
/// rejected.
pub fn count_named(attrs: &[u8]) -> usize {
    let call_size = Attrs::new(attrs)
        .find(|attr| attr.kind == submit::CALL_SIZE)
        .and_then(|attr| read_call_size(&attr).ok());
    let Some(call_size) = call_size else {
        return 0;
    };
    Attrs::new(attrs)
        .filter(|attr| attr.kind == submit::CALLS)
        .map(|attr| attr.payload.len() / call_size)
        .sum()
}

/// What joins a call to the next one.
const LINKS: u32 = flag::LINK | flag::HARDLINK;

/// What the arguments of a call are, besides values.
#[derive(Clone, Copy, Default)]
struct Args {
    /// One takes its value from an earlier call.
    refers: bool,
    /// One is an OUT_PTR, or the only OUT.
    output: bool,
    /// One is in the message's area.
    places: bool,
}

/// The check of a message's entries, one after the other.
struct Check {
    /// Entries so far.
    count: usize,
    /// Those among them that are INLINE.
    inline: usize,
    /// An argument of one that is not comes from an earlier call.
    refers: bool,
    /// An argument is in the message's area.
    places: bool,
    /// The flags of the last entry: whether the next one is of its chain, and whether that chain
    /// is INLINE.
    before: u32,
    /// Where its chain began.
    chain: usize,
    /// Where its attribute lies.
    at: usize,
    /// Which of the last [`REACH`] calls of the chain have an output, a bit each. Written where a
    /// later entry cannot see the entry itself: [`Check::note_outputs`]. No other is looked at.
    outputs: [u64; REACH / 64],
    /// What there was to the entries.
    shape: Shape,
}

impl Check {
    #[inline(always)]
    fn new() -> Self {
        Self {
            count: 0,
            inline: 0,
            refers: false,
            places: false,
            before: 0,
            chain: 0,
            at: 0,
            outputs: [0; REACH / 64],
            shape: Shape::Plain,
        }
    }

    /// Checks the entries of a CALLS attribute.
    #[inline(always)]
    fn all_of(&mut self, attr: &Attr<'_>, call_size: NonZeroUsize) -> Result<(), Rejection> {
        // Almost always it is the size that is known here, and a division by that is cheap.
        let rest = match call_size.get() {
            CALL => attr.payload.len() % CALL,
            other => attr.payload.len() % other,
        };
        if attr.payload.is_empty() || rest != 0 {
            return Err(reject!(
                EINVAL,
                at attr.at,
                "CALLS: {} bytes are not a number of {call_size}-byte calls",
                attr.payload.len()
            ));
        }
        self.at = attr.at;
        let mut rest = attr.payload;
        loop {
            if call_size.get() == CALL {
                rest = self.plain_ones(rest);
                rest = self.regular_ones(rest);
            }
            let Some((entry, others)) = rest.split_at_checked(call_size.get()) else {
                return Ok(());
            };
            self.look_closer(entry)?;
            rest = others;
        }
    }

    /// Checks entries of today's size as long as there is nothing to them but number and
    /// arguments. What is left begins with the first that is more than that.
    #[inline(always)]
    fn plain_ones<'p>(&mut self, payload: &'p [u8]) -> &'p [u8] {
        let (mut inline, mut rest) = (0_u32, payload);
        if self.before & LINKS != 0 {
            return rest;
        }
        while let Some((entry, others)) = rest.split_first_chunk::<CALL>() {
            let flags = half(entry, FLAGS);
            let rare = u64::from(flags & !flag::INLINE | half(entry, KINDS))
                | u64::from(half(entry, RESERVED))
                | word(entry, TIMEOUT);
            if rare != 0 || !policy::is_plain(half(entry, NR)) {
                break;
            }
            // No other flag is set.
            inline = inline.wrapping_add(flags);
            rest = others;
        }
        self.inline += (inline / flag::INLINE) as usize;
        self.count += (payload.len() - rest.len()) / CALL;
        rest
    }

    /// Checks entries of today's size as long as there is nothing to them but number, arguments,
    /// and a place in a chain that is in good order. What is left begins with the first that needs
    /// a closer look.
    #[inline(always)]
    fn regular_ones<'p>(&mut self, payload: &'p [u8]) -> &'p [u8] {
        const OTHERS: u32 = !(flag::INLINE | LINKS | flag::SKIP_SUCCESS);
        if payload.is_empty() {
            return payload;
        }
        if self.shape == Shape::Plain {
            self.shape = Shape::Simple;
        }
        // What changes with each entry is kept out of `self`, that is in registers.
        let start = self.count;
        let (mut index, mut any, mut every) = (start, 0_u32, u32::MAX);
        let (mut chain, mut before) = (self.chain, self.before);
        for entry in payload.chunks_exact(CALL) {
            let Some(entry) = entry.first_chunk() else {
                break;
            };
            let (nr, flags) = (half(entry, NR), half(entry, FLAGS));
            let kinds = half(entry, KINDS);
            let rare = u64::from(flags & OTHERS | half(entry, RESERVED)) | word(entry, TIMEOUT);
            if !policy::is_plain(nr) || rare != 0 {
                break;
            }
            if before & LINKS == 0 {
                chain = index;
            } else if (before ^ flags) & flag::INLINE != 0 {
                break;
            }
            if kinds != 0 {
                let well = if kinds == RESULT || kinds == RESULT_AND_OUT_PTR {
                    let earlier = word(entry, core::mem::offset_of!(Call, args)) as usize;
                    is_within(index, earlier, reach(index, chain))
                } else {
                    self.refers_well(entry, kinds, index, chain, payload, start)
                };
                if !well {
                    break;
                }
                if flags & flag::INLINE == 0 {
                    self.note_references(kinds);
                }
            }
            any |= flags;
            every &= flags;
            before = flags;
            index = index.wrapping_add(1);
        }
        if any & flag::SKIP_SUCCESS != 0 {
            self.shape = Shape::Any;
        }
        let count = index - start;
        self.inline += match (any & flag::INLINE, every & flag::INLINE) {
            (0, _) => 0,
            (_, 0) => inline_among(payload, count),
            _ => count,
        };
        self.count = index;
        self.chain = chain;
        self.before = before;
        if before & LINKS != 0 {
            self.note_outputs(payload, start);
        }
        payload.get(count * CALL..).unwrap_or_default()
    }

    /// Whether the arguments of the entry `index` are in good order, whose chain began at `chain`.
    /// `payload` holds the entries from `start` on.
    #[inline(never)]
    fn refers_well(
        &self,
        entry: &Entry,
        kinds: u32,
        index: usize,
        chain: usize,
        payload: &[u8],
        start: usize,
    ) -> bool {
        let reach = reach(index, chain);
        let output = outputs(kinds);
        let is_second = output != 0 && output >> output.trailing_zeros() != 1;
        if !are_of_chains(kinds) || is_second {
            return false;
        }
        let mut references = references(kinds);
        while references != 0 {
            // The index of an argument times four.
            let lowest = references.trailing_zeros() & 0x1c;
            references &= references.wrapping_sub(1);
            let arg = word(
                entry,
                core::mem::offset_of!(Call, args) + lowest as usize * 2,
            );
            let is_load = kinds >> lowest & 1 == 0;
            let load = Load::of(arg);
            let earlier = if is_load { load.call } else { arg as usize };
            if !is_within(index, earlier, reach) {
                return false;
            }
            if is_load
                && !(matches!(load.width, 1 | 2 | 4 | 8)
                    && self.has_output(earlier, payload, start))
            {
                return false;
            }
        }
        true
    }

    /// Whether an earlier call of the chain has an output.
    #[inline(always)]
    fn has_output(&self, index: usize, payload: &[u8], start: usize) -> bool {
        match index.checked_sub(start) {
            Some(place) => output_of(payload, place),
            None => self.noted_output(index),
        }
    }

    /// The same, where it was noted.
    #[inline]
    fn noted_output(&self, index: usize) -> bool {
        self.outputs[index % REACH / 64] >> (index % 64) & 1 != 0
    }

    /// Notes whether a call for a worker refers to earlier ones.
    #[cold]
    fn note_references(&mut self, kinds: u32) {
        self.refers |= references(kinds) != 0;
    }

    /// Notes which calls of an unfinished chain have an output; `payload` holds the entries from
    /// `start` on.
    #[cold]
    fn note_outputs(&mut self, payload: &[u8], start: usize) {
        let far = self.count.saturating_sub(REACH);
        for index in self.chain.max(start).max(far)..self.count {
            self.set_output(index, output_of(payload, index - start));
        }
    }

    /// After the last entry: how many there were, and how many of them INLINE.
    #[inline(always)]
    fn end(self) -> Result<(usize, usize), Rejection> {
        if self.count == 0 {
            return Err(reject!(EINVAL, "CALLS: the message holds no call"));
        }
        if self.before & LINKS != 0 {
            return Err(reject!(
                EINVAL,
                at self.at,
                "call {}: LINK or HARDLINK, and no call follows",
                self.count - 1
            ));
        }
        Ok((self.count, self.inline))
    }

    /// Checks the next entry: its layout, its flags, its place in a chain, what its arguments refer
    /// to, the verdict on it.
    #[inline(never)]
    fn look_closer(&mut self, entry: &[u8]) -> Result<(), Rejection> {
        self.shape = Shape::Any;
        let (at, index) = (self.at, self.count);
        let (call, beyond) = Call::read_from_prefix(entry)
            .map_err(|_| reject!(EINVAL, at at, "call {index}: shorter than {CALL} bytes"))?;
        if beyond.iter().any(|byte| *byte != 0) {
            return Err(reject!(E2BIG, at at, "call {index}: non-zero bytes beyond byte {CALL}"));
        }
        let inline = call.flags & flag::INLINE != 0;
        self.check_flags(&call)?;
        if call.reserved != 0 {
            return Err(reject!(EINVAL, at at, "call {index}: reserved field is not zero"));
        }

        if self.before & LINKS == 0 {
            self.chain = index;
        } else if (self.before ^ call.flags) & flag::INLINE != 0 {
            return Err(reject!(
                EINVAL,
                at at,
                "call {index}: its chain is INLINE in part: all of it or none"
            ));
        }
        self.before = call.flags;

        let args = self.check_args(&call)?;
        if self.before & LINKS != 0 {
            self.set_output(index, args.output);
        }
        if args.places && inline {
            return Err(reject!(
                EINVAL,
                at at,
                "call {index}: DATA and OUT arguments are for calls of workers, not INLINE ones"
            ));
        }
        self.places |= args.places;
        self.refers |= args.refers && !inline;
        self.inline += usize::from(inline);
        self.count += 1;
        if policy::is_plain(call.nr) {
            return Ok(());
        }
        // Arguments that are not known yet are judged when they are.
        let known = (!args.refers && !args.places).then_some(&call.args);
        judge_for(inline, index, call.nr, known).map_err(|rejection| Rejection {
            at: Some(at),
            ..rejection
        })
    }

    fn check_flags(&self, call: &Call) -> Result<(), Rejection> {
        let (at, index) = (self.at, self.count);
        let unknown = call.flags & !flag::KNOWN;
        if unknown != 0 {
            return Err(reject!(EINVAL, at at, "call {index}: unknown flags {unknown:#x}"));
        }
        let flags = call.flags & !CALL_FLAGS;
        if flags != 0 {
            return Err(reject!(
                EOPNOTSUPP,
                at at,
                "call {index}: flags {flags:#x} not supported by this version (FEATURES_GET)"
            ));
        }
        if call.flags & (flag::DRAIN | flag::INLINE) == flag::DRAIN | flag::INLINE {
            return Err(reject!(
                EINVAL,
                at at,
                "call {index}: DRAIN orders calls of workers, not INLINE ones"
            ));
        }
        Ok(())
    }

    /// Checks the arguments that are more than values.
    #[inline]
    fn check_args(&self, call: &Call) -> Result<Args, Rejection> {
        let mut args = Args::default();
        if call.arg_kinds == 0 {
            return Ok(args);
        }
        let (at, index) = (self.at, self.count);
        let mut outputs = 0;
        if call.arg_kinds >> (6 * ARG_KIND_BITS) != 0 {
            return Err(reject!(
                EINVAL,
                at at,
                "call {index}: upper bits of arg_kinds are not zero"
            ));
        }
        for (arg, value) in call.args.iter().enumerate() {
            let kind = arg_kind(call.arg_kinds, arg);
            if kind == ArgKind::Value as u32 {
                continue;
            }
            if kind > ArgKind::OutPtr as u32 {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: unknown kind {kind} in arg_kinds"
                ));
            }
            if ARG_KINDS >> kind & 1 == 0 {
                return Err(reject!(
                    EOPNOTSUPP,
                    at at,
                    "call {index}: arg_kinds {:#x} not supported by this version (FEATURES_GET)",
                    call.arg_kinds
                ));
            }
            if kind == ArgKind::Data as u32 || kind == ArgKind::Out as u32 {
                // What they say is checked when the whole message was looked at.
                args.places = true;
                outputs += usize::from(kind == ArgKind::Out as u32);
                continue;
            }
            if kind == ArgKind::OutPtr as u32 {
                outputs += 1;
                if args.output {
                    return Err(reject!(
                        EINVAL,
                        at at,
                        "call {index}: argument {arg}: a second OUT_PTR"
                    ));
                }
                args.output = true;
                continue;
            }
            args.refers = true;
            let load = (kind == ArgKind::Load as u32).then(|| Load::of(*value));
            let earlier = load.map_or(*value, |load| load.call as u64);
            if earlier < self.chain as u64 || earlier >= index as u64 {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: refers to no earlier call of its chain"
                ));
            }
            let earlier = earlier as usize;
            if index - earlier > REACH {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: refers more than {REACH} calls back"
                ));
            }
            let Some(load) = load else { continue };
            if !matches!(load.width, 1 | 2 | 4 | 8) {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: LOAD of {} bytes, not 1, 2, 4 or 8",
                    load.width
                ));
            }
            if !self.noted_output(earlier) {
                return Err(reject!(
                    EINVAL,
                    at at,
                    "call {index}: argument {arg}: LOAD from call {earlier}, without OUT_PTR or one OUT"
                ));
            }
        }
        args.output = outputs == 1;
        Ok(args)
    }

    /// Notes whether the call at `index` has an output.
    fn set_output(&mut self, index: usize, output: bool) {
        let word = &mut self.outputs[index % REACH / 64];
        let bit = index % 64;
        *word = *word & !(1 << bit) | u64::from(output) << bit;
    }
}

/// Rejects a call that may not execute on a worker.
pub fn judge(index: usize, nr: u32, args: &[u64; 6]) -> Result<(), Rejection> {
    judge_for(false, index, nr, Some(args))
}

/// Rejects a call that may not execute on a worker, or, where `inline` says so, not in its sender.
/// `args` are `None` as long as they are not known: then only what no argument changes counts.
fn judge_for(
    inline: bool,
    index: usize,
    nr: u32,
    args: Option<&[u64; 6]>,
) -> Result<(), Rejection> {
    let judgement = match args {
        Some(args) => policy::judge(nr, args),
        None => policy::entry(nr),
    };
    let Some(judgement) = judgement else {
        // __X32_SYSCALL_BIT of arch/x86/include/uapi/asm/unistd.h.
        const X32: u32 = 0x4000_0000;
        return Err(if nr & X32 != 0 && nr & !X32 < 1024 {
            reject!(
                ENOSYS,
                "call {index}: {nr} is an x32 number: use the 64-bit one"
            )
        } else {
            reject!(ENOSYS, "call {index}: no system call has the number {nr}")
        });
    };
    let refused = |advice| {
        let (name, reason) = (policy::name(nr), judgement.reason.unwrap_or(""));
        Err(reject!(
            EOPNOTSUPP,
            "call {index}: {name}: {reason}{advice}"
        ))
    };
    match judgement.verdict {
        Verdict::Both | Verdict::Differs => Ok(()),
        Verdict::InlineOnly if inline => Ok(()),
        // The reason says it.
        Verdict::InlineOnly if policy::is_conditional(nr) => refused(""),
        Verdict::InlineOnly => refused(": flag it INLINE"),
        Verdict::Refused => refused(""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;
    use crate::reject::errno;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&((HEADER + payload.len()) as u16).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(HEADER), 0);
        bytes
    }

    fn message(size: usize, calls: &[Call]) -> Vec<u8> {
        let mut bytes = attr(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
        let most = usize::from(u16::MAX) / size;
        let mut calls = calls;
        loop {
            let (some, rest) = calls.split_at(calls.len().min(most));
            let mut payload = Vec::new();
            for call in some {
                payload.extend_from_slice(call.as_bytes());
                payload.resize(payload.len() + size - CALL, 0);
            }
            bytes.extend(attr(submit::CALLS, &payload));
            if rest.is_empty() {
                return bytes;
            }
            calls = rest;
        }
    }

    fn getpid(user_data: u64) -> Call {
        Call {
            user_data,
            nr: 39,
            ..Call::default()
        }
    }

    fn rejected(bytes: &[u8]) -> Rejection {
        Submit::parse(bytes).err().expect("the message is rejected")
    }

    /// How many calls are for workers and how many INLINE, or what is wrong.
    fn check(calls: &[Call]) -> Result<(usize, usize), (i32, String)> {
        match Submit::parse(&message(CALL, calls)) {
            Ok(submit) => Ok((submit.workers(), submit.inline())),
            Err(rejection) => {
                assert!(rejection.at >= Some(8), "{rejection:?}");
                Err((rejection.errno, rejection.text.as_str().to_owned()))
            }
        }
    }

    fn flagged(flags: u32) -> Call {
        Call { flags, ..getpid(0) }
    }

    /// A `read` with one argument that is more than a value.
    fn with_arg(arg: usize, kind: ArgKind, value: u64, flags: u32) -> Call {
        let mut call = Call {
            flags,
            arg_kinds: (kind as u32) << (arg as u32 * ARG_KIND_BITS),
            ..Call::default()
        };
        call.args[arg] = value;
        call
    }

    fn load(call: u64, width: u64, offset: u64) -> u64 {
        call | width << 24 | offset << 32
    }

    #[test]
    fn calls_of_several_attributes_come_in_order() {
        let mut bytes = message(CALL, &[getpid(1), getpid(2)]);
        bytes.extend(attr(submit::CALLS, getpid(3).as_bytes()));
        let submit = Submit::parse(&bytes).unwrap();
        assert_eq!(submit.count(), 3);
        let order: Vec<u64> = submit.calls().map(|call| call.user_data).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn larger_entries_are_taken_when_their_end_is_zero() {
        let mut bytes = message(CALL + 8, &[getpid(1), getpid(2)]);
        assert_eq!(Submit::parse(&bytes).unwrap().count(), 2);
        let last = bytes.len() - 1;
        bytes[last] = 1;
        let rejection = rejected(&bytes);
        assert_eq!(rejection.errno, errno::E2BIG);
        assert!(rejection.text.as_str().starts_with("call 1:"));
        assert_eq!(rejection.at, Some(8));
    }

    #[test]
    fn what_is_not_a_batch_is_rejected() {
        assert_eq!(rejected(&[]).errno, errno::EINVAL);
        assert_eq!(rejected(&message(CALL, &[])).errno, errno::EINVAL);
        for size in [0, 8, CALL - 8, CALL + 4, MAX_CALL_SIZE + 8] {
            let bytes = attr(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
            assert_eq!(rejected(&bytes).errno, errno::EINVAL, "{size}");
        }
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::CALLS, &[0; 79]));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::CALL_SIZE, &(CALL as u32).to_ne_bytes()));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(submit::DATA_LEN, &[0; 8]));
        assert_eq!(rejected(&bytes).errno, errno::EOPNOTSUPP);
        let mut bytes = message(CALL, &[getpid(1)]);
        bytes.extend(attr(77, &[]));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
    }

    #[test]
    fn each_bad_field_is_named_with_its_call() {
        let cases = [
            (
                Call {
                    flags: 1 << 31,
                    ..getpid(2)
                },
                errno::EINVAL,
                "flags",
            ),
            (
                Call {
                    reserved: 1,
                    ..getpid(2)
                },
                errno::EINVAL,
                "reserved",
            ),
            (
                Call {
                    arg_kinds: 1 << 24,
                    ..getpid(2)
                },
                errno::EINVAL,
                "arg_kinds",
            ),
            (
                Call {
                    arg_kinds: 6,
                    ..getpid(2)
                },
                errno::EINVAL,
                "arg_kinds",
            ),
            (
                Call {
                    nr: 15,
                    ..getpid(2)
                },
                errno::EOPNOTSUPP,
                "rt_sigreturn",
            ),
            (
                Call {
                    nr: 400,
                    ..getpid(2)
                },
                errno::ENOSYS,
                "400",
            ),
            (
                Call {
                    nr: 0x4000_0000,
                    ..getpid(2)
                },
                errno::ENOSYS,
                "1073741824",
            ),
        ];
        for (call, errno, word) in cases {
            let rejection = rejected(&message(CALL, &[getpid(1), call]));
            assert_eq!(rejection.errno, errno, "{word}");
            let text = rejection.text.as_str();
            assert!(
                text.starts_with("call 1: ") && text.contains(word),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_carried_out_is_not_supported() {
        for kind in 1..=submit::MAX {
            if SUBMIT_ATTRS >> kind & 1 != 0 || kind == submit::CALLS {
                continue;
            }
            let mut bytes = message(CALL, &[getpid(1)]);
            bytes.extend(attr(kind, &[8; 4]));
            assert_eq!(rejected(&bytes).errno, errno::EOPNOTSUPP, "{kind}");
        }
    }

    #[test]
    fn kinds_of_chains_are_told_from_others() {
        for kind in 0..16_u32 {
            for arg in 0..6 {
                let shift = arg * ARG_KIND_BITS;
                let others = 0x54_3053 & !(0xf << shift);
                let kinds = kind << shift | others;
                let is_one = matches!(kind, 0 | 3 | 4 | 5);
                assert_eq!(are_of_chains(kinds), is_one, "{kind} {arg}");
                if is_one {
                    let refers = matches!(kind, 3 | 4);
                    assert_eq!(references(kinds) >> shift & 1 != 0, refers, "{kind} {arg}");
                    assert_eq!(outputs(kinds) >> shift & 1 != 0, kind == 5, "{kind} {arg}");
                }
            }
        }
        assert!(!are_of_chains(1 << 24) && !are_of_chains(1 << 31));
    }

    /// A message with an area.
    fn with_area(data: usize, relocs: &[Reloc], calls: &[Call]) -> Vec<u8> {
        let mut bytes = message(CALL, calls);
        bytes.extend(attr(submit::DATA, &vec![7; data]));
        bytes.extend(attr(submit::RELOC, relocs.as_bytes()));
        bytes
    }

    fn out(arg: usize, offset: u32, len: u32) -> Call {
        let value = u64::from(len) << 32 | u64::from(offset);
        with_arg(arg, ArgKind::Out, value, 0)
    }

    #[test]
    fn an_area_reaches_as_far_as_it_is_needed() {
        let area = |bytes: &[u8]| Submit::parse(bytes).unwrap().area();
        // Nobody needs it.
        assert_eq!(area(&with_area(100, &[], &[getpid(0)])), None);
        let data = with_arg(1, ArgKind::Data, 100, 0);
        let expected = Area {
            data: 100,
            len: 100,
        };
        assert_eq!(area(&with_area(100, &[], &[data])), Some(expected));
        let calls = [out(2, 40, 8), getpid(0), out(0, 200, 30)];
        let expected = Area { data: 48, len: 230 };
        let bytes = with_area(48, &[Reloc { at: 40, to: 230 }], &calls);
        assert_eq!(area(&bytes), Some(expected));
        let submit = Submit::parse(&bytes).unwrap();
        assert_eq!(submit.data().map(<[u8]>::len).sum::<usize>(), 48);
        assert_eq!(
            submit.relocs().collect::<Vec<_>>(),
            [Reloc { at: 40, to: 230 }]
        );
    }

    #[test]
    fn what_does_not_fit_an_area_is_named() {
        let data = |value| with_arg(1, ArgKind::Data, value, 0);
        let two = Call {
            arg_kinds: 0x22,
            args: [30_000 << 32, 30_001 << 32 | 30_000, 0, 0, 0, 0],
            ..getpid(0)
        };
        let inline = with_arg(1, ArgKind::Data, 0, flag::INLINE);
        type Case<'a> = (usize, &'a [Reloc], &'a [Call], i32, &'a str);
        let cases: [Case<'_>; 12] = [
            (
                10,
                &[],
                &[getpid(0), data(11)],
                errno::EINVAL,
                "call 1: argument 1: 11 lies beyond",
            ),
            (
                10,
                &[],
                &[data(1 << 32)],
                errno::EINVAL,
                "call 0: argument 1: 4294967296 lies",
            ),
            (
                0,
                &[],
                &[out(3, 1 << 20, 1)],
                errno::EMSGSIZE,
                "call 0: argument 3: ends beyond",
            ),
            (
                0,
                &[],
                &[out(3, u32::MAX, u32::MAX)],
                errno::EMSGSIZE,
                "call 0: argument 3: ends",
            ),
            (
                0,
                &[],
                &[out(3, 8, 8), out(3, 15, 1)],
                errno::EINVAL,
                "call 1: argument 3: begins",
            ),
            (
                0,
                &[],
                &[out(3, 0, 60_001)],
                errno::EMSGSIZE,
                "call 0: argument 3: 60001 bytes",
            ),
            (
                0,
                &[],
                &[two],
                errno::EMSGSIZE,
                "call 0: argument 1: 60001 bytes",
            ),
            (
                16,
                &[Reloc { at: 4, to: 0 }],
                &[data(0)],
                errno::EINVAL,
                "RELOC: 4 is no multiple",
            ),
            (
                15,
                &[Reloc { at: 8, to: 0 }],
                &[data(0)],
                errno::EINVAL,
                "RELOC: 8 is no multiple",
            ),
            (
                16,
                &[Reloc { at: 8, to: 17 }],
                &[data(0)],
                errno::EINVAL,
                "RELOC: 17 lies beyond",
            ),
            (
                9,
                &[],
                &[flagged(flag::INLINE)],
                errno::EINVAL,
                "DATA and RELOC: only where",
            ),
            (
                9,
                &[],
                &[inline],
                errno::EINVAL,
                "call 0: DATA and OUT arguments are for calls of",
            ),
        ];
        for (len, relocs, calls, errno, text) in cases {
            let rejection = rejected(&with_area(len, relocs, calls));
            assert_eq!(rejection.errno, errno, "{text}");
            assert!(
                rejection.text.as_str().starts_with(text),
                "{}",
                rejection.text.as_str()
            );
            assert!(rejection.at.is_some(), "{text}");
        }
        let mut bytes = with_area(60_000, &[], &[data(0)]);
        for _ in 0..17 {
            bytes.extend(attr(submit::DATA, &[0; 60_000]));
        }
        assert_eq!(rejected(&bytes).errno, errno::EMSGSIZE);
        let mut bytes = message(CALL, &[data(0)]);
        bytes.extend(attr(submit::RELOC, &[0; 9]));
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
    }

    #[test]
    fn outputs_are_what_loads_read() {
        let link = flag::LINK;
        let load = |call: u64, flags| with_arg(0, ArgKind::Load, call | 8 << 24, flags);
        let output = Call {
            flags: link,
            ..out(1, 0, 8)
        };
        assert_eq!(check(&[output, load(0, 0)]), Ok((2, 0)));
        // Of two, none is the one.
        let two = Call {
            arg_kinds: 0x22,
            args: [8 << 32, 8 << 32 | 8, 0, 0, 0, 0],
            ..flagged(link)
        };
        let (errno, text) = check(&[two, load(0, 0)]).unwrap_err();
        assert_eq!(errno, errno::EINVAL);
        assert!(text.contains("without OUT_PTR or one OUT"), "{text}");
        let both = Call {
            arg_kinds: 0x25,
            args: [8, 8 << 32, 0, 0, 0, 0],
            ..flagged(link)
        };
        assert!(check(&[both, load(0, 0)]).is_err());
    }

    #[test]
    fn a_target_is_for_workers() {
        let target = attr(submit::TARGET_PIDFD, &7_u32.to_ne_bytes());
        let mut bytes = message(CALL, &[getpid(0)]);
        let at = bytes.len();
        bytes.extend(&target);
        let expected = Pidfd { fd: 7, at };
        assert_eq!(Submit::parse(&bytes).unwrap().target(), Some(expected));
        bytes.extend(&target);
        assert_eq!(rejected(&bytes).errno, errno::EINVAL);
        let mut bytes = message(CALL, &[getpid(0), flagged(flag::INLINE)]);
        bytes.extend(&target);
        let rejection = rejected(&bytes);
        assert_eq!(
            (rejection.errno, rejection.at),
            (errno::EINVAL, Some(bytes.len() - 8))
        );
    }

    #[test]
    fn a_message_may_mix_executors_but_a_chain_may_not() {
        let (inline, link, hard) = (flag::INLINE, flag::LINK, flag::HARDLINK);
        let mixed = [
            flagged(inline),
            flagged(link),
            flagged(0),
            flagged(inline | hard),
            flagged(inline),
            flagged(0),
        ];
        assert_eq!(check(&mixed), Ok((3, 3)));
        for (first, second) in [(link, inline), (inline | hard, 0)] {
            let (errno, text) = check(&[getpid(0), flagged(first), flagged(second)]).unwrap_err();
            assert_eq!(errno, errno::EINVAL);
            assert!(text.starts_with("call 2: its chain"), "{text}");
        }
    }

    #[test]
    fn the_shape_of_a_message_is_that_of_its_oddest_call() {
        let shape = |size, calls: &[Call]| Submit::parse(&message(size, calls)).unwrap().shape();
        let (inline, link) = (flag::INLINE, flag::LINK | flag::INLINE);
        let plain = flagged(inline);
        assert_eq!(shape(CALL, &[plain; 3]), Shape::Plain);
        for odd in [
            &[flagged(0)][..],
            &[flagged(link), plain],
            &[flagged(link), with_arg(0, ArgKind::Result, 1, inline)],
            &[with_arg(0, ArgKind::OutPtr, 1, inline)],
        ] {
            let calls = [&[plain], odd, &[plain]].concat();
            assert_eq!(shape(CALL, &calls), Shape::Simple, "{odd:?}");
        }
        let (execve, timeout_ns) = (59, 1);
        for odd in [
            Call {
                timeout_ns,
                ..plain
            },
            Call {
                nr: execve,
                ..plain
            },
            flagged(flag::DRAIN),
            flagged(inline | flag::SKIP_SUCCESS),
        ] {
            assert_eq!(shape(CALL, &[plain, odd, plain]), Shape::Any, "{odd:?}");
        }
        assert_eq!(shape(CALL + 8, &[plain]), Shape::Any);
    }

    #[test]
    fn plain_work_is_for_workers_and_nothing_else() {
        let is = |size, calls: &[Call]| {
            let message = message(size, calls);
            Submit::parse(&message).unwrap().is_plain_work()
        };
        let plain = flagged(0);
        assert!(is(CALL, &[plain]));
        assert!(is(CALL, &[plain; 3]));
        for odd in [
            flagged(flag::INLINE),
            flagged(flag::DRAIN),
            flagged(flag::SKIP_SUCCESS),
            with_arg(0, ArgKind::OutPtr, 1, 0),
            Call {
                timeout_ns: 1,
                ..plain
            },
        ] {
            assert!(!is(CALL, &[odd]), "{odd:?}");
            assert!(!is(CALL, &[plain, odd, plain]), "{odd:?}");
        }
        assert!(!is(CALL, &[flagged(flag::LINK), plain]));
        assert!(!is(CALL, &[flagged(flag::INLINE); 3]));
    }

    #[test]
    fn a_chain_ends_within_its_message() {
        for flags in [flag::LINK, flag::HARDLINK, flag::LINK | flag::HARDLINK] {
            let (errno, text) = check(&[getpid(0), flagged(flags)]).unwrap_err();
            assert_eq!(errno, errno::EINVAL);
            assert!(text.starts_with("call 1: LINK or HARDLINK"), "{text}");
        }
    }

    #[test]
    fn drain_is_not_for_inline_calls() {
        assert_eq!(check(&[flagged(flag::DRAIN), flagged(0)]), Ok((2, 0)));
        let (errno, text) = check(&[getpid(0), flagged(flag::DRAIN | flag::INLINE)]).unwrap_err();
        assert_eq!(errno, errno::EINVAL);
        assert!(text.starts_with("call 1: DRAIN"), "{text}");
    }

    #[test]
    fn references_go_to_earlier_calls_of_the_chain() {
        let (link, result) = (flag::LINK, ArgKind::Result);
        let chain = [
            getpid(0),
            flagged(link),
            with_arg(0, result, 1, link),
            with_arg(5, result, 2, 0),
        ];
        assert_eq!(check(&chain), Ok((4, 0)));
        // To the call before the chain, to itself, to a later one, to none.
        for (at, to) in [
            (2, 0),
            (2, 2),
            (2, 3),
            (3, 4),
            (3, u64::MAX),
            (3, 1 << 32 | 1),
        ] {
            let mut chain = chain;
            chain[at].args[if at == 2 { 0 } else { 5 }] = to;
            let (errno, text) = check(&chain).unwrap_err();
            assert_eq!(errno, errno::EINVAL, "{to}");
            assert!(text.starts_with(&format!("call {at}: argument")), "{text}");
        }
        // A reference needs a chain.
        let (errno, _) = check(&[getpid(0), with_arg(0, result, 0, 0)]).unwrap_err();
        assert_eq!(errno, errno::EINVAL);
    }

    #[test]
    fn references_reach_a_thousand_calls_back() {
        let mut chain = vec![with_arg(1, ArgKind::OutPtr, 0x1000, flag::LINK)];
        chain.resize(REACH, flagged(flag::LINK));
        for kind in [ArgKind::Result, ArgKind::Load] {
            chain.truncate(REACH);
            chain.push(with_arg(0, kind, load(0, 8, 0), 0));
            if kind == ArgKind::Result {
                chain[REACH].args[0] = 0;
            }
            assert_eq!(check(&chain), Ok((REACH + 1, 0)));
            chain.insert(REACH, flagged(flag::LINK));
            let (errno, text) = check(&chain).unwrap_err();
            assert_eq!(errno, errno::EINVAL);
            assert!(text.contains("1024 calls back"), "{text}");
        }
    }

    #[test]
    fn loads_read_outputs() {
        let (link, out) = (flag::LINK, ArgKind::OutPtr);
        let chain = |width, from| {
            [
                with_arg(1, out, 0x1000, link),
                flagged(link),
                with_arg(2, ArgKind::Load, load(from, width, 48), 0),
            ]
        };
        for width in [1, 2, 4, 8] {
            assert_eq!(check(&chain(width, 0)), Ok((3, 0)));
        }
        for width in [0, 3, 16, 255] {
            let (errno, text) = check(&chain(width, 0)).unwrap_err();
            assert_eq!(errno, errno::EINVAL);
            assert!(text.contains("LOAD of"), "{text}");
        }
        let (errno, text) = check(&chain(8, 1)).unwrap_err();
        assert_eq!(errno, errno::EINVAL);
        assert!(text.contains("LOAD from call 1"), "{text}");
        // The output of a call in an earlier chain does not count.
        let mut two = vec![with_arg(1, out, 0x1000, link)];
        two.resize(REACH, flagged(link));
        two[REACH - 1].flags = 0;
        two.push(flagged(link));
        two.push(with_arg(2, ArgKind::Load, load(REACH as u64, 8, 0), 0));
        assert!(check(&two).unwrap_err().1.contains("without OUT_PTR"));
        let load_parts = Load::of(load(7, 4, 48));
        assert_eq!(
            (load_parts.call, load_parts.width, load_parts.offset),
            (7, 4, 48)
        );
    }

    #[test]
    fn a_call_has_one_output_at_most() {
        let mut call = with_arg(1, ArgKind::OutPtr, 0x1000, 0);
        assert_eq!(check(&[call]), Ok((1, 0)));
        call.arg_kinds |= (ArgKind::OutPtr as u32) << (4 * ARG_KIND_BITS);
        let (errno, text) = check(&[call]).unwrap_err();
        assert_eq!(errno, errno::EINVAL);
        assert!(text.contains("argument 4: a second OUT_PTR"), "{text}");
    }

    #[test]
    fn the_verdict_depends_on_the_executor() {
        // execve: only INLINE; rt_sigreturn: not at all.
        let (execve, rt_sigreturn) = (59, 15);
        let call = |nr, flags| Call {
            nr,
            flags,
            ..Call::default()
        };
        assert_eq!(check(&[call(execve, flag::INLINE)]), Ok((0, 1)));
        let (errno, text) = check(&[call(execve, 0)]).unwrap_err();
        assert_eq!(errno, errno::EOPNOTSUPP);
        assert!(text.ends_with(": flag it INLINE"), "{text}");
        for flags in [0, flag::INLINE] {
            let (errno, text) = check(&[call(rt_sigreturn, flags)]).unwrap_err();
            assert_eq!(errno, errno::EOPNOTSUPP);
            assert!(text.contains("registers"), "{text}");
        }
        // sched_getaffinity of the thread itself.
        let (errno, text) = check(&[call(204, 0)]).unwrap_err();
        assert_eq!(errno, errno::EOPNOTSUPP);
        assert!(text.contains("only INLINE for id 0"), "{text}");
        // With an id that is not known yet.
        let later = Call {
            nr: 204,
            ..with_arg(0, ArgKind::Result, 0, 0)
        };
        assert_eq!(check(&[flagged(flag::LINK), later]), Ok((2, 0)));
        let later = Call {
            nr: execve,
            ..later
        };
        assert!(check(&[flagged(flag::LINK), later]).is_err());
    }

    #[test]
    fn results_go_to_memory_only_where_no_worker_writes() {
        let parse = |flags: &[u32], pointers: &[&[u8]]| {
            let calls: Vec<Call> = flags.iter().map(|flags| flagged(*flags)).collect();
            let mut bytes = message(CALL, &calls);
            let at = bytes.len();
            for pointer in pointers {
                bytes.extend(attr(submit::RESULTS_PTR, pointer));
            }
            match Submit::parse(&bytes) {
                Ok(submit) => Ok(submit.results_ptr()),
                Err(rejection) => {
                    assert!(rejection.at >= Some(at), "{rejection:?}");
                    assert!(rejection.text.as_str().starts_with("RESULTS_PTR: "));
                    Err(rejection.errno)
                }
            }
        };
        let (inline, good) = (flag::INLINE, 0x7000_u64.to_ne_bytes());
        assert_eq!(parse(&[0, inline], &[]), Ok(None));
        assert_eq!(parse(&[inline, inline], &[&good]), Ok(Some(0x7000)));
        assert_eq!(parse(&[inline, 0], &[&good]), Err(errno::EINVAL));
        assert_eq!(parse(&[inline], &[&good, &good]), Err(errno::EINVAL));
        for bad in [0, 4, 0x7001_u64] {
            assert_eq!(parse(&[inline], &[&bad.to_ne_bytes()]), Err(errno::EINVAL));
        }
        assert_eq!(parse(&[inline], &[&[8; 4]]), Err(errno::EINVAL));
    }

    /// What [`Check`] accepts, said in another way.
    fn is_right(calls: &[Call]) -> bool {
        let links = |call: &Call| call.flags & LINKS != 0;
        let chain_of = |at: usize| {
            let start = calls[..at].iter().rposition(|call| !links(call));
            start.map_or(0, |start| start + 1)
        };
        let has_output = |call: &Call| (0..6).any(|arg| arg_kind(call.arg_kinds, arg) == 5);
        let fits = |at: usize, arg: usize| {
            let value = calls[at].args[arg];
            let within = |to: usize| to >= chain_of(at) && to < at;
            match arg_kind(calls[at].arg_kinds, arg) {
                0 | 5 => true,
                3 => value < at as u64 && within(value as usize),
                4 => {
                    let load = Load::of(value);
                    within(load.call)
                        && has_output(&calls[load.call])
                        && [1, 2, 4, 8].contains(&load.width)
                }
                _ => false,
            }
        };
        let is_inline = |at: usize| calls[at].flags & flag::INLINE != 0;
        !calls.last().is_some_and(links)
            && (0..calls.len()).all(|at| {
                let outputs = (0..6).filter(|arg| arg_kind(calls[at].arg_kinds, *arg) == 5);
                is_inline(at) == is_inline(chain_of(at))
                    && !(is_inline(at) && calls[at].flags & flag::DRAIN != 0)
                    && outputs.count() <= 1
                    && (0..6).all(|arg| fits(at, arg))
            })
    }

    fn any_call(most: u64) -> impl Strategy<Value = Call> {
        let flags = prop_oneof![
            3 => Just(flag::LINK),
            1 => Just(0),
            1 => Just(flag::HARDLINK),
            1 => Just(flag::LINK | flag::DRAIN),
            1 => Just(flag::LINK | flag::INLINE),
        ];
        let arg = prop_oneof![
            6 => Just((0_u32, 0_u64)),
            2 => (0..most).prop_map(|to| (3, to)),
            2 => (0..most, 0..4_u32).prop_map(|(to, width)| (4, load(to, 1 << width, 8))),
            2 => Just((5, 0x1000)),
        ];
        (flags, prop::collection::vec(arg, 6)).prop_map(|(flags, args)| {
            let mut call = Call {
                flags,
                ..Call::default()
            };
            for (at, (kind, value)) in args.into_iter().enumerate() {
                call.arg_kinds |= kind << (at as u32 * ARG_KIND_BITS);
                call.args[at] = value;
            }
            call
        })
    }

    proptest! {
        #[test]
        fn chains_are_accepted_exactly_where_they_are_right(
            calls in prop::collection::vec(any_call(5), 1..5),
            end in any::<bool>(),
        ) {
            let mut calls = calls;
            if let (true, Some(last)) = (end, calls.last_mut()) {
                last.flags &= !LINKS;
            }
            prop_assert_eq!(check(&calls).is_ok(), is_right(&calls), "{:?}", calls);
        }

        #[test]
        fn any_bytes_are_parsed_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(submit) = Submit::parse(&bytes) {
                prop_assert_eq!(submit.count(), submit.calls().count());
            }
            count_named(&bytes);
        }

        #[test]
        fn damaged_messages_are_parsed_or_rejected(
            count in 1_usize..8,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let calls: Vec<Call> = (0..count as u64).map(getpid).collect();
            let mut bytes = message(CALL, &calls);
            prop_assert_eq!(Submit::parse(&bytes).unwrap().count(), count);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(submit) = Submit::parse(&bytes) {
                prop_assert_eq!(submit.count(), submit.calls().count());
                prop_assert!(submit.count() <= count);
            }
        }
    }

    #[test]
    fn the_reason_of_every_verdict_fits_a_rejection() {
        for (syscall, judgement) in policy::table() {
            let reason = judgement.reason.unwrap_or("");
            let advice = match judgement.verdict {
                Verdict::InlineOnly if !policy::is_conditional(syscall.nr) => ": flag it INLINE",
                _ => "",
            };
            let text = crate::text::Text::format(format_args!(
                "call 65535: {}: {reason}{advice}",
                syscall.name
            ));
            assert!(
                text.as_str().len() < crate::text::MAX_LEN,
                "{}",
                syscall.name
            );
        }
    }
}
