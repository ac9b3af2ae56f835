/* SPDX-License-Identifier: MIT */
#include "tender/paging.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40 };
#define PTE_NX (1ULL << 63)
#define PTE_INTERMEDIATE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)

/* MSR_LSTAR: hands a `syscall` instruction to the library OS in ring 3 (guest/syscall_entry.S). It runs in ring 0 on
 * the guest's own stack, below the red zone; with CR0.WP a hostile stack pointer can hit only what ring 3 may write, or
 * the ring-0 stack, whose content means nothing. Only iretq works on every kind of KVM. */
extern const uint8_t syscall_stub[], syscall_stub_handler[], syscall_stub_end[];
asm(".pushsection .rodata\n"
    ".globl syscall_stub, syscall_stub_handler, syscall_stub_end\n"
    "syscall_stub:\n"
    "	lea -128(%rsp), %rsp\n"
    "	push $0x2b\n"
    "	push %rsp\n" /* the handler finds the program's stack pointer 136 bytes above its own */
    "	push %r11\n"
    "	push $0x33\n"
    "	push syscall_stub_handler(%rip)\n"
    "	iretq\n"
    "	.balign 8\n"
    "syscall_stub_handler: .quad 0\n"
    "syscall_stub_end:\n"
    ".popsection\n");

struct tables {
	uint8_t *memory;
	const struct layout *l;
	uint64_t next; /* offset of the next free table page */
};

/* The table that `entry` points at, made when it is not there. */
static uint64_t *descend(struct tables *t, uint64_t *entry)
{
	if (!*entry) {
		*entry = layout_address(t->next) | PTE_INTERMEDIATE;
		t->next += PPCE_PAGE;
	}
	uint64_t offset = (*entry & ~(PTE_NX | 0xfff)) - PPCE_IMAGE_BASE;
	return (uint64_t *)(void *)(t->memory + offset);
}

/* Accessed and dirty are set already: the processor never writes to the tables. */
static void map_pages(struct tables *t, uint64_t address, uint64_t size, uint64_t flags)
{
	for (uint64_t at = address & ~0xfffULL; at < address + size; at += PPCE_PAGE) {
		uint64_t *table = (uint64_t *)(void *)(t->memory + t->l->tables);
		for (unsigned shift = 39; shift > 12; shift -= 9)
			table = descend(t, &table[at >> shift & 511]);
		table[at >> 12 & 511] = at | flags | PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY;
	}
}

static void map_image(struct tables *t, const struct image *image)
{
	for (unsigned i = 0; i < image->nsegments; i++) {
		const struct image_segment *s = &image->segments[i];
		uint64_t flags = PTE_USER;
		if (s->prot & PROT_WRITE)
			flags |= PTE_WRITE;
		if (!(s->prot & PROT_EXEC))
			flags |= PTE_NX;
		map_pages(t, s->address, s->memory_size, flags);
	}
}

static void build_tables(uint8_t *memory, const struct layout *l, const struct image *image)
{
	struct tables t = { memory, l, l->tables + PPCE_PAGE };
	const uint64_t data = PTE_USER | PTE_WRITE | PTE_NX;
	uint64_t heap = image->end, stack = layout_address(l->memory - l->stack);

	map_image(&t, image);
	map_pages(&t, heap, stack - PPCE_PAGE - heap, data);
	map_pages(&t, stack, l->stack, data);
	map_pages(&t, layout_address(l->io), l->io_end - l->io, data);
	map_pages(&t, layout_address(l->system + SYSTEM_STUB * PPCE_PAGE), PPCE_PAGE, PTE_USER);
	map_pages(&t, layout_address(l->system + SYSTEM_DESCRIPTORS * PPCE_PAGE), PPCE_PAGE, PTE_NX);
	map_pages(&t, layout_address(l->system + SYSTEM_FAULTS * PPCE_PAGE), PPCE_PAGE, 0);
	map_pages(&t, layout_address(l->system + SYSTEM_STACK * PPCE_PAGE), PPCE_PAGE, PTE_WRITE | PTE_NX);
	map_pages(&t, l->doorbell, PPCE_PAGE, data);
}

static void build_descriptors(uint8_t *page, const struct layout *l)
{
	uint64_t base = layout_address(l->system + SYSTEM_DESCRIPTORS * PPCE_PAGE) + DESCRIPTOR_TSS;
	uint64_t stack_top = layout_address(l->system + (SYSTEM_STACK + 1) * PPCE_PAGE);
	uint64_t faults = layout_address(l->system + SYSTEM_FAULTS * PPCE_PAGE);
	uint64_t *gdt = (uint64_t *)(void *)(page + DESCRIPTOR_GDT), *idt = (uint64_t *)(void *)(page + DESCRIPTOR_IDT);
	uint8_t *tss = page + DESCRIPTOR_TSS;

	gdt[1] = 0x00af9b000000ffff; /* 0x08 ring-0 code, 0x10 ring-0 data */
	gdt[2] = 0x00cf93000000ffff;
	gdt[4] = 0x00cffb000000ffff; /* 0x23 ring-3 32-bit code, 0x2b data, 0x33 64-bit code */
	gdt[5] = 0x00cff3000000ffff;
	gdt[6] = 0x00affb000000ffff;
	gdt[8] = 0x67 | (base & 0xffffff) << 16 | 0x8bULL << 40 | (base >> 24 & 0xff) << 56;
	gdt[9] = base >> 32;
	memcpy(tss + 4, &stack_top, 8);	 /* RSP0 */
	memcpy(tss + 36, &stack_top, 8); /* IST1: a fault in the syscall stub finds a good stack as well */
	tss[0x66] = 0x68;		 /* no I/O bitmap: ports are not for ring 3 */
	for (uint64_t v = 0; v < FAULT_VECTORS; v++) {
		uint64_t h = faults + v * 16;
		idt[2 * v] = (h & 0xffff) | SELECTOR_KERNEL_CODE << 16 | 1ULL << 32 | 0x8eULL << 40 |
			     (h >> 16 & 0xffff) << 48;
		idt[2 * v + 1] = h >> 32;
	}
}

void paging_build(uint8_t *memory, const struct layout *l, const struct image *image)
{
	uint8_t *system = memory + l->system, *stub = system + SYSTEM_STUB * PPCE_PAGE;

	build_tables(memory, l, image);
	build_descriptors(system + SYSTEM_DESCRIPTORS * PPCE_PAGE, l);
	for (unsigned v = 0; v < FAULT_VECTORS; v++) {
		uint8_t *code = system + SYSTEM_FAULTS * PPCE_PAGE + v * 16;
		code[0] = 0xe7; /* out %eax, $imm8 */
		code[1] = (uint8_t)(FAULT_PORT + v);
		code[2] = 0xf4; /* hlt, should anyone come back */
	}
	memcpy(stub, syscall_stub, (size_t)(syscall_stub_end - syscall_stub));
	memcpy(stub + (syscall_stub_handler - syscall_stub), &image->syscall_entry, 8);
}
