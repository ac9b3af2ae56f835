# SPDX-License-Identifier: MIT
"""ppce-auth through its REST interface: users, logins, limits."""
import concurrent.futures
import http.client
import json
import sqlite3
import time

import pytest

from auth_daemon import PASSWORD, Auth, peak_memory_mib, token_hash


@pytest.fixture(scope="module")
def auth():
    with Auth() as a:
        yield a


def code(answer):
    return answer.json()["code"]


def without_id(answer):
    body = answer.json()
    del body["request_id"]
    return body


# -- Users --

def test_users_come_and_go(auth):
    ann = auth.add("ann", clearance="comp={B,A},level=MID")
    assert ann["clearance"] == "level=MID,comp={A,B}" and ann["clearance_from"] == "user"
    assert auth.add("bob")["clearance"] == "level=MID,comp={A}"
    assert auth.call("GET", "/v1/users/bob").json()["clearance_from"] == "class"
    assert [u["name"] for u in auth.call("GET", "/v1/users").json()["users"]] == ["ann", "bob"]
    assert auth.call("POST", "/v1/users", {"name": "ann", "password": PASSWORD, "class": "staff"}).status == 409
    assert auth.call("DELETE", "/v1/users/ann").status == 204
    assert auth.call("DELETE", "/v1/users/ann").status == 404
    assert auth.call("GET", "/v1/users/ann").status == 404
    assert auth.try_login("ann").status == 401


def test_no_secret_leaves_by_the_listings(auth):
    auth.add("secretive")
    session = auth.login("secretive")
    text = auth.call("GET", "/v1/users").text + auth.call("GET", "/v1/sessions").text + auth.call("GET", "/metrics").text
    assert session["session"] in text
    assert "argon2" not in text and session["token"] not in text and PASSWORD not in text


@pytest.mark.parametrize("body, says", [
    ({"name": "eve", "password": PASSWORD}, "class"),
    ({"name": "eve", "password": "short", "class": "staff"}, "8 to 1024"),
    ({"name": "eve", "password": "x" * 1025, "class": "staff"}, "1024"),
    ({"name": "eve", "password": "", "class": "staff"}, "8 to 1024"),
    ({"name": "eve", "password": 12345678, "class": "staff"}, "password"),
    ({"name": "eve", "password": PASSWORD, "class": "staf"}, "'staff'"),
    ({"name": "eve", "password": PASSWORD, "clearance": "level=TOP"}, "TOP"),
    ({"name": "eve", "password": PASSWORD, "clearance": "levl=MID"}, "levl"),
    ({"name": "eve/../x", "password": PASSWORD, "class": "staff"}, "name"),
    ({"name": "e" * 65, "password": PASSWORD, "class": "staff"}, "name"),
    ({"name": "", "password": PASSWORD, "class": "staff"}, "name"),
    ({"name": "eve\0", "password": PASSWORD, "class": "staff"}, ""),
    ({"name": "eve", "class": "staff"}, "password"),
    ({"name": "eve", "password": PASSWORD, "clas": "staff"}, "'class'"),
    ([], "object"),
])
def test_bad_users_are_refused(auth, body, says):
    answer = auth.call("POST", "/v1/users", body)
    assert answer.status == 400 and says in answer.json()["detail"], answer.text
    assert auth.call("GET", "/v1/users/eve").status == 404


@pytest.mark.parametrize("raw", [b"", b"{", b"nonsense", b'{"username":"a","username":"b","password":"c"}', b"[" * 100,
                                 b'{"username":"\xff","password":"xxxxxxxx"}', b"null", b"1"])
def test_bad_bodies_are_refused(auth, raw):
    for target in ("/v1/sessions", "/v1/users"):
        assert auth.call("POST", target, raw=raw, headers={"Content-Length": str(len(raw))}).status == 400
    assert auth.alive()


def test_too_large_a_body_is_refused(auth):
    assert auth.call("POST", "/v1/sessions", raw=b" " * 70000).status == 413


