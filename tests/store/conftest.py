# SPDX-License-Identifier: MIT
"""Lets the tests here import store_daemon."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
