/* SPDX-License-Identifier: MIT */
#include "net/taps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/names.h"
#include "lib/sock.h"
#include "net/net.h"
#include "net/plan.h"

#define MTU 1500
#define FAILURES_BROKEN 3 /* in a row: the daemon is not ready */

/* --- the lists --------------------------------------------------------------------------------------------------- */

void taps_init(struct net *n)
{
	for (int i = 0; i < TAP_STATES; i++)
		TAILQ_INIT(&n->taps.list[i]);
	STAILQ_INIT(&n->taps.questions);
}

void taps_end(struct net *n)
{
	for (unsigned i = 0; i < TAPS_MAX; i++)
		if (n->taps.by_number[i])
			tap_free(n, n->taps.by_number[i]);
}

static struct tap_holders *bucket(struct taps *ts, const char *uuid)
{
	uint32_t hash = 2166136261u;
	for (; *uuid; uuid++)
		hash = (hash ^ (uint8_t)*uuid) * 16777619u;
	return &ts->holders[hash % TAPS_BUCKETS];
}

static bool held(enum tap_state state)
{
	return state == TAP_TAKEN || state == TAP_LENDING;
}

static void insert(struct taps *ts, struct tap *t, enum tap_state state)
{
	t->state = state;
	TAILQ_INSERT_TAIL(&ts->list[state], t, link);
	ts->count[state]++;
	if (held(state))
		LIST_INSERT_HEAD(bucket(ts, t->uuid), t, uuid_link);
}

static void take_out(struct taps *ts, struct tap *t)
{
	TAILQ_REMOVE(&ts->list[t->state], t, link);
	ts->count[t->state]--;
	if (held(t->state))
		LIST_REMOVE(t, uuid_link);
}

struct tap *tap_new(struct net *n)
{
	struct taps *ts = &n->taps;
	unsigned number = 0;
	while (number < TAPS_MAX && ts->by_number[number])
		number++;
	struct tap *t = number < TAPS_MAX ? calloc(1, sizeof *t) : NULL;
	if (!t)
		return NULL;
	t->number = number;
	t->fd = -1;
	net_tap_name(&n->names, number, t->name);
	ts->by_number[number] = t;
	ts->all++;
	insert(ts, t, TAP_MAKING);
	return t;
}

void tap_free(struct net *n, struct tap *t)
{
	take_out(&n->taps, t);
	n->taps.by_number[t->number] = NULL;
	n->taps.all--;
	sock_close(&t->fd);
	free(t);
}

void tap_move(struct net *n, struct tap *t, enum tap_state state)
{
	take_out(&n->taps, t);
	insert(&n->taps, t, state);
}

struct tap *tap_find(struct net *n, const char *uuid)
{
	struct tap *t;
	LIST_FOREACH (t, bucket(&n->taps, uuid), uuid_link)
		if (strcmp(t->uuid, uuid) == 0)
			return t;
	return NULL;
}

struct tap *tap_by_index(struct net *n, unsigned ifindex)
{
	for (unsigned i = 0; i < TAPS_MAX; i++)
		if (n->taps.by_number[i] && n->taps.by_number[i]->ifindex == ifindex)
			return n->taps.by_number[i];
	return NULL;
}

bool taps_working(struct net *n, struct err *why)
{
	if (n->taps.failures < FAILURES_BROKEN)
		return true;
	err_set(why, ERR_UNAVAILABLE, "no tap can be made: %s", n->taps.reason);
	return false;
}

/* --- opening and closing ports ----------------------------------------------------------------------------------- */

/* Adds to the open transaction. */
static void change_sinks(struct net *n, bool open, const struct tap *t)
{
	for (unsigned i = 0; i < n->config.network.sinks; i++) {
		const struct config_sink *s = &n->config.network.sink[i];
		if (t->sinks & (1u << i))
			rules_sink(&n->rules, open, t->name, s->address ? s->address : n->bridge.address,
				   (uint16_t)s->port);
	}
}

static int commit(struct net *n)
{
	struct err err;
	if (rules_commit(&n->rules, &err) == 0)
		return 0;
	net_fail(n, "%s", err.text);
	return -1;
}

static void close_port(struct net *n, struct tap *t)
{
	rules_port(&n->rules, false, t->name, t->address);
	change_sinks(n, false, t);
	t->sinks = 0;
}

static void rest(struct net *n, struct tap *t)
{
	n->metrics.gives++;
	t->peer = NULL;
	t->due_ns = 0;
	t->tries = 0;
	tap_move(n, t, TAP_RESTING);
}

void tap_take_back(struct net *n, struct tap *t)
{
	rules_begin(&n->rules);
	close_port(n, t);
	commit(n);
	rest(n, t);
}

/* --- handing over ------------------------------------------------------------------------------------------------ */

