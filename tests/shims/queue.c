/* A queue of buffers: what videobuf2-core.c and videobuf2-v4l2.c of the kernel
 * answer, with one plane a buffer, in memory of its own (MMAP, exported with
 * EXPBUF) or in another device's (DMABUF).
 */
#define _GNU_SOURCE
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* Where the offsets of a CAPTURE queue begin: DST_QUEUE_OFF_BASE of v4l2-mem2mem.c. */
static const long CAPTURE_OFFSETS = 1L << 30;

static int fail(int error) {
  errno = error;
  return -1;
}

static bool is_output(const struct queue *queue) { return V4L2_TYPE_IS_OUTPUT(queue->type); }

void queue_start_as(struct queue *queue, uint32_t type) {
  memset(queue, 0, sizeof *queue);
  queue->type = type;
  for (int i = 0; i < BUFFERS; i++) queue->buffers[i].memory = -1;
}

void queue_free(struct queue *queue) {
  for (uint32_t i = 0; i < queue->count; i++) {
    if (queue->buffers[i].memory >= 0) close(queue->buffers[i].memory);
    queue->buffers[i] = (struct buffer){.memory = -1};
  }
  queue->count = 0;
}

static bool is_known(uint32_t memory) {
  return memory == V4L2_MEMORY_MMAP || memory == V4L2_MEMORY_DMABUF;
}

static int add(struct queue *queue, uint32_t count, uint32_t size) {
  for (uint32_t i = 0; i < count; i++) {
    struct buffer *buffer = &queue->buffers[queue->count];
    *buffer = (struct buffer){.memory = -1, .length = (size + PAGE - 1) & ~(uint32_t)(PAGE - 1)};
    if (queue->memory == V4L2_MEMORY_MMAP) {
      buffer->memory = memfd_create("test encoder", MFD_CLOEXEC);
      if (buffer->memory < 0 || ftruncate(buffer->memory, buffer->length) < 0) return -1;
    }
    queue->count++;
  }
  return 0;
}

int queue_request(struct queue *queue, struct v4l2_requestbuffers *request, uint32_t least) {
  request->capabilities =
      V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_DMABUF | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
  if (!is_known(request->memory)) return fail(EINVAL);
  if (queue->streaming) return fail(EBUSY);
  queue_free(queue);
  queue->waiting.count = queue->done.count = 0;
  queue->memory = request->memory;
  if (request->count == 0) return 0;
  if (request->count < least) request->count = least;
  if (request->count > BUFFERS) request->count = BUFFERS;
  return add(queue, request->count, queue->size);
}

int queue_create(struct queue *queue, struct v4l2_create_buffers *request) {
  uint32_t size = request->format.fmt.pix_mp.plane_fmt[0].sizeimage;
  if (!is_known(request->memory)) return fail(EINVAL);
  request->index = queue->count;
  if (request->count == 0) return 0;
  if (queue->count > 0 && queue->memory != request->memory) return fail(EINVAL);
  if (queue->count + request->count > BUFFERS) return fail(ENOBUFS);
  if (size < queue->size) return fail(EINVAL);
  queue->memory = request->memory;
  return add(queue, request->count, size);
}

static void describe(const struct queue *queue, uint32_t index, struct v4l2_buffer *answer) {
  const struct buffer *buffer = &queue->buffers[index];
  struct v4l2_plane *plane = &answer->m.planes[0];
  answer->index = index;
  answer->memory = queue->memory;
  answer->field = V4L2_FIELD_NONE;
  answer->flags = buffer->flags | V4L2_BUF_FLAG_TIMESTAMP_COPY;
  if (buffer->queued) answer->flags |= V4L2_BUF_FLAG_QUEUED;
  answer->timestamp = buffer->stamp;
  answer->sequence = buffer->sequence;
  answer->length = 1;
  memset(plane, 0, sizeof *plane);
  plane->bytesused = buffer->used;
  plane->length = buffer->length;
  plane->data_offset = buffer->start;
  if (queue->memory == V4L2_MEMORY_MMAP)
    plane->m.mem_offset = (uint32_t)((is_output(queue) ? 0 : CAPTURE_OFFSETS) + index * PAGE);
}

