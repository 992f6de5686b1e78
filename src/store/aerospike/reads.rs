//! Reads of one caller of several keys: to each node in one message.

use std::sync::Arc;

use aerospike::{BatchOperation, Record as Answered};
use bytes::Bytes;
use futures_util::future::join_all;

use super::merge::{Get, Lanes, Look, Work, gone};
use super::{AerospikeStore, Connected, batch_of, outcome};
use crate::store::guard::Standing;
use crate::store::{self, Read, StoreError};

/// What each key is read with.
pub(super) trait Reads: Work + Default {
    fn said(row: aerospike::Result<Answered>) -> Result<Self::Said, StoreError>;
    fn nothing() -> Self::Said;
    fn read(said: &Self::Said) -> &Read;
}

impl Reads for Get {
    fn said(row: aerospike::Result<Answered>) -> Result<Read, StoreError> {
        AerospikeStore::read(row)
    }

    fn nothing() -> Read {
        Read::Free
    }

    fn read(said: &Read) -> &Read {
        said
    }
}

impl Reads for Look {
    fn said(row: aerospike::Result<Answered>) -> Result<store::Look, StoreError> {
        AerospikeStore::looked(row)
    }

    fn nothing() -> store::Look {
        store::Look::without_copies(Read::Free)
    }

    fn read(said: &store::Look) -> &Read {
        &said.read
    }
}

/// A read of a batch, and its place in what was asked for.
type Row = (usize, BatchOperation);
/// What came of it.
type Told<R> = (usize, Result<<R as Work>::Said, StoreError>);

impl Connected {
    /// Reads of one node, each with its place.
    async fn read_rows<R: Reads>(
        &self,
        lanes: &Lanes,
        rows: Vec<Row>,
        standing: Standing,
        several: bool,
    ) -> Vec<Told<R>> {
        let (places, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let policy = batch_of(&self.batch, several);
        let batch = Box::pin(lanes.client.batch(&policy, &mut rows));
        let asked = lanes.presence.unless_gone(batch).await;
        let whole = match asked {
            Ok(whole) => whole,
            Err(problem) => {
                let failed = |place| (place, Err(gone(problem, false)));
                return places.into_iter().map(failed).collect();
            }
        };
        if let Err(error) = &whole {
            self.forgive(&lanes.client, error);
        }
        // A row has an outcome of its own; one that has none shares the call's.
        let row = |read| {
            let said = outcome(read, whole.as_ref().err()).map_or(Ok(R::nothing()), R::said)?;
            self.serves(R::read(&said), standing)?;
            Ok(said)
        };
        places.into_iter().zip(rows.into_iter().map(row)).collect()
    }
}

impl AerospikeStore {
    /// In the order of the keys.
    pub(super) async fn read_many<R: Reads>(
        &self,
        keys: &[Bytes],
    ) -> Vec<Result<R::Said, StoreError>> {
        let on = match self.cluster_now().await {
            Ok(on) => on,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let standing = match on.standing() {
            Ok(standing) => standing,
            Err(error) => return vec![Err(error); keys.len()],
        };
        // Each node is asked by itself, so that none waits for another; one that is not there is not waited for.
        let mut found: Vec<Option<Result<R::Said, StoreError>>> = vec![None; keys.len()];
        let mut asked: Vec<(Arc<Lanes>, Vec<Row>)> = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let key = match on.key(key) {
                Ok(key) => key,
                Err(error) => {
                    found[place] = Some(Err(error));
                    continue;
                }
            };
            let lanes = on.nodes.of(&key);
            let row = (place, R::default().row(&on, key));
            match asked.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &lanes)) {
                Some((_, rows)) => rows.push(row),
                None => asked.push((lanes, vec![row])),
            }
        }
        let several = asked.len() > 1;
        let batches = asked.into_iter().map(move |(lanes, rows)| {
            let on = Arc::clone(&on);
            async move { on.read_rows::<R>(&lanes, rows, standing, several).await }
        });
        match self.home.run(false, join_all(batches)).await {
            Ok(told) => {
                for (place, read) in told.into_iter().flatten() {
                    found[place] = Some(read);
                }
            }
            Err(error) => return vec![Err(error); keys.len()],
        }
        found.into_iter().map(|read| read.unwrap_or(Ok(R::nothing()))).collect()
    }
}
