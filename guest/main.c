/* SPDX-License-Identifier: MIT
 *
 * main() of every image. Inside a guest it takes requests until the host ends the instance; under plain Linux it is a
 * command-line program. */
#include "guest/app.h"
#include "guest/os.h"

/* ppce-cc asks for this symbol, so that an app with a main() of its own fails to link instead of never serving. */
const char ppce_main_is_in_the_library = 1;

int main(int argc, char **argv)
{
	if (los_io)
		app_guest_loop();
	return app_plain(argc, argv);
}
