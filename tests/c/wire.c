/* A store that answers later: every outcome of a network, and that each call ends within its bound.
   `wire DRIVES ADDRESS PID`: whether the queue drives; the wire test server's; the last test kills it. */
#include "ways.h"

#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

enum { FLIGHTS = 200 };

static char url[256];
static const char *address;
static pid_t server;
static gf_cache *cache;

static double seconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The life of a value, by calls, by the queue, and started. */
static void life(void) {
  char key[32]; /* a floor stays with its key */
  snprintf(key, sizeof key, "%d %d", drives, way);
  cache = opened_on(through, url);
  SAME(status_of(cache, keyed(GF_OP_INVALIDATE, key)), GF_DONE);
  gf_lease *held = lease(cache, key);
  SAME(status_of(cache, versioned(leased(held, "one"), 1)), GF_STORED);
  gf_lease_free(held);
  gf_result hit;
  SAME(done(cache, keyed(GF_OP_LOOKUP, key), &hit), GF_HIT);
  CHECK(holds(&hit, "one") && hit.version == 1 && hit.flags == GF_FLAG_VERSION);
  gf_op replace = with(keyed(GF_OP_REPLACE, key), "two");
  replace.stamp = hit.stamp;
  gf_result_free(&hit);
  SAME(status_of(cache, replace), GF_STORED);
  SAME(status_of(cache, replace), GF_CONFLICT);
  gf_reservation *writer = reserve(cache, key);
  SAME(status_of(cache, with(keyed(GF_OP_SET, key), "blind")), GF_BUSY);
  SAME(status_of(cache, keyed(GF_OP_LOOKUP, key)), GF_BYPASS);
  SAME(status_of(cache, reserved(GF_OP_RENEW, writer)), GF_DONE);
  SAME(status_of(cache, with(versioned(reserved(GF_OP_COMMIT, writer), 2), "three")), GF_STORED);
  gf_reservation_free(writer);
  gf_op touch = keyed(GF_OP_TOUCH, key);
  touch.ttl_ms = 60000;
  SAME(status_of(cache, touch), GF_DONE);
  writer = reserve(cache, key);
  SAME(status_of(cache, versioned(reserved(GF_OP_RELEASE, writer), 3)), GF_PURGED);
  gf_reservation_free(writer);
  writer = reserve(cache, "other");
  SAME(status_of(cache, reserved(GF_OP_ABORT, writer)), GF_DONE);
  gf_reservation_free(writer);
  held = lease(cache, "crossed");
  writer = reserve(cache, "crossed");
  SAME(status_of(cache, leased(held, "old")), GF_REJECTED);
  SAME(status_of(cache, reserved(GF_OP_ABORT, writer)), GF_DONE);
  gf_lease_free(held);
  gf_reservation_free(writer);
  SAME(status_of(cache, keyed(GF_OP_DIAGNOSE, "")), GF_DONE);
  SAME(gf_close(cache, 20000), GF_DONE);
  gf_free(cache);
}

/* A copy tells whether it may be served, and a writer waits until it may not. */
static void copies(void) {
  char near[512], key[32];
  snprintf(key, sizeof key, "near %d %d", drives, way);
  snprintf(near, sizeof near, "aerospike://%s/test/near?near=1s&reservation_time=30s&timeout=5s", address);
  cache = opened_on(through, near);
  gf_cache *other = opened_on(through, near);
  SAME(gf_peeks(cache), GF_PEEK_HITS | GF_PEEK_COPIES);
  gf_lease *held = lease(cache, key);
  SAME(status_of(cache, leased(held, "one")), GF_STORED);
  gf_lease_free(held);
  gf_result hit;
  gf_copy *copy = NULL;
  for (int i = 0; copy == NULL && i < 1000; i++) { /* it is read again and again */
    SAME(done(cache, keyed(GF_OP_GET, key), &hit), GF_HIT);
    copy = gf_copy_new(cache, text(key), hit.stamp);
    CHECK(gf_copy_new(cache, text(key), hit.stamp + 1) == NULL);
    gf_result_free(&hit);
  }
  CHECK(gf_copy_counts(copy) != GF_COPY_OVER);
  gf_copy_renew(copy);
  char room[8];
  SAME(gf_peek(cache, text(key), (uint8_t *)room, sizeof room, &hit, sizeof hit), GF_HIT);
  CHECK(holds(&hit, "one"));
  gf_reservation *writer = reserve_so(other, key, drives ? GF_FLAG_SETTLED : 0);
  if (!drives) {
    CHECK(gf_unsettled_ms(writer) > 0 && gf_unsettled_ms(writer) <= 1100);
    SAME(status_of(other, reserved(GF_OP_SETTLED, writer)), GF_DONE);
  }
  SAME(gf_unsettled_ms(writer), 0);
  SAME(gf_copy_counts(copy), GF_COPY_OVER);
  SAME(status_of(other, reserved(GF_OP_RELEASE, writer)), GF_PURGED);
  gf_reservation_free(writer);
  SAME(gf_close(cache, 20000), GF_DONE);
  gf_free(cache);
  SAME(gf_copy_counts(copy), GF_COPY_OVER);
  gf_copy_renew(copy);
  gf_copy_free(copy);
  gf_copy_free(NULL);
  SAME(gf_copy_counts(NULL), GF_COPY_OVER);
  SAME(gf_unsettled_ms(NULL), 0);
  SAME(gf_peeks(NULL), 0);
  CHECK(gf_copy_new(NULL, text(key), 1) == NULL);
  gf_free(other);
}

