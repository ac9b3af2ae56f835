# SPDX-License-Identifier: MIT
"""Who tries to get around the store: bad tickets, garbage, a log that does not answer, connections that end, kill -9."""
import os
import random
import socket
import struct

import pytest

from harness import eventually
from store_daemon import (CALL, CALL_MAGIC, DENIED, INSTANCE, INVALID, OK, QUERY, SLOT, SLOTS, TABLE, UNAVAILABLE,
                          Store, attach_message, encode_call)

QUERIES = """\
  mine: {read: "SELECT day FROM training WHERE player = $user", label: "level=MID,own={$user/training}", apps: [records]}
  low: {read: "SELECT day FROM training", label: "level=LOW", apps: [records]}
  add: {write: "INSERT INTO training VALUES ($user, $1)", params: [text], label: "level=MID,own={$user/training}", apps: [records]}
  dreadful: {read: "SELECT nothing FROM nowhere", label: "level=LOW", apps: [records]}
"""
SQL = "CREATE TABLE training (player TEXT, day TEXT); INSERT INTO training VALUES ('p1', 'd1'), ('p2', 'd2');"
ALL = "mine,low,add,dreadful"


@pytest.fixture
def store():
    with Store(QUERIES, SQL) as s:
        yield s
        assert s.alive(), s.log


# -- tickets --

def refused(store, tender, ticket, reason):
    before = tender.table.read(tender.slot)
    assert tender.query("mine", ticket=ticket).status == DENIED
    record = store.audit.last()
    assert (record["allowed"], record["reason"], record["instance"]) == (False, reason, tender.name)
    assert "actor" not in record and "owners" not in record  # what a bad ticket says is nobody's word
    assert tender.table.read(tender.slot) == before


def test_every_byte_of_a_ticket_counts(store):
    random.seed(7)
    t = store.attach(queries=ALL)
    good = t.make_ticket()
    slot = 0
    for at in sorted(random.sample(range(len(good) - 2), 40)):
        slot += 1
        one = store.attach(slot, queries=ALL, name=None)
        ticket = bytearray(one.make_ticket())
        ticket[at] ^= 1 << random.randrange(8)
        refused(store, one, bytes(ticket), "forged")
    assert t.query("mine", ticket=good).rows == [("d1",)]


def test_a_ticket_of_another_key_is_forged(store):
    t = store.attach(queries=ALL)
    refused(store, t, t.make_ticket(key=b"\1" * 32), "forged")
    refused(store, t, t.make_ticket(key=b""), "forged")
    refused(store, t, b"\xff" * 2424, "forged")
    refused(store, t, t.make_ticket(version=2), "forged")


def test_a_ticket_of_another_instance_or_app_is_foreign(store):
    t, other = store.attach(0, queries=ALL), store.attach(1, queries=ALL)
    refused(store, t, other.make_ticket(user="p2"), "foreign")
    refused(store, t, t.make_ticket(app="stats"), "foreign")
    assert other.query("mine", ticket=other.make_ticket(user="p2")).status == OK


def test_a_ticket_expires(store):
    t = store.attach(queries=ALL)
    refused(store, t, t.make_ticket(expires_in=-0.001), "expired")
    refused(store, t, t.make_ticket(expires_in=-10 ** 6), "expired")


def test_a_ticket_of_an_earlier_request_is_replayed(store):
    t = store.attach(queries=ALL)
    first = t.make_ticket(user="p1")
    assert t.query("mine", ticket=first).status == OK
    assert t.query("mine", ticket=first).status == OK  # a request may ask often
    second = t.make_ticket(user="p2")
    assert t.query("mine", ticket=second).rows == [("d2",)]
    refused(store, t, first, "replayed")
    refused(store, t, t.make_ticket(seq=2, user="p1"), "replayed")  # another ticket of the same number
    refused(store, t, t.make_ticket(seq=0), "replayed")
    assert t.query("mine", ticket=second).status == OK


