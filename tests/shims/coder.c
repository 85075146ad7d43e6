/* What works behind an encoder's node: a thread that takes raw buffers and
 * gives coded ones, as the kernel's "Memory-to-Memory Stateful Video Encoder
 * Interface" (userspace-api/media/v4l/dev-encoder.rst) says.
 *
 * Faults, each a file of the description's folder:
 *
 *   silent          no frame comes out
 *   late-ms N       the first frame comes out so late
 *   broken-after N  after so many frames the device has an error (EIO)
 *   empty-after N   frames from then on have no bytes
 *   ignores-bitrate, ignores-key-frames
 */
#define _GNU_SOURCE
#include "codec.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const long LOOK = 20000000; /* ns: how soon an unplugged device is noticed */

static void wait_a_moment(struct codec *codec) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += LOOK;
  if (until.tv_nsec >= 1000000000L) until.tv_sec++, until.tv_nsec -= 1000000000L;
  pthread_cond_timedwait(&codec->changed, &codec->lock, &until);
}

static struct h264 *open_h264(const struct codec *codec) {
  const struct personality *personality = codec->personality;
  bool looks_at_rate = codec_value(codec, personality->rate_switch, 1);
  int32_t rate = codec_value(codec, V4L2_CID_MPEG_VIDEO_BITRATE, 0);
  const struct h264_setting setting = {
      .width = codec->crop.width,
      .height = codec->crop.height,
      .fps = codec->interval.numerator ? codec->interval.denominator / codec->interval.numerator : 0,
      .bits_per_second = looks_at_rate ? (uint32_t)rate : 0,
      .gop = (uint32_t)codec_value(codec, personality->gop, 0),
      .profile = codec_value(codec, V4L2_CID_MPEG_VIDEO_H264_PROFILE, 0),
      .level = codec_value(codec, V4L2_CID_MPEG_VIDEO_H264_LEVEL, 0),
      .repeat_headers = codec_value(codec, personality->headers, 0),
  };
  return h264_open(&setting);
}

static size_t coded_length(struct codec *codec, const struct buffer *in, const struct buffer *out,
                           const struct v4l2_pix_format_mplane *format, bool force, bool *key) {
  const uint8_t *raw = mmap(NULL, in->length, PROT_READ, MAP_SHARED, in->memory, 0);
  uint8_t *room = mmap(NULL, out->length, PROT_WRITE, MAP_SHARED, out->memory, 0);
  size_t length = 0;
  uint32_t stride = format->plane_fmt[0].bytesperline;
  if (raw != MAP_FAILED && room != MAP_FAILED) {
    const struct h264_picture picture = {
        .fourcc = format->pixelformat,
        .data = raw + in->start,
        .chroma = raw + in->start + (size_t)stride * format->height,
        .stride = stride,
        .lines = format->height / 2,
    };
    length = h264_encode(codec->h264, &picture, force, room, out->length, key);
  }
  if (raw != MAP_FAILED) munmap((void *)raw, in->length);
  if (room != MAP_FAILED) munmap(room, out->length);
  return length;
}

static bool reached(const struct codec *codec, const char *fault) {
  long frames = codec_fault_number(codec, fault);
  return frames >= 0 && codec->coded >= (uint32_t)frames;
}

static void count(struct codec *codec, const struct buffer *out, bool key, bool forced) {
  struct codec_counts *counts = codec->counts;
  __atomic_fetch_add(codec->output.memory == V4L2_MEMORY_DMABUF ? &counts->frames_imported
                                                                 : &counts->frames_written,
                     1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&counts->frames_coded, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&counts->bytes_coded, out->used, __ATOMIC_RELAXED);
  if (key) __atomic_fetch_add(&counts->key_frames, 1, __ATOMIC_RELAXED);
  if (forced) __atomic_fetch_add(&counts->keys_forced, 1, __ATOMIC_RELAXED);
}

