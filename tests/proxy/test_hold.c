/* SPDX-License-Identifier: MIT
 *
 * Answers that would tell by their time what was read leave only at multiples of the grid. Only "not earlier" is asserted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/names.h"
#include "proxy/hold.h"
#include "proxy/proxy.h"

#define MS 1000000ull

struct world {
	uv_loop_t loop;
	struct proxy proxy;
	struct http_exchange x;
	struct request request;
};

static uint64_t done_ns; /* when; 0: not yet */

static void done(struct request *r)
{
	(void)r;
	done_ns = clock_ns();
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	uv_loop_init(&w->loop);
	w->proxy.loop = &w->loop;
	w->proxy.config.proxy.blocked_grid_ms = 40;
	w->request.proxy = &w->proxy;
	w->request.x = &w->x;
	w->request.secret = true;
	done_ns = 0;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	int rc = uv_loop_close(&w->loop);
	free(w);
	return rc;
}

static void test_a_secret_answer_waits_for_the_next_multiple(void **state)
{
	struct world *w = *state;
	static const uint64_t spent[] = { 0, 1, 39, 41, 95 }, leaves[] = { 40, 40, 40, 80, 120 };
	for (size_t i = 0; i < sizeof spent / sizeof *spent; i++) {
		w->x.started_ns = clock_ns() - spent[i] * MS;
		assert_true(hold_begin(&w->request, done));
		assert_int_equal(done_ns, 0);
		uv_run(&w->loop, UV_RUN_DEFAULT);
		assert_true(done_ns + MS >= w->x.started_ns + leaves[i] * MS); /* libuv counts whole milliseconds */
		done_ns = 0;
	}
}

static void test_others_do_not_wait(void **state)
{
	struct world *w = *state;
	w->x.started_ns = clock_ns();
	w->request.secret = false;
	assert_false(hold_begin(&w->request, done));
	w->request.secret = true;
	w->proxy.config.proxy.blocked_grid_ms = 0; /* the operator does without */
	assert_false(hold_begin(&w->request, done));
	assert_int_equal(done_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_secret_answer_waits_for_the_next_multiple, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_do_not_wait, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
