/* Every call and each of its outcomes that `memory://` has; those that need a network are in wire.c. */
#include "ways.h"

#include <time.h>

static gf_cache *cache;

static void sleep_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* A hit has this value, and no version. Returns its stamp. */
static uint64_t hit(const char *key, const char *value) {
  gf_result by_get, by_lookup;
  SAME(done(cache, keyed(GF_OP_GET, key), &by_get), GF_HIT);
  SAME(done(cache, keyed(GF_OP_LOOKUP, key), &by_lookup), GF_HIT);
  CHECK(holds(&by_get, value) && holds(&by_lookup, value));
  SAME(by_get.flags, 0);
  SAME(by_get.detail, 0);
  CHECK(by_get.stamp != 0 && by_get.stamp == by_lookup.stamp);
  uint64_t stamp = by_get.stamp;
  gf_result_free(&by_get);
  gf_result_free(&by_lookup);
  return stamp;
}

static void bypassed(const char *key, int32_t why) {
  gf_result result;
  SAME(done(cache, keyed(GF_OP_LOOKUP, key), &result), GF_BYPASS);
  SAME(result.detail, why);
  gf_result_free(&result);
}

static void refused_as_used(gf_op op, const char *field) {
  gf_result result;
  SAME(done(cache, op, &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, field);
  gf_result_free(&result);
}

static void fills(void) {
  SAME(status_of(cache, keyed(GF_OP_GET, "fills")), GF_MISS);
  gf_lease *first = lease(cache, "fills");
  SAME(status_of(cache, leased(first, "value")), GF_STORED);
  gf_result again;
  SAME(done(cache, leased(first, "value"), &again), GF_E_INVALID); /* used up */
  REFUSED(again.error, GF_E_INVALID, "lease");
  gf_result_free(&again);
  gf_lease_free(first);
  hit("fills", "value");

  /* A lease that is freed unused goes to the next. */
  gf_lease_free(lease(cache, "given back"));
  gf_lease_free(lease(cache, "given back"));

  gf_lease *empty = lease(cache, "empty");
  SAME(status_of(cache, leased(empty, "")), GF_STORED);
  gf_lease_free(empty);
  hit("empty", "");

  gf_result nothing;
  gf_lease *none = lease(cache, "nothing");
  gf_op fill = leased(none, "");
  fill.flags = GF_FLAG_NOTHING;
  SAME(status_of(cache, fill), GF_STORED);
  gf_lease_free(none);
  SAME(done(cache, keyed(GF_OP_LOOKUP, "nothing"), &nothing), GF_HIT);
  SAME(nothing.flags, GF_FLAG_NOTHING);
  CHECK(nothing.value.data == NULL && nothing.value.len == 0);
  gf_result_free(&nothing);
}

static void loads(void) {
  gf_lease *one = load(cache, "loads", 0);
  SAME(gf_lease_is_awaited(one), 0);
  SAME(status_of(cache, loaded(GF_OP_LOADED, one, "value")), GF_DONE);
  SAME(gf_lease_is_awaited(one), 0);
  gf_lease_free(one);
  hit("loads", "value");
  gf_result result;
  SAME(done(cache, keyed(GF_OP_LOAD, "loads"), &result), GF_HIT);
  CHECK(holds(&result, "value"));
  gf_result_free(&result);

  one = load(cache, "down", 0);
  SAME(done(cache, loaded(GF_OP_LOAD_FAILED, one, "why"), &result), GF_DONE);
  SAME(result.detail, 0); /* nobody waited */
  gf_result_free(&result);
  SAME(done(cache, loaded(GF_OP_LOADED, one, "value"), &result), GF_E_INVALID);
  REFUSED(result.error, GF_E_INVALID, "lease");
  gf_result_free(&result);
  gf_lease_free(one);

  one = load(cache, "down", 0);
  gf_op unstored = loaded(GF_OP_LOADED, one, "value");
  unstored.flags = GF_FLAG_UNSTORED;
  SAME(status_of(cache, unstored), GF_DONE);
  gf_lease_free(one);
  SAME(status_of(cache, keyed(GF_OP_GET, "down")), GF_MISS);

  /* Beside a writer it is loaded, and not stored. */
  gf_reservation *writer = reserve(cache, "down");
  one = load(cache, "down", GF_BYPASS_RESERVED);
  SAME(status_of(cache, loaded(GF_OP_LOADED, one, "value")), GF_DONE);
  gf_lease_free(one);
  one = load(cache, "down", GF_BYPASS_RESERVED);
  SAME(status_of(cache, leased(one, "value")), GF_REJECTED);
  gf_lease_free(one);
  gf_lease_free(load(cache, "down", GF_BYPASS_RESERVED)); /* given up */
  SAME(status_of(cache, keyed(GF_OP_GET, "down")), GF_MISS);
  gf_reservation_free(writer);

  static char large[3000001];
  memset(large, 'x', sizeof large - 1);
  /* What is too large is an outcome, and uses the handle up. */
  one = lease(cache, "large");
  SAME(status_of(cache, leased(one, large)), GF_TOO_LARGE);
  refused_as_used(leased(one, large), "lease");
  gf_lease_free(one);
  gf_reservation *changer = reserve(cache, "large");
  CHECK(gf_reservation_is_unused(changer));
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, changer), large)), GF_TOO_LARGE);
  CHECK(!gf_reservation_is_unused(changer) && !gf_reservation_is_unused(NULL));
  refused_as_used(with(reserved(GF_OP_COMMIT, changer), large), "reservation");
  gf_reservation_free(changer);
  gf_lease_free(lease(cache, "large")); /* both were given back */
  SAME(status_of(cache, with(keyed(GF_OP_SET, "large"), large)), GF_TOO_LARGE);
  /* It is loaded all the same. */
  one = load(cache, "large", 0);
  SAME(status_of(cache, loaded(GF_OP_LOADED, one, large)), GF_DONE);
  gf_lease_free(one);
  SAME(status_of(cache, keyed(GF_OP_GET, "large")), GF_MISS);

  /* The source's own answer, whatever the cache has. */
  gf_op unread = keyed(GF_OP_LOAD, "loads");
  unread.flags = GF_FLAG_UNREAD;
  SAME(done(cache, unread, &result), GF_LEASED);
  SAME(result.detail, 0);
  SAME(status_of(cache, loaded(GF_OP_LOADED, result.lease, "other")), GF_DONE);
  gf_result_free(&result);
  hit("loads", "value");

  gf_op strict = keyed(GF_OP_GET, "loads");
  strict.flags = GF_FLAG_STRICT;
  SAME(status_of(cache, strict), GF_HIT);
  strict.key = text("not there");
  SAME(status_of(cache, strict), GF_MISS);
}

