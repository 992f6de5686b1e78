/*
 * genfence: a cache in front of a database that never serves a stale value.
 *
 * A writer reserves a key, changes the source, and commits; a reader that misses takes a lease, reads
 * the source, and fills. Whoever loses the race stores nothing: the cache is then empty for that key, never
 * wrong.
 *
 *     #include <genfence.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *       gf_cache *cache = NULL;
 *       gf_error *error = NULL;
 *       if (gf_open("memory://?ttl=5m", NULL, &cache, &error) != GF_DONE) {
 *         fprintf(stderr, "%s\n", error->message);
 *         gf_error_free(error);
 *         return 1;
 *       }
 *       gf_slice key = {(const uint8_t *)"user:1", 6};
 *       gf_entry fresh = {{(const uint8_t *)"Ada", 3}, 0, 0, 0, 0};
 *       gf_result found, done;
 *       if (gf_load(cache, key, &found) == GF_LEASED) {
 *         fresh.value.len = 3;  // read the source now, after the lease came
 *         gf_loaded(cache, found.lease, fresh, &done);
 *         gf_result_free(&done);
 *       }
 *       gf_result_free(&found);
 *       gf_close(cache, 1000);
 *       gf_free(cache);
 *       return 0;
 *     }
 *
 * OWNERSHIP. What a call takes (slices, entries, operations, URLs) stays the caller's and is copied
 * before it returns. What a call gives in a gf_result belongs to the caller until gf_result_free; handles
 * and errors may be taken out of it, by setting the field to NULL, and are then freed by their own
 * function. Using a handle after it was freed is undefined; using a closed cache or a used-up lease is an
 * error.
 *
 * THREADS. A parameter `const T *` may be used by many threads at once, `T *` by one at a time. This
 * library has threads of its own and runs no code of the host's on them, but for the log's one thread, and a function that
 * says where keys are at home.
 *
 * SIGNALS. A connection that breaks raises no SIGPIPE in the program: it is blocked on the library's threads, and
 * during a call on the thread that calls. Nothing else is done to signals.
 *
 * FORK. Open caches after a fork, not before: threads do not survive it.
 *
 * ERRORS. Statuses below zero come with a gf_error. A lost race is an outcome, zero or above.
 *
 * ABI. The major version changes when a program must be compiled anew; structs that may grow begin with
 * their size, or their size is an argument; numbers are never given another meaning.
 */


#ifndef GENFENCE_H
#define GENFENCE_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. */
#define GF_VERSION "0.2.0"
#define GF_VERSION_MAJOR 0
#define GF_VERSION_MINOR 2
#define GF_VERSION_PATCH 0

/* Options as they are by default: gf_options options = GF_OPTIONS_INIT; */
#define GF_OPTIONS_INIT \
  {sizeof(gf_options), GF_ABI_MAJOR, GF_ABI_MINOR, 0, {NULL, 0}, NULL, NULL, {0, 0, 0, 0}}

/*
 The major version of this interface: it changes when a program must be compiled anew.
 */
#define GF_ABI_MAJOR 1

/*
 The minor version of this interface: it grows with what is added.
 */
#define GF_ABI_MINOR 0

/*
 Done.
 */
#define GF_DONE 0

/*
 There is a value: gf_result.value, or GF_FLAG_NOTHING where the source is known to have nothing.
 */
#define GF_HIT 1

/*
 The cache holds no value of this key.
 */
#define GF_MISS 2

/*
 The caller, and nobody else in all processes, should read the source and fill: gf_result.lease.
 */
#define GF_LEASED 3

/*
 Read the source, and store nothing. gf_result.detail says why: GF_BYPASS_*.
 */
#define GF_BYPASS 4

/*
 Of gf_lookup_many and GF_OP_LOOKUP_MANY: somebody else fills this key. Fill what was leased, then look
 it up again.
 */
#define GF_PENDING 5

/*
 The value is in the cache.
 */
#define GF_STORED 6

/*
 A fill lost its race: nothing was stored. gf_result.detail says why: GF_REFUSED_*.
 */
#define GF_REJECTED 7

/*
 The caller may change the source now: gf_result.reservation. gf_result.detail is 0; or GF_BYPASS_UNREACHABLE where
 the store gave no answer and the option `unreachable_reserve` says to proceed: then nothing is held, and the change is
 outside the guarantee.
 */
#define GF_RESERVED 8

/*
 The key is empty, and the next reader fills it.
 */
#define GF_PURGED 9

/*
 A renew came too late: roll back, or release after the change.
 */
#define GF_LOST 10

/*
 A replace lost its race: nothing was stored.
 */
#define GF_CONFLICT 11

/*
 A writer holds the key: a set stored nothing. Of gf_refresh: there is nothing to be done.
 */
#define GF_BUSY 12

/*
 The store did not answer. What was sent may have been applied, or may still be; it is safe either way.
 */
#define GF_IN_DOUBT 13

/*
 Of gf_queue_wait: the time is up, and nothing is there yet.
 */
#define GF_TIMED_OUT 14

/*
 Of gf_start: it is under way, and its completion comes out of the queue.
 */
#define GF_SUBMITTED 15

/*
 Of gf_load: the load failed that this call waited for. gf_result.value is what its caller said.
 */
#define GF_LOAD_FAILED 16

/*
 The value is larger than the option `max_value_bytes`: it was not stored. After a commit the key is empty, as
 after a release; after a fill the lease is given back.
 */
#define GF_TOO_LARGE 17

/*
 Of gf_last_known: gf_result.value was right gf_result.remaining_ms milliseconds ago, and may not be any more.
 */
#define GF_STALE 18

/*
 An argument is out of bounds, NULL, of another size, or no UTF-8. Nothing was sent.
 */
#define GF_E_INVALID -1

/*
 The store gave no answer, or refused for good.
 */
#define GF_E_STORE -2

/*
 The cache or the queue was closed.
 */
#define GF_E_SHUT_DOWN -3

/*
 A fault of this library's, stopped at the boundary. Please report it.
 */
#define GF_E_PANIC -4

/*
 The program was compiled for another version of this interface.
 */
#define GF_E_ABI -5

/*
 A writer holds the key.
 */
#define GF_BYPASS_RESERVED 1

/*
 Somebody else's fill takes longer than the option `wait`.
 */
#define GF_BYPASS_SLOW 2

/*
 The store gave no answer.
 */
#define GF_BYPASS_UNREACHABLE 3

/*
 There is no record any more: it was evicted, expired, or was removed.
 */
#define GF_REFUSED_MISSING 1

/*
 The record was written since: by a writer, an invalidation, another fill.
 */
#define GF_REFUSED_GENERATION 2

/*
 The lease is not on the record any more, or the value's version is below what was heard of the key.
 */
#define GF_REFUSED_CONDITION 3

/*
 There is no such region.
 */
#define GF_REGION_NONE 0

/*
 The key is reserved there: no stale value is served.
 */
#define GF_REGION_FENCED 1

/*
 The region did not answer, and the reserve went on without it: it may serve the old value until it hears of the change.
 */
#define GF_REGION_LEFT_OUT 2

/*
 The region serves nothing: its lease is over, and it takes a new epoch before it serves again (`unreachable=wait`).
 */
#define GF_REGION_OUT 3

/*
 The place that the longest name of a region takes, with the zero byte that ends it: gf_home_fn.
 */
#define GF_REGION_SIZE 33

/*
 Of a value, there or back: the source has nothing for this key. There are no bytes.
 */
#define GF_FLAG_NOTHING 1

/*
 Of a value, there or back: `version` counts.
 */
#define GF_FLAG_VERSION 2

/*
 Of a get: a store that gives no answer is an error, whatever the option `unreachable_read` says.
 */
#define GF_FLAG_STRICT 4

/*
 Of what was loaded: it goes to those who wait, and is not stored.
 */
#define GF_FLAG_UNSTORED 8

/*
 Of a load: the cache is not read, and what is loaded is not stored. Those who ask so share their loads.
 */
#define GF_FLAG_UNREAD 16

