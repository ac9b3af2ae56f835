# SPDX-License-Identifier: MIT
"""What the proxy keeps and forgets when it, or a daemon that it talks to, is killed."""
import os
import signal

import pytest

from harness import eventually

SECRET = "level=NATO_SECRET,comp={A}"


@pytest.fixture(scope="module")
def world(make_platform, echo_image):
    p = make_platform(config={"proxy.queue_ms": 8000})
    p.add_image("echo", echo_image)
    p.add_app("echo", "echo", "class", max_instances=1)
    p.add_app("other", "echo", "class", max_instances=1)
    p.add_user("ann", SECRET)
    p.ann = p.login("ann")
    return p


def kill(world, daemon):
    """kill -9; returns when `ppce up` has started it again."""
    old = world.pid(daemon)
    os.kill(old, signal.SIGKILL)

    eventually(lambda: world.pid(daemon) not in (None, old), what=f"another {daemon}")


def test_instances_outlive_the_proxy(world):
    before = world.call(world.ann, "/echo/keep", method="POST", body="still here")
    kill(world, "proxy")
    world.wait_ready()
    after = world.call(world.ann, "/echo/")
    assert after.status == 200 and after.instance == before.instance and after.start == "warm"
    assert "kept=ann:still here" in after.text
    assert world.rest("proxy", "GET", "/metrics").text.count("ppce_proxy_mismatches_total 0\n") == 1


def test_without_auth_nobody_is_served(world):
    assert world.call(world.ann, "/echo/").status == 200
    os.kill(world.process.pid, signal.SIGSTOP)  # so that it is not started again yet
    try:
        os.kill(world.pid("auth"), signal.SIGKILL)
        eventually(lambda: world.call(world.ann, "/echo/").status == 503)
        answer = world.call(world.ann, "/echo/")
        assert (answer.status, answer.code) == (503, "unavailable") and "user=ann" not in answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert world.try_login("ann").status == 503
    finally:
        os.kill(world.process.pid, signal.SIGCONT)
    eventually(lambda: world.call(world.ann, "/echo/").status == 200)


def test_a_request_waits_for_vmmd_to_come_back(world):
    kill(world, "vmmd")
    answer = world.call(world.ann, "/other/")
    assert answer.status == 200 and answer.start == "cold"
    world.wait_ready()
    again = world.call(world.ann, "/echo/")
    assert again.status == 200 and "kept=nothing" in again.text, "no instance outlives vmmd"
