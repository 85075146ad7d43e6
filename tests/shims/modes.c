/* A test camera's modes, and how its driver tells of them.
 *
 * In the camera's folder, NODE.d:
 *
 *   modes       a line a mode: FOURCC WIDTH HEIGHT FPS FOLDER; the folder has
 *               the frames, 00000, 00001, …, which are shown round and round
 *   ways        a line each, what is odd about the driver:
 *
 *     driver NAME        in place of uvcvideo
 *     sizes-error N      ENUM_FRAMESIZES and ENUM_FRAMEINTERVALS fail with this
 *                        errno: stk1160, usbtv and sun6i-csi have neither
 *     rates-error N      only ENUM_FRAMEINTERVALS does
 *     range              sizes are a range, up to the largest mode's, in steps
 *                        of 2; rates are one too
 *     interval N/D       is what every mode is said to have, 0/30 or 30/0 too
 *     no-parm            G_PARM and S_PARM fail with ENOTTY
 *     standard PAL|NTSC  the input is an analogue one of this standard
 *     interlaced         pictures are of two fields
 *     full-range         values are 0 to 255
 *     adjusts W H        TRY_FMT and S_FMT give this size, whatever is asked
 */
#define _GNU_SOURCE
#include "modes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(int error) {
  errno = error;
  return -1;
}

static FILE *description(const char *node, const char *name) {
  char path[MODE_PATH + 64];
  snprintf(path, sizeof path, "%s.d/%s", node, name);
  return fopen(path, "r");
}

static void read_ways(struct ways *ways, const char *node) {
  FILE *file = description(node, "ways");
  char line[128];
  strcpy(ways->driver, "uvcvideo");
  while (file && fgets(line, sizeof line, file)) {
    sscanf(line, "driver %15s", ways->driver);
    sscanf(line, "sizes-error %d", &ways->sizes_error);
    sscanf(line, "rates-error %d", &ways->rates_error);
    sscanf(line, "interval %u/%u", &ways->interval.numerator, &ways->interval.denominator);
    sscanf(line, "adjusts %u %u", &ways->adjusted_width, &ways->adjusted_height);
    if (!strcmp(line, "range\n")) ways->range = true;
    if (!strcmp(line, "no-parm\n")) ways->no_parm = true;
    if (!strcmp(line, "interlaced\n")) ways->interlaced = true;
    if (!strcmp(line, "full-range\n")) ways->full_range = true;
    if (!strcmp(line, "standard PAL\n")) ways->standard = V4L2_STD_PAL;
    if (!strcmp(line, "standard NTSC\n")) ways->standard = V4L2_STD_NTSC;
  }
  if (file) fclose(file);
}

void modes_read(struct modes *modes, const char *node) {
  FILE *file = description(node, "modes");
  char code[5];
  if (!file) return;
  while (modes->count < MODES) {
    struct mode *mode = &modes->list[modes->count];
    if (fscanf(file, "%4s %u %u %u %511s", code, &mode->width, &mode->height, &mode->fps,
               mode->frames) != 5)
      break;
    mode->format = v4l2_fourcc(code[0], code[1], code[2], code[3]);
    modes->count++;
  }
  fclose(file);
  read_ways(&modes->ways, node);
}

/* Whether mode `index` is the first of its format, size (and so on). */
static bool is_first(const struct modes *modes, int index, bool by_size) {
  const struct mode *mode = &modes->list[index];
  for (const struct mode *other = modes->list; other < mode; other++)
    if (other->format == mode->format &&
        (!by_size || (other->width == mode->width && other->height == mode->height)))
      return false;
  return true;
}

static bool is_compressed(uint32_t format) {
  return format == V4L2_PIX_FMT_MJPEG || format == V4L2_PIX_FMT_H264;
}

