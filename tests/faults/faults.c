/* An H.264 encoder that goes wrong on purpose, for tests: x264enc in a bin,
 * with one fault of the kind that real encoders have.
 *
 *   faultenc fault=stall after=30 trigger=/tmp/now bitrate=2000 key-int-max=300
 *
 * fault     none, or what goes wrong:
 *             stall       after a while the streaming thread never comes back
 *             silent      after a while frames go in and none come out
 *             error       after a while an error on the bus
 *             empty       after a while buffers without content
 *             eos         after a while the end of the stream
 *             crash       after a while SIGSEGV
 *             no-key      key frame requests are dropped
 *             no-bitrate  the bitrate is taken once and then ignored
 *             profile     high-4:2:2 instead of constrained baseline
 *             bframes     frames in another order
 *             slices      four slices a frame
 *             hang        the start never comes back
 *             hang-stop   the stop never comes back
 *             fail        the start fails
 * after     frames before the fault begins; 0 is at once
 * trigger   a file: while it is not there, nothing goes wrong. Only with it
 *           does `after` count, from then on. Faults of how the encoder is set
 *           up (profile, bframes, slices) and of its start need the file at
 *           the start.
 */
#include <gst/gst.h>
#include <gst/video/video.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FAULT_TYPE_ENC (fault_enc_get_type ())
G_DECLARE_FINAL_TYPE (FaultEnc, fault_enc, FAULT, ENC, GstBin)

struct _FaultEnc
{
  GstBin parent;
  GstElement *convert, *filter, *encoder;
  gchar *fault;
  gchar *trigger;
  guint after;
  guint bitrate;
  guint key_int_max;
  guint seen;                   /* frames since the fault may begin */
  gboolean running;
  gint stopping;                /* atomic: a stall gives way to a stop */
};

G_DEFINE_TYPE (FaultEnc, fault_enc, GST_TYPE_BIN)

enum
{ PROP_0, PROP_FAULT, PROP_AFTER, PROP_TRIGGER, PROP_BITRATE, PROP_KEY_INT_MAX };

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS ("video/x-raw"));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS ("video/x-h264"));

static gboolean
is_triggered (FaultEnc * self)
{
  return self->trigger == NULL || *self->trigger == '\0'
      || access (self->trigger, F_OK) == 0;
}

static gboolean
has_fault (FaultEnc * self, const gchar * name)
{
  return g_strcmp0 (self->fault, name) == 0 && is_triggered (self);
}

static GstPadProbeReturn
swallow (GstPadProbeInfo * info, GstFlowReturn flow)
{
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  info->data = NULL;
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = flow;
  return GST_PAD_PROBE_HANDLED;
}

/* Each frame that leaves x264enc. */
static GstPadProbeReturn
on_frame (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  FaultEnc *self = user_data;

  if (!is_triggered (self) || self->seen++ < self->after)
    return GST_PAD_PROBE_OK;

  if (has_fault (self, "stall")) {
    while (!g_atomic_int_get (&self->stopping))
      g_usleep (10000);
    return swallow (info, GST_FLOW_FLUSHING);
  }
  if (has_fault (self, "silent"))
    return swallow (info, GST_FLOW_OK);
  if (has_fault (self, "error")) {
    GST_ELEMENT_ERROR (self, STREAM, ENCODE, ("The encoder broke down."),
        ("as the test asked for"));
    return swallow (info, GST_FLOW_ERROR);
  }
  if (has_fault (self, "empty")) {
    GstBuffer *full = GST_PAD_PROBE_INFO_BUFFER (info);
    GstBuffer *empty = gst_buffer_new ();
    gst_buffer_copy_into (empty, full,
        GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
    gst_buffer_unref (full);
    info->data = empty;
    return GST_PAD_PROBE_OK;
  }
  if (has_fault (self, "eos")) {
    gst_pad_push_event (pad, gst_event_new_eos ());
    return swallow (info, GST_FLOW_EOS);
  }
  if (has_fault (self, "crash"))
    raise (SIGSEGV);
  return GST_PAD_PROBE_OK;
}

/* Key frame requests come up from behind. */
static GstPadProbeReturn
on_request (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  FaultEnc *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);

  if (gst_video_event_is_force_key_unit (event) && has_fault (self, "no-key"))
    return GST_PAD_PROBE_DROP;
  return GST_PAD_PROBE_OK;
}

static void
set_up (FaultEnc * self)
{
  gboolean bframes = has_fault (self, "bframes");

  self->seen = 0;
  g_atomic_int_set (&self->stopping, FALSE);
  gst_util_set_object_arg (G_OBJECT (self->encoder), "speed-preset",
      "ultrafast");
  gst_util_set_object_arg (G_OBJECT (self->encoder), "tune",
      bframes ? "0" : "zerolatency");
  g_object_set (self->encoder, "byte-stream", TRUE, "threads", 1,
      "sliced-threads", FALSE, "aud", FALSE, "vbv-buf-capacity", 120,
      "bitrate", self->bitrate, "key-int-max", self->key_int_max,
      "bframes", bframes ? 2 : 0, "b-adapt", FALSE,
      "option-string", has_fault (self, "slices") ? "slices=4" : "", NULL);
  if (has_fault (self, "profile")) {
    GstCaps *caps = gst_caps_from_string ("video/x-raw,format=Y42B");
    g_object_set (self->filter, "caps", caps, NULL);
    gst_caps_unref (caps);
  }
  self->running = TRUE;
}

