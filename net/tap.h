/* SPDX-License-Identifier: MIT
 *
 * One tap: the calls of /dev/net/tun. A tap outlives its descriptors (TUNSETPERSIST), and at most one descriptor is
 * attached to it at a time: attaching a new one proves that nobody has the old one any more, and starts with an empty
 * queue. Only our own user (or, for tap_lend(), the one named) may attach, whatever the mode of /dev/net/tun is.
 */
#ifndef NET_TAP_H
#define NET_TAP_H

#include <sys/types.h>

#include "lib/err.h"

/* Makes a tap that is down, owned by our effective user and group. Returns its descriptor: IFF_TAP | IFF_NO_PI without
 * virtio headers, non-blocking, close-on-exec. */
int tap_create(const char *name, unsigned *ifindex, struct err *err);
/* A new descriptor of a tap that exists. -1 with ERR_CONFLICT while another one is attached. */
int tap_attach(const char *name, struct err *err);
/* Whoever has this user and group may attach it by name from now on. */
int tap_lend(int fd, uid_t uid, gid_t gid, struct err *err);
int tap_check(struct err *err); /* is /dev/net/tun there, and may we open it? */

#endif
