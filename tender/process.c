/* SPDX-License-Identifier: MIT
 *
 * The process backend, for machines without /dev/kvm: a guest is a child process whose address space holds nothing but
 * the guest's memory (same addresses as in a VM), one page of entry code and one of its arguments. A seccomp filter
 * leaves it five system calls; every other one raises SIGSYS, which the image's own library OS serves, as it does in a
 * VM. Isolation is the host kernel's, so listings call this class "process", and it is weaker than "kvm".
 *
 * A snapshot's registers are a signal frame: at its first wait the booted child gets SIGUSR1, the kernel pushes all
 * registers (vector state included) on the guest's stack, and a clone starts by rt_sigreturn from there. A reset is a
 * new child: nothing of the old one is left to clean.
 */
#include "tender/backend.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include "lib/names.h"
#include "lib/sock.h"

enum { GUEST_FD = 3, ADDRESS_END = 0x7ffffffff };

struct process_vm {
	int memory_fd;
	bool booting; /* memory is shared with the file, not copied from it */
	const struct snapshot_file *file;
	uint64_t entry, stack_pointer; /* of a boot */
	void *window;		       /* host's mapping of the IO window */
	size_t window_size;
	int pidfd, sock; /* the child and our end of its doorbell; -1: none */
	bool running;	 /* it was told to go on and has not rung yet */
};

/* What the entry code finds in the page SYSTEM_STACK of the system area, which the process backend has no ring 0 for. */
struct entry_args {
	uint64_t unmap_at, unmap_size; /* everything above the guest */
	uint64_t fs_base;
	uint64_t frame; /* rt_sigreturn from here; 0: jump to entry */
	uint64_t entry, stack_pointer;
	struct sock_fprog filter;
	uint64_t frozen_frame, frozen_fs; /* written when a boot freezes */
	uint8_t byte;
	struct sock_filter code[24];
};

#define ARG(name) "i"(offsetof(struct entry_args, name))

/* The entry code: runs in the guest's address space, at the page SYSTEM_STUB. entry_code takes the arguments in rdi; it
 * unmaps the tender, installs the filter, and becomes the guest. freeze_code is SIGUSR1's handler during a boot. */
