"""Bringing reports/index.html up to date: `python benchmarks/shelf.py [--runs 1000] [--repeat 5]`.

Processor seconds for one run more among many folders, for all of them anew, and of `sim runs --html` as a whole
process; "other" lists the same folders and writes nothing (`os.stat` of each run.json and a sort).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from startup import SIM, timed

from simulator.report.shelf import update_shelf
from simulator.store.folders import dated_folders

RULE = ["run", "--strategy", "sma_cross", "--symbols", "SPY", "--from", "2024-01-01"]


def multiply(model: Path, count: int) -> None:
    """Put `count` folders of the run in `model` beside it, each with a run.json of its own."""
    content = (model / "run.json").read_text(encoding="utf-8")
    for number in range(count):
        copy = model.with_name(f"{model.name[:-10]}{number:010x}")
        shutil.copytree(model, copy, copy_function=os.link, ignore=shutil.ignore_patterns("run.json"))
        (copy / "run.json").write_text(content.replace(model.name[-10:], copy.name[-10:]), encoding="utf-8")


def best(repeat: int, prepare: Callable[[], object], work: Callable[[], object]) -> float:
    """Least processor seconds of `work`, each time after `prepare`."""
    found = []
    for _ in range(repeat):
        prepare()
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lab = Path(name) / "lab"
        reports = lab / "reports"
        timed([*SIM, "init", str(lab)], Path(name))
        timed([*SIM, *RULE], lab)
        (model,) = reports.glob("*/")
        multiply(model, asked.runs - 1)
        page = update_shelf(reports)
        other = best(asked.repeat, lambda: None, lambda: dated_folders(reports))
        rows = {
            "one run more": (best(asked.repeat, (model / "run.json").touch, lambda: update_shelf(reports)), "≤ 0.2"),
            "all of them anew": (best(2, page.unlink, lambda: update_shelf(reports)), ""),
            "`sim runs --html`": (min(timed([*SIM, "runs", "--html"], lab).cpu for _ in range(asked.repeat)), ""),
        }
    print(f"{'work':<28}{'ours, s':>9}{'other, s':>10}{'ratio':>8}  aim, s")
    for what, (seconds, aim) in rows.items():
        print(f"{what:<28}{seconds:>9.3f}{other:>10.3f}{seconds / other:>8.1f}  {aim}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
