/* SPDX-License-Identifier: MIT
 *
 * The tree's right edge in memory, everything left of it in tiles on disk. A tile holds 256 hashes of one tile level; the
 * root of a full one is a hash of the level above. The tiles come from the records and can be made again at any time.
 */
#ifndef AUDIT_TREE_H
#define AUDIT_TREE_H

#include "lib/audit_files.h"

#define TREE_TILES 64u /* full tiles of a level kept before they have to be on disk */

struct tree_level {
	uint64_t base; /* number of the first hash kept; a multiple of AUDIT_TILE_WIDTH */
	unsigned n;
	struct merkle_hash hash[(TREE_TILES + 1) * AUDIT_TILE_WIDTH];
	uint64_t partial_tile; /* the partial tile on disk */
	unsigned partial;      /* its width, 0: none */
};

struct tree {
	const char *dir; /* DIR/log/audit */
	uint64_t size;
	uint64_t renewed; /* tiles on disk that did not fit the records */
	struct tree_level level[AUDIT_TILE_LEVELS];
};

/* Room for so many more leaves before tree_save_full()? */
bool tree_room(const struct tree *t, unsigned leaves);
void tree_append(struct tree *t, const struct merkle_hash *leaf); /* there must be room */
void tree_root(struct tree *t, struct merkle_hash *out);
/* Writes the full tiles that are not on disk yet and forgets them. */
int tree_save_full(struct tree *t, struct err *err);
/* The same, and the partial tiles of the present size. */
int tree_save(struct tree *t, struct err *err);
/* Removes the partial tiles of the size before; after the checkpoint that needs the new ones. */
void tree_drop_partials(struct tree *t);
/* Removes partial tiles and half-written files that an earlier life left. */
void tree_clean(const char *dir);

#endif
