# SPDX-License-Identifier: MIT
"""Start, end, crash, and what others do to the network meanwhile: nothing leaks, nothing opens."""
import errno
import os
import shutil
import signal
import tempfile
import uuid

import pytest

from harness import build_dir, eventually
from net_daemon import FULL, LOST, REFUSED, Net, Sniffer, leftovers, links, listener, sh

CAP_NET_ADMIN = 1 << 12


def process_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.split(":\t", 1) for line in f.read().splitlines())


def test_sigterm_leaves_nothing(make_net):
    net = make_net(taps=4)
    net.settled(4)
    with net.peer() as p:
        tap = p.take()
        net.stop()
        assert leftovers() == [] and p.hung_up()
        with pytest.raises(OSError) as e:
            os.write(tap.fd, tap.arp())
        assert e.value.errno == errno.EBADFD
        tap.close()
    assert not os.path.exists(net.path("run/net.sock"))


def test_sigterm_while_busy_leaves_nothing(make_net):
    """In the middle of making and removing taps."""
    for round_number in range(10):
        net = make_net(taps=round_number * 3)
        with net.peer() as p:
            for tap in [p.take() for _ in range(round_number * 2)]:
                tap.close()
                p.give(tap)
        net.stop()
        assert leftovers() == []


def test_kill_leaves_nothing_after_the_next_start(make_net):
    net = make_net(taps=3, sinks=[("db", "host", 5432)])
    net.settled(3)
    p = net.peer()
    tap = p.take(sinks="db")
    net.settled(3)
    bridge = net.bridge
    net.stop(signal.SIGKILL)
    assert {tap.name, bridge} <= set(links())
    net.start()
    net.settled(3)
    p.close()
    assert net.metric("cleaned") == 5  # the bridge, three ready, one taken
    assert len(links()) == 1 + 1 + 3 and sh("nft", "list", "ruleset").count("table ") == 1
    assert "5432" not in sh("nft", "list", "ruleset")
    assert len(sh("ip", "neigh").splitlines()) == 3
    with pytest.raises(OSError):
        os.write(tap.fd, tap.arp())
    tap.close()


def test_nothing_opens_while_it_is_dead(make_net):
    net = make_net(taps=2)
    p = net.peer()
    bad, good = p.take(), p.take()
    bridge = net.bridge
    net.stop(signal.SIGKILL)
    s = listener(5432)
    sniffer = Sniffer(bridge)
    bad.send(bad.tcp(5432))
    bad.send(bad.arp(sender=good.ip))
    bad.send(bad.tcp(80, to=good.ip, gateway_mac=good.mac))
    good.send(good.arp())  # what is allowed goes on
    assert good.receive(5) and [f[6:12] for f in sniffer.frames()] == [bytes.fromhex(good.mac.replace(":", ""))]
    sniffer.close()
    s.close()
    net.start()
    p.close()
    bad.close()
    good.close()


def test_kills_in_a_row(make_net):
    """Whatever it is doing when it dies, the next start finds all of it."""
    net = make_net(taps=6)
    for n in range(15):
        with net.peer() as p:
            taps = [p.take() for _ in range(n % 4)]
            net.stop(signal.SIGKILL)
            net.start()
            for t in taps:
                t.close()
    net.settled(6)
    assert len(links()) == 8 and len(sh("ip", "neigh").splitlines()) == 6


def test_500_cycles_leave_nothing(make_net):
    net = make_net(taps=4)
    net.settled(4)
    with net.peer() as p:
        for _ in range(500):
            tap = p.take()
            tap.close()
            p.give(tap)
        net.settled(4)
        most = 2 * 4 + 4  # as many as plan.c keeps
        count = len(net.taps())
        assert count <= most and not net.taps(state="taken")
        eventually(lambda: len(links()) == len(net.taps()) + 2)
        assert len(sh("ip", "neigh").splitlines()) == len([t for t in net.taps() if "address" in t])
        assert sh("nft", "list", "ruleset").count(" . 02:50:") == len(net.taps(state="ready"))
        assert net.metric("still_held_total") == 0
    net.stop()
    assert leftovers() == []


