# SPDX-License-Identifier: MIT
"""What `ppce` does without a running platform: help, wrong use, init, config check, doctor, audit tail."""
import json
import os
import re
import stat
import subprocess

import pytest

from harness import build_dir

PPCE = build_dir() / "bin" / "ppce"


def ppce(*args, cwd=None, env=None, input=None):
    return subprocess.run([PPCE, *map(str, args)], capture_output=True, text=True, timeout=30, cwd=cwd, input=input,
                          stdin=subprocess.DEVNULL if input is None else None,
                          env={**{k: v for k, v in os.environ.items() if k != "PPCE_DIR"}, **(env or {})})


def fails(code, words, *args, **kw):
    done = ppce(*args, **kw)
    assert done.returncode == code, done
    assert done.stdout == "", "errors belong on standard error"
    assert done.stderr.startswith("ppce: ")
    for word in [words] if isinstance(words, str) else words:
        assert word in done.stderr, done.stderr
    return done


@pytest.fixture
def made(tmp_path):
    directory = tmp_path / "p"
    assert ppce("init", directory, "--dev").returncode == 0
    return directory


VERBS = re.findall(r"^  ([a-z]+(?: [a-z-]+)?) ", ppce("--help").stdout.partition("\nVerbs")[2].partition("\nEverywhere")[0], re.M) \
    if PPCE.exists() else []


def test_the_help_lists_every_verb():
    assert ppce("help").stdout == ppce("--help").stdout
    for verb in ("init", "up", "image add", "image ls", "image rm", "app add", "app ls", "app rm", "user add", "user ls",
                 "user passwd", "user rm", "start", "ps", "stop", "logs", "pool ls", "pool set", "session ls",
                 "session rm", "explain", "config check", "doctor", "status", "events", "version", "audit tail",
                 "audit who-saw", "audit verify", "audit prove", "audit check-proof"):
        assert verb in VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    done = ppce(*verb.split(), "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: ppce {verb}") and not done.stderr
    assert done.stdout == ppce("help", *verb.split()).stdout


def test_help_teaches_by_example():
    assert "ppce app add hello --image hello --lifetime request" in ppce("app", "add", "--help").stdout
    assert "image ls" in ppce("image", "--help").stdout


@pytest.mark.parametrize("args, words", [
    ([], "a verb is missing"),
    (["imag", "ls"], "did you mean `image`?"),
    (["image", "lst"], "did you mean `image ls`?"),
    (["statsu"], "did you mean `status`?"),
    (["zzzzzzzzz"], "`ppce --help` lists them"),
    (["ps", "--lable", "x"], "no option --lable"),
    (["app", "add", "x", "--lifetme", "user"], "did you mean --lifetime?"),
    (["app", "add", "x", "--image", "i", "--lifetime", "clas"], "did you mean class?"),
    (["app", "add", "x", "--image", "i"], "--lifetime WHEN is missing"),
    (["app", "add", "x", "--image"], "--image needs a value"),
    (["app", "add", "x", "--image", "a", "--image", "b"], "twice"),
    (["app", "add", "--image", "i", "--lifetime", "user"], "NAME is missing"),
    (["app", "add", "x", "--image", "i", "--lifetime", "user", "--max-instances", "many"], "a number from 1 to 4096"),
    (["app", "add", "x", "--image", "i", "--lifetime", "user", "--idle", "-1"], "a number from 0"),
    (["app", "add", "x", "--image", "i", "--lifetime", "user", "--idle", "9999999999999999999999"], "a number"),
    (["image", "ls", "extra"], "one argument too many"),
    (["pool", "set", "65"], "0 to 64"),
    (["pool", "set", "many"], "0 to 64"),
    (["pool", "set", "-1"], "no option -1"),
    (["pool", "set"], "SHELLS|APP is missing"),
    (["pool", "set", "hello", "--warm", "2"], "both --label L and --warm N"),
    (["pool", "set", "hello", "--label", "level=NATO_SECRET"], "both --label L and --warm N"),
    (["pool", "set", "hello", "--label", "level=NATO_SECRET", "--warm", "4097"], "--warm must be"),
    (["ps", "-o", "yaml"], "-o cannot be `yaml`"),
    (["ps", "-C"], "-C needs a value"),
    (["audit", "tail", "--refused=yes"], "takes no value"),
    (["logs", "x", "--lines", "0"], "--lines must be"),
])
def test_wrong_use_is_exit_2_and_names_what_was_meant(args, words):
    fails(2, words, *args)


def test_a_group_alone_lists_its_verbs():
    done = ppce("image")
    assert done.returncode == 2 and "image add" in done.stdout + done.stderr


def test_version():
    assert re.fullmatch(r"ppce \d+\.\d+\.\d+\n", ppce("version").stdout)
    assert ppce("--version").stdout == ppce("version").stdout
    assert set(json.loads(ppce("version", "-o", "json").stdout)) == {"version"}


