//! What a changed row is called in the cache.

use bytes::Bytes;

use super::decode::{Cell, Relation, Tuple};
use super::options::{MappedTable, Versions};
use crate::Changed;
use crate::postgres::Error;

/// A key, where `{column}` stands for what is in a column.
pub(super) struct Template(Vec<Part<String>>);

enum Part<C> {
    Text(String),
    Column(C),
}

impl Template {
    pub fn parse(template: &str) -> Result<Self, Error> {
        let invalid = |problem: &str| Error::Invalid {
            field: "key",
            problem: format!("{template:?}: {problem}"),
        };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((column, after)) = after.split_once('}') else {
                return Err(invalid("a { has no }"));
            };
            if text.contains('}') || column.contains('{') || column.is_empty() {
                return Err(invalid("between { and } must stand the name of a column"));
            }
            parts.extend([Part::Text(text.into()), Part::Column(column.into())]);
            rest = after;
        }
        if rest.contains('}') {
            return Err(invalid("a } has no {"));
        }
        if parts.is_empty() {
            return Err(invalid("no column stands in it, so all rows would be one"));
        }
        parts.push(Part::Text(rest.into()));
        Ok(Template(parts))
    }
}

/// A table, as the server has described it in this connection.
pub(super) struct Keys {
    /// With its schema.
    pub table: String,
    parts: Vec<Part<usize>>,
    version: Version,
    /// A column of the key that updates and deletes do not tell of.
    untold: Option<String>,
}

enum Version {
    Commit,
    Column(usize),
    Without,
}

impl Keys {
    pub fn new(relation: Relation, tables: &[MappedTable]) -> Result<Self, Error> {
        let Relation { name, columns, .. } = relation;
        let mapped = tables.iter().find(|mapped| mapped.full_name() == name);
        let mapped = mapped.ok_or_else(|| Error::Unmapped(name.clone()))?;
        let place = |column: &String| {
            columns.iter().position(|known| known.name == *column).ok_or_else(|| {
                Error::Unfit(format!("the table {name} is published without a column {column}"))
            })
        };
        let mut untold = None;
        let mut parts = Vec::new();
        for part in Template::parse(&mapped.key)?.0 {
            parts.push(match part {
                Part::Text(text) => Part::Text(text),
                Part::Column(column) => {
                    let at = place(&column)?;
                    if !columns[at].in_identity {
                        untold = Some(column);
                    }
                    Part::Column(at)
                }
            });
        }
        let version = match &mapped.version {
            Versions::Commit => Version::Commit,
            Versions::Column(column) => Version::Column(place(column)?),
            Versions::Without => Version::Without,
        };
        Ok(Keys { table: name, parts, version, untold })
    }

    pub fn inserted(&self, new: &Tuple, commit: u64) -> Result<Option<Changed>, Error> {
        let version = self.version(new, commit)?;
        Ok(self.key(new, None).map(|key| Changed { key, version }))
    }

    /// The row, and what it was before, if that has another key.
    pub fn updated(
        &self,
        old: Option<&Tuple>,
        new: &Tuple,
        commit: u64,
    ) -> Result<[Option<Changed>; 2], Error> {
        self.tells()?;
        let version = self.version(new, commit)?;
        let changed = |key| Changed { key, version };
        let now = self.key(new, old);
        let before =
            old.and_then(|old| self.key(old, None)).filter(|key| now.as_ref() != Some(key));
        Ok([now.map(changed), before.map(changed)])
    }

    pub fn deleted(&self, old: &Tuple, commit: u64) -> Result<Option<Changed>, Error> {
        self.tells()?;
        let version = self.version(old, commit)?;
        // The row's last version is the one that is gone.
        let after = matches!(self.version, Version::Column(_));
        let version = version.map(|version| version + u64::from(after));
        Ok(self.key(old, None).map(|key| Changed { key, version }))
    }

    fn tells(&self) -> Result<(), Error> {
        match &self.untold {
            None => Ok(()),
            Some(column) => {
                Err(Error::Identity { table: self.table.clone(), column: column.clone() })
            }
        }
    }

