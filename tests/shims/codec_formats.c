/* An encoder's formats, sizes and rate: what S_FMT makes of a wish is rounded
 * and padded as the driver's row of personality.c says.
 */
#include "codec.h"

#include <errno.h>
#include <string.h>

static int fail(int error) {
  errno = error;
  return -1;
}

static uint32_t up(uint32_t value, uint32_t step) { return (value + step - 1) / step * step; }

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) {
  return value < low ? low : value > high ? high : value;
}

static const struct raw_format *raw_format(const struct codec *codec, uint32_t fourcc) {
  const struct raw_format *formats = codec->personality->formats;
  for (int i = 0; i < RAW_FORMATS && formats[i].fourcc; i++)
    if (formats[i].fourcc == fourcc) return &formats[i];
  return &formats[0];
}

static void fit_raw(const struct codec *codec, struct v4l2_pix_format_mplane *format) {
  const struct personality *as = codec->personality;
  const struct raw_format *raw = raw_format(codec, format->pixelformat);
  struct v4l2_plane_pix_format *plane = &format->plane_fmt[0];
  bool is_packed = raw->fourcc == V4L2_PIX_FMT_YUYV || raw->fourcc == V4L2_PIX_FMT_UYVY;
  format->pixelformat = raw->fourcc;
  format->width = up(within(format->width, as->sizes.min_width, as->sizes.max_width),
                     as->padded_width);
  format->height = up(within(format->height, as->sizes.min_height, as->sizes.max_height),
                      as->padded_height);
  uint32_t least = up(format->width * (is_packed ? 2 : 1), raw->stride);
  bool is_larger = as->takes_stride && plane->bytesperline > least;
  plane->bytesperline = is_larger ? up(plane->bytesperline, raw->stride) : least;
  uint32_t chroma = is_packed ? 0 : up(format->height / 2, as->chroma_lines);
  plane->sizeimage = plane->bytesperline * (format->height + chroma) + as->extra;
}

static void fit_coded(const struct codec *codec, struct v4l2_pix_format_mplane *format) {
  const struct v4l2_frmsize_stepwise *sizes = &codec->personality->sizes;
  struct v4l2_plane_pix_format *plane = &format->plane_fmt[0];
  format->pixelformat = V4L2_PIX_FMT_H264;
  format->width = within(format->width, sizes->min_width, sizes->max_width);
  format->height = within(format->height, sizes->min_height, sizes->max_height);
  plane->bytesperline = 0;
  uint32_t least = (format->width * format->height > 1280 * 720 ? 768 : 512) << 10;
  if (plane->sizeimage < least) plane->sizeimage = least;
}

static int format_ioctl(struct codec *codec, unsigned long request, struct v4l2_format *format) {
  struct queue *queue = codec_queue(codec, format->type);
  if (!queue) return fail(EINVAL);
  bool is_raw = queue == &codec->output;
  struct v4l2_pix_format_mplane *kept = is_raw ? &codec->output_format : &codec->capture_format;
  struct v4l2_pix_format_mplane *asked = &format->fmt.pix_mp;
  if (request == VIDIOC_G_FMT) {
    *asked = *kept;
    return 0;
  }
  uint32_t width = asked->width, height = asked->height;
  asked->num_planes = 1;
  asked->field = V4L2_FIELD_NONE;
  if (!asked->colorspace) asked->colorspace = codec->output_format.colorspace;
  if (is_raw) fit_raw(codec, asked);
  else fit_coded(codec, asked);
  if (request == VIDIOC_TRY_FMT) return 0;
  if (queue->count > 0) return fail(EBUSY);
  *kept = *asked;
  queue->size = asked->plane_fmt[0].sizeimage;
  if (is_raw) codec->crop = (struct v4l2_rect){0, 0, asked->width, asked->height};
  if (is_raw && codec->personality->crops_by_itself)
    codec->crop = (struct v4l2_rect){0, 0, up(width, 2), up(height, 2)};
  return 0;
}

