//! What becomes of an update, and of a load: one list for Rust, where the core runs the loop, and for C#, where the
//! host does. Each case counts exactly what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::support::settle;
use genfence::{Bypass, Cache, CallError, Error, Fresh, Lookup, Reservation, SourceResult};

const URL: &str = "memory://?max_value_bytes=10";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateCase {
    name: String,
    #[serde(default)]
    crossed: bool,
    source: Source,
    outcome: Value,
    then: Value,
    counted: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadCase {
    name: String,
    #[serde(default)]
    reserved: bool,
    holds: Option<String>,
    source: Source,
    returned: Value,
    then: Value,
    counted: BTreeMap<String, u64>,
}

/// What the caller's code says of the source.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Source {
    committed: Option<String>,
    value: Option<String>,
    says: Option<Says>,
    version: Option<u64>,
    ttl_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Says {
    Changed,
    Deleted,
    RolledBack,
    Fails,
}

impl Source {
    fn fresh(&self, value: Option<String>) -> Fresh {
        let mut fresh = Fresh::from(value);
        if let Some(version) = self.version {
            fresh = fresh.version(version);
        }
        if let Some(ttl) = self.ttl_ms {
            fresh = fresh.ttl(Duration::from_millis(ttl));
        }
        fresh
    }

    fn changed(self) -> Result<SourceResult, &'static str> {
        Ok(match self.says {
            Some(Says::Fails) => return Err("fails"),
            Some(Says::Changed) => SourceResult::Changed(self.version),
            Some(Says::RolledBack) => SourceResult::RolledBack,
            Some(Says::Deleted) => SourceResult::Committed(self.fresh(None)),
            None => SourceResult::Committed(self.fresh(self.committed.clone())),
        })
    }
}

/// What the key holds afterwards.
async fn then(cache: &Cache) -> Value {
    match cache.lookup("k").await.unwrap() {
        Lookup::Hit(hit) => {
            let value = hit.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            serde_json::json!({ "hit": value })
        }
        Lookup::Leased(_) => "leased".into(),
        Lookup::Bypass(Bypass::Reserved) => "reserved".into(),
        other @ Lookup::Bypass(_) => panic!("{other:?}"),
    }
}

/// Everything that is not zero.
fn counted(cache: &Cache) -> BTreeMap<String, u64> {
    let stats = serde_json::to_value(cache.stats()).unwrap();
    let all: BTreeMap<String, u64> = serde_json::from_value(stats).unwrap();
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn updates() {
    let cases: Vec<UpdateCase> =
        serde_json::from_str(include_str!("../cases/updates.json")).unwrap();
    for UpdateCase { name, crossed, source, outcome, then: expected, counted: count } in cases {
        let cache = Cache::connect(URL).await.unwrap();
        let _ = cache.set("k", "old").await.unwrap();
        let other = if crossed { Some(cache.reserve("k").await.unwrap()) } else { None };
        let change = async |_: &Reservation| source.changed();
        let said = match cache.update("k", change).await {
            Ok(outcome) => format!("{outcome:?}").into(),
            Err(CallError::Cache(Error::Invalid { field, .. })) => {
                serde_json::json!({ "invalid": field })
            }
            Err(CallError::Caller(said)) => said.into(),
            Err(other) => panic!("{name}: {other}"),
        };
        assert_eq!(said, outcome, "{name}");
        assert_eq!(counted(&cache), count, "{name}");
        assert_eq!(then(&cache).await, expected, "{name}");
        drop(other);
    }
}

#[tokio::test]
async fn loads() {
    let cases: Vec<LoadCase> = serde_json::from_str(include_str!("../cases/loads.json")).unwrap();
    for LoadCase { name, reserved, holds, source, returned, then: expected, counted: count } in
        cases
    {
        let cache = Cache::connect(URL).await.unwrap();
        let writer = if reserved { Some(cache.reserve("k").await.unwrap()) } else { None };
        if let Some(held) = holds {
            let _ = cache.set("k", held).await.unwrap();
        }
        let load = async || match source.says {
            Some(_) => Err("fails"),
            None => Ok(source.fresh(source.value.clone())),
        };
        let said = match cache.get_or_fill("k", load).await {
            Ok(value) => value.map(|value| String::from_utf8(value.to_vec()).unwrap()).into(),
            Err(CallError::Cache(Error::Invalid { field, .. })) => {
                serde_json::json!({ "invalid": field })
            }
            Err(CallError::Caller(said)) => {
                assert_eq!(said, Arc::new("fails"));
                serde_json::json!({ "fails": true })
            }
            Err(other) => panic!("{name}: {other}"),
        };
        assert_eq!(said, returned, "{name}");
        settle().await;
        assert_eq!(counted(&cache), count, "{name}");
        assert_eq!(then(&cache).await, expected, "{name}");
        drop(writer);
    }
}
