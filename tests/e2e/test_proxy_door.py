# SPDX-License-Identifier: MIT
"""The door: what bad, hostile and slow HTTP gets, and that it costs nobody else anything."""
import json
import socket

import pytest

SECRET = "level=NATO_SECRET,comp={A}"


@pytest.fixture(scope="module")
def world(make_platform, echo_image):
    p = make_platform(config={"proxy.head_ms": 400, "proxy.body_ms": 400, "proxy.body_bytes": 100000})
    p.add_image("echo", echo_image)
    p.add_app("echo", "echo", "class")
    p.add_user("ann", SECRET)
    p.ann = p.login("ann")
    return p


@pytest.fixture(autouse=True)
def still_there(world):
    """Whatever a test did, the next user is served."""
    yield
    assert world.call(world.ann, "/echo/").status == 200


def raw(world, data, end=True, timeout=10):
    """Everything that the proxy answers to these bytes, up to its closing the connection."""
    with socket.create_connection((world.host, world.port), timeout) as s:
        s.sendall(data)
        if end:
            s.shutdown(socket.SHUT_WR)
        out = b""
        while chunk := s.recv(65536):
            out += chunk
    return out


def request(world, head, body=b""):
    return head.replace("TOKEN", world.ann.token).replace("\n", "\r\n").encode() + b"\r\n" + body


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


GET = "GET /echo/ HTTP/1.1\nHost: x\nAuthorization: Bearer TOKEN\n"
POST = GET.replace("GET", "POST")

BAD = {
    "two lengths": (POST + "Content-Length: 5\nContent-Length: 6\n", b"helloX"),
    "length and chunks": (POST + "Content-Length: 5\nTransfer-Encoding: chunked\n", b"0\r\n\r\nGET /"),
    "unknown coding": (POST + "Transfer-Encoding: gzip, chunked\n", b"0\r\n\r\n"),
    "chunked twice": (POST + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", b"0\r\n\r\n"),
    "negative length": (POST + "Content-Length: -1\n", b""),
    "signed length": (POST + "Content-Length: +5\n", b"hello"),
    "folded field": (GET + "X-A: b\n c\n", b""),
    "space before the colon": (GET + "X-A : b\n", b""),
    "no host": (GET.replace("Host: x\n", ""), b""),
    "two hosts": (GET + "Host: y\n", b""),
    "absolute target": (GET.replace("/echo/", "http://x/echo/"), b""),
    "control character": (GET + "X-A: a\x01b\n", b""),
    "bad chunk size": (POST + "Transfer-Encoding: chunked\n", b"zz\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_get_400_and_nothing_more(world, name):
    head, body = BAD[name]
    answer = raw(world, request(world, head, body))
    assert statuses(answer) == [400], answer
    assert b"application/problem+json" in answer and b"user=ann" not in answer


def test_a_body_is_never_taken_for_a_request(world):
    hidden = request(world, GET.replace("/echo/", "/echo/hidden"))
    answer = raw(world, request(world, POST + f"Content-Length: {len(hidden)}\nConnection: close\n", hidden))
    assert statuses(answer) == [200] and b"path=/\n" in answer and b"path=/hidden" not in answer


def test_pipelined_requests_are_answered_in_order(world):
    data = b"".join(request(world, GET.replace("/echo/", f"/echo/{i}")) for i in range(20))
    answer = raw(world, data + request(world, GET + "Connection: close\n"), end=False)
    assert statuses(answer) == [200] * 21
    places = [answer.index(f"path=/{i}\n".encode()) for i in range(20)]
    assert places == sorted(places)


@pytest.mark.parametrize("head, status", [
    (GET.replace("/echo/", "/echo/" + "x" * 9000), 414),
    (GET + "X-A: " + "x" * 20000 + "\n", 431),
    (GET + "".join(f"X-{i}: 1\n" for i in range(200)), 431),
    (POST + "Content-Length: 200000\n", 413),
    (GET.replace("GET", "TRACE"), 405),
    (GET.replace("GET", "DELETE").replace("/echo/", "/login"), 405),
    (GET + "PPCE-Label: level=NATO_SECRET\nPPCE-Label: level=UNCLASSIFIED\n", 400),
    (GET + "PPCE-Label: level=NOTHING\n", 400),
    (GET + "Cookie: ppce_session=" + "A" * 43 + "\n", 400),
    (GET.replace("TOKEN", "short"), 401),
    (GET.replace("Authorization: Bearer TOKEN\n", ""), 401),
])
def test_limits_and_refusals(world, head, status):
    answer = raw(world, request(world, head + "Connection: close\n"), end=False)
    assert statuses(answer) == [status]
    head, body = answer.split(b"\r\n\r\n", 1)
    problem = json.loads(body)
    assert problem["status"] == status and problem["code"] and problem["request_id"].encode() in head


@pytest.mark.parametrize("data", [b"GET /echo/ HT", b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"])
def test_slow_clients_are_let_go(world, data):
    assert statuses(raw(world, data, end=False)) == [408]


def test_many_slow_clients_do_not_stop_the_others(world):
    slow = [socket.create_connection((world.host, world.port), 10) for _ in range(100)]
    try:
        for s in slow:
            s.sendall(b"GET /echo/ HTTP/1.1\r\nX-")
        assert world.call(world.ann, "/echo/").status == 200
    finally:
        for s in slow:
            s.close()


FORGED = ["PPCE-User", "ppce-session", "X-PPCE-Label", "X-Forwarded-For", "X-Forwarded-User", "Forwarded", "X-Real-IP",
          "X-User", "X_User", "Remote-User", "REMOTE_USER", "X-Remote-User", "X-Auth-Request-Email", "True-Client-IP"]


def test_no_forged_identity_reaches_an_app(world):
    answer = world.call(world.ann, "/echo/", headers={**{name: "root" for name in FORGED}, "X-Other": "stays"})
    assert answer.status == 200 and "root" not in answer.text and "header.x-other=stays" in answer.text
    assert "user=ann\n" in answer.text and world.ann.token not in answer.text


def test_other_cookies_stay(world):
    answer = world.http("GET", "/echo/", headers={"Cookie": f"a=1; ppce_session={world.ann.token}; b=2"})
    assert "header.cookie=a=1; b=2\n" in answer.text and world.ann.token not in answer.text


def test_every_answer_names_its_request(world):
    ids = {world.http("GET", target).headers["PPCE-Request-Id"] for target in ("/", "/echo/", "/nothing", "/login", "/v1/x")}
    assert len(ids) == 5 and None not in ids


def test_logging_in_from_another_site_is_refused(world):
    answer = world.http("POST", "/login", "{}", {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"username":"ann"}', b'{"username":1,"password":"x"}',
                                  b'{"username":"ann","password":"x","admin":true}', b"\xff\xfe",
                                  b'{"username":"ann","password":"a\\u0000b"}'])
def test_bad_logins(world, body):
    answer = world.http("POST", "/login", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and answer.json()["detail"]


def test_the_operators_interface_is_not_at_the_door(world):
    for target in ("/metrics", "/v1/routes", "/v1/explain?user=ann&app=echo", "/openapi.json", "/v1/registrationsx"):
        assert world.http("GET", target).status in (401, 404)
