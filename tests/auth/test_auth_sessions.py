# SPDX-License-Identifier: MIT
"""The session socket of ppce-auth, with the test in the place of a proxy."""
import concurrent.futures
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import time

import pytest

from auth_daemon import FOUND, LOOKUP, MESSAGE, PASSWORD, REVOKE, REVOKED_OK, UNKNOWN, Auth, message, token_hash


@pytest.fixture(scope="module")
def auth():
    with Auth() as a:
        a.add("ann", **{"class": "chief"})
        a.add("bob")
        yield a


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as p:
        yield p


def test_found(auth):
    s = auth.login("ann", label="level=MID", purpose="treatment")
    with auth.proxy() as proxy:
        m = proxy.lookup(s["token"])
        assert m.type == FOUND and m.hash == token_hash(s["token"])
        assert (m.session, m.user, m.cls, m.purpose) == (s["session"], "ann", "chief", "treatment")
        assert (m.floor, m.ceiling, m.expires) == ("level=LOW", "level=MID", s["expires"])


def test_unknown(auth):
    with auth.proxy() as proxy:
        m = proxy.lookup("A" * 43)
        assert m.type == UNKNOWN and not m.user and not m.session
        assert proxy.lookup("", digest=b"\0" * 32).type == UNKNOWN


def test_expired(auth):
    s = auth.login("ann")
    with auth.proxy() as proxy:
        assert proxy.lookup(s["token"]).type == FOUND
        db = sqlite3.connect(auth.path("state/auth.db"))
        with db:
            db.execute("UPDATE sessions SET expires = ? WHERE uuid = ?", (int(time.time()), s["session"]))
        db.close()
        assert proxy.lookup(s["token"]).type == UNKNOWN
    assert auth.logout(s["token"]).status == 401


def test_many_questions_at_once(auth):
    token = auth.login("ann")["token"]
    with auth.proxy() as proxy:
        sent = 0
        proxy.sock.setblocking(False)
        while sent < 2000:  # without taking answers: auth must stop reading, and lose none
            try:
                proxy.send(message(LOOKUP, sent + 1, token_hash(token)))
                sent += 1
            except BlockingIOError:
                break
        assert 20 < sent < 2000
        proxy.sock.settimeout(20)
        assert [proxy.receive().id for _ in range(sent)] == list(range(1, sent + 1))


def test_revocation_waits_for_the_proxies(auth, pool):
    s = auth.login("ann")
    with auth.proxy() as one, auth.proxy() as two:
        assert one.lookup(s["token"]).type == two.lookup(s["token"]).type == FOUND
        answer = pool.submit(auth.logout, s["token"])
        first, second = one.receive(), two.receive()
        assert first.type == second.type == REVOKE and first.hash == token_hash(s["token"]) and not first.user
        # Already before the confirmation nobody is told "found".
        assert one.lookup(s["token"]).type == UNKNOWN
        one.confirm(first)
        two_still = two.lookup(s["token"])
        assert two_still.type == UNKNOWN and not answer.done()
        two.confirm(second)
        assert answer.result().status == 204


def test_revocation_of_a_user(auth, pool):
    auth.add("kim")
    sessions = [auth.login("kim") for _ in range(2)]
    other = auth.login("bob")
    with auth.proxy() as proxy:
        answer = pool.submit(auth.call, "PATCH", "/v1/users/kim", {"clearance": "level=LOW"})
        m = proxy.receive()
        assert m.type == REVOKE and m.user == "kim" and m.hash == b"\0" * 32
        proxy.confirm(m)
        assert answer.result().status == 200
        assert [proxy.lookup(s["token"]).type for s in sessions] == [UNKNOWN, UNKNOWN]
        assert proxy.lookup(other["token"]).type == FOUND
        answer = pool.submit(auth.call, "DELETE", "/v1/users/kim")
        proxy.confirm(proxy.receive())
        assert answer.result().status == 204


def test_a_silent_proxy_is_cut_off(auth, pool):
    s = auth.login("ann")
    with auth.proxy() as silent, auth.proxy() as good:
        silent.lookup(s["token"])
        answer = pool.submit(auth.logout, s["token"])
        good.confirm(good.receive())
        assert silent.receive().type == REVOKE
        assert silent.receive() is None  # hung up, which makes it forget everything
        assert answer.result().status == 204
        assert good.lookup(s["token"]).type == UNKNOWN


def test_a_proxy_that_goes_is_not_waited_for(auth, pool):
    s = auth.login("ann")
    with auth.proxy() as proxy:
        proxy.lookup(s["token"])
        answer = pool.submit(auth.logout, s["token"])
        proxy.receive()
    assert answer.result().status == 204


def test_a_wrong_confirmation_does_not_count(auth, pool):
    s = auth.login("ann")
    with auth.proxy() as proxy:
        proxy.lookup(s["token"])
        answer = pool.submit(auth.logout, s["token"])
        m = proxy.receive()
        proxy.send(message(REVOKED_OK, m.id + 1))
        assert proxy.lookup(s["token"]).type == UNKNOWN
        assert not answer.done()
        proxy.confirm(m)
        assert answer.result().status == 204


