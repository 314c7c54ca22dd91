// SPDX-License-Identifier: MIT OR Apache-2.0

//! Output for programs. docs/json.md has every shape; the tests hold it against what is printed.

use serde::ser::SerializeMap;
use serde::{
    Serialize,
    Serializer, //
};

use crate::exit::Failure;
use crate::table::print;

/// Version of everything that `--json` prints. Members may be added without a change of this number;
/// none goes, nor changes its meaning.
pub const VERSION: u32 = 1;

/// An object, behind its version.
#[derive(Debug, Serialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    members: T,
}

/// An object of which a list is the only member.
#[derive(Debug)]
struct List<'a, T> {
    name: &'static str,
    items: &'a [T],
}

impl<T: Serialize> Serialize for List<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.name, self.items)?;
        map.end()
    }
}

fn versioned<T: Serialize>(members: T) -> Versioned<T> {
    Versioned {
        version: VERSION,
        members,
    }
}

/// An object in several lines.
pub fn pretty(object: &impl Serialize) -> String {
    // Strings, numbers and lists of them: there is nothing that JSON could not have.
    serde_json::to_string_pretty(&versioned(object)).unwrap_or_default() + "\n"
}

/// A list, the only member of an object, in several lines.
pub fn pretty_list<T: Serialize>(name: &'static str, items: &[T]) -> String {
    pretty(&List { name, items })
}

/// An object in one line, without its end.
pub fn line(object: &impl Serialize) -> String {
    // As above.
    serde_json::to_string(&versioned(object)).unwrap_or_default()
}

/// Writes an object to the standard output.
pub fn print_object(object: &impl Serialize) -> Result<(), Failure> {
    print(&pretty(object))
}

/// Writes a list to the standard output.
pub fn print_list<T: Serialize>(name: &'static str, items: &[T]) -> Result<(), Failure> {
    print(&pretty_list(name, items))
}

#[cfg(test)]
pub mod documented {
    //! What docs/json.md says.

    use serde_json::Value;

    const PAGE: &str = include_str!("../../docs/json.md");

    /// The examples of a section, as they are printed one after the other.
    fn examples(heading: &str) -> Vec<Value> {
        let section = PAGE
            .split("\n## ")
            .find(|section| section.lines().next() == Some(heading))
            .unwrap_or_else(|| panic!("docs/json.md has no section `{heading}`"));
        section
            .split("```json\n")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("```")?.0))
            .map(|example| serde_json::from_str(example).expect("JSON in docs/json.md"))
            .collect()
    }

    /// Checks that an example of this section is what is printed.
    #[track_caller]
    pub fn assert_shows(heading: &str, printed: &str) {
        let value: Value = serde_json::from_str(printed).expect("JSON");
        assert!(
            examples(heading).contains(&value),
            "`{heading}` in docs/json.md has no example like this:\n{printed}"
        );
    }

    #[test]
    fn every_command_with_output_for_programs_has_a_section() {
        let command = <crate::options::Options as clap::CommandFactory>::command();
        let without = ["cat", "completions", "kill", "man"];
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            let is_there = PAGE.contains(&format!("\n## nlcall {name}\n"));
            assert_eq!(is_there, !without.contains(&name), "nlcall {name}");
        }
    }

    #[test]
    fn every_example_has_the_version() {
        let headings = PAGE
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .filter(|heading| heading.starts_with("nlcall "));
        for heading in headings {
            let examples = examples(heading);
            assert!(!examples.is_empty(), "{heading}");
            for example in examples {
                assert_eq!(example["version"], super::VERSION, "{heading}");
            }
        }
    }
}
