/* SPDX-License-Identifier: MIT
 *
 * When an instance has read what the session may not see, the time at which its refusal or its released value leaves would
 * tell how long it ran. Such answers leave only at multiples of proxy.blocked_grid_ms since the request began: one of
 * deadline / grid values is left of the channel, instead of any time.
 */
#ifndef PROXY_HOLD_H
#define PROXY_HOLD_H

#include "proxy/request.h"

/* If the answer has to wait: true, and done(r) is called at its time. Else false. */
bool hold_begin(struct request *r, void (*done)(struct request *r));

#endif
