// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the module can fail: the places in its code that call something which may find no memory.
//!
//! They are read from the module's own file, so that none can be left out: every call and every
//! jump out of its code is looked at, and a function that nobody has classified is an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use object::{
    read::elf::{ElfFile64, ElfSection64},
    Object, ObjectSection, ObjectSymbol, RelocationKind, RelocationTarget, SectionIndex,
    SectionKind, SymbolKind,
};

use super::callees::{self, Need};

/// The section that the module's code lies in. What runs only when it is loaded or unloaded lies in
/// others as well, which only call into this one.
const TEXT: &str = ".text";

/// One such place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Offset of the call in the module's code.
    pub call: u64,
    /// Offset to which it returns.
    pub back: u64,
    /// The function that it is in.
    pub function: String,
    /// What is called there.
    pub callee: String,
    /// The how many-th of its kind in the function, from 1.
    pub ordinal: usize,
    /// What may be missing.
    pub need: Need,
}

impl Point {
    /// Where a probe finds out that it is passed: at the call, or behind one that the kernel
    /// patches and so keeps for itself.
    pub fn probe(&self) -> u64 {
        if self.callee.starts_with("__SCT__") {
            self.back
        } else {
            self.call
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.function, self.callee)?;
        if self.ordinal > 1 {
            write!(f, " #{}", self.ordinal)?;
        }
        Ok(())
    }
}

/// A branch out of a function: a call, or a jump that does not come back.
struct Branch {
    at: u64,
    next: u64,
    is_call: bool,
    frees: bool,
    callee: Callee,
}

enum Callee {
    Outside(String),
    /// Offset in the code.
    Inside(u64),
}

/// A function of the module: where it begins, and its name.
struct Function {
    start: u64,
    end: u64,
    name: String,
    symbol: String,
    /// One of the kernel's or the language's crates, of which the module has a copy.
    is_foreign: bool,
}

/// The module's file.
pub struct Module {
    /// All points, in the order of the code.
    pub points: Vec<Point>,
    /// Where each function begins, as the kernel calls it.
    pub symbols: BTreeMap<String, u64>,
}

impl Module {
    /// Reads it.
    pub fn of(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file = ElfFile64::<object::Endianness>::parse(&bytes[..]);
        let file = file.expect("a module is an ELF file");
        let code = Code::new(&file);
        let mut points = code.points();
        points.extend(code.accesses(fixups(&file)));
        let symbols = code
            .functions
            .iter()
            .map(|function| (function.symbol.clone(), function.start));
        Self {
            points,
            symbols: symbols.collect(),
        }
    }

    /// The number of the point whose call returns there.
    pub fn number_of(&self, back: u64) -> Option<usize> {
        self.points.iter().position(|point| point.back == back)
    }
}

struct Code {
    functions: Vec<Function>,
    /// Those of each function.
    branches: Vec<Vec<Branch>>,
    /// Functions that anything outside of them leads to.
    referred: BTreeSet<u64>,
}

impl Code {
    fn new(file: &ElfFile64<'_, object::Endianness>) -> Self {
        let text = file.section_by_name(TEXT).expect("a module has code");
        let functions = functions(file, text.index());
        let (targets, mut referred) = targets(file, &text);
        let data = text.data().expect("the code is in the file");
        let mut branches = Vec::new();
        for function in &functions {
            branches.push(branches_of(function, data, &targets, &mut referred));
        }
        Self {
            functions,
            branches,
            referred,
        }
    }

    fn points(&self) -> Vec<Point> {
        let mut unknown = BTreeSet::new();
        let mut points = Vec::new();
        let wrappers = self.wrappers();
        for (function, branches) in self.functions.iter().zip(&self.branches) {
            if wrappers.contains_key(&function.start) || !self.is_used(function) {
                continue;
            }
            let mut ordinals = BTreeMap::<&str, usize>::new();
            for branch in branches.iter().filter(|branch| branch.is_call) {
                let (callee, need) = match &branch.callee {
                    Callee::Outside(name) => match callees::need(name) {
                        Ok(Some(need)) if !branch.frees => (name.as_str(), need),
                        Ok(_) => continue,
                        Err(()) => {
                            unknown.insert(name.clone());
                            continue;
                        }
                    },
                    Callee::Inside(start) => match wrappers.get(start) {
                        Some(need) => (self.name(*start), *need),
                        None => continue,
                    },
                };
                let ordinal = ordinals.entry(callee).or_default();
                *ordinal += 1;
                points.push(Point {
                    call: branch.at,
                    back: branch.next,
                    function: function.name.clone(),
                    callee: callee.to_owned(),
                    ordinal: *ordinal,
                    need,
                });
            }
        }
        assert!(
            unknown.is_empty(),
            "the module calls what callees.rs does not know: {unknown:?}. Say there whether it may fail"
        );
        points
    }

