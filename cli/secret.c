/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sodium.h>

#include "cli/secret.h"

/* Bytes up to the first line end or the end of the file. */
static int read_line(int fd, const char *from, char *out, struct err *err)
{
	size_t len = 0;
	for (;;) {
		ssize_t n = read(fd, out + len, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, ERR_INTERNAL, "cannot read %.200s", from);
		if (n == 0 || out[len] == '\n')
			break;
		if (out[len] == '\0')
			return err_set(err, ERR_INVALID, "the password in %.200s has a NUL byte", from);
		if (++len == SECRET_SIZE - 1)
			return err_set(err, ERR_INVALID, "the password in %.200s is longer than 1024 bytes", from);
	}
	if (len > 0 && out[len - 1] == '\r')
		len--;
	out[len] = '\0';
	return len > 0 ? 0 : err_set(err, ERR_INVALID, "the password in %.200s is empty", from);
}

static int ask(int tty, const char *prompt, char *out, struct err *err)
{
	struct termios old, silent;
	if (tcgetattr(tty, &old) < 0)
		return err_errno(err, ERR_INTERNAL, "the terminal");
	silent = old;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(tty, TCSAFLUSH, &silent);
	if (write(tty, prompt, strlen(prompt)) < 0)
		err_errno(err, ERR_INTERNAL, "the terminal");
	int rc = read_line(tty, "the terminal", out, err);
	tcsetattr(tty, TCSAFLUSH, &old);
	if (write(tty, "\n", 1) < 0)
		rc = err_errno(err, ERR_INTERNAL, "the terminal");
	return rc;
}

static int ask_twice(char *out, struct err *err)
{
	char again[SECRET_SIZE];
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0)
		return err_set(err, ERR_INVALID, "no terminal to ask for the password: use --password-file FILE");
	int rc = ask(tty, "Password: ", out, err);
	if (rc == 0)
		rc = ask(tty, "Again: ", again, err);
	if (rc == 0 && strcmp(out, again) != 0)
		rc = err_set(err, ERR_INVALID, "the two passwords differ");
	sodium_memzero(again, sizeof again);
	close(tty);
	return rc;
}

int secret_read(const char *file, char *out, struct err *err)
{
	if (!file)
		return ask_twice(out, err);
	if (strcmp(file, "-") == 0)
		return read_line(STDIN_FILENO, "standard input", out, err);
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, ERR_NOT_FOUND, "%.300s", file);
	int rc = read_line(fd, file, out, err);
	close(fd);
	return rc;
}
