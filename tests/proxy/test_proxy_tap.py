# SPDX-License-Identifier: MIT
"""Requests by HTTP to instances with an address of their own, framed by FRAME_BEGIN and FRAME_END; hostile ones too."""
import socket
import time

import pytest

from proxy_daemon import (END, FLAG_LAST, FRAME_FAILED, OK, READY, RESPONSE, WAIT, http, read_request, release)
from harness import eventually

FAILED_TEXT = "the app failed to answer"
names = iter(f"app{n}" for n in range(1000))


@pytest.fixture
def app(world):
    """An app of lifetime class with one instance."""
    return make(world)


def make(world, lifetime="class", label="level=MID,comp={A}", **options):
    name = next(names)
    app_options = {k: options.pop(k) for k in ("deadline_ms", "response_bytes", "has_store", "has_sinks") if k in options}
    world.add_app(name, lifetime, **app_options)
    return world.instance(name, label, **options)


def test_request_and_answer(world, app):
    call = world.call(f"/{app.app}/a/b?q=1", "POST", "body", Host="there", X_Own="1", PPCE_User="eve", Cookie="a=b")
    assert app.begin() is None and app.deadline == 5000
    wire = app.accept()
    first, fields, body = read_request(wire)
    assert first == "POST /a/b?q=1 HTTP/1.1" and body == b"body"
    wire.send(http(b"answer", 201, ["X-Theirs: 1", "PPCE-User: eve", "Server-Timing: x", "Set-Cookie: ppce_session=x"]))
    app.end()
    answer = call.end()
    assert (answer.status, answer.text, answer.headers["X-Theirs"]) == (201, "answer", "1")
    assert not {"PPCE-User", "Set-Cookie"} & set(answer.headers)
    assert fields["Host"] == "there" and fields["X-Own"] == "1" and fields["Cookie"] == "a=b"
    own = {k: v for k, v in fields.items() if k.startswith("PPCE-")}
    assert own == {"PPCE-App": app.app, "PPCE-User": "ann", "PPCE-Class": "staff", "PPCE-Label": "level=MID,comp={A}",
                   "PPCE-Session": world.ann.id, "PPCE-Request-Id": answer.headers["PPCE-Request-Id"]}
    assert "connect;dur=" in answer.headers["Server-Timing"] and "exchange;dur=" in answer.headers["Server-Timing"]
    assert app.state() == "idle"  # it keeps its memory: the next request need not wait for what it says of this one
    app.ready()
    app.wait_idle()
    assert [r["allowed"] for r in world.records(app=app.app)] == [True]


def test_connection_is_reused(world, app):
    """... and the next request is sent before the instance has said that it is ready."""
    call = world.call(f"/{app.app}/")
    _, wire = app.serve()
    assert call.end().status == 200
    call = world.call(f"/{app.app}/")
    app.serve(wire)
    app.say(READY, number=app.number - 1)
    app.ready()
    assert call.end().status == 200
    app.wait_idle()


def test_begin_comes_before_the_first_byte(world, app):
    call = world.call(f"/{app.app}/")
    with app.accept() as wire:
        assert wire.sock.recv(1) == b"G"
        app.channel.settimeout(0)  # it is there, not only on its way
        app.begin()
        app.channel.settimeout(WAIT)
    with app.accept():  # a GET is sent once more: the connection was made ahead, and may have ended before
        pass
    assert call.end().status == 502


def test_a_pristine_instance_gets_a_connection_for_each_request(world):
    """... which is made before it and closed before FRAME_END is sent."""
    i = make(world, "request")
    for _ in range(3):
        wire = i.accept()
        call = world.call(f"/{i.app}/")
        i.begin()
        read_request(wire)
        wire.send(OK)
        i.end()
        wire.sock.settimeout(0)
        with pytest.raises(ConnectionResetError):
            wire.sock.recv(1)
        i.ready()
        assert call.end().status == 200
        i.wait_idle()


def test_the_last_request(world):
    i = make(world, "request")
    call = world.call(f"/{i.app}/")
    i.serve()
    i.ready(FLAG_LAST)
    assert call.end().status == 200
    assert "one request" in i.stopped() and i.channel_closed()


def test_connects_until_accepted(world):
    i = make(world, listens=False)
    call = world.call(f"/{i.app}/")
    i.begin()
    time.sleep(0.1)
    i.listener.listen()
    wire = i.accept()
    read_request(wire)
    wire.send(OK)
    i.end()
    assert call.end().status == 200


def test_nobody_accepts(world):
    """A tender would have told of the deadline; the proxy's own guard is a little later."""
    i = make(world, listens=False, deadline_ms=100)
    answer = world.call(f"/{i.app}/").end()
    assert (answer.status, answer.code) == (504, "deadline")
    assert i.stopped()


def test_never_answers(world):
    i = make(world, deadline_ms=100)
    call = world.call(f"/{i.app}/")
    i.begin()
    with i.accept() as wire:
        read_request(wire)
        assert call.end().status == 504
        assert i.stopped() and wire.closed()


