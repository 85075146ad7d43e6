/* A test camera's controls: see controls.c. */
#ifndef TESTS_SHIMS_CONTROLS_H
#define TESTS_SHIMS_CONTROLS_H

#include <stdint.h>
#include <time.h>

#include <linux/videodev2.h>

enum { CONTROLS = 32 };

struct control {
  uint32_t id;
  enum v4l2_ctrl_type type;
  int32_t minimum, maximum, step, initial;
  char name[32];
  char entries[256];
};

struct controls {
  char node[512];
  struct control list[CONTROLS];
  int count;
};

/* Reads what the camera at `node` has. */
void controls_read(struct controls *controls, const char *node);

/* The answer of the driver: 0, or -1 with errno; ENOTTY to what is no
 * business of controls. */
int controls_ioctl(struct controls *controls, unsigned long request, void *argument);

#endif
