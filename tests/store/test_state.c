// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/state.h"

static char path[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(path, "/tmp/ppce-state-XXXXXX");
	return mkdtemp(path) ? strcat(path, "/store.db"), 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -r '%.*s'", (int)(strlen(path) - strlen("/store.db")), path);
	return system(command);
}

static struct state *open_it(void)
{
	struct err err = { 0 };
	struct state *s = state_open(path, &err);
	if (!s)
		fail_msg("%s", err.text);
	return s;
}

static void test_budget(void **state)
{
	(void)state;
	struct err err;
	uint64_t spent;
	struct state *s = open_it();
	assert_int_equal(state_debit(s, "k", 400, 1000, &err), 0);
	assert_int_equal(state_debit(s, "k", 600, 1000, &err), 0);
	assert_int_equal(state_debit(s, "k", 1, 1000, &err), -1);
	assert_int_equal(err.kind, ERR_FULL);
	assert_int_equal(state_debit(s, "k", UINT64_MAX, 2000, &err), -1);
	assert_int_equal(state_debit(s, "other", 1, 1000, &err), 0);
	state_close(s);
	s = open_it();
	assert_int_equal(state_spent(s, "k", &spent, &err), 0);
	assert_int_equal(spent, 1000);
	state_close(s);
}

static void test_transactions(void **state)
{
	(void)state;
	struct err err;
	struct state_derived *d;
	size_t n;
	struct state *s = open_it();
	assert_int_equal(state_begin(s, &err), 0);
	assert_int_equal(state_add_derived(s, "o", "a", "p1", "c", &err), 0);
	state_rollback(s);
	assert_int_equal(state_derived(s, "o", &d, &n, &err), 0);
	assert_int_equal(n, 0);
	free(d);
	assert_int_equal(state_begin(s, &err), 0);
	assert_int_equal(state_add_derived(s, "o", "a", "p1", "c", &err), 0);
	assert_int_equal(state_add_derived(s, "o", "a", "p1", "c", &err), 0);
	assert_int_equal(state_commit(s, &err), 0);
	assert_int_equal(state_derived(s, "o", &d, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(d[0].owner, "p1");
	free(d);
	state_close(s);
}

static void test_too_many_sources_are_an_error_not_a_few(void **state)
{
	(void)state;
	struct err err;
	struct state_derived *d;
	size_t n;
	char owner[32];
	struct state *s = open_it();
	assert_int_equal(state_begin(s, &err), 0);
	for (int i = 0; i < 4097; i++) {
		snprintf(owner, sizeof owner, "p%d", i);
		assert_int_equal(state_add_derived(s, "o", "a", owner, "c", &err), 0);
	}
	assert_int_equal(state_commit(s, &err), 0);
	assert_int_equal(state_derived(s, "o", &d, &n, &err), -1);
	state_close(s);
}

static void test_foreign_files_are_left_alone(void **state)
{
	(void)state;
	struct err err;
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("this is not a database, but it is long enough to be looked at as one...................................",
	      f);
	fclose(f);
	assert_null(state_open(path, &err));
	f = fopen(path, "r");
	assert_int_equal(fgetc(f), 't');
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_budget, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transactions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_sources_are_an_error_not_a_few, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_files_are_left_alone, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
