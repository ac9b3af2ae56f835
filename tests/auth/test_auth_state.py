# SPDX-License-Identifier: MIT
"""What ppce-auth keeps through restarts, kills and bad disks."""
import os
import resource
import shutil
import sqlite3
import threading

import pytest

from auth_daemon import FOUND, PASSWORD, UNKNOWN, Auth


def test_a_restart_keeps_users_and_sessions():
    with Auth() as a:
        a.add("ann")
        s, ended = a.login("ann"), a.login("ann")
        a.logout(ended["token"])
        a.stop()
        a.start()
        with a.proxy() as proxy:
            m = proxy.lookup(s["token"])
            assert m.type == FOUND and m.session == s["session"] and m.expires == s["expires"]
            assert proxy.lookup(ended["token"]).type == UNKNOWN
        a.login("ann")


def test_kill_in_the_middle_of_writes_loses_nothing_acknowledged():
    with Auth(hash_queue=64) as a:
        a.add("ann")
        done, ended = [], []

        def work(worker):
            try:
                for i in range(1000):
                    name = f"w{worker}-{i}"
                    if a.call("POST", "/v1/users", {"name": name, "password": PASSWORD, "class": "staff"}).status != 201:
                        return
                    session = a.try_login(name)
                    if session.status != 200:
                        return
                    done.append((name, session.json()["token"]))
                    session = a.try_login("ann")
                    if session.status == 200 and a.logout(session.json()["token"]).status == 204:
                        ended.append(session.json()["token"])
            except OSError:
                pass  # killed under our hands
            except Exception as e:  # http.client's many faces of a cut connection
                assert type(e).__module__ == "http.client", e

        for _ in range(3):
            before = len(done)
            threads = [threading.Thread(target=work, args=(f"{before}.{n}",)) for n in range(4)]
            for t in threads:
                t.start()
            while len(done) < before + 12:
                assert any(t.is_alive() for t in threads)
                threads[0].join(0.01)
            a.kill()
            for t in threads:
                t.join()
            a.start()
        users = {u["name"] for u in a.call("GET", "/v1/users").json()["users"]}
        assert users.issuperset(name for name, _ in done)
        with a.proxy() as proxy:
            assert all(proxy.lookup(token).user == name for name, token in done)
            assert all(proxy.lookup(token).type == UNKNOWN for token in ended)
        assert a.call("GET", "/readyz").status == 200


def test_a_full_disk_is_said_and_survived():
    with Auth() as a:
        a.add("ann")
        s = a.login("ann")
        soft, hard = resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE, (0, hard))  # no file may grow: as good as a full disk
        answer = a.try_login("ann")
        assert answer.status == 503 and "auth.db" not in answer.text
        assert a.call("POST", "/v1/users", {"name": "bob", "password": PASSWORD, "class": "staff"}).status == 503
        assert a.call("PATCH", "/v1/users/ann", {"class": "chief"}).status == 503
        assert a.call("DELETE", f"/v1/sessions/{s['session']}").status == 503
        assert a.call("DELETE", "/v1/users/ann").status == 503
        not_ready = a.call("GET", "/readyz")
        assert not_ready.status == 503 and "auth.db" in not_ready.json()["detail"]
        with a.proxy() as proxy:
            assert proxy.lookup(s["token"]).type == FOUND  # reading goes on
        resource.prlimit(a.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert a.call("GET", "/readyz").status == 200
        users = a.call("GET", "/v1/users").json()["users"]
        assert [(u["name"], u["class"]) for u in users] == [("ann", "staff")]
        assert len(a.call("GET", "/v1/sessions").json()["sessions"]) == 1
        a.login("ann")


def test_no_login_without_an_audit_record():
    with Auth() as a:
        a.add("ann")
        soft, hard = resource.prlimit(a.auditor.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(a.auditor.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        assert a.try_login("ann").status == 503
        assert a.try_login("ann", "wrong password").status == 503
        assert a.call("GET", "/v1/sessions").json()["sessions"] == []
        resource.prlimit(a.auditor.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        a.login("ann")
        assert len([r for r in a.audit() if r["event"] == "login"]) == 1


def test_no_login_without_the_audit_log():
    with Auth() as a:
        a.add("ann")
        a.auditor.kill()
        assert a.try_login("ann").status == 503
        assert a.call("GET", "/v1/sessions").json()["sessions"] == []
        a.auditor.start()
        a.login("ann")
        assert [r["event"] for r in a.audit()] == ["user-add", "login"]


def damaged_header(path):
    with open(path, "r+b") as f:
        f.write(b"this is not a database, whatever its name says......")


def damaged_pages(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        f.seek(4096)
        f.write(os.urandom(size - 4096))


def cut_off(path):
    os.truncate(path, os.path.getsize(path) // 2)


def foreign(path):
    os.unlink(path)
    db = sqlite3.connect(path)
    with db:
        db.execute("CREATE TABLE users (mail TEXT)")
    db.close()


def newer(path):
    db = sqlite3.connect(path)
    with db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def directory(path):
    os.unlink(path)
    os.mkdir(path)


@pytest.mark.parametrize("harm, says", [(damaged_header, "damaged"), (damaged_pages, "damaged"), (cut_off, "damaged"),
                                        (foreign, "not a database of ppce-auth"), (newer, "newer"),
                                        (directory, "unable to open")])
def test_a_bad_database_is_refused_and_left_alone(harm, says):
    with Auth() as a:
        for i in range(40):
            a.add(f"user{i}")
        a.stop()
        path = a.path("state/auth.db")
        harm(path)
        before = open(path, "rb").read() if os.path.isfile(path) else None
        assert a.failing_start() not in (0, None) and says in a.log and "state/auth.db" in a.log, a.log
        if before is not None:
            assert open(path, "rb").read() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a file of another user is needed: only root can make one")
def test_a_read_only_database_is_refused():
    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    # What nobody may run and read has to be outside of root's directories.
    with Auth() as a:
        a.add("ann")
        a.stop()
        for folder, _, files in os.walk(a.dir):
            for name in ["", *files]:
                os.chown(os.path.join(folder, name), 65534, 65534)
        os.chmod(a.path("state/auth.db"), 0o400)
        os.chown(a.path("state/auth.db"), 0, 65534)
        os.chmod(a.path("state/auth.db"), 0o440)
        shutil.copy(a.program, a.path("ppce-auth"))
        os.chmod(a.path("ppce-auth"), 0o755)
        a.program, a.options = a.path("ppce-auth"), {"preexec_fn": become_nobody}
        code = a.failing_start()
        assert code not in (0, None) and "auth.db" in a.log and "owner" in a.log, a.log


def test_config_errors():
    with Auth(start=False, argon2_memory_mib=4) as a:
        assert a.failing_start() == 78 and "argon2_memory_mib" in a.log
    with Auth(start=False, policy="axes: {level: {chian: [A]}}\n") as a:
        assert a.failing_start() == 78 and "policy.yaml" in a.log


def test_two_daemons_in_one_directory():
    with Auth() as a:
        a.add("ann")
        b = Auth(directory=a.dir, start=False)
        assert b.failing_start() not in (0, None) and "auth-session.sock" in b.log
        a.login("ann")


def test_files_are_private():
    with Auth() as a:
        a.add("ann")
        a.login("ann")
        for folder in ("state", "run", "log"):
            for name in os.listdir(a.path(folder)):
                assert os.stat(a.path(f"{folder}/{name}")).st_mode & 0o077 == 0, name
