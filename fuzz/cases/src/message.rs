// SPDX-License-Identifier: MIT OR Apache-2.0

//! SUBMIT messages, mostly in good order, made from a case's choices.

use arbitrary::{Arbitrary, Result, Unstructured};
use nlcall_abi::{flag, submit, ArgKind, Call, Reloc, ARG_KIND_BITS};
use zerocopy::IntoBytes;

/// Numbers of calls: of each verdict, with and without a look at the arguments, and of none.
const NUMBERS: &[u32] = &[
    0,
    1,
    3,
    5,
    17,
    39,
    257,
    16,
    56,
    57,
    59,
    60,
    72,
    157,
    186,
    203,
    204,
    15,
    169,
    219,
    334,
    335,
    424,
    471,
    511,
    512,
    0x4000_0000,
    u32::MAX,
];

/// Bytes of an attribute before its payload.
const HEADER: usize = 4;

/// What a SUBMIT says.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub calls: Vec<Call>,
    pub data: Option<Vec<u8>>,
    pub relocs: Option<Vec<Reloc>>,
    pub pidfd: Option<i32>,
    pub results: Option<u64>,
}

/// How a message is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Bytes of an entry beyond those of [`Call`], by eight.
    beyond: u8,
    /// Entries of an attribute, less one.
    together: u8,
    /// CALL_SIZE comes last.
    size_last: bool,
    /// There is padding between attributes.
    padding: bool,
}

impl Form {
    /// As the library writes them: all entries in a row.
    pub const USUAL: Self = Self {
        beyond: 0,
        together: u8::MAX,
        size_last: false,
        padding: false,
    };

    /// Bytes of an entry.
    pub fn call_size(self) -> usize {
        size_of::<Call>() + usize::from(self.beyond % 4) * 8
    }
}

/// Attributes being written.
#[derive(Default)]
pub struct Attributes(pub Vec<u8>);

impl Attributes {
    /// Adds an attribute; says where its payload is.
    pub fn put(&mut self, kind: u16, payload: &[u8]) -> usize {
        let len = u16::try_from(HEADER + payload.len()).expect("an attribute of less than 64 KiB");
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        let at = self.0.len();
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(HEADER), 0);
        at
    }

    /// Adds a payload of any length, in as many attributes as it takes.
    pub fn put_long(&mut self, kind: u16, payload: &[u8]) {
        let (first, rest) = payload.split_at(payload.len().min(0xfff0));
        self.put(kind, first);
        if !rest.is_empty() {
            self.put_long(kind, rest);
        }
    }
}

impl Message {
    /// Its attributes, and where each entry is in them.
    pub fn write(&self, form: Form) -> (Vec<u8>, Vec<usize>) {
        let size = form.call_size();
        let mut attributes = Attributes::default();
        let put_size = |attributes: &mut Attributes| {
            attributes.put(submit::CALL_SIZE, &(size as u32).to_ne_bytes());
        };
        if !form.size_last {
            put_size(&mut attributes);
        }
        if let Some(pidfd) = self.pidfd {
            attributes.put(submit::TARGET_PIDFD, &pidfd.to_ne_bytes());
        }
        if let Some(results) = self.results {
            attributes.put(submit::RESULTS_PTR, &results.to_ne_bytes());
        }
        let mut places = Vec::new();
        for calls in self.calls.chunks(usize::from(form.together) + 1) {
            let mut payload = Vec::new();
            for call in calls {
                payload.extend(call.as_bytes());
                payload.resize(payload.len().next_multiple_of(size), 0);
            }
            if form.padding {
                attributes.put(submit::PAD, &[]);
            }
            let at = attributes.put(submit::CALLS, &payload);
            places.extend((0..calls.len()).map(|index| at + index * size));
        }
        if let Some(relocs) = &self.relocs {
            attributes.put_long(submit::RELOC, relocs.as_bytes());
        }
        if let Some(data) = &self.data {
            let (first, rest) = data.split_at(data.len() / 2);
            attributes.put_long(submit::DATA, first);
            attributes.put_long(submit::DATA, rest);
        }
        if form.size_last {
            put_size(&mut attributes);
        }
        (attributes.0, places)
    }
}

impl<'a> Arbitrary<'a> for Form {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            beyond: u.arbitrary()?,
            together: u.arbitrary()?,
            size_last: u.arbitrary()?,
            padding: u.arbitrary()?,
        })
    }
}

/// What the calls of a message have in common.
#[derive(Clone, Copy, Debug)]
enum Executor {
    Workers,
    Sender,
    Mixed,
}

