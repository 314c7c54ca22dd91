// SPDX-License-Identifier: MIT OR Apache-2.0

//! The README's examples are the compiled ones.

#[test]
fn the_examples_of_the_readme_are_the_compiled_ones() {
    let readme = include_str!("../../README.md");
    for (name, example) in [
        ("first_file", include_str!("../examples/first_file.rs")),
        ("first_batch", include_str!("../examples/first_batch.rs")),
        ("chain", include_str!("../examples/chain.rs")),
        (
            "other_process",
            include_str!("../examples/other_process.rs"),
        ),
    ] {
        let code = example
            .split_once("\n\n")
            .expect("a licence line comes first")
            .1
            .trim();
        assert!(
            readme.contains(code),
            "README.md does not show client/examples/{name}.rs as it is"
        );
    }
}
