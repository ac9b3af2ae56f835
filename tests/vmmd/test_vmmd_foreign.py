# SPDX-License-Identifier: MIT
"""Unikernels made elsewhere: images of kind solo5-hvt, run by a stand-in for solo5-hvt (standin.py) on real taps."""
import ctypes
import http.client
import json
import os
import pathlib
import signal
import subprocess

import pytest

from foreign_world import BLOCK, NET, NETWORK, Namespace, World, open_tun, solo5_image, standin_installed
from harness import build_dir, eventually, process_born
from vmmd_daemon import BOTTOM, GONE, NEED, REFUSED, Proxy, Vmmd, app_file, message

NOBODY = 65534


def obstacle():
    """Why nothing can be started here, or None."""
    if not (build_dir() / "bin" / "ppce-net").exists():
        return "ppce-net is not built (libmnl-dev is missing)"
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return "root and /dev/net/tun are needed"
    return None


@pytest.fixture(scope="module")
def program():
    with standin_installed() as path:
        yield path


@pytest.fixture(scope="module")
def image_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "site.hvt"
    path.write_bytes(solo5_image())
    return str(path)


def add_image(vmmd, path, name="site", kind="solo5-hvt", status=201, **more):
    answer = vmmd.rest("POST", "/v1/images", {"name": name, "path": str(path), "kind": kind, **more})
    assert answer.status == status, answer
    return answer.json()


def add_app(vmmd, name, status=201, image="site", lifetime="class", mode=None, **settings):
    body = {"name": name, "image": image, "lifetime": lifetime, **settings}
    answer = vmmd.rest("POST", "/v1/apps", {**body, "mode": mode} if mode else body)
    assert answer.status == status, answer
    return answer.json()


@pytest.fixture(scope="module")
def world(tmp_path_factory, program, image_file):
    """ppce-net and vmmd with the image `site`. Tests take app names of their own."""
    if why := obstacle():
        pytest.skip(why)
    try:
        with Namespace(), open_tun(tmp_path_factory.mktemp("dev")):
            with World(tmp_path_factory.mktemp("world"), program) as w:
                add_image(w.vmmd, image_file, memory_mib=32)
                yield w
    except PermissionError as e:
        pytest.skip(f"no namespaces with devices can be made here: {e}")


@pytest.fixture
def vmmd(world):
    return world.vmmd


@pytest.fixture(scope="module")
def offline(tmp_path_factory, program):
    """A vmmd without a network: enough for images."""
    with Vmmd(tmp_path_factory.mktemp("offline"), solo5_hvt=program) as daemon:
        yield daemon


def with_mode(*more):
    return " ".join(("--ipv4={ipv4}/{prefix} --ipv4-gateway={gateway}",) + more)


