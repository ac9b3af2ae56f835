# SPDX-License-Identifier: MIT
"""The HTTP server over real sockets: what it serves, what it refuses, and when it closes."""
import time
import concurrent.futures
import socket

import pytest

from http_tools import get

HOST = "Host: a\r\n"
CHUNKED = "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n"

BAD = {
    "CL and TE": "POST / HTTP/1.1\r\n" + HOST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "TE twice": "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE with a second coding": "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE unknown": "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE folded": "POST / HTTP/1.1\r\n" + HOST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL twice": "POST / HTTP/1.1\r\n" + HOST + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "CL list": "POST / HTTP/1.1\r\n" + HOST + "Content-Length: 1, 1\r\n\r\na",
    "CL signed": "POST / HTTP/1.1\r\n" + HOST + "Content-Length: +1\r\n\r\na",
    "CL overflow": "POST / HTTP/1.1\r\n" + HOST + "Content-Length: 99999999999999999999\r\n\r\n",
    "folded field": "GET / HTTP/1.1\r\n" + HOST + "X: a\r\n b\r\n\r\n",
    "bare LF": "GET / HTTP/1.1\n" + HOST + "\r\n",
    "bare LF at the end": "GET / HTTP/1.1\r\n" + HOST + "\n",
    "bare CR": "GET / HTTP/1.1\r\n" + HOST + "X: a\rY: b\r\n\r\n",
    "NUL in a value": "GET / HTTP/1.1\r\n" + HOST + "X: a\0b\r\n\r\n",
    "control character in a value": "GET / HTTP/1.1\r\n" + HOST + "X: a\x02b\r\n\r\n",
    "NUL in the target": "GET /\0 HTTP/1.1\r\n" + HOST + "\r\n",
    "space before the colon": "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "field without a colon": "GET / HTTP/1.1\r\n" + HOST + "X\r\n\r\n",
    "absolute target": "GET http://a/ HTTP/1.1\r\n" + HOST + "\r\n",
    "authority target": "CONNECT a:1 HTTP/1.1\r\n" + HOST + "\r\n",
    "asterisk": "OPTIONS * HTTP/1.1\r\n" + HOST + "\r\n",
    "upgrade": "GET / HTTP/1.1\r\n" + HOST + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": "GET /\r\n\r\n",
    "HTTP/3.0": "GET / HTTP/3.0\r\n" + HOST + "\r\n",
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "two Hosts": "GET / HTTP/1.1\r\n" + HOST + HOST + "\r\n",
    "Host with a path": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "unknown method": "BREW / HTTP/1.1\r\n" + HOST + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "chunk size in hex notation": CHUNKED + "0x1\r\na\r\n0\r\n\r\n",
    "chunk size negative": CHUNKED + "-1\r\na\r\n0\r\n\r\n",
    "chunk size overflow": CHUNKED + "10000000000000001\r\na\r\n0\r\n\r\n",
    "chunk size with a space": CHUNKED + "1 \r\na\r\n0\r\n\r\n",
    "chunk size bare LF": CHUNKED + "1\na\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + "1\r\nab\r\n0\r\n\r\n",
    "chunk end bare LF": CHUNKED + "1\r\na\r\n0\r\n\n",
    "trailer": CHUNKED + "0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_request_is_refused_and_the_connection_closed(echo, name):
    with echo.connect() as wire:
        # What follows must not be taken for a request of its own.
        wire.send(BAD[name] + "GET /smuggled HTTP/1.1\r\n" + HOST + "\r\n")
        answer = wire.answer()
        assert answer.status == 400
        assert answer.get("Content-Type") == "application/problem+json"
        assert answer.get("Connection") == "close"
        assert answer.json["code"] == "invalid" and answer.json["status"] == 400 and answer.json["detail"]
        assert answer.json["request_id"] == answer.get("PPCE-Request-Id")
        assert wire.closed()


def test_bad_requests_byte_by_byte(echo):
    for name in ("CL and TE", "folded field", "bare LF at the end", "space before the colon", "trailer"):
        with echo.connect() as wire:
            for c in BAD[name]:
                try:
                    wire.send(c)
                except OSError:
                    break  # already refused
            assert wire.answer().status == 400
            assert wire.closed()


def test_echo(echo):
    with echo.connect() as wire:
        a = wire.request(get("/a/../b%2e?x=%00&y", "X-One:  two \t", method="PUT", body="some bytes"))
        assert a.status == 200
        assert a.json == {"method": "PUT", "target": "/a/../b%2e?x=%00&y", "path": "/a/../b%2e", "query": "x=%00&y",
                          "body": "some bytes", "peer": "127.0.0.1", "ordered": True,
                          "fields": [["Host", "test"], ["X-One", "two"], ["Content-Length", "10"]]}
        assert a.get("Date").endswith(" GMT")
        assert a.get("Connection") is None
        assert wire.request(get("/again")).json["path"] == "/again"


def test_byte_by_byte(echo):
    with echo.connect() as wire:
        for c in CHUNKED + "3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n":
            wire.send(c)
        assert wire.answer().json["body"] == "abcd"


def test_request_ids_are_unique(echo):
    with echo.connect() as wire:
        ids = {wire.request(get("/hello")).get("PPCE-Request-Id") for _ in range(100)}
    assert len(ids) == 100
    assert all(len(i) == 26 and i.isalnum() for i in ids)


def test_pipelining(echo):
    with echo.connect() as wire:
        count = 500
        wire.send(b"".join(get(f"/{i}", method="POST", body="b" * i) for i in range(count)))
        for i in range(count):
            answer = wire.answer()
            assert answer.json["path"] == f"/{i}" and answer.json["body"] == "b" * i


def test_pipelining_behind_a_slow_answer(echo):
    with echo.connect() as wire:
        wire.send(get("/later?150") + get("/second"))
        assert wire.answer().body == b"later\n"
        assert wire.answer().json["path"] == "/second"


def test_many_pipelined_requests_behind_a_slow_answer(echo):
    """More than the server buffers: it stops reading, and loses nothing."""
    with echo.connect() as wire, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sent = pool.submit(wire.send, get("/later?300") + get("/size?10") * 20000)
        assert wire.answer().body == b"later\n"
        for _ in range(20000):
            assert wire.answer().body == b"x" * 10
        sent.result()


def test_head(echo):
    with echo.connect() as wire:
        wire.send(get("/hello", method="HEAD") + get("/hello"))
        head = wire.answer(head=True)
        full = wire.answer()
        assert head.status == 200 and head.get("Content-Length") == full.get("Content-Length") == "13"
        assert full.body == b"hello, world\n"


def test_empty_answer(echo):
    with echo.connect() as wire:
        answer = wire.request(get("/empty"))
        assert answer.status == 204 and answer.get("Content-Length") is None
        assert wire.request(get("/hello")).status == 200


def test_problem_with_retry(echo):
    with echo.connect() as wire:
        answer = wire.request(get("/full"))
        assert answer.status == 503 and answer.get("Retry-After") == "7"
        assert answer.json["code"] == "full" and answer.json["detail"] == 'a "quoted" text ?'
        assert wire.request(get("/hello")).status == 200, "an answer of the handler leaves the connection open"


def test_http10(echo):
    with echo.connect() as wire:
        answer = wire.request("GET /hello HTTP/1.0\r\n\r\n")
        assert answer.status == 200 and answer.get("Connection") == "close"
        assert wire.closed()
    with echo.connect() as wire:
        for _ in range(2):
            answer = wire.request("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.status == 200 and answer.get("Connection") == "keep-alive"


@pytest.mark.parametrize("request_bytes", [get("/hello", "Connection: close"), get("/close")])
def test_close(echo, request_bytes):
    with echo.connect() as wire:
        answer = wire.request(request_bytes)
        assert answer.status == 200 and answer.get("Connection") == "close"
        assert wire.closed()


def test_nothing_is_served_after_close(echo):
    with echo.connect() as wire:
        assert wire.request(get("/hello", "Connection: close") + get("/hello")).status == 200
        assert wire.closed()


def test_expect_continue(echo):
    with echo.connect() as wire:
        wire.send(get("/", "Expect: 100-continue", "Content-Length: 4", method="POST"))
        assert wire.answer().status == 100
        assert wire.send("body").answer().json["body"] == "body"
        # A body that is there already needs no invitation.
        assert wire.request(get("/", "Expect: 100-continue", method="POST", body="here")).json["body"] == "here"
        # Too large: refused instead of invited.
        assert wire.request(get("/", "Expect: 100-continue", "Content-Length: 2000000", method="POST")).status == 413
        assert wire.closed()


def test_unknown_expectation(echo):
    with echo.connect() as wire:
        assert wire.request(get("/", "Expect: tea")).status == 400


def test_half_closed_client_gets_its_answer(echo):
    with echo.connect() as wire:
        wire.send(get("/later?100") + get("/hello"))
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.answer().body == b"later\n"
        assert wire.answer().body == b"hello, world\n"
        assert wire.closed()


def test_client_that_leaves_is_noticed(fresh):
    for _ in range(3):
        with fresh.connect() as wire:
            wire.send(get("/later?300"))
    with fresh.connect() as wire:
        wire.send(get("/later?600"))
        assert wire.answer().status == 200
        assert wire.request(get("/gone")).body == b"3"


def test_leaving_at_every_byte(echo):
    whole = get("/echo?x", "Expect: 100-continue", method="POST", body="abc") + get("/later?1")
    for n in range(len(whole)):
        with echo.connect() as wire:
            wire.send(whole[:n])
    with echo.connect() as wire:
        assert wire.request(get("/hello")).status == 200


def test_fields_of_a_handler_cannot_change_the_framing(echo):
    with echo.connect() as wire:
        answer = wire.request(get("/fields"))
        assert answer.body == b"fields"
        assert answer.get("Transfer-Encoding") is None and answer.get("Connection") is None
        assert answer.get("X-Mine") == "a"
        answer = wire.request(get("/fields?bad"))
        assert answer.status == 500 and answer.get("X-Forged") is None and answer.json["code"] == "internal"


def test_large_answer(echo):
    size = 30 << 20
    with echo.connect() as wire:
        assert wire.request(get(f"/size?{size}")).body == b"x" * size
        assert wire.request(get("/hello")).status == 200


def test_large_bodies(echo):
    size = 1 << 20
    with echo.connect() as wire:
        assert len(wire.request(get("/", method="POST", body="y" * size)).json["body"]) == size
        chunks = "".join(f"{n:x}\r\n" + "z" * n + "\r\n" for n in [1000] * 500 + [1] * 1000)
        assert wire.request(CHUNKED + chunks + "0\r\n\r\n").json["body"] == "z" * 501000


@pytest.mark.parametrize("size", [4097, 1 << 20, 8 << 20])
def test_body_too_large(small, size):
    """Refused on its length, and the client can read why although it sends on."""
    with small.connect() as wire:
        wire.send(get("/", f"Content-Length: {size}", method="POST"))
        try:
            wire.send(b"a" * size)
        except OSError:
            pass
        answer = wire.answer()
        assert answer.status == 413 and answer.json["code"] == "too-large"


def test_chunked_body_too_large(small):
    with small.connect() as wire:
        wire.send(CHUNKED + "800\r\n" + "a" * 2048 + "\r\n" + "801\r\n")
        assert wire.answer().status == 413
        assert wire.closed()


def test_body_of_exactly_the_limit(small):
    with small.connect() as wire:
        assert wire.request(get("/", method="POST", body="a" * 4096)).status == 200
        assert wire.request(CHUNKED + "1000\r\n" + "a" * 4096 + "\r\n0\r\n\r\n").status == 200


def test_long_targets(small):
    with small.connect() as wire:
        assert wire.request(get("/" + "a" * 255)).status == 200
        answer = wire.request(get("/" + "a" * 256))
        assert answer.status == 414 and answer.json["code"] == "uri-too-long"
        assert wire.closed()
    with small.connect() as wire:
        assert wire.request("GET /" + "a" * 4000).status == 414


def test_header_floods(small):
    many = [f"X-{i}: y" for i in range(8)]
    with small.connect() as wire:
        assert wire.request(get("/", *many[:7])).status == 200
        answer = wire.request(get("/", *many))
        assert answer.status == 431 and answer.json["code"] == "headers-too-large"
        assert wire.closed()
    with small.connect() as wire:
        assert wire.request(get("/", "X: " + "a" * 1100)).status == 431
    with small.connect() as wire:
        assert wire.request("GET / HTTP/1.1\r\nX: " + "a" * 1100).status == 431, "without waiting for its end"


def test_slow_head(small):
    with small.connect() as wire:
        wire.send("GET / HTT")
        answer = wire.answer()
        assert answer.status == 408 and answer.json["code"] == "request-timeout"
        assert wire.closed()


def test_slow_head_that_drips(small):
    """A byte now and then does not buy more time."""
    with small.connect() as wire:
        wire.send("GET / HTTP/1.1\r\nX: ")
        for _ in range(100):
            try:
                wire.send("a")
            except OSError:
                break
            if not wire.silent(0.05):
                break
        assert wire.answer().status == 408


def test_slow_body(small):
    with small.connect() as wire:
        wire.send(get("/", "Content-Length: 10", method="POST") + b"abc")
        assert wire.answer().status == 408
        assert wire.closed()


def test_idle_connection_is_closed_without_a_word(small):
    with small.connect() as wire:
        assert wire.closed()
    with small.connect() as wire:
        assert wire.request(get("/hello")).status == 200
        assert wire.closed()


def test_slow_handler_has_its_time(small):
    """The limits are for the client, not for the handler."""
    with small.connect() as wire:
        assert wire.request(get("/later?1500")).status == 200


def test_client_that_does_not_read(small):
    with small.connect() as wire:
        wire.send(get(f"/size?{64 << 20}"))
        assert wire.more()
        with small.connect() as other:
            other.send(get("/later?1500"))
            assert other.answer().status == 200
        got = len(wire.buffer)
        while wire.more():
            got += len(wire.buffer)
            wire.buffer = b""
        assert got < 64 << 20


def open_one(server):
    """A connection that was answered once. The server may see it before it sees that an earlier one went: try again."""
    for _ in range(100):
        wire = server.connect()
        try:
            if wire.request(get("/hello")).status == 200:
                return wire
        except (AssertionError, OSError):
            wire.sock.close()
            time.sleep(0.01)
    raise AssertionError("no room for another connection")


def test_too_many_connections(small):
    wires = [open_one(small) for _ in range(8)]
    try:
        with small.connect() as extra:
            assert extra.closed()
        wires.pop().sock.close()
        wires.append(open_one(small))
    finally:
        for wire in wires:
            wire.sock.close()


def test_stop_lets_running_requests_end(fresh):
    with fresh.connect() as busy, fresh.connect() as idle:
        assert idle.request(get("/hello")).status == 200
        busy.send(get("/later?400") + get("/hello"))
        assert idle.request(get("/hello")).status == 200  # busy's request has been read: the server takes turns
        fresh.terminate()
        assert idle.closed()
        answer = busy.answer()
        assert answer.body == b"later\n" and answer.get("Connection") == "close"
        assert busy.closed()
