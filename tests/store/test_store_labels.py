# SPDX-License-Identifier: MIT
"""R2 and R3 at every relation of labels, per-row labels, parameters, limits; on SQLite and on PostgreSQL."""
import pytest

from harness import eventually
from store_daemon import (CONFLICT, DEADLINE, DENIED, INVALID, OK, QUERY, TOO_LARGE, UNAVAILABLE, UNKNOWN, WRITE, Store)

QUERIES = """\
  low: {read: "SELECT day FROM training WHERE player = 'p1' ORDER BY day", label: "level=LOW", apps: [records]}
  mid: {read: "SELECT day FROM training WHERE player = 'p1' ORDER BY day", label: "level=MID", apps: [records]}
  high: {read: "SELECT day FROM training WHERE player = 'p1' ORDER BY day", label: "level=HIGH", apps: [records]}
  mine:
    read: "SELECT day, load, note FROM training WHERE player = $user AND day >= $1 ORDER BY day"
    params: [text]
    label: "level=MID,own={$user/training}"
    apps: [records]
  of:
    read: "SELECT day FROM training WHERE player = $1 ORDER BY day"
    params: [text]
    label: "level=MID,own={$1/training}"
    apps: [records]
  team:
    read: "SELECT player, day FROM training ORDER BY player, day"
    label: "level=MID,own={@player/training}"
    apps: [records, stats]
  first: {read: "SELECT player, day FROM training ORDER BY player, day", label: "level=MID,own={@player/training}", apps: [records], rows: 2}
  stored: {read: "SELECT id, label FROM notes ORDER BY id", label: "@label", apps: [records]}
  add:
    write: "INSERT INTO training (player, day, load, label) VALUES ($user, $1, $2, $label)"
    params: [text, real]
    label: "level=MID,own={$user/training}"
    apps: [records]
  add_low: {write: "INSERT INTO notes (label) VALUES ($label)", label: "level=LOW", apps: [records]}
  add_high: {write: "INSERT INTO notes (label) VALUES ($label)", label: "level=HIGH", apps: [records]}
  add_here: {write: "INSERT INTO notes (label) VALUES ($label)", apps: [records]}
  raise_all: {write: "UPDATE training SET load = load + 1 WHERE player = $user", label: "level=MID,own={$user/training}", apps: [records]}
  echo:
    read: "SELECT $1 + 0 AS i, $2 * 1.0 AS r, $3 AS t, $4 AS b, $user AS who, $class AS cls, $purpose AS why, '$user ?1 $9' AS quoted -- $nothing"
    params: [int, real, text, blob]
    label: "level=LOW"
    apps: [records]
  slow: {read: "SLOW", label: "level=MID", apps: [records], ms: 100}
  small: {read: "SELECT note FROM training ORDER BY day", label: "level=LOW", apps: [records], bytes: 100}
"""
SLOW = {"sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT count(*) FROM generate_series(1, 100000000000)"}
ID = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "SERIAL PRIMARY KEY"}
ALL = "low,mid,high,mine,of,team,first,stored,add,add_low,add_high,add_here,raise_all,echo,slow,small"


def tables(kind):
    return f"""
CREATE TABLE training (player TEXT, day TEXT, load REAL, note TEXT, label TEXT, UNIQUE (player, day));
CREATE TABLE notes (id {ID[kind]}, label TEXT);
INSERT INTO training (player, day, load, note) VALUES
  ('p1', 'd1', 1.5, 'easy'), ('p1', 'd2', 2.5, NULL), ('p2', 'd1', 9, 'hard'), ('p3', 'd1', 7, 'hm');
"""


@pytest.fixture
def store(make_store):
    with make_store(QUERIES.replace("SLOW", SLOW[make_store.kind]), tables(make_store.kind)) as s:
        s.kind = make_store.kind
        yield s


