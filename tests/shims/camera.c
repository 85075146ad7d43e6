/* The driver's side of a test camera: what a UVC webcam answers to ioctl().
 *
 * A camera is a plain file, its node, in the folder that CAMERA_SHIM_DIR
 * names, and a folder beside it, NODE.d, that tests/support/shims.rs fills:
 *
 *   modes       what it offers, and
 *   ways        what is odd about its driver: see modes.c
 *   controls    and what they are set to: see controls.c
 *
 * and faults, which last as long as their file is there:
 *
 *   silent      no frame comes, and no error
 *   broken      DQBUF fails with EIO
 *   stop-hangs  STREAMOFF does not come back
 *   start-hangs STREAMON does not come back
 *   clap        YUYV is black, but for the first 100 ms of each full second of
 *               the monotonic clock: then its luma is 235 less the milliseconds
 *               since
 *   no-space    a line a mode, FOURCC WIDTH HEIGHT: STREAMON fails with ENOSPC,
 *               as where the USB bus is full
 *
 * Unplugging is to remove the node. An open that is older than the present
 * node stays dead, as on a real bus. One open at a time can have buffers, in
 * whichever process: it holds a flock() on the node, others get EBUSY.
 *
 * Sources: the kernel's userspace-api/media/v4l; errors as uvcvideo and
 * videobuf2 give them.
 */
#define _GNU_SOURCE
#include "driver.h"

#include "controls.h"
#include "modes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 16, PATH = MODE_PATH, PAGE = 4096 };

struct camera {
  int fd, clock;
  int memory[BUFFERS]; /* a memfd a buffer, in the place of a dmabuf */
  char node[PATH];
  struct timespec born; /* of the node, when it was opened */
  struct modes modes;
  struct controls controls;
  const struct mode *mode; /* the one that is set */
  uint32_t buffer_size, buffer_count;
  uint32_t queue[BUFFERS], queued; /* handed in, oldest first */
  struct happened {
    uint32_t sequence;
    int64_t at; /* ns of the monotonic clock */
  } filled[BUFFERS]; /* what the first of them have got */
  uint32_t filled_count;
  bool streaming;
  uint32_t sequence; /* of the frame that comes next */
};

static int fail(int error) {
  errno = error;
  return -1;
}

static bool camera_is_node(const char *path) {
  const char *folder = getenv("CAMERA_SHIM_DIR");
  size_t length = folder ? strlen(folder) : 0;
  if (!length || strncmp(path, folder, length) || path[length] != '/') return false;
  const char *name = path + length + 1;
  return !strncmp(name, "video", 5) && !strpbrk(name, "/.");
}

/* A file of the camera's folder. */
static FILE *description(const struct camera *camera, const char *name, const char *how) {
  char path[PATH + 64];
  snprintf(path, sizeof path, "%s.d/%s", camera->node, name);
  return fopen(path, how);
}

static bool has_fault(const struct camera *camera, const char *name) {
  char path[PATH + 64];
  snprintf(path, sizeof path, "%s.d/%s", camera->node, name);
  return access(path, F_OK) == 0;
}

static bool is_unplugged(const struct camera *camera) {
  struct stat now;
  if (lstat(camera->node, &now) < 0) return true;
  return now.st_mtim.tv_sec != camera->born.tv_sec || now.st_mtim.tv_nsec != camera->born.tv_nsec;
}

/* From now on the clock ticks so many times a second. */
static void set_clock(const struct camera *camera, uint32_t hertz) {
  long period = 1000000000L / hertz;
  struct timespec step = {.tv_sec = period / 1000000000L, .tv_nsec = period % 1000000000L};
  struct itimerspec pace = {.it_interval = step, .it_value = step};
  timerfd_settime(camera->clock, 0, &pace, NULL);
}

static void camera_close(void *device);

static void *camera_open(const char *path, int fd) {
  struct camera *camera = calloc(1, sizeof *camera);
  struct stat node;
  if (!camera) return NULL;
  snprintf(camera->node, sizeof camera->node, "%s", path);
  camera->fd = fd;
  for (int i = 0; i < BUFFERS; i++) camera->memory[i] = -1;
  camera->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  modes_read(&camera->modes, path);
  controls_read(&camera->controls, path);
  if (camera->clock < 0 || camera->modes.count == 0 || fstat(fd, &node) < 0) {
    camera_close(camera);
    errno = ENODEV;
    return NULL;
  }
  camera->born = node.st_mtim;
  camera->mode = &camera->modes.list[0];
  /* Who polls has to notice an unplugged camera that does not stream, too. */
  set_clock(camera, 20);
  return camera;
}

