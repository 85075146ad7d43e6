/* A test camera's modes, and how its driver tells of them: see modes.c. */
#ifndef TESTS_SHIMS_MODES_H
#define TESTS_SHIMS_MODES_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/videodev2.h>

enum { MODES = 32, MODE_PATH = 512 };

struct mode {
  uint32_t format, width, height, fps;
  char frames[MODE_PATH];
};

/* What makes a driver odd; all zero for a good one. */
struct ways {
  int sizes_error, rates_error; /* errno of enumerating them */
  bool range, no_parm, interlaced, full_range;
  struct v4l2_fract interval; /* of every mode, whatever it is */
  uint32_t adjusted_width, adjusted_height; /* every format is set to this size */
  v4l2_std_id standard;
  char driver[16];
};

struct modes {
  struct mode list[MODES];
  int count;
  struct ways ways;
};

/* Reads what the camera at `node` has. */
void modes_read(struct modes *modes, const char *node);

/* The answers of the driver: 0, or -1 with errno. */
int modes_enumerate_formats(const struct modes *modes, struct v4l2_fmtdesc *answer);
int modes_enumerate_sizes(const struct modes *modes, struct v4l2_frmsizeenum *answer);
int modes_enumerate_rates(const struct modes *modes, struct v4l2_frmivalenum *answer);

/* The nearest mode: drivers change what they are asked for to what they can. */
const struct mode *modes_nearest(const struct modes *modes, uint32_t format, uint32_t width,
                                 uint32_t height, uint32_t fps);

uint32_t mode_image_size(const struct mode *mode);
void modes_describe(const struct modes *modes, const struct mode *mode,
                    struct v4l2_pix_format *answer);

/* ENUMSTD, G_STD and the like: ENOTTY where the input is no analogue one. */
int modes_standard_ioctl(const struct modes *modes, unsigned long request, void *argument);

#endif
