/* The log: its levels, that off means never again, and that a slow host slows nobody. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
  atomic_int allowed, lines, debug, info, dropped, from_within;
  atomic_int blocked;
} seen;

static void writes(int32_t level, const char *message, void *user_data) {
  seen *self = user_data;
  CHECK(self->allowed); /* never after it was turned off */
  CHECK(level >= GF_LOG_ERROR && level <= GF_LOG_DEBUG);
  CHECK(message != NULL && message[0] != 0);
  self->lines++;
  if (strstr(message, "lost its race") != NULL) {
    SAME(level, GF_LOG_DEBUG);
    self->debug++;
  }
  if (strstr(message, "left to expire") != NULL) {
    SAME(level, GF_LOG_INFO);
    self->info++;
  }
  if (strstr(message, "were dropped") != NULL) {
    SAME(level, GF_LOG_WARN);
    self->dropped++;
  }
  self->from_within = gf_log_set(GF_LOG_OFF, NULL, NULL);
  while (self->blocked) { /* a slow host */ }
}

/* Each is logged once: a lost race, and a reservation left to expire. */
static void provoke(gf_cache *cache) {
  gf_result leased, reserved;
  SAME(gf_lookup(cache, text("k"), &leased), GF_LEASED);
  SAME(gf_invalidate(cache, text("k"), 0, 0, NULL), GF_DONE);
  SAME(gf_fill(cache, leased.lease, entry("v"), NULL), GF_REJECTED);
  gf_result_free(&leased);
  SAME(gf_reserve(cache, text("r"), &reserved), GF_RESERVED);
  gf_result_free(&reserved);
}

/* Turning it off writes what waits. */
static void logged(gf_cache *cache, int32_t level, int debug, int info) {
  seen self = {0};
  self.allowed = 1;
  SAME(gf_log_set(level, writes, &self), GF_DONE);
  provoke(cache);
  SAME(gf_log_set(GF_LOG_OFF, writes, &self), GF_DONE);
  self.allowed = 0;
  SAME(self.debug, debug);
  SAME(self.info, info);
  if (self.lines > 0) SAME(self.from_within, GF_E_INVALID);
  provoke(cache);
  SAME(self.debug, debug);
}

static void counts(int32_t level, const char *message, void *user_data) {
  (void)level, (void)message;
  atomic_fetch_add((atomic_int *)user_data, 1);
}

static void *leaves(void *cache) {
  for (int i = 0; i < 500; i++) {
    gf_result reserved;
    SAME(gf_reserve(cache, text("left"), &reserved), GF_RESERVED);
    gf_result_free(&reserved);
  }
  return NULL;
}

/* Who listens anew, as another cache of the process may, loses no line. */
static void nothing_is_lost_while_it_is_set_again(gf_cache *cache) {
  atomic_int lines = 0;
  SAME(gf_log_set(GF_LOG_INFO, counts, &lines), GF_DONE);
  pthread_t thread;
  SAME(pthread_create(&thread, NULL, leaves, cache), 0);
  for (int i = 0; i < 200; i++) SAME(gf_log_set(GF_LOG_INFO, counts, &lines), GF_DONE);
  SAME(pthread_join(thread, NULL), 0);
  SAME(gf_log_set(GF_LOG_OFF, NULL, NULL), GF_DONE);
  SAME(lines, 500);
}

int main(void) {
  gf_cache *cache = opened("memory://");
  provoke(cache); /* before anybody listens */
  logged(cache, GF_LOG_ERROR, 0, 0);
  logged(cache, GF_LOG_DEBUG, 1, 1);
  logged(cache, GF_LOG_INFO, 0, 1);
  logged(cache, GF_LOG_WARN, 0, 0);
  logged(cache, GF_LOG_DEBUG, 1, 1);

  seen self = {0};
  SAME(gf_log_set(-1, writes, &self), GF_E_INVALID);
  SAME(gf_log_set(GF_LOG_DEBUG + 1, writes, &self), GF_E_INVALID);
  SAME(gf_log_set(GF_LOG_DEBUG, NULL, NULL), GF_DONE);

  self.allowed = self.blocked = 1;
  SAME(gf_log_set(GF_LOG_INFO, writes, &self), GF_DONE);
  for (int i = 0; i < 3000; i++) provoke(cache);
  self.blocked = 0;
  SAME(gf_log_set(GF_LOG_OFF, NULL, NULL), GF_DONE);
  SAME(self.dropped, 1);
  CHECK(self.info >= 1024 && self.info < 3000);

  nothing_is_lost_while_it_is_set_again(cache);
  gf_free(cache);
  nothing_left();
  return 0;
}
