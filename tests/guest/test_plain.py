# SPDX-License-Identifier: MIT
"""An image as a plain Linux program, and ppce-cc itself."""
import contextlib
import http.client
import os
import re
import socket
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PPCE_BUILD", ROOT / "build"))
GUESTS = BUILD / "tests" / "guest"
APPS = BUILD / "apps"
PPCE_CC = BUILD / "bin" / "ppce-cc"


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], capture_output=True, timeout=60, **kw)


def request(image, *args):
    """(status, {header: value}, body) of one --request."""
    done = run(image, "--request", *args)
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout[done.stdout.index(b"HTTP/1.1 "):].partition(b"\n\n")  # after what the app printed
    first, *fields = head.decode().split("\n")
    assert re.fullmatch(r"HTTP/1\.1 \d{3}", first)
    return int(first.split()[1]), dict(f.split(": ", 1) for f in fields), body


def test_hello_depends_on_the_label():
    status, fields, body = request(APPS / "hello", "/", "--label", "level=NATO_SECRET")
    assert status == 200 and fields["content-type"].startswith("text/plain")
    assert b"level=NATO_SECRET" in body
    assert b"level=NATO_SECRET" not in request(APPS / "hello", "/", "--label", "comp={A}")[2]


def test_request_parts_arrive():
    _, _, body = request(GUESTS / "answers", "PUT", "/who?a=b", "--user", "alice", "--label", "l=1", "--header",
                         "X-Test: v:1", "--header", "Empty:", "--body", "the body")
    assert body.decode().startswith("PUT /who?a=b\nuser=alice class= label=l=1 ")
    assert b"\nx-test: v:1\nempty: \nthe body" in body


def test_body_from_a_file(tmp_path):
    data = bytes(range(256)) * 20
    (tmp_path / "f").write_bytes(data)
    packed = request(GUESTS / "zlib", "POST", "/deflate", "--body", f"@{tmp_path / 'f'}")[2]
    assert zlib.decompress(packed) == data


@pytest.mark.parametrize("query,expected", [
    ("v=abc", "3 abc"), ("v=a%20b+c", "5 a b c"), ("v=", "0 "), ("v", "0 "), ("x=1&v=2&v=3", "1 2"), ("vv=1", "-1 "),
    ("", "-1 "), ("v=%00", "-1 "), ("v=%4", "-1 "), ("v=%zz", "-1 "), ("v=%", "-1 "), ("v=%2Fx", "2 /x"),
    ("v=" + "a" * 15, "15 " + "a" * 15), ("v=" + "a" * 16, "-1 "), ("&&&v=1&", "1 1")])
def test_query_parameters(query, expected):
    assert request(GUESTS / "answers", f"/query?{query}")[2].decode() == expected


def test_header_lookup_ignores_case():
    assert request(GUESTS / "answers", "/header", "--header", "x-TEST: yes")[2] == b"yes"
    assert request(GUESTS / "answers", "/header")[2] == b"absent"


def test_response_fields_after_the_body():
    status, fields, body = request(GUESTS / "answers", "/fields")
    assert (status, body) == (201, b"body first")
    assert fields == {"content-type": "text/html", "x-one": "1", "set-cookie": "a=b; HttpOnly"}


@pytest.mark.parametrize("n,status", [(0, 200), (1, 200), (64, 200), (65, 500)])
def test_field_count_is_bounded(n, status):
    got, fields, _ = request(GUESTS / "answers", f"/many-fields?n={n}")
    assert got == status and len(fields) == (n if status == 200 else 0)


@pytest.mark.parametrize("n,status", [(0, 200), (1, 200), (100000, 200), (129000, 200), (140000, 500), (10 ** 7, 500)])
def test_body_is_bounded(n, status):
    got, _, body = request(GUESTS / "answers", f"/big?n={n}")
    assert got == status and body == b"b" * (n if status == 200 else 0)


def test_handler_may_start_over():
    status, fields, body = request(GUESTS / "answers", "/start-over")
    assert (status, body) == (507, b"did not fit\n") and "x-first" not in fields


def test_bad_fields_and_statuses_are_refused():
    assert request(GUESTS / "answers", "/bad-field")[2] == b"9 refused\n"


@pytest.mark.parametrize("path", ["/no-status", "/failing"])
def test_failure_is_an_empty_500(path):
    assert request(GUESTS / "answers", path) == (500, {}, b"")


def test_binary_body():
    assert request(GUESTS / "answers", "/binary")[2] == bytes(range(256))


def test_system_calls_as_the_kernel_answers_them():
    lines = request(GUESTS / "syscalls", "/syscalls")[2].decode().splitlines()
    assert len(lines) > 40 and [line for line in lines if not line.startswith("ok ")] == []


