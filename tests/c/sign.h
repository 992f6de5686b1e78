/* What tells an event loop that a queue has something, on each system. */
#ifndef SIGN_H
#define SIGN_H

#include <genfence.h>

#ifdef _WIN32
#include <windows.h>

typedef void *sign;
#define NO_SIGN NULL
#define sign_of gf_queue_event

static inline int is_told(sign event, int milliseconds) {
  return WaitForSingleObject(event, (DWORD)milliseconds) == WAIT_OBJECT_0;
}

/* Of the other systems. */
typedef int32_t no_sign;
#define NO_SIGN_HERE (-1)
#define NO_SIGN_FIELD "descriptor"
#define no_sign_of gf_queue_fd

#else
#include <poll.h>

typedef int32_t sign;
#define NO_SIGN (-1)
#define sign_of gf_queue_fd

static inline int is_told(sign descriptor, int milliseconds) {
  struct pollfd one = {descriptor, POLLIN, 0};
  return poll(&one, 1, milliseconds) == 1 && (one.revents & POLLIN) != 0;
}

typedef void *no_sign;
#define NO_SIGN_HERE NULL
#define NO_SIGN_FIELD "event"
#define no_sign_of gf_queue_event
#endif

#endif
