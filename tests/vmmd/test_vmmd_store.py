# SPDX-License-Identifier: MIT
"""Instances that read data: the socket to the store, slots of the taint table, and a store that goes or misbehaves."""
import fcntl
import mmap
import os
import socket
import sqlite3

import pytest

from fake_attach import GONE as ENDED
from fake_attach import (ATTACH, INSTANCE, RELEASED, SLOT, SLOTS, TABLE, StoreDaemon, attach_message, read_slot)
from fake_store import make_ticket, rows
from harness import eventually
from vmmd_daemon import BOTTOM, GONE, REFUSED, UNAVAILABLE, Proxy, Vmmd, guest_file

NO_SLOT = 2**32 - 1


@pytest.fixture
def world(make_vmmd):
    """A daemon with the image `store`, apps of every lifetime, and the store that the test plays."""
    vmmd = make_vmmd()
    vmmd.store = StoreDaemon(vmmd.dir).connect()
    vmmd.add_image("store", guest_file("store"))
    for lifetime in ("class", "user", "request"):
        vmmd.add_app(lifetime, "store", lifetime)
    vmmd.add_app("discard", "store", "request", mode="discard")
    yield vmmd
    vmmd.store.close()


def start(world, proxy, app="class", label=BOTTOM, owner=""):
    """(routing message, attach message)"""
    m = proxy.start(app, label, owner)
    attached = world.store.take()
    assert attached.uuid == m.uuid
    return m, attached


@pytest.mark.parametrize("app,owner", [("class", ""), ("user", "ann"), ("request", ""), ("discard", "")])
def test_a_query_goes_from_the_app_to_the_store_and_back(world, app, owner):
    with Proxy(world) as proxy:
        m, attached = start(world, proxy, app, "level=MID", owner)
        digest = world.get("/v1/images/store")["digest"]
        assert (m.has_store, m.slot, m.digest) == (1, attached.slot, digest)
        assert (attached.app, attached.digest, attached.queries) == (app, digest, "mine,add,mean")
        assert world.store.slot(m.slot) == (2, 0, m.uuid, "level=MID")
        ticket = make_ticket(seq=1, instance=m.uuid, user="ann")
        m.channel.send("/query", ticket=ticket)
        call = world.store.stores[m.uuid].serve(rows(["day"], ["monday"]))
        assert call.raw_ticket == ticket and call.name == "mine"
        assert b"text:monday" in m.channel.receive()[3]


def test_image_listings_show_the_queries(world):
    world.add_image("hello")
    assert world.get("/v1/images/store")["queries"] == ["mine", "add", "mean"]
    assert world.get("/v1/images/hello")["queries"] == []
    with Proxy(world) as proxy:
        assert proxy.apps["class"].has_store == 1 and proxy.apps["class"].slot == NO_SLOT
        assert proxy.apps["class"].digest == world.get("/v1/images/store")["digest"]


def test_the_queries_survive_a_restart(world):
    world.stop()
    world.store.close()
    world.store = StoreDaemon(world.dir)
    world.start()
    world.store.connect()
    assert world.get("/v1/images/store")["queries"] == ["mine", "add", "mean"]
    with Proxy(world) as proxy:
        start(world, proxy)


def test_an_image_without_queries_needs_no_store(make_vmmd):
    vmmd = make_vmmd()
    vmmd.add_image("hello")
    vmmd.add_app("plain", lifetime="class")
    with Proxy(vmmd) as proxy:
        m = proxy.start("plain")
        assert (m.has_store, m.slot) == (0, NO_SLOT) and m.channel.call().status == 200
    assert vmmd.metric("ppce_vmmd_store_connected") == 0


def test_without_a_store_nothing_that_reads_data_is_started(make_vmmd):
    vmmd = make_vmmd()
    vmmd.add_image("store", guest_file("store"))
    vmmd.add_app("reads", "store", "class")
    with Proxy(vmmd) as proxy:
        m = proxy.need("reads")
        assert (m.type, m.kind) == (REFUSED, UNAVAILABLE) and "store" in m.reason
        answer = vmmd.rest("POST", "/v1/instances", {"app": "reads"})
        assert (answer.status, answer.code) == (503, "unavailable")
        assert vmmd.instances() == []
        with StoreDaemon(vmmd.dir) as store:  # it comes later
            store.connect()
            eventually(lambda: vmmd.metric("ppce_vmmd_store_connected") == 1)
            m = proxy.start("reads")
            assert store.take().uuid == m.uuid


# --- the table ---

