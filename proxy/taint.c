/* SPDX-License-Identifier: MIT */
#include "proxy/taint.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int taint_adopt(struct taint *t, int fd, struct err *err)
{
	struct stat st;
	void *at = MAP_FAILED;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof *t->table)
		at = mmap(NULL, sizeof *t->table, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return err_set(err, ERR_INTERNAL, "the table of labels cannot be mapped");
	taint_free(t);
	t->table = at;
	return 0;
}

void taint_free(struct taint *t)
{
	if (t->table)
		munmap((void *)(uintptr_t)t->table, sizeof *t->table);
	t->table = NULL;
}

int taint_label(const struct taint *t, const struct policy *p, const struct taint_question *q, struct label *out,
		struct err *err)
{
	struct taint_value value;
	if (!t->table || q->slot >= TAINT_SLOTS || !taint_read(&t->table->slot[q->slot], &value))
		return err_set(err, ERR_INTERNAL, "the label of instance %s cannot be read", q->uuid);
	if (strcmp(value.uuid, q->uuid) != 0)
		return err_set(err, ERR_INTERNAL, "the label in the place of instance %s is another one's", q->uuid);
	/* What the store wrote for an earlier request was undone by the reset. */
	if (q->pristine && value.seq < q->seq) {
		*out = *q->start;
		return 0;
	}
	if (value.seq > q->seq)
		return err_set(err, ERR_INTERNAL, "instance %s has used a ticket that was not made here", q->uuid);
	return label_parse(p, value.label, out, err);
}
