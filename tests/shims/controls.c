/* A test camera's controls: brightness and the like.
 *
 * In the camera's folder, NODE.d:
 *
 *   controls    a line a control, by rising id: ID TYPE MINIMUM MAXIMUM STEP
 *               DEFAULT NAME [ENTRY|ENTRY…], with _ for a space in a name;
 *               ID in hexadecimal, TYPE as enum v4l2_ctrl_type has it
 *   value-ID    what a control is set to, as a real device keeps it from one
 *               open to the next; written here, read by tests
 */
#define _GNU_SOURCE
#include "controls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fail(int error) {
  errno = error;
  return -1;
}

/* A file of the camera's folder. */
static FILE *description(const struct controls *controls, const char *name, const char *how) {
  char path[sizeof controls->node + 64];
  snprintf(path, sizeof path, "%s.d/%s", controls->node, name);
  return fopen(path, how);
}

void controls_read(struct controls *controls, const char *node) {
  char line[512];
  snprintf(controls->node, sizeof controls->node, "%s", node);
  FILE *file = description(controls, "controls", "r");
  if (!file) return;
  while (controls->count < CONTROLS && fgets(line, sizeof line, file)) {
    struct control *control = &controls->list[controls->count];
    int type = 0;
    if (sscanf(line, "%x %d %d %d %d %d %31s %255[^\n]", &control->id, &type, &control->minimum,
               &control->maximum, &control->step, &control->initial, control->name,
               control->entries) < 7)
      break;
    control->type = type;
    for (char *space = control->name; (space = strchr(space, '_'));) *space = ' ';
    controls->count++;
  }
  fclose(file);
}

static struct control *find_control(struct controls *controls, uint32_t id) {
  uint32_t flags = V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND;
  for (int i = 0; i < controls->count; i++) {
    uint32_t own = controls->list[i].id;
    /* Listed by rising id. */
    if (id & flags ? own > (id & ~flags) : own == id) return &controls->list[i];
  }
  return NULL;
}

static int query_control(struct controls *controls, struct v4l2_query_ext_ctrl *answer) {
  const struct control *control = find_control(controls, answer->id);
  if (!control) return fail(EINVAL);
  memset(answer, 0, sizeof *answer);
  answer->id = control->id;
  answer->type = control->type;
  memcpy(answer->name, control->name, sizeof answer->name);
  answer->minimum = control->minimum;
  answer->maximum = control->maximum;
  answer->step = control->step;
  answer->default_value = control->initial;
  answer->elem_size = sizeof(int32_t);
  answer->elems = 1;
  return 0;
}

static int query_old_control(struct controls *controls, struct v4l2_queryctrl *answer) {
  struct v4l2_query_ext_ctrl full = {.id = answer->id};
  if (query_control(controls, &full) < 0) return -1;
  memset(answer, 0, sizeof *answer);
  answer->id = full.id;
  answer->type = full.type;
  memcpy(answer->name, full.name, sizeof answer->name);
  answer->minimum = full.minimum;
  answer->maximum = full.maximum;
  answer->step = full.step;
  answer->default_value = full.default_value;
  return 0;
}

static int query_menu(struct controls *controls, struct v4l2_querymenu *answer) {
  const struct control *control = find_control(controls, answer->id);
  if (!control || control->type != V4L2_CTRL_TYPE_MENU) return fail(EINVAL);
  const char *entry = control->entries;
  for (uint32_t i = 0; i < answer->index && entry; i++)
    entry = (entry = strchr(entry, '|')) ? entry + 1 : NULL;
  if (!entry || (int32_t)answer->index > control->maximum) return fail(EINVAL);
  memset(answer->name, 0, sizeof answer->name);
  snprintf((char *)answer->name, sizeof answer->name, "%.*s", (int)strcspn(entry, "|"), entry);
  return 0;
}

static int get_control(struct controls *controls, uint32_t id, int32_t *value) {
  const struct control *control = find_control(controls, id);
  char name[32];
  if (!control) return fail(EINVAL);
  *value = control->initial;
  snprintf(name, sizeof name, "value-%08x", id);
  FILE *file = description(controls, name, "r");
  if (file && fscanf(file, "%d", value) != 1) *value = control->initial;
  if (file) fclose(file);
  return 0;
}

/* The kernel rounds an integer into its range and refuses a menu's entry that
 * is not there. */
static int set_control(struct controls *controls, uint32_t id, int32_t *value) {
  const struct control *control = find_control(controls, id);
  char name[32];
  if (!control) return fail(EINVAL);
  if (*value < control->minimum || *value > control->maximum) {
    if (control->type == V4L2_CTRL_TYPE_MENU) return fail(ERANGE);
    *value = *value < control->minimum ? control->minimum : control->maximum;
  }
  snprintf(name, sizeof name, "value-%08x", id);
  FILE *file = description(controls, name, "w");
  if (!file) return fail(EIO);
  fprintf(file, "%d\n", *value);
  fclose(file);
  return 0;
}

static int several_controls(struct controls *controls, unsigned long request,
                            struct v4l2_ext_controls *list) {
  for (uint32_t i = 0; i < list->count; i++) {
    struct v4l2_ext_control *one = &list->controls[i];
    int32_t value = one->value;
    int done = request == VIDIOC_S_EXT_CTRLS ? set_control(controls, one->id, &value)
               : request == VIDIOC_G_EXT_CTRLS ? get_control(controls, one->id, &value)
               : find_control(controls, one->id) ? 0
                                               : fail(EINVAL);
    one->value = value;
    if (done < 0) {
      list->error_idx = i;
      return -1;
    }
  }
  return 0;
}

int controls_ioctl(struct controls *controls, unsigned long request, void *argument) {
  struct v4l2_control *control = argument;
  switch ((uint32_t)request) {
  case VIDIOC_QUERY_EXT_CTRL: return query_control(controls, argument);
  case VIDIOC_QUERYCTRL: return query_old_control(controls, argument);
  case VIDIOC_QUERYMENU: return query_menu(controls, argument);
  case VIDIOC_G_CTRL: return get_control(controls, control->id, &control->value);
  case VIDIOC_S_CTRL: return set_control(controls, control->id, &control->value);
  case VIDIOC_G_EXT_CTRLS:
  case VIDIOC_S_EXT_CTRLS:
  case VIDIOC_TRY_EXT_CTRLS: return several_controls(controls, (uint32_t)request, argument);
  default: return fail(ENOTTY);
  }
}
