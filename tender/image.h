/* SPDX-License-Identifier: MIT
 *
 * Validates an image file: a static x86-64 ELF executable with a PPCE note (System V gABI, "Program Loading";
 * include/ppce/manifest.h). Pure: bytes in, a checked description out. Every byte of the file is untrusted.
 */
#ifndef TENDER_IMAGE_H
#define TENDER_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <ppce/manifest.h>
#include "lib/err.h"

#define IMAGE_SEGMENTS_MAX 16
#define IMAGE_BYTES_MAX (1u << 30)

struct image_segment {
	uint64_t address;			      /* guest address; first byte, not aligned */
	uint64_t memory_size, file_size, file_offset; /* file_size <= memory_size */
	int prot; /* PROT_READ | PROT_WRITE | PROT_EXEC, never the last two together */
};

struct image {
	struct ppce_manifest manifest; /* a copy with the defaults filled in; data_kib is 0 without queries */
	uint64_t entry;
	uint64_t syscall_entry, signal_entry;
	uint64_t program_headers; /* guest address of the program headers, 0 if no segment holds them */
	uint16_t program_header_count;
	unsigned nsegments;
	struct image_segment segments[IMAGE_SEGMENTS_MAX]; /* ascending, no two in one page */
	uint64_t end;					   /* guest address after the last segment, page-aligned */
};

/* `bytes` need not be aligned. ERR_INVALID says what is wrong with the file and how to build it right. */
int image_decode(const uint8_t *bytes, size_t len, struct image *out, struct err *err);

#endif
