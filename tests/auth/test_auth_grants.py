# SPDX-License-Identifier: MIT
"""Grants, clearances with owners' tags, revocation (R9), break-glass and the events for the store's automata."""
import concurrent.futures
import json
import sqlite3
import time

import pytest

from auth_daemon import FOUND, REVOKE, UNKNOWN, Auth, Store

POLICY = """\
axes:
  level: {chain: [LOW, MID, HIGH]}
  own: {owners: [training, medical]}
classes:
  player: {clearance: "level=LOW"}
  trainer: {clearance: "level=MID"}
  medic: {clearance: "level=MID", break_glass: [medical]}
  officer: {clearance: "level=LOW", officer: true}
  everything: {clearance: "level=HIGH,own=ALL"}
"""
AUTOMATA = POLICY + """\
automata:
  athlete:
    start: private
    transitions:
      - {in: private, on: consent, to: shared}
      - {in: shared, on: revoke, to: private}
"""
PEOPLE = {"ann": "player", "bob": "player", "tom": "trainer", "tim": "trainer", "meg": "medic", "olga": "officer"}
CERTIFICATE = "certificate:" + "ab" * 32


def populate(a):
    for name, cls in PEOPLE.items():
        a.add(name, **{"class": cls})
    return a


@pytest.fixture(scope="module")
def world():
    with Auth(policy=POLICY) as a:
        yield populate(a)


@pytest.fixture
def auth(world):
    """Without any grants and sessions."""
    yield world
    for g in world.grants().values():
        if "ended" not in g:
            assert world.revoke(g["id"]).status == 204
        if g.get("to_review"):
            assert world.call("POST", f"/v1/grants/{g['id']}/review").status == 200
    for name in PEOPLE:
        assert world.call("DELETE", f"/v1/users/{name}/sessions").status == 204
    assert world.grants() == {}


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as p:
        yield p


def label(auth, name, **fields):
    return auth.login(name, **fields)["label"]


def tags(text):
    """The owners' tags in a label's text."""
    inside = text.partition("own={")[2].partition("}")[0]
    return set(inside.split(",")) if inside else set()


def eventually(check, timeout=20):
    end = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# ---- Clearances ----

def test_everybody_is_cleared_for_their_own_data(auth):
    assert label(auth, "ann") == "own={ann/medical,ann/training}"
    assert label(auth, "tom") == "level=MID,own={tom/medical,tom/training}"
    users = {u["name"]: u for u in auth.call("GET", "/v1/users").json()["users"]}
    assert users["ann"]["clearance"] == "own={ann/medical,ann/training}"
    assert auth.try_login("ann", label="own={bob/medical}").status == 403
    assert auth.login("ann", label="own={ann/medical}")["label"] == "own={ann/medical}"


def test_owners_in_a_clearance_come_from_grants_only(auth):
    auth.add("max", **{"class": "everything"})
    assert label(auth, "max") == "level=HIGH,own={max/medical,max/training}"
    for clearance in ("own=ALL", "level=HIGH,own={ann/medical}"):
        answer = auth.call("POST", "/v1/users", {"name": "new", "password": "long enough", "clearance": clearance})
        assert answer.status == 400 and "grant" in answer.json()["detail"]
        assert auth.call("PATCH", "/v1/users/tom", {"clearance": clearance}).status == 400
    assert auth.call("DELETE", "/v1/users/max").status == 204


def test_a_grant_counts_at_the_next_login(auth):
    before = auth.login("tom")
    answer = auth.grant("g1", "training", "tom", owner="ann", reason="season 3")
    assert answer.status == 201
    g = answer.json()
    assert (g["id"], g["owner"], g["category"], g["to"], g["kind"], g["by"], g["reason"]) == (
        "g1", "ann", "training", "tom", "consent", "operator", "season 3")
    assert tags(label(auth, "tom")) == {"ann/training", "tom/training", "tom/medical"}
    assert "ann" not in label(auth, "tim")
    with auth.proxy() as proxy:  # raising a clearance leaves sessions as they are
        m = proxy.lookup(before["token"])
        assert m.type == FOUND and m.ceiling == before["label"] and "ann" not in m.ceiling
    assert auth.grant("g1", "training", "tom", owner="ann", reason="season 3").status == 200
    assert auth.grant("g1", "medical", "tom", owner="ann", reason="season 3").status == 409


