# SPDX-License-Identifier: MIT
"""A guest's calls to the store, which the test plays: what goes out, what comes back, and every way it can go wrong."""
import hashlib
import os
import re
import socket
import struct

import pytest

from fake_store import (CONFLICT, DENIED, OK, TICKET, UNAVAILABLE, WRITE, DECLASSIFY, QUERY, changed, make_ticket,
                        release, rows)
from tender import (BUILD, CRASHED, DEADLINE, FLAG_LAST, FLAG_TICKET, FRAME, INTERNAL, MAGIC, PAGE, REQUEST, RESET_NONE,
                    RESET_PRISTINE, RESPONSE, TOO_LARGE, Answer, Lost, Tender, backends, encode_request)

IMAGE = BUILD / "tests" / "guest" / "store"
DATA_MAX = 32 << 10  # the image's data_kib


@pytest.fixture(params=backends(), scope="module")
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def snapshot(backend):
    tender = Tender(backend)
    fd = tender.boot(IMAGE)
    assert tender.booted["queries"] == "mine,add,mean"
    tender.close()
    yield fd
    os.close(fd)


@pytest.fixture
def make(backend, snapshot):
    tenders = []

    def build(reset=RESET_NONE, store=True):
        tenders.append(Tender(backend))
        return tenders[-1].bind(snapshot, reset, store)

    yield build
    for tender in tenders:
        tender.close()


@pytest.fixture(params=[RESET_NONE, RESET_PRISTINE], ids=["kept", "pristine"])
def tender(make, request):
    return make(request.param)


def lost(tender, code):
    """The request under way must end the instance with this failure; the operator's reason."""
    with pytest.raises(Lost) as e:
        tender.finish()
    assert e.value.code == code
    return tender.end_reason()


# --- what works ---

def test_query_parameters_and_rows_arrive(tender):
    for seq in (1, 2):
        answer, call = tender.call_store("/query", rows(["day", "load", "n", "note", "raw"], [
            "monday", 1.5, -3, None, b"\1\2"], ["", 0.0, 2**62, "t\u00e9xt", b""]))
        assert (call.verb, call.name, call.max) == (QUERY, "mine", DATA_MAX)
        assert call.values == [-7, 0.5, "x y", None, b"\0\1\2"]
        assert call.ticket["seq"] == seq
        assert answer.text == ("5 columns, 2 rows: day load n note raw\n1: text:monday real:1.5 int:-3 null blob:0102\n"
                               f"2: text: real:0 int:{2**62} text:t\u00e9xt blob:\n")
        assert answer.release == 0


def test_the_ticket_is_passed_on_byte_for_byte(tender):
    ticket = os.urandom(TICKET.size)
    tender.send_frame(encode_request(path="/query"), ticket=ticket)
    assert tender.store.serve(rows(["a"])).raw_ticket == ticket
    assert tender.finish().text == "1 columns, 0 rows: a\n"


def test_columns_by_name(tender):
    answer, call = tender.call_store("/columns", rows(["day", "load", "n"], ["monday", 7, 9]))
    assert call.values == [] and answer.text == "day=monday load=7 n=9 none= wrong=0\n"


def test_write(tender):
    answer, call = tender.call_store("/write", changed(3))
    assert (call.verb, call.name, call.values) == (WRITE, "add", ["today"])
    assert answer.text == "wrote 3\n"
    assert "conflicts" in tender.call_store("/write", status=CONFLICT)[0].text


def test_declassified_value_is_the_whole_answer(tender):
    data = release('{"mean":4}')
    answer, call = tender.call_store("/declassify", data)
    assert (call.verb, call.name, call.values) == (DECLASSIFY, "mean", ['{"mean":4}'])
    assert (answer.status, answer.release, answer.fields, answer.body) == (200, 1, {}, data)


def test_a_reply_after_a_release_drops_it(tender):
    answer, _ = tender.call_store("/declassify?after=reply", release("{}"))
    assert (answer.status, answer.release, answer.text) == (203, 0, "taken back\n")


def test_nothing_can_be_added_to_a_release(tender):
    answer, _ = tender.call_store("/declassify?after=body", release("{}"))
    assert (answer.status, answer.release, answer.body) == (500, 0, b"")


