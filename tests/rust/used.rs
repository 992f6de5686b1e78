//! Using a cache that was connected, until it holds a value.

use std::convert::Infallible;
use std::time::Duration;

use genfence::Cache;

/// Generous: the machine may be busy.
pub const BOUND: Duration = Duration::from_secs(60);

/// Where the machine is busy, or connections were lost, the cache is bypassed for a while.
pub async fn use_it(cache: &Cache) {
    let load = async || Ok::<_, Infallible>("v");
    let used = async {
        while cache.get("k").await.unwrap().is_none() {
            assert_eq!(cache.get_or_fill("k", load).await.unwrap().unwrap(), "v");
        }
    };
    tokio::time::timeout(BOUND, used).await.expect("the cache holds the value");
}
