/* The keys of one transaction: a reservation of several. */
#include "ways.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int is_short;
static gf_cache *cache;

static void opened_anew(void) { cache = opened_on(through, "memory://?reservation_time=10m"); }

static int is_reserved(const char *key) {
  gf_result result;
  int32_t status = done(cache, keyed(GF_OP_LOOKUP, key), &result);
  CHECK(status != GF_BYPASS || result.detail == GF_BYPASS_RESERVED);
  gf_result_free(&result); /* a lease is given back */
  return status == GF_BYPASS;
}

static int is(gf_slice key, const char *expected) {
  return key.len == strlen(expected) && (key.len == 0 || memcmp(key.data, expected, key.len) == 0);
}

static gf_reservation *none_yet(void) {
  gf_reservation *reservation = NULL;
  gf_error *error = (gf_error *)&reservation; /* must be overwritten */
  SAME(gf_reservation_new(cache, &reservation, &error), GF_DONE);
  CHECK(reservation != NULL && error == NULL);
  SAME(gf_reservation_count(reservation), 0);
  CHECK(gf_remaining_ms(reservation) == UINT64_MAX);
  SAME(gf_unsettled_ms(reservation), 0);
  return reservation;
}

static void name(gf_reservation *reservation, const char *key) {
  gf_slice keys[] = {text(key)};
  SAME(gf_name(reservation, keys, 1, NULL), GF_DONE);
}

/* All of these, in one call or named and submitted. */
static gf_reservation *reserve_all(const gf_slice *keys, size_t count, uint32_t flags) {
  gf_result result;
  if (way == CALLED) {
    SAME(gf_reserve_many(cache, keys, count, flags, &result), GF_RESERVED);
    SAME(result.detail, 0);
    CHECK(result.remaining_ms > 0 && result.remaining_ms <= 600000);
    return result.reservation;
  }
  gf_reservation *reservation = none_yet();
  SAME(gf_name(reservation, keys, count, NULL), GF_DONE);
  gf_op op = reserved(GF_OP_RESERVE_MANY, reservation);
  op.flags = flags;
  SAME(done(cache, op, &result), GF_DONE);
  SAME(result.detail, 0);
  CHECK(result.remaining_ms > 0 && result.remaining_ms <= 600000);
  return reservation;
}

static void value(gf_reservation *reservation, const char *key, const char *bytes) {
  gf_error *error = (gf_error *)&cache; /* must be overwritten */
  SAME(gf_value_of(reservation, text(key), entry(bytes), &error), GF_DONE);
  CHECK(error == NULL);
}

static void told(const gf_reservation *reservation, size_t index, const char *key, int32_t status) {
  gf_slice named = {NULL, 7};
  SAME(gf_told(reservation, index, &named), status);
  CHECK(is(named, key));
  SAME(gf_told(reservation, index, NULL), status);
}

static void holds_now(const char *key, const char *bytes) {
  gf_result result;
  SAME(done(cache, keyed(GF_OP_GET, key), &result), bytes == NULL ? GF_MISS : GF_HIT);
  CHECK(bytes == NULL || holds(&result, bytes));
  gf_result_free(&result);
}

