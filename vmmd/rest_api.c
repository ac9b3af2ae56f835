/* SPDX-License-Identifier: MIT */
#include "vmmd/rest_api.h"

#include <stdlib.h>
#include <string.h>

static int query_text(const struct rest_call *call, const char *key, char *out, size_t size)
{
	size_t len = strlen(key);
	for (const char *p = call->x->query; *p;) {
		size_t part = strcspn(p, "&");
		if (part > len && strncmp(p, key, len) == 0 && p[len] == '=' && part - len - 1 < size) {
			memcpy(out, p + len + 1, part - len - 1);
			out[part - len - 1] = '\0';
			return 1;
		}
		if (part >= len && strncmp(p, key, len) == 0 && (part == len || p[len] == '='))
			return -1; /* without a value, or a very long one */
		p += part + (p[part] == '&');
	}
	return 0;
}

int rest_query_number(const struct rest_call *call, const char *key, uint64_t max, uint64_t fallback, uint64_t *out,
		      struct err *err)
{
	char text[21];
	int rc = query_text(call, key, text, sizeof text);
	*out = fallback;
	if (rc == 0)
		return 0;
	if (rc > 0 && text[0] && strspn(text, "0123456789") == strlen(text) && strlen(text) < 20) {
		*out = strtoull(text, NULL, 10);
		if (*out <= max)
			return 0;
	}
	return err_set(err, ERR_INVALID, "%s: expected a number of at most %llu", key, (unsigned long long)max);
}

bool rest_refuse_ending(struct rest_call *call)
{
	const struct vmmd *v = call->ctx;
	struct err err = { .kind = ERR_UNAVAILABLE, .text = "the daemon ends" };
	if (v->ending)
		rest_fail(call, &err);
	return v->ending;
}

int rest_label(struct vmmd *v, const json_t *body, const char *key, char out[PPCE_LABEL_SIZE], struct err *err)
{
	struct label label;
	if (json_get_text(body, key, out, PPCE_LABEL_SIZE, err) < 0)
		return -1;
	if (!out[0])
		return 0;
	if (label_parse(v->policy, out, &label, err) < 0 || label_format(v->policy, &label, out, err) < 0)
		return err_prefix(err, "%s", key);
	return 0;
}

/* --- events ---------------------------------------------------------------------------------------------------- */

static void events_get(struct rest_call *call)
{
	struct vmmd *v = call->ctx;
	uint64_t after;
	struct err err;
	if (rest_query_number(call, "after", UINT64_MAX, 0, &after, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	rest_reply(call, 200, json_pack("{s:o}", "events", events_json(&v->events, after)));
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static const char *const image_keys[] = { "name!", "path!", "label", "kind", "memory_mib", NULL };
static const char *const app_keys[] = { "name!", "image!",  "lifetime!",    "transport",   "mode", "max_instances",
					"idle",	 "max_age", "max_requests", "deadline_ms", "port", "sinks",
					"start", "shells",  "taps",	    "args",	   NULL };
static const char *const instance_keys[] = { "app!", "label", "owner", NULL };
static const char *const pool_keys[] = { "shells", "app", "label", "owner", "warm", NULL };

static const struct rest_route routes[] = {
	{ "POST", "/v1/images", rest_image_add, "Copy an image file, boot it once and keep its snapshot", image_keys },
	{ "GET", "/v1/images", rest_image_list, "List the images", NULL },
	{ "GET", "/v1/images/{name}", rest_image_get, "One image", NULL },
	{ "DELETE", "/v1/images/{name}", rest_image_remove, "Remove an image that no app uses", NULL },
	{ "POST", "/v1/apps", rest_app_add, "Offer an image as an app", app_keys },
	{ "GET", "/v1/apps", rest_app_list, "List the apps", NULL },
	{ "GET", "/v1/apps/{name}", rest_app_get, "One app", NULL },
	{ "DELETE", "/v1/apps/{name}", rest_app_remove, "Remove an app and stop its instances", NULL },
	{ "POST", "/v1/instances", rest_instance_start, "Start an instance", instance_keys },
	{ "GET", "/v1/instances", rest_instance_list, "List the instances", NULL },
	{ "GET", "/v1/instances/{uuid}", rest_instance_get, "One instance", NULL },
	{ "DELETE", "/v1/instances/{uuid}", rest_instance_stop, "Stop an instance", NULL },
	{ "GET", "/v1/pools", rest_pools_get, "What is made ahead, what it holds, and the isolation in force", NULL },
	{ "PUT", "/v1/pools", rest_pools_put,
	  "Set how many shells are made ahead, until the daemon ends, or how many instances of one app, label and "
	  "owner",
	  pool_keys },
	{ "GET", "/v1/events", events_get, "The last events; ?after=SEQ for later ones only", NULL },
	{ "GET", "/v1/logs/{app}", rest_log_tail, "The last lines that an app logged; ?lines=N", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static bool ready(void *ctx, struct err *why)
{
	const struct vmmd *v = ctx;
	if (v->config.network.enabled && !network_connected(v)) {
		err_set(why, ERR_UNAVAILABLE, "ppce-net is not connected, so apps with taps do not start");
		return false;
	}
	return shells_working(ctx, why);
}

struct rest_api {
	struct rest_config config;
	struct rest *rest;
	struct http_server *server;
};

struct rest_api *rest_api_start(struct vmmd *v, struct err *err)
{
	char path[300];
	struct rest_api *api = calloc(1, sizeof *api);
	if (!api) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	api->config = (struct rest_config){
		.title = "ppce-vmmd", .routes = routes, .ctx = v, .ready = ready, .metrics = metrics_write
	};
	api->rest = rest_new(&api->config);
	api->server =
		rest_listen_unix(&v->loop, config_path(&v->config, "run/vmmd.sock", path, sizeof path), api->rest, err);
	if (api->server)
		return api;
	rest_api_free(api);
	return NULL;
}

void rest_api_stop(struct rest_api *api)
{
	http_server_stop(api->server);
	api->server = NULL;
}

void rest_api_free(struct rest_api *api)
{
	rest_free(api->rest);
	free(api);
}
