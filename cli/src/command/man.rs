// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nlcall man FOLDER`: the manual pages, made of what `--help` says.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::roff::{
    bold,
    roman,
    Roff, //
};
use clap_mangen::Man;

use crate::exit::{
    Failure,
    Status, //
};
use crate::options::{
    ManOptions,
    Options, //
};

/// The first line of a paragraph of examples.
const EXAMPLES: &str = "Examples:";
/// How a paragraph begins that says what the exit status means.
const EXIT_STATUS: &str = "Exit status:";

/// Writes a page for the command and one for each subcommand.
pub fn run(options: &ManOptions) -> Result<Status, Failure> {
    let folder = &options.folder;
    write(folder).map_err(|source| Failure::File {
        path: folder.clone(),
        source,
    })?;
    Ok(Status::Success)
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, page) in pages()? {
        fs::write(folder.join(name), page)?;
    }
    Ok(())
}

/// The pages, by the names of their files.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Options::command();
    command.build();
    let names: Vec<_> = command.get_subcommands().map(page_name).collect();
    let main = ("nlcall.1".to_owned(), page(&command, &names)?);
    let others = command.get_subcommands().map(|subcommand| {
        let name = page_name(subcommand);
        Ok((format!("{name}.1"), page(subcommand, &["nlcall".into()])?))
    });
    [Ok(main)].into_iter().chain(others).collect()
}

fn page_name(subcommand: &clap::Command) -> String {
    format!("nlcall-{}", subcommand.get_name())
}

/// A page, which refers to others.
fn page(command: &clap::Command, others: &[String]) -> io::Result<Vec<u8>> {
    let release = concat!("nlcall ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(release)
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let long = command.get_after_long_help().or(command.get_after_help());
    let help = long.map(ToString::to_string).unwrap_or_default();
    let (examples, rest): (Vec<_>, Vec<_>) = help
        .trim()
        .split("\n\n")
        .partition(|paragraph| paragraph.starts_with(EXAMPLES));
    let (status, notes): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|paragraph| paragraph.starts_with(EXIT_STATUS));
    let mut text = Roff::default();
    for (index, paragraph) in notes.into_iter().enumerate() {
        if index == 0 {
            text.control("SH", ["NOTES"]);
        }
        show(&mut text, paragraph);
    }
    text.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut text = Roff::default();
    for (heading, word, paragraphs) in [
        ("EXIT STATUS", EXIT_STATUS, status),
        ("EXAMPLES", EXAMPLES, examples),
    ] {
        for paragraph in paragraphs {
            text.control("SH", [heading]);
            let paragraph = &paragraph[word.len()..];
            // The line break behind it, not what the first line is indented by.
            show(
                &mut text,
                paragraph.strip_prefix(['\n', ' ']).unwrap_or(paragraph),
            );
        }
    }
    text.control("SH", ["SEE ALSO"]);
    let last = others.len().saturating_sub(1);
    for (index, other) in others.iter().enumerate() {
        let end = if index == last { "(1)" } else { "(1)," };
        text.text([bold(other), roman(end)]);
    }
    text.to_writer(&mut page)?;
    Ok(page)
}

/// A paragraph; where lines of it are indented, each line stays one.
fn show(text: &mut Roff, paragraph: &str) {
    let is_list = paragraph
        .lines()
        .any(|line| line.starts_with("  ") || line.contains("  "));
    text.control("PP", []);
    if is_list {
        text.control("nf", []);
    }
    for line in paragraph.lines() {
        text.text([roman(line.trim_end())]);
    }
    if is_list {
        text.control("fi", []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("man/man1");
        let options = ManOptions {
            folder: path.clone(),
        };
        assert_eq!(run(&options).unwrap(), Status::Success);
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let main = read("nlcall.1");
        for subcommand in Options::command().get_subcommands() {
            let name = page_name(subcommand);
            assert!(main.contains(&name.replace('-', "\\-")), "{name}");
            let page = read(&format!("{name}.1"));
            for heading in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
                assert!(
                    page.contains(&format!(".SH {heading}\n"))
                        || page.contains(&format!(".SH \"{heading}\"\n")),
                    "{name}: {heading}\n{page}"
                );
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said() {
        let folder = "/proc/no/such/folder".into();
        let failure = run(&ManOptions { folder }).unwrap_err();
        assert!(failure.message().starts_with("/proc/no/such/folder: "));
        assert_eq!(failure.status(), Status::Failed);
    }
}
