"""A rerun beside the imports it cannot do without: `python benchmarks/rerun.py [--repeat 5]`.

The README's command from the cache with its report, `sim report` and `sim explain DATE`, against `import numpy, pandas,
numba, backtrader` in the same minute. Processor seconds of whole processes, the best of several, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from startup import ENVIRONMENT, README_COMMAND, SIM, timed

# Seconds of the aims (1.5, 0.7, 0.5) on a machine whose imports take 0.6.
YARDSTICK = [sys.executable, "-c", "import numpy, pandas, numba, backtrader"]
WORK: dict[str, tuple[list[str], float]] = {
    "cached README command": ([*SIM, *README_COMMAND], 2.5),
    "sim report": ([*SIM, "report"], 1.2),
    "sim explain last DATE": ([*SIM, "explain", "last", "2024-03-04"], 0.8),
}
MOST_MB = 270


def peak_mb(words: Sequence[str], folder: Path) -> float:
    """Peak memory of one process from start to end."""
    out = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    pid = os.posix_spawn(words[0], [*words, "--workspace", str(folder)], ENVIRONMENT, file_actions=actions)
    _, _, used = os.wait4(pid, 0)
    os.close(out)
    return used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        lab = Path(name) / "lab"
        timed([*SIM, "init", str(lab)], Path(name))
        for _ in range(2):  # asks, then reads
            timed([*SIM, *README_COMMAND], lab)
        best = dict.fromkeys([*WORK, "imports"], float("inf"))
        for _ in range(repeat):
            for what, words in {**{what: words for what, (words, _) in WORK.items()}, "imports": YARDSTICK}.items():
                best[what] = min(best[what], timed(words, lab).cpu)
        memory = peak_mb(WORK["cached README command"][0], lab)
    print(f"{'work':<34}{'ours s':>8}{'imports s':>11}{'ratio':>8}{'aim':>7}")
    for what, (_, aim) in WORK.items():
        print(f"{what:<34}{best[what]:>8.2f}{best['imports']:>11.2f}{best[what] / best['imports']:>8.2f}{aim:>7.1f}")
    print(f"{'peak of the first':<34}{memory:>5.0f} MB{'':>19}{MOST_MB:>4} MB")


if __name__ == "__main__":
    main()
