//! Values of the caller's own types.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::support::{Fault, Kind, embedded, faulty, settle};
use genfence::{Cache, CallError, Error, Reservation, UpdateOutcome};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

fn ada() -> User {
    User { name: "Ada".into() }
}

#[tokio::test]
async fn a_value_comes_back_as_it_was_loaded_updated_or_set() {
    let users = embedded().0.typed::<User>();
    let loaded = users.get_or_fill("1", async || Ok::<_, Infallible>(Some(ada()))).await;
    assert_eq!(loaded.unwrap(), Some(ada()));
    assert_eq!(users.get("1").await.unwrap(), Some(Some(ada())));
    let update = async |_: &Reservation| Ok::<_, Infallible>(Some(ada()));
    assert_eq!(users.update("2", update).await.unwrap(), UpdateOutcome::Stored);
    assert_eq!(users.get("2").await.unwrap(), Some(Some(ada())));
    let delete = async |_: &Reservation| Ok::<_, Infallible>(None);
    assert_eq!(users.update("2", delete).await.unwrap(), UpdateOutcome::Stored);
    assert_eq!(users.get("2").await.unwrap(), Some(None));
    let _ = users.set("3", &ada()).await.unwrap();
    assert_eq!(users.get("3").await.unwrap(), Some(Some(ada())));
    assert_eq!(users.get("4").await.unwrap(), None);
}

#[tokio::test]
async fn a_value_of_another_type_is_removed_and_loaded_anew() {
    let users = embedded().0.typed::<User>();
    let _ = users.cache().set("1", r#"{"nickname":"secret"}"#).await.unwrap();
    let error = users.get("1").await.unwrap_err().to_string();
    assert!(error.starts_with("value: ") && !error.contains("secret"), "{error}");
    let loaded = users.get_or_fill("1", async || Ok::<_, Infallible>(Some(ada()))).await;
    assert_eq!(loaded.unwrap(), Some(ada()));
    assert_eq!(users.get("1").await.unwrap(), Some(Some(ada())));
}

#[tokio::test]
async fn a_value_that_is_no_json_is_returned_not_stored_and_its_key_is_free() {
    // JSON's keys are strings.
    let cache: Cache = embedded().0;
    let maps = cache.typed::<HashMap<Vec<u8>, u8>>();
    let map = || HashMap::from([(vec![1], 1)]);
    let loaded = maps.get_or_fill("1", async || Ok::<_, Infallible>(Some(map()))).await;
    assert_eq!(loaded.unwrap(), Some(map()));
    assert!(cache.get("1").await.unwrap().is_none());
    let update = async |_: &Reservation| Ok::<_, Infallible>(Some(map()));
    let updated = maps.update("1", update).await;
    assert!(matches!(updated, Err(CallError::Cache(Error::Invalid { field: "value", .. }))));
    assert!(matches!(cache.lookup("1").await.unwrap(), genfence::Lookup::Leased(_)));
}

/// Another version of the program writes what this one cannot read, each time it was removed.
#[tokio::test]
async fn a_key_that_two_versions_of_a_program_fight_for_is_read_from_the_source() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Renamed {
        full_name: String,
    }
    let (cache, store, _) = faulty();
    let (old, new) = (cache.typed::<User>(), cache.typed::<Renamed>());
    let renamed = || Renamed { full_name: "Ada".into() };
    let _ = new.set("1", &renamed()).await.unwrap();
    let invalidated = Arc::new(Semaphore::new(0));
    store.next(Kind::Other, Fault::Held(Arc::clone(&invalidated)));
    let reading = {
        let old = old.clone();
        tokio::spawn(async move {
            old.get_or_fill("1", async || Ok::<_, Infallible>(Some(ada()))).await
        })
    };
    settle().await;
    // The removal is under way. After it comes the other program's next value, before the next read.
    let read = Arc::new(Semaphore::new(0));
    store.next(Kind::Get, Fault::Held(Arc::clone(&read)));
    invalidated.add_permits(1);
    settle().await;
    let _ = new.set("1", &renamed()).await.unwrap();
    read.add_permits(1);
    assert_eq!(reading.await.unwrap().unwrap(), Some(ada()));
    assert_eq!(new.get("1").await.unwrap(), Some(Some(renamed())), "it took nothing away again");
}
