"""How long a person waits: whole processes, from the shell's fork to the last byte.

python benchmarks/startup.py [--repeat 7] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SIM = [sys.executable, "-m", "simulator"]
README_COMMAND = ["run", "--from", "2024-01-01", "--symbols", "SPY,QQQ"]

LIMITS = {"sim --help": 0.2, "cached rerun": 3.0}


def seconds(words: Sequence[str], folder: Path) -> float:
    """Wall-clock seconds of one process. Raises CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run([*SIM, *words], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(repeat: int) -> dict[str, dict[str, float]]:
    """Median, fastest and slowest of `repeat` runs of each command, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds(["init", "lab"], folder)
        lab = folder / "lab"
        first = seconds(README_COMMAND, lab)
        times = {
            "python -c pass": [_bare() for _ in range(repeat)],
            "sim --help": [seconds(["--help"], lab) for _ in range(repeat)],
            "first run": [first],
            "cached rerun": [seconds(README_COMMAND, lab) for _ in range(repeat)],
        }
    return {
        what: {"median": statistics.median(taken), "fastest": min(taken), "slowest": max(taken)}
        for what, taken in times.items()
    }


def _bare() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.repeat)
    if asked.json:
        print(json.dumps(found))
        return
    for what, taken in found.items():
        limit = f"  (limit {LIMITS[what]} s)" if what in LIMITS else ""
        print(f"{what:<16}{taken['median']:7.3f} s   {taken['fastest']:.3f} to {taken['slowest']:.3f}{limit}")
    sys.exit(any(found[what]["median"] > limit for what, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