def test_a_class_grant_is_for_all_of_the_class(auth):
    assert auth.grant("g1", "training", "class:trainer", owner="ann").status == 201
    assert "ann/training" in tags(label(auth, "tom")) & tags(label(auth, "tim"))
    assert "ann" not in label(auth, "meg")
    auth.add("late", **{"class": "trainer"})
    assert "ann/training" in tags(label(auth, "late"))
    assert auth.call("PATCH", "/v1/users/late", {"class": "medic"}).status == 200
    assert "ann" not in label(auth, "late")
    assert auth.call("DELETE", "/v1/users/late").status == 204


def test_a_purpose_narrows_a_grant(auth):
    assert auth.grant("g1", "training", "tom", owner="ann", purpose="training").status == 201
    assert "ann" not in label(auth, "tom")
    assert "ann" not in label(auth, "tom", purpose="research")
    s = auth.login("tom", purpose="training")
    assert "ann/training" in tags(s["label"])
    with auth.proxy() as proxy:
        m = proxy.lookup(s["token"])
        assert m.type == FOUND and m.purpose == "training" and "ann/training" in tags(m.ceiling)


def test_who_gets_a_name_later_gets_no_grants_with_it(auth):
    auth.add("kim", **{"class": "trainer"})
    assert auth.grant("g1", "training", "kim", owner="ann").status == 201
    assert auth.call("DELETE", "/v1/users/kim").status == 204
    assert auth.grants() == {}
    auth.add("kim", **{"class": "trainer"})
    assert "ann" not in label(auth, "kim")
    assert auth.call("DELETE", "/v1/users/kim").status == 204


# ---- Who may grant what ----

def test_owners_grant_their_own_data_only(auth):
    ann, bob = auth.login("ann")["token"], auth.login("bob")["token"]
    assert auth.grant("g1", "training", "tom", ann).json()["owner"] == "ann"
    assert auth.grant("g2", "training", "tom", ann, owner="ann").json()["by"] == "ann"
    assert auth.grant("g3", "training", "tom", ann, owner="bob").status == 403
    assert auth.grant("g1", "training", "tom", bob).status == 403  # the id is somebody else's
    assert set(auth.grants()) == {"g1", "g2"}
    assert auth.revoke("g1", bob).status == 404
    assert auth.as_user(bob, "GET", "/v1/grants/g1").status == 404
    assert auth.grants(bob) == {} and set(auth.grants(ann)) == {"g1", "g2"}
    assert auth.revoke("g1", ann).status == 204
    assert auth.revoke("g1", ann).status == 404
    # Whom it is to may see it, and not end it.
    tom = auth.login("tom")["token"]
    assert set(auth.grants(tom)) == {"g2"} and auth.as_user(tom, "GET", "/v1/grants/g2").status == 200
    assert auth.revoke("g2", tom).status == 403
    assert set(auth.grants(query="?owner=ann&to=tom")) == {"g2"}
    assert auth.grants(query="?owner=bob") == {} and auth.grants(query="?to=tim") == {}
    assert auth.grants(bob, "?owner=ann") == {}


@pytest.mark.parametrize("field", ["Bearer " + "A" * 43, "Bearer", "Bearer ", "Basic YTpi", "", "bearer x", "\t",
                                   "Bearer " + "A" * 4000])
def test_a_bad_token_is_nobody(auth, field):
    assert auth.grant("g1", "training", "tom", owner="ann").status == 201
    for method, target, body in [("GET", "/v1/grants", None), ("GET", "/v1/grants/g1", None),
                                 ("PUT", "/v1/grants/g2", {"category": "training", "to": "tom", "owner": "ann"}),
                                 ("DELETE", "/v1/grants/g1", None), ("POST", "/v1/grants/g1/review", None),
                                 ("POST", "/v1/erase", {"category": "training", "owner": "ann"}),
                                 ("POST", "/v1/break-glass",
                                  {"owner": "ann", "category": "medical", "reason": "because of reasons"})]:
        answer = auth.call(method, target, body, {"Authorization": field})
        assert answer.status == 401, (method, target, answer.text)
    assert set(auth.grants()) == {"g1"}


