# SPDX-License-Identifier: MIT
"""Runs the real ppce-vmmd in a directory of its own, and speaks to it as the operator and the proxy do."""
import json
import os
import pathlib
import shutil
import socket
import struct

from daemon_base import Daemon
from harness import UnixClient, build_dir, descendants, eventually
from tender import (BEGIN, END, FLAG_TICKET, FRAME, FRAME_FAILED, MAGIC, PAGE, READY, REQUEST, RESPONSE, Answer, encode_request)  # noqa: F401

# struct routing_message of include/ppce/routing.h
ROUTING = struct.Struct("<IIQ33s1024s65s37s200sx12I65s3x12I4x")
NEED, STOP, APP, APP_GONE, INSTANCE, REFUSED, GONE, SYNCED, TAINT = 1, 2, 16, 17, 18, 19, 20, 21, 22
NUMBERS = ("lifetime", "discard", "max_instances", "idle_s", "max_age_s", "max_requests", "deadline_ms",
           "request_bytes", "response_bytes", "has_store", "transport", "has_sinks", "digest", "slot", "age_s", "requests",
           "spawn_us", "create_us", "bind_us", "from_shell", "keep", "foreign", "ipv4", "port", "flow_s")
# enum err_kind of lib/err.h
INVALID, NOT_FOUND, UNAVAILABLE, FULL = 2, 5, 14, 15

BOTTOM = "level=LOW"
POLICY = """\
axes:
  level: {chain: [LOW, MID, HIGH]}
  comp: {subset: [A, B]}
classes:
  staff: {clearance: "level=MID,comp={A}"}
"""


def app_file(name):
    return str(build_dir() / "apps" / name)


def guest_file(name):
    return str(build_dir() / "tests" / "guest" / name)


class Message:
    """A struct routing_message; .channel wraps the channel's socket object, or None."""

    def __init__(self, data, fds=()):
        f = ROUTING.unpack(data)
        self.type, self.kind, self.id = f[:3]
        self.app, self.label, self.owner, self.uuid, self.reason = (t.split(b"\0")[0].decode() for t in f[3:8])
        self.__dict__.update(zip(NUMBERS, f[8:]))
        self.digest = self.digest.split(b"\0")[0].decode()
        assert len(fds) == (1 if self.type == TAINT or (self.type == INSTANCE and not self.foreign) else 0)
        self.channel = Channel(fds[0]) if self.type == INSTANCE and fds else None
        self.fds = fds

    def __repr__(self):
        return f"<{self.type} id={self.id} app={self.app} uuid={self.uuid} kind={self.kind} {self.reason!r}>"


def message(kind, app="", label="", owner="", uuid="", reason="", number=0):
    return ROUTING.pack(kind, 0, number, app.encode(), label.encode(), owner.encode(), uuid.encode(), reason.encode(),
                        *[b"" if n == "digest" else 0 for n in NUMBERS])


class Channel:
    """The proxy's end of a channel."""

    def __init__(self, fd):
        self.sock = socket.socket(fileno=fd)
        self.sock.settimeout(20)
        self.number = 0

    def close(self):
        self.sock.close()

    def read_exactly(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError("the channel is closed")
            data += part
        return data

    def send(self, path="/", deadline_ms=5000, ticket=b"", **request):
        self.number += 1
        payload = encode_request(path=path, **request)
        flags = FLAG_TICKET if ticket else 0
        head = FRAME.pack(MAGIC, REQUEST, flags, len(payload), self.number, deadline_ms, 0, 0, 0)
        self.sock.sendall(head + ticket + payload)

    def begin(self, deadline_ms=5000):
        """A request by HTTP begins."""
        self.number += 1
        self.sock.sendall(FRAME.pack(MAGIC, BEGIN, 0, 0, self.number, deadline_ms, 0, 0, 0))

    def end(self):
        """It has ended; the frame that answers."""
        self.sock.sendall(FRAME.pack(MAGIC, END, 0, 0, self.number, 0, 0, 0, 0))
        return self.receive()

    def receive(self):
        """(frame type, flags, code, payload)"""
        magic, kind, flags, length, number, code, *_ = FRAME.unpack(self.read_exactly(FRAME.size))
        assert magic == MAGIC and number == self.number
        return kind, flags, code, self.read_exactly(length)

    def call(self, path="/", pristine=False, **request):
        self.send(path, **request)
        kind, _, code, payload = self.receive()
        assert kind == RESPONSE, (kind, code)
        if pristine:
            assert self.receive()[0] == READY
        return Answer(payload)


class Proxy:
    """A peer of the routing socket. The synchronisation is read at once: .table_fd, .apps, .instances."""

    def __init__(self, vmmd):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(vmmd.path("run/vmmd-route.sock"))
        self.number = 0
        self.early = []  # read while waiting for something else
        self.apps, self.instances = {}, {}
        first = self.receive()
        assert first.type == TAINT
        self.table_fd = first.fds[0]
        while (m := self.receive()).type != SYNCED:
            {APP: self.apps, INSTANCE: self.instances}[m.type][m.app if m.type == APP else m.uuid] = m

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        os.close(self.table_fd)

    def receive(self):
        """The next message, or None when vmmd has hung up."""
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, ROUTING.size + 1, 4)
        except ConnectionResetError:
            return None
        assert not flags & socket.MSG_CTRUNC
        return Message(data, fds) if data else None

    def expect(self, kind, **fields):
        """The next message of this kind with these fields; others are kept for later."""
        def wanted(m):
            return m.type == kind and all(getattr(m, k) == v for k, v in fields.items())
        for m in self.early:
            if wanted(m):
                self.early.remove(m)
                return m
        while True:
            m = self.receive()
            assert m, f"vmmd hung up before a message {kind} {fields}"
            if wanted(m):
                return m
            self.early.append(m)

    def need(self, app, label=BOTTOM, owner=""):
        """An instance, or a refusal."""
        self.number += 1
        self.sock.send(message(NEED, app, label, owner, number=self.number))
        while True:
            m = self.receive()
            assert m, "vmmd hung up"
            if m.type in (INSTANCE, REFUSED) and m.id == self.number:
                return m
            self.early.append(m)

    def start(self, app, label=BOTTOM, owner=""):
        m = self.need(app, label, owner)
        assert m.type == INSTANCE, m
        return m

    def stop(self, uuid, reason="idle"):
        self.sock.send(message(STOP, uuid=uuid, reason=reason))
        return self.expect(GONE, uuid=uuid)

    def hung_up(self):
        """Has vmmd ended the connection? Reads away what else is there."""
        while self.receive():
            pass
        return True


