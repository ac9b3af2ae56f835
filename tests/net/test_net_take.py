# SPDX-License-Identifier: MIT
"""Taking and giving back: what the answer says is what the kernel has."""
import fcntl
import json
import os
import stat
import struct
import uuid

import pytest

import frames
from harness import eventually
from net_daemon import CONFLICT, FULL, GIVE, INVALID, NOT_FOUND, TAKE_NAMED, TAKEN, TAKE, message, sh

TUNGETIFF, TUNSETIFF, TUNGETVNETHDRSZ = 0x800454D2, 0x400454CA, 0x800454D7
IFF_TAP, IFF_NO_PI, IFF_PERSIST, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x800, 0x4000, 0x100
NOBODY = 65534


def test_take_describes_the_tap(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take(label="level=LOW")
        assert tap.gateway == "10.77.0.1" and tap.prefix == 22 and tap.mtu == 1500
        assert tap.mac == "02:50:" + ":".join(f"{int(n):02x}" for n in tap.ip.split("."))
        link = json.loads(sh("ip", "-j", "-d", "link", "show", tap.name))[0]
        assert link["ifindex"] == tap.ifindex and link["master"] == net.bridge
        port = link["linkinfo"]["info_slave_data"]
        assert port["state"] == "forwarding" and port["isolated"]
        assert not (port["learning"] or port["flood"] or port["mcast_flood"] or port["bcast_flood"])
        row = net.taps(name=tap.name)[0]
        assert row["state"] == "taken" and row["instance"] == tap.uuid and row["label"] == "level=LOW"
        tap.close()


def test_the_descriptor_is_a_plain_tap(make_net):
    with make_net().peer() as p:
        tap = p.take()
        name, flags = struct.unpack("16sH22x", fcntl.ioctl(tap.fd, TUNGETIFF, bytes(40)))
        assert name.rstrip(b"\0").decode() == tap.name
        assert flags & (IFF_TAP | IFF_NO_PI) == IFF_TAP | IFF_NO_PI
        assert not flags & (IFF_VNET_HDR | IFF_MULTI_QUEUE)
        assert fcntl.fcntl(tap.fd, fcntl.F_GETFL) & os.O_NONBLOCK
        with pytest.raises(BlockingIOError):
            os.read(tap.fd, 2000)
        tap.close()


def test_bridge_addresses_and_static_entries(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take()
        bridge = json.loads(sh("ip", "-j", "addr", "show", net.bridge))[0]
        assert bridge["address"] == tap.gateway_mac == "02:50:0a:4d:00:01"
        assert [(a["family"], a["local"], a["prefixlen"]) for a in bridge["addr_info"]] == [("inet", "10.77.0.1", 22)]
        neighbours = {n["dst"]: n for n in json.loads(sh("ip", "-j", "neigh"))}
        assert neighbours[tap.ip]["lladdr"] == tap.mac and neighbours[tap.ip]["state"] == ["PERMANENT"]
        entries = [e for e in json.loads(sh("bridge", "-j", "fdb", "show", "dev", tap.name)) if e["mac"] == tap.mac]
        assert [e["state"] for e in entries] == ["static"]
        assert "inet6" not in sh("ip", "-6", "addr", "show", "dev", tap.name)
        tap.close()


def test_pool_is_filled_up_and_used(make_net):
    net = make_net(taps=3)
    net.settled(3)
    with net.peer() as p:
        taps = [p.take() for _ in range(3)]
        assert all(t.from_pool for t in taps)
        net.settled(3)
        assert net.metric('takes_total{from="pool"}') == 3
        for t in taps:
            t.close()


def test_fresh_is_made_for_the_question_though_the_pool_is_full(make_net):
    net = make_net(taps=2)
    net.settled(2)
    with net.peer() as p:
        ready = {tap["name"] for tap in net.taps(state="ready")}
        tap = p.take(fresh=1)
        assert not tap.from_pool and tap.name not in ready
        assert {t["name"] for t in net.taps(state="ready")} == ready
        pooled = p.take()
        assert pooled.from_pool and pooled.name in ready
        p.give(tap)
        tap.close()
        again = p.take(fresh=1)
        assert not again.from_pool
        again.close()
        pooled.close()


def test_fresh_waits_for_its_own_while_others_take_what_comes_back(make_net):
    """A tap that was given back serves who takes any; who wants a new one gets a new one."""
    net = make_net(taps=0, reuse_s=0)
    with net.peer() as p:
        old = p.take()
        p.give(old)
        old.close()
        for n in range(8):
            p.sock.send(message(TAKE, 100 + n, who=str(uuid.uuid4()), fresh=n % 2))
        answers = [p.receive() for _ in range(8)]
        assert all(m.type == TAKEN for m, _ in answers) and len({m.name for m, _ in answers}) == 8
        assert not any(m.name == old.name for m, _ in answers if m.id % 2)
        for _, fd in answers:
            os.close(fd)


def test_empty_pool_makes_on_demand(make_net):
    net = make_net(taps=0)
    with net.peer() as p:
        tap = p.take()
        assert not tap.from_pool and net.metric('takes_total{from="nothing"}') == 1
        assert tap.connects(1, timeout=0.1) is None  # closed, but alive:
        tap.send(tap.arp())
        assert tap.receive(5)
        tap.close()


def test_giving_back_reuses_the_tap(make_net):
    net = make_net(taps=1)
    net.settled(1)
    with net.peer() as p:
        seen = set()
        for _ in range(20):
            tap = p.take()
            seen.add(tap.ifindex)
            tap.close()
            p.give(tap)
            net.settled(1)
        assert net.metric("removed_total") == 0 and net.metric("recycled_total") == 20
        assert len(seen) < 5


def test_a_new_holder_finds_an_empty_queue_and_another_address(make_net):
    net = make_net(taps=1)
    net.settled(1)
    with net.peer() as p:
        old = {}
        for _ in range(8):
            tap = p.take()
            assert tap.drain() == []
            assert old.get(tap.name) != tap.ip
            old[tap.name] = tap.ip
            for _ in range(2):  # of all turns together fewer than the kernel takes in a second
                tap.send(tap.arp())
            assert tap.receive(5)  # the other answer stays in the queue, which nobody reads
            tap.close()
            p.give(tap)
            net.settled(1)


def test_entries_follow_the_address(make_net):
    """After giving back, neither the neighbour entry nor the bridge's table nor the rules know the old address."""
    net = make_net(taps=0, reuse_s=3600)
    with net.peer() as p:
        tap = p.take()
        tap.close()
        p.give(tap)
        net.settled(0)
        assert tap.ip not in sh("ip", "neigh") and tap.mac not in sh("bridge", "fdb")
        assert tap.mac not in sh("nft", "list", "ruleset")


def test_end_of_the_connection_gives_everything_back(make_net):
    net = make_net()
    p = net.peer()
    taps = [p.take() for _ in range(5)]
    q = net.peer()
    other = q.take()
    for t in taps:
        t.close()
    p.close()
    eventually(lambda: [t["instance"] for t in net.taps(state="taken")] == [other.uuid])
    other.send(other.arp())
    assert other.receive(5)
    q.close()
    other.close()


def test_what_cannot_be_asked(make_net):
    net = make_net(sinks=[("db", "host", 5432)])
    with net.peer() as p, net.peer() as q:
        tap = p.take()
        assert p.refused(who="x").kind == INVALID
        assert p.refused(who=tap.uuid).kind == CONFLICT
        assert q.refused(who=tap.uuid).kind == CONFLICT
        assert p.refused(sinks="db,mail").kind == NOT_FOUND
        assert "mail" in p.refused(sinks="db,mail").reason
        assert p.refused(sinks="db,").kind == INVALID
        assert p.refused(sinks="d b").kind == INVALID
        assert p.refused(label="a\nb").kind == INVALID
        assert p.refused(TAKE_NAMED, uid=0xFFFFFFFF, gid=0).kind == INVALID
        assert p.refused(GIVE).kind == NOT_FOUND
        assert q.refused(GIVE, who=tap.uuid).kind == NOT_FOUND  # not its own
        p.give(tap)
        assert p.refused(GIVE, who=tap.uuid).kind == NOT_FOUND
        tap.close()


def test_many_questions_at_once(make_net):
    """Answers come for all of them, each with a tap of its own, though only two were made ahead."""
    net = make_net()
    with net.peer() as p:
        asked = {n: str(uuid.uuid4()) for n in range(60)}
        for n, who in asked.items():
            p.sock.send(message(TAKE, n, who=who))
        answers = [p.receive() for _ in asked]
        assert {m.id for m, _ in answers} == set(asked)
        assert all(m.type == TAKEN and asked[m.id] == m.uuid for m, _ in answers)
        assert len({m.ip for m, _ in answers}) == len({m.name for m, _ in answers}) == 60
        for _, fd in answers:
            os.close(fd)


def test_exhausted_subnet_is_a_clear_refusal(make_net):
    net = make_net(subnet="10.99.0.0/29", taps=2)
    with net.peer() as p:
        taps = [p.take() for _ in range(5)]
        assert sorted(t.ip for t in taps) == [f"10.99.0.{n}" for n in range(2, 7)]
        m = p.refused()
        assert m.kind == FULL and "10.99.0.0/29" in m.reason and "all 5 are in use" in m.reason
        taps[0].close()
        p.give(taps[0])
        again = p.take()  # reuse_s is 0
        assert again.ip == taps[0].ip
        for t in taps[1:] + [again]:
            t.close()


def test_address_rests_after_use(make_net):
    net = make_net(subnet="10.99.0.0/29", taps=0, reuse_s=3600)
    with net.peer() as p:
        used = []
        for _ in range(5):
            tap = p.take()
            tap.close()
            p.give(tap)
            used.append(tap.ip)
        assert len(set(used)) == 5
        m = p.refused()
        assert m.kind == FULL and "wait after use" in m.reason and "network.reuse_s" in m.reason
        eventually(lambda: net.metric("addresses_resting") == 5)


def test_address_comes_back_after_its_rest(make_net):
    net = make_net(subnet="10.99.0.0/29", taps=0, reuse_s=1)
    with net.peer() as p:
        taps = [p.take() for _ in range(5)]
        for t in taps:
            t.close()
        for t in taps:
            p.give(t)
        assert p.refused().kind == FULL
        eventually(lambda: p.ask(TAKE, who=str(uuid.uuid4()))[0].type == TAKEN)


def attach(name, uid, gid):
    """Does a process of this user get the tap by its name? The device is opened before, as its mode may forbid it."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
            os._exit(0)
        except OSError:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        os.close(fd)
        return None
    return fd


def test_named_tap_is_for_its_user_only(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take_named(NOBODY, NOBODY)
        assert attach(tap.name, 12345, 12345) is None
        assert attach(tap.name, NOBODY, 12345) is None
        tap.fd = attach(tap.name, NOBODY, NOBODY)
        assert tap.fd is not None and attach(tap.name, NOBODY, NOBODY) is None  # one at a time
        tap.send(tap.arp())
        answer = tap.receive(5)
        assert answer and answer[:6] == frames.mac_bytes(tap.mac)
        tap.close()
        p.give(tap)
        net.settled(2)
        while (again := p.take()).name != tap.name:
            again.close()
        again.close()  # nobody has it now
        assert attach(tap.name, NOBODY, NOBODY) is None


def test_pooled_tap_cannot_be_attached_by_others(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take()
        tap.close()  # nobody has it now
        assert attach(tap.name, NOBODY, NOBODY) is None


def test_socket_files_are_private(make_net):
    net = make_net()
    for name in ("run/net.sock", "run/net-rest.sock"):
        mode = os.stat(net.path(name)).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) & 0o177 == 0


def test_rest(make_net):
    net = make_net(taps=1)
    net.settled(1)
    assert net.rest("/livez").status == 200 and net.rest("/readyz").status == 200
    assert "/v1/taps" in net.rest("/openapi.json").json()["paths"]
    assert net.metric('taps{state="ready"}') == 1 and net.metric("taps_wanted") == 1
    assert net.metric("addresses") == 1021
