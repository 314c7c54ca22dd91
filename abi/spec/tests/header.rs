// SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause

//! The C header of the checkout is the one that the specification makes.

#[test]
fn the_header_is_what_the_specification_makes() {
    let present = include_str!("../../include/nlcall.h");
    let made = nlcall_spec::header().expect("a header");
    for (number, (present, made)) in present.lines().zip(made.lines()).enumerate() {
        assert_eq!(
            present,
            made,
            "abi/include/nlcall.h, line {}; `cargo xtask header` writes it anew",
            number + 1
        );
    }
    assert_eq!(present.len(), made.len(), "`cargo xtask header` writes it");
}
