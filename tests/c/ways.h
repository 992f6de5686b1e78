/* One operation, by its synchronous call, submitted, or started: every test of outcomes runs all ways. */
#ifndef WAYS_H
#define WAYS_H

#include "check.h"

enum { CALLED, SUBMITTED, STARTED, WAYS };
static int way;
/* NULL: synchronous calls. */
static gf_queue *through;

static inline int32_t called(const gf_cache *cache, const gf_op *op, gf_result *result) {
  gf_entry fresh = {op->value, op->version, op->ttl_ms, op->flags, 0};
  if ((op->op == GF_OP_GET || op->op == GF_OP_LOAD) && op->flags != 0)
    return gf_call(cache, op, sizeof *op, result, sizeof *result);
  switch (op->op) {
    case GF_OP_GET: return gf_get(cache, op->key, result);
    case GF_OP_INSPECT: return gf_inspect(cache, op->key, result);
    case GF_OP_READY: return gf_ready(cache, op->ttl_ms, result);
    case GF_OP_BEAT: return gf_beat(cache, result);
    case GF_OP_HEARD: return gf_heard(cache, op->stamp, result);
    case GF_OP_LOAD: return gf_load(cache, op->key, result);
    case GF_OP_REFRESH: return gf_refresh(cache, op->key, op->stamp, result);
    case GF_OP_LAST_KNOWN: return gf_last_known(cache, op->key, result);
    case GF_OP_LOADED: return gf_loaded(cache, op->lease, fresh, result);
    case GF_OP_LOAD_FAILED: return gf_load_failed(cache, op->lease, op->value, result);
    case GF_OP_LOOKUP: return gf_lookup(cache, op->key, result);
    case GF_OP_FILL: return gf_fill(cache, op->lease, fresh, result);
    case GF_OP_RESERVE_TAG:
      return op->flags == GF_FLAG_SETTLED ? gf_reserve_tag_settled(cache, op->key, result) : gf_reserve_tag(cache, op->key, result);
    case GF_OP_PURGE_TAG: return gf_purge_tags(cache, &op->key, 1, result);
    case GF_OP_RESERVE:
      return op->flags == GF_FLAG_SETTLED ? gf_reserve_settled(cache, op->key, result) : gf_reserve(cache, op->key, result);
    case GF_OP_RESERVE_MANY: return gf_reserve_more(cache, op->reservation, NULL, 0, op->flags, result);
    case GF_OP_COMMIT_MANY: return gf_commit_many(cache, op->reservation, result);
    case GF_OP_COMMIT: return gf_commit(cache, op->reservation, fresh, result);
    case GF_OP_RELEASE: return gf_release(cache, op->reservation, op->version, op->flags, result);
    case GF_OP_ABORT: return gf_abort(cache, op->reservation, result);
    case GF_OP_RENEW: return gf_renew(cache, op->reservation, result);
    case GF_OP_SETTLED: return gf_settled(cache, op->reservation, result);
    case GF_OP_SET: return gf_set(cache, op->key, fresh, result);
    case GF_OP_REPLACE: return gf_replace(cache, op->key, op->stamp, fresh, result);
    case GF_OP_INVALIDATE: return gf_invalidate(cache, op->key, op->version, op->flags, result);
    case GF_OP_TOUCH: return gf_touch(cache, op->key, op->ttl_ms, result);
    case GF_OP_DIAGNOSE: return gf_diagnose(cache, result);
    case GF_OP_LOOKUP_MANY: {
      int32_t status = gf_lookup_many(cache, &op->key, 1, result, sizeof *result);
      return status == GF_DONE ? result->status : status;
    }
    default: CHECK(!"an operation with a call of its own"); return 0;
  }
}

static inline int32_t completed(uint64_t user_data, gf_result *result) {
  size_t count;
  SAME(gf_queue_wait(through, result, 1, sizeof *result, 20000, &count), GF_DONE);
  SAME(count, 1);
  CHECK(result->user_data == user_data);
  return result->status;
}

/* A refused submit looks like a refused call: its error stands in the result. */
static inline int32_t submitted(const gf_cache *cache, const gf_op *op, gf_result *result) {
  static uint64_t next = 1;
  gf_op copy = *op;
  gf_error *error = (gf_error *)&next; /* must be overwritten */
  size_t count = 99;
  copy.user_data = next++;
  int32_t status = gf_submit(cache, through, &copy, 1, sizeof copy, &error);
  if (status != GF_DONE) {
    memset(result, 0, sizeof *result);
    result->status = status;
    result->error = error;
    SAME(gf_queue_wait(through, result, 1, sizeof *result, 0, &count), GF_TIMED_OUT);
    SAME(count, 0);
    return status;
  }
  CHECK(error == NULL);
  return completed(copy.user_data, result);
}

