//! All that is known of a key, as JSON.

use serde_json::{Value, json};

use super::handles::millis;
use crate::protocol::Version;
use crate::store::Snapshot;

/// Times are what was left when the record was read, in milliseconds. The value itself is left out.
pub(super) fn json(snapshot: &Snapshot) -> Vec<u8> {
    let record = &snapshot.record;
    let stored = record.stored.as_ref();
    let told: Value = json!({
        "isStored": stored.is_some(),
        "valueBytes": stored.and_then(|stored| stored.value.as_ref()).map(bytes::Bytes::len),
        "version": stored.and_then(|stored| stored.version).map(Version::get),
        "floor": record.floor.map(Version::get),
        "reservedMs": snapshot.reserved_for().map(millis).collect::<Vec<u64>>(),
        "leasedMs": snapshot.leased_for().map(millis),
        "generation": record.generation.get(),
        "expiresMs": millis(snapshot.expires_in()),
    });
    told.to_string().into_bytes()
}