extern const uint8_t entry_code[], entry_restorer[], entry_freeze[], entry_end[];
__attribute__((used)) static void entry_asm(void)
{
	asm volatile(".pushsection .rodata\n"
		     ".globl entry_code, entry_restorer, entry_freeze, entry_end\n"
		     "entry_code:\n"
		     "	mov %%rdi, %%rbx\n"
		     "	mov %c[unmap_at](%%rbx), %%rdi\n"
		     "	mov %c[unmap_size](%%rbx), %%rsi\n"
		     "	mov %[munmap], %%eax\n"
		     "	syscall\n"
		     "	mov %[set_fs], %%edi\n"
		     "	mov %c[fs_base](%%rbx), %%rsi\n"
		     "	mov %[arch_prctl], %%eax\n"
		     "	syscall\n"
		     "	mov %[set_seccomp], %%edi\n"
		     "	mov %[mode_filter], %%esi\n"
		     "	lea %c[filter](%%rbx), %%rdx\n"
		     "	mov %[prctl], %%eax\n"
		     "	syscall\n"
		     "	test %%eax, %%eax\n"
		     "	jnz 9f\n"
		     "	mov %c[frame](%%rbx), %%rsp\n"
		     "	test %%rsp, %%rsp\n"
		     "	jnz entry_restorer\n"
		     "	mov %[fd], %%edi\n" /* a boot: wait for the word, then start at the ELF entry */
		     "	lea %c[byte](%%rbx), %%rsi\n"
		     "	mov $1, %%edx\n"
		     "	xor %%r10d, %%r10d\n"
		     "	xor %%r8d, %%r8d\n"
		     "	xor %%r9d, %%r9d\n"
		     "	mov %[recvfrom], %%eax\n"
		     "	syscall\n"
		     "	mov %c[stack_pointer](%%rbx), %%rsp\n"
		     "	xor %%edx, %%edx\n"
		     "	xor %%ebp, %%ebp\n"
		     "	jmp *%c[entry](%%rbx)\n"
		     "9:	mov %[exit_group], %%eax\n"
		     "	mov $127, %%edi\n"
		     "	syscall\n"
		     "entry_restorer:\n"
		     "	mov %[rt_sigreturn], %%eax\n"
		     "	syscall\n"
		     "entry_freeze:\n"
		     "	lea entry_code(%%rip), %%rbx\n"
		     "	add %[args_at], %%rbx\n"
		     "	lea 8(%%rsp), %%rax\n"
		     "	mov %%rax, %c[frozen_frame](%%rbx)\n"
		     "	mov %[get_fs], %%edi\n"
		     "	lea %c[frozen_fs](%%rbx), %%rsi\n"
		     "	mov %[arch_prctl], %%eax\n"
		     "	syscall\n"
		     "	mov %[fd], %%edi\n"
		     "	lea %c[byte](%%rbx), %%rsi\n"
		     "	mov $1, %%edx\n"
		     "	xor %%r10d, %%r10d\n"
		     "	xor %%r8d, %%r8d\n"
		     "	xor %%r9d, %%r9d\n"
		     "	mov %[sendto], %%eax\n"
		     "	syscall\n"
		     "1:	mov %[fd], %%edi\n" /* nothing more comes but SIGKILL */
		     "	lea %c[byte](%%rbx), %%rsi\n"
		     "	mov $1, %%edx\n"
		     "	mov %[recvfrom], %%eax\n"
		     "	syscall\n"
		     "	jmp 1b\n"
		     "entry_end:\n"
		     ".popsection\n" ::[unmap_at] ARG(unmap_at),
		     [unmap_size] ARG(unmap_size), [fs_base] ARG(fs_base), [filter] ARG(filter), [frame] ARG(frame),
		     [byte] ARG(byte), [stack_pointer] ARG(stack_pointer), [entry] ARG(entry),
		     [frozen_frame] ARG(frozen_frame), [frozen_fs] ARG(frozen_fs), [munmap] "i"(SYS_munmap),
		     [set_fs] "i"(ARCH_SET_FS), [get_fs] "i"(ARCH_GET_FS), [arch_prctl] "i"(SYS_arch_prctl),
		     [set_seccomp] "i"(PR_SET_SECCOMP), [mode_filter] "i"(SECCOMP_MODE_FILTER), [prctl] "i"(SYS_prctl),
		     [fd] "i"(GUEST_FD), [recvfrom] "i"(SYS_recvfrom), [sendto] "i"(SYS_sendto),
		     [exit_group] "i"(SYS_exit_group), [rt_sigreturn] "i"(SYS_rt_sigreturn),
		     [args_at] "i"((SYSTEM_STACK - SYSTEM_STUB) * PPCE_PAGE));
}

/* All that a guest may ask of the kernel: ring its doorbell, return from the SIGSYS handler, set its thread pointer,
 * end. Everything else is trapped to its own library OS. */
static const struct sock_filter guest_filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 8, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 7, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 6, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_recvfrom, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUEST_FD, 2, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void *guest_address(uint64_t offset)
{
	return (void *)(uintptr_t)layout_address(offset);
}

static void map_fixed(const struct process_vm *p, uint64_t address, uint64_t size, int prot)
{
	int flags = MAP_FIXED | MAP_NORESERVE | (p->booting ? MAP_SHARED : MAP_PRIVATE);
	uint64_t start = address & ~(uint64_t)(PPCE_PAGE - 1);

	if (mmap((void *)(uintptr_t)start, size + (address - start), prot, flags, p->memory_fd,
		 (off_t)(start - PPCE_IMAGE_BASE)) == MAP_FAILED)
		_exit(126);
}

