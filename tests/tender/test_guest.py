# SPDX-License-Identifier: MIT
"""Guests in a real tender, on every backend there is: what they may do, what ends them, what a reset leaves."""
import os
import re
import signal
import struct
import time

import pytest

from tender import (BAD_ANSWER, BUILD, CRASHED, DEADLINE, FRAME_FAILED, PAGE, RESET_DISCARD, RESET_NONE, RESET_PRISTINE,
                    RESPONSE, SCALE, TOO_LARGE, FLAG_LAST, Answer, Lost, Tender, backends, encode_request, resident_pages)

GUESTS = BUILD / "tests" / "guest"
IMAGE_BASE = 0x100000
NET_BYTES = 4096 + 2 * 16 * 2048  # PPCE_NET_BYTES; they follow the response buffer


@pytest.fixture(params=backends())
def backend(request):
    return request.param


def only(backend):
    """For a test of what only one backend has."""
    there = backend in backends()
    return pytest.mark.parametrize("backend", [pytest.param(backend, marks=[] if there else pytest.mark.skip(
        reason=f"no {backend} here"))], indirect=True)


@pytest.fixture(scope="module")
def snapshots():
    """Boots each image once per backend: what a test does to an instance cannot reach the sealed snapshot."""
    booted = {}

    def get(backend, path):
        if (backend, path) not in booted:
            tender = Tender(backend)
            try:
                booted[backend, path] = tender.boot(path)
            finally:
                tender.close()
        return booted[backend, path]

    yield get
    for fd in booted.values():
        os.close(fd)


@pytest.fixture
def make(backend, snapshots):
    """make(image, reset) -> a bound tender."""
    tenders = []

    def build(image="probe", reset=RESET_NONE):
        snapshot = snapshots(backend, image if "/" in str(image) else GUESTS / image)
        tenders.append(Tender(backend))
        tenders[-1].snapshot = snapshot
        return tenders[-1].bind(snapshot, reset)

    yield build
    for tender in tenders:
        tender.close()


# What a guest must not do: path, and words that the operator's reason holds for (kvm, process).
FAULTS = [
    ("/null", "page fault: read of", "Segmentation fault"),
    ("/null-write", "page fault: write to", "Segmentation fault"),
    ("/null-call", "page fault: execute", "Segmentation fault"),
    ("/wx-write-text", "page fault: write to", "Segmentation fault"),
    ("/wx-write-rodata", "page fault: write to", "Segmentation fault"),
    ("/wx-exec-heap", "page fault: execute", "Segmentation fault"),
    ("/wx-exec-stack", "page fault: execute", "Segmentation fault"),
    ("/wx-exec-data", "page fault: execute", "Segmentation fault"),
    ("/stack-overflow", "page fault: write to", "Segmentation fault"),
    ("/smash-stack", "panic: ", "panic: "),
    ("/exit?status=3", "exited with status 3", "exited with status 3"),
    ("/abort", "panic: ", "panic: "),
    ("/assert", "panic: ", "panic: "),
    ("/kill", "panic: ", "panic: "),
    ("/hlt", "general protection", "Segmentation fault"),
    ("/cli", "general protection", "Segmentation fault"),
    ("/out", "general protection", "Segmentation fault"),
    ("/in", "general protection", "Segmentation fault"),
    ("/rdmsr", "general protection", "Segmentation fault"),
    ("/wrmsr", "general protection", "Segmentation fault"),
    ("/cr3", "general protection", "Segmentation fault"),
    ("/cr0", "general protection", "Segmentation fault"),
    ("/dr7", "general protection", "Segmentation fault"),
    ("/lidt", "general protection", "Segmentation fault"),
    ("/swapgs", "general protection", "Segmentation fault"),
    ("/xsetbv", "general protection", "Segmentation fault"),
    ("/ud2", "invalid instruction", "Illegal instruction"),
    ("/divide", "division error", "Floating point exception"),
    ("/noncanonical", "general protection", "Segmentation fault"),
    ("/doorbell-wild?call=0", "bad call 0", "bad call 0"),
    ("/doorbell-wild?call=99&arg0=1", "bad call 99", "bad call 99"),
    ("/doorbell-wild?call=2&arg0=99&arg1=1", "bad call 2", "bad call 2"),
    ("/doorbell-wild?call=2&arg0=6&arg1=4294967296", "bad call 2", "bad call 2"),
    ("/doorbell-wild?call=5&arg1=18446744073709551615", "bad call 5", "bad call 5"),
]


