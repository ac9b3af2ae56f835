# SPDX-License-Identifier: MIT
"""The socket to the proxy: questions, channels, ends, and peers that misbehave."""
import os
import signal
import socket
import struct

import pytest

from harness import eventually, process_stat
from vmmd_daemon import (BOTTOM, FRAME_FAILED, FULL, GONE, INSTANCE, INVALID, NEED, NOT_FOUND, REFUSED, RESPONSE, ROUTING,
                         STOP, SYNCED, TAINT, Proxy, message)


@pytest.fixture
def app(vmmd, request):
    """Adds an app named after the test."""
    made = []

    def add(lifetime="class", **options):
        made.append(f"t{len(vmmd.get('/v1/apps')['apps'])}-{lifetime}")
        vmmd.add_app(made[-1], lifetime=lifetime, **options)
        return made[-1]

    yield add
    for name in made:
        assert vmmd.rest("DELETE", "/v1/apps/" + name).status == 204


def test_a_question_is_answered_with_a_channel_that_works(vmmd, app):
    name = app("request")
    vmmd.wait_shells(2)
    with Proxy(vmmd) as proxy:
        m = proxy.start(name, "level=MID,comp={B}")
        assert (m.app, m.label, m.owner, m.from_shell, m.age_s, m.requests) == (name, "level=MID,comp={B}", "", 1, 0, 0)
        assert m.lifetime == 3 and m.spawn_us == m.create_us == 0
        for _ in range(3):
            assert m.channel.call(label="level=MID", pristine=True).text == "Hello from the instance at level=MID\n"
        shown, = vmmd.instances(uuid=m.uuid)
        assert shown["requests"] == 3 and shown["resets"] >= 3 and shown["from_shell"] and shown["label"] == m.label
        vmmd.wait_shells(2)


def test_without_shells(make_vmmd):
    vmmd = make_vmmd(shells=0)
    vmmd.add_image("hello")
    vmmd.add_app("cold", lifetime="class")
    with Proxy(vmmd) as proxy:
        m = proxy.start("cold")
        assert m.from_shell == 0 and m.spawn_us > 0
        assert m.channel.call(label="x").status == 200
        shown, = vmmd.instances()
        assert shown["create_us"] > 0 and shown["bind_us"] > 0
    assert vmmd.metric("ppce_vmmd_shells") == 0


def test_refusals(vmmd, app):
    shared, owned = app("class", max_instances=1), app("user")
    with Proxy(vmmd) as proxy:
        def kind(*args, **kw):
            m = proxy.need(*args, **kw)
            assert m.type == REFUSED and m.reason
            return m.kind

        assert kind("nothere") == NOT_FOUND
        assert kind(shared, owner="ann") == INVALID
        for owner in ("", "a b", "../x", "-"):
            assert kind(owned, owner=owner) == INVALID
        for label in ("", "level", "level=NONE", "comp={A}", "comp={B,A}", "level=MID,level=MID", " level=MID", "x=y"):
            if label != "comp={A}":  # the only canonical one
                assert kind(shared, label) == INVALID, label
        proxy.start(shared)
        assert kind(shared) == FULL
        assert kind(shared, "level=MID") == FULL, "the bound is over all labels"


def test_stop_makes_room_at_once(vmmd, app):
    name = app("class", max_instances=1)
    with Proxy(vmmd) as proxy:
        first = proxy.start(name)
        proxy.sock.send(message(STOP, uuid=first.uuid, reason="used up"))
        second = proxy.start(name)
        assert "used up" in proxy.expect(GONE, uuid=first.uuid).reason
        assert second.channel.call().status == 200
        proxy.sock.send(message(STOP, uuid=first.uuid))  # crossed its end: no mistake
        assert proxy.stop(second.uuid, "idle \x1b[31m").reason == "the proxy: idle \\x1b[31m"
        with pytest.raises((EOFError, BrokenPipeError, ConnectionResetError)):
            second.channel.call()


