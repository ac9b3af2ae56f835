# SPDX-License-Identifier: MIT
"""Records in, and what the files then hold: by `ppce audit verify` and by a checker that shares nothing with it."""
import json
import re
import shutil
import stat
import threading

import pytest

import check_log
from audit_daemon import WRITTEN, AuditDaemon, record
from harness import eventually


def fill(log, n, **members):
    """n records over one connection, a window at a time; all acknowledged in order."""
    with log.client() as client:
        for start in range(0, n, 50):
            part = range(start, min(start + 50, n))
            numbers = [client.send(record(i, **members)) for i in part]
            got = [client.receive() for _ in part]
            assert [g[0] for g in got] == numbers and all(g[1] == WRITTEN for g in got)
            assert [g[2] for g in got] == list(range(got[0][2], got[0][2] + len(part)))


def both_agree(log, size):
    assert log.verify() == []
    assert check_log.check(log.files) == size


def test_records_are_as_sent_with_number_and_time(log):
    with log.client() as client:
        assert client.write(record(0, path="/é\x01\"\\\x7f", status=200, rows=3, owners="p7/training")) == (WRITTEN, 0)
        assert client.write(record(1, allowed=False, reason="denied", purpose="")) == (WRITTEN, 1)
    first, second = log.records()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("time"))
    assert first == {**record(0, path="/é\x01\"\\\x7f", status=200, rows=3, owners="p7/training"), "seq": 0}
    assert second["seq"] == 1 and second["allowed"] is False and "purpose" not in second
    log.stop()
    both_agree(log, 2)


@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 600])
def test_both_checkers_agree(n):
    with AuditDaemon() as log:
        fill(log, n)
        log.stop()
        both_agree(log, n)
        assert log.records() == sorted(log.records(), key=lambda r: r["seq"])


def test_three_levels_of_tiles(log):
    fill(log, 66000)
    log.stop()
    assert (log.files / "tile/2/000.p/1").exists() and (log.files / "tile/1/000").exists()
    assert check_log.check(log.files) == 66000
    assert log.verify() == []
    for seq in (0, 255, 256, 65535, 65536, 65999):
        proof = json.loads(log.ppce("audit", "prove", seq).stdout)
        assert check_log.check_proof(proof, (log.files / "key.pub").read_text())["seq"] == seq


def test_files_rotate():
    with AuditDaemon(rotate_mib=1) as log:
        fill(log, 300, reason="x" * 8000)
        log.stop()
        files = log.data()
        assert len(files) >= 2 and all(f.stat().st_size <= (1 << 20) + 50 * 9000 for f in files)
        both_agree(log, 300)
        log.start()
        fill(log, 10)
        log.stop()
        both_agree(log, 310)
        assert [r["seq"] for r in log.records()] == list(range(310))


def test_checkpoints_come_by_themselves(log):
    fill(log, 3)
    eventually(lambda: json.loads(log.rest("/v1/audit/checkpoint")[1])["size"] == 3, what="a checkpoint")
    both_agree(log, 3)
    before = (log.files / "checkpoint").read_text()
    old = log.dir / "old-checkpoint"
    old.write_text(before)
    fill(log, 400)
    eventually(lambda: json.loads(log.rest("/v1/audit/checkpoint")[1])["size"] == 403, what="a checkpoint")
    assert log.ppce("audit", "verify", "--since", old).returncode == 0


def test_a_restart_goes_on(log):
    fill(log, 300)
    for n in range(3):
        log.stop()
        log.start()
        assert log.ready_now()
        fill(log, 1)
    log.stop()
    both_agree(log, 303)


