# SPDX-License-Identifier: MIT
"""What guests log reaches the operator, and only as one harmless line each."""
import os
import time

import pytest

from harness import eventually
from vmmd_daemon import Proxy


@pytest.fixture
def channel(vmmd, build_guest, request):
    """A channel to an instance of a fresh app, and the app's name."""
    vmmd.rest("POST", "/v1/images", {"name": "guest", "path": build_guest()})
    name = f"log{len(vmmd.get('/v1/events')['events'])}"
    vmmd.add_app(name, "guest", "class")
    with Proxy(vmmd) as proxy:
        m = proxy.start(name)
        yield m, name
    assert vmmd.rest("DELETE", "/v1/apps/" + name).status == 204


def test_a_line_with_time_severity_and_instance(vmmd, channel):
    m, name = channel
    m.channel.call("/log", body="all is well: \u00e6\u00f8\u00e5 \u2713")
    line, = eventually(lambda: vmmd.log_lines(name), what="a line")
    time, severity, uuid, text = line.split(" ", 3)
    assert time.endswith("Z") and (severity, uuid, text) == ("warning", m.uuid, "all is well: \u00e6\u00f8\u00e5 \u2713")
    assert os.stat(vmmd.path(f"log/apps/{name}.log")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("body", [b"\x1b[2J\x1b[31mred", b"two\n2026-01-01T00:00:00Z error forged", b"\xff\xfe bytes",
                                  b"\xe2\x80\xae backwards", b"bell\x07\x7f", "c1 \u009b31m".encode(), b"\r overwritten"])
def test_hostile_lines(vmmd, channel, body):
    m, name = channel
    m.channel.call("/log", body=body)
    m.channel.call("/log", body=b"after")
    eventually(lambda: any(line.endswith(" after") for line in vmmd.log_lines(name)), what="the line after it")
    lines = vmmd.log_lines(name)
    data = open(vmmd.path(f"log/apps/{name}.log"), "rb").read()
    assert all(b >= 0x20 or b == 0x0a for b in data) and b"\x7f" not in data
    data.decode()
    for bad in ("\u202e", "\u009b", "\x1b"):
        assert bad.encode() not in data
    assert all(m.uuid == line.split()[2] for line in lines), "no line of its own making"


def test_a_guest_that_logs_too_much(vmmd, channel):
    """At most 200 lines a second are written, and a line says how many were left out."""
    m, name = channel
    before, begin = vmmd.metric("ppce_vmmd_log_dropped_total"), time.monotonic()
    for n in range(1000):
        m.channel.call("/log", body=f"line {n}")
    seconds = time.monotonic() - begin
    dropped = vmmd.metric("ppce_vmmd_log_dropped_total") - before
    written = [line for line in vmmd.log_lines(name, 10000) if " line " in line]
    assert len(written) <= 200 * (int(seconds) + 2)
    assert dropped or seconds > 4, "1000 lines were logged faster than the limit"
    time.sleep(1.1)
    m.channel.call("/log", body=b"after")
    eventually(lambda: vmmd.log_lines(name, 1)[-1].endswith("after"), what="a line")
    assert not dropped or any("lines were left out" in line for line in vmmd.log_lines(name, 10000))


def test_tail(vmmd, channel):
    m, name = channel
    for n in range(20):
        m.channel.call("/log", body=f"line {n}")
    eventually(lambda: len(vmmd.log_lines(name)) == 20, what="20 lines")
    assert [line.split()[-1] for line in vmmd.log_lines(name, 3)] == ["17", "18", "19"]
    assert len(vmmd.log_lines(name, 20)) == 20 and vmmd.log_lines(name, 0) == []
    for bad in ("lines=x", "lines=-1", "lines=10001", "lines=", "lines"):
        assert vmmd.rest("GET", f"/v1/logs/{name}?{bad}").status == 400
    for app in ("nothere", "..", "%2e%2e%2fvmmd", "A"):
        assert vmmd.rest("GET", f"/v1/logs/{app}").status == 404


def test_a_log_that_cannot_be_written_harms_nobody(vmmd, channel):
    m, name = channel
    os.mkdir(vmmd.path(f"log/apps/{name}.log"))
    assert m.channel.call("/log", body=b"lost").status == 200
    assert m.channel.call("/").status == 200
    eventually(lambda: "lines are lost" in vmmd.log, what="a warning")
    os.rmdir(vmmd.path(f"log/apps/{name}.log"))