def test_labels_that_the_policy_does_not_know(store):
    t = store.attach(queries=ALL)
    refused(store, t, t.make_ticket(label="level=NONE"), "unreadable")
    refused(store, t, t.make_ticket(ceiling="level=MID,own={x"), "unreadable")
    assert t.query("mine", ticket=t.make_ticket()).status == OK


def test_whoever_keeps_forging_is_cut_off(store):
    t = store.attach(queries=ALL)
    for _ in range(8):
        assert t.query("low", ticket=b"\0" * 2424).status == DENIED
    assert t.closed()
    assert len([r for r in store.audit.records if r["reason"] == "forged"]) == 8


# -- order: raised, recorded, handed over --

def test_no_byte_before_the_label_is_raised_and_the_record_acknowledged(store):
    t = store.attach(queries=ALL).request()
    store.audit.hold()
    t.send(QUERY, encode_call("mine"))
    eventually(lambda: store.audit.records)
    assert t.label == "level=MID,own={p1/training}"  # the record came after the label was raised
    assert t.nothing_came()
    store.audit.let_go()
    assert t.receive().rows == [("d1",)]


def test_a_write_is_recorded_before_it_happens(store):
    t = store.attach(queries=ALL).request()
    store.audit.hold()
    t.send(2, encode_call("add", "d9"))
    eventually(lambda: store.audit.records)
    assert store.sql("SELECT count(*) FROM training") == [(2,)]
    assert t.nothing_came()
    store.audit.let_go()
    assert t.receive().changed == 1
    assert store.sql("SELECT count(*) FROM training") == [(3,)]


def test_without_the_audit_log_nothing_is_handed_over(store):
    t = store.attach(queries=ALL).request()
    store.audit.close()
    assert t.query("mine").status == UNAVAILABLE
    assert t.label == "level=MID,own={p1/training}"
    assert t.write("add", "d9").status == UNAVAILABLE
    assert t.query("mine", ticket=b"\0" * 2424).status == UNAVAILABLE
    assert store.sql("SELECT count(*) FROM training") == [(2,)]
    store.audit.open()
    assert eventually(lambda: t.query("mine").status == OK)


@pytest.mark.parametrize("status", [1, 2, 77])
def test_a_log_that_refuses_a_record_stops_what_it_speaks_of(store, status):
    t = store.attach(queries=ALL).request()
    store.audit.status = status
    assert t.query("mine").status == UNAVAILABLE
    assert t.write("add", "d9").status == UNAVAILABLE
    assert store.sql("SELECT count(*) FROM training") == [(2,)]


def test_a_record_for_everyone_whose_data_it_was():
    people = [f"player-number-{i:05}" for i in range(3000)]
    values = ",".join(f"('{p}', 'd')" for p in people)
    queries = '  all: {read: "SELECT player FROM training ORDER BY player", label: "own={@player/training}", apps: [records], rows: 100000, bytes: 1000000}\n'
    with Store(queries, f"CREATE TABLE training (player TEXT, day TEXT); INSERT INTO training VALUES {values}") as s:
        t = s.attach(queries="all").request(ceiling="own=ALL")
        assert len(t.query("all").rows) == 3000
        assert t.label == "own=ALL"
        named = [tag for r in s.audit.records for tag in r["owners"].split(",")]
        assert named == [f"{p}/training" for p in people]
        assert len(s.audit.records) > 1


# -- connections --

def test_the_end_of_vmmd_is_the_end_of_all_instances(store):
    tenders = [store.attach(i, queries=ALL).request() for i in range(5)]
    assert all(t.query("low").status == OK for t in tenders)
    store.vmmd.close()
    assert all(t.closed() for t in tenders)
    store.vmmd = store.connect()
    assert store.attach(0, queries=ALL).request().query("low").status == OK


def test_after_gone_nothing_is_written_to_the_slot(store):
    t = store.attach(queries=ALL).request()
    store.audit.hold()
    t.send(QUERY, encode_call("mine"))
    eventually(lambda: store.audit.records)
    store.vmmd.gone(0, t.name)
    assert t.closed()
    store.table.write(0, "somebody-else", "level=LOW")
    store.audit.let_go()
    one = store.attach(0, queries=ALL).request()
    assert one.query("low").status == OK
    assert store.table.read(0)[2] == one.name


