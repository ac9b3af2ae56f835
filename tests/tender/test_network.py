# SPDX-License-Identifier: MIT
"""Instances with a network: frames between guest and tap, requests that the channel begins and ends. The test plays the proxy,
the store and whatever is behind the tap."""
import os
import struct
import time

import pytest

from fake_store import NONE, UNAVAILABLE, make_ticket, rows
from tender import (BEGIN, BUILD, CRASHED, DEADLINE, END, FLAG_LAST, FRAME, FRAME_FAILED, INTERNAL, MAGIC, READY, RESET_DISCARD,
                    RESET_NONE, RESET_PRISTINE, SCALE, FLAG_TICKET, Tender, backends, encode_request, resident_pages)
from wire import GATEWAY, GATEWAY_MAC, IP, MAC, OTHER_IP, OTHER_MAC, RealTap, Wire, control_net, frames, packet

GUESTS = BUILD / "tests" / "guest"
SLOTS = 16


@pytest.fixture(params=backends(), scope="module")
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def snapshot(backend):
    tender = Tender(backend)
    fd = tender.boot(GUESTS / "network")
    tender.close()
    yield fd
    os.close(fd)


class Instance(Tender):
    """A tender with a network; .wire is the other end of its tap."""

    def __init__(self, backend):
        super().__init__(backend)
        self.wire, self.tap = Wire.pair()

    def begin(self, deadline_ms=20000 * SCALE, **how):
        self.send_frame(b"", deadline_ms, kind=BEGIN, **how)

    def end(self):
        """Ends the request under way; (flags, times) of FRAME_READY."""
        self.send_end()
        kind, flags, _, _, times = self.read_frame()
        assert kind == READY
        return flags, times

    def send_end(self, ident=None):
        self.channel.sendall(FRAME.pack(MAGIC, END, 0, 0, self.ids if ident is None else ident, 0, 0, 0, 0))

    def request(self, payload):
        """What the guest answers to a command in a request of its own."""
        self.begin()
        answer = self.wire.ask(payload)
        self.end()
        return answer

    def failure(self):
        """(code, the operator's reason) of a guest that was lost in a request."""
        kind, _, code, _, _ = self.read_frame()
        assert kind == FRAME_FAILED
        return code, self.end_reason()

    def closed(self):
        """Has the tender closed the channel, which must be all that it says?"""
        try:
            return self.channel.recv(1) == b""
        except ConnectionResetError:
            return True

    def drop_tap(self):
        """Leaves it to the tender."""
        if self.tap >= 0:
            os.close(self.tap)
        self.tap = -1

    def close(self):
        super().close()
        self.wire.close()
        self.drop_tap()


@pytest.fixture
def make(backend, snapshot):
    made = []

    def build(reset=RESET_NONE, store=False, start=None):
        i = Instance(backend)
        made.append(i)
        net = i.tap, control_net()
        i.start(GUESTS / start, reset, store, net) if start else i.bind(snapshot, reset, store, net)
        i.drop_tap()
        return i

    yield build
    for i in made:
        i.close()


@pytest.fixture(params=[RESET_NONE, RESET_PRISTINE], ids=["kept", "pristine"])
def instance(make, request):
    return make(request.param)


def u32(n):
    return struct.pack("<I", n & 0xffffffff)


# --- what works ---

def test_frames_go_both_ways(instance):
    for i in range(3):
        for size in (1, 100, 1480):
            text = b"e" + bytes([i]) * (size - 1)
            assert instance.request(text) == text
    stats = instance.stats()
    assert stats["requests"] == 9 and stats["failures"] == 0 and stats["last_used_ns"] and stats["busy_ns"]
    assert (stats["frames_in"], stats["frames_out"], stats["frames_dropped"]) == (9, 9, 0)


def test_many_frames_at_once(instance):
    instance.begin()
    for i in range(100):
        instance.wire.send(b"e" + u32(i))
    assert [instance.wire.receive() for _ in range(100)] == [b"e" + u32(i) for i in range(100)]
    instance.end()


def test_answers_arp(instance):
    question = frames.arp(1, GATEWAY_MAC, GATEWAY, "00:00:00:00:00:00", IP)
    instance.wire.sock.send(frames.ethernet(MAC, GATEWAY_MAC, frames.ARP, question))
    assert instance.wire.sock.recv(2048) == frames.ethernet(GATEWAY_MAC, MAC, frames.ARP,
                                                            frames.arp(2, MAC, IP, GATEWAY_MAC, GATEWAY))


