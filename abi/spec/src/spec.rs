// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! The shape of `nlcall.yaml`: that part of the kernel's schema
//! (`Documentation/netlink/genetlink-legacy.yaml`) that it uses. Anything else in it is an error.

use serde::Deserialize;

use crate::Error;

/// The specification of the family.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// Name of the family.
    pub name: String,
    /// Level of the schema.
    pub protocol: String,
    /// Version of the family.
    pub version: u8,
    /// What the family is for.
    pub doc: String,
    /// Constants, enumerations and structures.
    pub definitions: Vec<Definition>,
    /// Attributes, in sets.
    pub attribute_sets: Vec<AttributeSet>,
    /// Commands.
    pub operations: Operations,
    /// Multicast groups.
    pub mcast_groups: McastGroups,
}

impl Spec {
    /// Reads the text of a specification.
    pub fn read(text: &str) -> Result<Self, Error> {
        Ok(serde_norway::from_str(text)?)
    }
}

/// Something that has a name of its own.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Definition {
    /// A number.
    Const {
        /// Its name.
        name: String,
        /// The number.
        value: u64,
        /// What it means.
        doc: String,
    },
    /// An enumeration.
    Enum {
        /// Its name.
        name: String,
        /// What it is about.
        doc: String,
        /// Its values, the first 0 unless it says otherwise.
        entries: Vec<Entry>,
    },
    /// Bits.
    Flags {
        /// Its name.
        name: String,
        /// What it is about.
        doc: String,
        /// The bits, by their number.
        entries: Vec<Entry>,
    },
    /// A structure.
    Struct {
        /// Its name.
        name: String,
        /// What it is.
        doc: String,
        /// Its members, one after the other, without padding.
        members: Vec<Member>,
    },
}

/// A value of an enumeration, or a bit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its number; one more than that of the one before where there is none.
    pub value: Option<u64>,
    /// What it means.
    pub doc: String,
}

/// A member of a structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// Bytes of a binary one.
    pub len: Option<usize>,
    /// The enumeration that its values are of.
    pub r#enum: Option<String>,
    /// What it holds.
    pub doc: String,
}

/// A set of attributes, numbered apart from others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeSet {
    /// Its name.
    pub name: String,
    /// Whose they are.
    pub doc: String,
    /// The attributes, the first 1 unless it says otherwise.
    pub attributes: Vec<AttributeSpec>,
}

/// An attribute.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AttributeSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// Its number; one more than that of the one before where there is none.
    pub value: Option<u64>,
    /// Whether it may repeat.
    #[serde(default)]
    pub multi_attr: bool,
    /// The enumeration that its values are of.
    pub r#enum: Option<String>,
    /// Whether the numbers of that enumeration are bits.
    #[serde(default)]
    pub enum_as_flags: bool,
    /// The structure that it carries.
    pub r#struct: Option<String>,
    /// What values it may have.
    pub checks: Option<Checks>,
    /// What it carries; padding has none.
    pub doc: Option<String>,
}

/// What values an attribute may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// The least one.
    pub min: usize,
}

/// The commands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Operations {
    /// How messages to and from the kernel are numbered.
    pub enum_model: String,
    /// The commands.
    pub list: Vec<Operation>,
}

/// A command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Its number; one more than that of the one before where there is none.
    pub value: Option<u64>,
    /// What it does.
    pub doc: String,
    /// The set that its attributes are of.
    pub attribute_set: Option<String>,
    /// A request for one thing.
    pub r#do: Option<Exchange>,
    /// A request for all things of a kind.
    pub dump: Option<Exchange>,
    /// What the kernel sends unasked.
    pub event: Option<Message>,
    /// The multicast group that the event is sent to.
    pub mcgrp: Option<String>,
}

/// A request and its reply.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The request.
    #[serde(default)]
    pub request: Message,
    /// The reply.
    #[serde(default)]
    pub reply: Message,
}

/// What a message may carry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Names of attributes.
    pub attributes: Vec<String>,
}

/// The multicast groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McastGroups {
    /// The groups.
    pub list: Vec<McastGroup>,
}

/// A multicast group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McastGroup {
    /// Its name.
    pub name: String,
}

/// Numbers the entries of a list: one more than the entry before, unless it says otherwise.
pub fn numbered<'a>(
    entries: impl IntoIterator<Item = (&'a str, Option<u64>)>,
    start: u64,
) -> Vec<(String, u64)> {
    let mut next = start;
    let entries = entries.into_iter().map(|(name, value)| {
        let value = value.unwrap_or(next);
        next = value + 1;
        (name.to_owned(), value)
    });
    entries.collect()
}

/// The values of an enumeration with their numbers, or the bits with theirs.
pub fn entries(entries: &[Entry]) -> Vec<(String, u64)> {
    numbered(
        entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value)),
        0,
    )
}

impl AttributeSet {
    /// The attributes with their numbers.
    pub fn numbered(&self) -> Vec<(String, u64)> {
        let attributes = self.attributes.iter();
        numbered(attributes.map(|it| (it.name.as_str(), it.value)), 1)
    }
}

impl Operations {
    /// The commands with their numbers.
    pub fn numbered(&self) -> Vec<(String, u64)> {
        let list = self.list.iter();
        numbered(list.map(|it| (it.name.as_str(), it.value)), 1)
    }
}
