# SPDX-License-Identifier: MIT
import os
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("vmmd", "e2e", "tender", "net")]
from harness import build_image, kvm_usable  # noqa: E402
from net_daemon import Namespace, leftovers, obstacle  # noqa: E402
from vmmd_daemon import Vmmd, place_stand_in, stand_in_daemon  # noqa: E402


@pytest.fixture(scope="module", params=["kvm", "process"])
def backend(request):
    """Every test that takes it runs on both backends. PPCE_MUST_KVM=1: a missing KVM is a failure."""
    if request.param == "kvm" and not kvm_usable():
        if os.environ.get("PPCE_MUST_KVM") == "1":
            pytest.fail("PPCE_MUST_KVM=1, but /dev/kvm does not work here")
        pytest.skip("/dev/kvm does not work here")
    return request.param


@pytest.fixture(scope="module")
def vmmd(backend):
    """One daemon for the tests of a module, with the image hello. Tests take app names of their own."""
    with Vmmd(backend=backend) as daemon:
        daemon.add_image("hello")
        yield daemon


@pytest.fixture
def make_vmmd(backend):
    """Daemons of the test's own, on the backend under test."""
    made = []

    def make(**options):
        made.append(Vmmd(backend=backend, **options))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture(scope="session")
def build_guest(tmp_path_factory):
    """Builds apps/guest.c of this folder with -D options, once each."""
    directory, done = tmp_path_factory.mktemp("guests"), {}

    def build(*defines):
        name = "-".join(("guest",) + defines).replace("=", "-")
        if name not in done:
            options = [f"-D{d}" for d in defines]
            done[name] = str(build_image(TESTS / "vmmd" / "apps" / "guest.c", directory / name, *options))
        return done[name]

    return build


@pytest.fixture(scope="session")
def network_possible():
    if why := obstacle():
        pytest.skip(why)


@pytest.fixture
def namespace(network_possible):
    """Each test has a network of its own; what is left in it fails the test."""
    with Namespace() as n:
        yield n
        assert leftovers() == []


@pytest.fixture
def stand_in(tmp_path):
    """Daemons whose tenders are a script of this folder, in a certain mode; tender None: what was placed in tmp_path."""
    made = []

    def make(tender, mode="", **options):
        if tender:
            place_stand_in(tmp_path, tender)
        made.append(stand_in_daemon(tmp_path, mode, **options))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()
