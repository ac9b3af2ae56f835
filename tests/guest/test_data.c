/* SPDX-License-Identifier: MIT
 *
 * Encoding and decoding of what goes to the store and comes back (ppce/data.h, guest/data.c), on messages that end exactly
 * at an unreadable page: good ones, every prefix of them, and every single byte changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guest/os.h"
#include "tests/guest/data_use.h"
#include "tests/lib/guard.h"

static struct guard guard;

static int set_up(void **state)
{
	(void)state;
	guard_init(&guard);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guard_free(&guard);
	return 0;
}

static void put_text(struct data_writer *w, const char *text)
{
	const struct data_value v = { .type = DATA_TEXT, .len = (uint32_t)strlen(text) };
	data_put_value(w, &v, text);
}

static size_t make_rows(uint8_t *out, size_t size)
{
	struct data_writer w = { .out = out, .size = size };
	const struct data_rows head = { .columns = 3, .rows = 2 };
	const struct data_value one = { .type = DATA_INT, .integer = 1 }, half = { .type = DATA_REAL, .real = 0.5 },
				none = { .type = DATA_NULL }, raw = { .type = DATA_BLOB, .len = 9 };

	data_put_bytes(&w, &head, sizeof head);
	put_text(&w, "a");
	put_text(&w, "a name of 22 bytes, no");
	put_text(&w, "");
	data_put_value(&w, &one, NULL);
	put_text(&w, "seven 7");
	data_put_value(&w, &none, NULL);
	data_put_value(&w, &half, NULL);
	put_text(&w, "eight 88");
	data_put_value(&w, &raw, "\1\2\3\4\5\6\7\10\11");
	assert_false(w.full);
	return w.at;
}

static size_t make_call(uint8_t *out, size_t size)
{
	struct data_writer w = { .out = out, .size = size };
	const struct data_value seven = { .type = DATA_INT, .integer = 7 };

	data_put_call(&w, "my_training", 2);
	data_put_value(&w, &seven, NULL);
	put_text(&w, "monday");
	assert_false(w.full);
	return w.at;
}

static size_t make_release(uint8_t *out, size_t size)
{
	struct release r = { .magic = RELEASE_MAGIC, .length = 5, .request_id = "id", .label = "level=LOW" };

	assert_true(size >= sizeof r + 5);
	memcpy(out, &r, sizeof r);
	memcpy(out + sizeof r, "[1,2]", 5);
	return sizeof r + 5;
}

static const struct kind {
	size_t (*make)(uint8_t *out, size_t size);
	bool (*use)(const void *bytes, size_t size);
} kinds[] = { { make_rows, use_rows }, { make_call, use_call }, { make_release, use_release } };
enum { KINDS = sizeof kinds / sizeof *kinds };

static void good_messages_are_accepted(void **state)
{
	uint8_t msg[2048];

	(void)state;
	for (int k = 0; k < KINDS; k++) {
		size_t size = kinds[k].make(msg, sizeof msg);
		assert_true(kinds[k].use(guard_place(&guard, msg, size), size));
	}
}

static void every_prefix_is_refused(void **state)
{
	uint8_t msg[2048];

	(void)state;
	for (int k = 0; k < KINDS; k++) {
		size_t size = kinds[k].make(msg, sizeof msg);
		for (size_t len = 0; len < size; len++)
			assert_false(kinds[k].use(guard_place(&guard, msg, len), len));
	}
}

static void trailing_bytes_are_refused(void **state)
{
	uint8_t msg[2048] = { 0 };

	(void)state;
	for (int k = 0; k < KINDS; k++) {
		size_t size = kinds[k].make(msg, sizeof msg);
		memset(msg + size, 0, 8);
		assert_false(kinds[k].use(guard_place(&guard, msg, size + 8), size + 8));
	}
}

/* Accepted or not, nothing beyond the message is touched and what is accepted keeps its promises. */
static void every_changed_byte_is_survived(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x08, 0x7f, 0x80, 0xff };
	uint8_t msg[2048];
	size_t refused = 0;

	(void)state;
	for (int k = 0; k < KINDS; k++) {
		size_t size = kinds[k].make(msg, sizeof msg);
		for (size_t i = 0; i < size * sizeof flips; i++) {
			uint8_t *byte = &msg[i / sizeof flips], old = *byte;
			*byte ^= flips[i % sizeof flips];
			refused += !kinds[k].use(guard_place(&guard, msg, size), size);
			*byte = old;
		}
	}
	assert_true(refused > 300);
}

