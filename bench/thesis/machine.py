# SPDX-License-Identifier: MIT
"""The machine that the figures are from."""
import os
import pathlib
import statistics
import time

from version import COMMIT


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def describe(backend):
    cpu = dict(line.split(":", 1) for line in read("/proc/cpuinfo").split("\n\n")[0].splitlines() if ":" in line)
    cpu = {key.strip(): value.strip() for key, value in cpu.items()}
    system = dict(line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
    memory = int((read("/proc/meminfo").split() or [0, 0])[1]) // 1024
    return {"backend": backend, "cpu": cpu.get("model name", "unknown"), "cpus": len(os.sched_getaffinity(0)),
            "mhz": cpu.get("cpu MHz", ""), "virtual": "hypervisor" in cpu.get("flags", "").split(),
            "memory_mib": memory, "kernel": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
            "distribution": system.get("PRETTY_NAME", "unknown").strip('"'), "commit": COMMIT,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "load": os.getloadavg()[0],
            "fork_exec_us": fork_exec()}


def fork_exec(count=100):
    """A yardstick: fork and exec of the smallest program, as the median."""
    took = []
    for _ in range(count):
        start = time.perf_counter()
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        took.append((time.perf_counter() - start) * 1e6)
    return statistics.median(took)


def sentences(m):
    """What has to stand wherever the figures do."""
    isolation = {"kvm": "kvm: each instance is a virtual machine",
                 "process": "process: each instance is a jailed process, NOT a virtual machine; no figure here says "
                            "what KVM would take"}
    yield f"Backend {isolation.get(m['backend'], m['backend'])}."
    virtual = ", itself a virtual machine" if m["virtual"] else ""
    yield f"{m['cpu']}, {m['cpus']} CPUs, {m['memory_mib']} MiB{virtual}; {m['distribution']}, {m['kernel']}."
    yield (f"Commit {m['commit']}; {m['date']}. Load at the start {m['load']:.1f}; fork and exec of "
           f"/bin/true takes {m['fork_exec_us'] / 1000:.2f} ms (median).")
