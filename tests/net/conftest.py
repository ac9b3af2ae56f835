# SPDX-License-Identifier: MIT
import os
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("net", "e2e")]
from harness import build_dir  # noqa: E402
from net_daemon import Namespace, Net, leftovers  # noqa: E402


def obstacle():
    """Why this machine cannot run these tests, or None."""
    if not (build_dir() / "bin" / "ppce-net").exists():
        return "ppce-net is not built (libmnl-dev is missing)"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun here"
    try:
        with Namespace():
            return None
    except PermissionError as e:
        return str(e)


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
