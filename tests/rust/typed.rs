//! Values of the caller's own types.

use std::collections::HashMap;
use std::convert::Infallible;

use crate::support::embedded;
use genfence::{Cache, CallError, Error, Reservation, Update};
use serde::{Deserialize, Serialize};

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
    assert_eq!(users.update("2", update).await.unwrap(), Update::Stored);
    assert_eq!(users.get("2").await.unwrap(), Some(Some(ada())));
    let delete = async |_: &Reservation| Ok::<_, Infallible>(None);
    assert_eq!(users.update("2", delete).await.unwrap(), Update::Stored);
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
async fn a_value_that_is_no_json_is_an_error_and_its_key_is_free() {
    // JSON's keys are strings.
    let cache: Cache = embedded().0;
    let maps = cache.typed::<HashMap<Vec<u8>, u8>>();
    let map = || HashMap::from([(vec![1], 1)]);
    let loaded = maps.get_or_fill("1", async || Ok::<_, Infallible>(Some(map()))).await;
    assert!(matches!(loaded, Err(CallError::Cache(Error::Invalid { field: "value", .. }))));
    let update = async |_: &Reservation| Ok::<_, Infallible>(Some(map()));
    let updated = maps.update("1", update).await;
    assert!(matches!(updated, Err(CallError::Cache(Error::Invalid { field: "value", .. }))));
    assert!(matches!(cache.lookup("1").await.unwrap(), genfence::Lookup::Lease(_)));
}