static void rows_are_read_back(void **state)
{
	uint8_t msg[2048];
	struct ppce_rows rows;
	size_t size = make_rows(msg, sizeof msg);

	(void)state;
	assert_true(app_rows_open(&rows, msg, size));
	assert_int_equal(rows.columns, 3);
	assert_int_equal(rows.rows, 2);
	assert_int_equal(rows.row, 0);
	assert_int_equal(ppce_column(&rows, "a")->type, PPCE_NULL); /* there is no row yet */
	assert_true(ppce_next(&rows));
	assert_int_equal(rows.row, 1);
	assert_int_equal(ppce_column_int(&rows, "a"), 1);
	assert_true(ppce_column_real(&rows, "a") == 1);
	assert_string_equal(ppce_column_text(&rows, "a name of 22 bytes, no"), "seven 7");
	assert_int_equal(ppce_column(&rows, "")->type, PPCE_NULL);
	assert_true(ppce_next(&rows));
	assert_true(ppce_column_real(&rows, "a") == 0.5);
	assert_int_equal(ppce_column_int(&rows, "a"), 0);
	assert_int_equal(ppce_column(&rows, "")->len, 9);
	assert_int_equal(ppce_column(&rows, "none")->type, PPCE_NULL);
	assert_string_equal(ppce_column_text(&rows, "a"), "");
	assert_false(ppce_next(&rows));
	assert_false(ppce_next(&rows));
}

/* A buffer that changes under the app's own hands ends its rows early. */
static void rows_that_change_later_stay_in_bounds(void **state)
{
	uint8_t msg[2048];
	struct ppce_rows rows;
	size_t size = make_rows(msg, sizeof msg);
	char *at = (char *)(uintptr_t)guard_place(&guard, msg, size);

	(void)state;
	assert_true(app_rows_open(&rows, at, size));
	memset(at, 0xff, size);
	assert_false(ppce_next(&rows));
	assert_int_equal(rows.row, 0);
}

static void millions_of_empty_rows_cost_nothing(void **state)
{
	const struct data_rows head = { .columns = 0, .rows = UINT32_MAX };
	struct ppce_rows rows;

	(void)state;
	assert_true(app_rows_open(&rows, &head, sizeof head));
	assert_int_equal(rows.rows, UINT32_MAX);
}

static void writers_stop_at_their_bounds(void **state)
{
	uint8_t full[2048], part[2048];

	(void)state;
	size_t size = make_call(full, sizeof full);
	for (size_t room = 0; room < size; room++) {
		struct data_writer w = { .out = part, .size = room };
		const struct data_value seven = { .type = DATA_INT, .integer = 7 };
		memset(part, 0xee, sizeof part);
		data_put_call(&w, "my_training", 2);
		data_put_value(&w, &seven, NULL);
		put_text(&w, "monday");
		assert_true(w.full);
		for (size_t i = room; i < sizeof part; i++)
			assert_int_equal(part[i], 0xee);
	}
}

static void calls_with_bad_names_are_not_written(void **state)
{
	uint8_t msg[256];
	const char *const names[] = { "", "a-name-that-is-longer-than-32-byt" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct data_writer w = { .out = msg, .size = sizeof msg };
		data_put_call(&w, names[i], 0);
		assert_true(w.full);
	}
	struct data_writer w = { .out = msg, .size = sizeof msg };
	data_put_call(&w, "ok", PPCE_VALUES_MAX + 1);
	assert_true(w.full);
	const struct data_value text = { .type = DATA_TEXT, .len = 4 };
	w = (struct data_writer){ .out = msg, .size = sizeof msg };
	data_put_value(&w, &text, NULL);
	assert_true(w.full);
}

