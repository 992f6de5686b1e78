/* Values that bear tags: what a handle of gf_tagged stores goes with its group. */
#include "ways.h"

static gf_cache *cache;

static gf_cache *bearing(const gf_cache *of, const char *tag) {
  gf_slice tags[] = {text(tag)};
  gf_cache *handle = NULL;
  gf_error *error = (gf_error *)&handle; /* must be overwritten */
  SAME(gf_tagged(of, tags, 1, &handle, &error), GF_DONE);
  CHECK(handle != NULL && error == NULL);
  return handle;
}

static void opened_with_tags(void) {
  cache = opened_on(through, "memory://?tags=true&reservation_time=10s");
}

static int is_hit(const char *key) { return status_of(cache, keyed(GF_OP_GET, key)) == GF_HIT; }

static void filled(const gf_cache *handle, const char *key) {
  gf_lease *held = lease(handle, key);
  SAME(status_of(handle, leased(held, "v")), GF_STORED);
  gf_lease_free(held);
  CHECK(is_hit(key));
}

/* Every way in which a value comes to be stored. */
static void a_purge_is_of_a_group_and_of_nothing_else(void) {
  opened_with_tags();
  gf_cache *hats = bearing(cache, "hat"), *winter_hats = bearing(hats, "winter");
  filled(hats, "filled");
  gf_lease *one = load(hats, "loaded", 0);
  SAME(status_of(hats, loaded(GF_OP_LOADED, one, "v")), GF_DONE);
  gf_lease_free(one);
  SAME(status_of(winter_hats, with(keyed(GF_OP_SET, "set"), "v")), GF_STORED);
  gf_reservation *writer = reserve(hats, "committed");
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, writer), "v")), GF_STORED);
  gf_reservation_free(writer);
  gf_result many;
  SAME(done(hats, keyed(GF_OP_LOOKUP_MANY, "looked up with others"), &many), GF_LEASED);
  SAME(status_of(cache, leased(many.lease, "v")), GF_STORED);
  gf_result_free(&many);
  SAME(status_of(cache, with(keyed(GF_OP_SET, "replaced"), "v")), GF_STORED);
  gf_result before;
  SAME(done(cache, keyed(GF_OP_GET, "replaced"), &before), GF_HIT);
  gf_op replace = with(keyed(GF_OP_REPLACE, "replaced"), "v");
  replace.stamp = before.stamp;
  gf_result_free(&before);
  SAME(status_of(hats, replace), GF_STORED);
  filled(cache, "no hat");
  const char *all[] = {"filled", "loaded", "set", "committed", "looked up with others", "replaced"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(is_hit(all[i]));

  SAME(status_of(cache, keyed(GF_OP_PURGE_TAG, "winter")), GF_DONE);
  CHECK(!is_hit("set") && is_hit("filled"));
  SAME(status_of(hats, keyed(GF_OP_PURGE_TAG, "hat")), GF_DONE);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(!is_hit(all[i]));
  CHECK(is_hit("no hat"));

  filled(hats, "filled");
  filled(winter_hats, "other");
  gf_result result;
  gf_slice both[] = {text("unknown"), text("winter")};
  SAME(gf_purge_tags(cache, both, 2, &result), GF_DONE);
  CHECK(is_hit("filled") && !is_hit("other"));
  SAME(gf_purge_tags(cache, NULL, 0, &result), GF_DONE);
  SAME(gf_purge_all(cache, &result), GF_DONE);
  CHECK(!is_hit("filled") && !is_hit("no hat"));
  gf_free(winter_hats);
  gf_free(hats);
  gf_free(cache);
}

static void what_was_loaded_across_a_purge_is_served_to_nobody(void) {
  opened_with_tags();
  gf_cache *hats = bearing(cache, "hat");
  gf_lease *held = lease(hats, "k");
  SAME(status_of(cache, keyed(GF_OP_PURGE_TAG, "hat")), GF_DONE);
  SAME(status_of(hats, leased(held, "old")), GF_STORED);
  gf_lease_free(held);
  CHECK(!is_hit("k"));
  filled(hats, "k");
  gf_free(hats);
  gf_free(cache);
}

static void while_a_group_is_reserved_nothing_of_it_is_served_or_stored(void) {
  opened_with_tags();
  gf_cache *hats = bearing(cache, "hat");
  filled(hats, "k");
  filled(cache, "no hat");
  gf_result result;
  SAME(done(cache, keyed(GF_OP_RESERVE_TAG, "hat"), &result), GF_RESERVED);
  SAME(result.detail, 0);
  CHECK(!is_hit("k") && is_hit("no hat"));
  gf_lease_free(load(hats, "other", GF_BYPASS_RESERVED));
  SAME(status_of(hats, with(keyed(GF_OP_SET, "k"), "set")), GF_BUSY);
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, result.reservation), "is not looked at")), GF_STORED);
  gf_result_free(&result);
  CHECK(!is_hit("k"));
  filled(hats, "k");
  gf_free(hats);
  gf_free(cache);
}