static void versions(void) {
  gf_result result;
  gf_lease *one = lease(cache, "versions");
  SAME(status_of(cache, versioned(leased(one, "seven"), 7)), GF_STORED);
  gf_lease_free(one);
  SAME(done(cache, keyed(GF_OP_GET, "versions"), &result), GF_HIT);
  SAME(result.flags, GF_FLAG_VERSION);
  SAME(result.version, 7);
  gf_result_free(&result);
  /* A value that is at least that new stays; an older one goes, and an old fill stays out. */
  SAME(status_of(cache, versioned(keyed(GF_OP_INVALIDATE, "versions"), 7)), GF_DONE);
  SAME(status_of(cache, keyed(GF_OP_GET, "versions")), GF_HIT);
  SAME(status_of(cache, versioned(keyed(GF_OP_INVALIDATE, "versions"), 9)), GF_DONE);
  SAME(status_of(cache, keyed(GF_OP_GET, "versions")), GF_MISS);
  one = lease(cache, "versions");
  SAME(status_of(cache, versioned(leased(one, "eight"), 8)), GF_REJECTED);
  gf_lease_free(one);

  /* The source's order decides among crossing writers: the last to leave, with the newest, stores. */
  gf_reservation *a = reserve(cache, "crossing"), *b = reserve(cache, "crossing");
  SAME(status_of(cache, with(versioned(reserved(GF_OP_COMMIT, a), 1), "old")), GF_PURGED);
  SAME(status_of(cache, with(versioned(reserved(GF_OP_COMMIT, b), 2), "new")), GF_STORED);
  gf_reservation_free(a);
  gf_reservation_free(b);
  gf_reservation *c = reserve(cache, "crossing");
  SAME(status_of(cache, versioned(reserved(GF_OP_RELEASE, c), 3)), GF_PURGED);
  gf_reservation_free(c);
}

