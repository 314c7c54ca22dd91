// SPDX-License-Identifier: MIT OR Apache-2.0

//! One call as a line of JSON.

use std::ffi::OsString;
use std::time::Duration;

use nlcall::raw::CallFlags;
use serde::Deserialize;
use serde_json::{
    Map,
    Value as Json, //
};

use crate::invocation::{
    Given,
    Invocation, //
};
use crate::options::parse_interval;
use crate::syntax::{
    parse,
    Value, //
};

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    call: Json,
    #[serde(default)]
    args: Vec<Json>,
    id: Option<Json>,
    #[serde(default)]
    flags: Vec<String>,
    timeout: Option<Json>,
}

/// A call, and what it needs of others.
#[derive(Debug)]
pub struct Item {
    /// What its completion is told by: a text or a number.
    pub id: Json,
    /// The line that it was on, from 1.
    pub line: usize,
    /// Its arguments, without those that come from other calls.
    pub invocation: Invocation,
    /// Those: which argument, and where it comes from.
    pub references: Vec<(usize, Reference)>,
    /// Its flags.
    pub flags: CallFlags,
    /// Its time limit; zero for none.
    pub timeout: Duration,
}

/// Where an argument comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The id of the call.
    pub of: Json,
    /// The field of its output; none where it is what the call returned.
    pub field: Option<Field>,
}

/// A field of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it begins, in bytes.
    pub offset: u32,
    /// Its length in bytes: 1, 2, 4 or 8.
    pub width: u8,
}

const RESULT: &str = "result_of";
const LOAD: &str = "load_from";
const TEXT: &str = "text";

impl Item {
    /// Reads the line of this number.
    pub fn read(text: &str, line: usize) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| wrong_json(&error))?;
        if !json.is_object() {
            return Err("a line is an object: {\"call\": NAME, \"args\": [...]}".to_owned());
        }
        let written: Written = serde_json::from_value(json).map_err(|error| error.to_string())?;
        let name = match &written.call {
            Json::String(name) => name.clone(),
            Json::Number(number) => number.to_string(),
            _ => return Err("`call` is the name or the number of a system call".to_owned()),
        };
        let id = match written.id {
            None => line.into(),
            Some(id @ (Json::String(_) | Json::Number(_))) => id,
            Some(_) => return Err("`id` is a text or a number".to_owned()),
        };
        let mut references = Vec::new();
        let mut given = Vec::new();
        for (index, argument) in written.args.iter().enumerate() {
            let failed = |why| format!("argument {}, `{argument}`: {why}", index + 1);
            let reference = reference(argument).map_err(failed)?;
            let value = match &reference {
                Some(_) => Value::Later,
                None => value(argument).map_err(failed)?,
            };
            references.extend(reference.map(|reference| (index, reference)));
            given.push(Given {
                text: OsString::from(match argument {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                }),
                value,
            });
        }
        let invocation = Invocation::of(&name, given).map_err(|error| error.to_string())?;
        Ok(Self {
            id,
            line,
            invocation,
            references,
            flags: flags(&written.flags)?,
            timeout: timeout(written.timeout.as_ref())?,
        })
    }

    /// Whether the next call is joined to it.
    pub fn is_joined(&self) -> bool {
        self.flags.intersects(CallFlags::LINK | CallFlags::HARDLINK)
    }

    /// Whether it is made in the calling thread.
    pub fn is_inline(&self) -> bool {
        self.flags.contains(CallFlags::INLINE)
    }
}

/// What is wrong with a line that is no JSON; where, but for the line, which is known.
fn wrong_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

/// An argument that comes from another call.
fn reference(argument: &Json) -> Result<Option<Reference>, String> {
    let Some(object) = argument.as_object() else {
        return Ok(None);
    };
    let number = |name: &str, most: u64| match object.get(name).map(Json::as_u64) {
        Some(Some(number)) if number <= most => Ok(number),
        _ => Err(format!("`{name}` is a number up to {most}")),
    };
    if let Some(of) = object.get(RESULT) {
        only(object, &[RESULT])?;
        return Ok(Some(Reference {
            of: of.clone(),
            field: None,
        }));
    }
    let Some(of) = object.get(LOAD) else {
        return Ok(None);
    };
    only(object, &[LOAD, "offset", "width"])?;
    let offset = number("offset", u32::MAX.into())?;
    let width = number("width", 8)?;
    if ![1, 2, 4, 8].contains(&width) {
        return Err("`width` is 1, 2, 4 or 8".to_owned());
    }
    Ok(Some(Reference {
        of: of.clone(),
        field: Some(Field {
            offset: offset as u32,
            width: width as u8,
        }),
    }))
}

/// Checks that an object has no other members.
fn only(object: &Map<String, Json>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!(
            "unknown `{name}`; there may be {}",
            known.join(", ")
        )),
    }
}

/// An argument as `nlcall call` understands it.
fn value(argument: &Json) -> Result<Value, String> {
    match argument {
        Json::Null => Ok(Value::Word(b"NULL".to_vec())),
        Json::Bool(_) => Err("write 1 or 0".to_owned()),
        Json::Number(number) => number
            .as_u64()
            .or_else(|| number.as_i64().map(|number| number as u64))
            .map(Value::Number)
            .ok_or_else(|| "it is not a whole number of 64 bits".to_owned()),
        Json::String(text) => parse(text.as_bytes()).map_err(|error| error.to_string()),
        Json::Array(items) => {
            let items = items.iter().map(value);
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        Json::Object(members) => {
            if let Some(text) = members.get(TEXT) {
                only(members, &[TEXT])?;
                let text = text.as_str().ok_or("`text` is a text")?;
                return Ok(Value::Quoted(text.as_bytes().to_vec()));
            }
            if members.contains_key(RESULT) || members.contains_key(LOAD) {
                return Err("only a whole argument comes from another call".to_owned());
            }
            let fields = members
                .iter()
                .map(|(name, member)| Ok((Some(name.clone()), value(member)?)));
            Ok(Value::Structure(fields.collect::<Result<_, String>>()?))
        }
    }
}

fn flags(names: &[String]) -> Result<CallFlags, String> {
    let mut flags = CallFlags::empty();
    for name in names {
        match CallFlags::from_name(&name.to_ascii_uppercase()) {
            Some(flag) => flags |= flag,
            None => {
                let known = CallFlags::all().iter_names();
                let known: Vec<_> = known.map(|(name, _)| name.to_ascii_lowercase()).collect();
                let known = known.join(", ");
                return Err(format!("unknown flag `{name}`; there are {known}"));
            }
        }
    }
    if flags.contains(CallFlags::INLINE | CallFlags::DRAIN) {
        return Err("`drain` orders calls of workers, and this one is `inline`".to_owned());
    }
    Ok(flags)
}

fn timeout(timeout: Option<&Json>) -> Result<Duration, String> {
    let text = match timeout {
        None => return Ok(Duration::ZERO),
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(seconds)) => seconds.to_string(),
        Some(_) => {
            return Err("`timeout` is a number of seconds, or a text such as 500ms".to_owned())
        }
    };
    parse_interval(&text).map_err(|error| format!("`timeout`: {error}"))
}
