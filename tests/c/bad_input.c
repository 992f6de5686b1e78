/* Whatever is wrong is refused with a status and a message that names the field; nothing is sent,
   nothing is used up, nothing is leaked. */
#include "operations.h"
#include "ways.h"

static gf_cache *cache;
static uint8_t bytes[1 << 21];

/* Counters do not move: nothing was sent. */
static void refused(gf_op op, int32_t status, const char *field) {
  gf_result result;
  SAME(done(cache, op, &result), status);
  REFUSED(result.error, status, field);
  /* It is the caller's: taken out, it outlives the result. */
  gf_error *error = result.error;
  result.error = NULL;
  gf_result_free(&result);
  REFUSED(error, status, field);
  gf_error_free(error);
}

static void keys(void) {
  uint32_t ops[] = {GF_OP_GET, GF_OP_LOOKUP, GF_OP_RESERVE, GF_OP_SET, GF_OP_REPLACE,
                    GF_OP_INVALIDATE, GF_OP_TOUCH, GF_OP_LOAD};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    gf_op op = keyed(ops[i], "");
    op.ttl_ms = 1000;
    refused(op, GF_E_INVALID, "key");
    refused(sized(op, NULL, 0), GF_E_INVALID, "key");
    refused(sized(op, NULL, 5), GF_E_INVALID, "key");
    refused(sized(op, bytes, 1025), GF_E_INVALID, "key");
    refused(sized(op, bytes, SIZE_MAX), GF_E_INVALID, "key");
    refused(sized(op, bytes, (size_t)1 << 63), GF_E_INVALID, "key");
    CHECK(status_of(cache, sized(op, bytes, 1024)) >= 0);
  }
}

/* What stores a value, with handles that are not used up by a refusal. */
static void values(void) {
  gf_lease *held = lease(cache, "values");
  gf_reservation *writer = reserve(cache, "values of a writer");
  gf_op ops[] = {leased(held, "v"), with(reserved(GF_OP_COMMIT, writer), "v"),
                 with(keyed(GF_OP_SET, "set"), "v"), with(keyed(GF_OP_REPLACE, "set"), "v"),
                 loaded(GF_OP_LOADED, held, "v")};
  for (int i = 0; i < 5; i++) {
    gf_op op = ops[i];
    op.value.data = NULL;
    refused(op, GF_E_INVALID, "value");
    op = ops[i], op.value.len = SIZE_MAX;
    refused(op, GF_E_INVALID, "value");
    op = ops[i], op.flags = GF_FLAG_NOTHING; /* and a value */
    refused(op, GF_E_INVALID, "value");
    op = ops[i], op.flags = 4;
    refused(op, GF_E_INVALID, "flags");
    op = ops[i], op.flags = UINT32_MAX;
    refused(op, GF_E_INVALID, "flags");
    op = ops[i], op.version = 1; /* and no flag */
    refused(op, GF_E_INVALID, "version");
  }
  SAME(status_of(cache, ops[0]), GF_STORED);
  SAME(status_of(cache, ops[1]), GF_STORED);
  gf_lease_free(held);
  gf_reservation_free(writer);

  for (int i = 2; i < 4; i++) {
    gf_op op = ops[i];
    op.value.data = bytes, op.value.len = sizeof bytes;
    SAME(status_of(cache, op), GF_TOO_LARGE);
    op = ops[i], op.ttl_ms = UINT64_MAX;
    refused(op, GF_E_INVALID, "ttl");
    refused(versioned(ops[i], 1), GF_E_INVALID, "version"); /* an unconditional write has none */
  }
}