@pytest.mark.parametrize("path,kvm,process", FAULTS, ids=[f[0] for f in FAULTS])
def test_fault_ends_the_instance_with_a_reason(make, backend, path, kvm, process):
    tender = make()
    with pytest.raises(Lost) as lost:
        tender.call(path)
    assert lost.value.code == CRASHED
    assert (kvm if backend == "kvm" else process) in tender.end_reason()


@pytest.mark.parametrize("path", ["/wild-stack", "/syscall-stack", "/syscall-stack-high", "/int3", "/int80", "/int20",
                                  "/far-kernel", "/trap-flag", "/wbinvd", "/rdpmc", "/vmcall", "/vmmcall", "/sysenter",
                                  "/ldt", "/syscall32", "/sysenter32"])
def test_hostile_instruction_never_goes_further(make, path):
    """What exactly happens differs between backends and kinds of KVM; the guest must be lost or unharmed, not more."""
    tender = make()
    try:
        assert tender.call(path, deadline_ms=2000).status == 200
        assert tender.call("/fail").status == 500  # unharmed: it goes on
    except Lost as lost:
        assert lost.code in (CRASHED, DEADLINE)
        assert tender.end_reason()


@only("kvm")
@pytest.mark.parametrize("access", ["read", "wide", "vector", "avx", "x87", "repeat", "copy", "locked", "compare", "elsewhere",
                                    "across", "execute", "push", "syscall", "return", "xsave"])
def test_odd_access_to_the_doorbell_ends_the_instance(make, backend, access):
    """KVM emulates instructions that touch the doorbell page, in ring 0 as well: they are no rings."""
    tender = make()
    with pytest.raises(Lost) as lost:
        tender.call(f"/doorbell-{access}", deadline_ms=2000)
    assert lost.value.code in (CRASHED, DEADLINE)
    assert tender.end_reason()


@pytest.mark.parametrize("offset", [-PAGE, "request_end", "system_tables", "system_descriptors"])
def test_host_pages_are_out_of_reach(make, backend, offset):
    tender = make()
    place = dict(re.findall(r"(\w+)=(0x[0-9a-f]+)", tender.call("/map").text))
    place = {k: int(v, 16) for k, v in place.items()}
    end = place["response_end"] + NET_BYTES
    target = {"request_end": end, "system_descriptors": end + 2 * PAGE, "system_tables": end + 5 * PAGE}.get(
        offset, place["io"] - PAGE)
    for path in ("/peek-io", "/poke-io"):
        with pytest.raises(Lost):
            tender.call(f"{path}?offset={(target - place['io']) % 2**64}")
        assert tender.end_reason()
        tender = make()


def test_mprotect_cannot_make_code(make):
    assert "refused" in make().call("/wx-mprotect").text


def test_huge_allocation_is_refused(make):
    tender = make()
    assert "refused" in tender.call("/huge-alloc").text
    first = int(tender.call("/fill-memory").text)
    assert first > 1000 and int(tender.call("/fill-memory").text) == first


@pytest.mark.parametrize("path", ["/loop", "/loop-calls"])
def test_endless_loop_ends_at_the_deadline(make, path):
    tender = make()
    with pytest.raises(Lost) as lost:
        tender.call(path, deadline_ms=200)
    assert lost.value.code == DEADLINE
    assert tender.end_reason() == "over the deadline"


def test_too_long_an_answer_is_refused(make):
    tender = make()
    with pytest.raises(Lost) as lost:
        tender.call("/doorbell-wild?call=1&arg0=4294967295")
    assert lost.value.code == BAD_ANSWER


def test_forged_control_page_does_not_matter(make):
    tender = make()
    assert tender.call("/forge-io").text == "forged\n"
    assert tender.call("/map").status == 200
    assert int(tender.call("/fill-memory").text) > 1000


def test_failing_and_silent_handlers_make_a_500(make):
    tender = make()
    assert tender.call("/fail").status == 500
    assert tender.call("/silent").status == 500


@pytest.mark.parametrize("image,path", [("syscalls", "/syscalls"), ("sqlite", "/sum"), ("sqlite", "/now"), ("sqlite", "/delete"),
                                        ("crypto", "/sha256"), ("crypto", "/gcm"), ("crypto", "/sign"),
                                        ("zlib", "/crc32")])
@pytest.mark.parametrize("reset", [RESET_NONE, RESET_PRISTINE])
def test_libraries_work_unchanged(make, image, path, reset):
    tender = make(image, reset)
    for _ in range(3):
        answer = tender.call(path)
        assert answer.status == 200, answer.text


def test_clock_is_the_hosts(make):
    tender = make("syscalls", RESET_PRISTINE)
    for _ in range(2):
        realtime = int(re.search(r"realtime\D+(\d+)", tender.call("/clock").text).group(1))
        realtime = realtime / 1e9 if realtime > 1e12 else realtime
        assert abs(realtime - time.time()) < SCALE
        time.sleep(0.3)