static void all_are_held_until_the_source_was_changed_and_each_is_told_of(void) {
  opened_anew();
  gf_slice keys[] = {text("b"), text("a"), text("b"), text("c"), text("same"), text("newer")};
  SAME(status_of(cache, with(keyed(GF_OP_SET, "a"), "old")), GF_STORED);
  gf_reservation *all = reserve_all(keys, COUNT(keys), 0);
  SAME(gf_reservation_count(all), 5);
  CHECK(is_reserved("a") && is_reserved("b") && is_reserved("c"));
  uint64_t least = gf_remaining_ms(all);
  CHECK(least > 0 && least <= 600000);
  SAME(status_of(cache, reserved(GF_OP_RENEW, all)), GF_DONE);
  CHECK(gf_remaining_ms(all) + 5 >= least);
  SAME(status_of(cache, reserved(GF_OP_SETTLED, all)), GF_DONE);
  /* Another writer crosses one of them, and that one alone is empty. */
  gf_reservation *other = reserve(cache, "c");
  told(all, 0, "b", GF_RESERVED);
  value(all, "a", "not the last word");
  value(all, "a", "new");
  value(all, "c", "crossed");
  value(all, "same", "is taken back");
  SAME(gf_unchanged_of(all, text("same"), NULL), GF_DONE);
  SAME(gf_version_of(all, text("newer"), 7, NULL), GF_DONE);
  SAME(gf_version_of(all, text("newer"), UINT64_MAX, NULL), GF_E_INVALID);
  SAME(gf_unchanged_of(all, text("no such"), NULL), GF_E_INVALID);
  SAME(gf_unchanged_of(NULL, text("same"), NULL), GF_E_INVALID);
  SAME(gf_reservation_is_unused(all), 1);
  SAME(status_of(cache, reserved(GF_OP_COMMIT_MANY, all)), GF_DONE);
  SAME(gf_reservation_is_unused(all), 0);
  told(all, 0, "b", GF_PURGED);
  told(all, 1, "a", GF_STORED);
  told(all, 2, "c", GF_PURGED);
  told(all, 3, "same", GF_DONE);
  told(all, 4, "newer", GF_PURGED);
  told(all, 5, "", GF_MISS);
  CHECK(!is_reserved("same") && !is_reserved("newer"));
  SAME(status_of(cache, reserved(GF_OP_ABORT, other)), GF_DONE);
  gf_reservation_free(other);
  holds_now("a", "new");
  holds_now("b", NULL);
  CHECK(!is_reserved("b") && !is_reserved("c"));
  /* It was used up. */
  uint32_t ops[] = {GF_OP_COMMIT_MANY, GF_OP_RELEASE, GF_OP_ABORT, GF_OP_RENEW, GF_OP_SETTLED, GF_OP_RESERVE_MANY};
  for (size_t i = 0; i < COUNT(ops); i++) {
    gf_result result;
    SAME(done(cache, reserved(ops[i], all), &result), GF_E_INVALID);
    REFUSED(result.error, GF_E_INVALID, "reservation");
    gf_result_free(&result);
  }
  SAME(gf_value_of(all, text("a"), entry("late"), NULL), GF_E_INVALID);
  SAME(gf_name(all, keys, 1, NULL), GF_E_INVALID);
  gf_reservation_free(all);
  gf_free(cache);
}

static void keys_that_become_known_on_the_way_are_added(void) {
  opened_anew();
  gf_reservation *all = none_yet();
  gf_result result;
  SAME(done(cache, reserved(GF_OP_RESERVE_MANY, all), &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "keys");
  gf_result_free(&result);
  name(all, "first");
  SAME(gf_reservation_count(all), 0);
  CHECK(!is_reserved("first"));
  SAME(status_of(cache, reserved(GF_OP_RESERVE_MANY, all)), GF_DONE);
  name(all, "first");
  name(all, "second");
  name(all, "second");
  gf_op settled = reserved(GF_OP_RESERVE_MANY, all);
  settled.flags = GF_FLAG_SETTLED;
  SAME(status_of(cache, settled), GF_DONE);
  SAME(status_of(cache, reserved(GF_OP_RESERVE_MANY, all)), GF_DONE); /* there is nothing more */
  SAME(gf_reservation_count(all), 2);
  CHECK(is_reserved("first") && is_reserved("second"));
  gf_slice third[] = {text("third")};
  SAME(gf_reserve_more(cache, all, third, 1, 0, &result), GF_DONE);
  CHECK(result.remaining_ms > 0 && result.reservation == NULL);
  told(all, 2, "third", GF_RESERVED);
  SAME(status_of(cache, reserved(GF_OP_RELEASE, all)), GF_PURGED);
  for (size_t i = 0; i < 3; i++) SAME(gf_told(all, i, NULL), GF_PURGED);
  CHECK(!is_reserved("first") && !is_reserved("third"));
  gf_reservation_free(all);
  gf_free(cache);
}

static void what_is_rolled_back_gives_all_back_and_what_is_freed_leaves_all(void) {
  opened_anew();
  gf_slice keys[] = {text("a"), text("b")};
  gf_reservation *all = reserve_all(keys, 2, GF_FLAG_SETTLED);
  value(all, "a", "is not stored");
  SAME(status_of(cache, reserved(GF_OP_ABORT, all)), GF_DONE);
  told(all, 1, "b", GF_DONE);
  gf_reservation_free(all);
  CHECK(!is_reserved("a") && !is_reserved("b"));
  holds_now("a", NULL);

  all = reserve_all(keys, 2, 0);
  value(all, "a", "is not stored");
  gf_reservation_free(all);
  CHECK(is_reserved("a") && is_reserved("b"));
  gf_stats stats = {.struct_size = sizeof stats};
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.reservations_left, 2);
  gf_free(cache);
}

