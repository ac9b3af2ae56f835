/* SPDX-License-Identifier: MIT
 *
 * `ppce doctor`: what this machine can do for PPCE, each finding with what to do about it. A check looks at the thing
 * itself (makes a virtual machine, binds the port) rather than at a version number.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/machine.h"
#include "cli/status.h"
#include "lib/http.h"
#include "policy/policy.h"

#define FILES_WANTED 8192
#define DISK_WANTED_MIB 512

struct doctor {
	struct cli *c;
	json_t *findings;
	bool failed;
	struct config config;
	bool configured;
};

enum verdict { OK, WARN, FAIL };

static void finding(struct doctor *d, const char *check, enum verdict v, const char *advice, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static void finding(struct doctor *d, const char *check, enum verdict v, const char *advice, const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	json_t *row = json_pack("{s:s, s:s, s:s}", "check", check, "state", words[v], "found", text);
	if (v != OK)
		json_object_set_new(row, "advice", json_string(advice));
	json_array_append_new(d->findings, row);
	d->failed = d->failed || v == FAIL;
}

static void check_kernel(struct doctor *d)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	uname(&u);
	bool known = sscanf(u.release, "%u.%u", &major, &minor) == 2;
	bool fine = known && (major > 5 || (major == 5 && minor >= 10));
	finding(d, "kernel", fine ? OK : FAIL, "Linux 5.10 or newer is needed", "%s %s on %s", u.sysname, u.release,
		u.machine);
	if (strcmp(u.machine, "x86_64") != 0)
		finding(d, "processor", FAIL, "guests are x86-64 programs", "%s", u.machine);
}

/* /dev/kvm and what it would take to use it. */
static void check_kvm(struct doctor *d, bool *usable)
{
	char kind[64], backend[256], why[256];
	struct err err;

	machine_kvm_kind(kind, sizeof kind);
	*usable = false;
	if (access("/dev/kvm", F_OK) < 0) {
		finding(d, "kvm", WARN,
			"load the module (modprobe kvm_intel or kvm_amd) and turn on virtualisation in the firmware, "
			"or "
			"nested virtualisation in the host; until then instances are jailed processes",
			"no /dev/kvm");
		return;
	}
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		finding(d, "kvm", WARN,
			"sudo usermod -aG kvm $USER, then log in again; until then instances are jailed processes",
			"/dev/kvm is there, but not for this user");
		return;
	}
	if (machine_ask("ppce-tender", "--probe", backend, why, sizeof why, &err) < 0) {
		finding(d, "kvm", FAIL, "run `ppce-tender --probe` by hand", "%s", err.text);
		return;
	}
	*usable = strcmp(backend, "kvm") == 0;
	if (*usable)
		finding(d, "kvm", OK, "", "a virtual machine was made (%s)", kind);
	else
		finding(d, "kvm", WARN, "instances are jailed processes instead", "/dev/kvm (%s) does not work: %s",
			kind, why);
}

static void check_cpu(struct doctor *d)
{
	bool fsgsbase = (getauxval(AT_HWCAP2) & 2) != 0; /* HWCAP2_FSGSBASE: the kernel lets ring 3 use it */
	finding(d, "fsgsbase", fsgsbase ? OK : WARN, "thread-local storage of guests may be slower or fail", "%s",
		fsgsbase ? "usable" : "not usable");
	bool tsc = machine_cpu_flag("constant_tsc");
	finding(d, "clock", tsc ? OK : WARN, "clocks of guests may drift", "%s",
		tsc ? "constant TSC" : "no constant TSC");
}

static void check_seccomp(struct doctor *d)
{
	char actions[256] = "";
	FILE *f = fopen("/proc/sys/kernel/seccomp/actions_avail", "re");
	if (f) {
		if (!fgets(actions, sizeof actions, f))
			actions[0] = '\0';
		actions[strcspn(actions, "\n")] = '\0';
		fclose(f);
	}
	bool fine = strstr(actions, "kill_process") && strstr(actions, "trap");
	finding(d, "seccomp", fine ? OK : FAIL, "instances cannot be jailed without seccomp filters", "%s",
		*actions ? actions : "not there");
}

static void check_limits(struct doctor *d)
{
	struct rlimit files, locked;
	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_MEMLOCK, &locked);
	finding(d, "open files", files.rlim_max >= FILES_WANTED ? OK : WARN,
		"raise LimitNOFILE: each instance and each connection takes a few", "up to %llu",
		(unsigned long long)files.rlim_max);
	if (locked.rlim_max == RLIM_INFINITY)
		finding(d, "locked memory", OK, "", "unlimited");
	else
		finding(d, "locked memory", OK, "", "up to %llu KiB", (unsigned long long)locked.rlim_max / 1024);
}

/* ppce-net tries it in a network namespace of its own. */
static void check_network(struct doctor *d)
{
	char answer[256], why[256];
	struct err err;
	bool fine = machine_ask("ppce-net", "--probe", answer, why, sizeof why, &err) == 0;
	finding(d, "taps", fine ? OK : WARN,
		"needed only for apps with their own network: libmnl-dev at build time, /dev/net/tun, CAP_NET_ADMIN, "
		"nftables in the kernel",
		"%s",
		fine   ? "a bridge, a tap and its rules were made"
		: *why ? why
		       : "ppce-net is not built");
}

