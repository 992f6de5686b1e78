//! Transactions whose keys are reserved in the last moment before COMMIT.

use std::convert::Infallible;
use std::time::Duration;

use genfence::{Bypass, Cache, CallError, Error, Fresh, Lookup, TransactionFence, UpdateOutcome};

async fn memory() -> Cache {
    Cache::connect("memory://").await.unwrap()
}

async fn fill(cache: &Cache, key: &str) {
    cache.get_or_fill(key, async || Ok::<_, Infallible>("old")).await.unwrap();
}

async fn value(cache: &Cache, key: &str) -> Option<String> {
    let hit = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(hit.value.unwrap().to_vec()).unwrap())
}

async fn is_reserved(cache: &Cache, key: &str) -> bool {
    matches!(cache.lookup(key).await.unwrap(), Lookup::Bypass(Bypass::Reserved))
}

#[tokio::test]
async fn readers_keep_their_hits_until_commit_is_sent() {
    let cache = memory().await;
    fill(&cache, "a").await;
    fill(&cache, "b").await;
    let change = async |fence: &mut TransactionFence| {
        fence.add_many(["a", "b", "a"]).unwrap();
        fence.set_of_changed_rows("c", "returned").unwrap();
        assert_eq!(fence.remaining(), Duration::MAX);
        assert_eq!(value(&cache, "a").await.as_deref(), Some("old"));
        Ok::<_, Infallible>(7)
    };
    let commit = async |transaction| {
        for key in ["a", "b", "c"] {
            assert!(is_reserved(&cache, key).await, "{key}");
        }
        Ok(transaction + 1)
    };
    let (result, outcomes) = cache.transaction(change, commit).await.unwrap();
    assert_eq!(result, 8);
    let expected = [
        ("a".into(), UpdateOutcome::Purged),
        ("b".into(), UpdateOutcome::Purged),
        ("c".into(), UpdateOutcome::Stored),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(value(&cache, "c").await.as_deref(), Some("returned"));
}

#[tokio::test]
async fn what_is_rolled_back_has_not_touched_the_cache() {
    let cache = memory().await;
    fill(&cache, "a").await;
    let change = async |fence: &mut TransactionFence| {
        fence.add("a").unwrap();
        Err::<(), _>("a constraint")
    };
    let failed = cache.transaction(change, async |()| Ok(())).await;
    assert!(matches!(failed, Err(CallError::Caller("a constraint"))));
    assert_eq!(value(&cache, "a").await.as_deref(), Some("old"));

    // Also what was reserved before it was read, for a value: it is given back.
    let change = async |fence: &mut TransactionFence| {
        fence.add("a").unwrap();
        fence.reserve().await.unwrap();
        assert!(is_reserved(&cache, "a").await);
        fence.set("a", "made of what was read").unwrap();
        Err::<(), _>("a constraint")
    };
    assert!(cache.transaction(change, async |()| Ok(())).await.is_err());
    assert!(matches!(cache.lookup("a").await.unwrap(), Lookup::Leased(_)));
}

#[tokio::test]
async fn a_commit_that_fails_leaves_its_keys_as_nobody_knows() {
    let cache = memory().await;
    fill(&cache, "a").await;
    let change = async |fence: &mut TransactionFence| {
        fence.add("a").unwrap();
        Ok(())
    };
    let failed = cache.transaction(change, async |()| Err::<(), _>("no answer")).await;
    assert!(matches!(failed, Err(CallError::Caller("no answer"))));
    assert!(is_reserved(&cache, "a").await);
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_given_up_when_its_reservations_are_over() {
    let cache = memory().await;
    let change = async |fence: &mut TransactionFence| {
        fence.add("a").unwrap();
        Ok::<_, Infallible>(())
    };
    let hangs = async |()| std::future::pending::<Result<(), Infallible>>().await;
    let failed = cache.transaction(change, hangs).await.unwrap_err();
    assert!(
        matches!(failed, CallError::Cache(Error::TransactionTimedOut { is_sent: true })),
        "{failed}"
    );
    assert!(failed.to_string().contains("nobody knows"), "{failed}");
}

#[tokio::test]
async fn one_that_comes_too_late_is_not_sent() {
    let cache = Cache::builder()
        .reservation_time(Duration::from_millis(100))
        .reservation_margin(Duration::from_millis(99))
        .connect("memory://")
        .await
        .unwrap();
    let change = async |fence: &mut TransactionFence| {
        fence.add("a").unwrap();
        fence.reserve().await.unwrap();
        tokio::time::sleep(Duration::from_millis(120)).await;
        Ok::<_, Infallible>(())
    };
    let failed = cache.transaction(change, async |()| -> Result<(), _> { panic!("it is sent") });
    let failed = failed.await.unwrap_err();
    assert!(
        matches!(failed, CallError::Cache(Error::TransactionTimedOut { is_sent: false })),
        "{failed}"
    );
    assert!(failed.to_string().contains("`reservation_time`"), "{failed}");
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_sent() {
    let cache = memory().await;
    let mut fence = cache.transaction_fence();
    let said = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert!(said(fence.add("")).starts_with("key: key \"\": 0 bytes, must be 1 to"));
    fence.add("a").unwrap();
    assert!(said(fence.set("a", "b")).contains("is not reserved yet"));
    assert!(said(fence.set("z", "b")).contains("is not reserved yet"));
    let forever = Fresh::new("b").ttl(Duration::MAX);
    assert!(said(fence.set_of_changed_rows("a", forever)).contains("ttl"));
    fence.add_many((1..10_000).map(|key| key.to_string())).unwrap();
    fence.add("a").unwrap();
    assert_eq!(said(fence.add("b")), "keys: more than 10000 keys, must be 1 to 10000");
    fence.rolled_back().await;
    assert!(matches!(cache.lookup("a").await.unwrap(), Lookup::Leased(_)));
}
