/* SPDX-License-Identifier: MIT
 *
 * Certificates of declassification, for officers: a key, a signature, and what is in force. The secret key never needs to
 * be on the platform's machine: DIR holds public keys and signed certificates only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "cli/cli.h"
#include "lib/names.h"
#include "lib/rest.h"
#include "policy/certificate.h"
#include "policy/policy.h"

#define KEY_TEXT_SIZE 128 /* base64 of 64 bytes, a line end */

static int write_new(const char *path, int flags, mode_t mode, const char *text, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, mode);
	if (fd < 0)
		return err_errno(err, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, "cannot create %.300s", path);
	ssize_t len = (ssize_t)strlen(text);
	int rc = write(fd, text, (size_t)len) != len || fsync(fd) < 0
			 ? err_errno(err, ERR_INTERNAL, "cannot write %.300s", path)
			 : 0;
	close(fd);
	return rc;
}

/* Whole or not at all: a store that reloads meanwhile must not see half of it. */
static int replace_file(const char *path, const char *text, struct err *err)
{
	char temporary[4200];
	snprintf(temporary, sizeof temporary, "%s.tmp", path);
	if (write_new(temporary, O_TRUNC, 0644, text, err) < 0)
		return -1;
	return rename(temporary, path) < 0 ? err_errno(err, ERR_INTERNAL, "cannot write %.300s", path) : 0;
}

static int make_parent(const struct cli *c, const char *name, struct err *err)
{
	char path[4096];
	if (cli_path(c, name, path, sizeof path, err) < 0)
		return -1;
	return mkdir(path, 0755) < 0 && errno != EEXIST ? err_errno(err, ERR_INTERNAL, "cannot create %.300s", path)
							: 0;
}

