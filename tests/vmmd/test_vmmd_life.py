# SPDX-License-Identifier: MIT
"""Start, restart and end of the daemon."""
import os
import pathlib
import signal
import sqlite3
import time

import pytest

from daemon_base import assert_gone
from harness import descendants, eventually, kvm_usable
from vmmd_daemon import (BOTTOM, GONE, INSTANCE, NEED, REFUSED, UNAVAILABLE, Proxy, Vmmd, app_file, message)


@pytest.fixture
def filled(make_vmmd):
    """A daemon of the test's own with two images, two apps and an instance."""
    vmmd = make_vmmd()
    vmmd.add_image("hello", label="level=MID")
    vmmd.add_image("leaky")
    vmmd.add_app("shared", "hello", "class", max_instances=5)
    vmmd.add_app("fresh", "leaky", "request")
    vmmd.start_instance("shared")
    return vmmd


def settings(vmmd):
    images = [{k: v for k, v in i.items() if k not in ("state", "boot_us")} for i in vmmd.images()]
    return images, [{k: v for k, v in a.items() if k != "instances"} for a in vmmd.get("/v1/apps")["apps"]]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_images_and_apps(filled, sig):
    before = settings(filled)
    filled.stop(sig)
    filled.start()
    assert settings(filled) == before and not filled.instances()
    with Proxy(filled) as proxy:  # the images may still be booting: questions wait
        assert set(proxy.apps) == {"shared", "fresh"} and not proxy.instances
        assert proxy.start("shared").channel.call().status == 200
        assert proxy.start("fresh").channel.call().status == 404
    assert filled.start_instance("shared")["label"] == "level=MID"
    eventually(lambda: all(i["state"] == "ready" for i in filled.images()), what="all images booted")


def test_questions_right_after_a_restart_are_all_answered(filled):
    filled.stop()
    filled.start()
    with Proxy(filled) as proxy:
        for n in range(10):
            proxy.sock.send(message(NEED, "shared", BOTTOM, number=100 + n))
        answers = sorted((proxy.receive() for _ in range(10)), key=lambda m: m.id)
        assert [m.id for m in answers] == list(range(100, 110))
        assert [m.type for m in answers].count(INSTANCE) == 5 == [m.type for m in answers].count(REFUSED)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV])
def test_no_tender_survives(filled, sig):
    with Proxy(filled) as proxy:
        proxy.start("fresh").channel.call()
        m = proxy.start("shared")
        m.channel.send()
        family = descendants(filled.process.pid)
        assert len(family) >= 4
        os.kill(filled.process.pid, sig)
        filled.process.wait(20)
        filled.process = None
        assert_gone(family)


def test_the_end_under_load(filled):
    """SIGTERM while instances are being started, images booted and requests served."""
    with Proxy(filled) as proxy:
        made = [proxy.start("fresh") for _ in range(4)]
        for m in made:
            m.channel.send()
        for n in range(30):
            proxy.sock.send(message(NEED, "shared", BOTTOM, number=n))
        filled.stop()


def test_a_second_daemon_on_the_same_directory(filled):
    second = Vmmd(filled.dir, start=False)
    assert second.failing_start() == 6
    assert "another process listens there" in second.log
    assert filled.start_instance("shared")


