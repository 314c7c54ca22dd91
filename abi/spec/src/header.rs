// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! Writes the C header. Names are those that the kernel's own generator
//! (`tools/net/ynl/pyynl/ynl_gen_c.py`, mode `uapi`) would give; that one writes neither structures
//! nor what attributes are.

use crate::spec::{entries, AttributeSet, AttributeSpec, Definition, Entry, Member, Spec};
use crate::wire::{kebab, scalar, structs, Scalar};
use crate::{Error, SPEC, WIRE};

/// Columns of a line.
const WIDTH: usize = 80;

/// How the header begins.
const HEAD: &str = "\
/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Made of nlcall.yaml by `cargo xtask header`; change that instead. */
#ifndef _NLCALL_H
#define _NLCALL_H

#include <stddef.h>

#include <linux/types.h>

";

/// What holds the layout, in the languages that can say so.
const ASSERT: &str = "\
/* The layout is the contract. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define __NLCALL_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define __NLCALL_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#ifdef __NLCALL_ASSERT
";

/// The C header of the family.
pub fn header() -> Result<String, Error> {
    let spec = Spec::read(SPEC)?;
    let layouts = layouts()?;
    let mut out = HEAD.to_owned();
    let about =
        "Netlink aligns attributes to four bytes: copy structures out of them with memcpy().";
    comment(&mut out, &[spec.doc.as_str(), about]);
    out.push('\n');

    define(&mut out, "NLCALL_FAMILY_NAME", &format!("{:?}", spec.name));
    define(&mut out, "NLCALL_FAMILY_VERSION", &spec.version.to_string());
    for group in &spec.mcast_groups.list {
        let name = c_name(&["mcgrp", &group.name]);
        define(&mut out, &name, &format!("{:?}", group.name));
    }
    out.push('\n');
    for definition in &spec.definitions {
        if let Definition::Const { name, value, doc } = definition {
            comment(&mut out, &[doc]);
            define(&mut out, &c_name(&[name]), &value.to_string());
        }
    }
    for definition in &spec.definitions {
        match definition {
            Definition::Enum { name, doc, entries } => {
                enumeration(&mut out, name, doc, entries, |number| number.to_string());
            }
            Definition::Flags { name, doc, entries } => {
                enumeration(&mut out, name, doc, entries, |bit| format!("1 << {bit}"));
            }
            Definition::Const { .. } | Definition::Struct { .. } => {}
        }
    }
    let mut assertions = String::new();
    for definition in &spec.definitions {
        if let Definition::Struct { name, doc, members } = definition {
            let layout = layouts
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(|| Error::Differ(format!("wire.rs has no structure {name}")))?;
            structure(&mut out, name, doc, members, &layout.1)?;
            assert_layout(&mut assertions, name, members, &layout.1);
        }
    }
    commands(&mut out, &spec);
    for set in &spec.attribute_sets {
        attributes(&mut out, set);
    }
    out.push_str(ASSERT);
    out.push_str(&assertions);
    out.push_str("#endif\n#undef __NLCALL_ASSERT\n\n#endif /* _NLCALL_H */\n");
    Ok(out)
}

/// The structures of `wire.rs` with what each member is made of, by the names of the
/// specification.
fn layouts() -> Result<Vec<(String, Vec<Scalar>)>, Error> {
    let wire = syn::parse_file(WIRE)?;
    let layouts = structs(&wire).map(|item| {
        let members = item.fields.iter().map(|field| scalar(&field.ty)).collect();
        let members: Option<Vec<_>> = members;
        let name = kebab(&item.ident.to_string());
        match members {
            Some(members) => Ok((name, members)),
            None => Err(Error::Differ(format!(
                "{name} has a member of no type of YNL"
            ))),
        }
    });
    layouts.collect()
}

/// A name in capitals, beginning with the family's.
fn c_name(parts: &[&str]) -> String {
    let name = format!("nlcall_{}", parts.join("_"));
    name.replace('-', "_").to_uppercase()
}

/// The name of an enumeration, a structure or a member.
fn c_word(name: &str) -> String {
    name.replace('-', "_")
}

fn define(out: &mut String, name: &str, value: &str) {
    line(out, &format!("#define {name} {value}"));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Paragraphs of words, each line of which begins so.
fn wrap(out: &mut String, text: &str, first: &str, next: &str) {
    let mut current = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && current.len() + 1 + word.len() > WIDTH {
            line(out, &current);
            current = next.to_owned();
        }
        current.push(' ');
        current.push_str(word);
        is_empty = false;
    }
    line(out, &current);
}

/// A comment of some paragraphs, which are apart in the text by an empty line.
fn comment(out: &mut String, texts: &[&str]) {
    let whole = format!("/* {} */", texts.join("\n\n").trim());
    if whole.len() <= WIDTH && !whole.contains('\n') {
        line(out, &whole);
        return;
    }
    line(out, "/*");
    let paragraphs = texts.iter().flat_map(|text| text.split("\n\n"));
    for (number, paragraph) in paragraphs.enumerate() {
        if number > 0 {
            line(out, " *");
        }
        wrap(out, paragraph, " *", " *");
    }
    line(out, " */");
}

