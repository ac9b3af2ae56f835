/* SPDX-License-Identifier: MIT
 *
 * Writes what Solo5's linker script for target hvt makes of a small program: one segment of code, one of data that holds
 * the notes, each note in a PT_NOTE segment of its own.
 */
#ifndef TESTS_SOLO5_FILE_H
#define TESTS_SOLO5_FILE_H

#include <elf.h>
#include <stdint.h>
#include <string.h>

enum { SOLO5_CODE, SOLO5_DATA, SOLO5_ABI, SOLO5_MFT, SOLO5_HEADERS };
enum { SOLO5_BLOCK = 1, SOLO5_NET = 2, SOLO5_RESERVED = 1 << 30 };

struct solo5_file {
	Elf64_Ehdr header;
	Elf64_Phdr p[SOLO5_HEADERS];
	struct {
		Elf64_Nhdr h;
		char owner[8];
		uint32_t target, version, reserved[2];
	} abi;
	uint32_t align; /* the manifest's note starts at a multiple of 8 */
	struct {
		Elf64_Nhdr h;
		char owner[8];
		uint32_t pad, version, entries;
		struct {
			char name[68];
			uint32_t type;
			uint64_t u[3], attached;
		} e[4] __attribute__((aligned(4)));
	} __attribute__((packed)) mft;
	uint8_t code[16];
};

/* With the reserved entry and one network device, "service". */
static inline void solo5_file_make(struct solo5_file *f)
{
	const uint64_t at = offsetof(struct solo5_file, abi), end = sizeof *f;
	memset(f, 0, sizeof *f);
	memcpy(f->header.e_ident, "\177ELF\2\1\1", 7);
	f->header.e_type = ET_EXEC;
	f->header.e_machine = EM_X86_64;
	f->header.e_version = EV_CURRENT;
	f->header.e_entry = 0x100000;
	f->header.e_phoff = offsetof(struct solo5_file, p);
	f->header.e_ehsize = sizeof f->header;
	f->header.e_phentsize = sizeof f->p[0];
	f->header.e_phnum = SOLO5_HEADERS;
	f->p[SOLO5_CODE] = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_offset = offsetof(struct solo5_file, code),
					 .p_vaddr = 0x100000,
					 .p_filesz = 16,
					 .p_memsz = 16 };
	f->p[SOLO5_DATA] = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_offset = at, .p_vaddr = 0x101000, .p_filesz = end - at, .p_memsz = 0x200000
	};
	f->abi.h = (Elf64_Nhdr){ 6, 16, 0x31494241 };
	f->mft.h = (Elf64_Nhdr){ 6, 12 + 2 * sizeof f->mft.e[0], 0x3154464d };
	memcpy(f->abi.owner, "Solo5", 6);
	memcpy(f->mft.owner, "Solo5", 6);
	f->abi.target = 1;
	f->abi.version = 2;
	f->mft.version = 1;
	f->mft.entries = 2;
	f->mft.e[0].type = SOLO5_RESERVED;
	memcpy(f->mft.e[1].name, "service", 8);
	f->mft.e[1].type = SOLO5_NET;
	f->p[SOLO5_ABI] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = at, .p_filesz = sizeof f->abi };
	f->p[SOLO5_MFT] = (Elf64_Phdr){ .p_type = PT_NOTE,
					.p_offset = offsetof(struct solo5_file, mft),
					.p_filesz = sizeof f->mft };
}

/* One more device. */
static inline void solo5_file_add(struct solo5_file *f, const char *name, uint32_t type)
{
	uint32_t i = f->mft.entries++;
	memcpy(f->mft.e[i].name, name, strlen(name));
	f->mft.e[i].type = type;
	f->mft.h.n_descsz += (uint32_t)sizeof f->mft.e[0];
}

#endif
