/* libx264 as the silicon of a test encoder: no frame is held back, one slice a
 * frame, Annex B.
 */
#include "h264.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <linux/videodev2.h>
#include <x264.h>

struct h264 {
  x264_t *x264;
  x264_param_t param;
  bool repeat_headers, begun;
  uint8_t *subsampled; /* I420 of a packed picture */
};

/* By the numbers of enum v4l2_mpeg_video_h264_level. */
static const struct {
  int idc;
  uint32_t macroblocks, a_second;
} levels[] = {
    {10, 99, 1485},      {9, 99, 1485},       {11, 396, 3000},     {12, 396, 6000},
    {13, 396, 11880},    {20, 396, 11880},    {21, 792, 19800},    {22, 1620, 20250},
    {30, 1620, 40500},   {31, 3600, 108000},  {32, 5120, 216000},  {40, 8192, 245760},
    {41, 8192, 245760},  {42, 8704, 522240},  {50, 22080, 589824}, {51, 36864, 983040},
};
enum { LEVELS = sizeof levels / sizeof *levels };

int h264_level_idc(int level) { return level >= 0 && level < LEVELS ? levels[level].idc : 40; }

bool h264_is_above(int level, uint32_t width, uint32_t height, uint32_t fps) {
  uint32_t macroblocks = (width + 15) / 16 * ((height + 15) / 16);
  if (level < 0 || level >= LEVELS) return false;
  return macroblocks > levels[level].macroblocks || macroblocks * fps > levels[level].a_second;
}

static void set_rate(x264_param_t *param, uint32_t bits_per_second) {
  param->rc.i_bitrate = (int)(bits_per_second / 1000);
  param->rc.i_vbv_max_bitrate = param->rc.i_bitrate;
  param->rc.i_vbv_buffer_size = param->rc.i_bitrate / 8;
}

struct h264 *h264_open(const struct h264_setting *setting) {
  struct h264 *h264 = calloc(1, sizeof *h264);
  x264_param_t *param = h264 ? &h264->param : NULL;
  if (!h264 || x264_param_default_preset(param, "ultrafast", "zerolatency") < 0) goto failed;
  param->i_log_level = X264_LOG_NONE;
  param->i_width = (int)setting->width;
  param->i_height = (int)setting->height;
  param->i_csp = X264_CSP_I420;
  param->i_fps_num = setting->fps;
  param->i_fps_den = 1;
  param->i_threads = 1;
  param->b_sliced_threads = 0;
  param->b_vfr_input = 0;
  param->i_keyint_max = setting->gop ? (int)setting->gop : X264_KEYINT_MAX_INFINITE;
  param->i_keyint_min = 1;
  param->i_scenecut_threshold = 0;
  param->b_repeat_headers = 0;
  param->b_annexb = 1;
  param->b_aud = 0;
  param->i_level_idc = h264_level_idc(setting->level);
  if (setting->bits_per_second) {
    param->rc.i_rc_method = X264_RC_ABR;
    set_rate(param, setting->bits_per_second);
  } else {
    param->rc.i_rc_method = X264_RC_CQP;
    param->rc.i_qp_constant = 30;
  }
  bool is_baseline = setting->profile == V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE ||
                     setting->profile == V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE;
  bool is_main = setting->profile == V4L2_MPEG_VIDEO_H264_PROFILE_MAIN;
  if (!is_baseline) param->b_cabac = 1;
  if (!is_baseline && !is_main) param->analyse.b_transform_8x8 = 1;
  if (x264_param_apply_profile(param, is_baseline ? "baseline" : is_main ? "main" : "high") < 0)
    goto failed;
  h264->x264 = x264_encoder_open(param);
  h264->repeat_headers = setting->repeat_headers;
  h264->subsampled = malloc((size_t)setting->width * setting->height * 3 / 2);
  if (h264->x264 && h264->subsampled) return h264;
failed:
  if (h264) h264_close(h264);
  return NULL;
}

void h264_close(struct h264 *h264) {
  if (h264->x264) x264_encoder_close(h264->x264);
  free(h264->subsampled);
  free(h264);
}

void h264_set_bitrate(struct h264 *h264, uint32_t bits_per_second) {
  if (h264->param.rc.i_rc_method != X264_RC_ABR) return;
  set_rate(&h264->param, bits_per_second);
  x264_encoder_reconfig(h264->x264, &h264->param);
}

