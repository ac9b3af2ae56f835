# SPDX-License-Identifier: MIT
"""Automata of use, obligations, derived data, and R7: certificates, owners' authorisations, budgets, releases."""
import hashlib
import json
import os
import subprocess

import pytest

from harness import build_dir
from store_daemon import (DENIED, DIGEST_TEXT, INVALID, KEY, OK, RELEASE, RELEASE_MAGIC, TOO_LARGE, UNAVAILABLE, UNKNOWN, Store, text)

QUERIES = """\
  training:
    read: "SELECT player, load FROM training ORDER BY player"
    label: "level=MID"
    apps: [records]
    use: {automaton: athlete, owner: "@player", category: training, event: read}
  mine:
    read: "SELECT load FROM training WHERE player = $user"
    label: "level=MID"
    apps: [records]
    use: {automaton: athlete, owner: $user, category: training}
  totals:
    read: "SELECT player, load FROM training ORDER BY player"
    label: "level=MID"
    apps: [records]
    category: aggregate
    use: {automaton: athlete, owner: "@player", category: training, event: aggregate}
  team_load:
    read: "SELECT player, load FROM training ORDER BY player"
    label: "level=HIGH,own={@player/training}"
    apps: [records]
  some_load:
    read: "SELECT player, load FROM training WHERE player >= $1 ORDER BY player"
    params: [text]
    label: "level=HIGH,own={@player/training}"
    apps: [records]
  other: {read: "SELECT 1", label: "level=HIGH", apps: [records]}
  summaries: {read: "SELECT body FROM summaries", label: "level=MID", apps: [records], object: summaries}
  summarise: {write: "INSERT INTO summaries VALUES ($1)", params: [text], label: "level=MID", apps: [records], object: summaries}
  scribble: {write: "INSERT INTO summaries VALUES ($1)", params: [text], label: "level=MID", apps: [records]}
"""
SQL = """CREATE TABLE training (player TEXT, load INTEGER); CREATE TABLE summaries (body TEXT);
INSERT INTO training VALUES ('p1', 10), ('p2', 20), ('p3', 30), ('p4', 40);"""
ALL = "training,mine,totals,team_load,some_load,other,summaries,summarise,scribble,team-load,noisy"
TRAINER = {"user": "t1", "cls": "trainer", "ceiling": "level=MID"}
CERTIFICATE = {"name": "team-load", "image": DIGEST_TEXT, "query": "team_load", "from": "level=HIGH,own=ALL", "to": "level=MID",
               "max_bytes": 100, "min_group": 3,
               "schema": {"type": "object", "properties": {"mean": {"type": "integer", "minimum": 0, "maximum": 1000}}}}
NOISY = CERTIFICATE | {"name": "noisy", "epsilon": "0.5", "budget": "1",
                       "schema": {"type": "object", "properties": {"mean": {"type": "integer", "minimum": 0, "maximum": 1000,
                                                                            "noise": {"sensitivity": 1}}}}}
EVERYONE = [f"p{i}/training" for i in range(1, 5)]
RESEARCHER = {"user": "r1", "cls": "researcher", "ceiling": "level=MID"}


@pytest.fixture
def store():
    with Store(QUERIES, SQL) as s:
        yield s
        assert s.alive(), s.log


def consent(store, *owners):
    for owner in owners:
        store.event("consent", owner, actor=owner, **{"class": "player"})


# -- automata --

