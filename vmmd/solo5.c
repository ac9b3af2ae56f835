/* SPDX-License-Identifier: MIT */
#include "vmmd/solo5.h"

#include <elf.h>
#include <string.h>

#include <ppce/limits.h>
#include <ppce/manifest.h>

#define OWNER "Solo5"
#define NOTE_ABI 0x31494241u	  /* "ABI1" */
#define NOTE_MANIFEST 0x3154464du /* "MFT1" */
#define TARGET_HVT 1
#define BASE 0x100000u /* lowest address of a segment */
#define PROGRAM_HEADERS_MAX 64
#define ENTRIES_MAX 64
#define DEVICE_BLOCK 1u
#define DEVICE_NET 2u
#define RESERVED_FIRST (1u << 30)

/* The manifest as it stands in the note: aligned to 8 within it, so 4 bytes after the end of the note's header. */
#define MANIFEST_PAD 4u
struct manifest {
	uint32_t version, entries;
};
struct entry {
	char name[SOLO5_DEVICE_SIZE];
	uint32_t type;
	uint64_t properties[2], backing; /* filled in by the tender */
	uint8_t attached, pad[7];
};
_Static_assert(sizeof(struct entry) == 104, "as Solo5's compiler lays it out");

struct note {
	const uint8_t *at;
	uint64_t size;
};

/* Does [at, at + size) lie within [0, len)? No sum can wrap. */
static bool within(uint64_t at, uint64_t size, uint64_t len)
{
	return at <= len && size <= len - at;
}

static int read_header(const uint8_t *bytes, size_t len, Elf64_Ehdr *h, struct err *err)
{
	if (len < sizeof *h || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return err_set(err, ERR_INVALID, "not an ELF file: a Solo5 image of target hvt is expected");
	memcpy(h, bytes, sizeof *h);
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return err_set(err, ERR_INVALID, "not an x86-64 ELF file (machine %u)", h->e_machine);
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > PROGRAM_HEADERS_MAX)
		return err_set(err, ERR_INVALID, "bad program header table: %u entries of %u bytes", h->e_phnum,
			       h->e_phentsize);
	if (!within(h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr), len))
		return err_set(err, ERR_INVALID, "the file is truncated: its program headers lie beyond its end");
	return 0;
}

static Elf64_Phdr program_header(const uint8_t *bytes, const Elf64_Ehdr *h, unsigned i)
{
	Elf64_Phdr p;
	memcpy(&p, bytes + h->e_phoff + i * sizeof p, sizeof p);
	return p;
}

/* The first note of a segment, if it is Solo5's and of this type. -1: it is, but lies beyond its segment's end. */
static int first_note(const uint8_t *bytes, size_t len, const Elf64_Phdr *p, uint32_t type, struct note *out)
{
	Elf64_Nhdr n;
	const uint64_t desc = sizeof n + ((sizeof OWNER + 3) & ~3ull);

	if (p->p_type != PT_NOTE || p->p_filesz < desc || !within(p->p_offset, p->p_filesz, len))
		return 0;
	const uint8_t *at = bytes + p->p_offset;
	memcpy(&n, at, sizeof n);
	if (n.n_namesz != sizeof OWNER || n.n_type != type || memcmp(at + sizeof n, OWNER, sizeof OWNER) != 0)
		return 0;
	if (!within(desc, n.n_descsz, p->p_filesz))
		return -1;
	*out = (struct note){ .at = at + desc, .size = n.n_descsz };
	return 1;
}

/* 1: found, 0: there is none, -1: damaged. */
static int find_note(const uint8_t *bytes, size_t len, const Elf64_Ehdr *h, uint32_t type, struct note *out)
{
	int found = 0;
	for (unsigned i = 0; i < h->e_phnum && found == 0; i++) {
		Elf64_Phdr p = program_header(bytes, h, i);
		found = first_note(bytes, len, &p, type, out);
	}
	return found;
}

/* Its notes may share a segment with others, so the owner's name is looked for in all of it. */
static bool is_ppce(const uint8_t *bytes, size_t len, const Elf64_Ehdr *h)
{
	for (unsigned i = 0; i < h->e_phnum; i++) {
		Elf64_Phdr p = program_header(bytes, h, i);
		if (p.p_type == PT_NOTE && within(p.p_offset, p.p_filesz, len) &&
		    memmem(bytes + p.p_offset, p.p_filesz, PPCE_NOTE_OWNER, sizeof PPCE_NOTE_OWNER))
			return true;
	}
	return false;
}

static int check_target(const struct note *n, struct err *err)
{
	static const char *const names[] = { "?", "hvt", "spt", "virtio", "muen", "genode", "xen" };
	uint32_t target;

	if (n->size < sizeof target)
		return err_set(err, ERR_INVALID, "the Solo5 note ABI1 is too short");
	memcpy(&target, n->at, sizeof target);
	if (target == TARGET_HVT)
		return 0;
	if (target < sizeof names / sizeof *names && target)
		return err_set(err, ERR_INVALID,
			       "the Solo5 image is for target %s: build it for hvt (mirage configure -t hvt)",
			       names[target]);
	return err_set(err, ERR_INVALID, "the Solo5 image is for an unknown target (%u): build it for hvt", target);
}

bool solo5_device_valid(const char *name)
{
	size_t len = strlen(name);
	return len && len < SOLO5_DEVICE_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == len;
}

