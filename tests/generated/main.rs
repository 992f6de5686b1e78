//! What is generated from the tables, and checked in: each file is as its table says, or is written anew, and the
//! test fails once. So `cargo test --all-features --no-fail-fast --test generated` is also how they are made.

#![allow(clippy::format_push_string, reason = "what is written is short, and reads better so")]

mod boundary;
mod csharp;
mod fresh;
mod rows;
mod settings;
mod stats;

use fresh::{are_fresh, part_is_fresh};

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
