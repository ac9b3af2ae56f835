# SPDX-License-Identifier: MIT
"""Guests with a network, against the kernel's TCP: as HTTP servers, and as clients of their sinks."""
import concurrent.futures
import os
import re
import socket
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from network_guest import IP, LINK, PORT, Echo, NetworkGuest, sh, sink  # noqa: E402
from fake_store import release  # noqa: E402
from net_daemon import Namespace, no_taps  # noqa: E402
from tender import BUILD, RESET_DISCARD, RESET_NONE, RESET_PRISTINE, SCALE, Tender, backends  # noqa: E402

GUESTS = BUILD / "tests" / "guest"


@pytest.fixture(scope="module", params=backends())
def snapshots(request):
    if why := no_taps():
        pytest.skip(why)
    booted = {}

    def get(name):
        if name not in booted:
            tender = Tender(request.param)
            try:
                fd = tender.boot(GUESTS / name)
                booted[name] = fd, tender.booted["network"]
            finally:
                tender.close()
        fd, network = booted[name]
        if not network:
            pytest.skip("the guest library was built without lwIP")
        return request.param, fd

    yield get
    for fd, _ in booted.values():
        os.close(fd)


@pytest.fixture
def make(snapshots):
    """One guest a test: it has the namespace for itself."""
    made = []

    def build(name="sockets", reset=RESET_NONE, start=False, **how):
        backend, snapshot = snapshots(name)
        made.append(NetworkGuest(backend, snapshot, reset, start=GUESTS / name if start else None, **how))
        return made[-1]

    with Namespace():
        yield build
        for guest in made:
            guest.close()


# --- HTTP ---

@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE], ids=["kept", "pristine"])
def test_identity_and_body_arrive(make, reset):
    guest = make("answers", reset)
    fields = {"PPCE-App": "app", "PPCE-User": "alice", "PPCE-Class": "trainer", "PPCE-Label": "level=S", "PPCE-Session": "s-1",
              "PPCE-Purpose": "care", "PPCE-Request-Id": "r1", "X-Test": "1", "PPCE-Other": "x"}
    for _ in range(3):
        status, got, body = guest.http("/who?a=b", "PUT", b"x" * 30000, fields)
        text = body.decode()
        assert status == 200 and text.startswith(
            "PUT /who?a=b\nuser=alice class=trainer label=level=S session=s-1 purpose=care app=app id=r1\n")
        assert "x-test: 1\n" in text and "ppce" not in text and text.endswith("\n" + "x" * 30000)
        assert "connection" not in {name.lower() for name in got}


def test_nobody_is_made_up(make):
    """What the platform does not say is empty, not the debugging server's."""
    assert b"\nuser= class= label= session= purpose= app= id=\n" in make("answers").http("/who")[2]


def test_a_connection_is_kept(make):
    guest = make("answers")
    connection = guest.connect()
    for _ in range(5):
        assert guest.http("/binary", connection=connection)[2] == bytes(range(256))
        sock = connection.sock
    assert guest.http("/binary", "HEAD", connection=connection)[1:] == ({"Content-Length": "256"} | {
        k: v for k, v in guest.http("/binary", connection=connection)[1].items()}, b"")
    assert connection.sock is sock
    assert guest.http("/binary", headers={"Connection": "close"}, connection=connection)[1]["Connection"] == "close"
    connection.close()


def test_many_connections(make):
    """More than are kept: the longest idle ones give way."""
    guest = make("answers")
    connections = [guest.connect() for _ in range(12)]
    for c in connections + connections[-4:]:
        assert guest.http("/binary", connection=c)[0] == 200
    for c in connections:
        c.close()


def test_connections_that_come_and_go(make):
    guest = make("answers")
    for _ in range(30):
        assert guest.http("/binary")[2] == bytes(range(256))


def test_pipelined_requests(make):
    answer = make("answers").raw(b"GET /binary HTTP/1.1\r\n\r\nPOST /who HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
                                 b"GET /none HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert [int(n) for n in re.findall(rb"HTTP/1\.1 (\d+)", answer)] == [200, 200, 404]


def test_expect_continue(make):
    guest = make("answers")
    with guest.request(), socket.create_connection((IP, PORT), 20 * SCALE) as s:
        s.sendall(b"POST /who HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"body")
        answer = b""
        while part := s.recv(1000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"body")


@pytest.mark.parametrize("size", [0, 1460, 8760, 1000000])
def test_large_bodies(make, size):
    guest = make()
    body = os.urandom(size)
    assert guest.http("/echo", "POST", body)[2] == body


def test_too_large_is_refused_and_the_guest_goes_on(make):
    guest = make("answers")
    for _ in range(2):
        assert guest.raw(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000).startswith(b"HTTP/1.1 413 ")
        assert guest.http("/binary")[0] == 200


def test_large_bodies_over_a_lossy_link(make):
    guest = make()
    try:
        for hook in ("ingress", "egress"):
            sh("nft", f"add table netdev {hook}; add chain netdev {hook} c {{ type filter hook {hook} device {LINK} priority 0; }};"
               f"add rule netdev {hook} c numgen random mod 1000 < 40 drop")
    except AssertionError as e:
        pytest.skip(f"this kernel cannot lose frames on purpose: {e}")
    body = os.urandom(60000)
    assert guest.http("/echo", "POST", body)[2] == body


def test_a_released_value_says_so(make):
    """A call to the store in a request that came by HTTP; and the field by which the proxy knows a release."""
    guest = make("store", store=True)
    data = release('{"mean":4}')
    with concurrent.futures.ThreadPoolExecutor() as pool:
        call = pool.submit(guest.store.serve, data)
        status, fields, body = guest.http("/declassify", headers={"PPCE-Request-Id": "id"})
        assert call.result(10).ticket["seq"] == guest.ids
    assert (status, fields["PPCE-Release"], body) == (200, "1", data)
    assert "PPCE-Release" not in guest.http("/none")[1]


@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE, RESET_DISCARD], ids=["kept", "pristine", "discard"])
def test_what_is_left_for_the_next(make, reset):
    guest = make(reset=reset)
    assert guest.http("/counter")[2] == b"1\n"
    if reset == RESET_DISCARD:
        assert guest.process.wait(10 * SCALE) == 0
    else:
        assert [guest.http("/counter")[2] for _ in range(5)] == [b"%d\n" % (n if reset == RESET_NONE else 1)
                                                                for n in range(2, 7)]


