/* SPDX-License-Identifier: MIT */
#include "tender/image.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include <ppce/abi.h>
#include "lib/names.h"

#define PROGRAM_HEADERS_MAX 64

static uint64_t page_down(uint64_t v)
{
	return v & ~(uint64_t)(PPCE_PAGE - 1);
}

static uint64_t page_up(uint64_t v)
{
	return page_down(v + PPCE_PAGE - 1);
}

/* Does [at, at + size) lie within [0, len)? No sum can wrap. */
static bool within(uint64_t at, uint64_t size, uint64_t len)
{
	return at <= len && size <= len - at;
}

static int check_header(const Elf64_Ehdr *h, size_t len, struct err *err)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return err_set(err, ERR_INVALID, "not an ELF file: build it with ppce-cc");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return err_set(err, ERR_INVALID, "not an x86-64 ELF file (machine %u)", h->e_machine);
	if (h->e_type == ET_DYN)
		return err_set(err, ERR_INVALID,
			       "the ELF file is dynamic or position-independent: link it with "
			       "-static -no-pie, as ppce-cc does");
	if (h->e_type != ET_EXEC)
		return err_set(err, ERR_INVALID, "not an executable ELF file (type %u)", h->e_type);
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > PROGRAM_HEADERS_MAX)
		return err_set(err, ERR_INVALID, "bad program header table: %u entries of %u bytes", h->e_phnum,
			       h->e_phentsize);
	if (!within(h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr), len))
		return err_set(err, ERR_INVALID, "the file is truncated: its program headers lie beyond its end");
	return 0;
}

