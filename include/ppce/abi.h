/* SPDX-License-Identifier: MIT
 *
 * The line between a guest and its tender: the address map, the doorbell and the control page. docs/abi.md explains
 * it at length. Everything in guest memory is untrusted to the host; the host copies what it needs once, validates
 * the copy, then acts.
 *
 * Address map (virtual = guest physical, 4 KiB pages; the page tables belong to the host and are not mapped):
 *
 *   0            .. PPCE_IMAGE_BASE   nothing: a null pointer plus any small offset faults
 *   PPCE_IMAGE_BASE, memory_mib long  segments of the ELF file with their own rights (W^X), then the heap (RW), a guard
 *                                     page, and the stack (RW) at the end
 *   guard page, then the IO window    control page (struct ppce_io), request, response and data buffer, network page
 *                                     (struct ppce_net) and its frames (RW, no exec)
 *   guard page, then host pages       descriptor tables and stubs (no access from ring 3 but the syscall stub: r-x)
 *   doorbell page                     a write there leaves the VM; nothing is behind it
 *
 * A guest finds struct ppce_io by the auxiliary vector entry AT_PPCE on its initial stack; without that entry the
 * program runs as a plain Linux process and must not touch any of this.
 */
#ifndef PPCE_ABI_H
#define PPCE_ABI_H

#include <stdint.h>

#include <ppce/limits.h>

#define PPCE_PAGE 4096u
#define PPCE_IMAGE_BASE 0x100000u /* lowest address of a segment; ppce-cc links there */
#define AT_PPCE 0x50504345u	  /* auxv type; value: address of struct ppce_io */
#define PPCE_IO_TEXT 2048u	  /* bytes of ppce_io.text */
#define PPCE_IO_RANDOM 256u	  /* bytes of ppce_io.random */

enum ppce_backend {
	PPCE_BACKEND_KVM = 1,	  /* doorbell: a one-byte store to ppce_io.doorbell */
	PPCE_BACKEND_PROCESS = 2, /* doorbell: sendto(ppce_io.doorbell_fd, 1 byte), then recvfrom of 1 byte on it */
};

/* What a guest may ask for: set .call and .arg, ring the doorbell, read .result (negative: -errno).
 * A call that is not in this list, or an argument out of range, ends the instance. */
enum ppce_call {
	PPCE_CALL_WAIT = 1, /* arg[0]: bytes of the response to the current request that stand in the response buffer
			       * (0 on the first call, which is where the snapshot is taken). Returns when the next
			       * request stands in the request buffer; result = its length in bytes. Result 0: there is
			       * a network instead; serve HTTP on it and never WAIT again. */
	PPCE_CALL_LOG = 2,  /* arg[0]: severity 3 error .. 7 debug (RFC 5424); arg[1]: bytes in .text, 0..PPCE_IO_TEXT.
			       * Over the rate limit lines are dropped silently. result 0 */
	PPCE_CALL_RANDOM = 3, /* refills .random from the host's getrandom(2); result = PPCE_IO_RANDOM */
	PPCE_CALL_EXIT = 4,   /* arg[0]: exit status; does not return. During boot it fails the image */
	PPCE_CALL_PANIC = 5,  /* arg[1]: bytes in .text, the reason; does not return */
	PPCE_CALL_STORE = 6,  /* arg[0]: enum store_verb; arg[1]: bytes of the call in the data buffer (ppce/store.h),
			       * 1..data_max. result: bytes of the answer, which replaces the call, or minus enum
			       * store_status. Without a store, or while no request is served: -STORE_NONE.
			       * When the store has closed the socket: -STORE_UNAVAILABLE; the instance then ends with
			       * its answer */
	PPCE_CALL_NET =
		7, /* takes the frames that the guest has put into the ring `tx` and puts those that have come for
			      * it into `rx`. arg[0]: how long to wait for one, in us, when none has come; 0: not at all,
			      * PPCE_NET_FOREVER: no limit. result: frames in rx now (0: the time is up, or a request
			      * begins or ends); -ENETDOWN: this instance has no network */
};

