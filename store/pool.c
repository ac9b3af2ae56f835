// SPDX-License-Identifier: MIT
#include "store/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"

#define PROBE_MS 2000 /* between looks whether a database that failed works again */

TAILQ_HEAD(job_list, job);

struct lane { /* jobs for one kind of worker */
	struct job_list jobs;
	unsigned len;
	pthread_cond_t work;
};

struct worker {
	struct pool *pool;
	struct lane *lane;
	bool writer;
	void *connection;
	struct job *job; /* running; guarded by the lock */
	pthread_t thread;
};

struct pool {
	const struct database_ops *ops;
	struct database_config config;
	uv_async_t wake;
	uv_timer_t probe;
	unsigned handles;
	struct job probe_job;
	bool probing;
	atomic_bool usable;
	pthread_mutex_t lock; /* guards all below */
	struct lane readers, writers;
	struct job_list finished;
	unsigned running; /* threads that have not returned yet */
	bool stopping;
	unsigned nworkers;
	struct worker worker[POOL_READERS + 4];
};

bool job_over(const struct job *job)
{
	return atomic_load(&job->cancelled) || clock_ns() >= job->deadline_ns;
}

static void open_connection(struct worker *w)
{
	struct err err;
	w->connection = w->pool->ops->open(&w->pool->config, w->writer, &err);
	if (!w->connection)
		log_error("database: %s", err.text);
}

