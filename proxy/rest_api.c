/* SPDX-License-Identifier: MIT */
#include "proxy/rest_api.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "proxy/backend.h"
#include "proxy/explain.h"
#include "proxy/proxy.h"

#define KEY_BYTES 32 /* of a key made here; written in hex */
#define KEY_MIN 32   /* characters of one that somebody else wrote */
#define KEY_SIZE 130 /* with the NUL */

static char registration_key[KEY_SIZE];

/* --- registrations ------------------------------------------------------------------------------------------- */

static json_t *service_json(const struct service *s, uint64_t now)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:I}", "id", s->id, "app", s->app, "label", s->label,
			 "address", s->address, "expires_in", (json_int_t)((s->expires_ns - now) / 1000000000), "up",
			 now >= s->down_until_ns, "in_flight", (json_int_t)s->in_flight, "served",
			 (json_int_t)s->served, "failed", (json_int_t)s->failed);
}

/* The record comes first; false if it cannot be written, and the call has been answered. */
static bool audit(struct rest_call *call, const char *app, const char *label, const char *address, bool allowed,
		  const char *reason, int status)
{
	struct proxy *p = call->ctx;
	struct err err = { 0 };
	struct audit_record record = { .event = "register",
				       .request_id = call->x->request_id,
				       .actor = strcmp(call->x->peer, "unix") == 0 ? "operator" : "registration-key",
				       .app = app,
				       .label = label,
				       .instance = address,
				       .address = call->x->peer,
				       .allowed = allowed,
				       .reason = reason,
				       .status = status };
	if (audit_write(p->audit, &record, &err) == 0)
		return true;
	log_error("%s", err.text);
	rest_fail(call, &(struct err){ ERR_UNAVAILABLE, "the audit log does not work" });
	return false;
}

static void registration_post(struct rest_call *call)
{
	struct proxy *p = call->ctx;
	char app[PPCE_NAME_SIZE], label[PPCE_LABEL_SIZE], address[PPCE_ADDRESS_SIZE];
	long long ttl;
	struct err err = { 0 };
	struct service *s = NULL;
	if (json_get_text(call->body, "app", app, sizeof app, &err) < 0 ||
	    json_get_text(call->body, "label", label, sizeof label, &err) < 0 ||
	    json_get_text(call->body, "address", address, sizeof address, &err) < 0 ||
	    json_get_int(call->body, "ttl", 1, REGISTRATION_TTL_MAX_S, REGISTRATION_TTL_S, &ttl, &err) < 0) {
		rest_fail(call, &err);
		return;
	}
	if (routes_app(&p->routes, app))
		err_set(&err, ERR_CONFLICT, "%s is an app of this platform; give the service another name", app);
	else
		s = registration_add(&p->registrations, p->policy, app, label, address, (unsigned)ttl, clock_ns(),
				     &err);
	if (!audit(call, app, label, address, s, s ? "" : err_code(err.kind), s ? 201 : err_http_status(err.kind))) {
		if (s)
			registration_remove(&p->registrations, s);
		return;
	}
	if (s)
		rest_reply(call, 201, service_json(s, clock_ns()));
	else
		rest_fail(call, &err);
}

static void registration_list(struct rest_call *call)
{
	struct proxy *p = call->ctx;
	json_t *list = json_array();
	const struct service *s;
	TAILQ_FOREACH (s, &p->registrations.all, all)
		if (!s->removed)
			json_array_append_new(list, service_json(s, clock_ns()));
	rest_reply(call, 200, json_pack("{s:o}", "registrations", list));
}

static struct service *named(struct rest_call *call)
{
	struct proxy *p = call->ctx;
	struct service *s = registration_find(&p->registrations, call->param[0]);
	if (!s)
		rest_fail(call, &(struct err){ ERR_NOT_FOUND, "there is no such registration" });
	return s;
}

static void registration_get(struct rest_call *call)
{
	const struct service *s = named(call);
	if (s)
		rest_reply(call, 200, service_json(s, clock_ns()));
}

static void registration_delete(struct rest_call *call)
{
	struct proxy *p = call->ctx;
	struct service *s = named(call);
	if (!s || !audit(call, s->app, s->label, s->address, true, "removed", 204))
		return;
	registration_remove(&p->registrations, s);
	rest_reply(call, 204, NULL);
}

