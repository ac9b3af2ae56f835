/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a record: refused, or a line that reads back as itself; and any bytes as a line or a proof. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/audit_files.h"
#include "lib/rest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct note_key key = { .name = "ppce-audit/00" };
	struct buf line = { .cap = AUDIT_LINE_MAX };
	struct note_checkpoint checkpoint;
	struct note_key other;
	struct err err;
	json_t *record;
	const char *text = (const char *)data;
	if (audit_record_make(text, size, 7, "2025-01-31T09:00:00.123456Z", &line, &err) == 0) {
		record = audit_record_read(line.data, line.len, 7, &err);
		if (!record)
			abort();
		json_decref(record);
	} else if (line.len) {
		abort();
	}
	buf_free(&line);
	json_decref(audit_record_read(text, size, 0, &err));
	json_t *proof = json_decode(text, size, &err);
	if (proof && audit_proof_check(proof, &key, &record, &err) == 0)
		abort(); /* nobody has that key */
	json_decref(proof);
	note_open(&key, text, size, &checkpoint, &err);
	note_key_parse(text, size, &other, &err);
	return 0;
}