def test_100_taps_made_and_removed_leave_nothing(make_net):
    net = make_net(taps=0)
    with net.peer() as p:
        for _ in range(5):
            taps = [p.take() for _ in range(24)]
            for t in taps:
                t.close()
                p.give(t)
            net.settled(0)
        assert net.metric("removed_total") >= 100 and net.metric("made_total") >= 100
        assert len(net.taps()) <= 4
        assert len(links()) == len(net.taps()) + 2
    net.stop()
    assert leftovers() == []


def test_descriptors_do_not_leak(make_net):
    net = make_net(taps=2)
    net.settled(2)

    def descriptors():
        count = len(os.listdir(f"/proc/{net.process.pid}/fd"))
        return count - len(net.taps(state="ready")) - len(net.taps(state="bare"))

    def cycle():
        with net.peer() as p:
            for tap in [p.take() for _ in range(10)]:
                tap.close()
                p.give(tap)
        net.settled(2)
        eventually(lambda: net.metric("connections") == 0)

    cycle()
    cycle()
    before = descriptors()
    for _ in range(6):
        cycle()
    eventually(lambda: descriptors() <= before)  # our questions are connections too, and end a little later


def test_two_platforms_do_not_touch_each_other(make_net):
    a, b = make_net(subnet="10.77.0.0/24"), make_net(subnet="10.78.0.0/24")
    with b.peer() as p:
        tap = p.take()
        a.stop(signal.SIGKILL)
        a.start()
        a.stop()
        tap.send(tap.arp())
        assert tap.receive(5)
        assert b.bridge in links() and tap.name in links()
        tap.close()


def test_subnet_of_others_is_refused(make_net):
    make_net(subnet="10.77.0.0/24")
    other = make_net(subnet="10.77.0.0/16", start=False)
    assert other.failing_start() == 78
    assert "network.subnet" in other.log and "choose another" in other.log