def test_revocations_overlap(auth, pool):
    sessions = [auth.login("ann") for _ in range(4)]
    with auth.proxy() as proxy:
        proxy.lookup(sessions[0]["token"])
        answers = {token_hash(s["token"]): pool.submit(auth.logout, s["token"]) for s in sessions}
        asked = [proxy.receive() for _ in sessions]
        assert len({m.id for m in asked}) == 4
        for m in reversed(asked):
            assert not answers[m.hash].done()
            proxy.confirm(m)
            assert answers[m.hash].result().status == 204


GOOD = message(LOOKUP, 1, b"x" * 32)


@pytest.mark.parametrize("packet", [
    b"x", GOOD[:-1], GOOD + b"x", GOOD * 2, b"\0" * MESSAGE.size, b"\xff" * MESSAGE.size, message(FOUND, 1),
    message(REVOKE, 1, b"x" * 32), message(3, 1), message(0xffffffff, 1), message(REVOKED_OK, 0),
    message(LOOKUP, 1, b"x" * 32, user=b"u" * 65), message(LOOKUP, 1, b"x" * 32, session=b"s" * 37), b"y" * 60000,
], ids=lambda p: f"{len(p)}-{p[:4].hex()}")
def test_bad_packets_end_the_connection_only(auth, packet):
    token = auth.login("ann")["token"]
    with auth.proxy() as good, auth.proxy() as bad:
        bad.send(packet)
        assert bad.receive() is None
        assert good.lookup(token).type == FOUND
    assert auth.alive()


def test_descriptors_sent_along_are_dropped(auth):
    token = auth.login("ann")["token"]
    before = len(os.listdir(f"/proc/{auth.process.pid}/fd"))
    with auth.proxy() as proxy, open("/dev/null", "rb") as null:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", null.fileno()))]
        for number in range(1, 21):
            proxy.sock.sendmsg([message(LOOKUP, number, token_hash(token))], control)
            assert proxy.receive().type == FOUND
        assert len(os.listdir(f"/proc/{auth.process.pid}/fd")) <= before + 1


def test_proxies_are_bounded(auth):
    proxies = [auth.proxy() for _ in range(64)]
    try:
        for p in proxies:
            assert p.lookup("A" * 43).type == UNKNOWN
        with auth.proxy() as surplus:
            assert surplus.receive() is None
        assert proxies[0].lookup("A" * 43).type == UNKNOWN
    finally:
        for p in proxies:
            p.sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed: only root can become one")
@pytest.mark.parametrize("name, kind", [("auth-session.sock", "SOCK_SEQPACKET"), ("auth.sock", "SOCK_STREAM")])
def test_other_users_are_refused(auth, name, kind):
    for tail in ("", "run", f"run/{name}"):
        os.chmod(auth.path(tail), 0o777)  # the mode of the file is the first fence; this is about the second
    try:
        program = f"""
import socket
s = socket.socket(socket.AF_UNIX, socket.{kind})
s.settimeout(20)
s.connect({auth.path('run/' + name)!r})
try:
    s.send(b"GET /v1/users HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    data = s.recv(4096)
except (BrokenPipeError, ConnectionResetError):
    data = b""
assert data == b"", data
"""
        done = subprocess.run([sys.executable, "-I", "-c", program], user=65534, group=65534, extra_groups=[],
                              capture_output=True, text=True, cwd="/", timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        for tail, mode in (("", 0o700), ("run", 0o700), (f"run/{name}", 0o600)):
            os.chmod(auth.path(tail), mode)
    assert auth.alive()


def test_a_session_ends_with_what_it_rested_on():
    """A policy that changes between two starts narrows sessions and users, and breaks nothing else."""
    smaller = """\
axes:
  level: {chain: [LOW, HIGH]}
  comp: {subset: [A, B]}
classes:
  staff: {clearance: "level=LOW"}
"""
    with Auth() as a:
        a.add("own", clearance="level=MID")
        a.add("fits", clearance="level=HIGH,comp={B}")
        a.add("staff")
        a.add("gone", **{"class": "chief"})
        tokens = {name: a.login(name)["token"] for name in ("own", "fits", "staff", "gone")}
        low = a.login("staff", label="level=LOW")["token"]
        a.stop()
        a.configure(policy=smaller)
        a.start()
        with a.proxy() as proxy:
            kinds = {name: proxy.lookup(token).type for name, token in tokens.items()}
            assert kinds == {"own": UNKNOWN, "fits": FOUND, "staff": UNKNOWN, "gone": UNKNOWN}
            assert proxy.lookup(low).type == FOUND
        assert a.try_login("own").status == 403 and a.try_login("gone").status == 403
        assert a.try_login("own", "wrong password").status == 401
        assert a.login("fits")["label"] == "level=HIGH,comp={B}"
        assert a.login("staff")["label"] == "level=LOW"
        users = {u["name"]: u for u in a.call("GET", "/v1/users").json()["users"]}
        assert "policy" in users["own"]["problem"] and "chief" in users["gone"]["problem"]
        assert "problem" not in users["fits"]
        assert "a user cannot log in" in a.log and "own" not in a.log  # names belong into the audit log
        # The operator can mend it.
        assert a.call("PATCH", "/v1/users/own", {"clearance": "level=LOW"}).status == 200
        a.login("own")
    assert PASSWORD not in a.log
