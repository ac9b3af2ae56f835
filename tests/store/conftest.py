# SPDX-License-Identifier: MIT
"""Both databases, for tests that must hold on each."""
import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from databases import Postgres  # noqa: E402
from store_daemon import Store  # noqa: E402

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def make_store(request):
    """make_store(queries, sql, ...) makes a Store whose .database(statement) runs SQL beside the store."""

    def make(queries, sql="", **options):
        if request.param == "sqlite":
            store = Store(queries, sql, **options)
            store.database = lambda statement: [tuple(map(str, row)) for row in store.sql(statement)]
            return store
        server = request.getfixturevalue("postgres")
        name = f"test{next(numbers)}"
        server.sql(f"CREATE DATABASE {name}")
        if sql:
            server.sql(sql, name)
        store = Store(queries, database="postgresql:" + server.conninfo(name), **options)
        store.database = lambda statement: server.sql(statement, name)
        return store

    make.kind = request.param
    return make
