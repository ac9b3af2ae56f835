/* SPDX-License-Identifier: MIT */
#include "tender/load.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/names.h"

/* A string of the image at guest address `at`, if it lies in a segment's file bytes. Used for the manifest's pointers. */
static const char *image_text(const struct image *image, const uint8_t *file, uint64_t at, size_t *max)
{
	for (unsigned i = 0; i < image->nsegments; i++) {
		const struct image_segment *s = &image->segments[i];
		if (at >= s->address && at - s->address < s->file_size) {
			*max = (size_t)(s->file_size - (at - s->address));
			return (const char *)file + s->file_offset + (at - s->address);
		}
	}
	return NULL;
}

static void take_warm_path(const struct image *image, const uint8_t *file, struct snapshot *snapshot)
{
	size_t max, size = sizeof snapshot->file.warm_path;
	uint64_t at = (uint64_t)(uintptr_t)image->manifest.warm_path;
	const char *path = at ? image_text(image, file, at, &max) : NULL;

	if (path && path[0] == '/' && memchr(path, 0, max < size ? max : size))
		memcpy(snapshot->file.warm_path, path, strlen(path) + 1);
}

/* The stack holds, from high to low: random bytes, the program's name, the vectors. Returns the stack pointer. */
static uint64_t build_stack(uint8_t *memory, const struct layout *l, const struct image *image)
{
	uint64_t top = l->memory - 64;
	uint64_t random_at = top, name_at = top - PPCE_NAME_SIZE;

	random_bytes(memory + random_at, 16);
	memcpy(memory + name_at, image->manifest.name, PPCE_NAME_SIZE);
	const uint64_t vectors[] = {
		1,	   layout_address(name_at),
		0, /* argc, argv */
		0, /* envp */
		AT_PPCE,   layout_address(l->io),
		AT_PHDR,   image->program_headers,
		AT_PHENT,  sizeof(Elf64_Phdr),
		AT_PHNUM,  image->program_headers ? image->program_header_count : 0,
		AT_PAGESZ, PPCE_PAGE,
		AT_ENTRY,  image->entry,
		AT_RANDOM, layout_address(random_at),
		AT_SECURE, 0,
		AT_UID,	   65534,
		AT_EUID,   65534,
		AT_GID,	   65534,
		AT_EGID,   65534,
		AT_CLKTCK, 100,
		AT_HWCAP,  getauxval(AT_HWCAP),
		AT_HWCAP2, getauxval(AT_HWCAP2),
		AT_EXECFN, layout_address(name_at),
		AT_NULL,   0,
	};
	uint64_t at = (name_at - sizeof vectors) & ~(uint64_t)15;
	memcpy(memory + at, vectors, sizeof vectors);
	return layout_address(at);
}

/* By writing, not through a mapping: that would fault at each page. */
static int copy_segments(int memory_fd, const uint8_t *file, const struct image *image, struct err *err)
{
	for (unsigned i = 0; i < image->nsegments; i++) {
		const struct image_segment *s = &image->segments[i];
		off_t at = (off_t)(s->address - PPCE_IMAGE_BASE);
		for (uint64_t done = 0; done < s->file_size;) {
			ssize_t n =
				pwrite(memory_fd, file + s->file_offset + done, s->file_size - done, at + (off_t)done);
			if (n <= 0)
				return err_errno(err, ERR_INTERNAL, "filling the memory file");
			done += (uint64_t)n;
		}
	}
	return 0;
}

static int fill_memory(int memory_fd, const uint8_t *file, const struct image *image, const struct layout *l,
		       uint64_t *stack_pointer, struct err *err)
{
	if (ftruncate(memory_fd, (off_t)l->size) < 0)
		return err_errno(err, ERR_INTERNAL, "sizing the memory file");
	if (copy_segments(memory_fd, file, image, err) < 0)
		return -1;
	uint8_t *memory = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		return err_errno(err, ERR_INTERNAL, "mapping the memory file");
	*stack_pointer = build_stack(memory, l, image);
	munmap(memory, l->size);
	return 0;
}

int load_image(int image_fd, int memory_fd, enum ppce_backend backend, struct image *image, struct snapshot *snapshot,
	       uint64_t *stack_pointer, struct err *err)
{
	struct stat st;

	if (fstat(image_fd, &st) < 0)
		return err_errno(err, ERR_INTERNAL, "the image file");
	if (st.st_size <= 0 || st.st_size > IMAGE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "not an ELF file: %lld bytes long", (long long)st.st_size);
	size_t size = (size_t)st.st_size;
	uint8_t *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, image_fd, 0);
	if (file == MAP_FAILED)
		return err_errno(err, ERR_INTERNAL, "mapping the image file");
	int r = image_decode(file, size, image, err);
	if (r == 0) {
		snapshot_init(snapshot, backend, image);
		take_warm_path(image, file, snapshot);
		r = fill_memory(memory_fd, file, image, &snapshot->layout, stack_pointer, err);
	}
	munmap(file, size);
	return r;
}