static void lengths_near_the_end_of_the_type_do_not_wrap(void **state)
{
	uint8_t msg[64] = { 0 };
	struct data_writer w = { .out = msg, .size = sizeof msg };
	struct data_reader r = { msg, msg + sizeof msg };

	(void)state;
	assert_null(data_reserve(&w, SIZE_MAX));
	assert_true(w.full);
	for (size_t n = SIZE_MAX - 8; n != 0; n++)
		assert_null(data_take(&r, n));
	assert_ptr_equal(r.at, msg);
}

/* Outside of a guest, or in one without queries, there is no store: nothing is written anywhere. */
static void without_a_store_calls_say_so(void **state)
{
	static struct ppce_io io;
	static struct ppce_response res;
	static uint8_t buffer[8192];
	struct ppce_rows rows;

	(void)state;
	app_response_begin(&res, buffer, sizeof buffer);
	for (int i = 0; i < 2; i++) {
		los_io = i ? &io : NULL;
		assert_int_equal(ppce_query(&rows, "mine", 1, ppce_int(1)), PPCE_NO_STORE);
		assert_false(ppce_next(&rows));
		assert_int_equal(ppce_write("mine", 0), PPCE_NO_STORE);
		assert_int_equal(ppce_declassify(&res, "mean", "{}"), PPCE_NO_STORE);
	}
	los_io = NULL;
}

static void errors_have_texts(void **state)
{
	(void)state;
	for (int e = 0; e >= PPCE_CONFLICT; e--)
		for (int other = 0; other > e; other--)
			assert_string_not_equal(ppce_error_text(e), ppce_error_text(other));
	assert_string_equal(ppce_error_text(PPCE_DENIED), "denied");
	assert_string_equal(ppce_error_text(1), "unknown error");
	assert_string_equal(ppce_error_text(PPCE_CONFLICT - 1), "unknown error");
}

static void a_release_makes_the_response(void **state)
{
	static struct ppce_response res;
	static uint8_t buffer[4096];

	(void)state;
	app_response_begin(&res, buffer, sizeof buffer);
	assert_int_equal(ppce_reply(&res, 201, "text/plain", "dropped"), 0);
	assert_int_equal(app_response_release(&res, buffer, sizeof buffer), -1); /* does not fit: as it was */
	assert_int_equal(res.status, 201);
	assert_int_equal(app_response_release(&res, "value", 5), 0);
	assert_int_equal(ppce_body(&res, "x", 1), -1);
	assert_int_equal(app_response_release(&res, "value", 5), 0);
	size_t size = app_response_finish(&res, 0);
	const struct wire_response *w = wire_response_decode(buffer, size);
	assert_non_null(w);
	assert_int_equal(w->release, 1);
	assert_int_equal(w->status, 200);
	assert_int_equal(w->fields, 0);
	assert_string_equal(wire_text(w, w->body), "value");
	app_response_begin(&res, buffer, sizeof buffer);
	assert_int_equal(app_response_release(&res, "value", 5), 0);
	size = app_response_finish(&res, -1); /* the handler failed after all */
	w = wire_response_decode(buffer, size);
	assert_int_equal(w->release, 0);
	assert_int_equal(w->status, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_messages_are_accepted),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(trailing_bytes_are_refused),
		cmocka_unit_test(every_changed_byte_is_survived),
		cmocka_unit_test(rows_are_read_back),
		cmocka_unit_test(rows_that_change_later_stay_in_bounds),
		cmocka_unit_test(millions_of_empty_rows_cost_nothing),
		cmocka_unit_test(writers_stop_at_their_bounds),
		cmocka_unit_test(calls_with_bad_names_are_not_written),
		cmocka_unit_test(lengths_near_the_end_of_the_type_do_not_wrap),
		cmocka_unit_test(without_a_store_calls_say_so),
		cmocka_unit_test(errors_have_texts),
		cmocka_unit_test(a_release_makes_the_response),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
