# SPDX-License-Identifier: MIT
"""The kvm backend's tests on ordinary KVM semantics. Called by scripts/test-kvm-plain, which sees to the packages.

QEMU emulates a processor with AMD's virtualisation (SVM, nested paging) and boots Debian's cloud kernel with kvm-amd. Its
root file system is an initramfs with what the tests need, at the same paths as here: the build directory, the tests, and
the Debian packages of python3-pytest. Everything is an emulation of an emulation, so it is for right or wrong, not for
speed. The machine has no disk and no network but loopback, and leaves nothing behind but a report.
"""
import argparse
import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
KERNEL = "linux-image-cloud-amd64"
MODULES = ("virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko", "drivers/net/tun.ko")
PACKAGES = ("python3-pytest", "bash", "coreutils", "dash", "iproute2")
# Two runs of pytest side by side, one for each processor.
STORE, NETWORK = "tests/tender/test_store.py", "tests/tender/test_network.py"
GUEST_TCP = "tests/guest/test_network_guest.py"
RUNS = (("tests/tender/test_guest.py",),
        ("tests/guest/test_in_guest.py",
         *(f"{GUEST_TCP}::test_{name}" for name in (
             "identity_and_body_arrive", "what_is_left_for_the_next", "calls_one_after_the_other", "names_of_sinks")),
         f"{STORE}::test_the_data_buffer_is_pristine_after_every_request",
         f"{STORE}::test_a_guard_page_follows_the_io_window", f"{STORE}::test_the_ticket_never_enters_guest_memory",
         *(f"{NETWORK}::test_{name}" for name in (
             "frames_go_both_ways", "memory_after_a_request", "the_guests_clock_stays_right", "deadline",
             "a_reset_drops_frames_that_wait", "resident_pages_do_not_depend_on_earlier_frames", "start_with_a_network_and_a_store")),
         "tests/e2e/test_main_job.py"))
TIME_SCALE = 4  # the machine is this much slower than a real one, for the tests' time-outs
MEMORY_MIB = 1536
BOOT_SECONDS = 120  # at most, until the tests begin


def say(text):
    print(f"== {text}", flush=True)


class Failed(Exception):
    """A command failed; says which and why."""


class NoKernel(Failed):
    """Debian's kernel is not to be had here."""


