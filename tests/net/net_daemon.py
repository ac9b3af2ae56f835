# SPDX-License-Identifier: MIT
"""Runs the real ppce-net in a network namespace that the test makes, and speaks to it as vmmd does."""
import array
import ctypes
import ipaddress
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import time
import uuid

import frames
from daemon_base import Daemon
from harness import UnixClient, build_dir, eventually

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
PACKET_OUTGOING = 4
# struct net_message of include/ppce/net.h
MESSAGE = struct.Struct("<IIQ37s16s6s6sBBx9I560s1024s200s")
TAKE, TAKE_NAMED, GIVE, TAKEN, GIVEN, REFUSED, LOST = 1, 2, 3, 16, 17, 18, 19
# enum err_kind of lib/err.h
INVALID, NOT_FOUND, CONFLICT, FULL = 2, 5, 8, 15
libc = ctypes.CDLL(None, use_errno=True)


def sh(*args, check=True):
    done = subprocess.run(args, capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(args)}: {done.stderr}")
    return done.stdout


class Namespace:
    """The process (and what it starts) moves into a network namespace of its own, and back at the end; the namespace then
    goes away with its last process."""

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if libc.unshare(CLONE_NEWNET) != 0:
            why = os.strerror(ctypes.get_errno())
            os.close(self.home)
            raise PermissionError(f"no network namespace can be made here: {why}")
        sh("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        assert libc.setns(self.home, CLONE_NEWNET) == 0
        os.close(self.home)


def no_taps():
    """Why no tap can be made in a namespace here, or None."""
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun here"
    try:
        with Namespace():
            return None
    except PermissionError as e:
        return str(e)


def obstacle():
    """Why this machine cannot run tests with ppce-net, or None."""
    if not (build_dir() / "bin" / "ppce-net").exists():
        return "ppce-net is not built (libmnl-dev is missing)"
    return no_taps()


def links():
    return sorted(link["ifname"] for link in json.loads(sh("ip", "-j", "link")))


def leftovers(but=("lo",)):
    """What the daemon may have left in this namespace."""
    found = [f"link {name}" for name in links() if name not in but]
    found += [f"neighbour {line}" for line in sh("ip", "neigh").splitlines()]
    found += [f"rule {line}" for line in sh("nft", "list", "ruleset").splitlines()]
    return found


class Message:
    def __init__(self, data):
        f = MESSAGE.unpack(data)
        self.type, self.kind, self.id = f[:3]
        self.uuid, self.name = (t.split(b"\0")[0].decode() for t in f[3:5])
        self.mac, self.gateway_mac = map(frames.mac_text, f[5:7])
        self.from_pool, self.ifindex = f[7], f[9]
        self.ip, self.gateway = str(ipaddress.IPv4Address(f[10])), str(ipaddress.IPv4Address(f[12]))
        self.prefix, self.mtu, self.took_us, self.flow_s = f[11], f[13], f[16], f[17]
        self.reason = f[20].split(b"\0")[0].decode()

    def __repr__(self):
        return f"<{self.type} id={self.id} {self.uuid} {self.name} kind={self.kind} {self.reason!r}>"


def message(kind, number=0, who="", sinks="", label="", uid=0, gid=0, fresh=0):
    return MESSAGE.pack(kind, 0, number, who.encode(), b"", b"", b"", 0, fresh, 0, 0, 0, 0, 0, uid, gid, 0, 0, sinks.encode(),
                        label.encode(), b"")


class Tap:
    """What a NET_TAKE brought: the numbers of the answer, and the descriptor. Sends and receives frames, and can play the
    instance's side of TCP."""

    def __init__(self, m, fd):
        self.__dict__.update(m.__dict__)
        self.fd = fd

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None

    def send(self, frame):
        assert os.write(self.fd, frame) == len(frame)

    def receive(self, timeout=0.0):
        """The next frame, or None."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return None
        return os.read(self.fd, 70000)

    def drain(self):
        got = []
        while (frame := self.receive()) is not None:
            got.append(frame)
        return got

    def arp(self, operation=1, to=frames.BROADCAST, mac=None, sender_mac=None, sender=None, target=None):
        return frames.ethernet(to, mac or self.mac, frames.ARP, frames.arp(
            operation, sender_mac or self.mac, sender or self.ip, "00:00:00:00:00:00", target or self.gateway))

    def ip_frame(self, protocol, payload, source=None, to=None, mac=None, gateway_mac=None, kind=frames.IPV4, **more):
        return frames.ethernet(gateway_mac or self.gateway_mac, mac or self.mac, kind, frames.ipv4(
            source or self.ip, to or self.gateway, protocol, payload, **more))

    def tcp(self, dport, flags=frames.SYN, sport=40000, source=None, to=None, seq=1000, ack=0, payload=b"", **more):
        segment = frames.tcp(source or self.ip, to or self.gateway, sport, dport, flags, seq, ack, payload)
        return self.ip_frame(6, segment, source=source, to=to, **more)

    def next_segment(self, timeout=5, flags=None):
        """The next TCP segment (that has all of these flags)."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            frame = self.receive(left)
            if frame and frames.is_tcp(frame):
                s = frames.Segment(frame)
                if flags is None or s.flags & flags == flags:
                    return s
        return None

    def connects(self, port, to=None, sport=40000, timeout=5):
        """Three-way handshake from the instance; the connection's next (seq, ack), or None."""
        self.send(self.tcp(port, to=to, sport=sport))
        s = self.next_segment(timeout, frames.SYN | frames.ACK)
        if not s:
            return None
        self.send(self.tcp(port, frames.ACK, to=to, sport=sport, seq=1001, ack=s.seq + 1))
        return 1001, s.seq + 1

    def accepts(self, timeout=5):
        """The handshake with a host that connects; the peer's segment, or None."""
        s = self.next_segment(timeout, frames.SYN)
        if s:
            self.send(self.tcp(s.sport, frames.SYN | frames.ACK, sport=s.dport, ack=s.seq + 1))
        return s


class Peer:
    """A connection to net.sock."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def receive(self):
        """(message, descriptor or None), or None when the daemon has hung up."""
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, MESSAGE.size + 1, 4)
        except ConnectionResetError:
            return None
        assert not flags & socket.MSG_CTRUNC
        if not data:
            return None
        m = Message(data)
        assert len(fds) <= 1
        return m, (fds[0] if fds else None)

    def ask(self, kind, **fields):
        self.number += 1
        self.sock.send(message(kind, self.number, **fields))
        m, fd = self.receive()
        assert m.id == self.number
        return m, fd

    def take(self, sinks="", label="", who=None, fresh=0):
        m, fd = self.ask(TAKE, who=who or str(uuid.uuid4()), sinks=sinks, label=label,
                         fresh=fresh)
        assert m.type == TAKEN, m
        return Tap(m, fd)

    def take_named(self, uid, gid, **fields):
        m, fd = self.ask(TAKE_NAMED, who=str(uuid.uuid4()), uid=uid, gid=gid, **fields)
        assert m.type == TAKEN and fd is None, m
        return Tap(m, None)

    def refused(self, kind=TAKE, **fields):
        fields.setdefault("who", str(uuid.uuid4()))
        m, fd = self.ask(kind, **fields)
        assert m.type == REFUSED and fd is None, m
        return m

    def give(self, tap):
        m, _ = self.ask(GIVE, who=tap.uuid)
        assert m.type == GIVEN and m.uuid == tap.uuid, m

    def hung_up(self):
        while self.receive():
            pass
        return True


class Net(Daemon):
    """One ppce-net. `settings` are keys of the section network."""

    name = "ppce-net"

    def __init__(self, directory=None, start=True, sinks=(), user=None, **settings):
        super().__init__(directory, user=user)
        self.configure(sinks=sinks, **settings)
        if start:
            self.start_or_clean_up()

    def configure(self, sinks=(), **settings):
        values = {"enabled": "true", "taps": 2, "reuse_s": 0, **settings}
        text = "log_level: debug\nnetwork:\n" + "".join(f"  {k}: {v}\n" for k, v in values.items())
        if sinks:
            text += "  sinks:\n" + "".join(
                f"    {name}: {{address: {address}, port: {port}, label: 'level=LOW'}}\n"
                for name, address, port in sinks)
        pathlib.Path(self.dir, "ppce.yaml").write_text(text)

    def peer(self):
        return Peer(self.path("run/net.sock"))

    def rest(self, target):
        client = UnixClient(self.path("run/net-rest.sock"))
        try:
            answer = client.request("GET", target)
        finally:
            client.close()
        assert answer.status == 200, answer
        return answer

    def taps(self, **want):
        return [t for t in self.rest("/v1/taps").json()["taps"] if all(t.get(k) == v for k, v in want.items())]

    def metric(self, name):
        for line in self.rest("/metrics").text.splitlines():
            if line.startswith(f"ppce_net_{name} "):
                return int(line.split()[1])
        raise KeyError(name)

    def settled(self, ready):
        """The pool is full and nothing is under way."""
        def check():
            states = [t["state"] for t in self.taps()]
            return states.count("ready") >= ready and not {"making", "resting", "doomed"} & set(states)
        eventually(check, what=f"{ready} ready taps")

    @property
    def bridge(self):
        return self.rest("/v1/taps").json()["bridge"]


class Sniffer:
    """Every frame that a link hands to the host."""

    def __init__(self, link):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.bind((link, ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.setblocking(False)

    def frames(self):
        got = []
        while True:
            try:
                data, address = self.sock.recvfrom(70000)
            except BlockingIOError:
                return got
            if address[2] != PACKET_OUTGOING:
                got.append(data)

    def close(self):
        self.sock.close()


def listener(port, address="0.0.0.0"):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(64)
    s.setblocking(False)
    return s


def accepted(s):
    """A connection that somebody made, or None."""
    try:
        return s.accept()[0]
    except BlockingIOError:
        return None


def send_with_fd(peer, data, fd):
    peer.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
