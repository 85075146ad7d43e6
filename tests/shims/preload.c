/* Puts the devices of driver.h between a program and its C library, by
 * LD_PRELOAD: what is done to a device's node or to a descriptor of it is
 * answered there, everything else goes on to the C library.
 *
 * A device's descriptor is a real one of its node, a plain file: it is seen in
 * /proc/PID/fd under its name, and existence is what the file system says.
 * Taken over are the functions that GStreamer's v4l2 plug-in, the v4l crate
 * (which reaches ioctl through syscall) and Rust's library use.
 */
#define _GNU_SOURCE
#include "driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* The C library's function of this name, as `real`. */
#define REAL(name)                                                       \
  static __typeof__(&name) real;                                         \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum { DESCRIPTORS = 4096, POLLED = 256, MAJOR = 81, MINOR = 90 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct open_device {
  const struct driver *driver;
  void *device;
  unsigned descriptors;
  bool waits; /* not O_NONBLOCK */
} *table[DESCRIPTORS];

static bool in_range(int fd) { return fd >= 0 && fd < DESCRIPTORS; }

/* Read without the lock: a program that uses a descriptor while it closes it
 * is wrong anyway. */
static struct open_device *find(int fd) { return in_range(fd) ? table[fd] : NULL; }

static const struct driver *driver_of(const char *path) {
  if (camera_driver.is_node(path)) return &camera_driver;
  return &codec_driver && codec_driver.is_node(path) ? &codec_driver : NULL;
}

static int adopt(const struct driver *driver, const char *path, int fd, int flags) {
  struct open_device *open_device = fd < 0 || !in_range(fd) ? NULL : calloc(1, sizeof *open_device);
  if (!open_device) return fd;
  pthread_mutex_lock(&lock);
  open_device->driver = driver;
  open_device->device = driver->open(path, fd);
  int error = errno;
  open_device->descriptors = 1;
  open_device->waits = !(flags & O_NONBLOCK);
  bool is_open = open_device->device;
  if (is_open) table[fd] = open_device;
  pthread_mutex_unlock(&lock);
  if (!is_open) {
    free(open_device);
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

static int opened(const char *path, int fd, int flags) {
  const struct driver *driver = driver_of(path);
  return driver ? adopt(driver, path, fd, flags) : fd;
}

#define MODE_ARGUMENT(flags)                                             \
  mode_t mode = 0;                                                       \
  if (flags & (O_CREAT | __O_TMPFILE)) {                                 \
    va_list arguments;                                                   \
    va_start(arguments, flags);                                          \
    mode = va_arg(arguments, mode_t);                                    \
    va_end(arguments);                                                   \
  }

int open(const char *path, int flags, ...) {
  REAL(open);
  MODE_ARGUMENT(flags)
  return opened(path, real(path, flags, mode), flags);
}
int open64(const char *path, int flags, ...) {
  REAL(open64);
  MODE_ARGUMENT(flags)
  return opened(path, real(path, flags, mode), flags);
}
/* What open() becomes under _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }

int close(int fd) {
  REAL(close);
  struct open_device *closed = NULL;
  if (find(fd)) {
    pthread_mutex_lock(&lock);
    closed = table[fd];
    table[fd] = NULL;
    if (closed && --closed->descriptors > 0) closed = NULL;
    pthread_mutex_unlock(&lock);
  }
  if (closed) {
    closed->driver->close(closed->device);
    free(closed);
  }
  return real(fd);
}

static int duplicated(int from, int to) {
  if (to >= 0 && in_range(to) && find(from)) {
    pthread_mutex_lock(&lock);
    table[to] = table[from];
    table[to]->descriptors++;
    pthread_mutex_unlock(&lock);
  }
  return to;
}

int dup(int fd) {
  REAL(dup);
  return duplicated(fd, real(fd));
}

static int fcntl_result(int fd, int command, int result) {
  bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  return copies ? duplicated(fd, result) : result;
}

#define POINTER_ARGUMENT(last)                                           \
  va_list arguments;                                                     \
  va_start(arguments, last);                                             \
  void *argument = va_arg(arguments, void *);                            \
  va_end(arguments)

int fcntl(int fd, int command, ...) {
  REAL(fcntl);
  POINTER_ARGUMENT(command);
  return fcntl_result(fd, command, real(fd, command, argument));
}
int fcntl64(int fd, int command, ...) {
  REAL(fcntl64);
  POINTER_ARGUMENT(command);
  return fcntl_result(fd, command, real(fd, command, argument));
}

/* --- ioctl --- */

/* Until there may be something to dequeue of this type. */
static void wait_for_buffer(struct open_device *open_device, enum v4l2_buf_type type) {
  int fds[WAITED];
  struct pollfd waited[WAITED];
  short wanted = V4L2_TYPE_IS_OUTPUT(type) ? POLLOUT : POLLIN;
  int count = open_device->driver->waits_for(open_device->device, wanted, fds);
  for (int i = 0; i < count; i++) waited[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  poll(waited, count, -1);
}

static int on_device(struct open_device *open_device, unsigned long request, void *argument) {
  for (;;) {
    pthread_mutex_lock(&lock);
    int result = open_device->driver->ioctl(open_device->device, request, argument);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    bool not_yet = result < 0 && error == EAGAIN && (uint32_t)request == VIDIOC_DQBUF;
    if (!not_yet || !open_device->waits) return result;
    wait_for_buffer(open_device, ((struct v4l2_buffer *)argument)->type);
  }
}

int ioctl(int fd, unsigned long request, ...) {
  REAL(ioctl);
  POINTER_ARGUMENT(request);
  struct open_device *open_device = find(fd);
  if (open_device) return on_device(open_device, request, argument);
  int result = real(fd, request, argument);
  /* A memfd stands for a dmabuf: it needs no synchronising. ENOSYS is an emulator's (qemu-user). */
  bool is_sync = (uint32_t)request == (uint32_t)DMA_BUF_IOCTL_SYNC;
  return is_sync && result < 0 && (errno == ENOTTY || errno == ENOSYS) ? 0 : result;
}

long syscall(long number, ...) {
  REAL(syscall);
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  struct open_device *open_device = number == SYS_ioctl ? find((int)a[0]) : NULL;
  if (open_device) return on_device(open_device, (unsigned long)a[1], (void *)a[2]);
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- poll --- */

static struct timespec now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time;
}

static struct timespec add(struct timespec a, struct timespec b, int sign) {
  struct timespec sum = {a.tv_sec + sign * b.tv_sec, a.tv_nsec + sign * b.tv_nsec};
  if (sum.tv_nsec >= 1000000000L) sum.tv_sec++, sum.tv_nsec -= 1000000000L;
  if (sum.tv_nsec < 0) sum.tv_sec--, sum.tv_nsec += 1000000000L;
  return sum;
}

static short events(struct open_device *open_device) {
  pthread_mutex_lock(&lock);
  short result = open_device->driver->events(open_device->device);
  pthread_mutex_unlock(&lock);
  return result;
}

/* What stands for a device's descriptor in a poll; how many. */
static nfds_t wait_in_place(struct open_device *open_device, short events, struct pollfd *waited) {
  int fds[WAITED];
  int count = open_device->driver->waits_for(open_device->device, events, fds);
  for (int i = 0; i < count; i++) waited[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  return count;
}

/* Waits for what the devices wait for in their place, and then asks them. */
int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  REAL(ppoll);
  struct pollfd waited[POLLED * WAITED];
  bool any = false;
  for (nfds_t i = 0; i < count; i++) any |= find(fds[i].fd) != NULL;
  if (!any || count > POLLED) return real(fds, count, timeout, mask);
  struct timespec deadline = timeout ? add(now(), *timeout, 1) : now(), left = {0};
  for (;;) {
    nfds_t all = count;
    for (nfds_t i = 0; i < count; i++) {
      struct open_device *open_device = find(fds[i].fd);
      waited[i] = fds[i];
      if (open_device) waited[i].fd = -1;
      if (open_device) all += wait_in_place(open_device, fds[i].events, waited + all);
    }
    if (timeout) left = add(deadline, now(), -1);
    if (left.tv_sec < 0) left = (struct timespec){0};
    int result = real(waited, all, timeout ? &left : NULL, mask);
    if (result < 0) return result;
    int ready = 0;
    bool gone = false;
    for (nfds_t i = 0; i < count; i++) {
      struct open_device *open_device = find(fds[i].fd);
      short seen = open_device ? events(open_device) : waited[i].revents;
      fds[i].revents = open_device ? seen & (fds[i].events | POLLERR | POLLHUP) : seen;
      ready += fds[i].revents != 0;
      gone |= open_device && (seen & POLLHUP);
    }
    /* Programs put it into their message. */
    if (gone) errno = ENODEV;
    if (ready > 0 || result == 0) return ready;
  }
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  struct timespec time = {timeout / 1000, timeout % 1000 * 1000000L};
  return ppoll(fds, count, timeout < 0 ? NULL : &time, NULL);
}
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size) {
  (void)size;
  return poll(fds, count, timeout);
}
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask, size_t size) {
  (void)size;
  return ppoll(fds, count, timeout, mask);
}

/* --- Memory and names --- */

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  REAL(mmap);
  struct open_device *open_device = find(fd);
  if (!open_device) return real(at, length, protection, flags, fd, offset);
  return real(at, length, protection, flags, open_device->driver->memory(open_device->device, offset), 0);
}
/* The same where off_t has 64 bits. */
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(at, length, protection, flags, fd, offset);
}

