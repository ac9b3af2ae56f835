# SPDX-License-Identifier: MIT
"""One daemon in a directory: start, wait for its line "ready", end, and see that nothing is left. What it is asked, and
what is in the directory, is for the classes made from this one."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from harness import PR_SET_CHILD_SUBREAPER, SCALE, build_dir, descendants, eventually, process_born


class Daemon:
    """`options` are for subprocess.Popen; .log is what the daemon has written to its standard error so far. A directory
    that is not given is made, and removed at the end."""

    name = None  # the program's
    arguments = ()
    ready_line = r": ready$"

    def __init__(self, directory=None, program=None, **options):
        self.dir = str(directory or tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.own_dir = directory is None
        self.program, self.options = program or build_dir() / "bin" / self.name, options
        self.process, self.log = None, ""
        os.makedirs(self.dir, exist_ok=True)

    def path(self, tail):
        return os.path.join(self.dir, tail)

    def spawn(self):
        self.ready = threading.Event()
        self.process = subprocess.Popen([self.program, "-C", self.dir, *self.arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
                                        **self.options)
        self.reader = threading.Thread(target=self._read_log, args=(self.process.stderr, self.ready), daemon=True)
        self.reader.start()

    def _read_log(self, stream, ready):
        for line in stream:
            self.log += line
            if re.search(self.ready_line, line):
                ready.set()
        stream.close()
        ready.set()

    def start(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans come to us and are seen
        self.spawn()
        if not self.ready.wait(30 * SCALE) or self.process.poll() is not None:
            self.kill()
            raise AssertionError(f"{self.name} does not start:\n{self.log}")
        return self

    def start_or_clean_up(self):
        try:
            return self.start()
        except BaseException:
            self.clean_up()
            raise

    def failing_start(self):
        """Exit code of a start that must fail."""
        self.spawn()
        return self.wait()

    def wait(self):
        """Exit code after it ended by itself."""
        code = self.process.wait(30 * SCALE)
        self.reader.join(10)
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        return self.wait()

    def stop(self, sig=signal.SIGTERM, check=True):
        """Fails if the daemon does not end cleanly or leaves a process behind."""
        if not self.process:
            return
        family = descendants(self.process.pid)
        self.process.send_signal(sig)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            code = self.kill()
        if check and sig == signal.SIGTERM:
            assert code == 0, f"{self.name} ended with {code}:\n{self.log}"
        assert_gone(family, self.log)

    def clean_up(self):
        if self.process:
            self.kill()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def close(self):
        self.__exit__()

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *_):
        try:
            self.stop(check=kind is None)  # a daemon that crashed on the way fails here, by its exit code
        finally:
            self.clean_up()


def alive(family):
    return {(pid, born) for pid, born in family if process_born(pid) == born}


def assert_gone(family, log=""):
    """Every one of these processes ends soon. Reaps those that became our children."""
    eventually(lambda: not alive(family), what=f"the end of {sorted(pid for pid, _ in family)} {log[-2000:]}")
    for pid, _ in family:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
