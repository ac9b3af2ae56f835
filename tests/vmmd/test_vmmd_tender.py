# SPDX-License-Identifier: MIT
"""vmmd trusts no tender: whatever one does ends that tender, with a reason, and nothing else."""
import pytest

from harness import eventually
from vmmd_daemon import GONE, Proxy, Vmmd, app_file, place_stand_in


@pytest.fixture
def hostile(stand_in, tmp_path):
    """Starts a daemon whose tenders misbehave in this way, unless the test puts another program in their place before."""
    place_stand_in(tmp_path, "hostile_tender.py")
    return lambda mode, **options: stand_in(None, mode, **options)


@pytest.mark.parametrize("what,word", [
    ("exit", "exit status 3"), ("abort", "signal 6"), ("short", "malformed"), ("byte", "malformed"),
    ("long", "malformed"), ("huge", "malformed"), ("name", "malformed"), ("uuid", "malformed"), ("text", "malformed"),
    ("sinks", "malformed"), ("sink-name", "malformed"), ("network-flag", "malformed"),
    ("queries", "malformed"), ("query-name", "malformed"), ("query-comma", "malformed"), ("query-long", "malformed"),
    ("type", "malformed"), ("order", "malformed"), ("descriptor", "malformed"), ("descriptors", "malformed"),
    ("ready-again", "twice"), ("flood", "messages a second"), ("escape", "\\x1b[31mred\\x0aforged \\xff"),
    ("no-reason", "took too long"), ("stats", "not possible: Operation not permitted"), ("hang-up", "took too long"),
    ("memory-0", "malformed"), ("memory-max", "malformed"), ("kib-0", "malformed"), ("kib-max", "malformed"),
    ("twice", "malformed"), ("bound", "out of turn"), ("silent", "the boot took too long"), ("empty", "0 bytes"),
    ("large", "1073741824 bytes"), ("failed-status", "exit status 1"),
])
def test_boots(hostile, what, word):
    vmmd = hostile("boot:" + what, boot_ms=100)
    answer = vmmd.rest("POST", "/v1/images", {"name": "x", "path": app_file("hello")})
    assert answer.status == 400, answer
    if what == "no-reason":
        word = "failed without a reason"
    assert word in answer.json()["detail"]
    assert vmmd.images() == [] and vmmd.files() == []
    eventually(lambda: not vmmd.tenders(), what="no tender left")


def test_a_snapshot_that_somebody_can_still_write(hostile):
    vmmd = hostile("boot:mapped")
    answer = vmmd.rest("POST", "/v1/images", {"name": "x", "path": app_file("hello")})
    assert answer.status == 500 and "seal" in answer.json()["detail"]
    assert vmmd.images() == [] and vmmd.files() == []


@pytest.mark.parametrize("what,word", [
    ("exit", "exit status 3"), ("abort", "signal 6"), ("short", "malformed"), ("descriptor", "malformed"),
    ("ready-again", "twice"), ("flood", "messages a second"), ("escape", "\\x1b[31mred\\x0aforged \\xff"),
    ("stats", "not possible"), ("hang-up", "took too long"), ("bound", "out of turn"), ("booted", "out of turn"),
    ("silent", "took too long"), ("seals", "sealed"),
])
def test_instances(hostile, what, word):
    vmmd = hostile("bind:" + what)
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    with Proxy(vmmd) as proxy:
        m = proxy.start("a")
        reason = (proxy.expect(GONE, uuid=m.uuid)).reason
        assert word in reason and "not sealed" not in reason
    assert vmmd.instances() == []
    assert [e["uuid"] for e in vmmd.events("instance-failed")] == [m.uuid]
    assert any(word in line for line in vmmd.log_lines("a"))


def test_starting_by_rest_says_why_it_failed(hostile):
    vmmd = hostile("bind:escape")
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    answer = vmmd.rest("POST", "/v1/instances", {"app": "a"})
    assert (answer.status, answer.code) == (502, "instance-failed") and "\\x1b[31mred" in answer.json()["detail"]


def test_shells_that_die_make_the_daemon_unready_not_dead(hostile, tmp_path):
    (tmp_path / "ppce-tender").write_text("#!/bin/sh\nexit 4\n")
    vmmd = hostile("", shells=2)
    answer = eventually(lambda: [a for a in [vmmd.rest("GET", "/readyz")] if a.status == 503], what="not ready")[0]
    assert "exit status 4" in answer.json()["detail"]
    assert vmmd.rest("GET", "/livez").status == 200
    assert vmmd.metric("ppce_vmmd_shell_failures_total") < 20, "it backs off"


def test_no_tender_program(hostile, tmp_path):
    (tmp_path / "ppce-tender").unlink()
    vmmd = Vmmd(program=tmp_path / "ppce-vmmd", start=False)
    try:
        assert vmmd.failing_start() == 78 and "ppce-tender" in vmmd.log
    finally:
        vmmd.close()


@pytest.mark.parametrize("text", ["echo maybe", "exit 1", "kill -9 $$", "echo kvm; exit 3", "echo; yes | head -c 200000; exit 0"])
def test_probes_that_make_no_sense(hostile, tmp_path, text):
    (tmp_path / "ppce-tender").write_text(f"#!/bin/sh\n{text}\n")
    vmmd = Vmmd(program=tmp_path / "ppce-vmmd", backend="auto", start=False)
    try:
        assert vmmd.failing_start() == 1 and "--probe failed" in vmmd.log
    finally:
        vmmd.close()
