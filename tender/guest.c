/* SPDX-License-Identifier: MIT */
#include "tender/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <ppce/wire.h>
#include "lib/names.h"
#include "tender/load.h"
#include "tender/store.h"

#define LOG_LINES_PER_REQUEST 64
#define WARM_DEADLINE_NS 2000000000ULL

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* While a guest runs on, its monotonic clock never goes back: one that is ahead, because its multiplier is only measured,
 * runs a thousandth slower until it is right again. */
static void write_clocks(struct guest *g)
{
	const struct guest_clock old = g->clock;
	struct vm *vm = &g->vm;
	struct ppce_io *io = vm->io;
	uint64_t now = clock_ns(), tsc = __rdtsc() + vm->tsc_offset;
	uint64_t ticks = tsc > old.tsc ? tsc - old.tsc : 0;
	uint64_t shown = old.mult ? old.ns + (uint64_t)((unsigned __int128)ticks * old.mult >> 32) : 0;
	bool ahead = shown > now;

	g->clock = (struct guest_clock){ .tsc = tsc,
					 .ns = ahead ? shown : now,
					 .mult = ahead ? vm->tsc_mult - vm->tsc_mult / 1000 : vm->tsc_mult };
	io->realtime_ns = realtime_ns();
	io->monotonic_ns = g->clock.ns;
	io->tsc = tsc;
	io->tsc_mult = g->clock.mult;
}

/* Writes every field that the host owns. Runs before each entry, so that nothing the guest did to them lasts. */
static void write_control_page(struct guest *g)
{
	struct vm *vm = &g->vm;
	struct ppce_io *io = vm->io;
	const struct layout *l = &vm->layout;

	io->abi = PPCE_ABI_VERSION;
	io->backend = vm->backend->kind;
	io->doorbell = l->doorbell;
	io->doorbell_fd = 3;
	io->heap_start = g->snapshot.file.image_end;
	io->heap_end = layout_address(l->memory - l->stack - PPCE_PAGE);
	io->request_at = layout_address(l->request);
	io->request_max = l->request_size;
	io->response_at = layout_address(l->response);
	io->response_max = l->response_size;
	io->data_at = l->data_size ? layout_address(l->data) : 0;
	io->data_max = l->data_size;
	io->net_at = g->network ? layout_address(l->net) : 0;
	write_clocks(g);
}

static void fill_random(struct vm *vm)
{
	uint8_t fresh[PPCE_IO_RANDOM];

	random_bytes(fresh, sizeof fresh);
	memcpy(vm->io->random, fresh, sizeof fresh);
	vm->io->random_left = PPCE_IO_RANDOM;
}

static void copy_text(char *out, size_t size, const char *text, size_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		out[i] = c >= 0x20 && c != 0x7f ? (char)c : (c == '\t' ? ' ' : '?');
	}
	out[n] = '\0';
}

/* A call as the guest made it, copied from the control page once. */
struct call {
	uint32_t number;
	uint64_t arg[2];
};

static void serve_log(struct guest *g, const struct call *call)
{
	char line[PPCE_IO_TEXT + 1];

	if (g->log_budget == 0 || !g->log)
		return;
	g->log_budget--;
	copy_text(line, sizeof line, g->vm.io->text, call->arg[1]);
	g->log((int)call->arg[0], line);
}

static bool bad_call(struct guest *g, const struct call *call, enum guest_end *end)
{
	*end = GUEST_CRASHED;
	snprintf(g->reason, sizeof g->reason, "bad call %u (%#lx, %#lx)", call->number, (unsigned long)call->arg[0],
		 (unsigned long)call->arg[1]);
	return true;
}

static bool over_deadline(struct guest *g, enum guest_end *end)
{
	*end = GUEST_DEADLINE;
	snprintf(g->reason, sizeof g->reason, "over the deadline");
	return true;
}

/* Does this call to the store end the guest's run? */
static bool store_ends(struct guest *g, const struct call *call, uint64_t deadline_ns, enum guest_end *end)
{
	uint64_t max = g->vm.layout.data_size;
	int64_t result = -(int64_t)STORE_NONE;

	if (max &&
	    (call->arg[0] < STORE_QUERY || call->arg[0] > STORE_DECLASSIFY || call->arg[1] == 0 || call->arg[1] > max))
		return bad_call(g, call, end);
	if (max && g->store >= 0 && g->ticket) {
		const struct store_request r = { .verb = (uint32_t)call->arg[0],
						 .length = (uint32_t)call->arg[1],
						 .data = g->vm.data,
						 .max = (uint32_t)max };
		switch (store_exchange(g->store, &r, g->ticket, deadline_ns, &result)) {
		case STORE_OVERDUE:
			return over_deadline(g, end);
		case STORE_MALFORMED:
			*end = GUEST_STORE_FAULT;
			snprintf(g->reason, sizeof g->reason, "the store sent a malformed reply");
			return true;
		case STORE_CLOSED:
			g->store_lost = true;
			break;
		case STORE_ANSWERED:
			break;
		}
	}
	g->vm.io->result = result;
	return false;
}

