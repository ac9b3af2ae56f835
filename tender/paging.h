/* SPDX-License-Identifier: MIT
 *
 * The host's pages inside a VM: page tables, descriptor tables, exception handlers and the syscall stub (Intel SDM vol. 3,
 * chapters 4 to 6). Written once, at boot, into the memory file; no guest instruction can change them afterwards: the
 * tables are mapped nowhere, the rest is read-only even for ring 0 (CR0.WP), but for the ring-0 stack.
 */
#ifndef TENDER_PAGING_H
#define TENDER_PAGING_H

#include "tender/image.h"
#include "tender/layout.h"

/* Selectors; the order is what MSR_STAR wants. */
enum { SELECTOR_KERNEL_CODE = 0x08, SELECTOR_USER_DATA = 0x2b, SELECTOR_USER_CODE = 0x33, SELECTOR_TSS = 0x40 };

#define FAULT_PORT 0x20 /* exception vector v leaves the VM by `out` to port FAULT_PORT + v */
#define FAULT_VECTORS 32

/* Offsets within the SYSTEM_DESCRIPTORS page. */
enum { DESCRIPTOR_GDT = 0, DESCRIPTOR_GDT_LIMIT = 0x7f, DESCRIPTOR_TSS = 0x100, DESCRIPTOR_IDT = 0x400 };

/* Writes all of it. `memory` is the memory file mapped writable from offset 0, l->size bytes, zero where untouched. */
void paging_build(uint8_t *memory, const struct layout *l, const struct image *image);

#endif
