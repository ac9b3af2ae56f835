/* SPDX-License-Identifier: MIT */
#include "store/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <sodium.h>

/* 64 hex digits and a line end. */
int ticket_key_load(const char *path, struct ticket_key *out, struct err *err)
{
	char text[2 * TICKET_KEY_BYTES + 2];
	size_t len = 0;
	const char *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	int rc = n == (ssize_t)sizeof text - 1 && text[n - 1] == '\n' ? 0 : -1;
	if (rc == 0 && (sodium_hex2bin(out->bytes, sizeof out->bytes, text, sizeof text - 2, NULL, &len, &end) < 0 ||
			len != sizeof out->bytes || end != text + sizeof text - 2))
		rc = -1;
	sodium_memzero(text, sizeof text);
	return rc == 0 ? 0 : err_set(err, ERR_CONFIG, "%s: expected 64 hex digits and a line end", path);
}

bool ticket_authentic(const struct ticket_key *key, const struct ticket *t)
{
	uint8_t mac[TICKET_MAC_BYTES];
	if (!ticket_valid(t))
		return false;
	crypto_generichash(mac, sizeof mac, (const uint8_t *)t, offsetof(struct ticket, mac), key->bytes,
			   sizeof key->bytes);
	return sodium_memcmp(mac, t->mac, sizeof mac) == 0;
}

void release_sign(const struct ticket_key *key, struct release *r, const void *value)
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, key->bytes, sizeof key->bytes, sizeof r->mac);
	crypto_generichash_update(&state, (const uint8_t *)r, offsetof(struct release, mac));
	crypto_generichash_update(&state, value, r->length);
	crypto_generichash_final(&state, r->mac, sizeof r->mac);
}
