/* The encoder: a GstVideoEncoder as all the vendors' are, with the properties,
 * pads and signals of its description, and x264enc inside.
 *
 * STANDIN_FAULT says in the environment what is wrong with it:
 *
 *   silent      frames go in and none come out
 *   error       an error on the first frame
 *   fail        it does not start
 *   no-bitrate  the bitrate is taken once and then ignored
 *   no-key      key frame requests are taken and ignored
 *   bframes     frames in another order
 *   no-headers  no SPS and no PPS, ever
 */
#include "standin.h"
#include <string.h>

typedef struct
{
  GstVideoEncoder parent;
  GValue *values;
  Inside inside;                /* empty while it is stopped */
  GstClockTime first;           /* PTS of the first frame */
  GstClockTimeDiff moved;       /* what x264enc adds to it */
  gboolean came;
  guint frames;
  GstFlowReturn flow;
  gint wanted;                  /* atomic: a key frame */
} Standin;

typedef struct
{
  GstVideoEncoderClass parent;
  const Description *description;
} StandinClass;

static GstVideoEncoderClass *parent_class;

static const Description *
described (Standin * self)
{
  return ((StandinClass *) G_OBJECT_GET_CLASS (self))->description;
}

static gboolean
has_fault (const gchar * name)
{
  return g_strcmp0 (g_getenv ("STANDIN_FAULT"), name) == 0;
}

/* The number that a property has; `otherwise` where there is none. */
static gint64
number (Standin * self, const gchar * name, gint64 otherwise)
{
  GValue wide = G_VALUE_INIT;
  guint index;

  if (!standin_property (described (self), name, &index))
    return otherwise;
  if (G_VALUE_HOLDS_ENUM (&self->values[index]))
    return g_value_get_enum (&self->values[index]);
  g_value_init (&wide, G_TYPE_INT64);
  GST_OBJECT_LOCK (self);
  if (g_value_transform (&self->values[index], &wide))
    otherwise = g_value_get_int64 (&wide);
  GST_OBJECT_UNLOCK (self);
  return otherwise;
}

/* The value of an enumeration's property. */
static const GEnumValue *
choice (Standin * self, const gchar * name)
{
  GParamSpec *spec = standin_property (described (self), name, NULL);

  return g_enum_get_value (G_PARAM_SPEC_ENUM (spec)->enum_class,
      (gint) number (self, name, 0));
}

static guint
kilobits (Standin * self)
{
  const Description *what = described (self);
  gint64 value = number (self, what->bits, 0);

  /* None and the largest are for the driver to choose. */
  if (value <= 0 || value >= G_MAXUINT)
    return 2048;
  return (guint) CLAMP (value * what->bits_unit / 1000, 1, 2048000);
}

static guint
key_distance (Standin * self, const GstVideoInfo * info)
{
  const Description *what = described (self);
  gint64 value = number (self, what->distance, 0);

  if (value <= 0 || value >= G_MAXINT)
    value = MAX (1, info->fps_n / MAX (1, info->fps_d));
  return (guint) value *(1 + (guint) number (self, what->idr_every, 0));
}

/* --- Properties and signals ------------------------------------------------ */

static gboolean
is_mutable (GParamSpec * spec, GstState state)
{
  if (spec->flags & GST_PARAM_MUTABLE_PLAYING)
    return TRUE;
  if (spec->flags & GST_PARAM_MUTABLE_PAUSED)
    return state <= GST_STATE_PAUSED;
  if (spec->flags & GST_PARAM_MUTABLE_READY)
    return state <= GST_STATE_READY;
  return state <= GST_STATE_NULL;
}

static void
set_property (GObject * object, guint id, const GValue * value,
    GParamSpec * spec)
{
  Standin *self = (Standin *) object;
  const Description *what = described (self);

  if (what->enforced && !is_mutable (spec, GST_STATE (self))) {
    GST_WARNING_OBJECT (self, "\"%s\" cannot change now", spec->name);
    return;
  }
  GST_OBJECT_LOCK (self);
  g_value_copy (value, &self->values[id - 1]);
  GST_OBJECT_UNLOCK (self);
  if (g_strcmp0 (spec->name, what->bits) != 0)
    return;
  GST_OBJECT_LOCK (self);
  GstElement *x264 = self->inside.x264 ? gst_object_ref (self->inside.x264) : NULL;
  GST_OBJECT_UNLOCK (self);
  if (x264 && !has_fault ("no-bitrate")) {
    g_object_set (x264, "bitrate", kilobits (self), NULL);
    if (what->restarts)
      g_atomic_int_set (&self->wanted, TRUE);
  }
  if (x264)
    gst_object_unref (x264);
}

