# SPDX-License-Identifier: MIT
"""The other end of an instance's tap, for tests of tender/: a real tap in a namespace, or a socket that keeps packets apart as
a tap keeps frames. Frames to and from tests/guest/network.c."""
import ipaddress
import os
import socket
import struct
import sys
from pathlib import Path

from fake_store import SCALE

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("net", "e2e")]
import frames  # noqa: E402

MAC, GATEWAY_MAC, OTHER_MAC = "02:50:0a:4d:00:05", "02:50:0a:4d:00:01", "02:50:0a:4d:00:06"
IP, GATEWAY, OTHER_IP = "10.77.0.5", "10.77.0.1", "10.77.0.6"
PROTOCOL = 253
SINKS = [("records-db", 5432, "10.77.0.1"), ("x", 1, "192.0.2.7")]


def number(ip):
    return int(ipaddress.IPv4Address(ip))


def control_net(port=8080, sinks=SINKS):
    """struct control_net of include/ppce/control.h."""
    head = struct.pack("<4I6s6sHH", number(IP), 24, number(GATEWAY), 1500, frames.mac_bytes(MAC), frames.mac_bytes(GATEWAY_MAC),
                       port, len(sinks))
    return head + b"".join(struct.pack("<33sxHI", name.encode(), port, number(ip)) for name, port, ip in sinks)


def packet(payload, to=MAC, source=GATEWAY_MAC, sender=GATEWAY, target=IP):
    return frames.ethernet(to, source, frames.IPV4, frames.ipv4(sender, target, PROTOCOL, payload))


class Wire:
    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(10 * SCALE)

    @classmethod
    def pair(cls):
        """(wire, descriptor for the tender)"""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        return cls(ours), theirs.detach()

    def send(self, payload=b"", **how):
        """A command for the guest."""
        self.sock.send(packet(payload, **how))

    def receive(self):
        """The payload of the next packet of the guest's."""
        frame = self.sock.recv(2048)
        assert frame[:14] == packet(b"", to=GATEWAY_MAC, source=MAC)[:14], frame.hex()
        assert frame[23] == PROTOCOL and frame[26:30] == frames.ip_bytes(IP)
        return frame[34:]

    def ask(self, payload):
        self.send(payload)
        return self.receive()

    def flush(self):
        """What has been sent and not been read yet."""
        found = []
        self.sock.setblocking(False)
        try:
            while frame := self.sock.recv(2048):
                found.append(frame)
        except (BlockingIOError, ConnectionResetError):
            pass
        finally:
            self.sock.settimeout(10 * SCALE)
        return found

    def close(self):
        self.sock.close()


class RealTap(Wire):
    """A tap of this namespace, whose other end is the kernel's; the test writes and reads there by a raw socket."""
    TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000

    def __init__(self, name, sh):
        import fcntl
        self.name, self.sh = name, sh
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, self.TUNSETIFF, struct.pack("16sH22x", name.encode(), self.IFF_TAP | self.IFF_NO_PI))
        sh("ip", "link", "set", name, "up")
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind((name, 0))
        super().__init__(raw)

    def receive(self):
        while True:  # the kernel's own chatter and our own frames pass here too
            frame, address = self.sock.recvfrom(2048)
            if address[2] != socket.PACKET_OUTGOING and frame[23:24] == bytes([PROTOCOL]):
                assert frame[:14] == packet(b"", to=GATEWAY_MAC, source=MAC)[:14]
                length, = struct.unpack(">H", frame[16:18])
                return frame[34:14 + length]