def get(instance, path="/", port=80, address=None):
    """What the unikernel answers. `instance`: of the listing."""
    connection = http.client.HTTPConnection((address or instance["address"]).split(":")[0], port, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def start(vmmd, app, **more):
    answer = vmmd.rest("POST", "/v1/instances", {"app": app, **more})
    assert answer.status == 201, answer
    return answer.json()


def failing(vmmd, app):
    answer = vmmd.rest("POST", "/v1/instances", {"app": app})
    assert answer.status != 201, answer
    eventually(lambda: not vmmd.instances(app=app), what="its end")
    return answer


def no_tap_is_forgotten(world):
    """Those that are taken are those of living instances."""
    eventually(lambda: {t["instance"] for t in world.net.taps(state="taken")} <=
               {i["uuid"] for i in world.vmmd.instances()}, what="taps given back")


# --- images ----------------------------------------------------------------------------------------------------------


def test_an_image_is_read_and_not_booted(offline, image_file):
    boots = offline.metric("ppce_vmmd_boot_us_count")
    image = add_image(offline, image_file, "read")
    assert {k: image[k] for k in ("kind", "device", "memory_mib", "state", "network", "queries", "boot_us")} == {
        "kind": "solo5-hvt", "device": "service", "memory_mib": 64, "state": "ready", "network": True, "queries": [],
        "boot_us": 0}
    assert offline.metric("ppce_vmmd_boot_us_count") == boots
    assert add_image(offline, image_file, "read", status=200) == image
    assert add_image(offline, image_file, "read", status=200, memory_mib=16)["memory_mib"] == 16
    assert offline.add_image("hello")["kind"] == "ppce"


@pytest.mark.parametrize("word,image", [
    ("block device disk", {"devices": [("service", NET), ("disk", BLOCK)]}),
    ("service and management", {"devices": [("service", NET), ("management", NET)]}),
    ("no network device", {"devices": []}), ("damaged", {"devices": [("a b", NET)]}), ("target spt", {"target": 2}),
    ("needs 130 MiB", {"memory": 128 << 20}),
])
def test_images_that_cannot_be_run(offline, tmp_path, word, image):
    (tmp_path / "bad").write_bytes(solo5_image(**image))
    files = offline.files()
    detail = add_image(offline, tmp_path / "bad", "bad", status=400)["detail"]
    assert word in detail and offline.files() == files and not [i for i in offline.images() if i["name"] == "bad"]


def test_the_wrong_kind_is_named(offline, image_file, tmp_path):
    assert "leave out the kind" in add_image(offline, app_file("hello"), "wrong", status=400)["detail"]
    assert "--kind" in add_image(offline, image_file, "wrong", kind="ppce", status=400)["detail"]
    assert "did you mean" in add_image(offline, image_file, "wrong", kind="solo5-hvy", status=400)["detail"]
    assert "memory_mib" in add_image(offline, app_file("hello"), "wrong", "ppce", status=400, memory_mib=4)["detail"]
    (tmp_path / "text").write_text("no image\n" * 100)
    assert "not an ELF file" in add_image(offline, tmp_path / "text", "wrong", status=400)["detail"]
    add_image(offline, image_file, "kept")
    assert "remove it first" in add_image(offline, app_file("hello"), "kept", "ppce", status=409)["detail"]


def test_every_truncation_is_refused(offline, tmp_path):
    whole = solo5_image()
    for length in range(1, len(whole), 61):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert add_image(offline, tmp_path / "cut", "cut", status=400)["detail"]


def test_without_the_program(tmp_path, image_file):
    with Vmmd(tmp_path, solo5_hvt="/nonexistent/solo5-hvt") as vmmd:
        assert "vmmd.solo5_hvt" in add_image(vmmd, image_file, status=503)["detail"]


def test_the_program_is_found_in_the_path(tmp_path, program, image_file, monkeypatch):
    for path, status in ((os.path.dirname(program), 201), ("/nonexistent", 503)):
        monkeypatch.setenv("PATH", f"relative::{path}")
        with Vmmd(tmp_path / str(status)) as vmmd:
            answer = add_image(vmmd, image_file, status=status)
            assert status == 201 or "not in PATH" in answer["detail"]


def test_images_survive_a_restart(tmp_path, program, image_file):
    vmmd = Vmmd(tmp_path, solo5_hvt=program)
    try:
        before = add_image(vmmd, image_file, memory_mib=16)
        vmmd.stop()
        vmmd.start()
        eventually(lambda: vmmd.get("/v1/images/site") == before, what="the image as before")
        vmmd.stop()
        stored = pathlib.Path(vmmd.path(f"images/{before['digest']}.elf"))
        stored.chmod(0o600)
        stored.write_bytes(solo5_image(devices=[("other", NET)]))
        vmmd.start()
        eventually(lambda: "changed" in vmmd.get("/v1/images/site").get("reason", ""), what="the change noticed")
    finally:
        vmmd.close()


# --- apps ------------------------------------------------------------------------------------------------------------


def test_settings_that_go_without_saying(vmmd):
    app = add_app(vmmd, "plain")
    assert {k: app[k] for k in ("transport", "start", "shells", "taps", "port", "args")} == {
        "transport": "tap", "start": "boot", "shells": "none", "taps": "pool", "port": 80, "args": with_mode()}
    assert add_app(vmmd, "each", lifetime="request")["mode"] == "discard"
    assert add_app(vmmd, "bare", args="")["args"] == ""
    assert add_app(vmmd, "plain", status=200) == app
    add_app(vmmd, "plain", status=409, args="--port={port}")


@pytest.mark.parametrize("word,settings", [
    ("transport", {"transport": "channel"}), ("start", {"start": "restore"}), ("shells", {"shells": "pool"}),
    ("mode", {"lifetime": "request", "mode": "reset"}), ("args", {"args": "--x={y}"}), ("args", {"args": "a\nb"}),
    ("args", {"args": "x" * 513}), ("args", {"args": 1}), ("nothere", {"sinks": "nothere"}),
])
def test_settings_that_make_no_sense(vmmd, word, settings):
    assert word in add_app(vmmd, "bad", status=400, **settings)["detail"]


def test_args_are_for_foreign_unikernels(vmmd):
    vmmd.add_image("hello")
    assert "args" in add_app(vmmd, "bad", status=400, image="hello", args="x")["detail"]


# --- instances -------------------------------------------------------------------------------------------------------


def test_its_life(world, vmmd):
    add_app(vmmd, "life", port=8080, args=with_mode("--port={port}", "--greeting=hi"))
    i = start(vmmd, "life")
    assert (i["state"], i["isolation"], i["backend"], i["start"]) == ("running", "solo5-hvt", "solo5-hvt", "boot")
    assert i["address"].endswith(":8080") and "requests" not in i and i["tap"]
    tap, = world.net.taps(instance=i["uuid"])
    assert tap["named"] and tap["state"] == "taken"
    seen = get(i, port=8080)
    ip = i["address"].split(":")[0]
    assert seen["argv"] == ["--mem=32", f"--net:service={i['tap']}", f"--net-mac:service={tap['mac']}", "--",
                            "/proc/self/fd/3", f"--ipv4={ip}/22 --ipv4-gateway=10.77.0.1 --port=8080 --greeting=hi"]
    assert seen["pid"] == i["pid"] and seen["args"]["greeting"] == "hi" and seen["mtu"] == 1500
    assert vmmd.rest("DELETE", "/v1/instances/" + i["uuid"]).status == 204
    assert not os.path.exists(f"/proc/{i['pid']}") and not vmmd.instances(app="life")
    no_tap_is_forgotten(world)


def test_what_the_program_may_do(vmmd):
    """The launcher has taken from it what it does not need."""
    add_app(vmmd, "jailed")
    seen = get(start(vmmd, "jailed"))
    assert seen["status"] == {"Uid": "\t".join([str(NOBODY)] * 4), "Gid": "\t".join([str(NOBODY)] * 4),
                              "CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    assert seen["denied"] == ["tcp", "unix", "ipv6", "raw", "connect", "udp", "sendmsg", "fork", "write", "shadow", "image"]
    assert seen["cwd"] == "/" and 0 not in seen["groups"]
    assert set(seen["environment"]) <= {"LC_CTYPE"}  # Python sets that itself
    assert seen["fds"][:4] == [0, 1, 2, 3] and len(seen["fds"]) <= 6  # netlink's and the tap besides
    limits = pathlib.Path(f"/proc/{seen['pid']}/limits").read_text()
    assert all(word in " ".join(limits.split()) for word in (
        "Max core file size 0 0", f"Max address space {(32 + 1024) << 20}", "Max open files 64 64",
        f"Max file size {1 << 20}"))


def test_the_proxy_gets_it_when_it_accepts(world, vmmd):
    add_app(vmmd, "asked", lifetime="user", max_instances=2)
    with Proxy(vmmd) as proxy:
        m = proxy.start("asked", owner="ann")
        assert (m.foreign, m.port, m.transport, m.owner, m.has_store, m.from_shell) == (1, 80, 1, "ann", 0, 0)
        i, = vmmd.instances(uuid=m.uuid)
        assert get(i)["requests"] == 1 and m.flow_s > 0 and m.bind_us > 0
    with Proxy(vmmd) as proxy:  # a proxy that was started again hears of it, and of no channel
        again = proxy.instances[m.uuid]
        assert (again.foreign, again.ipv4, again.port, again.id) == (1, m.ipv4, 80, 0)
        assert get(i)["requests"] == 2
        proxy.stop(m.uuid)
    assert not vmmd.instances(app="asked")
    no_tap_is_forgotten(world)


def test_its_death_is_seen(world, vmmd):
    add_app(vmmd, "dies", args=with_mode("--die-after=2"))
    add_app(vmmd, "killed")
    with Proxy(vmmd) as proxy:
        m = proxy.start("killed")
        i, = vmmd.instances(uuid=m.uuid)
        os.kill(i["pid"], signal.SIGKILL)
        assert "signal 9" in proxy.expect(GONE, uuid=m.uuid).reason
        m = proxy.start("dies")
        i, = vmmd.instances(uuid=m.uuid)
        get(i), get(i)
        assert "signal 6" in proxy.expect(GONE, uuid=m.uuid).reason
    assert not vmmd.instances(app="killed") and not vmmd.instances(app="dies")
    no_tap_is_forgotten(world)


def test_failing_starts(world, vmmd):
    add_app(vmmd, "exits", args=with_mode("--mode=exit"))
    answer = failing(vmmd, "exits")
    assert answer.status == 502 and "exit status 3: fatal error: out of heap \\x1b[31m" in answer.json()["detail"], answer
    log = "\n".join(vmmd.get("/v1/logs/exits")["lines"])
    assert "Solo5: stand-in, 32 MB" in log and "out of heap \\x1b[31m" in log
    add_app(vmmd, "unasked", args="--nothing")  # it does not know its address
    assert "exit status 1: KeyError" in failing(vmmd, "unasked").json()["detail"]
    with Proxy(vmmd) as proxy:
        assert (m := proxy.need("exits")).type == REFUSED and "exit status 3" in m.reason
    no_tap_is_forgotten(world)


def test_a_stop_during_the_start(world, vmmd):
    add_app(vmmd, "early", args=with_mode("--mode=hang"))
    with Proxy(vmmd) as proxy:
        proxy.sock.send(message(NEED, "early", "level=LOW", number=77))
        i, = eventually(lambda: vmmd.instances(app="early"), what="an instance that starts")
        assert i["state"] == "starting"
        assert vmmd.rest("DELETE", "/v1/instances/" + i["uuid"]).status == 204
        assert proxy.expect(REFUSED, id=77)
    no_tap_is_forgotten(world)


def test_a_flood_of_lines(vmmd):
    add_app(vmmd, "floods", args=with_mode("--mode=flood"))
    i = start(vmmd, "floods")
    for _ in range(5):
        assert get(i)["args"]["mode"] == "flood"
    lines = eventually(lambda: [n for n in vmmd.get("/v1/logs/floods")["lines"] if n.endswith("x" * 100)], what="lines")
    dropped = vmmd.metric("ppce_vmmd_log_dropped_total")
    assert len(lines) <= 100 and dropped < 10000
    assert vmmd.rest("DELETE", "/v1/instances/" + i["uuid"]).status == 204


def test_two_of_them_do_not_reach_each_other(vmmd):
    add_app(vmmd, "pair")
    one, two = start(vmmd, "pair"), start(vmmd, "pair")
    assert get(two)["requests"] == 1
    for port in (80, 22):
        assert get(one, f"/reach/{two['address'].split(':')[0]}/{port}") == {"reached": False}
    assert get(two)["requests"] == 2


def landlock():
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1)) > 0


