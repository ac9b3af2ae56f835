# SPDX-License-Identifier: MIT
"""Instances made ahead: `PUT /v1/pools` with app, label and warm."""
import contextlib
import http.client
import os
import pathlib
import signal
import sqlite3
import threading
import time

import pytest

from fake_attach import SLOT, StoreDaemon
from fake_store import make_ticket
from harness import descendants, eventually
from vmmd_daemon import BOTTOM, GONE, INSTANCE, POLICY, REFUSED, Proxy, Vmmd, guest_file

MID = "level=MID"


def put(vmmd, app, warm, label=BOTTOM, **more):
    return vmmd.rest("PUT", "/v1/pools", {"app": app, "label": label, "warm": warm, **more})


def keep(vmmd, app, warm, label=BOTTOM, **more):
    answer = put(vmmd, app, warm, label, **more)
    assert answer.status == 200, (answer, vmmd.log)
    return answer.json()


def entries(vmmd, app=None):
    return [e for e in vmmd.get("/v1/pools")["warm"] if app in (None, e["app"])]


def filled(vmmd, app, n):
    """The one entry of this app, once n instances are ready."""
    def check():
        entry, = entries(vmmd, app)
        return entry if (entry["ready"], entry["starting"]) == (n, 0) else None
    return eventually(check, what=f"{n} instances of {app}")


def uuids(entry):
    return {p["uuid"] for p in entry["processes"]}


def told(proxy, app):
    """The next instance that vmmd announces without having been asked."""
    return proxy.expect(INSTANCE, app=app, id=0)


def test_made_and_told_to_the_proxy(vmmd):
    vmmd.add_app("ahead", lifetime="class", idle=1)
    with Proxy(vmmd) as proxy:
        keep(vmmd, "ahead", 2, MID)
        made = [told(proxy, "ahead") for _ in range(2)]
        assert {(m.label, m.owner, m.keep) for m in made} == {(MID, "", 1)}
        assert [m.channel.call().status for m in made] == [200, 200]
        entry = filled(vmmd, "ahead", 2)
        assert uuids(entry) == {m.uuid for m in made} == {i["uuid"] for i in vmmd.instances(app="ahead", keep=True)}
        assert (entry["label"], entry["want"], entry["last_failure"], entry["image"]) == (MID, 2, "", "hello")
        assert proxy.start("ahead", MID).keep == 0
        vmmd.start_instance("ahead", label=MID)
        assert told(proxy, "ahead").keep == 0
    with Proxy(vmmd) as proxy:  # a new proxy hears it of those that live
        assert sorted(m.keep for m in proxy.instances.values() if m.app == "ahead") == [0, 0, 1, 1]
    assert vmmd.metric("ppce_vmmd_warm") == vmmd.metric("ppce_vmmd_warm_wanted") >= 2


def end_by_kill(vmmd, proxy, m):
    pid, = [i["pid"] for i in vmmd.instances(uuid=m.uuid)]
    os.kill(pid, signal.SIGKILL)
    assert "signal 9" in proxy.expect(GONE, uuid=m.uuid).reason


def end_by_stop(vmmd, proxy, m):
    proxy.stop(m.uuid, "is older than max_age")


def end_by_hand(vmmd, proxy, m):
    assert vmmd.rest("DELETE", "/v1/instances/" + m.uuid).status == 204


@pytest.mark.parametrize("end", [end_by_kill, end_by_stop, end_by_hand])
def test_made_again(vmmd, end):
    app = end.__name__.replace("_", "-")
    vmmd.add_app(app, lifetime="class")
    with Proxy(vmmd) as proxy:
        keep(vmmd, app, 1)
        first = told(proxy, app)
        filled(vmmd, app, 1)
        end(vmmd, proxy, first)
        again = told(proxy, app)
        assert again.uuid != first.uuid and again.keep == 1 and again.channel.call().status == 200
        assert uuids(filled(vmmd, app, 1)) == {again.uuid}


