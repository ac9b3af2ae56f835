#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures the running platform through HTTP, next to the raw KVM floor, in one run.

Rows: cold with nothing made ahead, cold from a shell, warm (lifetime user), pristine per request (lifetime request), the
bare KVM steps of each (bench/floor.c), and fork+exec of a static program as a yardstick for the machine's speed. Every
row with p50 and p99; for PPCE's own rows the phases of Server-Timing say where the time goes.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import Platform, build_dir  # noqa: E402


class Client:
    """bench/client.c on one kept connection."""

    def __init__(self, platform, token):
        host, port = platform.url.removeprefix("http://").rstrip("/").split(":")
        self.process = subprocess.Popen([build_dir() / "bench" / "bench-client", host, port, token],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def get(self, path, count=1):
        self.process.stdin.write(f"{count} {path}\n")
        self.process.stdin.flush()
        return [Sample(self.process.stdout.readline()) for _ in range(count)]

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


class Sample:
    def __init__(self, line):
        us, status, self.start, self.instance, timing = line.rstrip("\n").split(" ", 4)
        self.us, self.status, self.phases = float(us), int(status), {}
        for part in timing.split(","):
            name, _, ms = part.strip().partition(";dur=")
            if ms:
                self.phases[name] = float(ms) * 1000


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def summary(samples, expect):
    wrong = {(s.status, s.start) for s in samples if s.status != 200 or s.start != expect}
    if wrong:
        raise SystemExit(f"bench: expected 200 {expect}, saw {wrong}")
    phases = {}
    for s in samples:
        for name, us in s.phases.items():
            phases.setdefault(name, []).append(us)
    us = [s.us for s in samples]
    return {"n": len(us), "p50": percentile(us, 50), "p99": percentile(us, 99),
            "phases": {name: percentile(values, 50) for name, values in phases.items()}}


def running(platform, app):
    listed = platform.rest("vmmd", "GET", "/v1/instances").json()
    return [i for i in (listed if isinstance(listed, list) else listed["instances"]) if i["app"] == app]


def cold(platform, client, app, count, shells):
    """Ends the app's instances before every sample, so that each request has to start one."""
    platform.cli("pool", "set", str(shells))
    samples = []
    for _ in range(count):
        for i in running(platform, app):
            platform.rest("vmmd", "DELETE", "/v1/instances/" + i["uuid"])
        deadline = time.time() + 5
        while time.time() < deadline:
            alive = running(platform, app)
            if not alive and platform.rest("vmmd", "GET", "/v1/pools").json()["shells_ready"] == shells:
                break
            time.sleep(0.005)
        time.sleep(0.02)
        samples += client.get(f"/{app}/")
    return summary(samples, "cold")


def spaced(client, path, count):
    """One request every few milliseconds: what a user sees, with every reset long done."""
    samples = []
    for _ in range(count):
        samples += client.get(path)
        time.sleep(0.003)
    return samples


def fork_exec(count=200):
    """The machine's own speed: fork and exec of the smallest program, as the median of `count`."""
    took = []
    for _ in range(count):
        start = time.perf_counter()
        pid = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(pid, 0)
        took.append((time.perf_counter() - start) * 1e6)
    return {"n": count, "p50": percentile(took, 50), "p99": percentile(took, 99)}


def throughput(platform, token, path, seconds):
    """wrk at 32 connections, where it is installed."""
    try:
        out = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}",
                              platform.url.rstrip("/") + path], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    rate = [line.split()[1] for line in out.splitlines() if line.startswith("Requests/sec")]
    bad = [line.strip() for line in out.splitlines() if "Non-2xx" in line or "Socket errors" in line]
    return {"requests_per_second": float(rate[0]), "errors": bad}


def measure(options):
    result = {}
    with tempfile.TemporaryDirectory(prefix="ppce-bench-") as tmp, \
            Platform(pathlib.Path(tmp) / "ppce", backend=options.backend) as platform:
        platform.add_image("hello", platform.image_file("hello"))
        for app, lifetime in (("cold", "user"), ("warm", "user"), ("pristine", "request")):
            platform.add_app(app, "hello", lifetime)
        platform.add_user("ann", clearance="level=NATO_SECRET")
        token = platform.login("ann").token
        client = Client(platform, token)
        progress("cold, nothing made ahead")
        result["cold"] = cold(platform, client, "cold", options.samples, 0)
        progress("cold from a shell")
        result["shell"] = cold(platform, client, "cold", options.samples, 2)
        progress("warm")
        client.get("/warm/", 20)
        result["warm"] = summary(spaced(client, "/warm/", options.samples * 10), "warm")
        progress("pristine per request")
        client.get("/pristine/", 20)
        time.sleep(0.1)
        result["pristine"] = summary(spaced(client, "/pristine/", options.samples * 10), "pristine")
        if options.wrk:
            progress("throughput")
            result["throughput_pristine"] = throughput(platform, token, "/pristine/", options.wrk)
            result["throughput_warm"] = throughput(platform, token, "/warm/", options.wrk)
        client.close()
    progress("floor")
    floor = subprocess.run([build_dir() / "bench" / "bench-floor"], capture_output=True, text=True)
    result["floor"] = json.loads(floor.stdout) if floor.returncode == 0 else None
    result["fork_exec"] = fork_exec()
    return result


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def show(result):
    floor = result["floor"] or {}
    names = {"cold": ("cold, nothing made ahead", "cold"), "shell": ("cold from a shell", "shell"),
             "warm": ("warm", "warm"), "pristine": ("pristine per request", "pristine")}
    print(f"{'':28}{'p50 us':>9}{'p99 us':>9}{'floor p50':>11}   phases, p50 us")
    for key, (name, floor_key) in names.items():
        row, bare = result[key], floor.get(floor_key, {}).get("p50")
        phases = " ".join(f"{p} {us:.0f}" for p, us in row["phases"].items() if us >= 0.5)
        print(f"{name:28}{row['p50']:9.0f}{row['p99']:9.0f}{bare if bare is not None else '-':>11}   {phases}")
    row = result["fork_exec"]
    print(f"{'fork+exec of /bin/true':28}{row['p50']:9.0f}{row['p99']:9.0f}")
    for key in ("throughput_pristine", "throughput_warm"):
        if result.get(key):
            print(f"{key.replace('_', ', ')}: {result[key]['requests_per_second']:.0f} requests/s at 32 connections "
                  f"{' '.join(result[key]['errors'])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40, help="cold samples per row; ten times as many warm ones")
    parser.add_argument("--backend", default="auto", choices=["auto", "kvm", "process"])
    parser.add_argument("--wrk", type=int, default=0, metavar="SECONDS", help="also measure throughput with wrk")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result, indent=1)) if options.json else show(result)


if __name__ == "__main__":
    main()