/* From the reserve on no fill of what was read before can store. */
static void a_crossing_writer_rejects_a_fill(void) {
  gf_lease *old = lease(cache, "crossed");
  gf_reservation *writer = reserve(cache, "crossed");
  gf_result rejected;
  SAME(done(cache, leased(old, "old"), &rejected), GF_REJECTED);
  SAME(rejected.detail, GF_REFUSED_GENERATION);
  bypassed("crossed", GF_BYPASS_RESERVED);
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, writer), "new")), GF_STORED);
  hit("crossed", "new");
  gf_lease_free(old);
  gf_reservation_free(writer);

  old = lease(cache, "invalidated");
  SAME(status_of(cache, keyed(GF_OP_INVALIDATE, "invalidated")), GF_DONE);
  SAME(status_of(cache, leased(old, "old")), GF_REJECTED);
  gf_lease_free(old);
}

/* What an operator asks about a key. */
static void inspections(void) {
  gf_result known;
  SAME(status_of(cache, keyed(GF_OP_INSPECT, "inspected")), GF_MISS);
  gf_reservation *writer = reserve(cache, "inspected");
  SAME(done(cache, keyed(GF_OP_INSPECT, "inspected"), &known), GF_DONE);
  char text[512] = "";
  CHECK(known.value.len < sizeof text);
  memcpy(text, known.value.data, known.value.len);
  CHECK(strstr(text, "\"isStored\":false") != NULL && strstr(text, "\"reservedMs\":[]") == NULL);
  gf_result_free(&known);
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, writer), "five!")), GF_STORED);
  SAME(done(cache, keyed(GF_OP_INSPECT, "inspected"), &known), GF_DONE);
  memset(text, 0, sizeof text);
  memcpy(text, known.value.data, known.value.len);
  CHECK(strstr(text, "\"valueBytes\":5") != NULL && strstr(text, "\"reservedMs\":[]") != NULL);
  gf_result_free(&known);
  gf_reservation_free(writer);
}

static void reservations(void) {
  SAME(status_of(cache, with(keyed(GF_OP_SET, "r"), "old")), GF_STORED);
  gf_reservation *one = reserve(cache, "r");
  SAME(status_of(cache, keyed(GF_OP_GET, "r")), GF_MISS); /* the value went first */
  SAME(status_of(cache, with(keyed(GF_OP_SET, "r"), "blind")), GF_BUSY);
  CHECK(gf_remaining_ms(one) > 5000 && gf_remaining_ms(one) <= 9000);
  gf_result renewed;
  SAME(done(cache, reserved(GF_OP_RENEW, one), &renewed), GF_DONE);
  CHECK(renewed.remaining_ms > 5000 && renewed.remaining_ms <= 9000);
  gf_result_free(&renewed);
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, one), "new")), GF_STORED);
  uint32_t uses[] = {GF_OP_COMMIT, GF_OP_RELEASE, GF_OP_ABORT, GF_OP_RENEW, GF_OP_SETTLED};
  for (int i = 0; i < 5; i++) {
    gf_result again;
    SAME(done(cache, reserved(uses[i], one), &again), GF_E_INVALID);
    REFUSED(again.error, GF_E_INVALID, "reservation");
    gf_result_free(&again);
  }
  gf_reservation_free(one);
  hit("r", "new");

  gf_reservation *a = reserve(cache, "r"), *b = reserve(cache, "r");
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, a), "a")), GF_PURGED);
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, b), "b")), GF_PURGED);
  gf_reservation_free(a);
  gf_reservation_free(b);
  SAME(status_of(cache, keyed(GF_OP_GET, "r")), GF_MISS);

  a = reserve(cache, "released");
  SAME(status_of(cache, reserved(GF_OP_RELEASE, a)), GF_PURGED);
  gf_reservation_free(a);
  gf_lease_free(lease(cache, "released"));

  a = reserve(cache, "aborted");
  SAME(status_of(cache, reserved(GF_OP_ABORT, a)), GF_DONE);
  gf_reservation_free(a);
  gf_lease_free(lease(cache, "aborted"));

  /* Only the caller knows what became of the source. */
  gf_reservation_free(reserve(cache, "left"));
  bypassed("left", GF_BYPASS_RESERVED);
}

