# SPDX-License-Identifier: MIT
"""No answer without its record: whatever happens to the audit log, what users were told stands in it."""
import os
import resource
import signal
import threading

import pytest

from harness import eventually

KILLS = 6


@pytest.fixture(scope="module")
def world(make_platform, backend, echo_image):
    p = make_platform(backend=backend)
    p.add_image("echo", echo_image)
    p.add_app("echo", "echo", "request", max_instances=4)
    for user in ("ann", "bob"):
        p.add_user(user, "level=NATO_SECRET,comp={A}")
    p.sessions = {user: p.login(user) for user in ("ann", "bob")}
    return p


def answered(world, user, end, ids):
    """Request ids of all answers of the app that `user` gets until the end."""
    while not end.is_set():
        answer = world.call(world.sessions[user], "/echo/")
        assert answer.status in (200, 502, 503), answer
        if answer.status == 200:
            ids.append(answer.headers["PPCE-Request-Id"])
        else:
            assert b"user=" not in answer.body


def kill_audit(world):
    pid = world.pid("audit")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: world.pid("audit") not in (None, pid), what="a new audit")


def test_no_answer_without_its_record(world):
    ids, end = [], threading.Event()
    threads = [threading.Thread(target=answered, args=(world, user, end, ids)) for user in world.sessions]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            before = len(ids)
            eventually(lambda: len(ids) > before + 5, timeout=30, what="answers")
            kill_audit(world)
    finally:
        end.set()
        for thread in threads:
            thread.join()
    world.wait_ready()
    recorded = {r["request_id"] for r in world.audit(event="request", allowed=True)}
    assert len(ids) > 5 * KILLS and set(ids) <= recorded
    world.cli("audit", "verify")


def test_a_full_disk_stops_releases_and_says_so(world):
    pid = world.pid("audit")
    size = max(f.stat().st_size for f in (world.dir / "log" / "audit" / "data").iterdir())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    answer = eventually(lambda: (a := world.call(world.sessions["ann"], "/echo/")).status == 503 and a)
    assert answer.code == "unavailable" and "audit log" in answer.json()["detail"] and "user=" not in answer.text
    assert world.rest("audit", "GET", "/readyz").status == 503
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    eventually(lambda: world.call(world.sessions["ann"], "/echo/").status == 200, what="answers again")
    world.cli("audit", "verify")