/* One frame; the lock is given up while it is coded. */
static void code(struct codec *codec) {
  struct buffer *in = queue_next(&codec->output), *out = queue_next(&codec->capture);
  const struct v4l2_pix_format_mplane format = codec->output_format;
  bool forced = codec->forces_key, key = false;
  if (!codec->h264) codec->h264 = open_h264(codec);
  if (codec->is_new_rate && codec->personality->live_bitrate && codec->h264 &&
      !codec_has_fault(codec, "ignores-bitrate"))
    h264_set_bitrate(codec->h264, (uint32_t)codec_value(codec, V4L2_CID_MPEG_VIDEO_BITRATE, 0));
  codec->forces_key = codec->is_new_rate = false;
  codec->works = true;
  pthread_mutex_unlock(&codec->lock);
  size_t length = codec->h264 ? coded_length(codec, in, out, &format, forced, &key) : 0;
  pthread_mutex_lock(&codec->lock);
  codec->works = false;
  out->used = reached(codec, "empty-after") ? 0 : (uint32_t)length;
  out->stamp = in->stamp;
  out->flags = length == 0 ? V4L2_BUF_FLAG_ERROR : 0;
  if (key && codec->personality->flags_key_frames) out->flags |= V4L2_BUF_FLAG_KEYFRAME;
  else if (length) out->flags |= V4L2_BUF_FLAG_PFRAME;
  count(codec, out, key, forced);
  codec->coded++;
  queue_done(&codec->output, in);
  queue_done(&codec->capture, out);
}

/* The drain ends with an empty buffer that is marked as the last one. */
static void finish(struct codec *codec) {
  struct buffer *out = queue_next(&codec->capture);
  out->used = 0;
  out->flags = V4L2_BUF_FLAG_LAST;
  queue_done(&codec->capture, out);
  codec->drains = false;
  if (codec->wants_eos && codec->events < CODEC_EVENTS) codec->events++;
}

/* What is late at the beginning is late until the first frame is out. */
static bool is_too_early(const struct codec *codec, const struct timespec *begun) {
  long late = codec->coded == 0 ? codec_fault_number(codec, "late-ms") : -1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long since = (now.tv_sec - begun->tv_sec) * 1000 + (now.tv_nsec - begun->tv_nsec) / 1000000;
  return since < late;
}

static void *work(void *argument) {
  struct codec *codec = argument;
  struct timespec begun = {0};
  bool rested = true;
  pthread_mutex_lock(&codec->lock);
  while (!codec->ends) {
    bool streams = codec->output.streaming && codec->capture.streaming && !codec->is_broken;
    bool has_room = codec->capture.waiting.count > 0;
    if (streams && rested) clock_gettime(CLOCK_MONOTONIC, &begun);
    rested = !streams;
    if (streams && reached(codec, "broken-after")) codec->is_broken = true;
    if (streams && has_room && codec->output.waiting.count > 0 && !codec_is_unplugged(codec) &&
        !codec->is_broken && !codec_has_fault(codec, "silent") && !is_too_early(codec, &begun))
      code(codec);
    else if (streams && has_room && codec->drains && codec->output.waiting.count == 0)
      finish(codec);
    else
      wait_a_moment(codec);
    codec_show(codec);
    pthread_cond_broadcast(&codec->changed);
  }
  pthread_mutex_unlock(&codec->lock);
  return NULL;
}

int coder_start(struct codec *codec) {
  if (codec->has_worker) return 0;
  int error = pthread_create(&codec->worker, NULL, work, codec);
  codec->has_worker = error == 0;
  errno = error;
  return error ? -1 : 0;
}

void coder_stop(struct codec *codec) {
  while (codec->works) pthread_cond_wait(&codec->changed, &codec->lock);
  if (codec->h264) h264_close(codec->h264);
  codec->h264 = NULL;
  codec->coded = 0;
  codec->drains = codec->forces_key = false;
}

void coder_end(struct codec *codec) {
  pthread_mutex_lock(&codec->lock);
  codec->ends = true;
  pthread_cond_broadcast(&codec->changed);
  pthread_mutex_unlock(&codec->lock);
  if (codec->has_worker) pthread_join(codec->worker, NULL);
  if (codec->h264) h264_close(codec->h264);
}
