// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! Holds `nlcall.yaml` and `src/wire.rs` together: each number, type and member of one is in the
//! other.
//!
//! The Rust side is read from the source text, which is what both the module and the clients are
//! compiled from, so that nothing can be added there and forgotten here.

use std::{collections::BTreeMap, mem::size_of};

use nlcall_abi as abi;
use nlcall_spec::{entries, kebab, scalar, structs, Definition, Operation, Spec, SPEC, WIRE};
use syn::{
    Attribute, BinOp, Expr, Fields, File, Item, ItemConst, ItemEnum, ItemMod, Lit, Meta, Type,
};

/// Attribute sets of the specification that are modules of the Rust side.
const ATTRIBUTE_SETS: &[&str] = &[
    "submit", "complete", "cancel", "features", "session", "call", "syscall", "config", "trace",
];
/// Modules of the Rust side that hold flags.
const FLAG_SETS: &[&str] = &["flag"];
/// Constants of the Rust side that are a name or a version of the specification, not a definition.
const NAMES: &[&str] = &["FAMILY_NAME", "FAMILY_VERSION", "TRACE_GROUP"];
/// The enum of the Rust side that is the list of operations, not a definition.
const OPERATIONS: &str = "Command";

fn spec() -> Spec {
    Spec::read(SPEC).expect("nlcall.yaml has the shape of a specification")
}

fn wire() -> File {
    syn::parse_file(WIRE).expect("wire.rs is Rust")
}

/// The documentation of an item, in one line.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(text) => match &text.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ")
}

/// The value of a constant expression; `known` are the constants before it.
fn evaluate(value: &Expr, known: &BTreeMap<String, u64>) -> u64 {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().expect("a number"),
            other => panic!("not a number: {other:?}"),
        },
        Expr::Path(path) => {
            let name = path
                .path
                .get_ident()
                .expect("a constant of the same module")
                .to_string();
            known[&name]
        }
        Expr::Binary(binary) => {
            let (left, right) = (
                evaluate(&binary.left, known),
                evaluate(&binary.right, known),
            );
            match binary.op {
                BinOp::Shl(_) => left << right,
                BinOp::BitOr(_) => left | right,
                other => panic!("cannot evaluate {other:?}"),
            }
        }
        other => panic!("cannot evaluate {other:?}"),
    }
}

/// The constants of a module in order: name, value, documentation.
fn constants(module: &ItemMod) -> Vec<(String, u64, String)> {
    let (_, items) = module.content.as_ref().expect("an inline module");
    let mut known = BTreeMap::new();
    let mut constants = Vec::new();
    for item in items {
        let Item::Const(item) = item else {
            panic!("only constants belong into a module")
        };
        let name = item.ident.to_string();
        let value = evaluate(&item.expr, &known);
        known.insert(name.clone(), value);
        constants.push((name, value, doc(&item.attrs)));
    }
    constants
}

fn modules(wire: &File) -> impl Iterator<Item = &ItemMod> {
    wire.items.iter().filter_map(|item| match item {
        Item::Mod(item) => Some(item),
        _ => None,
    })
}

fn enums(wire: &File) -> impl Iterator<Item = &ItemEnum> {
    wire.items.iter().filter_map(|item| match item {
        Item::Enum(item) => Some(item),
        _ => None,
    })
}

/// The named constants of the source, without the nameless assertion.
fn top_constants(wire: &File) -> impl Iterator<Item = &ItemConst> {
    wire.items.iter().filter_map(|item| match item {
        Item::Const(item) if item.ident != "_" => Some(item),
        _ => None,
    })
}

/// The variants of an enum, in order, as the specification writes them.
fn variants(item: &ItemEnum) -> Vec<(String, u64)> {
    let variants = item.variants.iter().map(|variant| {
        assert!(
            matches!(variant.fields, Fields::Unit),
            "{} carries data",
            variant.ident
        );
        let (_, value) = variant.discriminant.as_ref().expect("an explicit number");
        (
            kebab(&variant.ident.to_string()),
            evaluate(value, &BTreeMap::new()),
        )
    });
    variants.collect()
}