def test_two_of_them_do_not_touch_each_other(vmmd):
    """They run as the same user."""
    add_app(vmmd, "touch")
    one, two = start(vmmd, "touch"), start(vmmd, "touch")
    ways = {"kill", "limits", "priority"} | ({"memory", "descriptors"} if landlock() else set())
    for other in (two["pid"], vmmd.process.pid):
        assert set(get(one, f"/touch/{other}")["denied"]) >= ways
    assert get(two)["requests"] == 1


@pytest.mark.parametrize("command,word", [
    (b"", ""), (b"x", "malformed"), (b"x\0" * 17, "more than 16"), (b"x" * 9000 + b"\0", "malformed"),
])
def test_the_launcher_checks_its_command_line(command, word):
    done = subprocess.run([build_dir() / "bin" / "ppce-tender", "--exec", "/bin/true", "--memory", "1", "--jail-uid", "65534",
                           "--jail-gid", "65534"], input=command, capture_output=True, timeout=20)
    assert done.returncode == (1 if word else 0) and word in done.stderr.decode()


def test_some_made_ahead(vmmd):
    add_app(vmmd, "ahead")
    assert vmmd.rest("PUT", "/v1/pools", {"app": "ahead", "label": BOTTOM, "warm": 1}).status == 200

    def ready():
        return [i for i in vmmd.instances(app="ahead", state="running")]
    i, = eventually(ready, what="one made ahead")
    with Proxy(vmmd) as proxy:
        assert (proxy.instances[i["uuid"]].keep, proxy.instances[i["uuid"]].foreign) == (1, 1)
        proxy.stop(i["uuid"])
    again, = eventually(ready, what="another")
    assert again["uuid"] != i["uuid"] and get(again)["requests"] == 1
    assert vmmd.rest("PUT", "/v1/pools", {"app": "ahead", "label": BOTTOM, "warm": 0}).status == 200
    eventually(lambda: not vmmd.instances(app="ahead"), what="its end")


