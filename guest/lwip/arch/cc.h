/* SPDX-License-Identifier: MIT
 *
 * lwIP on the library OS: no libc, whose string functions use SSE (see guest/os.h). The standard headers are included
 * here first, so that the names can be given other meanings after them. */
#ifndef GUEST_LWIP_ARCH_CC_H
#define GUEST_LWIP_ARCH_CC_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "guest/os.h"

static inline void *los_fill(void *to, int byte, size_t len)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
	return start;
}
#undef memset
#define memset(to, byte, len) los_fill(to, byte, len)
/* In functions that are compiled but that nothing here calls: names of interfaces, numbers as text, searches. */
#undef memmove
#undef strlen
#undef strncmp
#undef atoi
#define memmove(to, from, len) los_copy(to, from, len)
#define strlen(s) los_strlen(s)
#define strncmp(a, b, len) (!los_streq(a, b))
#define atoi(s) 0

#ifndef SSIZE_MAX /* not in every compiler's freestanding <limits.h> */
#define SSIZE_MAX LONG_MAX
#endif
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_PLATFORM_DIAG(x) ((void)0)
#define LWIP_PLATFORM_ASSERT(text) los_panic("lwIP: " text)

#endif
