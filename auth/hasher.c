// SPDX-License-Identifier: MIT
#include "auth/hasher.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/names.h"

#define WORKER_NICE 10

struct queue {
	struct hash_job *head, **tail;
	unsigned len;
};

struct hasher {
	struct hasher_config config;
	char decoy[crypto_pwhash_STRBYTES]; /* hash of random bytes that nobody knows */
	uv_async_t wake;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t work;
	struct queue operators, logins, finished;
	unsigned running; /* threads that have not returned yet */
	bool stopping;
	unsigned nthreads;
	pthread_t threads[];
};

static void queue_put(struct queue *q, struct hash_job *job)
{
	if (!q->head)
		q->tail = &q->head;
	job->next = NULL;
	*q->tail = job;
	q->tail = &job->next;
	q->len++;
}

static struct hash_job *queue_take(struct queue *q)
{
	struct hash_job *job = q->head;

	if (job) {
		q->head = job->next;
		q->len--;
	}
	return job;
}

static int make(const struct hasher_config *c, const char *password, char out[crypto_pwhash_STRBYTES])
{
	return crypto_pwhash_str_alg(out, password, strlen(password), c->passes, c->memory_bytes,
				     crypto_pwhash_ALG_ARGON2ID13);
}

static enum hash_result check(const struct hasher_config *c, struct hash_job *job)
{
	errno = 0;
	if (crypto_pwhash_str_verify(job->stored, job->password, strlen(job->password)))
		return errno == ENOMEM ? HASH_FAILED : HASH_WRONG;
	/* Parameters were changed in the config: this is the moment when the password is at hand. A failure keeps the
	 * old hash, which is still good. */
	if (crypto_pwhash_str_needs_rehash(job->stored, c->passes, c->memory_bytes) == 1 &&
	    make(c, job->password, job->fresh))
		job->fresh[0] = 0;
	return HASH_DONE;
}

static void run(const struct hasher_config *c, struct hash_job *job)
{
	job->fresh[0] = 0;
	if (job->kind == HASH_CHECK)
		job->result = check(c, job);
	else
		job->result = make(c, job->password, job->fresh) ? HASH_FAILED : HASH_DONE;
	sodium_memzero(job->password, sizeof job->password);
}

static void *worker(void *arg)
{
	struct hasher *h = arg;
	struct hash_job *job;

	setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
	pthread_mutex_lock(&h->lock);
	while (!h->stopping) {
		job = queue_take(&h->operators);
		if (!job)
			job = queue_take(&h->logins);
		if (!job) {
			pthread_cond_wait(&h->work, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		run(&h->config, job);
		pthread_mutex_lock(&h->lock);
		queue_put(&h->finished, job);
		uv_async_send(&h->wake);
	}
	h->running--;
	uv_async_send(&h->wake);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static void on_closed(uv_handle_t *handle)
{
	struct hasher *h = handle->data;

	pthread_cond_destroy(&h->work);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* Loop's thread: hands finished jobs back, and closes up after the last thread has returned. */
static void on_wake(uv_async_t *wake)
{
	struct hasher *h = wake->data;
	struct hash_job *job;
	bool over;

	for (;;) {
		pthread_mutex_lock(&h->lock);
		job = queue_take(&h->finished);
		over = !job && h->stopping && !h->running;
		pthread_mutex_unlock(&h->lock);
		if (!job)
			break;
		job->done(job);
	}
	if (!over || uv_is_closing((uv_handle_t *)wake))
		return;
	for (unsigned i = 0; i < h->nthreads; i++)
		pthread_join(h->threads[i], NULL);
	uv_close((uv_handle_t *)wake, on_closed);
}

static int make_decoy(struct hasher *h, struct err *err)
{
	uint8_t raw[16];
	char secret[2 * sizeof raw + 1];

	random_bytes(raw, sizeof raw);
	sodium_bin2hex(secret, sizeof secret, raw, sizeof raw);
	errno = 0;
	if (!make(&h->config, secret, h->decoy))
		return 0;
	return err_set(err, ERR_CONFIG,
		       "cannot hash a password with %zu MiB and %u passes (%s); change auth.argon2_memory_mib "
		       "or auth.argon2_passes",
		       h->config.memory_bytes >> 20, h->config.passes, errno ? strerror(errno) : "refused");
}

static int start_threads(struct hasher *h, struct err *err)
{
	for (; h->nthreads < h->config.workers; h->nthreads++) {
		int rc = pthread_create(&h->threads[h->nthreads], NULL, worker, h);

		if (rc)
			return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
		pthread_mutex_lock(&h->lock);
		h->running++;
		pthread_mutex_unlock(&h->lock);
	}
	return 0;
}

struct hasher *hasher_new(uv_loop_t *loop, const struct hasher_config *config, struct err *err)
{
	struct hasher *h = calloc(1, sizeof *h + config->workers * sizeof h->threads[0]);

	if (!h) {
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	h->config = *config;
	if (make_decoy(h, err) || uv_async_init(loop, &h->wake, on_wake)) {
		free(h);
		return NULL;
	}
	h->wake.data = h;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->work, NULL);
	if (start_threads(h, err)) {
		hasher_stop(h);
		return NULL;
	}
	return h;
}

int hasher_submit(struct hasher *h, struct hash_job *job, int from_operator)
{
	struct queue *q = from_operator ? &h->operators : &h->logins;
	int rc = -1;

	pthread_mutex_lock(&h->lock);
	if (!h->stopping && q->len < h->config.queue) {
		queue_put(q, job);
		pthread_cond_signal(&h->work);
		rc = 0;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

unsigned hasher_waiting(struct hasher *h)
{
	unsigned n;

	pthread_mutex_lock(&h->lock);
	n = h->operators.len + h->logins.len;
	pthread_mutex_unlock(&h->lock);
	return n;
}

static void cancel_all(struct hasher *h, struct queue *q)
{
	struct hash_job *job;

	while ((job = queue_take(q))) {
		sodium_memzero(job->password, sizeof job->password);
		job->result = HASH_CANCELLED;
		queue_put(&h->finished, job);
	}
}

void hasher_stop(struct hasher *h)
{
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	cancel_all(h, &h->operators);
	cancel_all(h, &h->logins);
	pthread_cond_broadcast(&h->work);
	pthread_mutex_unlock(&h->lock);
	uv_async_send(&h->wake);
}

/* "$argon2id$v=19$m=65536,t=2,p=1$salt$hash": parameters up to the fourth '$', salt and hash behind it. 0: no hash. */
static size_t parameters_len(const char *hash)
{
	const char *at = *hash == '$' ? hash : NULL;

	for (int i = 0; at && i < 3; i++)
		at = strchr(at + 1, '$');
	return at ? (size_t)(at - hash) : 0;
}

void hasher_decoy(const struct hasher *h, const char *model, char out[crypto_pwhash_STRBYTES])
{
	size_t ours = parameters_len(h->decoy), theirs = parameters_len(model);

	memset(out, 0, crypto_pwhash_STRBYTES);
	if (!theirs || theirs + strlen(h->decoy + ours) >= crypto_pwhash_STRBYTES) {
		memcpy(out, h->decoy, crypto_pwhash_STRBYTES);
		return;
	}
	memcpy(out, model, theirs);
	strcpy(out + theirs, h->decoy + ours);
}
