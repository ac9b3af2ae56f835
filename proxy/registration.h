/* SPDX-License-Identifier: MIT
 *
 * Outside services that take part in routing like instances do: registered by (app, label, address) with a time to live.
 * Requests of exactly that label go to the one with the fewest in flight; ties go round robin. Pure tables; forward_http.c
 * does the talking.
 */
#ifndef PROXY_REGISTRATION_H
#define PROXY_REGISTRATION_H

#include <ppce/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "policy/label.h"

#define REGISTRATIONS_MAX 1024u
#define REGISTRATION_DOWN_NS 3000000000ull /* how long a service that could not be reached is left alone */
#define REGISTRATION_TTL_S 60		   /* default */
#define REGISTRATION_TTL_MAX_S 86400

struct service {
	TAILQ_ENTRY(service) all;
	char id[PPCE_UUID_SIZE];
	char app[PPCE_NAME_SIZE], label[PPCE_LABEL_SIZE], address[PPCE_ADDRESS_SIZE];
	struct label level;
	uint64_t expires_ns, down_until_ns;
	uint64_t served, failed;
	unsigned in_flight;
	bool removed; /* freed with its last request */
};

TAILQ_HEAD(service_list, service);
struct registrations {
	struct service_list all; /* in the order of round robin: the one used longest ago first */
	unsigned count;
};

void registrations_init(struct registrations *r);
void registrations_free(struct registrations *r);
/* Checks the fields and adds the service, or renews the one of the same (app, label, address). NULL with err. */
struct service *registration_add(struct registrations *r, const struct policy *policy, const char *app,
				 const char *label, const char *address, unsigned ttl_s, uint64_t now_ns,
				 struct err *err);
struct service *registration_find(const struct registrations *r, const char *id);
void registration_remove(struct registrations *r, struct service *s);
bool registration_knows(const struct registrations *r, const char *app); /* at any label */
/* The service for a request, with in_flight counted up; NULL if none of that label is there and up. */
struct service *registration_choose(struct registrations *r, const char *app, const char *label, uint64_t now_ns);
/* The request is done with it. `reached`: it answered; otherwise it is left alone for a while. */
void registration_release(struct registrations *r, struct service *s, bool reached, uint64_t now_ns);
void registrations_sweep(struct registrations *r, uint64_t now_ns); /* removes what has expired */

#endif
