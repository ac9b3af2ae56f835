# SPDX-License-Identifier: MIT
"""Apps and the rest of the REST interface."""
import os
import socket
import stat
import subprocess
import sys

import pytest

from harness import eventually
from vmmd_daemon import APP, APP_GONE, GONE, Proxy


def test_defaults_and_listing(vmmd):
    app = vmmd.add_app("plain")
    assert {k: app[k] for k in ("image", "lifetime", "mode", "transport", "max_instances", "idle", "max_age",
                                "max_requests", "deadline_ms", "instances")} == {
        "image": "hello", "lifetime": "request", "mode": "reset", "transport": "channel", "max_instances": 8, "idle": 60,
        "max_age": 0, "max_requests": 0, "deadline_ms": 0, "instances": 0}
    assert vmmd.get("/v1/apps/plain") == app and app in vmmd.get("/v1/apps")["apps"]
    assert vmmd.add_app("plain", status=200) == app
    assert vmmd.rest("POST", "/v1/apps", {"name": "plain", "image": "hello", "lifetime": "class"}).status == 409


def test_the_proxy_hears_of_apps(vmmd):
    with Proxy(vmmd) as proxy:
        vmmd.add_app("heard", lifetime="user", max_instances=3, idle=7, max_age=8, max_requests=9, deadline_ms=10,
                     transport="channel")
        m = proxy.expect(APP, app="heard")
        assert (m.lifetime, m.discard, m.max_instances, m.idle_s, m.max_age_s, m.max_requests, m.deadline_ms) == \
            (2, 0, 3, 7, 8, 9, 10)
        assert (m.request_bytes, m.response_bytes) == (64 << 10, 256 << 10)
        i = proxy.start("heard", owner="ann")
        assert vmmd.rest("DELETE", "/v1/apps/heard").status == 204
        proxy.expect(APP_GONE, app="heard")
        assert "removed" in proxy.expect(GONE, uuid=i.uuid).reason
    assert vmmd.rest("GET", "/v1/apps/heard").status == vmmd.rest("DELETE", "/v1/apps/heard").status == 404
    assert not vmmd.instances(app="heard")


def test_a_deadline_of_zero_is_the_configured_one(make_vmmd):
    vmmd = make_vmmd(proxy="proxy:\n  request_ms: 1234\n")
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="request", mode="discard")
    with Proxy(vmmd) as proxy:
        assert (proxy.apps["a"].deadline_ms, proxy.apps["a"].discard) == (1234, 1)


@pytest.mark.parametrize("status,word,change", [
    (404, "nothere", {"image": "nothere"}), (400, "lifetime", {"lifetime": "forever"}),
    (400, "request", {"lifetime": "reqest"}), (400, "network.enabled: true", {"transport": "tap"}), (400, "mode", {"mode": "x"}),
    (400, "mode", {"lifetime": "class", "mode": "discard"}), (400, "max_instances", {"max_instances": 0}),
    (400, "max_instances", {"max_instances": 4097}), (400, "idle", {"idle": -1}), (400, "idle", {"idle": 1.5}),
    (400, "max_age", {"max_age": "1"}), (400, "max_requests", {"max_requests": 1 << 32}),
    (400, "deadline_ms", {"deadline_ms": 3600001}), (400, "name", {"name": "A"}), (400, "name", {"name": "login"}),
    (400, "name", {"name": 7}), (400, "max_instances", {"max_instance": 1}), (400, "lifetime", {"lifetime": None}),
])
def test_bad_settings(vmmd, status, word, change):
    before = vmmd.get("/v1/apps")
    answer = vmmd.rest("POST", "/v1/apps", {"name": "bad", "image": "hello", "lifetime": "class", **change})
    assert answer.status == status and word in answer.json()["detail"], answer
    assert vmmd.get("/v1/apps") == before


def test_starting_by_rest(vmmd):
    vmmd.add_app("by-rest", lifetime="user")
    i = vmmd.start_instance("by-rest", label="level=MID,comp={A}", owner="ann")
    shown, = vmmd.instances(uuid=i["uuid"])
    assert shown["state"] == "running" and shown["label"] == "level=MID,comp={A}" and shown["owner"] == "ann"
    assert shown["pid"] in vmmd.tenders() and shown["image"] == "hello" and shown["lifetime"] == "user"
    assert shown["digest"] == vmmd.get("/v1/images/hello")["digest"] and shown["bind_us"] > 0
    assert shown["isolation"] in ("vm", "process") and vmmd.get("/v1/instances/" + i["uuid"])["uuid"] == i["uuid"]
    assert vmmd.rest("DELETE", "/v1/instances/" + i["uuid"]).status == 204
    assert not vmmd.instances(uuid=i["uuid"]) and shown["pid"] not in vmmd.tenders()
    assert vmmd.rest("DELETE", "/v1/instances/" + i["uuid"]).status == 404