static void blind(void) {
  SAME(status_of(cache, with(keyed(GF_OP_SET, "b"), "1")), GF_STORED);
  uint64_t seen = hit("b", "1");
  gf_op replace = with(keyed(GF_OP_REPLACE, "b"), "2");
  replace.stamp = seen;
  SAME(status_of(cache, replace), GF_STORED);
  SAME(status_of(cache, replace), GF_CONFLICT);
  CHECK(hit("b", "2") != seen);
  gf_op touch = keyed(GF_OP_TOUCH, "b");
  touch.ttl_ms = 60000;
  SAME(status_of(cache, touch), GF_DONE);
  touch.key = text("not there");
  SAME(status_of(cache, touch), GF_MISS);
  SAME(status_of(cache, keyed(GF_OP_INVALIDATE, "b")), GF_DONE);
  SAME(status_of(cache, keyed(GF_OP_GET, "b")), GF_MISS);
}

/* Bytes of every value there is, zeroes too, come back as they went. */
static void any_bytes(void) {
  static uint8_t bytes[70000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31);
  gf_op set = keyed(GF_OP_SET, "");
  set.key.data = bytes, set.key.len = 256;
  set.value.data = bytes, set.value.len = sizeof bytes;
  SAME(status_of(cache, set), GF_STORED);
  gf_result result;
  set.op = GF_OP_GET;
  SAME(done(cache, set, &result), GF_HIT);
  SAME(result.value.len, sizeof bytes);
  CHECK(memcmp(result.value.data, bytes, sizeof bytes) == 0);
  gf_result_free(&result);
  set.key.len = 255;
  SAME(status_of(cache, set), GF_MISS);
}

/* It serves once a heartbeat came by in the stream of changes, and not before. */
static void gated(void) {
  gf_cache *gate = opened_on(through, "memory://?stream_bound=1h");
  SAME(status_of(gate, with(keyed(GF_OP_SET, "k"), "v")), GF_STORED);
  SAME(status_of(gate, keyed(GF_OP_LOOKUP, "k")), GF_BYPASS);
  gf_result beat;
  SAME(done(gate, keyed(GF_OP_BEAT, ""), &beat), GF_DONE);
  SAME(beat.remaining_ms, 3600000);
  gf_op heard = keyed(GF_OP_HEARD, "");
  heard.stamp = beat.stamp;
  SAME(status_of(gate, heard), GF_DONE);
  SAME(status_of(gate, keyed(GF_OP_LOOKUP, "k")), GF_HIT);
  gf_free(gate);
}

static void diagnosed(void) {
  gf_result result;
  SAME(status_of(cache, keyed(GF_OP_READY, "")), GF_DONE);
  SAME(done(cache, keyed(GF_OP_DIAGNOSE, ""), &result), GF_DONE);
  CHECK(result.value.len > 12 && memcmp(result.value.data, "{\"findings\":", 12) == 0);
  gf_result_free(&result);
}

static void every_outcome(void) {
  gated();
  cache = opened_on(through, "memory://?ttl=5m&wait=10s");
  fills();
  loads();
  versions();
  a_crossing_writer_rejects_a_fill();
  reservations();
  inspections();
  blind();
  any_bytes();
  diagnosed();
  gf_free(cache);
}

static void a_slow_fill_is_bypassed(void) {
  cache = opened_on(through, "memory://?wait=20ms");
  gf_lease *held = lease(cache, "slow");
  bypassed("slow", GF_BYPASS_SLOW);
  gf_lease_free(held);
  gf_free(cache);
}

