# SPDX-License-Identifier: MIT
"""Runs the real ppce-store in a directory of its own, and plays everyone it speaks with: vmmd and its taint table, tenders,
the audit log, auth."""
import hashlib
import http.client
import http.server
import json
import mmap
import os
import pathlib
import socket
import socketserver
import sqlite3
import struct
import threading
import time
import uuid

from daemon_base import Daemon

LABEL, UUID, NAME, USER, CLASS, PURPOSE, REQUEST, DIGEST, QUERIES = 1024, 37, 33, 65, 33, 65, 40, 65, 256
TICKET = struct.Struct(f"=IIQQq{UUID}s{NAME}s{USER}s{CLASS}s{UUID}s{PURPOSE}s{REQUEST}s{LABEL}s{LABEL}s32s2x")
CALL = struct.Struct("=IIII")
REPLY = struct.Struct("=IIII")
RELEASE = struct.Struct(f"=II{REQUEST}s{NAME}s{LABEL}s32s3x")
ATTACH = struct.Struct(f"=II{UUID}s{NAME}s{DIGEST}s{QUERIES}sx")
SLOT = struct.Struct(f"=IIQ{UUID}s{LABEL}s3x")
SLOTS = 8192
CALL_MAGIC, REPLY_MAGIC, RELEASE_MAGIC, AUDIT_MAGIC = 0x43535050, 0x52535050, 0x4C525050, 0x41535050
PRISTINE, FIXED = 1, 2
QUERY, WRITE, DECLASSIFY = 1, 2, 3
TABLE, INSTANCE, GONE, RELEASED = 1, 2, 3, 16
OK, DENIED, UNKNOWN, INVALID, TOO_LARGE, DEADLINE, UNAVAILABLE, NONE, CONFLICT = range(9)
DIGEST_TEXT = "ab" * 32
KEY = bytes(range(32))

POLICY = """\
axes:
  level: {chain: [LOW, MID, HIGH]}
  own: {owners: [training, medical]}
classes:
  player: {clearance: "level=MID"}
  trainer: {clearance: "level=MID"}
  researcher: {clearance: "level=MID"}
  medic: {clearance: "level=HIGH"}
automata:
  athlete:
    start: private
    transitions:
      - {in: private, on: read, class: player, self: true}
      - {in: private, on: consent, self: true, to: shared}
      - {in: shared, on: revoke, self: true, to: private}
      - {in: shared, on: read, class: trainer, purpose: training, oblige: {notify: true}}
      - {in: [private, shared], on: aggregate, class: researcher, min: 3}
      - {in: private, on: break-glass, class: medic, to: opened, oblige: {notify: true, review_days: 7}}
      - {in: opened, on: read, class: medic}
      - {in: [private, shared], on: derive, self: true, oblige: {delete_days: 30}}
      - {in: any, on: erase, self: true, to: erased}
"""


def pad(data):
    return data + b"\0" * (-len(data) % 8)


def encode_value(value):
    if value is None:
        return struct.pack("=IIq", 0, 0, 0)
    if isinstance(value, int):
        return struct.pack("=IIq", 1, 0, value)
    if isinstance(value, float):
        return struct.pack("=IId", 2, 0, value)
    if isinstance(value, str):
        data = value.encode()
        return struct.pack("=IIq", 3, len(data), 0) + pad(data + b"\0")
    return struct.pack("=IIq", 4, len(value), 0) + pad(bytes(value))


def encode_call(name, *values):
    data = name.encode()
    return struct.pack("=II", len(data), len(values)) + pad(data + b"\0") + b"".join(map(encode_value, values))


def decode_value(data, at):
    kind, length, integer = struct.unpack_from("=IIq", data, at)
    body, at = data[at + 16:at + 16 + length], at + 16
    if kind == 0:
        return None, at
    if kind == 1:
        return integer, at
    if kind == 2:
        return struct.unpack_from("=d", data, at - 8)[0], at
    if kind == 3:
        assert data[at + length] == 0
        return body.decode(), at + len(pad(body + b"\0"))
    return body, at + len(pad(body))


def decode_rows(data):
    columns, rows = struct.unpack_from("=II", data)
    at, names, out = 8, [], []
    for _ in range(columns):
        name, at = decode_value(data, at)
        names.append(name)
    for _ in range(rows):
        row = []
        for _ in range(columns):
            value, at = decode_value(data, at)
            row.append(value)
        out.append(tuple(row))
    assert at == len(data)
    return names, out


