/* A kind of device that exists only in this process, for preload.c. */
#ifndef TESTS_SHIMS_DRIVER_H
#define TESTS_SHIMS_DRIVER_H

#include <stdbool.h>

enum { WAITED = 3 };

struct driver {
  /* Whether this path is a node of such a device. */
  bool (*is_node)(const char *path);
  /* Takes over `fd`, an open of the node; frees nothing of it. NULL with errno. */
  void *(*open)(const char *path, int fd);
  void (*close)(void *device);
  /* The answer of the driver: 0, or -1 with errno. DQBUF never waits: EAGAIN. */
  int (*ioctl)(void *device, unsigned long request, void *argument);
  /* What poll() has to say about the node now. */
  short (*events)(void *device);
  /* Descriptors that are readable where events() may have something of
   * `events`, or an error; how many. */
  int (*waits_for)(const void *device, short events, int fds[WAITED]);
  /* A descriptor of the buffer that QUERYBUF gave this offset, or -1. */
  int (*memory)(const void *device, long offset);
};

/* camera.c */
extern const struct driver camera_driver;
/* codec.c, which is not in every library. */
extern const struct driver codec_driver __attribute__((weak));

#endif
