// SPDX-License-Identifier: MIT
//
// A checkpoint says: the tree has this many records and this root. What it speaks of is on the disk before it is.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/auditd.h"
#include "lib/log.h"

static int write_whole(int fd, const char *text, size_t len)
{
	ssize_t n = write(fd, text, len);
	if (n >= 0 && n != (ssize_t)len)
		errno = ENOSPC;
	return n == (ssize_t)len ? fsync(fd) : -1;
}

/* Puts a new small file into the place of the old one: afterwards there is the one or the other, whole. */
static int replace_file(const struct auditd *d, const char *name, const char *text, size_t len, struct err *err)
{
	char path[AUDIT_PATH_SIZE], fresh[AUDIT_PATH_SIZE + 8];
	if (audit_path(d->dir, name, path, err) < 0)
		return -1;
	snprintf(fresh, sizeof fresh, "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "%s", name);
	int rc = write_whole(fd, text, len);
	if (rc == 0)
		rc = rename(fresh, path);
	if (rc < 0) {
		err_errno(err, ERR_INTERNAL, "%s", name);
		unlink(fresh);
	}
	close(fd);
	return rc;
}

static int sign_and_write(struct auditd *d, struct err *err)
{
	struct note_checkpoint c = { .size = d->tree.size };
	uint8_t signature[NOTE_SIGNATURE_BYTES];
	char text[NOTE_SIZE];
	tree_root(&d->tree, &c.root);
	size_t len = note_body(&d->key, &c, text);
	if (signer_sign(&d->signer, text, len, signature, err) < 0) {
		auditd_fail(d, err);
		return -1;
	}
	len = note_seal(&d->key, &c, signature, text);
	return replace_file(d, "checkpoint", text, len, err);
}

int checkpoint_write(struct auditd *d, struct err *err)
{
	if (d->stop == STOP_HARD)
		return err_set(err, ERR_UNAVAILABLE, "%s", d->why);
	int rc = data_sync(&d->data, err);
	if (rc < 0) {
		auditd_stop(d, STOP_HARD, err);
		return -1;
	}
	d->checkpoint_due = true;
	if (tree_save(&d->tree, err) < 0 || sign_and_write(d, err) < 0) {
		auditd_stop(d, STOP_SOFT, err);
		return -1;
	}
	d->checkpoint_due = false;
	d->signed_size = d->tree.size;
	tree_drop_partials(&d->tree);
	return 0;
}

int checkpoint_publish_key(struct auditd *d, struct err *err)
{
	char text[NOTE_VKEY_SIZE + 1], there[NOTE_VKEY_SIZE + 1];
	struct err why;
	note_key_format(&d->key, text);
	strcat(text, "\n");
	if (audit_file_read(d->dir, "key.pub", there, sizeof there, &why) >= 0)
		return strcmp(there, text) == 0
			       ? 0
			       : err_set(err, ERR_CONFIG, "key.pub is not the public half of secrets/audit.key");
	return why.kind == ERR_NOT_FOUND ? replace_file(d, "key.pub", text, strlen(text), err)
					 : err_set(err, ERR_CONFIG, "%s", why.text);
}
