# SPDX-License-Identifier: MIT
"""`ppce bench thesis`: its numbers are computed right, and what it writes is whole. What it measures is never judged."""
import csv
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from harness import ROOT, build_dir, eventually

sys.path.append(str(ROOT / "bench" / "thesis"))
import stats  # noqa: E402

CHANNEL = {f"{mode}-{which}" for mode in ("class", "user", "request", "discard") for which in ("first", "next")}


def bench(*args, **more):
    return subprocess.run([build_dir() / "bin" / "ppce", "bench", *map(str, args)], capture_output=True, text=True,
                          timeout=120, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the channel's rows, with a TMPDIR and files of its own."""
    out = tmp_path_factory.mktemp("bench")
    tmp = pathlib.Path("/tmp") / f"bench-{os.getpid()}"
    tmp.mkdir()
    (out / "page.md").write_text("before\n<!-- begin of what `ppce bench thesis --markdown` writes -->\nold\n"
                                 "<!-- end of it -->\nafter\n")
    done = bench("thesis", "--quick", "--samples", 1, "--rows", "channel", "--backend", "process",
                 "--json", out / "out.json", "--csv", out / "out.csv", "--markdown", out / "page.md", "--plots", out,
                 env={**os.environ, "TMPDIR": str(tmp)})
    assert list(tmp.iterdir()) == [], "something is left behind"
    tmp.rmdir()
    assert done.returncode == 0, done.stderr + done.stdout
    return done, out


def test_statistics_of_known_values():
    s = stats.summary([2, 4, 4, 4, 5, 5, 7, 9])
    assert (s["n"], s["mean"], s["median"], s["p99"]) == (8, 5, 4.5, 9)
    assert math.isclose(s["sd"], math.sqrt(32 / 7))
    assert stats.summary([3]) == {"n": 1, "mean": 3, "sd": None, "median": 3, "p99": 3}


def test_percentiles_are_nearest_ranks():
    hundred = list(range(100, 0, -1))
    assert [stats.percentile(hundred, p) for p in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert stats.percentile(range(1, 21), 99) == 20
    assert stats.percentile(range(1, 1001), 99) == 990


def test_medians_of_phases_count_what_is_absent_as_nothing():
    assert stats.medians([{"a": 1, "b": 5}, {"a": 3}, {"a": 2}]) == {"a": 2, "b": 0}
    assert stats.medians([]) == {}


def test_every_row_is_there_with_all_its_numbers(run):
    result = json.loads((run[1] / "out.json").read_text())
    rows = {r["key"]: r for r in result["rows"]}
    assert set(rows) == CHANNEL and result["unit"] == "us"
    assert result["machine"]["backend"] == "process" and result["machine"]["kernel"] and result["machine"]["commit"]
    for r in rows.values():
        assert r["failed"] == 0 and r["n"] == len(r["samples_us"]) >= 1 and not r["left_out"]
        assert all(us > 0 for us in r["samples_us"])
        assert min(r["samples_us"]) <= r["median"] <= r["p99"] == max(r["samples_us"])
        assert {"auth", "acquire", "forward", "run"} <= set(r["phases"])
    assert rows["request-next"]["n"] == 10
    assert all(goal["met"] is None for goal in result["goals"])


def test_the_table_names_the_backend_and_every_row(run):
    done, out = run
    assert "Backend process" in done.stdout and "NOT a virtual machine" in done.stdout
    assert "channel, request, reset: pristine" in done.stdout
    assert "bench: " in done.stderr and "\r" not in done.stderr
    lines = list(csv.DictReader((out / "out.csv").open()))
    assert {line["row"] for line in lines} == CHANNEL
    assert all(float(line["mean_us"]) > 0 and line["backend"] == "process" for line in lines)


def test_markdown_goes_where_the_page_marks_it(run):
    text = (run[1] / "page.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "\nold\n" not in text
    assert "| channel, class: warm | 10 |" in text


def test_plots_are_made_where_gnuplot_is(run):
    done, out = run
    if not shutil.which("gnuplot"):
        assert "gnuplot is missing" in done.stderr
        return
    for name in ("cdf.svg", "phases.svg"):
        text = (out / name).read_text()
        assert text.startswith("<?xml") and text.rstrip().endswith("</svg>") and "backend process" in text
    assert not (out / "figure-4-8.svg").exists(), "there is nothing to show in it"


@pytest.mark.parametrize("args, words", [
    (["--rows", "channels"], "channel"), (["--samples", "0"], "from 1 to 1000"),
    (["--json", "/no/such/directory/x"], "no such directory"), (["--fast"], "no option"), (["now"], "too many")])
def test_wrong_use_is_refused_at_once(args, words):
    done = bench("thesis", *args)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_bench_alone_lists_what_there_is():
    done = bench()
    assert done.returncode == 2 and "bench thesis" in done.stdout


def test_without_gnuplot_it_says_so(tmp_path):
    program = "import pathlib, plots; print(plots.write({'rows': []}, pathlib.Path('plots')))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
                          env={"PATH": "/none", "PYTHONPATH": str(ROOT / "bench" / "thesis")})
    assert "gnuplot is missing" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_ends_its_processes_and_removes_its_directory(tmp_path):
    tmp = pathlib.Path("/tmp") / f"bench-int-{os.getpid()}"
    tmp.mkdir()
    process = subprocess.Popen([build_dir() / "bin" / "ppce", "bench", "thesis", "--rows=channel", "--backend=process"],
                               env={**os.environ, "TMPDIR": str(tmp)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = []
    eventually(lambda: pids or pids.extend(map(pathlib.Path.read_text, tmp.glob("*/p/run/proxy.pid"))), 20, "a platform")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and b"interrupted" in err
    assert list(tmp.iterdir()) == []
    tmp.rmdir()
    assert not pathlib.Path(f"/proc/{int(pids[0])}").exists()