static void
get_property (GObject * object, guint id, GValue * value, GParamSpec * spec)
{
  Standin *self = (Standin *) object;

  GST_OBJECT_LOCK (self);
  g_value_copy (&self->values[id - 1], value);
  GST_OBJECT_UNLOCK (self);
}

static gboolean
on_signal (GstElement * element)
{
  Standin *self = (Standin *) element;

  /* As a driver that is not open yet: in vain. */
  if (self->inside.x264 == NULL)
    return FALSE;
  g_atomic_int_set (&self->wanted, TRUE);
  return TRUE;
}

static void
on_void_signal (GstElement * element)
{
  on_signal (element);
}

/* --- What comes out --------------------------------------------------------- */

static gboolean
keeps_headers (Standin * self)
{
  const Description *what = described (self);

  if (has_fault ("no-headers"))
    return FALSE;
  return !self->came || !what->headers
      || number (self, what->headers, 0) == what->headers_value;
}

static GstFlowReturn
on_encoded (GstPad * pad, GstObject * parent, GstBuffer * buffer)
{
  Standin *self = gst_pad_get_element_private (pad);
  GstVideoEncoder *encoder = GST_VIDEO_ENCODER (self);
  gboolean is_key = !GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  GstVideoCodecFrame *frame = NULL;
  GList *all, *each;

  if (!self->came)
    self->moved = GST_CLOCK_DIFF (self->first, GST_BUFFER_PTS (buffer));
  all = gst_video_encoder_get_frames (encoder);
  for (each = all; each; each = each->next) {
    GstVideoCodecFrame *one = each->data;
    if (GST_CLOCK_DIFF (one->pts, GST_BUFFER_PTS (buffer)) == self->moved)
      frame = gst_video_codec_frame_ref (one);
  }
  g_list_free_full (all, (GDestroyNotify) gst_video_codec_frame_unref);
  if (frame == NULL) {
    gst_buffer_unref (buffer);
    return GST_FLOW_OK;
  }
  if (!keeps_headers (self))
    buffer = standin_without_headers (buffer);
  self->came = TRUE;
  if (is_key && !described (self)->unmarked)
    GST_VIDEO_CODEC_FRAME_SET_SYNC_POINT (frame);
  frame->output_buffer = buffer;
  self->flow = gst_video_encoder_finish_frame (encoder, frame);
  return GST_FLOW_OK;
}

/* --- x264enc ---------------------------------------------------------------- */

static void
take_down (Standin * self)
{
  Inside inside = self->inside;

  GST_OBJECT_LOCK (self);
  memset (&self->inside, 0, sizeof (Inside));
  GST_OBJECT_UNLOCK (self);
  standin_close (&inside);
}

static void
configure (Standin * self, GstElement * x264, const GstVideoInfo * info)
{
  gint64 reorders = number (self, described (self)->reorders, 0);

  if (has_fault ("bframes"))
    reorders = 2;
  if (reorders > 16)
    reorders = 0;
  gst_util_set_object_arg (G_OBJECT (x264), "speed-preset", "ultrafast");
  gst_util_set_object_arg (G_OBJECT (x264), "tune",
      reorders ? "0" : "zerolatency");
  g_object_set (x264, "byte-stream", TRUE, "threads", 1, "sliced-threads",
      FALSE, "aud", FALSE, "vbv-buf-capacity", 120, "b-adapt", FALSE,
      "bframes", (guint) reorders, "bitrate", kilobits (self),
      "key-int-max", key_distance (self, info), NULL);
}

