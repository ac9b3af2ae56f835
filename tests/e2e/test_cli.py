# SPDX-License-Identifier: MIT
"""Every verb of `ppce` against a running platform: what it prints, as a table and as JSON, and its exit codes."""
import json
import os
import re

import pytest

from harness import PASSWORD, eventually

SECRET = "level=NATO_SECRET,comp={A}"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def p(make_platform, echo_image):
    platform = make_platform()
    platform.add_image("echo", echo_image)
    platform.add_app("shared", "echo", "class", deadline=2000)
    platform.add_app("own", "echo", "user")
    platform.add_user("ann", SECRET)
    return platform


def own(user):
    """What the example policy adds to everybody's clearance: the user's own data."""
    return f",own={{{user}/medical,{user}/training}}"


def fails(p, code, words, *args, **kw):
    done = p.run(*args, "-C", p.dir, **kw)
    assert done.returncode == code, done
    assert done.stdout == "" and done.stderr.startswith("ppce: "), done
    assert words in done.stderr, done.stderr


def test_ready_line_and_status(p):
    assert re.fullmatch(r"PPCE ready at http://127\.0\.0\.1:\d+ \(isolation: (kvm|process).*\)\n", p.ready_line)
    status = p.cli_json("status")
    assert status["ready"] is True and status["url"] == p.url and status["isolation"] in p.ready_line
    assert {row["name"]: row["state"] for row in status["daemons"]} == dict.fromkeys(("audit", "store", "auth", "vmmd", "proxy"), "ready")
    assert p.url in p.cli("status")


def test_nothing_but_the_ready_line_on_stdout_of_up(p):
    os.set_blocking(p.process.stdout.fileno(), False)
    assert p.process.stdout.read() is None


def test_image(p, tmp_path, echo_image):
    p.cli("image", "add", "second", echo_image, "--label", "level=NATO_RESTRICTED")
    rows = {row["name"]: row for row in p.cli_json("image", "ls")}
    assert rows["second"]["digest"] == rows["echo"]["digest"] and len(rows["echo"]["digest"]) == 64
    assert rows["second"]["label"] == "level=NATO_RESTRICTED"
    table = p.cli("image", "ls").splitlines()
    assert table[0].split()[0] == "NAME" and len(table) == 1 + len(rows)
    p.cli("image", "add", "second", echo_image, "--label", "level=NATO_RESTRICTED")  # the same again changes nothing
    p.cli("image", "add", "second", p.image_file("hello"))  # another program under this name takes its place
    assert {row["name"]: row["digest"] for row in p.cli_json("image", "ls")}["second"] != rows["echo"]["digest"]
    fails(p, 3, "no-such-file", "image", "add", "third", tmp_path / "no-such-file")
    fails(p, 2, "name", "image", "add", "Not/A/Name", echo_image)
    fails(p, 2, "level", "image", "add", "third", echo_image, "--label", "level=NATO_SECRT")
    bad = tmp_path / "bad"
    bad.write_bytes(b"#!/bin/sh\necho no image\n")
    fails(p, 2, "ELF", "image", "add", "third", bad)
    p.cli("image", "rm", "second")
    fails(p, 3, "no image", "image", "rm", "second")
    fails(p, 6, "echo", "image", "rm", "echo")  # apps use it
    assert [row["name"] for row in p.cli_json("image", "ls")] == ["echo"]


def test_app(p):
    p.cli("app", "add", "temp", "--image", "echo", "--lifetime", "request", "--mode", "discard", "--max-instances", "3",
          "--idle", "9", "--max-age", "99", "--max-requests", "1000", "--deadline", "1234", "--transport", "channel")
    row, = [row for row in p.cli_json("app", "ls") if row["name"] == "temp"]
    want = {"image": "echo", "lifetime": "request", "mode": "discard", "max_instances": 3, "idle": 9, "max_age": 99,
            "max_requests": 1000, "deadline_ms": 1234}
    assert {k: row[k] for k in want} == want
    assert "temp" in p.cli("app", "ls")
    fails(p, 6, "temp", "app", "add", "temp", "--image", "echo", "--lifetime", "user")
    fails(p, 3, "nothing", "app", "add", "other", "--image", "nothing", "--lifetime", "user")
    fails(p, 2, "login", "app", "add", "login", "--image", "echo", "--lifetime", "user")  # a path of the proxy's own
    p.cli("app", "rm", "temp")
    fails(p, 3, "no app", "app", "rm", "temp")


