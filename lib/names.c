/* SPDX-License-Identifier: MIT */
#include "lib/names.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* One character of `first`, then up to size - 2 of `rest`. */
static bool matches(const char *text, const char *first, const char *rest, size_t size)
{
	if (!text || !*text || !strchr(first, *text))
		return false;
	size_t len = strnlen(text, size);
	return len < size && strspn(text, rest) == len;
}

bool name_valid(const char *name)
{
	static const char *const reserved[] = { "login", "logout", "v1", "livez", "readyz", "metrics", "openapi-json" };
	if (!matches(name, LOWER, LOWER DIGIT "-", PPCE_NAME_SIZE))
		return false;
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (!strcmp(name, reserved[i]))
			return false;
	return true;
}

bool user_valid(const char *name)
{
	return matches(name, LOWER UPPER DIGIT, LOWER UPPER DIGIT "._@-", PPCE_USER_SIZE);
}

bool class_valid(const char *name)
{
	return matches(name, LOWER UPPER, LOWER UPPER DIGIT "_-", PPCE_CLASS_SIZE);
}

bool queries_valid(const char *list)
{
	if (!list || strnlen(list, PPCE_QUERIES_SIZE) == PPCE_QUERIES_SIZE)
		return false;
	for (const char *p = list; *p;) {
		size_t len = strspn(p, LOWER DIGIT "_-");
		if (!strchr(LOWER, *p) || len >= PPCE_NAME_SIZE || (p[len] != ',' && p[len] != '\0'))
			return false;
		p += len;
		if (*p == ',' && !*++p)
			return false; /* a comma at the end */
	}
	return true;
}

void random_bytes(void *out, size_t len)
{
	unsigned char *p = out;
	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* no entropy source: going on would make guessable secrets */
		}
		p += n;
		len -= (size_t)n;
	}
}

void uuid_new(char out[PPCE_UUID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char b[16];
	random_bytes(b, sizeof b);
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* RFC 4122 variant */
	char *p = out;
	for (size_t i = 0; i < sizeof b; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[b[i] >> 4];
		*p++ = hex[b[i] & 15];
	}
	*p = '\0';
}

bool uuid_valid(const char *text)
{
	if (!text || strnlen(text, PPCE_UUID_SIZE) != PPCE_UUID_SIZE - 1)
		return false;
	for (size_t i = 0; i < PPCE_UUID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : !strchr(DIGIT "abcdef", text[i]))
			return false;
	}
	return true;
}

uint64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t clock_unix(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

int digest_file(int fd, char out[PPCE_DIGEST_SIZE], struct err *err)
{
	static const size_t chunk = 65536;
	unsigned char *bytes = malloc(chunk);
	if (!bytes)
		return err_set(err, ERR_INTERNAL, "out of memory");
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	off_t at = 0;
	for (;;) {
		ssize_t n = pread(fd, bytes, chunk, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(err, ERR_INTERNAL, "reading for the SHA-256");
			free(bytes);
			return -1;
		}
		if (!n)
			break;
		crypto_hash_sha256_update(&state, bytes, (unsigned long long)n);
		at += n;
	}
	free(bytes);
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_final(&state, hash);
	_Static_assert(2 * sizeof hash + 1 == PPCE_DIGEST_SIZE, "hex of SHA-256");
	sodium_bin2hex(out, PPCE_DIGEST_SIZE, hash, sizeof hash);
	return 0;
}
