/* Every struct that crosses has one size, one alignment and the same offsets on both sides. */
#include "check.h"

#define KIND(kind) {#kind " (size)", sizeof(kind)}, {#kind " (alignment)", _Alignof(kind)}
#define FIELD(kind, field) {#kind "." #field, offsetof(kind, field)}

static const struct { const char *name; size_t number; } here[] = {
#include "layout.h"
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
