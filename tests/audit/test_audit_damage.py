# SPDX-License-Identifier: MIT
"""A log that somebody changed: no byte of any file can be another one without being found, and nothing is written to a
log that does not hold."""
import os
import random
import shutil

import pytest

import check_log
from audit_daemon import STOPPED, WRITTEN, AuditDaemon, record

SEED = random.SystemRandom().randrange(1 << 32)


@pytest.fixture(scope="module")
def made():
    """A log of 530 records: full and partial tiles on two levels, two data files. Tests work on copies."""
    with AuditDaemon(rotate_mib=1) as log:
        with log.client() as client:
            for i in range(530):
                assert client.write(record(i, reason="x" * 2200, owners="p7/training"))[0] == WRITTEN
        log.stop()
        assert log.verify() == [] and len(log.data()) == 2
        yield log


@pytest.fixture
def copy(made, tmp_path):
    target = tmp_path / "p"
    shutil.copytree(made.dir, target, ignore=shutil.ignore_patterns("*.sock"))
    log = AuditDaemon(directory=target, start=False)
    yield log
    log.clean_up()


def fails(log):
    """What `ppce audit verify` finds; the independent checker must not be content either."""
    problems = log.verify()
    assert problems
    with pytest.raises((AssertionError, ValueError, KeyError, OSError)):
        check_log.check(log.files)
    return problems


def all_files(log):
    return sorted(p for p in log.files.rglob("*") if p.is_file())


def test_any_changed_byte_is_found(log):
    rng = random.Random(SEED)
    print("seed", SEED)
    tried = 0
    with log.client() as client:
        for i in range(260):
            assert client.write(record(i))[0] == WRITTEN
    log.stop()
    for path in all_files(log):
        data = path.read_bytes()
        # Every byte of the small files, some of the large ones.
        offsets = range(len(data)) if len(data) < 300 else sorted({0, len(data) - 1, *rng.sample(range(len(data)), 60)})
        for at in offsets:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
            assert log.verify(), (path, at, SEED)
            tried += 1
        path.write_bytes(data)
    assert tried > 500
    assert log.verify() == []


def test_the_independent_checker_finds_them_too(copy):
    rng = random.Random(SEED)
    for path in all_files(copy):
        data = path.read_bytes()
        for at in {0, len(data) - 1, rng.randrange(len(data))}:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(7)]) + data[at + 1:])
            fails(copy)
        path.write_bytes(data)
    assert check_log.check(copy.files) == 530


def test_a_changed_record_is_named(copy):
    first, second = copy.data()
    text = second.read_bytes()
    second.write_bytes(text.replace(b'"path":"/520"', b'"path":"/521"', 1))
    problems = fails(copy)
    assert any(p.get("seq") == 520 and p["file"] == f"data/{second.name}" for p in problems)
    second.write_bytes(text)
    text = first.read_bytes()
    first.write_bytes(text.replace(b'"seq":7,', b'"seq":8,', 1))
    assert any(p.get("seq") == 7 and p["file"] == f"data/{first.name}" and "seq" in p["what"] for p in fails(copy))


def test_a_changed_tile_is_named(copy):
    for name in ("tile/0/001", "tile/0/002.p/18", "tile/1/000.p/2"):
        path = copy.files / name
        data = path.read_bytes()
        path.write_bytes(data[:32] + bytes([data[32] ^ 1]) + data[33:])
        assert [(p["file"], p["what"]) for p in fails(copy)] == [(name, "hash 1 is not that of the records")]
        path.write_bytes(data)


def cut(path, n):
    os.truncate(path, path.stat().st_size - n)