/*
 Of an invalidate: in the own region alone, as whoever follows the source's stream of changes there tells it.
 */
#define GF_FLAG_OWN_REGION 32

/*
 Of a hit: a new value should be loaded in the background by its caller, see gf_refresh.
 */
#define GF_FLAG_DUE 64

/*
 Of a reserve: once no copies of the value are served, see gf_reserve_settled.
 */
#define GF_FLAG_SETTLED 128

/*
 gf_peek may find something: in the embedded store, or where copies are kept.
 */
#define GF_PEEK_HITS 1

/*
 gf_copy_new may give a copy: where the option `near` is set.
 */
#define GF_PEEK_COPIES 2

/*
 The value may not be served any more. Ask the cache.
 */
#define GF_COPY_OVER 0

/*
 The value may be served.
 */
#define GF_COPY_COUNTS 1

/*
 The value may be served, and it is time for gf_copy_renew, without which it is over soon.
 */
#define GF_COPY_DUE 2

/*
 Log nothing.
 */
#define GF_LOG_OFF 0

/*
 What somebody should mend.
 */
#define GF_LOG_ERROR 1

/*
 What went wrong and was survived.
 */
#define GF_LOG_WARN 2

/*
 What is worth knowing.
 */
#define GF_LOG_INFO 3

/*
 Each lost race, each bypass.
 */
#define GF_LOG_DEBUG 4

/*
 Reads key, flags (GF_FLAG_STRICT).
 */
#define GF_OP_GET 1

/*
 Reads key.
 */
#define GF_OP_LOOKUP 2

/*
 Reads value, flags, version, ttl_ms, lease. Uses the lease up.
 */
#define GF_OP_FILL 3

/*
 Reads key, flags (GF_FLAG_SETTLED).
 */
#define GF_OP_RESERVE 4

/*
 Reads value, flags, version, ttl_ms, reservation. Uses the reservation up.
 */
#define GF_OP_COMMIT 5

/*
 Reads flags, version, reservation. Uses the reservation up.
 */
#define GF_OP_RELEASE 6

/*
 Reads reservation. Uses the reservation up.
 */
#define GF_OP_ABORT 7

/*
 Reads reservation.
 */
#define GF_OP_RENEW 8

/*
 Reads key, value, flags, version, ttl_ms.
 */
#define GF_OP_SET 9

/*
 Reads key, stamp, value, flags, version, ttl_ms.
 */
#define GF_OP_REPLACE 10

/*
 Reads key, flags, version, flags (GF_FLAG_OWN_REGION).
 */
#define GF_OP_INVALIDATE 11

/*
 Reads key, ttl_ms.
 */
#define GF_OP_TOUCH 12

/*
 Reads nothing.
 */
#define GF_OP_DIAGNOSE 13

/*
 Reads key.
 All of one batch are one gf_lookup_many: one read for all of them, which waits for nobody.
 */
#define GF_OP_LOOKUP_MANY 14

/*
 Reads key, flags (GF_FLAG_UNREAD).
 See gf_load.
 */
#define GF_OP_LOAD 15

/*
 Reads value, flags, version, ttl_ms, flags (GF_FLAG_UNSTORED), lease. Uses the lease up.
 See gf_loaded.
 */
#define GF_OP_LOADED 16

/*
 Reads value, lease. Uses the lease up.
 See gf_load_failed.
 */
#define GF_OP_LOAD_FAILED 17

/*
 Reads ttl_ms (how long, at most 1 h).
 See gf_ready.
 */
#define GF_OP_READY 18

/*
 Reads key.
 See gf_inspect.
 */
#define GF_OP_INSPECT 19

/*
 Reads nothing.
 See gf_beat.
 */
#define GF_OP_BEAT 20

/*
 Reads beat.
 See gf_heard.
 */
#define GF_OP_HEARD 21

/*
 Reads reservation.
 See gf_settled.
 */
#define GF_OP_SETTLED 22

/*
 Reads key, stamp.
 See gf_refresh.
 */
#define GF_OP_REFRESH 23

/*
 Reads key.
 See gf_last_known.
 */
#define GF_OP_LAST_KNOWN 24

/*
 Reads key (a tag), flags (GF_FLAG_SETTLED).
 See gf_reserve_tag.
 */
#define GF_OP_RESERVE_TAG 25

/*
 Reads key (a tag).
 Of one tag. See gf_purge_tags.
 */
#define GF_OP_PURGE_TAG 26

/*
 Reads reservation (of several keys), flags (GF_FLAG_SETTLED).
 Reserves what gf_name named, as gf_reserve_more.
 */
#define GF_OP_RESERVE_MANY 27

/*
 Reads reservation (of several keys). Uses the reservation up.
 See gf_commit_many.
 */
#define GF_OP_COMMIT_MANY 28

/*
 An open cache, or one of gf_tagged. All calls may be made from many threads at once, but for gf_free.
 */
typedef struct gf_cache gf_cache;

/*
 Of one value that the program keeps in a form of its own. All calls may be made from many threads at once, but for
 gf_copy_free.
 */
typedef struct gf_copy gf_copy;

/*
 The permission to fill one key, or to load it. Used up by a fill; freeing it unused gives the permission back,
 or hands it to another caller of this process. One thread at a time.
 */
typedef struct gf_lease gf_lease;

/*
 What keeps the bytes of a value. Opaque.
 */
typedef struct gf_owner gf_owner;

/*
 Where submitted operations complete. Any number of threads may submit to it and wait on it.
 */
typedef struct gf_queue gf_queue;

/*
 A writer's claim on one key, or on several (gf_reserve_many). Used up by a commit, a release or an abort; freeing it unused leaves it
 to expire, as nobody but the caller knows what became of the source. One thread at a time, but for
 gf_remaining_ms and what says so.
 */
typedef struct gf_reservation gf_reservation;

/*
 Why a call failed. Freed by gf_result_free or gf_error_free; until then its texts are there.
 */
typedef struct gf_error {
  /*
   GF_E_*
   */
  int32_t status;
  /*
   What the Aerospike server answered, or 0 if it did not answer, or was not asked.
   */
  int32_t server_code;
  /*
   What is wrong and what to do, in UTF-8, ending in a zero byte. Holds no secret.
   */
  const char *message;
  /*
   Of GF_E_INVALID: the argument, option or field. Else empty.
   */
  const char *field;
  /*
   What lies behind it, in UTF-8, ending in a zero byte. Else empty.
   */
  const char *cause;
  /*
   Whether what was sent may have been applied, or may still be: 1 or 0.
   */
  int32_t in_doubt;
  /*
   Whether another try makes sense: 1 or 0.
   */
  int32_t may_retry;
  /*
   Zero.
   */
  uint64_t reserved[2];
} gf_error;

/*
 Bytes that belong to the caller, and need only be there until the call returns. NULL goes with a
 length of 0 only.
 */
typedef struct gf_slice {
  /*
   The first byte.
   */
  const uint8_t *data;
  /*
   How many there are.
   */
  size_t len;
} gf_slice;

/*
 Bytes that this library owns until gf_result_free.
 */
typedef struct gf_bytes {
  /*
   The first byte; not NULL where there is a value, also an empty one.
   */
  const uint8_t *data;
  /*
   How many there are.
   */
  size_t len;
  /*
   What keeps them. Not for the caller.
   */
  struct gf_owner *owner;
} gf_bytes;

/*
 What a call came to. What it owns is freed by gf_result_free; what the caller takes out of it, it
 sets to NULL there.
 */
