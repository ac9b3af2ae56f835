# SPDX-License-Identifier: MIT
"""What survives: images, apps, users and sessions outlive the platform; instances and everything in them do not."""
import os
import signal

import pytest

from harness import eventually, process_born

LABEL = "level=NATO_SECRET,comp={A}"


@pytest.fixture(scope="module")
def world(make_platform, backend, echo_image):
    p = make_platform(backend=backend)
    p.add_image("echo", echo_image, label="level=NATO_RESTRICTED")
    p.add_app("notes", "echo", "user", max_instances=7, idle=120, deadline=3000)
    p.add_user("ann", LABEL)
    return p


def test_images_apps_and_users_persist(world):
    session = world.login("ann")
    assert world.call(session, "/notes/keep", method="POST", body="gone tomorrow").status == 200
    before = [world.cli_json(*verb.split()) for verb in ("image ls", "app ls", "user ls")]
    world.stop()
    world.start()
    eventually(lambda: world.cli_json("image", "ls")[0]["state"] == "ready", what="the image's snapshot")
    after = [world.cli_json(*verb.split()) for verb in ("image ls", "app ls", "user ls")]
    for old, new in zip(before, after):
        assert len(old) == 1
        same = {k for k in old[0] if k not in ("instances", "boot_us", "running", "queued")}
        assert {k: new[0][k] for k in same} == {k: old[0][k] for k in same}
    assert world.cli_json("ps") == []
    answer = world.call(session, "/notes/")
    assert answer.status == 200 and answer.start == "cold" and "kept=nothing" in answer.text
    assert world.cli_json("ps")[0]["owner"] == "ann"


def test_the_same_directory_cannot_be_run_twice(world):
    done = world.run("up", "-C", world.dir, "--listen", "127.0.0.1:0")
    assert done.returncode == 6 and "running already" in done.stderr and done.stdout == ""
    assert world.cli_json("status")["ready"] is True


def test_nothing_survives_a_kill_of_up_itself(world):
    session = world.login("ann")
    assert world.call(session, "/notes/").status == 200
    family = world.family()
    assert len(family) >= 5, "up, three daemons, a tender"
    os.kill(world.process.pid, signal.SIGKILL)
    world.process.wait()
    eventually(lambda: not any(process_born(pid) == born for pid, born in family), what="the end of every process")
    world.stop(check=False)
    world.start()
    assert world.call(session, "/notes/").status == 200