HARMS = {
    "last byte gone": lambda log: cut(log.data()[-1], 1),
    "last record gone": lambda log: cut(log.data()[-1], len(log.data()[-1].read_bytes().splitlines(True)[-1])),
    "last file gone": lambda log: log.data()[-1].unlink(),
    "first file gone": lambda log: log.data()[0].unlink(),
    "all records gone": lambda log: [p.unlink() for p in log.data()],
    "data empty": lambda log: [os.truncate(p, 0) for p in log.data()],
    "a line too many": lambda log: log.data()[0].write_bytes(b"{}\n" + log.data()[0].read_bytes()),
    "two records swapped": lambda log: log.data()[0].write_bytes(b"".join(
        [*log.data()[0].read_bytes().splitlines(True)[1::-1], *log.data()[0].read_bytes().splitlines(True)[2:]])),
    "checkpoint gone": lambda log: (log.files / "checkpoint").unlink(),
    "checkpoint empty": lambda log: os.truncate(log.files / "checkpoint", 0),
    "checkpoint signed twice": lambda log: (log.files / "checkpoint").write_text(
        (log.files / "checkpoint").read_text() + (log.files / "checkpoint").read_text().partition("\n\n")[2]),
    "checkpoint raised": lambda log: (log.files / "checkpoint").write_text(
        (log.files / "checkpoint").read_text().replace("\n530\n", "\n529\n")),
    "a forged line behind": lambda log: log.data()[-1].write_bytes(log.data()[-1].read_bytes() + b'{"event":"forged"}\n'),
    "a file too many": lambda log: (log.files / "data/00000000000000000600.jsonl").write_bytes(b""),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_log_that_does_not_hold_is_left_alone(copy, harm):
    HARMS[harm](copy)
    if harm != "a file too many" or copy.verify():
        assert copy.verify()
    before = {p: p.read_bytes() for p in all_files(copy)}
    copy.start()
    status, text = copy.rest("/readyz")
    assert status == 503 and "until an operator acts" in text, text
    with copy.client() as client:
        assert client.write(record()) == (STOPPED, 0)
        assert client.write(b"{}") == (STOPPED, 0)
    assert copy.metric("ppce_audit_stopped") == 1
    assert copy.rest("/livez")[0] == 200
    copy.stop()
    assert {p: p.read_bytes() for p in all_files(copy)} == before


def test_a_rewritten_log_does_not_continue_an_older_checkpoint(copy):
    """Who has the key can sign another history; who kept a checkpoint notices."""
    old = copy.dir / "old-checkpoint"
    old.write_text((copy.files / "checkpoint").read_text())
    shutil.rmtree(copy.files)
    copy.start()
    with copy.client() as client:
        for i in range(540):
            client.write(record(i))
    copy.stop()
    assert copy.verify() == []
    done = copy.ppce("audit", "verify", "--since", old)
    assert done.returncode == 1 and "older checkpoint" in done.stdout
    other = AuditDaemon()
    try:
        other.stop()
        assert copy.ppce("audit", "verify", "--key", other.files / "key.pub").returncode == 1
    finally:
        other.clean_up()


def test_tiles_are_made_again(copy):
    """They say nothing that the records do not: lost ones are no loss."""
    shutil.rmtree(copy.files / "tile")
    assert any(p["what"] == "missing" for p in fails(copy))
    copy.start()
    copy.stop()
    assert copy.verify() == [] and check_log.check(copy.files) == 530
    path = copy.files / "tile/0/000"
    path.write_bytes(bytes(8192))
    (copy.files / "tile/0/002.p/9").write_bytes(bytes(9 * 32))
    (copy.files / "tile/0/009.new").write_bytes(b"half")
    fails(copy)
    copy.start()
    assert "made again" in copy.log
    copy.stop()
    assert copy.verify() == [] and not (copy.files / "tile/0/009.new").exists()


@pytest.mark.parametrize("name", ["tile/0/x", "tile/9/000", "tile/0/003", "tile/0/0000", "data/x.jsonl", "notes", "tile/0/002.p/256"])
def test_what_does_not_belong_there_is_named(copy, name):
    (copy.files / name).parent.mkdir(exist_ok=True)
    (copy.files / name).write_bytes(bytes(8192))
    assert any(p["file"] == name for p in copy.verify())