def test_an_ended_session_grants_nothing(auth):
    s = auth.login("ann")
    assert auth.logout(s["token"]).status == 204
    assert auth.grant("g1", "training", "tom", s["token"]).status == 401


OK = {"owner": "ann", "category": "training", "to": "tom"}


@pytest.mark.parametrize("change, status, word", [
    ({"category": "trainning"}, 400, "training"), ({"category": "x"}, 400, "category"), ({"category": ""}, 400, "category"),
    ({"category": None}, 400, "category"), ({"to": None}, 400, "to"), ({"to": "nobody"}, 404, "nobody"),
    ({"to": "class:nothing"}, 404, "nothing"), ({"to": "class:"}, 404, "class"), ({"to": "ann"}, 400, "own data"),
    ({"to": "certificate:abc"}, 400, "certificate"), ({"to": "certificate:" + "AB" * 32}, 400, "certificate"),
    ({"to": CERTIFICATE, "purpose": "x"}, 400, "purpose"), ({"to": "group:tom"}, 400, "class:NAME"), ({"to": 7}, 400, "to"),
    ({"to": ["tom"]}, 400, "to"), ({"owner": None}, 400, "owner"), ({"owner": "a/b"}, 400, "owner"),
    ({"owner": "a,b"}, 400, "owner"), ({"owner": "x" * 65}, 400, "owner"), ({"owner": "{ann}"}, 400, "owner"),
    ({"purpose": "a\nb"}, 400, "printable"), ({"purpose": "x" * 65}, 400, "purpose"), ({"reason": "\x1b[2J"}, 400, "printable"),
    ({"reason": "x" * 600}, 400, "reason"), ({"until": 1}, 400, "until"), ({"until": -5}, 400, "until"),
    ({"until": 2**62}, 400, "until"), ({"until": "tomorrow"}, 400, "until"), ({"until": 1.5}, 400, "until"),
    ({"kind": "break-glass"}, 400, "kind"), ({"reviewed": 1}, 400, "reviewed"), ({"ownr": "ann"}, 400, "owner"),
], ids=lambda v: json.dumps(v)[:40] if isinstance(v, dict) else None)
def test_hostile_grants(auth, change, status, word):
    body = {k: v for k, v in {**OK, **change}.items() if v is not None}
    answer = auth.call("PUT", "/v1/grants/g1", body)
    assert answer.status == status and word in answer.json()["detail"], answer.text
    assert auth.grants() == {}


@pytest.mark.parametrize("number", ["G1", "-a", "a_b", "a.b", "%00", "%2e%2e", "a" * 65, "a%2fb", "%27%20OR%201=1", "a b"])
def test_hostile_ids(auth, number):
    target = "/v1/grants/" + number.replace(" ", "%20")
    assert auth.call("PUT", target, OK).status in (400, 404)
    assert auth.call("GET", target).status == 404 and auth.call("DELETE", target).status == 404
    assert auth.call("POST", target + "/review").status == 404
    assert auth.grants() == {} and auth.alive()


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '{"category":"training","category":"medical","to":"tom"}',
                                 '{"category":"train\\u0000ing","to":"tom","owner":"ann"}', "[" * 5000, "x" * 17000,
                                 '{"a":' * 40 + "1" + "}" * 40])
def test_hostile_bodies(auth, raw):
    for method, target in [("PUT", "/v1/grants/g1"), ("POST", "/v1/break-glass"), ("POST", "/v1/erase")]:
        assert auth.call(method, target, raw=raw).status in (400, 401, 413)
    assert auth.grants() == {} and auth.alive()