static bool call_ends(struct guest *g, const struct call *call, uint64_t deadline_ns, enum guest_end *end,
		      size_t *response_len)
{
	switch (call->number) {
	case PPCE_CALL_WAIT:
		if (g->network) {
			*end = GUEST_CRASHED;
			snprintf(g->reason, sizeof g->reason, "waits for requests on a channel, but has a network");
			return true;
		}
		*end = call->arg[0] <= g->vm.layout.response_size ? GUEST_WAITING : GUEST_BAD_ANSWER;
		*response_len = (size_t)call->arg[0];
		return true;
	case PPCE_CALL_LOG:
		if (call->arg[0] < 3 || call->arg[0] > 7 || call->arg[1] > PPCE_IO_TEXT)
			break;
		serve_log(g, call);
		g->vm.io->result = 0;
		return false;
	case PPCE_CALL_RANDOM:
		fill_random(&g->vm);
		g->vm.io->result = PPCE_IO_RANDOM;
		return false;
	case PPCE_CALL_EXIT:
		*end = GUEST_CRASHED;
		snprintf(g->reason, sizeof g->reason, "the app exited with status %d", (int)(call->arg[0] & 0xff));
		return true;
	case PPCE_CALL_PANIC:
		if (call->arg[1] > PPCE_IO_TEXT)
			break;
		*end = GUEST_CRASHED;
		int n = snprintf(g->reason, sizeof g->reason, "panic: ");
		copy_text(g->reason + n, sizeof g->reason - (size_t)n, g->vm.io->text, call->arg[1]);
		return true;
	case PPCE_CALL_STORE:
		return store_ends(g, call, deadline_ns, end);
	case PPCE_CALL_NET:
		g->network_wait_us = call->arg[0];
		*end = GUEST_NETWORK;
		g->vm.io->result = -ENETDOWN;
		return g->network;
	default:
		break;
	}
	return bad_call(g, call, end);
}

/* Runs until the guest waits or is lost. The control page must be up to date. */
static int run_guest(struct guest *g, uint64_t deadline_ns, enum guest_end *end, size_t *response_len, struct err *err)
{
	struct vm *vm = &g->vm;
	enum vm_exit why;

	*response_len = 0;
	for (;;) {
		if (vm->backend->run(vm, deadline_ns, &why, err) < 0)
			return -1;
		if (why == VM_DEADLINE) {
			over_deadline(g, end);
			return 0;
		}
		if (why == VM_CRASHED) {
			*end = GUEST_CRASHED;
			memcpy(g->reason, vm->crash, sizeof g->reason);
			return 0;
		}
		const volatile struct ppce_io *io = vm->io;
		struct call call = { io->call, { io->arg[0], io->arg[1] } };
		if (call_ends(g, &call, deadline_ns, end, response_len))
			return 0;
	}
}

uint8_t *guest_request_buffer(struct guest *g, size_t len)
{
	return len <= g->vm.layout.request_size ? g->vm.request : NULL;
}

void guest_refresh(struct guest *g)
{
	fill_random(&g->vm);
	g->log_budget = LOG_LINES_PER_REQUEST;
}

int guest_serve(struct guest *g, size_t len, const struct ticket *ticket, uint64_t deadline_ns, enum guest_end *end,
		size_t *response_len, struct err *err)
{
	guest_refresh(g);
	g->clock = (struct guest_clock){ 0 };
	write_control_page(g);
	g->vm.io->result = (int64_t)len;
	g->entered_ns = clock_ns();
	g->ticket = ticket;
	int r = run_guest(g, deadline_ns, end, response_len, err);
	g->ticket = NULL;
	return r;
}

int guest_run_network(struct guest *g, int64_t result, const struct ticket *ticket, uint64_t deadline_ns,
		      enum guest_end *end, struct err *err)
{
	size_t none;

	g->network = true;
	write_control_page(g);
	g->vm.io->result = result;
	g->ticket = ticket;
	int r = run_guest(g, deadline_ns, end, &none, err);
	g->ticket = NULL;
	g->network = false;
	return r;
}

