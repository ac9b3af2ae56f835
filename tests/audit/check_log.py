#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""check_log.py DIR/log/audit [VKEY]: checks an audit log by docs/audit.md alone; shares no code with PPCE.

Prints the number of records that the checkpoint signs, or says what does not hold and ends with 1."""
import base64
import hashlib
import json
import pathlib
import sys


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def node(left, right):
    return sha(b"\1", left, right)


# Ed25519 verification (RFC 8032, 5.1.7) in plain integers: slow, and short enough to be read.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
B = (15112221349535400772501151409588531511454012693041857206046113283949847762202,
     46316835694926478169428394003475163141307993866256225615783033603165251855960)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def multiply(n, point):
    total = (0, 1)
    while n:
        total, point, n = (add(total, point) if n & 1 else total), add(point, point), n >> 1
    return total


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        raise ValueError("not a point")
    return (P - x if x & 1 != sign else x), y


def ed25519_verify(public, message, signature):
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return s < L and multiply(s, B) == add(decompress(signature[:32]), multiply(k, decompress(public)))


def read_key(text):
    name, number, key = text.rstrip("\n").split("+", 2)
    raw = base64.b64decode(key, validate=True)
    assert raw[0] == 1 and len(raw) == 33 and sha(name.encode(), b"\n", raw)[:4].hex() == number, "key.pub does not hold"
    return name, raw[1:]


def read_checkpoint(text, name, public):
    """(size, root) of a signed note; an exception if it is not signed by the key."""
    body, _, lines = text.partition("\n\n")
    body += "\n"
    origin, size, root = body.splitlines()
    dash, signer, signature = lines.rstrip("\n").split(" ")
    raw = base64.b64decode(signature, validate=True)
    assert dash == "\u2014" and origin == signer == name, "the checkpoint is another log's"
    assert raw[:4] == sha(name.encode(), b"\n\1", public)[:4] and len(raw) == 68, "the checkpoint names another key"
    assert ed25519_verify(public, body.encode(), raw[4:]), "the checkpoint's signature is wrong"
    # One spelling only, base64's spare bits included.
    again = f"{name}\n{int(size)}\n{base64.b64encode(base64.b64decode(root)).decode()}\n\n" \
            f"\u2014 {name} {base64.b64encode(raw).decode()}\n"
    assert again == text, "the checkpoint is spelt in another way"
    return int(size), base64.b64decode(root)


def tree_root(hashes):
    if not hashes:
        return sha()
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return node(tree_root(hashes[:k]), tree_root(hashes[k:]))


def read_records(directory):
    """Every whole line, checked for its form and its number."""
    lines = []
    for path in sorted((directory / "data").iterdir()):
        assert path.name == f"{len(lines):020}.jsonl", f"{path.name}: record {len(lines)} was expected"
        *whole, rest = path.read_bytes().split(b"\n")
        lines += whole
    for seq, line in enumerate(lines):
        record = json.loads(line)
        assert record["seq"] == seq, f"record {seq} has the number {record['seq']}"
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert canonical == line, f"record {seq} is not canonical"
    return lines


def tile_name(level, index, width):
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{level}/" + "/".join(groups) + (f".p/{width}" if width < 256 else "")


def check_tiles(directory, hashes, size):
    """Every tile there is holds the right hashes, and every one that the signed size needs is there."""
    there = {str(p.relative_to(directory)): p for p in directory.glob("tile/**/*") if p.is_file()}
    level = 0
    while hashes:
        for index in range(len(hashes) // 256 + 1):
            for width in range(1, 257):
                path = there.pop(tile_name(level, index, width), None)
                part = hashes[index * 256:index * 256 + width]
                if path:
                    assert path.read_bytes() == b"".join(part) and len(part) == width, f"{path} does not hold"
                    continue
                needed = min(256, (size >> 8 * level) - index * 256)
                assert width != needed, f"{tile_name(level, index, width)} is missing"
        hashes = [tree_root(hashes[i:i + 256]) for i in range(0, len(hashes) - 255, 256)]
        level += 1
    assert not there, f"not tiles of this log: {sorted(there)}"


def check_proof(proof, key):
    """A proof as `ppce audit prove` prints it; returns the record."""
    name, public = read_key(key)
    size, root = read_checkpoint(proof["checkpoint"], name, public)
    index, at = proof["index"], sha(b"\0", proof["record"].encode())
    assert size == proof["size"] and 0 <= index < size
    last = size - 1
    for text in proof["hashes"]:
        other = base64.b64decode(text)
        assert last
        if index & 1 or index == last:
            at = node(other, at)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            at = node(at, other)
        index, last = index >> 1, last >> 1
    assert last == 0 and at == root, "the record is not in the log"
    return json.loads(proof["record"])


def check(directory, key=None):
    directory = pathlib.Path(directory)
    own = (directory / "key.pub").read_text()
    assert key is None or key.rstrip("\n") == own.rstrip("\n"), "key.pub is not the key that was given"
    assert own.endswith("\n")
    size, root = read_checkpoint((directory / "checkpoint").read_text(), *read_key(own))
    lines = read_records(directory)
    assert len(lines) >= size, f"{len(lines)} records, but {size} are signed"
    hashes = [sha(b"\0", line) for line in lines]
    assert tree_root(hashes[:size]) == root, "the records are not those that were signed"
    check_tiles(directory, hashes, size)
    return size


if __name__ == "__main__":
    try:
        print(check(*sys.argv[1:3]))
    except (AssertionError, ValueError, KeyError, OSError) as e:
        sys.exit(f"check_log.py: {e}")
