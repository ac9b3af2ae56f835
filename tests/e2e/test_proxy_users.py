# SPDX-License-Identifier: MIT
"""Many users at once, on apps of every lifetime, while instances die: no answer may ever reach the wrong user."""
import concurrent.futures
import random

import pytest

USERS = 12
LABELS = ["level=NATO_SECRET,comp={A}", "level=NATO_SECRET,comp={B}", "level=NATO_RESTRICTED"]
LIFETIMES = ("class", "user", "request")


@pytest.fixture(scope="module")
def world(platform, echo_image):
    platform.add_image("echo", echo_image)
    for lifetime in LIFETIMES:
        platform.add_app("e-" + lifetime, "echo", lifetime, max_instances=6)
    platform.people = {}
    for n in range(USERS):
        platform.add_user(f"user{n}", LABELS[n % len(LABELS)])
        platform.people[f"user{n}"] = (platform.login(f"user{n}"), LABELS[n % len(LABELS)])
    return platform


def check(world, user, session, label, client, n):
    """One request with something in it that only this user and this request know."""
    lifetime = random.choice(LIFETIMES)
    secret = f"{user}-{n}-{random.getrandbits(64):x}"
    die = random.random() < 0.05
    answer = world.call(session, f"/e-{lifetime}/{'crash' if die else 'keep'}?n={n}", method="POST", body=secret,
                        client=client)
    if answer.status != 200:
        assert answer.status in (502, 503), answer
        return 0
    fields = dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)
    assert fields["user"] == user and fields["body"] == secret and fields["query"] == f"n={n}"
    assert fields["label"] == label and fields["session"] == session.id
    assert fields["id"] == answer.headers["PPCE-Request-Id"]
    if lifetime == "user":
        assert fields["kept"].startswith(user + ":")
    if lifetime == "class":
        owner = fields["kept"].split(":")[0]
        assert world.people[owner][1] == label, "an instance was shared across labels"
    return 1


def test_no_answer_reaches_the_wrong_user(world):
    def run(user):
        session, label = world.people[user]
        client = world.client()
        try:
            return sum(check(world, user, session, label, client, n) for n in range(40))
        finally:
            client.close()

    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        served = sum(pool.map(run, world.people))
    assert served > USERS * 40 * 0.7
    figures = world.rest("proxy", "GET", "/metrics").text
    assert "ppce_proxy_mismatches_total 0\n" in figures


def test_each_answer_was_recorded_for_its_user(world):
    session, label = world.people["user0"]
    answer = world.call(session, "/e-request/")
    record, = world.audit(request_id=answer.headers["PPCE-Request-Id"])
    assert (record["actor"], record["label"], record["session"]) == ("user0", label, session.id)
    assert record["instance"] == answer.instance and record["allowed"] is True
