# SPDX-License-Identifier: MIT
"""The HTTP client against peers that are being started, or come and go at one address."""
import socket
import threading
import time

import pytest

from http_tools import WAIT, Wire, get
from test_http_client import OK, Peer, answering, call, read_request


class Call(threading.Thread):
    """A call that runs while the test does something else."""

    def __init__(self, echo, address, **options):
        super().__init__()
        self.arguments, self.result = (echo, address, options), None
        self.start()

    def run(self):
        echo, address, options = self.arguments
        self.result = call(echo, address, **options)

    def end(self):
        self.join(WAIT)
        return self.result


@pytest.fixture
def late():
    """A socket whose address is known, and at which nobody listens yet."""
    with socket.socket() as s:
        s.settimeout(WAIT)
        s.bind(("127.0.0.1", 0))
        yield s


def text(listener):
    return "127.0.0.1:%d" % listener.getsockname()[1]


def accept(listener):
    sock, _ = listener.accept()
    sock.settimeout(WAIT)
    return Wire(sock)


def test_refused_until_somebody_listens(echo, late):
    running = Call(echo, text(late), until_accepted=True)
    time.sleep(0.1)
    late.listen()
    with accept(late) as wire:
        answering(OK)(wire)
    assert running.end()["body"] == "ok"


def test_not_heard_until_somebody_accepts(echo, late):
    """A full queue of connections drops SYNs without a word, like a network that is not there yet."""
    late.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for s in fillers:
        s.setblocking(False)
        s.connect_ex(late.getsockname())
    running = Call(echo, text(late), until_accepted=True, timeout=5000)
    time.sleep(0.3)
    for s in fillers:
        s.close()
    late.settimeout(0.5)
    while running.is_alive():
        try:
            with accept(late) as wire:
                answering(OK)(wire)
        except (AssertionError, OSError):
            pass  # one of those that only filled the queue
    assert running.end()["body"] == "ok"


def test_never_accepted(echo, late):
    assert call(echo, text(late), until_accepted=True, timeout=200)["error"] == "deadline"


def test_without_the_option_refused_is_refused(echo, late):
    assert call(echo, text(late))["error"] == "unavailable"


def test_until_accepted_takes_a_kept_connection(echo):
    with Peer(answering(OK, OK)) as peer:
        assert [call(echo, peer.address, until_accepted=True)["body"] for _ in range(2)] == ["ok", "ok"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_of_its_own(echo, reset):
    """It is closed before the answer is reported, and with `reset` nothing more is sent on it."""
    how = []

    def script(wire):
        read_request(wire)
        wire.send(OK)
        try:
            how.append(wire.sock.recv(1))
        except ConnectionResetError:
            how.append("reset")

    with Peer(script, script) as peer:
        for _ in range(2):
            assert call(echo, peer.address, once=True, reset=reset)["body"] == "ok"
    assert how == (["reset"] * 2 if reset else [b""] * 2)


def test_probes(echo):
    """The kernel's timer of the connection is that of keepalive (2) while the answer is waited for."""
    timers = []

    def script(wire):
        read_request(wire)
        here = ":%04X" % wire.sock.getsockname()[1]
        rows = [line.split() for line in open("/proc/net/tcp")]
        timers.extend(row[5].split(":")[0] for row in rows if row[2].endswith(here) and row[3] == "01")
        wire.send(OK)

    with Peer(script) as peer:
        assert call(echo, peer.address, keepalive=True)["body"] == "ok"
    assert timers == ["02"]


def forget(echo, address):
    with echo.connect() as wire:
        assert wire.request(get("/forget?" + address)).status == 204


def prepare(echo, address):
    with echo.connect() as wire:
        assert wire.request(get("/prepare?" + address)).status == 204


def test_a_connection_made_ahead_is_used(echo, late):
    prepare(echo, text(late))
    time.sleep(0.05)
    late.listen()  # it was refused until now
    with accept(late) as wire:
        prepare(echo, text(late))  # there is one
        running = Call(echo, text(late), once=True)
        answering(OK)(wire)
        assert running.end()["body"] == "ok"
    late.settimeout(0.1)
    with pytest.raises(TimeoutError):
        late.accept()


def test_a_connection_made_ahead_that_was_closed(echo, late):
    late.listen()
    prepare(echo, text(late))
    with accept(late):
        pass
    running = Call(echo, text(late))
    with accept(late) as wire:
        answering(OK)(wire)
        assert running.end()["body"] == "ok"


def test_forget_ends_what_is_being_made_ahead(echo, late):
    prepare(echo, text(late))  # nobody listens yet, so it is tried again and again
    forget(echo, text(late))
    late.listen()
    late.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.accept()


def test_forget_closes_what_was_made_ahead(echo, late):
    late.listen()
    prepare(echo, text(late))
    with accept(late) as wire:
        forget(echo, text(late))
        assert wire.closed()


def test_forget_closes_what_is_kept(echo):
    def script(wire):
        answering(OK)(wire)
        assert wire.closed()

    with Peer(script, answering(OK.replace(b"ok", b"2."))) as peer:
        assert call(echo, peer.address)["body"] == "ok"
        forget(echo, peer.address)
        assert call(echo, peer.address)["body"] == "2."


def test_forget_lets_a_call_end(echo):
    arrived, go = threading.Event(), threading.Event()

    def script(wire):
        read_request(wire)
        arrived.set()
        go.wait(WAIT)
        wire.send(OK)
        assert wire.closed()

    with Peer(script, answering(OK.replace(b"ok", b"2."))) as peer:
        running = Call(echo, peer.address)
        assert arrived.wait(WAIT)
        forget(echo, peer.address)
        go.set()
        assert running.end()["body"] == "ok"
        assert call(echo, peer.address)["body"] == "2."


def test_cancel(echo, late):
    """While an answer is waited for, while connecting, and between two attempts."""
    def script(wire):
        read_request(wire)
        assert wire.closed()

    def cancel(address, **options):
        with echo.connect() as wire:
            body = '{"address": "%s", "cancel": true, "until_accepted": true}' % address
            return wire.request(get("/call", method="POST", body=body)).body

    with Peer(script) as peer:
        assert cancel(peer.address) == b"cancelled"
    assert cancel(text(late)) == b"cancelled"
    late.listen(0)
    with socket.create_connection(late.getsockname()):
        assert cancel(text(late)) == b"cancelled"
