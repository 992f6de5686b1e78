use std::collections::BTreeSet;

/// The functions that a C header declares: the names that stand before a parenthesis, on lines that are no comment.
///
/// # Panics
/// If a comment has no end.
pub fn declared(header: &str) -> BTreeSet<String> {
    let mut code = String::new();
    for (index, part) in header.split("/*").enumerate() {
        code += if index == 0 { part } else { part.split_once("*/").expect("comments end").1 };
    }
    let prototypes = code.lines().filter(|line| !line.starts_with([' ', '#', '}']));
    let names = prototypes.filter_map(|line| {
        let name = line.split_once('(')?.0.rsplit([' ', '*']).next()?;
        (!line.starts_with("typedef") && name.starts_with("gf_")).then(|| name.to_owned())
    });
    names.collect()
}
