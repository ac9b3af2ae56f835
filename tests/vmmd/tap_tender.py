#!/usr/bin/python3 -I
# SPDX-License-Identifier: MIT
"""Takes the place of ppce-tender in tests of what vmmd hands over: says in a log line, as JSON, what it was given, tries its
tap, and serves nothing. Its images can use a network unless the file `mode` beside it says "plain"; "gap" in it makes the
instance end at once."""
import json
import os
import pathlib
import select
import socket
import struct
import time

NET = struct.Struct("<4I6s6sHH640s")  # struct control_net
SINK = struct.Struct("<33sxHI")
CONTROL = struct.Struct(f"<13I33s256s37s1024s2x{NET.size}s")
BOOT, BIND, START, SHELL_READY, BOOTED, BOUND, LOG = 1, 2, 4, 16, 17, 18, 20

control = socket.socket(fileno=3)
mode = (pathlib.Path(__file__).parent / "mode").read_text()


def say(kind, reason=""):
    control.send(CONTROL.pack(kind, 0, 0, 0, 0, "plain" not in mode, 6, 1, 64, 64, 1, 1, 1, b"stand-in", b"", b"",
                              reason.encode(), b""))


def describe(data, fds):
    f = CONTROL.unpack(data)
    ipv4, prefix, gateway, mtu, mac, gateway_mac, port, nsinks, sinks = NET.unpack(f[17])
    rows = [SINK.unpack_from(sinks, n * SINK.size) for n in range(nsinks)]
    return {"type": f[0], "reset": f[1], "deadline_ms": f[2], "has_store": f[3], "has_net": f[4], "ipv4": ipv4,
            "prefix": prefix, "gateway": gateway, "mtu": mtu, "mac": mac.hex(":"), "gateway_mac": gateway_mac.hex(":"),
            "port": port, "sinks": [[name.split(b"\0")[0].decode(), p, a] for name, p, a in rows],
            "fds": [os.readlink(f"/proc/self/fd/{fd}").split(" ")[0] for fd in fds]}


def try_tap(tap, told):
    """ARP for the gateway: is this the port that the addresses belong to?"""
    mac = bytes.fromhex(told["mac"].replace(":", ""))
    frame = b"\xff" * 6 + mac + struct.pack("!HHHBBH6sI6sI", 0x806, 1, 0x800, 6, 4, 1, mac, told["ipv4"], bytes(6),
                                            told["gateway"])
    os.write(tap, frame)
    if select.select([tap], [], [], 5)[0]:
        return os.read(tap, 2000)[6:12].hex(":") == told["gateway_mac"]
    return False


def main():
    say(SHELL_READY)
    data, fds, _, _ = socket.recv_fds(control, CONTROL.size, 8)
    if not data:
        return
    told = describe(data, fds)
    if told["type"] == BOOT:
        os.write(fds[1], bytes(4096))
        say(BOOTED)
        return
    if told["has_net"]:
        told["tap_works"] = try_tap(fds[-2 if told["type"] == START else -1], told) if "untried" not in mode else None
    say(LOG, json.dumps(told))
    say(BOUND)
    while control.recv(1):
        time.sleep(0.01)


main()
