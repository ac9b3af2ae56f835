/* SPDX-License-Identifier: MIT */
#include "tender/serve_net.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/names.h"
#include "tender/serve.h"

#define IDLE_RUN_NS 1000000000ull    /* longest run of a guest that has no request */
#define IDLE_WINDOW_NS 1000000000ull /* in each such window all its runs together */
#define IDLE_SHARE_NS 200000000ull   /* may take so long; then it waits for the next */

/* What the service does next. */
enum step {
	STEP_RUN,    /* lets the guest go on */
	STEP_CALL,   /* the guest was made anew, and its call is to be served */
	STEP_CLOSED, /* the channel is closed or broken */
	STEP_ENDED,  /* that was the last request */
	STEP_LOST,   /* the guest is lost */
};

enum heard { HEARD_NOTHING, HEARD_BEGIN, HEARD_END, HEARD_CLOSED };

/* --- the channel --- */

/* Is this header the one that may come now? */
static bool acceptable(const struct network_service *s)
{
	const struct frame_header *h = &s->in.h;

	if (!frame_valid(h, true))
		return false;
	if (h->type == FRAME_BEGIN)
		return !s->busy && ((h->flags & FRAME_FLAG_TICKET) != 0) == (s->guest->store >= 0);
	return h->type == FRAME_END && s->busy && h->id == s->id;
}

/* Bytes that the frame has as far as is known: its header, then its ticket. */
static size_t wanted(const struct network_service *s)
{
	bool ticket = s->have >= sizeof s->in.h && (s->in.h.flags & FRAME_FLAG_TICKET);

	return ticket ? sizeof s->in : sizeof s->in.h;
}

/* Takes the next frame off the channel if all of it is there. */
static enum heard hear(struct network_service *s)
{
	while (s->have < wanted(s)) {
		ssize_t n = recv(s->channel, (char *)&s->in + s->have, wanted(s) - s->have, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return HEARD_NOTHING;
		if (n <= 0)
			return HEARD_CLOSED;
		s->have += (size_t)n;
		if (s->have >= sizeof s->in.h && !acceptable(s))
			return HEARD_CLOSED;
	}
	s->have = 0;
	return s->in.h.type == FRAME_BEGIN ? HEARD_BEGIN : HEARD_END;
}

static void begin_request(struct network_service *s)
{
	s->busy = true;
	s->id = s->in.h.id;
	s->deadline_ns = clock_ns() + (uint64_t)s->in.h.code * 1000000;
	s->run_ns = 0;
	if (s->guest->store >= 0)
		s->ticket = s->in.ticket;
	explicit_bzero(&s->in.ticket, sizeof s->in.ticket);
	guest_refresh(s->guest);
}

static void end_request(struct network_service *s)
{
	s->busy = false;
	explicit_bzero(&s->ticket, sizeof s->ticket); /* a reset of the process backend forks us */
	s->stats->last_used_ns = clock_ns();
}

static void update_stats(struct network_service *s)
{
	s->stats->frames_in = s->net.in;
	s->stats->frames_out = s->net.out;
	s->stats->frames_dropped = s->net.dropped;
}

/* --- the guest --- */

/* The guest is lost; who waits for an answer is told. `reason` NULL: err has it already. */
static int lost(struct network_service *s, enum frame_failure code, const char *reason, struct err *err)
{
	if (s->busy) {
		s->stats->failures++;
		(void)frame_send_failure(s->channel, s->id, code);
		end_request(s);
	}
	return reason ? err_set(err, ERR_BAD_GATEWAY, "%s", reason) : -1;
}

/* Runs the guest up to its next PPCE_CALL_NET. */
static int run(struct network_service *s, int64_t result, struct err *err)
{
	struct guest *g = s->guest;
	uint64_t start = clock_ns(), deadline = s->busy ? s->deadline_ns : start + IDLE_RUN_NS;
	enum guest_end end;

	if (guest_run_network(g, result, s->busy && g->store >= 0 ? &s->ticket : NULL, deadline, &end, err) < 0)
		return lost(s, FRAME_INTERNAL, NULL, err);
	uint64_t ran = clock_ns() - start;
	if (s->busy) {
		s->run_ns += ran;
		s->stats->busy_ns += ran;
	} else {
		s->idle_ns += ran;
	}
	return end == GUEST_NETWORK ? 0 : lost(s, serve_failure(end), g->reason, err);
}

/* The guest stands at its first wait: tells it that it has a network, and lets it set up what it serves with. */
static int enter(struct network_service *s, struct err *err)
{
	net_begin(&s->net, s->guest->vm.net);
	guest_refresh(s->guest);
	s->entered = true;
	return run(s, 0, err);
}

/* Back to the first wait and on from there; frames that were meant for the guest's earlier life are dropped. */
static int renew(struct network_service *s, uint32_t *reset_us, struct err *err)
{
	if (serve_reset(s->guest, s->stats, reset_us, err) < 0)
		return -1;
	net_drain(&s->net);
	return enter(s, err);
}

static int prepare(struct network_service *s, struct err *err)
{
	struct pollfd p = { .fd = s->channel, .events = POLLIN };

	/* Nobody waits yet: use the time to bring the clone to where every reset leaves it. */
	if (s->reset == CONTROL_RESET_PRISTINE && poll(&p, 1, 0) == 0 && guest_warm_up(s->guest, err) < 0)
		return -1;
	return enter(s, err);
}

static int store_gone(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "the store closed this instance's socket");
}