/* A node is a plain file that has to look like a character device. */
#define AS_DEVICE(answer)                                                \
  (answer)->st_mode = S_IFCHR | ((answer)->st_mode & 07777);             \
  (answer)->st_rdev = makedev(MAJOR, MINOR)

int stat(const char *path, struct stat *answer) {
  REAL(stat);
  int result = real(path, answer);
  if (result == 0 && driver_of(path)) { AS_DEVICE(answer); }
  return result;
}
int stat64(const char *path, struct stat64 *answer) {
  REAL(stat64);
  int result = real(path, answer);
  if (result == 0 && driver_of(path)) { AS_DEVICE(answer); }
  return result;
}
int fstat(int fd, struct stat *answer) {
  REAL(fstat);
  int result = real(fd, answer);
  if (result == 0 && find(fd)) { AS_DEVICE(answer); }
  return result;
}
int fstat64(int fd, struct stat64 *answer) {
  REAL(fstat64);
  int result = real(fd, answer);
  if (result == 0 && find(fd)) { AS_DEVICE(answer); }
  return result;
}
int statx(int folder, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict answer) {
  REAL(statx);
  int result = real(folder, path, flags, mask, answer);
  /* Rust's library asks with no path whether there is this call: it fails. */
  if (result != 0) return result;
  bool node = *path ? driver_of(path) != NULL : (flags & AT_EMPTY_PATH) && find(folder);
  if (node) {
    answer->stx_mode = S_IFCHR | (answer->stx_mode & 07777);
    answer->stx_rdev_major = MAJOR;
    answer->stx_rdev_minor = MINOR;
  }
  return result;
}