static int take_device(const struct entry *e, struct solo5_image *out, struct err *err)
{
	if (!memchr(e->name, 0, sizeof e->name) || !solo5_device_valid(e->name) || e->attached)
		return err_set(err, ERR_INVALID, "a device in the Solo5 manifest is damaged");
	if (e->type == DEVICE_BLOCK)
		return err_set(err, ERR_INVALID,
			       "the Solo5 image wants the block device %s: images run here without disks", e->name);
	if (e->type != DEVICE_NET)
		return err_set(err, ERR_INVALID, "the Solo5 image wants the device %s of an unknown type (%u)", e->name,
			       e->type);
	if (out->device[0])
		return err_set(err, ERR_INVALID,
			       "the Solo5 image wants the network devices %s and %s: an instance has one", out->device,
			       e->name);
	memcpy(out->device, e->name, sizeof out->device);
	return 0;
}

static int read_manifest(const struct note *n, struct solo5_image *out, struct err *err)
{
	struct manifest m;
	struct entry e;

	if (n->size < MANIFEST_PAD + sizeof m)
		return err_set(err, ERR_INVALID, "the Solo5 manifest is too short");
	memcpy(&m, n->at + MANIFEST_PAD, sizeof m);
	if (m.version != 1 || m.entries < 1 || m.entries > ENTRIES_MAX ||
	    n->size != MANIFEST_PAD + sizeof m + m.entries * sizeof e)
		return err_set(err, ERR_INVALID,
			       "the Solo5 manifest (version %u, %u entries, %lu bytes) is not one of version 1",
			       m.version, m.entries, (unsigned long)n->size);
	const uint8_t *at = n->at + MANIFEST_PAD + sizeof m;
	memcpy(&e, at, sizeof e);
	if (e.type != RESERVED_FIRST || e.name[0])
		return err_set(err, ERR_INVALID, "the Solo5 manifest does not begin with its reserved entry");
	for (uint32_t i = 1; i < m.entries; i++) {
		memcpy(&e, at + i * sizeof e, sizeof e);
		if (take_device(&e, out, err) < 0)
			return -1;
	}
	if (!out->device[0])
		return err_set(err, ERR_INVALID,
			       "the Solo5 image wants no network device, so no request could reach it");
	return 0;
}

static int check_segments(const uint8_t *bytes, size_t len, const Elf64_Ehdr *h, struct solo5_image *out,
			  struct err *err)
{
	const uint64_t limit = (uint64_t)PPCE_MEMORY_MIB_MAX << 20;
	uint64_t end = 0;

	for (unsigned i = 0; i < h->e_phnum; i++) {
		Elf64_Phdr p = program_header(bytes, h, i);
		if (p.p_type == PT_DYNAMIC)
			return err_set(err, ERR_INVALID, "the ELF file is dynamically linked, which no Solo5 image is");
		if (p.p_type != PT_LOAD || !p.p_memsz)
			continue;
		if (p.p_filesz > p.p_memsz || !within(p.p_offset, p.p_filesz, len))
			return err_set(err, ERR_INVALID,
				       "the file is truncated: the segment at %#lx lies beyond its end",
				       (unsigned long)p.p_vaddr);
		if (p.p_vaddr < BASE || !within(p.p_vaddr, p.p_memsz, limit))
			return err_set(err, ERR_INVALID,
				       "the segment at %#lx lies outside of a guest's memory, %#x to %d MiB",
				       (unsigned long)p.p_vaddr, BASE, PPCE_MEMORY_MIB_MAX);
		if (p.p_vaddr + p.p_memsz > end)
			end = p.p_vaddr + p.p_memsz;
	}
	if (h->e_type != ET_EXEC || h->e_entry < BASE || h->e_entry >= end)
		return err_set(err, ERR_INVALID, "the ELF file is no executable with an entry point in its segments");
	out->memory_mib = (uint32_t)((end + 0xfffff) >> 20);
	return 0;
}

int solo5_decode(const uint8_t *bytes, size_t len, struct solo5_image *out, struct err *err)
{
	Elf64_Ehdr h;
	struct note n;

	memset(out, 0, sizeof *out);
	if (read_header(bytes, len, &h, err) < 0)
		return -1;
	if (is_ppce(bytes, len, &h))
		return err_set(err, ERR_INVALID, "this is a PPCE image, no Solo5 image: leave out the kind (--kind)");
	int found = find_note(bytes, len, &h, NOTE_ABI, &n);
	if (found <= 0)
		return err_set(err, ERR_INVALID,
			       found < 0 ? "the Solo5 note ABI1 is longer than its segment"
					 : "the file is no Solo5 image: it has no note of Solo5 (ABI1)");
	if (check_target(&n, err) < 0)
		return -1;
	found = find_note(bytes, len, &h, NOTE_MANIFEST, &n);
	if (found <= 0)
		return err_set(err, ERR_INVALID,
			       found < 0 ? "the Solo5 manifest is longer than its segment"
					 : "the Solo5 image has no manifest (note MFT1)");
	if (read_manifest(&n, out, err) < 0)
		return -1;
	return check_segments(bytes, len, &h, out, err);
}

bool solo5_likely(const uint8_t *bytes, size_t len)
{
	Elf64_Ehdr h;
	struct note n;
	struct err err;
	return read_header(bytes, len, &h, &err) == 0 && find_note(bytes, len, &h, NOTE_ABI, &n) != 0;
}
