/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/audit.h"
#include "lib/rest.h"

#define PROOF_BYTES_MAX (1u << 20)
#define TRIES 5 /* while the daemon writes a checkpoint, files of two sizes may be met */

static int read_file(const char *path, char *out, size_t size, size_t *len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	*len = 0;
	if (fd < 0)
		return err_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "%.300s", path);
	while (n > 0 && *len < size) {
		n = read(fd, out + *len, size - *len);
		*len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		err_errno(err, ERR_INTERNAL, "%.300s", path);
	close(fd);
	if (n < 0)
		return -1;
	return *len < size ? 0 : err_set(err, ERR_INVALID, "%.300s: too long", path);
}

int audit_key_option(const char *text, struct note_key *out, struct err *err)
{
	char file[NOTE_VKEY_SIZE + 2];
	struct err why;
	size_t len;
	if (note_key_parse(text, strlen(text), out, err) == 0)
		return 0;
	if (read_file(text, file, sizeof file, &len, &why) < 0)
		return err_set(err, ERR_INVALID, "--key: `%.100s` is neither a vkey line nor a file with one", text);
	return note_key_parse(file, len, out, err) < 0 ? err_prefix(err, "--key %.100s", text) : 0;
}

int audit_prove(struct cli *c, struct err *err)
{
	char dir[4096], *end;
	json_t *proof = NULL;
	const char *text = c->args[0];
	if (strlen(text) > 18 || strspn(text, "0123456789") != strlen(text))
		return err_set(err, ERR_INVALID, "SEQ is the number of a record, not `%.40s`", text);
	uint64_t seq = strtoull(text, &end, 10);
	if (audit_dir(c, dir, sizeof dir, err) < 0)
		return -1;
	for (int i = 0; i < TRIES && !proof; i++)
		if (audit_proof_make(dir, seq, &proof, err) < 0 && i + 1 == TRIES)
			return -1;
	cli_print_json(proof);
	json_decref(proof);
	return 0;
}

static json_t *load_proof(const char *path, struct err *err)
{
	static char text[PROOF_BYTES_MAX];
	size_t len;
	if (read_file(path, text, sizeof text, &len, err) < 0)
		return NULL;
	json_t *proof = json_decode(text, len, err);
	if (!proof)
		err_prefix(err, "%.300s", path);
	return proof;
}

int audit_check_proof(struct cli *c, struct err *err)
{
	struct note_key key;
	json_t *record = NULL;
	if (audit_key_option(cli_value(c, "key"), &key, err) < 0)
		return -1;
	json_t *proof = load_proof(c->args[0], err);
	if (!proof)
		return -1;
	int rc = audit_proof_check(proof, &key, &record, err);
	if (rc == 0 && c->json)
		cli_print_json(record);
	else if (rc == 0)
		cli_print_object(c, record);
	if (rc == 0)
		cli_note(c, "The record is in the log of %s, which had %lld records then.", key.name,
			 (long long)json_integer_value(json_object_get(proof, "size")));
	else
		err->kind = ERR_INTERNAL; /* a proof that does not hold is a failure, not a wrong use */
	json_decref(record);
	json_decref(proof);
	return rc;
}