@pytest.mark.parametrize("status,word,body", [
    (404, "app", {"app": "nothere"}), (400, "app", {}), (400, "owner", {"app": "starts"}),
    (400, "owner", {"app": "starts", "owner": "a b"}), (400, "HIGH", {"app": "starts", "owner": "a", "label": "level=HIG"}),
    (400, "label", {"app": "starts", "owner": "a", "label": 1}), (400, "owner", {"app": "shared", "owner": "ann"}),
    (400, "owner", {"app": "starts", "ovner": "ann"}),
])
def test_bad_starts(vmmd, status, word, body):
    vmmd.rest("POST", "/v1/apps", {"name": "starts", "image": "hello", "lifetime": "user"})
    vmmd.rest("POST", "/v1/apps", {"name": "shared", "image": "hello", "lifetime": "class"})
    count = len(vmmd.instances())
    answer = vmmd.rest("POST", "/v1/instances", body)
    assert answer.status == status and word in answer.json()["detail"], answer
    assert len(vmmd.instances()) == count


def test_limits_of_app_and_daemon(make_vmmd):
    vmmd = make_vmmd(max_instances=3, shells=0)
    vmmd.add_image("hello")
    vmmd.add_app("two", lifetime="class", max_instances=2)
    vmmd.add_app("more", lifetime="class")
    for app, good in (("two", True), ("two", True), ("two", False), ("more", True), ("more", False)):
        answer = vmmd.rest("POST", "/v1/instances", {"app": app})
        assert (answer.status, answer.code) == ((201, "") if good else (503, "full")), answer
    assert len(vmmd.instances()) == 3 == len(vmmd.tenders() & {i["pid"] for i in vmmd.instances()})
    first = vmmd.instances(app="two")[0]
    assert vmmd.rest("DELETE", "/v1/instances/" + first["uuid"]).status == 204
    vmmd.start_instance("more")


def test_pools(make_vmmd):
    vmmd = make_vmmd(shells=1)
    vmmd.wait_shells(1)
    pools = vmmd.rest("PUT", "/v1/pools", {"shells": 3}).json()
    assert pools["shells"] == 3 and pools["backend"] in ("kvm", "process")
    vmmd.wait_shells(3)
    vmmd.rest("PUT", "/v1/pools", {"shells": 0})
    vmmd.wait_shells(0)
    eventually(lambda: not vmmd.tenders(), what="no tender")
    for bad in (-1, 65, "2", None, 1.0):
        assert vmmd.rest("PUT", "/v1/pools", {"shells": bad}).status == 400
    assert vmmd.rest("PUT", "/v1/pools", {}).status == 400


def test_events(vmmd):
    vmmd.add_app("eventful", lifetime="class")
    i = vmmd.start_instance("eventful")
    vmmd.rest("DELETE", "/v1/instances/" + i["uuid"])
    mine = [e for e in vmmd.get("/v1/events")["events"] if e["name"] == "eventful"]
    assert [e["type"] for e in mine] == ["app-added", "instance-started", "instance-ended"]
    assert mine[1]["uuid"] == mine[2]["uuid"] == i["uuid"] and "operator" in mine[2]["text"]
    last = mine[2]["seq"]
    assert vmmd.get(f"/v1/events?after={last}")["events"] == []
    assert [e["seq"] for e in vmmd.get(f"/v1/events?after={last - 1}")["events"]] == [last]
    for bad in ("x", "-1", "", "9" * 30):
        assert vmmd.rest("GET", "/v1/events?after=" + bad).status == 400


def test_health_metrics_and_description(vmmd):
    assert vmmd.rest("GET", "/livez").status == vmmd.rest("GET", "/readyz").status == 200
    assert vmmd.metric("ppce_vmmd_images") == len(vmmd.images())
    paths = vmmd.get("/openapi.json")["paths"]
    assert "post" in paths["/v1/instances"] and "delete" in paths["/v1/images/{name}"]
    assert vmmd.rest("GET", "/v1/nothing").status == 404
    assert vmmd.rest("DELETE", "/v1/pools").status == 405


def test_files_are_private(vmmd):
    for tail, mode in (("run/vmmd.sock", 0o600), ("run/vmmd-route.sock", 0o600), ("state", 0o700), ("images", 0o700),
                       ("state/vmmd.db", 0o600), ("log/apps", 0o700)):
        assert stat.S_IMODE(os.stat(vmmd.path(tail)).st_mode) == mode, tail


CONNECT = """
import os, socket, sys
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
s = socket.socket(socket.AF_UNIX, int(sys.argv[2]))
s.settimeout(10)
s.connect(sys.argv[1])
try:
    if int(sys.argv[2]) == socket.SOCK_STREAM:
        s.send(b"GET /livez HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    sys.exit(1 if s.recv(100) else 0)
except (ConnectionResetError, BrokenPipeError):
    sys.exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("tail,kind", [("run/vmmd.sock", socket.SOCK_STREAM), ("run/vmmd-route.sock", socket.SOCK_SEQPACKET)])
def test_other_users_are_turned_away(vmmd, tail, kind):
    for part in ("", "run"):
        os.chmod(vmmd.path(part), 0o755)
    os.chmod(vmmd.path(tail), 0o666)
    with Proxy(vmmd) as proxy:
        assert subprocess.run([sys.executable, "-c", CONNECT, vmmd.path(tail), str(int(kind))]).returncode == 0
        assert proxy.need("nothere").type != 0, "the proxy that was there is not disturbed"
    assert vmmd.rest("GET", "/livez").status == 200