def test_one_that_answered_its_one_request_is_made_again(vmmd):
    vmmd.add_app("once", lifetime="request", mode="discard")
    with Proxy(vmmd) as proxy:
        keep(vmmd, "once", 1)
        for _ in range(5):
            m = told(proxy, "once")
            assert m.channel.call().status == 200
            proxy.expect(GONE, uuid=m.uuid)
        told(proxy, "once")
    assert filled(vmmd, "once", 1)["failures"] == 0, "being used up is no failure"


def test_larger_and_smaller(vmmd):
    vmmd.add_app("sized", lifetime="class", max_instances=4)
    with Proxy(vmmd) as proxy:
        keep(vmmd, "sized", 4)
        made = [told(proxy, "sized") for _ in range(4)]
        filled(vmmd, "sized", 4)
        asked = made[1], made[3]
        for m in asked:
            m.channel.call()
        keep(vmmd, "sized", 2)
        gone = [proxy.expect(GONE, app="sized") for _ in range(2)]
        assert {m.uuid for m in gone} == {made[0].uuid, made[2].uuid}, "those that were used least recently"
        assert {m.reason for m in gone} == {"the pool was made smaller"}
        assert uuids(filled(vmmd, "sized", 2)) == {m.uuid for m in asked}
        other = vmmd.start_instance("sized")["uuid"]
        keep(vmmd, "sized", 0)
        assert entries(vmmd, "sized") == []
        eventually(lambda: [i["uuid"] for i in vmmd.instances(app="sized")] == [other], what="the end of all but one")
        keep(vmmd, "sized", 0)  # what is not there can be removed


def test_a_label_in_other_words_is_the_same_entry(vmmd):
    vmmd.add_app("spelled", lifetime="class")
    keep(vmmd, "spelled", 1, "comp={B,A},level=MID")
    keep(vmmd, "spelled", 2, "level=MID,comp={A,B}")
    assert [(e["label"], e["want"]) for e in entries(vmmd, "spelled")] == [("level=MID,comp={A,B}", 2)]
    keep(vmmd, "spelled", 0, "comp={B,A},level=MID")
    assert entries(vmmd, "spelled") == []


def test_of_one_user(vmmd):
    vmmd.add_app("owned", lifetime="user")
    with Proxy(vmmd) as proxy:
        keep(vmmd, "owned", 1, owner="ann")
        m = told(proxy, "owned")
        assert (m.owner, m.keep) == ("ann", 1)
        keep(vmmd, "owned", 1, owner="bob")
        assert told(proxy, "owned").owner == "bob"
    assert {e["owner"] for e in entries(vmmd, "owned")} == {"ann", "bob"}


@pytest.fixture(scope="module")
def refusing(vmmd):
    vmmd.add_app("few", lifetime="class", max_instances=3)
    vmmd.add_app("mine", lifetime="user")
    return vmmd


