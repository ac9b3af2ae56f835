/* SPDX-License-Identifier: MIT */
#include "tender/jail.h"

#include <cap-ng.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int jail_enter_early(int last_fd, struct err *err)
{
	if (syscall(SYS_close_range, (unsigned)last_fd + 1, ~0U, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "closing stray descriptors");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, ERR_INTERNAL, "tying this process to its parent");
	return 0;
}

static int drop_root(uid_t uid, gid_t gid, struct err *err)
{
	if (geteuid() != 0)
		return 0;
	if (uid == 0 || gid == 0)
		return err_set(err, ERR_INTERNAL,
			       "refusing to run a guest as root: --jail-uid and --jail-gid are needed");
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_errno(err, ERR_INTERNAL, "becoming user %u", (unsigned)uid);
	return 0;
}

static int drop_limits(struct err *err)
{
	const struct rlimit none = { 0, 0 };

	/* No file may be written but memory files, which this limit does not touch once they have their size. */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "lowering limits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "giving up new privileges");
	return 0;
}

/* Calls that both backends need from here on. ioctl is bounded by the descriptors that are open: KVM's, pagemap's. */
static const int allowed[] = {
	SCMP_SYS(read),	     SCMP_SYS(readv),	     SCMP_SYS(write),
	SCMP_SYS(writev),    SCMP_SYS(pread64),	     SCMP_SYS(pwrite64),
	SCMP_SYS(recvmsg),   SCMP_SYS(sendmsg),	     SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),    SCMP_SYS(poll),	     SCMP_SYS(ioctl),
	SCMP_SYS(munmap),    SCMP_SYS(madvise),	     SCMP_SYS(brk),
	SCMP_SYS(fstat),     SCMP_SYS(newfstatat),   SCMP_SYS(ftruncate),
	SCMP_SYS(close),     SCMP_SYS(setitimer),    SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(exit),	     SCMP_SYS(exit_group),   SCMP_SYS(restart_syscall),
	SCMP_SYS(mremap),
};

/* What the process backend needs besides, to fork, set up, stop and reap its guests. The guest's own filter, which
 * process.c adds in the child, allows next to nothing of this. */
static const int allowed_to_fork[] = {
	SCMP_SYS(wait4),
	SCMP_SYS(waitid),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(close_range),
	SCMP_SYS(dup2),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(socketpair),
	SCMP_SYS(rseq),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(getppid),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(seccomp),
	SCMP_SYS(gettid),
};

static int add_rules(scmp_filter_ctx ctx, bool may_fork)
{
	int r = 0;

	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
		r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (may_fork) {
		for (size_t i = 0; i < sizeof allowed_to_fork / sizeof *allowed_to_fork; i++)
			r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed_to_fork[i], 0);
		/* new processes, not new namespaces */
		r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				      SCMP_A0(SCMP_CMP_MASKED_EQ,
					      CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC |
						      CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_THREAD,
					      0));
		/* executable mappings are of the snapshot only: no other descriptor can be mapped executable by luck,
		 * since none holds code */
		r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 0);
		r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 0);
		return r;
	}
	r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	r |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

/* Anything else raises SIGSYS, which ends a tender. It is not KILL because a process guest inherits this filter and
 * lives on SIGSYS: that is how its library OS gets to see its system calls. */
static int filter_syscalls(bool may_fork, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

	if (!ctx)
		return err_set(err, ERR_INTERNAL, "out of memory for the system call filter");
	int r = add_rules(ctx, may_fork);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r == 0 ? 0 : err_set(err, ERR_INTERNAL, "installing the system call filter failed (%d)", r);
}

int jail_enter(uid_t uid, gid_t gid, bool may_fork, struct err *err)
{
	if (drop_root(uid, gid, err) < 0)
		return -1;
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_BOTH) < 0 && geteuid() == 0)
		return err_set(err, ERR_INTERNAL, "dropping capabilities failed");
	if (drop_limits(err) < 0)
		return -1;
	/* Changing users cleared it; from here on the parent may already be gone, which reading the control socket tells. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, ERR_INTERNAL, "tying this process to its parent");
	return filter_syscalls(may_fork, err);
}