static void map_guest(const struct vm *vm)
{
	const struct process_vm *p = vm->process;
	const struct layout *l = &vm->layout;
	uint64_t stack = l->memory - l->stack;

	for (unsigned i = 0; i < p->file->nsegments; i++) {
		const struct image_segment *s = &p->file->segments[i];
		map_fixed(p, s->address, s->memory_size, s->prot);
	}
	map_fixed(p, p->file->image_end, layout_address(stack) - PPCE_PAGE - p->file->image_end,
		  PROT_READ | PROT_WRITE);
	map_fixed(p, layout_address(stack), l->stack, PROT_READ | PROT_WRITE);
	map_fixed(p, layout_address(l->system + SYSTEM_STUB * PPCE_PAGE), PPCE_PAGE, PROT_READ | PROT_EXEC);
	map_fixed(p, layout_address(l->system + SYSTEM_STACK * PPCE_PAGE), PPCE_PAGE, PROT_READ | PROT_WRITE);
	if (mremap(p->window, p->window_size, p->window_size, MREMAP_MAYMOVE | MREMAP_FIXED, guest_address(l->io)) ==
	    MAP_FAILED)
		_exit(126);
}

/* The kernel's struct, which glibc hides: its sigaction() would put its own restorer, which we are about to unmap. */
static void set_handler(int sig, uint64_t handler, uint64_t restorer, uint64_t flags)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} action = { handler, flags | 0x04000000 /* SA_RESTORER */ | SA_SIGINFO | SA_NODEFER, restorer, 0 };

	syscall(SYS_rt_sigaction, sig, &action, NULL, sizeof action.mask);
}

static void fill_entry_args(const struct vm *vm, struct entry_args *a)
{
	const struct process_vm *p = vm->process;
	uint64_t end = layout_address(vm->layout.size);

	memset(a, 0, sizeof *a);
	a->unmap_at = end;
	a->unmap_size = ((uint64_t)ADDRESS_END << 12) - end;
	a->entry = p->entry;
	a->stack_pointer = p->stack_pointer;
	if (!p->booting) {
		a->fs_base = p->file->state.fs_base;
		a->frame = p->file->state.frame;
	}
	_Static_assert(sizeof guest_filter <= sizeof a->code, "the filter fits");
	memcpy(a->code, guest_filter, sizeof guest_filter);
	a->filter.len = sizeof guest_filter / sizeof *guest_filter;
	a->filter.filter = a->code;
}

/* In the child: turns this process into the guest. Never returns. */
__attribute__((noreturn)) static void become_guest(const struct vm *vm, int sock)
{
	const struct process_vm *p = vm->process;
	uint64_t code = layout_address(vm->layout.system + SYSTEM_STUB * PPCE_PAGE);
	struct entry_args *args = guest_address(vm->layout.system + SYSTEM_STACK * PPCE_PAGE);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_guest(vm);
	if (dup2(sock, GUEST_FD) < 0 || syscall(SYS_close_range, GUEST_FD + 1, ~0U, 0) < 0 ||
	    syscall(SYS_close_range, 0, GUEST_FD - 1, 0) < 0)
		_exit(126);
	fill_entry_args(vm, args);
	uint64_t restorer = code + (uint64_t)(entry_restorer - entry_code);
	set_handler(SIGSYS, p->file->signal_entry, restorer, 0);
	if (p->booting)
		set_handler(SIGUSR1, code + (uint64_t)(entry_freeze - entry_code), restorer, SA_RESTART);
	/* The kernel would go on writing to glibc's rseq area, which is about to vanish. */
	if (__rseq_size > 0)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 1 /* unregister */, RSEQ_SIG);
	((void (*)(struct entry_args *))(uintptr_t)code)(args);
	__builtin_unreachable();
}

