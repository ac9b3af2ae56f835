# SPDX-License-Identifier: MIT
"""examples/health/README.md tells the truth: its commands are run as they stand there. Only the port and the directory
are others, and the platform is run by the test."""
import os
import re
import subprocess

import harness

README = harness.ROOT / "examples" / "health" / "README.md"


def test_the_commands_of_the_example(platform_dir):
    script, = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.M | re.S)
    before, up, after = script.partition("ppce up &\n")
    assert up
    with open(f"{platform_dir}/shell.err", "w+", encoding="utf-8") as errors:
        env = {**os.environ, "PATH": f"{harness.build_dir() / 'bin'}:{os.environ['PATH']}"}
        before = before.replace("/tmp/club", f"{platform_dir}/club").replace("olga.pem", f"{platform_dir}/olga.pem")
        before = before.replace("build/apps", str(harness.build_dir() / "apps"))
        shell = subprocess.Popen(["sh", "-eu"], cwd=harness.ROOT, env=env, text=True, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=errors)
        shell.stdin.write(before + "echo READY $id\n")
        shell.stdin.flush()
        lines = iter(shell.stdout.readline, "")
        assert any(line.startswith("READY ") for line in lines), errors.seek(0) or errors.read()
        platform = harness.Platform.existing(f"{platform_dir}/club")
        with platform:
            after = after.replace("127.0.0.1:8080", f"{platform.host}:{platform.port}")
            after = after.replace("build/apps", str(harness.build_dir() / "apps"))
            after = after.replace("secret.txt", f"{platform_dir}/secret.txt")
            after = after.replace("curl -H", "curl -s -w ' STATUS %{http_code}\\n' -H")
            out, _ = shell.communicate(after, timeout=120)
        errors.seek(0)
        assert shell.returncode == 0, errors.read()
    assert re.findall(r"STATUS (\d+)", out) == ["200", "403", "200", "200"], out
    assert '{"mean":84,"players":20}' in out
    seen = out[out.rindex("STATUS"):]
    assert "ann" in seen and "rex" in seen and "refused" in seen