static void a_late_renew_has_lost(void) {
  cache = opened_on(through, "memory://?reservation_time=100ms&reservation_margin=10ms");
  gf_reservation *late = reserve(cache, "late");
  sleep_ms(150);
  SAME(gf_remaining_ms(late), 0);
  gf_result lost;
  SAME(done(cache, reserved(GF_OP_RENEW, late), &lost), GF_LOST);
  SAME(lost.remaining_ms, 0);
  gf_result_free(&lost);
  SAME(status_of(cache, reserved(GF_OP_RELEASE, late)), GF_PURGED);
  gf_reservation_free(late);
  gf_free(cache);
}

static void many(void) {
  cache = opened_on(through, "memory://?ttl=5m");
  gf_result results[5], result;
  SAME(gf_set(cache, text("hit"), entry("v"), &result), GF_STORED);
  gf_lease *held = lease(cache, "led");
  gf_reservation *writer = reserve(cache, "written");
  gf_slice keys[] = {text("hit"), text("led"), text("written"), text("free"), text("free")};
  SAME(gf_lookup_many(cache, keys, 5, results, sizeof *results), GF_DONE);
  SAME(results[0].status, GF_HIT);
  CHECK(holds(&results[0], "v"));
  SAME(results[1].status, GF_PENDING);
  SAME(results[2].status, GF_BYPASS);
  SAME(results[2].detail, GF_BYPASS_RESERVED);
  SAME(results[3].status, GF_LEASED);
  SAME(results[4].status, GF_PENDING);
  gf_lease *taken = results[3].lease;
  results[3].lease = NULL; /* the caller's now */
  gf_results_free(results, 5);
  SAME(gf_fill(cache, taken, entry("v"), NULL), GF_STORED);
  SAME(gf_lookup_many(cache, keys + 3, 2, results, sizeof *results), GF_DONE);
  SAME(results[0].status, GF_HIT);
  SAME(results[1].status, GF_HIT);
  gf_results_free(results, 2);
  SAME(gf_lookup_many(cache, NULL, 0, NULL, sizeof *results), GF_DONE);
  gf_lease_free(taken);
  gf_lease_free(held);
  gf_reservation_free(writer);
  gf_free(cache);
}

/* A value of which all but a few seconds are over: it is due, and nothing is waited for. Its stamp, or 0. */
static uint64_t due(const char *key) {
  gf_op brief = keyed(GF_OP_TOUCH, key);
  gf_result by_get, by_load;
  brief.ttl_ms = 5000;
  SAME(status_of(cache, brief), GF_DONE);
  SAME(done(cache, keyed(GF_OP_GET, key), &by_get), GF_HIT);
  SAME(done(cache, keyed(GF_OP_LOAD, key), &by_load), GF_HIT);
  SAME(by_get.flags, by_load.flags);
  uint64_t stamp = by_get.flags & GF_FLAG_DUE ? by_get.stamp : 0;
  gf_result_free(&by_get);
  gf_result_free(&by_load);
  return stamp;
}

static gf_op refresh(const char *key, uint64_t stamp) {
  gf_op op = keyed(GF_OP_REFRESH, key);
  op.stamp = stamp;
  return op;
}