/* The proxy has its answer, or wants none any more. */
static enum step finish(struct network_service *s, struct err *err)
{
	struct guest *g = s->guest;
	bool last = s->reset == CONTROL_RESET_DISCARD || g->store_lost;
	struct frame_header ready = { .type = FRAME_READY,
				      .id = s->id,
				      .flags = last ? FRAME_FLAG_LAST : 0,
				      .run_us = (uint32_t)(s->run_ns / 1000),
				      .code = s->stats->requests ? 0 : g->create_us,
				      .clone_us = s->stats->requests ? 0 : g->clone_us };

	end_request(s);
	s->stats->requests++;
	if (!last && s->reset == CONTROL_RESET_PRISTINE && renew(s, &ready.load_us, err) < 0)
		return STEP_LOST;
	update_stats(s);
	int sent = frame_send(s->channel, &ready, NULL);
	if (g->store_lost) {
		store_gone(err);
		return STEP_LOST;
	}
	if (last)
		return STEP_ENDED;
	if (sent < 0)
		return STEP_CLOSED;
	return s->reset == CONTROL_RESET_PRISTINE ? STEP_CALL : STEP_RUN;
}

/* --- one PPCE_CALL_NET --- */

/* When an idle guest that has run too much may go on; 0: now. */
static uint64_t idle_until(struct network_service *s, uint64_t now)
{
	if (now - s->window_ns >= IDLE_WINDOW_NS) {
		s->window_ns = now;
		s->idle_ns = 0;
	}
	return !s->busy && s->idle_ns > IDLE_SHARE_NS ? s->window_ns + IDLE_WINDOW_NS : 0;
}

/* Sleeps until something can be read or `until`. */
static void wait_for(const struct network_service *s, bool tap, uint64_t until)
{
	struct pollfd p[2] = { { .fd = s->channel, .events = POLLIN }, { .fd = s->net.tap, .events = POLLIN } };
	uint64_t now = clock_ns(), left = until > now ? (until - now + 999999) / 1000000 : 0;

	(void)poll(p, tap ? 2 : 1, until == UINT64_MAX ? -1 : (left > INT_MAX ? INT_MAX : (int)left));
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t call_ends_at(uint64_t wait_us)
{
	uint64_t now = clock_ns();

	return wait_us > (UINT64_MAX - now) / 1000 ? UINT64_MAX : now + wait_us * 1000;
}

static enum step net_lost(struct network_service *s, enum net_end end, struct err *err)
{
	lost(s, end == NET_BROKEN ? FRAME_CRASHED : FRAME_INTERNAL, s->net.reason, err);
	return STEP_LOST;
}

/* Acts on all that stands in the channel. The last of it may be a FRAME_BEGIN right behind the FRAME_END before it: frames
 * are shown after both. *news: there was something. */
static enum step take_news(struct network_service *s, bool *news, struct err *err)
{
	enum step step = STEP_RUN;

	for (enum heard heard = hear(s); heard != HEARD_NOTHING; heard = hear(s)) {
		*news = true;
		if (heard == HEARD_CLOSED)
			return STEP_CLOSED;
		if (heard == HEARD_BEGIN)
			begin_request(s);
		else if ((step = finish(s, err)) != STEP_RUN)
			return step;
	}
	return STEP_RUN;
}

static enum step wait_for_frames(struct network_service *s, uint64_t until, uint32_t *frames, struct err *err)
{
	bool news = false;

	for (;;) {
		uint64_t rest = idle_until(s, clock_ns());
		enum net_end end = rest ? NET_DONE : net_receive(&s->net);
		if (end != NET_DONE)
			return net_lost(s, end, err);
		enum step step = take_news(s, &news, err);
		if (step != STEP_RUN)
			return step;
		uint64_t now = clock_ns();
		if (s->busy && now >= s->deadline_ns) {
			lost(s, FRAME_DEADLINE, "over the deadline", err);
			return STEP_LOST;
		}
		*frames = net_show(&s->net);
		if (news || (!rest && (*frames || now >= until)))
			return STEP_RUN;
		wait_for(s, !rest, rest ? rest : earlier(until, s->busy ? s->deadline_ns : UINT64_MAX));
	}
}

static enum step serve_call(struct network_service *s, uint32_t *frames, struct err *err)
{
	enum net_end end = net_look(&s->net);

	if (end == NET_DONE)
		end = net_send(&s->net);
	if (end != NET_DONE)
		return net_lost(s, end, err);
	return wait_for_frames(s, call_ends_at(s->guest->network_wait_us), frames, err);
}

/* The request under way is over: nobody reads its answer. */
static int on_closed(struct network_service *s, struct err *err)
{
	uint32_t reset_us;

	explicit_bzero(&s->in, sizeof s->in);
	if (!s->busy)
		return 0;
	end_request(s);
	if (s->guest->store_lost)
		return store_gone(err);
	if (s->reset == CONTROL_RESET_DISCARD)
		return 1;
	return s->reset == CONTROL_RESET_PRISTINE ? renew(s, &reset_us, err) : 0;
}

int serve_network(struct network_service *s, int channel, struct err *err)
{
	uint32_t frames = 0;

	s->channel = channel;
	s->have = 0;
	if (!s->entered && prepare(s, err) < 0)
		return -1;
	for (;;) {
		enum step step = serve_call(s, &frames, err);
		update_stats(s);
		switch (step) {
		case STEP_RUN:
			if (run(s, frames, err) < 0)
				return -1;
			break;
		case STEP_CALL:
			break;
		case STEP_CLOSED:
			return on_closed(s, err);
		case STEP_ENDED:
			return 1;
		case STEP_LOST:
			return -1;
		}
	}
}