/* Never touches the loop: the result goes back through on_wake(). */
static void run(struct worker *w, struct job *job)
{
	job->status = STORE_UNAVAILABLE;
	if (job_over(job)) {
		job->status = STORE_DEADLINE;
		return;
	}
	if (!w->connection)
		open_connection(w);
	if (w->connection && !w->pool->ops->run(w->connection, job)) {
		w->pool->ops->close(w->connection);
		w->connection = NULL;
	}
	atomic_store(&w->pool->usable, w->connection != NULL);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		struct job *job = TAILQ_FIRST(&w->lane->jobs);
		if (!job) {
			pthread_cond_wait(&w->lane->work, &p->lock);
			continue;
		}
		TAILQ_REMOVE(&w->lane->jobs, job, link);
		w->lane->len--;
		w->job = job;
		pthread_mutex_unlock(&p->lock);
		run(w, job);
		pthread_mutex_lock(&p->lock);
		w->job = NULL;
		TAILQ_INSERT_TAIL(&p->finished, job, link);
		uv_async_send(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	if (w->connection)
		p->ops->close(w->connection);
	pthread_mutex_lock(&p->lock);
	p->running--;
	uv_async_send(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void on_closed(uv_handle_t *handle)
{
	struct pool *p = handle->data;
	if (--p->handles)
		return;
	pthread_cond_destroy(&p->readers.work);
	pthread_cond_destroy(&p->writers.work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void finish(struct pool *p)
{
	for (unsigned i = 0; i < p->nworkers; i++)
		pthread_join(p->worker[i].thread, NULL);
	uv_close((uv_handle_t *)&p->wake, on_closed);
	uv_close((uv_handle_t *)&p->probe, on_closed);
}

static void on_wake(uv_async_t *wake)
{
	struct pool *p = wake->data;
	for (;;) {
		pthread_mutex_lock(&p->lock);
		struct job *job = TAILQ_FIRST(&p->finished);
		bool over = !job && p->stopping && !p->running;
		if (job)
			TAILQ_REMOVE(&p->finished, job, link);
		pthread_mutex_unlock(&p->lock);
		if (over && !uv_is_closing((uv_handle_t *)wake))
			finish(p);
		if (!job)
			return;
		job->done(job);
	}
}

void pool_submit(struct pool *p, struct job *job)
{
	pthread_mutex_lock(&p->lock);
	struct lane *lane = job->query && job->query->write ? &p->writers : &p->readers;
	if (p->stopping || lane->len >= POOL_QUEUE_MAX) {
		job->status = STORE_UNAVAILABLE;
		TAILQ_INSERT_TAIL(&p->finished, job, link);
		uv_async_send(&p->wake);
	} else {
		TAILQ_INSERT_TAIL(&lane->jobs, job, link);
		lane->len++;
		pthread_cond_signal(&lane->work);
	}
	pthread_mutex_unlock(&p->lock);
}

static void probe_done(struct job *job)
{
	struct pool *p = (struct pool *)(void *)((char *)job - offsetof(struct pool, probe_job));
	p->probing = false;
}

static void on_probe(uv_timer_t *timer)
{
	struct pool *p = timer->data;
	if (p->probing || atomic_load(&p->usable))
		return;
	p->probing = true;
	p->probe_job = (struct job){ .deadline_ns = clock_ns() + UINT64_C(2000000000), .done = probe_done };
	pool_submit(p, &p->probe_job);
}

static int start_worker(struct pool *p, bool writer, struct err *err)
{
	struct worker *w = &p->worker[p->nworkers];
	*w = (struct worker){ .pool = p, .lane = writer ? &p->writers : &p->readers, .writer = writer };
	int rc = pthread_create(&w->thread, NULL, work, w);
	if (rc)
		return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
	pthread_mutex_lock(&p->lock);
	p->nworkers++;
	p->running++;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* SQLite's file has to be there before somebody only reads it. */
static void make_database(struct pool *p)
{
	struct err err;
	void *connection = p->ops == &database_sqlite ? p->ops->open(&p->config, true, &err) : NULL;
	if (connection)
		p->ops->close(connection);
	else if (p->ops == &database_sqlite)
		log_error("database: %s", err.text);
	atomic_store(&p->usable, connection != NULL);
}

static int start_workers(struct pool *p, struct err *err)
{
	make_database(p);
	for (unsigned i = 0; i < p->ops->writers; i++)
		if (start_worker(p, true, err) < 0)
			return -1;
	for (unsigned i = 0; i < POOL_READERS; i++)
		if (start_worker(p, false, err) < 0)
			return -1;
	return 0;
}

struct pool *pool_new(uv_loop_t *loop, const struct database_config *config, struct err *err)
{
	struct pool *p = calloc(1, sizeof *p);
	if (!p || uv_async_init(loop, &p->wake, on_wake) || uv_timer_init(loop, &p->probe)) {
		free(p);
		err_set(err, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	p->ops = config->queries->database == DATABASE_SQLITE ? &database_sqlite : &database_postgresql;
	p->config = *config;
	p->wake.data = p->probe.data = p;
	p->handles = 2;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->readers.work, NULL);
	pthread_cond_init(&p->writers.work, NULL);
	TAILQ_INIT(&p->readers.jobs);
	TAILQ_INIT(&p->writers.jobs);
	TAILQ_INIT(&p->finished);
	uv_timer_start(&p->probe, on_probe, 0, PROBE_MS);
	if (start_workers(p, err) == 0)
		return p;
	pool_stop(p);
	return NULL;
}

bool pool_usable(const struct pool *p, struct err *why)
{
	if (atomic_load(&p->usable))
		return true;
	err_set(why, ERR_UNAVAILABLE, "the database does not work; the log says why");
	return false;
}

unsigned pool_waiting(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	unsigned n = p->readers.len + p->writers.len;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void cancel_lane(struct pool *p, struct lane *lane)
{
	struct job *job;
	while ((job = TAILQ_FIRST(&lane->jobs))) {
		TAILQ_REMOVE(&lane->jobs, job, link);
		job->status = STORE_UNAVAILABLE;
		TAILQ_INSERT_TAIL(&p->finished, job, link);
	}
	lane->len = 0;
	pthread_cond_broadcast(&lane->work);
}

void pool_stop(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	for (unsigned i = 0; i < p->nworkers; i++)
		if (p->worker[i].job)
			atomic_store(&p->worker[i].job->cancelled, true);
	cancel_lane(p, &p->readers);
	cancel_lane(p, &p->writers);
	pthread_mutex_unlock(&p->lock);
	uv_timer_stop(&p->probe);
	uv_async_send(&p->wake);
}
