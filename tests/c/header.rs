//! The C header compiles by itself, and declares what the library exports.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

use genfence_check::{Library, declared};

const HEADER: &str = include_str!("../../include/genfence.h");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include");

/// What every compiler is asked for.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-pedantic", "-Werror"];

/// Runs a command that has to succeed, and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
    said.into_owned()
}

/// The shared library that the tests in C load. It is linked with this program, and stands beside it.
fn library() -> PathBuf {
    let name = format!("{DLL_PREFIX}genfence_tested{DLL_SUFFIX}");
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name(name);
    assert!(library.exists(), "{} is not there", library.display());
    library
}

fn exported(library: &Path) -> BTreeSet<String> {
    Library::parse(&std::fs::read(library).unwrap()).unwrap().exports
}

#[test]
fn the_library_exports_what_the_header_declares_and_three_that_only_tests_call() {
    let declared = declared(HEADER);
    assert!(declared.len() > 30 && declared.contains("gf_open"), "{declared:?}");
    let tested = exported(&library());
    let more: Vec<&String> = tested.difference(&declared).collect();
    assert_eq!(more, ["gf_test_layout", "gf_test_panic", "gf_test_submit_panic"]);
    assert!(tested.is_superset(&declared));
}

/// What is shipped, where GENFENCE_SHIPPED names it: it is built in another way.
#[test]
fn the_shipped_library_exports_what_the_header_declares_and_nothing_else() {
    let Some(shipped) = std::env::var_os("GENFENCE_SHIPPED") else {
        println!("skipped: GENFENCE_SHIPPED names no library");
        return;
    };
    assert_eq!(exported(Path::new(&shipped)), declared(HEADER));
}

/// Where `cargo cinstall` reads it.
#[test]
fn the_manifest_has_the_version_of_the_interface() {
    let number = |name: &str| {
        let line =
            HEADER.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
        line.expect("the header has it").trim()
    };
    let expected = format!("version = \"{}.{}.0\"", number("GF_ABI_MAJOR"), number("GF_ABI_MINOR"));
    let manifest = include_str!("../../Cargo.toml");
    let (_, library) =
        manifest.split_once("[package.metadata.capi.library]\n").expect("it is there");
    assert_eq!(library.lines().find(|line| line.starts_with("version")), Some(&*expected));
}

/// A compiler, and what makes it read this as its own language.
const LANGUAGES: [(&str, [&str; 3]); 2] =
    [("cc", ["-x", "c", "-std=c11"]), ("c++", ["-x", "c++", "-std=c++17"])];

#[test]
fn the_header_compiles_alone_in_c_and_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("alone");
    // Twice, and with every macro used as one.
    let options = "gf_options given = GF_OPTIONS_INIT;\n";
    let text = format!("#include <genfence.h>\n#include <genfence.h>\n{options}");
    std::fs::write(&source, text).unwrap();
    for (compiler, language) in LANGUAGES {
        let mut command = Command::new(compiler);
        command.args(language).args(WARNINGS).arg("-I").arg(INCLUDE);
        run(command.args(["-fsyntax-only"]).arg(&source));
    }
}

/// What a reader copies: the example of the header, that of the README, and that of several keys.
#[test]
fn the_examples_compile_as_they_stand_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let library = library();
    let example = HEADER.lines().skip_while(|line| !line.contains("#include <genfence.h>"));
    let example = example.take_while(|line| !line.contains("OWNERSHIP"));
    let lines = example.map(|line| line.strip_prefix(" *     ").unwrap_or(""));
    let of_header = lines.collect::<Vec<_>>().join("\n");
    let of_page = |page: &'static str| {
        let example = page.split_once("```c\n").and_then(|(_, rest)| rest.split_once("```"));
        example.expect("the page has an example in C").0
    };
    let of_readme = of_page(include_str!("../../README.md"));
    let of_transactions = of_page(include_str!("../../docs/transactions.md"));
    let (source, program) = (folder.path().join("example"), folder.path().join("program"));
    let examples = [(&*of_header, "gf_loaded"), (of_readme, "gf_loaded")];
    for (text, calls) in examples.into_iter().chain([(of_transactions, "gf_commit_many")]) {
        assert!(text.contains("int main(void) {") && text.contains(calls), "{text}");
        std::fs::write(&source, text).unwrap();
        for (compiler, language) in LANGUAGES {
            let mut command = Command::new(compiler);
            command.args(language).args(WARNINGS).arg("-I").arg(INCLUDE);
            // What comes after the source is no source.
            command.arg(&source).args(["-x", "none"]).arg(&library).arg("-o").arg(&program);
            run(command.arg(format!("-Wl,-rpath,{}", library.parent().unwrap().display())));
            run(&mut Command::new(&program));
        }
    }
}
