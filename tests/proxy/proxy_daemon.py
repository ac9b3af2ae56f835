# SPDX-License-Identifier: MIT
"""Runs the real ppce-proxy with the real ppce-auth and ppce-audit, and plays vmmd and the instances: their channels, and
servers on addresses of the loopback network. A test goes step by step through what an instance says."""
import array
import hashlib
import itertools
import json
import os
import pathlib
import re
import socket
import struct
import threading
import uuid

import audit_daemon
from auth_daemon import PASSWORD, Auth
from daemon_base import Daemon
from fake_store import RELEASE, RELEASE_MAGIC, TICKET, TICKET_FIELDS
from harness import Client, Session, UnixClient, eventually
from http_tools import Wire
from tender import FLAG_LAST, FLAG_TICKET, FRAME, FRAME_FAILED, MAGIC, READY, RESPONSE  # noqa: F401
from test_http_client import read_request

BEGIN, END = 5, 6
# struct routing_message of include/ppce/routing.h
ROUTING = struct.Struct("<IIQ33s1024s65s37s200sx12I65s3x12I4x")
TEXTS = ("app", "label", "owner", "uuid", "reason")
NUMBERS = ("lifetime", "discard", "max_instances", "idle_s", "max_age_s", "max_requests", "deadline_ms", "request_bytes",
           "response_bytes", "has_store", "transport", "has_sinks", "digest", "slot", "age_s", "requests", "spawn_us",
           "create_us", "bind_us", "from_shell", "keep", "foreign", "ipv4", "port", "flow_s")
NEED, STOP, APP, APP_GONE, INSTANCE, REFUSED, GONE, SYNCED, TAINT = 1, 2, 16, 17, 18, 19, 20, 21, 22
LIFETIMES = {"class": 1, "user": 2, "request": 3}
TAINT_SLOT, TAINT_SLOTS, TAINT_NONE = struct.Struct("<IIQ37s1024s3x"), 8192, 2 ** 32 - 1
KEY = bytes(range(32))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WAIT = 10


def pack(kind, number=0, **fields):
    texts = [fields.get(name, "").encode() for name in TEXTS]
    numbers = [fields.get(name, b"" if name == "digest" else 0) for name in NUMBERS]
    return ROUTING.pack(kind, 0, number, *texts, *numbers)


class Vmmd:
    """The routing socket. What the proxy says is in .said: (type, fields)."""

    def __init__(self, directory):
        self.table = os.memfd_create("taint")
        os.ftruncate(self.table, TAINT_SLOT.size * TAINT_SLOTS)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(os.path.join(directory, "run", "vmmd-route.sock"))
        self.listener.listen()
        self.said = []

    def accept(self):
        self.sock, _ = self.listener.accept()
        self.send(pack(TAINT), self.table)
        self.send(pack(SYNCED))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def send(self, data, fd=None):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        self.sock.sendmsg([data], extra)

    def read(self):
        while data := self.sock.recv(ROUTING.size):
            f = ROUTING.unpack(data)
            texts = {name: t.split(b"\0")[0].decode() for name, t in zip(TEXTS, f[3:8])}
            self.said.append((f[0], {"id": f[2], **texts}))

    def stopped(self, uid):
        """The reason with which the proxy wants this instance to be stopped; "" if it does not."""
        return next((m["reason"] for kind, m in self.said if kind == STOP and m["uuid"] == uid), "")

    def taint(self, slot, seq, uid, label):
        data = TAINT_SLOT.pack(2, 0, seq, uid.encode(), label.encode())
        os.pwrite(self.table, data, slot * TAINT_SLOT.size)

    def close(self):
        self.sock.close()
        self.listener.close()
        self.reader.join(WAIT)
        os.close(self.table)


class Call(threading.Thread):
    """A client's request, in the background."""

    def __init__(self, world, target, method, body, headers):
        super().__init__(daemon=True)
        self.args, self.answer = (world, target, method, body, headers), None
        self.start()

    def run(self):
        world, target, method, body, headers = self.args
        client = Client(world.host, world.port)
        self.answer = client.request(method, target, body, {"Authorization": "Bearer " + world.ann.token, **headers})
        client.close()

    def end(self):
        self.join(WAIT)
        assert self.answer, "no answer"
        return self.answer