#define PPCE_NET_FOREVER UINT64_MAX
#define PPCE_NET_SLOTS 16u	  /* frames of one ring */
#define PPCE_NET_SLOT_BYTES 2048u /* room of one frame */
#define PPCE_NET_FRAME_MIN 14u	  /* Ethernet header, no FCS */
#define PPCE_NET_FRAME_MAX 1514u  /* with an MTU of 1500 */

/* The network page, followed by PPCE_NET_SLOTS slots of tx and as many of rx. Counters run freely and wrap; slot of frame
 * n is n % PPCE_NET_SLOTS. Each counter has one writer. The host keeps its own two in its own memory and only shows them
 * here; of the guest's it reads each once per call: a distance above PPCE_NET_SLOTS, or a length outside
 * PPCE_NET_FRAME_MIN..MAX, ends the instance. */
struct ppce_net {
	/* host to guest; constant for the life of an instance */
	uint32_t ipv4, prefix, gateway; /* host byte order: 10.77.0.1 is 0x0a4d0001 */
	uint32_t mtu;
	uint8_t mac[6], gateway_mac[6]; /* frames from and to any other are dropped */
	uint16_t port;			/* TCP port on which HTTP is to be served */
	uint16_t nsinks;
	struct ppce_net_sink { /* where outgoing TCP may go; the guest's /etc/hosts */
		char name[PPCE_NAME_SIZE];
		uint8_t pad;
		uint16_t port;
		uint32_t ipv4;
	} sink[PPCE_SINKS_MAX];
	/* rings */
	uint32_t tx_put;   /* guest: frames put into tx since the start */
	uint32_t tx_taken; /* host: frames taken from tx */
	uint32_t rx_put;   /* host: frames put into rx */
	uint32_t rx_taken; /* guest: frames taken from rx */
	uint16_t tx_len[PPCE_NET_SLOTS], rx_len[PPCE_NET_SLOTS];
};
#define PPCE_NET_BYTES (PPCE_PAGE + 2 * PPCE_NET_SLOTS * PPCE_NET_SLOT_BYTES)
_Static_assert(sizeof(struct ppce_net) <= PPCE_PAGE, "the network page is one page");

/* The control page. The host writes every field of the first group before each entry into the guest and reads none of
 * it back. The guest's clock is: ns = base_ns + (rdtsc - tsc) * tsc_mult >> 32 (128-bit product). */
struct ppce_io {
	/* host to guest */
	uint32_t abi;		       /* PPCE_ABI_VERSION */
	uint32_t backend;	       /* enum ppce_backend */
	uint64_t doorbell;	       /* address to store to (KVM) */
	int32_t doorbell_fd;	       /* descriptor to ring (process) */
	uint32_t random_left;	       /* fresh bytes in .random: PPCE_IO_RANDOM at entry; the guest counts it down */
	uint64_t heap_start, heap_end; /* page-aligned; [start, end) is zero at boot, for brk and mmap */
	uint64_t request_at, request_max;   /* request buffer: address, bytes */
	uint64_t response_at, response_max; /* response buffer: address, bytes */
	uint64_t data_at, data_max;	    /* data buffer; both 0 in an image that lists no queries */
	uint64_t net_at;		    /* struct ppce_net; 0: this instance has no network */
	uint64_t tsc, tsc_mult; /* TSC when the two clocks below were read; ns per tick, 32.32 fixed point */
	uint64_t realtime_ns, monotonic_ns;
	/* guest to host, and the answer */
	uint32_t call; /* enum ppce_call */
	uint32_t pad;
	uint64_t arg[4];
	int64_t result;
	uint8_t random[PPCE_IO_RANDOM]; /* fresh at every boot, clone and request; never the same for two instances */
	char text[PPCE_IO_TEXT];
};
_Static_assert(sizeof(struct ppce_io) <= PPCE_PAGE, "the control page is one page");

#endif