static gboolean
set_up (Standin * self, GstVideoCodecState * state, const gchar * profile)
{
  Inside inside;

  if (!standin_open (&inside, profile, on_encoded, self))
    return FALSE;
  configure (self, inside.x264, &state->info);
  standin_begin (&inside, state->caps);
  self->came = FALSE;
  self->first = GST_CLOCK_TIME_NONE;
  GST_OBJECT_LOCK (self);
  self->inside = inside;
  GST_OBJECT_UNLOCK (self);
  return TRUE;
}

/* --- GstVideoEncoder -------------------------------------------------------- */

static gboolean
start (GstVideoEncoder * encoder)
{
  Standin *self = (Standin *) encoder;

  self->frames = 0;
  self->flow = GST_FLOW_OK;
  return !has_fault ("fail");
}

static gboolean
stop (GstVideoEncoder * encoder)
{
  take_down ((Standin *) encoder);
  return TRUE;
}

/* One of x264enc's for the vendor's word. */
static const gchar *
known_profile (const gchar * word)
{
  static const gchar *all[] = { "constrained-baseline", "baseline", "main",
    "high"
  };
  gchar *lower = g_ascii_strdown (word ? word : "constrained-baseline", -1);
  const gchar *found = "constrained-baseline";

  for (guint i = G_N_ELEMENTS (all); i-- > 0;)
    if (strstr (lower, all[i]))
      found = all[i];
  g_free (lower);
  return found;
}

static gboolean
set_format (GstVideoEncoder * encoder, GstVideoCodecState * state)
{
  Standin *self = (Standin *) encoder;
  const Description *what = described (self);
  GstCaps *caps = gst_pad_get_allowed_caps (encoder->srcpad);
  const gchar *profile;
  GstStructure *first;

  take_down (self);
  if (caps == NULL || gst_caps_is_empty (caps)) {
    gst_clear_caps (&caps);
    return FALSE;
  }
  caps = gst_caps_fixate (gst_caps_make_writable (caps));
  first = gst_caps_get_structure (caps, 0);
  if (g_strcmp0 (gst_structure_get_name (first), "video/x-h264") != 0
      || g_strcmp0 (gst_structure_get_string (first, "stream-format"),
          "byte-stream") != 0) {
    gst_caps_unref (caps);
    return FALSE;
  }
  gst_structure_remove_fields (first, "width", "height", "framerate", NULL);
  if (what->profile) {
    /* What GLib calls the value, as g_enum_to_string() does. */
    gst_structure_remove_fields (first, "profile", "level", NULL);
    if (what->level) {
      gst_structure_set (first, "profile", G_TYPE_STRING,
          choice (self, what->profile)->value_name, "level", G_TYPE_STRING,
          choice (self, what->level)->value_name, NULL);
    }
    profile = known_profile (choice (self, what->profile)->value_nick);
  } else {
    profile = known_profile (gst_structure_get_string (first, "profile"));
  }
  if (has_fault ("bframes"))
    profile = "main";
  gst_video_codec_state_unref (gst_video_encoder_set_output_state (encoder,
          caps, state));
  return gst_video_encoder_negotiate (encoder) && set_up (self, state, profile);
}

static void
ask_for_a_key_frame (Standin * self, GstVideoCodecFrame * frame)
{
  const Description *what = described (self);
  gboolean by_event = g_strcmp0 (what->key, "event") == 0
      && GST_VIDEO_CODEC_FRAME_IS_FORCE_KEYFRAME (frame);
  gboolean by_itself = g_atomic_int_compare_and_exchange (&self->wanted, TRUE,
      FALSE);

  if ((by_event || by_itself) && !has_fault ("no-key"))
    gst_pad_push_event (self->inside.drain,
        gst_video_event_new_upstream_force_key_unit (GST_CLOCK_TIME_NONE, TRUE,
            0));
}

