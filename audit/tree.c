// SPDX-License-Identifier: MIT
#include "audit/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tree_room(const struct tree *t, unsigned leaves)
{
	const size_t room = sizeof t->level[0].hash / sizeof t->level[0].hash[0];
	return t->level[0].n + (size_t)leaves <= room;
}

void tree_append(struct tree *t, const struct merkle_hash *leaf)
{
	struct merkle_hash up = *leaf;
	t->size++;
	for (unsigned l = 0; l < AUDIT_TILE_LEVELS; l++) {
		struct tree_level *level = &t->level[l];
		level->hash[level->n++] = up;
		if (level->n % AUDIT_TILE_WIDTH)
			return;
		merkle_fold(&level->hash[level->n - AUDIT_TILE_WIDTH], AUDIT_TILE_WIDTH, &up);
	}
}

/* Only subtrees of the right edge are ever asked for: those stand in the last, partial tile of their level. */
static int fetch_edge(void *ctx, unsigned level, uint64_t index, struct merkle_hash *out, struct err *err)
{
	struct tree *t = ctx;
	struct tree_level *l = &t->level[level / 8];
	uint64_t at = (index << (level % 8)) - l->base;
	(void)err;
	merkle_fold(&l->hash[at], (size_t)1 << (level % 8), out);
	return 0;
}

void tree_root(struct tree *t, struct merkle_hash *out)
{
	struct merkle_source source = { fetch_edge, t };
	struct err err;
	if (merkle_root(t->size, &source, out, &err) < 0)
		abort(); /* fetch_edge() does not fail */
}

/* ---- files ---- */

static int make_dirs(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		int rc = mkdir(path, 0700);
		*p = '/';
		if (rc < 0 && errno != EEXIST)
			return -1;
	}
	return 0;
}

static int write_tile(const struct tree *t, const char *name, const struct merkle_hash *hash, unsigned width,
		      struct err *err)
{
	char path[AUDIT_PATH_SIZE], fresh[AUDIT_PATH_SIZE + 8];
	size_t len = width * sizeof *hash;
	if (audit_path(t->dir, name, path, err) < 0)
		return -1;
	snprintf(fresh, sizeof fresh, "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == ENOENT && make_dirs(fresh) == 0)
		fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, ERR_INTERNAL, "%s", name);
	ssize_t n = write(fd, hash, len);
	int rc = n == (ssize_t)len && rename(fresh, path) == 0 ? 0 : -1;
	if (rc < 0) {
		errno = n >= 0 && n != (ssize_t)len ? ENOSPC : errno;
		err_errno(err, ERR_INTERNAL, "%s", name);
		unlink(fresh);
	}
	close(fd);
	return rc;
}

/* The tile is on disk with these hashes. One that is there and right stays as it is. */
static int put_tile(struct tree *t, unsigned level, uint64_t index, unsigned width, const struct merkle_hash *hash,
		    struct err *err)
{
	struct merkle_hash there[AUDIT_TILE_WIDTH];
	struct err why;
	char name[AUDIT_PATH_SIZE];
	int found = audit_tile_read(t->dir, level, index, width, there, &why);
	if (found == 0 && memcmp(there, hash, width * sizeof *hash) == 0)
		return 0;
	if (found == 0 || why.kind != ERR_NOT_FOUND)
		t->renewed++;
	audit_tile_name(level, index, width, name);
	return write_tile(t, name, hash, width, err);
}

static int save_full(struct tree *t, unsigned l, struct err *err)
{
	struct tree_level *level = &t->level[l];
	unsigned tiles = level->n / AUDIT_TILE_WIDTH;
	for (unsigned i = 0; i < tiles; i++)
		if (put_tile(t, l, level->base / AUDIT_TILE_WIDTH + i, AUDIT_TILE_WIDTH,
			     &level->hash[i * AUDIT_TILE_WIDTH], err) < 0)
			return -1;
	level->n -= tiles * AUDIT_TILE_WIDTH;
	level->base += (uint64_t)tiles * AUDIT_TILE_WIDTH;
	if (tiles)
		memmove(level->hash, &level->hash[tiles * AUDIT_TILE_WIDTH], level->n * sizeof level->hash[0]);
	return 0;
}

int tree_save_full(struct tree *t, struct err *err)
{
	for (unsigned l = 0; l < AUDIT_TILE_LEVELS; l++)
		if (save_full(t, l, err) < 0)
			return -1;
	return 0;
}

int tree_save(struct tree *t, struct err *err)
{
	if (tree_save_full(t, err) < 0)
		return -1;
	for (unsigned l = 0; l < AUDIT_TILE_LEVELS; l++) {
		const struct tree_level *level = &t->level[l];
		if (level->n && put_tile(t, l, level->base / AUDIT_TILE_WIDTH, level->n, level->hash, err) < 0)
			return -1;
	}
	return 0;
}

static void remove_partial(const struct tree *t, unsigned l, uint64_t index, unsigned width)
{
	char path[AUDIT_PATH_SIZE], name[AUDIT_PATH_SIZE];
	struct err err;
	audit_tile_name(l, index, width, name);
	if (audit_path(t->dir, name, path, &err) < 0)
		return;
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path); /* stays while another width of the same tile is in it */
}

void tree_drop_partials(struct tree *t)
{
	for (unsigned l = 0; l < AUDIT_TILE_LEVELS; l++) {
		struct tree_level *level = &t->level[l];
		uint64_t index = level->base / AUDIT_TILE_WIDTH;
		if (level->partial && (level->partial != level->n || level->partial_tile != index))
			remove_partial(t, l, level->partial_tile, level->partial);
		level->partial_tile = index;
		level->partial = level->n;
	}
}

static int clean_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	size_t len = strlen(path);
	const char *parent = path + where->base;
	(void)st;
	bool in_partial = parent - path > 3 && memcmp(parent - 3, ".p/", 3) == 0;
	if (type == FTW_DP && len > 2 && strcmp(path + len - 2, ".p") == 0)
		rmdir(path);
	else if (type == FTW_F && (in_partial || (len > 4 && strcmp(path + len - 4, ".new") == 0)))
		unlink(path);
	return 0;
}

void tree_clean(const char *dir)
{
	nftw(dir, clean_one, 16, FTW_PHYS | FTW_DEPTH);
}