def test_the_guest_is_told_of_its_network(instance):
    told = instance.request(b"i")
    assert told == control_net().ljust(len(told), b"\0")[:16] + control_net()[16:28] + control_net()[28:].ljust(
        len(told) - 28, b"\0")


def test_the_network_page_follows_the_data_buffer(make):
    net_at, data_at, data_max, _ = struct.unpack("<4Q", make().request(b"a"))
    assert net_at == data_at + data_max and data_max == 4096


@pytest.mark.parametrize("reset,seen", [(RESET_NONE, [0, 1, 2]), (RESET_PRISTINE, [0, 0, 0])], ids=["kept", "pristine"])
def test_memory_after_a_request(make, reset, seen):
    i = make(reset)
    assert [struct.unpack("<I", i.request(b"m" + u32(n)))[0] for n in (1, 2, 3)] == seen
    assert i.stats()["resets"] == (3 if reset == RESET_PRISTINE else 0)


def test_discard_ends_after_one_request(make):
    i = make(RESET_DISCARD)
    i.begin()
    assert i.wire.ask(b"e") == b"e"
    assert i.end()[0] == FLAG_LAST
    assert i.process.wait(10 * SCALE) == 0


def test_the_channel_works_without_a_network(backend, snapshot):
    """The same image, and no network."""
    tender = Tender(backend).bind(snapshot)
    assert tender.call("/").text == "-100 1\n"  # -ENETDOWN
    assert tender.call("/").text == "-100 2\n"
    tender.close()


def test_the_guests_clock_stays_right(make):
    i = make()
    last = 0
    for wait in (0, 0.3, 0.01, 0.6):
        time.sleep(wait)
        before = time.monotonic_ns()
        monotonic, realtime, _ = struct.unpack("<3Q", i.wire.ask(b"t"))
        assert monotonic > last and realtime
        assert before - 10**7 < monotonic < time.monotonic_ns() + 10**7
        assert abs(realtime - time.time_ns()) < 10**9 * SCALE
        last = monotonic


@pytest.mark.skipif("kvm" not in backends(), reason="no kvm here")
def test_resident_pages_do_not_depend_on_earlier_frames(make, backend, snapshot):
    if backend != "kvm":
        pytest.skip("a process starts from nothing")
    size, = struct.unpack("<Q", os.pread(snapshot, 8, os.fstat(snapshot).st_size - 8))
    i = make(RESET_PRISTINE)
    i.request(b"e")
    _, quiet = resident_pages(i.pid, size)
    i.begin()
    for _ in range(3 * SLOTS):
        assert i.wire.ask(b"e" * 1480) == b"e" * 1480
    i.end()
    _, after = resident_pages(i.pid, size)
    assert quiet.count(2) > 3 and after == quiet


def result(n):
    return struct.pack("<q", n)


def test_a_wait_ends_with_its_time(instance):
    for wait_us in (0, 1, 3000):
        assert instance.request(b"n" + u32(wait_us)) == result(0)


def test_a_wait_ends_with_a_frame(instance):
    instance.begin()
    instance.wire.send(b"n" + u32(2**32 - 1))
    instance.wire.send(b"e")
    assert [instance.wire.receive(), instance.wire.receive()] == [result(1), b"e"]
    instance.end()


def test_a_wait_ends_when_a_request_begins_or_ends(make):
    i = make()
    i.wire.send(b"n" + u32(2**32 - 1))
    while i.stats()["frames_in"] < 1:
        time.sleep(0.01)
    i.begin()
    assert i.wire.receive() == result(0)
    i.wire.send(b"n" + u32(2**32 - 1))
    while i.stats()["frames_in"] < 2:
        time.sleep(0.01)
    i.end()
    assert i.wire.receive() == result(0)


# --- begin and end ---

def test_begin_is_known_before_the_requests_bytes(make):
    """A call to the store in the first frame has its ticket, however close behind FRAME_BEGIN the frame comes."""
    i = make(RESET_NONE, store=True)
    for n in range(200):
        i.begin()
        i.wire.send(b"s")
        assert i.store.serve(b"12345678").ticket["seq"] == i.ids
        assert i.wire.receive() == result(8)
        i.end()


def test_begin_right_behind_the_end(make):
    """A guest that keeps its memory gets the next request without FRAME_READY being waited for."""
    i = make(RESET_NONE, store=True)
    i.begin()
    for n in range(200):
        i.send_end()
        i.begin()
        i.wire.send(b"s")
        assert i.store.serve(b"12345678").ticket["seq"] == i.ids
        assert i.wire.receive() == result(8)
    i.send_end()
    said = [FRAME.unpack(i.read_exactly(FRAME.size)) for _ in range(i.ids)]
    assert [(f[1], f[4]) for f in said] == [(READY, n + 1) for n in range(i.ids)]


