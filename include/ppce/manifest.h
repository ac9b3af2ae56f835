/* SPDX-License-Identifier: MIT
 *
 * The note that makes an ELF file a PPCE image. It is read by the tender from untrusted bytes (tender/elf.h validates
 * it) and written by the PPCE_APP macro of ppce/ppce.h; `readelf -n` shows it.
 *
 * An image is a static, non-PIE x86-64 ELF executable with exactly one note of owner "PPCE-image", type
 * PPCE_NOTE_TYPE, whose descriptor is struct ppce_manifest.
 */
#ifndef PPCE_MANIFEST_H
#define PPCE_MANIFEST_H

#include <stdint.h>

#include <ppce/limits.h>

#define PPCE_ABI_VERSION 3u
#define PPCE_NOTE_TYPE 0x50504345u /* "PPCE" */
#define PPCE_NOTE_OWNER "PPCE-image"

struct ppce_request;
struct ppce_response;

/* 0 in a size field means the default named beside it. Function addresses are used by guest code only; the host
 * trusts none of them but syscall_entry and signal_entry, which it merely checks to lie in an executable segment. */
struct ppce_manifest {
	uint32_t abi;		   /* PPCE_ABI_VERSION; set by PPCE_APP */
	uint32_t size;		   /* sizeof(struct ppce_manifest); set by PPCE_APP */
	char name[PPCE_NAME_SIZE]; /* of the app, NUL-terminated */
	uint8_t pad[3];
	uint32_t memory_mib;   /* guest memory in MiB: segments, heap and stack; 0 = 4; PPCE_MEMORY_MIB_MIN..MAX */
	uint32_t stack_kib;    /* stack in KiB; 0 = 256; 16..8192 */
	uint32_t request_kib;  /* largest encoded request in KiB; 0 = 64; 4..16384 */
	uint32_t response_kib; /* largest encoded response in KiB; 0 = 256; 4..16384 */
	uint32_t data_kib; /* data buffer for calls to the store, in KiB; 0 = 64; 4..16384; ignored without queries */
	char queries
		[PPCE_QUERIES_SIZE]; /* named queries and certificates that the app uses, joined by commas; "" = none */
	void (*syscall_entry)(void); /* where `syscall` instructions of the image arrive in a VM; set by PPCE_APP */
	void (*signal_entry)(void);  /* where SIGSYS arrives in the process backend; set by PPCE_APP */
	int (*init)(void);	     /* runs once, before the snapshot; non-zero fails the boot. May be NULL */
	int (*handle)(const struct ppce_request *req, struct ppce_response *res);
	const char *warm_path; /* path of the synthetic warm-up request ("GET warm_path"); NULL = "/" */
	void (*network)(void); /* not NULL: the library was built with a TCP/IP stack; set by PPCE_APP, never called */
};

/* The note as it stands in section .note.ppce. The owner's length makes the descriptor 8-aligned by the 4-byte and by
 * the 8-byte padding rule of ELF notes alike. */
struct ppce_note {
	uint32_t owner_size; /* sizeof PPCE_NOTE_OWNER: 11 */
	uint32_t desc_size;  /* sizeof(struct ppce_manifest) */
	uint32_t type;	     /* PPCE_NOTE_TYPE */
	char owner[12];
	struct ppce_manifest manifest;
};

#endif