/* Out of bounds as the cache is set up: that shows when the handle is used up already. */
static void late(void) {
  for (int i = 0; i < 2; i++) {
    gf_lease *held = lease(cache, "late");
    gf_reservation *writer = reserve(cache, "late of a writer");
    gf_op fill = leased(held, "v"), commit = with(reserved(GF_OP_COMMIT, writer), "v");
    const char *field[] = {"version", "ttl"};
    if (i == 0) {
      fill = versioned(fill, (uint64_t)1 << 63), commit = versioned(commit, UINT64_MAX);
    } else {
      fill.ttl_ms = commit.ttl_ms = UINT64_MAX;
    }
    refused(fill, GF_E_INVALID, field[i]);
    refused(fill, GF_E_INVALID, "lease");
    refused(commit, GF_E_INVALID, field[i]);
    refused(commit, GF_E_INVALID, "reservation");
    gf_lease_free(held);
    gf_reservation_free(writer);
    gf_lease_free(lease(cache, "late")); /* both were given back */
    gf_lease_free(lease(cache, "late of a writer"));
  }
}

static void handles(void) {
  refused(leased(NULL, "v"), GF_E_INVALID, "lease");
  uint32_t ops[] = {GF_OP_COMMIT, GF_OP_RELEASE, GF_OP_ABORT, GF_OP_RENEW, GF_OP_SETTLED};
  for (int i = 0; i < 5; i++) refused(reserved(ops[i], NULL), GF_E_INVALID, "reservation");

  gf_reservation *writer = reserve(cache, "handles");
  gf_op release = reserved(GF_OP_RELEASE, writer);
  release.flags = GF_FLAG_NOTHING;
  refused(release, GF_E_INVALID, "flags");
  release.flags = 0, release.version = 1;
  refused(release, GF_E_INVALID, "version");
  SAME(status_of(cache, reserved(GF_OP_RELEASE, writer)), GF_PURGED);
  gf_reservation_free(writer);
}

static void other_fields(void) {
  gf_op invalidate = keyed(GF_OP_INVALIDATE, "k");
  invalidate.flags = GF_FLAG_NOTHING;
  refused(invalidate, GF_E_INVALID, "flags");
  invalidate.flags = 0, invalidate.version = 1;
  refused(invalidate, GF_E_INVALID, "version");
  refused(versioned(keyed(GF_OP_INVALIDATE, "k"), UINT64_MAX), GF_E_INVALID, "version");
  refused(keyed(GF_OP_TOUCH, "k"), GF_E_INVALID, "ttl"); /* 0 */
  gf_op touch = keyed(GF_OP_TOUCH, "k");
  touch.ttl_ms = UINT64_MAX;
  refused(touch, GF_E_INVALID, "ttl");
  gf_op ready = keyed(GF_OP_READY, "");
  ready.ttl_ms = 3600001;
  refused(ready, GF_E_INVALID, "ttl_ms");
  refused(keyed(GF_OP_BEAT, ""), GF_E_INVALID, "stream_bound"); /* the cache has none */
  refused(keyed(GF_OP_HEARD, ""), GF_E_INVALID, "stream_bound");
}

/* A closed cache refuses everything that begins there. */
static void closed(void) {
  gf_cache *shut = opened_on(through, "memory://");
  SAME(gf_close(shut, 0), GF_DONE);
  uint32_t ops[] = {GF_OP_GET, GF_OP_LOOKUP, GF_OP_RESERVE, GF_OP_SET, GF_OP_REPLACE,
                    GF_OP_INVALIDATE, GF_OP_TOUCH, GF_OP_DIAGNOSE,
                    GF_OP_LOOKUP_MANY, GF_OP_LOAD, GF_OP_READY, GF_OP_INSPECT, GF_OP_BEAT, GF_OP_HEARD,
                    GF_OP_REFRESH, GF_OP_LAST_KNOWN, GF_OP_RESERVE_TAG, GF_OP_PURGE_TAG};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    gf_result result;
    gf_op op = keyed(ops[i], "k");
    op.ttl_ms = 1000;
    SAME(done(shut, op, &result), GF_E_SHUT_DOWN);
    CHECK(result.error->message[0] != 0);
    gf_result_free(&result);
  }
  gf_free(shut);
}

static void operations(void) {
  cache = opened_on(through, "memory://?reservation_time=10s");
  keys();
  values();
  late();
  handles();
  other_fields();
  closed();
  gf_free(cache);
}

