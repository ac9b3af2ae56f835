# SPDX-License-Identifier: MIT
"""Unikernels made elsewhere, through the whole platform: a stand-in for solo5-hvt (tests/vmmd/standin.py) on a real tap,
asked by the real proxy."""
import json
import os
import signal
import sys

import pytest

import harness
from harness import eventually

sys.path[:0] = [str(harness.ROOT / "tests" / part) for part in ("vmmd", "net", "tender")]
from foreign_world import Namespace, open_tun, solo5_image, standin_installed  # noqa: E402
from net_daemon import leftovers  # noqa: E402

SECRET, RESTRICTED = "level=NATO_SECRET", "level=NATO_RESTRICTED"


@pytest.fixture(scope="module")
def foreign(make_platform, platform_dir, tmp_path_factory):
    if not (harness.build_dir() / "bin" / "ppce-net").exists() or not os.path.exists("/dev/net/tun") or os.geteuid():
        pytest.skip("ppce-net, /dev/net/tun and root are needed")
    image = tmp_path_factory.mktemp("image") / "site.hvt"
    image.write_bytes(solo5_image())
    try:
        with Namespace(), open_tun(tmp_path_factory.mktemp("dev")), standin_installed() as program:
            p = make_platform(backend="process", config={
                "network.enabled": "true", "network.reuse_s": 0, "network.taps": 2, "vmmd.solo5_hvt": program,
                "vmmd.shells": 0, "proxy.health_s": 1, "expose_timing": "true"})
            p.cli("image", "add", "site", image, "--kind", "solo5-hvt", "--memory", 32)
            for lifetime in ("class", "user", "request"):
                p.add_app(lifetime, "site", lifetime)
            for name in ("ann", "bob"):
                p.add_user(name, SECRET)
            p.ann, p.bob = p.login("ann"), p.login("bob")
            yield p
            p.stop()
            assert leftovers() == []
    except PermissionError as e:
        pytest.skip(f"no namespaces with devices can be made here: {e}")


def ask(p, session, path, **more):
    answer = p.call(session, path, **more)
    assert answer.status == 200, answer
    return json.loads(answer.text)


def instances(p, app):
    return [i for i in p.cli_json("ps") if i["app"] == app]


def test_it_is_started_by_the_first_request(foreign):
    first = ask(foreign, foreign.ann, "/class/a?b=c")
    i, = instances(foreign, "class")
    assert (i["isolation"], i["start"], i["pid"]) == ("solo5-hvt", "boot", first["pid"])
    assert ask(foreign, foreign.bob, "/class/")["pid"] == first["pid"], "bob shares it: the label is the same"
    assert ask(foreign, foreign.bob, "/class/", label=RESTRICTED)["pid"] != first["pid"]
    assert "solo5-hvt" in foreign.cli("ps") and "solo5-hvt" in foreign.cli("image", "ls")


def test_the_proxy_alone_says_who_asks(foreign):
    fields = dict(f.split(": ", 1) for f in ask(foreign, foreign.ann, "/class/", headers={"PPCE-User": "mallory"})["fields"])
    assert fields["PPCE-User"] == "ann" and fields["PPCE-Label"] == SECRET and fields["PPCE-App"] == "class"
    assert "Authorization" not in fields


def test_each_user_has_one(foreign):
    pids = [ask(foreign, who, "/user/")["pid"] for who in (foreign.ann, foreign.bob, foreign.ann)]
    assert pids[0] == pids[2] != pids[1]
    assert {i["owner"] for i in instances(foreign, "user")} == {"ann", "bob"}


def test_each_request_has_one(foreign):
    seen = [ask(foreign, foreign.ann, "/request/") for _ in range(3)]
    assert len({s["pid"] for s in seen}) == 3 and {s["requests"] for s in seen} == {1}
    eventually(lambda: not set(os.listdir("/proc")) & {str(s["pid"]) for s in seen}, what="their end")


def test_stopped_or_killed_it_is_started_again(foreign):
    pid = ask(foreign, foreign.ann, "/class/")["pid"]
    for end in ("stop", "kill", "hang"):
        i, = [i for i in instances(foreign, "class") if i["pid"] == pid]
        if end == "stop":
            foreign.cli("stop", i["uuid"])
        else:  # one that hangs is found by the health check
            os.kill(pid, signal.SIGKILL if end == "kill" else signal.SIGSTOP)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), 20, what="its end")
        eventually(lambda: pid not in {i["pid"] for i in instances(foreign, "class")}, what="its row gone")
        again = ask(foreign, foreign.ann, "/class/")
        assert again["pid"] != pid and again["requests"] == 1
        pid = again["pid"]


def test_failures_are_answers(foreign):
    args = "--ipv4={ipv4}/{prefix} --ipv4-gateway={gateway} "
    foreign.add_app("exits", "site", "class", args=args + "--mode=exit")
    foreign.add_app("deaf", "site", "class", args=args + "--mode=deaf", deadline=300)
    assert foreign.call(foreign.ann, "/exits/").status in (502, 503)
    assert "exit status 3" in foreign.cli("logs", "exits")
    assert foreign.call(foreign.ann, "/deaf/").status == 504
    eventually(lambda: not instances(foreign, "deaf"), what="the end of one that does not answer")


def test_idle_ones_end(foreign):
    foreign.add_app("idle", "site", "class", idle=1)
    pid = ask(foreign, foreign.ann, "/idle/")["pid"]
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="its end")


def test_doctor_knows_the_program(foreign):
    report = json.loads(foreign.run("doctor", "-C", foreign.dir, "-o", "json").stdout)
    found, = [f["found"] for f in report["findings"] if f["check"] == "solo5-hvt"]
    assert "/solo5-hvt" in found or "/dev/" in found
