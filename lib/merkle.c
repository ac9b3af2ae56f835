/* SPDX-License-Identifier: MIT */
#include "lib/merkle.h"

#include <string.h>

#include <sodium.h>

void merkle_leaf(const void *data, size_t len, struct merkle_hash *out)
{
	static const unsigned char prefix = 0;
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, &prefix, 1);
	crypto_hash_sha256_update(&state, data, len);
	crypto_hash_sha256_final(&state, out->byte);
}

void merkle_node(const struct merkle_hash *left, const struct merkle_hash *right, struct merkle_hash *out)
{
	unsigned char both[1 + 2 * MERKLE_BYTES] = { 1 };
	memcpy(both + 1, left->byte, MERKLE_BYTES);
	memcpy(both + 1 + MERKLE_BYTES, right->byte, MERKLE_BYTES);
	crypto_hash_sha256(out->byte, both, sizeof both);
}

bool merkle_equal(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->byte, b->byte, MERKLE_BYTES) == 0;
}

/* The largest power of two below n; n >= 2. */
static uint64_t split(uint64_t n)
{
	return UINT64_C(1) << (63 - (unsigned)__builtin_clzll(n - 1));
}

void merkle_fold(const struct merkle_hash *hash, size_t n, struct merkle_hash *out)
{
	if (n == 1) {
		*out = hash[0];
		return;
	}
	struct merkle_hash left, right;
	size_t k = (size_t)split(n);
	merkle_fold(hash, k, &left);
	merkle_fold(hash + k, n - k, &right);
	merkle_node(&left, &right, out);
}

/* Root of the `len` leaves from `from`, which is a multiple of the smallest power of two that is not below len. */
static int range(uint64_t from, uint64_t len, const struct merkle_source *s, struct merkle_hash *out, struct err *err)
{
	struct merkle_hash left, right;
	if ((len & (len - 1)) == 0) {
		unsigned level = (unsigned)__builtin_ctzll(len);
		return s->fetch(s->ctx, level, from >> level, out, err);
	}
	uint64_t k = split(len);
	if (range(from, k, s, &left, err) < 0 || range(from + k, len - k, s, &right, err) < 0)
		return -1;
	merkle_node(&left, &right, out);
	return 0;
}

int merkle_root(uint64_t size, const struct merkle_source *source, struct merkle_hash *out, struct err *err)
{
	if (size == 0) {
		crypto_hash_sha256(out->byte, NULL, 0);
		return 0;
	}
	return range(0, size, source, out, err);
}

int merkle_prove(uint64_t index, uint64_t size, const struct merkle_source *source,
		 struct merkle_hash out[MERKLE_PROOF_MAX], size_t *n, struct err *err)
{
	struct merkle_hash down[MERKLE_PROOF_MAX]; /* from the root downwards */
	uint64_t from = 0, len = size;
	*n = 0;
	if (index >= size)
		return err_set(err, ERR_NOT_FOUND, "a tree of %llu has no leaf %llu", (unsigned long long)size,
			       (unsigned long long)index);
	while (len > 1) {
		uint64_t k = split(len);
		bool left = index - from < k;
		if (range(left ? from + k : from, left ? len - k : k, source, &down[*n], err) < 0)
			return -1;
		from += left ? 0 : k;
		len = left ? k : len - k;
		++*n;
	}
	for (size_t i = 0; i < *n; i++)
		out[i] = down[*n - 1 - i];
	return 0;
}

/* RFC 9162, 2.1.3.2. */
bool merkle_check(const struct merkle_hash *leaf, uint64_t index, uint64_t size, const struct merkle_hash *proof,
		  size_t n, const struct merkle_hash *root)
{
	struct merkle_hash at = *leaf;
	if (index >= size)
		return false;
	uint64_t fn = index, sn = size - 1;
	for (size_t i = 0; i < n; i++) {
		if (sn == 0)
			return false;
		if ((fn & 1) || fn == sn) {
			merkle_node(&proof[i], &at, &at);
			while (!(fn & 1) && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			merkle_node(&at, &proof[i], &at);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && merkle_equal(&at, root);
}