def test_gone_of_an_instance_whose_tender_died_first(store):
    t = store.attach(queries=ALL).request()
    t.sock.close()
    store.vmmd.gone(0, t.name)
    store.vmmd.gone(0, "00000000-0000-4000-8000-000000000000")


def test_a_second_vmmd_is_refused(store):
    other = store.connect(send_table=False)
    assert other.closed()
    assert store.attach(queries=ALL).request().query("low").status == OK


def bad_messages(store):
    t, name = store.table, "1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11"
    small = os.memfd_create("small")
    pair = socket.socketpair()[0]
    yield b"", "nothing", ()
    yield b"x", "one byte", ()
    yield attach_message(TABLE)[:-1], "too short", (t.fd,)
    yield attach_message(TABLE) + b"x", "too long", (t.fd,)
    yield attach_message(TABLE), "a second table", (t.fd,)
    yield attach_message(99), "unknown type", ()
    yield attach_message(16), "the wrong direction", ()
    yield attach_message(INSTANCE, 0, name), "no socket", ()
    yield attach_message(INSTANCE, SLOTS, name), "no such slot", (pair.detach(),)
    yield attach_message(INSTANCE, 0xFFFFFFFF, name), "no such slot", ()
    yield attach_message(INSTANCE, 0, "no uuid"), "no uuid", (socket.socketpair()[0].detach(),)
    yield attach_message(3, SLOTS, name), "gone from no slot", ()
    yield struct.pack("=II", INSTANCE, 0) + b"A" * 392, "texts without an end", ()
    os.close(small)


def test_garbage_on_the_attach_socket(store):
    for message, what, fds in bad_messages(store):
        if not message:
            continue
        store.vmmd.send(message, *fds)
        assert store.vmmd.closed(), what
        store.vmmd.close()
        store.vmmd = store.connect()
    small = os.memfd_create("small")
    store.vmmd.close()
    store.vmmd = store.connect(send_table=False)
    store.vmmd.send(attach_message(TABLE), small)
    assert store.vmmd.closed()
    store.vmmd.close()
    store.vmmd = store.connect()
    assert store.attach(queries=ALL).request().query("low").status == OK


def test_an_instance_whose_slot_is_not_in_order_gets_no_store(store):
    table, name = store.table, "1f0c7c0e-7f1c-4d8e-9d6e-0a4b8a4c2f11"
    for value in (SLOT.pack(3, 0, 0, name.encode(), b"level=LOW"),  # its writer died in the middle
                  SLOT.pack(2, 0, 0, b"another", b"level=LOW"),
                  SLOT.pack(2, 0, 0, name.encode(), b"level=NONE"),
                  SLOT.pack(2, 0, 0, name.encode(), b"A" * 1024),
                  SLOT.pack(2, 0, 0, b"A" * 37, b"level=LOW")):
        table.map[:SLOT.size] = value
        t = store.vmmd.attach(0, queries=ALL, name=name, fresh=False)
        assert t.closed()
        assert table.map[:SLOT.size] == value
    r = os.open("/dev/null", os.O_RDWR)
    table.write(0, name, "level=LOW")
    store.vmmd.send(attach_message(INSTANCE, 0, name, "records", "", ALL), r)
    os.close(r)
    assert store.attach(1, queries=ALL).request().query("low").status == OK


