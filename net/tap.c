/* SPDX-License-Identifier: MIT */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char device[] = "/dev/net/tun";

static int open_device(struct err *err)
{
	int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno == EACCES ? ERR_DENIED : ERR_INTERNAL, "%s", device);
	return fd;
}

int tap_check(struct err *err)
{
	int fd = open_device(err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int set_name(int fd, const char *name, short more, struct err *err)
{
	struct ifreq r = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | more) };

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	if (ioctl(fd, TUNSETIFF, &r) == 0)
		return 0;
	return err_errno(err,
			 errno == EBUSY	  ? ERR_CONFLICT
			 : errno == EPERM ? ERR_DENIED
					  : ERR_INTERNAL,
			 "tap %s: TUNSETIFF", name);
}

static int find_index(const char *name, unsigned *out, struct err *err)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	int rc = fd < 0 ? -1 : ioctl(fd, SIOCGIFINDEX, &r);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		return err_errno(err, ERR_INTERNAL, "tap %s: SIOCGIFINDEX", name);
	*out = (unsigned)r.ifr_ifindex;
	return 0;
}

int tap_lend(int fd, uid_t uid, gid_t gid, struct err *err)
{
	if (ioctl(fd, TUNSETOWNER, uid) < 0 || ioctl(fd, TUNSETGROUP, gid) < 0)
		return err_errno(err, ERR_INTERNAL, "tap: giving it to user %u", (unsigned)uid);
	return 0;
}

/* Persistent last: until then, closing the descriptor removes all of it. */
int tap_create(const char *name, unsigned *ifindex, struct err *err)
{
	int fd = open_device(err);
	if (fd < 0)
		return -1;
	if (set_name(fd, name, (short)IFF_TUN_EXCL, err) == 0 && tap_lend(fd, geteuid(), getegid(), err) == 0 &&
	    find_index(name, ifindex, err) == 0) {
		if (ioctl(fd, TUNSETPERSIST, 1) == 0)
			return fd;
		err_errno(err, ERR_INTERNAL, "tap %s: TUNSETPERSIST", name);
	}
	close(fd);
	return -1;
}

int tap_attach(const char *name, struct err *err)
{
	int fd = open_device(err);
	if (fd < 0)
		return -1;
	if (set_name(fd, name, 0, err) == 0)
		return fd;
	close(fd);
	return -1;
}