    /// Reads and writes of the process's memory that lie in the code itself, by where it goes on
    /// when they fault.
    fn accesses<'a>(&'a self, fixups: BTreeSet<u64>) -> impl Iterator<Item = Point> + 'a {
        let mut ordinals = BTreeMap::<u64, usize>::new();
        fixups.into_iter().map(move |at| {
            let index = self.functions.partition_point(|it| it.start <= at);
            let function = &self.functions[index - 1];
            let ordinal = ordinals.entry(function.start).or_default();
            *ordinal += 1;
            Point {
                call: at,
                back: at,
                function: function.name.clone(),
                callee: "memory of the process".to_owned(),
                ordinal: *ordinal,
                need: Need::Access,
            }
        })
    }

    /// Functions that stand for what they call: copies of the kernel's own generic code, and what
    /// jumps on instead of calling, so that nothing of it is on the stack. Their callers are the
    /// points.
    fn wrappers(&self) -> BTreeMap<u64, Need> {
        let mut wrappers = BTreeMap::new();
        loop {
            let before = wrappers.len();
            for (function, branches) in self.functions.iter().zip(&self.branches) {
                let needs = branches.iter().filter_map(|branch| {
                    let need = match &branch.callee {
                        Callee::Outside(name) => callees::need(name).ok().flatten(),
                        Callee::Inside(start) => wrappers.get(start).copied(),
                    };
                    let passes_on = !branch.is_call || function.is_foreign;
                    need.filter(|_| passes_on && !branch.frees)
                });
                if let Some(need) = needs.min() {
                    wrappers.insert(function.start, need);
                }
            }
            if wrappers.len() == before {
                return wrappers;
            }
        }
    }

    /// Whether anything leads to a function. The compiler keeps what it has put into all callers.
    fn is_used(&self, function: &Function) -> bool {
        self.referred.contains(&function.start)
    }

    fn name(&self, start: u64) -> &str {
        let index = self.functions.partition_point(|it| it.start < start);
        &self.functions[index].name
    }
}

