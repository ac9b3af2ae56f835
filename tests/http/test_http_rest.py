# SPDX-License-Identifier: MIT
"""The REST layer over a Unix socket."""
import json
import os
import subprocess

import pytest

from http_tools import get


def call(echo, method, target, body=None, *fields):
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    with echo.connect_rest() as wire:
        wire.send(get(target, *fields, method=method, body=body))
        return wire.answer(head=method == "HEAD")


def test_routes_and_parameters(echo):
    assert call(echo, "GET", "/v1/things/a%2Fb%20c").json == {"name": "a/b c", "part": ""}
    assert call(echo, "GET", "/v1/things/x/parts/y?q=1").json == {"name": "x", "part": "y"}
    assert call(echo, "HEAD", "/v1/things/x").status == 200
    deleted = call(echo, "DELETE", "/v1/things/x")
    assert deleted.status == 204 and deleted.body == b""


@pytest.mark.parametrize("target", ["/", "/v1", "/v1/things/", "/v1/things//parts/x", "/v1/things/a/b", "/v1/things/%00",
                                    "/v1/things/%zz", "/v1/things/%1", "/v1/things/" + "a" * 128, "//v1/things", "/livez/"])
def test_unknown_path(echo, target):
    answer = call(echo, "GET", target)
    assert answer.status == 404 and answer.json["code"] == "not-found"


def test_wrong_method(echo):
    answer = call(echo, "DELETE", "/v1/things")
    assert answer.status == 405 and answer.get("Allow") == "POST, PUT" and answer.json["code"] == "method-not-allowed"
    assert call(echo, "POST", "/v1/things/x").get("Allow") == "GET, HEAD, DELETE"
    answer = call(echo, "POST", "/metrics")
    assert answer.status == 405 and answer.get("Allow") == "GET, HEAD"


@pytest.mark.parametrize("fields", [[], ["Content-Type: application/json"], ["content-type: Application/JSON; charset=utf-8"]])
def test_body(echo, fields):
    answer = call(echo, "POST", "/v1/things", {"name": "n", "size": 1}, *fields)
    assert answer.status == 201 and answer.json == {"name": "n", "size": 1}


BAD_BODIES = {
    "no body": (None, "required"),
    "empty object": ("{}", "'name' is required"),
    "null is no value": ('{"size": 1}', "'name' is required"),
    "array": ("[]", "object"),
    "string": ('"x"', "bad JSON"),
    "cut": ('{"name": "x"', ""),
    "two values": ('{"name": "x"} {}', ""),
    "mistyped key": ('{"name": "x", "color": 1}', "did you mean 'colour'"),
    "unknown key": ('{"name": "x", "something": 1}', "unknown key 'something'"),
    "duplicate key": ('{"name": "x", "name": "y"}', ""),
    "NUL in a string": ('{"name": "\\u0000"}', ""),
    "deep": ('{"name": ' + "[" * 1000 + "]" * 1000 + "}", ""),
    "long key": (json.dumps({"name": "x", "k" * 5000: 1}), "unknown key"),
    "not UTF-8": ('{"name": "\xff"}', ""),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body(echo, name):
    body, words = BAD_BODIES[name]
    answer = call(echo, "POST", "/v1/things", body)
    assert answer.status == 400 and answer.json["code"] == "invalid"
    assert words in answer.json["detail"]


def test_wrong_content_type(echo):
    answer = call(echo, "POST", "/v1/things", {"name": "x"}, "Content-Type: text/plain")
    assert answer.status == 400 and "application/json" in answer.json["detail"]


def test_optional_body(echo):
    assert call(echo, "PUT", "/v1/things").json == {}
    assert call(echo, "PUT", "/v1/things", {}).json == {}
    assert call(echo, "DELETE", "/v1/things/x", {}).status == 204
    assert call(echo, "DELETE", "/v1/things/x", {"name": "x"}).status == 400


def test_later(echo):
    assert call(echo, "POST", "/v1/later/50", {"colour": "red"}).json == {"late": True}


def test_client_that_leaves_before_a_later_answer(echo):
    with echo.connect_rest() as wire:
        wire.send(get("/v1/later/100", method="POST", body="{}"))
    assert call(echo, "POST", "/v1/later/200", {}).status == 200


def test_handler_faults(echo):
    silent = call(echo, "GET", "/v1/silent")
    assert silent.status == 500 and silent.json["code"] == "internal"
    fault = call(echo, "GET", "/v1/fault")
    assert fault.status == 500 and fault.json["detail"] == "the inner detail", "our own user may see it"


def test_health(fresh):
    assert call(fresh, "GET", "/livez").status == 200
    assert call(fresh, "GET", "/readyz").status == 200
    assert call(fresh, "POST", "/v1/unready").status == 204
    answer = call(fresh, "GET", "/readyz")
    assert answer.status == 503 and answer.json["detail"] == "told not to be"
    assert call(fresh, "GET", "/livez").status == 200


def test_metrics(fresh):
    call(fresh, "GET", "/nothing")
    text = call(fresh, "GET", "/metrics").body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['ppce_rest_answers_total{class="4xx"}'] == "1"
    assert values["ppce_rest_in_flight"] == "1"
    assert values["echo_things"] == "3"
    assert float(values["process_resident_memory_bytes"]) > 1e5


def test_openapi(echo):
    doc = call(echo, "GET", "/openapi.json").json
    assert doc["openapi"].startswith("3.") and doc["info"]["title"] == "echo"
    assert set(doc["paths"]["/v1/things/{name}"]) == {"get", "delete"}
    assert doc["paths"]["/v1/things/{name}"]["get"]["parameters"][0]["name"] == "name"
    schema = doc["paths"]["/v1/things"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["name"] and set(schema["properties"]) == {"name", "colour", "size"}
    assert "/metrics" in doc["paths"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_other_users_are_turned_away(fresh):
    """Even where the modes of the socket's files would let them in."""
    os.chmod(os.path.dirname(fresh.rest), 0o755)
    os.chmod(fresh.rest, 0o666)
    code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "try:\n s.sendall(b'GET /livez HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); print(s.recv(100))\n"
            "except (BrokenPipeError, ConnectionResetError): print(b'')")
    for uid, answered in ((0, True), (65534, False)):
        done = subprocess.run(["/usr/bin/python3", "-c", code, fresh.rest], user=uid, capture_output=True, text=True,
                              cwd="/", check=True)
        assert ("200 OK" in done.stdout) == answered, done.stdout