def test_started_without_a_snapshot(make):
    assert make("answers", start=True).http("/binary")[2] == bytes(range(256))


def test_log_lines_come_with_their_request(make):
    guest = make()
    pids = set()
    for i in range(3):
        text = guest.http("/log", headers={"PPCE-Request-Id": f"r{i}"})[2].decode()
        assert text.startswith(f"r{i} ")
        pids.add(text)
    guest.control.settimeout(1 * SCALE)
    lines = []
    try:
        while message := guest.receive():
            lines.append(message["reason"])
    except TimeoutError:
        pass
    assert sorted(lines) == ["half a line"] * 3 + ["on standard error"] * 3
    assert len({p.split()[1] for p in pids}) > 1


def test_an_idle_guest_sleeps(make):
    """An open connection over which nothing happens costs nothing."""
    guest = make("answers")
    connection = guest.connect()
    guest.http("/binary", connection=connection)
    time.sleep(0.5)

    def switches():
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", p.read_text(), re.M).group(1))
                   for p in Path(f"/proc/{guest.pid}/task").glob("*/status"))
    before = switches()
    time.sleep(1)
    assert switches() - before < 5
    connection.close()


# --- clients of sinks ---

def test_calls_one_after_the_other(make):
    with_sink = make()
    with sink():
        lines = with_sink.http("/calls", deadline_ms=60000 * SCALE)[2].decode().splitlines()
    assert len(lines) > 50 and [line for line in lines if not line.startswith("ok ")] == []


def test_names_of_sinks(make):
    guest = make()
    assert guest.http("/file")[2] == b"10.77.0.1\trecords-db\n10.77.0.1\tother-sink\n"
    with sink():
        assert guest.http("/fetch?host=records-db", "POST", b"hello")[2] == b"hello"
        assert guest.http("/fetch?host=10.77.0.1", "POST", b"hello")[2] == b"hello"
    assert guest.http("/fetch?host=nowhere")[2].startswith(b"getaddrinfo: ")


@pytest.mark.parametrize("how", ["/fetch", "/poll"])
@pytest.mark.parametrize("size", [0, 20000, 600000])
def test_bytes_go_both_ways(make, how, size):
    class Afterwards(Echo):
        """Reads everything, then says it: neither side may need the other to read meanwhile."""
        def handle(self):
            parts = []
            while part := self.request.recv(65536):
                parts.append(part)
            self.request.sendall(b"".join(parts))

    guest = make()
    body = os.urandom(size)
    with sink(Echo if how == "/poll" else Afterwards):
        for _ in range(2):
            assert guest.http(how, "POST", body)[2] == body


def test_a_sink_that_is_not_there(make):
    guest = make()
    for how in ("/fetch", "/poll"):
        assert guest.http(how)[::2] == (502, b"connect: Connection refused\n")
        assert guest.http(how + "?port=80")[::2] == (502, b"connect: Connection refused\n")


def test_a_sink_that_resets(make):
    class Reset(Echo):
        def handle(self):
            self.request.recv(4)
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.request.close()

    guest = make()
    with sink(Reset):
        assert guest.http("/fetch", "POST", b"hello")[::2] == (502, b"read: Connection reset by peer\n")


def test_a_connection_of_the_apps_own_is_kept(make):
    guest = make()
    with sink():
        assert [guest.http("/kept")[2] for _ in range(5)] == [b"ping"] * 5


def test_sleep_is_waiting(make):
    guest = make()
    assert 200 <= int(guest.http("/sleep?ms=200")[2]) < 5000 * SCALE


def test_no_network_in_an_instance_on_the_channel(snapshots):
    backend, snapshot = snapshots("sockets")
    tender = Tender(backend).bind(snapshot)
    try:
        assert tender.call("/fetch?host=10.77.0.1").text == "socket: Network is down\n"
        assert tender.call("/file").text == "fopen: No such file or directory\n"
        assert int(tender.call("/sleep?ms=20").text) >= 20
    finally:
        tender.close()
