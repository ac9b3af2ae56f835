# SPDX-License-Identifier: MIT
"""The measurements. Between two samples of a mode the platform is ended and started again, and the modes take turns, so
that whatever else the machine does falls on all of them. A sample that fails is kept, with its reason."""
import json
import os
import subprocess
import time

import rows as table
from system import BUILD, PASSWORD, Client, Failed, Platform, eventually, spawn

USER, CLEARANCE = "ann", "level=NATO_SECRET"
NEXT = 10  # further requests in each life of the platform
SETTLE_S = 0.15  # after the platform says that it is ready
SHELLS, TAPS = 2, 8


class Bench:
    def __init__(self, directory, samples, backend, network, progress):
        self.samples, self.network, self.progress = samples, network, progress
        settings = {("vmmd", "backend"): backend, ("vmmd", "shells"): SHELLS, ("network", "taps"): TAPS,
                    ("network", "enabled"): "true" if network else "false"}
        self.platform = Platform(directory, settings)
        self.token = self.label = self.backend = None
        self.refused = {}  # app: why it could not be added

    def prepare(self, modes):
        """One life of the platform in which images, apps, the user and the session are made."""
        with self.platform as p:
            p.ppce("image", "add", "hello", BUILD / "apps" / "hello")
            p.ppce("user", "add", USER, "--clearance", CLEARANCE, "--password-file", "-", stdin=PASSWORD + "\n")
            p.ppce("app", "add", "probe", "--image", "hello", "--lifetime", "class")
            for mode in modes:
                options = [word for name, value in mode.options.items() for word in (f"--{name}", value)]
                try:
                    p.ppce("app", "add", mode.app, "--image", "hello", *options)
                except Failed as e:
                    self.refused[mode.app] = str(e).removeprefix("ppce app add: ppce: ")
            self.token = p.login(USER)
            with Client(p, self.token) as client:
                client.request("/probe/")
            self.label = p.instances("probe")[0]["label"]
            self.backend = p.rest("vmmd", "GET", "/v1/pools")["backend"]

    # --- whole requests

    def system(self, modes):
        pairs = [(mode, *table.rows_of(mode)) for mode in modes]
        for mode, *rows in pairs:
            for row in rows:
                if row and mode.app in self.refused:
                    row.left_out = "not built: " + self.refused[mode.app]
        live = [pair for pair in pairs if pair[0].app not in self.refused]
        for i in range(self.samples):
            for mode, first, following in live:
                self.progress.step(first.title, i + 1, self.samples)
                try:
                    self.life(mode, i, first, following)
                except (Failed, OSError, subprocess.TimeoutExpired) as e:
                    self.failed(first, i, e)
        return [row for _, *rows in pairs for row in rows if row]

    def life(self, mode, i, first, following):
        with self.platform as p:
            self.settle()
            if mode.warm:
                self.warm(mode)
            with Client(p, self.token) as client:
                begun = self.sample(client, mode, i, first, mode.first)
                if following and not begun:
                    self.failed(following, i * NEXT, f"{NEXT} not tried, since the first request failed")
                for k in range(NEXT if following and begun else 0):
                    time.sleep(mode.pause_s)
                    self.sample(client, mode, i * NEXT + k, following, mode.next)
            if mode.warm:
                p.ppce("pool", "set", mode.app, "--label", self.label, "--warm", 0)

    def sample(self, client, mode, i, row, expected):
        try:
            us, start, phases = client.request(f"/{mode.app}/")
            if start != expected:
                raise Failed(f"expected a {expected} start, but it was {start}")
        except Failed as e:
            self.failed(row, i, e)
            return False
        row.us.append(us)
        row.phases.append(phases)
        return True

    def failed(self, row, i, e):
        row.failures.append((i, str(e)))
        self.progress.failed(row.title, e)

    def settle(self):
        """Until the pools are full: then the platform only waits for requests."""
        p = self.platform
        eventually(lambda: p.rest("vmmd", "GET", "/v1/pools")["shells_ready"] >= SHELLS, 20, "shells are ready")
        if self.network:
            eventually(lambda: self.ready_taps() >= TAPS, 20, "taps are ready")
        time.sleep(SETTLE_S)

    def ready_taps(self):
        return sum(tap["state"] == "ready" for tap in self.platform.rest("net-rest", "GET", "/v1/taps")["taps"])

    def warm(self, mode):
        p = self.platform
        p.ppce("pool", "set", mode.app, "--label", self.label, "--warm", mode.warm)
        eventually(lambda: len(p.instances(mode.app)) >= mode.warm, 20, "instances are made ahead")
        self.settle()

    # --- microbenchmarks

    def boot(self, row, app):
        """POST /v1/instances and TCP connects, as often as there are samples, in one life of the platform."""
        if app in self.refused:
            row.left_out = "not built: " + self.refused[app]
            return row
        with self.platform as p, Client(p, self.token) as client:
            for i in range(self.samples):
                self.progress.step(row.title, i + 1, self.samples)
                self.settle()
                try:
                    row.us.append(client.boot(p.dir / "run" / "vmmd.sock", {"app": app, "label": self.label}))
                except Failed as e:
                    self.failed(row, i, e)
                for instance in p.instances(app):
                    p.rest("vmmd", "DELETE", f"/v1/instances/{instance['uuid']}")
                eventually(lambda: not p.instances(app), 10, "the instance has ended")
        return row


def taps(quick, directory, progress):
    """bench/net.c, in a namespace of its own."""
    rows = [table.Row("tap-" + key, title, "taps", figure) for key, title, figure in table.TAPS]
    program = BUILD / "bench" / "bench-net"
    why = None if program.exists() else "bench-net is not built (libmnl-dev is missing)"
    if not why and os.geteuid() != 0:
        why = "root is needed"
    measured = {} if why else run_bench_net([program, "--json", *(["--quick"] if quick else [])], directory, progress)
    for row, (key, _, _) in zip(rows, table.TAPS):
        row.left_out = why or ""
        row.us = measured.get(key, {}).get("samples_us", [])
        if not why and not row.us:
            row.failures.append((0, measured.get("error", "bench-net does not say")))
    return rows


def run_bench_net(args, directory, progress):
    progress.step("Taps (bench-net)", 1, 1)
    process = spawn(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    env={**os.environ, "TMPDIR": str(directory)})
    try:
        out, err = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        last = err.replace("\r", "\n").strip().rpartition("\n")[2]  # after what is progress
        return {"error": last or f"exit {process.returncode}"}
    return json.loads(out)
