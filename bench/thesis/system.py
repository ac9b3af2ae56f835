# SPDX-License-Identifier: MIT
"""What the measurements run on: a network namespace, a platform in a temporary directory, and the C client."""
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import re
import secrets
import select
import signal
import socket
import struct
import subprocess
import time

BUILD = pathlib.Path(__file__).resolve().parents[2]  # this file is BUILD/bench/thesis/system.py
PASSWORD = secrets.token_hex(16)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """One sample, or one thing that was asked of the platform, came to nothing; the text says why."""


def enter_namespace():
    """Moves this process, and all that it starts, into a network namespace of its own, with loopback up. Returns why not,
    or None. The namespace goes away with its last process."""
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace can be made ({os.strerror(ctypes.get_errno())}): root is needed"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    return None


def end_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(args, **more):
    """A process of ours: Ctrl-C does not reach it, since we end it in order, and it does not outlive us."""
    return subprocess.Popen([str(a) for a in args], start_new_session=True, preexec_fn=end_with_parent, **more)


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Platform:
    """`ppce init` once, then `ppce up` and SIGTERM as often as wanted: a with-statement for each life."""

    def __init__(self, directory, settings):
        self.dir, self.process, self.starts = pathlib.Path(directory), None, 0
        self.ppce("init", self.dir, "--dev", "-o", "json", anywhere=True)
        path = self.dir / "ppce.yaml"
        text = path.read_text()
        for (section, key), value in settings.items():
            text = self.set(text, section, key, value)
        path.write_text(text)

    @staticmethod
    def set(text, section, key, value):
        lines, inside = text.splitlines(), ""
        for i, line in enumerate(lines):
            if found := re.match(r"([a-z_]+):", line):
                inside = found.group(1)
            elif inside == section and re.match(rf"  {key}:", line):
                lines[i] = f"  {key}: {value}"
                return "\n".join(lines) + "\n"
        raise Failed(f"ppce.yaml has no {section}.{key}")

    def ppce(self, *args, stdin="", anywhere=False):
        where = [] if anywhere else ["-C", self.dir]
        command = [str(a) for a in (BUILD / "bin" / "ppce", *args, *where)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Failed(f"ppce {' '.join(map(str, args[:2]))}: {first_line(done.stderr) or done.returncode}")
        return done.stdout

    def rest(self, daemon, method, target, body=None):
        connection = UnixHTTP(self.dir / "run" / f"{daemon}.sock")
        try:
            connection.request(method, target, json.dumps(body) if body else None,
                               {"Content-Type": "application/json"} if body else {})
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.status >= 300:
            raise Failed(f"{daemon}: {method} {target}: {reply.status} {data[:200]!r}")
        return json.loads(data) if data else None

    def __enter__(self):
        self.log = open(self.dir / "up.stderr", "ab")
        self.process = spawn([BUILD / "bin" / "ppce", "up", "-C", self.dir, "--listen", "127.0.0.1:0"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        try:
            line = self.ready_line(60)
            found = re.search(r"http://([0-9.]+):(\d+)", line)
            if not found:
                raise Failed(f"the platform does not start: {self.last_words()}")
        except BaseException:
            self.__exit__()
            raise
        self.host, self.port, self.starts = found.group(1), int(found.group(2)), self.starts + 1
        return self

    def ready_line(self, timeout):
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return ""
        return self.process.stdout.readline().decode()

    def last_words(self):
        lines = (self.dir / "up.stderr").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it says nothing"

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its daemons end with it
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def login(self, user):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("POST", "/login", json.dumps({"username": user, "password": PASSWORD}),
                               {"Content-Type": "application/json"})
            reply = connection.getresponse()
            body = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise Failed(f"login: {reply.status} {body}")
        return body["token"]

    def instances(self, app):
        answer = self.rest("vmmd", "GET", "/v1/instances")
        return [i for i in answer["instances"] if i["app"] == app]


class Client:
    """bench/client.c."""

    def __init__(self, platform, token):
        self.process = spawn([BUILD / "bench" / "bench-client", platform.host, platform.port, token],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(40)
        self.process.stdout.close()

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().rstrip("\n")
        if not line or line.startswith("!"):
            raise Failed(line[2:] or "the client has ended")
        return line

    def request(self, path):
        """(microseconds, start kind, {phase: microseconds}) of one request on a new connection."""
        us, status, start, _, timing = self.command(f"new {path}").split(" ", 4)
        if status != "200":
            raise Failed(f"{path} is answered {status}; {timing}")
        return float(us), start, phases(timing)

    def boot(self, socket_path, question):
        """Microseconds of starting an instance and connecting to it."""
        question = json.dumps(question, separators=(",", ":"))
        return float(self.command(f"boot {socket_path} {question}").split(" ")[0])


def phases(timing):
    found = re.findall(r"([a-z]+);dur=([0-9.]+)", timing)
    return {name: float(ms) * 1000 for name, ms in found}


def first_line(text):
    return text.strip().splitlines()[0] if text.strip() else ""


def eventually(check, seconds, what):
    """Waits until check() is true; between samples only, never inside one."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.01)