static struct net_message taken(const struct net *n, const struct tap *t)
{
	struct net_message m = {
		.type = NET_TAKEN,
		.id = t->id,
		.from_pool = t->from_pool,
		.ifindex = t->ifindex,
		.ipv4 = t->address,
		.prefix = n->bridge.prefix,
		.gateway = n->bridge.address,
		.mtu = MTU,
		.flow_s = n->rules.flow_s,
		.took_us = (uint32_t)((clock_ns() - t->asked_ns) / 1000),
	};
	memcpy(m.uuid, t->uuid, sizeof m.uuid);
	memcpy(m.name, t->name, sizeof m.name);
	memcpy(m.gateway_mac, n->bridge.mac, sizeof m.gateway_mac);
	net_mac(t->address, m.mac);
	return m;
}

static void count_take(struct net *n, const struct tap *t)
{
	if (t->from_pool)
		n->metrics.takes_pool++;
	else
		n->metrics.takes_made++;
}

/* The answer goes out first of all. */
static void hand_over(struct net *n, struct tap *t, const struct question *q, bool from_pool)
{
	const struct net_message *m = &q->m;

	memcpy(t->uuid, m->uuid, sizeof t->uuid);
	memcpy(t->label, m->label, sizeof t->label);
	t->peer = q->peer;
	t->id = m->id;
	t->sinks = q->sinks;
	t->from_pool = from_pool;
	t->asked_ns = q->asked_ns;
	if (t->sinks) {
		rules_begin(&n->rules);
		change_sinks(n, true, t);
		if (commit(n) < 0)
			return;
	}
	if (m->type == NET_TAKE_NAMED) {
		t->uid = m->uid;
		t->gid = m->gid;
		t->named = true;
		tap_move(n, t, TAP_LENDING);
		return;
	}
	struct net_message answer = taken(n, t);
	peer_answer(t->peer, &answer, t->fd);
	t->fd = -1;
	tap_move(n, t, TAP_TAKEN);
	count_take(n, t);
}

void tap_lent(struct net *n, struct tap *t, const struct err *err)
{
	struct net_message answer = taken(n, t);
	struct peer *p = t->peer;

	t->fd = -1;
	tap_move(n, t, TAP_TAKEN);
	if (p && !err) {
		count_take(n, t);
		peer_answer(p, &answer, -1);
		return;
	}
	if (p)
		peer_refuse(p, answer.id, err);
	tap_take_back(n, t);
}

static void forget_question(struct net *n, struct question *q)
{
	STAILQ_REMOVE(&n->taps.questions, q, question, link);
	n->taps.waiting--;
	free(q);
}

/* The question that waits longest, of those that take this tap. */
static struct question *next_question(struct net *n, bool fresh)
{
	struct question *q;
	STAILQ_FOREACH (q, &n->taps.questions, link)
		if (fresh || !q->m.fresh)
			break;
	return q;
}

void tap_usable(struct net *n, struct tap *t, bool fresh)
{
	struct question *q = next_question(n, fresh);

	rules_begin(&n->rules);
	rules_port(&n->rules, true, t->name, t->address);
	if (commit(n) < 0)
		return;
	tap_move(n, t, TAP_READY);
	if (!q)
		return;
	hand_over(n, t, q, false);
	forget_question(n, q);
}

/* --- questions --------------------------------------------------------------------------------------------------- */

static int find_sink(const struct net *n, const char *name, size_t len, uint32_t *out, struct err *err)
{
	for (unsigned i = 0; i < n->config.network.sinks; i++) {
		if (strlen(n->config.network.sink[i].name) == len &&
		    memcmp(n->config.network.sink[i].name, name, len) == 0) {
			*out |= 1u << i;
			return 0;
		}
	}
	return err_set(err, ERR_NOT_FOUND, "there is no sink `%.*s` in network.sinks", (int)(len < 40 ? len : 40),
		       name);
}

static int find_sinks(const struct net *n, const char *list, uint32_t *out, struct err *err)
{
	*out = 0;
	if (strspn(list, "abcdefghijklmnopqrstuvwxyz0123456789-,") != strlen(list))
		return err_set(err, ERR_INVALID, "the list of sinks is names with commas between them");
	while (*list) {
		size_t len = strcspn(list, ",");
		if (find_sink(n, list, len, out, err) < 0)
			return -1;
		list += len;
		if (*list == ',' && !*++list)
			return err_set(err, ERR_INVALID, "the list of sinks ends with a comma");
	}
	return 0;
}

static struct question *find_question(struct net *n, const char *uuid)
{
	struct question *q;
	STAILQ_FOREACH (q, &n->taps.questions, link)
		if (strcmp(q->m.uuid, uuid) == 0)
			return q;
	return NULL;
}

static int check_question(struct net *n, const struct net_message *m, uint32_t *sinks, struct err *err)
{
	if (!uuid_valid(m->uuid))
		return err_set(err, ERR_INVALID, "the instance's UUID is not one");
	for (const char *c = m->label; *c; c++)
		if (*c < ' ' || *c > '~')
			return err_set(err, ERR_INVALID, "the label has a character that labels do not have");
	if (m->type == NET_TAKE_NAMED && (m->uid == UINT32_MAX || m->gid == UINT32_MAX))
		return err_set(err, ERR_INVALID, "a tap is lent to a user and a group");
	if (find_sinks(n, m->sinks, sinks, err) < 0)
		return -1;
	if (tap_find(n, m->uuid) || find_question(n, m->uuid))
		return err_set(err, ERR_CONFLICT, "this instance has a tap already, or waits for one");
	if (n->taps.waiting >= NET_WAITING_MAX)
		return err_set(err, ERR_TOO_MANY, "%u questions wait already", NET_WAITING_MAX);
	return 0;
}

