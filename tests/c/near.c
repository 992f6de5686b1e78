/* Near times of single handles. */
#include "ways.h"

static gf_cache *near_of(const gf_cache *of, uint64_t near_ms) {
  gf_cache *handle = NULL;
  gf_error *error = (gf_error *)&handle; /* must be overwritten */
  SAME(gf_near(of, near_ms, &handle, &error), GF_DONE);
  CHECK(handle != NULL && error == NULL);
  return handle;
}

static void refused(const gf_cache *of, uint64_t near_ms, const char *field) {
  gf_cache *none = (gf_cache *)&none; /* must be overwritten */
  gf_error *error = NULL;
  SAME(gf_near(of, near_ms, &none, &error), GF_E_INVALID);
  CHECK(none == NULL);
  REFUSED(error, GF_E_INVALID, field);
  gf_error_free(error);
  SAME(gf_near(of, near_ms, &none, NULL), GF_E_INVALID);
}

static int keeps_copies(const gf_cache *of) { return (gf_peeks(of) & GF_PEEK_COPIES) != 0; }

static void copies_are_kept_through_those_handles_that_say_so(void) {
  gf_cache *cache = opened_on(through, "memory://?near_max=1s");
  CHECK(!keeps_copies(cache));
  gf_cache *kept = near_of(cache, 500), *unkept = near_of(kept, 0);
  CHECK(keeps_copies(kept) && !keeps_copies(unkept));

  /* It is the same cache. */
  SAME(status_of(unkept, with(keyed(GF_OP_SET, "k"), "v")), GF_STORED);
  SAME(status_of(kept, keyed(GF_OP_GET, "k")), GF_HIT);
  gf_free(unkept);
  SAME(status_of(kept, keyed(GF_OP_GET, "k")), GF_HIT);
  gf_free(cache);
  SAME(status_of(kept, keyed(GF_OP_GET, "k")), GF_E_SHUT_DOWN);
  gf_free(kept);
}

static void bounds(void) {
  gf_cache *cache = opened_on(through, "memory://?near_max=1s");
  refused(cache, 9, "near");
  refused(cache, 1001, "near");
  refused(cache, UINT64_MAX, "near");
  refused(NULL, 500, "cache");
  SAME(gf_near(cache, 500, NULL, NULL), GF_E_INVALID);
  gf_free(cache);
  cache = opened_on(through, "memory://");
  refused(cache, 500, "near");
  gf_free(cache);
}

int main(void) {
  all_ways(copies_are_kept_through_those_handles_that_say_so);
  all_ways(bounds);
  return 0;
}
