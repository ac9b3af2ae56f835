# SPDX-License-Identifier: MIT
"""The README tells the truth: its app is built and its commands are run as they stand there. Only the port and the
directory are others, and what stays in the foreground of a terminal is run by the fixture."""
import os
import re
import subprocess

import pytest

from harness import ROOT, build_dir

README = (ROOT / "README.md").read_text()
PORT = "127.0.0.1:8080"


def block(kind, has):
    """The one fenced block of this language that contains the words."""
    found, = [text for lang, text in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S) if lang == kind and has in text]
    return found


def shell(script, cwd, **env):
    path = f"{build_dir() / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-eu", "-c", script], cwd=cwd, capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, env={**os.environ, **env, "PATH": path})


@pytest.fixture(scope="module")
def greeter(tmp_path_factory):
    """A directory with the README's app, built by the README's command."""
    directory = tmp_path_factory.mktemp("quickstart")
    source = block("c", "PPCE_APP")
    assert len(source.splitlines()) <= 20, "the README promises about twenty lines"
    (directory / "greeter.c").write_text(source)
    build, run = block("sh", "ppce-cc").strip().splitlines()
    done = shell(build.replace("build/bin/", ""), directory)
    assert done.returncode == 0 and done.stderr == "", done
    done = shell(run, directory)
    assert done.returncode == 0 and "hello ann" in done.stdout, done
    return directory


def test_the_app_is_served_by_the_commands_of_the_readme(make_platform, greeter):
    platform = make_platform()
    commands = block("sh", "ppce init")
    lines = [line for line in commands.splitlines() if not re.match(r"export |ppce init |ppce up ", line)]
    assert len(lines) < len(commands.splitlines()) - 2, "the README no longer starts a platform"
    done = shell("\n".join(lines).replace(PORT, f"{platform.host}:{platform.port}"), greeter, PPCE_DIR=str(platform.dir))
    assert done.returncode == 0, done
    assert "HTTP/1.1 200" in done.stdout and "hello ann, you asked as ann at level=NATO_SECRET,comp={A}" in done.stdout
    assert "greeting somebody" in platform.cli("logs", "greeter")
    assert platform.cli_json("explain", "ann", "greeter")["allowed"] is True


def test_every_file_the_readme_names_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
    for name in set(re.findall(r"\b(?:scripts|bench|include|docs|apps)/[\w./-]*\w", README)):
        assert (ROOT / name).exists() or (ROOT / (name + ".c")).exists(), name


def test_every_verb_the_readme_names_is_there():
    listed = subprocess.run([build_dir() / "bin" / "ppce", "--help"], capture_output=True, text=True).stdout
    for verb in set(re.findall(r"`ppce ([a-z]+)", README)):
        assert re.search(rf"^  {verb}\b", listed, re.M), verb
