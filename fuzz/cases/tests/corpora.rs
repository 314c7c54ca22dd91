// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every case of `fuzz/corpus/` goes through its target, without a fuzzer.

use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
};

use nlcall_cases::TARGETS;

/// Most bytes of all corpora together.
const MOST_BYTES: u64 = 1 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of what lies in a folder, without what ends them.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let stem = |path: PathBuf| {
        path.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    paths.map(stem).collect()
}

#[test]
fn every_case_of_the_corpora_holds() {
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        let cases = names(&folder);
        assert!(!cases.is_empty(), "{name} has no case");
        for case in cases {
            let case = folder.join(case);
            let content = fs::read(&case).expect("a case");
            bytes += content.len() as u64;
            if panic::catch_unwind(|| target(&content)).is_err() {
                panic!("{name}: {} (see above)", case.display());
            }
        }
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[test]
fn every_target_is_one_of_cargo_fuzz() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz().join("corpus")), targets);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    let binaries: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(binaries, targets);
}
