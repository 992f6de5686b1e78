//! What a library has to be like.

use std::collections::BTreeSet;

use object::{Architecture, BinaryFormat};

use crate::{Library, Target, symbols};

/// A shared library is downloaded and loaded by each who uses the package.
const MOST: usize = 6_000_000;

/// What was built for a platform.
pub struct Built<'b> {
    /// The shared library.
    pub shared: &'b [u8],
    /// What programs for Windows are linked with.
    pub import: Option<&'b [u8]>,
    /// The static library.
    pub archive: &'b [u8],
}

/// Everything that is wrong with it, in words. `declared` is what the header declares, `abi` its major version, `secrets`
/// the folders of the machine that it was built on.
pub fn problems(
    target: &Target,
    built: &Built<'_>,
    declared: &BTreeSet<String>,
    abi: &str,
    secrets: &[String],
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut wrong = |problem: String| problems.push(problem);
    let library = match Library::parse(built.shared) {
        Ok(library) => library,
        Err(error) => return vec![format!("cannot be read: {error}")],
    };

    let format = expected_format(target);
    if library.format != format {
        wrong(format!("is {:?}, not {format:?}", library.format));
    }
    let machine =
        if target.rid.ends_with("-arm64") { Architecture::Aarch64 } else { Architecture::X86_64 };
    if library.machine != machine {
        wrong(format!("is for {:?}, not {machine:?}", library.machine));
    }
    for name in declared.difference(&library.exports) {
        wrong(format!("does not export {name}, which the header declares"));
    }
    let more = library.exports.difference(declared);
    for name in more.filter(|name| format != BinaryFormat::MachO || !is_of_the_linker(name)) {
        wrong(format!("exports {name}, which the header does not declare"));
    }
    for name in &library.needed {
        if !is_of_the_system(target, name) {
            wrong(format!("needs {name}, which is no part of the system"));
        }
    }
    if let Some(oldest) = target.oldest {
        match newest(&library) {
            Some(newest) if !is_newer(&newest, oldest) => {}
            Some(newest) => wrong(format!("needs version {newest}, and has to run on {oldest}")),
            None => wrong("does not say how old a system may be".to_owned()),
        }
    }
    let name = match format {
        BinaryFormat::Elf => Some(format!("libgenfence.so.{abi}")),
        BinaryFormat::MachO => Some(format!("@rpath/libgenfence.{abi}.dylib")),
        _ => None,
    };
    if library.name != name {
        wrong(format!("calls itself {:?}, not {name:?}", library.name));
    }
    match &library.signature {
        Some(Err(problem)) => wrong(format!("has a signature that {problem}")),
        None if format == BinaryFormat::MachO && machine == Architecture::Aarch64 => {
            wrong("has no signature, and macOS loads no code for arm64 without".to_owned());
        }
        _ => {}
    }
    if built.shared.len() > MOST {
        wrong(format!("has {} bytes, and {MOST} are the most", built.shared.len()));
    }
    for folder in secrets {
        if contains(built.shared, folder.as_bytes()) || contains(built.archive, folder.as_bytes()) {
            wrong(format!("tells of {folder}, a folder of the machine that it was built on"));
        }
    }
    let archives = [("static", Some(built.archive)), ("import", built.import)];
    for (kind, archive) in archives.iter().filter_map(|(kind, bytes)| Some((kind, (*bytes)?))) {
        match symbols(archive) {
            Ok(names) => {
                let has =
                    |name: &&String| names.contains(*name) || names.contains(&format!("_{name}"));
                for name in declared.iter().filter(|name| !has(name)) {
                    wrong(format!("the {kind} library has no {name}"));
                }
            }
            Err(error) => wrong(format!("the {kind} library cannot be read: {error}")),
        }
    }
    problems
}

fn expected_format(target: &Target) -> BinaryFormat {
    match target.rid.split('-').next() {
        Some("win") => BinaryFormat::Pe,
        Some("osx") => BinaryFormat::MachO,
        _ => BinaryFormat::Elf,
    }
}

/// What zig's linker for macOS exports beside, as it knows no list of exports: names of its own, and two of Rust's runtime.
/// Nothing takes them by accident, as programs there name the library that a symbol comes from.
fn is_of_the_linker(name: &str) -> bool {
    ["dso_handle", "mh_dylib_header", "rust_eh_personality"].contains(&name)
        || name.ends_with("3std9panicking11EMPTY_PANIC")
}

/// What is on every machine of the kind, without anything installed.
fn is_of_the_system(target: &Target, library: &str) -> bool {
    const GLIBC: [&str; 6] =
        ["libc.so", "libm.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux"];
    const WINDOWS: [&str; 9] = [
        "kernel32.dll",
        "ntdll.dll",
        "ws2_32.dll",
        "bcrypt.dll",
        "crypt32.dll",
        "bcryptprimitives.dll",
        "advapi32.dll",
        "userenv.dll",
        "secur32.dll",
    ];
    const MACOS: [&str; 3] =
        ["/usr/lib/libSystem.B.dylib", "/usr/lib/libiconv.2.dylib", "/usr/lib/libcharset.1.dylib"];
    match target.rid.split('-').next() {
        Some("win") => WINDOWS.contains(&library) || library.starts_with("api-ms-win-"),
        Some("osx") => {
            MACOS.contains(&library) || library.starts_with("/System/Library/Frameworks/")
        }
        // musl's loader is its libc, by whichever name.
        _ if target.rid.contains("musl") => library == "libc.so",
        _ => GLIBC.iter().any(|known| library.starts_with(known)),
    }
}

/// The newest version that it needs, of glibc or macOS.
fn newest(library: &Library) -> Option<String> {
    let of_glibc = library.versions.iter().filter_map(|version| version.strip_prefix("GLIBC_"));
    let newest = of_glibc.max_by_key(|version| numbers(version)).map(ToOwned::to_owned);
    newest.or_else(|| library.minimum.clone())
}

/// Whether a version is newer than another.
fn is_newer(version: &str, than: &str) -> bool {
    numbers(version) > numbers(than)
}

fn numbers(version: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(
            is_newer("2.28", "2.17") && is_newer("2.100", "2.17") && is_newer("2.17.1", "2.17")
        );
        assert!(
            !is_newer("2.9", "2.17") && !is_newer("11.0.0", "11.0") && !is_newer("2.17", "2.17")
        );
    }

    #[test]
    fn only_libraries_of_the_system_are() {
        for target in crate::targets() {
            assert!(!is_of_the_system(&target, "libgcc_s.so.1"), "{target:?}");
            assert!(!is_of_the_system(&target, "libunwind.dll"), "{target:?}");
            assert!(!is_of_the_system(&target, "/opt/lib/libssl.dylib"), "{target:?}");
        }
    }
}
