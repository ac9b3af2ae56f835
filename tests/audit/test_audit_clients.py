# SPDX-License-Identifier: MIT
"""Clients of all kinds: the bad ones lose their connection, the others notice nothing."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

import pytest

from audit_daemon import HEAD, MAGIC, MALFORMED, WRITTEN, Client, packet, record
from harness import eventually

GOOD = b'{"daemon":"d","event":"e","allowed":true}'


@pytest.fixture
def good(log):
    """A client that must be served whatever the others do."""
    with log.client() as client:
        assert client.write(record())[0] == WRITTEN
        yield client
        assert client.write(record())[0] == WRITTEN
    assert log.rest("/livez")[0] == 200


@pytest.mark.parametrize("data", [
    b"x", b"x" * 15, b"\0" * 16, b"x" * 16, b"x" * 70000, packet(1, GOOD)[:-1], packet(1, GOOD) + b"x", packet(1, GOOD)[:16],
    HEAD.pack(MAGIC, 0, 1), HEAD.pack(MAGIC, 1, 1) + b"x", HEAD.pack(MAGIC, 0xffffffff, 1) + b"x",
    HEAD.pack(MAGIC, 65537, 1) + b" " * 65537, HEAD.pack(MAGIC ^ 1, len(GOOD), 1) + GOOD,
], ids=range(13))
def test_bad_packets_end_the_connection_only(log, good, data):
    before = len(log.records())
    with log.client() as bad:
        bad.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        bad.sock.send(data)
        assert bad.closed()
    assert len(log.records()) == before


@pytest.mark.parametrize("body", [
    b"{}", b"xx", b"[]", b'"x"', b"\0\0", b"{" * 60000, b"[" * 60000, GOOD[:-1], GOOD + b"x", b'{"a":' * 10000,
    GOOD[:-1] + b',"seq":1}', GOOD[:-1] + b',"time":"x"}', GOOD[:-1] + b',"unknown":"x"}', GOOD[:-1] + b',"actor":{}}',
    GOOD[:-1] + b',"status":1.5}', GOOD[:-1] + b',"actor":"\xff"}', GOOD[:-1] + b',"actor":"a","actor":"b"}',
    GOOD[:-1] + b',"actor":"\\u0000"}', GOOD[:-1] + b',"rows":1e99}'], ids=range(19))
def test_malformed_records_are_answered(log, good, body):
    before = len(log.records())
    with log.client() as bad:
        assert bad.write(body) == (MALFORMED, 0)
        assert bad.write(GOOD)[0] == WRITTEN  # and the connection goes on
    assert len(log.records()) == before + 1
    assert log.metric("ppce_audit_malformed_total") == 1


def test_good_and_bad_records_in_one_group(log):
    with log.client() as client:
        kinds = [GOOD if i % 3 else b"{}" for i in range(60)]
        numbers = [client.send(kind) for kind in kinds]
        got = [client.receive() for _ in kinds]
        assert [g[0] for g in got] == numbers
        assert [g[1] for g in got] == [WRITTEN if kind == GOOD else MALFORMED for kind in kinds]
        assert [g[2] for g in got if g[1] == WRITTEN] == list(range(40))
    assert len(log.records()) == 40


def test_random_bytes(log, good):
    for _ in range(300):
        with log.client() as bad:
            try:
                for _ in range(3):
                    bad.sock.send(os.urandom(1 + os.urandom(1)[0] % 64))
            except OSError:
                pass  # hung up already


def test_the_largest_record(log, good):
    body = GOOD[:-1] + b',"path":"/' + b"x" * (65536 - len(GOOD) - 11) + b'"}'
    assert len(body) == 65536
    with log.client() as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        assert client.write(body)[0] == WRITTEN
    assert log.records()[-1]["path"].count("x") == 65536 - len(GOOD) - 11


def test_a_client_that_takes_no_acknowledgements(log, good):
    with log.client() as lazy:
        sent = 0
        lazy.sock.setblocking(False)
        while sent < 20000:
            try:
                lazy.send(record(sent))
                sent += 1
            except BlockingIOError:
                if sent and good.write(record())[0] == WRITTEN and log.metric("ppce_audit_clients") == 2:
                    break
        assert sent < 20000, "the log reads without end"
        lazy.sock.settimeout(20)
        assert [lazy.receive()[1] for _ in range(sent)] == [WRITTEN] * sent  # none was lost


def test_clients_that_go_before_the_answer(log, good):
    for i in range(50):
        with log.client() as client:
            for n in range(10):
                client.send(record(f"gone/{i}/{n}"))
    eventually(lambda: log.metric("ppce_audit_clients") == 1)
    # Whole or not at all; which of them were read before the end was noticed is chance.
    assert len(log.records()) == log.metric("ppce_audit_records")
    assert log.verify() == []


def test_descriptors_sent_along(log, good):
    with log.client() as bad, open("/dev/null") as f:
        bad.sock.sendmsg([packet(1, GOOD)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, f.fileno().to_bytes(4, sys.byteorder))])
        assert bad.closed()
    before = len(os.listdir(f"/proc/{log.process.pid}/fd"))
    for _ in range(20):
        with log.client() as bad, open("/dev/null") as f:
            bad.sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, f.fileno().to_bytes(4, sys.byteorder) * 1)])
            assert bad.closed()
    eventually(lambda: len(os.listdir(f"/proc/{log.process.pid}/fd")) <= before)


def test_two_clients_at_once(log):
    seqs = {}

    def work(name):
        with log.client() as client:
            mine = []
            for n in range(500):
                client.send(record(f"{name}/{n}"))
                if n % 7 == 6:
                    mine += [client.receive() for _ in range(7)]
            mine += [client.receive() for _ in range(500 - len(mine))]
            assert all(status == WRITTEN for _, status, _ in mine)
            seqs[name] = [seq for _, _, seq in mine]

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seqs["a"] + seqs["b"]) == list(range(1000))
    records = log.records()
    for name in "ab":
        assert seqs[name] == sorted(seqs[name])
        assert [records[seq]["path"] for seq in seqs[name]] == [f"/{name}/{n}" for n in range(500)]
    log.stop()
    assert log.verify() == []


def test_clients_are_bounded(log):
    clients = [log.client() for _ in range(64)]
    try:
        assert all(c.write(record())[0] == WRITTEN for c in clients)
        with log.client() as more:
            assert more.closed()
        clients.pop().sock.close()
        eventually(lambda: log.metric("ppce_audit_clients") == 63)
        with log.client() as again:
            assert again.write(record())[0] == WRITTEN
    finally:
        for c in clients:
            c.sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_turned_away(log, good):
    for name in ("run", "run/audit-log.sock", "run/audit.sock", ""):
        os.chmod(log.dir / name, 0o777)
    pathlib.Path(log.dir / "send.py").write_text(
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "kind, path, data = sys.argv[1:]\n"
        "s = socket.socket(socket.AF_UNIX, int(kind)); s.settimeout(20); s.connect(path)\n"
        "try:\n    s.send(bytes.fromhex(data)); print(s.recv(100))\nexcept OSError: print(b'')\n")
    before = len(log.records())
    for kind, name, data in ((socket.SOCK_SEQPACKET, "audit-log.sock", packet(1, GOOD)),
                             (socket.SOCK_STREAM, "audit.sock", b"GET /v1/audit HTTP/1.1\r\nHost: x\r\n\r\n")):
        done = subprocess.run([sys.executable, log.dir / "send.py", str(int(kind)), log.dir / "run" / name, data.hex()],
                              capture_output=True, text=True)
        assert done.stdout == "b''\n", done
    assert len(log.records()) == before


def test_the_signer_can_do_next_to_nothing(log):
    signer, = subprocess.run(["pgrep", "-P", str(log.process.pid)], capture_output=True, text=True).stdout.split()
    status = pathlib.Path(f"/proc/{signer}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert re.search(r"CapEff:\t0+\n", status) and re.search(r"CapPrm:\t0+\n", status)
    if os.geteuid() == 0:
        assert "Uid:\t0" not in status
        assert os.listdir(f"/proc/{signer}/fd") == ["0"]


def test_the_writer_does_not_hold_the_key(log):
    """Neither in hex nor raw, anywhere in the writer's memory."""
    text = (log.dir / "secrets/audit.key").read_text().strip()
    with log.client() as client:
        client.write(record())
    found = 0
    for line in pathlib.Path(f"/proc/{log.process.pid}/maps").read_text().splitlines():
        begin, end = (int(x, 16) for x in line.split()[0].split("-"))
        if " rw" not in line or end - begin > 1 << 32:  # what sanitizers reserve
            continue
        with open(f"/proc/{log.process.pid}/mem", "rb", buffering=0) as mem:
            mem.seek(begin)
            data = mem.read(end - begin)
        found += len(data)
        assert bytes.fromhex(text) not in data and text.encode() not in data
    assert found > 1 << 20
