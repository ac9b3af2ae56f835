# SPDX-License-Identifier: MIT
"""examples/health/README.md tells the truth: its commands are run as they stand there. Only the port and the directory
are others, and the platform is run by the test."""
import os
import pathlib
import re
import subprocess

import harness

README = harness.ROOT / "examples" / "health" / "README.md"


def test_the_commands_of_the_example(platform_dir):
    script, = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.M | re.S)
    before, up, after = script.partition("ppce up &\n")
    assert up
    (pathlib.Path(platform_dir) / "here").mkdir()
    for name in ("apps", "build", "examples", "scripts"):
        target = harness.build_dir() if name == "build" else harness.ROOT / name
        (pathlib.Path(platform_dir) / "here" / name).symlink_to(target)
    env = {**os.environ, "PATH": f"{harness.build_dir() / 'bin'}:{os.environ['PATH']}"}
    with open(f"{platform_dir}/shell.err", "w+", encoding="utf-8") as errors, \
            subprocess.Popen(["sh", "-eu"], cwd=f"{platform_dir}/here", env=env, text=True, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=errors) as shell:
        shell.stdin.write(before.replace("/tmp/club", f"{platform_dir}/club") + "echo READY $id\n")
        shell.stdin.flush()
        ready = any(re.fullmatch(r"READY [0-9a-f]{64}\n", line) for line in iter(shell.stdout.readline, ""))
        errors.seek(0)
        assert ready, errors.read()
        with harness.Platform.existing(f"{platform_dir}/club") as platform:
            after = after.replace("127.0.0.1:8080", f"{platform.host}:{platform.port}")
            out, _ = shell.communicate(after.replace("curl -H", "curl -s -w ' STATUS %{http_code}\\n' -H"), timeout=120)
        errors.seek(0)
        assert shell.returncode == 0, errors.read()
    assert re.findall(r"STATUS (\d+)", out) == ["200", "403", "200", "200"], out
    assert '{"mean":84,"players":20}' in out
    seen = out[out.rindex("STATUS"):]
    assert "ann" in seen and "rex" in seen and "refused" in seen