def test_entropy_is_fresh_in_every_request_and_clone(make):
    seen = set()
    for _ in range(3):
        tender = make("syscalls", RESET_PRISTINE)
        for _ in range(4):
            for value in re.findall(r"random ([0-9a-f]{16,})", tender.call("/entropy").text):
                assert value not in seen
                seen.add(value)
    assert len(seen) == 3 * 4 * 2


def test_log_lines_reach_the_operator(make):
    tender = make("syscalls")
    assert tender.call("/log").status == 200
    tender.channel.close()
    deadline = time.time() + 5 * SCALE
    tender.control.settimeout(0.5 * SCALE)
    while time.time() < deadline and not tender.logs:
        try:
            message = tender.receive()
        except TimeoutError:
            break
        if message and message["type"] == 20:
            tender.logs.append(message["reason"])
    assert tender.logs and all(line.isprintable() for line in tender.logs)


# --- the reset ---

def test_class_instance_keeps_its_memory(make):
    tender = make("state")
    assert [int(tender.call("/counter").text) for _ in range(3)] == [1, 2, 3]


def test_pristine_instance_forgets(make):
    tender = make("state", RESET_PRISTINE)
    assert [int(tender.call("/counter").text) for _ in range(3)] == [1, 1, 1]


def registers(text):
    """Without those that tell the address of the answer or are meant to differ: rax..rdx hold the doorbell's results."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def test_registers_are_back_after_a_scribbling_guest(make):
    tender = make("state", RESET_PRISTINE)
    before = registers(tender.call("/state").text)
    assert len(before) > 36
    tender.call("/fill")
    assert registers(tender.call("/state").text) == before


def test_registers_do_last_without_a_reset(make, backend):
    """The counter-test: the scribbling guest does scribble, and the test above would see it."""
    tender = make("state", RESET_NONE)
    before = registers(tender.call("/state").text)
    tender.call("/fill")
    after = registers(tender.call("/state").text)
    changed = {k for k in before if before[k] != after[k]}
    assert {"ymm5", "mxcsr", "x87"} <= changed
    if backend == "kvm":
        assert {"gs", "gp9", "gp14"} <= changed


def test_memory_is_back_after_a_scribbling_guest(make):
    shared = make("state", RESET_NONE)
    shared.call("/fill")
    assert int(re.match(r"stale (\d+)", shared.call("/stale").text).group(1)) > 10000
    tender = make("state", RESET_PRISTINE)
    tender.call("/fill")
    assert tender.call("/stale").text.startswith("stale 0 of")


def snapshot_memory(fd):
    size = os.fstat(fd).st_size
    end, = struct.unpack("<Q", os.pread(fd, 8, size - 8))
    return os.pread(fd, end, 0)


@only("kvm")
def test_every_byte_is_back_seen_from_outside(make, backend):
    tender = make("state", RESET_PRISTINE)
    tender.call("/fill")
    want = snapshot_memory(tender.snapshot)
    start, _ = resident_pages(tender.pid, len(want))
    with open(f"/proc/{tender.pid}/mem", "rb") as f:
        f.seek(start)
        have = f.read(len(want))
    differing = [i for i in range(0, len(want), PAGE) if want[i:i + PAGE] != have[i:i + PAGE]]
    assert differing == []


@only("kvm")
def test_resident_set_does_not_depend_on_earlier_requests(make, backend):
    tender = make("state", RESET_PRISTINE)
    size = len(snapshot_memory(tender.snapshot))
    tender.call("/counter")
    _, quiet = resident_pages(tender.pid, size)
    tender.call("/fill")
    _, after_fill = resident_pages(tender.pid, size)
    tender.call("/stale")  # reads everything
    _, after_reading = resident_pages(tender.pid, size)
    tender.call("/counter", body=b"x" * 60000, method="POST")
    _, after_body = resident_pages(tender.pid, size)
    assert quiet.count(2) > 3
    assert after_fill == quiet and after_reading == quiet and after_body == quiet


def test_discard_ends_after_one_answer(make):
    tender = make("state", RESET_DISCARD)
    tender.send_frame(encode_request(path="/counter"))
    kind, flags, _, payload, _ = tender.read_frame()
    assert kind == RESPONSE and flags == FLAG_LAST and Answer(payload).text == "1\n"
    assert tender.process.wait(5 * SCALE) == 0


# --- the tender itself ---

def test_jail_is_closed(make, backend):
    tender = make()
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{tender.pid}/status").read().splitlines())
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    if os.geteuid() != 0:
        return  # a tender may not be looked into by others of its user
    assert status["Uid"].split() == ["65534"] * 4 and status["Groups"].strip() == ""
    kinds = {re.sub(r"[:\[].*", "", os.readlink(f"/proc/{tender.pid}/fd/{n}")) for n in os.listdir(f"/proc/{tender.pid}/fd")
             if int(n) > 2}
    assert kinds <= {"socket", "/memfd", "anon_inode", "/dev/kvm", "/proc/" + str(tender.pid) + "/pagemap"}


@only("process")
def test_process_guest_holds_nothing_but_itself(make, backend):
    tender = make()
    assert tender.call("/map").status == 200  # from now on it has become the guest
    child = int(open(f"/proc/{tender.pid}/task/{tender.pid}/children").read().split()[0])
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.listdir(f"/proc/{child}/fd")
        return
    assert len(os.listdir(f"/proc/{child}/fd")) == 1
    spans = [line.split() for line in open(f"/proc/{child}/maps")]
    assert all(int(s[0].split("-")[1], 16) < 1 << 30 or s[-1] == "[vsyscall]" for s in spans)
    assert not any("w" in s[1] and "x" in s[1] for s in spans)


def test_dies_with_its_parent_and_leaves_no_guest(backend):
    """kill -9 of whoever started it must leave nothing, even in the middle of an endless loop."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        first = Tender(backend)
        snapshot = first.boot(GUESTS / "probe")
        tender = Tender(backend).bind(snapshot)
        tender.send_frame(encode_request(path="/loop"), deadline_ms=600000)
        time.sleep(0.2)
        children = open(f"/proc/{tender.pid}/task/{tender.pid}/children").read().split()
        os.write(write, " ".join([str(tender.pid)] + children).encode())
        time.sleep(60)
        os._exit(0)
    pids = [int(p) for p in os.read(read, 200).split()]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.time() + 5 * SCALE
    while time.time() < deadline and any(alive(p) for p in pids):
        time.sleep(0.02)
    assert not [p for p in pids if alive(p)]


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_new_channel_after_the_old_one_closed(make):
    tender = make("state")
    tender.call("/counter")
    tender.rebind()
    assert tender.call("/counter").text == "2\n"


