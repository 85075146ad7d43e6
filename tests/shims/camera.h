/* A camera that exists only in this process: see camera.c. */
#ifndef TESTS_SHIMS_CAMERA_H
#define TESTS_SHIMS_CAMERA_H

#include <stdbool.h>

/* One open of a camera's node. Calls on one are serialised by the caller. */
struct camera;

/* Whether this path is the node of a test camera. */
bool camera_is_node(const char *path);

/* Takes over `fd`, an open of the node; frees nothing of it. */
struct camera *camera_open(const char *path, int fd);
void camera_close(struct camera *camera);

/* The answer of the driver: 0, or -1 with errno. DQBUF never waits: EAGAIN. */
int camera_ioctl(struct camera *camera, unsigned long request, void *argument);

/* What poll() has to say about the node now: POLLIN, POLLERR or nothing. */
short camera_events(struct camera *camera);

/* A descriptor that becomes readable whenever camera_events() may have changed. */
int camera_clock(const struct camera *camera);

/* A descriptor of the frame buffer that QUERYBUF gave this offset, or -1. */
int camera_memory(const struct camera *camera, long offset);

#endif