class Vmmd(Daemon):
    """One ppce-vmmd. `settings` are keys of the config's section vmmd."""

    name = "ppce-vmmd"

    def __init__(self, directory=None, backend="process", start=True, user=None, program=None, **settings):
        super().__init__(directory, program, user=user)
        self.configure(backend=backend, **settings)
        if user is not None:
            os.chown(self.dir, user, -1)
        if start:
            self.start_or_clean_up()

    def configure(self, policy=POLICY, proxy="", **settings):
        values = {"shells": 2, **settings}
        text = "log_level: debug\nvmmd:\n" + "".join(f"  {k}: {v}\n" for k, v in values.items()) + proxy
        pathlib.Path(self.dir, "ppce.yaml").write_text(text)
        pathlib.Path(self.dir, "policy.yaml").write_text(policy)

    # REST

    def rest(self, method, target, body=None):
        client = UnixClient(self.path("run/vmmd.sock"))
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            return client.request(method, target, data, {"Content-Type": "application/json"} if data else {})
        finally:
            client.close()

    def get(self, target):
        answer = self.rest("GET", target)
        assert answer.status == 200, answer
        return answer.json()

    def add_image(self, name="hello", path=None, status=201, **body):
        answer = self.rest("POST", "/v1/images", {"name": name, "path": str(path or app_file(name)), **body})
        assert answer.status == status, (answer, self.log)
        return answer.json()

    def add_app(self, name, image="hello", lifetime="request", status=201, **body):
        answer = self.rest("POST", "/v1/apps", {"name": name, "image": image, "lifetime": lifetime, **body})
        assert answer.status == status, answer
        return answer.json()

    def start_instance(self, app, status=201, **body):
        answer = self.rest("POST", "/v1/instances", {"app": app, **body})
        assert answer.status == status, (answer, self.log)
        return answer.json()

    def images(self):
        return self.get("/v1/images")["images"]

    def instances(self, **want):
        return [i for i in self.get("/v1/instances")["instances"] if all(i[k] == v for k, v in want.items())]

    def events(self, kind):
        return [e for e in self.get("/v1/events")["events"] if e["type"] == kind]

    def log_lines(self, app, lines=100):
        return self.get(f"/v1/logs/{app}?lines={lines}")["lines"]

    def metric(self, name):
        for line in self.rest("GET", "/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)

    def wait_shells(self, n):
        eventually(lambda: self.get("/v1/pools")["shells_ready"] == n, what=f"{n} shells")

    def tenders(self):
        """pids of the live children."""
        return {pid for pid, _ in descendants(self.process.pid)} - {self.process.pid}

    def files(self):
        return sorted(os.listdir(self.path("images")))


def place_stand_in(place, tender):
    """Puts a ppce-vmmd there whose tenders are the script `tender` of this folder."""
    shutil.copy(build_dir() / "bin" / "ppce-vmmd", place / "ppce-vmmd")
    shutil.copy(pathlib.Path(__file__).parent / tender, place / "ppce-tender")
    os.chmod(place / "ppce-tender", 0o755)


def stand_in_daemon(place, mode="", **options):
    """That ppce-vmmd, with its tenders in a certain mode."""
    (place / "mode").write_text(mode)
    return Vmmd(program=place / "ppce-vmmd", **{"shells": 0, **options})
