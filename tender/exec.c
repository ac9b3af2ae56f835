/* SPDX-License-Identifier: MIT */
#include "tender/exec.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST_FD 3
#define OWN_BYTES (1024ull << 20) /* address space beside the guest's: libraries, stacks of threads, arenas */
#define FILE_BYTES (1u << 20)	  /* a filter that is put together in a memory file is smaller */
#define FILES 64

/* 0: nobody wants anything run any more. */
static int read_command(char text[EXEC_BYTES_MAX + 1], char *argv[EXEC_ARGS_MAX + 1], struct err *err)
{
	size_t len = 0;
	int argc = 0;

	while (len <= EXEC_BYTES_MAX) {
		ssize_t n = read(STDIN_FILENO, text + len, EXEC_BYTES_MAX + 1 - len);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return err_errno(err, ERR_INTERNAL, "reading the command line");
		len += n > 0 ? (size_t)n : 0;
	}
	if (len > EXEC_BYTES_MAX || (len && text[len - 1]))
		return err_set(err, ERR_INTERNAL, "the command line is malformed");
	for (size_t at = 0; at < len; at += strlen(text + at) + 1) {
		if (argc == EXEC_ARGS_MAX)
			return err_set(err, ERR_INTERNAL, "more than %d arguments", EXEC_ARGS_MAX);
		argv[argc++] = text + at;
	}
	argv[argc] = NULL;
	return argc;
}

static int set_up_descriptors(struct err *err)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return err_errno(err, ERR_INTERNAL, "/dev/null");
	if (syscall(SYS_close_range, LAST_FD + 1, ~0U, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "closing stray descriptors");
	return 0;
}

/* The group through which others than root may use a device. */
static size_t device_group(const char *path, gid_t *group)
{
	struct stat st;
	if (stat(path, &st) < 0 || !(st.st_mode & S_IRGRP) || !(st.st_mode & S_IWGRP) || st.st_gid == 0)
		return 0;
	*group = st.st_gid;
	return 1;
}

static int become(uid_t uid, gid_t gid, struct err *err)
{
	gid_t groups[2];
	if (geteuid() != 0)
		return 0;
	if (uid == 0 || gid == 0)
		return err_set(err, ERR_INTERNAL, "refusing to run a unikernel as root");
	size_t n = device_group("/dev/kvm", groups);
	n += device_group("/dev/net/tun", groups + n);
	capng_clear(CAPNG_SELECT_BOUNDS); /* takes a capability that we are about to lose */
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return err_set(err, ERR_INTERNAL, "dropping capabilities failed");
	if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_errno(err, ERR_INTERNAL, "becoming user %u", (unsigned)uid);
	return 0;
}

static int set_limit(__rlimit_resource_t what, rlim_t max, struct err *err)
{
	const struct rlimit r = { max, max };
	return setrlimit(what, &r) < 0 ? err_errno(err, ERR_INTERNAL, "lowering limits") : 0;
}

static int limit(struct err *err)
{
	if (set_limit(RLIMIT_CORE, 0, err) < 0 || set_limit(RLIMIT_FSIZE, FILE_BYTES, err) < 0)
		return -1;
	return set_limit(RLIMIT_NOFILE, FILES, err);
}

/* Also none that were inherited, should we not be root. */
static int drop_privileges(struct err *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_set(err, ERR_INTERNAL, "dropping capabilities failed");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "giving up new privileges");
	return 0;
}

/* Landlock, where the kernel has it: no file is written but devices, and, whatever is allowed otherwise, no process outside
 * of this domain is looked into. Several such programs run as the same user, and must not read each other's memory. */
static int enter_landlock(struct err *err)
{
	const struct landlock_ruleset_attr all = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM
	};
	int set = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0);
	if (set < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
		return 0;
	struct landlock_path_beneath_attr devices = { .allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE,
						      .parent_fd = open("/dev", O_PATH | O_CLOEXEC) };
	if (set < 0 || devices.parent_fd < 0 ||
	    syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &devices, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, set, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "entering a landlock domain");
	close(devices.parent_fd);
	close(set);
	return 0;
}

/* What neither a tender nor the C library under it needs, and what would let it touch anything else on this machine. */
static const int refused[] = {
	SCMP_SYS(connect),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(tkill),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(setpriority),
	SCMP_SYS(ioprio_set),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(sched_setparam),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(shmget),
	SCMP_SYS(msgget),
	SCMP_SYS(semget),
	SCMP_SYS(mq_open),
};

/* Others run as the same user: signals and limits are for itself alone. */
static int add_own_rules(scmp_filter_ctx ctx)
{
	static const int calls[] = { SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
				     SCMP_SYS(rt_tgsigqueueinfo) };
	int r = 0;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		r |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), calls[i], 1,
				      SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid()));
	return r | seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
}

/* Sockets: netlink, which lists network cards, and UDP over IPv4, whose ioctls tell a card's MTU; an address as long as
 * netlink's is too short for any that UDP could be sent to. Threads, no processes;
 * the flags of clone3 cannot be seen by a filter, so that libraries are sent back to clone. */
static int add_rules(scmp_filter_ctx ctx)
{
	const uint32_t no = SCMP_ACT_ERRNO(EPERM);
	int r = 0;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		r |= seccomp_rule_add(ctx, no, refused[i], 0);
	r |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	r |= seccomp_rule_add(ctx, no, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	r |= seccomp_rule_add(ctx, no, SCMP_SYS(socketpair), 0);
	r |= seccomp_rule_add(ctx, no, SCMP_SYS(sendto), 1, SCMP_A5(SCMP_CMP_GT, sizeof(struct sockaddr_nl)));
	r |= seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_LT, AF_INET));
	r |= seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	for (unsigned family = AF_INET + 1; family < AF_NETLINK; family++)
		r |= seccomp_rule_add(ctx, no, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family));
	for (unsigned type = SOCK_STREAM; type <= SOCK_PACKET; type++)
		if (type != SOCK_DGRAM)
			r |= seccomp_rule_add(ctx, no, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_INET),
					      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, type));
	return r;
}

static int filter(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? add_rules(ctx) | add_own_rules(ctx) : -ENOMEM;
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r == 0 ? 0 : err_set(err, ERR_INTERNAL, "installing the system call filter failed (%d)", r);
}

int exec_program(const struct exec_wish *wish, struct err *err)
{
	static char text[EXEC_BYTES_MAX + 1];
	char *argv[EXEC_ARGS_MAX + 1], *const no_environment[] = { NULL };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, ERR_INTERNAL, "tying this process to its parent");
	int argc = read_command(text, argv, err);
	if (argc <= 0)
		return argc;
	if (set_up_descriptors(err) < 0 || become(wish->uid, wish->gid, err) < 0 || limit(err) < 0 ||
	    drop_privileges(err) < 0)
		return -1;
	/* Changing users cleared it. Should vmmd have ended since it wrote the command line, output has no reader. */
	struct pollfd output = { .fd = STDOUT_FILENO };
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || chdir("/") < 0 || poll(&output, 1, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "tying this process to its parent");
	if (output.revents)
		return 0;
	/* The address space comes last: what is left to do here takes none. */
	if (enter_landlock(err) < 0 || filter(err) < 0 ||
	    set_limit(RLIMIT_AS, ((rlim_t)wish->memory_mib << 20) + OWN_BYTES, err) < 0)
		return -1;
	execve(wish->program, argv, no_environment);
	return err_set(err, ERR_INTERNAL, "it cannot be run: %s: %s", strerror(errno), wish->program);
}
