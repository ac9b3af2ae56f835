// SPDX-License-Identifier: MIT
#include "audit/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cap-ng.h>
#include <sodium.h>

#include "lib/sock.h"

#define ANSWER_MS 5000

struct hello { /* the signer's first packet */
	struct err err;
	uint8_t public[NOTE_KEY_BYTES];
};

/* ---- in the signer ---- */

static struct {
	unsigned char secret[crypto_sign_SECRETKEYBYTES];
	struct note_key key;
	struct note_checkpoint last;
	bool any;
} own;

/* 64 hex digits and a line end, in a file that is nobody else's to read. */
static int read_seed(const char *path, unsigned char seed[crypto_sign_SEEDBYTES], struct err *err)
{
	char text[2 * crypto_sign_SEEDBYTES + 2] = "";
	struct stat st;
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, ERR_CONFIG, "%s", path);
	ssize_t len = fstat(fd, &st) == 0 ? read(fd, text, sizeof text) : -1;
	close(fd);
	if (len >= 0 && (st.st_mode & 077))
		return err_set(err, ERR_CONFIG, "%s: others can read it; chmod 600", path);
	int rc = len < 2 * crypto_sign_SEEDBYTES ||
				 (len > 2 * crypto_sign_SEEDBYTES && text[2 * crypto_sign_SEEDBYTES] != '\n') ||
				 sodium_hex2bin(seed, crypto_sign_SEEDBYTES, text, 2 * crypto_sign_SEEDBYTES, NULL, &n,
						NULL) < 0 ||
				 n != crypto_sign_SEEDBYTES
			 ? -1
			 : 0;
	sodium_memzero(text, sizeof text);
	return rc == 0 ? 0 : err_set(err, ERR_CONFIG, "%s: 64 hex digits were expected", path);
}

static int load_key(const char *path, struct hello *hello)
{
	unsigned char seed[crypto_sign_SEEDBYTES];
	sodium_mlock(own.secret, sizeof own.secret); /* out of the swap where we may */
	if (read_seed(path, seed, &hello->err) < 0)
		return -1;
	crypto_sign_seed_keypair(hello->public, own.secret, seed);
	sodium_memzero(seed, sizeof seed);
	note_key_make(hello->public, &own.key);
	return 0;
}

static int drop_root(const char *user, struct err *err)
{
	if (geteuid() != 0)
		return 0;
	const struct passwd *p = getpwnam(user);
	if (!p || p->pw_uid == 0)
		return err_set(err, ERR_CONFIG, "vmmd.tender_user: no user %s that is not root", user);
	gid_t gid = p->pw_gid;
	uid_t uid = p->pw_uid;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_errno(err, ERR_INTERNAL, "the signer cannot become %s", user);
	return 0;
}

/* From here on: read and write on one descriptor, and the end. */
static int close_jail(int fd, struct err *err)
{
	static const struct rlimit none = { 0, 0 };
	capng_clear(CAPNG_SELECT_BOTH);
	if ((capng_apply(CAPNG_SELECT_BOTH) < 0 && geteuid() == 0) || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, ERR_INTERNAL, "the signer's privileges");
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return err_set(err, ERR_INTERNAL, "the signer's filter");
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, SCMP_A0_32(SCMP_CMP_EQ, (unsigned)fd));
	r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0_32(SCMP_CMP_EQ, (unsigned)fd));
	r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0);
	r |= seccomp_load(ctx);
	seccomp_release(ctx);
	return r == 0 ? 0 : err_set(err, ERR_INTERNAL, "the signer's filter");
}

/* A checkpoint of our log that does not take back what was signed. */
static bool may_sign(const char *body, size_t len, struct note_checkpoint *c)
{
	struct err why;
	if (note_body_parse(&own.key, body, len, c, &why) < 0)
		return false;
	return !own.any || c->size > own.last.size ||
	       (c->size == own.last.size && merkle_equal(&c->root, &own.last.root));
}

static void serve(int fd)
{
	char body[NOTE_SIZE];
	uint8_t signature[NOTE_SIGNATURE_BYTES];
	struct note_checkpoint c;
	for (;;) {
		ssize_t n = read(fd, body, sizeof body);
		if (n <= 0 || !may_sign(body, (size_t)n, &c))
			return;
		crypto_sign_detached(signature, NULL, (const unsigned char *)body, (unsigned long long)n, own.secret);
		own.last = c;
		own.any = true;
		if (write(fd, signature, sizeof signature) != (ssize_t)sizeof signature)
			return;
	}
}

static void signer_main(int fd, const char *key_path, const char *user)
{
	struct hello hello = { 0 };
	/* The terminal's signals are the writer's: it wants one more signature after them. Its end is our end. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (fd != STDIN_FILENO)
		dup2(fd, STDIN_FILENO);
	fd = STDIN_FILENO;
	if (load_key(key_path, &hello) == 0 && drop_root(user, &hello.err) == 0) {
		syscall(SYS_close_range, 1u, ~0u, 0u);
		close_jail(fd, &hello.err);
	}
	if (write(fd, &hello, sizeof hello) == (ssize_t)sizeof hello && !hello.err.kind)
		serve(fd);
	sodium_memzero(own.secret, sizeof own.secret);
	_exit(0);
}

/* ---- in the writer ---- */

/* One packet of exactly `size` bytes, in time. */
static int receive(const struct signer *s, void *out, size_t size, struct err *err)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	int n;
	do {
		n = poll(&p, 1, ANSWER_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return err_set(err, ERR_INTERNAL, "the signer does not answer");
	return read(s->fd, out, size) == (ssize_t)size ? 0 : err_set(err, ERR_INTERNAL, "the signer is gone");
}

int signer_start(struct signer *s, const char *key_path, const char *user, struct note_key *key, struct err *err)
{
	int pair[2];
	struct hello hello;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_INTERNAL, "socketpair");
	s->fd = pair[0];
	s->pid = fork();
	if (s->pid == 0) {
		close(pair[0]);
		signer_main(pair[1], key_path, user);
	}
	close(pair[1]);
	if (s->pid < 0)
		return err_errno(err, ERR_INTERNAL, "fork");
	if (receive(s, &hello, sizeof hello, err) < 0)
		return -1;
	if (hello.err.kind) {
		*err = hello.err;
		return -1;
	}
	note_key_make(hello.public, key);
	return 0;
}

int signer_sign(const struct signer *s, const char *body, size_t len, uint8_t out[NOTE_SIGNATURE_BYTES],
		struct err *err)
{
	if (send(s->fd, body, len, MSG_NOSIGNAL) != (ssize_t)len)
		return err_errno(err, ERR_INTERNAL, "the signer is gone");
	return receive(s, out, NOTE_SIGNATURE_BYTES, err);
}

void signer_end(struct signer *s)
{
	sock_close(&s->fd);
	if (s->pid > 0)
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
	s->pid = 0;
}
