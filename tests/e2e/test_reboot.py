# SPDX-License-Identifier: MIT
"""Snapshots are made anew on a timer, so that what a start draws at random does not last for ever."""
import re

from harness import build_dir, eventually


def test_what_a_boot_draws_changes_with_time(make_platform):
    platform = make_platform(config={"vmmd.reboot_s": 1})
    platform.add_image("calls", build_dir() / "tests" / "guest" / "syscalls")
    platform.add_app("calls", "calls", "request")
    platform.add_user("ann", "level=NATO_SECRET")
    session = platform.login("ann")

    def boot_draw():
        answer = platform.call(session, "/calls/entropy")
        assert answer.status == 200, answer
        return re.search(r"boot ([0-9a-f]+)", answer.text).group(1)

    first = boot_draw()
    eventually(lambda: boot_draw() != first, timeout=20, what="a new boot's random numbers")
