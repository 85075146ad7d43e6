/* A test microphone: an ALSA plug-in that plays a sine at the pace of a real
 * card, and can be unplugged. tests/support/shims.rs writes the ALSA
 * configuration that names it:
 *
 *   pcm.NAME { type testmic  node FILE  frequency HZ  ppm PACE  sound RAW  room ROOM }
 *
 * The microphone is there while FILE is; an open that is older than the
 * present FILE stays dead. While FILE.silent is there no sound comes, and no
 * error; while FILE.hangs is there an open does not come back; while FILE.mute is there it is all zeros; while FILE.clap is there it
 * hears 20 ms of 1 kHz at each full second of the monotonic clock. Its crystal runs fast by
 * PACE parts in a million, or slow where that is negative. With RAW, a file of
 * 48 kHz mono in 16 bits, it hears that over and over instead of a sine. With ROOM
 * it hears what the speaker in that room plays, and claps, and nothing else: a quarter
 * of it, 5 ms later.
 *
 * Made with ALSA's own kit for such plug-ins (pcm_ioplug; alsa-lib,
 * doc "PCM External Plugin SDK"). ALSA's types "file" and "null" have no pace.
 */
#include "room.h"

#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

enum { RATE = ROOM_RATE, CHANNELS = 2, AMPLITUDE = 12000, PATH = 512 };
enum { AWAY = RATE / 200 };
enum { FRAME = CHANNELS * sizeof(int16_t) };

struct microphone {
  snd_pcm_ioplug_t io;
  int clock; /* ticks a period apart */
  char node[PATH];
  struct timespec born; /* of the node, when it was opened */
  long frequency;
  int16_t *sound; /* or NULL */
  size_t samples;
  int16_t *room; /* or NULL */
  double rate; /* frames a second of our clock */
  bool running;
  struct timespec started;
  struct timespec last;                 /* when `recorded` was brought up to date */
  double recorded;                      /* frames since the start */
  snd_pcm_uframes_t taken;              /* of them by the program */
  uint64_t played;                      /* frames of the sine, over all starts */
};

static bool has_fault(const struct microphone *microphone, const char *name) {
  char path[PATH + 16];
  snprintf(path, sizeof path, "%s.%s", microphone->node, name);
  return access(path, F_OK) == 0;
}

static bool is_unplugged(const struct microphone *microphone) {
  struct stat now;
  if (lstat(microphone->node, &now) < 0) return true;
  return now.st_mtim.tv_sec != microphone->born.tv_sec ||
         now.st_mtim.tv_nsec != microphone->born.tv_nsec;
}

/* Lets the card record up to now. A silent one has stopped. */
static void record(struct microphone *microphone) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double passed = (double)(now.tv_sec - microphone->last.tv_sec) +
                  (double)(now.tv_nsec - microphone->last.tv_nsec) / 1e9;
  microphone->last = now;
  if (microphone->running && !has_fault(microphone, "silent")) {
    microphone->recorded += passed * microphone->rate;
  }
}

static void set_clock(const struct microphone *microphone, long period) {
  struct timespec step = {.tv_nsec = period};
  struct itimerspec pace = {.it_interval = step, .it_value = step};
  timerfd_settime(microphone->clock, 0, &pace, NULL);
}

static int on_start(snd_pcm_ioplug_t *io) {
  struct microphone *microphone = io->private_data;
  if (is_unplugged(microphone)) return -ENODEV;
  record(microphone);
  microphone->running = true;
  microphone->started = microphone->last;
  microphone->recorded = 0;
  microphone->taken = 0;
  set_clock(microphone, (long)(1e9 / microphone->rate * (double)io->period_size));
  return 0;
}

static int on_stop(snd_pcm_ioplug_t *io) {
  struct microphone *microphone = io->private_data;
  microphone->running = false;
  set_clock(microphone, 0);
  return 0;
}

/* What it hears of the clapping in the frame that is captured as number `at`. */
static double clap(const struct microphone *microphone, uint64_t at) {
  double time = (double)(microphone->started.tv_nsec) / 1e9 + (double)at / microphone->rate;
  double since = time - floor(time);
  return since < 0.02 ? sin(2 * M_PI * 1000 * since) : 0;
}

