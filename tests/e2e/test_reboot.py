# SPDX-License-Identifier: MIT
"""Snapshots are made anew on a timer, so that what a start draws at random does not last for ever."""
import pathlib

from harness import build_image, eventually

SOURCE = pathlib.Path(__file__).parent / "apps" / "draw.c"


def test_what_a_start_draws_changes_with_time(make_platform, tmp_path):
    platform = make_platform(config={"vmmd.reboot_s": 1})
    platform.add_image("draw", build_image(SOURCE, tmp_path / "draw"))
    platform.add_app("draw", "draw", "request")
    platform.add_user("ann", "level=NATO_SECRET")
    session = platform.login("ann")

    def drawn():
        answer = platform.call(session, "/draw/")
        assert answer.status == 200, answer
        return answer.text

    first = drawn()
    eventually(lambda: drawn() != first, timeout=30, what="a new start's random number")