def text(field):
    return field.split(b"\0")[0].decode()


class Answer:
    def __init__(self, status, data):
        self.status, self.data = status, data

    @property
    def rows(self):
        assert self.status == OK, self.status
        return decode_rows(self.data)[1]

    @property
    def names(self):
        return decode_rows(self.data)[0]

    @property
    def changed(self):
        assert self.status == OK, self.status
        return struct.unpack("=II", self.data)[1]


class AuditLog:
    """Speaks the side of ppce-audit. hold() keeps acknowledgements back; `status` is what they say."""

    def __init__(self, path):
        self.path = path
        self.records = []
        self.status = 0
        self.gate = threading.Event()
        self.gate.set()
        self.connections = []
        self.open()

    def open(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        while True:
            try:
                data = connection.recv(1 << 17)
            except OSError:
                return
            if not data:
                return
            magic, length, number = struct.unpack_from("=IIQ", data)
            assert magic == AUDIT_MAGIC and length == len(data) - 16
            self.records.append(json.loads(data[16:]))
            self.gate.wait()
            try:
                connection.send(struct.pack("=IIQQ", AUDIT_MAGIC, self.status, number, len(self.records) - 1))
            except OSError:
                return

    def hold(self):
        self.gate.clear()

    def let_go(self):
        self.gate.set()

    def close(self):
        self.gate.set()
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for c in self.connections:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()
        self.connections = []
        if os.path.exists(self.path):
            os.unlink(self.path)

    def last(self):
        return self.records[-1]


class Auth:
    """Answers GET /v1/authorisations/ID; `tags` by id."""

    def __init__(self, path):
        self.tags = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = outer.tags.get(self.path.rpartition("/")[2])
                body = json.dumps({"tags": found}).encode() if found is not None else b"{}"
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def get_request(self):
                request, _ = self.socket.accept()
                return request, ("unix", 0)

        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Table:
    """The taint table, as vmmd makes it."""

    def __init__(self):
        self.fd = os.memfd_create("taint")
        os.ftruncate(self.fd, SLOTS * SLOT.size)
        self.map = mmap.mmap(self.fd, SLOTS * SLOT.size)

    def write(self, slot, name, label, seq=0):
        self.map[slot * SLOT.size:(slot + 1) * SLOT.size] = SLOT.pack(2, 0, seq, name.encode(), label.encode())

    def read(self, slot):
        version, _, seq, name, label = SLOT.unpack_from(self.map, slot * SLOT.size)
        return version, seq, text(name), text(label)

    def label(self, slot):
        return self.read(slot)[3]

    def close(self):
        self.map.close()
        os.close(self.fd)


def attach_message(kind, slot=0, name="", app="", digest="", queries=""):
    return ATTACH.pack(kind, slot, name.encode(), app.encode(), digest.encode(), queries.encode())


class Vmmd:
    def __init__(self, path, table, send_table=True):
        self.table = table
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(path)
        if send_table:
            self.send(attach_message(TABLE), table.fd)

    def send(self, data, *fds):
        socket.send_fds(self.sock, [data], list(fds))

    def receive(self):
        data = self.sock.recv(ATTACH.size + 1)
        return ATTACH.unpack(data) if data else None

    def closed(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def attach(self, slot, app="records", queries="", label="level=LOW", digest=DIGEST_TEXT, name=None, fresh=True):
        name = name or str(uuid.uuid4())
        if fresh:
            self.table.write(slot, name, label)
        ours, theirs = socket.socketpair()
        self.send(attach_message(INSTANCE, slot, name, app, digest, queries), theirs.fileno())
        theirs.close()
        return Tender(self.table, slot, name, app, ours)

    def gone(self, slot, name):
        self.send(attach_message(GONE, slot, name))
        kind, number, who, *_ = self.receive()
        assert (kind, number, text(who)) == (RELEASED, slot, name)

    def close(self):
        self.sock.close()


class Tender:
    """The tender's end of an instance's socket, and the proxy's making of tickets."""

    def __init__(self, table, slot, name, app, sock):
        self.table, self.slot, self.name, self.app, self.sock = table, slot, name, app, sock
        self.sock.settimeout(20)
        self.seq = 0
        self.current = None

    def make_ticket(self, user="p1", cls="player", label="level=LOW", ceiling=None, purpose="", pristine=True, fixed=False,
                    seq=None, expires_in=30.0, key=KEY, instance=None, app=None, request=None, epoch=1, version=1):
        if seq is None:
            self.seq += 1
            seq = self.seq
        if ceiling is None:
            ceiling = "level=MID,own={%s/medical,%s/training}" % (user, user)
        body = TICKET.pack(version, PRISTINE * pristine + FIXED * fixed, seq, epoch, int((time.time() + expires_in) * 1000),
                           (instance or self.name).encode(), (app or self.app).encode(), user.encode(), cls.encode(),
                           str(uuid.uuid4()).encode(), purpose.encode(), (request or f"request-{seq}").encode(),
                           label.encode(), ceiling.encode(), b"")[:-34]
        return body + hashlib.blake2b(b"ticket 1" + body, digest_size=32, key=key).digest() + b"\0\0"

    def request(self, **fields):
        """The next request: its ticket is used by the calls that follow."""
        self.current = self.make_ticket(**fields)
        return self

    def send(self, verb, payload, room=1 << 20, ticket=None, magic=CALL_MAGIC, length=None):
        self.sock.sendall(CALL.pack(magic, verb, len(payload) if length is None else length, room) +
                          (ticket or self.current) + payload)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self):
        magic, status, length, _ = REPLY.unpack(self.exactly(REPLY.size))
        assert magic == REPLY_MAGIC and (length == 0 or status == OK)
        return Answer(status, self.exactly(length))

    def call(self, verb, name, *values, **options):
        self.send(verb, encode_call(name, *values), **options)
        return self.receive()

    def query(self, name, *values, **options):
        return self.call(QUERY, name, *values, **options)

    def write(self, name, *values, **options):
        return self.call(WRITE, name, *values, **options)

    def declassify(self, certificate, value, **options):
        return self.call(DECLASSIFY, certificate, json.dumps(value), **options)

    def nothing_came(self):
        """True if not one byte has arrived so far."""
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(20)

    def closed(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    @property
    def label(self):
        return self.table.label(self.slot)

    @property
    def slot_seq(self):
        return self.table.read(self.slot)[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class RestAnswer:
    def __init__(self, response):
        self.status = response.status
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


class Store(Daemon):
    """One ppce-store, with an audit log and an auth played here. `sql` fills SQLite's file."""

    name = "ppce-store"

    def __init__(self, queries, sql="", policy=POLICY, database="sqlite", start=True):
        super().__init__()
        for name in ("run", "state", "secrets", "certificates", "officers"):
            os.mkdir(self.path(name), 0o700)
        self.write("ppce.yaml", "log_level: debug\n")
        self.write("policy.yaml", policy)
        self.write("queries.yaml", f'database: "{database}"\nqueries:\n{queries}')
        self.write("secrets/ticket.key", KEY.hex() + "\n")
        os.chmod(self.path("secrets/ticket.key"), 0o600)
        if sql:
            with sqlite3.connect(self.path("state/data.db")) as db:
                db.executescript(sql)
            db.close()
        self.audit = AuditLog(self.path("run/audit-log.sock"))
        self.auth = Auth(self.path("run/auth.sock"))
        self.table = Table()
        self.vmmd = None
        if start:
            self.start_or_clean_up()

    def write(self, tail, content):
        pathlib.Path(self.path(tail)).write_text(content)

    def sql(self, statement, *values):
        db = sqlite3.connect(self.path("state/data.db"), timeout=20)
        try:
            with db:
                return db.execute(statement, values).fetchall()
        finally:
            db.close()

    def start(self):
        super().start()
        self.vmmd = self.connect()
        return self

    def connect(self, **options):
        return Vmmd(self.path("run/store-attach.sock"), self.table, **options)

    def attach(self, slot=0, **options):
        return self.vmmd.attach(slot, **options)

    def alive(self):
        return self.process.poll() is None and self.call("GET", "/livez").status == 200

    def call(self, method, target, body=None, raw=None):
        connection = UnixConnection(self.path("run/store.sock"))
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body)
            connection.request(method, target, data)
            return RestAnswer(connection.getresponse())
        finally:
            connection.close()

    def event(self, name, owner, category="training", **fields):
        answer = self.call("POST", "/v1/events", {"event": name, "owner": owner, "category": category, **fields})
        assert answer.status == 204, answer.text

    def obligations(self, query=""):
        return self.call("GET", "/v1/obligations" + query).json()["obligations"]

    def clean_up(self):
        if self.process:
            self.kill()
        if self.vmmd:
            self.vmmd.close()
        self.audit.close()
        self.auth.close()
        self.table.close()
        super().clean_up()
