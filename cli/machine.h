/* SPDX-License-Identifier: MIT
 *
 * Facts about this machine that `ppce doctor` and the ready line tell.
 */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

/* Which module makes the virtual machines, and whether we are in one ourselves: "vmx", "svm", "nested pvm". */
void machine_kvm_kind(char *out, size_t size);
bool machine_cpu_flag(const char *flag); /* is the word in the flags of /proc/cpuinfo? */
/* Runs the program beside our own executable that is called `name` with one argument and takes the first line of its
 * standard output and error. -1 if it cannot run, does not end within 10 s, or fails. */
int machine_ask(const char *name, const char *argument, char *out, char *why, size_t size, struct err *err);

#endif