@pytest.mark.parametrize("status,word", [(s, w) for s, w in enumerate(
    ["denied", "no such query", "parameters", "too large", "too long", "not available", "no store", "conflicts"], 1)])
def test_refusals_reach_the_guest(tender, status, word):
    for path in ("/query", "/write", "/declassify"):
        answer, _ = tender.call_store(path, status=status)
        assert answer.text.startswith(f"error -{status} ") and word in answer.text


def test_calls_that_the_library_refuses_never_go_out(tender):
    assert tender.call("/refused").text == "-2 -2 -4 -3 -3 0\n"
    assert tender.store.quiet()


def test_an_answer_as_large_as_the_buffer(tender):
    head = rows(["a"], [b""])[:-16]
    length = DATA_MAX - len(head) - 16
    answer, _ = tender.call_store("/raw", head + struct.pack("<IIq", 4, length, 0) + b"\xee" * length)
    number, _, data = answer.body.partition(b" ")
    assert int(number) == DATA_MAX == len(data) and data.endswith(b"\xee" * length)


def test_the_largest_call(tender):
    tender.send_frame(encode_request(path=f"/raw?length={DATA_MAX}"))
    call = tender.store.receive()
    assert call.payload == b"\x77" * DATA_MAX
    tender.store.reply(b"y")
    assert tender.finish().body == b"1 y"


def test_reply_in_single_bytes(tender):
    tender.send_frame(encode_request(path="/query"))
    tender.store.receive()
    data = rows(["a"], ["b"])
    for byte in struct.pack("<4I", 0x52535050, OK, len(data), 0) + data:
        tender.store.sock.sendall(bytes([byte]))
    assert tender.finish().text == "1 columns, 1 rows: a\n1: text:b\n"


# --- without a store ---

def test_boot_and_warm_up_have_no_store(make):
    tender = make(RESET_PRISTINE)
    assert tender.call("/init").text == f"init -7, data {DATA_MAX}\n"
    assert tender.store.quiet(), "the warm-up asks for /query"


@pytest.mark.parametrize("path", ["/query", "/write", "/declassify"])
def test_an_instance_without_a_store(make, path):
    tender = make(store=False)
    for _ in range(2):
        assert "no store here" in tender.call(path).text
    assert tender.call("/raw").text == "-7 "


def test_an_image_without_queries_has_no_buffer_and_no_store(backend):
    tenders = [Tender(backend) for _ in range(3)]
    snapshot = tenders[0].boot(BUILD / "tests" / "guest" / "probe")
    assert tenders[0].booted["queries"] == ""
    tender = tenders[1].bind(snapshot)
    for length in (0, 8, 2**63):
        assert tender.call(f"/doorbell-wild?call=6&arg0=1&arg1={length}").text == "survived -7\n"
    with pytest.raises(RuntimeError, match="no queries"):
        tenders[2].bind(snapshot, store=True)
    for t in tenders:
        t.close()
    os.close(snapshot)


def last_answer(tender):
    """The instance tells its guest, answers once more and ends, so that the next request finds one that works."""
    kind, flags, _, payload, _ = tender.read_frame()
    assert (kind, flags) == (RESPONSE, FLAG_LAST)
    assert tender.end_reason() == "the store closed this instance's socket"
    return Answer(payload).text


@pytest.mark.parametrize("path", ["/query", "/write", "/declassify"])
@pytest.mark.parametrize("when", ["before", "during"])
def test_the_store_closes(tender, path, when):
    if when == "before":
        tender.store.close()
    tender.send_frame(encode_request(path=path))
    if when == "during":
        tender.store.receive()
        tender.store.close()
    assert "not available" in last_answer(tender)


def test_the_store_closes_in_the_middle_of_a_reply(tender):
    tender.send_frame(encode_request(path="/raw"))
    tender.store.receive()
    tender.store.reply(b"half", length=8)
    tender.store.close()
    assert last_answer(tender) == f"-{UNAVAILABLE} "


# --- a store that does wrong ---

