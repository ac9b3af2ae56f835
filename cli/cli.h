/* SPDX-License-Identifier: MIT
 *
 * What the verbs of `ppce` share. A verb is one entry of a table: its words, its arguments, its options, and a function
 * that gets them checked and in place. Results go to standard output as a table or as JSON, everything else to
 * standard error; the exit code comes from the kind of the error (lib/err.h).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "lib/config.h"
#include "lib/err.h"

#define CLI_ARGS_MAX 4
#define CLI_OPTIONS_MAX 20
#define CLI_CALL_MS 15000u	   /* longest wait for a daemon's answer */
#define CLI_ANSWER_MAX (16u << 20) /* largest answer of a daemon */

struct cli;

struct cli_option {
	const char *name;  /* without the dashes */
	const char *value; /* how the value is called in the help, NULL for a flag */
	const char *help;
	bool required;
};

struct cli_verb {
	const char *name;			    /* "image add" */
	const char *args;			    /* "NAME FILE"; an optional last one in brackets: "[APP]" */
	const char *summary;			    /* one line */
	const char *detail;			    /* help text with an example; lines end with \n */
	struct cli_option options[CLI_OPTIONS_MAX]; /* ends with name NULL */
	int (*run)(struct cli *c, struct err *err);
};

struct cli {
	const char *dir; /* -C, else $PPCE_DIR, else "." */
	bool json;	 /* -o json */
	const struct cli_verb *verb;
	const char *args[CLI_ARGS_MAX]; /* NULL where an optional one is absent */
	unsigned nargs;
	const char *values[CLI_OPTIONS_MAX]; /* parallel to verb->options; NULL where not given, "" for a flag */
	int exit_code;			     /* of a verb that succeeded; `status` and `doctor` say more than 0 and 1 */
};

/* Tables of verbs, one per file; each ends with name NULL. */
extern const struct cli_verb cli_init_verbs[], cli_up_verbs[], cli_image_verbs[], cli_app_verbs[], cli_user_verbs[],
	cli_session_verbs[], cli_instance_verbs[], cli_pool_verbs[], cli_explain_verbs[], cli_config_verbs[],
	cli_doctor_verbs[], cli_status_verbs[], cli_audit_verbs[], cli_certificate_verbs[], cli_obligation_verbs[],
	cli_version_verbs[], cli_grant_verbs[], cli_bench_verbs[];
extern const struct cli_verb *const cli_groups[]; /* all of them in the order of the help; ends with NULL */

/* args.c. Fills `c` from the command line. Returns 0; -1 with ERR_INVALID; 1 when help was asked for and printed. */
int cli_parse(struct cli *c, int argc, char **argv, struct err *err);
const char *cli_value(const struct cli *c, const char *option); /* NULL if not given */
/* A number given by an option, within [min, max]; `fallback` if not given. */
int cli_number(const struct cli *c, const char *option, long long min, long long max, long long fallback,
	       long long *out, struct err *err);
/* Exactly one of the words of `choices` (NULL-terminated), else ERR_INVALID naming the nearest. NULL value: fine. */
int cli_choice(const char *what, const char *value, const char *const *choices, struct err *err);

/* help.c */
void cli_help_all(void);
void cli_help_verb(const struct cli_verb *v);
void cli_help_group(const char *group); /* all verbs whose first word this is */

/* rest.c. Calls a daemon over DIR/run/DAEMON.sock ("vmmd", "auth", "proxy"). Takes `body` over (NULL: none). `out` (may
 * be NULL) gets the decoded answer, NULL if empty. The daemon's refusal becomes `err`. `target` must be encoded. */
int cli_rest(struct cli *c, const char *daemon, const char *method, const char *target, json_t *body, json_t **out,
	     struct err *err);
int cli_rest_timed(struct cli *c, const char *daemon, const char *method, const char *target, json_t *body,
		   unsigned timeout_ms, json_t **out, struct err *err);
/* The same on behalf of a user: with their session's token. */
int cli_rest_as(struct cli *c, const char *token, const char *daemon, const char *method, const char *target,
		json_t *body, json_t **out, struct err *err);
/* Raw text of an answer (malloc'd). */
int cli_rest_text(struct cli *c, const char *daemon, const char *target, unsigned timeout_ms, char **out,
		  struct err *err);
/* "PREFIX" + the percent-encoded word + "SUFFIX"; ERR_INVALID if it does not fit. */
int cli_target(char *out, size_t size, const char *prefix, const char *word, const char *suffix, struct err *err);
/* DIR/TAIL, without reading the configuration. */
int cli_path(const struct cli *c, const char *tail, char *out, size_t size, struct err *err);
/* Makes DIR/NAME, a secret of 32 random bytes in hex that is its owner's alone, unless it is there. init.c. */
int cli_make_key(const struct cli *c, const char *name, struct err *err);
/* The list in an answer: the answer itself if it is an array, else its first member that is one; borrowed. */
json_t *cli_list(json_t *answer);

/* table.c */
struct cli_column {
	const char *key; /* member of each row; "a.b" goes one deeper */
	const char *title;
	unsigned cut; /* show at most this many characters in the table; 0: all */
};
/* Prints `rows` (an array of objects) as a table of these columns, or whole as JSON. */
void cli_print_rows(const struct cli *c, json_t *rows, const struct cli_column *columns);
void cli_print_object(const struct cli *c, json_t *object); /* "key  value" lines, or JSON */
void cli_print_json(const json_t *value);
/* Text of a peer or file, with control characters made visible. */
void cli_print_text(const char *text);
bool cli_color(void); /* may standard output be coloured? */
/* For people only: a line on standard error, nothing with -o json. */
void cli_note(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets a member from an optional text or number option; nothing is set where there is none. -1: not UTF-8, no number. */
int cli_set_text(json_t *object, const char *key, const char *value, struct err *err);
int cli_set_number(struct cli *c, json_t *object, const char *key, const char *option, long long min, long long max,
		   struct err *err);

#endif