static void end_child(struct process_vm *p)
{
	siginfo_t info;

	if (p->pidfd >= 0) {
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
		(void)waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED);
	}
	sock_close(&p->pidfd);
	sock_close(&p->sock);
	p->running = false;
}

static int start_child(struct vm *vm, struct err *err)
{
	struct process_vm *p = vm->process;
	int pair[2], pidfd = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, ERR_INTERNAL, "making a doorbell");
	long pid = syscall(SYS_clone, SIGCHLD | CLONE_PIDFD, NULL, &pidfd, NULL, NULL);
	if (pid == 0)
		become_guest(vm, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_errno(err, ERR_INTERNAL, "forking a guest");
	}
	p->pidfd = pidfd;
	p->sock = pair[0];
	return 0;
}

/* The IO window: shared between tender and guest. A boot uses the memory file's own pages, so that the snapshot has
 * them; a clone gets fresh ones with the snapshot's control page. */
static int map_window(struct vm *vm, struct err *err)
{
	struct process_vm *p = vm->process;
	const struct layout *l = &vm->layout;

	if (p->window)
		munmap(p->window, p->window_size);
	p->window_size = (size_t)(l->io_end - l->io);
	p->window = p->booting
			    ? mmap(NULL, p->window_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->memory_fd, (off_t)l->io)
			    : mmap(NULL, p->window_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->window == MAP_FAILED) {
		p->window = NULL;
		return err_errno(err, ERR_INTERNAL, "mapping the IO window");
	}
	if (!p->booting && pread(p->memory_fd, p->window, PPCE_PAGE, (off_t)l->io) != PPCE_PAGE)
		return err_errno(err, ERR_INTERNAL, "reading the snapshot's control page");
	vm->io = p->window;
	vm->request = (uint8_t *)p->window + (l->request - l->io);
	vm->response = (uint8_t *)p->window + (l->response - l->io);
	vm->data = (uint8_t *)p->window + (l->data - l->io);
	vm->net = (struct ppce_net *)(void *)((uint8_t *)p->window + (l->net - l->io));
	return 0;
}

/* Nanoseconds per tick of the time stamp counter, measured over a millisecond; the guest's clock is set anew for every
 * request, so small errors do not add up. */
static uint64_t measure_tsc(void)
{
	uint64_t start_ns = clock_ns(), start = __rdtsc(), now;

	do
		now = clock_ns();
	while (now - start_ns < 1000000);
	return (uint64_t)(((unsigned __int128)(now - start_ns) << 32) / (__rdtsc() - start));
}

static int process_create(struct vm *vm, struct err *err)
{
	struct process_vm *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(err, ERR_INTERNAL, "out of memory");
	p->memory_fd = p->pidfd = p->sock = -1;
	vm->process = p;
	vm->tsc_mult = measure_tsc();
	return 0;
}

static int process_boot(struct vm *vm, int memory_fd, const struct image *image, uint64_t stack_pointer,
			struct err *err)
{
	static struct snapshot_file file; /* the child needs segments and handler; the snapshot proper comes later */
	struct process_vm *p = vm->process;
	struct snapshot s;

	snapshot_init(&s, PPCE_BACKEND_PROCESS, image);
	file = s.file;
	p->memory_fd = memory_fd;
	p->booting = true;
	p->file = &file;
	p->entry = image->entry;
	p->stack_pointer = stack_pointer;
	size_t size = (size_t)(entry_end - entry_code);
	if (pwrite(memory_fd, entry_code, size, (off_t)(vm->layout.system + SYSTEM_STUB * PPCE_PAGE)) != (ssize_t)size)
		return err_errno(err, ERR_INTERNAL, "writing the entry code");
	return map_window(vm, err) < 0 ? -1 : start_child(vm, err);
}

static int process_clone(struct vm *vm, int snapshot_fd, const struct snapshot *snap, struct err *err)
{
	struct process_vm *p = vm->process;

	p->memory_fd = snapshot_fd;
	p->file = &snap->file;
	p->booting = false;
	return map_window(vm, err) < 0 ? -1 : start_child(vm, err);
}