static int enqueue(struct net *n, const struct question *question, struct err *err)
{
	struct question *q = malloc(sizeof *q);
	if (!q)
		return err_set(err, ERR_INTERNAL, "out of memory");
	*q = *question;
	STAILQ_INSERT_TAIL(&n->taps.questions, q, link);
	n->taps.waiting++;
	return 0;
}

void taps_ask(struct net *n, struct peer *p, const struct net_message *m)
{
	struct question q = { .peer = p, .m = *m, .asked_ns = clock_ns() };
	struct tap *t = TAILQ_FIRST(&n->taps.list[TAP_READY]);
	struct err err;

	if (check_question(n, m, &q.sinks, &err) < 0) {
		peer_refuse(p, m->id, &err);
		return;
	}
	if (t && !m->fresh) {
		hand_over(n, t, &q, true);
		plan_soon(n);
		return;
	}
	if (enqueue(n, &q, &err) < 0)
		peer_refuse(p, m->id, &err);
	plan_next(n);
}

void taps_refuse_first(struct net *n, const struct err *err)
{
	struct question *q = STAILQ_FIRST(&n->taps.questions);
	peer_refuse(q->peer, q->m.id, err);
	forget_question(n, q);
}

/* A question that still waits is taken back with its answer. */
static int give(struct net *n, struct peer *p, const struct net_message *m, struct err *err)
{
	struct question *q = find_question(n, m->uuid);
	struct tap *t = tap_find(n, m->uuid);

	if (q && q->peer == p) {
		struct err why;
		err_set(&why, ERR_CONFLICT, "the question was taken back");
		peer_refuse(p, q->m.id, &why);
		forget_question(n, q);
		return 0;
	}
	if (!t || t->peer != p)
		return err_set(err, ERR_NOT_FOUND, "this instance has no tap from this connection");
	if (t->state == TAP_LENDING)
		return err_set(err, ERR_CONFLICT, "the tap of this instance is on its way; give it back after that");
	tap_take_back(n, t);
	return 0;
}

void taps_give(struct net *n, struct peer *p, const struct net_message *m)
{
	struct net_message answer = { .type = NET_GIVEN, .id = m->id };
	struct err err;

	if (give(n, p, m, &err) < 0) {
		peer_refuse(p, m->id, &err);
		return;
	}
	memcpy(answer.uuid, m->uuid, sizeof answer.uuid);
	peer_answer(p, &answer, -1);
	plan_soon(n);
}

/* Many ports in few transactions. */
static void take_back_all(struct net *n, const struct peer *p)
{
	struct tap *t, *next;

	rules_begin(&n->rules);
	for (t = TAILQ_FIRST(&n->taps.list[TAP_TAKEN]); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->peer != p)
			continue;
		if (rules_left(&n->rules) < 1 + CONFIG_SINKS_MAX) {
			if (commit(n) < 0)
				return;
			rules_begin(&n->rules);
		}
		close_port(n, t);
		rest(n, t);
	}
	commit(n);
}

void taps_forget(struct net *n, struct peer *p)
{
	struct question *q, *next;
	struct tap *t;

	for (q = STAILQ_FIRST(&n->taps.questions); q; q = next) {
		next = STAILQ_NEXT(q, link);
		if (q->peer == p)
			forget_question(n, q);
	}
	TAILQ_FOREACH (t, &n->taps.list[TAP_LENDING], link)
		if (t->peer == p)
			t->peer = NULL;
	take_back_all(n, p);
	plan_next(n);
}

/* --- loss -------------------------------------------------------------------------------------------------------- */

void tap_lost(struct net *n, struct tap *t, const char *why)
{
	struct net_message m = { .type = NET_LOST };
	struct err err;

	n->metrics.lost++;
	log_warn("tap %s: %s", t->name, why);
	if (t->state == TAP_TAKEN || t->state == TAP_READY || t->state == TAP_LENDING) {
		rules_begin(&n->rules);
		close_port(n, t);
		commit(n);
	}
	if (t->state == TAP_TAKEN && t->peer) {
		memcpy(m.uuid, t->uuid, sizeof m.uuid);
		memcpy(m.name, t->name, sizeof m.name);
		snprintf(m.reason, sizeof m.reason, "tap %s: %s", t->name, why);
		peer_answer(t->peer, &m, -1);
	} else if (t->state == TAP_LENDING && t->peer) {
		err_set(&err, ERR_INTERNAL, "tap %s: %s", t->name, why);
		peer_refuse(t->peer, t->id, &err);
	}
	t->peer = NULL;
	plan_doom(n, t);
	plan_soon(n);
}
