/* The converter that uploads: it changes the pixels' format and in which kind of
 * memory its caps say they are. The kind is only said: a buffer stays where it
 * is, and there are no other sizes.
 */
#include "standin.h"

typedef struct
{
  GstVideoFilter parent;
  GValue *values;
  GstVideoConverter *convert;
} Converter;

typedef struct
{
  GstVideoFilterClass parent;
  const Description *description;
} ConverterClass;

static const Description *
described (gpointer self)
{
  return ((ConverterClass *) G_OBJECT_GET_CLASS (self))->description;
}

static void
set_property (GObject * object, guint id, const GValue * value,
    GParamSpec * spec)
{
  g_value_copy (value, &((Converter *) object)->values[id - 1]);
}

static void
get_property (GObject * object, guint id, GValue * value, GParamSpec * spec)
{
  g_value_copy (&((Converter *) object)->values[id - 1], value);
}

/* Any format and memory that the other side's template has, in the same size. */
static GstCaps *
transform_caps (GstBaseTransform * transform, GstPadDirection direction,
    GstCaps * caps, GstCaps * filter)
{
  const Description *what = described (transform);
  GstCaps *other = direction == GST_PAD_SINK ? what->src : what->sink;
  GstCaps *made = gst_caps_new_empty (), *fitting;

  for (guint i = 0; i < gst_caps_get_size (caps); i++) {
    GstStructure *same = gst_structure_copy (gst_caps_get_structure (caps, i));
    GstCaps *any;
    gst_structure_remove_fields (same, "format", "colorimetry", "chroma-site",
        NULL);
    any = gst_caps_new_full (same, NULL);
    for (guint j = 0; j < gst_caps_get_size (other); j++) {
      gst_caps_set_features_simple (any,
          gst_caps_features_copy (gst_caps_get_features (other, j)));
      gst_caps_append (made, gst_caps_copy (any));
    }
    gst_caps_unref (any);
  }
  fitting = gst_caps_intersect_full (made, other, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref (made);
  if (filter) {
    made = gst_caps_intersect_full (filter, fitting, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref (fitting);
    fitting = made;
  }
  return fitting;
}

static gboolean
set_info (GstVideoFilter * filter, GstCaps * in, GstVideoInfo * in_info,
    GstCaps * out, GstVideoInfo * out_info)
{
  Converter *self = (Converter *) filter;

  g_clear_pointer (&self->convert, gst_video_converter_free);
  self->convert = gst_video_converter_new (in_info, out_info, NULL);
  return self->convert != NULL;
}

static GstFlowReturn
transform_frame (GstVideoFilter * filter, GstVideoFrame * in,
    GstVideoFrame * out)
{
  gst_video_converter_frame (((Converter *) filter)->convert, in, out);
  return GST_FLOW_OK;
}

static void
finalize (GObject * object)
{
  Converter *self = (Converter *) object;
  GObjectClass *parent =
      g_type_class_peek (g_type_parent (G_OBJECT_TYPE (object)));

  g_clear_pointer (&self->convert, gst_video_converter_free);
  for (guint i = 0; i < described (self)->properties->len; i++)
    g_value_unset (&self->values[i]);
  g_free (self->values);
  parent->finalize (object);
}

static void
class_init (gpointer class, gpointer data)
{
  GObjectClass *object = class;
  GstElementClass *element = class;
  const Description *what = data;

  ((ConverterClass *) class)->description = what;
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  for (guint i = 0; i < what->properties->len; i++)
    g_object_class_install_property (object, i + 1,
        g_ptr_array_index (what->properties, i));
  gst_element_class_add_pad_template (element, gst_pad_template_new ("sink",
          GST_PAD_SINK, GST_PAD_ALWAYS, what->sink));
  gst_element_class_add_pad_template (element, gst_pad_template_new ("src",
          GST_PAD_SRC, GST_PAD_ALWAYS, what->src));
  gst_element_class_set_static_metadata (element, "Stand-in for a converter",
      "Filter/Converter/Video/Scaler", "Made of a description", "camera-agent");
  ((GstBaseTransformClass *) class)->transform_caps = transform_caps;
  ((GstVideoFilterClass *) class)->set_info = set_info;
  ((GstVideoFilterClass *) class)->transform_frame = transform_frame;
}

static void
instance_init (GTypeInstance * instance, gpointer class)
{
  Converter *self = (Converter *) instance;
  const Description *what = ((ConverterClass *) class)->description;

  self->values = g_new0 (GValue, what->properties->len);
  for (guint i = 0; i < what->properties->len; i++) {
    GParamSpec *spec = g_ptr_array_index (what->properties, i);
    g_value_init (&self->values[i], spec->value_type);
    g_param_value_set_default (spec, &self->values[i]);
  }
}

GType
standin_converter_type (const Description * description)
{
  const GTypeInfo info = {
    .class_size = sizeof (ConverterClass),
    .class_init = class_init,
    .class_data = description,
    .instance_size = sizeof (Converter),
    .instance_init = instance_init,
  };

  return g_type_register_static (GST_TYPE_VIDEO_FILTER,
      g_intern_string (description->type), &info, 0);
}
