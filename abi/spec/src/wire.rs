// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! What is read from the source text of `wire.rs`.

use syn::{Expr, File, Item, ItemStruct, Lit, Type};

/// `MAX_IN_FLIGHT` or `MaxInFlight` as the specification writes it.
pub fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let shouting = name.chars().all(|c| !c.is_lowercase());
    for (at, c) in name.char_indices() {
        match c {
            '_' => kebab.push('-'),
            c if c.is_uppercase() && !shouting && at > 0 => {
                kebab.push('-');
                kebab.extend(c.to_lowercase());
            }
            c => kebab.extend(c.to_lowercase()),
        }
    }
    kebab
}

/// The structures of the source.
pub fn structs(wire: &File) -> impl Iterator<Item = &ItemStruct> {
    wire.items.iter().filter_map(|item| match item {
        Item::Struct(item) => Some(item),
        _ => None,
    })
}

/// What a member of a structure is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// `u32`, as YNL calls the type.
    pub name: String,
    /// Bytes of one.
    pub size: usize,
    /// How many, where it is an array.
    pub count: Option<usize>,
}

impl Scalar {
    /// Bytes of the member.
    pub fn bytes(&self) -> usize {
        self.size * self.count.unwrap_or(1)
    }
}

/// What a field is made of: an integer, or an array of some; nothing else goes over the wire.
pub fn scalar(field: &Type) -> Option<Scalar> {
    match field {
        Type::Path(path) => {
            let name = path.path.get_ident()?.to_string();
            let bits: usize = name.get(1..)?.parse().ok()?;
            Some(Scalar {
                name: name.replace('i', "s"),
                size: bits / 8,
                count: None,
            })
        }
        Type::Array(array) => {
            let Expr::Lit(count) = &array.len else {
                return None;
            };
            let Lit::Int(count) = &count.lit else {
                return None;
            };
            let element = scalar(&array.elem)?;
            Some(Scalar {
                count: Some(count.base10_parse().ok()?),
                ..element
            })
        }
        _ => None,
    }
}
