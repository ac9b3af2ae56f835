/* SPDX-License-Identifier: MIT
 *
 * DIR/ppce.yaml, read by every daemon and by `ppce`. Unknown keys, wrong types and values out of range are errors of
 * kind ERR_CONFIG whose text starts with "file:line: " and names the key and, where one is near, the key probably meant.
 * A missing key takes the default in the comment. config_example() is what `ppce init` writes.
 */
#ifndef LIB_CONFIG_H
#define LIB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ppce/limits.h>
#include "lib/err.h"

#define CONFIG_SINKS_MAX 16

/* A place that instances may connect to (TCP), once policy lets one of their label do so. */
struct config_sink {
	char name[PPCE_NAME_SIZE];
	uint32_t address;	       /* host byte order; 0: "host", the bridge's own address */
	unsigned port;		       /* 1..65535 */
	char label[PPCE_LABEL_SIZE];   /* what may be sent there */
	char returns[PPCE_LABEL_SIZE]; /* what comes back from there; default: the same */
};

enum config_backend { BACKEND_AUTO, BACKEND_KVM, BACKEND_PROCESS };
enum config_durability { DURABILITY_PROCESS, DURABILITY_POWER };

struct config {
	char dir[256];			    /* absolute; not from the file */
	char listen[64];		    /* listen: "127.0.0.1:8080" */
	bool expose_timing;		    /* expose_timing: false */
	bool secure_cookie;		    /* secure_cookie: true; `init --dev` writes false */
	char log_level[8];		    /* log_level: info */
	struct {			    /* auth: */
		unsigned argon2_memory_mib; /* 64; 8..1024 */
		unsigned argon2_passes;	    /* 2; 1..16 */
		unsigned hash_workers;	    /* 1; 1..16 */
		unsigned hash_queue;	    /* 16; 1..1024: logins waiting for a worker; more get 503 */
		unsigned session_minutes;   /* 480; 1..43200 */
		unsigned tries_per_minute;  /* 10; 1..1000: failed logins per user, and per address x 5 */
	} auth;
	struct {			     /* vmmd: */
		enum config_backend backend; /* auto | kvm | process; auto: kvm where it works */
		unsigned shells;	     /* 2; 0..64: tenders with an empty VM made ahead */
		unsigned boot_ms;	     /* 10000; 100..600000: an image's boot up to its first wait */
		unsigned reboot_s;	     /* 3600; 0..604800: images are booted anew that often, 0: never */
		unsigned max_instances;	     /* 1024; 1..65536: over all apps */
		bool labelled_logs;   /* false: lines of instances that have read labelled data are not written */
		char tender_user[33]; /* nobody: user that tenders and the signer run as when we are root */
		char solo5_hvt[256];  /* auto: in PATH; else an absolute path. Runs images of kind solo5-hvt */
	} vmmd;
	struct {		       /* proxy: */
		unsigned connections;  /* 1024; 1..65536 */
		unsigned queue;	       /* 256; 0..65536: requests of one app waiting for an instance; more get 503 */
		unsigned queue_ms;     /* 5000; 1..600000: longest wait, then 503 */
		unsigned request_ms;   /* 10000; 1..3600000: deadline of one request in an instance */
		unsigned header_bytes; /* 16384; 1024..1048576 */
		unsigned target_bytes; /* 8192; 64..65536 */
		unsigned body_bytes;   /* 1048576; 0..16777216 */
		unsigned head_ms, body_ms, idle_ms; /* 10000, 30000, 60000; 10..600000 */
		unsigned blocked_grid_ms; /* 100; 0..10000: answers of instances that have read more than the session
					   * may see leave at multiples of this time; 0: at once */
		unsigned health_s;	  /* 10; 0..3600: idle unikernels made elsewhere are connected to that often; 0:
					   * never */
	} proxy;
	struct {				   /* audit: */
		enum config_durability durability; /* process | power: what an acknowledged record survives */
		unsigned rotate_mib;		   /* 64; 1..4096: size of a data file, then a new one */
		unsigned checkpoint_ms;		   /* 1000; 10..3600000: longest time a record stays unsigned */
	} audit;
	struct {		  /* network: */
		bool enabled;	  /* false: no taps, ppce-net is not started */
		char bridge[16];  /* auto: a name made from the directory; else [a-z][a-z0-9-]{0,14} */
		char subnet[20];  /* "10.77.0.0/22"; /16../29. Its first address is the bridge's */
		unsigned taps;	  /* 8; 0..256: made ahead */
		unsigned reuse_s; /* 60; 0..86400: an address rests that long before another instance gets it */
		unsigned sinks;	  /* entries of sink[] */
		struct config_sink sink[CONFIG_SINKS_MAX]; /* sinks: {NAME: {address, port, label, returns}} */
	} network;
};

/* Reads DIR/ppce.yaml. `dir` may be relative. */
int config_load(const char *dir, struct config *out, struct err *err);
int config_parse(const char *name, const char *text, size_t len, struct config *out, struct err *err);
/* "10.77.0.0/22" in numbers, host byte order. -1 if it is not a usable subnet. */
int config_subnet(const char *text, uint32_t *base, unsigned *prefix);
/* A commented file with every key at its default; with dev: plain HTTP on loopback, timing headers on. Static text. */
const char *config_example(bool dev);
/* DIR/run/NAME and the like; returns out. Too long for a Unix socket address is ERR_CONFIG at config_load. */
const char *config_path(const struct config *c, const char *tail, char *out, size_t size);

#endif
