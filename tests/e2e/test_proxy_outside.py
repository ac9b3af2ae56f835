# SPDX-License-Identifier: MIT
"""Outside services: registered with the key, reached at exactly their label, told who asks by the proxy alone."""
import contextlib
import http.server
import json
import threading

import pytest

SECRET = "level=NATO_SECRET,comp={A}"
RESTRICTED = "level=NATO_RESTRICTED"


class Service(http.server.ThreadingHTTPServer):
    """Echoes what it was sent, and tries what an app may not do."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            text = f"{self.command} {self.path}\n{self.headers}\n".encode() + body
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("PPCE-Instance", "forged")
            self.send_header("Set-Cookie", "ppce_session=forged")
            self.send_header("Set-Cookie", "mine=1")
            self.end_headers()
            self.server.served += 1  # before the answer: the test looks right after it
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.served = 0
        self.address = "127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self):
        self.shutdown()
        self.server_close()


@contextlib.contextmanager
def services(count):
    made = [Service() for _ in range(count)]
    try:
        yield made
    finally:
        for s in made:
            s.end()


@pytest.fixture(scope="module")
def world(make_platform):
    p = make_platform()
    p.add_image("hello")
    p.add_app("hello", "hello", "class")
    p.add_user("ann", SECRET)
    p.ann = p.login("ann")
    p.key = (p.dir / "secrets" / "registration.key").read_text().strip()
    return p


def register(world, address, app="outside", label=SECRET, key=None, **more):
    body = json.dumps({"app": app, "label": label, "address": address, **more})
    return world.http("POST", "/v1/registrations", body, {"Authorization": "Bearer " + (key or world.key),
                                                          "Content-Type": "application/json"})


@pytest.fixture(autouse=True)
def tidy(world):
    yield
    for row in world.rest("proxy", "GET", "/v1/registrations").json()["registrations"]:
        assert world.rest("proxy", "DELETE", "/v1/registrations/" + row["id"]).status == 204


def test_a_service_is_told_who_asks(world):
    with services(1) as (s,):
        assert register(world, s.address).status == 201
        answer = world.call(world.ann, "/outside/a/b?c=d", method="POST", body="hi", headers={"PPCE-User": "root"})
    assert answer.status == 200 and answer.text.startswith("POST /a/b?c=d\n") and answer.text.endswith("hi")
    assert "PPCE-User: ann\n" in answer.text and f"PPCE-Label: {SECRET}\n" in answer.text
    assert f"PPCE-Session: {world.ann.id}\n" in answer.text and "root" not in answer.text
    assert world.ann.token not in answer.text
    assert answer.headers.get_all("Set-Cookie") == ["mine=1"] and "forged" not in str(answer.headers)


def test_only_the_exact_label(world):
    with services(1) as (s,):
        register(world, s.address, label=RESTRICTED)
        assert world.call(world.ann, "/outside/").status == 503
        assert world.call(world.ann, "/outside/", label=RESTRICTED).status == 200
        assert s.served == 1


def test_requests_are_shared_out(world):
    with services(2) as both:
        for s in both:
            register(world, s.address)
        assert [world.call(world.ann, "/outside/").status for _ in range(6)] == [200] * 6
        assert [s.served for s in both] == [3, 3]


def test_one_that_cannot_be_reached_is_left_alone(world):
    with services(2) as (s, gone):
        register(world, s.address)
        register(world, gone.address)
        gone.end()
        assert [world.call(world.ann, "/outside/").status for _ in range(4)] == [200] * 4
        ups = {row["address"]: row["up"] for row in world.rest("proxy", "GET", "/v1/registrations").json()["registrations"]}
        assert ups == {s.address: True, gone.address: False}


def test_when_none_can_be_reached(world):
    with services(1) as (gone,):
        register(world, gone.address)
    answer = world.call(world.ann, "/outside/")
    assert (answer.status, answer.code) == (502, "instance-failed")


def test_registering_needs_the_key(world):
    assert register(world, "127.0.0.1:9", key="x" * 64).status == 401
    assert register(world, "127.0.0.1:9", key=world.ann.token).status == 401
    assert world.http("GET", "/v1/registrations").status == 401


@pytest.mark.parametrize("change, status", [
    ({"app": "Bad Name"}, 400), ({"app": "login"}, 400), ({"label": "level=NOTHING"}, 400), ({"app": "hello"}, 409),
    ({"address": "localhost:80"}, 400), ({"address": "127.0.0.1"}, 400), ({"ttl": 0}, 400), ({"ttl": "x"}, 400),
    ({"other": 1}, 400)])
def test_bad_registrations(world, change, status):
    answer = register(world, **{"address": "127.0.0.1:9", **change})
    assert answer.status == status and answer.json()["detail"]


def test_registrations_are_recorded_and_expire_only_with_their_time(world):
    answer = register(world, "127.0.0.1:9", ttl=3600)
    record, = world.audit(event="register", request_id=answer.headers["PPCE-Request-Id"])
    assert record["allowed"] and record["app"] == "outside" and record["label"] == SECRET
    assert 3590 <= answer.json()["expires_in"] <= 3600
    again = register(world, "127.0.0.1:9", ttl=60)
    assert again.json()["id"] == answer.json()["id"] and again.json()["expires_in"] <= 60
