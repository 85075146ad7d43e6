/* The driver's side of a test encoder: what a memory-to-memory H.264 encoder of
 * the kernel answers to ioctl(), with the personality of one of the drivers in
 * personality.c.
 *
 * An encoder's node is a plain file, /dev/videoN in a mount namespace of the
 * test's own. What it is stands in a folder that tests/support/codec.rs fills,
 * videoN.d in the one that CODEC_SHIM_DIR names:
 *
 *   personality    a name of personality.c
 *   contexts N     how many may run at a time, in whichever processes
 *   counts         written here: struct codec_counts
 *   slot-N         locked by a context while it counts
 *
 * Faults, which last as long as their file is there: those of coder.c, and
 *
 *   start-hangs    STREAMON does not come back
 *   resets-at W H  STREAMON for this size or a larger one takes the device down:
 *                  EIO, for this open for good
 *   scattered      memory of other devices is in pieces, which a device without
 *                  an IOMMU cannot read (EFAULT)
 *
 * Unplugging is to remove the node: ENODEV and POLLHUP for whoever has it open.
 *
 * Sources: the kernel's userspace-api/media/v4l, v4l2-mem2mem.c.
 */
#define _GNU_SOURCE
#include "codec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver.h"

static int fail(int error) {
  errno = error;
  return -1;
}

/* --- Its description --- */

/* NODE.d of a path such as /dev/video11, where the test has one of this name. */
static bool find_folder(const char *path, char folder[CODEC_PATH]) {
  const char *all = getenv("CODEC_SHIM_DIR");
  if (!all || strncmp(path, "/dev/video", 10)) return false;
  snprintf(folder, CODEC_PATH, "%s/%s.d", all, path + 5);
  return access(folder, F_OK) == 0;
}

static bool codec_is_node(const char *path) {
  char folder[CODEC_PATH];
  int error = errno;
  bool found = find_folder(path, folder);
  errno = error;
  return found;
}

