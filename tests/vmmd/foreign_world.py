# SPDX-License-Identifier: MIT
"""What the tests of foreign unikernels need: an image such as Solo5's linker makes, the stand-in for solo5-hvt where the
tenders' user can run it, and a network namespace with ppce-net and vmmd in one directory."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import stat
import struct
import tempfile

from net_daemon import Namespace, Net, libc
from vmmd_daemon import Vmmd

TESTS = pathlib.Path(__file__).resolve().parents[1]
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
NETWORK = "network:\n  enabled: true\n  taps: 2\n  reuse_s: 0\n"
BLOCK, NET, RESERVED = 1, 2, 1 << 30


def solo5_image(devices=(("service", NET),), target=1, version=2, memory=0x200000):
    """The bytes of an image; tests/vmmd/solo5_file.h says more."""
    abi = struct.pack("<III8sIIII", 6, 16, 0x31494241, b"Solo5", target, version, 0, 0)
    entries = [("", RESERVED), *devices]
    body = b"".join(struct.pack("<68sI32x", name.encode(), kind) for name, kind in entries)
    manifest = struct.pack("<III8s4xII", 6, 12 + len(body), 0x3154464D, b"Solo5", 1, len(entries)) + body
    at = 64 + 4 * 56
    data = abi + bytes(-len(abi) % 8) + manifest
    mft = at + len(data) - len(manifest)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x100000, 64, 0, 0, 64, 56, 4, 0, 0, 0)
    segments = [(1, 5, at + len(data), 0x100000, 16, 16), (1, 4, at, 0x101000, len(data), memory),
                (4, 4, at, 0, len(abi), 0), (4, 4, mft, 0, len(manifest), 0)]
    table = b"".join(struct.pack("<IIQQQQQQ", kind, flags, offset, address, 0, size, room, 8)
                     for kind, flags, offset, address, size, room in segments)
    return header + table + data + b"\xf4" * 16


@contextlib.contextmanager
def standin_installed():
    """The stand-in as a program called solo5-hvt that everybody may run; its path."""
    with tempfile.TemporaryDirectory(prefix="ppce-solo5-") as directory:
        program = pathlib.Path(directory, "solo5-hvt")
        shutil.copy(TESTS / "vmmd" / "standin.py", program)
        shutil.copy(TESTS / "net" / "frames.py", directory)
        for path in (directory, program, program.with_name("frames.py")):
            os.chmod(path, 0o755)
        yield str(program)


@contextlib.contextmanager
def open_tun(directory):
    """As on most systems, everybody may open /dev/net/tun: in a mount namespace of this thread, should it be otherwise."""
    if os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:
        yield
        return
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    cwd = os.getcwd()
    node = str(directory / "tun")

    def mount(*args):
        if libc.mount(*args) != 0:
            raise PermissionError(os.strerror(ctypes.get_errno()))
    os.mknod(node, stat.S_IFCHR | 0o666, os.stat("/dev/net/tun").st_rdev)
    os.chmod(node, 0o666)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise PermissionError(os.strerror(ctypes.get_errno()))
    try:
        mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        mount(node.encode(), b"/dev/net/tun", None, MS_BIND, None)
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNS) == 0
        os.chdir(cwd)
        os.close(home)
        os.unlink(node)


class World:
    """ppce-net and vmmd in one directory; `settings` are vmmd's."""

    def __init__(self, directory, program, **settings):
        self.net = Net(directory=directory, start=False)
        self.vmmd = Vmmd(directory=directory, start=False, solo5_hvt=program, proxy=NETWORK, **settings)

    def __enter__(self):
        self.net.start()
        self.vmmd.start()
        return self

    def __exit__(self, *_):
        try:
            self.vmmd.close()
        finally:
            self.net.close()


__all__ = ["BLOCK", "NET", "NETWORK", "Namespace", "World", "open_tun", "solo5_image", "standin_installed"]