@pytest.mark.parametrize("reply", [
    dict(magic=0x43535050), dict(status=9), dict(status=2**32 - 1), dict(status=DENIED, data=b"x"), dict(data=b""),
    dict(length=DATA_MAX + 1), dict(length=2**32 - 1), dict(status=DENIED, length=1)], ids=str)
def test_malformed_reply_ends_the_instance(tender, reply):
    tender.send_frame(encode_request(path="/query"))
    tender.store.receive()
    tender.store.reply(**reply)
    assert lost(tender, INTERNAL) == "the store sent a malformed reply"


@pytest.mark.parametrize("data", [
    b"x", b"\xff" * 64, struct.pack("<II", 1, 1), struct.pack("<II", 65, 0), struct.pack("<II", 1, 2**32 - 1) + rows(
        ["a"])[8:], rows(["a"], ["b"])[:-8], rows(["a"], ["b"]) + bytes(8), rows([7], ["b"]), struct.pack("<II", 0, 9) + b"x",
    struct.pack("<IIIIq", 1, 0, 3, 2**32 - 1, 0), struct.pack("<IIIIq", 1, 0, 3, 3, 0) + b"abcdefgh",
    rows(["a"], [1]).replace(struct.pack("<IIq", 1, 0, 1), struct.pack("<IIq", 5, 0, 1)),
    rows(["a"], [1]).replace(struct.pack("<IIq", 1, 0, 1), struct.pack("<IIq", 1, 8, 1))], ids=range(13))
def test_the_guest_believes_no_malformed_rows(tender, data):
    assert "not available" in tender.call_store("/query", data)[0].text
    assert tender.call_store("/query", rows(["a"]))[0].text == "1 columns, 0 rows: a\n"


@pytest.mark.parametrize("data", [b"x", release("{}")[:-1], b"y" + release("{}")[1:],
                                  release("{}").replace(b"level=LOW".ljust(1024, b"\0"), b"l" * 1024)], ids=range(4))
def test_the_guest_believes_no_malformed_release(tender, data):
    answer, _ = tender.call_store("/declassify", data)
    assert "not available" in answer.text and answer.release == 0


def test_a_slow_store_is_the_guests_deadline(tender):
    tender.send_frame(encode_request(path="/query"), deadline_ms=200)
    tender.store.receive()
    assert lost(tender, DEADLINE) == "over the deadline"


def test_a_store_that_answers_half_is_the_guests_deadline(tender):
    tender.send_frame(encode_request(path="/query"), deadline_ms=200)
    tender.store.receive()
    tender.store.reply(b"half", length=8)
    assert lost(tender, DEADLINE) == "over the deadline"


