// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall config [NAME=VALUE...]`

use nlcall::raw::{
    Config,
    Session, //
};
use serde_json::{
    Map,
    Value, //
};

use crate::exit::{
    Failure,
    Status, //
};
use crate::json;
use crate::options::ConfigOptions;
use crate::table::{
    print_table,
    text,
    Column, //
};

const COLUMNS: &[Column] = &[text("SETTING"), text("VALUE"), text("MEANING")];

/// A setting that is a number.
struct Setting {
    name: &'static str,
    meaning: &'static str,
    of: fn(&mut Config) -> &mut Option<u32>,
}

/// The one setting that is none.
const ACCESS: &str = "access";
const ACCESS_MEANING: &str = "who may submit: root, everyone, or the number of a group";

const SETTINGS: &[Setting] = &[
    Setting {
        name: "max_in_flight",
        meaning: "most calls in flight per session",
        of: |config| &mut config.max_in_flight,
    },
    Setting {
        name: "max_in_flight_user",
        meaning: "most calls in flight of all sessions of a user",
        of: |config| &mut config.max_in_flight_user,
    },
    Setting {
        name: "max_workers",
        meaning: "most workers per session",
        of: |config| &mut config.max_workers,
    },
    Setting {
        name: "max_workers_user",
        meaning: "most workers of all sessions of a user",
        of: |config| &mut config.max_workers_user,
    },
    Setting {
        name: "max_workers_total",
        meaning: "most workers of the machine",
        of: |config| &mut config.max_workers_total,
    },
    Setting {
        name: "max_running",
        meaning: "most workers of a session that run at the same time; 0: one per processor, at \
                  most four",
        of: |config| &mut config.max_running,
    },
    Setting {
        name: "idle_ms",
        meaning: "milliseconds that a worker without a call stays",
        of: |config| &mut config.idle_ms,
    },
    Setting {
        name: "max_inline_bytes",
        meaning: "most bytes of messages whose INLINE calls are not made yet, of a user",
        of: |config| &mut config.max_inline_bytes,
    },
];

/// Changes what is to be changed; otherwise shows everything.
pub fn run(options: &ConfigOptions, json: bool) -> Result<Status, Failure> {
    // What cannot be set is wrong with and without the module.
    let changes = changes(&options.changes)?;
    let session = Session::open()?;
    if changes != Config::default() {
        session.set_config(&changes)?;
        return Ok(Status::Success);
    }
    let config = session.config()?;
    match json {
        true => json::print_object(&object(config))?,
        false => print_table(COLUMNS, rows(config))?,
    }
    Ok(Status::Success)
}

/// What the command line asks for.
fn changes(pairs: &[(String, String)]) -> Result<Config, Failure> {
    let mut config = Config::default();
    for (name, value) in pairs {
        let wrong = |why: String| Failure::Setting {
            name: name.clone(),
            why,
        };
        let is_new = match SETTINGS.iter().find(|setting| setting.name == name) {
            Some(setting) => {
                let number = value.parse().map_err(|_| {
                    wrong(format!("`{value}` is not a number from 0 to {}", u32::MAX))
                })?;
                (setting.of)(&mut config).replace(number).is_none()
            }
            None if name == ACCESS => config.access.replace(value.clone()).is_none(),
            None => {
                let known: Vec<_> = names().collect();
                return Err(wrong(format!(
                    "no such setting; known: {}",
                    known.join(", ")
                )));
            }
        };
        if !is_new {
            return Err(wrong("given twice".to_owned()));
        }
    }
    Ok(config)
}

fn names() -> impl Iterator<Item = &'static str> {
    [ACCESS]
        .into_iter()
        .chain(SETTINGS.iter().map(|setting| setting.name))
}

/// The settings that the module has.
fn rows(mut config: Config) -> Vec<Vec<String>> {
    let row = |name: &str, value, meaning: &str| vec![name.to_owned(), value, meaning.to_owned()];
    let access = config.access.take();
    let access = access.map(|access| row(ACCESS, access, ACCESS_MEANING));
    let numbers = SETTINGS.iter().filter_map(|setting| {
        let number = (*(setting.of)(&mut config))?;
        Some(row(setting.name, number.to_string(), setting.meaning))
    });
    access.into_iter().chain(numbers).collect()
}

/// The same for programs.
fn object(mut config: Config) -> Map<String, Value> {
    let access = config.access.take();
    let access = access.map(|access| (ACCESS.to_owned(), access.into()));
    let numbers = SETTINGS.iter().filter_map(|setting| {
        let number = (*(setting.of)(&mut config))?;
        Some((setting.name.to_owned(), number.into()))
    });
    access.into_iter().chain(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        changes(&pairs).map_err(|failure| failure.message())
    }

    #[test]
    fn each_setting_is_changed_by_its_name() {
        let mut config = read(&[("access", "27"), ("idle_ms", "0"), ("max_workers", "4")]).unwrap();
        assert_eq!(config.access.as_deref(), Some("27"));
        assert_eq!((config.idle_ms, config.max_workers), (Some(0), Some(4)));
        assert_eq!(config.max_running, None);
        for (number, setting) in (1..).zip(SETTINGS) {
            config = read(&[(setting.name, &number.to_string())]).unwrap();
            assert_eq!(*(setting.of)(&mut config), Some(number), "{}", setting.name);
            *(setting.of)(&mut config) = None;
            assert_eq!(config, Config::default(), "{}", setting.name);
        }
    }

    #[test]
    fn what_cannot_be_set_is_said() {
        let why = read(&[("max_worker", "4")]).unwrap_err();
        assert!(why.starts_with("max_worker: no such setting; known: access, max_in_flight, "));
        for wrong in ["", "-1", "x", "4294967296"] {
            let why = read(&[("max_workers", wrong)]).unwrap_err();
            assert!(
                why.contains("is not a number from 0 to 4294967295"),
                "{why}"
            );
        }
        let why = read(&[("idle_ms", "1"), ("idle_ms", "1")]).unwrap_err();
        assert_eq!(why, "idle_ms: given twice");
    }

    #[test]
    fn only_what_the_module_has_is_shown() {
        let mut config = Config::default();
        assert!(rows(config.clone()).is_empty());
        config.max_in_flight = Some(7);
        config.access = Some("root".to_owned());
        let rows = rows(config.clone());
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
        let cells: Vec<_> = rows.iter().map(|row| (&row[0][..], &row[1][..])).collect();
        assert_eq!(cells, [("access", "root"), ("max_in_flight", "7")]);
        let object = object(config);
        assert_eq!(
            Value::from(object),
            serde_json::json!({"access": "root", "max_in_flight": 7})
        );
    }

    #[test]
    fn the_documentation_shows_what_programs_get() {
        let mut config = Config::default();
        config.access = Some("root".to_owned());
        for (number, setting) in [65536, 262144, 128, 1024, 8192, 0, 5000, 67108864]
            .into_iter()
            .zip(SETTINGS)
        {
            *(setting.of)(&mut config) = Some(number);
        }
        let printed = json::pretty(&object(config));
        json::documented::assert_shows("nlcall config", &printed);
    }
}
