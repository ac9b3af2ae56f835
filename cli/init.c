/* SPDX-License-Identifier: MIT
 *
 * `ppce init`: a new platform's directory. Everything is checked before the first file is written, and nothing that is
 * there is touched.
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
#include "lib/sock.h"
#include "policy/queries.h"

#define POLICY_BYTES_MAX (1u << 20)

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A new file, complete on disk or an error. */
static int write_file(const struct cli *c, const char *name, mode_t mode, const char *text, struct err *err)
{
	char path[4096];
	if (cli_path(c, name, path, sizeof path, err) < 0)
		return -1;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_errno(err, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, "cannot create %.300s", path);
	int rc = write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -1 : 0;
	if (rc < 0)
		err_errno(err, ERR_INTERNAL, "cannot write %.300s", path);
	close(fd);
	return rc;
}

static int make_dir(const struct cli *c, const char *name, mode_t mode, struct err *err)
{
	char path[4096];
	if (cli_path(c, name, path, sizeof path, err) < 0)
		return -1;
	if (mkdir(path, mode) < 0 && (errno != EEXIST || *name))
		return err_errno(err, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, "cannot create %.300s", path);
	return 0;
}

static int refuse_existing(const struct cli *c, struct err *err)
{
	static const char *const names[] = { "ppce.yaml", "policy.yaml",  "run",	  "state",    "images", "log",
					     "secrets",	  "queries.yaml", "certificates", "officers", NULL };
	char path[4096];
	struct stat st;
	for (const char *const *n = names; *n; n++) {
		if (cli_path(c, *n, path, sizeof path, err) < 0)
			return -1;
		if (lstat(path, &st) == 0)
			return err_set(err, ERR_CONFLICT, "%.300s is there already; a platform is never overwritten",
				       path);
		if (errno != ENOENT && errno != ENOTDIR)
			return err_errno(err, ERR_INTERNAL, "%.300s", path);
	}
	return 0;
}

/* The text of the policy to start with, checked; malloc'd. */
static char *policy_text(const char *file, struct err *err)
{
	char *text = file ? NULL : strdup(policy_example());
	if (file) {
		int fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err_errno(err, ERR_NOT_FOUND, "cannot open the policy %.300s", file);
			return NULL;
		}
		text = calloc(1, POLICY_BYTES_MAX + 2);
		size_t len = 0;
		ssize_t n = 1;
		while (text && n > 0 && len <= POLICY_BYTES_MAX) {
			n = read(fd, text + len, POLICY_BYTES_MAX + 1 - len);
			len += n > 0 ? (size_t)n : 0;
		}
		close(fd);
		if (!text || n < 0 || len > POLICY_BYTES_MAX || strlen(text) != len) {
			err_set(err, ERR_CONFIG, "%.300s: not a text file of at most 1 MiB", file);
			free(text);
			return NULL;
		}
	}
	struct policy *p = text ? policy_parse(file ? file : "policy.yaml", text, strlen(text), err) : NULL;
	if (!p) {
		free(text);
		return NULL;
	}
	policy_free(p);
	return text;
}

int cli_make_key(const struct cli *c, const char *name, struct err *err)
{
	char path[4096];
	if (cli_path(c, name, path, sizeof path, err) < 0)
		return -1;
	if (access(path, F_OK) == 0)
		return 0;
	unsigned char secret[32];
	char text[2 * sizeof secret + 2];
	random_bytes(secret, sizeof secret);
	sodium_bin2hex(text, sizeof text, secret, sizeof secret);
	strcat(text, "\n");
	int rc = write_file(c, name, 0600, text, err);
	sodium_memzero(secret, sizeof secret);
	sodium_memzero(text, sizeof text);
	return rc;
}

static int make_all(const struct cli *c, const char *policy, bool dev, struct err *err)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = { { "", 0755 },	    { "run", 0700 },	 { "state", 0700 },
		     { "images", 0700 },    { "log", 0700 },	 { "log/apps", 0700 },
		     { "log/audit", 0700 }, { "secrets", 0700 }, { "certificates", 0755 },
		     { "officers", 0755 } };
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		if (make_dir(c, dirs[i].name, dirs[i].mode, err) < 0)
			return -1;
	if (cli_make_key(c, "secrets/registration.key", err) < 0 || cli_make_key(c, "secrets/audit.key", err) < 0 ||
	    cli_make_key(c, "secrets/ticket.key", err) < 0 ||
	    write_file(c, "queries.yaml", 0644, queries_example(), err) < 0 ||
	    write_file(c, "policy.yaml", 0644, policy, err) < 0)
		return -1;
	return write_file(c, "ppce.yaml", 0644, config_example(dev), err); /* last: its presence says complete */
}

static int init(struct cli *c, struct err *err)
{
	bool dev = cli_value(c, "dev") != NULL;
	char *policy;

	if (c->args[0])
		c->dir = c->args[0];
	if (refuse_existing(c, err) < 0)
		return -1;
	policy = policy_text(cli_value(c, "policy"), err);
	if (!policy)
		return -1;
	int rc = make_all(c, policy, dev, err);
	free(policy);
	if (rc < 0)
		return -1;
	struct config config;
	if (config_load(c->dir, &config, err) < 0)
		return -1;
	json_t *done = json_pack("{s:s, s:b}", "dir", config.dir, "dev", dev);
	if (c->json)
		cli_print_json(done);
	else
		printf("%s\n", config.dir);
	json_decref(done);
	cli_note(c, "A new platform. Start it with: ppce up -C %s", c->dir);
	return 0;
}

const struct cli_verb cli_init_verbs[] = {
	{ .name = "init",
	  .args = "[DIR]",
	  .summary = "Make the directory of a new platform: commented ppce.yaml, policy.yaml and queries.yaml, "
		     "secrets, empty state",
	  .detail = "  ppce init /srv/ppce\n"
		    "  ppce init /tmp/try --dev\n"
		    "  ppce init /srv/ppce --policy hospital.yaml\n\n"
		    "Nothing that exists is overwritten.\n",
	  .options = { { "policy", "FILE", "policy to start with (checked first); default: a commented example",
			 false },
		       { "dev", NULL, "for trying out: plain HTTP on loopback, timing headers on", false } },
	  .run = init },
	{ 0 },
};
