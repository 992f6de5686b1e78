/* Many threads submit and many wait: each accepted operation completes once, under its own number,
   also while the cache is closed. `threads [OPERATIONS]`: how many each submitter sends. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SUBMITTERS = 4, WAITERS = 3, BATCH = 64, SINGLE = 8 };

static gf_cache *cache;
static gf_queue *queue;
static uint64_t each = 50000;
static atomic_uchar *completed;      /* by user_data */
static atomic_uchar *accepted;
static atomic_ullong total, refusals;

static void *submits(void *argument) {
  uint64_t first = (uint64_t)(uintptr_t)argument * each, sent = 0;
  gf_op ops[BATCH];
  char keys[BATCH][16];
  while (sent < each) {
    /* Single submits among the batches. */
    size_t count = sent % (BATCH * 3) < SINGLE ? 1 : BATCH;
    if (count > each - sent) count = (size_t)(each - sent);
    memset(ops, 0, sizeof ops);
    for (size_t i = 0; i < count; i++) {
      uint64_t number = first + sent + i;
      snprintf(keys[i], sizeof keys[i], "key %d", (int)(number % 100));
      ops[i].op = number % 10 == 0 ? GF_OP_SET : number % 10 == 1 ? GF_OP_INVALIDATE : GF_OP_GET;
      ops[i].user_data = number;
      ops[i].key = text(keys[i]);
      if (ops[i].op == GF_OP_SET) ops[i].value = text(keys[i]);
    }
    gf_error *error;
    int32_t status = gf_submit(cache, queue, ops, count, sizeof *ops, &error);
    if (status == GF_DONE) {
      for (size_t i = 0; i < count; i++) accepted[first + sent + i] = 1;
    } else {
      SAME(status, GF_E_SHUT_DOWN);
      gf_error_free(error);
      atomic_fetch_add(&refusals, count);
    }
    sent += count;
  }
  return NULL;
}

static void *waits(void *argument) {
  size_t capacity = argument == NULL ? 1 : 256;
  gf_result *results = calloc(capacity, sizeof *results);
  for (;;) {
    size_t count;
    int32_t status = gf_queue_wait(queue, results, capacity, sizeof *results, -1, &count);
    if (status == GF_E_SHUT_DOWN) break;
    SAME(status, GF_DONE);
    for (size_t i = 0; i < count; i++) {
      uint64_t number = results[i].user_data;
      CHECK(number < SUBMITTERS * each);
      SAME(atomic_fetch_add(&completed[number], 1), 0);
      if (results[i].status == GF_HIT) {
        char key[16];
        snprintf(key, sizeof key, "key %d", (int)(number % 100));
        CHECK(holds(&results[i], key));
      } else {
        CHECK(results[i].status == GF_MISS || results[i].status == GF_STORED ||
              results[i].status == GF_DONE || results[i].status == GF_E_SHUT_DOWN);
      }
    }
    gf_results_free(results, count);
    atomic_fetch_add(&total, count);
  }
  free(results);
  return NULL;
}

static void run(int close_meanwhile) {
  pthread_t submitters[SUBMITTERS], waiters[WAITERS];
  queue = queue_new();
  cache = opened_on(queue, "memory://?ttl=5m");
  completed = calloc(SUBMITTERS * each, sizeof *completed);
  accepted = calloc(SUBMITTERS * each, sizeof *accepted);
  total = refusals = 0;
  for (uintptr_t i = 0; i < WAITERS; i++)
    CHECK(pthread_create(&waiters[i], NULL, waits, (void *)i) == 0);
  for (uintptr_t i = 0; i < SUBMITTERS; i++)
    CHECK(pthread_create(&submitters[i], NULL, submits, (void *)i) == 0);
  if (close_meanwhile) {
    while (total < each / 10) { /* calls are in flight */ }
    gf_close(cache, 0);
  }
  for (int i = 0; i < SUBMITTERS; i++) CHECK(pthread_join(submitters[i], NULL) == 0);
  gf_queue_close(queue);
  for (int i = 0; i < WAITERS; i++) CHECK(pthread_join(waiters[i], NULL) == 0);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < SUBMITTERS * each; i++) {
    SAME(completed[i], accepted[i]); /* one for each accepted, none for a refused */
    sum += accepted[i];
  }
  SAME(sum, total);
  SAME(sum + refusals, SUBMITTERS * each);
  if (!close_meanwhile) SAME(refusals, 0);
  printf("%llu completions, %llu refused\n", (unsigned long long)total, (unsigned long long)refusals);
  free(completed);
  free(accepted);
  gf_queue_free(queue);
  gf_free(cache);
  nothing_left();
}

int main(int count, char **arguments) {
  if (count > 1) each = strtoull(arguments[1], NULL, 10);
  for (drives = 0; drives <= 1; drives++) {
    run(0);
    run(1);
  }
  return 0;
}