def test_longest_and_oddest_passwords_work(auth):
    for name, password in (("long", "x" * 1024), ("edge", "12345678"), ("odd", "pässwörd ☃\t\x7f")):
        auth.add(name, password)
        auth.login(name, password)
        assert auth.try_login(name, password[:-1]).status == 401


# -- Logins --

def test_login_says_what_the_session_is(auth):
    auth.add("carol", **{"class": "chief"})
    before = time.time()
    s = auth.login("carol", label="comp={A},level=MID", purpose="treatment", address="192.0.2.7:1234")
    assert set(s) == {"token", "session", "user", "class", "label", "expires"}
    assert len(s["token"]) == 43 and s["user"] == "carol" and s["class"] == "chief"
    assert s["label"] == "level=MID,comp={A}"
    assert before + 480 * 60 - 2 <= s["expires"] <= time.time() + 480 * 60
    listed = [e for e in auth.call("GET", "/v1/sessions").json()["sessions"] if e["session"] == s["session"]]
    assert listed[0]["purpose"] == "treatment" and listed[0]["address"] == "192.0.2.7:1234"
    assert auth.login("carol")["label"] == "level=HIGH,comp={A,B}"
    assert auth.login("carol")["token"] != s["token"]


def test_only_the_hash_of_a_token_is_stored(auth):
    auth.add("hashed")
    token = auth.login("hashed")["token"]
    files = b"".join(open(auth.path("state/auth.db" + end), "rb").read() for end in ("", "-wal"))
    assert token.encode() not in files and PASSWORD.encode() not in files
    assert token_hash(token) in files and b"$argon2id$v=19$m=8192,t=1,p=1$" in files


def test_unknown_user_and_wrong_password_look_the_same(auth):
    auth.add("known")
    wrong, unknown = auth.try_login("known", "wrong password"), auth.try_login("nobody", "wrong password")
    impossible = auth.try_login("no such/name", "wrong password")
    assert wrong.status == 401 and code(wrong) == "unauthenticated"
    assert without_id(wrong) == without_id(unknown) == without_id(impossible)
    assert sorted(wrong.headers.keys()) == sorted(unknown.headers.keys())


def test_a_label_above_the_clearance_is_refused_after_the_password_only(auth):
    auth.add("dave")
    assert auth.try_login("dave", "wrong password", label="level=HIGH").status == 401
    answer = auth.try_login("dave", label="level=HIGH")
    assert answer.status == 403 and "level=HIGH" in answer.json()["detail"]
    assert auth.try_login("dave", label="level=LOW,comp={B}").status == 403
    assert auth.try_login("dave", label="level=NONE").status == 400
    assert auth.login("dave", label="level=LOW")["label"] == "level=LOW"
    last = [r for r in auth.audit() if r["event"] == "login" and r.get("actor") == "dave" and r["status"] == 403]
    assert last[0]["rule"] == "R0" and last[0]["allowed"] is False


@pytest.mark.parametrize("fields", [{"purpose": "x" * 65}, {"purpose": "line\nbreak"}, {"address": "x" * 200},
                                    {"purpose": 3}, {"lable": "level=LOW"}])
def test_bad_login_fields_are_refused(auth, fields):
    auth.call("POST", "/v1/users", {"name": "frank", "password": PASSWORD, "class": "staff"})
    assert auth.try_login("frank", **fields).status == 400


def test_sessions_of_one_user_are_bounded():
    with Auth(hash_workers=2) as a:
        a.add("busy")
        first = a.login("busy")
        time.sleep(1.1)  # "oldest" counts in seconds
        for _ in range(256):
            last = a.login("busy")
        assert len(a.call("GET", "/v1/sessions").json()["sessions"]) == 256
        assert a.logout(first["token"]).status == 401
        assert a.logout(last["token"]).status == 204


# -- Logout and changes --