def test_too_many_tags_are_refused_and_never_become_all(auth):
    long = [f"{'p' * 50}{n:02}" for n in range(20)]
    made = 0
    for n, owner in enumerate(long):
        answer = auth.grant(f"g{n}", "training", "class:trainer" if n % 2 else "tom", owner=owner)
        if answer.status != 201:
            break
        made += 1
    assert answer.status == 413 and "fit" in answer.json()["detail"] and 5 < made < 12
    assert "tim" not in answer.json()["detail"]
    assert "ALL" not in label(auth, "tom") and len(tags(label(auth, "tom"))) == made + 2
    # tim has only those of the class; with tom's class he would not be able to log in.
    assert auth.grant("more", "training", "tim", owner=long[-1]).status == 201
    auth.add("pat", **{"class": "player"})
    for n in range(8):
        assert auth.grant(f"p{n}", "training", "pat", owner=long[-1 - n]).status == 201
    answer = auth.call("PATCH", "/v1/users/pat", {"class": "trainer"})
    assert answer.status == 409 and "label" in answer.json()["detail"]
    assert auth.call("DELETE", "/v1/users/pat").status == 204


# ---- Revocation ----

def test_revocation_is_answered_after_the_proxies(auth, pool):
    assert auth.grant("g1", "training", "tom", owner="ann").status == 201
    above, below = auth.login("tom"), auth.login("tom", label="level=MID,own={tom/training}")
    other = auth.login("tim")
    with auth.proxy() as proxy:
        first = proxy.lookup(above["token"])
        assert first.type == FOUND and first.epoch >= 1
        answer = pool.submit(auth.revoke, "g1")
        m = proxy.receive()
        assert m.type == REVOKE and m.user == "tom" and m.hash == b"\0" * 32
        assert m.ceiling == "level=MID,own={tom/medical,tom/training}" and m.epoch == first.epoch + 1
        # Before the confirmation the operator waits, and nobody is told "found" for what has ended.
        assert proxy.lookup(above["token"]).type == UNKNOWN
        still = proxy.lookup(below["token"])
        assert still.type == FOUND and still.epoch == m.epoch
        assert proxy.lookup(other["token"]).type == FOUND and not answer.done()
        proxy.confirm(m)
        assert answer.result().status == 204
        assert "ann" not in label(auth, "tom")
        record = auth.audit()[-2]
        assert (record["event"], record["rule"], record["path"]) == ("revoke", "R9", "/v1/grants/g1")


def test_a_silent_proxy_does_not_hold_a_revocation_up(auth):
    assert auth.grant("g1", "training", "tom", owner="ann").status == 201
    with auth.proxy() as silent:
        silent.lookup(auth.login("tom")["token"])
        assert auth.revoke("g1").status == 204
        assert silent.receive().type == REVOKE and silent.receive() is None


def test_revoking_a_class_grant_tells_of_each_member(auth, pool):
    for n in range(60):
        auth.add(f"extra{n}", **{"class": "trainer"})
    assert auth.grant("g1", "training", "class:trainer", owner="ann").status == 201
    tom, tim = auth.login("tom"), auth.login("tim")
    with auth.proxy() as proxy:
        assert proxy.lookup(tom["token"]).type == FOUND
        answer = pool.submit(auth.revoke, "g1")
        told = []
        while len(told) < 62:
            m = proxy.receive()
            assert m.type == REVOKE and "ann" not in m.ceiling and not answer.done()
            told.append(m.user)
            proxy.confirm(m)
        assert answer.result().status == 204
        assert set(told) == {"tom", "tim"} | {f"extra{n}" for n in range(60)}
        assert proxy.lookup(tom["token"]).type == proxy.lookup(tim["token"]).type == UNKNOWN
    for n in range(60):
        assert auth.call("DELETE", f"/v1/users/extra{n}").status == 204


