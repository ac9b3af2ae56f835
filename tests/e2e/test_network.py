# SPDX-License-Identifier: MIT
"""Apps on an address of their own (transport tap), through the whole platform: the proxy speaks HTTP over TCP with lwIP in
the guest, over a tap and a bridge that ppce-net made in a network namespace of the test's own."""
import concurrent.futures
import json
import os
import signal
import socket
import sys

import pytest

import harness
import health
from harness import eventually

sys.path.insert(0, str(harness.ROOT / "tests" / "net"))
from net_daemon import leftovers, sh  # noqa: E402

SECRET = "level=NATO_SECRET"


@pytest.fixture(scope="module")
def net(namespace, make_platform, backend, echo_image):
    """A platform with a network, two users of different clearance, and the echo app at every lifetime."""
    p = make_platform(backend=backend, config={"network.enabled": "true", "network.reuse_s": 0, "network.taps": 3})
    p.add_image("echo", echo_image)
    for lifetime in ("class", "user", "request"):
        p.add_app(lifetime, "echo", lifetime, transport="tap")
    p.add_app("discard", "echo", "request", transport="tap", mode="discard")
    p.add_app("booted", "echo", "class", transport="tap", start="boot", taps="none", shells="none")
    p.add_app("channel", "echo", "class")
    p.add_user("ann", SECRET)
    p.add_user("bob", SECRET)
    p.ann, p.bob = p.login("ann"), p.login("bob")
    yield p
    p.stop()
    assert leftovers() == []


def fields(answer):
    assert answer.status == 200, answer
    return dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)


def instances(p, app):
    return [i for i in p.cli_json("ps") if i["app"] == app]


def test_the_same_image_serves_over_tcp(net):
    tap, channel = (fields(net.call(net.ann, f"/{app}/a/b?x=1", method="POST", body="hi", headers={"X-Test": "yes"}))
                    for app in ("class", "channel"))
    assert tap["user"] == "ann" and tap["label"] == SECRET and tap["path"] == "/a/b" and tap["body"] == "hi"
    for own in ("id", "count", "kept"):
        tap.pop(own), channel.pop(own)
    assert tap == channel


def test_it_is_listed_with_its_address(net):
    net.call(net.ann, "/class/")
    listed = instances(net, "class")[0]
    address, port = listed["address"].split(":")
    assert listed["transport"] == "tap" and port == "80" and address.startswith("10.77.0.")
    with socket.create_connection((address, 80), timeout=5) as s:  # we are root, as the platform is
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")


def test_connections_are_reused(net):
    first = net.call(net.ann, "/class/")
    address = instances(net, "class")[0]["address"].split(":")[0]

    def own():
        return {line.split()[2] for line in sh("ss", "-Htn", "state", "established", "dst", address).splitlines()}

    before = own()
    assert len(before) == 1
    for _ in range(20):
        assert net.call(net.ann, "/class/").instance == first.instance
    assert own() == before


def test_starts_cold_then_warm_or_pristine(net):
    for app, start in (("class", "warm"), ("user", "warm"), ("request", "pristine")):
        net.call(net.bob, f"/{app}/")  # while this one's instance is reset, another request starts a new one
        eventually(lambda: net.call(net.bob, f"/{app}/").start == start, 10, (app, start))


def test_class_shares_memory_request_does_not(net):
    for app, kept in (("class", "ann:mine"), ("request", "nothing"), ("discard", "nothing")):
        net.call(net.ann, f"/{app}/keep", method="POST", body="mine")
        assert fields(net.call(net.bob, f"/{app}/"))["kept"] == kept, app
    net.call(net.ann, "/user/keep", method="POST", body="mine")
    assert fields(net.call(net.bob, "/user/"))["kept"] == "nothing"
    assert fields(net.call(net.ann, "/user/"))["kept"] == "ann:mine"


def test_booted_instead_of_cloned_on_a_tap_made_for_it(net):
    assert fields(net.call(net.ann, "/booted/"))["user"] == "ann"
    assert instances(net, "booted")[0]["start"] == "boot"


def test_a_crash_is_one_502_and_the_next_is_served(net):
    for app in ("class", "request"):
        assert net.call(net.ann, f"/{app}/crash").status == 502
        assert net.call(net.ann, f"/{app}/").status == 200


def test_large_bodies_both_ways(net):
    body = os.urandom(40000).hex()[:60000]
    assert fields(net.call(net.ann, "/class/", method="POST", body=body))["body"] == body
    answer = net.call(net.ann, "/class/big?bytes=200000")
    assert answer.status == 200 and len(answer.body) == 200000