static void tell(int signal) { CHECK(kill(server, signal) == 0); }

/* The stopped server answers nothing: what is submitted is in flight until it is given up. */
static void submit_flights(const gf_queue *queue, gf_lease *held, gf_reservation *writer) {
  gf_op ops[FLIGHTS];
  char keys[FLIGHTS][16];
  uint32_t kinds[] = {GF_OP_GET, GF_OP_LOOKUP, GF_OP_RESERVE, GF_OP_SET, GF_OP_INVALIDATE};
  for (int i = 0; i < FLIGHTS; i++) {
    snprintf(keys[i], sizeof keys[i], "flight %d", i);
    ops[i] = keyed(kinds[i % 5], keys[i]);
    ops[i].user_data = (uint64_t)i;
  }
  ops[0] = leased(held, "v");
  ops[1] = with(reserved(GF_OP_COMMIT, writer), "v");
  ops[1].user_data = 1;
  SAME(gf_submit(cache, queue, ops, FLIGHTS, sizeof *ops, NULL), GF_DONE);
}

static void all_complete(const gf_queue *queue, int32_t only) {
  int seen[FLIGHTS] = {0}, kinds[64] = {0};
  double begin = seconds();
  for (int taken = 0; taken < FLIGHTS;) {
    gf_result results[64];
    size_t count;
    SAME(gf_queue_wait(queue, results, 64, sizeof *results, 60000, &count), GF_DONE);
    for (size_t i = 0; i < count; i++) {
      int32_t status = results[i].status;
      SAME(seen[results[i].user_data]++, 0);
      if (only != 0) SAME(status, only);
      /* Rejected is a fill that was not sent, as the cluster could not be asked since its lease came. */
      CHECK(status == GF_IN_DOUBT || status == GF_BYPASS || status == GF_MISS || status == GF_REJECTED || status < 0);
      if (status == GF_BYPASS) SAME(results[i].detail, GF_BYPASS_UNREACHABLE);
      if (status < 0) CHECK(results[i].error->message[0] != 0);
      kinds[status + 10]++;
    }
    gf_results_free(results, count);
    taken += (int)count;
  }
  printf("in %.1f s: %d in doubt, %d bypassed, %d missed, %d store errors, %d shut down\n",
         seconds() - begin, kinds[GF_IN_DOUBT + 10], kinds[GF_BYPASS + 10], kinds[GF_MISS + 10],
         kinds[GF_E_STORE + 10], kinds[GF_E_SHUT_DOWN + 10]);
  if (only == 0) {
    CHECK(kinds[GF_IN_DOUBT + 10] > 0 && kinds[GF_BYPASS + 10] > 0 && kinds[GF_MISS + 10] > 0);
    CHECK(kinds[GF_E_STORE + 10] > 0);
    SAME(kinds[GF_E_PANIC + 10], 0);
  }
}