/* The synthetic request: "GET warm_path" from nobody at no label. */
static size_t encode_warmup(const char *path, uint8_t *out, size_t size)
{
	struct wire_request r = { .version = WIRE_VERSION };
	char text[160];
	size_t at = sizeof r, len = strlen(path);

	memcpy(text, "GET", 4);
	memcpy(text + 4, path, len + 1);
	if (size < at + 5 + len)
		return 0;
	uint32_t nothing = (uint32_t)(at + 3);
	r.method = (struct wire_ref){ (uint32_t)at, 3 };
	r.path = (struct wire_ref){ (uint32_t)at + 4, (uint32_t)len };
	r.query = r.app = r.user = r.class_name = r.label = r.session = r.purpose = r.request_id = r.body =
		(struct wire_ref){ nothing, 0 };
	memcpy(out, &r, sizeof r);
	memcpy(out + at, text, 5 + len);
	return at + 5 + len;
}

/* A warm-up that fails is no fault of the image's: its pages are then simply those it touched until then. */
static int run_warmup(struct guest *g, struct err *err)
{
	size_t len = encode_warmup(g->snapshot.file.warm_path, g->vm.request, g->vm.layout.request_size), answer;
	guest_log_fn *log = g->log;
	enum guest_end end;

	g->log = NULL; /* nobody asked for what a warm-up prints */
	int r = guest_serve(g, len, NULL, clock_ns() + WARM_DEADLINE_NS, &end, &answer, err);
	g->log = log;
	return r;
}

int guest_warm_up(struct guest *g, struct err *err)
{
	struct vm *vm = &g->vm;
	bool deviated;

	if (!vm->backend->record_warm)
		return 0;
	if (run_warmup(g, err) < 0)
		return -1;
	return vm->backend->reset(vm, &g->snapshot, &deviated, err);
}

int guest_reset(struct guest *g, struct err *err)
{
	struct vm *vm = &g->vm;
	bool deviated;

	if (vm->backend->reset(vm, &g->snapshot, &deviated, err) < 0)
		return -1;
	vm->resets++;
	if (!deviated)
		return 0;
	vm->rewarms++;
	return guest_warm_up(g, err);
}

int guest_clone(struct guest *g, int snapshot_fd, struct err *err)
{
	struct vm *vm = &g->vm;

	if (snapshot_read(&g->snapshot, snapshot_fd, vm->backend->kind, err) < 0)
		return -1;
	vm->layout = g->snapshot.layout;
	return vm->backend->clone(vm, snapshot_fd, &g->snapshot, err);
}

static int boot_to_first_wait(struct guest *g, uint64_t deadline_ns, struct err *err)
{
	enum guest_end end;
	size_t response_len;

	guest_refresh(g);
	write_control_page(g);
	if (run_guest(g, deadline_ns, &end, &response_len, err) < 0)
		return -1;
	if (end == GUEST_DEADLINE)
		return err_set(err, ERR_TIMEOUT,
			       "the image did not wait for its first request in time: is its init too slow?");
	if (end != GUEST_WAITING)
		return err_set(err, ERR_INVALID, "the image failed before its first request: %s",
			       end == GUEST_CRASHED ? g->reason : "bad call");
	return 0;
}

int guest_start(struct guest *g, int image_fd, int memory_fd, uint32_t deadline_ms, struct ppce_manifest *manifest,
		struct err *err)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)deadline_ms * 1000000, stack_pointer;
	struct vm *vm = &g->vm;
	struct image image;

	if (load_image(image_fd, memory_fd, vm->backend->kind, &image, &g->snapshot, &stack_pointer, err) < 0)
		return -1;
	*manifest = image.manifest;
	vm->layout = g->snapshot.layout;
	if (vm->backend->boot(vm, memory_fd, &image, stack_pointer, err) < 0)
		return -1;
	return boot_to_first_wait(g, deadline_ns, err);
}

int guest_boot(struct guest *g, int image_fd, int memory_fd, uint32_t deadline_ms, struct ppce_manifest *manifest,
	       struct err *err)
{
	struct vm *vm = &g->vm;

	if (guest_start(g, image_fd, memory_fd, deadline_ms, manifest, err) < 0 ||
	    vm->backend->save(vm, &g->snapshot, err) < 0)
		return -1;
	if (vm->backend->record_warm) {
		if (vm->backend->clone(vm, memory_fd, &g->snapshot, err) < 0 || run_warmup(g, err) < 0 ||
		    vm->backend->record_warm(vm, &g->snapshot, err) < 0)
			return -1;
	}
	return snapshot_write(&g->snapshot, memory_fd, err);
}

void guest_destroy(struct guest *g)
{
	g->vm.backend->destroy(&g->vm);
	snapshot_free(&g->snapshot);
}
