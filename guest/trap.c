/* SPDX-License-Identifier: MIT
 *
 * SIGSYS in the process backend: the seccomp filter trapped a `syscall` of the program. The tender installed
 * ppce_signal_entry as the handler (SA_SIGINFO | SA_NODEFER) before the program began, so libc may not be up. The kernel
 * saves and restores every register around it; only rax is changed, in the saved copy. */
#include "guest/os.h"

#include <signal.h>
#include <ucontext.h>

/* The manifest knows it as void (*)(void), because <signal.h> has no place there; so not declared in ppce.h here. */
void ppce_signal_entry(int signal, siginfo_t *info, void *context);

void ppce_signal_entry(int signal, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const long args[6] = { (long)g[REG_RDI], (long)g[REG_RSI], (long)g[REG_RDX],
			       (long)g[REG_R10], (long)g[REG_R8],  (long)g[REG_R9] };

	(void)signal;
	(void)info;
	g[REG_RAX] = los_dispatch((long)g[REG_RAX], args);
}
