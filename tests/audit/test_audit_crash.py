# SPDX-License-Identifier: MIT
"""What was acknowledged is in the log, whatever happens: kill -9 at random moments, torn records, full disks."""
import os
import random
import resource
import subprocess
import threading

import pytest

import check_log
from audit_daemon import STOPPED, WRITTEN, AuditDaemon, Client, record
from harness import eventually

SEED = random.SystemRandom().randrange(1 << 32)


class Writer(threading.Thread):
    """Writes records, up to eight under way, until the log is gone. `acked`: seq -> path."""

    def __init__(self, log, name):
        super().__init__(daemon=True)
        self.path, self.name, self.acked, self.problem = str(log.dir / "run/audit-log.sock"), name, {}, None

    def run(self):
        try:
            with Client(self.path) as client:
                sent = {}
                for n in range(1 << 30):
                    path = f"/{self.name}/{n}"
                    sent[client.send(record(path=path, reason="x" * (n * 37 % 1500)))] = path
                    if len(sent) == 8:
                        got = client.receive()
                        if got is None:
                            return
                        assert got[1] == WRITTEN
                        self.acked[got[2]] = sent.pop(got[0])
        except OSError:
            pass  # killed under our hands
        except AssertionError as e:
            self.problem = e


@pytest.mark.parametrize("durability", ["process", "power"])
def test_kill_9_under_load_loses_nothing_acknowledged(durability):
    rng = random.Random(SEED)
    print("seed", SEED)
    acked = {}
    with AuditDaemon(durability=durability, rotate_mib=1, checkpoint_ms=10) as log:
        for life in range(12):
            writers = [Writer(log, f"{life}.{n}") for n in range(3)]
            for w in writers:
                w.start()
            goal = rng.randrange(1, 400)
            eventually(lambda: sum(len(w.acked) for w in writers) >= goal or not any(w.is_alive() for w in writers))
            log.kill()
            for w in writers:
                w.join(20)
                assert not w.problem and not w.is_alive()
                assert not set(w.acked) & set(acked), "a number was given twice"
                acked.update(w.acked)
            log.start()
            assert log.ready_now(), log.rest("/readyz")
        log.stop()
        paths = {r["seq"]: r["path"] for r in log.records()}
        assert len(acked) > 12
        assert {seq: paths.get(seq) for seq in acked} == acked
        assert log.verify() == [] and check_log.check(log.files) == len(paths)


def test_kill_9_of_the_signer(log):
    """Without it nothing can be signed: the daemon ends, and whoever started it starts both again."""
    with log.client() as client:
        client.write(record())
        signer, = (int(p) for p in subprocess.run(["pgrep", "-P", str(log.process.pid)], capture_output=True, text=True)
                   .stdout.split())
        os.kill(signer, 9)
        client.send(record(1))  # it may be faster than the news of the signer's end, or not
        answer = client.receive()
        acknowledged = answer is not None and answer[1] == WRITTEN
        assert log.wait() == 1 and "signer" in log.log
    log.start()
    log.stop()
    assert log.verify() == [] and check_log.check(log.files) in ((2,) if acknowledged else (1, 2))


@pytest.mark.parametrize("part", [b"{", b'{"actor":"ann","allowed":true', b"\0" * 5000, b"x" * 100000])
def test_a_torn_record_is_cut(log, part):
    with log.client() as client:
        for i in range(5):
            client.write(record(i))
    log.stop()
    whole = log.data()[-1].read_bytes()
    with open(log.data()[-1], "ab") as f:
        f.write(part)
    assert log.verify() == []  # nobody was told of it
    log.start()
    assert log.ready_now() and "cut off" in log.log
    assert log.data()[-1].read_bytes() == whole
    with log.client() as client:
        assert client.write(record(5)) == (WRITTEN, 5)
    log.stop()
    assert log.verify() == [] and check_log.check(log.files) == 6


