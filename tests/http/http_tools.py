# SPDX-License-Identifier: MIT
"""Raw sockets, and the program under test of this folder."""
import json
import os
import pathlib
import select
import signal
import socket
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PPCE_BUILD") or ROOT / "build").resolve()
WAIT = 10  # seconds after which a test that waits has failed


class Echo:
    """A running http-echo-server."""

    def __init__(self, directory, *options):
        self.asked = False
        self.rest = os.path.join(directory, "rest.sock")
        self.process = subprocess.Popen([BUILD / "tests/http/http-echo-server", "127.0.0.1:0", self.rest, *options],
                                        stdout=subprocess.PIPE, text=True)
        host, port = self.process.stdout.readline().strip().rsplit(":", 1)
        self.address = (host, int(port))

    def connect(self):
        return Wire(socket.create_connection(self.address, WAIT))

    def connect_rest(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(WAIT)
        s.connect(self.rest)
        return Wire(s)

    def terminate(self):
        self.asked = True
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Ends it; it must end by itself, with nothing lost and no complaint of a sanitizer."""
        if not self.asked and self.process.poll() is None:
            self.terminate()
        try:
            code = self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "killed"
        self.process.stdout.close()
        assert code == 0, f"http-echo-server ended with {code}"


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def get(self, name):
        found = [v for n, v in self.fields if n.lower() == name.lower()]
        assert len(found) < 2, f"{name} comes {len(found)} times"
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)


class Wire:
    """A client that sends exactly the bytes it is told to, and reads answers by their Content-Length alone."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def answer(self, head=False):
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), f"closed before an answer, after {self.buffer!r}"
        text, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = text.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        assert version == "HTTP/1.1"
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        answer = Answer(int(status), fields, b"")
        length = 0 if head or answer.status < 200 else int(answer.get("Content-Length") or 0)
        data, self.buffer = bytearray(self.buffer), b""  # grows without a copy for each part of a large body
        while len(data) < length:
            assert self.more(), "closed inside a body"
            data += self.buffer
            self.buffer = b""
        answer.body, self.buffer = bytes(data[:length]), bytes(data[length:])
        return answer

    def request(self, data):
        return self.send(data).answer()

    def closed(self):
        """True when the peer closes and sends nothing more."""
        if self.buffer:
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def silent(self, seconds=0.2):
        """True when nothing has come for a moment: to see that something did not happen."""
        return not self.buffer and not select.select([self.sock], [], [], seconds)[0]


def get(target, *fields, method="GET", body=None, version="HTTP/1.1"):
    """The bytes of a correct request."""
    lines = [f"{method} {target} {version}", "Host: test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode("latin-1")
