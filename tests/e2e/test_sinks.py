# SPDX-License-Identifier: MIT
"""What an instance with a network can reach: the sinks that its label allows, by the app's own client library; and nothing
else, also not with frames of its own making."""
import pathlib
import sys
import urllib.parse

import pytest

import frames
import harness
from harness import eventually
from net_daemon import Sniffer, accepted, listener

sys.path.append(str(harness.ROOT / "tests" / "store"))
from databases import Postgres  # noqa: E402

SECRET = "level=NATO_SECRET"
USERS = {"ann": SECRET, "low": "level=NATO_CONFIDENTIAL", "top": "level=COSMIC_TOP_SECRET"}
SINKS = f"""  sinks:
    records-db: {{address: host, port: 5432, label: "{SECRET}"}}
    other: {{address: host, port: 5433, label: "{SECRET}"}}
    mail: {{address: host, port: 2525, label: "{SECRET}", returns: "level=UNCLASSIFIED"}}
"""
HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def world(namespace, make_platform, backend, tmp_path_factory):
    """PostgreSQL, which listens everywhere in this namespace, and a platform that has it as a sink."""
    p = make_platform(start=False, backend=backend, config={"network.enabled": "true", "network.taps": 3})
    path = p.dir / "ppce.yaml"
    path.write_text(path.read_text().replace("  sinks:\n", SINKS))
    database = Postgres(listen="0.0.0.0")
    try:
        database.sql("create database records")
        database.sql("create role reader login password 'reader'; create table r (n int, t text);"
                     "insert into r select i, 'row ' || i from generate_series(1, 3) i; grant select on r to reader", "records")
        p.start()
        p.add_image("pg", harness.build_dir() / "tests" / "guest" / "pg")
        p.add_image("raw", harness.build_image(HERE / "apps" / "raw.c", tmp_path_factory.mktemp("raw") / "raw",
                                               "-I" + str(harness.ROOT)))
        p.add_app("pg", "pg", "class", transport="tap", sinks="records-db")
        p.add_app("raw", "raw", "class", transport="tap", sinks="mail")
        p.add_app("heard", "raw", "class", transport="tap", sinks="records-db")
        p.add_app("other", "raw", "class", transport="tap")
        for name, clearance in USERS.items():
            p.add_user(name, clearance)
        p.sessions = {name: p.login(name) for name in USERS}
        yield p
        p.stop()
    finally:
        database.close()


def ask(world, who, sql, label=None, **connection):
    """connection: parameters of libpq, where not those that the guest takes by itself."""
    return world.call(world.sessions[who], "/pg/?" + urllib.parse.urlencode({"sql": sql, **connection}), label=label)


# Sinks


def test_rows_by_the_apps_own_client_library(world):
    answer = ask(world, "ann", "select n, t from r order by n")
    assert answer.status == 200 and answer.text == "1\trow 1\n2\trow 2\n3\trow 3\n"
    assert ask(world, "ann", "delete from r").status == 502
    [instance] = world.cli_json("ps", "pg")
    assert instance["sinks"] == "records-db"
    assert world.audit(event="egress", instance=instance["uuid"], object="records-db", allowed=True, rule="R6")


@pytest.mark.parametrize("who, why", [("top", "R6"), ("low", "R2")])
def test_a_label_that_the_sink_does_not_fit(world, who, why):
    """Above the sink's label nothing may be sent there; below it nothing may be heard from there."""
    answer = ask(world, who, "select 1")
    assert answer.status == 502 and 'could not translate host name "records-db"' in answer.text, answer
    assert "refused" in ask(world, who, "select 1", host="10.77.0.1").text
    label = USERS[who]
    assert [i["sinks"] for i in world.cli_json("ps", "pg") if i["label"] == label] == [""]
    assert any(why in e["text"] and "records-db" in e["text"] for e in world.cli_json("events"))
    assert world.audit(event="egress", app="pg", label=label, object="records-db", allowed=False, rule=why)


def test_what_a_sink_has_said_stays_out_of_the_logs(world):
    for app, shown in (("raw", True), ("heard", False)):  # `mail` says back what is for everybody, `records-db` does not
        assert world.call(world.sessions["ann"], f"/{app}/log").status == 200
        lines = eventually(lambda: world.cli("logs", app), what="a line")
        assert ("for the operator" in lines) == shown and ("withheld" in lines) != shown, app


def test_a_request_below_the_clearance_is_let_through(world):
    assert ask(world, "top", "select 7", label=SECRET).text == "7\n"


