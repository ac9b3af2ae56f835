# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests. `platform` is a running platform of the test's own; tests that need other settings
take `make_platform` and call it with config={"section.key": value} (see harness.Platform)."""
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

import harness
import health

sys.path.append(str(harness.ROOT / "tests" / "net"))
from net_daemon import Namespace, obstacle  # noqa: E402


@pytest.fixture(scope="module", params=["kvm", "process"])
def backend(request):
    """Every test that takes it runs on both isolation backends. PPCE_MUST_KVM=1: a missing KVM is a failure."""
    if request.param == "kvm" and not harness.kvm_usable():
        if os.environ.get("PPCE_MUST_KVM") == "1":
            pytest.fail("PPCE_MUST_KVM=1, but /dev/kvm does not work here")
        pytest.skip("/dev/kvm does not work here")
    return request.param


@pytest.fixture(scope="module")
def platform_dir():
    """Short paths: Unix socket names are limited to 107 bytes, which pytest's own directories can pass."""
    base = tempfile.mkdtemp(prefix="ppce-")
    yield base
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def make_platform(platform_dir):
    made = []

    def make(start=True, **options):
        p = harness.Platform(os.path.join(platform_dir, f"p{len(made)}"), **options)
        made.append(p)
        return p.start() if start else p

    yield make
    problems = []
    for p in made:
        try:
            p.stop()
        except AssertionError as e:
            problems.append(str(e))
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def platform(make_platform, backend):
    """A running platform, one per test module and backend, with the default policy and no apps or users."""
    return make_platform(backend=backend)


@pytest.fixture(scope="session")
def echo_image(tmp_path_factory):
    """The guest in apps/echo.c, built as a user would build it."""
    return harness.build_image(pathlib.Path(__file__).parent / "apps" / "echo.c", tmp_path_factory.mktemp("apps") / "echo")


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A data.db with the records of examples/health."""
    return health.imported(tmp_path_factory.mktemp("data"))


# Apps with an address of their own


def network_obstacle():
    """Why this machine cannot run these tests, or None."""
    if b"tcp_input" not in (harness.build_dir() / "guest" / "libppce.a").read_bytes():
        return "guests are built without lwIP"
    return obstacle()


@pytest.fixture(scope="module")
def namespace(database):
    """The test's process, and all that it starts, in a network of its own: from here on it has no other (`database` may
    have to fetch a package)."""
    if why := network_obstacle():
        pytest.skip(why)
    with Namespace() as n:
        yield n
