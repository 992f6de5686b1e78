//! What a build of genfence says of the features that it was built without: nothing is sent, and the error
//! names the feature.

#[cfg(test)]
mod tests {
    use genfence::{Cache, Error};

    async fn refused(url: &str) -> String {
        match Cache::connect(url).await {
            Err(error @ Error::Invalid { .. }) => error.to_string(),
            other => panic!("expected an error that names the field, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn an_embedded_cache_works() {
        let cache = Cache::connect("memory://").await.unwrap();
        let _ = cache.set("k", "v").await.unwrap();
        assert_eq!(cache.get("k").await.unwrap().unwrap().value.unwrap(), "v");
    }

    #[cfg(not(feature = "aerospike"))]
    #[tokio::test]
    async fn a_store_that_this_build_does_not_have_is_said_to_be_missing() {
        let error = refused("aerospike://localhost:3000/test/cache").await;
        assert!(error.contains("feature `aerospike`"), "{error}");
    }

    /// Without TLS. The port is one that nobody listens at, and nobody is asked.
    #[cfg(feature = "aerospike")]
    #[tokio::test]
    async fn tls_that_this_build_does_not_have_is_said_to_be_missing() {
        for (options, option) in [("tls=true", "tls"), ("tls_ca=/ca.pem", "tls_ca")] {
            let error = refused(&format!("aerospike://127.0.0.1:1/test/cache?{options}")).await;
            assert!(error.starts_with(&format!("{option}: ")), "{error}");
            assert!(error.contains("feature `tls`"), "{error}");
        }
    }
}
