# SPDX-License-Identifier: MIT
"""Instances with taps: the real ppce-net in a namespace, a stand-in for the tender that says what it was given; and a fake
ppce-net for what the real one never does."""
import http.client
import json
import os
import pathlib
import signal
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "audit"))
from audit_daemon import AuditDaemon  # noqa: E402
from fake_net import FakeNet, is_closed
from harness import Platform, audit_records, eventually
from net_daemon import CONFLICT, GIVE, GIVEN, LOST, REFUSED as NET_REFUSED, Net, sh
from tender import FLAG_LAST, READY
from vmmd_daemon import (BOTTOM, FULL, GONE, INSTANCE, NEED, REFUSED, UNAVAILABLE, Proxy, app_file, message, place_stand_in,
                         stand_in_daemon)

BIND, START = 2, 4  # enum control_type
NONE, PRISTINE, DISCARD = range(3)  # enum control_reset
SINKS = """\
  sinks:
    low: {address: host, port: 5432, label: "level=LOW"}
    high: {address: host, port: 5433, label: "level=HIGH"}
    mail: {address: 192.0.2.7, port: 25, label: "level=HIGH", returns: "level=LOW"}
"""


def network(**settings):
    values = {"enabled": "true", "taps": 2, "reuse_s": 0, **settings}
    return "network:\n" + "".join(f"  {k}: {v}\n" for k, v in values.items()) + SINKS


@pytest.fixture
def world(namespace, stand_in, tmp_path):
    """vmmd with the image `net`, and the real ppce-net, in one directory."""
    made = []

    def make(mode="", net=True, **settings):
        vmmd = stand_in("tap_tender.py", mode, directory=tmp_path / "p", start=False)
        vmmd.net = Net(directory=vmmd.dir, start=False)
        made.append(vmmd.net)
        vmmd.configure(shells=0, backend="process", labelled_logs="true", proxy=network(**settings))  # see told()
        vmmd.auditor = AuditDaemon(vmmd.dir)
        made.append(vmmd.auditor)
        if net:
            vmmd.net.start()
        vmmd.start()
        if net:
            connected(vmmd)
        vmmd.add_image("net", app_file("hello"))
        return vmmd

    yield make
    for daemon in made:
        daemon.close()


def connected(vmmd, state=1):
    eventually(lambda: vmmd.metric("ppce_vmmd_network_connected") == state, what=f"connected: {state}")


def told(vmmd, app, uuid):
    """What the tender of this instance was given."""
    def lines():
        return [line for line in vmmd.log_lines(app) if uuid in line and "{" in line]
    line = eventually(lines, what="the tender's line")[0]
    return json.loads(line[line.index("{"):])


