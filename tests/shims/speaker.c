/* A test loudspeaker: an ALSA plug-in that plays at the pace of a real card, and
 * can be unplugged. tests/support/speaker.rs writes the ALSA configuration:
 *
 *   pcm.NAME { type testspeaker  node FILE  room ROOM }
 *
 * The speaker is there while FILE is; an open that is older than the present FILE
 * stays dead. While FILE.hangs is there an open does not come back. What it plays is
 * put into FILE.sound, 48 kHz mono in 16 bits, and each time that it starts, a line
 * into FILE.starts: how many frames were there before, and the time of the monotonic
 * clock, in ns. With ROOM, a microphone in that room hears it.
 *
 * Made with ALSA's own kit for such plug-ins, as microphone.c.
 */
#include "room.h"

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

enum { RATE = ROOM_RATE, CHANNELS = 2, PATH = 512 };
enum { FRAME = CHANNELS * sizeof(int16_t) };

struct speaker {
  snd_pcm_ioplug_t io;
  int clock; /* ticks a period apart */
  char node[PATH];
  struct timespec born; /* of the node, when it was opened */
  FILE *sound;
  int16_t *room; /* or NULL */
  bool running;
  struct timespec started;
  int64_t written; /* frames since it was prepared */
};

static bool is_unplugged(const struct speaker *speaker) {
  struct stat now;
  if (lstat(speaker->node, &now) < 0) return true;
  return now.st_mtim.tv_sec != speaker->born.tv_sec || now.st_mtim.tv_nsec != speaker->born.tv_nsec;
}

/* Frames that have sounded since the start. */
static int64_t played(const struct speaker *speaker) {
  struct timespec now;
  if (!speaker->running) return 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t passed = (now.tv_sec - speaker->started.tv_sec) * INT64_C(1000000000) + now.tv_nsec -
                   speaker->started.tv_nsec;
  return passed * RATE / 1000000000;
}

static void set_clock(const struct speaker *speaker, long period) {
  struct timespec step = {.tv_nsec = period};
  struct itimerspec pace = {.it_interval = step, .it_value = step};
  timerfd_settime(speaker->clock, 0, &pace, NULL);
}

static int on_prepare(snd_pcm_ioplug_t *io) {
  struct speaker *speaker = io->private_data;
  speaker->running = false;
  speaker->written = 0;
  return is_unplugged(speaker) ? -ENODEV : 0;
}

static int on_start(snd_pcm_ioplug_t *io) {
  struct speaker *speaker = io->private_data;
  if (is_unplugged(speaker)) return -ENODEV;
  char path[PATH + 16];
  snprintf(path, sizeof path, "%s.starts", speaker->node);
  clock_gettime(CLOCK_MONOTONIC, &speaker->started);
  speaker->running = true;
  FILE *starts = fopen(path, "a");
  if (starts) {
    /* What was written before belongs to this start. */
    long frames = ftell(speaker->sound) / (long)sizeof(int16_t) - (long)speaker->written;
    fprintf(starts, "%ld %lld\n", frames,
            speaker->started.tv_sec * 1000000000LL + speaker->started.tv_nsec);
    fclose(starts);
  }
  set_clock(speaker, (long)(1000000000LL * (long long)io->period_size / RATE));
  return 0;
}

static int on_stop(snd_pcm_ioplug_t *io) {
  struct speaker *speaker = io->private_data;
  speaker->running = false;
  set_clock(speaker, 0);
  return 0;
}

/* Where in its buffer the card reads now. */
static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io) {
  struct speaker *speaker = io->private_data;
  int64_t at = played(speaker);
  if (is_unplugged(speaker)) {
    /* As a card's driver leaves it. An error given back here is taken for an underrun. */
    snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
    if (at > speaker->written) at = speaker->written;
  } else if (at > speaker->written) {
    return -EPIPE;
  }
  return (snd_pcm_sframes_t)((uint64_t)at % io->buffer_size);
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                     snd_pcm_uframes_t offset, snd_pcm_uframes_t frames) {
  struct speaker *speaker = io->private_data;
  if (is_unplugged(speaker)) return -ENODEV;
  const int16_t *sample =
      (const int16_t *)((const char *)areas->addr + areas->first / 8 + areas->step / 8 * offset);
  struct timespec began = speaker->started;
  if (!speaker->running) clock_gettime(CLOCK_MONOTONIC, &began);
  for (snd_pcm_uframes_t i = 0; i < frames; i++, sample += CHANNELS) {
    fwrite(sample, sizeof *sample, 1, speaker->sound);
    if (speaker->room) *place_in_room(speaker->room, &began, speaker->written + (int64_t)i) = *sample;
  }
  fflush(speaker->sound);
  speaker->written += (int64_t)frames;
  return (snd_pcm_sframes_t)frames;
}

