/* SPDX-License-Identifier: MIT
 *
 * Registrations, histogram, Server-Timing, hash table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "policy/policy.h"
#include "proxy/registration.h"
#include "proxy/table.h"
#include "proxy/timing.h"

static const char policy_text[] = "axes:\n  level: {chain: [LOW, HIGH]}\n  comp: {subset: [A, B]}\n";

static void test_registrations(void **state)
{
	struct err err;
	struct policy *policy = policy_parse("test", policy_text, strlen(policy_text), &err);
	struct registrations r;
	uint64_t now = 1000000000000;
	(void)state;
	assert_non_null(policy);
	registrations_init(&r);
	assert_null(registration_add(&r, policy, "Bad", "level=HIGH", "127.0.0.1:80", 60, now, &err));
	assert_null(registration_add(&r, policy, "login", "level=HIGH", "127.0.0.1:80", 60, now, &err));
	assert_null(registration_add(&r, policy, "ext", "level=TOP", "127.0.0.1:80", 60, now, &err));
	assert_null(registration_add(&r, policy, "ext", "level=HIGH", "example.org:80", 60, now, &err));
	assert_null(registration_add(&r, policy, "ext", "level=HIGH", "127.0.0.1", 60, now, &err));
	assert_null(registration_add(&r, policy, "ext", "level=HIGH", "127.0.0.1:80", 0, now, &err));
	struct service *a = registration_add(&r, policy, "ext", "comp={B,A},level=HIGH", "127.0.0.1:80", 60, now, &err);
	struct service *b = registration_add(&r, policy, "ext", "level=HIGH,comp={A,B}", "127.0.0.1:81", 60, now, &err);
	assert_non_null(a);
	assert_string_equal(a->label, "level=HIGH,comp={A,B}");
	assert_ptr_equal(a, registration_add(&r, policy, "ext", a->label, "127.0.0.1:80", 60, now, &err));
	assert_int_equal(r.count, 2);
	assert_true(registration_knows(&r, "ext"));
	assert_null(registration_choose(&r, "ext", "level=HIGH", now)); /* the exact label only */
	/* least loaded, ties round robin */
	struct service *first = registration_choose(&r, "ext", a->label, now);
	struct service *second = registration_choose(&r, "ext", a->label, now);
	assert_ptr_not_equal(first, second);
	registration_release(&r, second, true, now);
	assert_ptr_equal(registration_choose(&r, "ext", a->label, now), second);
	/* one that cannot be reached is left alone for a while */
	registration_release(&r, first, false, now);
	registration_release(&r, second, true, now);
	assert_ptr_equal(registration_choose(&r, "ext", a->label, now), second);
	assert_ptr_equal(registration_choose(&r, "ext", a->label, now), second);
	assert_ptr_equal(registration_choose(&r, "ext", a->label, now + REGISTRATION_DOWN_NS), first);
	/* removed while in use: freed with its last request */
	registration_remove(&r, second);
	assert_null(registration_find(&r, second->id));
	registration_release(&r, second, true, now);
	assert_int_equal(r.count, 2);
	registration_release(&r, second, true, now);
	assert_int_equal(r.count, 1);
	registration_release(&r, first, true, now);
	registrations_sweep(&r, now + 61000000000);
	assert_int_equal(r.count, 0);
	assert_false(registration_knows(&r, "ext"));
	(void)b;
	registrations_free(&r);
	policy_free(policy);
}

static void test_registrations_are_bounded(void **state)
{
	struct err err;
	struct policy *policy = policy_parse("test", policy_text, strlen(policy_text), &err);
	struct registrations r;
	char address[32];
	(void)state;
	registrations_init(&r);
	for (unsigned i = 0; i < REGISTRATIONS_MAX; i++) {
		snprintf(address, sizeof address, "127.0.0.1:%u", i + 1);
		assert_non_null(registration_add(&r, policy, "ext", "level=HIGH", address, 60, 1, &err));
	}
	assert_null(registration_add(&r, policy, "ext", "level=HIGH", "127.0.0.2:1", 60, 1, &err));
	assert_int_equal(err.kind, ERR_FULL);
	registrations_free(&r);
	policy_free(policy);
}