/* Where in its buffer the card writes now. */
static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io) {
  struct microphone *microphone = io->private_data;
  if (is_unplugged(microphone)) {
    snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
    return -ENODEV;
  }
  record(microphone);
  snd_pcm_uframes_t recorded = (snd_pcm_uframes_t)microphone->recorded;
  if (recorded > microphone->taken + io->buffer_size) return -EPIPE;
  return (snd_pcm_sframes_t)(recorded % io->buffer_size);
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                     snd_pcm_uframes_t offset, snd_pcm_uframes_t frames) {
  struct microphone *microphone = io->private_data;
  if (is_unplugged(microphone)) return -ENODEV;
  int16_t *sample = (int16_t *)((char *)areas->addr + areas->first / 8 + areas->step / 8 * offset);
  double amplitude = has_fault(microphone, "mute") ? 0 : AMPLITUDE;
  bool claps = has_fault(microphone, "clap");
  for (snd_pcm_uframes_t i = 0; i < frames; i++) {
    uint64_t at = microphone->played++;
    double turns = (double)(at % RATE) * (double)microphone->frequency / RATE;
    int16_t value = (int16_t)(amplitude * sin(2 * M_PI * turns));
    if (microphone->sound) value = amplitude > 0 ? microphone->sound[at % microphone->samples] : 0;
    if (microphone->room) {
      int64_t then = (int64_t)(microphone->taken + i) - AWAY;
      int16_t *heard = place_in_room(microphone->room, &microphone->started, then);
      value = *heard / 4;
      *heard = 0;
    }
    if (claps) {
      if (!microphone->room) value = 0;
      value += (int16_t)(amplitude * clap(microphone, microphone->taken + i));
    }
    for (int channel = 0; channel < CHANNELS; channel++) *sample++ = value;
  }
  microphone->taken += frames;
  return (snd_pcm_sframes_t)frames;
}

static int on_revents(snd_pcm_ioplug_t *io, struct pollfd *polled, unsigned count,
                      unsigned short *revents) {
  struct microphone *microphone = io->private_data;
  uint64_t ticks;
  (void)count;
  if (polled->revents & POLLIN && read(microphone->clock, &ticks, sizeof ticks) < 0)
    return -errno;
  *revents = 0;
  if (is_unplugged(microphone)) {
    *revents = POLLERR | POLLHUP;
    return 0;
  }
  record(microphone);
  if (microphone->recorded >= (double)(microphone->taken + io->period_size)) *revents = POLLIN;
  return 0;
}

/* Reads the file that the microphone is to hear. */
static int read_sound(struct microphone *microphone, const char *path) {
  struct stat found;
  FILE *file = fopen(path, "rb");
  if (!file) return -errno;
  if (fstat(fileno(file), &found) == 0) microphone->sound = malloc((size_t)found.st_size);
  if (microphone->sound)
    microphone->samples = fread(microphone->sound, sizeof(int16_t),
                                (size_t)found.st_size / sizeof(int16_t), file);
  fclose(file);
  return microphone->samples ? 0 : -EINVAL;
}

static int on_close(snd_pcm_ioplug_t *io) {
  struct microphone *microphone = io->private_data;
  close(microphone->clock);
  free(microphone->sound);
  if (microphone->room) munmap(microphone->room, ROOM_FRAMES * sizeof(int16_t));
  free(microphone);
  return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
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
    error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, RATE / 25 * FRAME,
                                            RATE * 2 * FRAME);
  return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(testmic) {
  const char *node = NULL, *sound = NULL, *room = NULL;
  long frequency = 0, ppm = 0;
  snd_config_iterator_t at, next;
  struct stat found;
  (void)root;
  snd_config_for_each(at, next, conf) {
    snd_config_t *entry = snd_config_iterator_entry(at);
    const char *key;
    if (snd_config_get_id(entry, &key) < 0) continue;
    if (!strcmp(key, "node")) snd_config_get_string(entry, &node);
    if (!strcmp(key, "sound")) snd_config_get_string(entry, &sound);
    if (!strcmp(key, "room")) snd_config_get_string(entry, &room);
    if (!strcmp(key, "frequency")) snd_config_get_integer(entry, &frequency);
    if (!strcmp(key, "ppm")) snd_config_get_integer(entry, &ppm);
  }
  if (stream != SND_PCM_STREAM_CAPTURE || !node || frequency <= 0) return -EINVAL;
  if (lstat(node, &found) < 0) return -ENOENT;
  char hangs[PATH + 16];
  snprintf(hangs, sizeof hangs, "%s.hangs", node);
  const struct timespec moment = {.tv_nsec = 10000000};
  while (access(hangs, F_OK) == 0) nanosleep(&moment, NULL);

  struct microphone *microphone = calloc(1, sizeof *microphone);
  if (!microphone) return -ENOMEM;
  snprintf(microphone->node, sizeof microphone->node, "%s", node);
  microphone->born = found.st_mtim;
  int unread = sound ? read_sound(microphone, sound) : 0;
  if (unread < 0) {
    free(microphone->sound);
    free(microphone);
    return unread;
  }
  microphone->frequency = frequency;
  microphone->room = enter_room(room);
  microphone->rate = RATE * (1 + (double)ppm / 1e6);
  microphone->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  microphone->io.version = SND_PCM_IOPLUG_VERSION;
  microphone->io.name = "test microphone";
  microphone->io.callback = &callbacks;
  microphone->io.private_data = microphone;
  microphone->io.poll_fd = microphone->clock;
  microphone->io.poll_events = POLLIN;
  int error = snd_pcm_ioplug_create(&microphone->io, name, stream, mode);
  if (error < 0) {
    close(microphone->clock);
    free(microphone->sound);
    free(microphone);
    return error;
  }
  error = constrain(&microphone->io);
  if (error < 0) {
    snd_pcm_ioplug_delete(&microphone->io);
    return error;
  }
  *pcmp = microphone->io.pcm;
  return 0;
}
SND_PCM_PLUGIN_SYMBOL(testmic);
