/* SPDX-License-Identifier: MIT
 *
 * The request loop. Its first wait is where the host takes the snapshot, so init, and whatever libc does only once, comes
 * before it. */
#include "guest/app.h"
#include "guest/os.h"

#include <stdio.h>
#include <stdlib.h>

size_t app_request_max(void)
{
	uint32_t kib = ppce_note.manifest.request_kib;
	return (size_t)(kib ? kib : 64) << 10;
}

size_t app_response_max(void)
{
	uint32_t kib = ppce_note.manifest.response_kib;
	return (size_t)(kib ? kib : 256) << 10;
}

size_t app_serve(const void *request, size_t len, void *response, size_t response_max)
{
	static struct ppce_header headers[PPCE_HEADERS_MAX];
	static struct ppce_response res;
	struct ppce_request req;
	const struct wire_request *wire = wire_request_decode(request, len);

	app_response_begin(&res, response, response_max);
	if (!wire || app_request_view(wire, headers, &req) < 0) {
		ppce_log(PPCE_WARNING, "a request that cannot be decoded was refused");
		return app_response_finish(&res, ppce_status(&res, 400));
	}
	return app_response_finish(&res, ppce_note.manifest.handle(&req, &res));
}

_Noreturn void app_guest_loop(void)
{
	struct ppce_io *io = los_io;

	if (io->abi != PPCE_ABI_VERSION)
		los_panic("the host speaks another ABI version than this image");
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	if (!ppce_note.manifest.handle)
		los_panic("PPCE_APP has no .handle");
	if (ppce_note.manifest.init && ppce_note.manifest.init() != 0)
		los_panic("the app's init failed");
	for (size_t answer = 0;;) {
		fflush(stdout);
		size_t len = los_wait(answer);
		if (!len)
			app_network_server(((const struct ppce_net *)io->net_at)->port);
		answer =
			app_serve((const void *)io->request_at, len, (void *)io->response_at, (size_t)io->response_max);
	}
}