def test_without_a_platform(tmp_path):
    fails(78, "ppce.yaml", "up", "-C", tmp_path)
    fails(78, "ppce.yaml", "config", "check", "-C", tmp_path)
    fails(78, "ppce.yaml", "status", "-C", tmp_path)
    fails(5, ["vmmd", "ppce up"], "ps", "-C", tmp_path)
    fails(5, ["vmmd", "ppce up"], "pool", "set", "x", "--label", "level=UNCLASSIFIED", "--warm", "1", "-C", tmp_path)


def test_the_directory_comes_from_C_or_the_environment_or_here(made):
    for done in (ppce("config", "check", "-C", made), ppce("-C", made, "config", "check"),
                 ppce(f"--dir={made}", "config", "check"), ppce("config", "check", env={"PPCE_DIR": str(made)}),
                 ppce("config", "check", cwd=made)):
        assert done.returncode == 0, done
    fails(5, "auth", "user", "ls", cwd=made)


def test_init_makes_a_private_platform(made):
    modes = {name: stat.S_IMODE((made / name).stat().st_mode) for name in
             ("run", "state", "images", "log", "log/apps", "log/audit", "secrets", "secrets/registration.key",
              "secrets/audit.key")}
    assert modes.pop("secrets/registration.key") == modes.pop("secrets/audit.key") == 0o600
    assert set(modes.values()) == {0o700}
    assert re.fullmatch(r"[0-9a-f]{64}\n", (made / "secrets/registration.key").read_text())
    assert (made / "ppce.yaml").read_text().startswith("#")
    assert "axes:" in (made / "policy.yaml").read_text()


def test_init_never_overwrites(made):
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    fails(6, "never overwritten", "init", made)
    assert {p: p.read_bytes() for p in made.rglob("*") if p.is_file()} == before


