//! What differs between systems stands in one place of each layer.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where a system may be asked for.
const PLACES: [&str; 3] =
    ["src/store/system.rs", "src/ffi/system/mod.rs", "src/bin/genfence/system.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A line of code that asks for the system, but for which tests there are.
fn asks(line: &str) -> bool {
    const ASKED: [&str; 6] =
        ["unix", "windows", "target_os", "target_vendor", "target_env", "target_family"];
    let asks = (line.contains("cfg(") || line.contains("cfg_attr(") || line.contains("cfg!("))
        && !line.trim_start().starts_with("//");
    asks && !line.contains("test") && ASKED.iter().any(|asked| line.contains(asked))
}

#[test]
fn code_for_one_system_stands_in_its_place() {
    let mut files = Vec::new();
    sources(&Path::new(ROOT).join("src"), &mut files);
    assert!(files.len() > 80, "{}", files.len());
    let mut used = 0;
    for file in files {
        let name = file.strip_prefix(ROOT).unwrap().to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).unwrap();
        let asking: Vec<_> = text.lines().filter(|line| asks(line)).collect();
        if PLACES.contains(&&*name) {
            used += usize::from(!asking.is_empty());
        } else {
            assert!(asking.is_empty(), "{name} asks for the system: {asking:?}");
        }
    }
    assert_eq!(used, PLACES.len(), "each of these is asked for");
}
