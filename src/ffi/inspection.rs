//! All that is known of a key, as JSON.

use serde_json::{Value, json};

use super::handles::millis;
use crate::protocol::{Time, Version};
use crate::store::Snapshot;

/// Times are what was left when the record was read, in milliseconds. The value itself is left out.
pub(super) fn json(Snapshot { record, now }: &Snapshot) -> Vec<u8> {
    let left = |deadline: Time| millis(deadline.remaining(*now));
    let stored = record.stored.as_ref();
    let live = record.reservations.values().copied().filter(|deadline| deadline > now);
    let told: Value = json!({
        "isStored": stored.is_some(),
        "valueBytes": stored.and_then(|stored| stored.value.as_ref()).map(bytes::Bytes::len),
        "version": stored.and_then(|stored| stored.version).map(Version::get),
        "floor": record.floor.map(Version::get),
        "reservedMs": live.map(left).collect::<Vec<u64>>(),
        "leasedMs": record.live_lease(*now).map(|lease| left(lease.deadline)),
        "generation": record.generation.get(),
        "expiresMs": left(record.expires),
    });
    told.to_string().into_bytes()
}