static int keygen(struct cli *c, struct err *err)
{
	unsigned char public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	char text[KEY_TEXT_SIZE], tail[128], path[4096], own[128];
	const char *name = c->args[0], *key = cli_value(c, "key");
	if (!user_valid(name))
		return err_set(err, ERR_INVALID, "`%.64s` is not a user's name", name);
	snprintf(tail, sizeof tail, "officers/%s.pub", name);
	snprintf(own, sizeof own, "%s.key", name);
	if (make_parent(c, "officers", err) < 0 || cli_path(c, tail, path, sizeof path, err) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return err_set(err, ERR_CONFLICT, "%.300s is there already; remove it to revoke all its certificates",
			       path);
	crypto_sign_keypair(public, secret);
	sodium_bin2base64(text, sizeof text - 1, secret, sizeof secret, sodium_base64_VARIANT_ORIGINAL);
	strcat(text, "\n");
	int rc = write_new(key ? key : own, O_EXCL, 0600, text, err);
	sodium_memzero(secret, sizeof secret);
	sodium_memzero(text, sizeof text);
	sodium_bin2base64(text, sizeof text - 1, public, sizeof public, sodium_base64_VARIANT_ORIGINAL);
	strcat(text, "\n");
	if (rc < 0 || write_new(path, O_EXCL, 0644, text, err) < 0)
		return -1;
	json_t *done = json_pack("{s:s, s:s, s:s}", "officer", name, "key", key ? key : own, "public", path);
	cli_print_object(c, done);
	json_decref(done);
	cli_note(c, "Whoever has %s can sign certificates in the name of %s: keep it off this machine.",
		 key ? key : own, name);
	return 0;
}

/* Bytes of a file as a text, malloc'd. */
static char *read_text(const char *path, size_t max, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : calloc(1, max + 2);
	size_t len = 0;
	ssize_t n = text ? 1 : -1;
	if (fd < 0)
		err_errno(err, ERR_NOT_FOUND, "cannot open %.300s", path);
	while (text && n > 0 && len <= max) {
		n = read(fd, text + len, max + 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (text && n >= 0 && len <= max)
		return text;
	if (text)
		err_set(err, ERR_INVALID, "%.300s cannot be read or is longer than %zu bytes", path, max);
	free(text);
	return NULL;
}

static int read_secret(const char *path, unsigned char secret[crypto_sign_SECRETKEYBYTES], struct err *err)
{
	size_t len = 0;
	char *text = read_text(path, KEY_TEXT_SIZE, err);
	if (!text)
		return -1;
	text[strcspn(text, "\r\n")] = '\0';
	int rc = sodium_base642bin(secret, crypto_sign_SECRETKEYBYTES, text, strlen(text), NULL, &len, NULL,
				   sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(text, strlen(text));
	free(text);
	if (rc < 0 || len != crypto_sign_SECRETKEYBYTES)
		return err_set(err, ERR_INVALID, "%.300s is not a key that `ppce certificate keygen` made", path);
	return 0;
}

/* The officer: by --officer, else by the key file's name without ".key". */
static int officer_name(const struct cli *c, const char *key, char out[PPCE_USER_SIZE], struct err *err)
{
	const char *name = cli_value(c, "officer"), *slash = strrchr(key, '/');
	if (!name)
		name = slash ? slash + 1 : key;
	size_t len = strlen(name);
	if (!cli_value(c, "officer") && len > 4 && !strcmp(name + len - 4, ".key"))
		len -= 4;
	if (len >= PPCE_USER_SIZE)
		len = 0;
	memcpy(out, name, len);
	out[len] = '\0';
	return user_valid(out) ? 0 : err_set(err, ERR_INVALID, "whose key is %.200s? Say --officer NAME", key);
}

/* The signed certificate. Takes `inner` over. */
static json_t *sign_text(json_t *inner, const char *officer, const unsigned char *secret)
{
	unsigned char signature[crypto_sign_BYTES];
	char text[KEY_TEXT_SIZE];
	char *canonical = json_dumps(inner, JSON_COMPACT | JSON_SORT_KEYS);
	if (!canonical) {
		json_decref(inner);
		return NULL;
	}
	crypto_sign_detached(signature, NULL, (const unsigned char *)canonical, strlen(canonical), secret);
	free(canonical);
	sodium_bin2base64(text, sizeof text, signature, sizeof signature, sodium_base64_VARIANT_ORIGINAL);
	return json_pack("{s:o, s:s, s:s}", "certificate", inner, "officer", officer, "signature", text);
}

/* What was signed must be what the store will accept: checked with the same code before it is written. */
static int install(struct cli *c, const struct policy *p, const char *text, const unsigned char *secret,
		   struct certificate *k, struct err *err)
{
	char path[4096], tail[128];
	if (certificate_decode(p, text, strlen(text), secret + 32, k, err) < 0) /* the public half stands behind */
		return -1;
	snprintf(tail, sizeof tail, "certificates/%s.json", k->name);
	if (make_parent(c, "certificates", err) < 0 || cli_path(c, tail, path, sizeof path, err) < 0)
		return -1;
	return replace_file(path, text, err);
}

static void tell_store(struct cli *c)
{
	struct err err;
	if (cli_rest(c, "store", "POST", "/v1/reload", NULL, NULL, &err) < 0)
		cli_note(c, "The store does not run; it reads the certificate when it starts.");
}

static json_t *read_certificate(const char *path, struct err *err)
{
	char *text = read_text(path, CERTIFICATE_BYTES_MAX, err);
	json_t *all = text ? json_decode(text, strlen(text), err) : NULL;
	json_t *inner = json_object_get(all, "certificate");
	free(text);
	if (all && !inner && json_is_object(all))
		return all; /* the contents alone */
	json_incref(inner);
	json_decref(all);
	if (all && !json_is_object(inner)) {
		json_decref(inner);
		inner = NULL;
		err_set(err, ERR_INVALID, "%.300s: expected a JSON object", path);
	}
	return inner;
}

static int sign_and_install(struct cli *c, const struct policy *p, const char *officer, const unsigned char *secret,
			    struct err *err)
{
	struct certificate k = { 0 };
	json_t *inner = read_certificate(c->args[0], err);
	json_t *all = inner ? sign_text(inner, officer, secret) : NULL;
	char *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
	json_decref(all);
	if (inner && !text)
		err_set(err, ERR_INTERNAL, "out of memory");
	int rc = text ? install(c, p, text, secret, &k, err) : -1;
	free(text);
	if (rc < 0)
		return -1;
	json_t *done = json_pack("{s:s, s:s, s:s}", "name", k.name, "id", k.id, "officer", officer);
	certificate_free(&k);
	cli_print_object(c, done);
	json_decref(done);
	tell_store(c);
	return 0;
}

static int sign(struct cli *c, struct err *err)
{
	unsigned char secret[crypto_sign_SECRETKEYBYTES];
	char officer[PPCE_USER_SIZE], path[4096];
	const char *key = cli_value(c, "key");
	if (officer_name(c, key, officer, err) < 0 || cli_path(c, "policy.yaml", path, sizeof path, err) < 0)
		return -1;
	struct policy *p = policy_load(path, err);
	int rc = p ? read_secret(key, secret, err) : -1;
	if (rc == 0)
		rc = sign_and_install(c, p, officer, secret, err);
	sodium_memzero(secret, sizeof secret);
	policy_free(p);
	return rc;
}

static int list(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = {
		{ "name", "NAME", 0 },	   { "query", "QUERY", 0 },	{ "from", "FROM", 0 },
		{ "to", "TO", 0 },	   { "officer", "OFFICER", 0 }, { "spent", "SPENT", 0 },
		{ "budget", "BUDGET", 0 }, { "id", "ID", 12 },		{ NULL, NULL, 0 }
	};
	json_t *answer;
	if (cli_rest(c, "store", "GET", "/v1/certificates", NULL, &answer, err) < 0)
		return -1;
	cli_print_rows(c, cli_list(answer), columns);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_certificate_verbs[] = {
	{ .name = "certificate keygen",
	  .args = "NAME",
	  .summary = "Make an officer's key pair; the public half goes to DIR/officers",
	  .detail = "  ppce certificate keygen olga\n"
		    "  ppce certificate keygen olga --key /media/stick/olga.key\n",
	  .options = { { "key", "FILE", "where to write the secret key; default NAME.key here", false } },
	  .run = keygen },
	{ .name = "certificate sign",
	  .args = "FILE",
	  .summary = "Sign a certificate of declassification and put it in force",
	  .detail = "  ppce certificate sign team-load.json --key olga.key\n\n"
		    "FILE holds the JSON object that docs/store.md describes. Owners authorise it by the id that is\n"
		    "printed, with `ppce grant`.\n",
	  .options = { { "key", "FILE", "the officer's secret key", true },
		       { "officer", "NAME", "whose key it is; default: the key file's name", false } },
	  .run = sign },
	{ .name = "certificate ls", .args = "", .summary = "Certificates that are in force", .run = list },
	{ 0 },
};