def test_many_at_once(net):
    def one(n):
        who = (net.ann, net.bob)[n % 2]
        answer = fields(net.call(who, f"/request/?n={n}", headers={"X-N": str(n)}))
        return answer["user"] == who.user and answer["query"] == f"n={n}" and answer["count"] == "1"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(60)))


def test_instances_cannot_be_reached_by_other_users_of_the_machine(net):
    net.call(net.ann, "/class/")
    address = instances(net, "class")[0]["address"].split(":")[0]
    code = f"import socket; socket.create_connection(('{address}', 80), timeout=0.5)"
    assert "imeout" in sh("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c",
                          f"try:\n {code}\nexcept OSError as e: print(repr(e))")


def test_ppce_net_dies(net):
    """Its instances end, a request after that finds a new one on a tap of the new ppce-net."""
    before = net.call(net.ann, "/class/").instance
    os.kill(net.pid("net"), signal.SIGKILL)
    eventually(lambda: before not in [i["uuid"] for i in net.cli_json("ps")], 10)
    eventually(lambda: net.call(net.ann, "/class/").status == 200, 10)
    assert net.call(net.ann, "/class/").instance != before


def test_nothing_is_left_of_many_starts_and_stops(net):
    """PPCE_CYCLES instances made and ended, four at a time: after them there is what was before, and taps that are ready."""
    def held():
        return len(net.family()), len(os.listdir(f"/proc/{net.pid('vmmd')}/fd"))

    def cycle(_):
        made = net.rest("vmmd", "POST", "/v1/instances", {"app": "class", "label": SECRET})
        assert made.status == 201, made
        assert net.rest("vmmd", "DELETE", f"/v1/instances/{made.json()['uuid']}").status == 204

    def taps():
        return net.rest("net-rest", "GET", "/v1/taps").json()["taps"]

    def only_ready_taps():
        """As many ports, static neighbours and elements of the rules as ppce-net says that there are ready taps."""
        ready, ports = taps(), len(json.loads(sh("bridge", "-j", "link")))
        neighbours, rules = sh("ip", "neigh").count("PERMANENT"), sh("nft", "list", "ruleset")
        return all(t["state"] == "ready" for t in ready) and ports == neighbours == len(ready) == rules.count(" . 02:50:")

    for i in net.cli_json("ps"):
        net.rest("vmmd", "DELETE", f"/v1/instances/{i['uuid']}")
    cycle(0)
    eventually(lambda: net.rest("vmmd", "GET", "/v1/pools").json()["shells_ready"] == 2)
    before = held()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(cycle, range(int(os.environ.get("PPCE_CYCLES", "500")))))
    assert net.cli_json("ps") == []
    eventually(lambda: held() == before, 20, f"processes and descriptors: {before}")
    eventually(only_ready_taps, 20)
    assert 3 <= len(taps()) <= 2 * 3 + 4  # a pool of three, and what is kept of those that were given back


# Labelled data


@pytest.fixture(scope="module")
def club(namespace, database, platform_dir, backend):
    """The club of examples/health, whose apps have addresses of their own."""
    c = health.Club(f"{platform_dir}/tap-club-{backend}", database, backend=backend,
                    config={"network.enabled": "true", "network.subnet": "10.78.0.0/24"})
    certificate = c.sign("stats")
    with c:
        for name in ("records", "stats"):
            c.add_image(name)
            c.add_app(name, name, "request", transport="tap")
        c.add_people("p1", "p2", ("ann", "trainer"), ("rex", "researcher"))
        c.collect(health.squad(1), "medical", f"certificate:{certificate}", "form")
        c.enter("rex")
        yield c


def test_reading_over_the_store_raises_and_r4_holds(club):
    assert club.get("p1", "/records/me").json()["training"]
    answer = club.get("ann", "/records/player/p1/training")
    assert answer.status == 403 and "value" not in answer.text
    assert club.consent("p1", "coach", "training", "ann").status == 201
    club.enter("ann")
    assert club.get("ann", "/records/player/p1/training").status == 200


def test_a_released_value_travels_over_tcp(club):
    answer = club.get("rex", "/stats/mean?squad=s1&measure=glucose")
    assert answer.status == 200 and answer.json() == {"mean": 84, "players": 20}
    assert "ppce-release" not in {k.lower() for k in answer.headers}
    assert club.get("rex", "/records/player/p1/medical").status == 403
    assert club.cli("audit", "verify")
