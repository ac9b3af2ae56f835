/* SPDX-License-Identifier: MIT
 *
 * FORWARD for instances with a network: the request as HTTP/1.1 to the instance's own address, framed by FRAME_BEGIN and
 * FRAME_END on its channel (ppce/frame.h). A unikernel that is not ours has no channel, and gets the HTTP alone.
 */
#ifndef PROXY_FORWARD_TAP_H
#define PROXY_FORWARD_TAP_H

#include "proxy/request.h"

/* Sends r to its backend. STEP_WAIT: forward_replied() or forward_lost() follows, later, exactly once. */
enum request_step forward_tap(struct request *r);

#endif