static void null_cache(void) {
  uint32_t op;
  for (op = GF_OP_GET; op <= LAST_OPERATION; op++) {
    gf_result result;
    gf_op given = keyed(op, "k");
    gf_error *error = NULL;
    SAME(called(NULL, &given, &result), GF_E_INVALID);
    REFUSED(result.error, GF_E_INVALID, "cache");
    gf_result_free(&result);
    SAME(called(NULL, &given, NULL), GF_E_INVALID);
    SAME(gf_submit(NULL, through, &given, 1, sizeof given, &error), GF_E_INVALID);
    REFUSED(error, GF_E_INVALID, "cache");
    gf_error_free(error);
  }
}

/* The sizes of what a program was compiled with, and no operation at all. */
static void calls(void) {
  cache = opened_on(through, "memory://");
  gf_op op = keyed(GF_OP_GET, "k");
  gf_result result;
  SAME(gf_call(cache, &op, sizeof op - 1, &result, sizeof result), GF_E_ABI);
  gf_result_free(&result);
  SAME(gf_call(cache, NULL, sizeof op, &result, sizeof result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "op");
  gf_result_free(&result);
  memset(&result, 0x5a, sizeof result);
  SAME(gf_call(cache, &op, sizeof op, &result, sizeof result - 1), GF_E_ABI);
  SAME(result.status, 0x5a5a5a5a);
  SAME(gf_call(NULL, &op, sizeof op, NULL, sizeof result), GF_E_INVALID);
  SAME(gf_call(cache, &op, sizeof op, NULL, sizeof result), GF_MISS);
  op.reserved[1] = 1;
  SAME(gf_call(cache, &op, sizeof op, NULL, sizeof result), GF_E_INVALID);
  gf_free(cache);
}

static void reserved_places(void) {
  cache = opened_on(through, "memory://");
  gf_entry fresh = entry("v");
  gf_result result;
  fresh.reserved = 1;
  SAME(gf_set(cache, text("k"), fresh, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "reserved");
  gf_result_free(&result);
  if (way != CALLED) {
    for (int i = 0; i < 2; i++) {
      gf_op op = keyed(GF_OP_GET, "k");
      op.reserved[i] = 1;
      refused(op, GF_E_INVALID, "reserved");
    }
    uint32_t none[] = {0, LAST_OPERATION + 1, UINT32_MAX};
    for (int i = 0; i < 3; i++) refused(keyed(none[i], "k"), GF_E_INVALID, "op");
  }
  gf_free(cache);
}

static void urls(void) {
  struct { const char *url, *field; } bad[] = {
      {NULL, "url"}, {"\xff\xfe", "url"}, {"memory://?prefix=\xff", "url"}, {"", "url"},
      {"nonsense", "url"}, {"memory://?ttl=0s", "ttl"}, {"memory://?no_such_option=1", "url"},
      {"memory://?wait=1x", "wait"}, {"aerospike://", "url"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    gf_cache *none = (gf_cache *)&none;
    gf_error *error = NULL;
    SAME(gf_open(bad[i].url, NULL, &none, &error), GF_E_INVALID);
    CHECK(none == NULL);
    CHECK(error != NULL && error->status == GF_E_INVALID && error->field[0] != 0);
    CHECK(strstr(error->message, error->field) != NULL);
    if (strcmp(bad[i].field, "url") != 0) REFUSED(error, GF_E_INVALID, bad[i].field);
    gf_error *checked = NULL;
    SAME(gf_check_url(bad[i].url, NULL, &checked), GF_E_INVALID);
    CHECK(strcmp(checked->message, error->message) == 0);
    gf_error_free(checked);
    gf_error_free(error);
  }
  SAME(gf_check_url("memory://?ttl=5m", NULL, NULL), GF_DONE);
  SAME(gf_check_url("aerospike://a.invalid/test/cache?timeout=1s", NULL, NULL), GF_DONE);
  gf_error *error = NULL;
  gf_options prefixed = GF_OPTIONS_INIT;
  static uint8_t long_prefix[2048];
  prefixed.prefix.data = long_prefix, prefixed.prefix.len = sizeof long_prefix;
  SAME(gf_check_url("memory://", &prefixed, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "prefix");
  gf_error_free(error);
  SAME(gf_open("memory://", NULL, NULL, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "cache");
  gf_error_free(error);

  /* A password never stands in an error. */
  gf_cache *none = NULL;
  SAME(gf_open("aerospike://ada:s3cret@127.0.0.1:1/test?ttl=0s", NULL, &none, &error), GF_E_INVALID);
  CHECK(strstr(error->message, "s3cret") == NULL);
  gf_error_free(error);
}

static void lookups_of_many(void) {
  cache = opened_on(through, "memory://");
  gf_slice keys[3] = {text("a"), {NULL, 3}, text("b")};
  gf_result results[3], untouched;
  memset(&untouched, 0x5a, sizeof untouched);
  SAME(gf_lookup_many(cache, keys, 3, results, sizeof *results), GF_E_INVALID);
  REFUSED(results[0].error, GF_E_INVALID, "keys");
  for (int i = 1; i < 3; i++) CHECK(results[i].status == GF_E_INVALID && results[i].error == NULL);
  gf_results_free(results, 3);
  keys[1] = text("");
  SAME(gf_lookup_many(cache, keys, 3, results, sizeof *results), GF_E_INVALID);
  REFUSED(results[0].error, GF_E_INVALID, "key");
  gf_results_free(results, 3);
  SAME(gf_lookup_many(NULL, keys, 1, results, sizeof *results), GF_E_INVALID);
  REFUSED(results[0].error, GF_E_INVALID, "cache");
  gf_results_free(results, 1);
  SAME(gf_lookup_many(NULL, keys, 0, results, sizeof *results), GF_E_INVALID);
  SAME(gf_lookup_many(cache, NULL, 2, results, sizeof *results), GF_E_INVALID);
  REFUSED(results[0].error, GF_E_INVALID, "keys");
  gf_results_free(results, 2);
  SAME(gf_lookup_many(cache, keys, 1, NULL, sizeof *results), GF_E_INVALID);
  memset(results, 0x5a, sizeof results);
  SAME(gf_lookup_many(cache, keys, 1, results, sizeof *results - 1), GF_E_ABI);
  SAME(gf_lookup_many(cache, keys, SIZE_MAX, results, sizeof *results), GF_E_INVALID);
  CHECK(memcmp(&results[0], &untouched, sizeof untouched) == 0);
  gf_free(cache);
}

static void submits(void) {
  cache = opened_on(through, "memory://");
  gf_queue *queue = gf_queue_new();
  gf_op ops[3] = {keyed(GF_OP_GET, "a"), keyed(GF_OP_GET, ""), keyed(GF_OP_GET, "b")};
  gf_error *error = NULL;
  gf_result result;
  size_t count;
  /* All or none, and the message says which. */
  SAME(gf_submit(cache, queue, ops, 3, sizeof *ops, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "key");
  CHECK(strncmp(error->message, "ops[1]: ", 8) == 0);
  gf_error_free(error);
  SAME(gf_submit(cache, queue, ops, 3, sizeof *ops, NULL), GF_E_INVALID);
  SAME(gf_submit(cache, queue, ops, 1, sizeof *ops - 8, &error), GF_E_ABI);
  gf_error_free(error);
  SAME(gf_submit(cache, queue, NULL, 1, sizeof *ops, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "ops");
  gf_error_free(error);
  SAME(gf_submit(cache, queue, ops, SIZE_MAX, sizeof *ops, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "count");
  gf_error_free(error);
  SAME(gf_submit(cache, NULL, ops, 1, sizeof *ops, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "queue");
  gf_error_free(error);
  SAME(gf_submit(cache, queue, NULL, 0, sizeof *ops, &error), GF_DONE);
  CHECK(error == NULL);

  /* One that is started says it in its result, and a look says nothing. */
  gf_result untouched;
  memset(&result, 0x5a, sizeof result);
  untouched = result;
  SAME(gf_peek(NULL, ops[0].key, NULL, 0, &result, sizeof result), GF_MISS);
  SAME(gf_peek(cache, ops[0].key, NULL, 0, NULL, sizeof result), GF_MISS);
  SAME(gf_peek(cache, ops[0].key, NULL, 0, &result, sizeof result - 8), GF_MISS);
  SAME(gf_peek(cache, (gf_slice){NULL, 1}, NULL, 0, &result, sizeof result), GF_MISS);
  SAME(gf_peek(cache, (gf_slice){NULL, 0}, NULL, 0, &result, sizeof result), GF_MISS);
  CHECK(memcmp(&result, &untouched, sizeof result) == 0);
  SAME(gf_start(cache, queue, &ops[0], sizeof *ops, NULL, sizeof result), GF_E_INVALID);
  SAME(gf_start(cache, queue, &ops[0], sizeof *ops, &result, sizeof result - 8), GF_E_ABI);
  CHECK(memcmp(&result, &untouched, sizeof result) == 0);
  SAME(gf_start(cache, queue, &ops[0], sizeof *ops - 8, &result, sizeof result), GF_E_ABI);
  gf_result_free(&result);
  SAME(gf_start(cache, queue, &ops[1], sizeof *ops, &result, sizeof result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "key");
  gf_result_free(&result);
  SAME(gf_start(cache, queue, NULL, sizeof *ops, &result, sizeof result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "op");
  gf_result_free(&result);
  SAME(gf_start(NULL, queue, &ops[0], sizeof *ops, &result, sizeof result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "cache");
  gf_result_free(&result);
  SAME(gf_start(cache, NULL, &ops[0], sizeof *ops, &result, sizeof result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "queue");
  gf_result_free(&result);

  count = 9;
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 0, &count), GF_TIMED_OUT);
  SAME(count, 0);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result - 8, -1, &count), GF_E_ABI);
  SAME(gf_queue_wait(queue, &result, 0, sizeof result, -1, &count), GF_E_INVALID);
  SAME(gf_queue_wait(queue, NULL, 1, sizeof result, -1, &count), GF_E_INVALID);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, -1, NULL), GF_E_INVALID);
  SAME(gf_queue_wait(NULL, &result, 1, sizeof result, -1, &count), GF_E_INVALID);

  gf_queue_close(queue);
  gf_queue_close(queue);
  SAME(gf_submit(cache, queue, ops, 1, sizeof *ops, &error), GF_E_SHUT_DOWN);
  CHECK(strstr(error->message, "queue") != NULL);
  gf_error_free(error);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, -1, &count), GF_E_SHUT_DOWN);
  gf_queue_free(queue);
  gf_free(cache);
}

/* A panic ends at the boundary, in a call and in a task. */
static void panics(void) {
  gf_result result;
  size_t count;
  SAME(gf_test_panic(&result), GF_E_PANIC);
  CHECK(strstr(result.error->message, "on purpose") != NULL);
  gf_result_free(&result);
  SAME(gf_test_panic(NULL), GF_E_PANIC);
  cache = opened_on(through, "memory://");
  gf_queue *queue = gf_queue_new();
  SAME(gf_test_submit_panic(cache, queue, 77), GF_DONE);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, GF_E_PANIC);
  SAME(result.user_data, 77);
  gf_result_free(&result);
  SAME(gf_set(cache, text("k"), entry("v"), NULL), GF_STORED); /* and life goes on */
  SAME(gf_close(cache, 20000), GF_DONE);
  gf_queue_free(queue);
  gf_free(cache);
}

int main(void) {
  void (*tests[])(void) = {operations, calls, reserved_places, urls, lookups_of_many, submits, panics};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    all_ways(tests[i]);
  }
  through = gf_queue_new();
  null_cache();
  gf_queue_free(through);
  nothing_left();
  return 0;
}
