/* SPDX-License-Identifier: MIT
 *
 * R9 in the proxy: which instances a revocation ends, and that auth gets its answer only when vmmd has said of the last
 * of them that it is gone. The test plays vmmd and auth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "policy/policy.h"
#include "proxy/backend.h"
#include "proxy/proxy.h"

static const char policy_text[] = "axes:\n"
				  "  level: {chain: [LOW, HIGH]}\n"
				  "  own: {owners: [training]}\n";
#define P7 "own={p7/training}"
#define P8 "own={p8/training}"

struct world {
	struct proxy proxy;
	int auth; /* the other end of the connection to auth */
	struct taint_table *taint;
	unsigned stopped;
};

static bool on_need(void *ctx, const struct route *route, uint64_t id)
{
	(void)ctx, (void)route, (void)id;
	return false;
}

static void on_stop(void *ctx, struct instance *i, const char *reason)
{
	struct world *w = ctx;
	assert_int_equal(i->state, INSTANCE_ENDING);
	assert_non_null(strstr(reason, "R9"));
	w->stopped++;
}

static void on_free(void *ctx, struct instance *i)
{
	(void)ctx;
	free(backend_of(i));
}

static const struct routes_ops ops = { on_need, on_stop, on_free };

static void add_app(struct world *w, const char *name, enum app_lifetime lifetime, bool has_store)
{
	struct routing_message m = { .type = ROUTING_APP,
				     .lifetime = lifetime,
				     .max_instances = 100,
				     .deadline_ms = 1000,
				     .request_bytes = 4096,
				     .response_bytes = 4096,
				     .has_store = has_store };
	strcpy(m.app, name);
	assert_int_equal(routes_app_update(&w->proxy.routes, &m), 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct err err;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	w->proxy.policy = policy_parse("test", policy_text, strlen(policy_text), &err);
	assert_non_null(w->proxy.policy);
	w->proxy.sessions.auth = (struct link){ .fd = pair[0], .packet_size = sizeof(struct session_message) };
	w->auth = pair[1];
	assert_int_equal(routes_init(&w->proxy.routes, &ops, w, 10, 1000), 0);
	revoke_init(&w->proxy);
	w->taint = calloc(1, sizeof *w->taint);
	w->proxy.taint.table = w->taint;
	add_app(w, "plain", LIFETIME_USER, false);
	add_app(w, "reader", LIFETIME_USER, true);
	add_app(w, "shared", LIFETIME_CLASS, true);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	revoke_free(&w->proxy);
	routes_free(&w->proxy.routes);
	policy_free(w->proxy.policy);
	close(w->proxy.sessions.auth.fd);
	close(w->auth);
	free(w->taint);
	free(w);
	return 0;
}

static struct instance *add(struct world *w, const char *app, const char *label, const char *owner)
{
	static unsigned number;
	struct backend *b = calloc(1, sizeof *b);
	struct err err;
	b->proxy = &w->proxy;
	b->instance.slot = TAINT_NONE;
	snprintf(b->instance.uuid, sizeof b->instance.uuid, "%08x-0000-4000-8000-000000000000", ++number);
	strcpy(b->instance.label, label);
	strcpy(b->instance.owner, owner);
	assert_int_equal(label_parse(w->proxy.policy, label, &b->instance.level, &err), 0);
	assert_int_equal(routes_add(&w->proxy.routes, &b->instance, app, 0, 1), 0);
	return &b->instance;
}

/* The same, of an app with a store, whose label is `now` by what it has read. */
static struct instance *add_reader(struct world *w, uint32_t slot, const char *now)
{
	struct instance *i = add(w, "reader", "level=LOW", "tina");
	struct taint_value v = { .seq = 1 };
	strcpy(v.uuid, i->uuid);
	strcpy(v.label, now);
	taint_write(&w->taint->slot[slot], &v);
	i->slot = slot;
	i->seq = 1;
	return i;
}

static void take_from(struct world *w, uint64_t id, const char *user, const char *ceiling)
{
	struct session_message m = { .type = SESSION_REVOKE, .id = id };
	strcpy(m.user, user);
	strcpy(m.ceiling, ceiling);
	revoke_instances(&w->proxy, &m);
}

/* What auth has been answered: the revocation's id, 0 for nothing. */
static uint64_t answered(struct world *w)
{
	struct session_message m;
	ssize_t n = recv(w->auth, &m, sizeof m, MSG_DONTWAIT);
	if (n < 0)
		return 0;
	assert_true(session_valid(&m, (size_t)n));
	assert_int_equal(m.type, SESSION_REVOKED_OK);
	return m.id;
}

static void gone(struct world *w, struct instance *i)
{
	char uuid[PPCE_UUID_SIZE];
	strcpy(uuid, i->uuid);
	routes_gone(&w->proxy.routes, i, 2);
	revoke_gone(&w->proxy, uuid);
}

static void test_nothing_to_end_is_answered_at_once(void **state)
{
	struct world *w = *state;
	struct instance *low = add(w, "plain", "level=LOW", "tina"), *other = add(w, "plain", P7, "tom");
	take_from(w, 7, "tina", P8);
	assert_int_equal(answered(w), 7);
	assert_int_equal(low->state, INSTANCE_IDLE);
	assert_int_equal(other->state, INSTANCE_IDLE);
	assert_int_equal(w->stopped, 0);
}

static void test_the_answer_waits_for_the_last(void **state)
{
	struct world *w = *state;
	struct instance *a = add(w, "plain", P7, "tina"), *b = add(w, "plain", "level=HIGH", "tina");
	struct instance *keep = add(w, "plain", P8, "tina"), *foreign = add(w, "plain", P7, "tom");
	take_from(w, 7, "tina", P8);
	assert_int_equal(w->stopped, 2);
	assert_int_equal(answered(w), 0);
	assert_int_equal(keep->state, INSTANCE_IDLE);
	assert_int_equal(foreign->state, INSTANCE_IDLE);
	gone(w, b);
	assert_int_equal(answered(w), 0);
	gone(w, foreign); /* somebody else's end does not count */
	assert_int_equal(answered(w), 0);
	gone(w, a);
	assert_int_equal(answered(w), 7);
	assert_int_equal(answered(w), 0);
}

static void test_one_that_ends_already_is_waited_for(void **state)
{
	struct world *w = *state;
	struct instance *a = add(w, "plain", P7, "tina");
	take_from(w, 7, "tina", P8);
	take_from(w, 8, "tina", "level=LOW");
	assert_int_equal(w->stopped, 1);
	assert_int_equal(answered(w), 0);
	gone(w, a);
	assert_int_equal(answered(w), 7);
	assert_int_equal(answered(w), 8);
}

static void test_without_a_ceiling_nothing_is_left(void **state)
{
	struct world *w = *state;
	struct instance *low = add(w, "plain", "level=LOW", "tina"), *shared = add(w, "shared", "level=LOW", "");
	take_from(w, 7, "tina", "");
	assert_int_equal(low->state, INSTANCE_ENDING);
	assert_int_equal(shared->state, INSTANCE_IDLE);
	gone(w, low);
	assert_int_equal(answered(w), 7);
}

static void test_what_is_no_label_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct instance *low = add(w, "plain", "level=LOW", "tina");
	take_from(w, 7, "tina", "level=UNHEARD_OF");
	assert_int_equal(low->state, INSTANCE_ENDING);
}