static void loaded_anew(void) {
  gf_result granted, peeked;
  gf_stats stats;
  cache = opened_on(through, "memory://?ttl=5m&refresh_at=0.8");
  SAME(status_of(cache, with(keyed(GF_OP_SET, "k"), "old")), GF_STORED);
  uint64_t old = hit("k", "old"); /* its flags are 0 */
  SAME(due("k"), old);
  SAME(gf_peek(cache, text("k"), NULL, 0, &peeked, sizeof peeked), GF_HIT);
  SAME(peeked.flags, GF_FLAG_DUE);
  gf_result_free(&peeked);
  SAME(status_of(cache, refresh("k", old + 1)), GF_BUSY);
  SAME(done(cache, refresh("k", old), &granted), GF_LEASED);
  SAME(due("k"), 0); /* it is under way, and the value is served */
  SAME(status_of(cache, refresh("k", old)), GF_BUSY);
  SAME(gf_lease_is_awaited(granted.lease), 0);
  SAME(status_of(cache, leased(granted.lease, "new")), GF_STORED);
  gf_lease_free(granted.lease);
  uint64_t new = hit("k", "new");
  CHECK(new != old);
  SAME(due("k"), 0); /* it was loaded just now, whatever the store's clock says */

  /* A writer has come. */
  SAME(status_of(cache, with(keyed(GF_OP_SET, "other"), "old")), GF_STORED);
  SAME(done(cache, refresh("other", due("other")), &granted), GF_LEASED);
  gf_reservation_free(reserve(cache, "other"));
  SAME(status_of(cache, leased(granted.lease, "too late")), GF_REJECTED);
  gf_lease_free(granted.lease);
  bypassed("other", GF_BYPASS_RESERVED);

  /* As it is loaded for those who wait, of whom there are none; failed; given up. */
  const char *ends[] = {"loaded", "failed", "freed"};
  for (int i = 0; i < 3; i++) {
    SAME(status_of(cache, with(keyed(GF_OP_SET, ends[i]), "old")), GF_STORED);
    SAME(done(cache, refresh(ends[i], due(ends[i])), &granted), GF_LEASED);
    if (i == 0) SAME(status_of(cache, loaded(GF_OP_LOADED, granted.lease, "new")), GF_DONE);
    if (i == 1) SAME(status_of(cache, loaded(GF_OP_LOAD_FAILED, granted.lease, "why")), GF_DONE);
    gf_lease_free(granted.lease);
    SAME(due(ends[i]), 0);
    hit(ends[i], i == 0 ? "new" : "old");
  }
  stats.struct_size = sizeof stats;
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.refreshes, 5);
  SAME(stats.refreshed, 2);
  SAME(stats.refreshes_failed, 2);
  gf_free(cache);

  /* Nobody asked for it. */
  cache = opened_on(through, "memory://?ttl=5m");
  SAME(status_of(cache, with(keyed(GF_OP_SET, "k"), "old")), GF_STORED);
  SAME(due("k"), 0);
  SAME(status_of(cache, refresh("k", hit("k", "old"))), GF_BUSY);
  gf_free(cache);
}

static void last_known(const char *key, const char *value) {
  gf_result known;
  SAME(done(cache, keyed(GF_OP_LAST_KNOWN, key), &known), GF_STALE);
  CHECK(value == NULL || holds(&known, value));
  SAME(known.flags, value == NULL ? GF_FLAG_NOTHING : 0);
  CHECK(known.remaining_ms < 60000);
  gf_result_free(&known);
}

