// SPDX-License-Identifier: MIT OR Apache-2.0

//! The public API is what `client/api.txt` lists: whoever changes it sees that.
//!
//! `UPDATE_API=1 cargo test -p nlcall --test api` writes the list anew.

use std::{fs, path::Path};

use syn::{parse_quote, Fields, ImplItem, Item, TraitItem, Visibility};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/api.txt");
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn the_public_api_is_the_listed_one() {
    let mut list = String::from(
        "The public API of crate nlcall, by the file that has it: written by client/tests/api.rs.\n\
         What is re-exported is where `pub use` says. `operation!` is a structure, the call that it\n\
         makes, the arguments of that, and its output.\n",
    );
    add(Path::new(SOURCES), Path::new("lib.rs"), &mut list);
    if std::env::var_os("UPDATE_API").is_some() {
        fs::write(LIST, &list).expect("writing the list");
    }
    let listed = fs::read_to_string(LIST).unwrap_or_default();
    let mut lines = listed.lines().zip(list.lines()).enumerate();
    let first = lines.find(|(_, (listed, is))| listed != is);
    assert!(
        listed == list,
        "client/api.txt is of another API (first difference: {first:?}). Where that is meant: \
         `UPDATE_API=1 cargo test -p nlcall --test api`, and a line in CHANGELOG.md"
    );
}

/// Adds what is public in a file, and in its modules.
fn add(folder: &Path, file: &Path, list: &mut String) {
    let path = folder.join(file);
    let source = fs::read_to_string(&path).expect("a file");
    let source = syn::parse_file(&source).expect("Rust");
    let modules: Vec<String> = source.items.iter().filter_map(module).collect();
    let file_name = file.display().to_string();
    let mut items: Vec<Item> = source.items.into_iter().filter_map(public).collect();
    let types: Vec<String> = items.iter().filter_map(type_name).collect();
    // Of the others, only what they are to somebody else's types is seen.
    items.retain(|item| match item {
        Item::Impl(it) => self_name(it).is_none_or(|name| types.contains(&name)),
        _ => true,
    });
    let public = syn::File {
        shebang: None,
        attrs: Vec::new(),
        items,
    };
    if !public.items.is_empty() {
        list.push_str(&format!(
            "\n=== {file_name}\n{}",
            prettyplease::unparse(&public)
        ));
    }
    // Those of `lib.rs` and of `mod.rs` lie beside it.
    let below = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "mod") => file.parent().expect("a folder").to_owned(),
        _ => file.with_extension(""),
    };
    for name in modules {
        let plain = below.join(format!("{name}.rs"));
        let with_modules = below.join(&name).join("mod.rs");
        match folder.join(&plain).exists() {
            true => add(folder, &plain, list),
            false => add(folder, &with_modules, list),
        }
    }
}

/// The name of a module in a file of its own, tests and what is hidden left out.
fn module(item: &Item) -> Option<String> {
    match item {
        Item::Mod(it) if is_hidden(&it.attrs) => None,
        Item::Mod(it) if it.content.is_none() && it.ident != "tests" => Some(it.ident.to_string()),
        _ => None,
    }
}

/// The name of a structure or an enumeration.
fn type_name(item: &Item) -> Option<String> {
    match item {
        Item::Struct(it) => Some(it.ident.to_string()),
        Item::Enum(it) => Some(it.ident.to_string()),
        Item::Macro(it) => {
            let mut words = it.mac.tokens.clone().into_iter().map(|it| it.to_string());
            words.find(|it| it == "struct").and(words.next())
        }
        _ => None,
    }
}

/// The name of the type that something is implemented for, where that is not a generic one.
fn self_name(it: &syn::ItemImpl) -> Option<String> {
    let syn::Type::Path(path) = &*it.self_ty else {
        return None;
    };
    let name = path
        .path
        .get_ident()
        .cloned()
        .or_else(|| Some(path.path.segments.last()?.ident.clone()))?;
    let is_own = path.path.segments.len() == 1;
    let is_generic = it.generics.type_params().any(|param| param.ident == name);
    let is_foreign = ["Vec", "Box", "String", "Option"].contains(&name.to_string().as_str());
    (is_own && !is_generic && !is_foreign).then(|| name.to_string())
}

const fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// An item without what nobody outside can see; none where that is all of it.
fn public(item: Item) -> Option<Item> {
    match item {
        Item::Struct(mut it) if is_public(&it.vis) => {
            it.attrs.retain(is_part);
            match &mut it.fields {
                Fields::Named(fields) => {
                    fields.named = std::mem::take(&mut fields.named)
                        .into_iter()
                        .filter(|field| is_public(&field.vis))
                        .map(|mut field| {
                            field.attrs.clear();
                            field
                        })
                        .collect();
                }
                Fields::Unnamed(fields) if !fields.unnamed.iter().all(|it| is_public(&it.vis)) => {
                    it.fields = Fields::Unit;
                    it.semi_token = Some(parse_quote!(;));
                }
                _ => {}
            }
            Some(it.into())
        }
        Item::Enum(mut it) if is_public(&it.vis) => {
            it.attrs.retain(is_part);
            for variant in &mut it.variants {
                variant.attrs.clear();
                variant.fields.iter_mut().for_each(|it| it.attrs.clear());
            }
            Some(it.into())
        }
        Item::Trait(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            for item in &mut it.items {
                match item {
                    TraitItem::Fn(it) => {
                        it.attrs.clear();
                        it.default = it.default.take().map(|_| parse_quote!({}));
                    }
                    TraitItem::Type(it) => it.attrs.clear(),
                    _ => {}
                }
            }
            Some(it.into())
        }
        Item::Fn(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            it.block = parse_quote!({});
            Some(it.into())
        }
        Item::Const(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            Some(it.into())
        }
        Item::Type(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            Some(it.into())
        }
        Item::Use(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            Some(it.into())
        }
        Item::Mod(mut it) if is_public(&it.vis) && !is_hidden(&it.attrs) => {
            it.attrs.clear();
            Some(it.into())
        }
        Item::Impl(mut it) => {
            it.attrs.clear();
            if it.trait_.is_some() {
                it.items.clear();
                return Some(it.into());
            }
            it.items = it.items.into_iter().filter_map(public_of_impl).collect();
            (!it.items.is_empty()).then(|| it.into())
        }
        Item::Macro(mut it) if it.mac.path.is_ident("operation") => {
            let tokens = std::mem::take(&mut it.mac.tokens);
            it.mac.tokens = without_docs(tokens);
            Some(it.into())
        }
        Item::Macro(mut it) if it.mac.path.is_ident("bitflags") || is_bitflags(&it) => {
            let tokens = std::mem::take(&mut it.mac.tokens);
            it.mac.tokens = without_docs(tokens);
            Some(it.into())
        }
        _ => None,
    }
}

fn is_bitflags(it: &syn::ItemMacro) -> bool {
    it.mac
        .path
        .segments
        .last()
        .is_some_and(|it| it.ident == "bitflags")
}

fn public_of_impl(item: ImplItem) -> Option<ImplItem> {
    match item {
        ImplItem::Fn(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            it.block = parse_quote!({});
            Some(it.into())
        }
        ImplItem::Const(mut it) if is_public(&it.vis) => {
            it.attrs.clear();
            Some(it.into())
        }
        _ => None,
    }
}

/// Whether `#[doc(hidden)]` says that it is none of the API.
fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    let hidden: syn::Attribute = parse_quote!(#[doc(hidden)]);
    attributes.contains(&hidden)
}

/// Attributes that are a part of the API.
fn is_part(attribute: &syn::Attribute) -> bool {
    ["derive", "non_exhaustive", "must_use", "repr"]
        .iter()
        .any(|it| attribute.path().is_ident(it))
}

/// Takes `#[doc = ...]` out of tokens.
fn without_docs(tokens: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    use proc_macro2::{Group, TokenTree};

    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_doc = group.stream().into_iter().next();
                let is_doc = is_doc.is_some_and(|it| it.to_string() == "doc");
                let follows_hash = kept.last().is_some_and(|it| it.to_string() == "#");
                if is_doc && follows_hash {
                    kept.pop();
                    continue;
                }
                let inner = Group::new(group.delimiter(), without_docs(group.stream()));
                kept.push(TokenTree::Group(inner));
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}
