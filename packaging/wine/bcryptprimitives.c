/* The one function that Rust's standard library needs of bcryptprimitives.dll, which wine before 9 does not have. For
   tests under wine alone: nothing that is shipped has it. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG size);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size) {
  while (size > 0) {
    ULONG part = size > 1 << 20 ? 1 << 20 : (ULONG)size;
    if (!SystemFunction036(buffer, part)) return FALSE;
    buffer += part;
    size -= part;
  }
  return TRUE;
}