def test_removing_the_app_ends_them(world, vmmd):
    add_app(vmmd, "removed", lifetime="user")
    pids = [start(vmmd, "removed", owner=name)["pid"] for name in ("ann", "bob")]
    assert vmmd.rest("DELETE", "/v1/apps/removed").status == 204
    eventually(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), what="their end")


def test_they_end_with_vmmd(world, vmmd):
    add_app(vmmd, "last")
    i = start(vmmd, "last")
    born = process_born(i["pid"])
    vmmd.stop(signal.SIGKILL)
    eventually(lambda: process_born(i["pid"]) != born, what="its end")
    vmmd.start()
    no_tap_is_forgotten(world)
    eventually(lambda: vmmd.get("/v1/images/site")["state"] == "ready", what="the image")
    assert get(start(vmmd, "last"))["requests"] == 1


# --- vmmd is started again with other settings from here on ----------------------------------------------------------


def restart(world, **settings):
    world.vmmd.stop()
    world.vmmd.configure(proxy=NETWORK, **settings)
    world.vmmd.start()
    eventually(lambda: world.vmmd.get("/v1/images/site")["state"] == "ready", what="the image")


def test_starts_that_take_too_long(world, vmmd, program):
    for mode in ("hang", "wrong-mac"):
        add_app(vmmd, mode, args=with_mode("--mode=" + mode))
    restart(world, solo5_hvt=program, boot_ms=400)
    for mode in ("hang", "wrong-mac"):
        assert "accepting a connection on its port took too long" in failing(vmmd, mode).json()["detail"]
    no_tap_is_forgotten(world)


def test_programs_that_are_none(world, vmmd, tmp_path):
    add_app(vmmd, "programless")
    restart(world, solo5_hvt="/nonexistent")
    assert "/nonexistent" in failing(vmmd, "programless").json()["detail"]
    assert "/nonexistent" in add_app(vmmd, "another", status=503)["detail"]
    (tmp_path / "text").write_text("no program\n")
    (tmp_path / "text").chmod(0o700)
    restart(world, solo5_hvt=str(tmp_path / "text"))
    assert "it cannot be run: " in failing(vmmd, "programless").json()["detail"]
    no_tap_is_forgotten(world)
