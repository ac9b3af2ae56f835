/* SPDX-License-Identifier: MIT
 *
 * Unix sockets with descriptor passing, and small descriptor helpers. All descriptors made here are close-on-exec.
 */
#ifndef LIB_SOCK_H
#define LIB_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"

#define SOCK_FDS_MAX 5 /* those of CONTROL_START (ppce/control.h) */

/* Listens on `path` (replacing a stale socket file, but not one that a live process answers on: ERR_CONFLICT), mode
 * 0600, type SOCK_STREAM or SOCK_SEQPACKET, non-blocking. Returns the descriptor or -1. */
int sock_listen_unix(const char *path, int type, struct err *err);
/* Connects, non-blocking afterwards. ERR_UNAVAILABLE with the path in the text if nobody listens. */
int sock_connect_unix(const char *path, int type, struct err *err);
/* Is the peer root or of our own effective user (SO_PEERCRED)? 0, or -1 with ERR_DENIED. `pid` may be NULL. */
int sock_check_peer(int fd, pid_t *pid, struct err *err);

/* Sends one packet with up to SOCK_FDS_MAX descriptors. Returns 0, or -1 with errno (EAGAIN among others). */
int sock_send_fds(int fd, const void *data, size_t len, const int *fds, size_t nfds);
/* Receives one packet into data[size]. `fds` has room for SOCK_FDS_MAX; unused entries are -1. Truncated packets and
 * surplus descriptors are an error (EBADMSG), descriptors closed. Returns bytes, 0 at the end, -1 with errno. */
ssize_t sock_recv_fds(int fd, void *data, size_t size, int *fds);
/* The same where no descriptor should come, or with `only` at most one, which it gets (-1: none came). Others are closed,
 * and *surplus says whether there were any. */
ssize_t sock_recv_packet(int fd, void *data, size_t size, int *only, bool *surplus);

int sock_set_nonblocking(int fd);
void sock_close(int *fd); /* closes unless negative, then sets -1 */

#endif
