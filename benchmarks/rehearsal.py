"""Rehearsed sessions: what one costs, and who it goes to: `python benchmarks/rehearsal.py`.

A council in six accounts with rule-based analysts, and a rule with exits, over ten sessions; exchange, broker, loop,
store and data in this process. CPU seconds, the yardstick in the same minute: six imports of numpy and pandas.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.runs.spec import RunSpec
from simulator.workspace import make_workspace

FIRST, SESSIONS = date(2024, 6, 3), 10
ALPACA = {"risk.execution": "alpaca"}
EXITS = {"exits.stop": 0.01, "exits.take_profit": 0.015, "fast": 3, "slow": 8}
WORK = {
    "council, six accounts": (RunSpec("macro_council", ("SPY", "QQQ"), FIRST, parameters=ALPACA), 2.0),
    "rule with exits": (RunSpec("sma_cross", ("SPY", "QQQ"), FIRST, parameters={**ALPACA, **EXITS}), 0.5),
}


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Return (CPU, wall) seconds of `work`."""
    began, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - began, time.perf_counter() - wall


def yardstick() -> float:
    """Return seconds of an import that every machine makes alike."""
    command = [sys.executable, "-c", "import numpy, pandas, time; print(time.process_time())"]
    return min(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3))


def main() -> None:
    unit = yardstick()
    print(f"{'work':24} {'CPU s a session':>16} {'yardsticks':>11} {'sessions a minute':>18} {'aim':>12}")
    for name, (spec, aim) in WORK.items():
        took = []
        for sessions in (1, SESSIONS + 1):  # the first also sets everything up
            with tempfile.TemporaryDirectory() as folder:
                make_workspace(workspace := Path(folder) / "w", git=False)
                from simulator.workspace import find_workspace

                rehearsal = Rehearsal(spec, sessions, find_workspace(str(workspace)))
                took.append(cost(lambda rehearsal=rehearsal: rehearse(rehearsal)))
        cpu, wall = ((took[1][k] - took[0][k]) / SESSIONS for k in (0, 1))
        print(f"{name:24} {cpu:16.2f} {cpu / unit:11.1f} {60 / max(wall, 1e-9):18.0f} {f'≤ {aim:.1f} s':>12}")


if __name__ == "__main__":
    main()
