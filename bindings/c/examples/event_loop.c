/* A cache in an event loop, here libuv's: one thread does everything, and never waits for the cache.

   event_loop [URL]: memory:// without one. */
#include <genfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { KEYS = 1000 };

static gf_cache *cache;
static gf_queue *queue;
static char keys[KEYS][16];
static int hits, stored, failed;

static gf_slice text(const char *bytes) {
  gf_slice slice = {(const uint8_t *)bytes, strlen(bytes)};
  return slice;
}

static void submit(const gf_op *ops, size_t count) {
  gf_error *error = NULL;
  if (gf_submit(cache, queue, ops, count, sizeof(gf_op), &error) != GF_DONE) {
    fprintf(stderr, "refused: %s\n", error->message); /* all of them: none completes */
    gf_error_free(error);
    exit(1);
  }
}

static void take(gf_result *result) {
  if (result->status == GF_LEASED) { /* read the source now, after the lease came; then fill */
    gf_op fill;
    memset(&fill, 0, sizeof fill);
    fill.op = GF_OP_FILL;
    fill.user_data = result->user_data;
    fill.lease = result->lease;
    fill.value = text(keys[result->user_data]);
    submit(&fill, 1);
  } else if (result->status == GF_HIT) {
    hits++;
  } else if (result->status == GF_STORED) {
    stored++;
  } else {
    failed++;
    if (result->error != NULL) fprintf(stderr, "%s\n", result->error->message);
  }
  if (hits + stored + failed == 2 * KEYS) gf_queue_close(queue); /* that was the last */
}

/* The queue has something. With a time of 0 gf_queue_wait gives out what is there, and does not wait. */
static void readable(uv_poll_t *poll, int status, int events) {
  gf_result results[128];
  size_t count;
  (void)events;
  if (status < 0) exit(1);
  int32_t waited = gf_queue_wait(queue, results, 128, sizeof(gf_result), 0, &count);
  for (size_t i = 0; i < count; i++) take(&results[i]);
  gf_results_free(results, count);
  if (waited == GF_E_SHUT_DOWN) uv_close((uv_handle_t *)poll, NULL); /* closed, and empty */
}

static void look_all_up(void) {
  static gf_op ops[KEYS];
  memset(ops, 0, sizeof ops);
  for (int i = 0; i < KEYS; i++) {
    ops[i].op = GF_OP_LOOKUP;
    ops[i].key = text(keys[i]);
    ops[i].user_data = (uint64_t)i; /* what this program makes of it: here the number of the key */
  }
  submit(ops, KEYS);
}

static int stop(gf_error *error) {
  fprintf(stderr, "%s\n", error->message);
  gf_error_free(error);
  return 1;
}

int main(int count, char **arguments) {
  gf_error *error = NULL;
  int32_t descriptor;
  uv_poll_t poll;
  if (gf_open(count > 1 ? arguments[1] : "memory://?ttl=5m", NULL, &cache, &error) != GF_DONE) return stop(error);
  queue = gf_queue_new();
  if (gf_queue_fd(queue, &descriptor, &error) != GF_DONE) return stop(error);
  if (uv_poll_init(uv_default_loop(), &poll, descriptor) != 0) return 1;
  if (uv_poll_start(&poll, UV_READABLE, readable) != 0) return 1;
  for (int i = 0; i < KEYS; i++) snprintf(keys[i], sizeof keys[i], "loop:%d", i);
  /* Who asks for a key that another caller fills waits for that fill: the second thousand are hits. */
  look_all_up();
  look_all_up();
  uv_run(uv_default_loop(), UV_RUN_DEFAULT); /* until the queue is closed and empty */
  uv_loop_close(uv_default_loop());
  gf_close(cache, 1000);
  gf_queue_free(queue); /* after the loop: the descriptor goes with it */
  gf_free(cache);
  printf("%d stored, %d hits\n", stored, hits);
  return stored != KEYS || hits != KEYS;
}
