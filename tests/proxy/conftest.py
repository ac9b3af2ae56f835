# SPDX-License-Identifier: MIT
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("proxy", "auth")]
from proxy_daemon import World  # noqa: E402


@pytest.fixture(scope="module")
def world():
    """One proxy for the tests of a module, with ann logged in. Tests take app names of their own."""
    with World() as w:
        yield w
