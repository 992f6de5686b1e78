//! The plain way, by commands of the client: what a generation can and cannot see.

use aerospike::operations::{get_bin, put, touch};
use aerospike::{
    Bin, Client, ClientPolicy, Expiration, GenerationPolicy, Key, ReadPolicy, RecordExistsAction,
    Value, WritePolicy,
};

use super::talk::Version;

pub const VALUE: &str = "value";
/// In milliseconds.
const PATIENCE: u32 = 300;

pub fn name(key: usize) -> Key {
    let key = Value::Int(i64::try_from(key).expect("there are few"));
    Key::new("test", "plain", key).expect("it is one")
}

pub async fn connect(cluster: &str) -> Client {
    let policy = ClientPolicy { seed_only_cluster: true, ..ClientPolicy::default() };
    Client::new(&policy, &cluster.to_owned()).await.expect("it is there")
}

pub struct Plain(pub Client);

impl Plain {
    fn reading() -> ReadPolicy {
        let mut policy = ReadPolicy::default();
        policy.base_policy.total_timeout = PATIENCE;
        policy
    }

    fn writing() -> WritePolicy {
        let mut policy = WritePolicy { expiration: Expiration::Never, ..WritePolicy::default() };
        policy.base_policy.total_timeout = PATIENCE;
        policy.base_policy.max_retries = 0;
        policy
    }

    pub async fn get(&self, key: usize) -> Option<Version> {
        let record = self.0.get(&Self::reading(), &name(key), [VALUE]).await.ok()?;
        let Some(Value::Int(version)) = record.bins.get(VALUE) else { return None };
        Version::try_from(*version).ok()
    }

    /// Stores it if the record has that generation, or if there is none.
    pub async fn put(&self, key: usize, version: Version, generation: Option<u32>) -> bool {
        let mut policy = Self::writing();
        match generation {
            Some(generation) => {
                policy.generation_policy = GenerationPolicy::ExpectGenEqual;
                policy.generation = generation;
            }
            None => policy.record_exists_action = RecordExistsAction::CreateOnly,
        }
        let value = Bin::new(VALUE, Value::Int(version.cast_signed()));
        self.0.operate(&policy, &name(key), &[put(&value)]).await.is_ok()
    }

    /// Changes nothing, which still counts as a write: the generation since. `None`: there is no record.
    pub async fn touch(&self, key: usize) -> Option<u32> {
        let policy =
            WritePolicy { record_exists_action: RecordExistsAction::UpdateOnly, ..Self::writing() };
        let touched = self.0.operate(&policy, &name(key), &[touch(), get_bin(VALUE)]).await;
        touched.ok().map(|record| record.generation)
    }
}
