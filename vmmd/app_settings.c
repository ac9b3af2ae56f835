/* SPDX-License-Identifier: MIT
 *
 * The settings of an app, from JSON and to JSON. */
#include <stdio.h>
#include <string.h>

#include "lib/names.h"
#include "lib/rest.h"
#include "vmmd/sinks.h"
#include "vmmd/vmmd.h"

#define SECONDS_MAX 31536000 /* a year */
#define PORT_DEFAULT 80

static const char *mode_name(const struct app_record *r)
{
	return r->lifetime != LIFETIME_REQUEST ? "" : r->discard ? "discard" : "reset";
}

static const char *pool_name(uint32_t none)
{
	return none ? "none" : "pool";
}

json_t *app_settings_json(const struct app_record *r)
{
	bool tap = r->transport == TRANSPORT_TAP;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "name",
			 r->name, "image", r->image, "lifetime", app_lifetime_name(r->lifetime), "mode", mode_name(r),
			 "transport", app_transport_name(r->transport), "max_instances", (json_int_t)r->max_instances,
			 "idle", (json_int_t)r->idle_s, "max_age", (json_int_t)r->max_age_s, "max_requests",
			 (json_int_t)r->max_requests, "deadline_ms", (json_int_t)r->deadline_ms, "port",
			 (json_int_t)r->port, "sinks", r->sinks, "start", app_start_name(r->boot), "shells",
			 pool_name(r->no_shells), "taps", tap ? pool_name(r->no_taps) : "", "args", r->args);
}

static int get_u32(const json_t *body, const char *key, long long min, long long max, long long fallback, uint32_t *out,
		   struct err *err)
{
	long long n;
	int rc = json_get_int(body, key, min, max, fallback, &n, err);
	*out = (uint32_t)n;
	return rc;
}

/* --- how an instance starts ---------------------------------------------------------------------------------------- */

/* `foreign`: of a unikernel made elsewhere, for which other things go without saying. */
static int decode_start(const json_t *body, bool foreign, struct app_record *r, struct err *err)
{
	static const char *const starts[] = { "restore", "boot", NULL };
	static const char *const pools[] = { "pool", "none", NULL };
	const json_t *mode = json_object_get(body, "mode");

	if (json_get_word(body, "start", starts, foreign, &r->boot, err) < 0 ||
	    json_get_word(body, "shells", pools, foreign, &r->no_shells, err) < 0 ||
	    json_get_word(body, "taps", pools, 0, &r->no_taps, err) < 0)
		return -1;
	if (r->boot && r->lifetime == LIFETIME_REQUEST && mode && !r->discard)
		return err_set(err, ERR_INVALID,
			       "mode: what was booted cannot be reset, only replaced: with start `boot` the mode is "
			       "`discard`");
	if (r->boot && r->lifetime == LIFETIME_REQUEST)
		r->discard = 1;
	return 0;
}

static int decode_words(const json_t *body, bool foreign, struct app_record *r, struct err *err)
{
	static const char *const lifetimes[] = { "class", "user", "request", NULL };
	static const char *const modes[] = { "reset", "discard", NULL };
	static const char *const transports[] = { "channel", "tap", NULL };
	uint32_t lifetime;

	if (json_get_word(body, "lifetime", lifetimes, 2, &lifetime, err) < 0 ||
	    json_get_word(body, "mode", modes, 0, &r->discard, err) < 0 ||
	    json_get_word(body, "transport", transports, foreign ? TRANSPORT_TAP : TRANSPORT_CHANNEL, &r->transport,
			  err) < 0)
		return -1;
	r->lifetime = LIFETIME_CLASS + lifetime;
	if (r->lifetime != LIFETIME_REQUEST && json_object_get(body, "mode"))
		return err_set(err, ERR_INVALID, "mode: only the lifetime `request` has modes");
	return decode_start(body, foreign, r, err);
}

/* --- the network --------------------------------------------------------------------------------------------------- */

