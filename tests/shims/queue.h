/* A queue of buffers as videobuf2 has it: see queue.c. */
#ifndef TESTS_SHIMS_QUEUE_H
#define TESTS_SHIMS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include <linux/videodev2.h>

enum { BUFFERS = 32 };

struct buffer {
  int memory; /* a memfd, in the place of a dmabuf; that of another device's too */
  bool queued;
  uint32_t length, used, start, flags, sequence;
  struct timeval stamp;
};

struct list {
  uint32_t index[BUFFERS], count;
};

struct queue {
  uint32_t type, memory;
  uint32_t size; /* of a buffer, at least */
  struct buffer buffers[BUFFERS];
  uint32_t count, sequence;
  struct list waiting, done; /* oldest first */
  bool streaming, last_taken;
};

void queue_start_as(struct queue *queue, uint32_t type);
void queue_free(struct queue *queue);

/* The answers of the driver: 0, or -1 with errno. */
int queue_request(struct queue *queue, struct v4l2_requestbuffers *request, uint32_t least);
int queue_create(struct queue *queue, struct v4l2_create_buffers *request);
int queue_query(struct queue *queue, struct v4l2_buffer *buffer);
int queue_put(struct queue *queue, struct v4l2_buffer *buffer);
int queue_take(struct queue *queue, struct v4l2_buffer *buffer);
int queue_export(struct queue *queue, struct v4l2_exportbuffer *request);

/* The driver's side: takes the oldest that waits, and gives one back. */
struct buffer *queue_next(struct queue *queue);
void queue_done(struct queue *queue, struct buffer *buffer);
/* All buffers go back to the program. */
void queue_stop(struct queue *queue);

/* The memory of the buffer that was queried to be at this offset, or -1. */
int queue_memory(const struct queue *queue, long offset);
bool queue_has_offset(const struct queue *queue, long offset);

#endif
