# SPDX-License-Identifier: MIT
import shutil
import tempfile

import pytest

import http_tools


def run_echo(*options):
    directory = tempfile.mkdtemp(prefix="ppce-http-")
    server = http_tools.Echo(directory, *options)
    try:
        yield server
        server.stop()
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def echo():
    """A server with the default limits."""
    yield from run_echo()


@pytest.fixture(scope="module")
def small():
    """A server with small limits: target 256, fields 8 and 1024 bytes, body 4096, times below 1 s, 8 connections."""
    yield from run_echo("small")


@pytest.fixture
def fresh():
    """A server of the test's own."""
    yield from run_echo()
