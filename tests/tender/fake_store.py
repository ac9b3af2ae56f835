# SPDX-License-Identifier: MIT
"""Plays the store at the end of an instance's socket (include/ppce/store.h), and makes tickets (ppce/ticket.h)."""
import os
import socket
import struct

# How much longer everything may take, where the whole machine is emulated (scripts/test-kvm-plain).
SCALE = int(os.environ.get("PPCE_TIME_SCALE", "1"))
# struct ticket
TICKET = struct.Struct("<IIQQq37s33s65s33s37s65s40s1024s1024s32s2x")
TICKET_FIELDS = ("version", "flags", "seq", "epoch", "expires", "instance", "app", "user", "class_name", "session",
                 "purpose", "request_id", "label", "ceiling", "mac")
PRISTINE, FIXED = 1, 2
CALL = struct.Struct("<4I")  # struct store_call without its ticket
REPLY = struct.Struct("<4I")
CALL_MAGIC, REPLY_MAGIC, RELEASE_MAGIC = 0x43535050, 0x52535050, 0x4c525050
QUERY, WRITE, DECLASSIFY = 1, 2, 3
OK, DENIED, UNKNOWN, INVALID, TOO_LARGE, DEADLINE, UNAVAILABLE, NONE, CONFLICT = range(9)
RELEASE = struct.Struct("<II40s33s1024s32s3x")


def make_ticket(seq=1, mac=b"\xa5" * 32, **fields):
    values = {"version": 1, "flags": 0, "seq": seq, "epoch": 1, "expires": 1 << 50, "mac": mac, **fields}
    packed = (values.get(name, b"") for name in TICKET_FIELDS)
    return TICKET.pack(*(v.encode() if isinstance(v, str) else v for v in packed))


def pad(data):
    return data + bytes(-len(data) % 8)


def value(v):
    """struct data_value and its bytes."""
    if v is None:
        return struct.pack("<IIq", 0, 0, 0)
    if isinstance(v, int):
        return struct.pack("<IIq", 1, 0, v)
    if isinstance(v, float):
        return struct.pack("<IId", 2, 0, v)
    if isinstance(v, str):
        data = v.encode()
        return struct.pack("<IIq", 3, len(data), 0) + pad(data + b"\0")
    return struct.pack("<IIq", 4, len(v), 0) + pad(v)


def rows(names, *values):
    return struct.pack("<II", len(names), len(values)) + b"".join(value(n) for n in names) + \
        b"".join(value(v) for row in values for v in row)


def changed(n):
    return struct.pack("<II", 0, n)


def release(json, request_id="id", certificate="mean", label="level=LOW"):
    data = json.encode()
    return RELEASE.pack(RELEASE_MAGIC, len(data), request_id.encode(), certificate.encode(), label.encode(),
                        b"\x5a" * 32) + data


def decode_values(data, count):
    out = []
    for _ in range(count):
        kind, length, number = struct.unpack_from("<IIq", data)
        at = 16
        if kind == 1:
            out.append(number)
        elif kind == 2:
            out.append(struct.unpack_from("<d", data, 8)[0])
        elif kind in (3, 4):
            text = data[at:at + length]
            size = length + (kind == 3)
            assert len(text) == length and data[at + length:at + size] == b"\0" * (size - length)
            assert not any(data[at + size:at + size + -size % 8])
            at += size + -size % 8
            out.append(text.decode() if kind == 3 else text)
        else:
            assert kind == 0
            out.append(None)
        data = data[at:]
    assert data == b""
    return out


class Call:
    """A decoded struct store_call and its payload."""

    def __init__(self, head, ticket, payload):
        _, self.verb, self.length, self.max = head
        self.payload = payload
        self.raw_ticket = ticket
        fields = zip(TICKET_FIELDS, TICKET.unpack(ticket))
        self.ticket = {k: v.split(b"\0")[0].decode("latin-1") if isinstance(v, bytes) and k != "mac" else v for k, v in fields}

    @property
    def name(self):
        length, _ = struct.unpack_from("<II", self.payload)
        assert self.payload[8 + length] == 0
        return self.payload[8:8 + length].decode()

    @property
    def values(self):
        length, count = struct.unpack_from("<II", self.payload)
        return decode_values(self.payload[8 + len(pad(bytes(length + 1))):], count)


class FakeStore:
    """The store's end of one instance's socket."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20 * SCALE)

    @classmethod
    def pair(cls):
        """(fake store, the tender's end)"""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(ours), theirs

    def read_exactly(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError("the tender closed the store's socket")
            data += part
        return bytes(data)

    def receive(self):
        head = CALL.unpack(self.read_exactly(CALL.size))
        assert head[0] == CALL_MAGIC
        return Call(head, self.read_exactly(TICKET.size), self.read_exactly(head[2]))

    def reply(self, data=b"", status=OK, length=None, magic=REPLY_MAGIC):
        self.sock.sendall(REPLY.pack(magic, status, len(data) if length is None else length, 0) + data)

    def serve(self, data=b"", **options):
        """Answers the next call with this."""
        call = self.receive()
        self.reply(data, **options)
        return call

    def quiet(self):
        """Has nothing been sent to the store?"""
        self.sock.setblocking(False)
        try:
            return not self.sock.recv(1)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(20 * SCALE)

    def close(self):
        self.sock.close()
