/* SPDX-License-Identifier: MIT */
#include "vmmd/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "vmmd/vmmd.h"
#include "vmmd/boot.h"

#define SLACK_MS 3000		    /* the tender keeps the deadline itself; this is for one that does not */
#define LOG_LINES 100		    /* of a boot */
#define SNAPSHOT_EXTRA (64ll << 20) /* beyond the guest's memory: buffers, page tables, description */

struct boot {
	struct vmmd *v;
	struct tender *tender;
	int snapshot;
	bool booted;
	unsigned log_lines;
	struct boot_result result;
	boot_done *done;
	void *ctx;
	char name[PPCE_NAME_SIZE];
};

static void take_result(struct boot *b, struct tender *t, const struct control_message *m)
{
	if (b->booted || m->manifest_memory_mib < PPCE_MEMORY_MIB_MIN || m->manifest_memory_mib > PPCE_MEMORY_MIB_MAX ||
	    !m->manifest_request_kib || m->manifest_request_kib > PPCE_REQUEST_BYTES_MAX / 1024 ||
	    !m->manifest_response_kib || m->manifest_response_kib > PPCE_RESPONSE_BYTES_MAX / 1024 ||
	    m->manifest_network > 1 || !queries_valid(m->queries)) {
		tender_kill(t, "the tender sent a malformed description of the image");
		return;
	}
	b->booted = true;
	b->result.memory_mib = m->manifest_memory_mib;
	b->result.request_kib = m->manifest_request_kib;
	b->result.response_kib = m->manifest_response_kib;
	b->result.boot_us = m->boot_us;
	b->result.network = m->manifest_network;
	memcpy(b->result.name, m->name, sizeof b->result.name);
	memcpy(b->result.queries, m->queries, sizeof b->result.queries);
}

static void on_message(struct tender *t, const struct control_message *m)
{
	struct boot *b = t->ctx;
	if (m->type == CONTROL_BOOTED)
		take_result(b, t, m);
	else if (m->type == CONTROL_LOG && b->log_lines++ < LOG_LINES)
		log_info("image %s, booting: %s", b->name, m->reason);
	else if (m->type == CONTROL_BOUND)
		tender_kill(t, "the tender sent a message out of turn");
}

/* Nobody may hold the file writable any more, which F_SEAL_WRITE checks: the tender and what it started are dead. */
static int seal(struct boot *b, struct err *err)
{
	off_t size = lseek(b->snapshot, 0, SEEK_END);
	if (size <= 0 || size > ((long long)b->result.memory_mib << 20) + SNAPSHOT_EXTRA)
		return err_set(err, ERR_INVALID, "the boot left a snapshot of %lld bytes", (long long)size);
	if (fcntl(b->snapshot, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_errno(err, ERR_INTERNAL, "sealing the snapshot");
	return 0;
}

static int judge(struct boot *b, const struct tender *t, struct err *err)
{
	if (!b->booted || t->failed)
		return err_set(err, ERR_INVALID, "the image did not boot: %s",
			       t->failed ? t->reason : "the tender ended without a word");
	return seal(b, err);
}

static void on_ended(struct tender *t)
{
	struct boot *b = t->ctx;
	struct err err;
	int rc = judge(b, t, &err);

	if (rc == 0) {
		b->result.snapshot = b->snapshot;
		histogram_add(&b->v->metrics.boot, b->result.boot_us);
	} else {
		sock_close(&b->snapshot);
		b->v->metrics.boots_failed++;
	}
	b->done(b->ctx, rc == 0 ? &b->result : NULL, rc == 0 ? NULL : &err);
	free(b);
}

static const struct tender_owner boot_owner = { on_message, on_ended };

static int begin(struct boot *b, int image_fd, struct err *err)
{
	unsigned ms = b->v->config.vmmd.boot_ms;
	struct control_message m = { .type = CONTROL_BOOT, .deadline_ms = ms };

	b->snapshot = memfd_create("ppce-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->snapshot < 0)
		return err_errno(err, ERR_INTERNAL, "memfd");
	b->tender = tender_spawn(b->v, &boot_owner, b, err);
	if (!b->tender)
		return -1;
	const int fds[] = { image_fd, b->snapshot };
	tender_deadline(b->tender, ms + SLACK_MS, "the boot");
	if (tender_send(b->tender, &m, fds, 2, err) == 0) /* waits in the socket until the VM is there */
		return 0;
	tender_give(b->tender, &tender_nobody, NULL);
	return -1;
}

struct boot *boot_start(struct vmmd *v, const char *name, int image_fd, boot_done *done, void *ctx, struct err *err)
{
	struct boot *b = calloc(1, sizeof *b);
	if (!b) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	b->v = v;
	b->done = done;
	b->ctx = ctx;
	snprintf(b->name, sizeof b->name, "%s", name);
	if (begin(b, image_fd, err) == 0)
		return b;
	sock_close(&b->snapshot);
	free(b);
	return NULL;
}

void boot_cancel(struct boot *b)
{
	tender_give(b->tender, &tender_nobody, NULL);
	tender_kill(b->tender, "the boot is not wanted any more");
	sock_close(&b->snapshot);
	free(b);
}