def test_init_refuses_a_directory_with_anything_of_a_platform(tmp_path):
    (tmp_path / "secrets").mkdir()
    fails(6, "secrets is there already", "init", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secrets"]


def test_two_platforms_have_different_secrets(tmp_path):
    keys = set()
    for name in "ab":
        assert ppce("init", tmp_path / name).returncode == 0
        keys.add((tmp_path / name / "secrets/registration.key").read_text())
    assert len(keys) == 2


def test_init_checks_the_policy_before_it_writes(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("axes:\n  level: {chain: [A, A]}\n")
    fails(78, "bad.yaml:2", "init", tmp_path / "p", "--policy", bad)
    fails(3, "missing.yaml", "init", tmp_path / "p", "--policy", tmp_path / "missing.yaml")
    bad.write_bytes(b"axes:\0")
    fails(78, "not a text file", "init", tmp_path / "p", "--policy", bad)
    assert not (tmp_path / "p").exists()


def test_init_takes_a_policy(tmp_path):
    good = tmp_path / "good.yaml"
    good.write_text("axes:\n  level: {chain: [LOW, HIGH]}\nclasses:\n  all: {clearance: level=HIGH}\n")
    done = ppce("init", tmp_path / "p", "--policy", good, "-o", "json")
    assert json.loads(done.stdout)["dir"] == str((tmp_path / "p").resolve())
    assert (tmp_path / "p/policy.yaml").read_text() == good.read_text()


def test_config_check_names_the_line(made):
    assert json.loads(ppce("config", "check", "-C", made, "-o", "json").stdout)["axes"] == 3
    text = (made / "ppce.yaml").read_text()
    (made / "ppce.yaml").write_text("listne: 127.0.0.1:1\n" + text)
    fails(78, ["ppce.yaml:1", "listen"], "config", "check", "-C", made)
    fails(78, "ppce.yaml:1", "up", "-C", made)
    (made / "ppce.yaml").write_text(text)
    (made / "policy.yaml").write_text("axes: 3\n")
    fails(78, "policy.yaml:1", "config", "check", "-C", made)
    fails(78, "policy.yaml:1", "up", "-C", made)


def test_up_refuses_an_address_it_cannot_take(made):
    for listen in ("nonsense", "127.0.0.1:99999", "256.0.0.1:80", "127.0.0.1:" + "1" * 100):
        done = ppce("up", "-C", made, "--listen", listen)
        assert done.returncode in (2, 78) and done.stdout == "" and "listen" in done.stderr, done


def test_doctor_names_the_isolation(made):
    done = ppce("doctor", "-C", made, "-o", "json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["ok"] else 1)
    checks = {row["check"]: row for row in found["findings"]}
    assert {"kernel", "kvm", "seccomp", "open files", "gcc", "configuration", "disk", "port"} <= set(checks)
    assert found["isolation"] == ("kvm" if checks["kvm"]["state"] == "ok" else "process")
    assert all("advice" in row for row in found["findings"] if row["state"] != "ok")
    table = ppce("doctor", "-C", made).stdout
    assert "CHECK" in table and f"isolation here: {found['isolation']}" in table


def test_doctor_finds_a_bad_configuration(made):
    (made / "ppce.yaml").write_text("nonsense: 1\n")
    done = ppce("doctor", "-C", made, "-o", "json")
    assert done.returncode == 1
    assert any(row["state"] == "fail" and "ppce.yaml:1" in row["found"] for row in json.loads(done.stdout)["findings"])


def write_log(made, *records):
    """A data file as the log would have it, without signature and tiles: `tail` only reads."""
    (made / "log/audit/data").mkdir()
    lines = [json.dumps({"allowed": True, "daemon": "proxy", "event": "request", "time": f"t{n}", "seq": n, **record},
                        sort_keys=True, separators=(",", ":"), ensure_ascii=False) for n, record in enumerate(records)]
    (made / "log/audit/data/00000000000000000000.jsonl").write_text("".join(line + "\n" for line in lines))


def test_audit_tail_filters(made):
    write_log(made, *({"actor": user, "app": app, "allowed": allowed, "request_id": f"r{n}"} for n, (user, app, allowed)
                      in enumerate([("ann", "x", True), ("bob", "x", False), ("ann", "y", False)])))

    def ids(*args):
        return [row["request_id"] for row in json.loads(ppce("audit", "tail", "-C", made, "-o", "json", *args).stdout)]
    assert ids() == ["r0", "r1", "r2"]
    assert ids("--user", "ann") == ["r0", "r2"]
    assert ids("--user", "ann", "--refused") == ["r2"]
    assert ids("--app", "x", "--lines", "1") == ["r1"]
    assert ids("--request", "r1") == ["r1"]
    assert ids("--user", "nobody") == []
    assert "r2" in ppce("audit", "tail", "-C", made).stdout


def test_audit_tail_survives_a_torn_line_and_hostile_text(made):
    write_log(made, {"actor": "a\x1b[31m\x9b1m", "request_id": "r0"})
    with open(made / "log/audit/data/00000000000000000000.jsonl", "a") as f:
        f.write('{"actor": "torn')
    done = ppce("audit", "tail", "-C", made)  # a record that is just being written
    assert done.returncode == 0
    assert "r0" in done.stdout and "\x1b" not in done.stdout and "\x9b" not in done.stdout
    with open(made / "log/audit/data/00000000000000000000.jsonl", "a") as f:
        f.write('\n')
    done = ppce("audit", "tail", "-C", made)
    assert done.returncode == 1 and "1 damaged" in done.stderr and "r0" in done.stdout


def test_audit_tail_of_a_platform_that_never_ran(made):
    assert json.loads(ppce("audit", "tail", "-C", made, "-o", "json").stdout) == []
    fails(3, "no audit log yet", "audit", "verify", "-C", made)
    fails(78, "nowhere", "audit", "tail", "-C", made / "nowhere")


def test_who_saw(made):
    write_log(made,
              {"actor": "tina", "class": "trainer", "event": "read", "app": "records", "object": "team", "rule": "R2",
               "owners": "p7/training,p8/medical", "category": "raw", "purpose": "plan", "time": "2025-01-01T08:00:00.1Z"},
              {"actor": "tina", "event": "read", "owners": "p77/training", "time": "2025-01-02T08:00:00.1Z"},
              {"actor": "rob", "event": "declassify", "owners": "ALL", "category": "aggregate",
               "time": "2025-01-03T08:00:00.1Z"},
              {"actor": "eve", "event": "read", "owners": "p7/medical", "allowed": False, "reason": "denied", "rule": "R2",
               "time": "2025-01-04T08:00:00.1Z"},
              {"actor": "ann", "owners": "x/p7,p7", "time": "2025-01-05T08:00:00.1Z"})

    def rows(*args):
        return json.loads(ppce("audit", "who-saw", "p7", "-C", made, "-o", "json", *args).stdout)

    first, second, third = rows()
    assert {k: first[k] for k in ("who", "role", "app", "object", "category", "purpose", "outcome", "rule", "seq")} == {
        "who": "tina", "role": "trainer", "app": "records", "object": "team", "category": "raw", "purpose": "plan",
        "outcome": "allowed", "rule": "R2", "seq": 0}
    assert second["who"] == "rob" and second["category"] == "aggregate"
    assert (third["who"], third["outcome"], third["reason"]) == ("eve", "refused", "denied")
    assert [r["seq"] for r in rows("--from", "2025-01-03")] == [2, 3]
    assert [r["seq"] for r in rows("--to", "2025-01-03")] == [0, 2]
    assert [r["seq"] for r in rows("--from", "2025-01-03T09:00", "--to", "2025-01-04T08:00:00Z")] == [3]
    assert rows("--to", "2024-12-31") == []
    table = ppce("audit", "who-saw", "p7", "-C", made).stdout
    assert "refused" in table and "trainer" in table and "p77" not in table
    for bad in ("2025", "2025-1-1", "yesterday", "2025-01-01T", "2025-01-01 08:00"):
        fails(2, "--from", "audit", "who-saw", "p7", "--from", bad, "-C", made)
    fails(2, "no name", "audit", "who-saw", "p7/training", "-C", made)


def test_no_colour_where_nobody_looks(made):
    assert "\x1b" not in ppce("doctor", "-C", made).stdout + ppce("--help").stdout


def test_a_result_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([PPCE, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "cannot write" in done.stderr
