/* Reads descriptions, and registers what they describe. */
#include "standin.h"
#include <string.h>

typedef struct
{
  gchar **line;                 /* the words of a property's first line */
  GArray *values;               /* of GEnumValue */
} Pending;

static GParamFlags
flags_of (const gchar * text)
{
  static const struct
  {
    const gchar *name;
    guint flag;
  } all[] = {
    {"rw", G_PARAM_READWRITE}, {"ro", G_PARAM_READABLE},
    {"ready", GST_PARAM_MUTABLE_READY}, {"paused", GST_PARAM_MUTABLE_PAUSED},
    {"playing", GST_PARAM_MUTABLE_PLAYING}, {"construct", G_PARAM_CONSTRUCT},
    {"controllable", GST_PARAM_CONTROLLABLE},
    {"conditional", GST_PARAM_CONDITIONALLY_AVAILABLE},
    {"shown", GST_PARAM_DOC_SHOW_DEFAULT},
  };
  guint flags = G_PARAM_STATIC_STRINGS;
  gchar **names = g_strsplit (text, ",", -1);

  for (guint i = 0; names[i]; i++) {
    guint j = 0;
    while (j < G_N_ELEMENTS (all) && strcmp (all[j].name, names[i]) != 0)
      j++;
    if (j == G_N_ELEMENTS (all))
      g_error ("no flag of a property is called \"%s\"", names[i]);
    flags |= all[j].flag;
  }
  g_strfreev (names);
  return flags;
}

static GType
enum_type (const gchar * name, GArray * values)
{
  GType type = g_type_from_name (name);

  if (type == 0)
    type = g_enum_register_static (g_intern_string (name),
        (GEnumValue *) g_array_free (g_array_ref (values), FALSE));
  return type;
}

/* KIND NAME FLAGS DEFAULT, then LEAST MOST of numbers, TYPE of an enumeration. */
static GParamSpec *
spec_of (const Pending * pending)
{
  gchar **word = pending->line;
  guint words = g_strv_length (word);
  const gchar *kind = word[0], *name, *preset, *least, *most;
  GParamFlags flags;

  if (words < 4)
    g_error ("a property needs a kind, a name, flags and a default");
  name = g_intern_string (word[1]);
  flags = flags_of (word[2]);
  preset = word[3];
  least = words > 4 ? word[4] : "";
  most = words > 5 ? word[5] : "";
#define NUMBER(text) g_ascii_strtoll (text, NULL, 0)
#define LARGE(text) g_ascii_strtoull (text, NULL, 0)
  if (strcmp (kind, "bool") == 0)
    return g_param_spec_boolean (name, name, name,
        strcmp (preset, "true") == 0, flags);
  if (strcmp (kind, "int") == 0)
    return g_param_spec_int (name, name, name, NUMBER (least), NUMBER (most),
        NUMBER (preset), flags);
  if (strcmp (kind, "uint") == 0)
    return g_param_spec_uint (name, name, name, LARGE (least), LARGE (most),
        LARGE (preset), flags);
  if (strcmp (kind, "uint64") == 0)
    return g_param_spec_uint64 (name, name, name, LARGE (least), LARGE (most),
        LARGE (preset), flags);
  if (strcmp (kind, "string") == 0)
    return g_param_spec_string (name, name, name,
        strcmp (preset, "-") == 0 ? NULL : g_intern_string (preset), flags);
  if (strcmp (kind, "structure") == 0)
    return g_param_spec_boxed (name, name, name, GST_TYPE_STRUCTURE, flags);
  if (strcmp (kind, "array") == 0)
    return gst_param_spec_array (name, name, name,
        g_param_spec_int ("value", "value", "value", G_MININT, G_MAXINT, 0,
            G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS), flags);
  if (strcmp (kind, "enum") == 0 && pending->values->len > 0)
    return g_param_spec_enum (name, name, name,
        enum_type (least, pending->values), (gint) NUMBER (preset), flags);
  g_error ("no property is a \"%s\"", kind);
}

static void
finish (Description * description, Pending * pending)
{
  if (pending->line == NULL)
    return;
  g_ptr_array_add (description->properties,
      g_param_spec_ref_sink (spec_of (pending)));
  g_strfreev (pending->line);
  pending->line = NULL;
}

/* NUMBER NICK | NAME, either of several words. */
static void
add_value (Pending * pending, const gchar * text)
{
  gchar *end;
  GEnumValue value = { (gint) g_ascii_strtoll (text, &end, 0), NULL, NULL };
  gchar **names = g_strsplit (end, "|", 2);

  if (g_strv_length (names) != 2)
    g_error ("\"%s\": an enumeration's value is NUMBER NICK | NAME", text);
  value.value_nick = g_intern_string (g_strstrip (names[0]));
  value.value_name = g_intern_string (g_strstrip (names[1]));
  g_array_append_val (pending->values, value);
  g_strfreev (names);
}

static Description *
new_description (const gchar * text)
{
  Description *made = g_new0 (Description, 1);
  gchar **words = g_strsplit (text, " ", -1);

  if (g_strv_length (words) < 2)
    g_error ("\"%s\": an element has a name and a type", text);
  made->element = g_strdup (words[0]);
  made->type = g_strdup (words[1]);
  made->converter = words[2] && strcmp (words[2], "converter") == 0;
  made->properties = g_ptr_array_new ();
  made->signals = g_ptr_array_new ();
  g_strfreev (words);
  return made;
}