def test_only_the_purpose_that_lost_a_grant_loses_sessions(auth, pool):
    """The ceiling that proxies are told of covers all purposes; the session that ends below it is named."""
    assert auth.grant("g1", "training", "tom", owner="ann", purpose="training").status == 201
    assert auth.grant("g2", "training", "tom", owner="ann", purpose="research").status == 201
    training, research = auth.login("tom", purpose="training"), auth.login("tom", purpose="research")
    with auth.proxy() as proxy:
        kept = proxy.lookup(research["token"])
        ended = proxy.lookup(training["token"])
        answer = pool.submit(auth.revoke, "g1")
        by_user, by_hash = sorted((proxy.receive(), proxy.receive()), key=lambda m: not m.user)
        assert by_user.user == "tom" and tags(by_user.ceiling) >= {"ann/training"}
        assert not by_hash.user and by_hash.hash == ended.hash and by_hash.ceiling
        proxy.confirm(by_user)
        assert proxy.lookup(research["token"]).type == kept.type == FOUND
        assert proxy.lookup(training["token"]).type == UNKNOWN and not answer.done()
        proxy.confirm(by_hash)
        assert answer.result().status == 204


def test_a_grant_that_two_others_stand_for_takes_nothing(auth):
    assert auth.grant("g1", "training", "tom", owner="ann").status == 201
    assert auth.grant("g2", "training", "class:trainer", owner="ann").status == 201
    s = auth.login("tom")
    assert auth.revoke("g1").status == 204
    with auth.proxy() as proxy:
        assert proxy.lookup(s["token"]).type == FOUND


def test_expiry_revokes_like_a_deletion(auth):
    until = int(time.time()) + 2
    assert auth.grant("g1", "training", "tom", owner="ann", until=until).json()["until"] == until
    assert auth.grant("g2", "medical", "tom", owner="ann", until=until + 3600).status == 201
    s = auth.login("tom")
    with auth.proxy() as proxy:
        before = proxy.lookup(s["token"])
        assert before.type == FOUND
        m = proxy.receive()
        assert time.time() >= until
        assert m.type == REVOKE and m.user == "tom" and tags(m.ceiling) == {"ann/medical", "tom/medical", "tom/training"}
        assert m.epoch > before.epoch
        assert proxy.lookup(s["token"]).type == UNKNOWN
        proxy.confirm(m)
    eventually(lambda: set(auth.grants()) == {"g2"})
    eventually(lambda: any(r.get("reason") == "expired" for r in auth.audit()))


def test_what_expired_while_auth_was_down_ends_at_its_start():
    with Auth(policy=POLICY) as a:
        populate(a)
        assert a.grant("g1", "training", "tom", owner="ann").status == 201
        s = a.login("tom")
        epoch = a.metric("ppce_auth_epoch")
        a.kill()
        db = sqlite3.connect(a.path("state/auth.db"))
        with db:
            db.execute("UPDATE grants SET until = ?", (int(time.time()) - 1,))
        db.close()
        a.start()
        with a.proxy() as proxy:
            assert proxy.lookup(s["token"]).type == UNKNOWN
        eventually(lambda: a.grants() == {})
        assert a.metric("ppce_auth_epoch") == epoch + 1


def test_an_older_file_is_brought_up_to_date():
    with Auth(policy=POLICY) as a:
        a.add("ann", **{"class": "player"})
        a.stop()
        db = sqlite3.connect(a.path("state/auth.db"))
        with db:
            for table in ("grants", "epoch", "outbox"):
                db.execute(f"DROP TABLE {table}")
            db.execute("DROP INDEX users_class")
            db.execute("PRAGMA user_version = 1")
        db.close()
        a.start()
        assert label(a, "ann") == "own={ann/medical,ann/training}"
        a.add("tom", **{"class": "trainer"})
        assert a.grant("g1", "training", "tom", owner="ann").status == 201


def test_a_category_that_left_the_policy_gives_nothing():
    with Auth(policy=POLICY) as a:
        populate(a)
        assert a.grant("g1", "training", "tom", owner="ann").status == 201
        s = a.login("tom")
        a.stop()
        a.configure(policy=POLICY.replace("[training, medical]", "[medical]"))
        a.start()
        assert label(a, "tom") == "level=MID,own={tom/medical}"
        with a.proxy() as proxy:
            assert proxy.lookup(s["token"]).type == UNKNOWN
        assert a.revoke("g1").status == 204


