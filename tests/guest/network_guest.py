# SPDX-License-Identifier: MIT
"""A guest with a network in a real tender, on a real tap: its peer is the TCP of this machine's kernel, in a network namespace
that the test made. The test plays the proxy."""
import contextlib
import fcntl
import http.client
import os
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tender", "net")]
from net_daemon import sh  # noqa: E402
from tender import BEGIN, END, FRAME, MAGIC, READY, RESET_NONE, SCALE, Tender  # noqa: E402
from wire import GATEWAY, GATEWAY_MAC, IP, MAC, control_net  # noqa: E402

PORT = 8080
LINK = "tap0"
SINKS = [("records-db", 5432, GATEWAY), ("other-sink", 99, GATEWAY)]


def make_tap(link=LINK):
    """A tap whose other end is the gateway; the instance's descriptor."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", link.encode(), 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
    sh("ip", "link", "set", link, "address", GATEWAY_MAC, "up")
    sh("ip", "address", "add", f"{GATEWAY}/24", "dev", link)
    sh("ip", "neigh", "replace", IP, "lladdr", MAC, "dev", link, "nud", "permanent")
    return fd


class NetworkGuest(Tender):
    def __init__(self, backend, snapshot, reset=RESET_NONE, sinks=SINKS, start=None, store=False):
        super().__init__(backend)
        self.tap = make_tap()
        net = self.tap, control_net(PORT, sinks)
        if start:
            self.start(start, reset, store, net)
        else:
            self.bind(snapshot, reset, store, net)

    @contextlib.contextmanager
    def request(self, deadline_ms=20000 * SCALE):
        """Around one HTTP request, as the proxy announces it."""
        self.send_frame(b"", deadline_ms, kind=BEGIN)
        yield
        self.channel.sendall(FRAME.pack(MAGIC, END, 0, 0, self.ids, 0, 0, 0, 0))
        kind, self.flags, _, _, _ = self.read_frame()
        assert kind == READY

    def connect(self):
        return http.client.HTTPConnection(IP, PORT, timeout=20 * SCALE)

    def http(self, target, method="GET", body=None, headers=(), connection=None, **how):
        """(status, fields, body) of one request, over `connection` or one of its own."""
        own = connection or self.connect()
        try:
            with self.request(**how):
                own.request(method, target, body, dict(headers))
                r = own.getresponse()
                answer = r.status, dict(r.getheaders()), r.read()
                if not connection:
                    own.close()
        finally:
            if not connection:
                own.close()
        return answer

    def raw(self, data, **how):
        """Everything that the guest answers to these bytes."""
        with self.request(**how), socket.create_connection((IP, PORT), 20 * SCALE) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            while part := s.recv(65536):
                answer += part
        return answer

    def close(self):
        super().close()
        os.close(self.tap)
        sh("ip", "link", "delete", LINK, check=False)


class Echo(socketserver.BaseRequestHandler):
    """Says everything again."""

    def handle(self):
        with contextlib.suppress(ConnectionError):
            while part := self.request.recv(65536):
                self.request.sendall(part)


@contextlib.contextmanager
def sink(handler=Echo, port=5432):
    """A server at the gateway."""
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server((GATEWAY, port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
