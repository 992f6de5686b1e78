//! **inspect** and **invalidate**: what an operator asks about a key, and does to it.

use std::process::ExitCode;
use std::time::Duration;

use genfence::store::Snapshot;
use genfence::{Cache, UnreachableRead};

use crate::Failure;
use crate::wait::{interruptible, run};

/// Show what the cache holds of a key: value, version, floor, claims and their time left
#[derive(clap::Args)]
pub struct Inspect {
    /// The cache, as a program would open it: aerospike://host:port/namespace/set?prefix=users:
    url: String,
    /// The key, without the prefix
    key: String,
    /// Show the value itself, not only its length
    #[arg(long)]
    value: bool,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Remove keys from the cache, and end every fill of them that is under way
#[derive(clap::Args)]
pub struct Invalidate {
    /// The cache, as a program would open it: aerospike://host:port/namespace/set?prefix=users:
    url: String,
    /// The keys, without the prefix
    #[arg(required = true)]
    keys: Vec<String>,
    /// The source's version of the change, where the cache holds versions
    #[arg(long, value_name = "VERSION")]
    changed_to: Option<u64>,
}

/// How long what goes on in the background may take at the end.
const CLOSING: Duration = Duration::from_secs(2);

/// Opens the cache, does something with it, and closes it.
pub fn with<T>(
    url: &str,
    job: impl AsyncFnOnce(&Cache) -> Result<T, genfence::Error>,
) -> Result<T, Failure> {
    run(async {
        let looks = Cache::builder().looks();
        let opening = looks.unreachable_read(UnreachableRead::Error).connect(url);
        let cache = interruptible(opening).await??;
        let done = interruptible(job(&cache)).await??;
        cache.close(CLOSING).await;
        Ok(done)
    })
}

impl Inspect {
    /// Exit code 1: the cache knows nothing of the key.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let snapshot = with(&self.url, async |cache| cache.inspect(&self.key).await)?;
        let Some(snapshot) = snapshot else {
            if self.json {
                println!("null");
            } else {
                println!("nothing is known of this key");
            }
            return Ok(ExitCode::FAILURE);
        };
        let fields = fields(&snapshot, self.value);
        if self.json {
            println!("{}", serde_json::Value::Object(fields));
        } else {
            for (name, value) in &fields {
                match value {
                    serde_json::Value::String(text) => println!("{name:16}{text}"),
                    other => println!("{name:16}{other}"),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Invalidate {
    pub fn run(&self) -> Result<ExitCode, Failure> {
        with(&self.url, async |cache| {
            for key in &self.keys {
                cache.invalidate(key, self.changed_to).await?;
            }
            Ok(())
        })?;
        println!("{} invalidated", self.keys.len());
        Ok(ExitCode::SUCCESS)
    }
}

fn fields(snapshot: &Snapshot, show_value: bool) -> serde_json::Map<String, serde_json::Value> {
    let record = &snapshot.record;
    let shown = |left: Duration| humantime::format_duration(whole_millis(left)).to_string();
    let mut fields = serde_json::Map::new();
    let mut field = |name: &str, value: serde_json::Value| fields.insert(name.into(), value);
    match &record.stored {
        None => field("value", "none".into()),
        Some(stored) => match &stored.value {
            None => field("value", "the source has nothing".into()),
            Some(bytes) if show_value => field("value", bytes.escape_ascii().to_string().into()),
            Some(bytes) => field("value", format!("{} bytes", bytes.len()).into()),
        },
    };
    if let Some(version) = record.stored.as_ref().and_then(|stored| stored.version) {
        field("version", version.get().into());
    }
    if let Some(floor) = record.floor {
        field("floor", floor.get().into());
    }
    let live: Vec<String> = snapshot.reserved_for().map(shown).collect();
    if !live.is_empty() {
        field("reserved for", live.join(", ").into());
    }
    let dead = record.reservations.len() - live.len();
    if dead > 0 {
        field("dead", format!("{dead} reservations").into());
    }
    if let Some(left) = snapshot.leased_for() {
        field("leased for", shown(left).into());
    }
    field("generation", record.generation.get().into());
    field("expires in", shown(snapshot.expires_in()).into());
    fields
}

fn whole_millis(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