def connect(world, app, port, who="ann", to="10.77.0.1"):
    return world.call(world.sessions[who], f"/{app}/connect?to={to}&port={port}").text.strip()


def test_only_the_apps_own_sinks(world):
    mail, other = listener(2525), listener(5433)
    try:
        for who in ("ann", "low"):  # what mail says back is for everybody
            assert connect(world, "raw", 2525, who) == "connected"
            accepted(mail).close()
        assert connect(world, "raw", 2525, "top") == "Connection refused"
        for port in (5432, 5433, world.port):
            assert connect(world, "raw", port) == "Connection refused"
        assert connect(world, "other", 2525) == "Connection refused"
        assert not accepted(mail) and not accepted(other)
    finally:
        mail.close()
        other.close()


# Frames of its own making


class Wire:
    """An instance's place on the bridge, as `ppce ps` tells it."""

    def __init__(self, world, app):
        world.call(world.sessions["ann"], f"/{app}/")
        found = [i for i in world.cli_json("ps", app) if i["label"] == SECRET][0]
        self.uuid, self.tap, self.ip = found["uuid"], found["tap"], found["address"].split(":")[0]
        self.mac = "02:50:" + ":".join(f"{int(n):02x}" for n in self.ip.split("."))


def test_frames_of_a_hostile_guest_reach_nobody(world):
    bad, good, gateway, gateway_mac = Wire(world, "raw"), Wire(world, "other"), "10.77.0.1", "02:50:0a:4d:00:01"
    bridge = bad.tap[:-5] + "br"
    everywhere = [listener(port) for port in (5433, 6666)]
    sniffers = [Sniffer(bridge), Sniffer(good.tap)]
    mark = b"NEVER SEEN"

    def ip(source, to, protocol=253, payload=mark, mac=None, to_mac=gateway_mac, **more):
        return frames.ethernet(to_mac, mac or bad.mac, frames.IPV4, frames.ipv4(source, to, protocol, payload, **more))

    def syn(source, to, port, **more):
        return ip(source, to, 6, frames.tcp(source, to, 40000, port, frames.SYN, payload=mark), **more)

    hostile = {
        "to the other instance": syn(bad.ip, good.ip, 80, to_mac=good.mac),
        "the same through the gateway": syn(bad.ip, good.ip, 80),
        "as the other instance": syn(good.ip, gateway, 2525, mac=good.mac),
        "with its address only": syn(good.ip, gateway, 2525),
        "as the gateway": syn(gateway, good.ip, 80, mac=gateway_mac, to_mac=good.mac),
        "to another port": syn(bad.ip, gateway, 6666),
        "to a sink of others": syn(bad.ip, gateway, 5433),
        "to another address of the host": syn(bad.ip, "127.0.0.1", 6666),
        "to the world": syn(bad.ip, "192.0.2.1", 80),
        "another protocol": ip(bad.ip, gateway),
        "UDP": ip(bad.ip, gateway, 17, frames.udp(bad.ip, gateway, 1, 53, mark)),
        "a fragment": ip(bad.ip, gateway, 6, mark * 3, fragment=0x2000),
        "to everybody": ip(bad.ip, "255.255.255.255", to_mac=frames.BROADCAST),
        "IPv6": frames.ethernet(gateway_mac, bad.mac, frames.IPV6, mark * 6),
        "VLAN": frames.ethernet(gateway_mac, bad.mac, frames.VLAN, mark * 6),
        "ARP that lies": frames.ethernet(frames.BROADCAST, bad.mac, frames.ARP, frames.arp(
            2, bad.mac, good.ip, bad.mac, gateway)) + mark,
        "to the bridge itself": frames.ethernet("01:80:c2:00:00:00", bad.mac, 0x0026, mark * 4),
    }
    for what, frame in hostile.items():
        assert world.call(world.sessions["ann"], "/raw/send", method="POST", body=frame).text == "sent\n", what
    assert world.call(world.sessions["ann"], "/other/").status == 200  # frames do pass, so the sniffers see
    seen = [s.frames() for s in sniffers]
    assert all(seen[:1])
    assert [f for got in seen for f in got if mark in f] == []
    assert not any(accepted(s) for s in everywhere)
    after = [i for i in world.cli_json("ps", "raw") if i["uuid"] == bad.uuid][0]
    assert 0 < after["frames_dropped"] <= len(hostile)  # by the tender; what looks right to it, the kernel has stopped
    for s in (*everywhere, *sniffers):
        s.close()
