/* SPDX-License-Identifier: MIT */
#include "lib/ticket.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_TEXT (2 * TICKET_KEY_BYTES)

int ticket_key_load(const char *path, uint8_t key[TICKET_KEY_BYTES], struct err *err)
{
	char text[KEY_TEXT + 2] = "";
	struct stat st;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	ssize_t n = fstat(fd, &st) == 0 ? read(fd, text, sizeof text) : -1;
	close(fd);
	if (n < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	if (st.st_mode & 077)
		return err_set(err, ERR_CONFIG, "%s: others can read it; chmod 600", path);
	int bad = n < KEY_TEXT || (n > KEY_TEXT && text[KEY_TEXT] != '\n') ||
		  sodium_hex2bin(key, TICKET_KEY_BYTES, text, KEY_TEXT, NULL, &len, NULL) || len != TICKET_KEY_BYTES;
	sodium_memzero(text, sizeof text);
	return bad ? err_set(err, ERR_CONFIG, "%s: expected %d hex digits", path, KEY_TEXT) : 0;
}

/* Two separate domains, so that no bytes are ever a ticket and a release at once. */
static void mac_of(const char *domain, const void *head, size_t head_len, const void *body, size_t body_len,
		   const uint8_t *key, uint8_t mac[TICKET_MAC_BYTES])
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, key, TICKET_KEY_BYTES, TICKET_MAC_BYTES);
	crypto_generichash_update(&state, (const unsigned char *)domain, 8);
	crypto_generichash_update(&state, head, head_len);
	if (body_len)
		crypto_generichash_update(&state, body, body_len);
	crypto_generichash_final(&state, mac, TICKET_MAC_BYTES);
}

static void ticket_mac(const struct ticket *t, const uint8_t *key, uint8_t mac[TICKET_MAC_BYTES])
{
	mac_of("ticket 1", t, offsetof(struct ticket, mac), NULL, 0, key, mac);
}

static void release_mac(const struct release *r, const void *value, const uint8_t *key, uint8_t mac[TICKET_MAC_BYTES])
{
	mac_of("release1", r, offsetof(struct release, mac), value, r->length, key, mac);
}

void ticket_seal(struct ticket *t, const uint8_t key[TICKET_KEY_BYTES])
{
	ticket_mac(t, key, t->mac);
}

bool ticket_authentic(const struct ticket *t, const uint8_t key[TICKET_KEY_BYTES])
{
	uint8_t mac[TICKET_MAC_BYTES];
	ticket_mac(t, key, mac);
	return sodium_memcmp(mac, t->mac, sizeof mac) == 0;
}

void release_seal(struct release *r, const void *value, const uint8_t key[TICKET_KEY_BYTES])
{
	release_mac(r, value, key, r->mac);
}

bool release_authentic(const struct release *r, const void *value, const uint8_t key[TICKET_KEY_BYTES])
{
	uint8_t mac[TICKET_MAC_BYTES];
	release_mac(r, value, key, mac);
	return sodium_memcmp(mac, r->mac, sizeof mac) == 0;
}
