# SPDX-License-Identifier: MIT
"""Runs a real ppce-tender the way vmmd does: control socket, snapshot, channel. For the tests of tender/."""
import os
import socket
import struct
import subprocess
from pathlib import Path

from fake_store import SCALE, FakeStore, make_ticket

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PPCE_BUILD", ROOT / "build"))
TENDER = BUILD / "bin" / "ppce-tender"

# struct control_message of include/ppce/control.h
CONTROL = struct.Struct("<13I33s256s37s1024s2x672s")
BOOT, BIND, CHANNEL, START, SHELL_READY, BOOTED, BOUND, FAILED, LOG = 1, 2, 3, 4, 16, 17, 18, 19, 20
RESET_NONE, RESET_PRISTINE, RESET_DISCARD = 0, 1, 2
# struct frame_header of include/ppce/frame.h
FRAME = struct.Struct("<IHHIIIIII")
MAGIC = 0x46435050
REQUEST, RESPONSE, FRAME_FAILED, READY, BEGIN, END = 1, 2, 3, 4, 5, 6
CRASHED, DEADLINE, BAD_ANSWER, TOO_LARGE, INTERNAL = 1, 2, 3, 4, 5
FLAG_READY, FLAG_LAST, FLAG_TICKET = 1, 2, 4
STATS = struct.Struct("<7QII3Q")
PAGE = 4096


def probe():
    """Which backend this machine supports, as the tender itself finds out."""
    return subprocess.run([TENDER, "--probe"], capture_output=True, text=True, check=True).stdout.strip()


def backends():
    """Backends to test. A machine that says it must have KVM fails rather than skips."""
    if probe() == "kvm" or os.environ.get("PPCE_MUST_KVM") == "1":
        return ["kvm", "process"]
    return ["process"]


def encode_request(method="GET", path="/", query="", body=b"", fields=(), **identity):
    """struct wire_request of include/ppce/wire.h."""
    if "?" in path and not query:
        path, query = path.split("?", 1)
    head, table, data = 8 + 8 * 11, len(fields) * 16, bytearray()

    def ref(value):
        value = value.encode() if isinstance(value, str) else value
        at = head + table + len(data)
        data.extend(value + b"\0")
        return struct.pack("<II", at, len(value))

    out = struct.pack("<II", 1, len(fields)) + ref(method) + ref(path) + ref(query)
    for key in ("app", "user", "class_name", "label", "session", "purpose", "request_id"):
        out += ref(identity.get(key, ""))
    out += ref(body)
    for name, value in fields:
        out += ref(name) + ref(value)
    return bytes(out + data)


class Answer:
    """A decoded struct wire_response, checked as strictly as the proxy does."""

    def __init__(self, payload):
        version, fields, self.status, self.release, at, length = struct.unpack_from("<6I", payload)
        assert version == 1 and at + length < len(payload)
        self.body = payload[at:at + length]
        self.text = self.body.decode(errors="replace")
        self.fields = {}
        for i in range(fields):
            n, nl, v, vl = struct.unpack_from("<4I", payload, 24 + 16 * i)
            self.fields[payload[n:n + nl].decode()] = payload[v:v + vl].decode()


class Lost(Exception):
    """The guest is gone; .code is the frame's failure code."""

    def __init__(self, code):
        super().__init__(f"failure {code}")
        self.code = code


