#!/usr/bin/python3 -IS
# SPDX-License-Identifier: MIT
"""Stands in for solo5-hvt, which Debian does not have. Its command line, the image's notes and the tap are checked as
strictly as Solo5 0.12 does it (tenders/hvt/hvt_main.c, hvt_module_net.c, tenders/common/tap_attach.c, mft.c); instead of a
guest it runs a small HTTP server over raw frames. The guest's arguments say what it does besides:

  --ipv4=A/P --ipv4-gateway=G   as MirageOS takes them; needed
  --port=N                      80
  --mode=exit|hang|flood|deaf|wrong-mac    end with status 3; never listen; print without end besides; answer no request; use
                                           another MAC than the one given
  --die-after=N                 killed by a signal after so many requests

GET /        who and what it is, and the request's fields
GET /touch/PID            which ways of touching that process are refused
GET /reach/ADDRESS/PORT   whether that answers a SYN of ours
"""
import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import frames  # noqa: E402

TUNSETIFF, SIOCGIFFLAGS, SIOCGIFMTU = 0x400454CA, 0x8913, 0x8921
IFF_UP, IFF_TAP, IFF_NO_PI = 1, 2, 0x1000
HVT, NET = 1, 2


def fail(text):
    print(f"solo5-hvt: {text}", file=sys.stderr)
    sys.exit(1)


def note(image, kind):
    """The content of the first note that is Solo5's and of this type."""
    phoff, phnum = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    for i in range(phnum):
        kind_of, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", image, phoff + 56 * i)
        if kind_of == 4 and size >= 20:
            namesz, descsz, n_type = struct.unpack_from("<III", image, offset)
            if (namesz, n_type) == (6, kind) and image[offset + 12:offset + 18] == b"Solo5\0":
                return image[offset + 20:offset + 20 + descsz]
    return None


def devices(image):
    """{name: type} of the manifest."""
    abi = note(image, 0x31494241)
    if not abi:
        fail("No Solo5 ABI information found in executable")
    target, version = struct.unpack_from("<II", abi)
    if target != HVT or version != 2:
        fail(f"Executable is not for the solo5-hvt target, or of another ABI version ({target}, {version})")
    manifest = note(image, 0x3154464D)
    version, entries = struct.unpack_from("<II", manifest or bytes(12), 4)
    if not manifest or version != 1 or len(manifest) != 12 + 104 * entries:
        fail("Solo5 manifest is invalid")
    found = {}
    for i in range(1, entries):
        name, kind = struct.unpack_from("<68sI", manifest, 12 + 104 * i)
        found[name.split(b"\0")[0].decode()] = kind
    return found


