# SPDX-License-Identifier: MIT
"""The result: as a table, JSON, CSV and Markdown. All from the one structure that result() makes."""
import collections
import csv
import json
import pathlib

import machine
import stats

BEGIN, END = "<!-- begin of what `ppce bench thesis --markdown` writes -->", "<!-- end of it -->"
HEADINGS = {"system": "The thesis's experiments: transport tap, lifetime class, the platform as the thesis had it",
            "boot": "", "taps": "",
            "tap": "PPCE's own way over a tap: restored from a snapshot, shells and taps made ahead",
            "channel": "PPCE's own way: channel, no network in the guest"}
COLUMNS = ("n", "mean", "sd", "median", "p99", "the thesis", "ratio")


def figures(row):
    out = {"key": row.key, "title": row.title, "group": row.group, "left_out": row.left_out, "failed": len(row.failures),
           "failures": [{"sample": i, "reason": why} for i, why in row.failures]}
    if row.us:
        out |= stats.summary(row.us)
        out["phases"] = stats.medians(row.phases)
    out["thesis"] = vars(row.thesis) if row.thesis else None
    out["ratio"] = row.thesis.mean / out["mean"] if row.thesis and row.us else None
    return out | {"samples_us": row.us, "sample_phases": row.phases}


def result(rows, described):
    shown = [figures(row) for row in rows]
    return {"unit": "us", "machine": described, "rows": shown, "goals": goals({r["key"]: r for r in shown})}


def goals(rows):
    """What was asked of this program's figures; None where one of them is missing."""
    def median(key):
        return rows.get(key, {}).get("median")

    def goal(text, value, limit, unit):
        met = None if value is None else value <= limit
        return {"text": text, "value": value, "limit": limit, "unit": unit, "met": met}

    ours, theirs = median("tap-netlink"), median("tap-commands")
    return [goal("a tap made and attached takes at most 1/8 of what `ip` commands take (medians)",
                 ours / theirs if ours and theirs else None, 0.125, ""),
            goal("a tap from the pool takes less than 30 us (median, eight in a row)", median("tap-take_row"), 30, "us"),
            goal("a cold request in the hybrid setting takes less than 5 ms (median)", median("hybrid"), 5000, "us"),
            goal("a request to an instance booted ahead takes less than 1 ms (median)", median("aot"), 1000, "us")]


def ms(us):
    return "-" if us is None else f"{us / 1000:.3f}" if us < 100000 else f"{us / 1000:.1f}"


def thesis_text(figure):
    if not figure:
        return "-"
    return f"{ms(figure['mean'])} ± {ms(figure['sd'])}" if figure["sd"] else f"about {figure['mean'] / 1000:.0f}"


def cells(r):
    count = f"{r.get('n', 0)}" + (f" ({r['failed']} failed)" if r["failed"] else "")
    ratio = f"{r['ratio']:.1f}" if r["ratio"] else "-"
    return [count, *(ms(r.get(k)) for k in ("mean", "sd", "median", "p99")), thesis_text(r["thesis"]), ratio]


def goal_text(g):
    if g["met"] is None:
        return f"{g['text']}: not measured"
    value, limit = (f"{v:.3f}" if not g["unit"] else ms(v) + " ms" for v in (g["value"], g["limit"]))
    missed = "" if g["met"] else f", {g['value'] / g['limit']:.1f} times the limit"
    return f"{g['text']}: {'met' if g['met'] else 'MISSED'}, {value} (limit {limit}{missed})"


def line(title, values, width):
    return f"{title:{width}}" + "".join(f"{v:>{w}}" for v, w in zip(values, (15, 9, 9, 9, 9, 17, 8)))


def table(res):
    lines = [*machine.sentences(res["machine"]), ""]
    width = max((len(r["title"]) for r in res["rows"]), default=0) + 2
    lines.append(line("milliseconds", COLUMNS, width))
    for r in res["rows"]:
        if r["left_out"]:
            lines.append(f"{r['title']:{width}}   left out: {r['left_out']}")
        else:
            lines.append(line(r["title"], cells(r), width))
    lines += ["", "ratio: the thesis's mean over ours, on other hardware and another VMM: see docs/evaluation.md."]
    lines += [goal_text(g) for g in res["goals"]]
    lines += failures(res)
    return "\n".join(lines) + "\n"


def failures(res):
    for r in res["rows"]:
        for reason, times in collections.Counter(f["reason"] for f in r["failures"]).items():
            yield f"failed {times} times: {r['title']}: {reason}"


def write_csv(res, path):
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["row", "title", "n", "failed", "mean_us", "sd_us", "median_us", "p99_us", "thesis_mean_us",
                      "thesis_sd_us", "ratio", "left_out", "backend"])
        for r in res["rows"]:
            figure = r["thesis"] or {}
            out.writerow([r["key"], r["title"], r.get("n", 0), r["failed"], *(r.get(k) for k in ("mean", "sd", "median",
                          "p99")), figure.get("mean"), figure.get("sd"), r["ratio"], r["left_out"],
                          res["machine"]["backend"]])


def write_json(res, path):
    pathlib.Path(path).write_text(json.dumps(res, indent=1) + "\n")


def markdown(res):
    lines = [BEGIN, "", *machine.sentences(res["machine"]), "",
             "Milliseconds; the ratio is the thesis's mean over ours.", "",
             "| | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    group = None
    for r in res["rows"]:
        if r["group"] != group and HEADINGS[r["group"]]:
            lines.append(f"| **{HEADINGS[r['group']]}** |" + " |" * len(COLUMNS))
        group = r["group"]
        values = [f"left out: {r['left_out']}"] + [""] * (len(COLUMNS) - 1) if r["left_out"] else cells(r)
        lines.append(f"| {r['title']} | " + " | ".join(values) + " |")
    lines += ["", *(f"- {text}" for text in (*map(goal_text, res["goals"]), *failures(res))), "", *phase_table(res)]
    return "\n".join([*lines, "", END]) + "\n"


def phase_table(res):
    """Where the time goes: the median of each phase, in microseconds."""
    rows = [r for r in res["rows"] if r.get("phases")]
    names = list(dict.fromkeys(name for r in rows for name, us in r["phases"].items() if us >= 0.5))
    if not rows:
        return []
    lines = ["Where the time goes, by `Server-Timing` (median of each phase, microseconds; `load`, `run` and `hop` are "
             "parts of `forward`):", "", "| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for r in rows:
        lines.append(f"| {r['title']} | " + " | ".join(f"{r['phases'].get(n, 0):.0f}" for n in names) + " |")
    return lines


def write_markdown(res, path):
    """Into the place that is marked in a file that is there, else as a file of its own."""
    path, text = pathlib.Path(path), markdown(res)
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        text = old.partition(BEGIN)[0] + text.rstrip("\n") + old.partition(END)[2]
    path.write_text(text)