@pytest.mark.parametrize("args", [[], ["--wrong"], ["--request"], ["--request", "x"], ["--request", "/", "--user"],
                                  ["--request", "/", "--header", "nocolon"], ["--request", "/", "--body", "@/no/file"],
                                  ["--serve"]])
def test_wrong_use_says_so(args):
    done = run(APPS / "hello", *args)
    assert done.returncode == 2 and b"--help" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:", "host:80", ":80"])
def test_bad_address_says_so(address):
    done = run(APPS / "hello", "--serve", address)
    assert done.returncode == 1 and b"not an address" in done.stderr


def test_help_and_manifest():
    assert b"--serve" in run(APPS / "hello", "--help").stdout
    manifest = run(GUESTS / "answers", "--manifest").stdout.decode()
    assert "name: answers\n" in manifest and "response_kib: 128\n" in manifest and "warm_path: /who\n" in manifest


def test_request_larger_than_the_manifest_allows():
    done = run(GUESTS / "answers", "--request", "/who", "--body", "x" * 40000)
    assert done.returncode == 1 and b"request_kib" in done.stderr


@contextlib.contextmanager
def serving(image):
    process = subprocess.Popen([str(image), "--serve", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "debugging only" in line
        yield int(re.search(r"http://127\.0\.0\.1:(\d+)", line).group(1)), process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def exchange(port, data):
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := s.recv(65536):
                answer += part
    return answer


def test_serve_answers():
    with serving(GUESTS / "answers") as (port, _):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        c.request("POST", "/who?q=1", body=b"z" * 20000, headers={"PPCE-User": "bob", "X-Test": "1"})
        r = c.getresponse()
        text = r.read().decode()
        assert r.status == 200 and "user=bob" in text and "x-test: 1" in text and text.endswith("z" * 20000)
        c.request("HEAD", "/binary")
        r = c.getresponse()
        assert r.status == 200 and r.getheader("content-length") == "256" and r.read() == b""


def test_serve_keeps_connections():
    """Several, each with more than one request; what is sent together is answered in order."""
    with serving(GUESTS / "answers") as (port, _):
        open_ones = [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(6)]
        for c in open_ones * 2:
            c.request("GET", "/binary")
            assert c.getresponse().read() == bytes(range(256))
            assert c.sock
        answer = exchange(port, b"GET /binary HTTP/1.1\r\n\r\n" * 3 + b"POST /who HTTP/1.0\r\nContent-Length: 3\r\n\r\nend")
        assert answer.count(b"HTTP/1.1 200 ") == 4 and answer.count(b"Connection: close") == 1 and answer.endswith(b"end")
        for c in open_ones:
            c.close()


def test_serve_takes_the_whole_identity():
    fields = "".join(f"PPCE-{name}: {name.lower()}1\r\n" for name in (
        "App", "User", "Class", "Label", "Session", "Purpose", "Request-Id", "Other"))
    with serving(GUESTS / "answers") as (port, _):
        text = exchange(port, f"GET /who HTTP/1.1\r\n{fields}Expect: 100-continue\r\nA:  b \t\r\n\r\n".encode()).decode()
    assert "user=user1 class=class1 label=label1 session=session1 purpose=purpose1 app=app1 id=request-id1\na: b\n" in text
    assert "other1" not in text


@pytest.mark.parametrize("data,status", [
    (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", 400), (b"GET / HTTP/1.2\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nExpect: x\r\n\r\n", 417),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400), (b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 404), (b"GET  HTTP/1.1\r\n\r\n", 400), (b"GET x HTTP/1.1\r\n\r\n", 400),
    (b"\r\n\r\n", 400), (b"GET / HTTP/2\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nnocolon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 32768\r\n\r\n" + b"x" * 32768, 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort", 408), (b"GET / HT", 408),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n", 431), (b"GET /" + b"a" * 40000, 431)])
def test_serve_survives_bad_http(data, status):
    with serving(GUESTS / "answers") as (port, _):
        assert exchange(port, data).startswith(b"HTTP/1.1 %d " % status)
        assert exchange(port, b"GET /binary HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")


# --- ppce-cc ---

APP = '#include <ppce/ppce.h>\nstatic int handle(const struct ppce_request *q, struct ppce_response *r)\n' \
      '{ (void)q; return ppce_reply(r, 200, "text/plain", "%d", VALUE); }\n'


@pytest.fixture
def source(tmp_path):
    def write(text, name="app.c"):
        (tmp_path / name).write_text(text)
        return tmp_path / name
    return write


def test_cc_builds_a_static_image(source, tmp_path):
    app = source(APP + 'PPCE_APP(.name = "mine", .handle = handle)\n')
    done = run(PPCE_CC, "-DVALUE=42", "-O1", app, "-o", tmp_path / "app")
    assert done.returncode == 0, done.stderr.decode()
    assert request(tmp_path / "app", "/")[2] == b"42"
    elf = run("readelf", "-W", "-h", "-l", "-n", tmp_path / "app").stdout.decode()
    assert "EXEC" in elf and "PPCE-image" in elf and "INTERP" not in elf and "RWE" not in elf
    loads = [line.split() for line in elf.splitlines() if line.split()[:1] == ["LOAD"]]
    assert loads and all(int(line[2], 16) >= 0x100000 for line in loads)
    pages = [set(range(int(x[2], 16) >> 12, (int(x[2], 16) + int(x[5], 16) + 4095) >> 12)) for x in loads]
    assert sum(map(len, pages)) == len(set().union(*pages)), "two segments share a page"


def test_cc_compiles_and_links_apart(source, tmp_path):
    app = source(APP + 'PPCE_APP(.name = "mine", .handle = handle)\n')
    assert run(PPCE_CC, "-DVALUE=7", "-c", app, "-o", tmp_path / "app.o").returncode == 0
    assert run(PPCE_CC, tmp_path / "app.o", f"-o{tmp_path / 'app'}").returncode == 0
    assert request(tmp_path / "app", "/")[2] == b"7"


def test_cc_file_names_with_spaces(source, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    app = source(APP + 'PPCE_APP(.name = "mine", .handle = handle)\n', "a folder/my app.c")
    (folder / "my data").write_text("x")
    done = run(PPCE_CC, "-DVALUE=1", f"--file=/data={folder / 'my data'}", app, "-o", folder / "my out")
    assert done.returncode == 0, done.stderr.decode()
    assert request(folder / "my out", "/")[0] == 200


@pytest.mark.parametrize("text,words", [
    (APP, "no PPCE_APP"),
    (APP + 'PPCE_APP(.name = "a", .handle = handle)\nint x = "y" + z;', "error"),
    ("int main(void) { return 0; }", "an app has no main()"),
    (APP + 'PPCE_APP(.name = "a", .handle = handle)\nint main(void) { return 0; }', "an app has no main()"),
])
def test_cc_explains_a_failure(source, tmp_path, text, words):
    done = run(PPCE_CC, "-DVALUE=1", source(text), "-o", tmp_path / "app")
    assert done.returncode != 0 and words in done.stderr.decode() and not (tmp_path / "app").exists()


def test_cc_two_apps_in_one_program(source, tmp_path):
    one = source(APP + 'PPCE_APP(.name = "a", .handle = handle)\n', "one.c")
    two = source(APP + 'PPCE_APP(.name = "b", .handle = handle)\n', "two.c")
    done = run(PPCE_CC, "-DVALUE=1", one, two, "-o", tmp_path / "app")
    assert done.returncode != 0 and "more than one" in done.stderr.decode()


@pytest.mark.parametrize("args", [[], ["-o"], ["-O2"], ["--file"], ["--file", "relative=x", "a.c"],
                                  ["--file", "/a", "a.c"], ["--file", "/a=/no/such", "a.c"], ["-shared", "a.c"],
                                  ["-static-pie", "a.c"], ["/no/such.c"]])
def test_cc_wrong_use_says_so(args, tmp_path):
    done = run(PPCE_CC, *args, cwd=tmp_path)
    assert done.returncode != 0 and done.stderr and list(tmp_path.iterdir()) == []


def test_cc_leaves_nothing_behind(source, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    app = source(APP + 'PPCE_APP(.name = "mine", .handle = handle)\n')
    env = {**os.environ, "TMPDIR": str(scratch)}
    for target in ("app", "no/such/folder/app"):
        run(PPCE_CC, "-DVALUE=1", app, "-o", tmp_path / target, env=env)
    assert list(scratch.iterdir()) == []


def test_the_lower_half_calls_nothing_of_libc():
    """It runs inside system calls, whose caller's SSE registers it must not touch."""
    undefined = run("nm", "-u", BUILD / "guest" / "ppce-os.o").stdout.decode().split()
    assert set(undefined) - {"U", "w", "v"} == {"_start", "ppce_note", "__start_ppce_files", "__stop_ppce_files"}


def test_an_app_may_use_the_stacks_names(source, tmp_path):
    app = source(APP.replace("VALUE", "tcp_write() + pbuf_free") + 'PPCE_APP(.name = "mine", .handle = handle)\n')
    app.write_text("int pbuf_free = 1;\nint tcp_write(void);\nint tcp_write(void) { return 1; }\n" + app.read_text())
    done = run(PPCE_CC, app, "-o", tmp_path / "app")
    assert done.returncode == 0, done.stderr.decode()
    assert request(tmp_path / "app", "/")[2] == b"2"


def test_cc_is_portable_shell():
    assert run("dash", "-n", PPCE_CC).returncode == 0
