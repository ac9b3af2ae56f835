/* SPDX-License-Identifier: MIT
 *
 * Log lines on standard error: time, level, daemon, text. Control characters in arguments are made visible, so that a
 * peer's bytes cannot forge a line. Never for personal data: names of users and what they asked go to the audit log.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *daemon, enum log_level level);    /* keeps the pointer */
int log_level_parse(const char *text, enum log_level *out); /* "error", "warn", "info", "debug" */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
