/* SPDX-License-Identifier: MIT
 *
 * The library OS's network: TCP over IPv4 by lwIP, over frames that the host passes (struct ppce_net of ppce/abi.h).
 * Internal header. Where lwIP was not to be had at build time, nonet.c answers all of this instead.
 *
 * There is one thread and no interrupt: frames move, and TCP's timers run, inside system calls only. */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "guest/os.h"

#include <sys/uio.h>

#define LOS_FOREVER UINT64_MAX

struct los_socket;

/* netif.c. The network is there from this call on, which comes once, after the snapshot. */
LOS_HIDDEN void los_net_start(void);
LOS_HIDDEN bool los_net_up(void);
LOS_HIDDEN const struct ppce_net *los_net_page(void);
/* Sends what is to be sent, takes what has come, runs timers; waits for a frame until the monotonic time `until`, at most.
 * May return before, having done nothing. Without a network it only lets time pass. */
LOS_HIDDEN void los_net_wait(uint64_t until);
LOS_HIDDEN void los_net_poll(void);  /* the same without waiting */
LOS_HIDDEN void los_net_flush(void); /* only sends */
uint32_t los_random_word(void);

/* hosts.c: files that are there while a network is; NULL: no such file */
LOS_HIDDEN const struct los_file *los_net_file(const char *path);

/* tcp.c, stream.c: sockets as such. Addresses and ports in host byte order. Results: >= 0, or -errno. */
LOS_HIDDEN struct los_socket *los_socket_new(bool nonblock); /* NULL: too many. One reference, the caller's */
LOS_HIDDEN void los_socket_retain(struct los_socket *s);
LOS_HIDDEN void los_socket_release(struct los_socket *s); /* the last one closes it */
LOS_HIDDEN long los_socket_bind(struct los_socket *s, uint32_t ip, uint16_t port);
LOS_HIDDEN long los_socket_listen(struct los_socket *s, int backlog);
LOS_HIDDEN long los_socket_accept(struct los_socket *s, struct los_socket **out);
LOS_HIDDEN long los_socket_connect(struct los_socket *s, uint32_t ip, uint16_t port);
LOS_HIDDEN long los_socket_recv(struct los_socket *s, const struct iovec *v, size_t count, int flags);
LOS_HIDDEN long los_socket_send(struct los_socket *s, const struct iovec *v, size_t count, int flags);
LOS_HIDDEN long los_socket_shutdown(struct los_socket *s, int how);
LOS_HIDDEN void los_socket_name(const struct los_socket *s, bool peer, uint32_t *ip, uint16_t *port); /* port 0: none */
LOS_HIDDEN short los_socket_ready(const struct los_socket *s); /* POLLIN and the like */
LOS_HIDDEN size_t los_socket_unread(const struct los_socket *s);
LOS_HIDDEN bool los_socket_nonblock(const struct los_socket *s);
LOS_HIDDEN void los_socket_set_nonblock(struct los_socket *s, bool on);

/* Numbers as in Linux; times in ns, 0 for no limit. */
enum los_socket_option { LOS_NODELAY, LOS_KEEPALIVE, LOS_KEEPIDLE, LOS_KEEPINTVL, LOS_KEEPCNT, LOS_LISTENS, LOS_ERROR };
LOS_HIDDEN long los_socket_get(struct los_socket *s, enum los_socket_option option); /* LOS_ERROR: takes it */
LOS_HIDDEN void los_socket_set(struct los_socket *s, enum los_socket_option option, int value);
LOS_HIDDEN uint64_t *los_socket_limit(struct los_socket *s, bool of_sending);

/* files.c: descriptors of sockets */
LOS_HIDDEN long los_fd_new(struct los_socket *s); /* takes the reference over; -EMFILE: it does not */
LOS_HIDDEN struct los_socket *los_fd_socket(long fd);
LOS_HIDDEN bool los_fd_open(long fd);
LOS_HIDDEN short los_fd_ready(long fd); /* POLLNVAL: not open */

/* socket.c and poll.c: -ENOSYS for a call that is not theirs */
LOS_HIDDEN long los_socket_call(long number, const long *args);
LOS_HIDDEN long los_socket_ioctl(struct los_socket *s, unsigned long request, int *value);
LOS_HIDDEN long los_poll_call(long number, const long *args);

#endif