def test_too_large_a_request_is_refused_and_harms_nobody(make):
    tender = make("state")
    with pytest.raises(Lost) as lost:
        tender.call("/counter", method="POST", body=b"x" * 70000)
    assert lost.value.code == TOO_LARGE
    assert tender.call("/counter").text == "1\n"


@pytest.mark.parametrize("header", [dict(magic=1), dict(kind=RESPONSE), dict(length=0), dict(length=2**32 - 1),
                                    dict(deadline_ms=0)])
def test_malformed_frame_closes_the_channel_only(make, header):
    tender = make("state")
    tender.send_frame(b"x" * 100, **header)
    with pytest.raises((EOFError, ConnectionResetError)):
        tender.read_frame()
    tender.rebind()
    assert tender.call("/counter").text == "1\n"


def test_request_in_single_bytes(make):
    tender = make("state")
    payload = encode_request(path="/counter")
    tender.ids += 1
    from tender import FRAME, MAGIC, REQUEST
    for byte in FRAME.pack(MAGIC, REQUEST, 0, len(payload), tender.ids, 5000, 0, 0, 0) + payload:
        tender.channel.sendall(bytes([byte]))
    assert Answer(tender.read_frame()[3]).text == "1\n"


@pytest.mark.parametrize("junk", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\0" * 5000])
def test_bad_image_says_why(backend, tmp_path, junk):
    (tmp_path / "image").write_bytes(junk)
    tender = Tender(backend)
    with pytest.raises(RuntimeError, match="ELF"):
        tender.boot(tmp_path / "image")
    assert tender.process.wait(5 * SCALE) == 1
    tender.close()


def test_dynamic_executable_is_refused(backend):
    tender = Tender(backend)
    with pytest.raises(RuntimeError, match="-static"):
        tender.boot("/bin/true")
    tender.close()


def test_damaged_image_fails_alone(backend, tmp_path):
    """Random damage past the headers: the boot fails with a reason or the image still runs; the tender never hangs."""
    good = (GUESTS / "state").read_bytes()
    for seed in range(6):
        bad = bytearray(good)
        for i in range(40):
            bad[(seed * 7919 + i * 104729) % len(bad)] ^= 0xff
        (tmp_path / "image").write_bytes(bad)
        tender = Tender(backend)
        try:
            os.close(tender.boot(tmp_path / "image", deadline_ms=1000))
        except RuntimeError as e:
            assert str(e)
        tender.close()