def test_a_store_that_does_not_read_is_the_guests_deadline(make):
    tender = make()
    filler = 0
    tender.store.sock.setblocking(False)
    buffered = tender.store.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    for _ in range(buffered // DATA_MAX + 20):  # small enough for any default of the kernel's
        tender.send_frame(encode_request(path=f"/raw?length={DATA_MAX}"), deadline_ms=300)
        filler += 1
        try:
            tender.store.reply(b"z")  # without having read
        except BlockingIOError:
            pass
        try:
            tender.finish()
        except Lost as e:
            assert e.code == DEADLINE
            return
    raise AssertionError(f"{filler} calls went into a socket that nobody reads")


# --- a guest that does wrong ---

@pytest.mark.parametrize("verb,length", [
    (0, 8), (4, 8), (2**32 + 1, 8), (2**64 - 1, 8), (1, 0), (1, DATA_MAX + 1), (1, 2**32), (1, 2**32 + 8), (1, 2**63),
    (3, 2**64 - 1)])
def test_arguments_out_of_range_end_the_instance(tender, verb, length):
    tender.send_frame(encode_request(path=f"/raw?verb={verb}&length={length}"))
    assert lost(tender, CRASHED).startswith("bad call 6 ")
    assert tender.store.quiet()


def test_any_bytes_of_a_guest_go_out_and_only_those(tender):
    for length in (1, 7, 8, 4097):
        answer, call = tender.call_store(f"/raw?verb=2&length={length}", status=DENIED)
        assert (call.verb, call.payload) == (WRITE, b"\x77" * length)
        assert answer.text == "-1 "


# --- tickets ---

SECRET = bytes(b | 0x80 for b in hashlib.sha256(b"a ticket").digest()[:24])  # of no NUL, and in no table of libc's


def find(needle):
    """A path that counts it in all memory of the guest, without holding it itself."""
    return f"/find?not={bytes(b ^ 0xff for b in needle).hex()}"


def memory_holds(pid, needle):
    """Is it anywhere in the memory of this process?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            try:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
            except (OSError, ValueError, OverflowError):
                continue  # vvar, vsyscall, no rights
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="a tender may not be looked into by others")
def test_the_ticket_never_enters_guest_memory(tender, backend):
    """Seen from inside and, where the guest is a process, from outside; the counter-test shows that both would see it."""
    other = SECRET[::-1]
    assert re.match(r"found [1-9]", tender.call(find(other), fields=[("x-plant", other)]).text)
    assert re.match(r"found 0 in [1-9]\d{6}", tender.call(find(SECRET)).text)
    for _ in range(2):
        tender.send_frame(encode_request(path="/query"), ticket=make_ticket(mac=SECRET + b"\1" * 8))
        assert SECRET in tender.store.receive().raw_ticket
        if backend == "process":
            child = int(open(f"/proc/{tender.pid}/task/{tender.pid}/children").read().split()[0])
            assert memory_holds(child, b"/query\0") and not memory_holds(child, SECRET)
        tender.store.reply(rows(["a"]))
        tender.finish()
        if tender.reset_mode == RESET_PRISTINE:
            assert tender.call(find(SECRET)).text.startswith("found 0 ")
            assert not memory_holds(tender.pid, SECRET), "forgotten with its request"


@pytest.mark.parametrize("store", [True, False], ids=["store", "no store"])
def test_a_ticket_where_none_belongs_closes_the_channel(make, store):
    tender = make(store=store)
    payload = encode_request(path="/init")
    wrong = dict(flags=0, ticket=b"") if store else dict(ticket=make_ticket(mac=SECRET + b"\1" * 8))
    tender.send_frame(payload, **wrong)
    with pytest.raises((EOFError, ConnectionResetError)):
        tender.read_frame()
    tender.rebind()
    assert tender.call(find(SECRET)).text.startswith("found 0 ")


def test_request_with_ticket_in_single_bytes(make):
    tender = make()
    payload, ticket = encode_request(path="/query"), make_ticket(seq=77)
    tender.ids += 1
    for byte in FRAME.pack(MAGIC, REQUEST, FLAG_TICKET, len(payload), tender.ids, 5000, 0, 0, 0) + ticket + payload:
        tender.channel.sendall(bytes([byte]))
    assert tender.store.serve(rows(["a"])).ticket["seq"] == 77
    assert Answer(tender.read_frame()[3]).text == "1 columns, 0 rows: a\n"


def test_too_large_a_request_takes_its_ticket_with_it(make):
    tender = make()
    with pytest.raises(Lost) as e:
        tender.call("/query", method="POST", body=b"x" * 70000)
    assert e.value.code == TOO_LARGE
    assert tender.call_store("/query", rows(["a"]))[1].ticket["seq"] == 2


# --- the buffer ---

def test_the_data_buffer_is_pristine_after_every_request(make):
    tender = make(RESET_PRISTINE)
    data = rows(["a"], [SECRET * 100])
    answer, _ = tender.call_store("/query", data)
    assert "blob:" + SECRET.hex() in answer.text
    assert tender.call(find(SECRET)).text.startswith("found 0 ")


def test_the_data_buffer_keeps_its_bytes_without_a_reset(make):
    """The counter-test."""
    tender = make(RESET_NONE)
    tender.call_store("/query", rows(["a"], [SECRET * 100]))
    assert int(re.match(r"found (\d+)", tender.call(find(SECRET)).text).group(1)) >= 100


def test_a_guard_page_follows_the_io_window(make):
    assert PAGE == 4096
    tender = make()
    tender.send_frame(encode_request(path=f"/raw?length={DATA_MAX}&over=1"))
    tender.store.receive()
    tender.store.reply(b"y")
    assert lost(tender, CRASHED)