static void test_one_that_floats_may_have_risen(void **state)
{
	struct world *w = *state;
	struct instance *risen = add_reader(w, 0, P7), *low = add_reader(w, 1, P8), *lost = add_reader(w, 2, P8);
	struct instance *shared = add(w, "shared", P7, "");
	lost->slot = 3; /* what its label is cannot be known */
	take_from(w, 7, "tina", P8);
	assert_int_equal(risen->state, INSTANCE_ENDING);
	assert_int_equal(lost->state, INSTANCE_ENDING);
	assert_int_equal(low->state, INSTANCE_IDLE);
	assert_int_equal(shared->state, INSTANCE_IDLE); /* bound to nobody, and working for nobody */
	gone(w, risen);
	assert_int_equal(answered(w), 0);
	gone(w, lost);
	assert_int_equal(answered(w), 7);
}

static void test_the_end_of_one_session_ends_no_instance(void **state)
{
	struct world *w = *state;
	struct instance *a = add(w, "plain", P7, "tina");
	take_from(w, 7, "", "");
	take_from(w, 8, "", P8);
	assert_int_equal(a->state, INSTANCE_IDLE);
	assert_int_equal(answered(w), 7);
	assert_int_equal(answered(w), 8);
}

static void test_no_answer_over_another_connection(void **state)
{
	struct world *w = *state;
	struct instance *a = add(w, "plain", P7, "tina"), *b = add(w, "plain", P7, "tina");
	take_from(w, 7, "tina", P8);
	w->proxy.sessions.connection++; /* auth was started again, and counts from 1 */
	gone(w, a);
	gone(w, b);
	assert_int_equal(answered(w), 0);
	take_from(w, 1, "tina", P8);
	assert_int_equal(answered(w), 1);
}

static void test_a_lost_vmmd_answers_nothing(void **state)
{
	struct world *w = *state;
	struct instance *a = add(w, "plain", P7, "tina");
	take_from(w, 7, "tina", P8);
	revoke_lost(&w->proxy);
	gone(w, a);
	assert_int_equal(answered(w), 0);
}

static void test_many(void **state)
{
	struct world *w = *state;
	struct instance *all[60];
	for (unsigned n = 0; n < 60; n++)
		all[n] = add(w, "plain", P7, "tina");
	take_from(w, 7, "tina", P8);
	for (unsigned n = 0; n < 60; n++) {
		assert_int_equal(answered(w), 0);
		gone(w, all[(n * 7) % 60]);
	}
	assert_int_equal(answered(w), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_to_end_is_answered_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_answer_waits_for_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_ends_already_is_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_a_ceiling_nothing_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_label_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_floats_may_have_risen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end_of_one_session_ends_no_instance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_answer_over_another_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lost_vmmd_answers_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
