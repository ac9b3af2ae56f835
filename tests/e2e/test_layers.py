# SPDX-License-Identifier: MIT
"""The layout keeps its promises: include <- lib, policy <- the daemons, and no daemon sees another's header."""
import re

import pytest

from harness import ROOT

DAEMONS = ("audit", "auth", "store", "vmmd", "proxy", "tender", "cli", "net")
MAY_INCLUDE = {"include": (), "lib": ("lib",), "policy": ("lib", "policy"), "guest": ("guest",), "apps": (),
               **{daemon: ("lib", "policy", daemon) for daemon in DAEMONS}}


def files(folder):
    return sorted((ROOT / folder).rglob("*.[ch]"))


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_includes_point_downwards(folder):
    assert files(folder)
    for path in files(folder):
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
            assert name.split("/")[0] in MAY_INCLUDE[folder], f"{path.relative_to(ROOT)} includes {name}"


def test_policy_does_no_input_or_output_of_its_own():
    """Reading the policy file is lib/yaml.h's; everything else in policy/ computes."""
    for path in files("policy"):
        assert not re.search(r"(?<!->)\b(open|read|write|socket|recv|send|printf|fopen|getenv)\(", path.read_text()), path


def test_every_file_says_its_licence():
    for folder in MAY_INCLUDE:
        for path in files(folder):
            assert "SPDX-License-Identifier: MIT" in path.read_text().splitlines()[0] or \
                "SPDX-License-Identifier: MIT" in path.read_text()[:200], path


def test_files_stay_small():
    for folder in MAY_INCLUDE:
        for path in files(folder):
            assert len(path.read_text().splitlines()) <= 600, path
