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

int main(int count, char **arguments) {
  CHECK(count == 5);
  one_region();
  both(arguments[1], arguments[3]);
  one_is_down(arguments[1]);
  return 0;
}
