# SPDX-License-Identifier: MIT
"""Raw frames from whoever holds a tap. Each differs in one thing from a frame that passes; a frame that passes is sent
after each, so that what is not seen by then was dropped and not just late."""
import json
import os
import select
import socket
import subprocess
import sys
import time

import pytest

import frames
from frames import ACK, ARP, BROADCAST, FIN, IPV4, IPV6, PSH, QINQ, RST, SYN, VLAN
from harness import eventually
from net_daemon import Sniffer, accepted, listener, sh

SINK, OTHER_PORT = 5432, 6666
ELSEWHERE = "192.0.2.1"  # another address of the host
STRANGER = "02:50:99:99:99:99"


class World:
    """Two instances on one bridge, of which `bad` is hostile and may use one sink; a host with another link, sockets that
    listen everywhere, and eyes on everything that reaches it."""

    def __init__(self, namespace, make_net):
        namespace.own_links = ("lo", "elsewhere")
        sh("ip", "link", "add", "elsewhere", "type", "bridge")
        sh("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "elsewhere")
        sh("ip", "link", "set", "elsewhere", "up")
        self.net = make_net(taps=2, sinks=[("db", "host", SINK), ("mail", "host", 25)])
        self.peer = self.net.peer()
        self.bad, self.good = self.peer.take(sinks="db"), self.peer.take()
        self.listeners = [listener(port) for port in (SINK, OTHER_PORT, 25, 80)]
        self.datagrams = []
        for address in ("0.0.0.0", ELSEWHERE, "127.0.0.1", self.bad.gateway):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, OTHER_PORT))
            s.setblocking(False)
            self.datagrams.append(s)
        self.sniffer = Sniffer(self.net.bridge)
        self.sport = 41000

    def close(self):
        self.sniffer.close()
        for s in self.listeners + self.datagrams:
            s.close()
        self.bad.close()
        self.good.close()
        self.peer.close()
        sh("ip", "link", "del", "elsewhere")

    def passes(self):
        """A SYN to the sink is answered. Returns what else the host, the other instance and we saw by then."""
        self.sport += 1
        self.bad.send(self.bad.tcp(SINK, sport=self.sport))
        mine = []
        while True:
            frame = self.bad.receive(5)
            assert frame, "a frame that is allowed does not pass"
            if frames.is_tcp(frame) and frames.Segment(frame).dport == self.sport:
                break
            mine.append(frame)
        host = [f for f in self.sniffer.frames() if not (frames.is_tcp(f) and frames.Segment(f).sport == self.sport)]
        return host, self.good.drain(), mine

    def is_closed(self, *hostile):
        for frame in hostile:
            try:
                os.write(self.bad.fd, frame)
            except OSError:
                pass  # the kernel did not even take it
        assert self.passes() == ([], [], [])
        for s in self.datagrams:
            with pytest.raises(BlockingIOError):
                s.recv(2000)
        for s in self.listeners:
            assert not select.select([s], [], [], 0)[0]


@pytest.fixture
def world(namespace, make_net):
    w = World(namespace, make_net)
    assert w.passes() == ([], [], [])
    yield w
    w.close()


def test_mac_of_another(world):
    bad, good = world.bad, world.good
    for mac in (STRANGER, good.mac, bad.gateway_mac, BROADCAST, "01:00:5e:00:00:01", "00:00:00:00:00:00"):
        world.is_closed(bad.tcp(SINK, mac=mac))


def test_address_of_another(world):
    bad, good = world.bad, world.good
    for source in (good.ip, bad.gateway, "10.77.3.255", "10.77.0.0", ELSEWHERE, "127.0.0.1", "0.0.0.0", "8.8.8.8"):
        world.is_closed(bad.tcp(SINK, source=source))
    world.is_closed(bad.tcp(SINK, source=good.ip, mac=good.mac))  # all of another's identity, on the wrong port


def test_to_another_instance(world):
    bad, good = world.bad, world.good
    world.is_closed(bad.tcp(SINK, to=good.ip, gateway_mac=good.mac), bad.tcp(80, to=good.ip, gateway_mac=good.mac),
                    bad.tcp(80, to=good.ip, gateway_mac=BROADCAST), bad.tcp(80, to=good.ip),
                    bad.ip_frame(17, frames.udp(bad.ip, good.ip, 1, 2), to=good.ip, gateway_mac=good.mac),
                    bad.ip_frame(1, frames.icmp_echo(), to=good.ip, gateway_mac=good.mac))


