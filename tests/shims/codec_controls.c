/* An encoder's controls, each open's own: as v4l2-ctrls-core.c of the kernel
 * rounds and refuses values.
 */
#include "codec.h"

#include <errno.h>
#include <string.h>

static int fail(int error) {
  errno = error;
  return -1;
}

void codec_controls_reset(struct codec *codec) {
  for (int i = 0; i < CODEC_CONTROLS; i++)
    codec->values[i] = codec->personality->controls[i].initial;
}

int32_t codec_value(const struct codec *codec, uint32_t id, int32_t otherwise) {
  int index = id ? personality_control(codec->personality, id) : -1;
  return index < 0 ? otherwise : codec->values[index];
}

static int query(const struct codec *codec, struct v4l2_query_ext_ctrl *answer) {
  int index = personality_control(codec->personality, answer->id);
  if (index < 0) return fail(EINVAL);
  const struct codec_control *control = &codec->personality->controls[index];
  memset(answer, 0, sizeof *answer);
  answer->id = control->id;
  answer->type = control->type;
  snprintf(answer->name, sizeof answer->name, "%s", control->name);
  answer->minimum = control->minimum;
  answer->maximum = control->maximum;
  answer->step = control->step ? control->step : 1;
  answer->default_value = control->initial;
  answer->elem_size = sizeof(int32_t);
  answer->elems = 1;
  if (control->type == V4L2_CTRL_TYPE_BUTTON)
    answer->flags = V4L2_CTRL_FLAG_WRITE_ONLY | V4L2_CTRL_FLAG_EXECUTE_ON_WRITE;
  return 0;
}

static int query_old(const struct codec *codec, struct v4l2_queryctrl *answer) {
  struct v4l2_query_ext_ctrl full = {.id = answer->id};
  if (query(codec, &full) < 0) return -1;
  memset(answer, 0, sizeof *answer);
  answer->id = full.id;
  answer->type = full.type;
  memcpy(answer->name, full.name, sizeof answer->name);
  answer->minimum = (int32_t)full.minimum;
  answer->maximum = (int32_t)full.maximum;
  answer->step = (int32_t)full.step;
  answer->default_value = (int32_t)full.default_value;
  answer->flags = full.flags;
  return 0;
}

static bool has_entry(const struct codec_control *control, int64_t entry) {
  return entry >= control->minimum && entry <= control->maximum &&
         !(control->skipped >> entry & 1);
}

static int query_menu(const struct codec *codec, struct v4l2_querymenu *answer) {
  int index = personality_control(codec->personality, answer->id);
  if (index < 0) return fail(EINVAL);
  const struct codec_control *control = &codec->personality->controls[index];
  if (control->type != V4L2_CTRL_TYPE_MENU || !has_entry(control, answer->index))
    return fail(EINVAL);
  memset(answer->name, 0, sizeof answer->name);
  snprintf((char *)answer->name, sizeof answer->name, "Entry %u", answer->index);
  return 0;
}

/* ROUND_TO_RANGE */
static int32_t rounded(const struct codec_control *control, int32_t value) {
  int64_t step = control->step ? control->step : 1, near = value + step / 2;
  if (near < control->minimum) near = control->minimum;
  if (near > control->maximum) near = control->maximum;
  return (int32_t)(control->minimum + (near - control->minimum) / step * step);
}

static int set(struct codec *codec, uint32_t id, int32_t *value) {
  int index = personality_control(codec->personality, id & V4L2_CTRL_ID_MASK);
  if (index < 0) return fail(EINVAL);
  const struct codec_control *control = &codec->personality->controls[index];
  switch (control->type) {
  case V4L2_CTRL_TYPE_BUTTON:
    *value = 0;
    codec->forces_key = !codec_has_fault(codec, "ignores-key-frames");
    return 0;
  case V4L2_CTRL_TYPE_BOOLEAN: *value = !!*value; break;
  case V4L2_CTRL_TYPE_MENU:
    if (*value < control->minimum || *value > control->maximum) return fail(ERANGE);
    if (!has_entry(control, *value)) return fail(EINVAL);
    break;
  default: *value = rounded(control, *value);
  }
  codec->values[index] = *value;
  if (control->id == V4L2_CID_MPEG_VIDEO_BITRATE) {
    codec->is_new_rate = true;
    codec->counts->bitrate = (uint64_t)*value;
  }
  /* "Support both controls, but writing to H264_I_PERIOD will update GOP_SIZE." */
  bool is_bcm2835 = !strcmp(codec->personality->name, "bcm2835-codec");
  if (is_bcm2835 && control->id == V4L2_CID_MPEG_VIDEO_H264_I_PERIOD)
    return set(codec, V4L2_CID_MPEG_VIDEO_GOP_SIZE, value);
  return 0;
}

static int get(const struct codec *codec, uint32_t id, int32_t *value) {
  int index = personality_control(codec->personality, id & V4L2_CTRL_ID_MASK);
  if (index < 0) return fail(EINVAL);
  if (codec->personality->controls[index].type == V4L2_CTRL_TYPE_BUTTON) return fail(EACCES);
  *value = codec->values[index];
  return 0;
}

static int several(struct codec *codec, uint32_t request, struct v4l2_ext_controls *list) {
  for (uint32_t i = 0; i < list->count; i++) {
    struct v4l2_ext_control *one = &list->controls[i];
    int32_t value = one->value;
    int done = request == VIDIOC_S_EXT_CTRLS   ? set(codec, one->id, &value)
               : request == VIDIOC_G_EXT_CTRLS ? get(codec, one->id, &value)
               : personality_control(codec->personality, one->id) >= 0 ? 0
                                                                        : fail(EINVAL);
    one->value = value;
    if (done < 0) {
      list->error_idx = i;
      return -1;
    }
  }
  return 0;
}

int codec_controls_ioctl(struct codec *codec, unsigned long request, void *argument) {
  struct v4l2_control *control = argument;
  switch ((uint32_t)request) {
  case VIDIOC_QUERY_EXT_CTRL: return query(codec, argument);
  case VIDIOC_QUERYCTRL: return query_old(codec, argument);
  case VIDIOC_QUERYMENU: return query_menu(codec, argument);
  case VIDIOC_G_CTRL: return get(codec, control->id, &control->value);
  case VIDIOC_S_CTRL: return set(codec, control->id, &control->value);
  case VIDIOC_G_EXT_CTRLS:
  case VIDIOC_S_EXT_CTRLS:
  case VIDIOC_TRY_EXT_CTRLS: return several(codec, (uint32_t)request, argument);
  default: return fail(ENOTTY);
  }
}