static FILE *description(const struct codec *codec, const char *name) {
  char path[CODEC_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", codec->folder, name);
  return fopen(path, "re");
}

bool codec_has_fault(const struct codec *codec, const char *name) {
  char path[CODEC_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", codec->folder, name);
  return access(path, F_OK) == 0;
}

long codec_fault_number(const struct codec *codec, const char *name) {
  long number = -1;
  FILE *file = description(codec, name);
  if (file && fscanf(file, "%ld", &number) != 1) number = -1;
  if (file) fclose(file);
  return number;
}

bool codec_is_unplugged(const struct codec *codec) {
  struct stat now;
  if (lstat(codec->node, &now) < 0) return true;
  return now.st_mtim.tv_sec != codec->born.tv_sec || now.st_mtim.tv_nsec != codec->born.tv_nsec;
}

static int open_in_folder(const struct codec *codec, const char *name) {
  char path[CODEC_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", codec->folder, name);
  return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

static struct codec_counts *map_counts(const struct codec *codec) {
  int file = open_in_folder(codec, "counts");
  void *counts = MAP_FAILED;
  if (file >= 0 && ftruncate(file, sizeof(struct codec_counts)) == 0)
    counts = mmap(NULL, sizeof(struct codec_counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  return counts == MAP_FAILED ? NULL : counts;
}

/* --- How many at a time --- */

/* Each context holds a lock on one file of as many as may be. */
static int count_in(struct codec *codec, enum counted when) {
  char name[32];
  long most = codec_fault_number(codec, "contexts");
  if (most < 0) most = codec->personality->contexts;
  if (when != codec->personality->counted || codec->slot >= 0) return 0;
  for (long i = 0; i < most; i++) {
    snprintf(name, sizeof name, "slot-%ld", i);
    int slot = open_in_folder(codec, name);
    if (slot >= 0 && flock(slot, LOCK_EX | LOCK_NB) == 0) {
      codec->slot = slot;
      return 0;
    }
    if (slot >= 0) close(slot);
  }
  return fail(codec->personality->refusal);
}

static void count_out(struct codec *codec) {
  if (codec->slot >= 0) close(codec->slot);
  codec->slot = -1;
}

/* --- Streaming --- */

struct queue *codec_queue(struct codec *codec, uint32_t type) {
  if (type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE) return &codec->output;
  return type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE ? &codec->capture : NULL;
}

static int take_down_at(const struct codec *codec) {
  uint32_t width, height;
  FILE *file = description(codec, "resets-at");
  bool is_set = file && fscanf(file, "%u %u", &width, &height) == 2;
  if (file) fclose(file);
  return is_set && codec->crop.width >= width && codec->crop.height >= height;
}

static int stream_on(struct codec *codec, struct queue *queue) {
  const struct timespec moment = {.tv_nsec = 10000000};
  int32_t level = codec_value(codec, V4L2_CID_MPEG_VIDEO_H264_LEVEL, 0);
  uint32_t fps = codec->interval.denominator / codec->interval.numerator;
  while (codec_has_fault(codec, "start-hangs")) nanosleep(&moment, NULL);
  if (queue->count == 0) return fail(EINVAL);
  if (codec->is_broken || take_down_at(codec)) {
    codec->is_broken = true;
    return fail(EIO);
  }
  if (queue == &codec->output && codec->personality->level_is_a_limit &&
      h264_is_above(level, codec->crop.width, codec->crop.height, fps))
    return fail(ESRCH);
  if (queue == &codec->output && count_in(codec, AT_STREAMON) < 0) return -1;
  if (coder_start(codec) < 0) return -1;
  queue->streaming = true;
  if (codec->output.streaming && codec->capture.streaming)
    __atomic_fetch_add(&codec->counts->contexts, 1, __ATOMIC_RELAXED);
  return 0;
}

static int stream_off(struct codec *codec, struct queue *queue) {
  coder_stop(codec);
  queue_stop(queue);
  return 0;
}

static int request_buffers(struct codec *codec, struct v4l2_requestbuffers *request) {
  struct queue *queue = codec_queue(codec, request->type);
  if (!queue) return fail(EINVAL);
  if (request->count > 0 && count_in(codec, AT_REQBUFS) < 0) return -1;
  return queue_request(queue, request, codec->personality->least_buffers);
}

static int put_buffer(struct codec *codec, struct v4l2_buffer *buffer) {
  struct queue *queue = codec_queue(codec, buffer->type);
  if (!queue) return fail(EINVAL);
  if (buffer->memory == V4L2_MEMORY_DMABUF && codec_has_fault(codec, "scattered"))
    return fail(EFAULT);
  return queue_put(queue, buffer);
}

static int take_buffer(struct codec *codec, struct v4l2_buffer *buffer) {
  struct queue *queue = codec_queue(codec, buffer->type);
  if (!queue) return fail(EINVAL);
  return codec->is_broken ? fail(EIO) : queue_take(queue, buffer);
}

static int command(struct codec *codec, const struct v4l2_encoder_cmd *cmd) {
  if (!codec->personality->has_encoder_cmd) return fail(ENOTTY);
  if (cmd->cmd == V4L2_ENC_CMD_STOP) {
    codec->drains = codec->output.streaming && codec->capture.streaming;
    return 0;
  }
  if (cmd->cmd != V4L2_ENC_CMD_START) return fail(EINVAL);
  codec->capture.last_taken = false;
  return 0;
}

static int subscribe(struct codec *codec, const struct v4l2_event_subscription *wish, bool on) {
  bool is_eos = wish->type == V4L2_EVENT_EOS && codec->personality->has_eos_event;
  if (!is_eos && wish->type != V4L2_EVENT_CTRL) return fail(EINVAL);
  if (is_eos) codec->wants_eos = on;
  return 0;
}

static int take_event(struct codec *codec, struct v4l2_event *event) {
  if (codec->events == 0) return fail(ENOENT);
  memset(event, 0, sizeof *event);
  event->type = V4L2_EVENT_EOS;
  event->pending = --codec->events;
  return 0;
}

/* --- All together --- */

static int query_capabilities(const struct codec *codec, struct v4l2_capability *answer) {
  const struct personality *as = codec->personality;
  memset(answer, 0, sizeof *answer);
  snprintf((char *)answer->driver, sizeof answer->driver, "%s", as->driver);
  snprintf((char *)answer->card, sizeof answer->card, "%s", as->card);
  snprintf((char *)answer->bus_info, sizeof answer->bus_info, "%s", as->bus);
  answer->version = 0x060100;
  answer->device_caps =
      V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
  answer->capabilities = answer->device_caps | V4L2_CAP_DEVICE_CAPS;
  return 0;
}

static int answer(struct codec *codec, uint32_t request, void *argument) {
  struct v4l2_buffer *buffer = argument;
  struct queue *queue = codec_queue(codec, *(uint32_t *)argument);
  switch (request) {
  case VIDIOC_QUERYCAP: return query_capabilities(codec, argument);
  case VIDIOC_ENUM_FMT:
  case VIDIOC_ENUM_FRAMESIZES:
  case VIDIOC_G_FMT:
  case VIDIOC_S_FMT:
  case VIDIOC_TRY_FMT:
  case VIDIOC_G_SELECTION:
  case VIDIOC_S_SELECTION:
  case VIDIOC_G_PARM:
  case VIDIOC_S_PARM: return codec_formats_ioctl(codec, request, argument);
  case VIDIOC_REQBUFS: return request_buffers(codec, argument);
  case VIDIOC_CREATE_BUFS:
    queue = codec_queue(codec, ((struct v4l2_create_buffers *)argument)->format.type);
    return queue ? queue_create(queue, argument) : fail(EINVAL);
  case VIDIOC_QUERYBUF:
    queue = codec_queue(codec, buffer->type);
    return queue ? queue_query(queue, buffer) : fail(EINVAL);
  case VIDIOC_EXPBUF: return queue ? queue_export(queue, argument) : fail(EINVAL);
  case VIDIOC_QBUF: return put_buffer(codec, buffer);
  case VIDIOC_DQBUF: return take_buffer(codec, buffer);
  case VIDIOC_STREAMON: return queue ? stream_on(codec, queue) : fail(EINVAL);
  case VIDIOC_STREAMOFF: return queue ? stream_off(codec, queue) : fail(EINVAL);
  case VIDIOC_ENCODER_CMD: return command(codec, argument);
  case VIDIOC_SUBSCRIBE_EVENT: return subscribe(codec, argument, true);
  case VIDIOC_UNSUBSCRIBE_EVENT: return subscribe(codec, argument, false);
  case VIDIOC_DQEVENT: return take_event(codec, argument);
  default: return codec_controls_ioctl(codec, request, argument);
  }
}

static int codec_ioctl(void *device, unsigned long request, void *argument) {
  struct codec *codec = device;
  pthread_mutex_lock(&codec->lock);
  int result = codec_is_unplugged(codec) ? fail(ENODEV) : answer(codec, (uint32_t)request, argument);
  int error = errno;
  codec_show(codec);
  pthread_cond_broadcast(&codec->changed);
  pthread_mutex_unlock(&codec->lock);
  errno = error;
  return result;
}

static void turn(int event, bool on) {
  uint64_t value = 1;
  ssize_t done = read(event, &value, sizeof value);
  value = 1;
  if (on) done = write(event, &value, sizeof value);
  (void)done;
}

/* v4l2_m2m_poll() */
short codec_show(struct codec *codec) {
  const struct queue *in = &codec->output, *out = &codec->capture;
  bool has_in = in->streaming && in->waiting.count + in->done.count + codec->works > 0;
  bool has_out = out->streaming && out->waiting.count + out->done.count + codec->works > 0;
  bool gone = codec_is_unplugged(codec);
  short events = 0;
  if ((!has_in && !has_out) || codec->is_broken) events |= POLLERR;
  if (gone) events |= POLLERR | POLLHUP;
  if (in->done.count > 0) events |= POLLOUT | POLLWRNORM;
  if (out->done.count > 0 || (out->streaming && out->last_taken)) events |= POLLIN | POLLRDNORM;
  if (codec->events > 0) events |= POLLPRI;
  turn(codec->capture_ready, events & POLLIN);
  turn(codec->output_ready, events & POLLOUT);
  turn(codec->other_ready, events & (POLLERR | POLLHUP | POLLPRI));
  return events;
}

static short codec_events(void *device) {
  struct codec *codec = device;
  pthread_mutex_lock(&codec->lock);
  short events = codec_show(codec);
  pthread_mutex_unlock(&codec->lock);
  return events;
}

static int codec_waits_for(const void *device, short events, int fds[WAITED]) {
  const struct codec *codec = device;
  int count = 0;
  fds[count++] = codec->other_ready;
  if (events & POLLIN) fds[count++] = codec->capture_ready;
  if (events & POLLOUT) fds[count++] = codec->output_ready;
  return count;
}

static int codec_memory(const void *device, long offset) {
  const struct codec *codec = device;
  const struct queue *queue =
      queue_has_offset(&codec->output, offset) ? &codec->output : &codec->capture;
  return queue_memory(queue, offset);
}

static void codec_close(void *device) {
  struct codec *codec = device;
  coder_end(codec);
  queue_free(&codec->output);
  queue_free(&codec->capture);
  count_out(codec);
  if (codec->counts) munmap(codec->counts, sizeof *codec->counts);
  if (codec->capture_ready >= 0) close(codec->capture_ready);
  if (codec->output_ready >= 0) close(codec->output_ready);
  if (codec->other_ready >= 0) close(codec->other_ready);
  pthread_cond_destroy(&codec->changed);
  pthread_mutex_destroy(&codec->lock);
  free(codec);
}

static void *codec_open(const char *path, int fd) {
  struct codec *codec = calloc(1, sizeof *codec);
  struct stat node;
  char name[32] = "";
  pthread_condattr_t monotonic;
  if (!codec) return NULL;
  codec->slot = -1;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&codec->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_mutex_init(&codec->lock, NULL);
  snprintf(codec->node, sizeof codec->node, "%s", path);
  find_folder(path, codec->folder);
  queue_start_as(&codec->output, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
  queue_start_as(&codec->capture, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
  codec->capture_ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  codec->output_ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  codec->other_ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  codec->counts = map_counts(codec);
  FILE *file = description(codec, "personality");
  if (file && fscanf(file, "%31s", name) != 1) *name = 0;
  if (file) fclose(file);
  codec->personality = personality_named(name);
  errno = ENODEV;
  if (!codec->personality || !codec->counts || codec->other_ready < 0 || fstat(fd, &node) < 0 ||
      count_in(codec, AT_OPEN) < 0) {
    int error = errno;
    codec_close(codec);
    errno = error;
    return NULL;
  }
  codec->born = node.st_mtim;
  codec_formats_reset(codec);
  codec_controls_reset(codec);
  codec_show(codec);
  return codec;
}

const struct driver codec_driver = {
    .is_node = codec_is_node,
    .open = codec_open,
    .close = codec_close,
    .ioctl = codec_ioctl,
    .events = codec_events,
    .waits_for = codec_waits_for,
    .memory = codec_memory,
};
