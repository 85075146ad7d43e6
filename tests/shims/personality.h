/* How the drivers of encoders differ: see personality.c. */
#ifndef TESTS_SHIMS_PERSONALITY_H
#define TESTS_SHIMS_PERSONALITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include <linux/videodev2.h>

enum { RAW_FORMATS = 8, CODEC_CONTROLS = 24 };

/* When a context counts against the limit, and is refused beyond it. */
enum counted { AT_OPEN, AT_REQBUFS, AT_STREAMON };

struct raw_format {
  uint32_t fourcc;
  uint32_t stride; /* bytesperline is a multiple of this */
};

struct codec_control {
  uint32_t id;
  enum v4l2_ctrl_type type;
  const char *name; /* v4l2_ctrl_get_name() in the kernel's v4l2-ctrls-defs.c */
  int32_t minimum, maximum, step, initial;
  uint64_t skipped; /* entries of a menu that are not there, a bit each */
};

struct personality {
  const char *name;
  const char *driver, *card, *bus; /* what QUERYCAP answers */
  struct raw_format formats[RAW_FORMATS];
  /* What ENUM_FRAMESIZES answers. */
  struct v4l2_frmsize_stepwise sizes;
  /* S_FMT on OUTPUT rounds the size up to these; the rest is cropped away. */
  uint32_t padded_width, padded_height;
  bool crops_by_itself; /* to what S_FMT was asked for */
  /* Bytes behind the luma's and the chroma's lines; lines of the chroma are
   * rounded up. */
  uint32_t chroma_lines, extra;
  uint32_t least_buffers;
  int contexts; /* how many at a time, where no file says so */
  enum counted counted;
  int refusal; /* errno of one too many */
  bool has_encoder_cmd, has_eos_event;
  bool takes_stride;      /* a larger one than is needed, in S_FMT */
  bool live_bitrate;      /* else that of the start is kept */
  bool flags_key_frames;  /* V4L2_BUF_FLAG_KEYFRAME on an IDR */
  bool level_is_a_limit;  /* STREAMON fails where the picture is above it */
  /* Controls: without this one the bitrate is not looked at, 0 for none. */
  uint32_t rate_switch;
  /* Distance of IDRs, 0 where only the first picture is one; SPS and PPS
   * before each of them. */
  uint32_t gop, headers;
  struct codec_control controls[CODEC_CONTROLS];
};

/* NULL where there is none of this name. */
const struct personality *personality_named(const char *name);

/* The control of this id, or its place with V4L2_CTRL_FLAG_NEXT_CTRL; -1. */
int personality_control(const struct personality *personality, uint32_t id);

#endif