def test_files_are_private(log):
    fill(log, 300)
    log.stop()
    for path in [log.files, *log.files.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_proofs(log):
    fill(log, 300, reason="é\n")
    key = (log.files / "key.pub").read_text()
    other = AuditDaemon()
    try:
        for seq in (0, 1, 127, 255, 256, 299):  # 299 may need a checkpoint first, which the daemon then writes
            status, text = log.rest(f"/v1/audit/proof/{seq}")
            assert status == 200, text
            proof = json.loads(text)
            assert check_log.check_proof(proof, key)["path"] == f"/{seq}"
            path = log.dir / "proof.json"
            path.write_text(text)
            done = other.ppce("audit", "check-proof", path, "--key", key.strip(), "-o", "json")
            assert done.returncode == 0 and json.loads(done.stdout)["seq"] == seq
            assert log.ppce("audit", "check-proof", path, "--key", log.files / "key.pub").returncode == 0
            wrong = other.ppce("audit", "check-proof", path, "--key", other.files / "key.pub")
            assert wrong.returncode == 1 and wrong.stdout == ""
            for member, value in (("record", proof["record"].replace("ann", "bob")), ("index", seq ^ 1), ("size", 299),
                                  ("hashes", proof["hashes"][1:]), ("hashes", proof["hashes"] + proof["hashes"][:1]),
                                  ("checkpoint", proof["checkpoint"].replace("\n\n", "\n")), ("format", "x"),
                                  ("hashes", "x"), ("hashes", [3]), ("index", -1), ("index", "0"), ("record", None)):
                path.write_text(json.dumps({**proof, member: value}))
                assert log.ppce("audit", "check-proof", path, "--key", key.strip()).returncode == 1, member
    finally:
        other.clean_up()
    assert log.rest("/v1/audit/proof/300")[0] == 404
    assert log.rest("/v1/audit/proof/x")[0] == log.rest("/v1/audit/proof/-1")[0] == 400
    log.stop()
    assert log.ppce("audit", "prove", 300).returncode == 3
    assert log.ppce("audit", "prove", "x").returncode == 2


def test_searching(log):
    fill(log, 120, app="records", owners="p7/training,p8/medical")
    fill(log, 5, actor="bob", event="login", request_id="r1", owners="p77/training")

    def seqs(query):
        status, text = log.rest("/v1/audit" + query)
        assert status == 200, text
        return [r["seq"] for r in json.loads(text)["records"]]

    assert seqs("") == list(range(25, 125))
    assert seqs("?limit=3") == [122, 123, 124]
    assert seqs("?from=0&limit=2") == [0, 1]
    assert seqs("?from=3&to=5") == [3, 4, 5]
    assert seqs("?to=5") == [0, 1, 2, 3, 4, 5]
    assert seqs("?to=5&limit=2") == [4, 5]
    assert seqs("?from=1000") == []
    assert seqs("?actor=bob&limit=2") == [123, 124]
    assert seqs("?from=0&actor=bob&limit=2") == [120, 121]
    assert seqs("?event=log%69n&request_id=r1&app=records") == []
    assert seqs("?owner=p7&limit=1") == [119] and seqs("?owner=p8&from=0&limit=1") == [0] and seqs("?owner=p77") == seqs("?actor=bob")
    assert json.loads(log.rest("/v1/audit?from=0&limit=7")[1])["next"] == 7
    assert "next" not in json.loads(log.rest("/v1/audit?from=120")[1])
    for bad in ("?limit=0", "?limit=1001", "?from=x", "?from=-1", "?from=", "?bogus=1", "?actor=%00", "?actor=%zz", "?actor=%4",
                "?actor", "?actor=" + "x" * 200, "?from=1111111111111111111"):
        assert log.rest("/v1/audit" + bad)[0] == 400, bad
    assert log.rest("/v1/audit", "POST")[0] == 405
    assert "ppce_audit_records 125" in log.rest("/metrics")[1]
    assert "/v1/audit/proof/{seq}" in json.loads(log.rest("/openapi.json")[1])["paths"]


def test_the_command_line_without_daemons(log):
    fill(log, 30, owners="p7/training", **{"class": "trainer"})
    log.stop()
    rows = json.loads(log.ppce("audit", "tail", "--lines", "2", "-o", "json").stdout)
    assert [r["seq"] for r in rows] == [28, 29]
    rows = json.loads(log.ppce("audit", "who-saw", "p7", "-o", "json").stdout)
    assert len(rows) == 30 and rows[0]["role"] == "trainer"
    assert "ok: 30 records" in log.ppce("audit", "verify").stdout
    assert log.ppce("audit", "verify", "--key", log.files / "key.pub").returncode == 0


def test_a_second_writer_is_refused(log):
    fill(log, 1)
    second = AuditDaemon(directory=log.dir, start=False)
    assert second.failing_start() not in (0, None) and "another process listens" in second.log
    fill(log, 1)
    log.stop()
    both_agree(log, 2)


@pytest.mark.parametrize("text, mode, says", [("", 0o600, "64 hex digits"), ("ab" * 31 + "\n", 0o600, "64 hex digits"),
                                              ("zz" * 32 + "\n", 0o600, "64 hex digits"),
                                              ("ab" * 33 + "\n", 0o600, "64 hex digits"),
                                              ("ab" * 32 + "\n", 0o644, "chmod 600"), (None, 0, "No such file")])
def test_a_bad_key_is_refused(text, mode, says):
    log = AuditDaemon(start=False)
    try:
        key = log.dir / "secrets/audit.key"
        key.unlink()
        if text is not None:
            key.write_text(text)
            key.chmod(mode)
        assert log.failing_start() == 78 and says in log.log, log.log
        assert not log.files.exists()
    finally:
        log.clean_up()


def test_the_log_of_another_key(log):
    fill(log, 5)
    log.stop()
    kept = log.dir / "kept"
    shutil.copytree(log.files, kept)
    (log.dir / "secrets/audit.key").write_text("ab" * 32 + "\n")
    log.start()
    status, text = log.rest("/readyz")
    assert status == 503 and "audit.key" in text
    log.stop()
    for path in kept.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (log.files / path.relative_to(kept)).read_bytes()


def test_verify_while_records_come_in():
    """A log that grows under the checker's hands is whole all the same."""
    with AuditDaemon(checkpoint_ms=10, rotate_mib=1) as log:
        stop = threading.Event()

        def load():
            while not stop.is_set():
                fill(log, 500)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(15):
                assert log.verify() == []
                seq = len(log.records()) - 1
                if seq > 0:
                    assert log.rest(f"/v1/audit/proof/{seq}")[0] == 200
        finally:
            stop.set()
            thread.join()
        assert len(log.records()) > 1000
