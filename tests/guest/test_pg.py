# SPDX-License-Identifier: MIT
"""An app that asks PostgreSQL by libpq, over its own network, the address found by its name."""
import os
import sys
import urllib.parse
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "store")]
from databases import Postgres  # noqa: E402
from network_guest import NetworkGuest  # noqa: E402
from net_daemon import Namespace, no_taps  # noqa: E402
from tender import BUILD, RESET_NONE, RESET_PRISTINE, SCALE, Tender, backends  # noqa: E402

IMAGE = BUILD / "tests" / "guest" / "pg"


@pytest.mark.parametrize("backend", backends())
def test_rows_by_libpq(backend):
    if not IMAGE.exists():
        pytest.skip("there was no static libpq, or no lwIP, to build tests/guest/pg with")
    if why := no_taps():
        pytest.skip(why)
    tender = Tender(backend)
    snapshot = tender.boot(IMAGE)
    tender.close()
    with Namespace():
        database = Postgres(listen="0.0.0.0")
        try:
            database.sql("create database records")
            database.sql("create role reader login password 'reader'; create table r (n int, t text);"
                         "insert into r select i, 'row ' || i from generate_series(1, 3000) i; grant select on r to reader",
                         "records")
            for reset in (RESET_NONE, RESET_PRISTINE):
                guest = NetworkGuest(backend, snapshot, reset)
                try:
                    speak(guest, reset)
                finally:
                    guest.close()
        finally:
            database.close()
    os.close(snapshot)


def speak(guest, reset):
    def ask(sql, **more):
        query = urllib.parse.urlencode({"sql": sql, **more})
        status, _, body = guest.http(f"/?{query}", deadline_ms=60000 * SCALE)
        return status, body.decode()

    assert ask("select n, t from r where n < 3 order by n") == (200, "1\trow 1\n2\trow 2\n")
    assert ask("select n, t from r order by n") == (200, "".join(f"{n}\trow {n}\n" for n in range(1, 3001)))
    processes = {ask("select pg_backend_pid()")[1] for _ in range(3)}
    assert len(processes) == (1 if reset == RESET_NONE else 3)  # the connection is kept, or made anew
    status, text = ask("delete from r")
    assert status == 502 and "permission denied" in text
    status, text = ask("select 1", password="wrong")
    assert status == 502 and "password authentication failed" in text
    status, text = ask("select 1", port="5433")
    assert status == 502 and "Connection refused" in text