    /// `None`: a column has nothing in it, so the row has no key.
    fn key(&self, row: &Tuple, old: Option<&Tuple>) -> Option<Bytes> {
        let mut key = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.extend_from_slice(text.as_bytes()),
                Part::Column(at) => match (row.get(*at)?, old) {
                    (Cell::Text(text), _) => key.extend_from_slice(text),
                    // Of what is large and was not changed, the old row tells.
                    (Cell::Unchanged, Some(old)) => match old.get(*at)? {
                        Cell::Text(text) => key.extend_from_slice(text),
                        _ => return None,
                    },
                    _ => return None,
                },
            }
        }
        Some(key.into())
    }

    fn version(&self, row: &Tuple, commit: u64) -> Result<Option<u64>, Error> {
        let at = match self.version {
            Version::Without => return Ok(None),
            // A replica has replayed a commit once it is past its beginning.
            Version::Commit => return Ok(Some(commit + 1)),
            Version::Column(at) => at,
        };
        let Some(Cell::Text(text)) = row.get(at) else { return Ok(None) };
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| {
            let what = format!("the version of a row of {}", self.table);
            Error::unreadable(what, "it is no whole number from 0 on")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::Column;
    use super::*;

    fn users(version: Option<&str>, is_told: bool) -> Keys {
        let column = |name: &str, in_identity| Column { name: name.into(), in_identity };
        let columns = vec![column("id", true), column("region", is_told), column("version", true)];
        let relation = Relation { id: 7, name: "public.users".into(), columns };
        let mapped = MappedTable::new("users", "{region}/user:{id}");
        let mapped = match version {
            Some(column) => mapped.version(column),
            None => mapped,
        };
        Keys::new(relation, &[mapped]).unwrap_or_else(|error| panic!("{error}"))
    }

    fn row(cells: [&'static str; 3]) -> Tuple {
        cells.map(|text| Cell::Text(Bytes::from_static(text.as_bytes()))).into()
    }

    #[test]
    fn a_row_that_moves_changes_both_keys_and_a_delete_has_the_version_after() {
        let users = users(Some("version"), true);
        let moved = users.updated(Some(&row(["1", "eu", "4"])), &row(["1", "us", "5"]), 90);
        let [now, before] = moved.unwrap();
        assert_eq!(now, Some(Changed::new("us/user:1").version(5)));
        assert_eq!(before, Some(Changed::new("eu/user:1").version(5)));
        let deleted = users.deleted(&row(["1", "us", "5"]), 91).unwrap();
        assert_eq!(deleted, Some(Changed::new("us/user:1").version(6)));
    }

    #[test]
    fn the_version_may_be_where_the_commit_stands_and_what_is_large_stays_what_it_was() {
        let users = users(None, true);
        let mut new = row(["1", "", "5"]);
        new[1] = Cell::Unchanged;
        let [now, before] = users.updated(Some(&row(["1", "eu", "4"])), &new, 90).unwrap();
        assert_eq!((now, before), (Some(Changed::new("eu/user:1").version(91)), None));
        new[1] = Cell::Null;
        assert_eq!(users.inserted(&new, 90).unwrap(), None, "it has no key");
    }

    #[test]
    fn a_key_that_updates_do_not_tell_of_is_an_error_that_names_the_table() {
        let users = users(None, false);
        assert!(users.inserted(&row(["1", "eu", "4"]), 90).is_ok());
        let deleted = users.deleted(&row(["1", "eu", "4"]), 90).unwrap_err();
        let updated = users.updated(None, &row(["1", "eu", "4"]), 90).unwrap_err();
        for error in [deleted, updated] {
            assert!(error.to_string().contains("public.users lacks the column region"), "{error}");
        }
    }

    #[test]
    fn a_template_must_have_a_column_and_match_its_braces() {
        for template in ["", "user", "user:{id", "user:id}", "{}", "{a{b}", "a}{b}"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