impl<'a> Arbitrary<'a> for Message {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let executor = *u.choose(&[Executor::Workers, Executor::Sender, Executor::Mixed])?;
        let plain: bool = u.ratio(1, 4)?;
        let mut message = Self::default();
        let mut area = 0;
        while message.calls.len() < 200 && !u.is_empty() && !u.ratio(1, 12)? {
            // Now and then a long way back, by the same call many times.
            let times = match u.ratio(1, 1024)? {
                true => u.int_in_range(1000..=1050)?,
                false => 1,
            };
            let index = message.calls.len();
            let call = match plain {
                true => plain_call(u, executor)?,
                false => any_call(u, executor, index, &mut area)?,
            };
            message.calls.extend(std::iter::repeat_n(call, times));
        }
        if let (Some(last), true) = (message.calls.last_mut(), u.ratio(15, 16)?) {
            last.flags &= !(flag::LINK | flag::HARDLINK);
        }
        if matches!(executor, Executor::Sender) && u.ratio(1, 4)? {
            message.results =
                Some(u64::from(u.arbitrary::<u8>()?) * if u.ratio(7, 8)? { 8 } else { 1 });
        }
        if !matches!(executor, Executor::Sender) && u.ratio(1, 3)? {
            message.data = Some(vec![u.arbitrary()?; u.int_in_range(0..=300)?]);
            let relocs = u.int_in_range(0..=3)?;
            let relocs = (0..relocs).map(|_| reloc(u)).collect::<Result<Vec<_>>>()?;
            message.relocs = u.arbitrary::<bool>()?.then_some(relocs);
        }
        if u.ratio(1, 8)? {
            message.pidfd = Some(u.arbitrary()?);
        }
        Ok(message)
    }
}

fn reloc(u: &mut Unstructured<'_>) -> Result<Reloc> {
    let at = u32::from(u.arbitrary::<u8>()?);
    Ok(Reloc {
        at: if u.ratio(7, 8)? { at & !7 } else { at },
        to: u.arbitrary::<u16>()?.into(),
    })
}

fn is_inline(u: &mut Unstructured<'_>, executor: Executor) -> Result<bool> {
    Ok(match executor {
        Executor::Workers => false,
        Executor::Sender => true,
        Executor::Mixed => u.arbitrary()?,
    })
}

fn plain_call(u: &mut Unstructured<'_>, executor: Executor) -> Result<Call> {
    Ok(Call {
        user_data: u.arbitrary::<u8>()?.into(),
        nr: u.arbitrary::<u8>()?.into(),
        flags: if is_inline(u, executor)? {
            flag::INLINE
        } else {
            0
        },
        args: [u.arbitrary::<u8>()?.into(); 6],
        ..Call::default()
    })
}

fn any_call(
    u: &mut Unstructured<'_>,
    executor: Executor,
    index: usize,
    area: &mut u32,
) -> Result<Call> {
    let mut call = plain_call(u, executor)?;
    if u.ratio(1, 4)? {
        call.nr = *u.choose(NUMBERS)?;
    }
    call.flags |= match u.int_in_range(0..=20)? {
        0..=7 => flag::LINK,
        8 | 9 => flag::HARDLINK,
        10 => flag::LINK | flag::HARDLINK,
        11 => flag::DRAIN,
        12 => flag::SKIP_SUCCESS,
        13 => 1 << u.int_in_range(5..=31)?,
        _ => 0,
    };
    if u.ratio(1, 16)? {
        call.timeout_ns = u.arbitrary()?;
    }
    if u.ratio(1, 100)? {
        call.reserved = u.arbitrary()?;
    }
    for arg in 0..call.args.len() {
        let back = index as u64;
        let earlier = |u: &mut Unstructured<'_>| -> Result<u64> {
            let by = match u.ratio(1, 16)? {
                true => u.int_in_range(0..=1030)?,
                false => u.int_in_range(0..=4)?,
            };
            Ok(back.wrapping_sub(by))
        };
        let (kind, value) = match u.int_in_range(0..=24)? {
            0 | 1 => (ArgKind::OutPtr as u32, u.arbitrary()?),
            2 | 3 => (ArgKind::Result as u32, earlier(u)?),
            4 | 5 => {
                let width = *u.choose(&[1, 2, 4, 8, 8, 8, 3, 0])?;
                let index = earlier(u)? & 0xff_ffff;
                (
                    ArgKind::Load as u32,
                    index | width << 24 | u.arbitrary::<u64>()? << 32,
                )
            }
            6 => (ArgKind::Data as u32, u.int_in_range(0..=320)?),
            7 => {
                // Behind the one before, most often.
                let len = match u.ratio(1, 32)? {
                    true => u.int_in_range(59_000..=61_000)?,
                    false => u.int_in_range(0..=64)?,
                };
                let gap = u.int_in_range(0..=16)?;
                let from = match u.ratio(15, 16)? {
                    true => area.wrapping_add(gap),
                    false => area.wrapping_sub(gap),
                };
                *area = from.wrapping_add(len);
                (ArgKind::Out as u32, u64::from(from) | u64::from(len) << 32)
            }
            8 => (u.int_in_range(6..=15)?, 0),
            _ => (ArgKind::Value as u32, call.args[arg]),
        };
        call.arg_kinds |= kind << (arg as u32 * ARG_KIND_BITS);
        call.args[arg] = value;
    }
    if u.ratio(1, 100)? {
        call.arg_kinds |= 1 << u.int_in_range(24..=31)?;
    }
    Ok(call)
}