def test_without_an_owners_axis_there_is_nothing_to_grant():
    with Auth() as a:
        a.add("ann")
        a.add("tom")
        assert label(a, "ann") == "level=MID,comp={A}"
        answer = a.grant("g1", "training", "tom", owner="ann")
        assert answer.status == 400 and "owners" in answer.json()["detail"]


# ---- Certificates ----

def test_authorisations(auth):
    target = "/v1/authorisations/" + "ab" * 32
    assert auth.call("GET", target).json() == {"tags": []}
    ann = auth.login("ann")["token"]
    assert auth.grant("c1", "training", CERTIFICATE, ann).status == 201
    assert auth.grant("c2", "training", CERTIFICATE, owner="bob", until=int(time.time()) + 60).status == 201
    assert auth.grant("c3", "training", "certificate:" + "cd" * 32, owner="bob").status == 201
    assert auth.call("GET", target).json() == {"tags": ["ann/training", "bob/training"]}
    s = auth.login("tom")
    assert auth.revoke("c1", ann).status == 204
    assert auth.call("GET", target).json() == {"tags": ["bob/training"]}
    with auth.proxy() as proxy:
        assert proxy.lookup(s["token"]).type == FOUND
    for bad in ("ab", "AB" * 32, "ab" * 33, "zz" * 32):
        assert auth.call("GET", "/v1/authorisations/" + bad).status == 400


# ---- Break-glass ----

def test_break_glass_and_review(auth):
    meg = auth.login("meg")["token"]
    before = int(time.time())
    answer = auth.glass(meg, minutes=30)
    assert answer.status == 201, answer.text
    g = answer.json()
    assert (g["kind"], g["to"], g["by"], g["to_review"]) == ("break-glass", "meg", "meg", True)
    assert before + 1800 <= g["until"] <= before + 1830 and "log in again" in g["note"]
    with auth.proxy() as proxy:
        assert "ann" not in proxy.lookup(meg).ceiling
    assert "ann/medical" in tags(label(auth, "meg")) and "ann/training" not in label(auth, "meg")
    record = [r for r in auth.audit() if r["event"] == "break-glass"][-1]
    assert (record["actor"], record["class"], record["reason"]) == ("meg", "medic", "unconscious in room 4")
    # The owner sees it, others do not; only an officer or the operator reviews it.
    ann, bob, olga = (auth.login(n)["token"] for n in ("ann", "bob", "olga"))
    assert g["id"] in auth.grants(ann) and g["id"] not in auth.grants(bob) and g["id"] in auth.grants(olga)
    review = f"/v1/grants/{g['id']}/review"
    assert auth.as_user(ann, "POST", review).status == 403 and auth.as_user(meg, "POST", review).status == 403
    done = auth.as_user(olga, "POST", review)
    assert done.status == 200 and done.json()["reviewer"] == "olga" and done.json()["to_review"] is False
    assert auth.as_user(olga, "POST", review).status == 409
    # Reviewed does not mean ended.
    assert "ann/medical" in tags(label(auth, "meg"))
    assert auth.grants()[g["id"]]["reviewed"] > 0


def test_an_ended_break_glass_stays_until_it_was_reviewed(auth):
    g = auth.glass(auth.login("meg")["token"]).json()
    ann = auth.login("ann")["token"]
    assert auth.revoke(g["id"], ann).status == 204
    assert "ann" not in label(auth, "meg")
    kept = auth.grants()[g["id"]]
    assert kept["ended"] > 0 and kept["to_review"] is True
    assert auth.revoke(g["id"]).status == 404
    assert auth.call("POST", f"/v1/grants/{g['id']}/review").json()["reviewer"] == "operator"
    assert auth.grants() == {}


def test_a_break_glass_outlives_the_account_until_it_was_reviewed(auth):
    auth.add("mo", **{"class": "medic"})
    g = auth.glass(auth.login("mo")["token"]).json()
    assert auth.call("DELETE", "/v1/users/mo").status == 204
    auth.add("mo", **{"class": "medic"})
    assert "ann" not in label(auth, "mo") and auth.grants()[g["id"]]["to_review"] is True
    assert auth.call("DELETE", "/v1/users/mo").status == 204