def test_user(p, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("a long enough one\nnot this line\n")
    p.cli("user", "add", "bob@ward.example", "--class", "trainer", "--password-file", secret)
    row, = [row for row in p.cli_json("user", "ls") if row["name"] == "bob@ward.example"]
    assert (row["class"], row["clearance"]) == ("trainer", SECRET + own("bob@ward.example"))
    assert not any("pass" in key or "hash" in key for key in row)
    assert p.login("bob@ward.example", "a long enough one").label == SECRET + own("bob@ward.example")
    fails(p, 6, "bob", "user", "add", "bob@ward.example", "--class", "trainer", "--password-file", secret)
    fails(p, 2, "clearance", "user", "add", "eve", "--password-file", secret)
    fails(p, 2, "trainer", "user", "add", "eve", "--class", "triner", "--password-file", secret)
    fails(p, 2, "NATO_SECRET", "user", "add", "eve", "--clearance", "level=NATO_SECRE", "--password-file", secret)
    fails(p, 2, "name", "user", "add", "eve space", "--class", "trainer", "--password-file", secret)
    fails(p, 2, "empty", "user", "add", "eve", "--class", "trainer", "--password-file", "-", input="\n")
    fails(p, 2, "8", "user", "add", "eve", "--class", "trainer", "--password-file", "-", input="short\n")
    fails(p, 2, "1024", "user", "add", "eve", "--class", "trainer", "--password-file", "-", input="x" * 2000)
    fails(p, 3, "nowhere", "user", "add", "eve", "--class", "trainer", "--password-file", tmp_path / "nowhere")


def test_a_new_password_ends_sessions(p):
    p.add_user("cat", SECRET)
    session = p.login("cat")
    assert p.call(session, "/shared/").status == 200
    p.cli("user", "passwd", "cat", "--password-file", "-", input="another long one\n")
    assert p.call(session, "/shared/").status == 401
    assert p.try_login("cat", PASSWORD).status == 401
    assert p.try_login("cat", "another long one").status == 200
    fails(p, 3, "nobody", "user", "passwd", "nobody", "--password-file", "-", input="another long one\n")


def test_a_removed_user_is_gone_at_once(p):
    p.add_user("dan", SECRET)
    session = p.login("dan")
    p.cli("user", "rm", "dan")
    assert p.call(session, "/shared/").status == 401
    assert p.try_login("dan").status == 401
    fails(p, 3, "dan", "user", "rm", "dan")


def test_session(p):
    session = p.login("ann", purpose="rounds")
    row, = [row for row in p.cli_json("session", "ls") if row["session"] == session.id]
    assert (row["user"], row["purpose"], row["label"]) == ("ann", "rounds", SECRET + own("ann"))
    assert session.token not in json.dumps(p.cli_json("session", "ls"))
    assert session.id in p.cli("session", "ls")
    p.cli("session", "rm", session.id)
    assert p.call(session, "/shared/").status == 401
    fails(p, 3, "session", "session", "rm", NONE)


def test_start_ps_stop(p):
    low = "level=NATO_RESTRICTED"
    uuid = p.cli("start", "shared", "--label", low).strip()
    assert re.fullmatch(UUID, uuid)
    row, = [row for row in p.cli_json("ps", "shared") if row["uuid"] == uuid]
    assert row["label"] == low and row["pid"] > 1
    assert uuid in p.cli("ps")
    assert uuid not in p.cli("ps", "own")
    answer = p.call(p.login("ann"), "/shared/", label=low)
    assert answer.instance == uuid and answer.start == "warm", "a request finds the instance made ahead"
    p.cli("stop", uuid)
    eventually(lambda: uuid not in p.cli("ps"))
    fails(p, 3, "no instance", "stop", uuid)
    fails(p, 3, "no app", "start", "nothing")
    fails(p, 2, "level", "start", "shared", "--label", "level=NATO_SECRT")
    fails(p, 2, "owner", "start", "own", "--label", SECRET)
    owned = p.cli_json("start", "own", "--label", SECRET, "--owner", "ann")
    assert p.call(p.login("ann"), "/own/").instance == owned["uuid"]


def test_logs_and_events(p):
    session = p.login("ann")
    assert p.call(session, "/own/log?first").status == 200
    assert p.call(session, "/own/exit").status == 502
    eventually(lambda: "a line for the operator: first" in p.cli("logs", "own"))
    assert any("a line for the operator: first" in line for line in p.cli_json("logs", "own")["lines"])
    assert len(p.cli("logs", "own", "--lines", "1").splitlines()) == 1
    kinds = {row["type"] for row in p.cli_json("events")}
    assert {"image-added", "app-added", "instance-started"} <= kinds
    assert "instance-started" in p.cli("events")
    fails(p, 3, "no app", "logs", "nothing")


def test_pool(p):
    assert p.cli_json("pool", "ls")["shells"] == 2
    p.cli("pool", "set", "4")
    eventually(lambda: p.cli_json("pool", "ls")["shells_ready"] == 4)
    p.cli("pool", "set", "0")
    eventually(lambda: p.cli_json("pool", "ls")["shells_ready"] == 0)
    p.cli("pool", "set", "2")
    table = p.cli("pool", "ls").splitlines()
    assert table[0].split()[:7] == ["KIND", "APP", "IMAGE", "LABEL", "OWNER", "WANT", "READY"]
    assert [line.split()[0] for line in table[1:]] == ["shell", "snapshot"]


def test_pool_of_instances(p):
    p.cli("app", "add", "made", "--image", "echo", "--lifetime", "user", "--max-instances", "3")
    p.cli("pool", "set", "made", "--label", SECRET, "--owner", "ann", "--warm", "2")

    def ready():
        row, = p.cli_json("pool", "ls")["warm"]
        return row if row["ready"] == 2 else None

    row = eventually(ready, what="two instances")
    assert (row["app"], row["label"], row["owner"], row["want"]) == ("made", SECRET, "ann", 2)
    assert row["private_kib"] > 0 and len(row["processes"]) == 2
    line, = [line for line in p.cli("pool", "ls").splitlines() if line.startswith("warm")]
    assert line.split()[1:7] == ["made", "echo", SECRET, "ann", "2", "2"]
    assert len(p.cli_json("ps", "made")) == 2
    fails(p, 3, "no app", "pool", "set", "nothing", "--label", SECRET, "--warm", "1")
    fails(p, 2, "max_instances of app made, which is 3", "pool", "set", "made", "--label", SECRET, "--owner", "ann",
          "--warm", "4")
    fails(p, 6, "for other labels and owners", "pool", "set", "made", "--label", SECRET, "--owner", "bob", "--warm", "2")
    fails(p, 2, "owner", "pool", "set", "made", "--label", SECRET, "--warm", "1")
    fails(p, 2, "level", "pool", "set", "made", "--label", "level=NATO_SECRT", "--owner", "ann", "--warm", "1")
    p.cli("pool", "set", "made", "--label", SECRET, "--owner", "ann", "--warm", "0")
    assert p.cli_json("pool", "ls")["warm"] == []
    p.cli("app", "rm", "made")


def test_explain(p):
    yes = p.cli_json("explain", "ann", "shared")
    assert yes["allowed"] is True and yes["label"] == SECRET
    no = p.run("explain", "ann", "shared", "--label", "level=COSMIC_TOP_SECRET", "-C", p.dir)
    assert no.returncode == 4 and "R1" in no.stdout
    below = p.cli_json("explain", "ann", "shared", "--label", "level=NATO_RESTRICTED")
    assert below["allowed"] is True
    assert "R8" in p.cli("explain", "ann", "shared")
    fails(p, 3, "nobody", "explain", "nobody", "shared")
    fails(p, 2, "level", "explain", "ann", "shared", "--label", "level=NOT")


def test_audit_tail_finds_a_request(p):
    answer = p.call(p.login("ann"), "/shared/", label="level=COSMIC_TOP_SECRET")
    row, = p.cli_json("audit", "tail", "--request", answer.headers["PPCE-Request-Id"])
    assert row["actor"] == "ann" and row["allowed"] is False and row["status"] == 403


def test_doctor_knows_its_own_port(p):
    p.configure({"listen": f"127.0.0.1:{p.port}"})
    rows = {row["check"]: row for row in p.cli_json("doctor")["findings"]}
    assert rows["port"]["state"] == "ok" and "this platform" in rows["port"]["found"]


def test_json_has_what_the_table_has(p):
    for verb in ("image ls", "app ls", "user ls", "session ls", "ps", "events", "audit tail"):
        assert isinstance(p.cli_json(*verb.split()), list)
    for verb in ("pool ls", "status", "doctor", "config check", "version"):
        assert isinstance(p.cli_json(*verb.split()), dict)


def test_hostile_names_stay_arguments(p):
    for name in ("../users/ann", "a?b=c", "a b", "é", "%2e%2e", "x" * 300, ""):
        for verb in (("stop",), ("image", "rm"), ("app", "rm"), ("user", "rm"), ("session", "rm"), ("logs",)):
            done = p.run(*verb, name, "-C", p.dir)
            assert done.returncode in (2, 3), (verb, name, done)
    assert p.login("ann")


def test_the_log_of_a_running_platform_holds(p):
    answer = p.call(p.login("ann"), "/shared/")
    found = p.cli_json("audit", "verify")
    assert found["ok"] and not found["problems"]
    row, = p.cli_json("audit", "tail", "--request", answer.headers["PPCE-Request-Id"])
    eventually(lambda: p.cli_json("audit", "verify")["signed"] > row["seq"], what="a checkpoint")
    proof = p.dir / "proof.json"
    proof.write_text(p.cli("audit", "prove", row["seq"]))
    done = p.run("audit", "check-proof", proof, "--key", p.dir / "log/audit/key.pub", "-o", "json")
    assert done.returncode == 0 and json.loads(done.stdout) == row


def test_up_makes_a_missing_audit_key(make_platform):
    """A platform that was made before there was a signed log."""
    old = make_platform(start=False, backend="process")
    (old.dir / "secrets/audit.key").unlink()
    (old.dir / "log/audit").rmdir()
    with old:
        assert (old.dir / "secrets/audit.key").stat().st_mode & 0o777 == 0o600
        old.add_user("ann", clearance="level=NATO_SECRET")
        old.login("ann")
        assert [r["event"] for r in old.audit()] == ["user-add", "login"]
    assert old.cli_json("audit", "verify")["signed"] == 2
