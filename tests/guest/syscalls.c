/* SPDX-License-Identifier: MIT
 *
 * Every system call that the library OS serves, asked the way libc asks. "GET /syscalls" answers one line a check, "ok
 * NAME" or "FAIL NAME", and status 500 if one failed. Most of the checks hold for the kernel too, under plain Linux. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <ppce/abi.h>
#include <ppce/ppce.h>

#include "tests/guest/paths.h"

static struct ppce_response *out;
static bool in_guest;

static void check(const char *name, bool ok)
{
	if (!ok)
		ppce_status(out, 500);
	ppce_printf(out, "%s %s%s%s\n", ok ? "ok" : "FAIL", name, ok ? "" : ": errno ", ok ? "" : strerror(errno));
}

/* True if the call failed with exactly this error. */
static bool fails(long result, int error)
{
	return result == -1 && errno == error;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static uint8_t *map_pages(size_t n)
{
	void *p = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void memory(void)
{
	uint8_t *p = map_pages(64);

	check("mmap", p && all_zero(p, 64 * 4096));
	memset(p, 7, 64 * 4096);
	check("madvise", madvise(p, 4096, MADV_DONTNEED) == 0 && all_zero(p, 4096) && p[4096] == 7);
	p = mremap(p, 64 * 4096, 32 * 4096, 0);
	check("mremap smaller", p != MAP_FAILED && p[4096] == 7);
	uint8_t *q = mremap(p, 32 * 4096, 128 * 4096, MREMAP_MAYMOVE);
	check("mremap larger", q != MAP_FAILED && q[31 * 4096] == 7 && all_zero(q + 32 * 4096, 96 * 4096));
	check("munmap", munmap(q, 128 * 4096) == 0 && fails(munmap(q + 1, 4096), EINVAL));
	p = map_pages(128);
	check("mmap reuse is zeroed", p && all_zero(p, 128 * 4096));
	check("munmap part", munmap(p + 4096, 4096) == 0 && munmap(p, 4096) == 0 && munmap(p + 8192, 126 * 4096) == 0);
	check("mmap bad",
	      mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
	check("mmap too much",
	      mmap(NULL, 1ul << 50, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
	void *top = sbrk(0);
	check("brk", top != (void *)-1 && sbrk(8192) == top && all_zero(top, 8192));
	memset(top, 1, 8192);
	check("brk back", sbrk(-8192) != (void *)-1 && sbrk(8192) == top && all_zero(top, 8192) && brk(top) == 0);
	check("mprotect", mprotect((void *)((uintptr_t)top & ~4095ul), 0, PROT_READ) == 0 &&
				  fails(mprotect((void *)1, 4096, PROT_READ), EINVAL));
}

static void guest_memory(void)
{
	void *p = map_pages(1);

	check("mmap executable",
	      mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
		      errno == EACCES);
	check("mprotect executable", fails(mprotect(p, 4096, PROT_READ | PROT_EXEC), EACCES));
	check("munmap the image", fails(munmap((void *)0x100000, 4096), EINVAL));
	check("mmap fixed on the image",
	      mmap((void *)0x100000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
	check("mmap fixed",
	      mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
		      all_zero(p, 4096));
	munmap(p, 4096);
	void *big = malloc(2 << 20), *more = big ? realloc(big, 3 << 20) : NULL;
	check("realloc", more != NULL);
	free(more);
}

static void clocks(void)
{
	struct timespec a, b, res, nap = { .tv_nsec = 2000000 };
	struct timeval tv;

	check("clock_gettime",
	      clock_gettime(CLOCK_REALTIME, &a) == 0 && a.tv_sec > 1700000000 && a.tv_nsec < 1000000000);
	check("gettimeofday", gettimeofday(&tv, NULL) == 0 && tv.tv_sec - a.tv_sec <= 1);
	check("time", time(NULL) - a.tv_sec <= 1);
	check("clock_getres", clock_getres(CLOCK_MONOTONIC, &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	check("nanosleep", nanosleep(&nap, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	check("nanosleep slept", (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec >= 2000000);
	b.tv_nsec += 1000000;
	b.tv_sec += b.tv_nsec / 1000000000;
	b.tv_nsec %= 1000000000;
	check("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &b, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	check("clock_nanosleep slept", a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec >= b.tv_nsec));
	check("clock_gettime bad", fails(clock_gettime(99, &a), EINVAL));
	check("ppce clocks",
	      ppce_monotonic_ns() > 0 && ppce_realtime_ns() / 1000000000 - (uint64_t)time(NULL) + 1 <= 2);
	for (int i = 0; i < 1000; i++) {
		uint64_t t = ppce_monotonic_ns();
		if (ppce_monotonic_ns() < t)
			check("monotonic", false);
	}
}

static void randomness(void)
{
	uint8_t a[600] = { 0 }, b[600] = { 0 };

	check("getrandom", getrandom(a, sizeof a, 0) == sizeof a && getrandom(b, sizeof b, 0) == sizeof b);
	check("getrandom differs",
	      memcmp(a, b, sizeof a) != 0 && !all_zero(a + 584, 16) && memcmp(a, a + 256, 16) != 0);
	memset(b, 0, sizeof b);
	ppce_random(b, sizeof b);
	check("ppce_random", memcmp(a, b, sizeof a) != 0 && !all_zero(b + 584, 16));
	int fd = open("/dev/urandom", O_RDONLY);
	check("/dev/urandom", fd >= 0 && read(fd, a, 16) == 16 && memcmp(a, b, 16) != 0 && close(fd) == 0);
}

static void devices(void)
{
	struct stat st;
	char text[8] = "xxxxxxx";
	int fd = open("/dev/null", O_RDWR);

	check("/dev/null", fd > 2 && read(fd, text, 4) == 0 && write(fd, text, 4) == 4);
	check("fstat", fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	check("fcntl", other >= 10 && close(other) == 0 && fcntl(fd, F_GETFD) >= 0);
	other = dup(fd);
	check("dup", other > 2 && close(other) == 0);
	check("close", close(fd) == 0 && fails(close(fd), EBADF) && fails(read(fd, text, 1), EBADF));
	fd = open("/dev/zero", O_RDONLY);
	check("/dev/zero", fd > 2 && read(fd, text, 8) == 8 && all_zero((uint8_t *)text, 8) && close(fd) == 0);
	fd = open("/dev/null", O_RDONLY);
	check("ioctl", fails(ioctl(fd, TCGETS, text), ENOTTY) && close(fd) == 0);
	check("open missing", fails(open("/no/such/file", O_RDONLY), ENOENT));
	check("stat missing",
	      fails(stat("/no/such/file", &st), ENOENT) && fails(access("/no/such/file", R_OK), ENOENT));
	check("stat /", stat("/", &st) == 0 && S_ISDIR(st.st_mode));
	check("descriptors", fails(read(-1, text, 1), EBADF) && fails(read(1000000, text, 1), EBADF));
}

/* The embedded file is "0123456789\n"; see meson.build. */
static void embedded(void)
{
	char text[16] = "", all[16] = "";
	struct stat st;
	int fd = open("/etc/digits", O_RDONLY);

	check("embedded read", fd > 2 && read(fd, text, 4) == 4 && memcmp(text, "0123", 4) == 0);
	check("embedded pread", pread(fd, text, 4, 6) == 4 && memcmp(text, "6789", 4) == 0);
	struct iovec v[2] = { { text, 2 }, { text + 2, 3 } };
	check("embedded readv", readv(fd, v, 2) == 5 && memcmp(text, "45678", 5) == 0);
	check("embedded end", read(fd, text, 16) == 2 && read(fd, text, 16) == 0);
	check("embedded lseek",
	      lseek(fd, -2, SEEK_END) == 9 && lseek(fd, 1, SEEK_SET) == 1 && lseek(fd, 1, SEEK_CUR) == 2);
	check("embedded lseek bad", fails(lseek(fd, -3, SEEK_CUR), EINVAL) && fails(lseek(fd, 0, 77), EINVAL));
	check("embedded fstat", fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 11);
	void *p = mmap(NULL, 11, PROT_READ, MAP_PRIVATE, fd, 0);
	check("embedded mmap", p != MAP_FAILED && memcmp(p, "0123456789\n", 11) == 0 && munmap(p, 11) == 0);
	check("embedded write", fails(write(fd, "x", 1), EBADF) && close(fd) == 0);
	check("embedded read-only",
	      fails(open("/etc/digits", O_RDWR), EROFS) && fails(access("/etc/digits", W_OK), EROFS));
	check("embedded create", fails(open("/etc/other", O_RDWR | O_CREAT, 0600), EROFS));
	check("embedded access", access("/etc/digits", R_OK) == 0 && access("etc/digits", F_OK) == 0);
	FILE *f = fopen("/etc/digits", "r");
	check("embedded stdio", f && fgets(all, sizeof all, f) && strcmp(all, "0123456789\n") == 0 && fclose(f) == 0);
}

static void identity(void)
{
	struct utsname u;
	struct sysinfo info;
	struct rlimit limit;
	cpu_set_t set;
	char path[64];
	unsigned cpu = 99;

	check("uname", uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0);
	check("getpid", getpid() > 1 && syscall(SYS_gettid) > 1 && getppid() >= 0);
	check("getuid", getuid() == geteuid() && getgid() == getegid());
	check("sysinfo", sysinfo(&info) == 0 && info.totalram > 0 && info.mem_unit > 0);
	check("getrlimit", getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 65536);
	check("sched_getaffinity", sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1);
	check("getcpu", syscall(SYS_getcpu, &cpu, NULL, NULL) == 0 && cpu != 99);
	check("getcwd", getcwd(path, sizeof path) && path[0] == '/');
	check("readlink", readlink("/proc/self/exe", path, sizeof path) > 0);
}

static void process(void)
{
	struct sigaction old, act = { .sa_handler = SIG_IGN };
	sigset_t set, old_set;
	unsigned long fs = 0;

	check("rt_sigaction", sigaction(SIGPIPE, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	sigaction(SIGPIPE, &old, NULL);
	sigemptyset(&set);
	check("rt_sigprocmask", sigprocmask(SIG_BLOCK, &set, &old_set) == 0);
	check("sigaltstack", sigaltstack(NULL, NULL) == 0);
	check("sched_yield", sched_yield() == 0);
	check("kill 0", kill(getpid(), 0) == 0);
	check("arch_prctl",
	      syscall(SYS_arch_prctl, 0x1003, &fs) == 0 && fs == (unsigned long)__builtin_thread_pointer());
	int word = 0;
	check("futex",
	      syscall(SYS_futex, &word, 1, 1, NULL) == 0 && fails(syscall(SYS_futex, &word, 0, 1, NULL), EAGAIN));
	check("write", write(1, "a line by write\n", 16) == 16);
	struct iovec v[2] = { { (char[]){ "a line by " }, 10 }, { (char[]){ "writev\n" }, 7 } };
	check("writev", writev(2, v, 2) == 17 && printf("a line by printf\n") == 17 && fflush(stdout) == 0);
}

static void absent(void)
{
	static const long calls[] = {
		SYS_socketpair,	    SYS_vfork,	SYS_fork,     SYS_clone,      SYS_execve, SYS_ptrace,
		SYS_mount,	    SYS_unlink, SYS_mkdir,    SYS_setuid,     SYS_prctl,  SYS_seccomp,
		SYS_io_uring_setup, SYS_splice, SYS_sendfile, SYS_kexec_load, 9999,	  -1
	};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		char name[32];
		snprintf(name, sizeof name, "absent %ld", calls[i]);
		check(name, fails(syscall(calls[i], -1, 0, 0, 0, 0, 0), ENOSYS));
	}
	char text[4];
	check("standard input is empty", read(0, text, 4) == 0);
	check("no network", fails(socket(AF_INET, SOCK_STREAM, 0), ENETDOWN));
	check("no other families", fails(socket(AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT));
	check("poll waits", poll(NULL, 0, 1) == 0);
}

/* A `syscall` may change rax, rcx and r11, and no other register: general, SSE or AVX. */
static bool preserved(long number)
{
	uint64_t in[8] = { 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888 }, got[8];
	uint8_t x[16], y[16];

	memset(x, 0x77, sizeof x);
	asm volatile("movdqu (%[x]), %%xmm7\n movdqu (%[x]), %%xmm15\n"
		     "mov 8(%[in]), %%rdx\n mov 16(%[in]), %%r8\n mov 24(%[in]), %%r9\n mov 32(%[in]), %%r10\n"
		     "mov 40(%[in]), %%r12\n mov 48(%[in]), %%r13\n xor %%edi, %%edi\n xor %%esi, %%esi\n"
		     "syscall\n"
		     "mov %%rdx, 8(%[got])\n mov %%r8, 16(%[got])\n mov %%r9, 24(%[got])\n mov %%r10, 32(%[got])\n"
		     "mov %%r12, 40(%[got])\n mov %%r13, 48(%[got])\n"
		     "pand %%xmm15, %%xmm7\n movdqu %%xmm7, (%[y])\n"
		     : "+a"(number)
		     : [x] "r"(x), [y] "r"(y), [in] "r"(in), [got] "r"(got)
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "xmm7", "xmm15", "memory",
		       "cc");
	return memcmp(in + 1, got + 1, 6 * sizeof *in) == 0 && memcmp(x, y, sizeof x) == 0;
}

static void registers(void)
{
	check("registers kept by getpid", preserved(SYS_getpid));
	check("registers kept by an absent call", preserved(9999));
	check("registers kept by brk", preserved(SYS_brk));
}

static int all_calls(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	out = res;
	in_guest = getauxval(AT_PPCE) != 0;
	ppce_reply(res, 200, "text/plain", "%s", "");
	memory();
	clocks();
	randomness();
	devices();
	identity();
	process();
	registers();
	if (in_guest) {
		guest_memory();
		embedded();
		absent();
	}
	return 0;
}

/* Says the time, for a comparison with the host's. */
static int say_clock(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	return ppce_reply(res, 200, "text/plain", "realtime %lu monotonic %lu\n", ppce_realtime_ns(),
			  ppce_monotonic_ns());
}

static uint64_t early;

/* All that ought to be fresh in each clone and after each reset, and what was drawn before the snapshot and cannot be. */
static int entropy(const struct ppce_request *req, struct ppce_response *res)
{
	uint64_t now, libc;

	(void)req;
	ppce_random(&now, sizeof now);
	if (getrandom(&libc, sizeof libc, 0) != sizeof libc)
		return -1;
	return ppce_reply(res, 200, "text/plain", "ppce_random %016lx\ngetrandom %016lx\npid %d\nboot %016lx\n", now,
			  libc, getpid(), early);
}

static int log_lines(const struct ppce_request *req, struct ppce_response *res)
{
	(void)req;
	ppce_log(PPCE_WARNING, "a warning with %d number", 1);
	printf("half a line, ");
	fflush(stdout);
	fprintf(stderr, "standard error\n");
	printf("and the rest\nunfinished");
	return ppce_reply(res, 200, "text/plain", "logged\n");
}

static const struct test_path paths[] = {
	{ "/syscalls", all_calls }, { "/clock", say_clock }, { "/entropy", entropy }, { "/log", log_lines }
};

static int handle(const struct ppce_request *req, struct ppce_response *res)
{
	if (strcmp(req->path, "/") == 0)
		return test_index(req, res, paths, sizeof paths / sizeof *paths);
	return test_route(req, res, paths, sizeof paths / sizeof *paths);
}

static int init(void)
{
	ppce_random(&early, sizeof early);
	return 0;
}

PPCE_APP(.name = "syscalls", .init = init, .handle = handle, .memory_mib = 8)
