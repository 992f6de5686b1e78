//! What is generated from the tables, and checked in: each file is as its table says, or is written anew, and the
//! test fails once. So `cargo test --all-features --no-fail-fast --test generated` is also how they are made.

#![allow(clippy::format_push_string, reason = "what is written is short, and reads better so")]

mod boundary;
mod csharp;
mod rows;
mod settings;
mod stats;

use std::fs;
use std::path::Path;

/// The files are as their contents say, to the byte.
#[track_caller]
fn are_fresh<const N: usize>(files: [(&str, String); N]) {
    let mut written = Vec::new();
    for (file, content) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        // A checkout may have other line ends.
        let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        if found != content {
            fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            written.push(file);
        }
    }
    assert!(
        written.is_empty(),
        "{written:?}: not as the tables say, and written anew: look at the change, and commit it"
    );
}

/// The part of a file between two marks, which are comments, is as `content` says.
#[track_caller]
fn part_is_fresh(file: &str, name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).expect("the file is there").replace("\r\n", "\n");
    let (start, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{file} has no {start}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    are_fresh([(file, format!("{before}{start}\n{content}\n{end}{after}"))]);
}

#[test]
fn the_header() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/genfence.h"));
    are_fresh([("include/genfence.h", generated.to_owned())]);
}

#[test]
fn the_boundary_in_csharp_and_its_layout_everywhere() {
    let structs = boundary::structs();
    are_fresh([
        ("dotnet/src/Genfence/Native/Abi.g.cs", boundary::in_csharp(&structs)),
        ("dotnet/test/Genfence.Tests/Layout.g.cs", boundary::layout_in_csharp(&structs)),
        ("tests/c/layout.h", boundary::layout_in_c(&structs)),
        ("tests/c/layout.rs", boundary::layout_in_rust(&structs)),
        ("tests/c/operations.h", boundary::last_operation_in_c()),
    ]);
}

#[test]
fn the_tables_in_csharp() {
    let mut public = stats::public_api();
    public.extend(settings::public_api());
    are_fresh([
        ("dotnet/src/Genfence/GenfenceStats.g.cs", stats::in_csharp()),
        ("dotnet/src/Genfence/Telemetry.g.cs", stats::metrics_in_csharp()),
        ("dotnet/src/Genfence/GenfenceSettings.g.cs", settings::in_csharp()),
        ("dotnet/src/Genfence/PublicAPI.Unshipped.Generated.txt", csharp::public_api(public)),
    ]);
}

#[test]
fn the_settings_in_the_documentation() {
    part_is_fresh("docs/options.md", "options", &settings::in_markdown());
}