/// The type of an attribute as its documentation in the source begins, and whether it may repeat.
fn documented_type(doc: &str) -> (&str, bool) {
    let mut doc = doc;
    for direction in ["Request, ", "Reply, "] {
        doc = doc.strip_prefix(direction).unwrap_or(doc);
    }
    if doc == "Padding; ignored." {
        return ("pad", false);
    }
    let (head, _) = doc
        .split_once(':')
        .expect("the documentation begins with the type");
    let multi = head.starts_with("Binary, may repeat");
    let name = match head {
        "`u32`" => "u32",
        "`u64`" => "u64",
        "`s32`" => "s32",
        "`s64`" => "s64",
        "String" => "string",
        "Flag" | "flag" => "flag",
        "Binary" => "binary",
        _ if multi => "binary",
        other => panic!("unknown type {other:?} in the documentation"),
    };
    (name, multi)
}

#[test]
fn names_and_versions_agree() {
    let spec = spec();
    assert_eq!(spec.name, abi::FAMILY_NAME);
    assert_eq!(spec.version, abi::FAMILY_VERSION);
    assert_eq!(spec.protocol, "genetlink-legacy");
    assert_eq!(spec.operations.enum_model, "unified");
    let groups: Vec<_> = spec
        .mcast_groups
        .list
        .iter()
        .map(|group| &group.name)
        .collect();
    assert_eq!(groups, [abi::TRACE_GROUP]);
}

#[test]
fn constants_agree() {
    let ours: BTreeMap<_, _> = top_constants(&wire())
        .map(|item| (item.ident.to_string(), &item.expr))
        .filter(|(name, _)| !NAMES.contains(&name.as_str()))
        .map(|(name, value)| (kebab(&name), evaluate(value, &BTreeMap::new())))
        .collect();
    let spec = spec();
    let theirs: BTreeMap<_, _> = spec
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Const { name, value, .. } => Some((name.clone(), *value)),
            _ => None,
        })
        .collect();
    assert_eq!(ours, theirs);
    for name in NAMES {
        assert!(
            top_constants(&wire()).any(|item| item.ident == name),
            "{name} is gone"
        );
    }
}

#[test]
fn operations_agree() {
    let wire = wire();
    let spec = spec();
    let list = &spec.operations.list;
    let commands = enums(&wire)
        .find(|item| item.ident == OPERATIONS)
        .expect("the commands");
    assert_eq!(variants(commands), spec.operations.numbered(),);
    for (variant, operation) in commands.variants.iter().zip(list) {
        let kind = match operation {
            Operation {
                r#do: Some(_),
                dump: None,
                event: None,
                mcgrp: None,
                ..
            } => "`do`: ",
            Operation {
                r#do: None,
                dump: Some(_),
                event: None,
                mcgrp: None,
                ..
            } => "`dump`: ",
            Operation {
                r#do: None,
                dump: None,
                event: Some(_),
                mcgrp: None,
                ..
            } => "Event, unicast",
            Operation {
                r#do: None,
                dump: None,
                event: Some(_),
                mcgrp: Some(group),
                ..
            } => {
                assert_eq!(group, abi::TRACE_GROUP);
                "Event on the multicast group"
            }
            other => panic!("{} is of several kinds", other.name),
        };
        let ours = doc(&variant.attrs);
        assert!(
            ours.starts_with(kind),
            "{}: not of the kind {kind:?}: {ours}",
            operation.name
        );
    }
}