def test_the_owner_reads_and_others_only_what_consent_opens(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("training").rows == [("p1", 10)]
    assert t.query("mine").rows == [(10,)]
    t.request(**TRAINER, purpose="training")
    assert t.query("training").rows == []
    consent(store, "p2", "p3")
    assert t.query("training").rows == [("p2", 20), ("p3", 30)]
    assert store.audit.last()["owners"] == "p2/training,p3/training"
    store.event("revoke", "p3", actor="p3")
    assert t.query("training").rows == [("p2", 20)]
    t.request(**TRAINER, purpose="curiosity")
    assert t.query("training").rows == []
    store.event("erase", "p2", actor="p2")
    assert t.request(**TRAINER, purpose="training").query("training").rows == []
    assert t.request(user="p2").query("mine").status == DENIED
    assert store.audit.last()["reason"] == "automaton"


def test_nobody_consents_for_another(store):
    store.event("consent", "p2", actor="t1", **{"class": "trainer"})
    store.event("consent", "p2")
    assert store.attach(queries=ALL).request(**TRAINER, purpose="training").query("training").rows == []


def test_an_aggregate_needs_its_group(store):
    t = store.attach(queries=ALL).request(user="r1", cls="researcher", ceiling="level=MID")
    assert len(t.query("totals").rows) == 4
    assert store.audit.last()["category"] == "aggregate"
    store.event("erase", "p1", actor="p1")
    assert len(t.query("totals").rows) == 3
    store.event("erase", "p2", actor="p2")
    assert t.query("totals").rows == []  # two are too few, so nobody is left
    assert t.query("training").rows == []


def test_break_glass_opens_notifies_and_asks_for_a_review(store):
    t = store.attach(queries=ALL).request(user="m1", cls="medic", ceiling="level=MID")
    assert t.query("training").rows == []
    store.event("break-glass", "p4", actor="m1", **{"class": "medic"})
    assert t.query("training").rows == [("p4", 40)]
    found = {(o["kind"], o["owner"], o["actor"], o["event"]) for o in store.obligations()}
    assert found == {("notify", "p4", "m1", "break-glass"), ("review", "p4", "m1", "break-glass")}
    review = next(o for o in store.obligations() if o["kind"] == "review")
    assert review["due"] - review["created"] == 7 * 86400 and not review["overdue"]
    assert store.call("POST", f"/v1/obligations/{review['id']}/done").status == 204
    assert store.call("POST", f"/v1/obligations/{review['id']}/done").status == 409
    assert store.obligations("?owner=p1") == []
    assert len(store.obligations("?owner=p4")) == 2


def test_obligations_are_durable_before_the_bytes_and_do_not_multiply(store):
    consent(store, "p2")
    t = store.attach(queries=ALL).request(**TRAINER, purpose="training")
    for _ in range(3):
        assert t.query("training").rows == [("p2", 20)]
    store.kill()
    store.start()
    [one] = store.obligations("?owner=p2")
    assert (one["kind"], one["times"], one["object"], one["automaton"]) == ("notify", 3, "training", "athlete")
    # a state is durable as well
    assert store.attach(queries=ALL).request(**TRAINER, purpose="training").query("training").rows == [("p2", 20)]


def test_what_is_overdue(store):
    consent(store, "p2")
    t = store.attach(queries=ALL).request(**TRAINER, purpose="training")
    assert t.query("training").status == OK
    store.stop()
    import sqlite3
    with sqlite3.connect(store.path("state/store.db")) as db:
        db.execute("UPDATE obligations SET due = due - 100")
    db.close()
    store.vmmd.close()
    store.start()
    assert [o["overdue"] for o in store.obligations("?overdue=1")] == [True]
    for o in store.obligations():
        store.call("POST", f"/v1/obligations/{o['id']}/done")
    assert store.obligations("?overdue=1") == []


def test_derived_data_carries_the_automata_of_its_sources(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("training").rows == [("p1", 10)]
    assert t.write("scribble", "p1 trained").status == DENIED  # it could carry nothing
    assert t.write("summarise", "p1 trained").changed == 1
    assert [o["kind"] for o in store.obligations("?owner=p1")] == ["delete"]
    trainer = store.attach(1, queries=ALL).request(**TRAINER, purpose="training")
    assert trainer.query("summaries").status == DENIED
    consent(store, "p1")
    assert trainer.query("summaries").rows == [("p1 trained",)]
    assert trainer.write("summarise", "again").status == DENIED  # the athlete's automaton: derive is for the owner
    assert store.audit.last()["reason"] == "automaton"
    untouched = store.attach(2, queries=ALL).request(**TRAINER)
    assert untouched.write("scribble", "nothing of anybody's").changed == 1
    store.event("revoke", "p1", actor="p1")
    assert trainer.request(**TRAINER, purpose="training").query("summaries").status == DENIED


def test_an_unknown_state_denies(store):
    consent(store, "p2")
    store.stop()
    store.write("policy.yaml", open(store.path("policy.yaml"), encoding="utf-8").read().replace("shared", "common"))
    store.vmmd.close()
    store.start()
    t = store.attach(queries=ALL).request(**TRAINER, purpose="training")
    assert t.query("training").status == UNAVAILABLE


# -- declassification --

def ppce(store, *args, ok=True):
    done = subprocess.run([str(build_dir() / "bin" / "ppce"), *args, "-C", store.dir, "-o", "json"], capture_output=True,
                          text=True, cwd=store.path("secrets"), stdin=subprocess.DEVNULL)
    assert (done.returncode == 0) == ok, done.stderr
    return json.loads(done.stdout) if ok and done.stdout else done.stderr


def certify(store, contents=CERTIFICATE, owners=EVERYONE):
    if not os.path.exists(store.path("officers/olga.pub")):
        ppce(store, "certificate", "keygen", "olga")
    store.write("secrets/certificate.json", json.dumps(contents))
    signed = ppce(store, "certificate", "sign", "certificate.json", "--key", "olga.key")
    store.auth.tags[signed["id"]] = list(owners)
    return signed


def release_of(answer, key=KEY):
    head, value = answer.data[:RELEASE.size], answer.data[RELEASE.size:]
    magic, length, request, certificate, label, mac = RELEASE.unpack(head)
    assert magic == RELEASE_MAGIC and length == len(value)
    assert hashlib.blake2b(b"release1" + head[:-35] + value, digest_size=32, key=key).digest() == mac
    return text(request), text(certificate), text(label), json.loads(value)


def test_a_certified_value_leaves_and_the_instance_stays_tainted(store):
    certify(store)
    t = store.attach(queries=ALL).request(**RESEARCHER, request="the-request")
    assert len(t.query("team_load").rows) == 4  # above the session's ceiling, as the certificate permits
    assert store.audit.last()["rule"] == "R7"
    tainted = "level=HIGH,own={p1/training,p2/training,p3/training,p4/training}"
    assert t.label == tainted
    answer = t.declassify("team-load", {"mean": 25})
    assert release_of(answer) == ("the-request", "team-load", "level=MID", {"mean": 25})
    assert answer.data.endswith(b'{"mean":25}')
    assert t.label == tainted
    record = store.audit.last()
    assert (record["event"], record["rule"], record["allowed"], record["rows"]) == ("declassify", "R7", True, 4)
    assert record["owners"] == ",".join(EVERYONE)


def test_nothing_is_released_before_its_record(store):
    certify(store)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    store.audit.close()
    assert t.declassify("team-load", {"mean": 25}).status == UNAVAILABLE


def denied(t, certificate="team-load", value=None):
    return t.declassify(certificate, {"mean": 25} if value is None else value).status == DENIED


def test_only_rows_of_owners_who_agreed(store):
    certify(store, owners=EVERYONE[:3])
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert [row[0] for row in t.query("team_load").rows] == ["p1", "p2", "p3"]
    assert release_of(t.declassify("team-load", {"mean": 20}))[3] == {"mean": 20}


def test_too_small_a_group(store):
    certify(store, owners=EVERYONE[:2])
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert len(t.query("team_load").rows) == 2
    assert denied(t)


def test_an_authorisation_that_was_withdrawn_meanwhile(store):
    signed = certify(store)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert len(t.query("team_load").rows) == 4
    store.auth.tags[signed["id"]] = EVERYONE[1:]
    assert denied(t)
    del store.auth.tags[signed["id"]]
    assert denied(t)
    store.auth.close()
    assert denied(t)


def test_another_query_above_the_target_spoils_it(store):
    certify(store)
    ceiling = "level=HIGH,own={p1/training,p2/training,p3/training,p4/training}"
    t = store.attach(queries=ALL).request(user="r1", cls="researcher", ceiling=ceiling)
    assert t.query("team_load").status == OK
    assert t.query("other").status == OK
    assert denied(t)
    t.request(user="r1", cls="researcher", ceiling=ceiling)
    assert t.query("team_load").status == OK
    assert t.declassify("team-load", {"mean": 1}).status == OK
    t.request(user="r1", cls="researcher", ceiling=ceiling, pristine=False)
    assert t.query("other").status == OK
    assert denied(t)  # memory of the earlier request is still there


def test_two_groups_that_differ_are_no_group(store):
    certify(store, CERTIFICATE | {"query": "some_load"})
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert len(t.query("some_load", "p1").rows) == 4
    assert len(t.query("some_load", "p1").rows) == 4
    assert t.declassify("team-load", {"mean": 1}).status == OK
    assert len(t.query("some_load", "p2").rows) == 3
    assert denied(t)  # the difference is p1


@pytest.mark.parametrize("value", [{"mean": 1001}, {"mean": -1}, {"mean": 1.5}, {"mean": "1"}, {}, {"mean": 1, "x": 1}, [1], 1,
                                   "secret", None, {"mean": None}])
def test_a_value_of_another_form(store, value):
    certify(store)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    assert t.declassify("team-load", value).status == DENIED
    assert store.audit.last() | {"event": "declassify", "reason": "value", "allowed": False} == store.audit.last()


def test_what_is_no_json_or_no_certificate(store):
    certify(store)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    for bad in ("", "{", "{'mean': 1}", '{"mean":1}x'):
        assert t.call(3, "team-load", bad).status == INVALID
    assert t.call(3, "team-load", 1).status == INVALID
    assert t.call(3, "team-load").status == INVALID
    assert t.call(3, "nothing", "{}").status == UNKNOWN
    assert t.call(3, "team_load", "{}").status == UNKNOWN
    other = store.attach(1, queries="team_load").request(**RESEARCHER)
    assert other.call(3, "team-load", "{}").status == UNKNOWN
    assert t.declassify("team-load", {"mean": 1}, room=100).status == TOO_LARGE


def test_another_image_may_not_use_it(store):
    certify(store)
    t = store.attach(queries=ALL, digest="cd" * 32).request(**RESEARCHER)
    assert t.query("team_load").rows == []
    assert denied(t)


def test_a_fixed_instance_is_permitted_nothing_besides(store):
    certify(store)
    t = store.attach(queries=ALL, label="level=MID").request(**RESEARCHER, label="level=MID", fixed=True, pristine=False)
    assert t.query("team_load").rows == []


def test_a_session_below_the_target_gets_nothing(store):
    certify(store)
    t = store.attach(queries=ALL).request(user="x", cls="researcher", ceiling="level=LOW")
    assert t.query("team_load").rows == []
    assert denied(t)


def test_noise_is_paid_for_first_and_only_once_per_value(store):
    signed = certify(store, NOISY)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    for _ in range(2):
        value = release_of(t.declassify("noisy", {"mean": 500}))[3]["mean"]
        assert isinstance(value, int) and 0 <= value <= 1000
    assert denied(t, "noisy")
    assert store.audit.last()["reason"] == "budget"
    [listed] = store.call("GET", "/v1/certificates").json()["certificates"]
    assert (listed["id"], listed["spent"], listed["budget"]) == (signed["id"], 1.0, 1.0)
    store.kill()
    store.start()
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    assert denied(t, "noisy")  # the ledger is durable


def test_a_debit_stands_though_the_release_failed(store):
    certify(store, NOISY)
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.query("team_load").status == OK
    store.audit.status = 2
    assert t.declassify("noisy", {"mean": 500}).status == UNAVAILABLE
    store.audit.status = 0
    assert t.declassify("noisy", {"mean": 500}).status == OK
    assert denied(t, "noisy")


def test_reload_takes_certificates_up_and_drops_them(store):
    certify(store)
    assert len(store.call("GET", "/v1/certificates").json()["certificates"]) == 1
    path = store.path("certificates/team-load.json")
    good = open(path, encoding="utf-8").read()
    for bad in (good.replace('"level=MID"', '"level=LOW"'), good.replace("olga", "otto"), "{", "", good.replace("olga", "../olga")):
        store.write("certificates/team-load.json", bad)
        assert store.call("POST", "/v1/reload").json() == {"certificates": 0, "left_out": 1}
    store.write("certificates/team-load.json", good)
    store.write("certificates/another.json", good)
    assert store.call("POST", "/v1/reload").json() == {"certificates": 1, "left_out": 1}
    os.unlink(store.path("officers/olga.pub"))
    assert store.call("POST", "/v1/reload").json() == {"certificates": 0, "left_out": 2}
    t = store.attach(queries=ALL).request(**RESEARCHER)
    assert t.declassify("team-load", {"mean": 1}).status == UNKNOWN


def test_the_command_line_signs_only_what_the_store_would_take(store):
    ppce(store, "certificate", "keygen", "olga")
    assert os.stat(store.path("secrets/olga.key")).st_mode & 0o777 == 0o600
    assert "there already" in ppce(store, "certificate", "keygen", "olga", ok=False)
    store.write("secrets/bad.json", json.dumps(CERTIFICATE | {"to": "level=NONE"}))
    ppce(store, "certificate", "sign", "bad.json", "--key", "olga.key", ok=False)
    store.write("secrets/bad.json", json.dumps(CERTIFICATE | {"name": "../x"}))
    ppce(store, "certificate", "sign", "bad.json", "--key", "olga.key", ok=False)
    store.write("secrets/bad.json", "[]")
    ppce(store, "certificate", "sign", "bad.json", "--key", "olga.key", ok=False)
    ppce(store, "certificate", "sign", "bad.json", "--key", "bad.json", "--officer", "olga", ok=False)
    assert os.listdir(store.path("certificates")) == []
    certify(store)
    assert [c["name"] for c in ppce(store, "certificate", "ls")] == ["team-load"]
    consent(store, "p2")
    assert store.attach(queries=ALL).request(**TRAINER, purpose="training").query("training").status == OK
    [one] = ppce(store, "obligation", "ls", "--owner", "p2")
    ppce(store, "obligation", "done", str(one["id"]))
    ppce(store, "obligation", "done", "77", ok=False)
