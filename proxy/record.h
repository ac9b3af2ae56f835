/* SPDX-License-Identifier: MIT
 *
 * The audit record of a request: exactly one, whatever became of it.
 */
#ifndef PROXY_RECORD_H
#define PROXY_RECORD_H

#include "proxy/request.h"

/* Sends it to the log; r->wait.done() says later whether it was written. `status` is what the client will see. */
void record_request(struct request *r, bool allowed, int status);

#endif
