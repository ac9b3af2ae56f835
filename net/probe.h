/* SPDX-License-Identifier: MIT
 *
 * `ppce-net --probe`: can this machine do it? Makes a bridge, a tap and the rules in a network namespace of its own, which
 * goes away with the process, so that nothing of the machine's network is touched. */
#ifndef NET_PROBE_H
#define NET_PROBE_H

#include "lib/err.h"

int net_probe(struct err *err);

#endif