BAD = {
    "closed at once": b"",
    "closed within the head": b"HTTP/1.1 200 OK\r\nConte",
    "closed within the body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "not HTTP": b"\x00\x01\x02\x03 garbage\r\n\r\n",
    "too much": http(b"x" * 1001),
    "too many fields": http(b"", 200, ["X: y"] * 100),
    "a control character": http(b"", 200, ["X: a\x01b"]),
    "status 99": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "a forged release": http(release(b"1", "other", key=bytes(32)), 200, ["PPCE-Release: 1"]),
    "half a release": http(b"short", 200, ["PPCE-Release: 1"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers(world, name):
    """One answer for all of them, and the instance ends."""
    i = make(world, response_bytes=1000)
    call = world.call(f"/{i.app}/", "POST", "x")
    i.begin()
    with i.accept() as wire:
        read_request(wire)
        wire.send(BAD[name])
    answer = call.end()
    assert (answer.status, answer.code, answer.json()["detail"]) == (502, "instance-failed", FAILED_TEXT)
    assert i.stopped() == "its answer is not valid" and i.channel_closed()


def test_surplus_is_nobodys_answer(world, app):
    call = world.call(f"/{app.app}/")
    _, wire = app.serve(answer=OK + OK.replace(b"ok", b"no"))
    app.ready()
    assert call.end().text == "ok"
    app.wait_idle()
    assert wire.closed()
    call = world.call(f"/{app.app}/")
    app.serve(answer=http(b"2."))
    assert call.end().text == "2."


def test_an_answer_that_nobody_asked_for(world, app):
    """... sent while the instance is idle: the connection goes, and with it what was said."""
    call = world.call(f"/{app.app}/")
    _, wire = app.serve()
    app.ready()
    assert call.end().text == "ok"
    app.wait_idle()
    wire.send(OK.replace(b"ok", b"no"))
    assert wire.closed()
    call = world.call(f"/{app.app}/")
    app.serve(answer=http(b"2."))
    assert call.end().text == "2."


def test_answer_before_the_request_is_complete(world, app):
    call = world.call(f"/{app.app}/", "POST", "x" * 1000000)
    app.begin()
    wire = app.accept()
    wire.more()
    wire.send(http(b"early"))
    app.end()
    assert call.end().text == "early"
    app.ready()
    app.wait_idle()


@pytest.mark.parametrize("frame", [
    {"kind": READY},
    {"kind": RESPONSE, "payload": b"12345678"},
    {"kind": FRAME_FAILED, "code": 4},  # too large: of frames on the channel only
    {"kind": FRAME_FAILED, "code": 1, "number": 999},
    {"kind": END},
], ids=str)
def test_frames_out_of_turn(world, app, frame):
    call = world.call(f"/{app.app}/")
    app.begin()
    wire = app.accept()
    read_request(wire)
    app.say(**frame)
    answer = call.end()
    assert (answer.status, answer.json()["detail"]) == (502, FAILED_TEXT)
    assert app.stopped() and wire.closed()


def test_ready_twice(world, app):
    call = world.call(f"/{app.app}/")
    app.serve()
    app.ready()
    assert call.end().status == 200
    app.wait_idle()
    app.ready()
    assert "out of turn" in app.stopped()


@pytest.mark.parametrize("code, status", [(1, 502), (2, 504), (5, 502)])
def test_the_guest_fails(world, app, code, status):
    call = world.call(f"/{app.app}/")
    app.begin()
    wire = app.accept()
    read_request(wire)
    app.say(FRAME_FAILED, code=code)
    assert call.end().status == status
    assert wire.closed()  # the call was given up
    eventually(lambda: app.state() in (None, "ending"))


def test_the_guest_fails_while_it_is_connected_to(world):
    i = make(world, listens=False)
    call = world.call(f"/{i.app}/")
    i.begin()
    i.say(FRAME_FAILED, code=1)
    assert call.end().status == 502


def test_the_guest_fails_after_its_answer(world, app):
    call = world.call(f"/{app.app}/")
    app.serve()
    app.say(FRAME_FAILED, code=1)
    assert call.end().status == 200
    eventually(lambda: app.state() in (None, "ending"))


def test_the_tender_dies(world, app):
    call = world.call(f"/{app.app}/")
    app.begin()
    wire = app.accept()
    read_request(wire)
    app.channel.close()
    assert call.end().status == 502
    assert wire.closed() and app.stopped()


def test_the_tender_is_gone_before(world, app):
    """The channel takes no FRAME_BEGIN: nothing is sent to the address."""
    wire = app.accept()  # made ahead
    app.channel.close()
    eventually(lambda: app.state() != "idle")
    with pytest.raises(ConnectionResetError):
        wire.sock.recv(1)
    app.listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        app.accept()


def test_vmmd_says_that_it_is_gone(world, app):
    call = world.call(f"/{app.app}/")
    app.begin()
    with app.accept() as wire:
        read_request(wire)
        app.gone()
        assert call.end().status == 502
        assert wire.closed()


def test_a_connection_does_not_outlive_its_instance(world, app):
    """The next instance has the same address; what the last one left there is not spoken to."""
    call = world.call(f"/{app.app}/")
    _, wire = app.serve()
    app.ready()
    assert call.end().status == 200
    app.wait_idle()
    app.gone()
    assert wire.closed()
    app.listener.close()
    other = make(world, address=app.address)
    call = world.call(f"/{other.app}/")
    other.serve()
    assert call.end().status == 200


def test_ticket(world):
    i = make(world, "request", "level=LOW", has_store=1, slot=1)
    world.vmmd.taint(1, 0, i.uuid, "level=LOW")
    call = world.call(f"/{i.app}/")
    ticket = i.begin()
    assert ticket["user"].rstrip(b"\0") == b"ann" and ticket["label"].rstrip(b"\0") == b"level=LOW"
    assert ticket["flags"] == 1  # pristine
    wire = i.accept()
    read_request(wire)
    wire.send(OK)
    i.end()
    assert call.end().status == 200


def test_sinks_fix_the_label(world):
    """It runs at the session's ceiling, as what it sends to would not rise with it."""
    i = make(world, "request", has_store=1, has_sinks=1, slot=2)
    world.vmmd.taint(2, 0, i.uuid, "level=MID,comp={A}")
    call = world.call(f"/{i.app}/")
    ticket = i.begin()
    assert ticket["flags"] == 3 and ticket["label"].rstrip(b"\0") == b"level=MID,comp={A}"
    i.say(FRAME_FAILED, code=1)
    call.end()
    steps = world.rest(f"/v1/explain?user=ann&app={i.app}&clearance=level=MID,comp%3D%7BA%7D")["steps"]
    assert "may send to others" in next(s["why"] for s in steps if s["step"] == "READ")


def tainted(world, slot, answer):
    """A request during which the store raises the label above what ann may see."""
    i = make(world, "request", "level=LOW", has_store=1, slot=slot)
    world.vmmd.taint(slot, 0, i.uuid, "level=LOW")
    call = world.call(f"/{i.app}/")
    ticket = i.begin()
    world.vmmd.taint(slot, ticket["seq"], i.uuid, "level=HIGH")
    wire = i.accept()
    read_request(wire)
    request_id = ticket["request_id"].rstrip(b"\0").decode()
    wire.send(answer(request_id) if callable(answer) else answer)
    return i, call.end()


def test_what_the_session_may_not_see_does_not_leave(world):
    i, answer = tainted(world, 3, http(b"secret"))
    assert (answer.status, answer.code) == (403, "denied") and "secret" not in answer.text
    assert "Server-Timing" not in answer.headers
    assert i.stopped() == "has read what its session may not see"
    assert world.records(app=i.app)[0]["rule"] == "R4"


def test_a_bad_answer_after_reading_too_much_tells_nothing(world):
    i, answer = tainted(world, 4, b"garbage\r\n\r\n")
    assert answer.status == 403 and i.stopped()


def test_release(world):
    i, answer = tainted(world, 5, lambda number: http(release(b'{"mean":1}', number), 418, ["PPCE-Release: 1", "X-S: s"]))
    assert (answer.status, answer.text) == (200, '{"mean":1}')
    assert not {"PPCE-Release", "X-S", "Server-Timing"} & set(answer.headers)
    assert i.stopped() == "has read what its session may not see"
    assert world.records(app=i.app)[0]["object"] == "mean"


def test_a_release_for_another_request(world):
    i, answer = tainted(world, 6, lambda number: http(release(b"1", "another"), 200, ["PPCE-Release: 1"]))
    assert answer.status == 403 and i.stopped()


def test_release_said_by_half(world):
    """Without the field the bytes are an answer like any other."""
    i, answer = tainted(world, 7, lambda number: http(release(b"1", number), 200, ["PPCE-Release: 2"]))
    assert answer.status == 403


def test_routes_and_explain(world, app):
    routes = world.rest("/v1/routes")
    assert next(a["transport"] for a in routes["apps"] if a["name"] == app.app) == "tap"
    assert app.known()["address"] == app.text
    told = world.rest(f"/v1/explain?user=ann&app={app.app}&clearance=level=MID,comp%3D%7BA%7D")
    assert told["transport"] == "tap" and told["instances"] == [{"uuid": app.uuid, "address": app.text}]
    assert "by HTTP" in next(s["why"] for s in told["steps"] if s["step"] == "ROUTE")


def test_the_client_goes_away(world, app):
    """The request runs to its end, and the instance serves the next one."""
    with socket.create_connection((world.host, world.port)) as s:
        s.sendall(f"GET /{app.app}/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.ann.token}\r\n\r\n".encode())
        app.begin()
    wire = app.accept()
    read_request(wire)
    wire.send(OK)
    app.end()
    app.ready()
    app.wait_idle()