@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE], ids=["kept", "pristine"])
def test_no_store_between_requests(make, reset):
    i = make(reset, store=True)
    none = result(-NONE)
    for _ in range(2):
        assert i.wire.ask(b"s") == none
        i.begin()
        i.wire.send(b"s")
        i.store.serve(b"12345678")
        assert i.wire.receive() == result(8)
        i.end()
    assert i.wire.ask(b"s") == none
    assert i.store.quiet()


def test_no_store_at_all(make):
    assert make().request(b"s") == result(-NONE)


def test_a_reset_drops_frames_that_wait(make):
    """Of those that came with the request before, none reaches the next one: neither from the rings nor from the tap."""
    i = make(RESET_PRISTINE)
    for _ in range(3):
        i.begin()
        i.wire.send(b"d" + u32(100))
        for _ in range(3 * SLOTS):
            i.wire.send(b"eold")
        i.end()
        i.wire.flush()
        assert i.request(b"enew") == b"enew"
        assert i.wire.flush() == []


def test_frames_that_wait_are_kept_without_a_reset(make):
    """The counter-test."""
    i = make(RESET_NONE)
    i.begin()
    i.wire.send(b"d" + u32(100))
    for _ in range(3 * SLOTS):
        i.wire.send(b"eold")
    i.end()
    assert [i.wire.receive() for _ in range(3 * SLOTS)] == [b"eold"] * (3 * SLOTS)


def test_begin_in_single_bytes(make):
    i = make(RESET_NONE, store=True)
    i.ids += 1
    for byte in FRAME.pack(MAGIC, BEGIN, FLAG_TICKET, 0, i.ids, 20000, 0, 0, 0) + make_ticket(seq=77):
        i.channel.sendall(bytes([byte]))
    i.wire.send(b"s")
    assert i.store.serve(b"12345678").ticket["seq"] == 77
    i.wire.receive()
    i.end()