class Instance:
    """An instance with an address. `listens`: whether it does from the start."""

    numbers = itertools.count(2)

    def __init__(self, world, app, label, listens=True, foreign=False, slot=TAINT_NONE, keep=0, flow_s=60, address=None):
        self.world, self.app, self.uuid = world, app, str(uuid.uuid4())
        self.listener = socket.socket()
        self.listener.settimeout(WAIT)
        self.listener.bind(address or ("127.0.1.%d" % next(self.numbers), 0))
        self.address = self.listener.getsockname()
        if listens:
            self.listener.listen()
        theirs, self.channel = socket.socketpair()
        self.channel.settimeout(WAIT)
        ip = struct.unpack(">I", socket.inet_aton(self.address[0]))[0]
        world.vmmd.send(pack(INSTANCE, label=label, uuid=self.uuid, ipv4=ip, port=self.address[1], flow_s=flow_s, slot=slot,
                             keep=keep, foreign=int(foreign), **world.apps[app]), None if foreign else theirs.fileno())
        theirs.close()
        eventually(self.known, what="the instance in routing")

    @property
    def text(self):
        return "%s:%d" % self.address

    def known(self):
        """As the proxy shows it, or None."""
        return next((i for i in self.world.rest("/v1/routes")["instances"] if i["uuid"] == self.uuid), None)

    def state(self):
        return (self.known() or {}).get("state")

    def wait_idle(self):
        eventually(lambda: self.state() == "idle", what="an idle instance")

    def stopped(self):
        return eventually(lambda: self.world.vmmd.stopped(self.uuid), what="the end of the instance")

    def gone(self):
        self.world.vmmd.send(pack(GONE, uuid=self.uuid, reason="test"))
        eventually(lambda: not self.known(), what="the instance forgotten")

    def frame(self):
        """(type, flags, id, deadline, ticket's fields) of the next frame."""
        magic, kind, flags, length, number, code, *_ = FRAME.unpack(self.exactly(FRAME.size))
        assert magic == MAGIC and length == 0
        ticket = dict(zip(TICKET_FIELDS, TICKET.unpack(self.exactly(TICKET.size)))) if flags & FLAG_TICKET else None
        return kind, number, code, ticket

    def exactly(self, n):
        data = b""
        while len(data) < n:
            part = self.channel.recv(n - len(data))
            assert part, "the proxy closed the channel"
            data += part
        return data

    def begin(self):
        kind, self.number, self.deadline, ticket = self.frame()
        assert kind == BEGIN
        return ticket

    def end(self):
        assert self.frame()[:2] == (END, self.number)

    def say(self, kind, flags=0, code=0, number=None, payload=b""):
        self.channel.sendall(FRAME.pack(MAGIC, kind, flags, len(payload), self.number if number is None else number, code, 0,
                                        0, 0) + payload)

    def ready(self, flags=0):
        self.say(READY, flags)

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(WAIT)
        return Wire(sock)

    def serve(self, wire=None, answer=OK):
        """One whole request: returns (first line, fields, body) of it and the connection."""
        self.begin()
        wire = wire or self.accept()
        seen = read_request(wire)
        wire.send(answer)
        self.end()
        return seen, wire

    def channel_closed(self):
        try:
            return self.channel.recv(1) == b""
        except ConnectionResetError:
            return True


class World(Daemon):
    name = "ppce-proxy"
    arguments = ("--listen", "127.0.0.1:0")
    ready_line = r"ready on http://([0-9.]+):(\d+)"

    def __init__(self, **proxy):
        self.auth = Auth(start=False)
        super().__init__(self.auth.dir)
        self.settings = "expose_timing: true\n" + ("proxy:\n" if proxy else "") + \
            "".join(f"  {k}: {v}\n" for k, v in proxy.items())
        self.apps = {}

    def __enter__(self):
        config = pathlib.Path(self.dir, "ppce.yaml")
        config.write_text(config.read_text() + self.settings)
        self.auth.auditor = audit_daemon.AuditDaemon(self.dir)
        self.auth.start()
        self.auth.add("ann")
        key = pathlib.Path(self.dir, "secrets", "ticket.key")
        key.touch(0o600)
        key.write_text(KEY.hex() + "\n")
        self.vmmd = Vmmd(self.dir)
        self.start()
        self.host, port = re.search(self.ready_line, self.log).groups()
        self.port = int(port)
        self.vmmd.accept()
        eventually(self.usable, what="a usable proxy")
        client = Client(self.host, self.port)
        answer = client.request("POST", "/login", json.dumps({"username": "ann", "password": PASSWORD}),
                                {"Content-Type": "application/json"})
        assert answer.status == 200, answer
        self.ann = Session("ann", answer.json())
        return self

    def usable(self):
        client = UnixClient(os.path.join(self.dir, "run", "proxy.sock"))
        return client.request("GET", "/readyz").status == 200

    def __exit__(self, kind=None, *_):
        try:
            super().__exit__(kind)
            assert kind or not re.search("Sanitizer|runtime error:", self.log), self.log
        finally:
            self.vmmd.close()
            self.auth.close()

    def rest(self, target):
        client = UnixClient(os.path.join(self.dir, "run", "proxy.sock"))
        answer = client.request("GET", target)
        client.close()
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def metric(self, name):
        client = UnixClient(os.path.join(self.dir, "run", "proxy.sock"))
        text = client.request("GET", "/metrics").text
        client.close()
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))

    def add_app(self, name, lifetime="class", transport=1, deadline_ms=5000, response_bytes=1 << 20, **more):
        self.apps[name] = {"app": name, "lifetime": LIFETIMES[lifetime], "max_instances": 8, "deadline_ms": deadline_ms,
                           "request_bytes": 1 << 20, "response_bytes": response_bytes, "transport": transport, **more}
        self.vmmd.send(pack(APP, **self.apps[name]))
        eventually(lambda: name in [a["name"] for a in self.rest("/v1/routes")["apps"]], what="the app")

    def instance(self, app, label="level=MID,comp={A}", **options):
        return Instance(self, app, label, **options)

    def call(self, target, method="GET", body=None, **headers):
        return Call(self, target, method, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def records(self, **want):
        return [r for r in self.auth.auditor.records() if all(r.get(k) == v for k, v in want.items())]


def release(value, request_id, label="level=LOW", key=KEY):
    head = RELEASE.pack(RELEASE_MAGIC, len(value), request_id.encode(), b"mean", label.encode(), bytes(32))
    mac_at = 8 + 40 + 33 + 1024
    mac = hashlib.blake2b(b"release1" + head[:mac_at] + value, key=key, digest_size=32).digest()
    return head[:mac_at] + mac + head[mac_at + 32:] + value


def http(body=b"", status=200, fields=()):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