static GstFlowReturn
handle_frame (GstVideoEncoder * encoder, GstVideoCodecFrame * frame)
{
  Standin *self = (Standin *) encoder;
  GstBuffer *input;

  if (described (self)->needs_meta
      && !gst_buffer_get_video_meta (frame->input_buffer)) {
    GST_ERROR_OBJECT (self, "a frame without GstVideoMeta");
    gst_video_codec_frame_unref (frame);
    return GST_FLOW_ERROR;
  }
  if (has_fault ("error")) {
    GST_ELEMENT_ERROR (self, STREAM, ENCODE, ("The encoder broke down."),
        ("as the test asked for"));
    gst_video_codec_frame_unref (frame);
    return GST_FLOW_ERROR;
  }
  if (has_fault ("silent"))
    return gst_video_encoder_finish_frame (encoder, frame);
  if (self->frames++ > 0)
    ask_for_a_key_frame (self, frame);
  input = gst_buffer_copy (frame->input_buffer);
  GST_BUFFER_PTS (input) = frame->pts;
  GST_BUFFER_DTS (input) = GST_CLOCK_TIME_NONE;
  if (!GST_CLOCK_TIME_IS_VALID (self->first))
    self->first = frame->pts;
  gst_video_codec_frame_unref (frame);
  if (gst_pad_push (self->inside.feed, input) != GST_FLOW_OK)
    return GST_FLOW_ERROR;
  return self->flow;
}

static GstFlowReturn
finish (GstVideoEncoder * encoder)
{
  Standin *self = (Standin *) encoder;

  if (self->inside.bin)
    gst_pad_push_event (self->inside.feed, gst_event_new_eos ());
  return self->flow;
}

/* --- The class --------------------------------------------------------------- */

static void
finalize (GObject * object)
{
  Standin *self = (Standin *) object;

  for (guint i = 0; i < described (self)->properties->len; i++)
    g_value_unset (&self->values[i]);
  g_free (self->values);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
add_signal (gpointer class, const gchar * line)
{
  gchar **words = g_strsplit (line, " ", 2);
  gboolean answers = g_strcmp0 (words[1], "boolean") == 0;

  g_signal_new_class_handler (words[0], G_TYPE_FROM_CLASS (class),
      G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION,
      answers ? G_CALLBACK (on_signal) : G_CALLBACK (on_void_signal), NULL,
      NULL, NULL, answers ? G_TYPE_BOOLEAN : G_TYPE_NONE, 0);
  g_strfreev (words);
}

static void
class_init (gpointer class, gpointer data)
{
  GObjectClass *object = class;
  GstElementClass *element = class;
  GstVideoEncoderClass *encoder = class;
  const Description *what = data;

  parent_class = g_type_class_peek_parent (class);
  ((StandinClass *) class)->description = what;
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  for (guint i = 0; i < what->properties->len; i++)
    g_object_class_install_property (object, i + 1,
        g_ptr_array_index (what->properties, i));
  for (guint i = 0; i < what->signals->len; i++)
    add_signal (class, g_ptr_array_index (what->signals, i));
  gst_element_class_add_pad_template (element, gst_pad_template_new ("sink",
          GST_PAD_SINK, GST_PAD_ALWAYS, what->sink));
  gst_element_class_add_pad_template (element, gst_pad_template_new ("src",
          GST_PAD_SRC, GST_PAD_ALWAYS, what->src));
  gst_element_class_set_static_metadata (element, "Stand-in for an encoder",
      "Codec/Encoder/Video", "Made of a description, with x264 inside",
      "camera-agent");
  encoder->start = start;
  encoder->stop = stop;
  encoder->set_format = set_format;
  encoder->handle_frame = handle_frame;
  encoder->finish = finish;
}

static void
instance_init (GTypeInstance * instance, gpointer class)
{
  Standin *self = (Standin *) instance;
  const Description *what = ((StandinClass *) class)->description;

  self->values = g_new0 (GValue, what->properties->len);
  for (guint i = 0; i < what->properties->len; i++) {
    GParamSpec *spec = g_ptr_array_index (what->properties, i);
    g_value_init (&self->values[i], spec->value_type);
    g_param_value_set_default (spec, &self->values[i]);
  }
}

GType
standin_encoder_type (const Description * description)
{
  const GTypeInfo info = {
    .class_size = sizeof (StandinClass),
    .class_init = class_init,
    .class_data = description,
    .instance_size = sizeof (Standin),
    .instance_init = instance_init,
  };

  return g_type_register_static (GST_TYPE_VIDEO_ENCODER,
      g_intern_string (description->type), &info, 0);
}