static inline int32_t started(const gf_cache *cache, const gf_op *op, gf_result *result) {
  gf_op copy = *op;
  copy.user_data = (uint64_t)(uintptr_t)result;
  if (gf_start(cache, through, &copy, sizeof copy, result, sizeof *result) == GF_SUBMITTED)
    return completed(copy.user_data, result);
  CHECK(result->status < 0 || result->user_data == copy.user_data);
  return result->status;
}

static inline int32_t done(const gf_cache *cache, gf_op op, gf_result *result) {
  memset(result, 0x5a, sizeof *result);
  int32_t (*ways[WAYS])(const gf_cache *, const gf_op *, gf_result *) = {called, submitted, started};
  int32_t status = ways[way](cache, &op, result);
  SAME(status, result->status);
  SAME(result->reserved, 0);
  CHECK((status < 0) == (result->error != NULL));
  CHECK((status == GF_LEASED) == (result->lease != NULL));
  CHECK((status == GF_RESERVED) == (result->reservation != NULL));
  return status;
}

/* For outcomes that own nothing the caller wants. */
static inline int32_t status_of(const gf_cache *cache, gf_op op) {
  gf_result result;
  int32_t status = done(cache, op, &result);
  if (status < 0) fprintf(stderr, "(%s)\n", result.error->message);
  gf_result_free(&result);
  gf_result_free(&result); /* harmless */
  return status;
}

static inline gf_op keyed(uint32_t what, const char *key) {
  gf_op op;
  memset(&op, 0, sizeof op);
  op.op = what;
  op.key = text(key);
  return op;
}

static inline gf_op sized(gf_op op, const uint8_t *key, size_t length) {
  op.key.data = key, op.key.len = length;
  return op;
}

static inline gf_op with(gf_op op, const char *value) {
  op.value = text(value);
  return op;
}

static inline gf_op versioned(gf_op op, uint64_t version) {
  op.version = version;
  op.flags |= GF_FLAG_VERSION;
  return op;
}

static inline gf_op leased(gf_lease *lease, const char *value) {
  gf_op op = keyed(GF_OP_FILL, "");
  op.lease = lease;
  return with(op, value);
}

static inline gf_op loaded(uint32_t what, gf_lease *lease, const char *value) {
  gf_op op = leased(lease, value);
  op.op = what;
  return op;
}

static inline gf_op reserved(uint32_t what, gf_reservation *reservation) {
  gf_op op = keyed(what, "");
  op.reservation = reservation;
  return op;
}

static inline gf_lease *lease(const gf_cache *cache, const char *key) {
  gf_result result;
  SAME(done(cache, keyed(GF_OP_LOOKUP, key), &result), GF_LEASED);
  return result.lease;
}

/* To be loaded, and stored or not: `bypass`. */
static inline gf_lease *load(const gf_cache *cache, const char *key, int32_t bypass) {
  gf_result result;
  SAME(done(cache, keyed(GF_OP_LOAD, key), &result), GF_LEASED);
  SAME(result.detail, bypass);
  return result.lease;
}

static inline gf_reservation *reserve_so(const gf_cache *cache, const char *key, uint32_t flags) {
  gf_result result;
  gf_op op = keyed(GF_OP_RESERVE, key);
  op.flags = flags;
  SAME(done(cache, op, &result), GF_RESERVED);
  CHECK(result.remaining_ms <= gf_remaining_ms(result.reservation) + 1000);
  return result.reservation;
}

static inline gf_reservation *reserve(const gf_cache *cache, const char *key) { return reserve_so(cache, key, 0); }

static inline void this_way(void (*test)(void)) {
  gf_result last;
  size_t count;
  through = way == CALLED && !drives ? NULL : queue_new();
  test();
  if (through != NULL) {
    gf_queue_close(through);
    SAME(gf_queue_wait(through, &last, 1, sizeof last, -1, &count), GF_E_SHUT_DOWN);
    gf_queue_free(through);
  }
  nothing_left();
}

/* Runs the test by its calls, then by a queue, then with what is done at once past it; and all that with a queue that
   drives, in which nobody waits while the test calls. */
static inline void all_ways(void (*test)(void)) {
  for (drives = 0; drives <= 1; drives++)
    for (way = CALLED; way < WAYS; way++) this_way(test);
  way = CALLED;
  drives = 0;
  through = NULL;
}

#endif
