/* Exactly one completion for each accepted operation, none for a refused one; every waiter comes back. */
#include "check.h"
#include "sign.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

static gf_op keyed(uint32_t what, const char *key, uint64_t user_data) {
  gf_op op;
  memset(&op, 0, sizeof op);
  op.op = what;
  op.key = text(key);
  op.user_data = user_data;
  return op;
}

static gf_lease *lease(const gf_cache *cache, const char *key) {
  gf_result result;
  SAME(gf_lookup(cache, text(key), &result), GF_LEASED);
  return result.lease;
}

/* A lookup of a leased key is under way until the lease is used: so calls in flight are forced. */
enum { FLIGHTS = 100 };

static void submit_flights(const gf_cache *cache, const gf_queue *queue, const char *key) {
  gf_op ops[FLIGHTS];
  gf_error *error = NULL;
  for (int i = 0; i < FLIGHTS; i++) ops[i] = keyed(GF_OP_LOOKUP, key, (uint64_t)i);
  SAME(gf_submit(cache, queue, ops, FLIGHTS, sizeof *ops, &error), GF_DONE);
}

/* Takes all, in small batches, and counts each number once. */
static void all_complete_then(const gf_queue *queue, int expected_count, int32_t expected, int32_t then) {
  int seen[FLIGHTS] = {0};
  for (int taken = 0; taken < expected_count;) {
    gf_result results[7];
    size_t count;
    SAME(gf_queue_wait(queue, results, 7, sizeof *results, 20000, &count), GF_DONE);
    CHECK(count >= 1 && count <= 7);
    for (size_t i = 0; i < count; i++) {
      SAME(results[i].status, expected);
      CHECK(results[i].user_data < FLIGHTS);
      SAME(seen[results[i].user_data]++, 0);
    }
    gf_results_free(results, count);
    taken += (int)count;
  }
  gf_result more;
  size_t count;
  SAME(gf_queue_wait(queue, &more, 1, sizeof more, 0, &count), then);
}

static void all_complete(const gf_queue *queue, int expected_count, int32_t expected) {
  all_complete_then(queue, expected_count, expected, GF_TIMED_OUT);
}

static int64_t pending(void) {
  gf_live live;
  gf_live_count(&live);
  return live.pending;
}

static void batch(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_lease *held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  gf_result none;
  size_t count;
  SAME(gf_queue_wait(queue, &none, 1, sizeof none, 10, &count), GF_TIMED_OUT);
  SAME(pending(), FLIGHTS);
  SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED);
  all_complete(queue, FLIGHTS, GF_HIT);
  SAME(pending(), 0);
  submit_flights(cache, queue, "k"); /* hits, done at once */
  all_complete(queue, FLIGHTS, GF_HIT);
  gf_lease_free(held);
  gf_queue_free(queue);
  gf_free(cache);
}

static gf_result one(const gf_queue *queue, int32_t expected) {
  gf_result result;
  size_t count;
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, expected);
  return result;
}

/* Of three who load, the first fails before the others asked: the second loads, and its failure is the third's too. */
static void a_load_that_fails_is_shared(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://");
  gf_result first, failed;
  SAME(gf_load(cache, text("k"), &first), GF_LEASED);
  SAME(gf_lease_is_awaited(first.lease), 0);
  gf_op ops[2] = {keyed(GF_OP_LOAD, "k", 2), keyed(GF_OP_LOAD, "k", 3)};
  SAME(gf_submit(cache, queue, ops, 2, sizeof *ops, NULL), GF_DONE);
  SAME(gf_lease_is_awaited(first.lease), 1);
  SAME(gf_load_failed(cache, first.lease, text("too early"), &failed), GF_DONE);
  SAME(failed.detail, 0);
  gf_result second = one(queue, GF_LEASED);
  SAME(gf_load_failed(cache, second.lease, text("why"), &failed), GF_DONE);
  SAME(failed.detail, 1);
  gf_result third = one(queue, GF_LOAD_FAILED);
  CHECK(holds(&third, "why"));
  gf_result_free(&first);
  gf_result_free(&second);
  gf_result_free(&third);
  gf_queue_free(queue);
  gf_free(cache);
}

