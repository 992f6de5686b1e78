/* Opening, closing and freeing, in every order that is allowed; options of other sizes and versions. */
#include "check.h"

static void refused(const gf_options *options, int32_t status, const char *field) {
  gf_cache *cache = (gf_cache *)&cache; /* must be overwritten */
  gf_error *error = NULL;
  SAME(gf_open("memory://", options, &cache, &error), status);
  CHECK(cache == NULL);
  REFUSED(error, status, field);
  gf_error_free(error);
  SAME(gf_open("memory://", options, &cache, NULL), status);
}

static void versions(void) {
  SAME(gf_abi_version(), GF_ABI_MAJOR << 16 | GF_ABI_MINOR);
  CHECK(strcmp(gf_version(), GF_VERSION) == 0);
}

/* Only as many bytes as they say they have are read: valgrind would see a byte more. */
static void options_of_a_size(uint32_t size, int32_t expected) {
  gf_options fresh = GF_OPTIONS_INIT;
  size_t room = size < 4 ? 4 : size < 4096 ? size : sizeof fresh;
  void *bytes = calloc(1, room);
  fresh.struct_size = size;
  memcpy(bytes, &fresh, room < sizeof fresh ? room : sizeof fresh);
  if (expected == GF_DONE) {
    gf_cache *cache = NULL;
    SAME(gf_open("memory://", bytes, &cache, NULL), GF_DONE);
    gf_free(cache);
  } else {
    refused(bytes, expected, "");
  }
  free(bytes);
}

static void options(void) {
  gf_options given, fresh = GF_OPTIONS_INIT;
  memset(&given, 0x5a, sizeof given);
  gf_options_init(&given);
  CHECK(memcmp(&given, &fresh, sizeof given) == 0);
  gf_options_init(NULL);

  options_of_a_size(16, GF_DONE);
  options_of_a_size(24, GF_DONE);
  options_of_a_size(32, GF_DONE);
  options_of_a_size(sizeof fresh, GF_DONE);
  options_of_a_size(0, GF_E_ABI);
  options_of_a_size(8, GF_E_ABI);
  options_of_a_size(15, GF_E_ABI);
  options_of_a_size(17, GF_E_ABI);
  options_of_a_size(20, GF_E_ABI);
  options_of_a_size(sizeof fresh + 8, GF_E_ABI);
  options_of_a_size(UINT32_MAX, GF_E_ABI);

  given = fresh, given.abi_major = GF_ABI_MAJOR + 1;
  refused(&given, GF_E_ABI, "");
  given = fresh, given.abi_major = 0;
  refused(&given, GF_E_ABI, "");
  given = fresh, given.abi_minor = GF_ABI_MINOR + 1;
  refused(&given, GF_E_ABI, "");
  given = fresh, given.worker_threads = 257;
  refused(&given, GF_E_INVALID, "worker_threads");
  given = fresh, given.worker_threads = -1;
  refused(&given, GF_E_INVALID, "worker_threads");
  gf_queue *sleeps = gf_queue_new(), *driving = NULL;
  given = fresh, given.driver = sleeps;
  refused(&given, GF_E_INVALID, "driver");
  SAME(gf_queue_new_driving(NULL, NULL), GF_E_INVALID);
  SAME(gf_queue_new_driving(&driving, NULL), GF_DONE);
  given = fresh, given.driver = driving, given.worker_threads = 1;
  refused(&given, GF_E_INVALID, "worker_threads");
  gf_queue_free(sleeps);
  gf_queue_free(driving);
  for (size_t i = 0; i < sizeof fresh.reserved / sizeof *fresh.reserved; i++) {
    given = fresh, given.reserved[i] = 1;
    refused(&given, GF_E_INVALID, "reserved");
  }
  given = fresh, given.prefix.len = 1;
  refused(&given, GF_E_INVALID, "prefix");
  given = fresh, given.prefix.data = (const uint8_t *)"x", given.prefix.len = SIZE_MAX;
  refused(&given, GF_E_INVALID, "prefix");
  static uint8_t long_prefix[2048];
  given = fresh, given.prefix.data = long_prefix, given.prefix.len = sizeof long_prefix;
  refused(&given, GF_E_INVALID, "prefix");
}

