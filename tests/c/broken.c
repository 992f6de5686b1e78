/* Connections that break under large values: broken DRIVES ADDRESS PROCESS. Such a write goes past send(), so it
   raises SIGPIPE, whose default is to end this process. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { SIZE = 1000000, SETS = 40 };

static gf_cache *cache;
static gf_queue *queue;
static uint8_t *large;

static gf_slice value(void) { return (gf_slice){large, SIZE}; }

static void pause_ms(long ms) { nanosleep(&(struct timespec){0, ms * 1000000}, NULL); }

/* Submitted, and as a call that waits. Whatever becomes of them, each ends. `server` is stopped before, and
   killed while values are on their way to it, unless it is zero. */
static void sets(pid_t server) {
  if (server != 0) CHECK(kill(server, SIGSTOP) == 0);
  gf_op ops[SETS];
  memset(ops, 0, sizeof ops);
  for (int i = 0; i < SETS; i++) {
    ops[i].op = GF_OP_SET;
    ops[i].user_data = (uint64_t)i;
    ops[i].key = text("large");
    ops[i].value = value();
  }
  SAME(gf_submit(cache, queue, ops, SETS, sizeof *ops, NULL), GF_DONE);
  if (server != 0) {
    pause_ms(300);
    CHECK(kill(server, SIGKILL) == 0);
  }
  for (int taken = 0; taken < SETS;) {
    gf_result results[SETS];
    size_t count;
    SAME(gf_queue_wait(queue, results, SETS, sizeof *results, 60000, &count), GF_DONE);
    gf_results_free(results, count);
    taken += (int)count;
  }
  gf_entry fresh = {value(), 0, 0, 0, 0};
  gf_result done;
  gf_set(cache, text("large"), fresh, &done);
  gf_result_free(&done);
}

int main(int count, char **arguments) {
  CHECK(count == 4);
  drives = atoi(arguments[1]);
  char url[200];
  snprintf(url, sizeof url, "aerospike://%s/test/c?cluster_guard_time=10s&timeout=5s&attempts=2&max_errors=0&connect_timeout=10s",
           arguments[2]);
  large = calloc(SIZE, 1);
  CHECK(large != NULL);
  queue = queue_new();
  cache = opened_on(queue, url);
  sets(0);
  sets((pid_t)atoi(arguments[3]));
  for (int round = 0; round < 5; round++) {
    sets(0);
    pause_ms(20);
  }
  /* The program's own is still its own. */
  struct sigaction action;
  CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  sigset_t mask;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 0);
  CHECK(sigpending(&mask) == 0 && sigismember(&mask, SIGPIPE) == 0);
  gf_close(cache, 0);
  gf_free(cache);
  gf_queue_free(queue);
  free(large);
  nothing_left();
  return 0;
}
