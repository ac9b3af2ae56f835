# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests. `platform` is a running platform of the test's own; tests that need other settings
take `make_platform` and call it with config={"section.key": value} (see harness.Platform)."""
import os
import pathlib
import shutil
import tempfile

import pytest

import harness


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
