# SPDX-License-Identifier: MIT
"""Ethernet, ARP, IPv4 and TCP by hand, as a hostile holder of a tap would write them."""
import ipaddress
import struct

ARP, IPV4, IPV6, VLAN, QINQ = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
BROADCAST = "ff:ff:ff:ff:ff:ff"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_text(data):
    return ":".join(f"{b:02x}" for b in data)


def ip_bytes(text):
    return ipaddress.IPv4Address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(to, source, kind, payload=b""):
    return mac_bytes(to) + mac_bytes(source) + struct.pack(">H", kind) + payload


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + mac_bytes(sender_mac) + ip_bytes(sender) + \
        mac_bytes(target_mac) + ip_bytes(target)


def ipv4(source, to, protocol, payload, options=b"", fragment=0):
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), 1, fragment, 64, protocol, 0,
                       ip_bytes(source), ip_bytes(to)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def with_pseudo_header(source, to, protocol, segment, at):
    pseudo = ip_bytes(source) + ip_bytes(to) + struct.pack(">BBH", 0, protocol, len(segment))
    return segment[:at] + struct.pack(">H", checksum(pseudo + segment)) + segment[at + 2:]


def tcp(source, to, sport, dport, flags, seq=1000, ack=0, payload=b""):
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 8192, 0, 0) + payload
    return with_pseudo_header(source, to, 6, segment, 16)


def udp(source, to, sport, dport, payload=b"x"):
    return with_pseudo_header(source, to, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload, 6)


def icmp_echo():
    body = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + b"ping"
    return body[:2] + struct.pack(">H", checksum(body)) + body[4:]


class Segment:
    """A received TCP segment: .source, .to, .sport, .dport, .seq, .ack, .flags, .payload."""

    def __init__(self, frame):
        words = frame[14] & 15
        self.source, self.to = (str(ipaddress.IPv4Address(frame[i:i + 4])) for i in (26, 30))
        at = 14 + 4 * words
        self.sport, self.dport, self.seq, self.ack, offset, self.flags = struct.unpack(">HHIIBB", frame[at:at + 14])
        end = 14 + struct.unpack(">H", frame[16:18])[0]
        self.payload = frame[at + 4 * (offset >> 4):end]


def is_tcp(frame):
    return len(frame) >= 54 and frame[12:14] == b"\x08\0" and frame[23] == 6
