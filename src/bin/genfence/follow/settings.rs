//! The file of `genfence follow`. An error names its field, and never repeats what stands there: it may hold a password.

use std::path::Path;
use std::time::Duration;

use genfence::postgres::{MappedTable, OutboxOptions, ReplicationOptions};
use toml::{Table, Value};

use crate::Failure;
use crate::postgres::Server;

pub struct Settings {
    pub cache: String,
    /// The cache's user and password, where they do not stand in its URL.
    pub login: Option<(String, String)>,
    pub source: Server,
    pub kind: Kind,
}

pub enum Kind {
    Outbox { follower: String, options: OutboxOptions },
    Replication(ReplicationOptions),
}

pub fn read(file: &Path) -> Result<Settings, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    // The parser's own words show the line.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("{}: line {line} is no TOML", file.display())
    })?;
    settings(Fields { table, within: String::new() })
        .map_err(|error| format!("{}: {error}", file.display()).into())
}

fn settings(mut fields: Fields) -> Result<Settings, Failure> {
    let cache = fields.needed("cache")?;
    let login = match (fields.text("cache_user")?, fields.secret("cache_password_env")?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => return Err("cache_user, cache_password_env: one needs the other".into()),
    };
    let source = fields.needed("source")?;
    let password = fields.secret("source_password_env")?;
    let source = Server::parse(&source, "genfence follow", password.as_deref())
        .map_err(|problem| format!("source: {problem}"))?;
    let kind = match &*fields.needed("kind")? {
        "outbox" => outbox(&mut fields)?,
        "replication" => Kind::Replication(replication(&mut fields)?),
        _ => return Err("kind: must be \"outbox\" or \"replication\"".into()),
    };
    fields.end()?;
    Ok(Settings { cache, login, source, kind })
}

fn outbox(fields: &mut Fields) -> Result<Kind, Failure> {
    let follower = fields.needed("follower")?;
    let mut options = OutboxOptions::new();
    if let Some(table) = fields.text("table")? {
        options = options.table(table);
    }
    if let Some(followers) = fields.text("followers")? {
        options = options.followers(followers);
    }
    if let Some(pause) = fields.span("pause")? {
        options = options.pause(pause);
    }
    if let Some(batch) = fields.number("batch")? {
        options = options.batch(batch);
    }
    // Its bounds are the library's, and so are the words.
    options.create()?;
    Ok(Kind::Outbox { follower, options })
}

fn replication(fields: &mut Fields) -> Result<ReplicationOptions, Failure> {
    let (slot, publication) = (fields.needed("slot")?, fields.needed("publication")?);
    let mut options = ReplicationOptions::new(slot, publication);
    if let Some(pause) = fields.span("pause")? {
        options = options.pause(pause);
    }
    if let Some(batch) = fields.number("batch")? {
        options = options.batch(batch);
    }
    let Some(Value::Array(tables)) = fields.table.remove("tables") else {
        return Err("tables: must be there, as [[tables]], once for each table".into());
    };
    for (place, table) in tables.into_iter().enumerate() {
        let within = format!("tables[{place}].");
        let Value::Table(table) = table else {
            return Err(format!("{within}: must be a table").into());
        };
        options = options.table(mapped(Fields { table, within })?);
    }
    options.create()?;
    Ok(options)
}

fn mapped(mut fields: Fields) -> Result<MappedTable, Failure> {
    let mut mapped = MappedTable::new(fields.needed("table")?, fields.needed("key")?);
    if let Some(column) = fields.text("version")? {
        mapped = mapped.version(column);
    }
    match fields.table.remove("without_version") {
        None | Some(Value::Boolean(false)) => {}
        Some(Value::Boolean(true)) => mapped = mapped.without_version(),
        Some(_) => return Err(fields.wrong("without_version", "must be true or false")),
    }
    fields.end()?;
    Ok(mapped)
}

/// What was not asked for yet.
struct Fields {
    table: Table,
    within: String,
}

impl Fields {
    fn wrong(&self, field: &str, problem: &str) -> Failure {
        format!("{}{field}: {problem}", self.within).into()
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, Failure> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "must be a text in quotes, and not empty")),
        }
    }

    fn needed(&mut self, field: &str) -> Result<String, Failure> {
        self.text(field)?.ok_or_else(|| self.wrong(field, "must be there"))
    }

    /// What is in a variable of the environment, whose name stands here.
    fn secret(&mut self, field: &str) -> Result<Option<String>, Failure> {
        let Some(name) = self.text(field)? else { return Ok(None) };
        let secret = std::env::var(&name)
            .map_err(|_| self.wrong(field, "this variable of the environment is not set"))?;
        Ok(Some(secret))
    }

    fn span(&mut self, field: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let span = humantime::parse_duration(&text)
            .map_err(|_| self.wrong(field, "must be a time such as \"20ms\", 1ms to 1m"))?;
        Ok(Some(span))
    }

    fn number(&mut self, field: &str) -> Result<Option<u32>, Failure> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Value::Integer(number)) if u32::try_from(number).is_ok() => {
                Ok(u32::try_from(number).ok())
            }
            Some(_) => Err(self.wrong(field, "must be a whole number, 1 to 100000")),
        }
    }

    fn end(&self) -> Result<(), Failure> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(field) => Err(self.wrong(field, "is no setting here")),
        }
    }
}