@pytest.mark.parametrize("who, fields, status, word", [
    ("tom", {}, 403, "class"), ("meg", {"category": "training"}, 403, "training"), ("olga", {}, 403, "class"),
    ("meg", {"reason": "short"}, 400, "10"), ("meg", {"reason": "a" + " " * 40}, 400, "10"),
    ("meg", {"reason": "line\nbreak in here"}, 400, "10"), ("meg", {"minutes": 0}, 400, "minutes"),
    ("meg", {"minutes": 241}, 400, "minutes"), ("meg", {"minutes": "60"}, 400, "minutes"),
    ("meg", {"owner": "meg"}, 400, "own data"), ("meg", {"owner": "a/b"}, 400, "owner"), ("meg", {"owner": ""}, 400, "owner"),
    ("meg", {"category": "medicine"}, 400, "category"), ("meg", {"until": 5}, 400, "until"), ("meg", {"to": "tom"}, 400, "to"),
    (None, {}, 401, "person"),
])
def test_break_glass_rules(auth, who, fields, status, word):
    answer = auth.glass(auth.login(who)["token"] if who else None, **fields)
    assert answer.status == status and word in answer.json()["detail"], answer.text
    assert auth.grants() == {}


def test_a_refused_break_glass_is_on_record(auth):
    assert auth.glass(auth.login("tom")["token"]).status == 403
    record = auth.audit()[-1]
    assert record["event"] == "break-glass" and record["allowed"] is False and record["actor"] == "tom"


def test_a_user_without_a_class_breaks_and_reviews_nothing(auth):
    auth.add("lone", clearance="level=HIGH")
    token = auth.login("lone")["token"]
    assert auth.glass(token).status == 403
    g = auth.glass(auth.login("meg")["token"]).json()
    assert auth.as_user(token, "POST", f"/v1/grants/{g['id']}/review").status == 403
    assert auth.call("DELETE", "/v1/users/lone").status == 204


# ---- Events for the store ----

def test_events_arrive_in_order():
    with Auth(policy=AUTOMATA) as a:
        populate(a)
        with Store(a.dir) as store:
            ann = a.login("ann")["token"]
            assert a.grant("g1", "training", "tom", ann, purpose="training").status == 201
            assert a.glass(a.login("meg")["token"]).status == 201
            assert a.revoke("g1", ann).status == 204
            assert a.as_user(ann, "POST", "/v1/erase", {"category": "medical"}).status == 204
            assert store.events == [
                {"event": "consent", "owner": "ann", "category": "training", "actor": "ann", "class": "player",
                 "purpose": "training"},
                {"event": "break-glass", "owner": "ann", "category": "medical", "actor": "meg", "class": "medic"},
                {"event": "revoke", "owner": "ann", "category": "training", "actor": "ann", "class": "player",
                 "purpose": "training"},
                {"event": "erase", "owner": "ann", "category": "medical", "actor": "ann", "class": "player"}]
            assert a.metric("ppce_auth_outbox") == 0
            # An operator acts for the owner: the automaton sees the owner, the audit log the operator.
            assert a.grant("g2", "training", "tom", owner="ann", until=int(time.time()) + 2).status == 201
            store.wait(lambda: store.names()[-1] == "expire")
            assert [(e["event"], e["actor"], e["class"]) for e in store.events[-2:]] == [
                ("consent", "ann", "player"), ("expire", "ann", "player")]
            # Authorising a certificate opens nothing for people.
            count = len(store.events)
            assert a.grant("c1", "training", CERTIFICATE, ann).status == 201 and a.revoke("c1", ann).status == 204
            assert len(store.events) == count
            assert a.as_user(ann, "POST", "/v1/erase", {"category": "medical", "owner": "bob"}).status == 403
            assert a.as_user(ann, "POST", "/v1/erase", {"category": "nothing"}).status == 400
            assert a.call("POST", "/v1/erase", {"category": "medical"}).status == 400
            assert a.call("POST", "/v1/erase", {"category": "medical", "owner": "bob"}).status == 204


