# SPDX-License-Identifier: MIT
"""Unikernels made elsewhere: HTTP on their address and nothing else, tried now and then while they are idle."""
import pytest

from harness import eventually
from http_tools import Wire
from proxy_daemon import INSTANCE, OK, TAINT_NONE, World, http, pack, read_request

names = iter(f"foreign{n}" for n in range(1000))


@pytest.fixture(scope="module")
def world():
    with World(health_s=1) as w:
        yield w


def make(world, lifetime="class", listens=True, **app):
    name = next(names)
    world.add_app(name, lifetime, **app)
    return world.instance(name, foreign=True, listens=listens)


def accept(i):
    """The next connection with a request; those that only try whether somebody is there are let go."""
    while True:
        sock, _ = i.listener.accept()
        sock.settimeout(10)
        try:
            if sock.recv(1, 2):  # MSG_PEEK
                return Wire(sock)
        except ConnectionResetError:
            pass
        sock.close()


def answer(wire, data=OK):
    read_request(wire)
    wire.send(data)


def test_requests_share_an_instance_and_a_connection(world):
    i = make(world)
    call = world.call(f"/{i.app}/x")
    wire = accept(i)
    answer(wire)
    assert call.end().text == "ok"
    i.wait_idle()  # at once: nothing resets it
    call = world.call(f"/{i.app}/")
    answer(wire, http(b"2."))
    assert call.end().text == "2."


def test_waiting_requests_follow_on_the_same_connection(world):
    i = make(world, max_instances=1)
    calls = [world.call(f"/{i.app}/{n}") for n in range(3)]
    wire = accept(i)
    for _ in calls:
        answer(wire)
    assert [c.end().status for c in calls] == [200] * 3


def test_a_pristine_one_serves_one_request(world):
    i = make(world, "request")
    call = world.call(f"/{i.app}/")
    answer(accept(i))
    assert call.end().status == 200
    assert i.stopped() == "has answered its one request"


@pytest.mark.parametrize("data", [b"", b"garbage\r\n\r\n", http(b"x", 200, ["PPCE-Release: 1"])])
def test_bad_answers(world, data):
    i = make(world)
    call = world.call(f"/{i.app}/", "POST", "x")
    with accept(i) as wire:
        answer(wire, data)
    assert call.end().status == 502
    assert i.stopped() == "its answer is not valid"


def test_never_answers(world):
    i = make(world, deadline_ms=200)
    call = world.call(f"/{i.app}/")
    with accept(i) as wire:
        read_request(wire)
        assert call.end().status == 504
        assert wire.closed()
    assert i.stopped() == "no answer by the deadline"


def test_health(world):
    """One that accepts stays, one that does not is ended after three tries."""
    good, bad = make(world), make(world, listens=False)
    for _ in range(3):
        good.listener.accept()[0].close()
    assert "three times" in bad.stopped()
    assert good.state() == "idle" and not world.vmmd.stopped(good.uuid)


@pytest.mark.parametrize("change", [{"has_store": 1, "slot": 1}, {"port": 0}, {"ipv4": 0}])
def test_announced_wrongly(world, change):
    """Nothing that could have read the store, and nothing without an address, passes for a foreign one."""
    world.add_app(name := next(names))
    fields = {"label": "level=MID,comp={A}", "uuid": "01234567-89ab-4def-8123-456789abcdef", "foreign": 1,
              "ipv4": 0x7f000101, "port": 80, "slot": TAINT_NONE, **world.apps[name], **change}
    before = world.log.count("without a channel")
    world.vmmd.send(pack(INSTANCE, **fields))
    eventually(lambda: world.log.count("without a channel") == before + 1)
    assert fields["uuid"] not in [i["uuid"] for i in world.rest("/v1/routes")["instances"]]