static GstStateChangeReturn
fault_enc_change_state (GstElement * element, GstStateChange transition)
{
  FaultEnc *self = FAULT_ENC (element);

  if (transition == GST_STATE_CHANGE_NULL_TO_READY) {
    set_up (self);
    if (has_fault (self, "fail"))
      return GST_STATE_CHANGE_FAILURE;
    while (has_fault (self, "hang"))
      g_usleep (100000);
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    g_atomic_int_set (&self->stopping, TRUE);
    while (has_fault (self, "hang-stop"))
      g_usleep (100000);
    self->running = FALSE;
  }
  return GST_ELEMENT_CLASS (fault_enc_parent_class)->change_state (element,
      transition);
}

static void
fault_enc_set_property (GObject * object, guint id, const GValue * value,
    GParamSpec * spec)
{
  FaultEnc *self = FAULT_ENC (object);

  switch (id) {
    case PROP_FAULT:
      g_free (self->fault);
      self->fault = g_value_dup_string (value);
      break;
    case PROP_TRIGGER:
      g_free (self->trigger);
      self->trigger = g_value_dup_string (value);
      break;
    case PROP_AFTER:
      self->after = g_value_get_uint (value);
      break;
    case PROP_BITRATE:
      self->bitrate = g_value_get_uint (value);
      if (self->running && !has_fault (self, "no-bitrate"))
        g_object_set (self->encoder, "bitrate", self->bitrate, NULL);
      break;
    case PROP_KEY_INT_MAX:
      self->key_int_max = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
  }
}

static void
fault_enc_get_property (GObject * object, guint id, GValue * value,
    GParamSpec * spec)
{
  FaultEnc *self = FAULT_ENC (object);

  switch (id) {
    case PROP_FAULT:
      g_value_set_string (value, self->fault);
      break;
    case PROP_TRIGGER:
      g_value_set_string (value, self->trigger);
      break;
    case PROP_AFTER:
      g_value_set_uint (value, self->after);
      break;
    case PROP_BITRATE:
      g_value_set_uint (value, self->bitrate);
      break;
    case PROP_KEY_INT_MAX:
      g_value_set_uint (value, self->key_int_max);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
  }
}

static void
fault_enc_finalize (GObject * object)
{
  g_free (FAULT_ENC (object)->fault);
  g_free (FAULT_ENC (object)->trigger);
  G_OBJECT_CLASS (fault_enc_parent_class)->finalize (object);
}

static void
fault_enc_class_init (FaultEncClass * class)
{
  GObjectClass *object = G_OBJECT_CLASS (class);
  GstElementClass *element = GST_ELEMENT_CLASS (class);
  const GParamFlags both = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object->set_property = fault_enc_set_property;
  object->get_property = fault_enc_get_property;
  object->finalize = fault_enc_finalize;
  element->change_state = fault_enc_change_state;
  g_object_class_install_property (object, PROP_FAULT,
      g_param_spec_string ("fault", "fault", "What goes wrong", "none", both));
  g_object_class_install_property (object, PROP_TRIGGER,
      g_param_spec_string ("trigger", "trigger",
          "A file without which nothing goes wrong", NULL, both));
  g_object_class_install_property (object, PROP_AFTER,
      g_param_spec_uint ("after", "after", "Frames before it goes wrong", 0,
          G_MAXUINT, 0, both));
  g_object_class_install_property (object, PROP_BITRATE,
      g_param_spec_uint ("bitrate", "bitrate", "In kbit/s", 1, 2048000, 2048,
          both));
  g_object_class_install_property (object, PROP_KEY_INT_MAX,
      g_param_spec_uint ("key-int-max", "key-int-max",
          "Distance of key frames", 0, G_MAXINT, 0, both));
  gst_element_class_add_static_pad_template (element, &sink_template);
  gst_element_class_add_static_pad_template (element, &src_template);
  gst_element_class_set_static_metadata (element, "Faulty encoder",
      "Codec/Encoder/Video", "Goes wrong on purpose, for tests",
      "camera-agent");
}

static void
fault_enc_init (FaultEnc * self)
{
  GstPad *pad;

  self->fault = g_strdup ("none");
  self->bitrate = 2048;
  self->convert = gst_element_factory_make ("videoconvert", NULL);
  self->filter = gst_element_factory_make ("capsfilter", NULL);
  self->encoder = gst_element_factory_make ("x264enc", NULL);
  if (!self->convert || !self->filter || !self->encoder)
    return;
  gst_bin_add_many (GST_BIN (self), self->convert, self->filter,
      self->encoder, NULL);
  gst_element_link_many (self->convert, self->filter, self->encoder, NULL);

  pad = gst_element_get_static_pad (self->convert, "sink");
  gst_element_add_pad (GST_ELEMENT (self), gst_ghost_pad_new ("sink", pad));
  gst_object_unref (pad);
  pad = gst_element_get_static_pad (self->encoder, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, on_frame, self, NULL);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, on_request, self,
      NULL);
  gst_element_add_pad (GST_ELEMENT (self), gst_ghost_pad_new ("src", pad));
  gst_object_unref (pad);
}

static gboolean
plugin_init (GstPlugin * plugin)
{
  return gst_element_register (plugin, "faultenc", GST_RANK_NONE,
      FAULT_TYPE_ENC);
}

#ifndef PACKAGE
#define PACKAGE "camera-agent"
#endif
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, faults,
    "Encoders that go wrong on purpose", plugin_init, "1.0", "LGPL",
    "camera-agent", "https://gstreamer.freedesktop.org/")
