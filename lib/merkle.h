/* SPDX-License-Identifier: MIT
 *
 * The hash tree of RFC 6962 over SHA-256: a leaf is H(0x00 || data), a node H(0x01 || left || right), the tree of no
 * leaves H(). Pure functions; where the hashes are kept is the caller's affair (struct merkle_source).
 */
#ifndef LIB_MERKLE_H
#define LIB_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define MERKLE_BYTES 32
#define MERKLE_PROOF_MAX 64 /* hashes of a proof: one for each level */

struct merkle_hash {
	uint8_t byte[MERKLE_BYTES];
};

/* Hashes of perfect subtrees: `level` 0 are the leaves, and (level, index) covers the leaves from index << level. */
struct merkle_source {
	int (*fetch)(void *ctx, unsigned level, uint64_t index, struct merkle_hash *out, struct err *err);
	void *ctx;
};

void merkle_leaf(const void *data, size_t len, struct merkle_hash *out);
void merkle_node(const struct merkle_hash *left, const struct merkle_hash *right, struct merkle_hash *out);
bool merkle_equal(const struct merkle_hash *a, const struct merkle_hash *b);
/* Root of the tree over n >= 1 hashes that stand beside each other. */
void merkle_fold(const struct merkle_hash *hash, size_t n, struct merkle_hash *out);

/* Root of the tree of the first `size` leaves. */
int merkle_root(uint64_t size, const struct merkle_source *source, struct merkle_hash *out, struct err *err);
/* The inclusion proof of leaf `index` < size, from the leaf's level upwards. */
int merkle_prove(uint64_t index, uint64_t size, const struct merkle_source *source,
		 struct merkle_hash out[MERKLE_PROOF_MAX], size_t *n, struct err *err);
/* Does the proof lead from this leaf to this root? All of it may come from an enemy. */
bool merkle_check(const struct merkle_hash *leaf, uint64_t index, uint64_t size, const struct merkle_hash *proof,
		  size_t n, const struct merkle_hash *root);

#endif