static int on_revents(snd_pcm_ioplug_t *io, struct pollfd *polled, unsigned count,
                      unsigned short *revents) {
  struct speaker *speaker = io->private_data;
  uint64_t ticks;
  (void)count;
  if (polled->revents & POLLIN && read(speaker->clock, &ticks, sizeof ticks) < 0) return -errno;
  *revents = 0;
  if (is_unplugged(speaker)) {
    snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
    *revents = POLLERR | POLLHUP;
    return 0;
  }
  int64_t waiting = speaker->written - played(speaker);
  if (waiting + (int64_t)io->period_size <= (int64_t)io->buffer_size) *revents = POLLOUT;
  return 0;
}

static int on_close(snd_pcm_ioplug_t *io) {
  struct speaker *speaker = io->private_data;
  close(speaker->clock);
  fclose(speaker->sound);
  if (speaker->room) munmap(speaker->room, ROOM_FRAMES * sizeof(int16_t));
  free(speaker);
  return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .prepare = on_prepare,
    .start = on_start,
    .stop = on_stop,
    .pointer = on_pointer,
    .transfer = on_transfer,
    .poll_revents = on_revents,
    .close = on_close,
};

/* 48 kHz stereo in 16 bits, in buffers of a usual size. */
static int constrain(snd_pcm_ioplug_t *io) {
  static const unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED};
  static const unsigned format[] = {SND_PCM_FORMAT_S16_LE};
  int error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 1, access);
  if (!error) error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
  if (!error)
    error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, CHANNELS, CHANNELS);
  if (!error) error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, RATE, RATE);
  if (!error)
    error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, RATE / 100 * FRAME,
                                            RATE / 5 * FRAME);
  if (!error)
    error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, RATE / 50 * FRAME,
                                            RATE * 2 * FRAME);
  return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(testspeaker) {
  const char *node = NULL, *room = NULL;
  snd_config_iterator_t at, next;
  struct stat found;
  (void)root;
  snd_config_for_each(at, next, conf) {
    snd_config_t *entry = snd_config_iterator_entry(at);
    const char *key;
    if (snd_config_get_id(entry, &key) < 0) continue;
    if (!strcmp(key, "node")) snd_config_get_string(entry, &node);
    if (!strcmp(key, "room")) snd_config_get_string(entry, &room);
  }
  if (stream != SND_PCM_STREAM_PLAYBACK || !node) return -EINVAL;
  if (lstat(node, &found) < 0) return -ENOENT;
  char path[PATH + 16];
  snprintf(path, sizeof path, "%s.hangs", node);
  const struct timespec moment = {.tv_nsec = 10000000};
  while (access(path, F_OK) == 0) nanosleep(&moment, NULL);

  struct speaker *speaker = calloc(1, sizeof *speaker);
  if (!speaker) return -ENOMEM;
  snprintf(speaker->node, sizeof speaker->node, "%s", node);
  snprintf(path, sizeof path, "%s.sound", node);
  speaker->born = found.st_mtim;
  speaker->sound = fopen(path, "ab");
  if (!speaker->sound) {
    free(speaker);
    return -EIO;
  }
  fseek(speaker->sound, 0, SEEK_END);
  speaker->room = enter_room(room);
  speaker->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  speaker->io.version = SND_PCM_IOPLUG_VERSION;
  speaker->io.name = "test speaker";
  speaker->io.callback = &callbacks;
  speaker->io.private_data = speaker;
  speaker->io.poll_fd = speaker->clock;
  speaker->io.poll_events = POLLIN;
  int error = snd_pcm_ioplug_create(&speaker->io, name, stream, mode);
  if (error < 0) {
    on_close(&speaker->io);
    return error;
  }
  error = constrain(&speaker->io);
  if (error < 0) {
    snd_pcm_ioplug_delete(&speaker->io);
    return error;
  }
  *pcmp = speaker->io.pcm;
  return 0;
}
SND_PCM_PLUGIN_SYMBOL(testspeaker);
