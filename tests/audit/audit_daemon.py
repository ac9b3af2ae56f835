# SPDX-License-Identifier: MIT
"""Runs the real ppce-audit in a directory of its own, and speaks to it as the other daemons do."""
import http.client
import json
import pathlib
import secrets
import socket
import struct
import subprocess

import harness
from daemon_base import Daemon

MAGIC = 0x41535050
HEAD = struct.Struct("<IIQ")
ACK = struct.Struct("<IIQQ")
WRITTEN, MALFORMED, STOPPED = 0, 1, 2


def packet(number, record):
    body = record if isinstance(record, bytes) else json.dumps(record).encode()
    return HEAD.pack(MAGIC, len(body), number) + body


def record(n=0, **members):
    return {"daemon": "test", "event": "request", "allowed": True, "actor": "ann", "path": f"/{n}", **members}


class Client:
    """A connection on which records go in."""

    def __init__(self, path, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, what):
        self.number += 1
        self.sock.send(packet(self.number, what))
        return self.number

    def receive(self):
        """(id, status, seq), or None when the log has hung up."""
        try:
            data = self.sock.recv(ACK.size + 1)
        except (ConnectionResetError, BrokenPipeError):
            return None
        if not data:
            return None
        magic, status, number, seq = ACK.unpack(data)
        assert magic == MAGIC
        return number, status, seq

    def write(self, what):
        """(status, seq) of one record."""
        number = self.send(what)
        got = self.receive()
        assert got and got[0] == number, got
        return got[1:]

    def closed(self):
        """Has the log hung up?"""
        return self.receive() is None


class AuditDaemon(Daemon):
    """One ppce-audit. `settings` are keys of the config's section audit; an existing ppce.yaml is left alone."""

    name = "ppce-audit"

    def __init__(self, directory=None, start=True, **settings):
        super().__init__(directory)
        self.dir = pathlib.Path(self.dir)
        (self.dir / "secrets").mkdir(parents=True, exist_ok=True, mode=0o700)
        key = self.dir / "secrets" / "audit.key"
        if not key.exists():
            key.touch(0o600)
            key.write_text(secrets.token_hex(32) + "\n")
        if not (self.dir / "ppce.yaml").exists():
            self.configure(**settings)
        if start:
            self.start_or_clean_up()

    def configure(self, **settings):
        (self.dir / "ppce.yaml").write_text("audit:\n" + "".join(f"  {k}: {v}\n" for k, v in settings.items()))

    # What can be asked

    def client(self):
        return Client(str(self.dir / "run" / "audit-log.sock"))

    def rest(self, target, method="GET"):
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(str(self.dir / "run" / "audit.sock"))
        try:
            connection.request(method, target)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready_now(self):
        return self.rest("/readyz")[0] == 200

    def metric(self, name):
        for line in self.rest("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise KeyError(name)

    def records(self):
        return harness.audit_records(self.dir)

    @property
    def files(self):
        return self.dir / "log" / "audit"

    def data(self):
        """The data files, oldest first."""
        return sorted((self.files / "data").iterdir())

    def ppce(self, *args):
        return subprocess.run([harness.build_dir() / "bin" / "ppce", *map(str, args), "-C", self.dir], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)

    def verify(self):
        """What is wrong with the files: a list of problems; [] if nothing is."""
        done = self.ppce("audit", "verify", "-o", "json")
        assert done.returncode in (0, 1), done
        found = json.loads(done.stdout)
        assert found["ok"] == (done.returncode == 0) == (not found["problems"]), done
        return found["problems"]