static void free_buffers(struct camera *camera) {
  for (int i = 0; i < BUFFERS; i++) {
    if (camera->memory[i] >= 0) close(camera->memory[i]);
    camera->memory[i] = -1;
  }
  camera->buffer_count = 0;
}

static void camera_close(void *device) {
  struct camera *camera = device;
  if (camera->clock >= 0) close(camera->clock);
  free_buffers(camera);
  free(camera);
}

static int camera_waits_for(const void *device, short events, int fds[WAITED]) {
  const struct camera *camera = device;
  (void)events;
  fds[0] = camera->clock;
  return 1;
}

static int camera_memory(const void *device, long offset) {
  const struct camera *camera = device;
  long index = camera->buffer_size ? offset / camera->buffer_size : BUFFERS;
  return index >= 0 && index < BUFFERS ? camera->memory[index] : -1;
}

/* Lets the frames happen for which it is time. One that finds no buffer is
 * lost, and counted in the sequence. */
static void advance(struct camera *camera) {
  uint64_t ticks = 0;
  if (read(camera->clock, &ticks, sizeof ticks) != sizeof ticks || !camera->streaming) return;
  if (has_fault(camera, "silent")) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t period = 1000000000L / camera->mode->fps;
  int64_t at = now.tv_sec * 1000000000L + now.tv_nsec - (int64_t)ticks * period;
  for (; ticks > 0; ticks--, camera->sequence++) {
    at += period;
    if (camera->filled_count < camera->queued)
      camera->filled[camera->filled_count++] = (struct happened){camera->sequence, at};
  }
}

static short camera_events(void *device) {
  struct camera *camera = device;
  advance(camera);
  if (is_unplugged(camera)) return POLLERR | POLLHUP;
  if (!camera->streaming || has_fault(camera, "broken")) return POLLERR;
  return camera->filled_count > 0 ? POLLIN | POLLRDNORM : 0;
}

/* --- What it is --- */

static int query_capabilities(const struct camera *camera, struct v4l2_capability *answer) {
  memset(answer, 0, sizeof *answer);
  strcpy((char *)answer->driver, camera->modes.ways.driver);
  strcpy((char *)answer->card, "Test Webcam");
  strcpy((char *)answer->bus_info, "usb-0000:00:14.0-1");
  answer->version = 0x060100;
  answer->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
  answer->capabilities = answer->device_caps | V4L2_CAP_DEVICE_CAPS;
  return 0;
}

/* --- Its mode --- */

/* Buffers are for one open at a time, in all processes. */
static bool claim(const struct camera *camera) { return flock(camera->fd, LOCK_EX | LOCK_NB) == 0; }
static void release(const struct camera *camera) { flock(camera->fd, LOCK_UN); }

static int set_mode(struct camera *camera, const struct mode *mode) {
  if (camera->buffer_count > 0 || !claim(camera)) return fail(EBUSY);
  release(camera);
  camera->mode = mode;
  return 0;
}

static int format_ioctl(struct camera *camera, unsigned long request, struct v4l2_format *format) {
  const struct mode *mode = camera->mode;
  const struct v4l2_pix_format *wanted = &format->fmt.pix;
  if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
  if (request != VIDIOC_G_FMT)
    mode = modes_nearest(&camera->modes, wanted->pixelformat, wanted->width, wanted->height, 0);
  if (request == VIDIOC_S_FMT && set_mode(camera, mode) < 0) return -1;
  modes_describe(&camera->modes, mode, &format->fmt.pix);
  return 0;
}