def test_floating_instance_rises_to_what_it_reads_and_no_further_than_its_ceiling(store):
    t = store.attach(queries=ALL).request()
    assert t.query("low").rows == [("d1",), ("d2",)]
    assert t.label == "level=LOW"
    assert t.query("mid").rows == [("d1",), ("d2",)]
    assert t.label == "level=MID"
    assert t.query("high").status == DENIED  # the session's ceiling is MID
    assert t.label == "level=MID"
    assert store.audit.last() | {"rule": "R2", "reason": "label", "allowed": False} == store.audit.last()
    assert t.query("low").status == OK
    assert t.label == "level=MID"  # reading low does not lower


def test_fixed_instance_reads_at_or_below_its_label_and_never_rises(store):
    t = store.attach(queries=ALL, label="level=MID")
    t.request(fixed=True, pristine=False, label="level=MID")
    assert t.query("low").status == OK
    assert t.query("mid").status == OK
    assert t.query("high").status == DENIED
    assert t.query("mine", "").status == DENIED  # own={p1/training} is not below a label without tags
    assert t.label == "level=MID"


def test_pristine_instance_starts_anew_and_a_persisting_one_keeps_its_label(store):
    t = store.attach(queries=ALL).request()
    assert t.query("mid").status == OK
    t.request()
    assert t.query("low").status == OK
    assert t.label == "level=LOW"
    assert t.query("mid").status == OK
    t.request(pristine=False)
    assert t.query("low").status == OK
    assert t.label == "level=MID"
    t.request(pristine=False, label="level=MID,own={p1/medical}")  # what the request itself brings
    assert t.query("low").status == OK
    assert t.label == "level=MID,own={p1/medical}"


def test_what_the_request_brings_is_in_the_slot_before_anything_is_decided(store):
    """The proxy takes a slot that stands at an earlier request for "has asked for nothing in this one"."""
    t = store.attach(queries=ALL)
    for seq, call in enumerate((lambda: t.query("nothing"), lambda: t.query("high"), lambda: t.query("mine", 1)), 1):
        t.request(pristine=False, label="level=MID,own={p1/training}", seq=seq)
        assert call().status in (UNKNOWN, DENIED, INVALID)
        assert t.label == "level=MID,own={p1/training}"
        assert t.slot_seq == seq


