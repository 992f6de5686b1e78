//! The pages: every link within the project leads somewhere, and the site has every page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Every page that is written by hand or generated, but for those of the build.
fn pages() -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = BTreeSet::new();
    let mut folders =
        ["", "docs", "docs/decisions", "bindings/c", "dotnet"].map(|at| root.join(at)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "md") {
                pages.insert(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

struct Page {
    /// Where its links go: the path, and the heading.
    links: Vec<String>,
    headings: BTreeSet<String>,
}

fn read(path: &Path) -> Page {
    let text = fs::read_to_string(path).unwrap();
    let mut page = Page { links: Vec::new(), headings: BTreeSet::new() };
    let mut heading = None;
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                page.headings.extend(heading.take().map(|text| slug(&text)));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    *heading += &text;
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            _ => {}
        }
    }
    page
}

/// A heading as a link names it.
fn slug(heading: &str) -> String {
    let kept = |letter: char| letter.is_alphanumeric() || " -_".contains(letter);
    heading
        .to_lowercase()
        .chars()
        .filter(|letter| kept(*letter))
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    let mut links = 0;
    for page in pages() {
        for link in read(&page).links {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let there =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let is_alive =
                there.exists() && (heading.is_empty() || read(&there).headings.contains(heading));
            if !is_alive {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(links > 100, "{links} links");
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_site_has_every_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = docs.join("SUMMARY.md");
    let listed: BTreeSet<PathBuf> =
        read(&summary).links.iter().map(|link| docs.join(link)).collect();
    let there: BTreeSet<PathBuf> =
        pages().into_iter().filter(|page| page.starts_with(&docs) && *page != summary).collect();
    assert_eq!(listed, there);
}

/// Whoever is in a hurry reads this far.
#[test]
fn the_readme_is_short() {
    let readme = include_str!("../../README.md");
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
}