def test_whole_records_behind_the_checkpoint_stay():
    with AuditDaemon(checkpoint_ms=3600000) as log:
        with log.client() as client:
            for i in range(300):
                client.write(record(i))
        log.kill()
        assert log.verify() == [] and check_log.check(log.files) == 0  # not signed yet
        log.start()
        assert check_log.check(log.files) == 300
        log.stop()
        assert [r["path"] for r in log.records()] == [f"/{i}" for i in range(300)]


def test_a_forged_tail_is_not_taken(log):
    """Behind the checkpoint there is no signature, but still a form."""
    with log.client() as client:
        client.write(record())
    log.stop()
    with open(log.data()[-1], "ab") as f:
        f.write(b'{"allowed":true,"daemon":"d","event":"e","seq":9,"time":"t"}\n')
    log.start()
    assert not log.ready_now()


# ---- full disks ----

def limit_files(log, size):
    """No file of the daemon may grow beyond `size`: for write(2) as good as a full disk."""
    old = resource.prlimit(log.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(log.process.pid, resource.RLIMIT_FSIZE, (old[1] if size is None else size, old[1]))


def test_a_file_that_cannot_grow(log):
    with log.client() as client:
        for i in range(20):
            assert client.write(record(i, reason="x" * 1000)) == (WRITTEN, i)
        eventually(lambda: log.metric("ppce_audit_signed_records") == 20)
        size = log.data()[-1].stat().st_size
        limit_files(log, size + 500)  # half a record would fit
        before = log.data()[-1].read_bytes()
        assert client.write(record(20, reason="y" * 1000)) == (STOPPED, 0)
        assert log.data()[-1].read_bytes() == before, "half of a record stayed"
        status, text = log.rest("/readyz")
        assert status == 503 and "File too large" in text
        assert client.write(record(20, reason="y" * 1000)) == (STOPPED, 0)
        # Several at once: all or none of a group, and nothing half.
        for i in range(8):
            client.send(record(i, reason="z" * 300))
        assert {client.receive()[1] for _ in range(8)} <= {WRITTEN, STOPPED}
        limit_files(log, None)
        status, seq = client.write(record(99))
        assert status == WRITTEN and log.ready_now()
        assert len(log.records()) == seq + 1
    log.stop()
    assert log.verify() == [] and check_log.check(log.files) == seq + 1


def test_no_checkpoint_no_release(log):
    """Records that no checkpoint can cover are not taken for long."""
    limit_files(log, 200)  # the first record fits, a checkpoint does not
    with log.client() as client:
        assert client.write(record()) == (WRITTEN, 0)
        eventually(lambda: not log.ready_now(), what="a checkpoint that fails")
        assert "checkpoint" in log.rest("/readyz")[1]
        assert client.write(b'{"daemon":"d","event":"e","allowed":true}') == (STOPPED, 0)
        limit_files(log, None)
        eventually(log.ready_now, what="recovery by itself")
        assert client.write(record())[0] == WRITTEN
    log.stop()
    assert log.verify() == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB. Where none may be mounted, the tests above with a limit say the same."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_full_disk(small_disk):
    with AuditDaemon(directory=small_disk, checkpoint_ms=20) as log:
        good = 0
        with log.client() as client:
            for i in range(5000):
                status, seq = client.write(record(i, reason="x" * 900))
                if status == STOPPED:
                    break
                assert (status, seq) == (WRITTEN, good)
                good += 1
            assert 100 < good < 5000
            status, text = log.rest("/readyz")
            assert status == 503 and "No space left" in text
            assert all(line.endswith(b"}\n") for line in log.data()[-1].read_bytes().splitlines(True))
            subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
            eventually(lambda: client.write(record())[0] == WRITTEN, what="a record after there is room again")
        assert log.ready_now()
        log.stop()
        assert log.verify() == [] and check_log.check(log.files) >= good
        paths = [r["path"] for r in log.records()]
        assert paths[:good] == [f"/{i}" for i in range(good)]
