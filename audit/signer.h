/* SPDX-License-Identifier: MIT
 *
 * The process that signs checkpoints. It is forked before anything else happens, reads the key itself, gives up every
 * privilege and nearly every system call, and answers one kind of question. It signs only checkpoints of its own log
 * that do not go back: whoever took over the writer could not have two histories signed in one life.
 */
#ifndef AUDIT_SIGNER_H
#define AUDIT_SIGNER_H

#include <sys/types.h>

#include "lib/note.h"

struct signer {
	int fd;
	pid_t pid;
};

/* Starts it. `user`: who it becomes when we are root. The key's public half goes to *key. ERR_CONFIG: no usable key. */
int signer_start(struct signer *s, const char *key_path, const char *user, struct note_key *key, struct err *err);
/* Waits for the signature of note_body(). -1: the signer refused or is gone. */
int signer_sign(const struct signer *s, const char *body, size_t len, uint8_t out[NOTE_SIGNATURE_BYTES],
		struct err *err);
void signer_end(struct signer *s); /* ends it and waits for its end */

#endif