static void describe_death(struct vm *vm)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)vm->process->pidfd, &info, WEXITED) < 0)
		snprintf(vm->crash, sizeof vm->crash, "the guest process vanished");
	else if (info.si_code == CLD_EXITED)
		snprintf(vm->crash, sizeof vm->crash, "the guest process exited with status %d", info.si_status);
	else
		snprintf(vm->crash, sizeof vm->crash, "killed by signal %d (%s)", info.si_status,
			 sigdescr_np(info.si_status) ? sigdescr_np(info.si_status) : "?");
	sock_close(&vm->process->pidfd);
}

static int wait_doorbell(struct vm *vm, uint64_t deadline_ns, enum vm_exit *why, struct err *err)
{
	struct process_vm *p = vm->process;
	struct pollfd fd = { .fd = p->sock, .events = POLLIN };
	char byte;

	for (;;) {
		uint64_t now = clock_ns();
		int left = now < deadline_ns ? (int)((deadline_ns - now) / 1000000 + 1) : 0;
		int r = poll(&fd, 1, left);
		if (r < 0 && errno != EINTR)
			return err_errno(err, ERR_INTERNAL, "waiting for the guest");
		if (r == 0 && clock_ns() >= deadline_ns) {
			*why = VM_DEADLINE;
			return 0;
		}
		if (r > 0)
			break;
	}
	*why = VM_DOORBELL;
	if (recv(p->sock, &byte, 1, MSG_DONTWAIT) != 1) {
		*why = VM_CRASHED;
		describe_death(vm);
	}
	return 0;
}

static int process_run(struct vm *vm, uint64_t deadline_ns, enum vm_exit *why, struct err *err)
{
	/* A child that has died already makes this fail and the wait find out why. */
	(void)send(vm->process->sock, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	return wait_doorbell(vm, deadline_ns, why, err);
}

static int process_save(struct vm *vm, struct snapshot *snap, struct err *err)
{
	struct process_vm *p = vm->process;
	struct entry_args args;
	enum vm_exit why = VM_CRASHED;

	if (syscall(SYS_pidfd_send_signal, p->pidfd, SIGUSR1, NULL, 0) < 0)
		return err_errno(err, ERR_INTERNAL, "freezing the guest");
	if (wait_doorbell(vm, clock_ns() + 1000000000, &why, err) < 0)
		return -1;
	if (why != VM_DOORBELL)
		return err_set(err, ERR_INTERNAL, "the guest could not be frozen: %s", vm->crash);
	if (pread(p->memory_fd, &args, sizeof args, (off_t)(vm->layout.system + SYSTEM_STACK * PPCE_PAGE)) !=
	    sizeof args)
		return err_errno(err, ERR_INTERNAL, "reading the frozen registers");
	snap->file.state.frame = args.frozen_frame;
	snap->file.state.fs_base = args.frozen_fs;
	end_child(p);
	return 0;
}

static int process_reset(struct vm *vm, const struct snapshot *snap, bool *deviated, struct err *err)
{
	*deviated = false;
	end_child(vm->process);
	return process_clone(vm, vm->process->memory_fd, snap, err);
}

static void process_destroy(struct vm *vm)
{
	struct process_vm *p = vm->process;

	if (!p)
		return;
	end_child(p);
	if (p->window)
		munmap(p->window, p->window_size);
	free(p);
	vm->process = NULL;
	vm->io = NULL;
}

const struct backend backend_process = {
	.name = "process",
	.kind = PPCE_BACKEND_PROCESS,
	.create = process_create,
	.boot = process_boot,
	.clone = process_clone,
	.run = process_run,
	.save = process_save,
	.reset = process_reset,
	.record_warm = NULL,
	.destroy = process_destroy,
};
