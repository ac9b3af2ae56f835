/* SPDX-License-Identifier: MIT
 *
 * tender/image.c and tender/snapshot.c against hostile bytes. The good image is a real one, made by ppce-cc; its path is
 * the program's argument. Every input ends at a page that may not be touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tender/image.h"
#include "tender/snapshot.h"

static uint8_t *good;
static size_t good_len;
static uint8_t *arena; /* room for the image, then a page without any rights */
static size_t arena_size;

static void load_good(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		exit(2);
	}
	good_len = (size_t)st.st_size;
	good = malloc(good_len);
	if (read(fd, good, good_len) != (ssize_t)good_len)
		exit(2);
	close(fd);
	arena_size = (good_len + 8191) & ~(size_t)4095;
	arena = mmap(NULL, arena_size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(arena + arena_size, 4096, PROT_NONE);
}

/* A copy of the first len bytes that ends exactly at the guard page. */
static uint8_t *at_guard(size_t len)
{
	uint8_t *p = arena + arena_size - len;

	memcpy(p, good, len);
	return p;
}

static void expect_refused(const uint8_t *bytes, size_t len, const char *word)
{
	struct image image;
	struct err err = { 0 };

	assert_int_equal(image_decode(bytes, len, &image, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	if (!strstr(err.text, word))
		fail_msg("expected \"%s\" in: %s", word, err.text);
}

static Elf64_Ehdr *header(uint8_t *bytes)
{
	return (Elf64_Ehdr *)(void *)bytes;
}

/* The nth program header of the given type. Unaligned copies are avoided by working on `good`-aligned memory. */
static Elf64_Phdr *segment(uint8_t *bytes, uint32_t type, unsigned n)
{
	Elf64_Phdr *p = (Elf64_Phdr *)(void *)(bytes + header(bytes)->e_phoff);

	for (unsigned i = 0; i < header(bytes)->e_phnum; i++)
		if (p[i].p_type == type && n-- == 0)
			return &p[i];
	fail_msg("no segment of type %u", type);
	return NULL;
}

static uint8_t *aligned_copy(void)
{
	memcpy(arena, good, good_len);
	return arena;
}

static void accepts_the_good_image(void **state)
{
	struct image image;
	struct err err = { 0 };

	(void)state;
	if (image_decode(at_guard(good_len), good_len, &image, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(image.nsegments >= 3);
	assert_true(image.manifest.stack_kib == 256);
	assert_int_equal(image.end % 4096, 0);
}

/* A file cut anywhere before the end of what is loaded is refused; the section table after that is never read. */
static void refuses_every_truncation(void **state)
{
	struct image image;
	size_t loaded = 0;

	(void)state;
	for (unsigned i = 0; i < header(good)->e_phnum; i++) {
		const Elf64_Phdr *p = (const Elf64_Phdr *)(const void *)(good + header(good)->e_phoff) + i;
		if ((p->p_type == PT_LOAD || p->p_type == PT_NOTE) && p->p_offset + p->p_filesz > loaded)
			loaded = p->p_offset + p->p_filesz;
	}
	for (size_t len = 0; len < loaded; len += len < 8192 || len + 8192 > loaded ? 1 : 101) {
		struct err err = { 0 };
		assert_int_equal(image_decode(at_guard(len), len, &image, &err), -1);
		assert_true(err.text[0] != '\0');
	}
}

static void refuses_bad_headers(void **state)
{
	(void)state;
	uint8_t *b = aligned_copy();
	b[0] = 'X';
	expect_refused(b, good_len, "not an ELF file");
	b = aligned_copy();
	header(b)->e_machine = EM_AARCH64;
	expect_refused(b, good_len, "x86-64");
	b = aligned_copy();
	header(b)->e_type = ET_DYN;
	expect_refused(b, good_len, "-static");
	b = aligned_copy();
	header(b)->e_phnum = 0xffff;
	expect_refused(b, good_len, "program header");
	b = aligned_copy();
	header(b)->e_phoff = UINT64_MAX - 8;
	expect_refused(b, good_len, "truncated");
	b = aligned_copy();
	header(b)->e_entry = 0;
	expect_refused(b, good_len, "entry point");
}

static void refuses_bad_segments(void **state)
{
	(void)state;
	uint8_t *b = aligned_copy();
	segment(b, PT_LOAD, 1)->p_flags = PF_R | PF_W | PF_X;
	expect_refused(b, good_len, "writable and executable");
	b = aligned_copy();
	segment(b, PT_LOAD, 1)->p_vaddr = segment(b, PT_LOAD, 0)->p_vaddr;
	expect_refused(b, good_len, "overlaps");
	b = aligned_copy();
	segment(b, PT_LOAD, 0)->p_vaddr = 0x1000;
	expect_refused(b, good_len, "outside of guest memory");
	b = aligned_copy();
	segment(b, PT_LOAD, 2)->p_memsz = 64u << 20;
	segment(b, PT_LOAD, 3)->p_vaddr += 64u << 20;
	expect_refused(b, good_len, "memory_mib");
	b = aligned_copy();
	segment(b, PT_LOAD, 2)->p_memsz = UINT64_MAX;
	expect_refused(b, good_len, "outside of guest memory");
	b = aligned_copy();
	segment(b, PT_LOAD, 2)->p_filesz = UINT64_MAX;
	expect_refused(b, good_len, "truncated");
	b = aligned_copy();
	segment(b, PT_LOAD, 2)->p_offset = UINT64_MAX - 16;
	expect_refused(b, good_len, "truncated");
	b = aligned_copy();
	segment(b, PT_GNU_STACK, 0)->p_flags |= PF_X;
	expect_refused(b, good_len, "executable stack");
	b = aligned_copy();
	segment(b, PT_GNU_STACK, 0)->p_type = PT_INTERP;
	expect_refused(b, good_len, "dynamically linked");
}

static struct ppce_note *note(uint8_t *bytes)
{
	for (size_t at = 0; at + sizeof(struct ppce_note) <= good_len; at += 8) {
		struct ppce_note *n = (struct ppce_note *)(void *)(bytes + at);
		if (n->type == PPCE_NOTE_TYPE && memcmp(n->owner, PPCE_NOTE_OWNER, sizeof PPCE_NOTE_OWNER) == 0)
			return n;
	}
	fail_msg("no note");
	return NULL;
}

static void refuses_bad_manifests(void **state)
{
	(void)state;
	uint8_t *b = aligned_copy();
	note(b)->type = 1;
	expect_refused(b, good_len, "PPCE_APP is missing");
	b = aligned_copy();
	note(b)->manifest.abi = 99;
	expect_refused(b, good_len, "ABI version 99");
	b = aligned_copy();
	note(b)->desc_size = 0xfffffff0;
	expect_refused(b, good_len, "longer than its segment");
	b = aligned_copy();
	memset(note(b)->manifest.name, 'x', sizeof note(b)->manifest.name);
	expect_refused(b, good_len, "no name");
	b = aligned_copy();
	note(b)->manifest.memory_mib = PPCE_MEMORY_MIB_MAX + 1;
	expect_refused(b, good_len, "memory_mib");
	b = aligned_copy();
	note(b)->manifest.stack_kib = 9000;
	expect_refused(b, good_len, "stack_kib");
	b = aligned_copy();
	note(b)->manifest.memory_mib = 1;
	note(b)->manifest.stack_kib = 4096;
	expect_refused(b, good_len, "too small");
	b = aligned_copy();
	note(b)->manifest.syscall_entry = NULL;
	expect_refused(b, good_len, "entry point");
	b = aligned_copy();
	note(b)->manifest.network = (void (*)(void))(uintptr_t)0x1000;
	expect_refused(b, good_len, "entry point");
}

static void refuses_bad_queries(void **state)
{
	static const char *const bad[] = {
		",", "mine,", "mine,,team", "Mine", "1", "mine team", "a-name-that-is-longer-than-32-byt"
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t *b = aligned_copy();
		snprintf(note(b)->manifest.queries, sizeof note(b)->manifest.queries, "%s", bad[i]);
		expect_refused(b, good_len, "queries");
	}
	uint8_t *b = aligned_copy();
	memset(note(b)->manifest.queries, 'a', sizeof note(b)->manifest.queries);
	expect_refused(b, good_len, "queries");
	b = aligned_copy();
	strcpy(note(b)->manifest.queries, "mine");
	note(b)->manifest.data_kib = 16385;
	expect_refused(b, good_len, "data_kib");
	b = aligned_copy();
	strcpy(note(b)->manifest.queries, "mine");
	note(b)->manifest.data_kib = 3;
	expect_refused(b, good_len, "data_kib");
}

/* A data buffer exists exactly when queries are listed, behind the others and before the network page. */
static void data_buffer_follows_the_queries(void **state)
{
	static const struct {
		const char *queries;
		uint32_t asked, kib;
	} cases[] = {
		{ "", 0, 0 }, { "", 99999, 0 }, { "mine", 0, 64 }, { "mine,my_team", 5, 8 }, { "a", 16384, 16384 }
	};
	struct image image;
	struct snapshot s;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *b = aligned_copy();
		strcpy(note(b)->manifest.queries, cases[i].queries);
		note(b)->manifest.data_kib = cases[i].asked;
		assert_int_equal(image_decode(b, good_len, &image, &err), 0);
		assert_int_equal(image.manifest.data_kib, cases[i].kib);
		snapshot_init(&s, PPCE_BACKEND_PROCESS, &image);
		assert_int_equal(s.layout.data, s.layout.response + s.layout.response_size);
		assert_int_equal(s.layout.data_size, (uint64_t)cases[i].kib << 10);
		assert_int_equal(s.layout.net, s.layout.data + s.layout.data_size);
		assert_int_equal(s.layout.io_end, s.layout.net + PPCE_NET_BYTES);
		assert_int_equal(s.layout.system, s.layout.io_end + PPCE_PAGE);
	}
}

static int snapshot_of_good_image(struct snapshot *s)
{
	struct image image;
	struct err err;
	int fd = memfd_create("snapshot", 0);

	uint8_t *b = aligned_copy();
	strcpy(note(b)->manifest.queries, "mine");
	assert_int_equal(image_decode(b, good_len, &image, &err), 0);
	snapshot_init(s, PPCE_BACKEND_KVM, &image);
	s->warm = calloc(1, s->layout.size / PPCE_PAGE);
	assert_int_equal(ftruncate(fd, (off_t)s->layout.size), 0);
	assert_int_equal(snapshot_write(s, fd, &err), 0);
	return fd;
}

static void snapshot_survives_a_round_trip(void **state)
{
	struct snapshot written, read_back;
	struct err err;
	int fd = snapshot_of_good_image(&written);

	(void)state;
	assert_int_equal(snapshot_read(&read_back, fd, PPCE_BACKEND_KVM, &err), 0);
	assert_memory_equal(&written.layout, &read_back.layout, sizeof written.layout);
	assert_int_equal(read_back.file.data_kib, 64);
	snapshot_free(&read_back);
	assert_int_equal(snapshot_read(&read_back, fd, PPCE_BACKEND_PROCESS, &err), -1);
	snapshot_free(&read_back);
	snapshot_free(&written);
	close(fd);
}

/* A boot tender ran guest code: whatever it leaves in the description must be refused or harmless, never fatal. */
static void snapshot_read_survives_damage(void **state)
{
	struct snapshot s, damaged;
	struct err err;
	int fd = snapshot_of_good_image(&s);
	off_t at = (off_t)s.layout.size, size = at + (off_t)offsetof(struct snapshot_file, state);

	(void)state;
	for (off_t i = at; i < size; i++) {
		uint8_t old, flipped;
		assert_int_equal(pread(fd, &old, 1, i), 1);
		flipped = (uint8_t)~old;
		assert_int_equal(pwrite(fd, &flipped, 1, i), 1);
		if (snapshot_read(&damaged, fd, PPCE_BACKEND_KVM, &err) == 0) {
			assert_int_equal(damaged.layout.size, s.layout.size);
			for (unsigned k = 0; k < damaged.file.nsegments; k++)
				assert_true(damaged.file.segments[k].address >= PPCE_IMAGE_BASE &&
					    damaged.file.segments[k].address + damaged.file.segments[k].memory_size <=
						    layout_address(damaged.layout.memory));
		}
		snapshot_free(&damaged);
		assert_int_equal(pwrite(fd, &old, 1, i), 1);
	}
	for (off_t cut = 0; cut < at + 64; cut += 4093) {
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(snapshot_read(&damaged, fd, PPCE_BACKEND_KVM, &err), -1);
		snapshot_free(&damaged);
	}
	snapshot_free(&s);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_the_good_image),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_bad_headers),
		cmocka_unit_test(refuses_bad_segments),
		cmocka_unit_test(refuses_bad_manifests),
		cmocka_unit_test(refuses_bad_queries),
		cmocka_unit_test(data_buffer_follows_the_queries),
		cmocka_unit_test(snapshot_survives_a_round_trip),
		cmocka_unit_test(snapshot_read_survives_damage),
	};

	if (argc != 2)
		return 2;
	load_good(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
