//! What the documentation tells of the checker's traces is what the checker says.

#[path = "../generated/fresh.rs"]
mod fresh;

use std::process::Command;

/// The steps that a case of the checker ends with.
fn trace(case: &str) -> Vec<String> {
    let said = Command::new(env!("CARGO_BIN_EXE_genfence-model")).arg(case).output();
    let said = said.expect("the checker runs");
    assert!(said.status.success(), "{case}: {said:?}");
    let said = String::from_utf8(said.stdout).expect("it says text");
    let steps = said.lines().filter_map(|line| line.strip_prefix("    "));
    steps.map(|step| step.trim_start().to_owned()).collect()
}

#[test]
fn the_race_of_two_regions_is_told_as_the_checker_finds_it() {
    let steps = trace("obligation link 1:");
    assert!(steps.last().is_some_and(|last| last.contains("LOST")), "{steps:?}");
    fresh::part_is_fresh("docs/regions.md", "the race", &steps.join("\n"));
}