def test_to_other_addresses_of_the_host(world):
    bad = world.bad
    for to in (ELSEWHERE, "127.0.0.1", "192.0.2.255", "255.255.255.255", "10.77.3.255", "224.0.0.1", "8.8.8.8"):
        world.is_closed(bad.tcp(SINK, to=to), bad.tcp(OTHER_PORT, to=to),
                        bad.ip_frame(17, frames.udp(bad.ip, to, 7, OTHER_PORT), to=to),
                        bad.ip_frame(17, frames.udp(bad.ip, to, 7, OTHER_PORT), to=to, gateway_mac=BROADCAST))


def test_other_ports_of_the_host(world):
    """A sink that was not asked for, a port that is none, and one that nobody listens on."""
    for port in (25, OTHER_PORT, 80, 22, SINK + 1):
        world.is_closed(world.bad.tcp(port))


def test_segments_without_a_connection(world):
    """Only the host opens connections: nothing else than an answer to its SYN gets in, whatever flags it carries."""
    for flags in (0, ACK, RST, RST | ACK, FIN, FIN | ACK, PSH | ACK, SYN | ACK, SYN | FIN, SYN | RST, 0xFF):
        world.is_closed(world.bad.tcp(OTHER_PORT, flags, ack=1))


def test_other_protocols(world):
    bad = world.bad
    world.is_closed(bad.ip_frame(17, frames.udp(bad.ip, bad.gateway, 7, OTHER_PORT)),
                    bad.ip_frame(1, frames.icmp_echo()), bad.ip_frame(2, b"\x11\0\xee\xff\0\0\0\0"),
                    bad.ip_frame(41, b"\x60" + bytes(39)), bad.ip_frame(47, bytes(8)), bad.ip_frame(132, bytes(12)))


def test_other_kinds_of_frames(world):
    bad = world.bad
    packet = bad.tcp(SINK)[14:]
    neighbour_solicitation = b"\x60\0\0\0\0\x18\x3a\xff" + bytes(32) + b"\x87" + bytes(23)
    for kind in (IPV6, 0x0800 + 1, 0x88CC, 0x888E, 0x8035, 0x86DD, 0x0842, 0x9000, 0x88E5, 0x8847, 0x8863, 0x0600):
        world.is_closed(frames.ethernet(bad.gateway_mac, bad.mac, kind, packet))
    for to in (bad.gateway_mac, BROADCAST, "33:33:00:00:00:01", "33:33:ff:00:00:01"):
        world.is_closed(frames.ethernet(to, bad.mac, IPV6, neighbour_solicitation))


def test_vlans(world):
    """A tagged frame is not the frame inside, even with the null tag."""
    bad = world.bad
    packet = bad.tcp(SINK)[14:]
    for tag in (0, 1, 5, 0x2000, 0xFFFF):
        inner = tag.to_bytes(2, "big") + IPV4.to_bytes(2, "big") + packet
        world.is_closed(frames.ethernet(bad.gateway_mac, bad.mac, VLAN, inner),
                        frames.ethernet(bad.gateway_mac, bad.mac, QINQ, inner),
                        frames.ethernet(bad.gateway_mac, bad.mac, QINQ, b"\0\x01" + VLAN.to_bytes(2, "big") + inner),
                        frames.ethernet(bad.gateway_mac, bad.mac, VLAN,
                                        tag.to_bytes(2, "big") + ARP.to_bytes(2, "big") + bad.arp()[14:]))


def test_reserved_group_addresses(world):
    """Frames to 01:80:c2:00:00:0x are handed to the host past the bridge; the packet inside must not be taken."""
    bad = world.bad
    for last in range(16):
        to = f"01:80:c2:00:00:{last:02x}"
        for address in (bad.gateway, ELSEWHERE):
            world.is_closed(bad.ip_frame(17, frames.udp(bad.ip, address, 7, OTHER_PORT), to=address, gateway_mac=to),
                            bad.tcp(SINK, to=address, gateway_mac=to))
        world.is_closed(frames.ethernet(to, bad.mac, 38, b"\x42\x42\x03" + bytes(35)))


def test_frames_for_many(world):
    bad = world.bad
    for to in (BROADCAST, "01:00:5e:00:00:01", "01:00:5e:7f:ff:fa", "09:00:09:09:13:a6"):
        world.is_closed(bad.tcp(SINK, gateway_mac=to), bad.tcp(SINK, to="10.77.3.255", gateway_mac=to))


def test_to_the_taps_own_mac(world):
    """The host's side of a tap has a MAC too, and the bridge takes frames to it for its own."""
    own = json.loads(sh("ip", "-j", "link", "show", world.bad.name))[0]["address"]
    world.is_closed(world.bad.tcp(SINK, gateway_mac=own), world.bad.tcp(OTHER_PORT, to=ELSEWHERE, gateway_mac=own))