class Tender:
    def __init__(self, backend):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20 * SCALE)
        self.stats_fd = os.memfd_create("stats")
        os.ftruncate(self.stats_fd, PAGE)
        self.logs, self.channel, self.store, self.ids = [], None, None, 0
        args = [str(TENDER), "--backend", backend]
        if os.geteuid() == 0:
            args += ["--jail-uid", "65534", "--jail-gid", "65534"]
        # descriptors 3 and 4, whatever numbers they have here
        c, s = os.dup(theirs.fileno()), os.dup(self.stats_fd)
        shell = f'exec 3<&{c} 4<&{s}; exec "$@"'
        self.process = subprocess.Popen(["/bin/bash", "-c", shell, "bash"] + args, pass_fds=(c, s))
        os.close(c)
        os.close(s)
        theirs.close()
        self.ready = self.expect(SHELL_READY)

    @property
    def pid(self):
        return self.process.pid

    def send(self, kind, fds, reset=0, deadline_ms=10000 * SCALE, store=False, net=None):
        message = CONTROL.pack(kind, reset, deadline_ms, store, net is not None, *[0] * 8, b"", b"", b"test", b"", net or b"")
        socket.send_fds(self.control, [message], fds)

    def receive(self):
        data = self.control.recv(4096)
        if not data:
            return None
        f = CONTROL.unpack(data)
        return {"type": f[0], "network": f[5], "severity": f[6], "memory_mib": f[7], "create_us": f[10],
                "boot_us": f[11], "bind_us": f[12], "name": f[13].split(b"\0")[0].decode(),
                "queries": f[14].split(b"\0")[0].decode(),
                "reason": f[16].split(b"\0")[0].decode(errors="replace")}

    def expect(self, kind):
        while True:
            m = self.receive()
            if m is None:
                raise EOFError(f"tender ended with {self.process.wait()}")
            if m["type"] == LOG:
                self.logs.append(m["reason"])
                continue
            if m["type"] == FAILED and kind != FAILED:
                raise RuntimeError(m["reason"])
            assert m["type"] == kind, m
            return m

    def boot(self, image, deadline_ms=10000 * SCALE):
        """Boots an image file; returns the snapshot's descriptor."""
        memory = os.memfd_create("snapshot", os.MFD_ALLOW_SEALING)
        with open(image, "rb") as f:
            self.send(BOOT, [f.fileno(), memory], deadline_ms=deadline_ms)
        try:
            self.booted = self.expect(BOOTED)
        except Exception:
            os.close(memory)
            raise
        assert self.process.wait(10 * SCALE) == 0
        return memory

    def bind(self, snapshot, reset=RESET_NONE, store=False, net=None):
        """`store`: with a socket to a store, which the test plays at .store; requests then carry tickets. `net`: with a
        network, (descriptor of the tap, struct control_net)."""
        return self.give(BIND, snapshot, reset, store, net)

    def start(self, image, reset=RESET_NONE, store=False, net=None, deadline_ms=10000 * SCALE):
        """The same for an image, without a snapshot."""
        with open(image, "rb") as f:
            return self.give(START, f.fileno(), reset, store, net, deadline_ms)

    def give(self, kind, source, reset, store, net, deadline_ms=0):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel.settimeout(20 * SCALE)
        ours = [theirs.detach()]
        if store:
            self.store, their_store = FakeStore.pair()
            ours.append(their_store.detach())
        fds = [source, *ours] + ([net[0]] if net else [])
        if kind == START:
            ours.append(os.memfd_create("memory"))
            fds.append(ours[-1])
        self.send(kind, fds, reset, deadline_ms, store, net and net[1])
        for fd in ours:
            os.close(fd)
        self.bound = self.expect(BOUND)
        self.reset_mode = reset
        return self

    def rebind(self):
        self.channel.close()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel.settimeout(20 * SCALE)
        self.send(CHANNEL, [theirs.fileno()])
        theirs.close()

    def read_exactly(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.channel.recv(n - len(data))
            if not part:
                raise EOFError("channel closed")
            data += part
        return bytes(data)

    def send_frame(self, payload, deadline_ms=5000 * SCALE, kind=REQUEST, magic=MAGIC, length=None, flags=None, ticket=None):
        self.ids += 1
        if self.store and ticket is None:
            ticket = make_ticket(seq=self.ids)
        if flags is None:
            flags = FLAG_TICKET if ticket else 0
        head = FRAME.pack(magic, kind, flags, len(payload) if length is None else length, self.ids, deadline_ms, 0, 0,
                          0)
        self.channel.sendall(head + (ticket or b"") + payload)

    def read_frame(self):
        magic, kind, flags, length, ident, code, load_us, run_us, _ = FRAME.unpack(self.read_exactly(FRAME.size))
        assert magic == MAGIC and ident == self.ids
        return kind, flags, code, self.read_exactly(length), (load_us, run_us)

    def call(self, path="/", deadline_ms=5000 * SCALE, **request):
        """One request, one answer; with pristine reset also waits for the guest to be ready again."""
        self.send_frame(encode_request(path=path, **request), deadline_ms)
        return self.finish()

    def call_store(self, path, data=b"", deadline_ms=5000 * SCALE, request=None, **reply):
        """The same for a request that makes one call to the store; (answer, the call)."""
        self.send_frame(encode_request(path=path, **(request or {})), deadline_ms)
        call = self.store.serve(data, **reply)
        return self.finish(), call

    def finish(self):
        """Reads the answer to the last request."""
        kind, flags, code, payload, self.timing = self.read_frame()
        if kind == FRAME_FAILED:
            raise Lost(code)
        assert kind == RESPONSE
        answer = Answer(payload)
        if self.reset_mode == RESET_PRISTINE:
            assert flags == 0
            kind, _, _, _, (self.reset_us, _) = self.read_frame()
            assert kind == READY
        return answer

    def stats(self):
        names = ("requests", "failures", "resets", "rewarms", "last_used_ns", "busy_ns", "reset_ns", "resident_kib",
                 "pad", "frames_in", "frames_out", "frames_dropped")
        return dict(zip(names, STATS.unpack(os.pread(self.stats_fd, STATS.size, 0))))

    def end_reason(self):
        """The reason of a guest that was lost; the tender must have ended by itself."""
        reason = self.expect(FAILED)["reason"]
        assert self.process.wait(10 * SCALE) == 1
        return reason

    def close(self):
        self.process.kill()
        self.process.wait()
        for peer in (self.channel, self.store):
            if peer:
                peer.close()
        self.control.close()
        os.close(self.stats_fd)


def resident_pages(pid, size_at_least):
    """Per-page state (0 absent, 1 file, 2 private) of the guest's mapping, as the kernel sees it from outside."""
    for line in open(f"/proc/{pid}/maps"):
        span, perms, *rest = line.split()
        start, end = (int(x, 16) for x in span.split("-"))
        if "memfd:snapshot" in line and perms.startswith("rw-p") and end - start >= size_at_least:
            with open(f"/proc/{pid}/pagemap", "rb") as f:
                f.seek(start // PAGE * 8)
                raw = f.read((end - start) // PAGE * 8)
            states = []
            for (entry,) in struct.iter_unpack("<Q", raw):
                there = entry >> 62 & 3
                states.append(0 if not there else (1 if entry >> 61 & 1 else 2))
            return start, states
    raise LookupError("no guest mapping")
