# SPDX-License-Identifier: MIT
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("net", "e2e")]
from net_daemon import Namespace, Net, leftovers, obstacle  # noqa: E402


@pytest.fixture(scope="session")
def possible():
    if why := obstacle():
        pytest.skip(why)


@pytest.fixture
def namespace(possible):
    """Each test has a network of its own; what a daemon leaves behind in it fails the test."""
    with Namespace() as n:
        yield n
        assert leftovers(getattr(n, "own_links", ("lo",))) == []


@pytest.fixture
def make_net(namespace):
    made = []

    def make(**options):
        made.append(Net(**options))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()
