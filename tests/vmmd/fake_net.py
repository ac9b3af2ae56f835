# SPDX-License-Identifier: MIT
"""Plays ppce-net towards vmmd, for what the real one cannot be made to do (include/ppce/net.h)."""
import os
import socket

from net_daemon import GIVE, GIVEN, MESSAGE, REFUSED, TAKE, TAKEN


def text(data):
    return data.split(b"\0")[0].decode()


class Question:
    def __init__(self, data):
        f = MESSAGE.unpack(data)
        self.type, self.id, self.uuid, self.fresh = f[0], f[2], text(f[3]), f[8]
        self.sinks, self.label = text(f[-3]), text(f[-2])


class FakeNet:
    """Listens as ppce-net does; connect() waits for vmmd."""

    def __init__(self, directory):
        path = os.path.join(directory, "run", "net.sock")
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.settimeout(20)
        self.listener.bind(path)
        self.listener.listen(8)
        self.sock, self.path = None, path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def hang_up(self):
        self.sock.close()

    def connect(self):
        """vmmd's next connection; it must have given up the last one, if there was one that still stands."""
        if self.sock and self.sock.fileno() >= 0:
            while self.receive():
                pass
            self.sock.close()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(20)
        return self

    def close(self):
        if self.sock:
            self.sock.close()
        self.listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def receive(self):
        """The next question, or None when vmmd has hung up."""
        try:
            data = self.sock.recv(MESSAGE.size + 1)
        except ConnectionResetError:
            return None
        assert len(data) in (0, MESSAGE.size)
        return Question(data) if data else None

    def question(self, kind=TAKE):
        q = self.receive()
        assert q and q.type == kind, q and q.type
        return q

    def taken(self, q, ipv4=0x0A4D0005, name=b"tap5", fds=None, **change):
        """Answers with the end of a pipe as the tap; returns the other end, whose EOF tells that nobody has it any more."""
        f = {"type": TAKEN, "kind": 0, "id": q.id, "uuid": q.uuid.encode(), "name": name, "mac": b"\x02PMM\0\5",
             "gateway_mac": b"\x02PMM\0\1", "from_pool": 1, "fresh": 0, "ifindex": 5, "ipv4": ipv4, "prefix": 22,
             "gateway": 0x0A4D0001, "mtu": 1500, "uid": 0, "gid": 0, "took_us": 7, "flow_s": 60, "sinks": b"",
             "label": b"", "reason": b"", **change}
        ours, tap = os.pipe()
        data = MESSAGE.pack(*f.values())
        given = [tap] if fds is None else [tap] * fds
        socket.send_fds(self.sock, [data], given)
        os.close(tap)
        return ours

    def answer(self, kind, number, uuid="", reason="", err=0):
        self.sock.send(MESSAGE.pack(kind, err, number, uuid.encode(), b"", b"", b"", *[0] * 11, b"", b"",
                                    reason.encode()))

    def refuse(self, q, err, reason):
        self.answer(REFUSED, q.id, reason=reason, err=err)

    def given(self, uuid):
        """vmmd gives the tap of this instance back."""
        q = self.question(GIVE)
        assert q.uuid == uuid
        self.answer(GIVEN, q.id, uuid)


def is_closed(fd):
    """Has everybody closed the other end?"""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1) == b""
    except BlockingIOError:
        return False