/* What the operations point to may be gone when submit returns. */
static void inputs_are_copied(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://");
  gf_result result;
  size_t count;
  char *key = malloc(3), *value = malloc(5);
  memcpy(key, "key", 3), memcpy(value, "value", 5);
  gf_op *set = calloc(1, sizeof *set);
  set->op = GF_OP_SET;
  set->key.data = (uint8_t *)key, set->key.len = 3;
  set->value.data = (uint8_t *)value, set->value.len = 5;
  SAME(gf_submit(cache, queue, set, 1, sizeof *set, NULL), GF_DONE);
  memset(key, 'x', 3), memset(value, 'x', 5);
  free(key), free(value), free(set);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, GF_STORED);
  SAME(gf_get(cache, text("key"), &result), GF_HIT);
  CHECK(holds(&result, "value"));
  gf_result_free(&result);

  /* Handles, too. */
  gf_lease *held = lease(cache, "filled");
  gf_op fill = keyed(GF_OP_FILL, "", 1);
  fill.lease = held, fill.value = text("v");
  SAME(gf_submit(cache, queue, &fill, 1, sizeof fill, NULL), GF_DONE);
  gf_lease_free(held);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, GF_STORED);
  SAME(gf_reserve(cache, text("written"), &result), GF_RESERVED);
  gf_op commit = keyed(GF_OP_COMMIT, "", 2);
  commit.reservation = result.reservation, commit.value = text("v");
  SAME(gf_submit(cache, queue, &commit, 1, sizeof commit, NULL), GF_DONE);
  gf_result_free(&result);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, GF_STORED);
  gf_queue_free(queue);
  gf_free(cache);
}

/* The batch was accepted, so the second use is a completion of its own. */
/* Two with one handle: the first stores, and the second is told that it was used up. */
static void the_first_uses_it_up(gf_cache *cache, gf_queue *queue, const gf_op ops[2]) {
  SAME(gf_submit(cache, queue, ops, 2, sizeof *ops, NULL), GF_DONE);
  for (int taken = 0; taken < 2; taken++) {
    gf_result result;
    size_t count;
    SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
    SAME(result.status, result.user_data == 0 ? GF_STORED : GF_E_INVALID);
    gf_result_free(&result);
  }
}

static void one_handle_twice_in_a_batch(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://");
  gf_lease *held = lease(cache, "k");
  gf_op ops[2] = {keyed(GF_OP_FILL, "", 0), keyed(GF_OP_FILL, "", 1)};
  ops[0].lease = ops[1].lease = held;
  the_first_uses_it_up(cache, queue, ops);
  gf_lease_free(held);
  gf_queue_free(queue);
  gf_free(cache);
}

/* What a batch uses up is used up for the rest of it. */
static void a_renew_after_a_commit_of_the_same_batch(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://");
  gf_result reserved;
  SAME(gf_reserve(cache, text("k"), &reserved), GF_RESERVED);
  gf_op ops[2] = {keyed(GF_OP_COMMIT, "", 0), keyed(GF_OP_RENEW, "", 1)};
  ops[0].reservation = ops[1].reservation = reserved.reservation;
  the_first_uses_it_up(cache, queue, ops);
  gf_result_free(&reserved);
  gf_queue_free(queue);
  gf_free(cache);
}