def test_logout(auth):
    auth.add("gina")
    s = auth.login("gina")
    other = auth.login("gina")
    assert auth.call("DELETE", "/v1/sessions/current").status == 401
    assert auth.logout("A" * 43).status == 401
    assert auth.logout("not a token").status == 401
    assert auth.logout(s["token"]).status == 204
    assert auth.logout(s["token"]).status == 401
    sessions = [e["session"] for e in auth.call("GET", "/v1/sessions").json()["sessions"]]
    assert other["session"] in sessions and s["session"] not in sessions


def test_an_operator_ends_sessions(auth):
    auth.add("hank")
    one, two, three = (auth.login("hank") for _ in range(3))
    assert auth.call("DELETE", f"/v1/sessions/{one['session']}").status == 204
    assert auth.call("DELETE", f"/v1/sessions/{one['session']}").status == 404
    assert auth.call("DELETE", "/v1/sessions/nonsense").status == 404
    assert auth.logout(one["token"]).status == 401
    assert auth.call("DELETE", "/v1/users/hank/sessions").status == 204
    assert auth.logout(two["token"]).status == 401 and auth.logout(three["token"]).status == 401


@pytest.mark.parametrize("change, password", [({"password": "another password"}, "another password"),
                                              ({"clearance": "level=LOW"}, PASSWORD), ({"class": "chief"}, PASSWORD)])
def test_a_change_ends_the_sessions(auth, change, password):
    name = "ines-" + "-".join(change)
    auth.add(name)
    s = auth.login(name)
    answer = auth.call("PATCH", f"/v1/users/{name}", change)
    assert answer.status == 200 and answer.json()["name"] == name
    assert auth.logout(s["token"]).status == 401
    if password != PASSWORD:
        assert auth.try_login(name).status == 401
    assert auth.login(name, password)["label"] == answer.json()["clearance"]


def test_bad_changes_are_refused_and_change_nothing(auth):
    before = auth.add("jack", clearance="level=MID")
    s = auth.login("jack")
    for change in ({}, {"password": "short"}, {"clearance": "level=X"}, {"class": "nope"}, {"clearance": ""},
                   {"clearance": None}, {"name": "other"}, {"password": "good enough", "class": "nope"}):
        assert auth.call("PATCH", "/v1/users/jack", change).status == 400, change
    assert auth.call("PATCH", "/v1/users/nobody", {"class": "staff"}).status == 404
    assert auth.call("GET", "/v1/users/jack").json() == before
    assert auth.logout(s["token"]).status == 204


# -- Limits --

def test_tries_of_a_user_are_limited_known_or_not():
    with Auth(tries_per_minute=3) as a:
        a.add("ann")
        for name in ("ann", "nobody"):
            answers = [a.try_login(name, "wrong password", address=f"192.0.2.{i}") for i in range(5)]
            assert [r.status for r in answers] == [401, 401, 401, 429, 429]
            assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
            assert code(answers[-1]) == "too-many-requests"
        # The right password does not help either, from wherever it comes.
        assert a.try_login("ann", address="198.51.100.1").status == 429
        assert a.metric('ppce_auth_logins_total{outcome="throttled"}') == 5


def test_right_logins_are_not_counted():
    with Auth(tries_per_minute=2) as a:
        a.add("ann")
        for _ in range(6):
            a.login("ann", address="192.0.2.1")
        # And they do not wipe out the failures of others.
        assert a.try_login("ann", "wrong password").status == 401
        a.login("ann")
        assert a.try_login("ann", "wrong password").status == 401
        assert a.try_login("ann").status == 429


