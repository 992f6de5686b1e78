//! The C header that is checked in, beside the one that the build generates.

#[test]
fn the_header_is_not_behind_the_source() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/genfence.h"));
    assert!(
        generated == include_str!("../../include/genfence.h"),
        "include/genfence.h is not what the source says; copy it anew as bindings/c/README.md shows"
    );
}