/* --- routes -------------------------------------------------------------------------------------------------- */

static const char *state_name(enum instance_state state)
{
	static const char *const names[] = { "idle", "busy", "ending" };
	return names[state];
}

static json_t *instances_json(const struct routes *t, uint64_t now)
{
	json_t *list = json_array();
	struct instance *i;
	TAILQ_FOREACH (i, &t->instances, all)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I}", "uuid", i->uuid,
						      "app", i->app->name, "label", i->label, "owner", i->owner,
						      "state", state_name(i->state), "address", backend_of(i)->address,
						      "keep", i->keep, "served", (json_int_t)i->served, "age_s",
						      (json_int_t)((now - i->born_ns) / 1000000000)));
	return list;
}

static json_t *app_json(const struct app *app)
{
	static const char *const lifetimes[] = { "", "class", "user", "request" };
	json_t *routes = json_array();
	const struct route *r;
	TAILQ_FOREACH (r, &app->routes, of_app)
		json_array_append_new(routes, json_pack("{s:s, s:s, s:I, s:I, s:I}", "label", r->label, "owner",
							r->owner, "instances", (json_int_t)r->instances, "asked",
							(json_int_t)r->needs, "waiting", (json_int_t)r->nwaiting));
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "name", app->name, "lifetime",
			 lifetimes[app->lifetime], "transport", explain_transport(app->transport), "max_instances",
			 (json_int_t)app->max_instances, "instances", (json_int_t)app->instances, "ending",
			 (json_int_t)app->ending, "asked", (json_int_t)app->needs, "waiting", (json_int_t)app->waiting,
			 "routes", routes);
}

static void routes_get(struct rest_call *call)
{
	struct proxy *p = call->ctx;
	json_t *apps = json_array();
	const struct app *app;
	TAILQ_FOREACH (app, &p->routes.apps, all)
		json_array_append_new(apps, app_json(app));
	rest_reply(call, 200,
		   json_pack("{s:o, s:o}", "apps", apps, "instances", instances_json(&p->routes, clock_ns())));
}

/* --- health and figures -------------------------------------------------------------------------------------- */

static bool ready(void *ctx, struct err *why)
{
	struct proxy *p = ctx;
	if (!sessions_ready(&p->sessions))
		err_set(why, ERR_UNAVAILABLE, "no connection to auth");
	else if (!p->routes.connected)
		err_set(why, ERR_UNAVAILABLE, "no connection to vmmd, or it has not announced everything yet");
	else
		return true;
	return false;
}

static void counter(struct buf *out, const char *name, const char *help, unsigned long long value, const char *type)
{
	buf_printf(out, "# HELP ppce_proxy_%s %s\n# TYPE ppce_proxy_%s %s\nppce_proxy_%s %llu\n", name, help, name,
		   type, name, value);
}

static void metrics(void *ctx, struct buf *out)
{
	struct proxy *p = ctx;
	unsigned waiting = 0, instances = 0;
	const struct app *app;
	TAILQ_FOREACH (app, &p->routes.apps, all) {
		waiting += app->waiting;
		instances += app->instances;
	}
	buf_puts(out, "# HELP ppce_proxy_answers_total Answers to requests to apps.\n"
		      "# TYPE ppce_proxy_answers_total counter\n");
	for (unsigned i = 2; i < 6; i++)
		buf_printf(out, "ppce_proxy_answers_total{class=\"%uxx\"} %llu\n", i,
			   (unsigned long long)p->answers[i]);
	buf_puts(out, "# HELP ppce_proxy_starts_total Delivered answers by the state their instance was found in.\n"
		      "# TYPE ppce_proxy_starts_total counter\n");
	for (enum timing_start i = START_COLD; i <= START_PRISTINE; i++)
		buf_printf(out, "ppce_proxy_starts_total{start=\"%s\"} %llu\n", timing_start_name(i),
			   (unsigned long long)p->starts[i]);
	counter(out, "mismatches_total", "Requests routed wrongly and stopped by the last check.", p->mismatches,
		"counter");
	counter(out, "session_hits_total", "Sessions found in the cache.", p->sessions.hits, "counter");
	counter(out, "session_misses_total", "Sessions asked of auth.", p->sessions.misses, "counter");
	counter(out, "sessions_cached", "Sessions in the cache.", p->sessions.cached.count, "gauge");
	counter(out, "requests", "Requests under way.", p->requests, "gauge");
	counter(out, "waiting", "Requests waiting for an instance.", waiting, "gauge");
	counter(out, "instances", "Instances in routing.", instances, "gauge");
	counter(out, "registrations", "Outside services.", p->registrations.count, "gauge");
	timing_metrics(&p->totals, out);
}

