/* Two regions: how a reservation stands in each. `regions ADDRESS PID ADDRESS PID`: of a wire test server for each. */
#include "check.h"

static gf_cache *region_of(const char *own, const char *name, const char *peers, const char *more) {
  char url[512];
  gf_cache *cache = NULL;
  gf_error *error = NULL;
  snprintf(url, sizeof url,
           "aerospike://%s/test/c?region=%s&peers=%s&fence=all&timeout=2s&attempts=1&cluster_guard_time=10s%s", own, name,
           peers, more);
  int32_t status = gf_open(url, NULL, &cache, &error);
  if (error != NULL) fprintf(stderr, "%s\n", error->message);
  gf_error_free(error);
  SAME(status, GF_DONE);
  return cache;
}

/* The region of that index is this one, and stands so. */
static void stands(const gf_reservation *reservation, size_t index, const char *name, int32_t as) {
  gf_slice region = text("untouched");
  SAME(gf_reservation_region(reservation, index, &region), as);
  SAME(region.len, strlen(name));
  CHECK(memcmp(region.data, name, region.len) == 0);
  SAME(gf_reservation_region(reservation, index, NULL), as);
}

static void ends_at(const gf_reservation *reservation, size_t index) {
  gf_slice region = text("untouched");
  SAME(gf_reservation_region(reservation, index, &region), GF_REGION_NONE);
  CHECK(region.data == NULL && region.len == 0);
}

static gf_reservation *reserve(gf_cache *cache) {
  gf_result result;
  SAME(gf_reserve(cache, text("k"), &result), GF_RESERVED);
  SAME(result.detail, 0);
  return result.reservation;
}

static void both(const char *eu, const char *us) {
  char peers[256];
  snprintf(peers, sizeof peers, "eu@%s,us@%s", eu, us);
  gf_cache *here = region_of(eu, "eu", peers, ""), *there = region_of(us, "us", peers, "");
  gf_result result;
  SAME(gf_set(there, text("k"), entry("old"), NULL), GF_STORED);
  gf_reservation *reservation = reserve(here);
  stands(reservation, 0, "eu", GF_REGION_FENCED);
  stands(reservation, 1, "us", GF_REGION_FENCED);
  ends_at(reservation, 2);
  SAME(gf_lookup(there, text("k"), &result), GF_BYPASS);
  SAME(result.detail, GF_BYPASS_RESERVED);
  SAME(gf_commit(here, reservation, entry("new"), NULL), GF_STORED);
  stands(reservation, 1, "us", GF_REGION_FENCED); /* also afterwards */
  gf_reservation_free(reservation);
  SAME(gf_close(here, 10000), GF_DONE); /* by then the other was told */
  SAME(gf_lookup(there, text("k"), &result), GF_LEASED);
  gf_result_free(&result);
  gf_free(here);
  gf_free(there);
}

static void one_is_down(const char *eu) {
  char peers[256];
  snprintf(peers, sizeof peers, "eu@%s,us@127.0.0.1:1", eu);
  gf_cache *cache = region_of(eu, "eu", peers, "&unreachable=proceed");
  gf_reservation *reservation = reserve(cache);
  stands(reservation, 0, "eu", GF_REGION_FENCED);
  stands(reservation, 1, "us", GF_REGION_LEFT_OUT);
  gf_stats stats = {0};
  stats.struct_size = sizeof stats;
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.regions_left_out, 1);
  SAME(gf_abort(cache, reservation, NULL), GF_DONE);
  gf_reservation_free(reservation);
  gf_free(cache);
}

/* Where there is one region, there are none to tell of. */
static void one_region(void) {
  gf_cache *cache = NULL;
  SAME(gf_open("memory://", NULL, &cache, NULL), GF_DONE);
  gf_reservation *reservation = reserve(cache);
  ends_at(reservation, 0);
  ends_at(NULL, 0);
  SAME(gf_abort(cache, reservation, NULL), GF_DONE);
  gf_reservation_free(reservation);
  gf_free(cache);
  gf_error *error = NULL;
  SAME(gf_open("memory://?fence=all", NULL, &cache, &error), GF_E_INVALID);
  CHECK(strncmp(error->message, "fence: there are no regions", 27) == 0);
  gf_error_free(error);
}

