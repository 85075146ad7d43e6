/* A board's clock that jumps, for LD_PRELOAD in the ARM machine: the time of day
   is so many seconds later as the file $CLOCK_FILE says. Both ways that a 32-bit
   program has to ask for it are answered; other clocks are as they were. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As the kernel writes it where seconds have 64 bits (linux/time_types.h). */
struct stamp {
  long long seconds;
  long long nanoseconds;
};

static long long jumped(void) {
  const char *path = getenv("CLOCK_FILE");
  char text[24] = "";
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  return length > 0 ? atoll(text) : 0;
}

static int now(clockid_t clock, struct stamp *stamp) {
#ifdef SYS_clock_gettime64
  long result = syscall(SYS_clock_gettime64, clock, stamp);
#else
  long result = syscall(SYS_clock_gettime, clock, stamp);
#endif
  if (result == 0 && clock == CLOCK_REALTIME) stamp->seconds += jumped();
  return (int)result;
}

int __clock_gettime64(clockid_t clock, struct stamp *stamp) { return now(clock, stamp); }

int clock_gettime(clockid_t clock, struct timespec *time) {
  struct stamp stamp;
  int result = now(clock, &stamp);
  if (result == 0) {
    time->tv_sec = (time_t)stamp.seconds;
    time->tv_nsec = (long)stamp.nanoseconds;
  }
  return result;
}