static void stale(void) {
  uint64_t soft = 99, hard = 99;
  gf_stats stats;
  cache = opened_on(through, "memory://?stale_for=1h&soft_timeout=20ms&hard_timeout=1500us");
  SAME(gf_load_times(cache, &soft, &hard), GF_DONE);
  SAME(soft, 20);
  SAME(hard, 2);
  SAME(gf_load_times(cache, NULL, NULL), GF_DONE);
  SAME(gf_load_times(NULL, &soft, &hard), GF_E_INVALID);
  SAME(status_of(cache, keyed(GF_OP_LAST_KNOWN, "k")), GF_MISS);
  gf_lease *read = load(cache, "k", 0);
  SAME(status_of(cache, loaded(GF_OP_LOADED, read, "old")), GF_DONE);
  gf_lease_free(read);
  SAME(status_of(cache, keyed(GF_OP_INVALIDATE, "k")), GF_DONE);
  last_known("k", "old");
  SAME(status_of(cache, keyed(GF_OP_GET, "k")), GF_MISS); /* it is no hit */
  gf_lease *failed = load(cache, "k", 0);
  SAME(status_of(cache, loaded(GF_OP_LOAD_FAILED, failed, "why")), GF_DONE);
  gf_lease_free(failed);
  last_known("k", "old");
  gf_reservation *writer = reserve(cache, "k");
  gf_lease *bypass = load(cache, "k", GF_BYPASS_RESERVED);
  SAME(status_of(cache, loaded(GF_OP_LOADED, bypass, "newer")), GF_DONE);
  gf_lease_free(bypass);
  last_known("k", "newer"); /* also what is not stored is known */
  SAME(status_of(cache, with(reserved(GF_OP_COMMIT, writer), "newest")), GF_STORED);
  gf_reservation_free(writer);
  SAME(status_of(cache, keyed(GF_OP_INVALIDATE, "k")), GF_DONE);
  last_known("k", "newest");
  gf_op nothing = keyed(GF_OP_SET, "nothing");
  nothing.flags = GF_FLAG_NOTHING;
  SAME(status_of(cache, nothing), GF_STORED);
  last_known("nothing", NULL);
  stats.struct_size = sizeof stats;
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.stale_served, 5);
  gf_free(cache);

  cache = opened_on(through, "memory://?soft_timeout=20ms"); /* nobody asked for it */
  SAME(gf_load_times(cache, &soft, &hard), GF_DONE);
  SAME(soft, 0);
  SAME(hard, 0);
  SAME(status_of(cache, with(keyed(GF_OP_SET, "k"), "v")), GF_STORED);
  SAME(status_of(cache, keyed(GF_OP_LAST_KNOWN, "k")), GF_MISS);
  gf_free(cache);
}

static void counted(void) {
  struct { gf_stats stats; uint64_t behind; } room;
  gf_stats *stats = &room.stats;
  cache = opened_on(through, "memory://");
  gf_lease *held = lease(cache, "k");
  SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED);
  SAME(gf_get(cache, text("k"), NULL), GF_HIT);
  gf_lease_free(held);
  gf_reservation *one = reserve(cache, "k");
  SAME(gf_commit(cache, one, entry("w"), NULL), GF_STORED);
  gf_reservation_free(one);
  gf_reservation_free(reserve(cache, "k"));
  memset(&room, 0x5a, sizeof room);
  stats->struct_size = sizeof *stats;
  SAME(gf_stats_read(cache, stats), GF_DONE);
  SAME(stats->struct_size, sizeof *stats);
  SAME(stats->hits, 1);
  CHECK(stats->misses >= 1);
  SAME(stats->shared, 0);
  SAME(stats->leases, 1);
  SAME(stats->leases_returned, 0);
  SAME(stats->bypasses, 0);
  SAME(stats->fills_stored, 1);
  SAME(stats->fills_rejected, 0);
  SAME(stats->oversized, 0);
  SAME(stats->reservations, 2);
  SAME(stats->reservations_left, 1);
  SAME(stats->commits_stored, 1);
  SAME(stats->purges, 0);
  SAME(stats->in_doubt, 0);
  SAME(stats->failures, 0);
  SAME(room.behind, 0x5a5a5a5a5a5a5a5a);
  /* An older program has fewer counters, and gets no more. */
  memset(&room, 0x5a, sizeof room);
  stats->struct_size = 16;
  SAME(gf_stats_read(cache, stats), GF_DONE);
  SAME(stats->struct_size, 16);
  SAME(stats->hits, 1);
  SAME(stats->misses, 0x5a5a5a5a5a5a5a5a);
  uint64_t sizes[] = {0, 7, 9, sizeof *stats + 8, UINT64_MAX};
  for (int i = 0; i < 5; i++) {
    stats->struct_size = sizes[i];
    SAME(gf_stats_read(cache, stats), GF_E_ABI);
    SAME(stats->misses, 0x5a5a5a5a5a5a5a5a);
  }
  SAME(gf_stats_read(cache, NULL), GF_E_INVALID);
  SAME(gf_stats_read(NULL, stats), GF_E_INVALID);
  gf_free(cache);
}

int main(void) {
  void (*tests[])(void) = {every_outcome, a_slow_fill_is_bypassed, a_late_renew_has_lost, many,
                           loaded_anew, stale, counted};
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    all_ways(tests[i]);
  }
  return 0;
}