static int enumerate_formats(const struct codec *codec, struct v4l2_fmtdesc *answer) {
  uint32_t index = answer->index, type = answer->type;
  const struct raw_format *formats = codec->personality->formats;
  bool is_raw = type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
  if (!is_raw && type != V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) return fail(EINVAL);
  if (index >= (is_raw ? RAW_FORMATS : 1) || (is_raw && !formats[index].fourcc))
    return fail(EINVAL);
  memset(answer, 0, sizeof *answer);
  answer->index = index;
  answer->type = type;
  answer->pixelformat = is_raw ? formats[index].fourcc : V4L2_PIX_FMT_H264;
  answer->flags = is_raw ? 0 : V4L2_FMT_FLAG_COMPRESSED;
  return 0;
}

static int enumerate_sizes(const struct codec *codec, struct v4l2_frmsizeenum *answer) {
  bool is_known = answer->pixel_format == V4L2_PIX_FMT_H264 ||
                  raw_format(codec, answer->pixel_format)->fourcc == answer->pixel_format;
  if (answer->index > 0 || !is_known) return fail(EINVAL);
  answer->type = V4L2_FRMSIZE_TYPE_STEPWISE;
  answer->stepwise = codec->personality->sizes;
  return 0;
}

static int crop_ioctl(struct codec *codec, unsigned long request, struct v4l2_selection *asked) {
  const struct v4l2_pix_format_mplane *format = &codec->output_format;
  bool is_crop = asked->target == V4L2_SEL_TGT_CROP;
  if (!V4L2_TYPE_IS_OUTPUT(asked->type)) return fail(EINVAL);
  if (request == VIDIOC_S_SELECTION) {
    if (!is_crop) return fail(EINVAL);
    codec->crop.width = within(asked->r.width, 2, format->width);
    codec->crop.height = within(asked->r.height, 2, format->height);
  } else if (!is_crop && asked->target != V4L2_SEL_TGT_CROP_DEFAULT &&
             asked->target != V4L2_SEL_TGT_CROP_BOUNDS) {
    return fail(EINVAL);
  }
  asked->r = is_crop ? codec->crop : (struct v4l2_rect){0, 0, format->width, format->height};
  return 0;
}

static int rate_ioctl(struct codec *codec, unsigned long request, struct v4l2_streamparm *rate) {
  struct v4l2_outputparm *output = &rate->parm.output;
  if (!V4L2_TYPE_IS_OUTPUT(rate->type)) return fail(EINVAL);
  bool is_rate = output->timeperframe.numerator && output->timeperframe.denominator;
  if (request == VIDIOC_S_PARM && is_rate) codec->interval = output->timeperframe;
  output->capability = V4L2_CAP_TIMEPERFRAME;
  output->timeperframe = codec->interval;
  return 0;
}

int codec_formats_ioctl(struct codec *codec, unsigned long request, void *argument) {
  switch ((uint32_t)request) {
  case VIDIOC_ENUM_FMT: return enumerate_formats(codec, argument);
  case VIDIOC_ENUM_FRAMESIZES: return enumerate_sizes(codec, argument);
  case VIDIOC_G_SELECTION:
  case VIDIOC_S_SELECTION: return crop_ioctl(codec, request, argument);
  case VIDIOC_G_PARM:
  case VIDIOC_S_PARM: return rate_ioctl(codec, request, argument);
  default: return format_ioctl(codec, request, argument);
  }
}

void codec_formats_reset(struct codec *codec) {
  const struct v4l2_frmsize_stepwise *sizes = &codec->personality->sizes;
  struct v4l2_format raw = {.type = V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE};
  struct v4l2_format coded = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE};
  codec->output_format.colorspace = V4L2_COLORSPACE_REC709;
  raw.fmt.pix_mp.width = coded.fmt.pix_mp.width = sizes->min_width;
  raw.fmt.pix_mp.height = coded.fmt.pix_mp.height = sizes->min_height;
  format_ioctl(codec, VIDIOC_S_FMT, &raw);
  format_ioctl(codec, VIDIOC_S_FMT, &coded);
  codec->interval = (struct v4l2_fract){1, 30};
}