/* Where a key is at home stands in its first byte; counts how often it is asked. */
static int32_t by_first_byte(gf_slice key, char *region, void *user_data) {
  ++*(size_t *)user_data;
  if (key.data[0] == '!') return GF_E_INVALID;
  if (key.data[0] == '#') memset(region, 'x', GF_REGION_SIZE);
  else strcpy(region, key.data[0] == 'u' ? "us" : "eu");
  return GF_DONE;
}

/* The tests ask in one thread, and the library in no other, as it has none that asks for itself. */
static size_t asked;

static int32_t open_at_home(const char *url, gf_slice name, gf_home_fn of, gf_cache **cache, gf_error **error) {
  gf_home home = {name, of, &asked};
  gf_options options = GF_OPTIONS_INIT;
  options.home = &home;
  int32_t status = gf_open(url, &options, cache, error);
  memset(&home, 0xff, sizeof home); /* it was read */
  return status;
}

static void at_home(const char *eu, const char *us) {
  char url[512];
  gf_cache *cache = NULL;
  gf_error *error = NULL;
  snprintf(url, sizeof url,
           "aerospike://%s/test/h?region=eu&peers=eu@%s,us@%s&fence=home&timeout=2s&cluster_guard_time=10s", eu, eu, us);
  SAME(open_at_home(url, text("by-first-byte"), by_first_byte, &cache, &error), GF_DONE);
  gf_result result;
  const char *keys[] = {"u1", "e1"}, *regions[] = {"us", "eu"};
  for (int i = 0; i < 2; i++) {
    size_t before = asked;
    SAME(gf_reserve(cache, text(keys[i]), &result), GF_RESERVED);
    stands(result.reservation, 0, regions[i], GF_REGION_FENCED);
    ends_at(result.reservation, 1);
    SAME(gf_commit(cache, result.reservation, entry("v"), NULL), GF_STORED);
    gf_result_free(&result);
    SAME(gf_get(cache, text(keys[i]), &result), GF_HIT);
    CHECK(holds(&result, "v"));
    gf_result_free(&result);
    CHECK(asked > before);
  }
  /* It cannot say; it says a name that does not end, and is no region's. */
  const char *unknown[] = {"!", "#"};
  for (int i = 0; i < 2; i++) {
    SAME(gf_get(cache, text(unknown[i]), &result), GF_E_INVALID);
    REFUSED(result.error, GF_E_INVALID, "home");
    CHECK(strstr(result.error->message, i == 0 ? "does not say" : "no region; these are ") != NULL);
    gf_result_free(&result);
    SAME(gf_reserve(cache, text(unknown[i]), &result), GF_E_INVALID);
    gf_result_free(&result);
  }
  gf_free(cache);
  /* A program that finds homes otherwise would fence elsewhere. */
  SAME(gf_open(url, NULL, &cache, &error), GF_E_STORE);
  CHECK(strstr(error->message, "homes=by-first-byte") != NULL);
  gf_error_free(error);
  SAME(open_at_home(url, text("by-first-byte"), NULL, &cache, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "home");
  gf_error_free(error);
  SAME(open_at_home(url, text("A"), by_first_byte, &cache, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "home");
  gf_error_free(error);
  SAME(open_at_home("memory://", text("f"), by_first_byte, &cache, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, "home");
  gf_error_free(error);
}

int main(int count, char **arguments) {
  CHECK(count == 5);
  at_home(arguments[1], arguments[3]);
  one_region();
  both(arguments[1], arguments[3]);
  one_is_down(arguments[1]);
  return 0;
}