/* Each value lies below the bound of its bucket and not below that of the one before; bounds grow. */
static void test_histogram(void **state)
{
	(void)state;
	struct histogram h = { 0 };
	struct buf out = { .cap = 1 << 20 };
	for (unsigned b = 1; b < HISTOGRAM_BUCKETS; b++)
		assert_true(histogram_bound(b - 1) < histogram_bound(b));
	for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns = ns * 2 + ns / 3 + 1) {
		unsigned b = histogram_bucket(ns);
		assert_true(ns < histogram_bound(b));
		assert_true(b == 0 || ns >= histogram_bound(b - 1));
	}
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS - 1; b++)
		assert_int_equal(histogram_bucket(histogram_bound(b)), b + 1);
	histogram_add(&h, 1000);
	histogram_add(&h, UINT64_MAX / 2);
	histogram_write(&h, "m", "k", "v", &out);
	assert_non_null(strstr(buf_text(&out), "m_bucket{k=\"v\",le=\"+Inf\"} 2\n"));
	assert_non_null(strstr(buf_text(&out), "m_count{k=\"v\"} 2\n"));
	assert_non_null(strstr(buf_text(&out), "le=\"1.024e-06\"} 1\n"));
	buf_free(&out);
}

static void test_server_timing(void **state)
{
	(void)state;
	struct timing t = { .ns = { [PHASE_RECV] = 12345, [PHASE_FORWARD] = 1234567890, [PHASE_CHECK] = 400 } };
	char text[1024], small[20];
	uint32_t start[3] = { 1, 22, 4000000 };
	timing_header(&t, start, text, sizeof text);
	assert_non_null(strstr(text, "recv;dur=0.012, "));
	assert_non_null(strstr(text, "forward;dur=1234.568, "));
	assert_non_null(strstr(text, "check;dur=0.000, spawn;dur=0.001, create;dur=0.022, bind;dur=4000.000"));
	assert_int_not_equal(text[strlen(text) - 1], ' ');
	timing_header(&t, NULL, text, sizeof text);
	assert_null(strstr(text, "spawn"));
	assert_null(strstr(text, "connect"));
	t.ns[PHASE_CONNECT] = 234567890;
	timing_split_http(&t);
	timing_header(&t, NULL, text, sizeof text);
	assert_non_null(strstr(text, "connect;dur=234.568, exchange;dur=1000.000"));
	timing_header(&t, start, small, sizeof small);
	assert_in_range(strlen(small), 0, sizeof small - 1);
}

struct entry {
	struct table_link link;
	unsigned key;
};

static void test_table(void **state)
{
	(void)state;
	struct table t;
	static struct entry e[5000];
	assert_int_equal(table_init(&t), 0);
	for (unsigned i = 0; i < 5000; i++) {
		e[i].key = i;
		table_insert(&t, &e[i].link, table_hash(&i, sizeof i));
	}
	for (unsigned i = 0; i < 5000; i += 2)
		table_remove(&t, &e[i].link);
	for (unsigned i = 0; i < 5000; i++) {
		unsigned found = 0;
		for (struct table_link *l = table_first(&t, table_hash(&i, sizeof i)); l; l = table_next(l))
			found += table_entry(l, struct entry, link)->key == i;
		assert_int_equal(found, i % 2);
	}
	assert_int_equal(t.count, 2500);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registrations), cmocka_unit_test(test_registrations_are_bounded),
		cmocka_unit_test(test_histogram),     cmocka_unit_test(test_server_timing),
		cmocka_unit_test(test_table),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("proxy/tools", tests, NULL, NULL);
}
