/* SPDX-License-Identifier: MIT
 *
 * The image as a plain Linux program, for debugging and unit tests: one request from the command line, or a small
 * server. There is no isolation at all here: that is the platform's part. */
#include "guest/app.h"
#include "guest/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"%s: a PPCE app, run here as a plain Linux process: for debugging only, nothing isolates users.\n\n"
	"  %s --request [METHOD] /PATH[?QUERY]   answer one request, print the response\n"
	"       --user NAME --label LABEL         who asks, at which label\n"
	"       --header 'NAME: VALUE'            may be given several times\n"
	"       --body TEXT | --body @FILE        request body\n"
	"  %s --serve 127.0.0.1:PORT             a small HTTP server, one request at a time\n"
	"       (header fields PPCE-User, PPCE-Label and the like say who asks)\n"
	"  %s --manifest                         print the manifest\n"
	"  %s --help                             this text\n\n"
	"To run it isolated: ppce image add NAME FILE, ppce app add NAME --image NAME --lifetime request\n";

static int show_manifest(void)
{
	const struct ppce_manifest *m = &ppce_note.manifest;

	printf("name: %.*s\nabi: %u\nmemory_mib: %u\nstack_kib: %u\nrequest_kib: %zu\nresponse_kib: %zu\n"
	       "queries: %.*s\ndata_kib: %u\ninit: %s\nwarm_path: %s\nnetwork: %s\n",
	       (int)sizeof m->name, m->name, m->abi, m->memory_mib ? m->memory_mib : 4,
	       m->stack_kib ? m->stack_kib : 256, app_request_max() >> 10, app_response_max() >> 10,
	       (int)sizeof m->queries, m->queries,
	       !m->queries[0] ? 0
	       : m->data_kib  ? m->data_kib
			      : 64,
	       m->init ? "yes" : "no", m->warm_path ? m->warm_path : "/", m->network ? "yes" : "no");
	return 0;
}

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "%s: %s (--help shows how)\n", what, value);
	return 2;
}

static int load_body(const char *name, struct app_ask *ask)
{
	FILE *f = fopen(name, "rb");
	char *data = f ? malloc(app_request_max()) : NULL;

	if (data) {
		ask->body_len = fread(data, 1, app_request_max(), f);
		ask->body = data; /* lives until the process ends */
	}
	if (f)
		fclose(f);
	return data ? 0 : -1;
}

static int add_header(char *arg, struct app_ask *ask)
{
	char *colon = strchr(arg, ':');

	if (!colon || colon == arg || ask->nheaders == PPCE_HEADERS_MAX)
		return -1;
	*colon = '\0';
	ask->headers[ask->nheaders++] = (struct ppce_header){ arg, colon + 1 + strspn(colon + 1, " \t") };
	return 0;
}

static int take_option(const char *name, char *value, struct app_ask *ask)
{
	if (!value)
		return bad_usage(name, "a value is missing");
	if (strcmp(name, "--user") == 0) {
		ask->user = value;
	} else if (strcmp(name, "--label") == 0) {
		ask->label = value;
	} else if (strcmp(name, "--header") == 0) {
		return add_header(value, ask) < 0 ? bad_usage(value, "not a header field, NAME: VALUE") : 0;
	} else if (strcmp(name, "--body") == 0) {
		if (value[0] == '@' && load_body(value + 1, ask) < 0)
			return bad_usage(value + 1, strerror(errno));
		if (value[0] != '@')
			ask->body = value, ask->body_len = strlen(value);
	} else {
		return bad_usage(name, "unknown option");
	}
	return 0;
}

static int print_response(const void *msg, size_t size)
{
	const struct wire_response *w = wire_response_decode(msg, size);

	if (!w) {
		fprintf(stderr, "the library built a response that does not decode\n");
		return 1;
	}
	const struct wire_field *f = wire_fields(w, sizeof *w);
	printf("HTTP/1.1 %u\n", w->status);
	for (uint32_t i = 0; i < w->fields; i++)
		printf("%s: %s\n", wire_text(w, f[i].name), wire_text(w, f[i].value));
	putchar('\n');
	fwrite(wire_text(w, w->body), 1, w->body.len, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int run_init(void)
{
	if (!ppce_note.manifest.handle || (ppce_note.manifest.init && ppce_note.manifest.init() != 0)) {
		fprintf(stderr, "%s\n",
			ppce_note.manifest.handle ? "the app's init failed" : "PPCE_APP has no .handle");
		return 1;
	}
	return 0;
}

static int one_request(const struct app_ask *ask)
{
	size_t request_max = app_request_max(), response_max = app_response_max();
	void *request = malloc(request_max), *response = malloc(response_max);
	int status = 1;

	if (!request || !response) {
		fprintf(stderr, "out of memory\n");
	} else {
		size_t len = app_ask_encode(ask, request, request_max);
		if (!len)
			fprintf(stderr, "the request is larger than request_kib = %zu\n", request_max >> 10);
		else if (run_init() == 0)
			status = print_response(response, app_serve(request, len, response, response_max));
	}
	free(request);
	free(response);
	return status;
}

static int request_mode(int argc, char **argv)
{
	struct app_ask ask = app_ask_debug();
	int i = 2;

	ask.method = "GET";
	if (i < argc && argv[i][0] != '/' && argv[i][0] != '-')
		ask.method = argv[i++];
	if (i >= argc || argv[i][0] != '/')
		return bad_usage("--request", "a path that begins with '/' is missing");
	ask.path = argv[i++];
	char *query = strchr(ask.path, '?');
	if (query)
		*query = '\0', ask.query = query + 1;
	for (; i < argc; i += 2) {
		int r = take_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL, &ask);
		if (r)
			return r;
	}
	return one_request(&ask);
}

int app_plain(int argc, char **argv)
{
	const char *me = argc ? argv[0] : "app", *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "--request") == 0)
		return request_mode(argc, argv);
	if (strcmp(verb, "--serve") == 0 && argc == 3)
		return run_init() ? 1 : app_http_server(argv[2]);
	if (strcmp(verb, "--manifest") == 0)
		return show_manifest();
	bool help = strcmp(verb, "--help") == 0;
	fprintf(help ? stdout : stderr, usage, me, me, me, me, me);
	return help ? 0 : 2;
}
