/* x264enc, driven from outside of any pipeline: what is pushed into it has come
 * out again when the push returns.
 */
#include "standin.h"

static gboolean
ignore_event (GstPad * pad, GstObject * parent, GstEvent * event)
{
  gst_event_unref (event);
  return TRUE;
}

static GstPad *
new_drain (const gchar * profile, GstPadChainFunction chain, gpointer data)
{
  GstCaps *caps = gst_caps_new_simple ("video/x-h264", "stream-format",
      G_TYPE_STRING, "byte-stream", "alignment", G_TYPE_STRING, "au",
      "profile", G_TYPE_STRING, profile, NULL);
  GstPadTemplate *template =
      gst_pad_template_new ("drain", GST_PAD_SINK, GST_PAD_ALWAYS, caps);
  GstPad *drain = gst_pad_new_from_template (template, "drain");

  gst_pad_set_element_private (drain, data);
  gst_pad_set_chain_function (drain, chain);
  gst_pad_set_event_function (drain, ignore_event);
  gst_object_unref (template);
  gst_caps_unref (caps);
  return drain;
}

gboolean
standin_open (Inside * inside, const gchar * profile, GstPadChainFunction chain,
    gpointer data)
{
  GstPad *sink, *src;

  inside->bin = gst_parse_bin_from_description ("videoconvert ! "
      "video/x-raw,format={I420,NV12} ! x264enc name=x264", TRUE, NULL);
  if (inside->bin == NULL)
    return FALSE;
  gst_object_ref_sink (inside->bin);
  inside->x264 = gst_bin_get_by_name (GST_BIN (inside->bin), "x264");
  inside->drain = new_drain (profile, chain, data);
  inside->feed = gst_pad_new ("feed", GST_PAD_SRC);
  sink = gst_element_get_static_pad (inside->bin, "sink");
  src = gst_element_get_static_pad (inside->bin, "src");
  gst_pad_link_full (inside->feed, sink, GST_PAD_LINK_CHECK_NOTHING);
  gst_pad_link_full (src, inside->drain, GST_PAD_LINK_CHECK_NOTHING);
  gst_object_unref (sink);
  gst_object_unref (src);
  return TRUE;
}

void
standin_begin (Inside * inside, GstCaps * caps)
{
  GstSegment segment;

  gst_pad_set_active (inside->drain, TRUE);
  gst_pad_set_active (inside->feed, TRUE);
  gst_element_set_state (inside->bin, GST_STATE_PLAYING);
  caps = gst_caps_copy (caps);
  gst_caps_set_features_simple (caps, NULL);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_pad_push_event (inside->feed, gst_event_new_stream_start ("standin"));
  gst_pad_push_event (inside->feed, gst_event_new_caps (caps));
  gst_pad_push_event (inside->feed, gst_event_new_segment (&segment));
  gst_caps_unref (caps);
}

void
standin_close (Inside * inside)
{
  if (inside->bin == NULL)
    return;
  gst_pad_set_active (inside->feed, FALSE);
  gst_pad_set_active (inside->drain, FALSE);
  gst_element_set_state (inside->bin, GST_STATE_NULL);
  gst_object_unref (inside->feed);
  gst_object_unref (inside->drain);
  gst_object_unref (inside->x264);
  gst_object_unref (inside->bin);
}

/* The same without SPS and PPS (ITU-T H.264 7.3.1). */
GstBuffer *
standin_without_headers (GstBuffer * buffer)
{
  GstMapInfo map;
  GstBuffer *bare = gst_buffer_copy_region (buffer,
      GST_BUFFER_COPY_FLAGS | GST_BUFFER_COPY_TIMESTAMPS, 0, 0);
  gsize begin = 0, at;

  gst_buffer_map (buffer, &map, GST_MAP_READ);
  for (at = 3; at <= map.size; at++) {
    const guint8 *d = map.data + at;
    gboolean is_end = at == map.size;
    gsize length = at - begin;
    if (!is_end && !(d[-3] == 0 && d[-2] == 0 && d[-1] == 1 && at > begin + 4))
      continue;
    if (!is_end)
      length -= d[-4] == 0 ? 4 : 3;
    const guint8 *unit = map.data + begin;
    guint type = unit[unit[2] == 1 ? 3 : 4] & 0x1f;
    if (type != 7 && type != 8)
      gst_buffer_append_memory (bare, gst_allocator_alloc (NULL, length, NULL));
    if (type != 7 && type != 8)
      gst_buffer_fill (bare, gst_buffer_get_size (bare) - length, unit, length);
    begin += length;
  }
  gst_buffer_unmap (buffer, &map);
  gst_buffer_unref (buffer);
  return bare;
}
