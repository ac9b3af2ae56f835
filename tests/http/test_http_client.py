# SPDX-License-Identifier: MIT
"""The HTTP client, driven through /call of the echo server, against peers that misbehave."""
import json
import os
import socket
import threading

import pytest

from http_tools import WAIT, Wire, get

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """Accepts connections; each one is handed to `script(wire)`, one after the other."""

    def __init__(self, *scripts, path=None):
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.settimeout(WAIT)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen()
        self.address = f"unix:{path}" if path else "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.scripts, self.problems = scripts, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        for script in self.scripts:
            try:
                sock, _ = self.listener.accept()
                sock.settimeout(WAIT)
                with Wire(sock) as wire:
                    script(wire)
            except Exception as e:  # shown by __exit__
                self.problems.append(e)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.thread.join(2 * WAIT)
        self.listener.close()
        if error[0] is None:
            assert not self.problems


def read_request(wire):
    """One request: (first line, fields, body)."""
    while b"\r\n\r\n" not in wire.buffer:
        assert wire.more(), "closed before a request"
    head, wire.buffer = wire.buffer.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    length = int(fields.get("Content-Length", 0))
    while len(wire.buffer) < length:
        assert wire.more()
    body, wire.buffer = wire.buffer[:length], wire.buffer[length:]
    return first, fields, body


def answering(*answers):
    """A script that gives these answers to the requests of one connection, then closes."""
    def script(wire):
        for answer in answers:
            read_request(wire)
            wire.send(answer)
    return script


def call(echo, address, **options):
    with echo.connect() as wire:
        return wire.request(get("/call", method="POST", body=json.dumps({"address": address, **options}))).json


def test_request_and_answer(echo):
    seen = []

    def script(wire):
        seen.append(read_request(wire))
        wire.send(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-Hop: 2\r\n"
                  b"Connection: keep-alive, X-Hop\r\n\r\nok")

    with Peer(script) as peer:
        answer = call(echo, peer.address, method="POST", target="/t?q", body="bytes")
    assert answer == {"status": 201, "fields": [["X-A", "1"]], "body": "ok"}
    first, fields, body = seen[0]
    assert first == "POST /t?q HTTP/1.1" and body == b"bytes"
    assert fields == {"Host": "localhost", "Content-Length": "5", "X-Test": "1"}


@pytest.mark.parametrize("answer", [
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 8 + OK,
])
@pytest.mark.parametrize("step", [0, 1])
def test_framings(echo, answer, step):
    def script(wire):
        read_request(wire)
        for piece in [answer] if not step else [answer[i:i + 1] for i in range(len(answer))]:
            wire.send(piece)

    with Peer(script) as peer:
        got = call(echo, peer.address)
    assert (got["status"], got["body"]) == (200, "ok")


def test_head(echo):
    with Peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as peer:
        got = call(echo, peer.address, method="HEAD")
    assert (got["status"], got["body"]) == (200, "")


BAD = {
    "closed at once": b"",
    "not HTTP": b"SSH-2.0-x\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "control character": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "protocol change": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless informational": b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + OK,
    "endless field": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "too large by length": b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
    "too large by chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
    "too large until the end": b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 101,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers(echo, name):
    def script(wire):
        read_request(wire)
        try:
            wire.send(BAD[name])
        except OSError:
            pass  # refused before it was sent whole

    with Peer(script) as peer:
        got = call(echo, peer.address, size=100)
    assert got.get("error") == "instance-failed", got
    assert peer.address in got["text"]


def test_nobody_there(echo, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))  # bound, but nobody listens
        assert call(echo, "127.0.0.1:%d" % s.getsockname()[1])["error"] == "unavailable"
    assert call(echo, f"unix:{tmp_path}/none")["error"] == "unavailable"


@pytest.mark.parametrize("options", [
    {"address": "unix:/" + "a" * 120}, {"address": "localhost:80"}, {"address": "127.0.0.1"}, {"address": "127.0.0.1:99999"},
    {"address": "a" * 500}, {"address": "127.0.0.1:80", "method": "G T"}, {"address": "127.0.0.1:80", "target": "x"},
    {"address": "127.0.0.1:80", "target": "/ HTTP/1.1\r\nX: y"},
])
def test_calls_that_cannot_be_made(echo, options):
    assert call(echo, **options)["error"] == "invalid"


def test_timeout(echo):
    done = threading.Event()

    def script(wire):
        read_request(wire)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        done.wait(WAIT)

    with Peer(script) as peer:
        assert call(echo, peer.address, timeout=200)["error"] == "deadline"
        done.set()


def test_unix_peer(echo, tmp_path):
    seen = []

    def script(wire):
        seen.append(read_request(wire))
        wire.send(OK)
        seen.append(wire.closed())

    with Peer(script, path=os.path.join(tmp_path, "s")) as peer:
        assert call(echo, peer.address)["body"] == "ok"
    assert seen[0][1]["Connection"] == "close" and seen[1]


def test_connection_is_kept(echo):
    with Peer(answering(OK, OK.replace(b"ok", b"2."), OK.replace(b"ok", b"3."))) as peer:
        assert [call(echo, peer.address)["body"] for _ in range(3)] == ["ok", "2.", "3."]


@pytest.mark.parametrize("answer", [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK + b"surplus",
                                    OK.replace(b"HTTP/1.1", b"HTTP/1.0")])
def test_connection_is_not_kept(echo, answer):
    """Surplus bytes must never become the answer to the next call."""
    def script(wire):
        read_request(wire)
        wire.send(answer)
        assert wire.closed()

    with Peer(script, answering(OK.replace(b"ok", b"2."))) as peer:
        assert [call(echo, peer.address)["body"] for _ in range(2)] == ["ok", "2."]


def close_on_second(wire):
    answering(OK)(wire)
    read_request(wire)  # and no answer


def test_retry_on_a_kept_connection_that_was_closed(echo):
    with Peer(close_on_second, answering(OK.replace(b"ok", b"2."))) as peer:
        assert [call(echo, peer.address)["body"] for _ in range(2)] == ["ok", "2."]


def test_no_retry_of_what_may_have_been_done(echo):
    with Peer(close_on_second) as peer:
        assert call(echo, peer.address)["body"] == "ok"
        assert call(echo, peer.address, method="POST", body="pay")["error"] == "unavailable"


def test_no_retry_after_the_first_byte(echo):
    def script(wire):
        close_on_second(wire)
        wire.send(b"H")

    with Peer(script) as peer:
        assert call(echo, peer.address)["body"] == "ok"
        assert call(echo, peer.address)["error"] == "instance-failed"


def test_retry_only_once(echo):
    with Peer(close_on_second, read_request) as peer:
        assert call(echo, peer.address)["body"] == "ok"
        assert call(echo, peer.address)["error"] == "instance-failed"


def test_stop_with_calls_running(fresh):
    done = threading.Event()

    def script(wire):
        read_request(wire)
        fresh.terminate()
        done.wait(WAIT)

    with Peer(script) as peer:
        assert call(fresh, peer.address)["error"] == "unavailable"
        done.set()


def test_early_answer_to_a_large_request(echo):
    """The peer answers and closes without reading the body: its answer counts."""
    def script(wire):
        while b"\r\n\r\n" not in wire.buffer:
            wire.more()
        wire.send(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        wire.sock.shutdown(socket.SHUT_WR)
        while wire.more():
            pass

    with Peer(script) as peer:
        assert call(echo, peer.address, method="POST", body="a" * 900000)["status"] == 413