/* How calls in flight end: `end` is called while none of them can have been answered. */
static void in_flight(const char *timeout, void (*end)(void), int32_t only) {
  char there[512];
  snprintf(there, sizeof there, "%s&timeout=%s", url, timeout);
  gf_result leased, reserved;
  gf_queue *queue = queue_new();
  cache = opened_on(queue, there);
  SAME(gf_invalidate(cache, text("in flight"), 0, 0, NULL), GF_DONE);
  SAME(gf_lookup(cache, text("in flight"), &leased), GF_LEASED);
  SAME(gf_reserve(cache, text("of a writer"), &reserved), GF_RESERVED);
  tell(SIGSTOP);
  submit_flights(queue, leased.lease, reserved.reservation);
  gf_result_free(&leased);
  gf_result_free(&reserved);
  end();
  all_complete(queue, only);
  gf_close(cache, 0);
  gf_free(cache);
  gf_queue_free(queue);
  nothing_left();
}

static void closes(void) {
  double begin = seconds();
  SAME(gf_close(cache, 50), GF_TIMED_OUT);
  CHECK(seconds() - begin < 30);
}

/* Who asks for an answer hears that there is none. */
static void waits(void) {
  gf_op get = keyed(GF_OP_GET, "nobody answers");
  gf_result result;
  SAME(gf_call(cache, &get, sizeof get, NULL, sizeof result), GF_MISS);
  get.flags = GF_FLAG_STRICT;
  SAME(gf_call(cache, &get, sizeof get, &result, sizeof result), GF_E_STORE);
  CHECK(result.error->message[0] != 0);
  SAME(result.error->may_retry, 1);
  gf_result_free(&result);
}

static void dies(void) { tell(SIGKILL); }

/* A cluster that is not there: an error within its bound, and no secret in it. */
static void nobody_listens(void) {
  gf_cache *none = NULL;
  gf_error *error = NULL;
  double begin = seconds();
  SAME(gf_open("aerospike://ada:s3cret@127.0.0.1:1/test/c?connect_timeout=300ms", NULL, &none, &error),
       GF_E_STORE);
  CHECK(seconds() - begin < 30);
  CHECK(none == NULL && error->message[0] != 0 && strstr(error->message, "s3cret") == NULL);
  CHECK(strstr(error->cause, "s3cret") == NULL);
  SAME(error->may_retry, 1);
  SAME(error->in_doubt, 0);
  gf_error_free(error);
}

/* Opened without waiting for it: nobody there is an outcome of each call, and says why. */
static void nobody_listens_in_the_background(void) {
  const char *nobody = "aerospike://127.0.0.1:1/test/c?connect_timeout=300ms&timeout=100ms&background_connect=true";
  char there[512];
  gf_result result;
  SAME(gf_check_url(nobody, NULL, NULL), GF_DONE);
  SAME(gf_open(nobody, NULL, &cache, NULL), GF_DONE);
  SAME(gf_lookup(cache, text("k"), &result), GF_BYPASS);
  SAME(result.detail, GF_BYPASS_UNREACHABLE);
  SAME(gf_reserve(cache, text("k"), &result), GF_E_STORE);
  SAME(result.error->may_retry, 1);
  gf_result_free(&result);
  SAME(gf_ready(cache, 500, &result), GF_E_STORE);
  CHECK(strstr(result.error->message, "127.0.0.1:1") != NULL);
  gf_result_free(&result);
  gf_free(cache);
  /* Who goes on without a reservation is told that nothing is held. */
  snprintf(there, sizeof there, "%s&unreachable_reserve=proceed", nobody);
  SAME(gf_open(there, NULL, &cache, NULL), GF_DONE);
  SAME(gf_reserve(cache, text("k"), &result), GF_RESERVED);
  SAME(result.detail, GF_BYPASS_UNREACHABLE);
  gf_result_free(&result);
  gf_free(cache);
  nothing_left();
  snprintf(there, sizeof there, "%s&background_connect=true", url);
  SAME(gf_open(there, NULL, &cache, NULL), GF_DONE);
  SAME(gf_ready(cache, 20000, NULL), GF_DONE);
  gf_free(cache);
}

int main(int count, char **arguments) {
  CHECK(count == 4);
  snprintf(url, sizeof url, "aerospike://%s/test/c?cluster_guard_time=10s&wait=10s&attempts=2&connect_timeout=10s",
           arguments[2]);
  address = arguments[2];
  server = (pid_t)atoi(arguments[3]);
  nobody_listens();
  nobody_listens_in_the_background();
  all_ways(life);
  all_ways(copies);
  drives = atoi(arguments[1]);
  /* None is given up before it is closed. */
  in_flight("20s", closes, GF_E_SHUT_DOWN);
  tell(SIGCONT);
  in_flight("200ms", waits, 0);
  tell(SIGCONT);
  in_flight("200ms", dies, 0);
  return 0;
}
