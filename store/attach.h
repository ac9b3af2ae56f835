/* SPDX-License-Identifier: MIT
 *
 * vmmd's side of the store: DIR/run/store-attach.sock (ppce/store.h). One vmmd at a time; when it goes, so do the sockets
 * of all instances and the taint table. */
#ifndef STORE_ATTACH_H
#define STORE_ATTACH_H

#include "store/store.h"

/* Takes over `fd`, a listening socket. */
struct attach *attach_new(struct store *s, int fd, struct err *err);
void attach_stop(struct attach *a); /* frees itself when its handles are closed */
unsigned attach_instances(const struct attach *a);
bool attach_connected(const struct attach *a);

#endif
