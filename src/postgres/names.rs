//! Names within SQL.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::Error;

/// PostgreSQL cuts off what is longer, and then two names may be one.
const LONGEST: usize = 63;

/// `table` or `schema.table`, each part quoted.
pub(super) fn table(field: &'static str, name: &str) -> Result<String, Error> {
    let parts: Vec<&str> = name.split('.').collect();
    if parts.len() > 2 {
        let problem = format!("{name:?} must be a table, or a schema, a dot and a table");
        return Err(Error::Invalid { field, problem });
    }
    let quoted: Result<Vec<String>, Error> =
        parts.iter().map(|part| identifier(field, part)).collect();
    Ok(quoted?.join("."))
}

pub(super) fn identifier(field: &'static str, name: &str) -> Result<String, Error> {
    check(field, name)?;
    Ok(escape_identifier(name))
}

pub(super) fn literal(field: &'static str, name: &str) -> Result<String, Error> {
    check(field, name)?;
    // A space comes first where there is a backslash.
    Ok(escape_literal(name))
}

/// # Errors
/// [`Error::Invalid`]: it is no name.
pub(super) fn check(field: &'static str, name: &str) -> Result<(), Error> {
    if (1..=LONGEST).contains(&name.len()) && !name.contains('\0') {
        return Ok(());
    }
    let problem = format!("a name must have 1 to {LONGEST} bytes, and none of them is 0");
    Err(Error::Invalid { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_part_by_part() {
        assert_eq!(table("table", "outbox").unwrap(), "\"outbox\"");
        assert_eq!(table("table", "Shop.out\"box; --").unwrap(), "\"Shop\".\"out\"\"box; --\"");
        assert_eq!(literal("slot", "it's").unwrap(), "'it''s'");
    }

    #[test]
    fn what_is_no_name_is_refused_by_the_name_of_its_field() {
        for name in ["", "a.", ".a", "a.b.c", "a\0b", &"x".repeat(64)] {
            let error = table("table", name).unwrap_err().to_string();
            assert!(error.starts_with("table: "), "{name:?}: {error}");
        }
    }
}