static void a_close_completes_what_is_in_flight(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_lease *held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  SAME(gf_close(cache, 10), GF_TIMED_OUT);
  all_complete(queue, FLIGHTS, GF_E_SHUT_DOWN);
  /* Once it has returned, nothing can be submitted any more. */
  gf_op fill = keyed(GF_OP_FILL, "", 1), get = keyed(GF_OP_GET, "k", 1);
  fill.lease = held;
  gf_error *error;
  SAME(gf_submit(cache, queue, &get, 1, sizeof get, &error), GF_E_SHUT_DOWN);
  gf_error_free(error);
  SAME(gf_submit(cache, queue, &fill, 1, sizeof fill, &error), GF_E_SHUT_DOWN);
  CHECK(strstr(error->message, "applied") == NULL);
  gf_error_free(error);
  SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED); /* it was not used up */
  all_complete(queue, 0, 0);
  gf_lease_free(held);
  gf_queue_free(queue);
  gf_free(cache);
}

static void freed_in_flight(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_lease *held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  gf_free(cache);
  all_complete(queue, FLIGHTS, GF_E_SHUT_DOWN);
  gf_lease_free(held);
  gf_queue_free(queue);
}

/* Leases, values and errors in a queue that nobody empties. */
static void a_queue_freed_with_completions_left(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_result found;
  SAME(gf_set(cache, text("hit"), entry("v"), NULL), GF_STORED);
  gf_op ops[3] = {keyed(GF_OP_GET, "hit", 0), keyed(GF_OP_LOOKUP, "leased", 1),
                  keyed(GF_OP_RESERVE, "reserved", 2)};
  SAME(gf_submit(cache, queue, ops, 3, sizeof *ops, NULL), GF_DONE);
  gf_live live;
  do gf_live_count(&live);
  while (live.values < 1 || live.leases < 1 || live.reservations < 1); /* all have completed */
  SAME(pending(), 3);
  gf_queue_free(queue);
  gf_free(cache);
  nothing_left();

  /* What completes after the queue was freed is given back at once. */
  queue = queue_new();
  cache = opened_on(queue, "memory://?wait=1m");
  gf_lease *held = lease(cache, "k");
  gf_op next = keyed(GF_OP_LOOKUP, "k", 1), other = keyed(GF_OP_LOOKUP, "k", 2);
  SAME(gf_submit(cache, queue, &next, 1, sizeof next, NULL), GF_DONE);
  SAME(gf_submit(cache, queue, &other, 1, sizeof other, NULL), GF_DONE);
  gf_queue_free(queue);
  gf_lease_free(held); /* goes to one of the two, and from there on to the other */
  SAME(gf_lookup(cache, text("k"), &found), GF_LEASED);
  gf_result_free(&found);
  gf_free(cache);
  nothing_left();
}

