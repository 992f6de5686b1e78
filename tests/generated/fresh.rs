//! What is generated and checked in: it is as it should be, or is written anew, and the test fails once.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the crate's folders are.
fn root() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("ARCHITECTURE.md").is_file());
    root.expect("it is above each package").into()
}

/// The files are as their contents say, to the byte.
#[track_caller]
pub fn are_fresh<const N: usize>(files: [(&str, String); N]) {
    let mut written = Vec::new();
    for (file, content) in files {
        let path = root().join(file);
        // A checkout may have other line ends.
        let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        if found != content {
            fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            written.push(file);
        }
    }
    assert!(
        written.is_empty(),
        "{written:?}: not as they should be, and written anew: look at the change, and commit it"
    );
}

/// The part of a file between two marks, which are comments, is as `content` says.
#[track_caller]
pub fn part_is_fresh(file: &str, name: &str, content: &str) {
    let text = fs::read_to_string(root().join(file)).expect("the file is there");
    let text = text.replace("\r\n", "\n");
    let (start, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{file} has no {start}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    are_fresh([(file, format!("{before}{start}\n{content}\n{end}{after}"))]);
}
