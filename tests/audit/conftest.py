# SPDX-License-Identifier: MIT
import pytest

import audit_daemon


@pytest.fixture
def log():
    """A running ppce-audit of the test's own."""
    with audit_daemon.AuditDaemon(checkpoint_ms=50) as daemon:
        yield daemon
