/* SPDX-License-Identifier: MIT
 *
 * Attributes of netlink messages, as deep as net/link.c looks into them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/nl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = (NLMSG_HDRLEN + size) & ~(size_t)3; /* the kernel pads to four bytes */
	struct nlmsghdr *h = calloc(1, len);
	if (!h || size > 65536)
		abort();
	memcpy((char *)h + NLMSG_HDRLEN, data, len - NLMSG_HDRLEN);
	h->nlmsg_len = (uint32_t)len;
	for (uint16_t type = 0; type < 32; type++) {
		const struct nlattr *a = nl_attribute(h, 8, type);
		const char *text = nl_text(a);
		if (strlen(text) > size)
			abort();
		const struct nlattr *b = a ? nl_nested(a, 5) : NULL;
		b = b ? nl_nested(b, 1) : NULL;
		nl_text(b);
	}
	free(h);
	return 0;
}