/* What need not wait is done at once, and leaves nothing in the queue; what must wait completes there. */
static void started(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_result result, none;
  size_t count;
  gf_op op = keyed(GF_OP_LOOKUP, "k", 7);
  gf_stats stats = {.struct_size = sizeof stats};
  SAME(gf_peek(cache, text("k"), NULL, 0, &result, sizeof result), GF_MISS);
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.hits + stats.misses, 0);
  SAME(gf_start(cache, queue, &op, sizeof op, &result, sizeof result), GF_LEASED);
  SAME(result.user_data, 7);
  gf_lease *held = result.lease;
  SAME(gf_start(cache, queue, &op, sizeof op, &result, sizeof result), GF_SUBMITTED);
  SAME(result.status, GF_SUBMITTED);
  SAME(pending(), 1);
  SAME(gf_queue_wait(queue, &none, 1, sizeof none, 5, &count), GF_TIMED_OUT);

  gf_op fill = keyed(GF_OP_FILL, "", 8);
  fill.lease = held, fill.value = text("v");
  SAME(gf_start(cache, queue, &fill, sizeof fill, &result, sizeof result), GF_STORED);
  SAME(result.user_data, 8);
  SAME(gf_start(cache, queue, &fill, sizeof fill, &result, sizeof result), GF_E_INVALID);
  gf_result_free(&result);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
  SAME(result.status, GF_HIT);
  SAME(result.user_data, 7);
  gf_result_free(&result);
  gf_lease_free(held);
  SAME(gf_start(cache, queue, &op, sizeof op, &result, sizeof result), GF_HIT);
  CHECK(holds(&result, "v"));
  gf_result_free(&result);

  /* A look is a hit, and counts as one; under a reservation there is nothing to be seen. */
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  uint64_t hits = stats.hits, misses = stats.misses;
  SAME(gf_peek(cache, text("k"), NULL, 0, &result, sizeof result), GF_HIT);
  SAME(result.status, GF_HIT);
  CHECK(holds(&result, "v"));
  gf_result_free(&result);
  /* A value that has room is put there, and nothing is to be freed. */
  uint8_t room[3] = {1, 2, 3};
  SAME(gf_peek(cache, text("k"), room, 1, &result, sizeof result), GF_HIT);
  CHECK(holds(&result, "v") && result.value.data == room && result.value.owner == NULL);
  CHECK(room[1] == 2);
  gf_live live;
  gf_live_count(&live);
  SAME(live.values, 0);
  SAME(gf_peek(cache, text("k"), room, 0, &result, sizeof result), GF_HIT);
  CHECK(holds(&result, "v") && result.value.data != room);
  gf_result_free(&result);
  SAME(gf_peek(cache, text("none"), NULL, 0, &result, sizeof result), GF_MISS);
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.hits, hits + 3);
  SAME(stats.misses, misses);

  op.op = GF_OP_RESERVE;
  SAME(gf_start(cache, queue, &op, sizeof op, &result, sizeof result), GF_RESERVED);
  gf_op commit = keyed(GF_OP_COMMIT, "", 9);
  commit.reservation = result.reservation, commit.value = text("w");
  SAME(gf_peek(cache, text("k"), NULL, 0, &none, sizeof none), GF_MISS);
  SAME(gf_start(cache, queue, &commit, sizeof commit, &none, sizeof none), GF_STORED);
  gf_result_free(&result);
  SAME(pending(), 0);
  SAME(gf_queue_wait(queue, &none, 1, sizeof none, 0, &count), GF_TIMED_OUT);

  /* A closed queue takes nothing, and knows that nothing comes. */
  gf_queue_close(queue);
  SAME(gf_start(cache, queue, &op, sizeof op, &result, sizeof result), GF_E_SHUT_DOWN);
  gf_result_free(&result);
  SAME(gf_queue_wait(queue, &none, 1, sizeof none, -1, &count), GF_E_SHUT_DOWN);
  gf_queue_free(queue);
  gf_free(cache);
}

/* Lookups of a batch that are read together wait for nobody, and each completes by itself. */
static void looked_up_together(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  gf_lease *held = lease(cache, "held by another");
  SAME(gf_set(cache, text("there"), entry("v"), NULL), GF_STORED);
  const char *keys[] = {"held by another", "there", "missing", "missing"};
  int32_t expected[] = {GF_PENDING, GF_HIT, GF_LEASED, GF_PENDING};
  gf_op ops[5];
  for (uint64_t i = 0; i < 4; i++) ops[i] = keyed(GF_OP_LOOKUP_MANY, keys[i], i);
  ops[4] = keyed(GF_OP_GET, "there", 4);
  SAME(gf_submit(cache, queue, ops, 5, sizeof *ops, NULL), GF_DONE);
  gf_lease *leased = NULL;
  for (int seen = 0; seen < 5; seen++) {
    gf_result result;
    size_t count;
    SAME(gf_queue_wait(queue, &result, 1, sizeof result, 20000, &count), GF_DONE);
    SAME(result.status, result.user_data == 4 ? GF_HIT : expected[result.user_data]);
    if (result.status == GF_LEASED) leased = result.lease, result.lease = NULL;
    gf_result_free(&result);
  }
  SAME(pending(), 0);
  SAME(gf_fill(cache, leased, entry("v"), NULL), GF_STORED);
  gf_lease_free(leased);
  gf_lease_free(held);
  gf_op one = keyed(GF_OP_LOOKUP_MANY, "new", 5);
  gf_result result;
  SAME(gf_start(cache, queue, &one, sizeof one, &result, sizeof result), GF_LEASED);
  gf_result_free(&result);
  gf_queue_free(queue);
  gf_free(cache);
}