static void where_one_is_not_reserved_none_is(void) {
  static char names[1200][1000];
  static gf_slice keys[1200];
  for (int i = 0; i < 1200; i++) {
    memset(names[i], 'k', sizeof names[i]);
    names[i][snprintf(names[i], sizeof names[i], "%d", i)] = ' ';
    keys[i].data = (const uint8_t *)names[i], keys[i].len = sizeof names[i];
  }
  cache = opened_on(through, "memory://?max_bytes=1MiB&max_value_bytes=64KiB&attempts=1&reservation_time=10m");
  gf_reservation *held = reserve(cache, "held");
  gf_reservation *all = none_yet();
  name(all, "kept");
  SAME(status_of(cache, reserved(GF_OP_RESERVE_MANY, all)), GF_DONE);
  SAME(gf_name(all, keys, 1200, NULL), GF_DONE);
  gf_result result;
  SAME(done(cache, reserved(GF_OP_RESERVE_MANY, all), &result), GF_E_STORE);
  CHECK(strstr(result.error->message, "key \"") != NULL);
  gf_result_free(&result);
  /* Of those none is held, and the others still are; what was named is not any more. */
  SAME(gf_reservation_count(all), 1);
  CHECK(is_reserved("kept") && is_reserved("held"));
  SAME(status_of(cache, reserved(GF_OP_RESERVE_MANY, all)), GF_DONE);
  SAME(gf_reservation_count(all), 1);
  SAME(status_of(cache, reserved(GF_OP_COMMIT_MANY, all)), GF_DONE);
  SAME(gf_told(all, 0, NULL), GF_PURGED);
  gf_reservation_free(all);
  if (way == CALLED) {
    SAME(gf_reserve_many(cache, keys, 1200, 0, &result), GF_E_STORE);
    CHECK(result.reservation == NULL);
    gf_result_free(&result);
  }
  gf_stats stats = {.struct_size = sizeof stats};
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.reservations_left, 0);
  SAME(status_of(cache, reserved(GF_OP_RELEASE, held)), GF_PURGED);
  gf_reservation_free(held);
  gf_free(cache);
}

