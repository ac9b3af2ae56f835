# SPDX-License-Identifier: MIT
"""Waiting, growing, making room, and instances that die: through the door, with real instances."""
import concurrent.futures
import threading

import pytest

from harness import eventually

SECRET = "level=NATO_SECRET,comp={A}"
RESTRICTED = "level=NATO_RESTRICTED"


@pytest.fixture(scope="module")
def world(make_platform, echo_image):
    p = make_platform(config={"proxy.queue": 4, "proxy.queue_ms": 1500})
    p.add_image("echo", echo_image)
    p.add_app("one", "echo", "class", max_instances=1)
    p.add_app("two", "echo", "class", max_instances=2)
    p.add_app("mine", "echo", "user", max_instances=2)
    for name in ("ann", "bob", "cat"):
        p.add_user(name, SECRET)
    p.sessions = {name: p.login(name) for name in ("ann", "bob", "cat")}
    return p


def at_once(world, calls):
    """calls: (user, path, label) each; their answers, sent at the same time on connections of their own."""
    start = threading.Barrier(len(calls))

    def one(user, path, label=None):
        start.wait()
        return world.call(world.sessions[user], path, label=label)

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(one, *c) for c in calls]]


def apps(world):
    return {app["name"]: app for app in world.rest("proxy", "GET", "/v1/routes").json()["apps"]}


def test_a_full_queue_says_when_to_come_again(world):
    world.call(world.sessions["ann"], "/one/")
    answers = at_once(world, [("ann", "/one/slow?ms=200", None)] * 12)
    served = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status == 503]
    assert len(served) + len(refused) == 12
    assert len(served) >= 5, "one at work and four waiting fit"
    assert refused and all(int(a.headers["Retry-After"]) >= 1 and a.code == "full" for a in refused)
    assert len({a.instance for a in served}) == 1


def test_waiting_ends(world):
    answers = at_once(world, [("ann", "/one/slow?ms=1900", None), ("bob", "/one/slow?ms=1900", None)])
    assert sorted(a.status for a in answers) == [200, 503]


def test_an_app_grows_to_its_maximum_and_not_beyond(world):
    answers = at_once(world, [("ann", "/two/slow?ms=100", None)] * 6)
    assert [a.status for a in answers] == [200] * 6
    assert len({a.instance for a in answers}) <= 2
    assert apps(world)["two"]["instances"] <= 2


def test_another_key_gets_the_place_of_an_idle_instance(world):
    first = world.call(world.sessions["ann"], "/one/")
    lower = world.call(world.sessions["ann"], "/one/", label=RESTRICTED)
    assert (first.status, lower.status) == (200, 200)
    assert lower.instance != first.instance and lower.start == "cold"
    eventually(lambda: [r["uuid"] for r in world.cli_json("ps") if r["app"] == "one"] == [lower.instance],
               what="the first instance's end")


def test_more_users_than_places_take_turns(world):
    calls = [(user, f"/mine/{n}", None) for n in range(2) for user in ("ann", "bob", "cat")]
    for (user, _, _), answer in zip(calls, at_once(world, calls)):
        assert answer.status == 200 and f"user={user}\n" in answer.text


@pytest.mark.parametrize("how, status", [("crash", 502), ("exit", 502)])
def test_waiting_requests_survive_an_instance(world, how, status):
    world.call(world.sessions["ann"], "/one/")
    answers = at_once(world, [("ann", f"/one/{how}", None)] + [("bob", "/one/slow?ms=10", None)] * 3)
    assert [a.status for a in answers] == [status, 200, 200, 200]


def test_a_session_that_ends_in_the_queue_is_not_served(world):
    ended = world.login("bob")
    world.call(world.sessions["ann"], "/one/")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        slow = pool.submit(world.call, world.sessions["ann"], "/one/slow?ms=900")
        eventually(lambda: busy(world, "one"))
        waiting = pool.submit(world.call, ended, "/one/keep", "POST", "too late")
        eventually(lambda: apps(world)["one"]["waiting"] == 1)
        world.cli("session", "rm", ended.id)
        assert waiting.result().status == 401
        assert slow.result().status == 200
    assert "kept=bob:too late" not in world.call(world.sessions["ann"], "/one/").text


def test_a_session_that_ends_while_an_instance_works_gets_no_answer(world):
    ended = world.login("bob")
    world.call(world.sessions["ann"], "/one/")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(world.call, ended, "/one/slow?ms=900")
        eventually(lambda: busy(world, "one"))
        world.cli("session", "rm", ended.id)
        answer = working.result()
    assert answer.status == 401 and "user=bob" not in answer.text


def busy(world, app):
    rows = world.rest("proxy", "GET", "/v1/routes").json()["instances"]
    return any(row["state"] == "busy" for row in rows if row["app"] == app)


def test_who_leaves_the_queue_frees_a_place(world):
    world.call(world.sessions["ann"], "/one/")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(world.call, world.sessions["ann"], "/one/slow?ms=900")
        eventually(lambda: busy(world, "one"))
        client = world.client()
        client.connection.request("GET", "/one/", headers={"Authorization": "Bearer " + world.sessions["bob"].token})
        eventually(lambda: apps(world)["one"]["waiting"] == 1)
        client.close()
        eventually(lambda: apps(world)["one"]["waiting"] == 0)
        assert slow.result().status == 200
    assert world.audit(reason="client-gone", allowed=False, actor="bob")
