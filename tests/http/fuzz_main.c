/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target without libFuzzer: every file named on the command line, whole, cut after every byte, and with
 * every byte replaced by those that matter to the format. So each ordinary test run covers the seeds' surroundings. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_around(uint8_t *data, size_t size)
{
	static const uint8_t bytes[] = { 0, '\t', '\n', '\r', ' ', ',', '/', '0', '9', ':', ';', 'F', 0x7f, 0xff };
	for (size_t len = 0; len <= size; len++)
		LLVMFuzzerTestOneInput(data, len);
	for (size_t i = 0; i < size; i++) {
		uint8_t saved = data[i];
		for (size_t b = 0; b < sizeof(bytes); b++) {
			data[i] = bytes[b];
			LLVMFuzzerTestOneInput(data, size);
		}
		data[i] = saved;
	}
}

int main(int argc, char **argv)
{
	static uint8_t data[4096];
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		size_t size = fread(data, 1, sizeof(data), f);
		fclose(f);
		run_around(data, size);
	}
	return argc > 1 ? 0 : 2;
}