def address(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def test_an_instance_gets_a_tap(world):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap", port=8081, sinks="low,mail")
    with Proxy(vmmd) as proxy:
        assert (proxy.apps["a"].transport, proxy.apps["a"].has_sinks) == (1, 1)
        m = proxy.start("a")
        row = told(vmmd, "a", m.uuid)
        [listed], [tap] = vmmd.instances(uuid=m.uuid), vmmd.net.taps(state="taken")
        assert row["type"] == BIND and row["has_net"] == 1 and row["has_store"] == 0 and row["tap_works"]
        assert [os.path.basename(f) for f in row["fds"]][2:] == ["tun"] and len(row["fds"]) == 3
        assert (m.ipv4, m.port, m.transport) == (row["ipv4"], 8081, 1) == (row["ipv4"], row["port"], 1)
        assert m.flow_s >= 10 and row["mtu"] == 1500 and row["prefix"] == 22 and address(row["gateway"]) == "10.77.0.1"
        assert row["sinks"] == [["low", 5432, row["gateway"]], ["mail", 25, 0xC0000207]]
        assert (tap["instance"], tap["address"], tap["label"]) == (m.uuid, address(m.ipv4), BOTTOM)
        assert listed["address"] == f"{address(m.ipv4)}:8081" and listed["transport"] == "tap"
        assert (listed["sinks"], listed["tap"], listed["start"]) == ("low,mail", tap["name"], "restore")
        assert vmmd.metric("ppce_vmmd_taps") == 1 and listed["tap_from_pool"] in (True, False)
        assert vmmd.metric('ppce_vmmd_starts_by_mode_total{start="restore"}') == 1
        proxy.stop(m.uuid)
        eventually(lambda: not vmmd.net.taps(state="taken"), what="the tap given back")
        assert vmmd.metric("ppce_vmmd_taps") == 0


def test_sinks_by_label(world):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap", sinks="low,high,mail")
    with Proxy(vmmd) as proxy:
        granted = {}
        for label in (BOTTOM, "level=HIGH", "level=HIGH,comp={A}"):
            m = proxy.start("a", label)
            granted[label] = vmmd.instances(uuid=m.uuid)[0]["sinks"]
            assert [s[0] for s in told(vmmd, "a", m.uuid)["sinks"]] == [s for s in granted[label].split(",") if s]
    assert granted == {BOTTOM: "low,mail", "level=HIGH": "high,mail", "level=HIGH,comp={A}": ""}
    texts = [(e["uuid"] != "", e["text"].split(":")[0]) for e in vmmd.events("sink-withheld")]
    assert texts == [(True, t) for t in ("high, by R2", "low, by R6", "low, by R6", "high, by R6", "mail, by R6")]
    records = [r for r in audit_records(vmmd.dir) if r["event"] == "egress"]
    assert [(r["label"], r["object"], r["allowed"], r["rule"]) for r in records] == [
        (BOTTOM, "low", True, "R6"), (BOTTOM, "mail", True, "R6"), (BOTTOM, "high", False, "R2"),
        ("level=HIGH", "high", True, "R6"), ("level=HIGH", "mail", True, "R6"), ("level=HIGH", "low", False, "R6"),
        *(("level=HIGH,comp={A}", name, False, "R6") for name in ("low", "high", "mail"))]
    assert all(r["app"] == "a" and r["daemon"] == "vmmd" and r["instance"] for r in records)


def test_no_sinks_without_the_log(world):
    """What an instance may send to is on record before the instance exists."""
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap", sinks="low")
    vmmd.add_app("b", "net", "class", transport="tap")
    with Proxy(vmmd) as proxy:
        vmmd.auditor.stop()
        refused = proxy.need("a")
        assert (refused.type, refused.kind) == (REFUSED, UNAVAILABLE)
        proxy.start("b")
        vmmd.auditor.start()
        proxy.start("a")


@pytest.fixture(scope="module")
def one_daemon(tmp_path_factory):
    """A daemon whose network is enabled, where no ppce-net is needed."""
    place = tmp_path_factory.mktemp("one")
    place_stand_in(place, "tap_tender.py")
    with stand_in_daemon(place, proxy=network()) as vmmd:
        vmmd.add_image("net", app_file("hello"))
        yield vmmd


@pytest.mark.parametrize("word,change", [
    ("only apps with transport `tap`", {"port": 80}), ("only apps with transport `tap`", {"sinks": "low"}),
    ("only apps with transport `tap`", {"taps": "none"}), ("port", {"transport": "tap", "port": 0}),
    ("port", {"transport": "tap", "port": 65536}), ("did you mean mail?", {"transport": "tap", "sinks": "low,mial"}),
    ("network.sinks", {"transport": "tap", "sinks": "elsewhere"}), ("twice", {"transport": "tap", "sinks": "low,low"}),
    ("commas", {"transport": "tap", "sinks": "low,"}), ("sinks", {"transport": "tap", "sinks": "low,,high"}),
    ("sinks", {"transport": "tap", "sinks": "x" * 600}), ("sinks", {"transport": "tap", "sinks": ["low"]}),
    ("cannot be reset", {"start": "boot", "lifetime": "request", "mode": "reset"}), ("start", {"start": "fly"}),
    ("shells", {"shells": "some"}), ("taps", {"transport": "tap", "taps": "some"}), ("transport", {"transport": "tape"}),
])
def test_settings_that_make_no_sense(one_daemon, word, change):
    answer = one_daemon.rest("POST", "/v1/apps", {"name": "bad", "image": "net", "lifetime": "class", **change})
    assert answer.status == 400 and word in answer.json()["detail"], answer
    assert one_daemon.get("/v1/apps") == {"apps": []}


def test_an_image_without_a_network_stack(stand_in):
    vmmd = stand_in("tap_tender.py", "plain", proxy=network())
    assert vmmd.add_image("net", app_file("hello"))["network"] is False
    body = {"name": "a", "image": "net", "lifetime": "class"}
    answer = vmmd.rest("POST", "/v1/apps", {**body, "transport": "tap"})
    assert answer.status == 400 and "without a network stack" in answer.json()["detail"]
    vmmd.add_app("a", "net", "class")


def test_an_image_that_is_replaced_by_one_without(world, tmp_path):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap")
    (tmp_path / "mode").write_text("plain")
    vmmd.add_image("net", app_file("stats"), status=200)
    answer = vmmd.rest("POST", "/v1/instances", {"app": "a"})
    assert answer.status == 503 and "cannot use any more" in answer.json()["detail"]
    assert vmmd.instances() == [] and vmmd.metric("ppce_vmmd_taps_asked") == 0


@pytest.mark.parametrize("lifetime,reset", [("class", NONE), ("user", NONE), ("request", DISCARD)])
def test_booting_anew(stand_in, lifetime, reset):
    vmmd = stand_in("tap_tender.py", shells=1, boot_ms=4321)
    vmmd.add_image("net", app_file("hello"))
    app = vmmd.add_app("a", "net", lifetime, start="boot", shells="none")
    assert (app["start"], app["shells"], app["mode"]) == ("boot", "none", "discard" if reset else "")
    vmmd.wait_shells(1)
    with Proxy(vmmd) as proxy:
        m = proxy.start("a", owner="ann" if lifetime == "user" else "")
        row = told(vmmd, "a", m.uuid)
        assert (row["type"], row["reset"], row["deadline_ms"], row["has_net"]) == (START, reset, 4321, 0)
        kinds = [os.path.basename(f).split(":")[-2 if "socket" in f else -1] for f in row["fds"]]
        assert kinds[0].endswith(".elf") and kinds[1:] == ["socket", "ppce-guest"], row["fds"]
        assert m.from_shell == 0 and m.discard == (reset == DISCARD)
        assert vmmd.instances(uuid=m.uuid)[0]["start"] == "boot"
        assert vmmd.metric('ppce_vmmd_starts_by_mode_total{start="boot"}') == 1


def test_booting_anew_with_a_tap(world):
    vmmd = world()
    vmmd.add_app("a", "net", "request", start="boot", transport="tap", taps="none", sinks="low")
    with Proxy(vmmd) as proxy:
        m = proxy.start("a")
        row = told(vmmd, "a", m.uuid)
        assert row["type"] == START and row["tap_works"] and len(row["fds"]) == 4 and row["sinks"][0][0] == "low"
        assert m.port == 80 and m.ipv4 == row["ipv4"]


def test_it_waits_for_ppce_net_to_come(world):
    vmmd = world(net=False)
    vmmd.add_app("a", "net", "class", transport="tap")
    with Proxy(vmmd) as proxy:
        refused = proxy.need("a")
        assert (refused.type, refused.kind) == (REFUSED, UNAVAILABLE) and "not connected" in refused.reason
        assert vmmd.rest("GET", "/readyz").status == 503
        vmmd.net.start()
        connected(vmmd)
        assert vmmd.rest("GET", "/readyz").status == 200
        assert told(vmmd, "a", proxy.start("a").uuid)["tap_works"]


def test_ppce_net_dies(world):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap")
    vmmd.add_app("b", "net", "class")
    with Proxy(vmmd) as proxy:
        with_tap, without = proxy.start("a"), proxy.start("b")
        vmmd.net.stop(signal.SIGKILL)
        assert "ppce-net is gone" in proxy.expect(GONE, uuid=with_tap.uuid).reason
        assert [i["uuid"] for i in vmmd.instances()] == [without.uuid] and vmmd.metric("ppce_vmmd_taps") == 0
        vmmd.net.start()
        connected(vmmd)
        assert told(vmmd, "a", proxy.start("a").uuid)["tap_works"]


def test_a_tap_that_somebody_removes(world):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap")
    with Proxy(vmmd) as proxy:
        m, other = proxy.start("a"), proxy.start("a")
        sh("ip", "link", "del", vmmd.instances(uuid=m.uuid)[0]["tap"])
        assert "taken away" in proxy.expect(GONE, uuid=m.uuid).reason
        assert [i["uuid"] for i in vmmd.instances()] == [other.uuid]


def test_no_address_is_left(world):
    vmmd = world(subnet="10.9.8.0/29", taps=0)
    vmmd.add_app("a", "net", "class", transport="tap", max_instances=20)
    with Proxy(vmmd) as proxy:
        ones = [proxy.start("a") for _ in range(5)]
        refused = proxy.need("a")
        assert (refused.type, refused.kind) == (REFUSED, FULL) and "no tap:" in refused.reason
        answer = vmmd.rest("POST", "/v1/instances", {"app": "a"})
        assert (answer.status, answer.code) == (503, "full")
        assert len({m.ipv4 for m in ones}) == 5
        eventually(lambda: len(vmmd.instances()) == 5, what="the others gone")
        proxy.stop(ones[0].uuid)
        eventually(lambda: proxy.need("a").type == INSTANCE, what="an address that is free again")


def made_ahead(vmmd, n):
    """What GET /v1/pools says, once n instances made ahead are ready."""
    def check():
        pools = vmmd.get("/v1/pools")
        return pools if [e["ready"] for e in pools["warm"]] == [n] else None
    return eventually(check, what=f"{n} instances")


def test_instances_made_ahead(world):
    vmmd = world()
    vmmd.add_app("a", "net", "class", transport="tap")
    with Proxy(vmmd) as proxy:
        assert vmmd.rest("PUT", "/v1/pools", {"app": "a", "label": BOTTOM, "warm": 2}).status == 200
        made = [proxy.expect(INSTANCE, app="a") for _ in range(2)]
        assert all(m.keep and m.id == 0 and told(vmmd, "a", m.uuid)["tap_works"] for m in made)
        taps = made_ahead(vmmd, 2)["taps"]
        assert (taps["want"], taps["taken"]) == (2, 2) and {"ready", "other"} <= taps.keys()
        vmmd.net.stop(signal.SIGKILL)
        for m in made:
            assert "ppce-net is gone" in proxy.expect(GONE, uuid=m.uuid).reason
        def refused():
            [entry] = vmmd.get("/v1/pools")["warm"]
            return "not connected" in entry["last_failure"]
        eventually(refused, what="the reason")
        assert "taps" not in vmmd.get("/v1/pools")
        vmmd.net.start()
        assert made_ahead(vmmd, 2)["taps"]["taken"] == 2


# --- real guests


@pytest.fixture
def real(namespace, make_vmmd, tmp_path):
    """vmmd, tenders and ppce-net, all real, with the image hello."""
    vmmd = make_vmmd(directory=tmp_path / "p", start=False)
    with Net(directory=vmmd.dir, start=False) as vmmd.net:
        backend = "kvm" if "kvm" in os.environ.get("PYTEST_CURRENT_TEST", "") else "process"
        vmmd.configure(shells=1, backend=backend, proxy=network())
        vmmd.net.start()
        vmmd.start()
        connected(vmmd)
        if not vmmd.add_image("hello")["network"]:
            pytest.skip("guests are built without lwIP here")
        yield vmmd


def ask_by_http(m, path="/", tries=50):
    """As the proxy asks: told on the channel, then by TCP. The first SYN may meet a guest that is still being made."""
    m.channel.begin()
    connection = http.client.HTTPConnection(address(m.ipv4), m.port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    kind, flags, _, _ = m.channel.end()
    assert kind == READY
    return answer.status, text, flags


@pytest.mark.parametrize("lifetime,options,start", [
    ("class", {}, "restore"), ("request", {"port": 8080}, "restore"), ("request", {"start": "boot", "taps": "none"}, "boot"),
    ("request", {"mode": "discard", "shells": "none"}, "restore"),
])
def test_real_guests_answer_at_their_address(real, lifetime, options, start):
    real.add_app("a", "hello", lifetime, transport="tap", **options)
    with Proxy(real) as proxy:
        m = proxy.start("a")
        status, text, flags = ask_by_http(m)
        assert status == 200 and "ello" in text
        assert [i["start"] for i in real.instances(uuid=m.uuid)] in ([start], [] if m.discard else None)
        if m.discard:
            assert flags & FLAG_LAST and proxy.expect(GONE, uuid=m.uuid)
        else:
            assert ask_by_http(m)[0] == 200 and real.instances(uuid=m.uuid)[0]["requests"] == 2
            proxy.stop(m.uuid)
    eventually(lambda: not real.net.taps(state="taken"), what="the tap given back")


def test_the_command_line(network_possible, namespace, tmp_path):
    with_sinks = tmp_path / "p"
    p = Platform(with_sinks, backend="process", config={"network.enabled": "true", "network.taps": "1"})
    text = (with_sinks / "ppce.yaml").read_text()
    (with_sinks / "ppce.yaml").write_text(text.replace(
        "  sinks:\n", "  sinks:\n    mail: {address: host, port: 25, label: level=NATO_SECRET, returns: level=UNCLASSIFIED}\n"))
    with p:
        p.add_image("hello", p.image_file("hello"))
        if not p.cli_json("image", "ls")[0]["network"]:
            pytest.skip("guests are built without lwIP here")
        p.add_app("a", "hello", "request", transport="tap", port=8080, sinks="mail", start="boot", shells="none", taps="none")
        [row] = p.cli_json("app", "ls")
        assert {k: row[k] for k in ("transport", "port", "sinks", "start", "shells", "taps", "mode")} == {
            "transport": "tap", "port": 8080, "sinks": "mail", "start": "boot", "shells": "none", "taps": "none", "mode": "discard"}
        assert p.cli("app", "ls").split("\n")[1].split()[3:7] == ["discard", "tap", "mail", "boot"]
        for word, *options in (("transport `tap`", "--port", "80"), ("did you mean boot?", "--start", "bot"),
                               ("did you mean mail?", "--transport", "tap", "--sinks", "mial")):
            done = p.run("app", "add", "b", "--image", "hello", "--lifetime", "class", *options, "-C", p.dir)
            assert done.returncode == 2 and word in done.stderr, done
        uuid = p.cli("start", "a").strip()
        [row] = p.cli_json("ps")
        assert (row["uuid"], row["sinks"], row["tap_from_pool"]) == (uuid, "mail", False)
        assert row["address"].endswith(":8080") and row["address"] in p.cli("ps")


def test_a_real_guest_made_ahead(real):
    real.add_app("a", "hello", "request", transport="tap")
    with Proxy(real) as proxy:
        assert real.rest("PUT", "/v1/pools", {"app": "a", "label": BOTTOM, "warm": 1}).status == 200
        m = proxy.expect(INSTANCE, app="a")
        [process] = made_ahead(real, 1)["warm"][0]["processes"]
        assert process["uuid"] == m.uuid and process["private_kib"] > 0 and m.keep
        assert ask_by_http(m)[0] == 200
        proxy.stop(m.uuid, "is older than max_age")
        assert ask_by_http(proxy.expect(INSTANCE, app="a"))[0] == 200


# --- what the real ppce-net does not do


@pytest.fixture
def played(stand_in, tmp_path):
    """vmmd with the app a, and ppce-net played by the test."""
    directory = tmp_path / "p"
    with FakeNet(str(directory)) as net:
        vmmd = stand_in("tap_tender.py", "untried", directory=directory, proxy=network())
        vmmd.fake = net.connect()
        connected(vmmd)
        vmmd.add_image("net", app_file("hello"))
        vmmd.add_app("a", "net", "class", transport="tap")
        yield vmmd


def ask(proxy, number, app="a", label=BOTTOM):
    proxy.sock.send(message(NEED, app, label, number=number))


def test_answers_in_another_order(played):
    with Proxy(played) as proxy:
        ask(proxy, 1, label="level=MID")
        ask(proxy, 2)
        first, second = played.fake.question(), played.fake.question()
        assert (first.fresh, second.fresh) == (0, 0)
        assert (first.label, second.label) == ("level=MID", BOTTOM) and played.metric("ppce_vmmd_taps_asked") == 2
        assert {i["state"] for i in played.instances()} == {"starting"} and [i["address"] for i in played.instances()] == ["", ""]
        played.fake.taken(second, 0x0A4D0009)
        m = proxy.expect(INSTANCE, id=2)
        assert (m.ipv4, m.uuid, m.label) == (0x0A4D0009, second.uuid, BOTTOM)
        played.fake.refuse(first, CONFLICT, "not today")
        refused = proxy.expect(REFUSED, id=1)
        assert (refused.kind, refused.reason) == (CONFLICT, "no tap: not today")
        eventually(lambda: [i["uuid"] for i in played.instances()] == [second.uuid], what="one instance")


def test_an_instance_that_is_stopped_while_it_waits(played):
    with Proxy(played) as proxy:
        ask(proxy, 1)
        q = played.fake.question()
        assert played.rest("DELETE", f"/v1/instances/{q.uuid}").status == 204
        refused = proxy.expect(REFUSED, id=1)
        assert "stopped by the operator" in refused.reason and played.instances() == []
        tap = played.fake.taken(q)
        played.fake.given(q.uuid)
        assert is_closed(tap)
        assert [m for m in proxy.early if m.type in (GONE, INSTANCE)] == []


def test_the_daemon_ends_while_one_waits(played):
    with Proxy(played) as proxy:
        ask(proxy, 1)
        q = played.fake.question()
        played.stop()
        tap = played.fake.taken(q) if played.fake.receive() else None
        assert tap is None


def test_a_proxy_that_went_meanwhile_is_not_answered(played):
    with Proxy(played) as proxy:
        ask(proxy, 1)
        q = played.fake.question()
    with Proxy(played) as proxy:
        assert proxy.instances == {}
        played.fake.taken(q)
        assert proxy.expect(INSTANCE, uuid=q.uuid).id == 0


def test_the_connection_is_lost_while_one_waits(played):
    with Proxy(played) as proxy:
        ask(proxy, 1)
        played.fake.question()
        played.fake.hang_up()
        played.fake.connect()
        refused = proxy.expect(REFUSED, id=1)
        assert refused.kind == UNAVAILABLE and "ppce-net is gone" in refused.reason
        connected(played)
        ask(proxy, 2)
        played.fake.taken(played.fake.question())
        assert proxy.expect(INSTANCE, id=2)


WRONG = [
    *[lambda net, q, n=n: net.sock.send(b"x" * n) and [] for n in (1, 1905)],
    *[lambda net, q, change=change: [net.taken(q, **change)] for change in (
        {"id": 4711}, {"uuid": b"0" * 36}, {"fds": 0}, {"fds": 2}, {"prefix": 33}, {"mac": bytes(6)},
        {"type": NET_REFUSED}, {"type": GIVE})],
    lambda net, q: net.answer(GIVEN, q.id) or [], lambda net, q: [net.taken(q), net.taken(q)],
]


def test_answers_that_make_no_sense(played):
    with Proxy(played) as proxy:
        for number, wrong in enumerate(WRONG, 1):
            ask(proxy, number)
            taps = wrong(played.fake, played.fake.question())
            played.fake.connect()
            connected(played)
            eventually(lambda: played.instances() == [], what=f"no instance after {number}")
            first = proxy.receive()
            assert first.type == REFUSED or (first.type == INSTANCE and proxy.expect(GONE, uuid=first.uuid))
            for tap in taps:
                eventually(lambda: is_closed(tap), what="the descriptor closed")
    assert played.log.count("it sent a malformed message") == len(WRONG) - 1 and "Bad message" in played.log


def test_strange_kinds_and_late_words(played):
    net = played.fake
    with Proxy(played) as proxy:
        ask(proxy, 1)
        net.refuse(net.question(), 4711, "\x1b[31m")
        refused = proxy.expect(REFUSED, id=1)
        assert refused.kind == 1 and "\x1b" not in refused.reason
        net.answer(NET_REFUSED, 4711, reason="who?")
        net.answer(LOST, 0, "00000000-0000-4000-8000-000000000000", "never heard of")
        ask(proxy, 2)
        q = net.question()
        tap = net.taken(q)
        proxy.expect(INSTANCE, id=2)
        net.answer(LOST, 0, q.uuid, "removed")
        assert "taken away: removed" in proxy.expect(GONE, uuid=q.uuid).reason
        eventually(lambda: is_closed(tap), what="the tap closed")
        ask(proxy, 3)
        assert net.question().type != GIVE, "what was taken away is not given back"


def test_many_at_once(played, tmp_path):
    """More than the socket holds, with nobody who reads it."""
    (tmp_path / "ppce-tender").write_text("#!/bin/sh\nexec sleep 100\n")
    played.add_app("many", "net", "class", transport="tap", max_instances=200)
    fds = f"/proc/{played.process.pid}/fd"
    with Proxy(played) as proxy:
        before = len(os.listdir(fds))
        for n in range(1, 101):
            ask(proxy, n, "many")
        eventually(lambda: played.metric("ppce_vmmd_taps_asked") == 100, what="100 questions")
        assert played.rest("DELETE", "/v1/apps/many").status == 204
        taps = []
        for _ in range(100):
            q = played.fake.question()
            taps.append((played.fake.taken(q), q.uuid))
        given = {played.fake.question(GIVE).uuid for _ in taps}
        assert given == {uuid for _, uuid in taps} and all(is_closed(tap) for tap, _ in taps)
        eventually(lambda: len(os.listdir(fds)) == before, what="no descriptor is left")