static void not_named(gf_reservation *reservation, const gf_slice *keys, size_t count, const char *field) {
  gf_error *error = NULL;
  SAME(gf_name(reservation, keys, count, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, field);
  gf_error_free(error);
  gf_result result;
  SAME(gf_reserve_many(cache, keys, count, 0, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, field);
  gf_result_free(&result);
}

static void not_said(gf_reservation *reservation, const char *key, gf_entry fresh, const char *field) {
  gf_error *error = NULL;
  SAME(gf_value_of(reservation, text(key), fresh, &error), GF_E_INVALID);
  REFUSED(error, GF_E_INVALID, field);
  gf_error_free(error);
}

static void what_is_out_of_bounds_is_named_before_anything_is_sent(void) {
  static gf_slice keys[10001];
  static uint16_t numbers[10001];
  for (uint16_t i = 0; i < 10001; i++) {
    numbers[i] = i;
    keys[i].data = (const uint8_t *)&numbers[i], keys[i].len = sizeof numbers[i];
  }
  opened_anew();
  gf_reservation *all = none_yet();
  gf_slice unreadable[] = {text("a"), {NULL, 1}}, empty[] = {text("a"), {NULL, 0}};
  not_named(all, keys, 10001, "keys");
  not_named(all, NULL, 1, "keys");
  not_named(all, unreadable, 2, "keys");
  not_named(all, empty, 2, "key");
  not_named(all, keys, SIZE_MAX, "count");
  gf_result result;
  SAME(gf_reserve_many(cache, keys, 0, 0, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "keys");
  gf_result_free(&result);
  SAME(gf_reserve_many(cache, keys, 1, 1u << 30, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "flags");
  gf_result_free(&result);
  SAME(gf_reserve_many(NULL, keys, 1, 0, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "cache");
  gf_result_free(&result);
  SAME(gf_reservation_new(cache, NULL, NULL), GF_E_INVALID);
  CHECK(!is_reserved("a"));
  if (way == CALLED && !drives && !is_short) { /* they are many */
    SAME(gf_name(all, keys, 10000, NULL), GF_DONE);
    SAME(gf_name(all, keys, 10000, NULL), GF_DONE); /* twice is once */
    SAME(gf_name(all, &keys[10000], 1, NULL), GF_E_INVALID);
    SAME(status_of(cache, reserved(GF_OP_RESERVE_MANY, all)), GF_DONE);
    SAME(gf_reservation_count(all), 10000);
    SAME(gf_name(all, &keys[10000], 1, NULL), GF_E_INVALID);
  }
  SAME(status_of(cache, reserved(GF_OP_ABORT, all)), GF_DONE);
  gf_reservation_free(all);

  gf_slice both[] = {text("a"), text("b")};
  all = reserve_all(both, 2, 0);
  gf_entry versioned_entry = entry("v"), long_lived = entry("v"), flagged = entry("v");
  versioned_entry.version = UINT64_MAX, versioned_entry.flags = GF_FLAG_VERSION;
  long_lived.ttl_ms = UINT64_MAX;
  flagged.flags = GF_FLAG_STRICT;
  not_said(all, "other", entry("v"), "key");
  not_said(all, "a", versioned_entry, "version");
  not_said(all, "a", long_lived, "ttl");
  not_said(all, "a", flagged, "flags");
  not_said(NULL, "a", entry("v"), "reservation");
  /* A value without its key, and a version of all, are of one key. */
  SAME(done(cache, with(reserved(GF_OP_COMMIT, all), "v"), &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "reservation");
  gf_result_free(&result);
  SAME(done(cache, versioned(reserved(GF_OP_RELEASE, all), 7), &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "version");
  gf_result_free(&result);
  SAME(status_of(cache, reserved(GF_OP_RELEASE, all)), GF_PURGED);
  gf_reservation_free(all);

  gf_reservation *one = reserve(cache, "one");
  uint32_t ops[] = {GF_OP_COMMIT_MANY, GF_OP_RESERVE_MANY};
  for (size_t i = 0; i < COUNT(ops); i++) {
    SAME(done(cache, reserved(ops[i], one), &result), GF_E_INVALID);
    REFUSED(result.error, GF_E_INVALID, "reservation");
    gf_result_free(&result);
  }
  not_said(one, "one", entry("v"), "reservation");
  SAME(gf_reservation_count(one), 0);
  SAME(gf_reservation_count(NULL), 0);
  SAME(gf_told(NULL, 0, NULL), GF_MISS);
  SAME(status_of(cache, reserved(GF_OP_ABORT, one)), GF_DONE);
  gf_reservation_free(one);
  gf_free(cache);
}

/* With any argument not as many keys are reserved as there may be. */
int main(int argc, char **argv) {
  (void)argv;
  is_short = argc > 1;
  void (*tests[])(void) = {all_are_held_until_the_source_was_changed_and_each_is_told_of,
                           keys_that_become_known_on_the_way_are_added,
                           what_is_rolled_back_gives_all_back_and_what_is_freed_leaves_all,
                           where_one_is_not_reserved_none_is,
                           what_is_out_of_bounds_is_named_before_anything_is_sent};
  for (size_t i = 0; i < COUNT(tests); i++) {
    all_ways(tests[i]);
  }
  return 0;
}
