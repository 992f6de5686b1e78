//! A connection on which nothing is waited for without a bound.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement, ToStatement};

use super::Error;

/// How long the server may take over one statement, and the answer over its way.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const WAY: Duration = Duration::from_secs(5);

pub(super) struct Session {
    client: Client,
    patience: Duration,
}

impl Session {
    /// The settings are the session's own, so whoever owned the connection before has them no more.
    pub async fn open(client: Client, patience: Duration) -> Result<Self, Error> {
        let session = Session { client, patience };
        let limit = patience.as_millis();
        session
            .batch(&format!(
                "SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = 0;
                 SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on"
            ))
            .await?;
        Ok(session)
    }

    /// # Errors
    /// [`Error::TooOld`].
    pub async fn at_least(&self, needed: u32, why: &'static str) -> Result<(), Error> {
        let asked =
            "SELECT current_setting('server_version_num')::int, current_setting('server_version')";
        let row = self.one(asked, &[]).await?;
        let major = row.try_get::<_, i32>(0)? / 10_000;
        if i64::from(major) >= i64::from(needed) {
            return Ok(());
        }
        Err(Error::TooOld { needed, why, found: row.try_get(1)? })
    }

    pub async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.answered(self.client.prepare(sql)).await
    }

    pub async fn query(
        &self,
        statement: &(impl ToStatement + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.answered(self.client.query(statement, params)).await
    }

    pub async fn one(
        &self,
        statement: &(impl ToStatement + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.answered(self.client.query_one(statement, params)).await
    }

    pub async fn execute(
        &self,
        statement: &(impl ToStatement + ?Sized),
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.answered(self.client.execute(statement, params)).await
    }

    pub async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.answered(self.client.batch_execute(sql)).await
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let bound = self.patience + WAY;
        match timeout(bound, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::NoAnswer(bound)),
        }
    }
}
