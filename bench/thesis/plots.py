# SPDX-License-Identifier: MIT
"""SVG plots by gnuplot: figure 4.8 of the thesis with our bars beside its own, the distribution of each mode's latency,
and where the time goes."""
import re
import shutil
import statistics
import subprocess

# Okabe and Ito's palette, which the colour-blind can tell apart too.
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, RED, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY = "#999999"
FIGURE_4_8 = [("initial", "Initial", None, 63.15), ("hybrid", "Hybrid tap pool", 56.36, 29.35),
              ("aot", "AOT", 34.63, 4.45)]  # expected and measured mean of the thesis, ms
PHASES = [  # a request's time, taken apart without remainder: (name, colour, how much of it by Server-Timing)
    ("session, label, route", SKY, lambda p: p["recv"] + p["auth"] + p["label"] + p["route"]),
    ("spawn the tender", YELLOW, lambda p: p["spawn"]),
    ("wait for an instance, without the spawn", BLUE, lambda p: max(0, p["acquire"] - p["spawn"])),
    ("make and bind the VM or process", ORANGE, lambda p: p["create"] + p["bind"]),
    ("tap: until TCP accepts, a boot included", GREEN, lambda p: p["connect"]),
    ("channel: run of the guest", RED, lambda p: p["load"] + p["run"]),
    ("to the guest and back (tap: with its run)", PURPLE,
     lambda p: max(0, p["forward"] - sum(p[part] for part in ("load", "run", "create", "bind", "connect")))),
    ("check what may leave", BLACK, lambda p: p["check"]),
]
BAR = 32  # height of a bar in phases.svg, pixels
OUTSIDE = ("connect, record, deliver", GREY)  # what the client sees and Server-Timing does not


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def head(result, name, height):
    m = result["machine"]
    note = f"backend {m['backend']}; {m['cpu']}, {m['cpus']} CPUs; commit {m['commit']}"
    return [f"set terminal svg noenhanced size 900,{height} font 'sans-serif,13' background 'white'",
            f"set output {quoted(name)}",
            f"set label 100 {quoted(note)} at screen 0.99,0.015 right font ',10' tc rgb '#555555'",
            "set border 3 lc rgb '#555555'", "set tics nomirror out", "set grid lc rgb '#dddddd' lt 1"]