/// Whether a function of this name is of another crate.
fn is_foreign(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&']);
    ["kernel::", "core::", "alloc::"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// The functions of the code in order, each up to the next one.
fn functions(file: &ElfFile64<'_, object::Endianness>, section: SectionIndex) -> Vec<Function> {
    let mut starts = BTreeMap::new();
    for symbol in file.symbols() {
        let is_code = symbol.kind() == SymbolKind::Text && symbol.section_index() == Some(section);
        if is_code && symbol.size() > 0 {
            let name = symbol.name().expect("functions have names");
            starts.insert(symbol.address(), (symbol.size(), name.to_owned()));
        }
    }
    starts
        .into_iter()
        .map(|(start, (size, symbol))| {
            let name = format!("{:#}", rustc_demangle::demangle(&symbol));
            Function {
                start,
                end: start + size,
                is_foreign: is_foreign(&name),
                name: short(&name),
                symbol,
            }
        })
        .collect()
}

/// The name without what all of them have.
fn short(name: &str) -> String {
    name.replace("nlcall_main::", "")
        .replace("kernel::alloc::allocator::", "")
        .replace("kernel::alloc::kbox::", "")
        .replace("kernel::alloc::kvec::", "")
        .replace("kernel::sync::arc::", "")
}

/// Where the code goes on when an instruction of it faults: the second of each three words of the
/// table that says so.
fn fixups(file: &ElfFile64<'_, object::Endianness>) -> BTreeSet<u64> {
    const TABLE: &str = "__ex_table";
    const ENTRY: u64 = 12;
    const FIXUP: u64 = 4;

    let table = file.section_by_name(TABLE);
    let relocations = table.iter().flat_map(ObjectSection::relocations);
    let fixups = relocations.filter_map(|(at, relocation)| {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return None;
        };
        let symbol = file
            .symbol_by_index(index)
            .expect("relocations name symbols");
        let to = symbol.address().wrapping_add_signed(relocation.addend());
        (at % ENTRY == FIXUP).then_some(to)
    });
    fixups.collect()
}

/// Where relocations lead that lie in the code, by their places, and which functions are led to from
/// anywhere but the tables that list all code.
fn targets<'data>(
    file: &ElfFile64<'data, object::Endianness>,
    text: &ElfSection64<'data, '_, object::Endianness>,
) -> (BTreeMap<u64, Callee>, BTreeSet<u64>) {
    let (mut targets, mut referred) = (BTreeMap::new(), BTreeSet::new());
    for section in file.sections() {
        let name = section.name().unwrap_or_default();
        let lists_code = [
            ".orc",
            ".return_sites",
            ".call_sites",
            "__patchable",
            ".llvm",
            ".debug",
        ];
        if lists_code.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let is_text = section.index() == text.index();
        let is_code = section.kind() == SectionKind::Text;
        for (at, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = file
                .symbol_by_index(index)
                .expect("relocations name symbols");
            let inside = (symbol.section_index() == Some(text.index())).then(|| {
                // A branch is relative to its end, where the field ends.
                let is_branch = is_code && relocation.kind() != RelocationKind::Absolute;
                let after = if is_branch { 4 } else { 0 };
                symbol
                    .address()
                    .wrapping_add_signed(relocation.addend() + after)
            });
            referred.extend(inside);
            if !is_text {
                continue;
            }
            let callee = match inside {
                Some(start) => Callee::Inside(start),
                None => Callee::Outside(symbol.name().unwrap_or_default().to_owned()),
            };
            targets.insert(at, callee);
        }
    }
    (targets, referred)
}

/// The branches out of a function. What the compiler could resolve itself has no relocation.
fn branches_of(
    function: &Function,
    code: &[u8],
    targets: &BTreeMap<u64, Callee>,
    referred: &mut BTreeSet<u64>,
) -> Vec<Branch> {
    let bytes = &code[function.start as usize..function.end as usize];
    let decoder = Decoder::with_ip(64, bytes, function.start, DecoderOptions::NONE);
    let mut branches = Vec::new();
    let mut flags = None;
    for instruction in decoder {
        if let Some(zero) = sets_flags(&instruction) {
            flags = Some(zero);
        }
        let is_outside = |address: &u64| !(function.start..function.end).contains(address);
        if instruction.is_ip_rel_memory_operand() {
            referred.extend(Some(instruction.ip_rel_memory_address()).filter(is_outside));
        }
        // Calls through a register are those of functions that somebody gave: none allocates.
        if instruction.op0_kind() != OpKind::NearBranch64 {
            continue;
        }
        let is_call = instruction.mnemonic() == Mnemonic::Call;
        let (at, next) = (instruction.ip(), instruction.next_ip());
        let callee = match targets.get(&(next - 4)) {
            Some(Callee::Outside(name)) => Callee::Outside(name.clone()),
            Some(Callee::Inside(start)) => Callee::Inside(*start),
            None => Callee::Inside(instruction.near_branch64()),
        };
        if let Callee::Inside(start) = callee {
            if !is_outside(&start) {
                continue;
            }
            referred.insert(start);
        }
        let reallocates =
            matches!(&callee, Callee::Outside(name) if callees::REALLOC.contains(&&**name));
        branches.push(Branch {
            at,
            next,
            is_call,
            frees: reallocates && flags == Some(true),
            callee,
        });
    }
    branches
}

/// Whether an instruction sets the fourth argument, which is how memory is to be allocated, and
/// whether to zero. Memory that is freed is so "allocated" anew, with no length.
fn sets_flags(instruction: &Instruction) -> Option<bool> {
    let is_it = |register| matches!(register, Register::ECX | Register::RCX);
    if instruction.op_count() == 0
        || instruction.op0_kind() != OpKind::Register
        || !is_it(instruction.op0_register())
    {
        return None;
    }
    match instruction.mnemonic() {
        Mnemonic::Xor => Some(instruction.op_count() == 2 && is_it(instruction.op1_register())),
        Mnemonic::Cmp | Mnemonic::Test => None,
        _ => Some(false),
    }
}
