/* Every struct that crosses has one size, one alignment and the same offsets on both sides. */
#include "check.h"

#define KIND(kind) {#kind " (size)", sizeof(kind)}, {#kind " (alignment)", _Alignof(kind)}
#define FIELD(kind, field) {#kind "." #field, offsetof(kind, field)}

static const struct { const char *name; size_t number; } here[] = {
    KIND(gf_slice),
    FIELD(gf_slice, data), FIELD(gf_slice, len),
    KIND(gf_bytes),
    FIELD(gf_bytes, data), FIELD(gf_bytes, len), FIELD(gf_bytes, owner),
    KIND(gf_options),
    FIELD(gf_options, struct_size), FIELD(gf_options, abi_major), FIELD(gf_options, abi_minor),
    FIELD(gf_options, worker_threads), FIELD(gf_options, prefix), FIELD(gf_options, flags), FIELD(gf_options, reserved),
    KIND(gf_entry),
    FIELD(gf_entry, value), FIELD(gf_entry, version), FIELD(gf_entry, ttl_ms),
    FIELD(gf_entry, flags), FIELD(gf_entry, reserved),
    KIND(gf_op),
    FIELD(gf_op, op), FIELD(gf_op, flags), FIELD(gf_op, user_data), FIELD(gf_op, key),
    FIELD(gf_op, value), FIELD(gf_op, version), FIELD(gf_op, ttl_ms), FIELD(gf_op, stamp),
    FIELD(gf_op, lease), FIELD(gf_op, reservation), FIELD(gf_op, reserved),
    KIND(gf_result),
    FIELD(gf_result, user_data), FIELD(gf_result, status), FIELD(gf_result, detail),
    FIELD(gf_result, flags), FIELD(gf_result, reserved), FIELD(gf_result, value),
    FIELD(gf_result, version), FIELD(gf_result, stamp), FIELD(gf_result, remaining_ms),
    FIELD(gf_result, lease), FIELD(gf_result, reservation), FIELD(gf_result, error),
    KIND(gf_error),
    FIELD(gf_error, status), FIELD(gf_error, server_code), FIELD(gf_error, message),
    FIELD(gf_error, field), FIELD(gf_error, reserved),
    KIND(gf_live),
    FIELD(gf_live, caches), FIELD(gf_live, queues), FIELD(gf_live, leases),
    FIELD(gf_live, reservations), FIELD(gf_live, errors), FIELD(gf_live, values),
    FIELD(gf_live, value_bytes), FIELD(gf_live, pending),
    KIND(gf_stats),
    FIELD(gf_stats, struct_size), FIELD(gf_stats, hits), FIELD(gf_stats, misses),
    FIELD(gf_stats, failures),
};

int main(void) {
  enum { COUNT = sizeof here / sizeof *here };
  size_t there[COUNT];
  SAME(gf_test_layout(NULL, 0), COUNT);
  SAME(gf_test_layout(there, COUNT), COUNT);
  int wrong = 0;
  for (int i = 0; i < COUNT; i++) {
    printf("%s: %zu\n", here[i].name, here[i].number);
    if (here[i].number == there[i]) continue;
    fprintf(stderr, "%s is %zu here and %zu there\n", here[i].name, here[i].number, there[i]);
    wrong++;
  }
  return wrong != 0;
}
