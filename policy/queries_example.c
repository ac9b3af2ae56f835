/* SPDX-License-Identifier: MIT */
#include "policy/queries.h"

const char *queries_example(void)
{
	return "# Named queries: all that apps can read and write. An app runs a query only if it is listed under "
	       "`apps` here\n"
	       "# and in the manifest of the app's image. Checked by `ppce config check` and read when the\n"
	       "# store starts. docs/store.md explains every key.\n"
	       "#\n"
	       "# sqlite: DIR/state/data.db. Or \"postgresql:host=/run/postgresql dbname=records user=ppce\".\n"
	       "database: sqlite\n"
	       "\n"
	       "queries:\n"
	       "#  my_training:\n"
	       "#    # $user $class $session $purpose come from the session, $1.. from the app: always bound, never "
	       "spliced\n"
	       "#    read: \"SELECT day, load FROM training WHERE player = $user AND day >= $1 ORDER BY day\"\n"
	       "#    params: [text]                      # int, real, text, blob\n"
	       "#    label: \"level=NATO_RESTRICTED\"      # of the rows; may use $user, $1 and, per row, @column\n"
	       "#    apps: [records]\n"
	       "#    rows: 1000                          # more: the app gets \"too large\"\n"
	       "#    bytes: 65536\n"
	       "#    ms: 2000                            # longer: \"deadline\"\n"
	       "#  add_training:\n"
	       "#    write: \"INSERT INTO training (player, day, load, label) VALUES ($user, $1, $2, $label)\"\n"
	       "#    params: [text, real]\n"
	       "#    label: \"level=NATO_RESTRICTED\"      # of what is written; default: the instance's label\n"
	       "#    apps: [records]\n";
}