WRONG = {
    "request": lambda i: i.send_frame(encode_request(path="/")),
    "end first": lambda i: i.send_end(),
    "begin twice": lambda i: (i.begin(), i.begin()),
    "end of another": lambda i: (i.begin(), i.send_end(77)),
    "end twice": lambda i: (i.begin(), i.end(), i.send_end()),
    "ticket": lambda i: i.begin(ticket=make_ticket()),
    "magic": lambda i: i.begin(magic=1),
    "payload": lambda i: i.begin(length=1),
    "no deadline": lambda i: i.begin(deadline_ms=0),
    "long deadline": lambda i: i.begin(deadline_ms=3600001),
    "answer": lambda i: i.send_frame(b"", kind=READY),
    "end with ticket": lambda i: (i.begin(), i.channel.sendall(FRAME.pack(MAGIC, END, FLAG_TICKET, 0, i.ids, 0, 0, 0, 0))),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_frame_closes_the_channel(instance, what):
    WRONG[what](instance)
    assert instance.closed()
    instance.rebind()
    assert instance.request(b"estill here") == b"estill here"


def test_begin_without_its_ticket_closes_the_channel(make):
    i = make(RESET_NONE, store=True)
    i.begin(flags=0, ticket=b"")
    assert i.closed()


@pytest.mark.parametrize("kind", [BEGIN, END])
def test_frames_of_a_network_close_a_channel_of_requests(backend, snapshot, kind):
    tender = Tender(backend).bind(snapshot)
    tender.send_frame(b"", kind=kind)
    with pytest.raises((EOFError, ConnectionResetError)):
        tender.read_frame()
    tender.rebind()
    assert tender.call("/").status == 200
    tender.close()


@pytest.mark.parametrize("reset,seen", [(RESET_NONE, 7), (RESET_PRISTINE, 0)], ids=["kept", "pristine"])
def test_the_proxy_comes_back(make, reset, seen):
    """A channel that closes ends its request; the ticket goes with it."""
    i = make(reset, store=True)
    i.begin()
    i.wire.ask(b"m" + u32(7))
    i.rebind()
    i.begin()
    i.end()  # from here on the new channel is served; frames that come before a reset are dropped
    assert i.wire.ask(b"s") == result(-NONE)
    assert i.request(b"m" + u32(8)) == u32(seen)
    i.rebind()
    i.rebind()
    assert i.request(b"ex") == b"ex"


def test_discarded_with_its_channel(make):
    i = make(RESET_DISCARD)
    i.begin()
    assert i.wire.ask(b"e") == b"e"
    i.channel.close()
    assert i.process.wait(10 * SCALE) == 0


def test_the_tender_ends_with_its_control_socket(make):
    i = make()
    i.rebind()
    assert i.request(b"e") == b"e"
    i.channel.close()
    i.control.close()
    assert i.process.wait(10 * SCALE) == 0


@pytest.mark.parametrize("when", ["before", "during"])
def test_the_store_closes(make, when):
    """The guest is told, and is given no request after this one."""
    i = make(RESET_PRISTINE, store=True)
    if when == "before":
        i.store.close()
    i.begin()
    i.wire.send(b"s")
    if when == "during":
        i.store.receive()
        i.store.close()
    assert i.wire.receive() == result(-UNAVAILABLE)
    assert i.end()[0] == FLAG_LAST
    assert i.end_reason() == "the store closed this instance's socket"


# --- time ---

@pytest.mark.parametrize("command", [None, b"e", b"x", b"z"], ids=["waits", "has answered", "loops", "asks for ever"])
def test_deadline(instance, command):
    instance.begin(deadline_ms=200)
    if command:
        instance.wire.send(command)
    assert instance.failure() == (DEADLINE, "over the deadline")
    assert instance.stats()["failures"] == 1


def test_a_store_that_is_slow_is_the_guests_deadline(make):
    i = make(RESET_NONE, store=True)
    i.begin(deadline_ms=200)
    i.wire.send(b"s")
    i.store.receive()
    assert i.failure() == (DEADLINE, "over the deadline")


def test_a_guest_that_runs_on_between_requests_ends(make):
    i = make()
    i.wire.send(b"x")
    assert i.end_reason() == "over the deadline"
    assert i.closed()


def test_a_guest_that_asks_for_ever_between_requests_is_slowed_down(make):
    """It gets its part of the time, and serves its next request at once."""
    i = make()
    i.wire.send(b"z")
    time.sleep(0.5)
    first, = struct.unpack("<16xQ", i.request(b"t"))
    assert i.request(b"e") == b"e"
    assert first > 1


# --- a guest that does wrong ---

@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a request"])
@pytest.mark.parametrize("command,reason", [
    (b"p" + u32(SLOTS + 2), "broke its network ring: tx_put"), (b"p" + u32(-1), "broke its network ring: tx_put"),
    (b"p" + u32(2**31), "broke its network ring: tx_put"), (b"q" + u32(1), "broke its network ring: rx_taken"),
    (b"q" + u32(-SLOTS - 2), "broke its network ring: rx_taken"), (b"q" + u32(2**31), "broke its network ring: rx_taken"),
    (b"l" + u32(0), "broke its network ring: a frame's length 0"), (b"l" + u32(13), "broke its network ring: a frame's length 13"),
    (b"l" + u32(1515), "broke its network ring: a frame's length 1515"),
    (b"l" + u32(65535), "broke its network ring: a frame's length 65535"),
    (b"c" + u32(1), "waits for requests on a channel, but has a network"), (b"c" + u32(8), "bad call 8")], ids=str)
def test_a_guest_that_lies_ends(make, command, reason, busy):
    i = make()
    if busy:
        i.begin()
    i.wire.send(command)
    if busy:
        code, why = i.failure()
        assert code == CRASHED
    else:
        why = i.end_reason()
    assert why.startswith(reason)
    assert i.wire.flush() == []


SPOOFED = {
    "source MAC": packet(b"x", to=GATEWAY_MAC, source=OTHER_MAC, sender=IP, target=GATEWAY),
    "source address": packet(b"x", to=GATEWAY_MAC, source=MAC, sender=OTHER_IP, target=GATEWAY),
    "to another": packet(b"x", to=OTHER_MAC, source=MAC, sender=IP, target=OTHER_IP),
    "to all": packet(b"x", to=frames.BROADCAST, source=MAC, sender=IP, target=GATEWAY),
    "ARP to all": frames.ethernet(frames.BROADCAST, MAC, frames.ARP, frames.arp(1, MAC, IP, MAC, GATEWAY)),
    "ARP of another MAC": frames.ethernet(GATEWAY_MAC, MAC, frames.ARP, frames.arp(2, OTHER_MAC, IP, GATEWAY_MAC, GATEWAY)),
    "ARP of another address": frames.ethernet(GATEWAY_MAC, MAC, frames.ARP, frames.arp(2, MAC, OTHER_IP, GATEWAY_MAC, GATEWAY)),
    "short ARP": frames.ethernet(GATEWAY_MAC, MAC, frames.ARP, frames.arp(2, MAC, IP, GATEWAY_MAC, GATEWAY))[:-1],
    "IPv6": frames.ethernet(GATEWAY_MAC, MAC, frames.IPV6, bytes(60)),
    "VLAN": frames.ethernet(GATEWAY_MAC, MAC, frames.VLAN, b"\0\1\x08\0" + frames.ipv4(IP, GATEWAY, 6, bytes(40))),
    "802.3": frames.ethernet(GATEWAY_MAC, MAC, 60, bytes(60)),
    "version 6": frames.ethernet(GATEWAY_MAC, MAC, frames.IPV4, b"\x65" + frames.ipv4(IP, GATEWAY, 6, bytes(40))[1:]),
    "header only": frames.ethernet(GATEWAY_MAC, MAC, frames.IPV4),
    "short": frames.ethernet(GATEWAY_MAC, MAC, frames.IPV4, frames.ipv4(IP, GATEWAY, 6, b"")[:-1]),
}


def test_frames_that_are_not_allowed_are_dropped_and_counted(instance):
    instance.begin()
    for frame in SPOOFED.values():
        instance.wire.send(b"r" + frame)
        assert instance.wire.ask(b"e") == b"e", "the guest lives on, and nothing else came before its answer"
    assert instance.wire.flush() == []
    instance.end()
    assert instance.stats()["frames_dropped"] == len(SPOOFED)


def test_frames_for_others_are_not_handed_in(instance):
    for how in (dict(to=OTHER_MAC), dict(to=frames.BROADCAST), dict(source=OTHER_MAC), dict(to="33:33:00:00:00:01")):
        for _ in range(2 * SLOTS):
            instance.wire.send(b"ewrong", **how)
    instance.wire.sock.send(b"tiny")
    instance.wire.sock.send(packet(b"ewrong" + bytes(1475)))  # a byte too long
    assert instance.request(b"eright") == b"eright"
    assert instance.stats()["frames_dropped"] == 8 * SLOTS + 2


def test_a_tap_without_room_loses_frames(instance):
    instance.begin()
    instance.wire.send(b"f" + u32(5000))
    while instance.stats()["frames_out"] + instance.stats()["frames_dropped"] < 5000:
        time.sleep(0.01)
    got = 0
    while instance.wire.flush():
        got += 1
    assert got
    assert instance.wire.ask(b"e") in (b"e", b"F")
    stats = instance.stats()
    assert stats["frames_dropped"] > 1000


def test_a_guest_that_leaves_its_ring_full(instance):
    instance.begin()
    instance.wire.send(b"k")
    for _ in range(3 * SLOTS):
        instance.wire.send(b"e")
    assert instance.wire.receive() == b"K"
    assert [instance.wire.receive() for _ in range(3 * SLOTS)] == [b"e"] * (3 * SLOTS)
    instance.end()


def test_what_a_guest_writes_over_the_hosts_fields_does_not_matter(instance):
    """It can only harm itself: the host's counters and addresses are its own."""
    instance.begin()
    instance.wire.send(b"u")
    instance.wire.send(b"e")
    instance.send_end()
    assert instance.read_frame()[0] == READY
    assert all(frame[:12] == packet(b"", to=GATEWAY_MAC, source=MAC)[:12] for frame in instance.wire.flush())


def run_apart(instance):
    """Tender and guest on processors of their own, where the guest is a process that we may move."""
    cpus = sorted(os.sched_getaffinity(0))
    children = open(f"/proc/{instance.pid}/task/{instance.pid}/children").read().split()
    if len(cpus) > 1 and os.geteuid() == 0:
        for pid, cpu in zip([instance.pid, *map(int, children)], cpus):
            os.sched_setaffinity(pid, {cpu})


@pytest.mark.parametrize("command", [b"w", b"W"], ids=["frame", "length"])
def test_memory_that_changes_under_the_hosts_feet(make, command):
    """Whatever the host copies is judged as it was copied: no frame with a foreign sender ever goes out."""
    i = make()
    run_apart(i)
    i.begin()
    i.wire.send(command + u32(300))
    while True:
        try:
            frame = i.wire.sock.recv(2048)
        except ConnectionResetError:
            frame = b""
        if not frame:  # the tender has ended
            break
        assert frame[6:12] == frames.mac_bytes(MAC) and frame[26:30] == frames.ip_bytes(IP)
        if frame[34:] == b"R":
            i.end()
            return
    assert command == b"W" and "a frame's length" in i.failure()[1]


# --- the tap ---

def test_a_tap_that_is_gone_ends_the_instance(make):
    i = make()
    i.begin()
    assert i.wire.ask(b"e") == b"e"
    i.wire.close()
    code, reason = i.failure()
    assert code == INTERNAL and reason.startswith("its tap is gone")


@pytest.fixture
def tap():
    """A real one, in a network namespace of its own."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there is no /dev/net/tun here")
    from net_daemon import Namespace, sh
    try:
        with Namespace():
            tap = RealTap("tap0", sh)
            yield tap
            tap.close()
    except PermissionError as e:
        pytest.skip(str(e))


def test_a_real_tap(make, backend, snapshot, tap):
    i = Instance(backend)
    i.bind(snapshot, RESET_PRISTINE, False, (tap.fd, control_net()))
    os.close(tap.fd)
    i.wire.close()
    i.wire = tap
    for size in (1, 1480):
        assert i.request(b"e" * size) == b"e" * size
    i.begin()
    for n in range(50):
        tap.send(b"e" + u32(n))
    assert [tap.receive() for n in range(50)] == [b"e" + u32(n) for n in range(50)]
    i.end()
    if os.geteuid() == 0:
        kinds = {os.readlink(f"/proc/{i.pid}/fd/{n}") for n in os.listdir(f"/proc/{i.pid}/fd")}
        assert "/dev/net/tun" in kinds
    i.begin()
    tap.sh("ip", "link", "del", tap.name)
    code, reason = i.failure()
    assert code == INTERNAL and reason.startswith("its tap is gone")
    i.close()


# --- without a snapshot ---

def test_start_with_a_network(make):
    i = make(start="network")
    assert [i.request(b"m" + u32(n)) for n in (1, 2)] == [u32(0), u32(1)]
    assert i.stats()["requests"] == 2


def test_start_with_a_network_and_a_store(make):
    i = make(store=True, start="network")
    i.begin()
    i.wire.send(b"s")
    i.store.serve(b"12345678")
    assert i.wire.receive() == result(8)
    i.end()
    assert i.wire.ask(b"s") == result(-NONE)


def test_start_and_discard(make):
    i = make(RESET_DISCARD, start="network")
    i.begin()
    assert i.wire.ask(b"e") == b"e"
    assert i.end()[0] == FLAG_LAST
    assert i.process.wait(10 * SCALE) == 0


@pytest.fixture
def tender(backend):
    tender = Tender(backend)
    yield tender
    tender.close()


def test_start_with_a_channel(tender):
    tender.start(GUESTS / "state")
    assert tender.bound["bind_us"] > 0
    assert [int(tender.call("/counter").text) for _ in range(3)] == [1, 2, 3]
    tender.rebind()
    assert tender.call("/counter").text == "4\n"


def test_start_with_a_store(tender):
    tender.start(GUESTS / "store", store=True)
    answer, call = tender.call_store("/query", rows(["a"]))
    assert answer.text == "1 columns, 0 rows: a\n" and call.ticket["seq"] == 1


def test_start_cannot_be_reset(tender):
    with pytest.raises(RuntimeError, match="cannot be reset"):
        tender.start(GUESTS / "state", RESET_PRISTINE)
    assert tender.process.wait(10 * SCALE) == 1


def test_start_of_no_image(tender, tmp_path):
    (tmp_path / "image").write_bytes(b"no image")
    with pytest.raises(RuntimeError, match="ELF"):
        tender.start(tmp_path / "image")


def test_start_keeps_its_deadline(tender):
    with pytest.raises(RuntimeError, match="in time"):
        tender.start(GUESTS / "probe", deadline_ms=0)


@pytest.mark.parametrize("store,net,given", [(True, None, 0), (False, b"", 0), (False, None, 1), (True, b"", 1), (2, b"", 1)])
def test_descriptors_must_be_those_that_the_message_names(tender, snapshot, store, net, given):
    import socket
    pairs = [socket.socketpair() for _ in range(1 + given)]
    tender.send(2, [snapshot, *(p[0].fileno() for p in pairs)], store=store, net=net)
    assert "unexpected control message" in tender.expect(19)["reason"]
    for a, b in pairs:
        a.close()
        b.close()
