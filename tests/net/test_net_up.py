# SPDX-License-Identifier: MIT
"""ppce-net as part of a platform, and what the command line says of it."""
import os
import signal
import subprocess

import pytest

from harness import Platform, build_dir, eventually
from net_daemon import Peer, leftovers, links, sh

pytestmark = pytest.mark.usefixtures("possible")


@pytest.fixture
def platform(namespace, tmp_path):
    with Platform(tmp_path / "p", backend="process", config={"network.enabled": "true", "network.taps": "2"}) as p:
        yield p


def test_it_starts_and_ends_with_the_platform(platform):
    rows = {row["name"]: row for row in platform.cli_json("status")["daemons"]}
    assert rows["net"]["state"] == "ready" and rows["net"]["pid"] == platform.pid("net")
    peer = Peer(str(platform.dir / "run" / "net.sock"))
    tap = peer.take()
    tap.send(tap.arp())
    assert tap.receive(5)
    tap.close()
    peer.close()
    platform.stop()
    assert leftovers() == []


def test_it_is_started_again(platform):
    pid = platform.pid("net")
    peer = Peer(str(platform.dir / "run" / "net.sock"))
    tap = peer.take()
    os.kill(pid, signal.SIGKILL)
    assert peer.hung_up()
    eventually(lambda: platform.pid("net") not in (None, pid))
    eventually(lambda: platform.run("status", "-C", platform.dir).returncode == 0)
    assert {row["name"] for row in platform.cli_json("status")["daemons"]} >= {"net", "vmmd"}
    with Peer(str(platform.dir / "run" / "net.sock")) as again:
        again.take().close()
    tap.close()
    def nothing_old():
        known = platform.rest("net-rest", "GET", "/v1/taps").json()
        return set(links()) == {"lo", known["bridge"], *(t["name"] for t in known["taps"])}
    eventually(nothing_old, what="no link but those it knows of")


def test_without_it_nothing_is_made(namespace, tmp_path):
    with Platform(tmp_path / "p", backend="process") as p:
        assert links() == ["lo"] and p.pid("net") is None
        assert "net" not in [row["name"] for row in p.cli_json("status")["daemons"]]


def test_platform_without_the_capability_says_so(namespace, tmp_path):
    with Platform(tmp_path / "p", backend="process") as p:
        directory = p.dir
    text = (directory / "ppce.yaml").read_text().replace("enabled: false", "enabled: true")
    (directory / "ppce.yaml").write_text(text)
    done = subprocess.run(["capsh", "--drop=cap_net_admin", "--", "-c",
                           f"exec {build_dir()}/bin/ppce up -C {directory} --listen 127.0.0.1:0"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and "CAP_NET_ADMIN" in done.stderr and "net refused" in done.stderr


def test_doctor_tells_whether_taps_are_possible(namespace):
    def taps(*before):
        done = subprocess.run([*before, str(build_dir() / "bin" / "ppce"), "doctor"], capture_output=True, text=True)
        return [line for line in done.stdout.splitlines() if line.startswith("taps ")]
    assert " ok " in taps()[0]
    without = subprocess.run(["capsh", "--drop=cap_net_admin", "--", "-c", f"exec {build_dir()}/bin/ppce doctor"],
                             capture_output=True, text=True).stdout
    assert [line for line in without.splitlines() if line.startswith("taps ") and " warn " in line and "CAP_NET" in line]


def test_config_check_knows_sinks(namespace, tmp_path):
    with Platform(tmp_path / "p", backend="process") as p:
        directory = p.dir
        good = (directory / "ppce.yaml").read_text()
        sink = "  sinks:\n    db: {{address: host, port: 5432, label: {!r}, returns: {!r}}}\n"
        fine, wrong = "level=NATO_SECRET", "level=NONSENSE"
        for label, returns, code, key in ((fine, fine, 0, ""), (wrong, fine, 78, "db: label"), (fine, wrong, 78, "db: returns")):
            (directory / "ppce.yaml").write_text(good.replace("  sinks:\n", sink.format(label, returns)))
            done = p.run("config", "check", "-C", directory)
            assert done.returncode == code, done
            assert code == 0 or ("ppce.yaml" in done.stderr and key in done.stderr and "NONSENSE" in done.stderr)
        (directory / "ppce.yaml").write_text(good)
    assert sh("ip", "neigh") == ""
