/* SPDX-License-Identifier: MIT */
#include "tender/layout.h"

enum { TABLE_SPAN = 2 << 20 }; /* bytes that one page of 512 page-table entries maps */

void layout_compute(struct layout *l, uint32_t memory_mib, uint32_t stack_kib, uint32_t request_kib,
		    uint32_t response_kib, uint32_t data_kib)
{
	l->memory = (uint64_t)memory_mib << 20;
	l->stack = ((uint64_t)stack_kib << 10) & ~(uint64_t)(PPCE_PAGE - 1);
	l->io = l->memory + PPCE_PAGE;
	l->request = l->io + PPCE_PAGE;
	l->request_size = (uint64_t)request_kib << 10;
	l->response = l->request + l->request_size;
	l->response_size = (uint64_t)response_kib << 10;
	l->data = l->response + l->response_size;
	l->data_size = (uint64_t)data_kib << 10;
	l->net = l->data + l->data_size;
	l->io_end = l->net + PPCE_NET_BYTES;
	l->system = l->io_end + PPCE_PAGE;
	l->tables = l->system + SYSTEM_PAGES * PPCE_PAGE;
	/* PML4, PDPT, the page directories (one per GiB) and page tables; the tables map themselves' range too (not
	 * their contents), so the count is taken generously: one more table than the span needs. */
	uint64_t tables = (PPCE_IMAGE_BASE + l->tables) / TABLE_SPAN + 3;
	uint64_t directories = tables / 512 + 1;
	l->size = l->tables + (2 + directories + tables) * PPCE_PAGE;
	l->doorbell = PPCE_IMAGE_BASE + l->size + PPCE_PAGE;
}
