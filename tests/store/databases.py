# SPDX-License-Identifier: MIT
"""A PostgreSQL server of the tests' own: in a temporary directory, on a Unix socket (and the address `listen`, where a password
is asked for), run as nobody where we are root."""
import glob
import os
import pwd
import shutil
import subprocess
import tempfile


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert found, "no PostgreSQL server here: scripts/deps test"
    return found[-1]


class Postgres:
    def __init__(self, listen=""):
        self.listen = listen
        self.dir = tempfile.mkdtemp(prefix="ppce-pg-")
        self.user = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.dir, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            self.run("initdb", "-D", self.data, "-U", "ppce", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
            if listen:
                with open(os.path.join(self.data, "pg_hba.conf"), "a") as f:
                    f.write("host all all 0.0.0.0/0 scram-sha-256\n")
            self.start()
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    @property
    def data(self):
        return os.path.join(self.dir, "data")

    def run(self, name, *args, **options):
        done = subprocess.run([os.path.join(programs(), name), *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, cwd=self.dir, env={**os.environ, "HOME": self.dir}, **self.user, **options)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        log = os.path.join(self.dir, "log")
        settings = f"-c listen_addresses={self.listen} -c unix_socket_directories={self.dir} -c fsync=off"
        # its output goes to a file: pg_ctl's own must end when it does
        subprocess.run([os.path.join(programs(), "pg_ctl"), "-D", self.data, "-l", log, "-w", "-t", "60", "-o", settings,
                        "start"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       cwd=self.dir, check=True, **self.user)

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def conninfo(self, database="postgres"):
        return f"host={self.dir} user=ppce dbname={database}"

    def sql(self, statements, database="postgres"):
        """Rows of the last statement, as tuples of texts."""
        out = self.run("psql", "-X", "-q", "-At", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-h", self.dir, "-U", "ppce", "-d",
                       database, "-c", statements)
        return [tuple(line.split("\x1f")) for line in out.splitlines()]

    def close(self):
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