@pytest.mark.parametrize("body,status,word", [
    ({"app": "few", "label": BOTTOM, "warm": 4}, 400, "max_instances of app few, which is 3"),
    ({"app": "few", "label": BOTTOM, "warm": -1}, 400, "warm"),
    ({"app": "few", "label": BOTTOM, "warm": 4097}, 400, "warm"),
    ({"app": "few", "label": BOTTOM, "warm": "1"}, 400, "warm"),
    ({"app": "few", "label": BOTTOM}, 400, "app, label and warm"),
    ({"app": "few", "warm": 1}, 400, "app, label and warm"),
    ({"label": BOTTOM, "warm": 1}, 400, "app, label and warm"),
    ({"app": "few", "label": "level=TOP", "warm": 1}, 400, "TOP"),
    ({"app": "few", "label": "level=TOP", "warm": 0}, 400, "TOP"),
    ({"app": "few", "label": "", "warm": 1}, 400, "label"),
    ({"app": "few", "label": "x" * 2000, "warm": 0}, 400, "label"),
    ({"app": "few", "label": BOTTOM, "warm": 1, "owner": "ann"}, 400, "not bound to a user"),
    ({"app": "mine", "label": BOTTOM, "warm": 1}, 400, "name the user"),
    ({"app": "mine", "label": BOTTOM, "warm": 1, "owner": "a b"}, 400, "name the user"),
    ({"app": "none", "label": BOTTOM, "warm": 1}, 404, "no app"),
    ({"app": "none", "label": BOTTOM, "warm": 0}, 404, "no app"),
    ({"app": "few", "label": BOTTOM, "warm": 1, "shells": 2}, 400, "stand alone"),
    ({"app": "few", "lable": BOTTOM, "warm": 1}, 400, "label"),
])
def test_refused(refusing, body, status, word):
    before = refusing.get("/v1/pools")["shells"]
    answer = refusing.rest("PUT", "/v1/pools", body)
    assert answer.status == status and word in answer.text, answer
    assert entries(refusing, "few") == entries(refusing, "mine") == []
    assert refusing.get("/v1/pools")["shells"] == before


def test_all_labels_of_an_app_fit_together(vmmd):
    vmmd.add_app("split", lifetime="class", max_instances=3)
    keep(vmmd, "split", 2)
    answer = put(vmmd, "split", 2, MID)
    assert (answer.status, answer.code) == (409, "conflict") and "and 2 for other labels" in answer.text
    keep(vmmd, "split", 1, MID)
    assert put(vmmd, "split", 3).status == 409
    keep(vmmd, "split", 1)
    keep(vmmd, "split", 2, MID)


def test_requests_have_the_places_that_they_took(vmmd):
    vmmd.add_app("crowded", lifetime="class", max_instances=2)
    with Proxy(vmmd) as proxy:
        asked = [proxy.start("crowded") for _ in range(2)]
        keep(vmmd, "crowded", 2, MID)
        eventually(lambda: "max_instances" in entries(vmmd, "crowded")[0]["last_failure"], what="the reason")
        assert proxy.need("crowded").type == REFUSED
        proxy.stop(asked[0].uuid)
        assert told(proxy, "crowded").label == MID
        assert filled(vmmd, "crowded", 1)["failures"] == 0, "to wait for room is no failure"


def test_an_app_that_is_removed(vmmd):
    vmmd.add_app("short", lifetime="class")
    keep(vmmd, "short", 2)
    keep(vmmd, "short", 2, MID)  # some of them are still starting
    assert vmmd.rest("DELETE", "/v1/apps/short").status == 204
    assert entries(vmmd, "short") == []
    eventually(lambda: not vmmd.instances(app="short"), what="no instance")
    vmmd.add_app("short", lifetime="class")
    assert entries(vmmd, "short") == []


def test_a_replaced_image_fills_the_pool_anew(make_vmmd, build_guest):
    vmmd = make_vmmd()
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    keep(vmmd, "a", 2)
    filled(vmmd, "a", 2)
    new = vmmd.add_image("hello", build_guest(), status=200)
    eventually(lambda: [i["digest"] for i in vmmd.instances(state="running")] == 2 * [new["digest"]], what="new ones")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart(make_vmmd, sig):
    vmmd = make_vmmd()
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    vmmd.add_app("b", lifetime="user")
    keep(vmmd, "a", 2, MID)
    keep(vmmd, "b", 1, owner="ann")
    keep(vmmd, "b", 1, owner="bob")
    keep(vmmd, "b", 0, owner="bob")
    filled(vmmd, "a", 2)
    vmmd.stop(sig)
    vmmd.start()
    with Proxy(vmmd) as proxy:
        filled(vmmd, "a", 2)
        filled(vmmd, "b", 1)
        assert {(e["app"], e["label"], e["owner"], e["want"]) for e in entries(vmmd)} == {
            ("a", MID, "", 2), ("b", BOTTOM, "ann", 1)}
        assert proxy.start("a", MID).keep == 0
    assert vmmd.rest("DELETE", "/v1/apps/a").status == 204
    vmmd.stop(sig)
    vmmd.start()
    assert {e["app"] for e in entries(vmmd)} == {"b"}


