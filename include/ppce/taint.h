/* SPDX-License-Identifier: MIT
 *
 * The current label of every instance that can read the store, in memory shared by three trusted daemons: vmmd makes the
 * table (a memfd) and gives each such instance a slot, the store raises labels, the proxy reads them before an answer
 * leaves. Tenders never see it. It lives as long as vmmd, and so do all instances: a store that is restarted forgets no
 * taint.
 *
 * One writer per slot at a time: vmmd before it hands the instance's socket to the store, the store after that. A slot is
 * a sequence lock: the writer makes .version odd, writes, makes it even again; the reader copies and tries again if the
 * version was odd or changed. What a slot says holds for instance .uuid only: a reader that finds another UUID must
 * treat the instance as tainted with everything.
 */
#ifndef PPCE_TAINT_H
#define PPCE_TAINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ppce/limits.h>

#define TAINT_SLOTS 8192u /* instances with a store at one time */
#define TAINT_NONE UINT32_MAX

struct taint_value {
	uint64_t seq; /* of the newest ticket that the store has accepted from the instance; 0: none yet */
	char uuid[PPCE_UUID_SIZE];
	char label[PPCE_LABEL_SIZE]; /* canonical text */
};

struct taint_slot {
	_Atomic uint32_t version;
	uint32_t pad;
	struct taint_value value;
};

struct taint_table {
	struct taint_slot slot[TAINT_SLOTS];
};

static inline void taint_write(struct taint_slot *s, const struct taint_value *v)
{
	uint32_t version = atomic_load_explicit(&s->version, memory_order_relaxed);
	atomic_store_explicit(&s->version, version | 1u, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	memcpy(&s->value, v, sizeof *v);
	atomic_store_explicit(&s->version, (version | 1u) + 1u, memory_order_release);
}

/* False if no consistent copy could be had in a bounded number of tries (the writer died in the middle): fail closed. */
static inline bool taint_read(const struct taint_slot *s, struct taint_value *out)
{
	for (int i = 0; i < 10000; i++) {
		uint32_t before = atomic_load_explicit(&s->version, memory_order_acquire);
		if (before & 1u)
			continue;
		memcpy(out, &s->value, sizeof *out);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&s->version, memory_order_relaxed) == before)
			return memchr(out->uuid, 0, sizeof out->uuid) && memchr(out->label, 0, sizeof out->label);
	}
	return false;
}

#endif
