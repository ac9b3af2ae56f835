# SPDX-License-Identifier: MIT
"""Runs a whole PPCE platform in a directory of its own, for tests and for scripts/demo.

    with Platform(tmp_dir, backend="process") as p:
        p.add_image("hello", p.image_file("hello"))
        p.add_app("hello", "hello", "request")
        p.add_user("ann", clearance="level=NATO_SECRET", cls="trainer")
        print(p.call(p.login("ann"), "/hello/").text)

Nothing here starts or ends a process that it did not start itself, and stop() fails when one of them survives.
"""
import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
DAEMONS = ("audit", "store", "auth", "vmmd", "proxy")
# How much longer everything may take, where the whole machine is emulated (scripts/test-kvm-plain).
SCALE = int(os.environ.get("PPCE_TIME_SCALE", "1"))

KVM_CREATE_VM = 0xAE01
PR_SET_CHILD_SUBREAPER = 36


def build_dir():
    """The build directory under test: $PPCE_BUILD, else build/ of the checkout."""
    return pathlib.Path(os.environ.get("PPCE_BUILD") or ROOT / "build").resolve()


def kvm_usable():
    """Can this user make a virtual machine? Asked of the kernel itself, not of our own code."""
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(fd, KVM_CREATE_VM, 0))
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def build_image(source, output, *options):
    """Builds an app with ppce-cc; returns the image's path. $PPCE_IMAGES: where it was built already, for a machine that
    has no compiler."""
    if "PPCE_IMAGES" in os.environ:
        return pathlib.Path(os.environ["PPCE_IMAGES"]) / pathlib.Path(output).name
    done = subprocess.run([build_dir() / "bin" / "ppce-cc", *options, source, "-o", output], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ppce-cc {source}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return output


def set_config(text, key, value):
    """Returns the text of a ppce.yaml with `section.key` or `key` set to value; the key must be there."""
    section, _, name = key.rpartition(".")
    inside, out, done = "", [], False
    for line in text.splitlines():
        top = re.match(r"([a-z_0-9]+):", line)
        if top:
            inside = top.group(1)
        indented = re.match(r"(\s+)" + re.escape(name) + r":", line)
        if section and inside == section and indented:
            line, done = f"{indented.group(1)}{name}: {value}", True
        elif not section and top and inside == name:
            line, done = f"{name}: {value}", True
        out.append(line)
    if not done:
        raise KeyError(f"no key {key} in ppce.yaml")
    return "\n".join(out) + "\n"


class Answer:
    """An HTTP answer: .status, .headers (case-insensitive .get), .body (bytes), .text, .json()."""

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The stable code of a problem+json answer, "" for any other."""
        kind = self.headers.get("Content-Type", "")
        return self.json().get("code", "") if kind.startswith("application/problem+json") else ""

    @property
    def instance(self):
        return self.headers.get("PPCE-Instance", "")

    @property
    def start(self):
        return self.headers.get("PPCE-Start", "")

    def __repr__(self):
        return f"<{self.status} {self.text[:200]!r}>"


class Session:
    """A login: .token, .id (UUID), .label, .user."""

    def __init__(self, user, answer):
        self.user, self.token, self.id = user, answer["token"], answer["session"]
        self.label, self.expires = answer.get("label"), answer.get("expires")


def plain(label):
    """A label without anybody's data: where apps without a store run by default."""
    return re.sub(r",?own=(\{[^}]*\}|ALL)", "", label)


class Client:
    """One keep-alive connection to the proxy; not for use by several threads at once."""

    def __init__(self, host, port, timeout=30):
        self.connection = http.client.HTTPConnection(host, port, timeout=timeout * SCALE)

    def request(self, method, target, body=None, headers=None):
        begin = time.monotonic()
        for last in (False, True):
            try:
                self.connection.request(method, target, body=body, headers=headers or {})
                reply = self.connection.getresponse()
                data = reply.read()
                return Answer(reply.status, reply.headers, data, time.monotonic() - begin)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection.close()  # an idle connection that the proxy closed meanwhile: once more, on a new one
                if last or method != "GET":
                    raise

    def close(self):
        self.connection.close()


class UnixClient(Client):
    """The same over a Unix socket, for the daemons' REST interfaces."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", 80, timeout)

        def connect():
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout * SCALE)
            sock.connect(str(path))
            self.connection.sock = sock

        self.connection.connect = connect


class CliError(AssertionError):
    pass


class Platform:
    """`ppce init` in `directory`, then `ppce up` on a free loopback port. See the functions for what can be asked."""

    def __init__(self, directory, backend="auto", config=None, policy=None, build=None):
        self.dir = pathlib.Path(directory)
        self.build = pathlib.Path(build or build_dir())
        self.bin = self.build / "bin"
        self.backend = backend
        self.process = None
        self.url = self.host = self.port = self.ready_line = None
        args = ["init", str(self.dir), "--dev"] + (["--policy", str(policy)] if policy else [])
        self.run(*args)
        # Argon2id at its smallest: tests log in many times, and the cost is not what they are about.
        settings = {"auth.argon2_memory_mib": 8, "auth.argon2_passes": 1, "vmmd.backend": backend}
        self.configure({**settings, **(config or {})})

    @classmethod
    def existing(cls, directory, build=None):
        """One that `ppce init` has made already."""
        p = cls.__new__(cls)
        p.dir, p.build = pathlib.Path(directory), pathlib.Path(build or build_dir())
        p.bin, p.backend, p.process = p.build / "bin", "auto", None
        p.url = p.host = p.port = p.ready_line = None
        return p

    def configure(self, settings):
        path = self.dir / "ppce.yaml"
        text = path.read_text()
        for key, value in settings.items():
            text = set_config(text, key, value)
        path.write_text(text)

    # Life

    def start(self, listen="127.0.0.1:0", timeout=60):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to us, so that stop() sees them
        self.stderr = open(self.dir / "up.stderr", "ab")
        self.process = subprocess.Popen([self.bin / "ppce", "up", "-C", self.dir, "--listen", listen],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr)
        self.ready_line = self._read_line(timeout * SCALE)
        found = re.search(r"http://([0-9.]+):(\d+)", self.ready_line)
        if not found:
            self.stop(check=False)
            raise AssertionError(f"no ready line within {timeout} s, got {self.ready_line!r}\n{self.log_text()}")
        self.url, self.host, self.port = found.group(0), found.group(1), int(found.group(2))
        return self

    def _read_line(self, timeout):
        line, end = b"", time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n") and selector.select(max(0, end - time.monotonic())):
                byte = os.read(self.process.stdout.fileno(), 1)
                if not byte:
                    break
                line += byte
        return line.decode("utf-8", "replace")

    def stop(self, check=True, sig=signal.SIGTERM, timeout=15):
        """Ends the platform; with check, fails if it did not end cleanly or left a process behind."""
        if not self.process:
            return
        code = self.process.poll()
        family = self.family()
        if code is None:
            self.process.send_signal(sig)
            try:
                code = self.process.wait(timeout * SCALE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.stderr.close()
        self.process = None
        left = self._wait_gone(family, 6 * SCALE)
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        if check and sig == signal.SIGTERM and code != 0:
            raise AssertionError(f"`ppce up` ended with {code}\n{self.log_text()}")
        trace = re.search(r"(AddressSanitizer|LeakSanitizer|runtime error:).*", self.log_text(1 << 24))
        if check and trace:  # of a build with sanitizers
            raise AssertionError(f"a daemon: {trace.group(0)}\n{self.log_text(1 << 16)}")
        if check and left:
            raise AssertionError(f"processes left behind: {sorted(left)}\n{self.log_text()}")

    @staticmethod
    def _wait_gone(family, timeout):
        end, pids = time.monotonic() + timeout, [pid for pid, _ in family]
        while True:
            family = {(pid, born) for pid, born in family if process_born(pid) == born}
            if not family or time.monotonic() > end:
                break
            time.sleep(0.02)
        for pid in pids:  # those that became our children when `ppce up` ended
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return family

    def family(self):
        """(pid, start time) of `ppce up` and everything below it."""
        return descendants(self.process.pid) if self.process else set()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.stop(check=kind is None)

    def pid(self, daemon):
        """The daemon's pid, or None between its end and its next start."""
        try:
            return int((self.dir / "run" / f"{daemon}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def log_text(self, last=4000):
        return (self.dir / "up.stderr").read_text(errors="replace")[-last:]

    # The command line

    def run(self, *args, input=None, env=None, timeout=60):
        """ppce with these arguments, whatever its exit code: subprocess.CompletedProcess with text."""
        return subprocess.run([self.bin / "ppce", *map(str, args)], input=input, env={**os.environ, **(env or {})},
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True,
                              timeout=timeout * SCALE)

    def cli(self, *args, code=0, **kw):
        """The same with -C; its standard output. Any other exit code than `code` is a CliError."""
        done = self.run(*args, "-C", self.dir, **kw)
        if done.returncode != code:
            raise CliError(f"ppce {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                           f"stdout: {done.stdout}\nstderr: {done.stderr}")
        return done.stdout

    def cli_json(self, *args, **kw):
        return json.loads(self.cli(*args, "-o", "json", **kw))

    def image_file(self, name):
        return self.build / "apps" / name

    def add_image(self, name, path=None, label=None):
        self.cli("image", "add", name, path or self.image_file(name), *(["--label", label] if label else []),
                 timeout=120)

    def add_app(self, name, image, lifetime, **options):
        """options: max_instances=4 becomes --max-instances 4."""
        extra = [text for key, value in options.items() for text in ("--" + key.replace("_", "-"), value)]
        self.cli("app", "add", name, "--image", image, "--lifetime", lifetime, *extra)

    def add_user(self, name, clearance=None, cls=None, password=PASSWORD):
        extra = (["--clearance", clearance] if clearance else []) + (["--class", cls] if cls else [])
        self.cli("user", "add", name, "--password-file", "-", *extra, input=password + "\n")

    # Through the door

    def client(self, timeout=30):
        return Client(self.host, self.port, timeout)

    def http(self, method, target, body=None, headers=None, timeout=30):
        client = self.client(timeout)
        try:
            return client.request(method, target, body, headers)
        finally:
            client.close()

    def try_login(self, user, password=PASSWORD, label=None, purpose=None):
        body = {"username": user, "password": password}
        body.update({k: v for k, v in (("label", label), ("purpose", purpose)) if v})
        return self.http("POST", "/login", json.dumps(body), {"Content-Type": "application/json"})

    def login(self, user, password=PASSWORD, label=None, purpose=None):
        answer = self.try_login(user, password, label, purpose)
        if answer.status != 200:
            raise AssertionError(f"login of {user}: {answer}\n{self.log_text()}")
        return Session(user, answer.json())

    def call(self, session, path, method="GET", body=None, headers=None, label=None, client=None, timeout=30):
        """A request to /{app}/{path} with the session's token (None: without), optionally at a lower label."""
        fields = dict(headers or {})
        if session:
            fields["Authorization"] = "Bearer " + session.token
        if label:
            fields["PPCE-Label"] = label
        if client:
            return client.request(method, path, body, fields)
        return self.http(method, path, body, fields, timeout)

    def rest(self, daemon, method, target, body=None):
        """A daemon's own REST interface over its Unix socket; body is sent as JSON."""
        client = UnixClient(self.dir / "run" / f"{daemon}.sock")
        data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        try:
            return client.request(method, target, data, {"Content-Type": "application/json"} if data else {})
        finally:
            client.close()

    def wait_ready(self, timeout=20):
        """Until every daemon says that it is ready."""
        end = time.monotonic() + timeout * SCALE
        while True:
            try:
                if all(self.rest(d, "GET", "/readyz").status == 200 for d in DAEMONS):
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not ready within {timeout} s\n{self.log_text()}")
            time.sleep(0.05)

    def audit(self, **want):
        """Records of the audit log whose members equal those given."""
        return [line for line in audit_records(self.dir) if all(line.get(k) == v for k, v in want.items())]


def audit_records(directory):
    """All whole records of a platform's audit log, in order."""
    lines = []
    for path in sorted((pathlib.Path(directory) / "log" / "audit" / "data").glob("*.jsonl")):
        lines += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]  # the last may just be written
    return lines


def process_stat(pid):
    """(parent, start time) of a live process; None for one that is gone or a zombie."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), fields[19])


def process_born(pid):
    stat = process_stat(pid)
    return stat and stat[1]


def descendants(root):
    table = {}
    for entry in os.listdir("/proc"):
        stat = process_stat(int(entry)) if entry.isdigit() and int(entry) != root else None
        if stat:
            table[int(entry)] = stat
    found, grown = {root}, True
    while grown:
        new = {pid for pid, (parent, _) in table.items() if parent in found} - found
        grown = bool(new)
        found |= new
    return {(pid, born) for pid in found if (born := process_born(pid))}


def eventually(check, timeout=10, what="condition"):
    """Calls check() until it returns something true, and returns that."""
    end = time.monotonic() + timeout * SCALE
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} not reached within {timeout} s")
        time.sleep(0.02)