/* 4:2:2 in one plane to I420: every other line's colours are left out. */
static void subsample(struct h264 *h264, const struct h264_picture *picture) {
  uint32_t width = (uint32_t)h264->param.i_width, height = (uint32_t)h264->param.i_height;
  uint32_t luma = picture->fourcc == V4L2_PIX_FMT_UYVY, chroma = !luma;
  uint8_t *y = h264->subsampled, *u = y + (size_t)width * height;
  uint8_t *v = u + (size_t)(width / 2) * (height / 2);
  for (uint32_t row = 0; row < height; row++) {
    const uint8_t *line = picture->data + (size_t)row * picture->stride;
    for (uint32_t x = 0; x < width; x++) *y++ = line[2 * x + luma];
    for (uint32_t x = 0; row % 2 == 0 && x < width / 2; x++) {
      *u++ = line[4 * x + chroma];
      *v++ = line[4 * x + 2 + chroma];
    }
  }
}

static void point_at(struct h264 *h264, const struct h264_picture *picture, x264_picture_t *in) {
  int width = h264->param.i_width, height = h264->param.i_height;
  bool swapped = picture->fourcc == V4L2_PIX_FMT_YVU420;
  in->img.plane[0] = (uint8_t *)picture->data;
  in->img.i_stride[0] = (int)picture->stride;
  in->img.plane[1] = (uint8_t *)picture->chroma;
  switch (picture->fourcc) {
  case V4L2_PIX_FMT_NV12:
  case V4L2_PIX_FMT_NV21:
    in->img.i_csp = picture->fourcc == V4L2_PIX_FMT_NV12 ? X264_CSP_NV12 : X264_CSP_NV21;
    in->img.i_plane = 2;
    in->img.i_stride[1] = (int)picture->stride;
    return;
  case V4L2_PIX_FMT_YUYV:
  case V4L2_PIX_FMT_UYVY:
    subsample(h264, picture);
    in->img.plane[0] = h264->subsampled;
    in->img.plane[1] = h264->subsampled + (size_t)width * (size_t)height;
    in->img.plane[2] = in->img.plane[1] + (size_t)(width / 2) * (size_t)(height / 2);
    in->img.i_stride[0] = width;
    in->img.i_stride[1] = in->img.i_stride[2] = width / 2;
    break;
  default:
    in->img.plane[2] = in->img.plane[1] + (size_t)picture->stride / 2 * picture->lines;
    in->img.i_stride[1] = in->img.i_stride[2] = (int)picture->stride / 2;
  }
  in->img.i_csp = swapped ? X264_CSP_YV12 : X264_CSP_I420;
  in->img.i_plane = 3;
}

static size_t put(const x264_nal_t *nals, int count, uint8_t *out, size_t room, bool headers) {
  size_t length = 0;
  for (int i = 0; i < count; i++) {
    bool is_header = nals[i].i_type == NAL_SPS || nals[i].i_type == NAL_PPS;
    /* x264 tells of itself in an SEI, which no silicon does. */
    if (nals[i].i_type == NAL_SEI || (headers && !is_header)) continue;
    if (length + (size_t)nals[i].i_payload > room) return 0;
    memcpy(out + length, nals[i].p_payload, (size_t)nals[i].i_payload);
    length += (size_t)nals[i].i_payload;
  }
  return length;
}

size_t h264_encode(struct h264 *h264, const struct h264_picture *picture, bool force_key,
                   uint8_t *out, size_t room, bool *key) {
  x264_picture_t in, coded;
  x264_nal_t *nals;
  int count;
  size_t length = 0;
  x264_picture_init(&in);
  point_at(h264, picture, &in);
  in.i_type = force_key ? X264_TYPE_IDR : X264_TYPE_AUTO;
  if (x264_encoder_encode(h264->x264, &nals, &count, &in, &coded) <= 0) return 0;
  *key = coded.b_keyframe;
  /* `nals` is good until the next call: behind it the headers would be. */
  length = put(nals, count, out, room, false);
  if (length == 0 || !*key || (h264->begun && !h264->repeat_headers)) return length;
  h264->begun = true;
  uint8_t *unit = malloc(length);
  if (!unit) return 0;
  memcpy(unit, out, length);
  size_t before = 0;
  if (x264_encoder_headers(h264->x264, &nals, &count) > 0)
    before = put(nals, count, out, room, true);
  if (before + length > room) length = 0;
  else memcpy(out + before, unit, length);
  free(unit);
  return length ? before + length : 0;
}