def output(*args, **kw):
    done = subprocess.run(args, capture_output=True, text=True, **kw)
    if done.returncode:
        raise Failed(f"{shlex.join(map(str, args))}: exit {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def download(name, directory):
    """Fetches the package that the package `name` stands for, and unpacks it in the directory."""
    package = re.search(r"Depends: (linux-image-\S+)", output("apt-cache", "depends", name))
    if not package:
        raise Failed(f"apt-cache knows no package {name}")
    output("apt-get", "download", "-q", package.group(1), cwd=directory)
    deb, = directory.glob("*.deb")
    output("dpkg", "-x", deb, directory)
    deb.unlink()


def download_with_fresh_lists(name, directory):
    try:
        download(name, directory)
    except Failed:
        if os.geteuid() != 0:
            raise
        output("apt-get", "update", "-q")
        download(name, directory)


def fetch_kernel(cache):
    """(kernel, directory of its modules) of Debian's cloud kernel, unpacked in the cache; nothing is installed."""
    place, fresh = cache / "kernel", cache / "kernel.new"
    if not place.exists():
        say(f"fetching {KERNEL}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            download_with_fresh_lists(KERNEL, fresh)
        except Failed as e:
            raise NoKernel(str(e)) from e
        fresh.rename(place)
    kernel, = place.glob("boot/vmlinuz-*")
    modules, = place.glob("lib/modules/*/kernel")
    return kernel, modules


def package_files(names):
    """Files of installed Debian packages and of all that they depend on."""
    depends = {}
    for line in output("dpkg-query", "-W", "-f", "${Package}\t${Depends},${Pre-Depends}\n").splitlines():
        name, text = line.split("\t")
        depends[name] = [re.split(r"[ :(]", part.strip())[0] for part in re.split(r"[,|]", text)]
    wanted, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name in depends and name not in wanted:
            wanted.add(name)
            todo += depends[name]
    listed = output("dpkg", "-L", *sorted(wanted)).splitlines()
    return {pathlib.Path(f) for f in listed if f.startswith("/") and not f.startswith("/usr/share/")}


def libraries(programs):
    found = set()
    for program in programs:
        found |= {pathlib.Path(f) for f in re.findall(r"=> (/\S+)", output("ldd", program))}
    return found


def below(directory):
    return {p for p in directory.rglob("*") if p.is_file() and not p.name.endswith((".o", ".d"))}


def machine_files(build):
    """What the machine's file system holds of this one's, at the same paths."""
    programs = [p for p in (build / "bin").glob("ppce-*") if p.is_file() and p.name != "ppce-cc"] + [build / "bin/ppce"]
    files = package_files(PACKAGES) | libraries(programs) | set(programs)
    files |= {ROOT / "pytest.ini"} | below(ROOT / "tests")
    files |= below(build / "apps") | below(build / "plain/images") | below(build / "tests/guest")
    compiled = {p.parent / "__pycache__" for p in files if p.suffix == ".py"}
    return files | {p for d in compiled if d.is_dir() for p in d.iterdir()}


def with_parents(files):
    """The names for cpio: each through no symbolic link, and its directories before it. Links of a merged /usr too."""
    names = {f"/{link}" for link in ("bin", "sbin", "lib", "lib64") if os.path.islink(f"/{link}")}
    for file in files:
        path = file.parent.resolve() / file.name
        if not (path.is_symlink() or path.is_file()):
            continue
        names.add(str(path))
        if path.is_symlink() and path.resolve().is_file():
            names |= set(with_parents([path.resolve()]))
        names |= {str(p) for p in path.parents} - {"/"}
    return sorted(names)


def cpio(directory, names, archive):
    listed = "".join(name.lstrip("/") + "\0" for name in names)
    subprocess.run(["cpio", "-o", "-H", "newc", "-0", "-R", "0:0", "--quiet"], cwd=directory, input=listed.encode(),
                   stdout=archive, check=True)


def write_small_parts(root, modules, command):
    """What only the machine has, as files below root: busybox, modules, /init and the tests' command."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("proc", "sys", "dev", "tmp", "etc", "modules", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for module in MODULES:
        shutil.copy(modules / module, root / "modules")
    shutil.copy(shutil.which("busybox"), root / "usr/bin/busybox")
    shutil.copy(ROOT / "scripts/plain-init", root / "init")
    (root / "init").chmod(0o755)
    (root / "tests").write_text(command)
    (root / "etc/passwd").write_text("root:x:0:0::/tmp:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def tests_command(build, runs, args, timeout):
    """The shell script /tests of the machine: all runs side by side, each shown when it has ended. One that is not done in
    time is interrupted, so that pytest says where it was. Its report then lacks tests, and so does not count."""
    env = {"PPCE_BUILD": build, "PPCE_IMAGES": build / "plain/images", "PPCE_TIME_SCALE": TIME_SCALE}
    lines = [f"cd {shlex.quote(str(ROOT))}", *(f"export {name}={shlex.quote(str(value))}" for name, value in env.items())]
    for i, tests in enumerate(runs):
        pytest = f"python3 -m pytest --color=no --junitxml=/tmp/report-{i}.xml {shlex.join([*args, *tests])}"
        lines.append(f"timeout -k 30 -s INT {timeout} {pytest} >/tmp/log-{i} 2>&1 &\npid{i}=$!")
    lines += [f"wait $pid{i} || [ $? = 1 ] || rm -f /tmp/report-{i}.xml\ncat /tmp/log-{i}" for i in range(len(runs))]
    return "\n".join(lines) + "\n"


def build_images(build):
    """The apps that end-to-end tests build themselves, since the machine has no compiler."""
    images = build / "plain/images"
    images.mkdir(parents=True, exist_ok=True)
    for source in (ROOT / "tests/e2e/apps").glob("*.c"):
        output(build / "bin/ppce-cc", f"-I{ROOT}", source, "-o", images / source.stem)


def make_initrd(build, modules, command):
    initrd = build / "plain/initrd"
    write_small_parts(build / "plain/root", modules, command)
    with open(initrd, "wb") as archive:
        cpio("/", with_parents(machine_files(build)), archive)
        archive.flush()
        small = sorted(str(p.relative_to(build / "plain/root")) for p in (build / "plain/root").rglob("*"))
        cpio(build / "plain/root", small, archive)
    return initrd


def run_machine(kernel, initrd, report, timeout):
    """Boots it and waits for its end. Its console is our standard output."""
    qemu = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,+svm,+npt", "-smp", "2",
            "-m", str(MEMORY_MIB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", "stdio", "-serial", f"file:{report}", "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", "console=ttyS0 quiet panic=-1 tsc=reliable"]
    report.unlink(missing_ok=True)
    try:
        subprocess.run(qemu, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        say(f"not done after {timeout} s: ended")


def read_report(text):
    """(number passed, names of those that failed, number skipped) of one of pytest's reports."""
    try:
        cases = list(ET.fromstring("<?xml" + text).iter("testcase"))
    except ET.ParseError:
        cases = []
    if not cases:
        return 0, ["a run that did not come to its end, or had no tests"], 0
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = sum(1 for c in cases if c.find("skipped") is not None)
    return len(cases) - len(failed) - skipped, [f"{c.get('classname')}.{c.get('name')}" for c in failed], skipped


def read_reports(path, runs):
    """The same of all runs, whose reports stand one after the other in the file."""
    texts = path.read_text(errors="replace").split("<?xml")[1:] if path.exists() else []
    passed, failed, skipped = zip(*(read_report(text) for text in texts + [""] * (runs - len(texts))))
    return sum(passed), sum(failed, []), sum(skipped)


def test(build, runs=RUNS, args=("-k", "kvm"), timeout=600):
    """Makes the machine and runs the tests in it; (number passed, names of those that failed, number skipped)."""
    kernel, modules = fetch_kernel(build / "plain")
    build_images(build)
    initrd = make_initrd(build, modules, tests_command(build, runs, args, timeout))
    report = build / "plain/report.xml"
    say(f"{kernel.name} under QEMU, initramfs of {initrd.stat().st_size >> 20} MiB")
    begin = time.monotonic()
    run_machine(kernel, initrd, report, timeout + BOOT_SECONDS)
    say(f"the machine ran for {time.monotonic() - begin:.0f} s; its report is {report}")
    return read_reports(report, len(runs))


def parse(argv):
    parser = argparse.ArgumentParser(prog="scripts/test-kvm-plain", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Other options are pytest's.")
    parser.add_argument("--build", default=os.environ.get("PPCE_BUILD") or ROOT / "build", type=pathlib.Path,
                        help="build directory under test (default: build)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds until the tests are ended (default: 600)")
    parser.add_argument("-k", metavar="EXPR", default="kvm", help="which tests, as pytest's -k (default: kvm)")
    parser.add_argument("tests", nargs="*", metavar="TEST",
                        help=f"files or tests (default: {' '.join(itertools.chain(*RUNS))})")
    return parser.parse_known_args(argv)


def main(argv):
    options, extra = parse(argv)
    if not (options.build / "bin/ppce").exists():
        print(f"scripts/test-kvm-plain: nothing is built in {options.build}: run scripts/build first", file=sys.stderr)
        return 1
    try:
        passed, failed, skipped = test(options.build.resolve(), [options.tests] if options.tests else RUNS,
                                       ["-k", options.k, *extra], options.timeout)
    except Failed as e:
        print(f"scripts/test-kvm-plain: {e}", file=sys.stderr)
        return 1
    for name in failed:
        print("FAILED", name)
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
