# SPDX-License-Identifier: MIT
"""kill -9 of each daemon and of a tender, under load: the others stay, requests fail with 5xx or a broken connection
until it is back, `ppce up` brings it back, and no answer ever goes to the wrong user."""
import http.client
import os
import random
import signal
import threading

import pytest

from harness import DAEMONS, eventually, plain

LABELS = ("level=NATO_SECRET,comp={A}", "level=NATO_SECRET,comp={B}", "level=NATO_RESTRICTED")
USERS = 6
BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)


@pytest.fixture(scope="module")
def world(make_platform, backend, echo_image):
    p = make_platform(backend=backend, config={"proxy.queue_ms": 2000})
    p.add_image("echo", echo_image)
    for lifetime in ("class", "user", "request"):
        p.add_app("echo-" + lifetime, "echo", lifetime, max_instances=8)
    p.people = {}
    for n in range(USERS):
        p.add_user(f"user{n}", LABELS[n % len(LABELS)])
        p.people[f"user{n}"] = p.login(f"user{n}")
    return p


class Load:
    """One thread per user, each calling as fast as it is answered, and checking every answer."""

    def __init__(self, world):
        self.world, self.end = world, threading.Event()
        self.wrong, self.statuses, self.served = [], {}, {name: 0 for name in world.people}
        self.threads = [threading.Thread(target=self.user, args=person) for person in world.people.items()]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join(60)

    def user(self, name, session):
        client = self.world.client(timeout=20)
        while not self.end.wait(0.002):
            secret = f"{name}:{random.getrandbits(64):x}"
            lifetime = random.choice(("class", "user", "request"))
            try:
                answer = self.world.call(session, f"/echo-{lifetime}/", method="POST", body=secret, client=client)
            except BROKEN as e:
                self.statuses[type(e).__name__] = self.statuses.get(type(e).__name__, 0) + 1
                client.close()
                client = self.world.client(timeout=20)
                continue
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            self.check(name, session, secret, answer)
        client.close()

    def check(self, name, session, secret, answer):
        if answer.status != 200:
            if answer.status < 500 or any(f"user={other}" in answer.text for other in self.world.people):
                self.wrong.append((name, answer))
            return
        text = answer.text
        if f"\nuser={name}\n" not in text or f"body={secret}\n" not in text or f"label={plain(session.label)}\n" not in text:
            self.wrong.append((name, answer))
        self.served[name] += 1

    def progress(self, what):
        """Until every user was served again, after this moment."""
        before = dict(self.served)
        eventually(lambda: all(self.served[n] > before[n] + 2 for n in before) or self.wrong, timeout=40, what=what)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_each_daemon_comes_back(world, daemon):
    world.wait_ready()
    with Load(world) as load:
        load.progress("load")
        pids = {name: world.pid(name) for name in DAEMONS}
        os.kill(pids[daemon], signal.SIGKILL)
        eventually(lambda: world.pid(daemon) not in (None, pids[daemon]),
                   what=f"a new {daemon}")
        world.wait_ready()
        load.progress(f"service after the death of {daemon}")
        assert all(alive(pid) for name, pid in pids.items() if name != daemon), "another daemon went with it"
        assert {name: world.pid(name) for name in DAEMONS if name != daemon} == \
            {name: pid for name, pid in pids.items() if name != daemon}
    assert not load.wrong, load.wrong[:3]
    assert load.statuses[200] > 0


def test_a_killed_tender_is_replaced(world):
    world.wait_ready()
    with Load(world) as load:
        load.progress("load")
        for row in world.cli_json("ps")[:3]:
            try:
                os.kill(row["pid"], signal.SIGKILL)
            except ProcessLookupError:
                pass  # ended by itself meanwhile
        load.progress("service after the death of tenders")
    assert not load.wrong, load.wrong[:3]


def test_a_session_outlives_auth_and_proxy(world):
    name, session = next(iter(world.people.items()))
    answer = world.call(session, "/echo-user/")
    assert answer.status == 200 and f"user={name}\n" in answer.text