def attach(name):
    """As tap_attach(): the card must be there and up, and is asked for its MTU."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:  # as getifaddrs() does
        s.bind((0, 0))
        s.sendto(struct.pack("=IHHIIBxxx", 20, 18, 0x301, 1, 0, 0), (0, 0))  # RTM_GETLINK, all of them
        assert s.recv(65536)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16s24x", name.encode())
        flags, = struct.unpack_from("<H", fcntl.ioctl(s, SIOCGIFFLAGS, request), 16)
        mtu, = struct.unpack_from("<I", fcntl.ioctl(s, SIOCGIFMTU, request), 16)
    if not flags & IFF_UP:
        raise OSError("the card is down")
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap, mtu


class Options:
    """The command line: [--mem=N] --net:NAME=IFACE [--net-mac:NAME=MAC] [--] KERNEL [ARGS]"""

    def __init__(self, argv):
        self.memory, self.tap, self.mac = 512, None, None
        at = next((i for i, a in enumerate(argv) if not a.startswith("-") or a == "--"), len(argv))
        kernel = at + 1 if at < len(argv) and argv[at] == "--" else at
        if kernel >= len(argv):
            fail("Missing KERNEL operand")
        with open(argv[kernel], "rb") as f:
            wanted = devices(f.read())
        attached = set()
        for option in argv[:at]:
            if m := re.fullmatch(r"--mem=(\d+)", option):
                self.memory = int(m[1])
            elif m := re.fullmatch(r"--net:([A-Za-z0-9]{1,67})=(\S{1,15})", option):
                if wanted.get(m[1]) != NET:
                    fail(f"Resource not declared in manifest: '{m[1]}'")
                try:
                    self.tap, self.mtu = attach(m[2])
                except OSError as e:
                    fail(f"Could not attach interface: {m[2]}: {e.strerror or e}")
                attached.add(m[1])
            elif m := re.fullmatch(r"--net-mac:([A-Za-z0-9]{1,67})=((?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})", option):
                if wanted.get(m[1]) != NET:
                    fail(f"Resource not declared in manifest: '{m[1]}'")
                self.mac = m[2]
            else:
                fail(f"Invalid option: `{option}'")
        if set(wanted) - attached:
            fail("All declared devices must be attached.")
        self.args = dict(a[2:].partition("=")[::2] for a in " ".join(argv[kernel + 1:]).split())


class Server:
    def __init__(self, options):
        self.o, self.args = options, options.args
        self.ip, self.gateway = self.args["ipv4"].split("/")[0], self.args["ipv4-gateway"]
        self.port, self.mac = int(self.args.get("port", 80)), options.mac
        if self.args.get("mode") == "wrong-mac":
            self.mac = "02:50:00:00:00:01"
        self.connections, self.requests, self.gateway_mac, self.probe = {}, 0, None, None

    def write(self, frame):
        os.write(self.o.tap, frame)

    def segment(self, key, flags, seq, ack, payload=b""):
        to, sport, mac = key[0], key[1], self.gateway_mac
        self.write(frames.ethernet(mac, self.mac, frames.IPV4, frames.ipv4(self.ip, to, 6, frames.tcp(
            self.ip, to, self.port, sport, flags, seq, ack, payload))))

    def on_tcp(self, s):
        key = (s.source, s.sport)
        if self.probe and (s.source, s.sport) == self.probe:
            self.probe = None
            return
        if s.flags & frames.RST or s.dport != self.port:
            self.connections.pop(key, None)
            return
        if s.flags & frames.SYN:
            self.connections[key] = c = {"seq": 1001, "ack": (s.seq + 1) & 0xFFFFFFFF, "data": b""}
            self.segment(key, frames.SYN | frames.ACK, 1000, c["ack"])
            return
        c = self.connections.get(key)
        if c and (s.payload or s.flags & frames.FIN) and s.seq == c["ack"]:
            c["ack"] = (c["ack"] + len(s.payload) + bool(s.flags & frames.FIN)) & 0xFFFFFFFF
            c["data"] += s.payload
            self.segment(key, frames.ACK, c["seq"], c["ack"])
            if self.args.get("mode") != "deaf":
                self.answer(key, c)
            if s.flags & frames.FIN:
                self.segment(key, frames.FIN | frames.ACK, c["seq"], c["ack"])
                del self.connections[key]

    def answer(self, key, c):
        head, end, rest = c["data"].partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or len(rest) < int(length[1] if length else 0):
            return
        c["data"] = b""
        self.requests += 1
        line, *fields = head.decode().split("\r\n")
        body = json.dumps(self.reply(line.split(" ")[1], fields)).encode()
        data = (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
        for at in range(0, len(data), 1400):
            part = data[at:at + 1400]
            self.segment(key, frames.ACK | frames.PSH, c["seq"], c["ack"], part)
            c["seq"] += len(part)
        if self.requests == int(self.args.get("die-after", 0)):
            os.kill(os.getpid(), signal.SIGABRT)

    def reply(self, path, fields):
        if path.startswith("/touch/"):
            return {"denied": denied(self.touch(int(path.split("/")[2])))}
        if path.startswith("/reach/"):
            return {"reached": self.reach(*path.split("/")[2:4])}
        status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
        return {"args": self.args, "argv": sys.argv[1:], "memory": self.o.memory, "mtu": self.o.mtu, "mac": self.mac,
                "requests": self.requests, "pid": os.getpid(), "cwd": os.getcwd(), "environment": dict(os.environ),
                "fds": sorted(map(int, os.listdir("/proc/self/fd")))[:-1], "groups": os.getgroups(),
                "status": {k: status[k].strip() for k in ("Uid", "Gid", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")},
                "denied": denied(ATTEMPTS), "fields": fields}

    def touch(self, pid):
        return {"memory": lambda: open(f"/proc/{pid}/mem", "rb"), "kill": lambda: os.kill(pid, signal.SIGTERM),
                "limits": lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)),
                "priority": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
                "descriptors": lambda: os.readlink(f"/proc/{pid}/fd/3")}

    def reach(self, address, port):
        """Does anybody answer a SYN, sent as the bridge would like it and to the other's own MAC?"""
        self.probe = (address, int(port))
        mac = "02:50:" + frames.mac_text(frames.ip_bytes(address))
        for to in (self.gateway_mac, mac, frames.BROADCAST):
            self.write(frames.ethernet(to, self.mac, frames.IPV4, frames.ipv4(self.ip, address, 6, frames.tcp(
                self.ip, address, 55555, int(port), frames.SYN))))
        end = time.monotonic() + 0.3
        while self.probe and time.monotonic() < end:
            if select.select([self.o.tap], [], [], 0.05)[0]:
                self.on_frame(os.read(self.o.tap, 2048))
        return self.probe is None

    def on_frame(self, frame):
        kind = struct.unpack_from(">H", frame, 12)[0]
        self.gateway_mac = frames.mac_text(frame[6:12])
        if kind == frames.ARP and frame[38:42] == frames.ip_bytes(self.ip):
            self.write(frames.ethernet(self.gateway_mac, self.mac, frames.ARP, frames.arp(
                2, self.mac, self.ip, self.gateway_mac, self.gateway)))
        elif frames.is_tcp(frame):
            self.on_tcp(frames.Segment(frame))

    def run(self):
        while True:
            select.select([self.o.tap], [], [])
            try:
                self.on_frame(os.read(self.o.tap, 2048))
            except BlockingIOError:
                pass


# What the launcher's filter and the user's rights must not let a tender do.
ATTEMPTS = {
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "unix": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "ipv6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "raw": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "connect": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "sendmsg": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("127.0.0.1", 9)),
    "fork": os.fork,
    "write": lambda: open("/etc/ppce-test", "w"),
    "shadow": lambda: open("/etc/shadow"),
    "image": lambda: os.write(os.open("/proc/self/fd/3", os.O_RDWR), b"x"),
}


def denied(attempts):
    refused = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            refused.append(name)
    return refused


def flood():
    while True:
        print("x" * 100, flush=True)


def main():
    options = Options(sys.argv[1:])
    print("            |      ___|", f"Solo5: stand-in, {options.memory} MB", sep="\n", flush=True)
    mode = options.args.get("mode")
    if mode == "exit":
        print("fatal error: out of heap \x1b[31m", flush=True)
        sys.exit(3)
    if mode == "hang":
        time.sleep(3600)
    if mode == "flood":
        threading.Thread(target=flood, daemon=True).start()
    Server(options).run()


main()