/* --- start --------------------------------------------------------------------------------------------------- */

static const char *const registration_keys[] = { "app!", "label!", "address!", "ttl", NULL };

static const struct rest_route routes[] = {
	{ "POST", "/v1/registrations", registration_post, "Register an outside service, or renew it",
	  registration_keys },
	{ "GET", "/v1/registrations", registration_list, "Outside services", NULL },
	{ "GET", "/v1/registrations/{id}", registration_get, "One outside service", NULL },
	{ "DELETE", "/v1/registrations/{id}", registration_delete, "Remove an outside service", NULL },
	{ "GET", "/v1/routes", routes_get, "Apps, keys and instances as requests see them", NULL },
	{ "GET", "/v1/explain", explain_handle,
	  "What would happen to a request, and by which rule: ?user=&app=&clearance=&label=", NULL },
	{ 0 },
};

static int make_key(const char *path, struct err *err)
{
	unsigned char secret[KEY_BYTES];
	char text[2 * KEY_BYTES + 2];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	random_bytes(secret, sizeof secret);
	sodium_bin2hex(text, sizeof text, secret, sizeof secret);
	text[2 * KEY_BYTES] = '\n';
	ssize_t n = write(fd, text, 2 * KEY_BYTES + 1);
	close(fd);
	return n == 2 * KEY_BYTES + 1 ? 0 : err_errno(err, ERR_INTERNAL, "%s", path);
}

static int read_key(const char *path, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	ssize_t n = fstat(fd, &st) == 0 ? read(fd, registration_key, sizeof registration_key - 1) : -1;
	close(fd);
	if (n < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	registration_key[n] = '\0';
	registration_key[strcspn(registration_key, "\r\n")] = '\0';
	if (st.st_mode & 077)
		return err_set(err, ERR_CONFIG, "%s: others can read it; chmod 600", path);
	if (strlen(registration_key) < KEY_MIN)
		return err_set(err, ERR_CONFIG, "%s: at least %d characters are needed", path, KEY_MIN);
	return 0;
}

int rest_api_start(struct proxy *p, struct err *err)
{
	static struct rest_config config = {
		.title = "ppce-proxy", .routes = routes, .ready = ready, .metrics = metrics
	};
	char path[512];
	config.ctx = p;
	config_path(&p->config, "secrets/registration.key", path, sizeof path);
	if (access(path, F_OK) < 0 && errno == ENOENT && make_key(path, err) < 0)
		return -1;
	if (read_key(path, err) < 0)
		return -1;
	p->rest = rest_new(&config);
	return p->rest ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

/* Compared by hashes of equal length, so that the time does not tell how much of a guess was right. */
static bool has_key(const struct http_exchange *x)
{
	unsigned char given[32], right[32];
	const char *value = http_field_get(x, "Authorization");
	if (!value || strncasecmp(value, "Bearer ", 7) != 0)
		return false;
	value += 7;
	crypto_generichash(given, sizeof given, (const unsigned char *)value, strlen(value), NULL, 0);
	crypto_generichash(right, sizeof right, (const unsigned char *)registration_key, strlen(registration_key), NULL,
			   0);
	return sodium_memcmp(given, right, sizeof given) == 0;
}

void rest_api_door(struct proxy *p, struct http_exchange *x)
{
	static const struct http_field bearer = { "WWW-Authenticate", "Bearer realm=\"ppce registrations\"" };
	static const char prefix[] = "/v1/registrations";
	const char *rest = x->path + sizeof prefix - 1;
	if (strncmp(x->path, prefix, sizeof prefix - 1) != 0 || (*rest && *rest != '/'))
		http_problem(x, ERR_NOT_FOUND, 0, "there is nothing here");
	else if (!has_key(x))
		http_problem_fields(x, ERR_UNAUTHENTICATED, 0, "the registration key is needed", &bearer, 1);
	else
		rest_handle(p->rest, x);
}