def test_ip_options_and_fragments(world):
    bad = world.bad
    segment = frames.tcp(bad.ip, bad.gateway, 40000, SINK, SYN)
    source_route = b"\x83\x07\x04" + frames.ip_bytes(ELSEWHERE) + b"\0"
    world.is_closed(bad.ip_frame(6, segment, options=source_route), bad.ip_frame(6, segment, options=b"\x01" * 4),
                    bad.ip_frame(6, segment, fragment=0x2000), bad.ip_frame(6, segment, fragment=1),
                    bad.ip_frame(6, segment[:8], fragment=0x2000), bad.ip_frame(6, segment[8:], fragment=1))


def test_malformed_packets(world):
    bad = world.bad
    whole = bad.tcp(SINK)
    hostile = [whole[:n] for n in range(0, 54)]
    for version in (0x40, 0x44, 0x46, 0x4F, 0x55, 0x65, 0x05):
        hostile.append(whole[:14] + bytes([version]) + whole[15:])
    for length in (0, 19, 20, 39, 65535):
        hostile.append(whole[:16] + length.to_bytes(2, "big") + whole[18:])
    hostile.append(whole[:46] + b"\x00" + whole[47:])  # a TCP header of length 0
    for frame in hostile:
        try:
            os.write(bad.fd, frame)
        except OSError:
            pass
    _, to_good, to_bad = world.passes()
    assert (to_good, to_bad) == ([], [])
    assert accepted(world.listeners[0]) is None


@pytest.mark.parametrize("operation", [1, 2])
def test_arp_spoofing(world, operation):
    bad, good = world.bad, world.good
    world.net.settled(2)  # the taps that take their place have entries too
    before = sh("ip", "neigh"), sh("bridge", "fdb")
    world.is_closed(
        bad.arp(operation, sender=good.ip), bad.arp(operation, sender=bad.gateway), bad.arp(operation, sender="10.77.3.3"),
        bad.arp(operation, sender="0.0.0.0"), bad.arp(operation, sender_mac=good.mac),
        bad.arp(operation, sender_mac=bad.gateway_mac), bad.arp(operation, sender_mac=STRANGER),
        bad.arp(operation, mac=good.mac), bad.arp(operation, mac=STRANGER))
    world.is_closed(
        bad.arp(operation, mac=good.mac, sender_mac=good.mac, sender=good.ip),
        bad.arp(operation, target=good.ip), bad.arp(operation, target=bad.ip), bad.arp(operation, target=ELSEWHERE),
        bad.arp(operation, to=good.mac), bad.arp(operation, to="01:80:c2:00:00:0e"), bad.arp(operation, to=good.mac,
                                                                                          target=good.ip))
    assert (sh("ip", "neigh"), sh("bridge", "fdb")) == before


def test_arp_of_other_forms(world):
    bad = world.bad
    plain = bad.arp()
    forms = [plain[:14] + head + plain[20:] for head in (
        b"\0\x06\x08\0\x06\x04", b"\0\x01\x86\xdd\x06\x04", b"\0\x01\x08\0\x08\x04", b"\0\x01\x08\0\x06\x10")]
    forms += [bad.arp(operation) for operation in (0, 3, 4, 8, 9, 0xFFFF)] + [plain[:n] for n in (14, 20, 30, 41)]
    world.is_closed(*forms)


def test_arp_for_the_gateway_is_answered(world):
    for tap in (world.bad, world.good):
        tap.send(tap.arp())
        answer = tap.receive(5)
        assert answer[12:14] == b"\x08\x06" and answer[6:12] == frames.mac_bytes(tap.gateway_mac)
        assert answer[28:32] == frames.ip_bytes(tap.gateway)


def test_broadcast_storm(world):
    """A storm reaches nobody, and the host hears of a few frames only; meanwhile the other instance is served."""
    bad, good = world.bad, world.good
    storm = bad.arp()
    began, sent = time.monotonic(), 0
    while sent < 50000:
        for _ in range(1000):
            os.write(bad.fd, storm)
        sent += 1000
        bad.drain()
    seconds = time.monotonic() - began
    good.send(good.arp())
    assert good.receive(5)
    assert good.drain() == []
    heard = len(world.sniffer.frames())
    assert 0 < heard <= 20 * (seconds + 2) + 20
    world.is_closed(*[bad.tcp(SINK, gateway_mac=BROADCAST)] * 2000)


def test_the_other_instance_may_not_use_the_sink(world):
    assert world.good.connects(SINK, timeout=0.3) is None
    assert world.bad.connects(SINK) is not None