def test_second_daemon_in_the_same_directory(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take()
        second = Net(directory=net.dir, start=False)
        assert second.failing_start() == 6 and "another process listens there" in second.log
        tap.send(tap.arp())
        assert tap.receive(5)
        tap.close()


def test_bridge_of_a_chosen_name(make_net, namespace):
    net = make_net(bridge="br-ppce")
    assert net.bridge == "br-ppce" and "br-ppce" in links()
    net.stop(signal.SIGKILL)
    net.start()
    assert net.metric("cleaned") >= 1
    net.stop()
    assert leftovers() == []


def test_bridge_name_of_others_is_refused(make_net, namespace):
    namespace.own_links = ("lo", "br-lan")
    sh("ip", "link", "add", "br-lan", "type", "bridge")
    net = make_net(bridge="br-lan", start=False)
    assert net.failing_start() == 78
    assert "br-lan" in net.log and "br-lan" in links()


def test_disabled_is_refused(make_net):
    net = make_net(enabled="false", start=False)
    assert net.failing_start() == 78 and "network.enabled" in net.log


def test_without_the_capability(make_net):
    net = make_net(start=False)
    os.chmod(net.dir, 0o777)
    net.options["user"] = 65534
    assert net.failing_start() == 78
    assert "CAP_NET_ADMIN" in net.log and "setcap" in net.log
    shutil.rmtree(net.path("run"))


def test_of_its_privileges_one_stays(make_net):
    sanitized = b"__asan_init" in (build_dir() / "bin" / "ppce-net").read_bytes()  # then it runs without the filter
    status = process_status(make_net().process.pid)
    for caps in ("CapPrm", "CapEff"):
        assert int(status[caps], 16) == CAP_NET_ADMIN
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2" or sanitized


def test_tap_removed_by_others_is_reported(make_net):
    net = make_net()
    with net.peer() as p:
        removed, detached, kept = p.take(), p.take(), p.take()
        sh("ip", "link", "del", removed.name)
        m, _ = p.receive()
        assert m.type == LOST and m.uuid == removed.uuid and "somebody else" in m.reason
        sh("ip", "link", "set", detached.name, "nomaster")
        m, _ = p.receive()
        assert m.type == LOST and m.uuid == detached.uuid and "somebody else" in m.reason
        eventually(lambda: detached.name not in links() and not net.taps(name=removed.name))
        assert removed.ip not in sh("ip", "neigh") and detached.ip not in sh("ip", "neigh")
        kept.send(kept.arp())
        assert kept.receive(5)
        assert net.metric("lost_total") == 2
        for t in (removed, detached, kept):
            t.close()
    net.settled(2)


def test_ready_taps_removed_by_others_are_replaced(make_net):
    net = make_net(taps=3)
    net.settled(3)
    for t in net.taps():
        sh("ip", "link", "del", t["name"])
    eventually(lambda: net.metric("lost_total") == 3)
    net.settled(3)
    with net.peer() as p:
        for tap in [p.take() for _ in range(3)]:
            tap.send(tap.arp())
            assert tap.receive(5)
            tap.close()


def test_bridge_removed_by_others_ends_it(make_net):
    net = make_net()
    with net.peer() as p:
        tap = p.take()
        sh("ip", "link", "del", net.bridge)
        assert net.wait() == 1 and "was removed by somebody else" in net.log
        tap.close()
    assert leftovers() == []


def test_firewall_reload_does_not_open_anything(make_net):
    """`nft flush ruleset`: the kernel keeps our table where it can; elsewhere the daemon notices, and closes everything."""
    net = make_net()
    guarded = net.rest("/v1/taps").json()["guarded"]
    with net.peer() as p:
        tap = p.take()
        sh("nft", "flush", "ruleset")
        if guarded:
            assert "tcp_from_tap" in sh("nft", "list", "ruleset")
            sniffer = Sniffer(net.bridge)
            tap.send(tap.tcp(22))
            tap.send(tap.arp())
            assert tap.receive(5) and len(sniffer.frames()) == 1
            sniffer.close()
        else:
            assert net.wait() == 1
        tap.close()


def test_no_port_left_on_the_bridge(make_net):
    """More taps than a bridge has ports: a clear refusal, and it goes on after some were given back."""
    net = make_net(taps=0, subnet="10.77.0.0/16")
    with net.peer() as p:
        taps = []
        while True:
            m, fd = p.ask(1, who=str(uuid.uuid4()))
            if m.type == REFUSED:
                break
            os.close(fd)
            taps.append(m)
        assert m.kind == FULL and "one bridge has room" in m.reason
        assert len(taps) == 1023
        for t in taps[:40]:
            p.give(t)
        os.close(eventually(lambda: p.ask(1, who=str(uuid.uuid4()))[1]))
    net.stop()
    assert leftovers() == []
    assert "was not seen" not in net.log


def test_probe_says_ok_and_leaves_nothing(namespace):
    assert sh(str(build_dir() / "bin" / "ppce-net"), "--probe") == "ok\n"


def test_directory_with_other_owner_may_not_matter(make_net):
    """The owner of the directory may connect to instances; here it is root, so nobody else is let in."""
    with tempfile.TemporaryDirectory() as d:
        os.chown(d, 12345, -1)
        net = make_net(directory=d)
        rules = sh("nft", "list", "ruleset")
        assert "skuid 0 " in rules and "skuid 12345 " in rules
        net.stop()


def test_the_next_holder_has_a_budget_of_its_own(make_net):
    """What one holder of a tap has used up of the ARP that the rules let through is not missing to the next."""
    net = make_net(taps=1)
    net.settled(1)
    with net.peer() as p:
        first = p.take()
        for _ in range(200):
            first.send(first.arp())
        p.give(first)
        first.close()
        net.settled(2)  # the one made meanwhile, and this one again
        taps = [p.take(), p.take()]
        assert first.name in {tap.name for tap in taps}
        for tap in taps:
            tap.send(tap.arp())
            answer = tap.receive(5)
            assert answer and answer[12:14] == b"\x08\x06"
            tap.close()
