# SPDX-License-Identifier: MIT
"""scripts/import-health-data, and the example on the PostgreSQL server that it fills."""
import sqlite3
import subprocess
import sys

import pytest

import harness
import health

sys.path.insert(0, str(harness.ROOT / "tests" / "store"))
import databases  # noqa: E402

SCRIPT = harness.ROOT / "scripts" / "import-health-data"


@pytest.fixture(scope="module")
def postgres():
    server = databases.Postgres()
    yield server
    server.close()


def query(path, sql):
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_it_adds_what_is_missing_and_keeps_the_rest(tmp_path):
    path = health.imported(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert query(path, "SELECT count(*) FROM players") == [(442,)]
    assert query(path, "SELECT squad FROM players GROUP BY squad HAVING count(*) <> 20") == [("s23",)]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO training VALUES ('p1', '2026-01-01', 'weight', 70)")
        db.execute("DELETE FROM medical WHERE player = 'p2'")
    db.close()
    before = query(path, "SELECT count(*) FROM medical")[0][0]
    health.script("import-health-data", tmp_path)
    assert query(path, "SELECT count(*) FROM medical")[0][0] == before + 6
    assert query(path, "SELECT value FROM training WHERE player = 'p1' AND measure = 'weight'") == [(70,)]


@pytest.mark.parametrize("args, code, says", [
    ([], 2, "one of DIR and --postgresql"), (["a", "--postgresql", "b"], 2, "one of DIR and --postgresql"),
    (["/nonexistent"], 1, "/nonexistent is no platform's directory"),
    (["--postgresql", "host=/nonexistent dbname=x"], 1, "psql: "),
])
def test_it_says_what_is_wrong(args, code, says):
    done = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr, done


def test_the_example_works_on_postgresql(platform_dir, postgres):
    conninfo = postgres.conninfo()
    for _ in range(2):
        health.script("import-health-data", "--postgresql", conninfo)
    assert postgres.sql("SELECT count(*) FROM medical") == [("2652",)]
    queries = (health.EXAMPLE / "queries.yaml").read_text()
    queries = queries.replace("database: sqlite #", f'database: "postgresql:{conninfo}" #')
    with health.Club(f"{platform_dir}/club", postgres, queries=queries) as club:
        club.add_apps("records", "stats")
        club.add_people("p1", "p2", ("rex", "researcher"))
        club.collect(health.squad(1), "medical", f"certificate:{club.sign('stats')}", "form")
        assert '"measure": "glucose", "value": 87}' in club.get("p1", "/records/me").text
        assert club.get("p2", "/records/player/p1/training").status == 403
        assert club.get("p2", "/records/me", method="POST", body="measure=weight&value=71.5").status == 201
        assert '"weight", "value": 71.5' in club.get("p2", "/records/me").text
        assert club.get("p2", "/records/me", method="POST", body="measure=weight&value=72").status == 409
        assert club.get("rex", "/stats/mean?squad=s1&measure=glucose").json() == {"mean": 84, "players": 20}