/* All waiters of a closed queue come back, though its last completion wakes one. */
typedef struct { const gf_queue *queue; atomic_int *taken; } waiter;

static void *waits(void *argument) {
  waiter *self = argument;
  for (;;) {
    gf_result result;
    size_t count;
    int32_t status = gf_queue_wait(self->queue, &result, 1, sizeof result, -1, &count);
    if (status == GF_E_SHUT_DOWN) {
      SAME(count, 0);
      return NULL;
    }
    SAME(status, GF_DONE);
    SAME(result.status, GF_HIT);
    atomic_fetch_add(self->taken, 1);
    gf_result_free(&result);
  }
}

static void every_waiter_of_a_closed_queue_returns(void) {
  for (int round = 0; round < 20; round++) {
    enum { WAITERS = 4 };
    gf_queue *queue = queue_new();
    gf_cache *cache = opened_on(queue, "memory://?wait=1m");
    gf_lease *held = lease(cache, "k");
    gf_op op = keyed(GF_OP_LOOKUP, "k", 1);
    atomic_int taken = 0;
    waiter self = {queue, &taken};
    pthread_t threads[WAITERS];
    SAME(gf_submit(cache, queue, &op, 1, sizeof op, NULL), GF_DONE);
    gf_queue_close(queue);
    for (int i = 0; i < WAITERS; i++) CHECK(pthread_create(&threads[i], NULL, waits, &self) == 0);
    gf_result none;
    size_t count;
    SAME(gf_queue_wait(queue, &none, 1, sizeof none, 5, &count), GF_TIMED_OUT);
    SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED);
    for (int i = 0; i < WAITERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    SAME(taken, 1);
    gf_lease_free(held);
    gf_queue_free(queue);
    gf_free(cache);
  }
}

/* An event loop sees when there is something, and when there is nothing left. */
static void a_sign_tells_what_there_is(void) {
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=1m");
  sign told_by, again;
  no_sign other;
  gf_error *error = NULL;
  if (drives) {
    SAME(sign_of(queue, &told_by, &error), GF_E_INVALID);
    CHECK(told_by == NO_SIGN);
    REFUSED(error, GF_E_INVALID, "queue");
    gf_error_free(error);
    gf_queue_free(queue);
    gf_free(cache);
    return;
  }
  SAME(sign_of(queue, NULL, NULL), GF_E_INVALID);
  SAME(sign_of(NULL, &told_by, NULL), GF_E_INVALID);
  SAME(sign_of(queue, &told_by, NULL), GF_DONE);
  SAME(sign_of(queue, &again, NULL), GF_DONE);
  CHECK(again == told_by);
  SAME(no_sign_of(queue, &other, &error), GF_E_INVALID);
  CHECK(other == NO_SIGN_HERE);
  REFUSED(error, GF_E_INVALID, NO_SIGN_FIELD);
  gf_error_free(error);
  CHECK(!is_told(told_by, 0));
  gf_lease *held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  CHECK(!is_told(told_by, 0));
  SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED);
  for (int taken = 0; taken < FLIGHTS;) {
    gf_result results[7];
    size_t count;
    CHECK(is_told(told_by, 20000));
    SAME(gf_queue_wait(queue, results, 7, sizeof *results, 0, &count), GF_DONE);
    gf_results_free(results, count);
    taken += (int)count;
  }
  CHECK(!is_told(told_by, 0));
  submit_flights(cache, queue, "k"); /* hits: there at once */
  CHECK(is_told(told_by, 0));
  all_complete(queue, FLIGHTS, GF_HIT);
  CHECK(!is_told(told_by, 0));
  gf_queue_close(queue); /* the loop learns that it is over */
  CHECK(is_told(told_by, 0));
  gf_result none;
  size_t count;
  SAME(gf_queue_wait(queue, &none, 1, sizeof none, 0, &count), GF_E_SHUT_DOWN);
  CHECK(is_told(told_by, 0));
  gf_lease_free(held);
  gf_queue_free(queue);
  gf_free(cache);

  /* It is over when the last of what was accepted has completed, and not before. */
  queue = queue_new();
  cache = opened_on(queue, "memory://?wait=1m");
  SAME(sign_of(queue, &told_by, NULL), GF_DONE);
  held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  gf_queue_close(queue);
  CHECK(!is_told(told_by, 0));
  gf_free(cache);
  all_complete_then(queue, FLIGHTS, GF_E_SHUT_DOWN, GF_E_SHUT_DOWN);
  CHECK(is_told(told_by, 0));
  gf_lease_free(held);
  gf_queue_free(queue);
}

