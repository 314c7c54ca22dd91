// SPDX-License-Identifier: MIT OR Apache-2.0

//! The README's example is the compiled one.

#[test]
fn the_example_of_the_readme_is_the_compiled_one() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/first_batch.rs");
    let code = example
        .split_once("\n\n")
        .expect("a licence line comes first")
        .1
        .trim();
    assert!(
        readme.contains(code),
        "README.md does not show client/examples/first_batch.rs as it is"
    );
}
