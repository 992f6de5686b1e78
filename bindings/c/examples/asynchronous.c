/* Submits many operations at once; a thread of this program's own takes what comes of them.

   asynchronous [URL]: memory:// without one. */
#include <genfence.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 1000 };

static gf_cache *cache;
static gf_queue *queue;
static char keys[KEYS][16];
static int hits, stored, failed;

static gf_slice text(const char *bytes) {
  gf_slice slice = {(const uint8_t *)bytes, strlen(bytes)};
  return slice;
}

static void submit(gf_op *ops, size_t count) {
  gf_error *error = NULL;
  if (gf_submit(cache, queue, ops, count, sizeof(gf_op), &error) != GF_DONE) {
    fprintf(stderr, "refused: %s\n", error->message); /* all of them: none completes */
    gf_error_free(error);
    exit(1);
  }
}

/* `user_data` is what this program makes of it: here the number of the key, and of the step. */
static uint64_t step(uint64_t number, uint64_t which) { return number << 8 | which; }

/* Runs until the queue is closed and empty. Never waits for the cache itself: it submits. */
static void *completes(void *unused) {
  gf_result results[128];
  size_t count;
  while (gf_queue_wait(queue, results, 128, sizeof(gf_result), -1, &count) == GF_DONE) {
    gf_op fills[128];
    size_t filled = 0;
    memset(fills, 0, sizeof fills);
    for (size_t i = 0; i < count; i++) {
      uint64_t number = results[i].user_data >> 8;
      switch (results[i].status) {
        case GF_LEASED: /* read the source now, after the lease came; then fill */
          fills[filled].op = GF_OP_FILL;
          fills[filled].user_data = step(number, 2);
          fills[filled].lease = results[i].lease;
          fills[filled].value = text(keys[number]);
          filled++;
          break;
        case GF_HIT: hits++; break;
        case GF_STORED: stored++; break;
        default:
          failed++;
          if (results[i].error != NULL) fprintf(stderr, "%s\n", results[i].error->message);
      }
    }
    if (filled > 0) submit(fills, filled); /* copies what it needs, and uses the leases up */
    gf_results_free(results, count);       /* so they may be freed with their results */
    if (hits + stored + failed == 2 * KEYS) gf_queue_close(queue); /* that was the last */
  }
  return unused;
}

static void look_all_up(void) {
  static gf_op ops[KEYS];
  memset(ops, 0, sizeof ops);
  for (int i = 0; i < KEYS; i++) {
    ops[i].op = GF_OP_LOOKUP;
    ops[i].key = text(keys[i]);
    ops[i].user_data = step((uint64_t)i, 1);
  }
  submit(ops, KEYS);
}

int main(int count, char **arguments) {
  gf_error *error = NULL;
  pthread_t thread;
  if (gf_open(count > 1 ? arguments[1] : "memory://?ttl=5m", NULL, &cache, &error) != GF_DONE) {
    fprintf(stderr, "%s\n", error->message);
    gf_error_free(error);
    return 1;
  }
  for (int i = 0; i < KEYS; i++) snprintf(keys[i], sizeof keys[i], "user:%d", i);
  queue = gf_queue_new();
  if (pthread_create(&thread, NULL, completes, NULL) != 0) return 1;
  /* Who asks for a key that another caller fills waits for that fill: the second thousand are hits. */
  look_all_up();
  look_all_up();
  pthread_join(thread, NULL);
  gf_close(cache, 1000);
  gf_queue_free(queue);
  gf_free(cache);
  printf("%d stored, %d hits\n", stored, hits);
  return stored != KEYS || hits != KEYS;
}
