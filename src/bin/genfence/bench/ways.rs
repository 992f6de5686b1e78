//! What is measured beside each other: the cache, and on a cluster the plain client.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use genfence::{Builder, Cache, CommitOutcome};

use super::{Args, Failure};

/// One way to read and to update.
pub struct Way {
    pub name: &'static str,
    /// What its keys begin with: others that are measured at the same time have records of their own.
    prefix: String,
    cache: Cache,
    #[cfg(feature = "aerospike")]
    plain: Option<plain::Plain>,
}

/// Connections beside those of the callers.
const SPARE: u16 = 16;
/// Keys that are filled or removed at a time.
const AT_ONCE: usize = 64;

impl Way {
    /// Connects to what `--url` names.
    pub async fn open_all(args: &Args) -> Result<Vec<Arc<Way>>, Failure> {
        let most = args.callers.iter().max().copied().unwrap_or(1);
        let run: u64 = rand::random();
        let open = async |name, builder: Builder| {
            let connections = usize::from(most.saturating_add(SPARE).min(4096));
            let cache = builder.max_connections(connections).connect(&args.url).await?;
            let prefix = format!("bench-{run:016x}-{name}-");
            // If the URL's options are too tight for its keys, that is said now.
            cache.get(format!("{prefix}{}", args.keys)).await?;
            Ok::<_, Failure>(Way {
                name,
                prefix,
                cache,
                #[cfg(feature = "aerospike")]
                plain: None,
            })
        };
        #[cfg(feature = "aerospike")]
        if !args.url.starts_with("memory://") {
            let mut plain = open("plain client", Cache::builder()).await?;
            let below = plain.cache.cluster().ok_or("--url: there is no cluster yet")?;
            plain.plain = Some(plain::Plain::new(below));
            return Ok(vec![
                Arc::new(plain),
                Arc::new(open("one by one", Cache::builder().merge(false)).await?),
                Arc::new(open("merged", Cache::builder().merge(true)).await?),
            ]);
        }
        Ok(vec![Arc::new(open("genfence", Cache::builder()).await?)])
    }

    fn key(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Stores a value under each key.
    pub async fn fill(&self, keys: u32, value: &Bytes) -> Result<(), Failure> {
        let all = stream::iter(0..keys).map(|key| async move {
            #[cfg(feature = "aerospike")]
            if let Some(plain) = &self.plain {
                return plain.put(&self.key(key), value).await;
            }
            self.update(key, value).await
        });
        all.buffer_unordered(AT_ONCE).try_collect().await
    }

    pub async fn read(&self, key: u32, value: &Bytes) -> Result<(), Failure> {
        let name = self.key(key);
        #[cfg(feature = "aerospike")]
        if let Some(plain) = &self.plain {
            return plain.get(&name).await;
        }
        let load = async || Ok::<_, std::convert::Infallible>(value.clone());
        let found = self.cache.get_or_fill(&name, load).await?;
        if found.is_some() { Ok(()) } else { Err("a value was lost".into()) }
    }

    pub async fn update(&self, key: u32, value: &Bytes) -> Result<(), Failure> {
        let name = self.key(key);
        #[cfg(feature = "aerospike")]
        if let Some(plain) = &self.plain {
            return plain.update(&name, value).await;
        }
        let reservation = self.cache.reserve(&name).await?;
        match reservation.commit(value.clone()).await? {
            // Two updates of one key crossed: it is empty, and the next read fills it.
            CommitOutcome::Stored | CommitOutcome::Purged => Ok(()),
            other => Err(format!("an update came to {other:?}").into()),
        }
    }

    /// Leaves nothing behind, as far as the cluster answers; what stays expires.
    #[cfg(feature = "aerospike")]
    pub async fn remove(&self, keys: u32) {
        let Some(below) = self.cache.cluster() else { return };
        let all = stream::iter(0..keys).map(|key| plain::remove(&below, self.key(key)));
        let removed: Result<(), Failure> = all.buffer_unordered(AT_ONCE).try_collect().await;
        if removed.is_err() {
            eprintln!(
                "records whose keys begin with {} may be left, until they expire",
                self.prefix
            );
        }
    }

    /// What is in this process goes with it.
    #[cfg(not(feature = "aerospike"))]
    #[expect(clippy::unused_async, reason = "as above")]
    pub async fn remove(&self, _: u32) {}
}

#[cfg(feature = "aerospike")]
mod plain {
    use std::time::Duration;

    use aerospike::operations::touch;
    use aerospike::{Bin, Bins, Expiration, GenerationPolicy, ResultCode, Value, WritePolicy};
    use bytes::Bytes;
    use genfence::store::Cluster;
    use tokio::time::timeout;

    use crate::Failure;

    /// How long a record lives that is not removed, in seconds.
    const LIFE: u32 = 60 * 60;
    /// How long a removal may take.
    const REMOVING: Duration = Duration::from_secs(5);

    /// The client by itself, on connections of its own.
    pub struct Plain {
        below: Cluster,
        write: WritePolicy,
    }

    impl Plain {
        pub fn new(below: Cluster) -> Self {
            let write =
                WritePolicy { expiration: Expiration::Seconds(LIFE), ..below.write.clone() };
            Plain { below, write }
        }

        pub async fn get(&self, name: &str) -> Result<(), Failure> {
            let key = self.below.key(name.as_bytes())?;
            self.below.client.get(&self.below.read, &key, Bins::All).await?;
            Ok(())
        }

        pub async fn put(&self, name: &str, value: &Bytes) -> Result<(), Failure> {
            self.put_if(name, value, &self.write).await
        }

        async fn put_if(
            &self,
            name: &str,
            value: &Bytes,
            policy: &WritePolicy,
        ) -> Result<(), Failure> {
            let bin = Bin::new("v", Value::Blob(value.to_vec()));
            let put =
                self.below.client.put(policy, &self.below.key(name.as_bytes())?, &[bin]).await;
            match put {
                // Two updates of one key crossed.
                Err(error) if error.server_result_code() == Some(ResultCode::GenerationError) => {
                    Ok(())
                }
                other => Ok(other?),
            }
        }

        pub async fn update(&self, name: &str, value: &Bytes) -> Result<(), Failure> {
            let key = self.below.key(name.as_bytes())?;
            let touched = self.below.client.operate(&self.write, &key, &[touch()]).await?;
            let guarded = WritePolicy {
                generation_policy: GenerationPolicy::ExpectGenEqual,
                generation: touched.generation,
                ..self.write.clone()
            };
            self.put_if(name, value, &guarded).await
        }
    }

    pub async fn remove(below: &Cluster, name: String) -> Result<(), Failure> {
        let key = below.key(name.as_bytes())?;
        timeout(REMOVING, below.client.delete(&below.write, &key)).await??;
        Ok(())
    }
}
