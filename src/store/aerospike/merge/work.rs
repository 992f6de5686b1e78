//! What goes: by itself, or as a row of a batch.

use std::sync::Arc;

use aerospike::operations::{Operation, get, get_bin, put, touch};
use aerospike::{
    BatchOperation, BatchPolicy, BatchWritePolicy, Bins, Client, Error, ErrorKind, Key, Record,
    Result as Sent, ResultCode,
};

use super::lane::Lane;
use super::{Answer, Lanes, Work};
use crate::store::aerospike::bins::{self, Reader};
use crate::store::aerospike::codes::{is_for_the_moment, root};
use crate::store::aerospike::commands::{Plan, Work as Does};
use crate::store::aerospike::{AerospikeStore, Connected, bins_and_now};
use crate::store::{Answer as Answered, Look as Looked, Read};

/// A plain read.
#[derive(Default)]
pub(in super::super) struct Get;

/// A read that also tells how long a copy of the value may be served.
#[derive(Default)]
pub(in super::super) struct Look;

/// A command that writes. Boxed, as it is large and handed on often.
pub(in super::super) struct Run(pub Box<Plan>);

impl Work for Get {
    type Said = Read;
    const WRITES: bool = false;

    fn bytes(&self) -> usize {
        0
    }

    fn row(self, on: &Connected, key: Key) -> BatchOperation {
        BatchOperation::read(&on.each, key, Bins::All)
    }

    fn policy(on: &Connected) -> &BatchPolicy {
        &on.batch
    }

    /// Where a single read is refused for the moment the client sends it a second time; of a row it does not.
    fn answer(row: Sent<Record>) -> Option<Answer<Self>> {
        let again =
            row.as_ref().is_err_and(|error| is_for_the_moment(error) || is_of_the_batch(error));
        (!again).then(|| AerospikeStore::read(row))
    }

    fn weight(answer: &Answer<Self>) -> Option<usize> {
        answer.as_ref().ok().and_then(weight_of)
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.reads
    }

    fn again() -> Option<Self> {
        Some(Get)
    }

    async fn alone(self, on: &Connected, client: &Client, key: Key) -> Answer<Self> {
        let read = client.get(&on.read, &key, Bins::All).await;
        AerospikeStore::read(read.inspect_err(|error| on.forgive(client, error)))
    }
}

impl Work for Look {
    type Said = Looked;
    const WRITES: bool = false;

    fn bytes(&self) -> usize {
        0
    }

    fn row(self, on: &Connected, key: Key) -> BatchOperation {
        BatchOperation::read_ops(&on.each, key, bins_and_now(bins::OF_A_LOOK))
    }

    fn policy(on: &Connected) -> &BatchPolicy {
        &on.batch
    }

    fn answer(row: Sent<Record>) -> Option<Answer<Self>> {
        let again =
            row.as_ref().is_err_and(|error| is_for_the_moment(error) || is_of_the_batch(error));
        (!again).then(|| AerospikeStore::looked(row))
    }

    fn weight(answer: &Answer<Self>) -> Option<usize> {
        answer.as_ref().ok().and_then(|look| weight_of(&look.read))
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.looks
    }

    fn again() -> Option<Self> {
        Some(Look)
    }

    async fn alone(self, on: &Connected, client: &Client, key: Key) -> Answer<Self> {
        let look = bins_and_now(bins::OF_A_LOOK);
        let read = client.operate(&on.look, &key, &look).await;
        AerospikeStore::looked(read.inspect_err(|error| on.forgive(client, error)))
    }
}

impl Work for Run {
    type Said = Answered<Option<Reader>>;
    const WRITES: bool = true;

    fn bytes(&self) -> usize {
        self.0.bytes
    }

    fn row(self, _: &Connected, key: Key) -> BatchOperation {
        self.0.row(key)
    }

    fn policy(on: &Connected) -> &BatchPolicy {
        &on.batch_of_writes
    }

    fn answer(row: Sent<Record>) -> Option<Answer<Self>> {
        Some(AerospikeStore::answered(row.map(|record| Some(Reader::of_row(record)))))
    }

    fn weight(_: &Answer<Self>) -> Option<usize> {
        None
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.writes
    }

    fn again() -> Option<Self> {
        None
    }

    async fn alone(self, on: &Connected, client: &Client, key: Key) -> Answer<Self> {
        AerospikeStore::answered(self.0.send(on, client, &key).await)
    }
}

impl Plan {
    /// In a batch a server refuses to write and to read all bins, so those that are wanted are named.
    pub(super) fn row(self, key: Key) -> BatchOperation {
        let Plan { work, policy, answer, .. } = self;
        let mut operations = match work {
            Does::Put(bins) => bins.iter().map(put).collect(),
            Does::Operate(operations) => operations,
            Does::Touch => vec![touch()],
        };
        operations.extend(answer.iter().map(|bin| get_bin(*bin)));
        let policy = BatchWritePolicy {
            record_exists_action: policy.record_exists_action,
            generation_policy: policy.generation_policy,
            commit_level: policy.commit_level,
            generation: policy.generation,
            expiration: policy.expiration,
            durable_delete: policy.durable_delete,
            filter_expression: policy.base_policy.filter_expression,
            ..BatchWritePolicy::default()
        };
        BatchOperation::write(&policy, key, operations)
    }

    async fn send(
        self: Box<Self>,
        on: &Connected,
        client: &Client,
        key: &Key,
    ) -> Sent<Option<Reader>> {
        let Plan { work, policy, .. } = *self;
        let operations: Vec<Operation> = match work {
            // One that was applied answers nothing.
            Does::Put(bins) => {
                let sent = client.put(&policy, key, &bins).await.map(|()| None);
                return sent.inspect_err(|error| on.forgive(client, error));
            }
            // Ends with a read of what is left: all the bins there are. Without it the client would have the
            // server answer each operation by itself.
            Does::Operate(operations) => operations.into_iter().chain([get()]).collect(),
            Does::Touch => vec![touch()],
        };
        let sent = client.operate(&policy, key, &operations).await;
        sent.inspect_err(|error| on.forgive(client, error)).map(|record| Some(Reader(record)))
    }
}

fn weight_of(read: &Read) -> Option<usize> {
    match read {
        Read::Hit(hit) => Some(hit.value.as_ref().map_or(0, bytes::Bytes::len)),
        _ => None,
    }
}

/// Whether the batch as a whole was refused, or brought nothing that can be read.
pub(super) fn is_of_the_batch(error: &Error) -> bool {
    takes_none(error) || matches!(root(error).kind(), ErrorKind::BadResponse)
}

/// Whether the server takes no batch now.
pub(super) fn takes_none(error: &Error) -> bool {
    use ResultCode::{BatchDisabled, BatchMaxRequestsExceeded, BatchQueuesFull};
    let code = error.server_result_code();
    matches!(code, Some(BatchDisabled | BatchMaxRequestsExceeded | BatchQueuesFull))
}