static GstCaps *
caps_of (const gchar * text)
{
  GstCaps *caps = gst_caps_from_string (text);

  if (caps == NULL)
    g_error ("\"%s\" are no caps", text);
  GST_MINI_OBJECT_FLAG_SET (caps, GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED);
  return caps;
}

/* A line of what it does. */
static void
behaviour (Description * made, const gchar * key, const gchar * rest)
{
  gchar **words = g_strsplit (rest, " ", -1);

  if (strcmp (key, "bits") == 0 && g_strv_length (words) == 2) {
    made->bits = g_strdup (words[0]);
    made->bits_unit = strcmp (words[1], "kbit/s") == 0 ? 1000 : 1;
  } else if (strcmp (key, "headers") == 0 && g_strv_length (words) == 2) {
    made->headers = g_strdup (words[0]);
    made->headers_value = atoi (words[1]);
  } else if (strcmp (key, "distance") == 0)
    made->distance = g_strdup (rest);
  else if (strcmp (key, "idr-every") == 0)
    made->idr_every = g_strdup (rest);
  else if (strcmp (key, "reorders") == 0)
    made->reorders = g_strdup (rest);
  else if (strcmp (key, "key") == 0)
    made->key = strcmp (rest, "none") == 0 ? NULL : g_strdup (rest);
  else if (strcmp (key, "profile") == 0)
    made->profile = g_strdup (rest);
  else if (strcmp (key, "level") == 0)
    made->level = g_strdup (rest);
  else if (strcmp (key, "restarts") == 0)
    made->restarts = TRUE;
  else if (strcmp (key, "unmarked") == 0)
    made->unmarked = TRUE;
  else if (strcmp (key, "enforced") == 0)
    made->enforced = TRUE;
  else if (strcmp (key, "needs-meta") == 0)
    made->needs_meta = TRUE;
  else
    g_error ("\"%s %s\" is no line of a description", key, rest);
  g_strfreev (words);
}

static void
read_line (GPtrArray * all, Pending * pending, const gchar * line)
{
  Description *made = all->len ? g_ptr_array_index (all, all->len - 1) : NULL;
  const gchar *space = strchr (line, ' ');
  gchar *key = space ? g_strndup (line, space - line) : g_strdup (line);
  const gchar *rest = space ? space + 1 : "";

  if (strcmp (key, "from") == 0 || strcmp (key, "not") == 0) {
    /* For people. */
  } else if (strcmp (key, "value") == 0) {
    add_value (pending, rest);
  } else {
    if (made)
      finish (made, pending);
    if (strcmp (key, "element") == 0) {
      g_ptr_array_add (all, new_description (rest));
    } else if (made == NULL) {
      g_error ("\"%s\" stands before any element", line);
    } else if (strcmp (key, "property") == 0) {
      pending->line = g_strsplit (rest, " ", -1);
      pending->values = g_array_new (TRUE, TRUE, sizeof (GEnumValue));
    } else if (strcmp (key, "signal") == 0) {
      g_ptr_array_add (made->signals, g_strdup (rest));
    } else if (strcmp (key, "sink") == 0) {
      made->sink = caps_of (rest);
    } else if (strcmp (key, "src") == 0) {
      made->src = caps_of (rest);
    } else {
      behaviour (made, key, rest);
    }
  }
  g_free (key);
}

GPtrArray *
standin_read (const gchar * file)
{
  GPtrArray *all = g_ptr_array_new ();
  Pending pending = { NULL, NULL };
  gchar *text, **lines;

  if (!g_file_get_contents (file, &text, NULL, NULL))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i]; i++) {
    gchar *line = g_strstrip (lines[i]);
    if (*line != '\0' && *line != '#')
      read_line (all, &pending, line);
  }
  if (all->len)
    finish (g_ptr_array_index (all, all->len - 1), &pending);
  g_strfreev (lines);
  g_free (text);
  return all;
}

GParamSpec *
standin_property (const Description * description, const gchar * name,
    guint * index)
{
  for (guint i = 0; name && i < description->properties->len; i++) {
    GParamSpec *spec = g_ptr_array_index (description->properties, i);
    if (strcmp (spec->name, name) == 0) {
      if (index)
        *index = i;
      return spec;
    }
  }
  return NULL;
}

/* The plug-in lies in a folder that is called like the vendor's plug-in: what is
 * in there is installed, and nothing else. */
static gboolean
plugin_init (GstPlugin * plugin)
{
  gchar *folder = g_path_get_dirname (gst_plugin_get_filename (plugin));
  gchar *vendor = g_path_get_basename (folder);
  gchar *file = g_strconcat (STANDINS "/", vendor, ".txt", NULL);
  GPtrArray *all = standin_read (file);
  gboolean done = all != NULL;

  for (guint i = 0; done && i < all->len; i++) {
    const Description *one = g_ptr_array_index (all, i);
    done = gst_element_register (plugin, one->element, GST_RANK_NONE,
        one->converter ? standin_converter_type (one) :
        standin_encoder_type (one));
  }
  g_free (folder);
  g_free (vendor);
  g_free (file);
  return done;
}

#ifndef PACKAGE
#define PACKAGE "camera-agent"
#endif
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, standins,
    "Stand-ins for vendors' encoders", plugin_init, "1.0", "MIT/X11",
    "camera-agent", "https://gstreamer.freedesktop.org/")
