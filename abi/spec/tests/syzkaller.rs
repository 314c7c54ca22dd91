// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! The description for syzkaller says what the specification says.

use std::collections::BTreeSet;

use nlcall_spec::{AttributeSpec, Definition, Exchange, Spec, SPEC};

const DESCRIPTION: &str = include_str!("../../../tools/syzkaller/nlcall.txt");
const HEADER: &str = include_str!("../../include/nlcall.h");

fn spec() -> Spec {
    Spec::read(SPEC).expect("a specification")
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The lines between a definition and its closing bracket or brace, as words.
fn members(name: &str) -> Vec<Vec<&'static str>> {
    let mut lines = DESCRIPTION.lines();
    let begins = |line: &str| line == format!("{name} [") || line == format!("{name} {{");
    lines
        .find(|line| begins(line))
        .unwrap_or_else(|| panic!("{name} is not described"));
    let members = lines.take_while(|line| !line.starts_with([']', '}']));
    members
        .map(|line| line.trim().splitn(2, '\t').map(str::trim).collect())
        .collect()
}

/// Whether a type of syzkaller has the size of an attribute's.
fn fits(attribute: &AttributeSpec, described: &str) -> bool {
    match attribute.r#type.as_str() {
        "u32" | "s32" => described.contains("int32") || ["fd", "fd_pidfd"].contains(&described),
        "u64" | "s64" => described.starts_with("int64") || described.starts_with("ptr64["),
        "flag" => described == "void",
        "string" => described.starts_with("string["),
        "binary" => match &attribute.r#struct {
            Some(of) => described == format!("array[nlcall_{of}]"),
            None => described.starts_with("array["),
        },
        other => panic!("{other} is not known here"),
    }
}

#[test]
fn every_request_is_described_with_its_attributes() {
    let spec = spec();
    let mut commands = BTreeSet::new();
    for operation in &spec.operations.list {
        let command = format!("NLCALL_CMD_{}", upper(&operation.name));
        let of = |exchange: &Option<Exchange>| {
            let request = exchange.as_ref()?.request.attributes.clone();
            Some(BTreeSet::from_iter(request))
        };
        let requests = [of(&operation.r#do), of(&operation.dump)];
        if requests.iter().all(Option::is_none) {
            continue;
        }
        let names: BTreeSet<String> = requests.into_iter().flatten().flatten().collect();
        let set = spec
            .attribute_sets
            .iter()
            .find(|set| Some(&set.name) == operation.attribute_set.as_ref());
        let described = match names.is_empty() {
            true => "void".to_owned(),
            false => format!("nlcall_{}", set.expect("a set of attributes").name),
        };
        let call = format!(
            "sendmsg${command}(fd sock_nl_generic, msg ptr[in, msghdr_nlcall[{command}, {described}]]"
        );
        assert!(DESCRIPTION.contains(&call), "{call} ... is missing");
        commands.insert(command);
        let Some(set) = set.filter(|_| !names.is_empty()) else {
            continue;
        };
        let attributes = set.attributes.iter();
        let attributes = attributes.filter(|it| names.contains(&it.name) && it.r#type != "pad");
        let attributes: Vec<_> = attributes.collect();
        let members = members(&described);
        assert_eq!(members.len(), attributes.len(), "{described}");
        for (attribute, member) in attributes.iter().zip(members) {
            let name = format!("NLCALL_A_{}_{}", upper(&set.name), upper(&attribute.name));
            let payload = member[1]
                .strip_prefix(&format!("nlattr[{name}, "))
                .and_then(|rest| rest.strip_suffix(']'));
            assert_eq!(member[0], name, "{described}");
            let payload = payload.unwrap_or_else(|| panic!("{name} is {}", member[1]));
            assert!(fits(attribute, payload), "{name}: {payload}");
        }
    }
    let described = DESCRIPTION.lines().filter_map(|line| {
        let name = line.strip_prefix("sendmsg$")?.split('(').next()?;
        name.starts_with("NLCALL_").then(|| name.to_owned())
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), commands);
}

#[test]
fn structures_have_their_members_in_order() {
    let spec = spec();
    for definition in &spec.definitions {
        let Definition::Struct {
            name,
            members: of_spec,
            ..
        } = definition
        else {
            continue;
        };
        if !["call", "reloc", "readi"].contains(&name.as_str()) {
            continue;
        }
        // Kinds have a member for each argument, and one for the rest.
        let mut described: Vec<&str> = members(&format!("nlcall_{name}"))
            .iter()
            .map(|member| match member[0].starts_with("arg_kind") {
                true => "arg_kinds",
                false => member[0],
            })
            .collect();
        described.dedup();
        let of_spec: Vec<String> = of_spec.iter().map(|it| it.name.replace('-', "_")).collect();
        assert_eq!(described, of_spec, "{name}");
    }
}

#[test]
fn every_name_is_one_of_the_header() {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let names = |text: &'static str| {
        let words = text.split(move |it| !is_part(it));
        let words = words.filter(|word| word.starts_with("NLCALL_"));
        words.collect::<BTreeSet<_>>()
    };
    let (described, header) = (names(DESCRIPTION), names(HEADER));
    let unknown: Vec<_> = described.difference(&header).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for enumeration in ["NLCALL_FLAG_", "NLCALL_ARG_KIND_"] {
        let of = |names: &BTreeSet<&'static str>| -> BTreeSet<&'static str> {
            let names = names.iter().filter(|it| it.starts_with(enumeration));
            names.filter(|it| !it.ends_with("_BITS")).copied().collect()
        };
        assert_eq!(of(&described), of(&header), "{enumeration}");
    }
}
