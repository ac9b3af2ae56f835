/* SPDX-License-Identifier: MIT
 *
 * The label of an instance as the proxy reads it from the shared table: right, or an error; never a label that is too low.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/taint.h"
#include "policy/policy.h"

#define UUID "01234567-89ab-4def-8123-456789abcdef"

static struct policy *policy;
static struct taint taint;
static struct taint_table *table; /* as vmmd and the store have it */
static struct label low;

static int setup(void **state)
{
	static const char text[] = "axes:\n  level: {chain: [LOW, HIGH]}\n";
	struct err err;
	int fd = memfd_create("taint", MFD_CLOEXEC);
	(void)state;
	policy = policy_parse("p", text, sizeof text - 1, &err);
	assert_non_null(policy);
	label_bottom(policy, &low);
	assert_int_equal(ftruncate(fd, sizeof *table), 0);
	table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(table, MAP_FAILED);
	return taint_adopt(&taint, fd, &err);
}

static int teardown(void **state)
{
	(void)state;
	taint_free(&taint);
	munmap(table, sizeof *table);
	policy_free(policy);
	return 0;
}

static void write_slot(uint32_t slot, uint64_t seq, const char *uuid, const char *label)
{
	struct taint_value v = { .seq = seq };
	strcpy(v.uuid, uuid);
	strcpy(v.label, label);
	taint_write(&table->slot[slot], &v);
}

static int ask(uint32_t slot, uint64_t seq, bool pristine, struct label *out)
{
	struct err err;
	struct taint_question q = { slot, UUID, seq, pristine, &low };
	return taint_label(&taint, policy, &q, out, &err);
}

static bool is_high(const struct label *l)
{
	return !label_leq(policy, l, &low);
}

static void test_what_was_read_counts(void **state)
{
	struct label l;
	(void)state;
	write_slot(3, 5, UUID, "level=HIGH");
	assert_int_equal(ask(3, 5, true, &l), 0);
	assert_true(is_high(&l));
	assert_int_equal(ask(3, 5, false, &l), 0);
	assert_true(is_high(&l));
}

static void test_a_reset_undoes_earlier_reads_only(void **state)
{
	struct label l;
	(void)state;
	write_slot(3, 5, UUID, "level=HIGH");
	assert_int_equal(ask(3, 6, true, &l), 0);
	assert_false(is_high(&l));
	assert_int_equal(ask(3, 6, false, &l), 0); /* it was not reset: the memory is still there */
	assert_true(is_high(&l));
}

static void test_what_cannot_be_known_is_an_error(void **state)
{
	struct label l;
	struct taint none = { 0 };
	struct err err;
	struct taint_question q = { 3, UUID, 5, true, &low };
	(void)state;
	write_slot(3, 5, "11111111-89ab-4def-8123-456789abcdef", "level=LOW");
	assert_int_equal(ask(3, 5, true, &l), -1); /* another instance's place */
	assert_int_equal(ask(4, 5, true, &l), -1); /* nobody's */
	assert_int_equal(ask(TAINT_SLOTS, 5, true, &l), -1);
	assert_int_equal(ask(TAINT_NONE, 5, true, &l), -1);
	write_slot(3, 9, UUID, "level=LOW");
	assert_int_equal(ask(3, 5, true, &l), -1); /* a ticket of the future */
	write_slot(3, 5, UUID, "level=NOWHERE");
	assert_int_equal(ask(3, 5, true, &l), -1);
	write_slot(3, 5, UUID, "level=LOW");
	table->slot[3].version |= 1; /* the writer died in the middle */
	assert_int_equal(ask(3, 5, true, &l), -1);
	write_slot(3, 5, UUID, "level=LOW"); /* the next writer repairs it */
	assert_int_equal(ask(3, 5, true, &l), 0);
	assert_int_equal(taint_label(&none, policy, &q, &l, &err), -1);
}

static void test_a_small_table_is_refused(void **state)
{
	struct taint t = { 0 };
	struct err err;
	int fd = memfd_create("small", MFD_CLOEXEC);
	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(taint_adopt(&t, fd, &err), -1);
	assert_null(t.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_read_counts),
		cmocka_unit_test(test_a_reset_undoes_earlier_reads_only),
		cmocka_unit_test(test_what_cannot_be_known_is_an_error),
		cmocka_unit_test(test_a_small_table_is_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