static int rate_ioctl(struct camera *camera, unsigned long request, struct v4l2_streamparm *rate) {
  const struct mode *mode = camera->mode;
  struct v4l2_captureparm *capture = &rate->parm.capture;
  if (rate->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
  if (camera->modes.ways.no_parm) return fail(ENOTTY);
  if (request == VIDIOC_S_PARM && capture->timeperframe.numerator > 0) {
    uint32_t fps = capture->timeperframe.denominator / capture->timeperframe.numerator;
    mode = modes_nearest(&camera->modes, mode->format, mode->width, mode->height, fps);
    if (mode != camera->mode && set_mode(camera, mode) < 0) return -1;
  }
  memset(capture, 0, sizeof *capture);
  capture->capability = V4L2_CAP_TIMEPERFRAME;
  capture->timeperframe.numerator = 1;
  capture->timeperframe.denominator = mode->fps;
  return 0;
}

/* --- Its frames --- */

static void stop(struct camera *camera) {
  camera->streaming = false;
  camera->queued = camera->filled_count = 0;
}

static int request_buffers(struct camera *camera, struct v4l2_requestbuffers *request) {
  if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || request->memory != V4L2_MEMORY_MMAP)
    return fail(EINVAL);
  if (camera->streaming || !claim(camera)) return fail(EBUSY);
  stop(camera);
  free_buffers(camera);
  if (request->count > BUFFERS) request->count = BUFFERS;
  camera->buffer_size = (mode_image_size(camera->mode) + PAGE - 1) & ~(uint32_t)(PAGE - 1);
  request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
  if (request->count == 0) {
    release(camera);
    return 0;
  }
  for (uint32_t i = 0; i < request->count; i++) {
    camera->memory[i] = memfd_create("test camera", MFD_CLOEXEC);
    if (ftruncate(camera->memory[i], camera->buffer_size) < 0) return -1;
  }
  camera->buffer_count = request->count;
  return 0;
}

static void describe_buffer(const struct camera *camera, struct v4l2_buffer *buffer) {
  buffer->length = camera->buffer_size;
  buffer->m.offset = buffer->index * camera->buffer_size;
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->field = V4L2_FIELD_NONE;
  buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
}

/* With every driver on videobuf2 buffers can be shared with other devices. */
static int export_buffer(const struct camera *camera, struct v4l2_exportbuffer *export) {
  if (export->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || export->plane > 0 ||
      export->index >= camera->buffer_count)
    return fail(EINVAL);
  export->fd = fcntl(camera->memory[export->index], F_DUPFD_CLOEXEC, 0);
  return export->fd < 0 ? -1 : 0;
}

static int queue_buffer(struct camera *camera, struct v4l2_buffer *buffer) {
  if (buffer->index >= camera->buffer_count || camera->queued == BUFFERS) return fail(EINVAL);
  describe_buffer(camera, buffer);
  buffer->flags |= V4L2_BUF_FLAG_QUEUED;
  camera->queue[camera->queued++] = buffer->index;
  return 0;
}

/* Opens the oldest frame that was not taken. The folder's last is followed by its first. */
static int open_frame(const struct camera *camera) {
  char path[PATH + 16];
  uint32_t count = 0;
  do snprintf(path, sizeof path, "%s/%05u", camera->mode->frames, count);
  while (access(path, F_OK) == 0 && ++count);
  if (count == 0) return fail(EIO);
  snprintf(path, sizeof path, "%s/%05u", camera->mode->frames,
           camera->filled[0].sequence % count);
  return open(path, O_RDONLY | O_CLOEXEC);
}

/* Writes that frame where buffer `index` is; how long it is. */
static ssize_t fill(const struct camera *camera, uint32_t index) {
  ssize_t length = -1;
  /* An emulator (qemu-user) reads no file to where nothing may be read. */
  void *memory = mmap(NULL, camera->buffer_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                      camera->memory[index], 0);
  int frame = open_frame(camera);
  if (memory != MAP_FAILED && frame >= 0) length = read(frame, memory, camera->buffer_size);
  if (frame >= 0) close(frame);
  if (memory != MAP_FAILED) munmap(memory, camera->buffer_size);
  return length;
}

/* Shows the clapping in place of what is in the buffer. */
static void clap(const struct camera *camera, uint32_t index, ssize_t length) {
  uint8_t *memory =
      mmap(NULL, camera->buffer_size, PROT_WRITE, MAP_SHARED, camera->memory[index], 0);
  if (memory == MAP_FAILED) return;
  int64_t since = camera->filled[0].at % 1000000000 / 1000000;
  uint8_t luma = since < 100 ? (uint8_t)(235 - since) : 16;
  for (ssize_t i = 0; i + 1 < length; i += 2) {
    memory[i] = luma;
    memory[i + 1] = 128;
  }
  munmap(memory, camera->buffer_size);
}

static int dequeue_buffer(struct camera *camera, struct v4l2_buffer *buffer) {
  ssize_t length;
  if (!camera->streaming) return fail(EINVAL);
  if (has_fault(camera, "broken")) return fail(EIO);
  advance(camera);
  if (camera->filled_count == 0) return fail(EAGAIN);
  length = fill(camera, camera->queue[0]);
  if (length < 0) return fail(EIO);
  if (camera->mode->format == V4L2_PIX_FMT_YUYV && has_fault(camera, "clap"))
    clap(camera, camera->queue[0], length);
  memset(buffer, 0, sizeof *buffer);
  buffer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer->index = camera->queue[0];
  describe_buffer(camera, buffer);
  buffer->bytesused = length;
  buffer->sequence = camera->filled[0].sequence;
  buffer->timestamp.tv_sec = camera->filled[0].at / 1000000000;
  buffer->timestamp.tv_usec = camera->filled[0].at % 1000000000 / 1000;
  memmove(camera->queue, camera->queue + 1, --camera->queued * sizeof *camera->queue);
  memmove(camera->filled, camera->filled + 1, --camera->filled_count * sizeof *camera->filled);
  return 0;
}