def test_own_rows_only_by_the_ticket_user(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("mine", "d2").rows == [("d2", 2.5, None)]
    assert t.query("mine", "").names == ["day", "load", "note"]
    assert t.label == "level=MID,own={p1/training}"
    t.request(user="p2")
    assert t.query("mine", "").rows == [("d1", 9.0, "hard")]
    assert t.label == "level=MID,own={p2/training}"


def test_label_with_a_parameter_is_decided_before_anything_runs(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("of", "p1").rows == [("d1",), ("d2",)]
    for other in ("p2", "nobody", "p1,p2", "p1/training,p2", "", "p1}", "ALL", "p2/training},level=LOW,own={p1"):
        assert t.query("of", other).status == DENIED, other
    assert t.query("of", None).status == DENIED
    assert t.label == "level=MID,own={p1/training}"


def test_rows_that_may_not_be_read_are_left_out_silently(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("team").rows == [("p1", "d1"), ("p1", "d2")]
    assert t.label == "level=MID,own={p1/training}"
    record = store.audit.last()
    assert (record["owners"], record["rows"], record["category"]) == ("p1/training", 2, "raw")
    t.request(user="t1", cls="trainer", ceiling="level=MID,own={p1/training,p3/training}")
    assert t.query("team").rows == [("p1", "d1"), ("p1", "d2"), ("p3", "d1")]
    assert t.label == "level=MID,own={p1/training,p3/training}"
    assert store.audit.last()["owners"] == "p1/training,p3/training"
    t.request(user="x", ceiling="level=LOW")
    assert t.query("team").rows == []
    assert t.label == "level=LOW"


def test_limits_count_what_may_be_read(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert len(t.query("first").rows) == 2  # of four rows in the table
    t.request(user="t", ceiling="level=MID,own={p1/training,p2/training}")
    assert t.query("first").status == TOO_LARGE
    assert "p1/training" in t.label  # that there are more than two is knowledge of theirs
    assert store.audit.last()["reason"] == "too-large"


def test_whole_label_from_a_column(store):
    store.database("INSERT INTO notes (label) VALUES ('level=LOW'), ('level=MID,own={p1/medical}'), ('level=HIGH'),"
                   " ('own={p2/medical}'), ('nonsense'), (''), (NULL), ('level=MID,own=ALL')")
    t = store.attach(queries=ALL).request(user="p1")
    assert [row[0] for row in t.query("stored").rows] == [1, 2]
    assert t.label == "level=MID,own={p1/medical,p1/training}"  # whatever there could have been


def test_which_rows_there_are_is_knowledge_of_them_all(store):
    """Else whoever reads high could tell low one bit by writing a row, or not: a reader that finds none would stay low."""
    for there in (False, True):
        if there:
            store.database("INSERT INTO notes (label) VALUES ('level=MID,own={p1/medical}')")
        t = store.attach(int(there), queries=ALL).request(user="p1", ceiling="level=MID,own={p1/medical,p2/training}")
        assert len(t.query("stored").rows) == there
        assert t.label == "level=MID,own={p1/medical,p2/training}"
        assert t.write("add_low").status == DENIED
        t.request(user="p9", ceiling="level=MID,own={p9/medical,p9/training}")
        assert t.query("team").rows == []
        assert t.label == "level=MID,own={p9/training}"  # rows of it have tags of this category only
        t.request(user="p9", fixed=True, pristine=False, label="level=LOW", ceiling="level=LOW")
        assert t.query("team").rows == []
    t = store.attach(2, queries=ALL).request(user="p1", ceiling="level=LOW,own={p1/training}")
    assert t.query("team").rows == []
    assert t.label == "level=LOW"  # each row of it is at MID: none could have come


def test_writes_go_up_never_down(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.write("add_low").changed == 1
    assert t.label == "level=LOW"
    assert t.query("mid").status == OK
    assert t.write("add_low").status == DENIED
    assert store.audit.last() | {"event": "write", "rule": "R3", "allowed": False} == store.audit.last()
    assert t.write("add_high").status == DENIED  # above the ceiling
    assert t.write("add_here").changed == 1
    assert t.write("add", "d9", 3).changed == 1
    assert store.database("SELECT label FROM notes ORDER BY id") == [("level=LOW",), ("level=MID",)]
    assert store.database("SELECT label FROM training WHERE day = 'd9'") == [("level=MID,own={p1/training}",)]


def test_the_answer_of_a_write_is_a_read_of_what_is_there(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.write("raise_all").changed == 2
    assert t.label == "level=MID,own={p1/training}"  # "two rows" is p1's secret
    assert t.write("add", "d1", 1).status == CONFLICT
    assert store.audit.last()["reason"] == "conflict"
    # a fixed instance below what it writes learns nothing, whether it worked or not
    t = store.attach(1, queries=ALL)
    t.request(user="p1", fixed=True, pristine=False)
    assert t.write("raise_all").changed == 0
    assert t.write("add", "d1", 1).changed == 0
    assert t.write("add", "d7", 1).changed == 0
    assert t.label == "level=LOW"
    assert store.database("SELECT count(*) FROM training WHERE day = 'd7'") == [("1",)]


def test_values_of_every_type_and_identity_from_the_ticket(store):
    t = store.attach(queries=ALL).request(user="p1", cls="player", purpose="it's \"me\"; --")
    blob = bytes(range(256))
    # PostgreSQL infers no type for a bare parameter: a text
    answer = t.query("echo", -5, 2.5, "ü$1'\";--\\", blob if store.kind == "postgresql" else blob)
    assert answer.rows == [(-5, 2.5, "ü$1'\";--\\", blob, "p1", "player", "it's \"me\"; --", "$user ?1 $9")]
    assert t.query("echo", 2 ** 63 - 1, 7, "", b"").rows[0][:4] == (2 ** 63 - 1, 7.0, "", b"")
    assert t.query("echo", None, None, None, None).rows[0][:4] == (None, None, None, None)


@pytest.mark.parametrize("bad", ["' OR '1'='1", "d1'; DROP TABLE training; --", "\\'; SELECT 1; --", "$1", "?1", "d1\"", "%", "/*"])
def test_injections_stay_data(store, bad):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("mine", bad).status == OK
    assert t.write("add", bad, 1.0).changed == 1
    quoted = bad.replace("'", "''")
    assert store.database(f"SELECT player FROM training WHERE day = '{quoted}'") == [("p1",)]
    assert store.database("SELECT count(*) FROM training") == [("5",)]


def test_hostile_user_names_are_data_too(store):
    t = store.attach(queries=ALL)
    for user in ("' OR 1=1 --", "p1' OR 'a'='a", "p1,p2", "x}"):
        t.request(user=user, ceiling="level=MID,own=ALL")
        assert t.query("mine", "").status == DENIED  # no owner's name: no label
        assert t.query("team").status == OK


def test_parameters_are_checked(store):
    t = store.attach(queries=ALL).request(user="p1")
    records = len(store.audit.records)
    for values in ((), ("a", "b"), (1,), (1.5,), (b"a",)):
        assert t.query("mine", *values).status == INVALID, values
    assert t.write("add", "d", "1").status == INVALID
    assert len(store.audit.records) == records
    assert t.query("mine", None).rows == []  # NULL is of every type


def test_unknown_queries_and_apps(store):
    t = store.attach(queries="team,nothing,mine", app="stats").request(user="p1")
    assert t.query("team").status == OK
    assert t.query("mine", "").status == UNKNOWN  # the operator did not grant it
    assert t.query("nothing").status == UNKNOWN  # there is none
    assert t.query("tea").status == UNKNOWN
    assert store.audit.last() | {"reason": "unknown", "allowed": False, "object": "tea"} == store.audit.last()
    t = store.attach(1, queries="team", app="records").request(user="p1")
    assert t.query("low").status == UNKNOWN  # the manifest does not list it
    assert t.call(WRITE, "team").status == UNKNOWN
    t = store.attach(2, queries="add", app="records").request(user="p1")
    assert t.call(QUERY, "add", "d", 1.0).status == UNKNOWN


def test_bytes_and_room_are_limits(store):
    t = store.attach(queries=ALL).request(user="p1")
    assert t.query("small").status == TOO_LARGE
    assert t.query("low").status == OK
    assert t.query("low", room=40).status == TOO_LARGE
    size = len(t.query("low").data)
    assert t.query("low", room=size).status == OK
    assert t.query("low", room=size - 1).status == TOO_LARGE
    assert t.query("low", room=0).status == TOO_LARGE


def test_a_slow_query_ends_at_its_deadline_and_stops_nobody(store):
    slow = [store.attach(i, queries=ALL).request(user="p1") for i in range(1, 4)]
    for t in slow:
        t.send(QUERY, b"\x04\0\0\0\0\0\0\0slow\0\0\0\0")
    t = store.attach(0, queries=ALL).request(user="p1")
    assert t.query("low").status == OK
    for one in slow:
        assert one.receive().status == DEADLINE
        assert one.label == "level=MID"  # how long it takes depends on the data
        assert one.query("low").status == OK
    t.request(user="p1", expires_in=0.2)
    assert t.query("slow").status in (DEADLINE, DENIED)


def test_a_server_that_went_away_and_came_back(postgres):
    postgres.sql("CREATE DATABASE away")
    postgres.sql(tables("postgresql"), "away")
    with Store(QUERIES.replace("SLOW", "SELECT 1"), database="postgresql:" + postgres.conninfo("away")) as s:
        t = s.attach(queries=ALL).request(user="p1")
        assert t.query("low").status == OK
        postgres.stop("immediate")
        try:
            assert t.query("low").status == UNAVAILABLE
            assert t.write("add", "d8", 1.0).status == UNAVAILABLE
            eventually(lambda: s.call("GET", "/readyz").status == 503)
        finally:
            postgres.start()
        eventually(lambda: t.query("low").status == OK)
        eventually(lambda: t.write("add", "d8", 1.0).status in (OK, CONFLICT))
        eventually(lambda: s.call("GET", "/readyz").status == 200)
        assert s.alive()
