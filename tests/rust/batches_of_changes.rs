//! What a stream of the source's changes brings, applied in batches.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use genfence::{Cache, Error};
use tokio::sync::Semaphore;

use crate::support::{Fault, Kind, faulty};

async fn floor(cache: &Cache, key: &str) -> Option<u64> {
    let known = cache.inspect(key).await.unwrap()?;
    known.record.floor.map(genfence::protocol::Version::get)
}

#[tokio::test]
async fn each_key_is_sent_once_with_its_newest_version_and_an_older_one_lowers_nothing() {
    let (cache, store, _) = faulty();
    let changes = [("a", Some(1)), ("b", Some(5)), ("a", Some(3)), ("a", Some(2))];
    cache.invalidate_many(changes).await.unwrap();
    assert_eq!(store.sent(), [Kind::Other; 2]);
    assert_eq!((floor(&cache, "a").await, floor(&cache, "b").await), (Some(3), Some(5)));
    cache.invalidate_many([("a", Some(1))]).await.unwrap();
    assert_eq!(floor(&cache, "a").await, Some(3));
    cache.invalidate_many([("a", Some(1)); 0]).await.unwrap();
}

#[tokio::test]
async fn a_change_without_a_version_removes_whatever_there_is_beside_one_with() {
    let (cache, ..) = faulty();
    for key in ["a", "b"] {
        let fresh = genfence::Fresh::from("new").version(9);
        let _ = cache.get_or_fill(key, async || Ok::<_, Error>(fresh)).await.unwrap();
    }
    cache.invalidate_many([("a", Some(3)), ("b", Some(3)), ("b", None)]).await.unwrap();
    assert!(cache.get("a").await.unwrap().is_some());
    assert!(cache.get("b").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_out_of_bounds_is_named_and_nothing_is_sent() {
    let (cache, store, _) = faulty();
    for (bad, field) in [(("", Some(1)), "key"), (("b", Some(u64::MAX)), "version")] {
        match cache.invalidate_many([("a", Some(1)), bad]).await {
            Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.sent(), []);
    }
}

#[tokio::test]
async fn it_returns_when_every_one_is_applied_and_an_error_says_that_one_is_not() {
    let (cache, store, _) = faulty();
    let gate = Arc::new(Semaphore::new(0));
    store.next(Kind::Other, Fault::Held(Arc::clone(&gate)));
    let mut applying = pin!(cache.invalidate_many([("a", Some(1)), ("b", Some(1))]));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(applying.as_mut().poll(&mut context).is_pending());
    }
    gate.add_permits(1);
    applying.await.unwrap();

    store.next_many(Kind::Other, &Fault::Lost, 100);
    let result = cache.invalidate_many([("a", Some(2)), ("b", Some(2))]).await;
    assert!(matches!(result, Err(Error::Store(_))), "{result:?}");
}

#[tokio::test]
async fn a_hot_key_is_sent_once_however_often_it_changed() {
    let (cache, store, _) = faulty();
    let changes = (1..=10_000_u64).map(|version| ("hot", Some(version ^ 0x55)));
    let newest = changes.clone().filter_map(|(_, version)| version).max();
    cache.invalidate_many(changes).await.unwrap();
    assert_eq!((store.sent().len(), floor(&cache, "hot").await), (1, newest));
}

#[tokio::test]
async fn a_change_that_failed_is_sent_again_and_no_other() {
    let (cache, store, _) = faulty();
    store.next(Kind::Other, Fault::Lost);
    store.next(Kind::Other, Fault::ReplyLost);
    let changes: Vec<_> = (1..=100_u64).map(|number| (number.to_string(), Some(number))).collect();
    cache.invalidate_many(changes.clone()).await.unwrap();
    assert_eq!(store.sent().len(), 102);
    for (key, version) in changes {
        assert_eq!(floor(&cache, &key).await, version);
    }
}