/* Settings that mean nothing are refused: whoever gives one expects something of it. */
static int refuse_without_tap(const json_t *body, struct err *err)
{
	static const char *const keys[] = { "port", "sinks", "taps", NULL };
	for (const char *const *k = keys; *k; k++)
		if (json_object_get(body, *k))
			return err_set(err, ERR_INVALID, "%s: only apps with transport `tap` have that", *k);
	return 0;
}

static int decode_network(struct vmmd *v, const json_t *body, struct app_record *r, struct err *err)
{
	if (r->transport != TRANSPORT_TAP)
		return refuse_without_tap(body, err);
	if (!v->config.network.enabled)
		return err_set(err, ERR_INVALID,
			       "transport: there is no network: set network.enabled: true in ppce.yaml and start the "
			       "platform again");
	if (get_u32(body, "port", 1, 65535, PORT_DEFAULT, &r->port, err) < 0 ||
	    json_get_text(body, "sinks", r->sinks, sizeof r->sinks, err) < 0)
		return -1;
	return sinks_check(&v->config, r->sinks, err);
}

/* --- unikernels made elsewhere ------------------------------------------------------------------------------------- */

static int decode_foreign(const json_t *body, struct app_record *r, struct err *err)
{
	if (r->transport != TRANSPORT_TAP)
		return err_set(err, ERR_INVALID,
			       "transport: a unikernel of kind solo5-hvt can only be reached by its `tap`");
	if (!r->boot)
		return err_set(err, ERR_INVALID,
			       "start: a unikernel of kind solo5-hvt has no snapshot: each instance is a `boot`");
	if (!r->no_shells)
		return err_set(err, ERR_INVALID,
			       "shells: a unikernel of kind solo5-hvt does not run in a shell made ahead: `none`");
	if (json_get_text(body, "args", r->args, sizeof r->args, err) < 0)
		return -1;
	if (!json_object_get(body, "args"))
		snprintf(r->args, sizeof r->args, "%s", FOREIGN_ARGS);
	return foreign_args_check(r->args, err);
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

static int decode_numbers(const json_t *body, struct app_record *r, struct err *err)
{
	if (get_u32(body, "max_instances", 1, APP_INSTANCES_MAX, 8, &r->max_instances, err) < 0 ||
	    get_u32(body, "idle", 0, SECONDS_MAX, 60, &r->idle_s, err) < 0 ||
	    get_u32(body, "max_age", 0, SECONDS_MAX, 0, &r->max_age_s, err) < 0 ||
	    get_u32(body, "max_requests", 0, UINT32_MAX, 0, &r->max_requests, err) < 0 ||
	    get_u32(body, "deadline_ms", 0, 3600000, 0, &r->deadline_ms, err) < 0)
		return -1;
	return 0;
}

int app_settings_decode(struct vmmd *v, const json_t *body, struct app_record *r, struct err *err)
{
	*r = (struct app_record){ 0 };
	if (json_get_text(body, "name", r->name, sizeof r->name, err) < 0 ||
	    json_get_text(body, "image", r->image, sizeof r->image, err) < 0)
		return -1;
	if (!name_valid(r->name))
		return err_set(err, ERR_INVALID,
			       "name: an app is called by a letter, then up to 31 of a-z 0-9 and -; "
			       "login, logout, v1, livez, readyz, metrics are taken");
	if (!name_valid(r->image))
		return err_set(err, ERR_INVALID, "image: not the name of an image");
	const struct image *image = image_find(v, r->image);
	bool foreign = image && image->r.kind != IMAGE_PPCE;
	if (decode_words(body, foreign, r, err) < 0 || decode_numbers(body, r, err) < 0)
		return -1;
	if (foreign && decode_foreign(body, r, err) < 0)
		return -1;
	if (!foreign && json_object_get(body, "args"))
		return err_set(err, ERR_INVALID, "args: only unikernels of kind solo5-hvt take arguments");
	return decode_network(v, body, r, err);
}