static bool in_path(const char *program, char file[PATH_MAX])
{
	const char *path = getenv("PATH");
	while (path && *path) {
		size_t len = strcspn(path, ":");
		snprintf(file, PATH_MAX, "%.*s/%s", (int)len, path, program);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static void check_tools(struct doctor *d)
{
	char path[PATH_MAX];
	bool gcc = in_path("gcc", path);
	finding(d, "gcc", gcc ? OK : WARN, "apt-get install gcc libc6-dev: ppce-cc builds apps with it", "%s",
		gcc ? "there" : "not found");
}

/* Whether the tenders' user may use a device: Solo5 opens both itself. */
static bool for_others(const char *device)
{
	struct stat st;
	return stat(device, &st) == 0 && ((st.st_mode & 06) == 06 || ((st.st_mode & 060) == 060 && st.st_gid != 0));
}

/* Nobody needs it but images of kind solo5-hvt, so that its absence is no fault. */
static void check_solo5(struct doctor *d)
{
	char found[PATH_MAX];
	const char *program = d->configured ? d->config.vmmd.solo5_hvt : "auto";

	if (strcmp(program, "auto") == 0 && !in_path("solo5-hvt", found))
		finding(d, "solo5-hvt", OK, "", "not installed: images of kind solo5-hvt cannot be run");
	else if (strcmp(program, "auto") != 0 && access(program, X_OK) < 0)
		finding(d, "solo5-hvt", WARN, "correct vmmd.solo5_hvt in ppce.yaml", "%.200s: %s", program,
			strerror(errno));
	else if (access("/dev/kvm", F_OK) < 0)
		finding(d, "solo5-hvt", WARN, "it needs KVM itself", "%.200s, but there is no /dev/kvm",
			strcmp(program, "auto") == 0 ? found : program);
	else if (geteuid() == 0 && (!for_others("/dev/kvm") || !for_others("/dev/net/tun")))
		finding(d, "solo5-hvt", WARN,
			"let the group kvm, or everybody, use /dev/kvm and /dev/net/tun (mode 0660 or 0666)",
			"/dev/kvm or /dev/net/tun is for root alone, and it does not run as root");
	else
		finding(d, "solo5-hvt", OK, "", "%.400s", strcmp(program, "auto") == 0 ? found : program);
}

/* The directory: configuration, disk, port. Without -C and without a platform here there is nothing to look at. */
static void check_directory(struct doctor *d)
{
	char path[512], bound[64];
	struct statvfs disk;
	struct err err;

	if (config_load(d->c->dir, &d->config, &err) < 0) {
		if (access(d->c->dir, F_OK) == 0 && cli_path(d->c, "ppce.yaml", path, sizeof path, &err) == 0 &&
		    access(path, F_OK) < 0)
			finding(d, "directory", WARN, "ppce init DIR makes one; then: ppce doctor -C DIR",
				"no platform in %.200s", d->c->dir);
		else
			finding(d, "configuration", FAIL, "correct the line named", "%s", err.text);
		return;
	}
	d->configured = true;
	struct policy *p = policy_load(config_path(&d->config, "policy.yaml", path, sizeof path), &err);
	finding(d, "configuration", p ? OK : FAIL, "correct the line named", "%s", p ? "valid" : err.text);
	policy_free(p);
	if (statvfs(d->config.dir, &disk) == 0) {
		unsigned long long mib = (unsigned long long)disk.f_bavail * disk.f_frsize >> 20;
		finding(d, "disk", mib >= DISK_WANTED_MIB ? OK : WARN, "images, logs and state need room",
			"%llu MiB free in %.200s", mib, d->config.dir);
	}
	bool writable = access(d->config.dir, W_OK | X_OK) == 0;
	if (!writable)
		finding(d, "directory", FAIL, "run as its owner", "%.200s is not ours to write", d->config.dir);
	int fd = http_bind_tcp(d->config.listen, bound, sizeof bound, &err);
	if (fd >= 0)
		close(fd);
	struct err down;
	if (fd >= 0)
		finding(d, "port", OK, "", "%s is free", d->config.listen);
	else if (status_ready(d->c, "proxy", &down) == 0)
		finding(d, "port", OK, "", "%s is used by this platform, which runs", d->config.listen);
	else
		finding(d, "port", FAIL, "change `listen` in ppce.yaml, or end what uses it", "%s: %s",
			d->config.listen, err.text);
}

static int doctor(struct cli *c, struct err *err)
{
	static const struct cli_column columns[] = { { "check", "CHECK", 0 },
						     { "state", "STATE", 0 },
						     { "found", "FOUND", 0 },
						     { "advice", "ADVICE", 0 },
						     { NULL, NULL, 0 } };
	struct doctor d = { .c = c, .findings = json_array() };
	bool kvm;

	(void)err;
	check_kernel(&d);
	check_kvm(&d, &kvm);
	check_cpu(&d);
	check_seccomp(&d);
	check_limits(&d);
	check_tools(&d);
	check_network(&d);
	check_directory(&d);
	check_solo5(&d);
	json_t *whole = json_pack("{s:b, s:s, s:O}", "ok", !d.failed, "isolation", kvm ? "kvm" : "process", "findings",
				  d.findings);
	if (c->json) {
		cli_print_json(whole);
	} else {
		cli_print_rows(c, d.findings, columns);
		printf("\n%s; isolation here: %s\n", d.failed ? "not usable yet" : "usable",
		       kvm ? "kvm (a virtual machine each)" : "process (a jailed process each)");
	}
	json_decref(whole);
	json_decref(d.findings);
	c->exit_code = d.failed ? 1 : 0;
	return 0;
}

const struct cli_verb cli_doctor_verbs[] = {
	{ .name = "doctor",
	  .args = "",
	  .summary = "Look whether this machine can run PPCE, and say what to do where it cannot",
	  .detail = "  ppce doctor\n  ppce doctor -C /srv/ppce       also the configuration, disk and port\n",
	  .run = doctor },
	{ 0 },
};