#[test]
fn operations_use_attributes_of_their_set() {
    let spec = spec();
    let mut used = BTreeMap::new();
    for operation in &spec.operations.list {
        let exchanges = [operation.r#do.as_ref(), operation.dump.as_ref()]
            .into_iter()
            .flatten();
        let messages = exchanges
            .flat_map(|exchange| [&exchange.request, &exchange.reply])
            .chain(operation.event.as_ref());
        for attribute in messages.flat_map(|message| &message.attributes) {
            let set = operation
                .attribute_set
                .as_ref()
                .expect("a set for its attributes");
            used.entry((set.clone(), attribute.clone()))
                .or_insert(&operation.name);
        }
    }
    for set in &spec.attribute_sets {
        for attribute in set
            .attributes
            .iter()
            .filter(|attribute| attribute.r#type != "pad")
        {
            let key = (set.name.clone(), attribute.name.clone());
            assert!(used.remove(&key).is_some(), "no operation uses {key:?}");
        }
    }
    assert!(used.is_empty(), "no set has {used:?}");
}

#[test]
fn attributes_agree() {
    let wire = wire();
    let ours: BTreeMap<_, _> = modules(&wire)
        .map(|module| (module.ident.to_string(), constants(module)))
        .filter(|(name, _)| !FLAG_SETS.contains(&name.as_str()))
        .collect();
    let spec = spec();
    let theirs: BTreeMap<_, _> = spec
        .attribute_sets
        .iter()
        .map(|set| (set.name.clone(), set))
        .collect();

    let mut expected: Vec<_> = ATTRIBUTE_SETS.to_vec();
    expected.sort_unstable();
    assert_eq!(ours.keys().collect::<Vec<_>>(), expected);
    assert_eq!(theirs.keys().collect::<Vec<_>>(), expected);
    assert_eq!(
        theirs.len(),
        spec.attribute_sets.len(),
        "a set is there twice"
    );

    for (set, constants) in &ours {
        let ((max_name, max, _), attributes) = constants.split_last().expect("constants");
        assert_eq!(max_name, "MAX", "{set}");
        let theirs = theirs[set];
        let named = attributes
            .iter()
            .map(|(name, value, _)| (kebab(name), *value));
        assert_eq!(named.collect::<Vec<_>>(), theirs.numbered(), "{set}",);
        assert_eq!(
            attributes.iter().map(|(_, value, _)| value).max(),
            Some(max),
            "{set}"
        );
        for ((name, _, doc), theirs) in attributes.iter().zip(&theirs.attributes) {
            assert_eq!(
                documented_type(doc),
                (theirs.r#type.as_str(), theirs.multi_attr),
                "{set}/{name}",
            );
        }
    }
}

#[test]
fn enums_agree() {
    let wire = wire();
    let ours: BTreeMap<_, _> = enums(&wire)
        .filter(|item| item.ident != OPERATIONS)
        .map(|item| (kebab(&item.ident.to_string()), variants(item)))
        .collect();
    let theirs: BTreeMap<_, _> = spec()
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Enum {
                name,
                entries: list,
                ..
            } => Some((name.clone(), entries(list))),
            _ => None,
        })
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn flags_agree() {
    let wire = wire();
    let ours: BTreeMap<_, _> = modules(&wire)
        .map(|module| (module.ident.to_string(), constants(module)))
        .filter(|(name, _)| FLAG_SETS.contains(&name.as_str()))
        .map(|(set, constants)| {
            let ((known_name, known, _), flags) = constants.split_last().expect("constants");
            assert_eq!(known_name, "KNOWN", "{set}");
            assert_eq!(
                flags.iter().fold(0, |mask, (_, bit, _)| mask | bit),
                *known,
                "{set}"
            );
            let bits = flags.iter().map(|(name, value, _)| {
                assert!(value.is_power_of_two(), "{name} is not one bit");
                (kebab(name), u64::from(value.trailing_zeros()))
            });
            (set.clone(), bits.collect::<Vec<_>>())
        })
        .collect();
    let theirs: BTreeMap<_, _> = spec()
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Flags {
                name,
                entries: list,
                ..
            } => Some((name.clone(), entries(list))),
            _ => None,
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// One member of a structure: name, offset and size in bytes.
type Layout = Vec<(String, usize, usize)>;

/// What the compiler made of a structure. A member that is missing here does not compile.
macro_rules! layout {
    ($type:ident { $($member:ident),+ $(,)? }) => {{
        let abi::$type { $($member: _),+ } = abi::$type::default();
        fn size<T, M>(_: fn(&T) -> &M) -> usize {
            size_of::<M>()
        }
        let members: Layout = vec![$((
            kebab(stringify!($member)),
            std::mem::offset_of!(abi::$type, $member),
            size::<abi::$type, _>(|it| &it.$member),
        )),+];
        (kebab(stringify!($type)), (size_of::<abi::$type>(), members))
    }};
}

#[test]
fn structs_agree() {
    let layouts = BTreeMap::from([
        layout!(Call {
            user_data,
            nr,
            flags,
            args,
            arg_kinds,
            reserved,
            timeout_ns
        }),
        layout!(CallResult {
            user_data,
            ret,
            outcome,
            restart,
            data_off,
            data_len,
            reserved
        }),
        layout!(ResultsHeader {
            done,
            capacity,
            reserved
        }),
        layout!(Latency {
            nr,
            reserved,
            count,
            total_ns,
            buckets
        }),
        layout!(Reloc { at, to }),
        layout!(Readi {
            pid,
            fd,
            ptr,
            count,
            padding
        }),
    ]);
    let wire = wire();
    let ours: BTreeMap<_, _> = structs(&wire)
        .map(|item| (kebab(&item.ident.to_string()), item))
        .collect();
    assert!(
        ours.keys().eq(layouts.keys()),
        "layouts lacks a structure of wire.rs"
    );

    let spec = spec();
    let theirs: BTreeMap<_, _> = spec
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::Struct { name, members, .. } => Some((name.clone(), members)),
            _ => None,
        })
        .collect();
    assert!(
        theirs.keys().eq(layouts.keys()),
        "nlcall.yaml has other structures"
    );

    for (name, (size, layout)) in &layouts {
        let fields = &ours[name].fields;
        let members = theirs[name];
        assert_eq!(members.len(), layout.len(), "{name}");
        // YNL lays members out one after the other, without padding.
        let mut offset = 0;
        for ((field, member), expected) in fields.iter().zip(members).zip(layout) {
            let (kind, len) = ynl_type(&field.ty);
            assert_eq!(
                (&member.r#type, member.len.unwrap_or(len)),
                (&kind, len),
                "{name}/{}",
                member.name,
            );
            assert_eq!((member.name.clone(), offset, len), *expected, "{name}");
            offset += len;
        }
        assert_eq!(offset, *size, "{name} has padding at its end");
    }
}

/// A field's type as YNL calls it, and its size in bytes.
fn ynl_type(field: &Type) -> (String, usize) {
    let scalar = scalar(field).unwrap_or_else(|| panic!("no type for the wire: {field:?}"));
    let bytes = scalar.bytes();
    match scalar.count {
        Some(_) => ("binary".to_owned(), bytes),
        None => (scalar.name, bytes),
    }
}

#[test]
fn references_to_definitions_resolve() {
    let spec = spec();
    let is_enum = |wanted: &String| {
        spec.definitions.iter().any(|definition| match definition {
            Definition::Enum { name, .. } | Definition::Flags { name, .. } => name == wanted,
            _ => false,
        })
    };
    let is_struct = |wanted: &String| {
        spec.definitions.iter().any(
            |definition| matches!(definition, Definition::Struct { name, .. } if name == wanted),
        )
    };
    for attribute in spec.attribute_sets.iter().flat_map(|set| &set.attributes) {
        assert!(attribute.r#enum.iter().all(is_enum), "{}", attribute.name);
        assert!(
            attribute.r#struct.iter().all(is_struct),
            "{}",
            attribute.name
        );
        assert!(
            !attribute.enum_as_flags || attribute.r#enum.is_some(),
            "{}",
            attribute.name
        );
    }
    for definition in &spec.definitions {
        if let Definition::Struct { members, .. } = definition {
            for member in members {
                assert!(member.r#enum.iter().all(is_enum), "{}", member.name);
            }
        }
    }
}

#[test]
fn the_least_call_size_is_that_of_a_call() {
    let spec = spec();
    let checks: Vec<_> = spec
        .attribute_sets
        .iter()
        .flat_map(|set| &set.attributes)
        .filter_map(|attribute| Some((attribute.name.as_str(), attribute.checks.as_ref()?.min)))
        .collect();
    assert_eq!(checks, [("call-size", size_of::<abi::Call>())]);
}

#[test]
fn everything_is_documented() {
    let spec = spec();
    let mut docs: Vec<(&str, Option<&str>)> = Vec::new();
    for definition in &spec.definitions {
        match definition {
            Definition::Const { name, doc, .. } => docs.push((name, Some(doc))),
            Definition::Enum { name, doc, entries } | Definition::Flags { name, doc, entries } => {
                docs.push((name, Some(doc)));
                docs.extend(
                    entries
                        .iter()
                        .map(|it| (it.name.as_str(), Some(it.doc.as_str()))),
                );
            }
            Definition::Struct { name, doc, members } => {
                docs.push((name, Some(doc)));
                docs.extend(
                    members
                        .iter()
                        .map(|it| (it.name.as_str(), Some(it.doc.as_str()))),
                );
            }
        }
    }
    for set in &spec.attribute_sets {
        docs.push((&set.name, Some(&set.doc)));
        let attributes = set.attributes.iter().filter(|it| it.r#type != "pad");
        docs.extend(attributes.map(|it| (it.name.as_str(), it.doc.as_deref())));
    }
    let operations = &spec.operations.list;
    docs.extend(
        operations
            .iter()
            .map(|it| (it.name.as_str(), Some(it.doc.as_str()))),
    );
    for (name, doc) in docs {
        assert!(
            doc.is_some_and(|doc| !doc.trim().is_empty()),
            "{name} is not documented"
        );
    }
}
