//! What crosses the boundary: numbers with names. They are append-only.

/// The major version of this interface: it changes when a program must be compiled anew.
pub const GF_ABI_MAJOR: u32 = 1;
/// The minor version of this interface: it grows with what is added.
pub const GF_ABI_MINOR: u32 = 0;

/* What a call came to. Zero and above are outcomes, below zero are errors: then there is a
gf_error with a message. A lost race is an outcome. */

/// Done.
pub const GF_DONE: i32 = 0;
/// There is a value: gf_result.value, or GF_FLAG_NOTHING where the source is known to have nothing.
pub const GF_HIT: i32 = 1;
/// The cache holds no value of this key.
pub const GF_MISS: i32 = 2;
/// The caller, and nobody else in all processes, should read the source and fill: gf_result.lease.
pub const GF_LEASED: i32 = 3;
/// Read the source, and store nothing. gf_result.detail says why: GF_BYPASS_*.
pub const GF_BYPASS: i32 = 4;
/// Of gf_lookup_many and GF_OP_LOOKUP_MANY: somebody else fills this key. Fill what was leased, then look
/// it up again.
pub const GF_PENDING: i32 = 5;
/// The value is in the cache.
pub const GF_STORED: i32 = 6;
/// A fill lost its race: nothing was stored. gf_result.detail says why: GF_REFUSED_*.
pub const GF_REJECTED: i32 = 7;
/// The caller may change the source now: gf_result.reservation. gf_result.detail is 0; or GF_BYPASS_UNREACHABLE where
/// the store gave no answer and the option `unreachable_reserve` says to proceed: then nothing is held, and the change is
/// outside the guarantee.
pub const GF_RESERVED: i32 = 8;
/// The key is empty, and the next reader fills it.
pub const GF_PURGED: i32 = 9;
/// A renew came too late: roll back, or release after the change.
pub const GF_LOST: i32 = 10;
/// A replace lost its race: nothing was stored.
pub const GF_CONFLICT: i32 = 11;
/// A writer holds the key: a set stored nothing. Of gf_refresh: there is nothing to be done.
pub const GF_BUSY: i32 = 12;
/// The store did not answer. What was sent may have been applied, or may still be; it is safe either way.
pub const GF_IN_DOUBT: i32 = 13;
/// Of gf_queue_wait: the time is up, and nothing is there yet.
pub const GF_TIMED_OUT: i32 = 14;
/// Of gf_start: it is under way, and its completion comes out of the queue.
pub const GF_SUBMITTED: i32 = 15;
/// Of gf_load: the load failed that this call waited for. gf_result.value is what its caller said.
pub const GF_LOAD_FAILED: i32 = 16;
/// The value is larger than the option `max_value_bytes`: it was not stored. After a commit the key is empty, as
/// after a release; after a fill the lease is given back.
pub const GF_TOO_LARGE: i32 = 17;
/// Of gf_last_known: gf_result.value was right gf_result.remaining_ms milliseconds ago, and may not be any more.
pub const GF_STALE: i32 = 18;

/// An argument is out of bounds, NULL, of another size, or no UTF-8. Nothing was sent.
pub const GF_E_INVALID: i32 = -1;
/// The store gave no answer, or refused for good.
pub const GF_E_STORE: i32 = -2;
/// The cache or the queue was closed.
pub const GF_E_SHUT_DOWN: i32 = -3;
/// A fault of this library's, stopped at the boundary. Please report it.
pub const GF_E_PANIC: i32 = -4;
/// The program was compiled for another version of this interface.
pub const GF_E_ABI: i32 = -5;

/* Why what is loaded is not to be stored: gf_result.detail of GF_BYPASS, and of a load's GF_LEASED, where 0 is
that it is. */

/// A writer holds the key.
pub const GF_BYPASS_RESERVED: i32 = 1;
/// Somebody else's fill takes longer than the option `wait`.
pub const GF_BYPASS_SLOW: i32 = 2;
/// The store gave no answer.
pub const GF_BYPASS_UNREACHABLE: i32 = 3;

/* Why a fill was rejected: gf_result.detail of GF_REJECTED. */

/// There is no record any more: it was evicted, expired, or was removed.
pub const GF_REFUSED_MISSING: i32 = 1;
/// The record was written since: by a writer, an invalidation, another fill.
pub const GF_REFUSED_GENERATION: i32 = 2;
/// The lease is not on the record any more, or the value's version is below what was heard of the key.
pub const GF_REFUSED_CONDITION: i32 = 3;

/* How a reservation stands in a region: gf_reservation_region. */

/// There is no such region.
pub const GF_REGION_NONE: i32 = 0;
/// The key is reserved there: no stale value is served.
pub const GF_REGION_FENCED: i32 = 1;
/// The region did not answer, and the reserve went on without it: it may serve the old value until it hears of the change.
pub const GF_REGION_LEFT_OUT: i32 = 2;
/// The region serves nothing: its lease is over, and it takes a new epoch before it serves again (`unreachable=wait`).
pub const GF_REGION_OUT: i32 = 3;
/// The place that the longest name of a region takes, with the zero byte that ends it: gf_home_fn.
pub const GF_REGION_SIZE: i32 = 33;

/// Of a value, there or back: the source has nothing for this key. There are no bytes.
pub const GF_FLAG_NOTHING: u32 = 1;
/// Of a value, there or back: `version` counts.
pub const GF_FLAG_VERSION: u32 = 2;
/// Of a get: a store that gives no answer is an error, whatever the option `unreachable_read` says.
pub const GF_FLAG_STRICT: u32 = 4;
/// Of what was loaded: it goes to those who wait, and is not stored.
pub const GF_FLAG_UNSTORED: u32 = 8;
/// Of a load: the cache is not read, and what is loaded is not stored. Those who ask so share their loads.
pub const GF_FLAG_UNREAD: u32 = 16;
/// Of an invalidate: in the own region alone, as whoever follows the source's stream of changes there tells it.
pub const GF_FLAG_OWN_REGION: u32 = 32;
/// Of a hit: a new value should be loaded in the background by its caller, see gf_refresh.
pub const GF_FLAG_DUE: u32 = 64;
/// Of a reserve: once no copies of the value are served, see gf_reserve_settled.
pub const GF_FLAG_SETTLED: u32 = 128;
