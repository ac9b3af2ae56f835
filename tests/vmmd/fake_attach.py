# SPDX-License-Identifier: MIT
"""Plays the store towards vmmd: DIR/run/store-attach.sock (include/ppce/store.h, part 1) and the taint table."""
import mmap
import os
import socket
import struct

from fake_store import FakeStore

ATTACH = struct.Struct("<II37s33s65s256sx")
TABLE, INSTANCE, GONE, RELEASED = 1, 2, 3, 16
SLOT = struct.Struct("<IIQ37s1024s3x")  # struct taint_slot of include/ppce/taint.h
SLOTS = 8192


def attach_message(kind, slot=0, uuid="", app="", digest="", queries=""):
    return ATTACH.pack(kind, slot, *(t.encode() for t in (uuid, app, digest, queries)))


def read_slot(table, slot):
    """(version, seq, uuid, label)"""
    version, _, seq, uuid, label = SLOT.unpack_from(table, slot * SLOT.size)
    return version, seq, uuid.split(b"\0")[0].decode(), label.split(b"\0")[0].decode()


class Attached:
    """What vmmd sent: one struct attach_message; .fds are its descriptors."""

    def __init__(self, data, fds):
        self.type, self.slot, *texts = ATTACH.unpack(data)
        self.uuid, self.app, self.digest, self.queries = (t.split(b"\0")[0].decode() for t in texts)
        self.fds = fds


class StoreDaemon:
    """Listens as the store does; connect() waits for vmmd. Instances' sockets are played by .stores[uuid]."""

    def __init__(self, directory):
        path = os.path.join(directory, "run", "store-attach.sock")
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.settimeout(20)
        self.listener.bind(path)
        self.listener.listen(8)
        self.sock, self.table, self.stores = None, None, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self):
        """vmmd's connection and the table, which comes first."""
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(20)
        first = self.receive()
        assert first.type == TABLE and len(first.fds) == 1
        self.table_fd = first.fds[0]
        assert os.fstat(self.table_fd).st_size == SLOTS * SLOT.size
        self.table = mmap.mmap(self.table_fd, 0)
        return self

    def receive(self):
        """The next message, or None when vmmd has hung up."""
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, ATTACH.size + 1, 4)
        except ConnectionResetError:
            return None
        assert not flags & socket.MSG_CTRUNC
        return Attached(data, fds) if data else None

    def take(self):
        """The next message, which must be an instance."""
        m = self.receive()
        assert m and m.type == INSTANCE and len(m.fds) == 1, m and m.type
        self.stores[m.uuid] = FakeStore(socket.socket(fileno=m.fds[0]))
        return m

    def gone(self, uuid=None):
        """The next message, which must be the end of an instance."""
        m = self.receive()
        assert m and m.type == GONE and m.fds == [] and uuid in (None, m.uuid), m and m.type
        return m

    def release(self, m):
        self.sock.send(attach_message(RELEASED, m.slot, m.uuid))

    def slot(self, slot):
        return read_slot(self.table, slot)

    def hang_up(self):
        """Closes the connection as a store does that ends."""
        self.sock.close()
        for store in self.stores.values():
            store.close()
        self.stores = {}

    def close(self):
        if self.sock:
            self.hang_up()
        if self.table:
            self.table.close()
            os.close(self.table_fd)
        self.listener.close()