typedef struct gf_result {
  /*
   As it was submitted.
   */
  uint64_t user_data;
  /*
   GF_* above.
   */
  int32_t status;
  /*
   More about it: GF_BYPASS_*, GF_REFUSED_*; of gf_load_failed how many callers were told.
   */
  int32_t detail;
  /*
   GF_FLAG_*
   */
  uint32_t flags;
  /*
   Zero.
   */
  uint32_t reserved;
  /*
   Of a hit, or of GF_STALE; of a diagnosis: JSON; of GF_LOAD_FAILED: what its caller said.
   */
  struct gf_bytes value;
  /*
   Of a hit, where the flags say GF_FLAG_VERSION.
   */
  uint64_t version;
  /*
   Of a hit: names this stored value, for a replace or a refresh. Of gf_beat: for gf_heard.
   */
  uint64_t stamp;
  /*
   Of a reservation: what was left of it in milliseconds when this was made. Of GF_STALE: how old it is. Of gf_beat: the option `stream_bound`.
   */
  uint64_t remaining_ms;
  /*
   Owned. Of GF_LEASED.
   */
  struct gf_lease *lease;
  /*
   Owned. Of GF_RESERVED.
   */
  struct gf_reservation *reservation;
  /*
   Owned. Of an error.
   */
  struct gf_error *error;
} gf_result;

/*
 What this process holds of this library: all zero when everything was freed.
 */
typedef struct gf_live {
  /*
   Caches: gf_open, gf_tagged, gf_free.
   */
  int64_t caches;
  /*
   Queues: gf_queue_new, gf_queue_free.
   */
  int64_t queues;
  /*
   Leases that were not freed, used up or not.
   */
  int64_t leases;
  /*
   Reservations that were not freed, used up or not.
   */
  int64_t reservations;
  /*
   Errors.
   */
  int64_t errors;
  /*
   Values in results.
   */
  int64_t values;
  /*
   Their bytes.
   */
  int64_t value_bytes;
  /*
   Submitted operations whose completion was not taken out of its queue.
   */
  int64_t pending;
} gf_live;

/*
 Says where a key is at home: writes the name of a region and a zero byte into `region`, which has place for
 GF_REGION_SIZE bytes, and returns GF_DONE; or anything else where it cannot say, and then the call that asked ends with
 GF_E_INVALID of the field `home`. The key is as the program gives it, without the prefix, and is there until this returns.
 Nothing is thrown through it, and nothing jumps out of it.
 */
typedef int32_t (*gf_home_fn)(struct gf_slice key, char *region, void *user_data);

/*
 The function that says where keys are at home, where the option `fence` is `home`. It must say the same in all programs and for ever, so
 give it another name when it changes. It is called for every command, on the thread that calls or submits and on the library's own,
 often on several at the same time, and calls nothing of this library; until the cache was freed and what was submitted has completed.
 */
typedef struct gf_home {
  /*
   What programs call it, in UTF-8: 1 to 32 of `a` to `z`, `0` to `9`, `_` and `-`. The option `homes` may name it.
   */
  struct gf_slice name;
  /*
   The function.
   */
  gf_home_fn of;
  /*
   Comes with every call. This library does not look at it.
   */
  void *user_data;
} gf_home;

/*
 How to open a cache. Begin with GF_OPTIONS_INIT: what is added later, in the reserved place, is zero
 then.
 */
typedef struct gf_options {
  /*
   sizeof(gf_options), as the program was compiled.
   */
  uint32_t struct_size;
  /*
   GF_ABI_MAJOR, as the program was compiled.
   */
  uint32_t abi_major;
  /*
   GF_ABI_MINOR, as the program was compiled.
   */
  uint32_t abi_minor;
  /*
   Threads of this library's own, for all caches of the process: what the first gf_open without a driver says.
   0: one for every two processors, at most 8. At most 256.
   */
  int32_t worker_threads;
  /*
   What every key begins with, where it is no UTF-8 and so cannot stand in the URL. Empty: as
   the URL says.
   */
  struct gf_slice prefix;
  /*
   A queue of gf_queue_new_driving, whose waiting threads do all the work of this cache: connections, time-outs,
   what goes on in the background. NULL: threads of the library's own do.
   */
  const struct gf_queue *driver;
  /*
   Where the option `fence` is `home`: the program's function that says where keys are at home. It is read by the call. NULL: there is
   none.
   */
  const struct gf_home *home;
  /*
   Zero.
   */
  uint64_t reserved[4];
} gf_options;

/*
 One operation to be submitted.
 */
typedef struct gf_op {
  /*
   GF_OP_*
   */
  uint32_t op;
  /*
   GF_FLAG_*
   */
  uint32_t flags;
  /*
   Comes back with the completion. This library does not look at it.
   */
  uint64_t user_data;
  /*
   The key, 1 byte to the option `max_key_bytes` (prefix included); or a tag, 1 to 256 bytes.
   */
  struct gf_slice key;
  /*
   The value, at most the option `max_value_bytes`.
   */
  struct gf_slice value;
  /*
   As in gf_entry.
   */
  uint64_t version;
  /*
   As in gf_entry.
   */
  uint64_t ttl_ms;
  /*
   Of a replace or a refresh: the stamp of the hit that is to be replaced. Of gf_heard: the stamp of the gf_beat.
   */
  uint64_t stamp;
  /*
   Of a fill, a load that is done, or failed.
   */
  struct gf_lease *lease;
  /*
   Of a commit, a release, an abort, a renew.
   */
  struct gf_reservation *reservation;
  /*
   Zero.
   */
  uint64_t reserved[2];
} gf_op;

/*
 A value to be stored.
 */
typedef struct gf_entry {
  /*
   The bytes, unless the flags say GF_FLAG_NOTHING.
   */
  struct gf_slice value;
  /*
   Its version from the source, where the flags say GF_FLAG_VERSION: at most 2^63 - 1.
   */
  uint64_t version;
  /*
   How long to keep it in milliseconds, rounded up to whole seconds. 0: the cache's own time.
   */
  uint64_t ttl_ms;
  /*
   GF_FLAG_*
   */
  uint32_t flags;
  /*
   Zero.
   */
  uint32_t reserved;
} gf_entry;

/*
 What a cache has done since it was opened: counts.
 */
typedef struct gf_stats {
  /*
   sizeof(gf_stats), as the program was compiled: set it before the call.
   */
  uint64_t struct_size;
  /*
   Reads that found a value.
   */
  uint64_t hits;
  /*
   Reads that found none.
   */
  uint64_t misses;
  /*
   Misses that took the value from another caller's fill in this process.
   */
  uint64_t shared;
  /*
   Leases that were granted.
   */
  uint64_t leases;
  /*
   Leases that were prolonged for their holder.
   */
  uint64_t extensions;
  /*
   Leases that were given back unused.
   */
  uint64_t leases_returned;
  /*
   Lookups that ended in a bypass.
   */
  uint64_t bypasses;
  /*
   Fills that stored.
   */
  uint64_t fills_stored;
  /*
   Fills that lost a race and stored nothing.
   */
  uint64_t fills_rejected;
  /*
   Values that were too large to store.
   */
  uint64_t oversized;
  /*
   Reservations that were taken.
   */
  uint64_t reservations;
  /*
   Reservations that were left to expire, neither committed nor released nor aborted.
   */
  uint64_t reservations_left;
  /*
   Commits that stored.
   */
  uint64_t commits_stored;
  /*
   Commits that could not store, and releases: they left their key empty.
   */
  uint64_t purges;
  /*
   Changes that the store did not answer.
   */
  uint64_t in_doubt;
  /*
   Commands that failed after all tries.
   */
  uint64_t failures;
  /*
   Reservations whose time was asked for anew, and granted.
   */
  uint64_t renewals;
  /*
   Commands that went to the store with others, in one message.
   */
  uint64_t merged;
  /*
   The messages that those went in: `merged` by these is how many a message has.
   */
  uint64_t batches;
  /*
   Reads that were answered by another caller's, which had not been sent when they came.
   */
  uint64_t joined;
  /*
   How long commands waited for a message, in microseconds, all together.
   */
  uint64_t queued_micros;
  /*
   How often the cluster's nodes did not agree any more who is in it, so that reads bypassed.
   */
  uint64_t leases_lost;
  /*
   How long that was, in microseconds, all together.
   */
  uint64_t unleased_micros;
  /*
   Regions that a reserve went on without, as they did not answer (`unreachable=proceed`).
   */
  uint64_t regions_left_out;
  /*
   Changes that a stream told of, and that were applied.
   */
  uint64_t changes_heard;
  /*
   How often this region's lease on serving lapsed, so that reads bypassed (`unreachable=wait`).
   */
  uint64_t regions_lapsed;
  /*
   Epochs that this process founded for its region, each of which serves nothing for as long as a reservation lasts.
   */
  uint64_t regions_founded;
  /*
   Regions that did not answer, and that the grantors were told to let serve no more.
   */
  uint64_t regions_barred;
  /*
   How long this region served nothing, in microseconds, all together; counted when it serves again.
   */
  uint64_t unserved_micros;
  /*
   Hits that needed no command, of copies that this process keeps.
   */
  uint64_t near_hits;
  /*
   Leave to keep a copy that was asked for, and given.
   */
  uint64_t near_stamps;
  /*
   Permissions to load a value anew while it goes on being served, that were granted (`refresh_at`).
   */
  uint64_t refreshes;
  /*
   Values that were loaded anew so, and stored.
   */
  uint64_t refreshed;
  /*
   Loads of that kind that came to nothing: they failed, took too long, were given up, or the store gave no answer.
   */
  uint64_t refreshes_failed;
  /*
   Stale values that were answered to callers who ask for that (`stale_for`).
   */
  uint64_t stale_served;
  /*
   Tags that were purged.
   */
  uint64_t tag_purges;
  /*
   Misses of values that were purged with a tag.
   */
  uint64_t purged_misses;
} gf_stats;