def test_sink_carries_data_both_ways(world):
    bad = world.bad
    eventually(lambda: accepted(world.listeners[0]) is None)
    seq, ack = bad.connects(SINK, sport=45000)
    conn = eventually(lambda: accepted(world.listeners[0]))
    bad.send(bad.tcp(SINK, PSH | ACK, sport=45000, seq=seq, ack=ack, payload=b"select"))
    conn.settimeout(5)
    assert conn.recv(100) == b"select"
    assert conn.getpeername()[0] == bad.ip
    conn.sendall(b"rows")
    while not (s := bad.next_segment(5)).payload:
        pass
    assert s.payload == b"rows"
    conn.close()


def test_a_sink_cannot_call_back(world):
    """From the sink's own port the host may answer, but not open a connection unless it is the platform."""
    code = ("import socket, sys\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            f"s.bind(('{world.bad.gateway}', {SINK}))\ns.settimeout(0.5)\ns.connect(('{world.bad.ip}', 80))\n")
    world.listeners[0].close()
    done = subprocess.run([sys.executable, "-c", code], user=12345, group=12345, capture_output=True)
    assert done.returncode != 0 and b"timed out" in done.stderr.lower()
    assert world.bad.drain() == []
    world.listeners[0] = listener(SINK)


def host_connects(to, port=80):
    s = socket.socket()
    s.setblocking(False)
    assert s.connect_ex((to, port)) == 115  # EINPROGRESS
    return s


def test_the_host_connects_to_an_instance(world):
    """The platform's connection works both ways; the other instance cannot get into it, nor can its own port be used by
    anything else."""
    good, bad = world.good, world.bad
    s = host_connects(good.ip)
    syn = good.accepts()
    assert syn and syn.dport == 80 and syn.source == good.gateway
    assert good.next_segment(5, ACK)
    s.settimeout(5)
    s.sendall(b"GET")
    request = good.next_segment(5, PSH)
    assert request.payload == b"GET"
    good.send(good.tcp(syn.sport, PSH | ACK, sport=80, seq=1001, ack=request.seq + 3, payload=b"200"))
    assert s.recv(10) == b"200"
    world.passes()  # what was seen so far
    world.is_closed(bad.tcp(syn.sport, PSH | ACK, sport=80, ack=1), bad.tcp(syn.sport, RST, sport=80),
                    bad.tcp(syn.sport, PSH | ACK, sport=80, source=good.ip, payload=b"evil"),
                    bad.tcp(syn.sport, RST, sport=80, source=good.ip, mac=good.mac))
    good.send(good.tcp(syn.sport, SYN, sport=80))  # not even the right one may begin
    good.send(good.tcp(OTHER_PORT, ACK, sport=80, ack=1))
    good.send(good.tcp(syn.sport + 1, ACK, sport=80, ack=1))
    assert world.passes()[0] == []
    s.close()
    assert good.next_segment(5, FIN)
    good.send(good.tcp(syn.sport, FIN | ACK, sport=80, seq=1004, ack=request.seq + 4))  # its last words still get through
    assert good.next_segment(5, ACK)


def test_a_connection_can_be_idle_for_long(world):
    """The host's next packet opens it again, after the rules have forgotten it."""
    good = world.good
    s = host_connects(good.ip)
    syn = good.accepts()
    assert good.next_segment(5, ACK)
    assert good.flow_s == 10  # reuse_s is 0 here
    eventually(lambda: f"{good.ip} . 80 . {syn.sport}" not in sh("nft", "list", "ruleset"), 20)
    good.send(good.tcp(syn.sport, PSH | ACK, sport=80, seq=1001, ack=syn.seq + 1, payload=b"early"))
    s.settimeout(5)
    s.sendall(b"GET")
    request = good.next_segment(5, PSH)
    good.send(good.tcp(syn.sport, PSH | ACK, sport=80, seq=1001, ack=request.seq + 3, payload=b"late."))
    assert s.recv(10) == b"late."
    s.close()


def test_half_closed_connection_gets_its_answer(world):
    good = world.good
    s = host_connects(good.ip)
    syn = good.accepts()
    assert good.next_segment(5, ACK)
    s.shutdown(socket.SHUT_WR)
    fin = good.next_segment(5, FIN)
    good.send(good.tcp(syn.sport, ACK | PSH, sport=80, seq=1001, ack=fin.seq + 1, payload=b"answer"))
    s.settimeout(5)
    assert s.recv(10) == b"answer"
    s.close()


def test_other_users_of_the_host_cannot_connect(world):
    code = f"import socket\ns = socket.socket()\ns.settimeout(0.5)\ns.connect(('{world.good.ip}', 80))\n"
    done = subprocess.run([sys.executable, "-c", code], user=12345, group=12345, capture_output=True)
    assert done.returncode != 0 and b"timed out" in done.stderr.lower()
    assert world.good.drain() == []


def test_the_host_sends_nothing_else(world):
    """No IPv6, no multicast, no datagrams, no probes: nothing of the host's chatter reaches an instance."""
    good = world.good
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for to in (good.ip, "10.77.3.255", "10.77.3.9"):
            s.sendto(b"x", (to, 9))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(good.gateway))
        s.sendto(b"x", ("224.0.0.251", 5353))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((world.net.bridge, 0))
        for to in (good.mac, BROADCAST, "33:33:00:00:00:01"):
            s.send(frames.ethernet(to, good.gateway_mac, IPV6, bytes(40)))
            s.send(frames.ethernet(to, STRANGER, IPV4, frames.ipv4("8.8.8.8", good.ip, 6, bytes(20))))
            s.send(frames.ethernet(to, good.gateway_mac, ARP, frames.arp(1, good.gateway_mac, "10.77.0.9", STRANGER, good.ip)))
    world.passes()
    assert good.drain() == []