/* A prefix of any bytes counts towards the length of a key. */
static void prefix(void) {
  static const uint8_t bytes[1000] = {0xff, 0x00, 0xfe};
  static const uint8_t key[25] = {0};
  gf_options given = GF_OPTIONS_INIT;
  gf_cache *cache = NULL;
  gf_result result;
  given.prefix.data = bytes, given.prefix.len = sizeof bytes;
  SAME(gf_open("memory://", &given, &cache, NULL), GF_DONE);
  gf_slice fits = {key, 24}, long_key = {key, 25};
  SAME(gf_get(cache, fits, &result), GF_MISS);
  SAME(gf_get(cache, long_key, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "key");
  gf_result_free(&result);
  gf_free(cache);
}

static void closed_twice_and_freed(void) {
  gf_cache *cache = opened("memory://?ttl=5m");
  gf_result result;
  SAME(gf_set(cache, text("k"), entry("v"), &result), GF_STORED);
  gf_result_free(&result);
  SAME(gf_close(cache, UINT64_MAX), GF_DONE);
  SAME(gf_close(cache, 0), GF_DONE);
  SAME(gf_get(cache, text("k"), &result), GF_E_SHUT_DOWN);
  CHECK(result.error->message[0] != 0 && result.error->field[0] == 0);
  gf_result_free(&result);
  gf_stats stats = {0};
  stats.struct_size = sizeof stats;
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  gf_free(cache);
}

static void freed_without_a_close(void) {
  gf_free(opened("memory://"));
  gf_free(NULL);
  gf_error_free(NULL);
  gf_lease_free(NULL);
  gf_reservation_free(NULL);
  gf_result_free(NULL);
  gf_results_free(NULL, 7);
  gf_queue_close(NULL);
  gf_queue_free(NULL);
  gf_live_count(NULL);
  SAME(gf_remaining_ms(NULL), 0);
  SAME(gf_close(NULL, 1), GF_E_INVALID);
}

/* What is out when the cache is closed can still be used: the source may have changed by then. */
static void claims_outlive_the_close(void) {
  gf_cache *cache = opened("memory://");
  gf_result leased, reserved, result;
  SAME(gf_lookup(cache, text("a"), &leased), GF_LEASED);
  SAME(gf_reserve(cache, text("b"), &reserved), GF_RESERVED);
  SAME(gf_close(cache, 20), GF_TIMED_OUT); /* the lease is kept alive */
  SAME(gf_fill(cache, leased.lease, entry("v"), &result), GF_STORED);
  gf_result_free(&result);
  SAME(gf_commit(cache, reserved.reservation, entry("v"), &result), GF_STORED);
  gf_result_free(&result);
  SAME(gf_close(cache, 20000), GF_DONE);
  gf_result_free(&leased);
  gf_result_free(&reserved);
  gf_free(cache);
}

static void claims_outlive_the_cache(void) {
  gf_cache *cache = opened("memory://");
  gf_result leased, reserved;
  SAME(gf_lookup(cache, text("a"), &leased), GF_LEASED);
  SAME(gf_reserve(cache, text("b"), &reserved), GF_RESERVED);
  gf_free(cache);
  CHECK(gf_remaining_ms(reserved.reservation) > 0);
  gf_result_free(&leased);
  gf_result_free(&reserved);
}

/* A value is there until it is freed, whatever becomes of the cache. */
static void values_outlive_the_cache(void) {
  gf_cache *cache = opened("memory://");
  gf_result result, hit;
  SAME(gf_set(cache, text("k"), entry("value"), &result), GF_STORED);
  SAME(gf_get(cache, text("k"), &hit), GF_HIT);
  gf_live live;
  gf_live_count(&live);
  SAME(live.values, 1);
  SAME(live.value_bytes, 5);
  SAME(live.caches, 1);
  gf_free(cache);
  CHECK(holds(&hit, "value"));
  gf_result_free(&hit);
}

static void many(void) {
  gf_cache *caches[20];
  gf_result result;
  for (int i = 0; i < 20; i++) caches[i] = opened("memory://");
  SAME(gf_set(caches[0], text("k"), entry("v"), &result), GF_STORED);
  SAME(gf_get(caches[1], text("k"), &result), GF_MISS); /* each its own */
  for (int i = 0; i < 20; i++) gf_free(caches[i]);
}

int main(void) {
  nothing_left();
  void (*tests[])(void) = {versions, options, prefix, closed_twice_and_freed, freed_without_a_close,
                           claims_outlive_the_close, claims_outlive_the_cache,
                           values_outlive_the_cache, many};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    tests[i]();
    nothing_left();
  }
  return 0;
}
