"""How long a person waits: whole processes, from the shell's fork to the last byte.

python benchmarks/startup.py [--repeat 7] [--json]

Where a cached rerun's seconds go: 0.8 into importing others' code and ours, 0.4 each into the report and the analyses,
0.2 each into taking the kept opinions, the other accounts and the files. benchmarks/rerun.py has it as ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIM = [sys.executable, "-m", "simulator"]
README_COMMAND = ["run", "--from", "2024-01-01", "--symbols", "SPY,QQQ"]

LIMITS = {"sim --help": 0.2, "cached rerun": 3.0}


@dataclass(frozen=True)
class Taken:
    """Seconds of one process: on the clock, and of the processor (which other work on the machine changes little)."""

    clock: float
    cpu: float


# With this set, Python compiles all of our modules anew in every process: a quarter of a second nobody else waits for.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def timed(words: Sequence[str], folder: Path) -> Taken:
    """One process from start to end. Raises CalledProcessError when it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(repeat: int) -> dict[str, list[Taken]]:
    """Each command `repeat` times in a fresh workspace; the first run, which asks every question, once."""
    with tempfile.TemporaryDirectory() as name:
        lab = Path(name) / "lab"
        timed([*SIM, "init", str(lab)], Path(name))
        return {
            "python -c pass": [timed([sys.executable, "-c", "pass"], lab) for _ in range(repeat)],
            "sim --help": [timed([*SIM, "--help"], lab) for _ in range(repeat)],
            "first run": [timed([*SIM, *README_COMMAND], lab)],
            "cached rerun": [timed([*SIM, *README_COMMAND], lab) for _ in range(repeat)],
        }


def summary(taken: Sequence[Taken]) -> dict[str, float]:
    clock = [one.clock for one in taken]
    return {
        "median": statistics.median(clock),
        "fastest": min(clock),
        "slowest": max(clock),
        "cpu": statistics.median(one.cpu for one in taken),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {what: summary(taken) for what, taken in measure(asked.repeat).items()}
    if asked.json:
        print(json.dumps(found))
        return
    for what, each in found.items():
        limit = f"  (limit {LIMITS[what]} s)" if what in LIMITS else ""
        spread = f"{each['fastest']:.3f} to {each['slowest']:.3f}"
        print(f"{what:<16}{each['median']:7.3f} s   {spread:<18} cpu {each['cpu']:.3f} s{limit}")
    sys.exit(any(found[what]["median"] > limit for what, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