static int add_segment(const Elf64_Phdr *p, size_t len, struct image *out, struct err *err)
{
	if (p->p_memsz == 0)
		return 0;
	if (out->nsegments == IMAGE_SEGMENTS_MAX)
		return err_set(err, ERR_INVALID, "more than %d loadable segments", IMAGE_SEGMENTS_MAX);
	if (p->p_filesz > p->p_memsz || !within(p->p_offset, p->p_filesz, len))
		return err_set(err, ERR_INVALID, "the file is truncated: the segment at %#lx lies beyond its end",
			       (unsigned long)p->p_vaddr);
	if (p->p_vaddr < PPCE_IMAGE_BASE || p->p_vaddr > UINT32_MAX || p->p_memsz > UINT32_MAX)
		return err_set(
			err, ERR_INVALID,
			"the segment at %#lx lies outside of guest memory, which starts at %#x: link with ppce-cc",
			(unsigned long)p->p_vaddr, PPCE_IMAGE_BASE);
	if ((p->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return err_set(err, ERR_INVALID, "the segment at %#lx is writable and executable at once",
			       (unsigned long)p->p_vaddr);
	struct image_segment s = {
		.address = p->p_vaddr,
		.memory_size = p->p_memsz,
		.file_size = p->p_filesz,
		.file_offset = p->p_offset,
		.prot = ((p->p_flags & PF_R) ? PROT_READ : 0) | ((p->p_flags & PF_W) ? PROT_WRITE : 0) |
			((p->p_flags & PF_X) ? PROT_EXEC : 0),
	};
	if (page_down(s.address) < out->end)
		return err_set(err, ERR_INVALID,
			       "the segment at %#lx overlaps the one before it or shares its page: link with "
			       "-z separate-code, as ppce-cc does",
			       (unsigned long)s.address);
	out->segments[out->nsegments++] = s;
	out->end = page_up(s.address + s.memory_size);
	return 0;
}

/* One PT_NOTE segment may hold several notes; ours is found by owner and type. */
static int find_manifest(const uint8_t *bytes, const Elf64_Phdr *p, size_t len, bool *found, struct image *out,
			 struct err *err)
{
	uint64_t align = p->p_align == 8 ? 8 : 4, at = 0;

	if (!within(p->p_offset, p->p_filesz, len))
		return err_set(err, ERR_INVALID, "the file is truncated: a note lies beyond its end");
	const uint8_t *notes = bytes + p->p_offset;
	while (within(at, sizeof(Elf64_Nhdr), p->p_filesz)) {
		Elf64_Nhdr n;
		memcpy(&n, notes + at, sizeof n);
		uint64_t name = at + sizeof n;
		uint64_t desc = (name + n.n_namesz + align - 1) & ~(align - 1);
		if (!within(name, n.n_namesz, p->p_filesz) || !within(desc, n.n_descsz, p->p_filesz))
			return err_set(err, ERR_INVALID, "a note is longer than its segment");
		if (n.n_type == PPCE_NOTE_TYPE && n.n_namesz == sizeof PPCE_NOTE_OWNER &&
		    memcmp(notes + name, PPCE_NOTE_OWNER, sizeof PPCE_NOTE_OWNER) == 0) {
			if (*found)
				return err_set(err, ERR_INVALID, "more than one PPCE_APP in the image");
			uint32_t abi = 0;
			if (n.n_descsz >= sizeof abi)
				memcpy(&abi, notes + desc, sizeof abi);
			if (abi != PPCE_ABI_VERSION || n.n_descsz != sizeof out->manifest)
				return err_set(
					err, ERR_INVALID,
					"the image was built for ABI version %u, this tender speaks %u: rebuild it "
					"with this version's ppce-cc",
					abi, PPCE_ABI_VERSION);
			memcpy(&out->manifest, notes + desc, sizeof out->manifest);
			*found = true;
		}
		at = (desc + n.n_descsz + align - 1) & ~(align - 1);
	}
	return 0;
}

static int take_range(uint32_t *value, uint32_t fallback, uint32_t min, uint32_t max, const char *name, struct err *err)
{
	if (*value == 0)
		*value = fallback;
	if (*value < min || *value > max)
		return err_set(err, ERR_INVALID, "the manifest's %s is %u; allowed are %u to %u", name, *value, min,
			       max);
	*value = (*value + 3) & ~3u; /* whole pages */
	return 0;
}

/* Without queries there is no data buffer, whatever its size was to be. */
static int check_queries(struct ppce_manifest *m, struct err *err)
{
	if (!memchr(m->queries, 0, sizeof m->queries) || !queries_valid(m->queries))
		return err_set(
			err, ERR_INVALID,
			"the manifest's queries are not names like `mine` or `team_load` (a letter, then up to 31 "
			"of a-z, 0-9, _ and -) joined by commas");
	if (m->queries[0])
		return take_range(&m->data_kib, 64, 4, 16384, "data_kib", err);
	m->data_kib = 0;
	return 0;
}

static bool executable(const struct image *i, uint64_t address)
{
	for (unsigned s = 0; s < i->nsegments; s++)
		if ((i->segments[s].prot & PROT_EXEC) && address >= i->segments[s].address &&
		    address - i->segments[s].address < i->segments[s].memory_size)
			return true;
	return false;
}

static int check_manifest(struct image *i, struct err *err)
{
	struct ppce_manifest *m = &i->manifest;
	uint32_t memory = m->memory_mib ? m->memory_mib : 4;

	if (m->size != sizeof *m || !memchr(m->name, 0, sizeof m->name) || m->name[0] == '\0')
		return err_set(err, ERR_INVALID, "the manifest has no name: PPCE_APP(.name = \"...\", ...)");
	if (memory < PPCE_MEMORY_MIB_MIN || memory > PPCE_MEMORY_MIB_MAX)
		return err_set(err, ERR_INVALID, "the manifest's memory_mib is %u; allowed are %d to %d", memory,
			       PPCE_MEMORY_MIB_MIN, PPCE_MEMORY_MIB_MAX);
	m->memory_mib = memory;
	if (take_range(&m->stack_kib, 256, 16, 8192, "stack_kib", err) < 0 ||
	    take_range(&m->request_kib, 64, 4, 16384, "request_kib", err) < 0 ||
	    take_range(&m->response_kib, 256, 4, 16384, "response_kib", err) < 0 || check_queries(m, err) < 0)
		return -1;
	uint64_t limit = PPCE_IMAGE_BASE + ((uint64_t)memory << 20);
	uint64_t need = i->end + ((uint64_t)m->stack_kib << 10) + 3 * PPCE_PAGE; /* two guards and some heap */
	if (need > limit)
		return err_set(err, ERR_INVALID,
			       "the image and its stack need %lu KiB, memory_mib = %u is too small: at least %lu",
			       (unsigned long)((need - PPCE_IMAGE_BASE) >> 10), memory,
			       (unsigned long)((need - PPCE_IMAGE_BASE + 0xfffff) >> 20));
	i->syscall_entry = (uint64_t)(uintptr_t)m->syscall_entry;
	i->signal_entry = (uint64_t)(uintptr_t)m->signal_entry;
	if (!executable(i, i->entry) || !executable(i, i->syscall_entry) || !executable(i, i->signal_entry) ||
	    (m->network && !executable(i, (uint64_t)(uintptr_t)m->network)))
		return err_set(err, ERR_INVALID, "an entry point of the image lies outside of its code");
	return 0;
}

int image_decode(const uint8_t *bytes, size_t len, struct image *out, struct err *err)
{
	Elf64_Ehdr header;
	bool found = false;

	memset(out, 0, sizeof *out);
	if (len < sizeof header || len > IMAGE_BYTES_MAX)
		return err_set(err, ERR_INVALID,
			       len < sizeof header ? "not an ELF file: only %zu bytes long"
						   : "the file is too large: %zu bytes",
			       len);
	memcpy(&header, bytes, sizeof header);
	if (check_header(&header, len, err) < 0)
		return -1;
	out->entry = header.e_entry;
	out->program_header_count = header.e_phnum;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr p;
		memcpy(&p, bytes + header.e_phoff + i * sizeof p, sizeof p);
		if (p.p_type == PT_INTERP || p.p_type == PT_DYNAMIC)
			return err_set(err, ERR_INVALID,
				       "the ELF file is dynamically linked: link it with -static, as "
				       "ppce-cc does");
		if (p.p_type == PT_GNU_STACK && (p.p_flags & PF_X))
			return err_set(err, ERR_INVALID,
				       "the image wants an executable stack: link with -z noexecstack");
		if (p.p_type == PT_LOAD && add_segment(&p, len, out, err) < 0)
			return -1;
		if (p.p_type == PT_NOTE && find_manifest(bytes, &p, len, &found, out, err) < 0)
			return -1;
		if (p.p_type == PT_LOAD && header.e_phoff >= p.p_offset && header.e_phoff - p.p_offset < p.p_filesz)
			out->program_headers = p.p_vaddr + (header.e_phoff - p.p_offset);
	}
	if (!found)
		return err_set(err, ERR_INVALID,
			       "the file is no PPCE image: PPCE_APP is missing, build it with ppce-cc");
	return check_manifest(out, err);
}