def test_an_image_that_does_not_boot_any_more(make_vmmd):
    vmmd = make_vmmd()
    digest = vmmd.add_image("hello")["digest"]
    vmmd.add_app("a", lifetime="class")
    keep(vmmd, "a", 1)
    vmmd.stop()
    os.unlink(vmmd.path(f"images/{digest}.elf"))
    vmmd.start()
    eventually(lambda: "add the image again" in entries(vmmd)[0]["last_failure"], what="the reason")
    vmmd.add_image("hello", status=200)
    keep(vmmd, "a", 1)  # asking again does not wait for the next try
    filled(vmmd, "a", 1)


def test_a_label_that_the_policy_has_no_more(make_vmmd):
    vmmd = make_vmmd(shells=0)
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    keep(vmmd, "a", 1, MID)
    vmmd.stop()
    pathlib.Path(vmmd.path("policy.yaml")).write_text(POLICY.replace("MID", "MIDDLE"))
    vmmd.start()
    eventually(lambda: "MID" in entries(vmmd)[0]["last_failure"], what="the reason")
    assert put(vmmd, "a", 2, MID).status == 400
    keep(vmmd, "a", 0, MID)
    assert entries(vmmd) == []


def resident(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    rss = {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in lines) if k.startswith("Rss")}
    return rss["RssAnon"], rss["RssFile"] + rss["RssShmem"]


def family(pid):
    """What a tender and its guest hold, private and shared."""
    pids = {pid} | {p for p, _ in descendants(pid)}
    return tuple(map(sum, zip(*map(resident, pids))))


def shows_memory(vmmd):
    vmmd.wait_shells(1)
    pools = vmmd.get("/v1/pools")
    shell, = pools["shell_memory"]["processes"]
    assert (shell["private_kib"], shell["shared_kib"]) == family(shell["pid"])
    entry = filled(vmmd, "a", 2)
    for p in entry["processes"]:
        assert (p["private_kib"], p["shared_kib"]) == family(p["pid"]) and p["private_kib"] > 0
    assert entry["private_kib"] == sum(p["private_kib"] for p in entry["processes"])
    assert {i["private_kib"] for i in vmmd.instances()} == {p["private_kib"] for p in entry["processes"]}
    image, = pools["images"]
    assert 0 < image["snapshot_kib"] <= 1024 * vmmd.get("/v1/images/hello")["memory_mib"] + 4096
    assert ("virtual machine" in pools["not_counted"]) == (pools["backend"] == "kvm")
    assert "taps" not in pools


def test_memory(make_vmmd):
    vmmd = make_vmmd(shells=1)
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    keep(vmmd, "a", 2)
    shows_memory(vmmd)


@pytest.mark.parametrize("label", [BOTTOM, MID])
def test_what_one_said_after_it_had_read_is_not_shown(make_vmmd, label):
    vmmd = make_vmmd()
    with StoreDaemon(vmmd.dir) as store, Proxy(vmmd) as proxy:
        store.connect()
        vmmd.add_image("store", guest_file("store"))
        vmmd.add_app("a", "store", "class")
        keep(vmmd, "a", 1)
        while not (entry := entries(vmmd, "a")[0])["last_failure"]:  # where it took long, it did not die at once
            m = told(proxy, "a")
            store.take()
            SLOT.pack_into(store.table, m.slot * SLOT.size, 4, 0, 7, m.uuid.encode(), label.encode())
            end_by_kill(vmmd, proxy, m)
            store.gone(m.uuid)
        assert ("withheld" in entry["last_failure"]) == (label != BOTTOM), entry