def damage(path):
    os.chmod(path, 0o600)
    data = bytearray(pathlib.Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    pathlib.Path(path).write_bytes(data)


@pytest.mark.parametrize("harm", [os.unlink, damage])
def test_an_image_file_that_is_not_what_it_was(filled, harm):
    digest = filled.get("/v1/images/hello")["digest"]
    filled.stop()
    harm(filled.path(f"images/{digest}.elf"))
    filled.start()
    with Proxy(filled) as proxy:
        refused = proxy.need("shared")
        assert (refused.type, refused.kind) == (REFUSED, UNAVAILABLE) and "add the image again" in refused.reason
        assert proxy.start("fresh").channel.call().status == 404, "the other app works"
    image = filled.get("/v1/images/hello")
    assert image["state"] == "failed" and "add the image again" in image["reason"]
    answer = filled.rest("POST", "/v1/instances", {"app": "shared"})
    assert (answer.status, answer.code) == (503, "unavailable")
    assert filled.add_image("hello", label="level=MID", status=200)["state"] == "ready"
    assert filled.start_instance("shared")


def test_leftovers_of_a_crash_are_removed(filled):
    filled.stop()
    junk = ["f" * 64 + ".elf", ".new-abcdef"]
    for name in junk + ["README"]:
        pathlib.Path(filled.path("images"), name).write_bytes(b"x")
    filled.start()
    assert set(filled.files()) & set(junk + ["README"]) == {"README"}
    assert len(filled.files()) == 3


def test_idle_and_age_do_not_end_what_has_no_limits(filled):
    filled.add_app("kept", "hello", "class", idle=0)
    i = filled.start_instance("kept")
    time.sleep(2.5)  # two sweeps
    assert filled.instances(uuid=i["uuid"])


# From here on without tenders: one backend is enough.


@pytest.fixture
def idle_vmmd():
    made = []

    def make(**options):
        made.append(Vmmd(**{"backend": "process", "shells": 0, "start": False, **options}))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.mark.parametrize("text,word", [("vmmd:\n  backend: xen\n", "backend"), ("vmmd:\n  shell: 2\n", "shells"),
                                       ("vmmd: [", "ppce.yaml"), ("vmmd:\n  tender_user: nosuchuser\n", "nosuchuser"),
                                       ("vmmd:\n  tender_user: root\n", "root")])
def test_bad_configuration(idle_vmmd, text, word):
    if "tender_user" in text and os.geteuid() != 0:
        pytest.skip("only root changes users")
    vmmd = idle_vmmd()
    pathlib.Path(vmmd.path("ppce.yaml")).write_text(text)
    assert vmmd.failing_start() == 78
    assert word in vmmd.log


def test_bad_policy(idle_vmmd):
    vmmd = idle_vmmd()
    vmmd.configure(policy="axes: {}\n")
    assert vmmd.failing_start() == 78 and "policy.yaml" in vmmd.log


def test_damaged_and_newer_databases(idle_vmmd):
    vmmd = idle_vmmd(start=True)
    vmmd.stop()
    path = pathlib.Path(vmmd.path("state/vmmd.db"))
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert vmmd.failing_start() == 78 and "newer version" in vmmd.log
    for tail in ("", "-wal", "-shm"):
        pathlib.Path(str(path) + tail).unlink(missing_ok=True)
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    assert vmmd.failing_start() == 1 and "vmmd.db" in vmmd.log


def test_rows_that_somebody_damaged(idle_vmmd):
    vmmd = idle_vmmd(start=True)
    vmmd.add_image("hello")
    vmmd.add_app("a")
    vmmd.stop()
    db = sqlite3.connect(vmmd.path("state/vmmd.db"))
    with db:
        db.execute("UPDATE apps SET lifetime = 9")
    assert vmmd.failing_start() == 1 and "app `a` is damaged" in vmmd.log
    with db:
        db.execute("UPDATE apps SET lifetime = 1")
        db.execute("UPDATE images SET digest = '../../etc/passwd'")
    db.close()
    assert vmmd.failing_start() == 1 and "image `hello` is damaged" in vmmd.log


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_kvm_demanded_but_not_usable(idle_vmmd):
    if os.stat("/dev/kvm").st_mode & 0o006 if os.path.exists("/dev/kvm") else False:
        pytest.skip("every user may use /dev/kvm here")
    vmmd = idle_vmmd(backend="kvm", user=65534)
    assert vmmd.failing_start() == 78
    assert "vmmd.backend is kvm" in vmmd.log and "process" in vmmd.log


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_auto_falls_back_without_root_and_kvm(idle_vmmd):
    """As an ordinary user, with jailed processes: the main thing still works."""
    vmmd = idle_vmmd(backend="auto", user=65534, start=True, shells=1)
    if os.stat("/dev/kvm").st_mode & 0o006 == 0 if os.path.exists("/dev/kvm") else True:
        assert vmmd.get("/v1/pools")["backend"] == "process"
        assert "jailed processes take their place" in vmmd.log
    vmmd.add_image("hello")
    vmmd.add_app("a", lifetime="class")
    with Proxy(vmmd) as proxy:
        assert proxy.start("a").channel.call().status == 200


def test_auto_takes_kvm_where_it_works(idle_vmmd):
    vmmd = idle_vmmd(backend="auto", start=True)
    assert vmmd.get("/v1/pools")["backend"] == ("kvm" if kvm_usable() else "process")


def test_usage(idle_vmmd):
    import subprocess
    from harness import build_dir
    program = build_dir() / "bin" / "ppce-vmmd"
    for args, code in (([], 2), (["-x"], 2), (["-C", "/nonexistent"], 78), (["--help"], 0), (["-C", ".", "x"], 2)):
        assert subprocess.run([program, *args], capture_output=True).returncode == code, args