/*
 Takes a line of the log: its level, and a text that lives as long as the call.
 */
typedef void (*gf_log_fn)(int32_t level, const char *message, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 A number of the version of this library's interface: the major version times 65536, and the minor.
 A program that was compiled for major M and minor m can use it if the major is M and the minor is
 at least m; gf_open checks that.
 */
uint32_t gf_abi_version(void);

/*
 The version of this library, as text that lives as long as the process.
 */
const char *gf_version(void);

/*
 Frees an error. NULL is allowed.

 SAFETY:
 `error` is NULL or was given by this library and not freed yet.
 */
void gf_error_free(struct gf_error *error);

/*
 Frees a lease. One that was not used is given back, so that another caller may fill. NULL is
 allowed.

 SAFETY:
 `lease` is NULL or was given by this library and not freed yet.
 */
void gf_lease_free(struct gf_lease *lease);

/*
 Whether another caller of this process waits for what is loaded under a lease: 1 or 0. Whoever is to give up
 a load may so let it go on for them. NULL is allowed. Any thread.

 SAFETY:
 `lease` is NULL or was given by this library and not freed yet.
 */
int32_t gf_lease_is_awaited(const struct gf_lease *lease);

/*
 Frees a reservation. One that was not used is left to expire: the key is bypassed until then. NULL
 is allowed.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet.
 */
void gf_reservation_free(struct gf_reservation *reservation);

/*
 Whether a reservation was not used up yet: 1 or 0. One that is freed so is left to expire. NULL is allowed. Any
 thread.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet.
 */
int32_t gf_reservation_is_unused(const struct gf_reservation *reservation);

/*
 How many milliseconds are left to change the source under this reservation: the transaction must
 be over by then, so bound it. On a cluster it is no more than what is left of the lease on it
 (cluster_guard_time), which goes on being prolonged: ask again just before COMMIT is sent. 0 if it is too
 late, and for NULL. Of several keys it is the least of all, and UINT64_MAX where none is reserved yet. Any thread.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet.
 */
uint64_t gf_remaining_ms(const struct gf_reservation *reservation);

/*
 How a reservation stands in one of several regions, where the option `fence` is `all` or `home`: GF_REGION_FENCED,
 GF_REGION_LEFT_OUT or GF_REGION_OUT. The own region, or the home that the key is read at, has index 0. GF_REGION_NONE where there is no region of
 that index, and for NULL; so ask from 0 on.
 `region` is set to its name, which is UTF-8, does not end in a zero byte, and lives as long as the reservation; or to
 nothing. It may be NULL. Any thread, also after the reservation was used up. Of several keys there is each region that any of them is to be
 held in, and it is as bad there as the worst.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet; `region` is NULL or may be written.
 */
int32_t gf_reservation_region(const struct gf_reservation *reservation,
                              size_t index,
                              struct gf_slice *region);

/*
 Frees what a result owns, and forgets it: freeing a result twice is harmless. A lease that is
 still in it is given back, a reservation is left to expire. NULL is allowed.

 SAFETY:
 `result` is NULL or was filled by this library.
 */
void gf_result_free(struct gf_result *result);

/*
 Frees the results of an array, as gf_result_free does with one.

 SAFETY:
 `results` is NULL or an array of `count` results that this library filled.
 */
void gf_results_free(struct gf_result *results, size_t count);

/*
 Counts what is alive.

 SAFETY:
 `live` is NULL (then nothing is done) or may be written.
 */
void gf_live_count(struct gf_live *live);

/*
 Fills options with what they are by default, and with the size and the version of this library. A
 program in C takes GF_OPTIONS_INIT instead, which has those that it was compiled with.

 SAFETY:
 `options` is NULL (then nothing is done) or may be written.
 */
void gf_options_init(struct gf_options *options);

/*
 Opens a cache: `memory://?options`, or `aerospike://host:port/namespace/set?options`. Takes at most
 the option `connect_timeout` (5 s), and as long again to test the cluster. `url` is UTF-8 and ends in
 a zero byte; `options` may be NULL.

 Returns GF_DONE and sets `cache`, which the caller closes and frees; or an error, and then `error`,
 if it is not NULL, is set to a gf_error that the caller frees. Never repeats the URL, which may hold
 a password.

 SAFETY:
 `url` is NULL or a text; `options` is NULL or initialised; `cache` may be written;
 `error` is NULL or may be written.
 */
int32_t gf_open(const char *url,
                const struct gf_options *options,
                struct gf_cache **cache,
                struct gf_error **error);

/*
 Checks all of a URL and of the options that can be checked without a connection, files that they name included:
 what gf_open says of them. GF_DONE, or an error as there. Any thread.

 SAFETY:
 `url` is NULL or a text; `options` is NULL or initialised; `error` is NULL or may be written.
 */
int32_t gf_check_url(const char *url,
                     const struct gf_options *options,
                     struct gf_error **error);

/*
 Closes a cache: from now on every call on it ends with GF_E_SHUT_DOWN. What is under way gets
 `within_ms` to end; submitted operations that are not done by then complete with GF_E_SHUT_DOWN.
 A lease that is out is under way, as it is kept alive: fill or free it first, or the whole time
 passes. Leases and reservations that are out can still be used, by the calls that are not submitted.
 Closes all handles of the cache, of gf_open and gf_tagged. Any thread, also twice.

 Returns GF_DONE if all ended by itself, else GF_TIMED_OUT; GF_E_INVALID for NULL.

 SAFETY:
 `cache` is NULL or was given by gf_open, gf_tagged or gf_near and not freed yet.
 */
int32_t gf_close(const struct gf_cache *cache,
                 uint64_t within_ms);

/*
 Frees a cache. One that was not closed is closed, with no time to end for what is under way; one of gf_tagged or gf_near
 closes nothing. No other thread may be in a call with it. NULL is allowed.

 SAFETY:
 `cache` is NULL or was given by gf_open, gf_tagged or gf_near and not freed yet.
 */
void gf_free(struct gf_cache *cache);

/*
 Does one operation, as gf_submit would, and waits for it on this thread. Any thread, and many at once.

 Returns the status of `result`.

 SAFETY:
 `cache` is NULL or alive; `op` is NULL or an operation of `op_size` bytes (sizeof(gf_op)), whose slices are
 readable and whose handles are alive; `result` is NULL or has `result_size` bytes (sizeof(gf_result)) and may
 be written; where that size is another one, nothing is written.
 */
int32_t gf_call(const struct gf_cache *cache,
                const struct gf_op *op,
                size_t op_size,
                struct gf_result *result,
                size_t result_size);

/*
 The value of a key, if the cache holds one: GF_HIT or GF_MISS. Takes no lease, waits for nobody.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_get(const struct gf_cache *cache, struct gf_slice key, struct gf_result *result);

/*
 Looks a key up: GF_HIT; GF_LEASED: read the source now, then gf_fill; or GF_BYPASS: read the source
 and store nothing. Waits, at most for the option `wait`, while another caller fills.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_lookup(const struct gf_cache *cache, struct gf_slice key, struct gf_result *result);

/*
 Looks several keys up, with one read for all of them: each result is that of the key in the same
 place, as gf_lookup's, or GF_PENDING where another caller fills the key: this call waits for nobody,
 as two that hold leases could wait for each other. Fill what was leased, then look those up again. A
 key that stands there twice has the same answer, and its lease the first time only; then GF_PENDING.

 Returns GF_DONE, and every result is set; or an error, which stands in the first result, and the
 others have its status alone. Where `results` is NULL or `result_size` is another, nothing is written.

 SAFETY:
 `cache` is NULL or alive; `keys` is an array of `count` readable slices; `results` has room for
 `count` results of `result_size` bytes each (sizeof(gf_result)).
 */
int32_t gf_lookup_many(const struct gf_cache *cache,
                       const struct gf_slice *keys,
                       size_t count,
                       struct gf_result *results,
                       size_t result_size);

/*
 Fills the key that was leased: GF_STORED, GF_REJECTED (the race was lost; gf_result.detail says why), GF_TOO_LARGE or
 GF_IN_DOUBT. The value
 is what the source was read to have **after** the lease came. Uses the lease up, also where the
 value is refused as out of bounds after the call began; it must still be freed.

 SAFETY:
 `cache`, `lease` are NULL or alive; `entry` is readable; `result` may be written.
 */
int32_t gf_fill(const struct gf_cache *cache,
                struct gf_lease *lease,
                struct gf_entry entry,
                struct gf_result *result);

/*
 Looks a key up for a caller who, if it comes to that, reads the source for all who wait in this process:
 GF_HIT; GF_LEASED: read the source now, then gf_loaded, or gf_load_failed; GF_LOAD_FAILED: the read failed that
 this call waited for, and gf_result.value is what gf_load_failed was given. In one process there is one load of
 a key at a time, also where what is loaded is not to be stored (gf_result.detail is then GF_BYPASS_*, and there
 is a lease all the same). Waits for it until it ends, or the option `load_time` is over, as then another caller
 loads; for another process's fill at most for the option `wait`. (With GF_FLAG_UNREAD, by gf_call, the cache is not
 read, and nothing stored.)

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_load(const struct gf_cache *cache,
                struct gf_slice key,
                struct gf_result *result);

/*
 The source was read **after** the lease came, and has this: GF_DONE. It goes to those who wait, and is stored
 where it can be; what cannot (it is too large, it lost a race, the store gives no answer) is counted, and
 logged. Waits at most 100 ms for the store, which is then told in the background. With GF_FLAG_UNSTORED it is not
 stored in any case. Uses the lease up; it must still be freed.

 SAFETY:
 `cache`, `lease` are NULL or alive; `entry` is readable; `result` may be written.
 */
int32_t gf_loaded(const struct gf_cache *cache,
                  struct gf_lease *lease,
                  struct gf_entry entry,
                  struct gf_result *result);

/*
 The source could not be read: GF_DONE, and gf_result.detail says how many callers were told: those who waited
 since before the lease came, whose gf_load ends with GF_LOAD_FAILED and these bytes, whatever they mean to the
 program. The next of the others loads. Uses the lease up; it must still be freed.

 SAFETY:
 `cache`, `lease` are NULL or alive; `failure` is readable; `result` may be written.
 */
int32_t gf_load_failed(const struct gf_cache *cache,
                       struct gf_lease *lease,
                       struct gf_slice failure,
                       struct gf_result *result);

/*
 Asks for the permission to load anew the value of a hit whose flags say GF_FLAG_DUE, as the option `refresh_at` has it, while it goes
 on being served; `stamp` is that of the hit. GF_LEASED: read the source now, in the background, and then gf_fill (or gf_loaded);
 where it cannot be read, gf_load_failed, or free the lease: then a while passes before the value is due again. GF_BUSY: another
 caller is at it, or the value is another one by now; there is nothing to be done. The lease lasts for the option `load_time`,
 nobody waits for what is loaded under it, and a gf_fill is GF_REJECTED where a writer has come.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_refresh(const struct gf_cache *cache,
                   struct gf_slice key,
                   uint64_t stamp,
                   struct gf_result *result);

/*
 What this process last knew of a key to be right, for a caller who rather has an old value than none: where its load failed, or takes
 longer than the option `soft_timeout` (see gf_load_times). GF_STALE: gf_result.value, and gf_result.remaining_ms says how long ago, in milliseconds; or
 GF_MISS: nothing is known that is younger than the option `stale_for`. It is no hit, and must not be filled or committed. Waits for nobody.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_last_known(const struct gf_cache *cache,
                      struct gf_slice key,
                      struct gf_result *result);

/*
 How long loads of this cache may take, which a program in C bounds itself, in milliseconds, rounded up; 0 where nothing is said.
 `soft`: the option `soft_timeout`, after which a caller who takes a stale value asks gf_last_known, and lets the load go on. `hard`: the option
 `hard_timeout`, after which a load is given up: gf_load_failed. Either may be NULL. GF_DONE, or GF_E_INVALID where `cache` is
 NULL. Any thread.

 SAFETY:
 `cache` is NULL or alive; `soft` and `hard` are NULL or may be written.
 */
int32_t gf_load_times(const struct gf_cache *cache,
                      uint64_t *soft,
                      uint64_t *hard);

/*
 Reserves a key, before its source is changed: GF_RESERVED (gf_result.detail is 0, unless nothing is held). From now until the commit, the release or
 the abort no reader is served a cached value. The change must be over within gf_remaining_ms.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_reserve(const struct gf_cache *cache,
                   struct gf_slice key,
                   struct gf_result *result);

/*
 As gf_reserve, once no copies of the value are served any more (the option `near`), for which it waits at most for the option `near_max`: until then
 the value is served, so that only the change itself is a time in which the source alone is read. gf_settled need not be called after it. Who has something to do
 meanwhile calls gf_reserve, and gf_settled before COMMIT.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_reserve_settled(const struct gf_cache *cache,
                           struct gf_slice key,
                           struct gf_result *result);

/*
 The source was changed and committed, and the key now has this value: GF_STORED; GF_PURGED if
 another writer was there too, and the key is empty; GF_TOO_LARGE, and the key is empty; or GF_IN_DOUBT. With GF_FLAG_VERSION the source's
 own order decides among crossing writers. Uses the reservation up; it must still be freed.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `entry` is readable; `result` may be written.
 */
int32_t gf_commit(const struct gf_cache *cache,
                  struct gf_reservation *reservation,
                  struct gf_entry entry,
                  struct gf_result *result);

/*
 The source was changed and committed, and the value is not at hand: GF_PURGED or GF_IN_DOUBT.
 `version` counts where `flags` say GF_FLAG_VERSION. Uses the reservation up; it must still be freed.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `result` may be written.
 */
int32_t gf_release(const struct gf_cache *cache,
                   struct gf_reservation *reservation,
                   uint64_t version,
                   uint32_t flags,
                   struct gf_result *result);

/*
 The source was certainly not changed, and will not be: GF_DONE. Where you do not know what became of
 a COMMIT, free the reservation instead, and it expires. Uses the reservation up; it must still be
 freed.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `result` may be written.
 */
int32_t gf_abort(const struct gf_cache *cache,
                 struct gf_reservation *reservation,
                 struct gf_result *result);

/*
 More time for a reservation: GF_DONE, or GF_LOST if it came too late; then roll back, or release
 after the change.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `result` may be written.
 */
int32_t gf_renew(const struct gf_cache *cache,
                 struct gf_reservation *reservation,
                 struct gf_result *result);

/*
 Waits until no copy of the value is served any more, by this process or another (the option `near`), at most for the option
 `near_max`: GF_DONE. To be called before COMMIT is sent; where no copies are kept it returns at once. It is part of the
 time that gf_remaining_ms counts, of which gf_result.remaining_ms tells what is left.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `result` may be written.
 */
int32_t gf_settled(const struct gf_cache *cache,
                   struct gf_reservation *reservation,
                   struct gf_result *result);

/*
 Stores a value without asking the source; the last one wins: GF_STORED, GF_BUSY (a writer holds the
 key), GF_TOO_LARGE or GF_IN_DOUBT. Outside the guarantee.

 SAFETY:
 `cache` is NULL or alive; `key` and `entry` are readable; `result` may be written.
 */
int32_t gf_set(const struct gf_cache *cache,
               struct gf_slice key,
               struct gf_entry entry,
               struct gf_result *result);

/*
 Stores a value if the cache still holds the one that a hit had this `stamp` of: GF_STORED,
 GF_CONFLICT, GF_TOO_LARGE or GF_IN_DOUBT. Outside the guarantee.

 SAFETY:
 `cache` is NULL or alive; `key` and `entry` are readable; `result` may be written.
 */
int32_t gf_replace(const struct gf_cache *cache,
                   struct gf_slice key,
                   uint64_t stamp,
                   struct gf_entry entry,
                   struct gf_result *result);

/*
 Says that somebody who did not reserve it changed the source of a key: GF_DONE. Removes the value, and
 ends every fill under way. With a version (GF_FLAG_VERSION) older fills are refused from now on too,
 and a value that is at least that new stays. Where the option `fence` is `all`, in every region, unless the flags say
 GF_FLAG_OWN_REGION; where it is `home`, at the key's home.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_invalidate(const struct gf_cache *cache,
                      struct gf_slice key,
                      uint64_t version,
                      uint32_t flags,
                      struct gf_result *result);

/*
 Sets the time to live of a value anew, in milliseconds, rounded up to whole seconds: GF_DONE or
 GF_MISS.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_touch(const struct gf_cache *cache,
                 struct gf_slice key,
                 uint64_t ttl_ms,
                 struct gf_result *result);

/*
 Looks at what the cache stands on: GF_DONE, and gf_result.value is JSON: {"findings": [{"check",
 "level" (ok, warning, error), "found", "why", "advice"}]}. Takes some seconds at most.

 SAFETY:
 `cache` is NULL or alive; `result` may be written.
 */
int32_t gf_diagnose(const struct gf_cache *cache, struct gf_result *result);

/*
 All that the cache knows of a key, for an operator to look at: GF_DONE, and gf_result.value is JSON: `isStored`,
 `valueBytes` (null where the source is known to have nothing), `version`, `floor` (the least version that may be
 stored), `reservedMs` (what is left of each live reservation), `leasedMs`, `generation`, `expiresMs`. GF_MISS if it
 knows nothing.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `result` may be written.
 */
int32_t gf_inspect(const struct gf_cache *cache,
                   struct gf_slice key,
                   struct gf_result *result);

/*
 Waits until the store is connected to, where that goes on in the background (option `background_connect`): GF_DONE; or
 GF_E_STORE if it is not within so many milliseconds, at most 1 h, and why; it goes on all the same. Where the
 cache was opened otherwise it is GF_DONE at once.

 SAFETY:
 `cache` is NULL or alive; `result` may be written.
 */
int32_t gf_ready(const struct gf_cache *cache,
                 uint64_t within_ms,
                 struct gf_result *result);

/*
 What whoever follows the source's stream of changes asks *before* it writes a heartbeat into the source, where the cache has the option
 `stream_bound`: GF_DONE, and gf_result.stamp is to be kept with the heartbeat; gf_result.remaining_ms is that option.
 Eight heartbeats in that time are well. GF_E_INVALID where the cache has no such option.

 SAFETY:
 `cache` is NULL or alive; `result` may be written.
 */
int32_t gf_beat(const struct gf_cache *cache,
                struct gf_result *result);

/*
 A heartbeat came by in the source's stream of changes, and all that stands before it was applied (gf_invalidate with GF_DONE):
 GF_DONE. All programs of the cache's set may serve for the rest of the time. `stamp` is that of the gf_beat before it.

 SAFETY:
 `cache` is NULL or alive; `result` may be written.
 */
int32_t gf_heard(const struct gf_cache *cache,
                 uint64_t stamp,
                 struct gf_result *result);

/*
 A new queue, owned by the caller. Never NULL.
 */
struct gf_queue *gf_queue_new(void);

/*
 A new queue that drives, owned by the caller: the caches that are opened with it (gf_options.driver) have no
 threads. Whoever waits in gf_queue_wait does their work meanwhile: reads answers, keeps connections, ends what takes
 too long. So an answer costs no hand-over between threads; commands still leave on the thread that submits them.

 What such a thread owes: to come back, soon. While no thread waits nothing completes, no time-out passes, and
 nothing goes on in the background. Nothing is lost: what has arrived is read by the next who waits, leases and
 reservations end by the clock as if the process had paused, and the server's side has its own bounds. Calls that
 wait (gf_get, gf_call, gf_open, gf_close) drive by themselves, and keep their bounds. With a timeout of 0 gf_queue_wait
 does what is ready, and waits for nothing.

 Freed after its caches: what a cache gives back in the background after that is not sent, and expires.

 Returns GF_DONE and sets `queue`; or GF_E_INVALID, where the system has no descriptors left, too, and then `error`, if
 it is not NULL, is set to a gf_error that the caller frees.

 SAFETY:
 `queue` may be written; `error` is NULL or may be written.
 */
int32_t gf_queue_new_driving(struct gf_queue **queue,
                             struct gf_error **error);

/*
 A descriptor for an event loop (poll, epoll, kqueue, libuv, libevent): readable while gf_queue_wait has something to
 give out, and for good once the queue is closed and empty. Read nothing from it, and do not close it: it is the
 queue's, until gf_queue_free. When it is readable, call gf_queue_wait with a timeout of 0. Any thread; the same one
 each time. A queue that drives has none, as nothing comes to it by itself. On Windows: gf_queue_event.

 Returns GF_DONE and sets `descriptor`; or an error, and then `error`, if it is not NULL, is set to a gf_error that the
 caller frees: GF_E_INVALID, where the system has none left, too, and on Windows.

 SAFETY:
 `queue` is alive; `descriptor` may be written; `error` is NULL or may be written.
 */
int32_t gf_queue_fd(const struct gf_queue *queue,
                    int32_t *descriptor,
                    struct gf_error **error);

/*
 The same on Windows: the handle of an event, to wait for with WaitForMultipleObjects, RegisterWaitForSingleObject or the
 like. It is set while gf_queue_wait has something to give out, and for good once the queue is closed and empty.
 Do not reset it, and do not close it: it is the queue's, until gf_queue_free. When it is set, call gf_queue_wait with a
 timeout of 0. Any thread; the same one each time. A queue that drives has none, as nothing comes to it by itself. On
 other systems: gf_queue_fd.

 Returns GF_DONE and sets `event`; or an error, and then `error`, if it is not NULL, is set to a gf_error that the
 caller frees: GF_E_INVALID, where the system has none left, too, and on other systems than Windows.

 SAFETY:
 `queue` is alive; `event` may be written; `error` is NULL or may be written.
 */
int32_t gf_queue_event(const struct gf_queue *queue,
                       void **event,
                       struct gf_error **error);

/*
 Closes a queue: nothing more can be submitted to it. What was accepted still completes, and
 gf_queue_wait gives it out; after the last of it, it answers GF_E_SHUT_DOWN. Threads that wait
 are woken. Any thread, also twice. NULL is allowed.

 SAFETY:
 `queue` is NULL or was given by gf_queue_new and not freed yet.
 */
void gf_queue_close(const struct gf_queue *queue);

/*
 Closes and frees a queue, and all that is in it or would still come: leases in it are given back,
 reservations are left to expire. Waits for nothing. No thread may be in gf_queue_wait or gf_submit with
 it. NULL is allowed.

 SAFETY:
 `queue` is NULL or was given by gf_queue_new and not freed yet.
 */
void gf_queue_free(struct gf_queue *queue);

/*
 Takes completions out of a queue: waits until there is at least one, `timeout_ms` is over (below
 zero: as long as it takes), or the queue is closed and empty. Fills at most `capacity` results, owned
 by the caller, and sets `count`.

 Returns GF_DONE; GF_TIMED_OUT or GF_E_SHUT_DOWN, and `count` is 0; GF_E_INVALID or GF_E_ABI for bad
 arguments.

 SAFETY:
 `queue` is alive; `results` has room for `capacity` results of `result_size` bytes each
 (sizeof(gf_result)); `count` may be written.
 */
int32_t gf_queue_wait(const struct gf_queue *queue,
                      struct gf_result *results,
                      size_t capacity,
                      size_t result_size,
                      int64_t timeout_ms,
                      size_t *count);

/*
 Submits operations, all of them or none. What the operations point to is copied before this
 returns, and the leases and reservations they name may be freed then. For each accepted
 operation exactly one completion comes out of the queue, in whatever order, also if the cache is
 closed meanwhile; for a refused submit there is none. Where two operations of a batch use up the
 same handle, the second completes with GF_E_INVALID. Once gf_close has returned every submit is
 refused, with GF_E_SHUT_DOWN. Any thread.

 Returns GF_DONE, or an error that names the operation; then `error`, if it is not NULL, is set to a
 gf_error that the caller frees, else to NULL.

 SAFETY:
 `cache` and `queue` are alive; `ops` is an array of `count` operations of `op_size` bytes each
 (sizeof(gf_op)), whose slices are readable and whose handles are alive; `error` is NULL or may be
 written.
 */
int32_t gf_submit(const struct gf_cache *cache,
                  const struct gf_queue *queue,
                  const struct gf_op *ops,
                  size_t count,
                  size_t op_size,
                  struct gf_error **error);

/*
 Begins one operation, and spares it the way through the queue where it need not wait for anything, as
 with most of the embedded store's (`memory://`). GF_SUBMITTED: it was accepted as by gf_submit, and its
 one completion comes out of the queue. Everything else is what it came to, also that it was refused:
 then `result` has it all, and nothing comes out of the queue. Any thread.

 Returns the status of `result`.

 SAFETY:
 `cache` and `queue` are NULL or alive; `op` is an operation of `op_size` bytes (sizeof(gf_op)), whose
 slices are readable and whose handles are alive; `result` has `result_size` bytes (sizeof(gf_result)) and
 may be written; where the size is another one, nothing is written.
 */
int32_t gf_start(const struct gf_cache *cache,
                 const struct gf_queue *queue,
                 const struct gf_op *op,
                 size_t op_size,
                 struct gf_result *result,
                 size_t result_size);

/*
 What there is to look for without waiting: GF_PEEK_HITS, GF_PEEK_COPIES, both or 0, which does not change. 0 for NULL. Any thread.

 SAFETY:
 `cache` is NULL or alive.
 */
int32_t gf_peeks(const struct gf_cache *cache);

/*
 Looks whether the value of a key is at hand: in the embedded store (`memory://`), or as a copy of this process's own
 (the option `near`). GF_HIT: `result` has it, is to be
 freed, and it counts as a hit; a value of at most `room_len` bytes is copied to `room`, where `result` says it is, and
 then there is nothing to be freed. GF_MISS says nothing, not even that the arguments are right, and nothing was
 written: ask with gf_start or a call that waits. Any thread; it neither blocks nor fails.

 SAFETY:
 `cache` is NULL or alive; `key` is readable; `room` is NULL or has `room_len` bytes that may be written; `result`
 is NULL or has `result_size` bytes (sizeof(gf_result)) and may be written.
 */
int32_t gf_peek(const struct gf_cache *cache,
                struct gf_slice key,
                uint8_t *room,
                size_t room_len,
                struct gf_result *result,
                size_t result_size);

/*
 A copy of the value of a hit, by its gf_result.stamp, so that the program may serve what it has made of it without reading
 it again. NULL where the value is not at hand any more, or the option `near` is not set. Free it with gf_copy_free,
 which may be after the cache was freed. Any thread; it neither blocks nor fails.

 SAFETY:
 `cache` is NULL or alive; `key` is readable.
 */
struct gf_copy *gf_copy_new(const struct gf_cache *cache,
                            struct gf_slice key,
                            uint64_t stamp);

/*
 Whether a copy may be served now, which then counts as a hit: GF_COPY_COUNTS, GF_COPY_DUE, or GF_COPY_OVER, also for NULL.
 What is over stays over; another copy of the same value may count. Any thread; it takes no lock and calls no system
 but for the time, so that a runtime need not take notice of it.

 SAFETY:
 `copy` is NULL or was given by this library and not freed yet.
 */
int32_t gf_copy_counts(const struct gf_copy *copy);

/*
 Asks for more time for the key of a copy, in the background: the next copy of it is at hand before this one is over. Any
 thread; it does not wait.

 SAFETY:
 `copy` is NULL or was given by this library and not freed yet.
 */
void gf_copy_renew(const struct gf_copy *copy);

/*
 Frees a copy. NULL is fine. Nobody may use it any more.

 SAFETY:
 `copy` is NULL or was given by this library and not freed yet.
 */
void gf_copy_free(struct gf_copy *copy);

/*
 How many milliseconds copies of the reserved value may still be served, by this process or another: COMMIT must not be
 sent before; gf_settled waits for it. 0 where there are none, and for NULL. Any thread.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet.
 */
uint64_t gf_unsettled_ms(const struct gf_reservation *reservation);

/*
 A handle of the same cache whose values bear these tags, beside those that `cache`'s bear: all that is stored through it, by
 gf_lookup, gf_load, gf_refresh, gf_reserve, gf_set, gf_replace and what follows on them, called or submitted. A value is found, and
 a lease or a reservation used, through any handle. The option `tags` must be on.

 `tags` are at most 32, one that is there twice being one, each of 1 to 256 bytes and none of them `*`, which every value bears;
 they are copied. Any thread; it waits for nothing.

 Returns GF_DONE and sets `tagged`, which the caller frees by gf_free, before or after `cache`; or an error, and then `error`,
 if it is not NULL, is set to a gf_error that the caller frees.

 SAFETY:
 `cache` is NULL or alive; `tags` is an array of `count` readable slices; `tagged` may be written; `error` is NULL or may be
 written.
 */
int32_t gf_tagged(const struct gf_cache *cache,
                  const struct gf_slice *tags,
                  size_t count,
                  struct gf_cache **tagged,
                  struct gf_error **error);

/*
 Says that the source of all values that bear one of these tags was changed, by somebody who did not reserve them: GF_DONE. None
 of them is a hit any more, in any process, and none that is being loaded now is stored so that it would be one. One command for
 each tag, sent together; waits until no copies of the tags are served any more (the option `near`). All are tried, also where one
 fails: GF_E_STORE, and then say all again.

 SAFETY:
 `cache` is NULL or alive; `tags` is an array of `count` readable slices; `result` may be written.
 */
int32_t gf_purge_tags(const struct gf_cache *cache,
                      const struct gf_slice *tags,
                      size_t count,
                      struct gf_result *result);

/*
 Purges all values there are, those of every key with the cache's prefix: as gf_purge_tags of `*`, which every value bears.

 SAFETY:
 `cache` is NULL or alive; `result` may be written.
 */
int32_t gf_purge_all(const struct gf_cache *cache,
                     struct gf_result *result);

/*
 Reserves all values that bear a tag, before their source is changed: GF_RESERVED, as gf_reserve does for one key, with one
 command. Until the commit, the release or the abort none of them is a hit, and none is stored. There is nothing to store: the value
 of a gf_commit is not looked at. `*` reserves everything.

 SAFETY:
 `cache` is NULL or alive; `tag` is readable; `result` may be written.
 */
int32_t gf_reserve_tag(const struct gf_cache *cache,
                       struct gf_slice tag,
                       struct gf_result *result);

/*
 As gf_reserve_tag, once no copies of the tag are served any more: see gf_reserve_settled.

 SAFETY:
 `cache` is NULL or alive; `tag` is readable; `result` may be written.
 */
int32_t gf_reserve_tag_settled(const struct gf_cache *cache,
                               struct gf_slice tag,
                               struct gf_result *result);

/*
 A handle of the same cache with another near time than the option `near` says: for so long copies are kept of what is read through it, called
 or submitted, of its tags too, and so long a writer waits for them. With 0 none are kept, and none is served: each hit is read of the store.
 Copies are the process's own, whichever handle left them: one that serves copies serves also those which are kept for longer.

 `near_ms` is 0, or 10 to the option `near_max` (`near`, where that is not set); there must be one of them, and `fence` must not be `home`.
 Any thread; it waits for nothing.

 Returns GF_DONE and sets `handle`, which the caller frees by gf_free, before or after `cache`; or an error, and then `error`, if it is not
 NULL, is set to a gf_error that the caller frees.

 SAFETY:
 `cache` is NULL or alive; `handle` may be written; `error` is NULL or may be written.
 */
int32_t gf_near(const struct gf_cache *cache,
                uint64_t near_ms,
                struct gf_cache **handle,
                struct gf_error **error);

/*
 A reservation of several keys, the keys of one transaction, of which there is none yet: for who learns of them on the way. Keys are
 named by gf_name, and reserved by gf_reserve_more, or GF_OP_RESERVE_MANY, before COMMIT is sent. Any thread; it waits for nothing.

 It is a gf_reservation, so what is there for one key counts for all of them: gf_remaining_ms is the least of all, gf_renew renews all,
 gf_settled waits for all; gf_release, gf_abort and gf_commit_many tell all and use it up; and freed unused it leaves all to expire.

 Returns GF_DONE and sets `reservation`, which the caller frees by gf_reservation_free; or an error, and then `error`, if it is not
 NULL, is set to a gf_error that the caller frees.

 SAFETY:
 `cache` is NULL or alive; `reservation` may be written; `error` is NULL or may be written.
 */
int32_t gf_reservation_new(const struct gf_cache *cache,
                           struct gf_reservation **reservation,
                           struct gf_error **error);

/*
 Names keys, copied, that the next gf_reserve_more or GF_OP_RESERVE_MANY of this reservation is to reserve; one that is reserved or named
 already is so once. All of them are named or none. They are of the cache that the reservation was made of, and at most 10,000 with those
 that there are. Sends nothing.

 Returns GF_DONE; or an error, and then `error`, if it is not NULL, is set to a gf_error that the caller frees.

 SAFETY:
 `reservation` is NULL or alive, and of several keys; `keys` is an array of `count` readable slices; `error` is NULL or may be written.
 */
int32_t gf_name(struct gf_reservation *reservation,
                const struct gf_slice *keys,
                size_t count,
                struct gf_error **error);

/*
 Reserves all keys of one transaction, before their source is changed: GF_RESERVED, and gf_result.reservation is of all of them (see
 gf_reservation_new); gf_result.detail as of gf_reserve. Each key once, 1 to 10,000. They are sent together. If one cannot be reserved those that
 were are aborted, the error names the key, and the source must not be changed. `flags`: GF_FLAG_SETTLED, see gf_reserve_settled; or 0.

 Who commits a value reserves before it *reads* anything that the value is made of and that its locks do not hold.

 SAFETY:
 `cache` is NULL or alive; `keys` is an array of `count` readable slices; `result` may be written.
 */
int32_t gf_reserve_many(const struct gf_cache *cache,
                        const struct gf_slice *keys,
                        size_t count,
                        uint32_t flags,
                        struct gf_result *result);

/*
 Reserves these keys too, and those of gf_name, before COMMIT is sent: GF_DONE, and gf_result.remaining_ms is the least of all;
 gf_result.detail as of gf_reserve, where one of all is not held. They are of the cache that the reservation was made of. If one cannot be reserved
 none of these is, and the others are still. A value that was made of what was read before must not be committed under a key that came later.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `keys` is an array of `count` readable slices; `result` may be written.
 */
int32_t gf_reserve_more(const struct gf_cache *cache,
                        struct gf_reservation *reservation,
                        const struct gf_slice *keys,
                        size_t count,
                        uint32_t flags,
                        struct gf_result *result);

/*
 Says which value a reserved key has once the source is committed, for gf_commit_many; the last word counts. The value is copied. Sends nothing.

 Returns GF_DONE; or an error, of the key or of what is out of bounds, and then `error`, if it is not NULL, is set to a gf_error that the
 caller frees.

 SAFETY:
 `reservation` is NULL or alive, and of several keys; `key` and `entry` are readable; `error` is NULL or may be written.
 */
int32_t gf_value_of(struct gf_reservation *reservation,
                    struct gf_slice key,
                    struct gf_entry entry,
                    struct gf_error **error);

/*
 Says that a reserved key is released, with the version that the source gave its change, for gf_commit_many; the last word counts. A key of which
 nothing is said is released without one. Sends nothing.

 Returns as gf_value_of.

 SAFETY:
 `reservation` is NULL or alive, and of several keys; `key` is readable; `error` is NULL or may be written.
 */
int32_t gf_version_of(struct gf_reservation *reservation,
                      struct gf_slice key,
                      uint64_t version,
                      struct gf_error **error);

/*
 Says that the source of a reserved key was certainly not changed, though that of others was: gf_commit_many aborts it. The last word counts.
 Sends nothing.

 Returns as gf_value_of.

 SAFETY:
 `reservation` is NULL or alive, and of several keys; `key` is readable; `error` is NULL or may be written.
 */
int32_t gf_unchanged_of(struct gf_reservation *reservation,
                        struct gf_slice key,
                        struct gf_error **error);

/*
 The source was changed and committed: keys with a value of gf_value_of are committed, those of
 gf_unchanged_of aborted, the others released. GF_DONE, and gf_told says
 what became of each. They are sent together, and every key is told, whatever is wrong with another. Uses the reservation up; it must still be freed.

 SAFETY:
 `cache`, `reservation` are NULL or alive; `result` may be written.
 */
int32_t gf_commit_many(const struct gf_cache *cache,
                       struct gf_reservation *reservation,
                       struct gf_result *result);

/*
 How many keys a reservation of several is of, those that are only named not counted. 0 for another, and for NULL. Any thread.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet.
 */
size_t gf_reservation_count(const struct gf_reservation *reservation);

/*
 What became of the key in this place of a reservation of several, in the order in which they were reserved: after gf_commit_many as of
 gf_commit or gf_release, after gf_release and gf_abort as of those; an error's status, where a value was refused. GF_RESERVED until then, and where it
 was not told; GF_MISS where there is no such place, and for NULL. `key` is set to the key, which lives as long as the reservation, or to nothing. It may
 be NULL. Any thread.

 SAFETY:
 `reservation` is NULL or was given by this library and not freed yet; `key` is NULL or may be written.
 */
int32_t gf_told(const struct gf_reservation *reservation,
                size_t index,
                struct gf_slice *key);

/*
 Counts. Any thread. Returns GF_DONE, GF_E_INVALID for NULL, GF_E_ABI where `struct_size` is not one
 that this library knows.

 SAFETY:
 `cache` is NULL or alive; `stats` is NULL or may be read and written for `struct_size` bytes.
 */
int32_t gf_stats_read(const struct gf_cache *cache, struct gf_stats *stats);

/*
 Sends what the library logs, up to `level`, to `write`, on one thread of its own that does nothing
 else; a slow host loses lines, which a later line says, and never slows the cache. With GF_LOG_OFF
 or a NULL `write` it stops: what waits is written, and when this returns, `write` is called no more.
 Process-wide; the last call counts.

 Returns GF_DONE, or GF_E_INVALID: the level is none, this was called from within `write`, or the
 process has a tracing subscriber of its own already.

 SAFETY:
 `write` may be called with `user_data` from another thread until this is called again.
 */
int32_t gf_log_set(int32_t level,
                   gf_log_fn write,
                   void *user_data);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GENFENCE_H */
