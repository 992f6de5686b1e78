//! The table of platforms: `packaging/targets`.

/// A line of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// As .NET names the platform.
    pub rid: &'static str,
    /// As Rust does.
    pub triple: &'static str,
    /// The oldest glibc, or the oldest macOS.
    pub oldest: Option<&'static str>,
    /// The file of the shared library.
    pub shared: &'static str,
    /// The file that programs for Windows are linked with.
    pub import: Option<&'static str>,
    /// The file of the static library.
    pub archive: &'static str,
}

/// Every platform there is a package for.
///
/// # Panics
/// If the table is no table.
pub fn targets() -> Vec<Target> {
    let lines = include_str!("../../targets").lines().filter(|line| !line.starts_with('#'));
    let targets = lines.map(|line| {
        let mut cells = line.split_whitespace().map(|cell| (cell != "-").then_some(cell));
        let mut cell = || cells.next().unwrap_or_else(|| panic!("a cell is missing: {line}"));
        Target {
            rid: cell().expect("it has a name"),
            triple: cell().expect("it has a target"),
            oldest: cell(),
            shared: cell().expect("it has a library"),
            import: cell(),
            archive: cell().expect("it has a static library"),
        }
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_is_in_every_list_of_them() {
        let targets = targets();
        assert_eq!(targets.len(), 8);
        let lists = [
            ("docs/platforms.md", include_str!("../../../docs/platforms.md")),
            ("dotnet/README.md", include_str!("../../../dotnet/README.md")),
            ("release.yml", include_str!("../../../.github/workflows/release.yml")),
        ];
        let licences = include_str!("../../licences.toml");
        for Target { rid, triple, .. } in targets {
            for (list, text) in lists {
                assert!(text.contains(rid), "{list} has no {rid}");
            }
            assert!(licences.contains(triple), "packaging/licences.toml has no {triple}");
        }
    }
}
