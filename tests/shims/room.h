/* A room between a loudspeaker and a microphone: a file that both have in memory,
 * ten seconds of 48 kHz mono in 16 bits, over and over. The frame that sounds at a
 * time of the monotonic clock stands at that time's place. */
#pragma once
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROOM_RATE = 48000, ROOM_FRAMES = 10 * ROOM_RATE };

/* NULL where there is none. */
static inline int16_t *enter_room(const char *path) {
  size_t size = ROOM_FRAMES * sizeof(int16_t);
  int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (fd < 0) return NULL;
  void *room = ftruncate(fd, (off_t)size) ? MAP_FAILED
                                          : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return room == MAP_FAILED ? NULL : room;
}

/* The place of what sounds so many frames after `began`. */
static inline int16_t *place_in_room(int16_t *room, const struct timespec *began, int64_t frames) {
  int64_t at = began->tv_sec * (int64_t)ROOM_RATE + began->tv_nsec * (int64_t)ROOM_RATE / 1000000000;
  return &room[(uint64_t)(at + frames) % ROOM_FRAMES];
}