static void handles_are_freed_in_any_order_and_closed_together(void) {
  opened_with_tags();
  gf_cache *hats = bearing(cache, "hat"), *red_hats = bearing(hats, "red");
  gf_free(hats);
  filled(red_hats, "k");
  SAME(gf_close(red_hats, 20000), GF_DONE);
  gf_result result;
  SAME(gf_get(cache, text("k"), &result), GF_E_SHUT_DOWN);
  gf_result_free(&result);
  gf_op op = keyed(GF_OP_GET, "k");
  gf_queue *queue = gf_queue_new();
  SAME(gf_submit(cache, queue, &op, 1, sizeof op, NULL), GF_E_SHUT_DOWN);
  gf_queue_free(queue);
  gf_free(cache);
  SAME(gf_get(red_hats, text("k"), &result), GF_E_SHUT_DOWN);
  gf_result_free(&result);
  gf_free(red_hats);

  opened_with_tags();
  hats = bearing(cache, "hat");
  gf_free(cache);
  SAME(gf_set(hats, text("k"), entry("v"), &result), GF_E_SHUT_DOWN);
  gf_result_free(&result);
  gf_free(hats);
}

static void not_tagged(const gf_cache *of, const gf_slice *tags, size_t count, const char *field) {
  gf_cache *none = (gf_cache *)&none; /* must be overwritten */
  gf_error *error = NULL;
  SAME(gf_tagged(of, tags, count, &none, &error), GF_E_INVALID);
  CHECK(none == NULL);
  REFUSED(error, GF_E_INVALID, field);
  gf_error_free(error);
  SAME(gf_tagged(of, tags, count, &none, NULL), GF_E_INVALID);
}

static void refused(gf_op op) {
  gf_result result;
  SAME(done(cache, op, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "tags");
  gf_result_free(&result);
}

static void bounds(void) {
  static uint8_t bytes[257];
  static char names[33][4];
  gf_slice tags[33], empty = {NULL, 0}, unreadable = {NULL, 1}, longest = {bytes, 256},
                     too_long = {bytes, 257}, everything = text("*");
  for (int i = 0; i < 33; i++) {
    snprintf(names[i], sizeof names[i], "t%d", i);
    tags[i] = text(names[i]);
  }
  opened_with_tags();
  gf_slice bad[] = {empty, unreadable, too_long, everything};
  for (size_t i = 0; i < 4; i++) not_tagged(cache, &bad[i], 1, "tags");
  not_tagged(cache, tags, 33, "tags");
  not_tagged(cache, NULL, 1, "tags");
  not_tagged(cache, tags, SIZE_MAX, "count");
  not_tagged(NULL, tags, 1, "cache");
  SAME(gf_tagged(cache, tags, 1, NULL, NULL), GF_E_INVALID);
  gf_cache *most = NULL, *same = NULL;
  tags[0] = longest;
  SAME(gf_tagged(cache, tags, 32, &most, NULL), GF_DONE);
  SAME(gf_tagged(most, tags, 32, &same, NULL), GF_DONE); /* twice is once */
  not_tagged(most, &tags[32], 1, "tags");
  filled(same, "k");
  SAME(status_of(cache, sized(keyed(GF_OP_PURGE_TAG, ""), bytes, 256)), GF_DONE);
  CHECK(!is_hit("k"));
  gf_free(same);
  gf_free(most);

  uint32_t ops[] = {GF_OP_RESERVE_TAG, GF_OP_PURGE_TAG};
  for (size_t i = 0; i < 2; i++) {
    refused(keyed(ops[i], ""));
    refused(sized(keyed(ops[i], ""), NULL, 1));
    refused(sized(keyed(ops[i], ""), bytes, 257));
  }
  if (way != CALLED) { /* all or none */
    gf_op both[] = {keyed(GF_OP_PURGE_TAG, "hat"), keyed(GF_OP_PURGE_TAG, "")};
    gf_error *error = NULL;
    SAME(gf_submit(cache, through, both, 2, sizeof *both, &error), GF_E_INVALID);
    REFUSED(error, GF_E_INVALID, "tags");
    gf_error_free(error);
  }
  gf_result result;
  SAME(gf_purge_tags(cache, NULL, 1, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "tags");
  gf_result_free(&result);
  SAME(gf_purge_all(NULL, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "cache");
  gf_result_free(&result);
  gf_free(cache);

  cache = opened_on(through, "memory://"); /* tags are off */
  not_tagged(cache, &longest, 1, "tags");
  for (size_t i = 0; i < 2; i++) refused(keyed(ops[i], "hat"));
  gf_free(cache);
}

int main(void) {
  void (*tests[])(void) = {a_purge_is_of_a_group_and_of_nothing_else,
                           what_was_loaded_across_a_purge_is_served_to_nobody,
                           while_a_group_is_reserved_nothing_of_it_is_served_or_stored,
                           handles_are_freed_in_any_order_and_closed_together, bounds};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    all_ways(tests[i]);
  }
  return 0;
}
