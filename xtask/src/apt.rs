// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine's own package sources, and what is derived from them.
//!
//! Nothing here names a mirror: the address comes from the machine's apt configuration where that
//! is one of a Debian, and from mmdebstrap's default otherwise.

use std::path::Path;

use anyhow::{
    Context,
    Result, //
};

/// The release that the sandbox is made of.
pub const SUITE: &str = "trixie";
/// The suite that carries the kernels.
pub const BACKPORTS: &str = "trixie-backports";
/// Names under which a Debian release may stand in a source.
const DEBIAN_SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "oldstable",
    "stable",
    "testing",
    "sid",
    "unstable",
];

/// One line of package sources, however it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address.
    pub uri: String,
    /// Suite.
    pub suite: String,
    /// Components.
    pub components: Vec<String>,
}

/// Reads the one-line format (`sources.list`).
pub fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line).collect()
}

fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
    })
}

/// Reads the format of stanzas (`*.sources`).
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let without_comments: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut sources = Vec::new();
    for stanza in without_comments.split(|line| line.trim().is_empty()) {
        let words = |name: &str| field(stanza, name);
        let enabled = !words("enabled")
            .iter()
            .any(|word| word.eq_ignore_ascii_case("no"));
        if !enabled || !words("types").iter().any(|word| word == "deb") {
            continue;
        }
        for uri in words("uris") {
            for suite in words("suites") {
                sources.push(Source {
                    uri: uri.clone(),
                    suite,
                    components: words("components"),
                });
            }
        }
    }
    sources
}

/// The words of a field of a stanza, its continuation lines included.
fn field(stanza: &[&str], name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut within = false;
    for line in stanza {
        if line.starts_with([' ', '\t']) {
            if within {
                words.extend(line.split_whitespace().map(str::to_owned));
            }
        } else if let Some((key, value)) = line.split_once(':') {
            within = key.trim().eq_ignore_ascii_case(name);
            if within {
                words.extend(value.split_whitespace().map(str::to_owned));
            }
        }
    }
    words
}

/// The address that serves Debian's main archive, if any of these does.
pub fn debian_archive(sources: &[Source]) -> Option<&str> {
    sources
        .iter()
        .find(|source| {
            DEBIAN_SUITES.contains(&source.suite.as_str())
                && source
                    .components
                    .iter()
                    .any(|component| component == "main")
                && !source.uri.contains("security")
                && !source.uri.starts_with("cdrom:")
        })
        .map(|source| source.uri.as_str())
}

/// All sources below an apt configuration folder (`/etc/apt`).
pub fn read_sources(folder: &Path) -> Vec<Source> {
    // A file that is missing or may not be read holds no source for us.
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let mut sources = parse_one_line(&read(&folder.join("sources.list")));
    let parts = std::fs::read_dir(folder.join("sources.list.d"));
    let mut parts: Vec<_> = parts
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    for path in parts {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_one_line(&read(&path))),
            Some("sources") => sources.extend(parse_deb822(&read(&path))),
            _ => {}
        }
    }
    sources
}

/// The machine's mirror of Debian, where its configuration names one.
///
/// A `mirror+file:` list is replaced by its first entry: the list itself does not exist in the
/// tree.
pub fn machine_archive() -> Result<Option<String>> {
    let sources = read_sources(Path::new("/etc/apt"));
    let Some(uri) = debian_archive(&sources) else {
        return Ok(None);
    };
    let Some(list) = uri.strip_prefix("mirror+file:") else {
        return Ok(Some(uri.to_owned()));
    };
    let text =
        std::fs::read_to_string(list).with_context(|| format!("reading the mirror list {list}"))?;
    Ok(first_mirror(&text))
}

fn first_mirror(list: &str) -> Option<String> {
    list.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .find_map(|line| line.split_whitespace().next().map(str::to_owned))
}

/// Those lines of `apt-config dump` that say how this machine reaches its mirror (proxies,
/// certificates, whether dates are checked), as lines of an apt configuration file.
pub fn transport_options(dump: &str) -> String {
    const KEPT: &[&str] = &[
        "Acquire::http::",
        "Acquire::https::",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
        "Acquire::Retries",
        "Acquire::ForceIPv",
    ];
    dump.lines()
        .filter(|line| KEPT.iter().any(|kept| line.starts_with(kept)))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources_with_options_comments_and_source_packages() {
        let text = "\
# a comment
deb [signed-by=/usr/share/keyrings/k.gpg arch=amd64] http://mirror.example/debian bookworm main contrib # end
deb-src http://mirror.example/debian bookworm main
  deb\thttp://mirror.example/debian-security bookworm-security main
";
        let sources = parse_one_line(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].uri, "http://mirror.example/debian");
        assert_eq!(sources[0].suite, "bookworm");
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[1].suite, "bookworm-security");
    }

    #[test]
    fn stanzas_with_several_suites_continuations_and_disabled_ones() {
        let text = "\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://third.example/debian
Suites: trixie
Components: main
";
        let sources = parse_deb822(text);
        assert_eq!(sources.len(), 2);
        assert!(sources
            .iter()
            .all(|source| source.uri == "http://mirror.example/debian"));
        assert_eq!(sources[1].suite, "bookworm-updates");
    }

    #[test]
    fn only_debians_main_archive_counts() {
        let sources = parse_one_line(
            "deb http://vendor.example/apt nodistro main\n\
             deb http://ubuntu.example/ubuntu noble main\n\
             deb http://mirror.example/debian-security trixie main\n\
             deb cdrom:[Debian]/ trixie main\n\
             deb http://mirror.example/debian bookworm-updates main\n",
        );
        assert_eq!(debian_archive(&sources), None);
        let mut sources = sources;
        sources.extend(parse_one_line(
            "deb http://mirror.example/debian stable non-free main",
        ));
        assert_eq!(
            debian_archive(&sources),
            Some("http://mirror.example/debian")
        );
    }

    #[test]
    fn the_first_entry_of_a_mirror_list() {
        assert_eq!(
            first_mirror("# mirrors\n\nhttps://mirror.example/debian priority:1\n").as_deref(),
            Some("https://mirror.example/debian")
        );
    }

    #[test]
    fn transport_options_are_kept_and_others_not() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:3142\";\nAcquire::IndexTargets \"\";\n";
        assert_eq!(
            transport_options(dump),
            "Acquire::http::Proxy \"http://p:3142\";\n"
        );
    }
}