def legend(entries, high, base):
    """Three in a row, at the bottom: gnuplot's own would lie over the data or the axis."""
    for i, (name, colour, *_) in enumerate(entries):
        x, y = 0.03 + 0.33 * (i % 3), (base - 22 * (i // 3)) / high
        yield (f"set object {i + 1} rectangle from screen {x},{y - 6 / high} to screen {x + 0.015},{y + 6 / high} "
               f"fc rgb '{colour}' fs solid noborder")
        yield f"set label {i + 1} {quoted(name)} at screen {x + 0.022},{y} left font ',12'"


def block(name, lines):
    return [f"${name} << EOD", *lines, "EOD"]


# --- figure 4.8

def bars(result, name):
    rows = {r["key"]: r for r in result["rows"] if r.get("n")}
    known = [f for f in FIGURE_4_8 if f[0] in rows]
    if not known:
        return None
    bars_of = (("expected", GREY, "the thesis, expected"), ("measured", ORANGE, "the thesis, measured"),
               ("ours", BLUE, "here, measured"))
    data = {which: [] for which, *_ in bars_of}
    for x, (key, _, expected, measured) in enumerate(known):
        if expected:
            data["expected"].append(f"{x - 0.27} {expected} 0 {expected:.2f}")
        data["measured"].append(f"{x} {measured} {rows[key]['thesis']['sd'] / 1000} {measured:.2f}")
        mean, sd = rows[key]["mean"] / 1000, (rows[key]["sd"] or 0) / 1000
        data["ours"].append(f"{x + 0.27} {mean} {sd} {mean:.2f}")
    lines = head(result, name, 480)
    for which, values in data.items():
        lines += block(which, values)
    tics = ", ".join(f"{quoted(title)} {x}" for x, (_, title, _, _) in enumerate(known))
    means = [rows[k]["mean"] / 1000 for k, *_ in known]
    high = max(63.15, *(rows[k]["mean"] / 1000 + (rows[k]["sd"] or 0) / 1000 for k, *_ in known))
    lines += ["set title 'First request after the start: mean and standard deviation (figure 4.8)'",
              "set ylabel 'milliseconds, logarithmic'", "set logscale y",
              f"set yrange [{0.1 if min(means) > 0.12 else 0.01}:{high * 2}]",
              f"set xrange [-0.6:{len(known) - 0.4}]", f"set xtics ({tics})",
              "set boxwidth 0.25", "set style fill solid",
              "unset grid", "set grid y lc rgb '#dddddd' lt 1", "unset key", "set bmargin 5",
              *legend([(title, colour) for _, colour, title in bars_of], 480, 40)]
    plots = []
    for which, colour, _ in bars_of:
        plots.append(f"${which} using 1:2 with boxes lc rgb '{colour}'")
        plots.append(f"${which} using 1:($2-$3>0?$2-$3:$2*0.5):(0):($2-$3>0?2*$3:$2*0.5+$3) with vectors heads "
                     "size graph 0.008,90 lw 1.5 lc rgb 'black'")
        plots.append(f"${which} using 1:(($2+$3)*1.18):(sprintf('%.2f',$2)) with labels font ',11'")
    return lines + ["plot " + ", \\\n  ".join(plots)]


# --- distributions

def cdf(result, name):
    rows = [r for r in result["rows"] if r["group"] in ("system", "tap", "channel") and r.get("n")]
    panels = [("Transport tap", [r for r in rows if r["group"] != "channel"]),
              ("Transport channel", [r for r in rows if r["group"] == "channel"])]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    values = [us / 1000 for r in rows for us in r["samples_us"]]
    lines = head(result, name, 60 + 330 * len(panels))
    for r in rows:
        ordered = sorted(r["samples_us"])
        steps = [f"{us / 1000} {(i + 1) / len(ordered)}" for i, us in enumerate(ordered)]
        lines += block(r["key"].replace("-", "_"), [f"{ordered[0] / 1000} 0", *steps])
    lines += [f"set multiplot layout {len(panels)},1 title 'Latency of requests, each on a new connection'",
              "set logscale x", f"set xrange [{min(values) * 0.8}:{max(values) * 1.2}]", "set yrange [0:1.02]",
              "set ylabel 'share of requests'", "set xlabel 'milliseconds, logarithmic'",
              "set lmargin at screen 0.09", "set rmargin at screen 0.6",
              "set key at screen 0.62,graph 0.5 left center Left reverse samplen 2"]
    for title, shown in panels:
        lines += [f"set title {quoted(title)}", "plot " + ", \\\n  ".join(curves(shown)), "unset label 100"]
    return lines + ["unset multiplot"]


def curves(rows):
    """A colour for each mode; dashed: its further requests."""
    modes = list(dict.fromkeys(mode_of(r) for r in rows))
    colours = dict(zip(modes, (BLUE, ORANGE, GREEN, PURPLE, RED, SKY, BLACK)))
    for r in rows:
        dash = 2 if r["key"].endswith("-next") else 1
        title = re.sub("^(Initial|Hybrid|AOT): .*", r"\1", r["title"])
        yield (f"${r['key'].replace('-', '_')} using 1:2 with steps lw 2 dt {dash} lc rgb '{colours[mode_of(r)]}' "
               f"title {quoted(title)}")


def mode_of(row):
    return row["key"].removesuffix("-next").removesuffix("-first")


# --- phases

class Counted(dict):
    def __missing__(self, _):
        return 0.0


def shares(row):
    """[(name, colour, median milliseconds)], each sample taken apart first."""
    samples = [(us, Counted(p)) for us, p in zip(row["samples_us"], row["sample_phases"]) if p]
    parts = [(name, colour, [of(p) for _, p in samples]) for name, colour, of in PHASES]
    inside = [sum(values) for values in zip(*(values for _, _, values in parts))]
    parts.append((*OUTSIDE, [max(0, us - within) for (us, _), within in zip(samples, inside)]))
    return [(name, colour, statistics.median(values) / 1000) for name, colour, values in parts]


def stacked(result, name):
    rows = [r for r in result["rows"] if r.get("sample_phases")]
    panels = [("First request after the start of the platform", [r for r in rows if not r["key"].endswith("-next")]),
              ("Further requests", [r for r in rows if r["key"].endswith("-next")])]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    high = 130 + sum(100 + BAR * len(shown) for _, shown in panels)
    lines = head(result, name, high)
    lines += ["set multiplot title 'Where the time goes: median of each phase, and their sum'",
              "set style fill solid border rgb 'white'",
              "set lmargin at screen 0.4", "set rmargin at screen 0.94", "unset grid", "set grid x lc rgb '#dddddd' lt 1",
              "set xlabel 'milliseconds' offset 0,0.5", "unset key", *legend([*PHASES, OUTSIDE], high, 85)]
    top = high - 65
    for number, (title, shown) in enumerate(panels):
        bottom = top - BAR * len(shown)
        lines += panel_of(number, title, shown, top / high, bottom / high)
        top = bottom - 100
    return lines + ["unset multiplot"]


def panel_of(number, title, rows, top, bottom):
    split = [shares(r) for r in rows]
    lines, plots = [], []
    for k in range(len(split[0])):
        rectangles = []
        for y, parts in enumerate(split):
            start = sum(ms for _, _, ms in parts[:k])
            rectangles.append(f"{start} {y} {start} {start + parts[k][2]} {y - 0.36} {y + 0.36}")
        lines += block(f"p{number}_{k}", rectangles)
        plots.append(f"$p{number}_{k} using 1:2:3:4:5:6 with boxxyerror lc rgb '{split[0][k][1]}'")
    totals = [sum(ms for *_, ms in parts) for parts in split]
    lines += block(f"t{number}", [f"{total} {y}" for y, total in enumerate(totals)])
    plots.append(f"$t{number} using 1:2:(sprintf('%.2f',$1)) with labels left offset 0.5,0 font ',11'")
    tics = ", ".join(f"{quoted(r['title'])} {y}" for y, r in enumerate(rows))
    once = [f"unset label {i}" for i in (100, *range(1, len(PHASES) + 2))] + ["unset object"]
    return lines + [f"set title {quoted(title)} offset 0,-0.5",
                    f"set tmargin at screen {top}", f"set bmargin at screen {bottom}",
                    f"set xrange [0:{max(totals) * 1.1}]", f"set yrange [{len(rows) - 0.4}:-0.6]", f"set ytics ({tics})",
                    "plot " + ", \\\n  ".join(plots), *once]


def write(result, directory):
    """Returns why there are none, or None."""
    if not shutil.which("gnuplot"):
        return "gnuplot is missing (Debian: gnuplot-nox)"
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in (("figure-4-8.svg", bars), ("cdf.svg", cdf), ("phases.svg", stacked)):
        script = make(result, str(directory / name))
        if not script:
            continue
        done = subprocess.run(["gnuplot", "-"], input="\n".join(script) + "\n", capture_output=True, text=True)
        if done.returncode:
            return f"gnuplot: {done.stderr.strip()}"
    return None