/// The comment of something and of its parts, as the kernel writes them.
fn kernel_doc<'a>(
    out: &mut String,
    what: &str,
    doc: &str,
    parts: impl IntoIterator<Item = (String, &'a str)>,
) {
    line(out, "/**");
    wrap(out, &format!("{what} - {doc}"), " *", " *  ");
    for (name, doc) in parts {
        wrap(out, &format!("@{name}: {doc}"), " *", " *  ");
    }
    line(out, " */");
}

fn enumeration(
    out: &mut String,
    name: &str,
    doc: &str,
    list: &[Entry],
    value: impl Fn(u64) -> String,
) {
    let word = c_word(name);
    let names = list.iter().map(|entry| c_name(&[name, &entry.name]));
    let docs = list.iter().map(|entry| entry.doc.as_str());
    out.push('\n');
    kernel_doc(out, &format!("enum nlcall_{word}"), doc, names.zip(docs));
    line(out, &format!("enum nlcall_{word} {{"));
    for (entry, number) in entries(list) {
        line(
            out,
            &format!("\t{} = {},", c_name(&[name, &entry]), value(number)),
        );
    }
    line(out, "};");
}

fn structure(
    out: &mut String,
    name: &str,
    doc: &str,
    members: &[Member],
    layout: &[Scalar],
) -> Result<(), Error> {
    if members.len() != layout.len() {
        return Err(Error::Differ(format!("{name} has other members")));
    }
    let word = c_word(name);
    let docs = members
        .iter()
        .map(|member| (c_word(&member.name), member.doc.as_str()));
    out.push('\n');
    kernel_doc(out, &format!("struct nlcall_{word}"), doc, docs);
    line(out, &format!("struct nlcall_{word} {{"));
    for (member, scalar) in members.iter().zip(layout) {
        let count = scalar.count.map(|count| format!("[{count}]"));
        let (kind, count) = (&scalar.name, count.unwrap_or_default());
        line(out, &format!("\t__{kind} {}{count};", c_word(&member.name)));
    }
    line(out, "};");
    Ok(())
}

/// Size and offsets of a structure; YNL lays members out one after the other.
fn assert_layout(out: &mut String, name: &str, members: &[Member], layout: &[Scalar]) {
    let kind = format!("struct nlcall_{}", c_word(name));
    let size: usize = layout.iter().map(Scalar::bytes).sum();
    line(out, &format!("__NLCALL_ASSERT(sizeof({kind}) == {size});"));
    let mut offset = 0;
    for (member, scalar) in members.iter().zip(layout) {
        let member = c_word(&member.name);
        line(
            out,
            &format!("__NLCALL_ASSERT(offsetof({kind}, {member}) == {offset});"),
        );
        offset += scalar.bytes();
    }
}

fn commands(out: &mut String, spec: &Spec) {
    let list = &spec.operations.list;
    let docs = list.iter().map(|operation| {
        let kind = match (&operation.r#do, &operation.dump, &operation.mcgrp) {
            (Some(_), _, _) => "do".to_owned(),
            (_, Some(_), _) => "dump".to_owned(),
            (_, _, Some(group)) => format!("event on the group {group}"),
            (None, None, None) => "event".to_owned(),
        };
        let name = c_name(&["cmd", &operation.name]);
        (name, format!("({kind}) {}", operation.doc))
    });
    let docs: Vec<_> = docs.collect();
    let parts = docs.iter().map(|(name, doc)| (name.clone(), doc.as_str()));
    out.push('\n');
    kernel_doc(out, "enum nlcall_cmd", "Commands of the family.", parts);
    line(out, "enum nlcall_cmd {");
    for (name, number) in spec.operations.numbered() {
        line(out, &format!("\t{} = {number},", c_name(&["cmd", &name])));
    }
    line(out, "};");
}

fn attributes(out: &mut String, set: &AttributeSet) {
    let docs: Vec<_> = set
        .attributes
        .iter()
        .map(|it| (c_name(&["a", &set.name, &it.name]), attribute_doc(it)))
        .collect();
    let parts = docs.iter().map(|(name, doc)| (name.clone(), doc.as_str()));
    let word = c_word(&set.name);
    out.push('\n');
    kernel_doc(out, &format!("enum nlcall_a_{word}"), &set.doc, parts);
    line(out, &format!("enum nlcall_a_{word} {{"));
    let mut highest = 0;
    for (name, number) in set.numbered() {
        highest = highest.max(number);
        let name = c_name(&["a", &set.name, &name]);
        line(out, &format!("\t{name} = {number},"));
    }
    let max = c_name(&["a", &set.name, "max"]);
    line(out, &format!("\t{max} = {highest},"));
    line(out, "};");
}

/// What an attribute is, and what it carries.
fn attribute_doc(attribute: &AttributeSpec) -> String {
    let mut doc = format!("({}", attribute.r#type);
    if attribute.multi_attr {
        doc.push_str(", may repeat");
    }
    if let Some(name) = &attribute.r#enum {
        let how = if attribute.enum_as_flags {
            "bits by"
        } else {
            "of"
        };
        doc.push_str(&format!("; {how} enum nlcall_{}", c_word(name)));
    }
    doc.push(')');
    if let Some(text) = &attribute.doc {
        doc.push(' ');
        doc.push_str(text);
    }
    doc
}
