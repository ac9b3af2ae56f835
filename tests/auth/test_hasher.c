// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/hasher.h"

#define MIB ((size_t)1 << 20)

static const struct hasher_config small = { .workers = 1, .queue = 2, .passes = 1, .memory_bytes = 8 * MIB };
static const struct hasher_config slow = { .workers = 1, .queue = 2, .passes = 8, .memory_bytes = 64 * MIB };

static struct hash_job *finished[16];
static unsigned nfinished;

static void on_done(struct hash_job *job)
{
	finished[nfinished++] = job;
}

static struct hash_job job_for(enum hash_kind kind, const char *password, const char *stored)
{
	struct hash_job job = { .kind = kind, .done = on_done };

	snprintf(job.password, sizeof job.password, "%s", password);
	snprintf(job.stored, sizeof job.stored, "%s", stored);
	return job;
}

static struct hasher *start(uv_loop_t *loop, const struct hasher_config *config)
{
	struct err err;
	struct hasher *h = NULL;

	nfinished = 0;
	assert_int_equal(uv_loop_init(loop), 0);
	h = hasher_new(loop, config, &err);
	assert_non_null(h);
	return h;
}

static void finish(uv_loop_t *loop, struct hasher *h)
{
	hasher_stop(h);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static void run_until(uv_loop_t *loop, unsigned n)
{
	while (nfinished < n)
		uv_run(loop, UV_RUN_ONCE);
}

static void test_make_and_check(void **state)
{
	static const struct hasher_config other = { .workers = 2, .queue = 4, .passes = 2, .memory_bytes = 16 * MIB };
	struct hash_job make = job_for(HASH_MAKE, "password one", ""), right, wrong, broken, wiped = { 0 };
	uv_loop_t loop;
	struct hasher *h = start(&loop, &small);

	(void)state;
	assert_int_equal(hasher_submit(h, &make, 0), 0);
	run_until(&loop, 1);
	assert_int_equal(make.result, HASH_DONE);
	assert_memory_equal(make.fresh, "$argon2id$v=19$m=8192,t=1,p=1$", 30);
	assert_memory_equal(make.password, wiped.password, sizeof make.password);
	right = job_for(HASH_CHECK, "password one", make.fresh);
	wrong = job_for(HASH_CHECK, "password two", make.fresh);
	assert_int_equal(hasher_submit(h, &right, 0), 0);
	assert_int_equal(hasher_submit(h, &wrong, 0), 0);
	run_until(&loop, 3);
	assert_int_equal(right.result, HASH_DONE);
	assert_int_equal(wrong.result, HASH_WRONG);
	assert_string_equal(right.fresh, "");
	broken = job_for(HASH_CHECK, "password one", "not a hash");
	assert_int_equal(hasher_submit(h, &broken, 0), 0);
	run_until(&loop, 4);
	assert_int_equal(broken.result, HASH_WRONG);
	finish(&loop, h);

	/* Other parameters: a right password gets a new hash, a wrong one does not. */
	h = start(&loop, &other);
	right = job_for(HASH_CHECK, "password one", make.fresh);
	wrong = job_for(HASH_CHECK, "password two", make.fresh);
	hasher_submit(h, &right, 0);
	hasher_submit(h, &wrong, 0);
	run_until(&loop, 2);
	assert_int_equal(right.result, HASH_DONE);
	assert_memory_equal(right.fresh, "$argon2id$v=19$m=16384,t=2,p=1$", 31);
	assert_string_equal(wrong.fresh, "");
	finish(&loop, h);
}

static void test_decoys_cost_what_their_model_costs(void **state)
{
	char model[crypto_pwhash_STRBYTES], decoy[crypto_pwhash_STRBYTES];
	uv_loop_t loop;
	struct hasher *h = start(&loop, &small);

	(void)state;
	assert_int_equal(crypto_pwhash_str(model, "secret", 6, 3, 16 * MIB), 0);
	hasher_decoy(h, model, decoy);
	assert_memory_equal(decoy, "$argon2id$v=19$m=16384,t=3,p=1$", 31);
	assert_int_equal(strlen(decoy), strlen(model));
	assert_string_not_equal(decoy, model);
	assert_int_equal(crypto_pwhash_str_verify(decoy, "secret", 6), -1);
	assert_int_equal(crypto_pwhash_str_needs_rehash(decoy, 3, 16 * MIB), 0);
	hasher_decoy(h, "", decoy);
	assert_int_equal(crypto_pwhash_str_needs_rehash(decoy, 1, 8 * MIB), 0);
	hasher_decoy(h, "not a hash", decoy);
	assert_int_equal(crypto_pwhash_str_needs_rehash(decoy, 1, 8 * MIB), 0);
	/* A text in the database that is no hash, but has as many signs: today's parameters, and no overrun. */
	memset(model, '$', sizeof model - 1);
	memset(model + 3, 'x', sizeof model - 5);
	model[sizeof model - 1] = 0;
	hasher_decoy(h, model, decoy);
	assert_in_range(strlen(decoy), 1, sizeof decoy - 1);
	finish(&loop, h);
}

/* One worker is kept busy by the first; then logins and operators fill a queue each, operators come first, and those
 * that still wait at the end are told so. */
static void test_queues(void **state)
{
	struct hash_job jobs[8];
	uv_loop_t loop;
	struct hasher *h = start(&loop, &slow);

	(void)state;
	for (size_t i = 0; i < 8; i++)
		jobs[i] = job_for(HASH_MAKE, "some password", "");
	assert_int_equal(hasher_submit(h, &jobs[0], 0), 0);
	while (hasher_waiting(h))
		uv_sleep(1);
	assert_int_equal(hasher_submit(h, &jobs[1], 0), 0);
	assert_int_equal(hasher_submit(h, &jobs[2], 0), 0);
	assert_int_equal(hasher_submit(h, &jobs[3], 0), -1);
	assert_int_equal(hasher_submit(h, &jobs[4], 1), 0);
	assert_int_equal(hasher_submit(h, &jobs[5], 1), 0);
	assert_int_equal(hasher_submit(h, &jobs[6], 1), -1);
	assert_int_equal(hasher_waiting(h), 4);
	run_until(&loop, 2);
	assert_ptr_equal(finished[0], &jobs[0]);
	assert_ptr_equal(finished[1], &jobs[4]);
	finish(&loop, h);
	assert_int_equal(nfinished, 5);
	assert_int_equal(jobs[2].result, HASH_CANCELLED);
	assert_string_equal(jobs[2].password, "");
	for (unsigned i = 0; i < nfinished; i++)
		assert_true(finished[i]->result == HASH_DONE || finished[i]->result == HASH_CANCELLED);
}

static void test_impossible_parameters(void **state)
{
	static const struct hasher_config impossible = { .workers = 1, .queue = 1, .passes = 1, .memory_bytes = 1024 };
	struct err err;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_null(hasher_new(&loop, &impossible, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_and_check),
		cmocka_unit_test(test_decoys_cost_what_their_model_costs),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_impossible_parameters),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