int modes_enumerate_formats(const struct modes *modes, struct v4l2_fmtdesc *answer) {
  uint32_t wanted = answer->index;
  if (answer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
  for (int i = 0; i < modes->count; i++) {
    if (!is_first(modes, i, false) || wanted-- > 0) continue;
    answer->pixelformat = modes->list[i].format;
    answer->flags = is_compressed(answer->pixelformat) ? V4L2_FMT_FLAG_COMPRESSED : 0;
    memset(answer->description, 0, sizeof answer->description);
    memcpy(answer->description, &answer->pixelformat, 4);
    return 0;
  }
  return fail(EINVAL);
}

/* The only answer of a driver with a range. */
static int size_range(const struct modes *modes, struct v4l2_frmsizeenum *answer) {
  uint32_t width = 0, height = 0;
  if (answer->index > 0) return fail(EINVAL);
  for (int i = 0; i < modes->count; i++) {
    const struct mode *mode = &modes->list[i];
    if (mode->format != answer->pixel_format) continue;
    if (mode->width > width) width = mode->width;
    if (mode->height > height) height = mode->height;
  }
  answer->type = V4L2_FRMSIZE_TYPE_STEPWISE;
  answer->stepwise = (struct v4l2_frmsize_stepwise){32, width, 2, 32, height, 2};
  return 0;
}

int modes_enumerate_sizes(const struct modes *modes, struct v4l2_frmsizeenum *answer) {
  uint32_t wanted = answer->index;
  if (modes->ways.sizes_error) return fail(modes->ways.sizes_error);
  if (modes->ways.range) return size_range(modes, answer);
  for (int i = 0; i < modes->count; i++) {
    const struct mode *mode = &modes->list[i];
    if (mode->format != answer->pixel_format || !is_first(modes, i, true) || wanted-- > 0)
      continue;
    answer->type = V4L2_FRMSIZE_TYPE_DISCRETE;
    answer->discrete.width = mode->width;
    answer->discrete.height = mode->height;
    return 0;
  }
  return fail(EINVAL);
}

int modes_enumerate_rates(const struct modes *modes, struct v4l2_frmivalenum *answer) {
  const struct ways *ways = &modes->ways;
  uint32_t wanted = answer->index;
  if (ways->sizes_error) return fail(ways->sizes_error);
  if (ways->rates_error) return fail(ways->rates_error);
  if (ways->range) {
    if (wanted > 0) return fail(EINVAL);
    answer->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
    answer->stepwise = (struct v4l2_frmival_stepwise){{1, 30}, {1, 1}, {1, 1}};
    return 0;
  }
  for (int i = 0; i < modes->count; i++) {
    const struct mode *mode = &modes->list[i];
    if (mode->format != answer->pixel_format || mode->width != answer->width ||
        mode->height != answer->height || wanted-- > 0)
      continue;
    answer->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    answer->discrete = (struct v4l2_fract){1, mode->fps};
    if (ways->interval.numerator || ways->interval.denominator) answer->discrete = ways->interval;
    return 0;
  }
  return fail(EINVAL);
}

const struct mode *modes_nearest(const struct modes *modes, uint32_t format, uint32_t width,
                                 uint32_t height, uint32_t fps) {
  const struct mode *best = NULL;
  uint64_t least = UINT64_MAX;
  if (modes->ways.adjusted_width) {
    width = modes->ways.adjusted_width;
    height = modes->ways.adjusted_height;
  }
  for (int i = 0; i < modes->count; i++) {
    const struct mode *mode = &modes->list[i];
    uint64_t distance = mode->format == format ? 0 : 1000000000;
    distance +=
        1000 * (uint64_t)(abs((int)(mode->width - width)) + abs((int)(mode->height - height)));
    distance += fps ? abs((int)(mode->fps - fps)) : 0;
    if (distance < least) {
      least = distance;
      best = mode;
    }
  }
  return best;
}

uint32_t mode_image_size(const struct mode *mode) {
  uint32_t pixels = mode->width * mode->height;
  switch (mode->format) {
  case V4L2_PIX_FMT_NV12: return pixels * 3 / 2;
  case V4L2_PIX_FMT_GREY: return pixels;
  case V4L2_PIX_FMT_RGB24:
  case V4L2_PIX_FMT_BGR24: return pixels * 3;
  default: return pixels * 2;
  }
}

void modes_describe(const struct modes *modes, const struct mode *mode,
                    struct v4l2_pix_format *answer) {
  memset(answer, 0, sizeof *answer);
  answer->width = mode->width;
  answer->height = mode->height;
  answer->pixelformat = mode->format;
  answer->field = modes->ways.interlaced ? V4L2_FIELD_INTERLACED : V4L2_FIELD_NONE;
  answer->colorspace = V4L2_COLORSPACE_SRGB;
  if (modes->ways.full_range) answer->quantization = V4L2_QUANTIZATION_FULL_RANGE;
  answer->priv = V4L2_PIX_FMT_PRIV_MAGIC;
  answer->sizeimage = mode_image_size(mode);
  switch (mode->format) {
  case V4L2_PIX_FMT_YUYV: answer->bytesperline = mode->width * 2; break;
  case V4L2_PIX_FMT_NV12:
  case V4L2_PIX_FMT_GREY: answer->bytesperline = mode->width; break;
  case V4L2_PIX_FMT_RGB24:
  case V4L2_PIX_FMT_BGR24: answer->bytesperline = mode->width * 3; break;
  }
}

int modes_standard_ioctl(const struct modes *modes, unsigned long request, void *argument) {
  v4l2_std_id standard = modes->ways.standard;
  if (!standard) return fail(ENOTTY);
  switch ((uint32_t)request) {
  case VIDIOC_ENUMSTD: {
    struct v4l2_standard *answer = argument;
    if (answer->index > 0) return fail(EINVAL);
    memset(answer, 0, sizeof *answer);
    answer->id = standard;
    bool is_pal = standard == V4L2_STD_PAL;
    strcpy((char *)answer->name, is_pal ? "PAL" : "NTSC");
    answer->frameperiod = is_pal ? (struct v4l2_fract){1, 25} : (struct v4l2_fract){1001, 30000};
    answer->framelines = is_pal ? 625 : 525;
    return 0;
  }
  case VIDIOC_G_STD:
  case VIDIOC_QUERYSTD: *(v4l2_std_id *)argument = standard; return 0;
  case VIDIOC_S_STD: return 0;
  default: return fail(ENOTTY);
  }
}
