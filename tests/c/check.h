/* What the tests check with. A failed check names its place and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <genfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the library only where it was built with feature capi-test. */
int32_t gf_test_panic(gf_result *result);
int32_t gf_test_submit_panic(const gf_cache *cache, const gf_queue *queue, uint64_t user_data);
size_t gf_test_layout(size_t *numbers, size_t capacity);

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);       \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

/* Two numbers are equal. */
#define SAME(actual, expected)                                                      \
  do {                                                                              \
    long long actual_ = (long long)(actual), expected_ = (long long)(expected);     \
    if (actual_ != expected_) {                                                     \
      fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__,     \
              #actual, actual_, expected_, #expected);                              \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

static inline gf_slice text(const char *bytes) {
  gf_slice slice = {(const uint8_t *)bytes, strlen(bytes)};
  return slice;
}

static inline gf_entry entry(const char *bytes) {
  gf_entry fresh = {text(bytes), 0, 0, 0, 0};
  return fresh;
}

static inline int holds(const gf_result *result, const char *bytes) {
  return result->value.data != NULL && result->value.len == strlen(bytes) &&
         memcmp(result->value.data, bytes, result->value.len) == 0;
}

/* Whether the queues that a test makes drive: the caches opened on them have no threads. */
static int drives;

static inline gf_queue *queue_new(void) {
  gf_queue *queue = NULL;
  if (!drives) return gf_queue_new();
  SAME(gf_queue_new_driving(&queue, NULL), GF_DONE);
  return queue;
}

static inline gf_cache *opened_on(const gf_queue *queue, const char *url) {
  gf_cache *cache = NULL;
  gf_error *error = NULL;
  gf_options options = GF_OPTIONS_INIT;
  options.driver = drives ? queue : NULL;
  if (gf_open(url, &options, &cache, &error) != GF_DONE) {
    fprintf(stderr, "%s: %s\n", url, error->message);
    exit(1);
  }
  CHECK(cache != NULL && error == NULL);
  return cache;
}

static inline gf_cache *opened(const char *url) { return opened_on(NULL, url); }

/* An error says what it is, names this field in its message, and is freed. */
#define REFUSED(error, expected_status, expected_field)                             \
  do {                                                                              \
    CHECK((error) != NULL);                                                         \
    SAME((error)->status, (expected_status));                                       \
    SAME((error)->server_code, 0);                                                  \
    if (strcmp((error)->field, (expected_field)) != 0) {                            \
      fprintf(stderr, "%s:%d: the field is %s, not %s: %s\n", __FILE__, __LINE__,   \
              (error)->field, (expected_field), (error)->message);                  \
      exit(1);                                                                      \
    }                                                                               \
    CHECK(strstr((error)->message, (expected_field)) != NULL);                      \
    CHECK(strlen((error)->message) > strlen((expected_field)) + 4);                 \
  } while (0)

/* All that this process was given is freed. */
static inline void nothing_left(void) {
  gf_live live;
  memset(&live, 0x5a, sizeof live);
  gf_live_count(&live);
  SAME(live.caches, 0);
  SAME(live.queues, 0);
  SAME(live.leases, 0);
  SAME(live.reservations, 0);
  SAME(live.errors, 0);
  SAME(live.values, 0);
  SAME(live.value_bytes, 0);
  SAME(live.pending, 0);
}

#endif
