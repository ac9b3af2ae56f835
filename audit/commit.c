// SPDX-License-Identifier: MIT
//
// Group commit. Records gather while the loop reads its sockets; then one write takes them all, and only then they are
// acknowledged, in the order in which they came.
#include <string.h>

#include "audit/auditd.h"
#include "lib/log.h"

bool commit_add(struct auditd *d, struct client *c, uint64_t id, const char *json, size_t len)
{
	char now[AUDIT_TIME_SIZE];
	struct err why;
	size_t start = d->lines.len;
	if (d->waiting == BATCH_RECORDS || start + AUDIT_LINE_MAX + 1 > BATCH_BYTES)
		return false;
	uint64_t seq = d->tree.size;
	for (unsigned i = d->waiting; i-- > 0;) /* behind the last good record of this batch */
		if (d->batch[i].status == AUDIT_WRITTEN) {
			seq = d->batch[i].seq + 1;
			break;
		}
	struct batch_entry *e = &d->batch[d->waiting++];
	*e = (struct batch_entry){ .client = c, .id = id, .seq = seq, .status = AUDIT_WRITTEN };
	audit_time(now);
	if (d->stop == STOP_HARD) {
		e->status = AUDIT_STOPPED;
	} else if (audit_record_make(json, len, seq, now, &d->lines, &why) < 0) {
		log_warn("a record is malformed: %s", why.text);
		d->malformed++;
		e->status = AUDIT_MALFORMED;
	} else {
		merkle_leaf(d->lines.data + start, d->lines.len - start, &e->leaf);
		buf_append(&d->lines, "\n", 1);
	}
	return true;
}

/* 0 when everything is in place for the records to be written. */
static int prepare(struct auditd *d, struct err *err)
{
	if (d->lines.failed)
		return err_set(err, ERR_INTERNAL, "out of memory");
	/* While checkpoints fail, records would pile up that nothing vouches for. */
	if (d->checkpoint_due && checkpoint_write(d, err) < 0)
		return -1;
	return tree_room(&d->tree, d->waiting) ? 0 : tree_save_full(&d->tree, err);
}

static void write_batch(struct auditd *d)
{
	struct err err;
	int rc = prepare(d, &err);
	if (rc == 0)
		rc = data_append(&d->data, d->tree.size, d->lines.data, d->lines.len, &err);
	if (rc == 0)
		auditd_go_on(d);
	else
		auditd_stop(d, rc == -2 ? STOP_HARD : STOP_SOFT, &err);
	for (unsigned i = 0; i < d->waiting; i++) {
		struct batch_entry *e = &d->batch[i];
		if (e->status != AUDIT_WRITTEN)
			continue;
		if (rc == 0)
			tree_append(&d->tree, &e->leaf);
		else
			e->status = AUDIT_STOPPED;
	}
	d->batches += rc == 0;
}

void commit_run(struct auditd *d)
{
	if (!d->waiting)
		return;
	if (d->lines.len || d->lines.failed)
		write_batch(d);
	for (unsigned i = 0; i < d->waiting; i++) {
		const struct batch_entry *e = &d->batch[i];
		d->refused += e->status == AUDIT_STOPPED;
		client_answer(e->client, e->id, e->status, e->seq);
	}
	d->waiting = 0;
	d->lines.len = 0;
	d->lines.failed = false;
}
