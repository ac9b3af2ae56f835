# SPDX-License-Identifier: MIT
"""All tests, stage by stage, counted. Called by scripts/test, which sees to the packages."""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import harness  # noqa: E402
import plain  # noqa: E402

FUZZ_SECONDS = int(os.environ.get("PPCE_FUZZ_SECONDS", "5"))
SANITIZE = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1",
                     "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
# End-to-end tests that a sanitizer adds nothing to: they run no daemon of ours, or what others run, very often.
NOT_SANITIZED = ("bench", "health_readme", "import_health", "layers", "noninterference", "quickstart")


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.problems = []
        self.notes = []

    def one(self, good, what):
        self.add(int(good), int(not good), what)

    def add(self, passed, failed, what, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        if failed:
            self.problems.append(what)


def run(args, timeout=1200, env=None, quiet=True):
    """Exit code of a command; its output is shown when it fails, or always with quiet=False."""
    try:
        done = subprocess.run(args, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
                              text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired as e:
        print(f"{args[0]}: not done after {timeout} s", e.stdout if quiet else "")
        return 124
    if quiet and done.returncode:
        print(done.stdout[-12000:])
    return done.returncode


def build(count, name, directory, options=(), env=None):
    code = run(["scripts/build", directory, *options], env={"NINJA_QUIET": "1", **(env or {})})
    count.one(code == 0, name)
    return code == 0


def unit(count, directory, env=None):
    """meson test; a cmocka program counts as many as it has tests."""
    code = run(["meson", "test", "-C", directory, "--print-errorlogs", "--num-processes", "2"], env=env)
    log = ROOT / directory / "meson-logs" / "testlog.json"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    failed = 0
    for record in records:
        text = (record.get("stdout") or "") + (record.get("stderr") or "")
        total = sum(int(n) for n in re.findall(r"\[=+\] (\d+) test\(s\) run\.", text))
        good = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test\(s\)\.", text))
        if record["result"] == "SKIP":
            count.add(0, 0, record["name"], skipped=1)
        elif record["result"] in ("OK", "EXPECTEDFAIL"):
            count.add(max(good, 1), 0, record["name"])
        else:
            bad = max(total - good, 1)
            failed += bad
            count.add(good, bad, f"{directory}: {record['name']}")
    if not records or (code and not failed):
        count.one(False, f"{directory}: meson test ended with {code}")


def stage_build(count, _):
    return build(count, "build with gcc", "build", env={"CC": "gcc"})


def stage_unit(count, _):
    unit(count, "build")


def case_name(case):
    return f"{case.get('classname')}.{case.get('name')}"


def broken(case):
    return case.find("failure") is not None or case.find("error") is not None


def pytest_env(directory, env):
    return {"PPCE_BUILD": str(ROOT / directory), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}


def alone(directory, bad, env):
    """Which of the failed tests pass when nothing else runs? Those had too little of the machine; they are named all the
    same, so that one that comes back again and again is looked at."""
    files = sorted({case.get("classname").replace(".", "/") + ".py" for case in bad})
    names = {case_name(case) for case in bad}
    report = ROOT / directory / "pytest-alone.xml"
    report.unlink(missing_ok=True)
    print(f"Once more, alone: {', '.join(files)}", flush=True)
    run([sys.executable, "-m", "pytest", "-q", "--junitxml", str(report), *files], timeout=900, quiet=False,
        env=pytest_env(directory, env))
    cases = list(ET.parse(report).getroot().iter("testcase")) if report.exists() else []
    steady = names & {case_name(case) for case in cases if not broken(case)}
    for name in sorted(steady):
        print("UNSTEADY", name, "(failed beside others, passed alone)")
    return steady


def pytest(count, options, directory, *what, env=None):
    report = ROOT / directory / "pytest.xml"
    report.unlink(missing_ok=True)
    # Most tests wait most of the time. A file's tests stay together: they share a platform.
    code = run([sys.executable, "-m", "pytest", "-q", "-n", "3", "--dist", "loadfile", "--junitxml", str(report),
                *options.pytest, *what], timeout=1500, quiet=False, env=pytest_env(directory, env))
    if not report.exists():
        count.one(False, f"pytest ended with {code} and no report")
        return
    cases = list(ET.parse(report).getroot().iter("testcase"))
    bad = [c for c in cases if broken(c)]
    steady = alone(directory, bad, env) if bad else set()
    bad = [c for c in bad if case_name(c) not in steady]
    skipped = [c for c in cases if c.find("skipped") is not None]
    good = [c for c in cases if c not in bad and c not in skipped]
    reasons = collections.Counter(c.find("skipped").get("message") or "no reason given" for c in skipped)
    for reason, number in sorted(reasons.items()):
        if "kvm" not in reason:  # the last line but one tells of that
            count.notes.append(f"SKIPPED {number} tests in {directory}: {reason}")
    for case in bad:
        count.one(False, case_name(case))
    count.add(len(good), 0, "", skipped=len(skipped))
    parameters = {part for c in good for part in re.split(r"[\[\]-]", c.get("name"))[1:]}
    options.backends |= parameters & {"kvm", "process"}
    if code and not bad and not steady:
        count.one(False, f"pytest ended with {code}")


def stage_e2e(count, options):
    pytest(count, options, "build")


def stage_plain(count, options):
    """The kvm backend on ordinary KVM, in a machine that QEMU emulates. Skipped where Debian's kernel is not to be had."""
    if not (ROOT / "build/bin/ppce").exists() and not stage_build(count, options):
        return
    if run(["scripts/deps", "plain"]):
        count.one(False, "plain KVM: packages are missing")
        return
    try:
        passed, failed, skipped = plain.test(ROOT / "build")
    except plain.NoKernel as e:
        count.add(0, 0, "", skipped=1)
        count.notes.append(f"SKIPPED plain KVM: {e}")
        return
    except plain.Failed as e:
        count.one(False, f"plain KVM: {e}")
        return
    count.add(passed, 0, "", skipped=skipped)
    for name in failed:
        count.one(False, f"plain KVM: {name}")
    if passed:
        options.backends.add("kvm (emulated machine)")


def build_clang(count):
    """All programs, and the fuzz targets, which only clang can build."""
    return build(count, "build with clang", "build-clang", ["-Dfuzz=true", "-Db_lundef=false"], env={"CC": "clang"})


def stage_asan(count, options):
    """The host code under AddressSanitizer and UndefinedBehaviorSanitizer: unit tests, then whole platforms. There the
    tender is the ordinary one, because a sanitizer needs system calls that its jail does not allow."""
    if not build(count, "build with sanitizers", "build-asan", SANITIZE, env={"CC": "gcc"}):
        return
    unit(count, "build-asan", SANITIZER_OPTIONS)
    if not (ROOT / "build/bin/ppce-tender").exists() and not stage_build(count, options):
        return
    mixed = ROOT / "build-asan" / "platform"
    shutil.rmtree(mixed, ignore_errors=True)
    (mixed / "bin").mkdir(parents=True)
    for name in ("ppce", "ppce-audit", "ppce-store", "ppce-auth", "ppce-vmmd", "ppce-proxy", "ppce-net"):
        if (ROOT / "build-asan/bin" / name).exists():  # ppce-net is not built everywhere
            shutil.copy(ROOT / "build-asan/bin" / name, mixed / "bin")
    for name in ("ppce-tender", "ppce-cc"):
        shutil.copy(ROOT / "build/bin" / name, mixed / "bin")
    for name in ("apps", "guest", "tests"):
        (mixed / name).symlink_to(ROOT / "build" / name)
    left_out = [f"--ignore=tests/e2e/test_{name}.py" for name in NOT_SANITIZED]
    pytest(count, options, mixed.relative_to(ROOT), *left_out, "tests/e2e", "tests/net", "tests/proxy", env=SANITIZER_OPTIONS)


def fuzz(target):
    work = target.with_suffix(".work")
    work.mkdir(exist_ok=True)
    seeds = ROOT / "tests" / target.parent.name / "corpus" / target.name
    return run([str(target), f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048", "-timeout=10", "-verbosity=0",
                f"-artifact_prefix={work}/", str(work), *([str(seeds)] if seeds.is_dir() else [])],
               timeout=FUZZ_SECONDS + 60)


def stage_fuzz(count, _):
    """The build with clang, then every fuzz target for a few seconds, from the seeds in corpus/TARGET beside its source, if
    there are any."""
    if not build_clang(count):
        return
    targets = [t for t in sorted((ROOT / "build-clang" / "tests").glob("*/fuzz[-_]*"))
               if t.is_file() and os.access(t, os.X_OK)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for target, code in zip(targets, pool.map(fuzz, targets)):
            count.one(code == 0, f"fuzz target {target.name}")


def sources(*endings):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if len(listed) < 2:  # not a git checkout
        listed = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if not str(p.relative_to(ROOT)).startswith(("build", "external"))]
    return [f for f in listed if f.endswith(endings) and (ROOT / f).exists()]


def stage_style(count, _):
    count.one(run(["clang-format", "--dry-run", "-Werror", *sources(".c", ".h")]) == 0, "clang-format")
    scripts = [f for f in sources("") if f.startswith(("scripts/", ".ci/")) and not f.endswith(".py")] + \
              [f for f in ("guest/ppce-cc", "guest/ppce-cc.in") if (ROOT / f).exists()]
    shell = [f for f in scripts if (ROOT / f).read_text(errors="replace").startswith(("#!/bin/sh", "#!/bin/bash"))]
    count.one(run(["shellcheck", *shell]) == 0, "shellcheck")
    count.one(run(["scripts/mutants", "--check"]) == 0, "scripts/mutants --check: a seeded fault's text has changed")


HOST = ("lib", "policy", "audit", "store", "auth", "vmmd", "proxy", "tender", "net", "cli")


def clang_tidy(count, name, *options):
    if not (ROOT / "build-clang" / "compile_commands.json").exists() and not build_clang(count):
        return
    files = [f for f in sources(".c") if f.startswith(tuple(d + "/" for d in HOST))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = pool.map(lambda f: run(["clang-tidy", "--quiet", *options, "-p", "build-clang", f]), files)
        count.one(not any(codes), name)


def stage_tidy(count, _):
    """The host code, with the checks of .clang-tidy that look at one place at a time."""
    clang_tidy(count, "clang-tidy", "--checks=-clang-analyzer-*")


def stage_analyze(count, _):
    """All checks of .clang-tidy, those too that follow paths through the code: ten times slower, so only when it is named."""
    clang_tidy(count, "clang-tidy with the analyzer")


def stage_lint(count, _):
    count.one(run(["cppcheck", "-q", "-j2", "--error-exitcode=1", "--enable=warning,portability", "--inline-suppr",
                   "--suppress=missingIncludeSystem", "--suppress=normalCheckLevelMaxBranches", "--library=posix",
                   # labels of assembly code are not objects of their own; memory is mapped at fixed addresses on purpose
                   "--suppress=comparePointers", "--suppress=leakReturnValNotUsed",
                   *[f"-D{kind}_HEAD(n,t)=struct n{{struct t*first;struct t**last;}}"  # of sys/queue.h
                     for kind in ("TAILQ", "STAILQ", "LIST")],
                   "-D__x86_64__", "-I.", "-Iinclude",
                   *HOST],
                  timeout=600) == 0, "cppcheck")


def stage_mutants(count, _):
    """Seeded faults, each of which the tests must notice: some minutes, so only when it is named."""
    count.one(run(["scripts/mutants"], timeout=7200, quiet=False) == 0, "scripts/mutants: a fault that no test notices")


STAGES = {
    "build": stage_build,
    "unit": stage_unit,
    "e2e": stage_e2e,
    "plain": stage_plain,
    "asan": stage_asan,
    "fuzz": stage_fuzz,
    "style": stage_style,
    "lint": stage_lint,
    "tidy": stage_tidy,
    "analyze": stage_analyze,
    "mutants": stage_mutants,
}
NAMED_ONLY = ("analyze", "mutants")
QUICK = ("build", "unit", "e2e")


def parse(argv):
    parser = argparse.ArgumentParser(prog="scripts/test", description="Build and test everything.")
    parser.add_argument("--quick", action="store_true", help=f"only the stages {', '.join(QUICK)}")
    parser.add_argument("-k", dest="pytest_k", metavar="EXPR", help="only end-to-end tests that match (pytest -k)")
    parser.add_argument("stage", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; default: all but {', '.join(NAMED_ONLY)}")
    options = parser.parse_args(argv)
    unknown = [s for s in options.stage if s not in STAGES]
    if unknown:
        parser.error(f"no stage {unknown[0]}; there are {', '.join(STAGES)}")
    options.stages = options.stage or (QUICK if options.quick else [s for s in STAGES if s not in NAMED_ONLY])
    options.pytest = ["-k", options.pytest_k] if options.pytest_k else []
    options.backends = set()
    return options


def main(argv):
    options = parse(argv)
    count = Count()
    kvm = harness.kvm_usable()
    if kvm:
        os.environ["PPCE_MUST_KVM"] = "1"  # a backend that works here must not be skipped by mistake
    print(f"/dev/kvm {'works: both backends are tested' if kvm else 'does not work: only backend process is tested'}",
          flush=True)
    for name in options.stages:
        begin, before = time.monotonic(), (count.passed, count.failed)
        print(f"== {name}", flush=True)
        go_on = STAGES[name](count, options)
        print(f"== {name}: {count.passed - before[0]} passed, {count.failed - before[1]} failed "
              f"({time.monotonic() - begin:.0f} s)", flush=True)
        if name == "build" and not go_on:
            break  # nothing to test
    for note in count.notes:
        print(note)
    for problem in count.problems:
        print("FAILED", problem)
    print(f"Backends that ran end to end: {' and '.join(sorted(options.backends)) or 'none'}"
          f" (/dev/kvm {'works' if kvm else 'does not work'}); {count.skipped} tests skipped")
    print(f"{count.passed} passed, {count.failed} failed", flush=True)
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