def test_garbage_from_a_tender_ends_its_own_socket_only(store):
    other = store.attach(0, queries=ALL).request()
    random.seed(11)
    t = store.attach(1, queries=ALL).request()
    heads = [CALL.pack(1, QUERY, 8, 0), CALL.pack(CALL_MAGIC, QUERY, 0, 0), CALL.pack(CALL_MAGIC, QUERY, (16 << 20) + 1, 0),
             CALL.pack(CALL_MAGIC, QUERY, 0xFFFFFFFF, 0), CALL.pack(CALL_MAGIC, QUERY, 8, (16 << 20) + 1),
             bytes(random.randrange(256) for _ in range(16))]
    for slot, head in enumerate(heads, 2):
        t = store.attach(slot, queries=ALL).request()
        t.sock.sendall(head + t.current + b"\0" * 64)
        assert t.closed()
    half = store.attach(20, queries=ALL).request()
    half.sock.sendall(CALL.pack(CALL_MAGIC, QUERY, 1000, 0) + half.current + b"x")
    half.sock.close()
    assert other.query("low").status == OK


def test_garbage_from_a_guest_is_invalid_and_the_next_call_works(store):
    t = store.attach(queries=ALL).request()
    good = encode_call("mine")
    random.seed(13)
    bad = [good[:i] for i in range(1, len(good))] + [good + b"\0" * 8, b"\xff" * 64, b"\0" * 8]
    bad += [bytes(random.randrange(256) for _ in range(random.randrange(1, 200))) for _ in range(200)]
    for payload in bad:
        t.send(QUERY, payload)
        assert t.receive().status == INVALID
    for verb in (0, 4, 0xFFFFFFFF):
        t.send(verb, good)
        assert t.receive().status == INVALID
    assert t.query("mine").rows == [("d1",)]


def test_a_broken_query_of_the_operator_fails_alone(store):
    t = store.attach(queries=ALL).request()
    assert t.query("dreadful").status == UNAVAILABLE
    assert t.query("mine").status == OK
    assert "dreadful" in store.log


def test_garbage_on_the_rest_socket(store):
    assert store.call("POST", "/v1/events", raw="{").status == 400
    assert store.call("POST", "/v1/events", {"event": "read", "owner": "p1", "category": "training"}).status == 400
    assert store.call("POST", "/v1/events", {"event": "consent", "owner": "p 1", "category": "training"}).status == 400
    assert store.call("POST", "/v1/events", {"event": "consent", "owner": "p1"}).status == 400
    assert store.call("POST", "/v1/obligations/x/done").status == 404
    assert store.call("POST", "/v1/obligations/7/done").status == 404
    assert store.call("GET", "/v1/obligations?owner=a%20b").status == 400
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(store.path("run/store.sock"))
        s.sendall(os.urandom(4000))


# -- kill -9 --

def test_a_store_that_is_killed_forgets_no_label(store):
    t = store.attach(queries=ALL).request()
    assert t.query("mine").status == OK
    raised = t.label
    assert raised == "level=MID,own={p1/training}"
    store.kill()
    assert t.closed()
    assert t.label == raised
    store.start()
    again = store.vmmd.attach(0, queries=ALL, name=t.name, fresh=False)
    assert again.query("low", ticket=t.current).status == OK  # the same request goes on, at its label
    assert again.label == raised
    again.seq = t.seq
    again.request(pristine=False)
    assert again.query("low").status == OK
    assert again.label == raised
    assert again.query("low", ticket=t.make_ticket(seq=1)).status == DENIED  # seen before the end: still replayed
    again.request()
    assert again.query("low").status == OK
    assert again.label == "level=LOW"  # reset: nothing of it is left in the instance


def test_killed_at_any_moment_the_table_never_goes_down(store):
    random.seed(17)
    order = ["level=LOW", "level=MID,own={p1/training}"]
    for round_ in range(8):
        t = store.attach(round_, queries=ALL)
        t.request(pristine=False)
        seen = 0
        store.audit.hold()
        for name in random.choices(["low", "mine"], k=1):
            t.send(QUERY, encode_call(name))
        eventually(lambda: len(store.audit.records) > round_)
        before = order.index(t.label)
        store.kill()
        store.audit.let_go()
        assert order.index(t.label) >= max(seen, before)
        try:
            assert not t.sock.recv(1)  # nothing was handed over
        except ConnectionResetError:
            pass
        store.start()