int queue_query(struct queue *queue, struct v4l2_buffer *buffer) {
  if (buffer->index >= queue->count || buffer->length < 1) return fail(EINVAL);
  describe(queue, buffer->index, buffer);
  return 0;
}

static int import(struct queue *queue, struct buffer *buffer, const struct v4l2_plane *plane) {
  struct stat there;
  int memory = fcntl(plane->m.fd, F_DUPFD_CLOEXEC, 0);
  if (memory < 0) return fail(EBADF);
  uint32_t length = plane->length;
  if (length == 0 && fstat(memory, &there) == 0) length = (uint32_t)there.st_size;
  if (length < queue->size) {
    close(memory);
    return fail(EINVAL);
  }
  if (buffer->memory >= 0) close(buffer->memory);
  buffer->memory = memory;
  buffer->length = length;
  return 0;
}

int queue_put(struct queue *queue, struct v4l2_buffer *request) {
  struct v4l2_plane *plane = request->m.planes;
  if (request->index >= queue->count || request->memory != queue->memory || request->length < 1)
    return fail(EINVAL);
  struct buffer *buffer = &queue->buffers[request->index];
  if (buffer->queued) return fail(EINVAL);
  if (queue->memory == V4L2_MEMORY_DMABUF && import(queue, buffer, plane) < 0) return -1;
  buffer->flags = 0;
  buffer->used = buffer->start = 0;
  if (is_output(queue)) {
    if (plane->bytesused > buffer->length) return fail(EINVAL);
    buffer->used = plane->bytesused ? plane->bytesused : buffer->length;
    buffer->start = plane->data_offset;
    buffer->stamp = request->timestamp;
  }
  buffer->queued = true;
  queue->waiting.index[queue->waiting.count++] = request->index;
  request->flags |= V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_TIMESTAMP_COPY;
  return 0;
}

static uint32_t shift(struct list *list) {
  uint32_t first = list->index[0];
  memmove(list->index, list->index + 1, --list->count * sizeof *list->index);
  return first;
}

int queue_take(struct queue *queue, struct v4l2_buffer *answer) {
  if (!queue->streaming) return fail(EINVAL);
  if (queue->last_taken) return fail(EPIPE);
  if (queue->done.count == 0) return fail(EAGAIN);
  uint32_t index = shift(&queue->done);
  queue->buffers[index].queued = false;
  queue->last_taken = queue->buffers[index].flags & V4L2_BUF_FLAG_LAST;
  describe(queue, index, answer);
  return 0;
}

int queue_export(struct queue *queue, struct v4l2_exportbuffer *request) {
  if (request->index >= queue->count || request->plane > 0 || queue->memory != V4L2_MEMORY_MMAP)
    return fail(EINVAL);
  request->fd = fcntl(queue->buffers[request->index].memory, F_DUPFD_CLOEXEC, 0);
  return request->fd < 0 ? -1 : 0;
}

struct buffer *queue_next(struct queue *queue) {
  return queue->waiting.count ? &queue->buffers[shift(&queue->waiting)] : NULL;
}

void queue_done(struct queue *queue, struct buffer *buffer) {
  buffer->sequence = queue->sequence++;
  queue->done.index[queue->done.count++] = (uint32_t)(buffer - queue->buffers);
}

void queue_stop(struct queue *queue) {
  queue->waiting.count = queue->done.count = 0;
  for (uint32_t i = 0; i < queue->count; i++) queue->buffers[i].queued = false;
  queue->streaming = queue->last_taken = false;
  queue->sequence = 0;
}

bool queue_has_offset(const struct queue *queue, long offset) {
  return (offset >= CAPTURE_OFFSETS) != is_output(queue);
}

int queue_memory(const struct queue *queue, long offset) {
  long index = offset % CAPTURE_OFFSETS / PAGE;
  return index >= 0 && index < (long)queue->count ? queue->buffers[index].memory : -1;
}