def test_tries_of_an_address_are_limited():
    with Auth(tries_per_minute=1) as a:
        a.add("ann")
        statuses = [a.try_login(f"guess{i}", "wrong password", address="192.0.2.1:%d" % (i + 1)).status for i in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        assert a.try_login("ann", address="192.0.2.1").status == 429
        a.login("ann", address="192.0.2.2")


def test_a_login_flood_is_bounded_and_look_ups_go_on():
    memory = 256
    with Auth(argon2_memory_mib=memory, argon2_passes=4, hash_workers=1, hash_queue=2) as a:
        a.add("ann")
        token = a.login("ann")["token"]
        with concurrent.futures.ThreadPoolExecutor(24) as pool, a.proxy() as proxy:
            logins = [pool.submit(a.try_login, "ann") for _ in range(24)]
            while a.metric("ppce_auth_hashes_waiting") < 2:
                assert not all(f.done() for f in logins)
                time.sleep(0.01)
            for _ in range(50):
                assert proxy.lookup(token).user == "ann"
            assert not all(f.done() for f in logins), "no login was under way any more: the flood was too small"
            answers = [f.result() for f in logins]
        statuses = sorted(r.status for r in answers)
        assert statuses.count(200) >= 3 and statuses.count(503) >= 1 and set(statuses) == {200, 503}
        assert all(int(r.headers["Retry-After"]) >= 1 for r in answers if r.status == 503)
        assert peak_memory_mib(a.process.pid) < memory + 100
        a.login("ann")


def test_an_end_in_the_middle_of_logins_is_clean():
    with Auth(argon2_memory_mib=128, argon2_passes=4, hash_queue=8) as a:
        a.add("ann")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            logins = [pool.submit(a.try_login, "ann") for _ in range(6)]
            while a.metric("ppce_auth_hashes_waiting") < 2:
                assert not all(f.done() for f in logins)
                time.sleep(0.01)
            a.stop()
            # One that had not been read yet when the end came is cut off; every other one is answered.
            ends = [f.exception() or f.result().status for f in logins]
    assert all(end in (200, 503) or isinstance(end, (ConnectionError, http.client.HTTPException)) for end in ends), ends
    assert any(end in (200, 503) for end in ends)


# -- Others --

def test_common_endpoints(auth):
    assert auth.call("GET", "/livez").status == 200
    assert auth.call("GET", "/readyz").status == 200
    paths = auth.call("GET", "/openapi.json").json()["paths"]
    assert "/v1/users/{name}" in paths and "post" in paths["/v1/sessions"]
    assert auth.call("PUT", "/v1/users").status == 405
    assert auth.call("GET", "/v1/nothing").status == 404


def test_audit_records():
    with Auth() as a:
        a.add("ann")
        s = a.login("ann", purpose="treatment", address="192.0.2.9")
        a.try_login("ann", "wrong password")
        a.try_login("my-secret-passw0rd", "ann")
        a.logout(s["token"])
        a.call("DELETE", "/v1/users/ann")
        records = a.audit()
        assert [(r["event"], r["allowed"], r["status"]) for r in records] == [
            ("user-add", True, 201), ("login", True, 200), ("login", False, 401), ("login", False, 401),
            ("logout", True, 204), ("user-remove", True, 204)]
        assert records[1]["actor"] == "ann" and records[1]["session"] == s["session"]
        assert records[1]["purpose"] == "treatment" and records[1]["address"] == "192.0.2.9"
        assert records[2]["reason"] == "wrong-password" and records[3]["reason"] == "unknown-user"
        assert all(len(r["request_id"]) == 26 for r in records)
        # What was typed as the name of a user that doesn't exist may be a password.
        text = json.dumps(records)
        assert "my-secret-passw0rd" not in text and s["token"] not in text and PASSWORD not in text


def test_new_parameters_reach_a_user_at_the_next_login():
    def stored(a):
        with sqlite3.connect(f"file:{a.path('state/auth.db')}?mode=ro", uri=True) as db:
            return dict(db.execute("SELECT name, hash FROM users"))

    with Auth() as a:
        a.add("ann")
        a.add("bob")
        a.stop()
        a.configure(argon2_memory_mib=16, argon2_passes=2)
        a.start()
        assert a.try_login("ann", "wrong password").status == 401
        assert "$m=8192,t=1," in stored(a)["ann"]
        token = a.login("ann")["token"]
        assert "$m=16384,t=2," in stored(a)["ann"] and "$m=8192,t=1," in stored(a)["bob"]
        after = stored(a)["ann"]
        a.login("ann")
        assert stored(a)["ann"] == after  # once is enough
        assert a.logout(token).status == 204  # and no session ended by it
