/* Reads through the cache and writes behind a reservation: the whole of it in plain calls.

   synchronous [URL]: memory:// without one. */
#include <genfence.h>
#include <stdio.h>
#include <string.h>

/* The source: a table with one row, say. */
static char row[64] = "Ada";

static const char *select_name(void) { return row; }

static int update_name_and_commit(const char *name) {
  snprintf(row, sizeof row, "%s", name);
  return 1; /* 0: rolled back, -1: who knows */
}

static gf_slice text(const char *bytes) {
  gf_slice slice = {(const uint8_t *)bytes, strlen(bytes)};
  return slice;
}

/* The name of a user, from the cache or from the source. */
static void read_name(const gf_cache *cache, const char *user, char name[64]) {
  gf_result found;
  switch (gf_load(cache, text(user), &found)) {
    case GF_HIT:
      snprintf(name, 64, "%.*s", (int)found.value.len, (const char *)found.value.data);
      printf("%s: a hit: %s\n", user, name);
      break;
    case GF_LEASED: {
      /* Ours alone in this process, and, if it is to be stored, in all: read the source now, and say what it said. */
      snprintf(name, 64, "%s", select_name());
      gf_entry fresh = {text(name), 0, 0, 0, 0};
      gf_loaded(cache, found.lease, fresh, NULL); /* or, where it could not be read, gf_load_failed */
      printf("%s: read from the source: %s%s\n", user, name, found.detail ? ", and not stored" : "");
      break;
    }
    case GF_LOAD_FAILED: /* of another thread, which we waited for: the bytes are what it said of it */
      fprintf(stderr, "the source failed: %.*s\n", (int)found.value.len, (const char *)found.value.data);
      snprintf(name, 64, "?");
      break;
    default: /* a bad argument, or a closed cache: the source is still there */
      fprintf(stderr, "%s\n", found.error->message);
      snprintf(name, 64, "%s", select_name());
  }
  gf_result_free(&found);
}

/* 0 if the name was changed. */
static int write_name(const gf_cache *cache, const char *user, const char *name) {
  gf_result claim, done;
  if (gf_reserve(cache, text(user), &claim) != GF_RESERVED) {
    fprintf(stderr, "not changed: %s\n", claim.error->message);
    gf_result_free(&claim);
    return 1;
  }
  /* The transaction must be over within gf_remaining_ms(claim.reservation): bound it. */
  int changed = update_name_and_commit(name);
  if (changed > 0) {
    gf_entry fresh = {text(name), 0, 0, 0, 0};
    gf_commit(cache, claim.reservation, fresh, &done);
    gf_result_free(&done);
  } else if (changed == 0) {
    gf_abort(cache, claim.reservation, &done); /* certainly rolled back */
    gf_result_free(&done);
  }
  /* Who knows: freeing the reservation leaves it to expire, which is safe. */
  gf_result_free(&claim);
  return changed <= 0;
}

int main(int count, char **arguments) {
  gf_cache *cache = NULL;
  gf_error *error = NULL;
  if (gf_open(count > 1 ? arguments[1] : "memory://?ttl=5m", NULL, &cache, &error) != GF_DONE) {
    fprintf(stderr, "%s\n", error->message);
    gf_error_free(error);
    return 1;
  }
  char name[64];
  read_name(cache, "user:1", name);
  read_name(cache, "user:1", name);
  int failed = write_name(cache, "user:1", "Grace");
  read_name(cache, "user:1", name);
  gf_close(cache, 1000);
  gf_free(cache);
  return failed || strcmp(name, "Grace") != 0;
}
