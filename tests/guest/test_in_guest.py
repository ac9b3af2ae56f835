# SPDX-License-Identifier: MIT
"""The guest library inside a real tender, on every backend: the same answers as under plain Linux."""
import hashlib
import os
import re
import sys
import time
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tender"))
from tender import BUILD, LOG, RESET_NONE, RESET_PRISTINE, SCALE, Lost, Tender, backends, encode_request  # noqa: E402

GUESTS = BUILD / "tests" / "guest"
APPS = BUILD / "apps"


@pytest.fixture(scope="module", params=backends())
def snapshots(request):
    """Boots each image once per backend."""
    booted = {}

    def get(path):
        if path not in booted:
            tender = Tender(request.param)
            try:
                booted[path] = tender.boot(path)
            finally:
                tender.close()
        return request.param, booted[path]

    yield get
    for fd in booted.values():
        os.close(fd)


@pytest.fixture
def make(snapshots):
    tenders = []

    def build(image, reset=RESET_NONE):
        backend, snapshot = snapshots(APPS / image if (APPS / image).exists() else GUESTS / image)
        tenders.append(Tender(backend))
        return tenders[-1].bind(snapshot, reset)

    yield build
    for tender in tenders:
        tender.close()


def logs(tender, seconds=1.0):
    """What has reached the operator's log until nothing more comes."""
    tender.control.settimeout(seconds * SCALE)
    try:
        while message := tender.receive():
            if message["type"] == LOG:
                tender.logs.append(message["reason"])
    except TimeoutError:
        pass
    return tender.logs


@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE])
def test_every_system_call(make, reset):
    tender = make("syscalls", reset)
    for _ in range(2):
        lines = tender.call("/syscalls").text.splitlines()
        assert len(lines) > 90 and [line for line in lines if not line.startswith("ok ")] == []


def test_time_passes_in_a_guest(make):
    tender = make("syscalls")
    read = [[int(n) for n in re.findall(r"\d+", tender.call("/clock").text)] for _ in range(20)]
    assert all(b > a for x, y in zip(read, read[1:]) for a, b in zip(x, y))
    assert abs(read[-1][0] / 1e9 - time.time()) < 5 and abs(read[-1][1] / 1e9 - time.monotonic()) < 5


def test_process_id_differs_between_requests(make):
    tender = make("syscalls", RESET_PRISTINE)
    pids = {re.search(r"pid (\d+)", tender.call("/entropy").text).group(1) for _ in range(8)}
    assert len(pids) >= 7  # a repetition among eight of four million is not a fault, two are


def test_print_and_log_become_lines(make):
    tender = make("syscalls")
    assert tender.call("/log").status == 200
    assert tender.call("/clock").status == 200
    assert logs(tender) == ["a warning with 1 number", "standard error", "half a line, and the rest", "unfinished"]


def test_last_words_of_a_dying_guest_reach_the_log(make):
    tender = make("probe")
    with pytest.raises(Lost):
        tender.call("/assert")
    tender.end_reason()
    assert any("Assertion" in line for line in tender.logs)


def test_identity_and_body_arrive(make):
    text = make("answers").call("/who", query="a=b", method="PUT", body=b"x" * 30000, fields=[("x-test", "1")],
                                app="app", user="alice", class_name="trainer", label="level=S", session="s-1",
                                purpose="care", request_id="r1").text
    assert text.startswith("PUT /who?a=b\nuser=alice class=trainer label=level=S session=s-1 purpose=care app=app id=r1\n"
                           "x-test: 1\n" + "x" * 30000)


@pytest.mark.parametrize("n,status", [(0, 200), (100000, 200), (129000, 200), (140000, 500)])
def test_body_is_bounded(make, n, status):
    tender = make("answers")
    answer = tender.call(f"/big?n={n}")
    assert answer.status == status and answer.body == b"b" * (n if status == 200 else 0)
    assert tender.call("/fields").fields == {"content-type": "text/html", "x-one": "1", "set-cookie": "a=b; HttpOnly"}


def test_a_failure_tells_the_client_nothing(make):
    answer = make("answers").call("/failing")
    assert (answer.status, answer.fields, answer.body) == (500, {}, b"")


def test_undecodable_request_is_answered(make):
    """The proxy never sends one; a guest must not fall over it either."""
    tender = make("answers")
    good = encode_request(path="/binary")
    for bad in (good[:-1] + b"x", good[:60], b"\0" * 200, b"\xff" * 200, encode_request(path="nopath"),
                encode_request(path="/binary", user="a\0b")):
        tender.send_frame(bad)
        assert int.from_bytes(tender.read_frame()[3][8:12], "little") == 400
    assert tender.call("/binary").body == bytes(range(256))


@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE])
def test_sqlite(make, reset):
    tender = make("sqlite", reset)
    assert tender.call("/query?name=p7").text == "3.5\n"
    assert tender.call("/query?name=%27%20OR%201=1").status == 404
    assert tender.call("/sum").text == "250250.00 1000\n"
    assert tender.call("/delete").text == "deleted\n"
    assert tender.call("/sum").text == ("27.50 10\n" if reset == RESET_NONE else "250250.00 1000\n")
    assert abs(int(tender.call("/now").text) - time.time()) < 5


def test_openssl(make):
    tender = make("crypto", RESET_PRISTINE)
    body = os.urandom(5000)
    assert tender.call("/sha256", body=body).text.strip() == hashlib.sha256(body).hexdigest()
    assert tender.call("/gcm").text.strip() == "530f8afbc74536b9a963b4f1c4cb738b"
    assert tender.call("/sign", body=body).text == "verified\n"


def test_openssl_random_numbers_never_repeat_after_a_restore(make):
    seen = [make("crypto", RESET_PRISTINE).call("/random").text for _ in range(2)]
    tender = make("crypto", RESET_PRISTINE)
    seen += [tender.call("/random").text for _ in range(4)]
    assert len(set(seen)) == 6 and all(len(x) == 65 for x in seen)


def test_zlib(make):
    tender = make("zlib")
    body = b"a text that repeats itself, " * 500
    assert tender.call("/crc32", body=body).text == f"{zlib.crc32(body):08x}\n"
    assert zlib.decompress(tender.call("/deflate", body=body).body) == body
    assert tender.call("/inflate", body=zlib.compress(body)).body == body
    assert tender.call("/inflate", body=b"junk").status == 400


def test_hello_knows_its_label(make):
    assert "level=NATO_SECRET" in make("hello", RESET_PRISTINE).call("/", label="level=NATO_SECRET").text


@pytest.mark.parametrize("reset,leaks", [(RESET_NONE, True), (RESET_PRISTINE, False)])
def test_leaky_leaks_exactly_when_memory_is_shared(make, reset, leaks):
    tender = make("leaky", reset)
    assert "Tax return of alice" in tender.call("/return", user="alice").text
    assert ("alice" in tender.call("/return", user="bob").text) is leaks
    secret = b"alice has a long and secret diagnosis"
    assert tender.call("/echo", method="POST", user="alice", body=secret).body == secret
    answer = tender.call(f"/echo?len={len(secret)}", method="POST", user="bob", body=b"bob").body
    assert len(answer) == len(secret) and answer.startswith(b"bob")
    assert (secret[3:] in answer) is leaks


def test_leaky_never_reads_past_its_own_buffer(make):
    tender = make("leaky")
    assert len(tender.call("/echo?len=4294967296", method="POST", body=b"x").body) == 16384
    assert tender.call("/echo", method="POST", body=b"x" * 16385).status == 413