static bool lacks_space(const struct camera *camera) {
  FILE *file = description(camera, "no-space", "r");
  char code[5];
  uint32_t width, height;
  bool found = false;
  while (file && !found && fscanf(file, "%4s %u %u", code, &width, &height) == 3)
    found = camera->mode->format == v4l2_fourcc(code[0], code[1], code[2], code[3]) &&
            camera->mode->width == width && camera->mode->height == height;
  if (file) fclose(file);
  return found;
}

static void hang_while(const struct camera *camera, const char *fault) {
  const struct timespec moment = {.tv_nsec = 10000000};
  while (has_fault(camera, fault)) nanosleep(&moment, NULL);
}

static int start(struct camera *camera) {
  hang_while(camera, "start-hangs");
  if (camera->buffer_count == 0) return fail(EINVAL);
  if (lacks_space(camera)) return fail(ENOSPC);
  camera->streaming = true;
  camera->sequence = 0;
  set_clock(camera, camera->mode->fps);
  return 0;
}

/* --- All together --- */

static int camera_ioctl(void *device, unsigned long request, void *argument) {
  struct camera *camera = device;
  struct v4l2_buffer *buffer = argument;
  /* Also what STREAMOFF and REQBUFS get from a camera that is gone. */
  if (is_unplugged(camera)) {
    stop(camera);
    return fail(ENODEV);
  }
  switch ((uint32_t)request) {
  case VIDIOC_QUERYCAP: return query_capabilities(camera, argument);
  case VIDIOC_ENUM_FMT: return modes_enumerate_formats(&camera->modes, argument);
  case VIDIOC_ENUM_FRAMESIZES: return modes_enumerate_sizes(&camera->modes, argument);
  case VIDIOC_ENUM_FRAMEINTERVALS: return modes_enumerate_rates(&camera->modes, argument);
  case VIDIOC_G_FMT:
  case VIDIOC_S_FMT:
  case VIDIOC_TRY_FMT: return format_ioctl(camera, (uint32_t)request, argument);
  case VIDIOC_G_PARM:
  case VIDIOC_S_PARM: return rate_ioctl(camera, (uint32_t)request, argument);
  case VIDIOC_ENUMINPUT: {
    struct v4l2_input *input = argument;
    if (input->index > 0) return fail(EINVAL);
    memset(input, 0, sizeof *input);
    strcpy((char *)input->name, "Camera 1");
    input->type = V4L2_INPUT_TYPE_CAMERA;
    input->std = camera->modes.ways.standard;
    if (input->std) input->capabilities = V4L2_IN_CAP_STD;
    return 0;
  }
  case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
  case VIDIOC_S_INPUT: return *(int *)argument == 0 ? 0 : fail(EINVAL);
  case VIDIOC_ENUMSTD:
  case VIDIOC_G_STD:
  case VIDIOC_QUERYSTD:
  case VIDIOC_S_STD: return modes_standard_ioctl(&camera->modes, request, argument);
  case VIDIOC_REQBUFS: return request_buffers(camera, argument);
  case VIDIOC_QUERYBUF:
    if (buffer->index >= camera->buffer_count) return fail(EINVAL);
    describe_buffer(camera, buffer);
    return 0;
  case VIDIOC_EXPBUF: return export_buffer(camera, argument);
  case VIDIOC_QBUF: return queue_buffer(camera, buffer);
  case VIDIOC_DQBUF: return dequeue_buffer(camera, buffer);
  case VIDIOC_STREAMON: return start(camera);
  case VIDIOC_STREAMOFF:
    hang_while(camera, "stop-hangs");
    stop(camera);
    return 0;
  default: return controls_ioctl(&camera->controls, request, argument);
  }
}

const struct driver camera_driver = {
    .is_node = camera_is_node,
    .open = camera_open,
    .close = camera_close,
    .ioctl = camera_ioctl,
    .events = camera_events,
    .waits_for = camera_waits_for,
    .memory = camera_memory,
};
