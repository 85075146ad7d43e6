/* A memory-to-memory encoder that exists only in this process: codec.c is its
 * node, codec_formats.c and codec_controls.c what can be set on it, coder.c what
 * works behind it. */
#ifndef TESTS_SHIMS_CODEC_H
#define TESTS_SHIMS_CODEC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "h264.h"
#include "personality.h"
#include "queue.h"

enum { CODEC_PATH = 512, CODEC_EVENTS = 4 };

/* What the driver did, for all opens of a node together: a file that tests
 * read. */
struct codec_counts {
  uint64_t frames_written;  /* that came in memory of the encoder's: somebody copied */
  uint64_t frames_imported; /* that came as a handle */
  uint64_t frames_coded, key_frames, keys_forced;
  uint64_t bytes_coded;
  uint64_t contexts;        /* that began to stream, since ever */
  uint64_t bitrate;         /* asked for last */
};

struct codec {
  const struct personality *personality;
  char folder[CODEC_PATH]; /* of its description */
  char node[CODEC_PATH];
  struct timespec born; /* of the node, when it was opened */
  struct codec_counts *counts;
  int slot; /* a lock that counts for one context, or -1 */

  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t worker;
  bool has_worker, ends, works;

  struct queue output, capture;
  struct v4l2_pix_format_mplane output_format, capture_format;
  struct v4l2_rect crop;
  struct v4l2_fract interval;
  int32_t values[CODEC_CONTROLS];
  bool forces_key, is_new_rate;
  bool drains, is_broken;
  uint32_t coded; /* frames, since it began to stream */
  struct h264 *h264;

  bool wants_eos;
  uint32_t events; /* of the stream's end, that wait */
  /* Readable while there is a coded frame, a raw buffer that is free, and an
   * error or event. */
  int capture_ready, output_ready, other_ready;
};

/* Of the description's folder: a fault lasts as long as its file is there. */
bool codec_has_fault(const struct codec *codec, const char *name);
/* The number in such a file; -1 where it is not there. */
long codec_fault_number(const struct codec *codec, const char *name);
bool codec_is_unplugged(const struct codec *codec);

/* The queue of this buffer type, or NULL. */
struct queue *codec_queue(struct codec *codec, uint32_t type);

/* ENUM_FMT, S_FMT and the like, S_SELECTION, S_PARM: 0, or -1 with errno. */
int codec_formats_ioctl(struct codec *codec, unsigned long request, void *argument);
void codec_formats_reset(struct codec *codec);

/* What poll() sees of the queues, brought up to date. Under the lock. */
short codec_show(struct codec *codec);

/* The answer of the driver: 0, or -1 with errno; ENOTTY to what is no
 * business of controls. */
int codec_controls_ioctl(struct codec *codec, unsigned long request, void *argument);
void codec_controls_reset(struct codec *codec);
int32_t codec_value(const struct codec *codec, uint32_t id, int32_t otherwise);

/* The worker: under the lock, which it gives up while it codes. */
int coder_start(struct codec *codec);
void coder_stop(struct codec *codec); /* waits until it rests, and forgets the stream */
void coder_end(struct codec *codec);

#endif
