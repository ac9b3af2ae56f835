/* SPDX-License-Identifier: MIT
 *
 * A guest that goes around its own TCP/IP stack: POST /send puts the body on the wire as it is. GET /connect?to=A&port=N
 * asks for a connection as any program would. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ppce/abi.h>
#include <ppce/ppce.h>

#include "guest/os.h"

static int send_frame(const struct ppce_request *req, struct ppce_response *res)
{
	struct ppce_net *net = (struct ppce_net *)(uintptr_t)los_io->net_at;
	uint32_t n;

	if (!net || req->body_len < PPCE_NET_FRAME_MIN || req->body_len > PPCE_NET_FRAME_MAX)
		return ppce_reply(res, 400, "text/plain", "no network, or not a frame\n");
	los_call(PPCE_CALL_NET, 0, 0); /* what waits goes first, so that there is room */
	n = net->tx_put;
	memcpy((uint8_t *)net + PPCE_PAGE + n % PPCE_NET_SLOTS * PPCE_NET_SLOT_BYTES, req->body, req->body_len);
	net->tx_len[n % PPCE_NET_SLOTS] = (uint16_t)req->body_len;
	net->tx_put = n + 1;
	los_call(PPCE_CALL_NET, 0, 0);
	return ppce_reply(res, 200, "text/plain", "sent\n");
}

static int try_connect(const struct ppce_request *req, struct ppce_response *res)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char address[32], port[8];
	int fd = socket(AF_INET, SOCK_STREAM, 0), r;

	if (ppce_query_get(req, "to", address, sizeof address) < 0 ||
	    ppce_query_get(req, "port", port, sizeof port) < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return ppce_reply(res, 400, "text/plain", "?to=ADDRESS&port=N\n");
	to.sin_port = htons((uint16_t)atoi(port));
	r = connect(fd, (struct sockaddr *)&to, sizeof to);
	ppce_reply(res, 200, "text/plain", "%s\n", r < 0 ? strerror(errno) : "connected");
	close(fd);
	return 0;
}

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	if (strcmp(req->path, "/connect") == 0)
		return try_connect(req, res);
	if (strcmp(req->path, "/send") == 0)
		return send_frame(req, res);
	if (strcmp(req->path, "/log") == 0)
		ppce_log(PPCE_INFO, "a line for the operator");
	return ppce_reply(res, 200, "text/plain", "hello\n");
}

PPCE_APP(.name = "raw", .handle = handle, .memory_mib = 4)
