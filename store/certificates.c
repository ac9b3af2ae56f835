// SPDX-License-Identifier: MIT
#include "store/certificates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/log.h"
#include "lib/names.h"

#define CERTIFICATES_MAX 1024

struct certificates {
	struct certificate *all;
	size_t n, bad;
	unsigned holders;
};

static ssize_t read_file(const char *path, char *out, size_t size, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%.300s", path);
	size_t len = 0;
	ssize_t n = 1;
	while (n > 0 && len < size) {
		n = read(fd, out + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (n < 0)
		return err_errno(err, ERR_CONFIG, "%.300s", path);
	if (len == size)
		return err_set(err, ERR_CONFIG, "%.300s: too large", path);
	return (ssize_t)len;
}

static int load_key(const char *dir, const char *officer, uint8_t key[CERTIFICATE_KEY_BYTES], struct err *err)
{
	char path[512], text[128];
	size_t len = 0;
	snprintf(path, sizeof path, "%s/officers/%s.pub", dir, officer); /* an officer's name has no slash */
	ssize_t n = read_file(path, text, sizeof text, err);
	if (n < 0)
		return -1;
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (sodium_base642bin(key, CERTIFICATE_KEY_BYTES, text, strlen(text), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) < 0 ||
	    len != CERTIFICATE_KEY_BYTES)
		return err_set(err, ERR_CONFIG, "%.300s: expected 32 bytes in base64", path);
	return 0;
}

static int load_one(struct certificates *c, const struct policy *p, const char *dir, const char *name, char *bytes,
		    struct err *err)
{
	char path[512], officer[PPCE_USER_SIZE];
	uint8_t key[CERTIFICATE_KEY_BYTES];
	snprintf(path, sizeof path, "%s/certificates/%s", dir, name);
	ssize_t len = read_file(path, bytes, CERTIFICATE_BYTES_MAX + 1, err);
	if (len < 0 || certificate_officer(bytes, (size_t)len, officer, err) < 0)
		return -1;
	if (!user_valid(officer))
		return err_set(err, ERR_CONFIG, "the officer's name is none");
	if (load_key(dir, officer, key, err) < 0)
		return -1;
	struct certificate *out = &c->all[c->n];
	if (certificate_decode(p, bytes, (size_t)len, key, out, err) < 0)
		return -1;
	size_t stem = strlen(name) - 5; /* ".json" */
	if (strlen(out->name) == stem && !memcmp(out->name, name, stem)) {
		c->n++;
		return 0;
	}
	certificate_free(out);
	return err_set(err, ERR_CONFIG, "the certificate's name is not the file's");
}

static bool is_certificate(const char *name)
{
	size_t len = strlen(name);
	return len > 5 && *name != '.' && !strcmp(name + len - 5, ".json");
}

static void load_all(struct certificates *c, const struct policy *p, const char *dir, DIR *d, char *bytes)
{
	struct dirent *e;
	while ((e = readdir(d))) {
		struct err err = { 0 };
		if (!is_certificate(e->d_name))
			continue;
		int rc = c->n < CERTIFICATES_MAX ? load_one(c, p, dir, e->d_name, bytes, &err)
						 : err_set(&err, ERR_FULL, "there are too many");
		if (rc < 0) {
			c->bad++;
			log_warn("certificate %s is left out: %s", e->d_name, err.text);
		}
	}
}

struct certificates *certificates_load(const struct policy *p, const char *dir, struct err *err)
{
	char path[512];
	struct certificates *c = calloc(1, sizeof *c);
	char *bytes = malloc(CERTIFICATE_BYTES_MAX + 1);
	if (c) {
		c->holders = 1;
		c->all = calloc(CERTIFICATES_MAX, sizeof *c->all);
	}
	if (!c || !c->all || !bytes) {
		certificates_free(c);
		free(bytes);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	snprintf(path, sizeof path, "%s/certificates", dir);
	DIR *d = opendir(path);
	if (d) {
		load_all(c, p, dir, d, bytes);
		closedir(d);
	}
	free(bytes);
	if (d || errno == ENOENT) /* a platform that was made without has none */
		return c;
	err_errno(err, ERR_CONFIG, "%.300s", path);
	certificates_free(c);
	return NULL;
}

struct certificates *certificates_hold(struct certificates *c)
{
	c->holders++;
	return c;
}

void certificates_free(struct certificates *c)
{
	if (!c || --c->holders)
		return;
	for (size_t i = 0; i < c->n; i++)
		certificate_free(&c->all[i]);
	free(c->all);
	free(c);
}

size_t certificates_count(const struct certificates *c)
{
	return c->n;
}

const struct certificate *certificates_at(const struct certificates *c, size_t i)
{
	return &c->all[i];
}

const struct certificate *certificates_find(const struct certificates *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->all[i].name, name))
			return &c->all[i];
	return NULL;
}

size_t certificates_bad(const struct certificates *c)
{
	return c->bad;
}
