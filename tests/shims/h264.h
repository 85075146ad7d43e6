/* What makes the H.264 inside of a test encoder: see h264.c. */
#ifndef TESTS_SHIMS_H264_H
#define TESTS_SHIMS_H264_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h264;

struct h264_setting {
  uint32_t width, height, fps;
  uint32_t bits_per_second; /* 0: a constant quality */
  uint32_t gop;             /* distance of IDRs in frames, 0 for only the first */
  int profile;              /* enum v4l2_mpeg_video_h264_profile */
  int level;                /* enum v4l2_mpeg_video_h264_level */
  bool repeat_headers;
};

/* A raw picture as V4L2 has it. */
struct h264_picture {
  uint32_t fourcc;
  const uint8_t *data, *chroma; /* where the second plane begins */
  uint32_t stride, lines;       /* of the chroma of one component, in its own plane */
};

/* level_idc of ITU-T H.264 Annex A; true where a picture is above its limits
 * (table A-1: MaxFS and MaxMBPS). */
int h264_level_idc(int level);
bool h264_is_above(int level, uint32_t width, uint32_t height, uint32_t fps);

struct h264 *h264_open(const struct h264_setting *setting);
void h264_close(struct h264 *h264);
void h264_set_bitrate(struct h264 *h264, uint32_t bits_per_second);

/* Writes one access unit; its length, or 0. */
size_t h264_encode(struct h264 *h264, const struct h264_picture *picture, bool force_key,
                   uint8_t *out, size_t room, bool *key);

#endif
