# SPDX-License-Identifier: MIT
"""Peers that do not keep to the protocol lose their connection; nobody else notices."""
import os
import socket
import uuid

import pytest

from harness import eventually
from net_daemon import GIVE, GIVEN, LOST, MESSAGE, REFUSED, TAKE, TAKEN, message, send_with_fd, sh

GOOD = message(TAKE, 1, who=str(uuid.uuid4()))


def changed(at, data):
    return GOOD[:at] + data + GOOD[at + len(data):]


@pytest.mark.parametrize("packet", [
    b"x", GOOD[:-1], GOOD + b"\0", GOOD * 2, bytes(MESSAGE.size), b"\xff" * MESSAGE.size,
    *[message(kind) for kind in (0, 4, 15, TAKEN, GIVEN, REFUSED, LOST, 20, 0xFFFFFFFF)],
    changed(16, b"a" * 37), changed(53, b"a" * 16), changed(120, b"a" * 560), changed(680, b"a" * 1024),
    changed(1704, b"a" * 200),
], ids=range(20))
def test_malformed_packet_ends_the_connection(make_net, packet):
    net = make_net()
    with net.peer() as bad, net.peer() as good:
        tap, kept = bad.take(), good.take()
        tap.close()
        bad.sock.send(packet)
        assert bad.hung_up()
        eventually(lambda: [t["instance"] for t in net.taps(state="taken")] == [kept.uuid])
        assert net.metric("faults_total") == 1
        kept.send(kept.arp())
        assert kept.receive(5)
        kept.close()


def test_descriptors_are_not_wanted(make_net):
    net = make_net()
    with net.peer() as p:
        send_with_fd(p, GOOD, 0)
        assert p.hung_up()


def test_too_many_connections(make_net):
    net = make_net()
    peers = [net.peer() for _ in range(16)]
    eventually(lambda: net.metric("connections") == 16)
    with net.peer() as one_more:
        assert one_more.hung_up()
    peers[0].take().close()
    for p in peers:
        p.close()
    eventually(lambda: net.metric("connections") == 0)
    with net.peer() as p:
        p.take().close()


def test_peer_that_does_not_read(make_net):
    """It asks on and on; nothing is read from it any more when its answers do not fit, and others are served."""
    net = make_net(taps=2)
    with net.peer() as deaf, net.peer() as good:
        deaf.sock.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                deaf.sock.send(message(GIVE, sent, who=str(uuid.uuid4())))
                sent += 1
        tap = good.take()
        tap.send(tap.arp())
        assert tap.receive(5)
        tap.close()
        deaf.sock.setblocking(True)
        got = [deaf.receive()[0].id for _ in range(sent)]
        assert got == list(range(sent))


def test_takes_that_are_not_read(make_net):
    """Taps on their way to somebody who then goes away come back."""
    net = make_net(taps=2)
    with net.peer() as p:
        for n in range(40):
            p.sock.send(message(TAKE, n, who=str(uuid.uuid4())))
        eventually(lambda: len(net.taps(state="taken")) == 40)
    eventually(lambda: not net.taps(state="taken"))
    net.settled(2)
    assert net.metric("still_held_total") == 0


def test_questions_of_one_that_left_are_forgotten(make_net):
    net = make_net(taps=0)
    with net.peer() as p:
        for n in range(100):
            p.sock.send(message(TAKE, n, who=str(uuid.uuid4())))
    eventually(lambda: net.metric("waiting") == 0 and not net.taps(state="taken"))
    with net.peer() as p:
        p.take().close()


def test_question_can_be_taken_back(make_net):
    """A question that still waits is refused, and its take-back answered; nothing stays taken."""
    net = make_net(taps=0)
    with net.peer() as p:
        whos = [str(uuid.uuid4()) for _ in range(30)]
        for n, who in enumerate(whos):
            p.sock.send(message(TAKE, n, who=who))
        for n, who in enumerate(whos):
            p.sock.send(message(GIVE, 100 + n, who=who))
        kinds = {}
        for _ in range(60):
            m, fd = p.receive()
            kinds[m.id] = m.type
            if fd is not None:
                os.close(fd)
        assert all(kinds[100 + n] == GIVEN for n in range(30))
        assert REFUSED in [kinds[n] for n in range(30)]
        eventually(lambda: not net.taps(state="taken"))


def test_duplicate_while_waiting(make_net):
    net = make_net(taps=0)
    with net.peer() as p:
        who = str(uuid.uuid4())
        for n in range(3):
            p.sock.send(message(TAKE, n, who=who))
        types = sorted(p.receive()[0].type for _ in range(3))
        assert types == [TAKEN, REFUSED, REFUSED]


def test_other_users_cannot_connect(make_net):
    net = make_net()
    for d in (net.dir, net.path("run")):
        os.chmod(d, 0o755)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setresuid(12345, 12345, 12345)
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(net.path("run/net.sock"))
        except PermissionError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_credentials_are_checked_beside_the_mode(make_net):
    """Somebody opened the socket file up: the kernel's credentials still decide."""
    net = make_net()
    for path, mode in ((net.dir, 0o755), (net.path("run"), 0o755), (net.path("run/net.sock"), 0o666)):
        os.chmod(path, mode)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setresuid(12345, 12345, 12345)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(10)
            s.connect(net.path("run/net.sock"))
            code = 0 if s.recv(10) == b"" else 1
        except ConnectionResetError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "refused" in net.log
    assert sh("ip", "link")
