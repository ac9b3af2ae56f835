/* SPDX-License-Identifier: MIT
 *
 * The text that `ppce init` writes. A test parses both forms and checks that they hold every key at its default.
 */
#include "lib/config.h"

/* clang-format off */
#define EXAMPLE(mode, timing, cookie) \
	"# PPCE, this machine's settings (" mode ").\n" \
	"# Every key is shown with its value; a key that is left out takes the default named in its comment.\n" \
	"# An unknown key or a value out of range stops the daemons: `ppce config check` tells beforehand.\n" \
	"# Daemons read this file at their start. Times are in milliseconds (_ms) unless the name says otherwise.\n" \
	"\n" \
	"# Where the proxy accepts HTTP: a numeric address and a port, [::1]:8080 for IPv6. Default 127.0.0.1:8080.\n" \
	"# There is no TLS yet: on any other address than loopback put a TLS server in front of it.\n" \
	"listen: 127.0.0.1:8080\n" \
	"\n" \
	"# Adds PPCE-Instance, PPCE-Start and Server-Timing to answers. They tell users about the machine's load and\n" \
	"# about instances: for development and measurements. Default false.\n" \
	"expose_timing: " timing "\n" \
	"\n" \
	"# Marks the session cookie Secure, so that browsers send it over HTTPS only. Default true; false only where\n" \
	"# browsers reach the proxy by plain HTTP on this machine.\n" \
	"secure_cookie: " cookie "\n" \
	"\n" \
	"# What the daemons write to standard error: error, warn, info or debug. Default info.\n" \
	"log_level: info\n" \
	"\n" \
	"# Users, passwords and sessions.\n" \
	"auth:\n" \
	"  # Cost of one password check (Argon2id): memory in MiB, 8..1024, and passes over it, 1..16. Stored with\n" \
	"  # each hash; after a change a user's hash is renewed at the next login. Defaults 64 and 2.\n" \
	"  argon2_memory_mib: 64\n" \
	"  argon2_passes: 2\n" \
	"  # Password checks at the same time, 1..16; each takes the memory above and one CPU. Default 1.\n" \
	"  hash_workers: 1\n" \
	"  # Logins that wait for a worker, 1..1024; one more is answered 503. Default 16.\n" \
	"  hash_queue: 16\n" \
	"  # How long a session lasts, in minutes, 1..43200. Default 480, one working day.\n" \
	"  session_minutes: 480\n" \
	"  # Failed logins of one user in a minute, 1..1000, before more are answered 429; one address may fail five\n" \
	"  # times as often. Default 10.\n" \
	"  tries_per_minute: 10\n" \
	"\n" \
	"# Images and instances.\n" \
	"vmmd:\n" \
	"  # How guests are isolated: kvm (a virtual machine), process (a seccomp-jailed process, weaker), or auto:\n" \
	"  # kvm where /dev/kvm works, else process. Default auto.\n" \
	"  backend: auto\n" \
	"  # Tenders with an empty VM that are made ahead and shared by all apps, 0..64. Each saves a cold start\n" \
	"  # several milliseconds and costs some hundred KiB. Default 2.\n" \
	"  shells: 2\n" \
	"  # Longest time from an image's start to its first wait for a request, 100..600000. Default 10000.\n" \
	"  boot_ms: 10000\n" \
	"  # Images are booted anew that often, in seconds, 0..604800; 0: never. It draws stack canaries and the like\n" \
	"  # again, which all instances of one snapshot share. Default 3600.\n" \
	"  reboot_s: 3600\n" \
	"  # Running instances over all apps, 1..65536. Default 1024.\n" \
	"  max_instances: 1024\n" \
	"  # Unix user that tenders, and the signer of the audit log, run as when we are root. Default nobody.\n" \
	"  tender_user: nobody\n" \
	"  # What an app logs after it has read labelled data may hold some of it. true: write it all the same, for whoever\n" \
	"  # may read the logs. Default false.\n" \
	"  labelled_logs: false\n" \
	"  # The program that runs images of kind solo5-hvt: auto, which looks in PATH, or its absolute path. Default auto.\n" \
	"  solo5_hvt: auto\n" \
	"\n" \
	"# The door: bounds on what clients may send and on how long anything may take.\n" \
	"proxy:\n" \
	"  # Client connections at the same time, 1..65536; one more is closed. Default 1024.\n" \
	"  connections: 1024\n" \
	"  # Requests of one app that wait for an instance, 0..65536, and how long one waits, 1..600000. Beyond\n" \
	"  # either the answer is 503 with Retry-After. Defaults 256 and 5000.\n" \
	"  queue: 256\n" \
	"  queue_ms: 5000\n" \
	"  # Longest run of one request inside an instance, 1..3600000; then the instance is stopped and the answer\n" \
	"  # is 504. Default 10000.\n" \
	"  request_ms: 10000\n" \
	"  # Largest request, in bytes: all header fields (1024..1048576, beyond it 431), path and query " \
	"(64..65536,\n" \
	"  # 414), body (0..16777216, 413). Defaults 16384, 8192, 1048576.\n" \
	"  header_bytes: 16384\n" \
	"  target_bytes: 8192\n" \
	"  body_bytes: 1048576\n" \
	"  # Time for a request's head, for its body (then 408), and between requests of a connection (then it is\n" \
	"  # closed), 10..600000 each. Defaults 10000, 30000, 60000.\n" \
	"  head_ms: 10000\n" \
	"  body_ms: 30000\n" \
	"  idle_ms: 60000\n" \
	"  # Answers of an app that has read more than the caller may see (refused, or released under a certificate)\n" \
	"  # leave only at multiples of this time, so that it does not tell what was read. 0..10000, 0: at once. Default 100.\n" \
	"  blocked_grid_ms: 100\n" \
	"  # Idle unikernels that were made elsewhere are connected to that often, in seconds, 0..3600; 0: never. After three\n" \
	"  # failures in a row one is ended. Default 10.\n" \
	"  health_s: 10\n" \
	"\n" \
	"# The audit log: nothing is released before its record is written.\n" \
	"audit:\n" \
	"  # What a record that was acknowledged survives: process (the death of any process) or power (that of the\n" \
	"  # machine too; every group of records then waits for the disk). Default process.\n" \
	"  durability: process\n" \
	"  # Size at which the log goes on in a new file, in MiB, 1..4096. Default 64.\n" \
	"  rotate_mib: 64\n" \
	"  # New records are covered by a signed checkpoint after at most this time, 10..3600000. Default 1000.\n" \
	"  checkpoint_ms: 1000\n" \
	"\n" \
	"# A network of this machine's for apps with an address of their own (`ppce app add --transport tap`); others need none.\n" \
	"network:\n" \
	"  # Needs root, or CAP_NET_ADMIN for ppce-net. Default false.\n" \
	"  enabled: false\n" \
	"  # Name of the bridge; auto: one made from this directory's path. Default auto.\n" \
	"  bridge: auto\n" \
	"  # Addresses: the first is the bridge's, the others go to instances. /16 to /29. Default 10.77.0.0/22.\n" \
	"  subnet: 10.77.0.0/22\n" \
	"  # Taps that are made ahead, 0..256. Default 8.\n" \
	"  taps: 8\n" \
	"  # Seconds that an address rests after an instance had it, 0..86400. Default 60.\n" \
	"  reuse_s: 60\n" \
	"  # Where instances may connect to by TCP, if policy allows it for their label; nowhere else. `address: host` is\n" \
	"  # the bridge's own. `label`: the highest that may be sent there; `returns`: what comes back, default the same:\n" \
	"  # an instance below that does not get the sink either. At most 16. Default none. For example:\n" \
	"  #   records-db: {address: host, port: 5432, label: \"level=NATO_SECRET\"}\n" \
	"  #   mail: {address: 192.0.2.7, port: 25, label: \"level=NATO_SECRET\", returns: \"level=UNCLASSIFIED\"}\n" \
	"  sinks:\n"
/* clang-format on */

const char *config_example(bool dev)
{
	return dev ? EXAMPLE("development: plain HTTP on loopback, timing headers", "true", "false")
		   : EXAMPLE("made by `ppce init`", "false", "true");
}