# From here on one backend is enough.


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_memory_as_an_ordinary_user():
    with Vmmd(backend="process", user=65534, shells=1) as vmmd:
        vmmd.add_image("hello")
        vmmd.add_app("a", lifetime="class")
        keep(vmmd, "a", 2)
        shows_memory(vmmd)


@pytest.fixture
def process_vmmd():
    made = []

    def make(**options):
        made.append(Vmmd(**{"backend": "process", "shells": 0, **options}))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


def test_one_that_dies_at_once_is_tried_after_growing_gaps(stand_in):
    vmmd = stand_in("hostile_tender.py", "bind:exit")
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    begin = time.monotonic()
    keep(vmmd, "a", 3)
    entry, = eventually(lambda: [e for e in entries(vmmd) if e["failures"] >= 3], what="three failures in a row")
    took, failures = time.monotonic() - begin, entry["failures"]
    assert took > 0.1 * (2 ** (failures - 1) - 1), "0.1 s, then twice as long each time"
    assert "exit status 3" in entry["last_failure"] and entry["ready"] == 0
    assert vmmd.metric("ppce_vmmd_warm_failures_total") >= failures
    keep(vmmd, "a", 0)
    ended = len(vmmd.events("instance-failed"))
    time.sleep(0.6)  # longer than the next gap
    assert len(vmmd.events("instance-failed")) == ended


def test_the_daemon_ends_while_it_is_asked(process_vmmd):
    vmmd = process_vmmd(shells=4)
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    keep(vmmd, "a", 4)

    def ask(target):
        with contextlib.suppress(OSError, http.client.HTTPException):
            while vmmd.rest("GET", target).status in (200, 503):
                pass

    threads = [threading.Thread(target=ask, args=(f"/v1/{t}",)) for t in 4 * ("pools", "instances")]
    for t in threads:
        t.start()
    filled(vmmd, "a", 4)
    vmmd.stop()  # fails if it does not end well
    for t in threads:
        t.join(20)


def test_the_entries_are_bounded(process_vmmd):
    vmmd = process_vmmd(max_instances=1)
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="user", max_instances=4096)
    keep(vmmd, "a", 1, owner="u0")
    vmmd.stop()
    with contextlib.closing(sqlite3.connect(vmmd.path("state/vmmd.db"))) as db, db:
        db.executemany("INSERT INTO pools VALUES ('a', 'level=LOW', ?, 1)", [(f"u{n}",) for n in range(1, 255)])
    vmmd.start()
    keep(vmmd, "a", 1, owner="the-last")
    assert len(entries(vmmd)) == 256
    answer = put(vmmd, "a", 1, owner="one-more")
    assert (answer.status, answer.code) == (503, "full") and "256" in answer.text
    keep(vmmd, "a", 2, owner="u7")
    eventually(lambda: "vmmd.max_instances" in entries(vmmd)[-1]["last_failure"], what="the reason")
    assert len(vmmd.instances()) == 1


def test_a_database_from_before_and_one_that_somebody_damaged(process_vmmd):
    vmmd = process_vmmd()
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    vmmd.stop()
    db = sqlite3.connect(vmmd.path("state/vmmd.db"))
    with db:
        db.execute("DROP TABLE pools")
        for column in ("network", "kind", "device"):
            db.execute("ALTER TABLE images DROP COLUMN " + column)
        for column in ("transport", "port", "sinks", "boot", "no_shells", "no_taps", "args"):
            db.execute("ALTER TABLE apps DROP COLUMN " + column)
        db.execute("PRAGMA user_version = 2")
    vmmd.start()
    keep(vmmd, "a", 1)
    filled(vmmd, "a", 1)
    vmmd.stop()
    for damage in ("warm = 0", "warm = 5000", "owner = 'a b'", "label = ''"):
        with db:
            db.execute("UPDATE pools SET owner = '', warm = 1, label = 'level=LOW'")
            db.execute("UPDATE pools SET " + damage)
        assert vmmd.failing_start() == 1 and "pools of app `a` is damaged" in vmmd.log
    db.close()
