/* SPDX-License-Identifier: MIT
 *
 * vmmd/solo5.c against hostile bytes. Every input ends at a page that may not be touched. With files as arguments: says
 * what it finds in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/guard.h"
#include "tests/vmmd/solo5_file.h"
#include "vmmd/solo5.h"

static struct guard guard;

static int decode(const void *file, size_t len, struct solo5_image *out, struct err *err)
{
	return solo5_decode((const uint8_t *)guard_place(&guard, file, len), len, out, err);
}

static void refused(const struct solo5_file *f, const char *word)
{
	struct solo5_image image;
	struct err err = { 0 };
	assert_int_equal(decode(f, sizeof *f, &image, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.text, word))
		fail_msg("expected \"%s\" in: %s", word, err.text);
}

static void takes_a_good_image(void **state)
{
	struct solo5_file f;
	struct solo5_image image;
	struct err err = { 0 };
	(void)state;
	solo5_file_make(&f);
	if (decode(&f, sizeof f, &image, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(image.device, "service");
	assert_int_equal(image.memory_mib, 4); /* 0x301000 bytes */
	assert_true(solo5_likely((const uint8_t *)&f, sizeof f));
}

static void refuses_every_truncation(void **state)
{
	struct solo5_file f;
	struct solo5_image image;
	(void)state;
	solo5_file_make(&f);
	for (size_t len = 0; len < sizeof f; len++) {
		struct err err = { 0 };
		assert_int_equal(decode(&f, len, &image, &err), -1);
		assert_true(err.text[0] != '\0');
		(void)solo5_likely((const uint8_t *)guard_place(&guard, &f, len), len);
	}
}

/* Whatever is accepted has a device that can stand on a command line, and bounded memory. */
static void survives_every_changed_byte(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct solo5_file f;
	struct solo5_image image;
	struct err err;
	(void)state;
	solo5_file_make(&f);
	for (size_t i = 0; i < sizeof f; i++)
		for (size_t k = 0; k < sizeof values; k++) {
			uint8_t *byte = (uint8_t *)&f + i, old = *byte;
			*byte = values[k];
			if (decode(&f, sizeof f, &image, &err) == 0) {
				assert_true(solo5_device_valid(image.device));
				assert_in_range(image.memory_mib, 1, 1024);
			}
			*byte = old;
		}
}

static void names_what_is_wrong_with_devices(void **state)
{
	struct solo5_file f;
	(void)state;
	solo5_file_make(&f);
	solo5_file_add(&f, "disk", SOLO5_BLOCK);
	refused(&f, "block device disk");
	solo5_file_make(&f);
	solo5_file_add(&f, "management", SOLO5_NET);
	refused(&f, "service and management");
	solo5_file_make(&f);
	f.mft.entries = 1;
	f.mft.h.n_descsz -= (uint32_t)sizeof f.mft.e[0];
	refused(&f, "no network device");
	solo5_file_make(&f);
	f.mft.e[1].type = 7;
	refused(&f, "unknown type (7)");
	solo5_file_make(&f);
	memcpy(f.mft.e[1].name, "a=b", 4);
	refused(&f, "damaged");
	memset(f.mft.e[1].name, 'a', sizeof f.mft.e[1].name);
	refused(&f, "damaged");
	solo5_file_make(&f);
	f.mft.e[0].type = SOLO5_NET;
	refused(&f, "reserved");
}

static void names_what_is_wrong_with_notes(void **state)
{
	struct solo5_file f;
	(void)state;
	solo5_file_make(&f);
	f.abi.target = 2;
	refused(&f, "target spt");
	f.abi.target = 99;
	refused(&f, "(99)");
	solo5_file_make(&f);
	f.p[SOLO5_ABI].p_type = PT_NULL;
	refused(&f, "no Solo5 image");
	assert_false(solo5_likely((const uint8_t *)&f, sizeof f));
	solo5_file_make(&f);
	f.p[SOLO5_MFT].p_type = PT_NULL;
	refused(&f, "no manifest");
	solo5_file_make(&f);
	f.mft.h.n_descsz = UINT32_MAX;
	refused(&f, "longer than its segment");
	f.mft.h.n_descsz = 8;
	refused(&f, "too short");
	solo5_file_make(&f);
	f.mft.version = 2;
	refused(&f, "version 2");
	solo5_file_make(&f);
	f.mft.entries = 0x40000000;
	refused(&f, "entries");
	solo5_file_make(&f);
	memcpy(f.abi.owner, "Solo6", 6);
	refused(&f, "no Solo5 image");
}

static void names_what_is_wrong_with_the_file(void **state)
{
	struct solo5_file f;
	(void)state;
	solo5_file_make(&f);
	f.header.e_ident[0] = 'E';
	refused(&f, "not an ELF file");
	solo5_file_make(&f);
	f.header.e_machine = EM_AARCH64;
	refused(&f, "not an x86-64");
	solo5_file_make(&f);
	f.header.e_type = ET_DYN;
	refused(&f, "no executable");
	solo5_file_make(&f);
	f.header.e_entry = 0x10;
	refused(&f, "entry point");
	solo5_file_make(&f);
	f.header.e_phoff = UINT64_MAX - 8;
	refused(&f, "truncated");
	solo5_file_make(&f);
	f.p[SOLO5_DATA].p_memsz = UINT64_MAX;
	refused(&f, "outside of a guest's memory");
	solo5_file_make(&f);
	f.p[SOLO5_DATA].p_offset = UINT64_MAX;
	refused(&f, "truncated");
	solo5_file_make(&f);
	f.p[SOLO5_CODE].p_vaddr = 0;
	refused(&f, "outside of a guest's memory");
	solo5_file_make(&f);
	f.p[SOLO5_CODE].p_type = PT_DYNAMIC;
	refused(&f, "dynamically linked");
	solo5_file_make(&f);
	memcpy(f.mft.e[2].name, "PPCE-image", 11);
	refused(&f, "PPCE image");
}

static int show(const char *path)
{
	static uint8_t bytes[64 << 20];
	struct solo5_image image;
	struct err err;
	FILE *f = fopen(path, "rbe");
	size_t len = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	if (f)
		fclose(f);
	if (solo5_decode(bytes, len, &image, &err) < 0)
		return printf("%s: %s\n", path, err.text), 1;
	return printf("%s: device %s, at least %u MiB\n", path, image.device, image.memory_mib), 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_good_image),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(survives_every_changed_byte),
		cmocka_unit_test(names_what_is_wrong_with_devices),
		cmocka_unit_test(names_what_is_wrong_with_notes),
		cmocka_unit_test(names_what_is_wrong_with_the_file),
	};
	if (argc > 1)
		return show(argv[1]);
	guard_init(&guard);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_free(&guard);
	return failed;
}
