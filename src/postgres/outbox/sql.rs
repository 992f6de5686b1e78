//! The statements of an outbox, with its names in place.

use super::OutboxOptions;
use crate::postgres::{Error, names};

macro_rules! create {
    ($table:expr, $followers:expr) => {
        concat!(
            "CREATE TABLE IF NOT EXISTS ",
            $table,
            " (
    -- The writing transaction, and the order within it. Leave both to their defaults.
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- What was changed (text or bytea), and the version that it has now, where the source has versions.
    key text,
    version bigint,
    -- Of a follower's heartbeat, which has no key: whose it is.
    heartbeat_of bigint,
    PRIMARY KEY (transaction, id),
    CHECK ((key IS NULL) = (heartbeat_of IS NOT NULL))
);
CREATE TABLE IF NOT EXISTS ",
            $followers,
            " (
    -- The last row that this follower has confirmed.
    follower text PRIMARY KEY,
    transaction xid8 NOT NULL,
    id bigint NOT NULL
);
"
        )
    };
}

/// What creates the tables of an outbox, with their usual names. Other names: [`OutboxOptions::create`].
///
/// A service adds a row within the transaction of its change. By itself, after the change:
///
/// ```sql
/// INSERT INTO genfence_outbox (key, version) VALUES ('user:42', 7);
/// ```
///
/// Or a trigger does it, whoever makes the change:
///
/// ```sql
/// CREATE FUNCTION tell_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
/// BEGIN
///     IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.id <> NEW.id THEN
///         INSERT INTO genfence_outbox (key) VALUES ('user:' || OLD.id);
///     END IF;
///     IF TG_OP <> 'DELETE' THEN
///         INSERT INTO genfence_outbox (key, version) VALUES ('user:' || NEW.id, NEW.version);
///     END IF;
///     RETURN NULL;
/// END $$;
/// CREATE TRIGGER tell_of_user AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell_of_user();
/// ```
pub const CREATE_OUTBOX: &str = create!("genfence_outbox", "genfence_outbox_followers");

pub(super) struct Sql {
    table: String,
    followers: String,
}

impl Sql {
    pub fn new(options: &OutboxOptions) -> Result<Self, Error> {
        Ok(Sql {
            table: names::table("table", &options.table)?,
            followers: names::table("followers", &options.followers)?,
        })
    }

    pub fn create(&self) -> String {
        let Sql { table, followers } = self;
        format!(create!("{table}", "{followers}"), table = table, followers = followers)
    }

    pub fn register(&self) -> String {
        format!("INSERT INTO {} VALUES ($1, '0', 0) ON CONFLICT DO NOTHING", self.followers)
    }

    pub fn position(&self) -> String {
        format!("SELECT transaction::text, id FROM {} WHERE follower = $1", self.followers)
    }

    /// A transaction that is still open, or begins from now on, has an id of `pg_snapshot_xmin` or greater: so below it there comes nothing new, and
    /// above it something may still come before what is there.
    pub fn poll(&self) -> String {
        format!(
            "SELECT transaction::text, id, key, version, heartbeat_of FROM {}
             WHERE (transaction, id) > ($1::text::xid8, $2::bigint)
             AND transaction < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY transaction, id LIMIT $3::bigint",
            self.table
        )
    }

    /// Never back: another program may confirm by the same name.
    pub fn confirm(&self) -> String {
        format!(
            "UPDATE {} SET (transaction, id) = (
                 SELECT p.transaction, p.id
                 FROM (VALUES ($2::text::xid8, $3::bigint), (transaction, id)) p (transaction, id)
                 ORDER BY p.transaction DESC, p.id DESC LIMIT 1
             ) WHERE follower = $1",
            self.followers
        )
    }

    /// What the follower that is furthest behind has confirmed. Without followers that is nothing.
    pub fn remove(&self) -> String {
        let Sql { table, followers } = self;
        format!(
            "DELETE FROM {table} WHERE (transaction, id) IN (
                 SELECT transaction, id FROM {table}
                 WHERE (transaction, id) <= (
                     SELECT f.transaction, f.id FROM {followers} f ORDER BY f.transaction, f.id LIMIT 1
                 )
                 ORDER BY transaction, id LIMIT $1::bigint FOR UPDATE SKIP LOCKED
             )"
        )
    }

    pub fn heartbeat(&self) -> String {
        format!("INSERT INTO {} (heartbeat_of, version) VALUES ($1, $2)", self.table)
    }
}