def test_forwarded_packets_do_not_reach_an_instance(world):
    """A machine beyond the host, with the host routing: it must not reach instances, nor they it."""
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as f:
        f.write("1")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((world.net.bridge, 0))
        for source in (ELSEWHERE, "203.0.113.5"):
            segment = frames.tcp(source, world.good.ip, 1234, 80, SYN)
            s.send(frames.ethernet(world.good.mac, world.good.gateway_mac, IPV4,
                                   frames.ipv4(source, world.good.ip, 6, segment)))
    beyond = Sniffer("elsewhere")
    world.is_closed(world.bad.tcp(80, to="192.0.2.77"), world.bad.tcp(80, to="203.0.113.5"))
    assert world.good.drain() == [] and beyond.frames() == []
    beyond.close()


def test_sink_on_another_address(namespace, make_net):
    """A sink may be another address of the host; then that address and port, and nothing else of it."""
    namespace.own_links = ("lo", "elsewhere")
    sh("ip", "link", "add", "elsewhere", "type", "bridge")
    sh("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "elsewhere")
    sh("ip", "link", "set", "elsewhere", "up")
    net = make_net(sinks=[("db", ELSEWHERE, SINK)])
    listeners = [listener(SINK), listener(OTHER_PORT)]
    with net.peer() as p:
        tap = p.take(sinks="db")
        assert tap.connects(SINK, to=ELSEWHERE)
        assert tap.connects(SINK, sport=40001, timeout=0.3) is None
        assert tap.connects(OTHER_PORT, to=ELSEWHERE, sport=40002, timeout=0.3) is None
        tap.close()
    for s in listeners:
        s.close()
    sh("ip", "link", "del", "elsewhere")


def test_kept_descriptor_is_dead(world):
    """Whoever keeps the descriptor after giving back can do nothing with it, and the tap is not given to anybody else."""
    bad, seen = world.bad, world.sniffer
    world.peer.give(bad)
    seen.frames()
    for frame in (bad.arp(), bad.tcp(SINK)):
        try:
            os.write(bad.fd, frame)
        except OSError:
            pass
    assert bad.next_segment(0.3) is None and seen.frames() == []
    eventually(lambda: not world.net.taps(name=bad.name))
    assert world.net.metric("still_held_total") == 1
    with pytest.raises(OSError):
        os.write(bad.fd, bad.arp())
    static = [line.split()[0] for line in sh("ip", "neigh").splitlines() if "PERMANENT" in line]
    assert static and bad.ip not in static


def test_sink_is_closed_for_the_next_holder(namespace, make_net):
    """The same tap, and once more the same address, without the sink."""
    net = make_net(taps=0, subnet="10.99.0.0/29", sinks=[("db", "host", SINK)])
    s = listener(SINK)
    with net.peer() as p:
        for i in range(6):  # more than there are addresses
            tap = p.take(sinks="db")
            assert tap.connects(SINK, sport=40000 + i)
            tap.close()
            p.give(tap)
            net.settled(0)
            others = [p.take() for _ in range(5)]
            assert tap.name in [o.name for o in others] and tap.ip in [o.ip for o in others]
            for o in others:
                o.send(o.tcp(SINK, sport=41000 + i))
            assert all(o.next_segment(0.05) is None for o in others)
            for o in others:
                o.close()
                p.give(o)
            net.settled(0)
    s.close()
