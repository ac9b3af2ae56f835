# SPDX-License-Identifier: MIT
"""Repeats the measurements of the thesis's chapter 4 on this machine, and makes the same for PPCE's own ways to serve.
Run by `ppce bench thesis`; docs/evaluation.md says what is timed."""
import argparse
import pathlib
import shutil
import signal
import sys
import tempfile

import machine
import measure
import plots
import report
import rows as table
from progress import Progress
from system import BUILD, Failed, enter_namespace

EXIT_INTERRUPTED = 130


def options():
    p = argparse.ArgumentParser(prog="ppce bench thesis", description=__doc__)
    p.add_argument("--samples", type=int, metavar="N", help="of each experiment; default 20")
    p.add_argument("--quick", action="store_true", help="2 samples, 100 taps: under a minute, and rough")
    p.add_argument("--rows", metavar="LIST", default=",".join(table.GROUPS), help=f"some of {','.join(table.GROUPS)}")
    p.add_argument("--backend", default="auto", choices=["auto", "kvm", "process"])
    p.add_argument("--json", metavar="FILE", help="everything, with each sample; - for standard output")
    p.add_argument("--csv", metavar="FILE", help="the table")
    p.add_argument("--markdown", metavar="FILE", help="the table, in the place that FILE marks for it")
    p.add_argument("--plots", metavar="DIR", help="figure-4-8.svg, cdf.svg, phases.svg; needs gnuplot")
    p.add_argument("--keep", action="store_true", help="keep the platform's directory, and name it")
    o = p.parse_args()
    o.groups = o.rows.split(",")
    for group in o.groups:
        if group not in table.GROUPS:
            p.error(f"--rows takes some of {','.join(table.GROUPS)}, not `{group}`")
    o.samples = (2 if o.quick else 20) if o.samples is None else o.samples
    if not 1 <= o.samples <= 1000:
        p.error("--samples takes a number from 1 to 1000")
    for name in ("json", "csv", "markdown"):
        path = getattr(o, name)
        if path and path != "-" and not pathlib.Path(path).absolute().parent.is_dir():
            p.error(f"--{name} {path}: there is no such directory")
    return o


def network(groups):
    """Why no app can have a tap here, or None."""
    why = enter_namespace()
    if why:
        return why
    if not (BUILD / "bin" / "ppce-net").exists():
        return "ppce-net is not built (libmnl-dev is missing)"
    return None if pathlib.Path("/dev/net/tun").exists() else "there is no /dev/net/tun"


def measured(o, directory, progress, obstacle):
    """All rows, in the order of GROUPS."""
    found = []
    modes = [m for m in table.MODES if m.group in o.groups and not (m.tap and obstacle)]
    # The boot is that of the hybrid mode's app.
    boots = [m for m in table.MODES if m.app == "hybrid"] if "boot" in o.groups and not obstacle else []
    bench = measure.Bench(directory, o.samples, o.backend, not obstacle, progress)
    bench.prepare({m.app: m for m in modes + boots}.values())
    described = machine.describe(bench.backend)
    if "taps" in o.groups:
        found += measure.taps(o.quick, directory.parent, progress)
    if "boot" in o.groups:
        if obstacle:
            table.BOOT_ROW.left_out = obstacle
        found.append(table.BOOT_ROW if obstacle else bench.boot(table.BOOT_ROW, "hybrid"))
    found += bench.system(modes)
    for mode in table.MODES:
        if mode.group in o.groups and mode.tap and obstacle:
            for row in filter(None, table.rows_of(mode)):
                row.left_out = obstacle
                found.append(row)
    return sorted(found, key=lambda row: table.GROUPS.index(row.group)), described


def write(o, result):
    if o.json == "-":
        report.write_json(result, "/dev/stdout")
    else:
        print(report.table(result), end="")
        if o.json:
            report.write_json(result, o.json)
    if o.csv:
        report.write_csv(result, o.csv)
    if o.markdown:
        report.write_markdown(result, o.markdown)
    if o.plots:
        why = plots.write(result, pathlib.Path(o.plots))
        if why:
            print(f"ppce bench thesis: no plots: {why}", file=sys.stderr)


def end_in_order(*_):
    raise KeyboardInterrupt


def main():
    o = options()
    signal.signal(signal.SIGTERM, end_in_order)
    progress = Progress()
    place = tempfile.mkdtemp(prefix="ppce-bench-")
    try:
        rows, described = measured(o, pathlib.Path(place) / "p", progress, network(o.groups))
        progress.end()
        write(o, report.result(rows, described))
        return 1 if any(row.failures for row in rows) else 0
    except KeyboardInterrupt:
        progress.end()
        print("ppce bench thesis: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (Failed, OSError) as e:
        progress.end()
        print(f"ppce bench thesis: {e}", file=sys.stderr)
        return 1
    finally:
        if o.keep:
            print(f"ppce bench thesis: kept {place}/p", file=sys.stderr)
        else:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
