//! Whether a slot and a publication are what they must be, before anything is read.

use super::options::ReplicationOptions;
use crate::postgres::Error;
use crate::postgres::session::Session;

const SLOT: &str =
    "SELECT coalesce(plugin, slot_type), coalesce(database = current_database(), false),
    coalesce(wal_status, '') FROM pg_replication_slots WHERE slot_name = $1";

const TABLES: &str =
    "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $1";

pub(super) async fn is_fit(session: &Session, options: &ReplicationOptions) -> Result<(), Error> {
    let ReplicationOptions { slot, publication, tables, .. } = options;
    let unfit = |problem: String| Err(Error::Unfit(problem));
    let rows = session.query(SLOT, &[slot]).await?;
    let Some(row) = rows.first() else {
        return unfit(format!("there is no replication slot {slot:?}"));
    };
    let (plugin, is_here, log): (&str, bool, &str) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if plugin != "pgoutput" || !is_here {
        return unfit(format!("the slot {slot:?} must be one of this database, with pgoutput"));
    }
    if log == "lost" {
        return unfit(format!(
            "the server has removed the log that the slot {slot:?} needs (max_slot_wal_keep_size), so changes are lost: drop the slot, \
             create another one, and empty the cache"
        ));
    }
    let rows = session.query(TABLES, &[publication]).await?;
    let published: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if let Some(table) =
        published.iter().find(|name| tables.iter().all(|mapped| mapped.full_name() != **name))
    {
        return Err(Error::Unmapped(table.clone()));
    }
    match tables.iter().find(|mapped| !published.contains(&mapped.full_name())) {
        None => Ok(()),
        Some(mapped) => unfit(format!(
            "the publication {publication:?} does not have the table {}",
            mapped.full_name()
        )),
    }
}