/* Nothing goes on while nobody waits, and nothing is lost by it. */
static void what_nobody_drives_stands_still(void) {
  if (!drives) return;
  gf_queue *queue = queue_new();
  gf_cache *cache = opened_on(queue, "memory://?wait=30ms");
  gf_lease *held = lease(cache, "k");
  submit_flights(cache, queue, "k");
  struct timespec longer = {0, 200000000};
  nanosleep(&longer, NULL);
  gf_result result;
  size_t count;
  /* Their time is over, and nobody has looked. A turn without waiting does what is ready. */
  int32_t status = GF_TIMED_OUT;
  for (int turns = 0; status == GF_TIMED_OUT && turns < 100; turns++)
    status = gf_queue_wait(queue, &result, 1, sizeof result, 0, &count);
  SAME(status, GF_DONE);
  SAME(result.status, GF_BYPASS);
  all_complete(queue, FLIGHTS - 1, GF_BYPASS);
  /* Who calls drives for all. */
  gf_lease *other = lease(cache, "other");
  submit_flights(cache, queue, "other");
  SAME(gf_lookup(cache, text("other"), &result), GF_BYPASS);
  SAME(gf_queue_wait(queue, &result, 1, sizeof result, 0, &count), GF_DONE);
  SAME(result.status, GF_BYPASS);
  gf_lease_free(held);
  gf_lease_free(other);
  gf_free(cache);
  gf_queue_free(queue);
}

/* A caller who asks for a key that another thread fills gets what that one read. */
static void *looks_up(void *argument) {
  gf_result result;
  SAME(gf_lookup(argument, text("k"), &result), GF_HIT);
  CHECK(holds(&result, "v"));
  gf_result_free(&result);
  return NULL;
}

static void a_lookup_waits_for_another_threads_fill(void) {
  gf_cache *cache = opened("memory://?wait=1m");
  gf_stats stats = {0};
  stats.struct_size = sizeof stats;
  gf_lease *held = lease(cache, "k");
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, looks_up, cache) == 0);
  for (;;) { /* until all have missed */
    SAME(gf_stats_read(cache, &stats), GF_DONE);
    if (stats.misses == 4) break;
    sched_yield();
  }
  SAME(gf_fill(cache, held, entry("v"), NULL), GF_STORED);
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  SAME(gf_stats_read(cache, &stats), GF_DONE);
  SAME(stats.leases, 1); /* one caller read the source */
  gf_lease_free(held);
  gf_free(cache);
}

int main(void) {
  void (*tests[])(void) = {batch, a_load_that_fails_is_shared, inputs_are_copied, one_handle_twice_in_a_batch,
                           a_renew_after_a_commit_of_the_same_batch, started,
                           looked_up_together,
                           a_close_completes_what_is_in_flight, freed_in_flight,
                           a_queue_freed_with_completions_left,
                           every_waiter_of_a_closed_queue_returns, a_sign_tells_what_there_is,
                           what_nobody_drives_stands_still,
                           a_lookup_waits_for_another_threads_fill};
  for (drives = 0; drives <= 1; drives++) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
      tests[i]();
      nothing_left();
    }
  }
  return 0;
}