def test_the_end_of_a_tender_is_noticed(vmmd, app):
    name = app("class")
    vmmd.wait_shells(2)
    with Proxy(vmmd) as proxy:
        m = proxy.start(name)
        assert m.channel.call().status == 200
        pid = vmmd.instances(uuid=m.uuid)[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        assert "signal 9" in proxy.expect(GONE, uuid=m.uuid).reason
        assert not vmmd.instances(uuid=m.uuid)
        event, = [e for e in vmmd.events("instance-failed") if e["uuid"] == m.uuid]
        assert "signal 9" in event["text"]
        assert proxy.start(name).channel.call().status == 200
        vmmd.wait_shells(2)


def test_a_killed_shell_is_replaced(vmmd):
    vmmd.wait_shells(2)
    busy = {i["pid"] for i in vmmd.instances()}
    failures = vmmd.metric("ppce_vmmd_shell_failures_total")
    shells = sorted(vmmd.tenders() - busy)
    os.kill(shells[-1], signal.SIGKILL)
    eventually(lambda: vmmd.metric("ppce_vmmd_shell_failures_total") == failures + 1, what="the end noticed")
    vmmd.wait_shells(2)
    assert vmmd.rest("GET", "/readyz").status == 200


def test_a_question_meets_shells_that_have_just_died(vmmd, app):
    name = app("class")
    vmmd.wait_shells(2)
    busy = {i["pid"] for i in vmmd.instances()}
    with Proxy(vmmd) as proxy:
        os.kill(vmmd.process.pid, signal.SIGSTOP)
        try:
            proxy.sock.send(message(NEED, name, BOTTOM, number=7))
            for pid in vmmd.tenders() - busy:
                os.kill(pid, signal.SIGKILL)
                eventually(lambda: process_stat(pid) is None, what="a zombie")
        finally:
            os.kill(vmmd.process.pid, signal.SIGCONT)
        m = proxy.expect(INSTANCE, id=7)
        assert m.channel.call().status == 200
    vmmd.wait_shells(2)


def test_crash_of_a_guest_gives_its_reason(vmmd, app, build_guest):
    vmmd.rest("POST", "/v1/images", {"name": "guest", "path": build_guest()})
    for path in ("/crash", "/exit"):
        vmmd.add_app("crashing", "guest", "class")
        with Proxy(vmmd) as proxy:
            m = proxy.start("crashing")
            m.channel.send(path)
            assert m.channel.receive()[0] == FRAME_FAILED
            gone = proxy.expect(GONE, uuid=m.uuid)
            assert gone.reason and "tender" not in gone.reason, "the guest's end, not its tender's"
            assert any(gone.reason in line for line in vmmd.log_lines("crashing"))
            assert proxy.start("crashing").channel.call().status == 200
        vmmd.rest("DELETE", "/v1/apps/crashing")


def test_discard_ends_after_one_answer(vmmd, app):
    name = app("request", mode="discard")
    failed = len(vmmd.events("instance-failed"))
    with Proxy(vmmd) as proxy:
        for _ in range(3):
            m = proxy.start(name)
            m.channel.send()
            kind, flags, _, _ = m.channel.receive()
            assert (kind, flags) == (RESPONSE, 2)
            proxy.expect(GONE, uuid=m.uuid)
    assert len(vmmd.events("instance-failed")) == failed


def test_instances_survive_the_proxy(vmmd, app):
    name = app("class")
    with Proxy(vmmd) as proxy:
        m = proxy.start(name, "level=HIGH")
        assert m.channel.call().status == 200
        m.channel.close()
    eventually(lambda: vmmd.metric("ppce_vmmd_proxy_connected") == 0)
    with Proxy(vmmd) as proxy:
        again = proxy.instances[m.uuid]
        assert (again.label, again.id, again.requests) == ("level=HIGH", 0, 1) and again.bind_us > 0
        assert name in proxy.apps
        assert again.channel.call().status == 200


def test_started_without_a_proxy(vmmd, app):
    name = app("class")
    i = vmmd.start_instance(name)
    with Proxy(vmmd) as proxy:
        assert proxy.instances[i["uuid"]].channel.call(label="here").text == "Hello from the instance at here\n"
        j = vmmd.start_instance(name)
        m = proxy.expect(INSTANCE, uuid=j["uuid"])
        assert m.id == 0 and m.channel.call().status == 200


def test_a_newer_proxy_replaces_the_older(vmmd, app):
    name = app("class")
    with Proxy(vmmd) as old:
        m = old.start(name)
        with Proxy(vmmd) as new:
            assert old.hung_up()
            m.channel.close()  # as a proxy does that has lost vmmd
            assert new.instances[m.uuid].channel.call().status == 200
            assert new.start(name).channel.call().status == 200


def with_text(field, size):
    """A NEED whose text field at this offset has no NUL."""
    data = bytearray(message(NEED, "x", BOTTOM))
    data[field:field + size] = b"y" * size
    return bytes(data)


@pytest.mark.parametrize("data", [
    b"x", message(NEED)[:-1], message(NEED) + b"x", message(0), message(3), message(SYNCED), message(INSTANCE),
    message(1 << 31), with_text(16, 33), with_text(49, 1024), with_text(1073, 65), with_text(1138, 37), with_text(1175, 200),
    with_text(1416, 65), message(TAINT),
    bytes(ROUTING.size), b"\xff" * ROUTING.size, os.urandom(ROUTING.size), b"z" * 60000,
], ids=range(19))
def test_malformed_packets_end_the_connection_only(vmmd, data):
    with Proxy(vmmd) as proxy:
        proxy.sock.send(data)
        assert proxy.hung_up()
    with Proxy(vmmd) as proxy:
        assert proxy.need("nothere").kind == NOT_FOUND


def test_descriptors_from_the_proxy_are_refused(vmmd):
    before = len(os.listdir(f"/proc/{vmmd.process.pid}/fd"))
    for n in (1, 4, 5, 200):
        with Proxy(vmmd) as proxy:
            fds = [os.open("/dev/null", os.O_RDONLY)] * n
            socket.send_fds(proxy.sock, [message(NEED, "x", BOTTOM)], fds)
            os.close(fds[0])
            assert proxy.hung_up()
    eventually(lambda: len(os.listdir(f"/proc/{vmmd.process.pid}/fd")) <= before, what="no descriptor leaks")


def test_lifetime_out_of_range_is_malformed(vmmd):
    data = bytearray(message(NEED, "x", BOTTOM))
    struct.pack_into("<I", data, 1376, 4)
    with Proxy(vmmd) as proxy:
        proxy.sock.send(data)
        assert proxy.hung_up()


def test_a_proxy_that_does_not_read(vmmd):
    """Answers pile up to a bound, then the connection ends; nobody else notices."""
    with Proxy(vmmd) as proxy:
        proxy.sock.settimeout(0.5)
        try:
            for i in range(20000):
                proxy.sock.send(message(NEED, "nothere", BOTTOM, number=i))
        except (OSError, TimeoutError):
            pass
        assert vmmd.rest("GET", "/livez").status == 200
        eventually(lambda: vmmd.metric("ppce_vmmd_proxy_connected") == 0, what="the connection ended")
    with Proxy(vmmd) as proxy:
        assert proxy.need("nothere").kind == NOT_FOUND


def test_max_age_is_enforced_when_the_proxy_does_not(vmmd, app):
    name = app("class", max_age=1)
    with Proxy(vmmd) as proxy:
        m = proxy.start(name)
        assert "max_age" in proxy.expect(GONE, uuid=m.uuid).reason


def test_many_at_once(vmmd, app):
    name = app("user", max_instances=12)
    with Proxy(vmmd) as proxy:
        for n in range(12):
            proxy.sock.send(message(NEED, name, BOTTOM, f"user{n}", number=1000 + n))
        made = [proxy.expect(INSTANCE, id=1000 + n) for n in range(12)]
        assert [m.owner for m in made] == [f"user{n}" for n in range(12)]
        assert len({m.uuid for m in made}) == 12
        for m in made:
            assert m.channel.call(label="x").status == 200
        assert proxy.need(name, owner="one-more").kind == FULL
