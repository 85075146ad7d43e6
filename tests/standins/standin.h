/* Elements that stand in for those of vendors' plug-ins, each made of a
 * description that says what the vendor's source says: tests/standins/ *.txt.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <gst/gst.h>
#include <gst/video/video.h>

/* What an element is, as its description says (README.md). */
typedef struct
{
  gchar *element;
  gchar *type;
  gboolean converter;
  GstCaps *sink;
  GstCaps *src;
  GPtrArray *properties;        /* of GParamSpec, in order */
  GPtrArray *signals;           /* of gchar: "NAME" or "NAME boolean" */
  gchar *bits;                  /* the property of its bitrate */
  guint bits_unit;              /* in so many bit/s */
  gchar *distance;              /* of key frames */
  gchar *idr_every;             /* so many times the distance, and once more */
  gchar *reorders;              /* B-frames */
  gchar *key;                   /* "event", or the name of a signal, or NULL */
  gchar *profile;               /* a property; NULL: what downstream asks for */
  gchar *level;                 /* a property that is told downstream */
  gchar *headers;               /* a property that repeats SPS and PPS */
  gint headers_value;           /* when it has this value */
  gboolean restarts;            /* a new bitrate begins with a key frame */
  gboolean unmarked;            /* it does not say which frames are keys */
  gboolean enforced;            /* what is not mutable in a state is ignored */
  gboolean needs_meta;          /* frames without GstVideoMeta are an error */
} Description;

/* x264enc and the pads around it. */
typedef struct
{
  GstElement *bin;
  GstElement *x264;
  GstPad *feed, *drain;
} Inside;

/* The descriptions in a file, or NULL with an error on the log. */
GPtrArray *standin_read (const gchar * file);

/* The property of this name; its place in `index`, if that is wanted. */
GParamSpec *standin_property (const Description * description,
    const gchar * name, guint * index);

GType standin_encoder_type (const Description * description);
GType standin_converter_type (const Description * description);

/* Makes it ready to be configured; `chain` gets what it encodes, on a pad that
 * has `data` as its private. */
gboolean standin_open (Inside * inside, const gchar * profile,
    GstPadChainFunction chain, gpointer data);
/* From now on it encodes pictures of these caps. */
void standin_begin (Inside * inside, GstCaps * caps);
void standin_close (Inside * inside);
/* The same without SPS and PPS. */
GstBuffer *standin_without_headers (GstBuffer * buffer);

#endif
