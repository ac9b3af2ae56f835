/* SPDX-License-Identifier: MIT
 *
 * The tree against the vectors of the Certificate Transparency project, and against the definitions of RFC 6962 written
 * down once more as naively as possible.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sodium.h>

#include "lib/merkle.h"

#define LEAVES_MAX 70

/* The eight inputs of the reference tests of RFC 6962 implementations, and the roots of the first n of them. */
static const struct {
	const char *data, *root;
} vectors[] = {
	{ "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
	{ "00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
	{ "10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
	{ "2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
	{ "3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
	{ "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
	{ "5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
	{ "606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
};

static struct merkle_hash leaf[LEAVES_MAX];

static int fetch(void *ctx, unsigned level, uint64_t index, struct merkle_hash *out, struct err *err)
{
	const uint64_t *size = ctx;
	(void)err;
	assert_true((index + 1) << level <= *size); /* nothing is asked for that is not there */
	merkle_fold(&leaf[index << level], (size_t)1 << level, out);
	return 0;
}

static void test_vectors(void **state)
{
	(void)state;
	struct merkle_hash root, wanted;
	struct err err;
	uint64_t size = 0;
	struct merkle_source source = { fetch, &size };
	sodium_hex2bin(wanted.byte, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 64, NULL,
		       NULL, NULL);
	assert_int_equal(merkle_root(0, &source, &root, &err), 0);
	assert_true(merkle_equal(&root, &wanted));
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		unsigned char data[32];
		size_t len;
		sodium_hex2bin(data, sizeof data, vectors[i].data, strlen(vectors[i].data), NULL, &len, NULL);
		merkle_leaf(data, len, &leaf[i]);
		sodium_hex2bin(wanted.byte, 32, vectors[i].root, 64, NULL, NULL, NULL);
		size = i + 1;
		assert_int_equal(merkle_root(size, &source, &root, &err), 0);
		assert_true(merkle_equal(&root, &wanted));
		merkle_fold(leaf, i + 1, &root);
		assert_true(merkle_equal(&root, &wanted));
	}
}

/* ---- the naive implementation: RFC 6962, 2.1 and 2.1.1, word by word ---- */

static void naive_root(const struct merkle_hash *d, size_t n, struct merkle_hash *out)
{
	struct merkle_hash left, right;
	size_t k = 1;
	if (n == 1) {
		*out = d[0];
		return;
	}
	while (2 * k < n)
		k *= 2;
	naive_root(d, k, &left);
	naive_root(d + k, n - k, &right);
	unsigned char bytes[65] = { 1 };
	memcpy(bytes + 1, &left, 32);
	memcpy(bytes + 33, &right, 32);
	crypto_hash_sha256(out->byte, bytes, sizeof bytes);
}

static size_t naive_path(size_t m, const struct merkle_hash *d, size_t n, struct merkle_hash *out)
{
	size_t k = 1, len;
	if (n == 1)
		return 0;
	while (2 * k < n)
		k *= 2;
	if (m < k) {
		len = naive_path(m, d, k, out);
		naive_root(d + k, n - k, &out[len]);
	} else {
		len = naive_path(m - k, d + k, n - k, out);
		naive_root(d, k, &out[len]);
	}
	return len + 1;
}

static void make_leaves(void)
{
	for (unsigned char i = 0; i < LEAVES_MAX; i++)
		merkle_leaf(&i, 1, &leaf[i]);
}

static void test_proofs(void **state)
{
	(void)state;
	struct merkle_hash proof[MERKLE_PROOF_MAX], naive[MERKLE_PROOF_MAX], root, again;
	struct err err;
	size_t n;
	make_leaves();
	for (uint64_t size = 1; size <= LEAVES_MAX; size++) {
		struct merkle_source source = { fetch, &size };
		naive_root(leaf, size, &root);
		assert_int_equal(merkle_root(size, &source, &again, &err), 0);
		assert_true(merkle_equal(&root, &again));
		for (uint64_t i = 0; i < size; i++) {
			assert_int_equal(merkle_prove(i, size, &source, proof, &n, &err), 0);
			assert_int_equal(n, naive_path(i, leaf, size, naive));
			assert_memory_equal(proof, naive, n * sizeof *proof);
			assert_true(merkle_check(&leaf[i], i, size, proof, n, &root));
		}
		assert_int_equal(merkle_prove(size, size, &source, proof, &n, &err), -1);
		assert_int_equal(err.kind, ERR_NOT_FOUND);
	}
}

/* A proof is good for its leaf, its place, its size and its root only. */
static void test_wrong_proofs(void **state)
{
	(void)state;
	struct merkle_hash proof[MERKLE_PROOF_MAX + 1], root, other;
	struct err err;
	size_t n;
	make_leaves();
	for (uint64_t size = 1; size <= 33; size++) {
		struct merkle_source source = { fetch, &size };
		naive_root(leaf, size, &root);
		for (uint64_t i = 0; i < size; i++) {
			memset(proof, 0, sizeof proof);
			merkle_prove(i, size, &source, proof, &n, &err);
			for (uint64_t j = 0; j < size + 3; j++) {
				assert_int_equal(merkle_check(&leaf[i], j, size, proof, n, &root), j == i);
				assert_int_equal(merkle_check(&leaf[j], i, size, proof, n, &root), j == i);
			}
			assert_false(merkle_check(&leaf[i], i, 2 * size + 2, proof, n, &root));
			assert_false(merkle_check(&leaf[i], i, 0, proof, n, &root));
			assert_false(merkle_check(&leaf[i], i, UINT64_MAX, proof, n, &root));
			assert_false(merkle_check(&leaf[i], i, size, proof, n + 1, &root));
			assert_false(n && merkle_check(&leaf[i], i, size, proof, n - 1, &root));
			for (size_t k = 0; k < n; k++) {
				proof[k].byte[k % 32] ^= 1;
				assert_false(merkle_check(&leaf[i], i, size, proof, n, &root));
				proof[k].byte[k % 32] ^= 1;
			}
			other = root;
			other.byte[31] ^= 0x80;
			assert_false(merkle_check(&leaf[i], i, size, proof, n, &other));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors), cmocka_unit_test(test_proofs),
					    cmocka_unit_test(test_wrong_proofs) };
	return cmocka_run_group_tests_name("merkle", tests, NULL, NULL);
}
