# SPDX-License-Identifier: MIT
"""Runs the real ppce-auth in a directory of its own, and speaks to it as the proxy and the operator do."""
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import socketserver
import struct
import threading

import audit_daemon
from daemon_base import Daemon

PASSWORD = "correct horse battery staple"
MESSAGE = struct.Struct("=IIQqQ32s37s65s33s1024s1024s65s")
LOOKUP, REVOKED_OK, FOUND, UNKNOWN, REVOKE = 1, 2, 16, 17, 18

POLICY = """\
axes:
  level: {chain: [LOW, MID, HIGH]}
  comp: {subset: [A, B]}
classes:
  staff: {clearance: "level=MID,comp={A}"}
  chief: {clearance: "level=HIGH,comp={A,B}"}
"""


def token_hash(token):
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)


class Message:
    """A struct session_message."""

    def __init__(self, data):
        fields = MESSAGE.unpack(data)
        self.type, _, self.id, self.expires, self.epoch, self.hash = fields[:6]
        text = [f.split(b"\0")[0].decode() for f in fields[6:]]
        self.session, self.user, self.cls, self.floor, self.ceiling, self.purpose = text


def message(kind, number, digest=b"", user=b"", session=b""):
    return MESSAGE.pack(kind, 0, number, 0, 0, digest, session, user, b"", b"", b"", b"")


class Proxy:
    """A peer of the session socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.send(data)

    def receive(self):
        """The next message, or None when auth has hung up."""
        try:
            data = self.sock.recv(MESSAGE.size + 1)
        except ConnectionResetError:
            return None
        return Message(data) if data else None

    def lookup(self, token, digest=None):
        self.number += 1
        self.send(message(LOOKUP, self.number, digest or token_hash(token)))
        answer = self.receive()
        assert answer.id == self.number
        return answer

    def confirm(self, revocation):
        self.send(message(REVOKED_OK, revocation.id))


class Auth(Daemon):
    """One ppce-auth, and the ppce-audit that it needs. `settings` are keys of the config's section auth."""

    name = "ppce-auth"

    def __init__(self, directory=None, policy=POLICY, start=True, **settings):
        super().__init__(directory)
        self.auditor = None
        self.configure(policy, **settings)
        if start:
            try:
                self.auditor = audit_daemon.AuditDaemon(self.dir)
                self.start()
            except BaseException:
                self.clean_up()
                raise

    def configure(self, policy=POLICY, **settings):
        values = {"argon2_memory_mib": 8, "argon2_passes": 1, "tries_per_minute": 1000, **settings}
        pathlib.Path(self.dir, "ppce.yaml").write_text(
            "auth:\n" + "".join(f"  {k}: {v}\n" for k, v in values.items()))
        pathlib.Path(self.dir, "policy.yaml").write_text(policy)

    def alive(self):
        return self.process.poll() is None and self.call("GET", "/livez").status == 200

    def clean_up(self):
        if self.process:
            self.kill()
        if self.auditor:
            self.auditor.clean_up()
        super().clean_up()

    # -- REST --

    def call(self, method, target, body=None, headers=None, raw=None):
        connection = UnixConnection(self.path("run/auth.sock"))
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body)
            connection.request(method, target, data, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def add(self, name, password=PASSWORD, **fields):
        if not fields:
            fields = {"class": "staff"}
        answer = self.call("POST", "/v1/users", {"name": name, "password": password, **fields})
        assert answer.status == 201, answer.text
        return answer.json()

    def try_login(self, name, password=PASSWORD, **fields):
        return self.call("POST", "/v1/sessions", {"username": name, "password": password, **fields})

    def login(self, name, password=PASSWORD, **fields):
        answer = self.try_login(name, password, **fields)
        assert answer.status == 200, answer.text
        return answer.json()

    def logout(self, token):
        return self.call("DELETE", "/v1/sessions/current", headers={"Authorization": f"Bearer {token}"})

    # -- grants; `token` None: as the operator --

    def as_user(self, token, method, target, body=None):
        return self.call(method, target, body, {"Authorization": f"Bearer {token}"} if token is not None else {})

    def grant(self, number, category, to, token=None, **fields):
        return self.as_user(token, "PUT", f"/v1/grants/{number}", {"category": category, "to": to, **fields})

    def revoke(self, number, token=None):
        return self.as_user(token, "DELETE", f"/v1/grants/{number}")

    def glass(self, token, owner="ann", category="medical", reason="unconscious in room 4", **fields):
        return self.as_user(token, "POST", "/v1/break-glass",
                            {"owner": owner, "category": category, "reason": reason, **fields})

    def grants(self, token=None, query=""):
        answer = self.as_user(token, "GET", "/v1/grants" + query)
        assert answer.status == 200, answer.text
        return {g["id"]: g for g in answer.json()["grants"]}

    def metric(self, name):
        for line in self.call("GET", "/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise KeyError(name)

    def audit(self):
        return self.auditor.records()

    def proxy(self):
        return Proxy(self.path("run/auth-session.sock"))


class Store:
    """Takes events as ppce-store does. `statuses` are the answers to come, 204 afterwards; None hangs up."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "run", "store.sock")
        self.events = []
        self.seen = 0
        self.statuses = []
        self.arrived = threading.Condition()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if os.path.exists(self.path):
            os.unlink(self.path)
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = store.take(self.path, json.loads(body))
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                self.close_connection = True

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(self.path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def take(self, path, event):
        with self.arrived:
            assert path == "/v1/events"
            self.seen += 1
            status = self.statuses.pop(0) if self.statuses else 204
            if status in (204, 403, 409):
                self.events.append(event)
            self.arrived.notify_all()
            return status

    def wait(self, check, timeout=20):
        with self.arrived:
            assert self.arrived.wait_for(check, timeout), (self.seen, self.events)

    def names(self):
        return [e["event"] for e in self.events]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def peak_memory_mib(pid):
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")