def test_consents_that_remain_are_told_again():
    with Auth(policy=AUTOMATA) as a:
        populate(a)
        with Store(a.dir) as store:
            for number, to in (("g1", "tom"), ("g2", "tim")):
                assert a.grant(number, "training", to, owner="ann").status == 201
            assert a.grant("g3", "medical", "tim", owner="ann").status == 201
            assert a.revoke("g1").status == 204
            store.wait(lambda: len(store.events) == 5)
            assert store.names() == ["consent", "consent", "consent", "revoke", "consent"]
            assert store.events[-1]["category"] == "training"


def test_a_refused_event_is_said_and_not_repeated():
    with Auth(policy=AUTOMATA) as a:
        populate(a)
        with Store(a.dir) as store:
            store.statuses = [409, 403]
            answer = a.grant("g1", "training", "tom", owner="ann")
            assert answer.status == 201 and "automaton" in answer.json()["note"]
            assert a.call("POST", "/v1/erase", {"category": "medical", "owner": "bob"}).status == 409
            assert store.seen == 2 and a.metric("ppce_auth_outbox") == 0


def test_without_the_store_the_change_stands_and_the_delivery_follows():
    with Auth(policy=AUTOMATA) as a:
        populate(a)
        answer = a.grant("g1", "training", "tom", owner="ann")
        assert answer.status == 503 and "stands" in answer.json()["detail"]
        s = a.login("tom")
        assert "ann/training" in tags(s["label"])
        answer = a.revoke("g1")
        assert answer.status == 503 and "stands" in answer.json()["detail"]
        assert a.grants() == {} and "ann" not in label(a, "tom")
        with a.proxy() as proxy:
            assert proxy.lookup(s["token"]).type == UNKNOWN
        assert a.metric("ppce_auth_outbox") == 2
        with Store(a.dir) as store:
            store.statuses = [500, None, 404]
            store.wait(lambda: len(store.events) == 2)
            assert store.names() == ["consent", "revoke"] and store.seen == 5
            eventually(lambda: a.metric("ppce_auth_outbox") == 0)


def test_events_survive_the_kill_of_auth():
    with Auth(policy=AUTOMATA) as a:
        populate(a)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for n in range(3):
                waiting = pool.submit(lambda n=n: a.grant(f"g{n}", "training", "tom", owner="ann", purpose=f"p{n}"))
                eventually(lambda: f"g{n}" in a.grants())  # committed, and not delivered
                if n == 1:
                    assert waiting.result().status == 503
            a.kill()
            with pytest.raises(OSError):
                waiting.result()
        with Store(a.dir) as store:
            a.start()
            store.wait(lambda: len(store.events) == 3)
            assert [e["purpose"] for e in store.events] == ["p0", "p1", "p2"]
            assert set(a.grants()) == {"g0", "g1", "g2"}
            eventually(lambda: a.metric("ppce_auth_outbox") == 0)


def test_no_grant_without_its_record():
    with Auth(policy=POLICY) as a:
        populate(a)
        tokens = {n: a.login(n)["token"] for n in ("ann", "meg", "olga")}
        assert a.grant("g0", "training", "tom", owner="ann").status == 201
        glass = a.glass(tokens["meg"]).json()["id"]
        a.auditor.kill()
        assert a.grant("g1", "training", "tom", tokens["ann"]).status == 503
        assert a.grant("g1", "training", "tom", owner="ann").status == 503
        assert a.glass(tokens["meg"]).status == 503
        assert a.as_user(tokens["olga"], "POST", f"/v1/grants/{glass}/review").status == 503
        assert set(a.grants()) == {"g0", glass} and a.grants()[glass]["to_review"] is True
        answer = a.revoke("g0")  # taking away never waits for the log
        assert answer.status == 503 and "done" in answer.json()["detail"]
        assert set(a.grants()) == {glass}
        a.auditor.start()
        assert a.grant("g1", "training", "tom", tokens["ann"]).status == 201
        record = a.audit()[-1]
        assert (record["event"], record["owners"], record["actor"]) == ("grant", "ann/training", "ann")
        assert record["epoch"] == a.metric("ppce_auth_epoch")
