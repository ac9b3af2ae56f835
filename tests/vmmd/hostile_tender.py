#!/usr/bin/python3 -I
# SPDX-License-Identifier: MIT
"""Takes the place of ppce-tender to show that vmmd trusts no tender: what it does wrong stands in the file `mode` beside
it, "boot:WHAT" or "bind:WHAT". A boot in mode bind succeeds."""
import fcntl
import mmap
import os
import pathlib
import socket
import struct
import sys
import time

NET_BYTES = 672  # struct control_net
CONTROL = struct.Struct(f"<13I33s256s37s1024s2x{NET_BYTES}s")
BOOT, BIND, SHELL_READY, BOOTED, BOUND, FAILED, LOG = 1, 2, 16, 17, 18, 19, 20

control = socket.socket(fileno=3)


def pack(kind, reason=b"", name=b"hostile", memory_mib=1, kib=64, queries=b"", network=0, net=b""):
    return CONTROL.pack(kind, 0, 0, 0, 0, network, 6, memory_mib, kib, kib, 1, 1, 1, name, queries, b"", reason, net)


def say(*args, **kw):
    control.send(pack(*args, **kw))


def flood(n=20000):
    for _ in range(n):
        say(LOG, b"line")


def keep_mapping(memory):
    """A child that still has the snapshot mapped when we are gone."""
    page = mmap.mmap(memory, 4096)
    if os.fork() == 0:
        control.close()
        time.sleep(2)
        os._exit(0)
    return page


def unterminated(at, size):
    data = bytearray(pack(LOG))
    data[at:at + size] = b"x" * size
    return bytes(data)


def shrink_stats():
    try:
        os.ftruncate(4, 0)
        say(FAILED, b"the page could be cut")
    except OSError as e:
        say(FAILED, b"not possible: " + os.strerror(e.errno).encode())


WRONG = {
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "short": lambda: control.send(pack(LOG)[:-1]),
    "byte": lambda: control.send(b"x"),
    "long": lambda: control.send(pack(LOG) + b"x"),
    "huge": lambda: control.send(b"x" * 100000),
    "name": lambda: control.send(unterminated(52, 33)),
    "queries": lambda: control.send(unterminated(85, 256)),
    "uuid": lambda: control.send(unterminated(341, 37)),
    "text": lambda: control.send(unterminated(378, 1024)),
    "sinks": lambda: control.send(pack(LOG, net=struct.pack("<4I6s6sHH", 0, 0, 0, 0, b"", b"", 0, 17))),
    "sink-name": lambda: control.send(pack(LOG, net=struct.pack("<4I6s6sHH33s", 0, 0, 0, 0, b"", b"", 0, 1, b"x" * 33))),
    "network-flag": lambda: say(BOOTED, network=2),
    "query-name": lambda: say(BOOTED, queries=b"good,Bad"),
    "query-comma": lambda: say(BOOTED, queries=b"good,"),
    "query-long": lambda: say(BOOTED, queries=b"a" * 33),
    "type": lambda: say(99),
    "order": lambda: say(BIND),
    "descriptor": lambda: socket.send_fds(control, [pack(LOG)], [0]),
    "descriptors": lambda: socket.send_fds(control, [pack(LOG)], [0] * 100),
    "ready-again": lambda: say(SHELL_READY),
    "flood": flood,
    "escape": lambda: say(FAILED, b"\x1b[31mred\nforged \xff"),
    "no-reason": lambda: say(FAILED),
    "stats": shrink_stats,
    "hang-up": control.close,
    "memory-0": lambda: say(BOOTED, memory_mib=0),
    "memory-max": lambda: say(BOOTED, memory_mib=1 << 31),
    "kib-0": lambda: say(BOOTED, kib=0),
    "kib-max": lambda: say(BOOTED, kib=1 << 20),
    "twice": lambda: (say(BOOTED), say(BOOTED)),
    "bound": lambda: (say(BOUND), say(BOUND)),
    "booted": lambda: say(BOOTED),
    "silent": lambda: None,
}


def boot(what, memory):
    if what == "empty":
        say(BOOTED)
    elif what == "large":
        os.ftruncate(memory, 1 << 30)
        say(BOOTED)
    elif what == "mapped":
        os.ftruncate(memory, 4096)
        page = keep_mapping(memory)
        say(BOOTED)
        page.close()
    elif what == "failed-status":
        os.ftruncate(memory, 4096)
        say(BOOTED)
        os._exit(1)
    elif what == "good":
        os.write(memory, bytes(4096))
        say(BOOTED)
    else:
        WRONG[what]()
        time.sleep(60)
    os._exit(0)


def main():
    when, _, what = (pathlib.Path(__file__).parent / "mode").read_text().partition(":")
    say(SHELL_READY)
    data, fds, _, _ = socket.recv_fds(control, CONTROL.size, 4)
    if len(fds) < 2:
        sys.exit(0)
    kind = CONTROL.unpack(data)[0]
    if kind == BIND:
        if what == "seals":
            want = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            say(FAILED, b"sealed" if fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) == want else b"not sealed")
        else:
            WRONG[what]()
        time.sleep(60)
    boot("good" if when == "bind" else what, fds[1])


main()
