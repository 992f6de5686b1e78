//! `genfence-check FOLDER RID…`: reads what `packaging/build` has built into FOLDER/RID, and says what is wrong with it.
//! A line for each: its size, and what it needs. Exit code 1: something is wrong.
//! `genfence-check --def`: the exports, as linkers for Windows are told them.

use std::path::Path;
use std::process::ExitCode;

use genfence_check::{Built, Library, Target, declared, problems, targets};

const HEADER: &str = include_str!("../../../include/genfence.h");

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: genfence-check FOLDER RID…");
        return ExitCode::from(2);
    };
    if folder == "--def" {
        println!("EXPORTS");
        for name in declared(HEADER) {
            println!("    {name}");
        }
        return ExitCode::SUCCESS;
    }
    let mut right = true;
    for rid in arguments {
        let Some(target) = targets().into_iter().find(|target| target.rid == rid) else {
            eprintln!("{rid} is not in packaging/targets");
            return ExitCode::from(2);
        };
        right &= check(&target, &Path::new(&folder).join(&rid));
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(target: &Target, folder: &Path) -> bool {
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let files = read(target.shared).and_then(|shared| {
        Ok((shared, target.import.map(read).transpose()?, read(target.archive)?))
    });
    let (shared, import, archive) = match files {
        Ok(files) => files,
        Err(error) => {
            println!("{}: {error}", target.rid);
            return false;
        }
    };
    let built = Built { shared: &shared, import: import.as_deref(), archive: &archive };
    let problems = problems(target, &built, &declared(HEADER), abi(), &folders());
    for problem in &problems {
        println!("{}: {} {problem}", target.rid, target.shared);
    }
    if let Ok(library) = Library::parse(&shared) {
        let needs: Vec<&str> = library.needed.iter().map(String::as_str).collect();
        let versions: Vec<&str> = library.versions.iter().map(String::as_str).collect();
        println!(
            "{:<17} {:>6.2} MB, static {:>6.2} MB; needs {}{}{} {}",
            target.rid,
            megabytes(shared.len()),
            megabytes(archive.len()),
            needs.join(" "),
            library.minimum.map(|macos| format!("; macOS {macos}")).unwrap_or_default(),
            if versions.is_empty() { "" } else { ";" },
            versions.join(" "),
        );
    }
    problems.is_empty()
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The major version that the header states.
fn abi() -> &'static str {
    let line = HEADER.lines().find_map(|line| line.strip_prefix("#define GF_ABI_MAJOR "));
    line.expect("the header has a version").trim()
}

/// What nobody has to know of this machine: where the sources are, whose they are, and the standard library's.
fn folders() -> Vec<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut folders = vec!["/usr/src/".to_owned(), "/.cargo/registry".to_owned()];
    folders.extend(std::fs::canonicalize(root).ok().map(|path| format!("{}/", path.display())));
    folders.extend(std::env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| home + "/"));
    folders
}
