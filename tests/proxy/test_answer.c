/* SPDX-License-Identifier: MIT
 *
 * The label that an answer carries: the instance's as the table says it, or that of a value which the store released;
 * and what is told of an instance that gave no answer. The test plays the store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "answer.h"
#include "lib/ticket.h"
#include "proxy/answer.h"
#include "proxy/proxy.h"

#define UUID "01234567-89ab-4def-8123-456789abcdef"

struct world {
	struct proxy proxy;
	struct taint_table *table; /* as the store has it */
	struct app app;
	struct backend backend;
	struct session session;
	struct http_exchange x;
	struct request request;
	struct answer answer;
};

static void taint(struct world *w, uint64_t seq, const char *label)
{
	struct taint_value v = { .seq = seq, .uuid = UUID };
	strcpy(v.label, label);
	taint_write(&w->table->slot[3], &v);
}

static int set_up(void **state)
{
	static const char text[] = "axes:\n  level: {chain: [LOW, MID, HIGH]}\n";
	struct world *w = calloc(1, sizeof *w);
	struct err err;
	int fd = memfd_create("taint", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, sizeof *w->table), 0);
	w->table = mmap(NULL, sizeof *w->table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	w->proxy.policy = policy_parse("p", text, sizeof text - 1, &err);
	assert_int_equal(taint_adopt(&w->proxy.taint, fd, &err), 0);
	w->app.lifetime = LIFETIME_REQUEST;
	w->backend.proxy = &w->proxy;
	w->backend.instance = (struct instance){ .app = &w->app, .uuid = UUID, .slot = 3, .seq = 5 };
	assert_int_equal(label_parse(w->proxy.policy, "level=MID", &w->session.ceiling.label, &err), 0);
	strcpy(w->x.request_id, "R1");
	w->request.proxy = &w->proxy;
	w->request.x = &w->x;
	w->request.session = &w->session;
	w->request.backend = &w->backend;
	taint(w, 5, "level=HIGH");
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	munmap(w->table, sizeof *w->table);
	taint_free(&w->proxy.taint);
	policy_free(w->proxy.policy);
	free(w);
	return 0;
}

/* An answer whose body is a release of this label, or plain text. */
static void give(struct world *w, const char *released)
{
	static const char value[] = "{\"mean\":1}";
	char body[sizeof(struct release) + sizeof value];
	struct release head = { .magic = RELEASE_MAGIC, .length = sizeof value - 1, .certificate = "mean" };
	strcpy(head.request_id, "R1");
	strcpy(head.label, released ? released : "");
	release_seal(&head, value, w->proxy.ticket_key);
	memcpy(body, &head, sizeof head);
	memcpy(body + sizeof head, value, sizeof value);
	answer_make(&w->answer, 200, NULL, 0, body, released ? sizeof body - 1 : 4);
	((struct wire_response *)(void *)w->answer.bytes)->release = released != NULL;
	w->request.payload = w->answer.bytes;
	w->request.payload_len = w->answer.len;
}

static void check(struct world *w, const char *want)
{
	struct label l, expected;
	struct err err = { 0 };
	if (answer_take(&w->request, &l, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(label_parse(w->proxy.policy, want, &expected, &err), 0);
	assert_true(label_equal(w->proxy.policy, &l, &expected));
}

static void test_an_answer_carries_the_label_of_its_instance(void **state)
{
	struct world *w = *state;
	struct label l;
	struct err err;
	give(w, NULL);
	check(w, "level=HIGH");
	taint(w, 4, "level=HIGH"); /* an earlier request's, undone by the reset */
	check(w, "level=LOW");
	w->app.lifetime = LIFETIME_USER; /* no reset */
	check(w, "level=HIGH");
	taint(w, 6, "level=LOW");
	assert_int_equal(answer_take(&w->request, &l, &err), -1);
}

static void test_a_released_value_carries_the_label_of_its_release(void **state)
{
	struct world *w = *state;
	struct label l;
	struct err err;
	give(w, "level=LOW");
	check(w, "level=LOW");
	assert_string_equal(w->request.certificate, "mean");
	give(w, "level=HIGH"); /* above the session: R4 has to see that */
	check(w, "level=HIGH");
	give(w, "level=NONE");
	assert_int_equal(answer_take(&w->request, &l, &err), -1);
	give(w, "level=LOW");
	taint(w, 6, "level=LOW"); /* not even a release leaves an instance that nothing is known of */
	assert_int_equal(answer_take(&w->request, &l, &err), -1);
}

/* The same by HTTP. An outside service, which has no instance, cannot have been given one. */
static void test_a_release_by_http(void **state)
{
	struct world *w = *state;
	static const struct http_field claim = { "PPCE-Release", "1" };
	struct http_reply reply = { .status = 200, .fields = &claim, .nfields = 1 };
	give(w, "level=LOW");
	const struct wire_response *head = (const void *)w->answer.bytes;
	reply.body = wire_text(head, head->body);
	reply.body_len = head->body.len;
	w->request.reply = &reply;
	check(w, "level=LOW");
	assert_string_equal(w->request.certificate, "mean");
	assert_int_equal(w->request.response.body_len, sizeof "{\"mean\":1}" - 1);
	reply.nfields = 0;
	check(w, "level=HIGH");
	reply.nfields = 1;
	w->request.backend = NULL;
	check(w, "level=HIGH"); /* the label that is known of it */
	assert_int_equal(w->request.response.body_len, reply.body_len);
}

static void test_what_became_of_a_tainted_instance_is_not_told(void **state)
{
	struct world *w = *state;
	struct flow_verdict v;
	assert_true(answer_blocked(&w->request, &v));
	assert_int_equal(v.rule, FLOW_R4_RESPOND);
	assert_true(w->request.secret);
	taint(w, 5, "level=MID");
	assert_false(answer_blocked(&w->request, &v));
	taint(w, 6, "level=MID"); /* unknown: as if it had read everything */
	assert_true(answer_blocked(&w->request, &v));
	w->backend.instance.slot = TAINT_NONE;
	assert_false(answer_blocked(&w->request, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_answer_carries_the_label_of_its_instance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_released_value_carries_the_label_of_its_release, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_release_by_http, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_became_of_a_tainted_instance_is_not_told, set_up, tear_down),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