def test_the_table_is_sealed_and_the_proxy_cannot_write_it(world):
    seals = fcntl.fcntl(world.store.table_fd, fcntl.F_GET_SEALS)
    assert seals & (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW) == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    with Proxy(world) as proxy:
        assert fcntl.fcntl(proxy.table_fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        with pytest.raises(PermissionError):
            mmap.mmap(proxy.table_fd, SLOT.size)  # shared and writable
        with pytest.raises(OSError):
            os.pwrite(proxy.table_fd, b"x", 0)
        m, _ = start(world, proxy, label="level=HIGH")
        table = mmap.mmap(proxy.table_fd, 0, prot=mmap.PROT_READ)
        assert len(table) == SLOTS * SLOT.size
        assert read_slot(table, m.slot)[2:] == (m.uuid, "level=HIGH")
        SLOT.pack_into(world.store.table, m.slot * SLOT.size, 4, 0, 7, m.uuid.encode(), b"level=MID")
        assert read_slot(table, m.slot) == (4, 7, m.uuid, "level=MID"), "what the store writes, the proxy sees"
        table.close()


def test_a_new_proxy_hears_of_table_and_slots_again(world):
    with Proxy(world) as proxy:
        m, _ = start(world, proxy)
    with Proxy(world) as proxy:
        assert (proxy.instances[m.uuid].slot, proxy.instances[m.uuid].has_store) == (m.slot, 1)
        assert proxy.table_fd >= 0


def test_a_slot_is_used_again_only_after_the_store_released_it(world):
    with Proxy(world) as proxy:
        first, _ = start(world, proxy)
        proxy.stop(first.uuid)
        gone = world.store.gone(first.uuid)
        assert gone.slot == first.slot
        second, _ = start(world, proxy)
        assert second.slot != first.slot, "not released yet"
        assert world.store.slot(first.slot)[2] == first.uuid, "nor written"
        world.store.release(gone)
        eventually(lambda: world.metric("ppce_vmmd_store_slots") == 1, what="the slot is free")
        third, _ = start(world, proxy)
        assert third.slot == first.slot
        assert world.store.slot(third.slot)[1:3] == (0, third.uuid)


def test_a_slot_that_a_dying_store_left_half_written_is_consistent_again(world):
    with Proxy(world) as proxy:
        first, _ = start(world, proxy)
        SLOT.pack_into(world.store.table, first.slot * SLOT.size, 5, 0, 7, b"half", b"x" * 1024)
        proxy.stop(first.uuid)
        world.store.release(world.store.gone())
        eventually(lambda: world.metric("ppce_vmmd_store_slots") == 0)
        again, _ = start(world, proxy)
        assert world.store.slot(again.slot) == (6, 0, again.uuid, BOTTOM)


def test_an_instance_that_dies_is_told_to_the_store(world):
    with Proxy(world) as proxy:
        m, _ = start(world, proxy)
        m.channel.send("/raw?verb=9", ticket=make_ticket())
        assert "bad call 6" in proxy.expect(GONE, uuid=m.uuid).reason
        assert world.store.gone().uuid == m.uuid
        with pytest.raises(EOFError):
            world.store.stores[m.uuid].receive()


def test_a_store_that_does_not_read(world):
    """Nothing is started once its socket is full; of the ends it hears once it reads again, of each once."""
    started = set()
    with Proxy(world) as proxy:
        last = proxy.start("class")
        started.add(last.uuid)
        for _ in range(2000):
            m = proxy.need("request")
            if m.type == REFUSED:
                break
            started.add(m.uuid)
            m.channel.close()
            proxy.stop(m.uuid)
        assert m.kind == UNAVAILABLE and len(started) > 10
        proxy.stop(last.uuid)
        ended = set()
        while ended != started:
            m = world.store.receive()
            if m.type == INSTANCE:
                assert m.uuid in started and m.uuid not in ended
                os.close(m.fds[0])
            else:
                assert m.type == ENDED and m.uuid in started and m.uuid not in ended
                ended.add(m.uuid)
                world.store.release(m)
        eventually(lambda: world.metric("ppce_vmmd_store_slots") == 0)
        start(world, proxy)


# --- the store goes ---

def test_when_the_store_goes_its_instances_end_and_no_others(world):
    world.add_image("hello")
    world.add_app("plain", "hello", "class")
    with Proxy(world) as proxy:
        made = [start(world, proxy, app, owner=owner)[0] for app, owner in (("class", ""), ("user", "ann"))]
        plain = proxy.start("plain")
        world.store.hang_up()
        for m in made:
            assert "the store is gone" in proxy.expect(GONE, uuid=m.uuid).reason
        assert [i["uuid"] for i in world.instances()] == [plain.uuid]
        assert plain.channel.call().status == 200
        world.store.connect()  # it comes back
        eventually(lambda: world.metric("ppce_vmmd_store_slots") == 0, what="all slots are free again")
        m, _ = start(world, proxy)
        assert world.store.slot(m.slot)[2] == m.uuid


def test_slots_of_a_lost_connection_need_no_release(world):
    with Proxy(world) as proxy:
        m, _ = start(world, proxy)
        proxy.stop(m.uuid)
        world.store.gone()
        assert world.metric("ppce_vmmd_store_slots") == 1
        world.store.hang_up()
        world.store.connect()
        eventually(lambda: world.metric("ppce_vmmd_store_slots") == 0)


@pytest.mark.parametrize("data", [
    b"x", bytes(ATTACH.size), b"\xff" * ATTACH.size, attach_message(RELEASED)[:-1], attach_message(RELEASED) + b"x",
    attach_message(TABLE), attach_message(INSTANCE), attach_message(3), attach_message(4), attach_message(RELEASED, 0),
    attach_message(RELEASED, SLOTS), attach_message(RELEASED, NO_SLOT), attach_message(RELEASED, 1, "u" * 36),
    ATTACH.pack(RELEASED, 0, b"u" * 37, b"", b"", b""), ATTACH.pack(RELEASED, 0, b"", b"a" * 33, b"", b""),
    os.urandom(ATTACH.size), b"z" * 20000], ids=range(17))
def test_a_store_that_sends_rubbish_loses_its_connection(world, data):
    with Proxy(world) as proxy:
        m, _ = start(world, proxy)
        world.store.sock.send(data)
        assert proxy.expect(GONE, uuid=m.uuid)
        assert world.store.receive() is None
        world.store.hang_up()
        world.store.connect()
        start(world, proxy)


def test_a_release_of_a_living_slot_is_rubbish(world):
    with Proxy(world) as proxy:
        m, attached = start(world, proxy)
        world.store.release(attached)
        assert proxy.expect(GONE, uuid=m.uuid)
        assert world.store.receive() is None


def test_descriptors_from_the_store_are_refused(world):
    fds = len(os.listdir(f"/proc/{world.process.pid}/fd"))
    for n in (1, 5):
        null = os.open("/dev/null", os.O_RDONLY)
        socket.send_fds(world.store.sock, [attach_message(RELEASED)], [null] * n)
        os.close(null)
        assert world.store.receive() is None
        world.store.hang_up()
        world.store.connect()
    eventually(lambda: len(os.listdir(f"/proc/{world.process.pid}/fd")) <= fds, what="no descriptor leaks")


def test_starts_and_ends_leak_no_descriptor(world):
    with Proxy(world) as proxy:
        def once():
            m, _ = start(world, proxy)
            m.channel.close()
            proxy.stop(m.uuid)
            world.store.release(world.store.gone())
            eventually(lambda: world.metric("ppce_vmmd_store_slots") == 0)
            world.wait_shells(2)

        def descriptors():
            return len(os.listdir(f"/proc/{world.process.pid}/fd"))

        once()
        before = descriptors()
        for _ in range(5):
            once()
        eventually(lambda: descriptors() <= before + 1, what="no descriptor leaks")


# --- the database ---

NEW_COLUMNS = {  # table and column, by the version of the database that brought them
    2: [("images", "queries")],
    3: [("images", c) for c in ("network", "kind", "device")] +
       [("apps", c) for c in ("transport", "port", "sinks", "boot", "no_shells", "no_taps", "args")],
}


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_database_is_brought_up_to_date(version):
    vmmd = Vmmd(shells=0)
    try:
        vmmd.add_image("hello")
        apps = [vmmd.add_app("a", lifetime="request", mode="discard", idle=7, deadline_ms=1234), vmmd.add_app("b")]
        vmmd.stop()
        db = sqlite3.connect(vmmd.path("state/vmmd.db"))
        with db:
            for columns in [NEW_COLUMNS[v] for v in NEW_COLUMNS if v > version]:
                for table, column in columns:
                    db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            db.execute(f"PRAGMA user_version = {version}")
        db.close()
        vmmd.start()
        assert vmmd.get("/v1/images/hello")["queries"] == [] and vmmd.get("/v1/apps")["apps"] == apps
        assert vmmd.get("/v1/images/hello")["kind"] == "ppce"
        with Proxy(vmmd) as proxy:
            assert proxy.start("b").channel.call("/").status == 200
        vmmd.add_image("store", guest_file("store"))
        vmmd.add_app("c", lifetime="class", start="boot", shells="none")
        vmmd.stop()
        db = sqlite3.connect(vmmd.path("state/vmmd.db"))
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT queries FROM images ORDER BY name").fetchall() == [("",), ("mine,add,mean",)]
        assert db.execute("SELECT boot, no_shells FROM apps ORDER BY name").fetchall() == [(0, 0), (0, 0), (1, 1)]
        with db:
            db.execute("UPDATE images SET queries = 'No Name'")
        db.close()
        assert vmmd.failing_start() == 1 and "is damaged" in vmmd.log
    finally:
        vmmd.close()
