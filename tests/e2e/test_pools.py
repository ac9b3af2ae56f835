# SPDX-License-Identifier: MIT
"""Instances made ahead answer the first request at their label."""
import os
import signal

import pytest

from harness import eventually

LABEL = "level=NATO_SECRET,comp={A}"


@pytest.fixture(scope="module")
def p(platform, echo_image):
    platform.add_image("echo", echo_image)
    platform.add_user("ann", LABEL)
    return platform


def ready(p, app, n):
    """The UUIDs of this app's instances made ahead, once there are n that are ready."""
    def check():
        row, = [row for row in p.cli_json("pool", "ls")["warm"] if row["app"] == app]
        return {i["uuid"] for i in row["processes"]} if (row["ready"], row["starting"]) == (n, 0) else None
    return eventually(check, what=f"{n} instances of {app}")


@pytest.mark.parametrize("lifetime,mode,start", [("class", [], "warm"), ("user", [], "warm"), ("request", [], "pristine"),
                                                 ("request", ["--mode", "discard"], "pristine")])
def test_the_first_request_finds_one(p, lifetime, mode, start):
    app = "-".join(["ahead", lifetime, *mode[1:]])
    p.cli("app", "add", app, "--image", "echo", "--lifetime", lifetime, *mode)
    owner = ["--owner", "ann"] if lifetime == "user" else []
    p.cli("pool", "set", app, "--label", LABEL, *owner, "--warm", "1")
    made = ready(p, app, 1)
    session = p.login("ann")
    answer = p.call(session, f"/{app}/")
    assert answer.status == 200 and answer.start == start and answer.instance in made
    if mode:  # used up, and made again
        again = eventually(lambda: ready(p, app, 1) - made, what="another one")
        answer = p.call(session, f"/{app}/")
        assert answer.start == start and answer.instance in again


def test_one_that_is_killed_is_made_again_and_found(p):
    p.add_app("killed", "echo", "class")
    p.cli("pool", "set", "killed", "--label", LABEL, "--warm", "1")
    made = ready(p, "killed", 1)
    row, = p.cli_json("ps", "killed")
    os.kill(row["pid"], signal.SIGKILL)
    again = eventually(lambda: ready(p, "killed", 1) - made, what="another one")
    answer = p.call(p.login("ann"), "/killed/")
    assert answer.start == "warm" and answer.instance in again
