"""A day of the desk beside the imports it cannot do without: `python benchmarks/desk.py [--repeat 3]`.

A quarter in replay, whole processes, processor seconds by session: cold (nothing asked before), from stored answers (no
opinion kept), and cached (words before the open kept too); dollars a day with the rule-based analysts are none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from startup import SIM, timed

COMMAND = [*SIM, "run", "--strategy", "momentum_desk", "--symbols", "AAPL,SPY,QQQ,NVDA"]
DATES = ["--from", "2024-01-01", "--to", "2024-03-28"]
SESSIONS = 61
YARDSTICK = [sys.executable, "-c", "import numpy, pandas, numba, backtrader"]
AIMS = {"cold": 0.06, "answers stored": 0.05, "cached": 0.045}
"""Imports that a session may cost."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    best = dict.fromkeys([*AIMS, "imports"], float("inf"))
    with tempfile.TemporaryDirectory() as name:
        for n in range(repeat):
            lab = Path(name) / f"lab-{n}"
            timed([*SIM, "init", str(lab)], Path(name))
            for what in AIMS:
                if what == "answers stored":
                    (lab / "llm_cache" / "opinions.db").unlink(missing_ok=True)
                best[what] = min(best[what], timed([*COMMAND, *DATES], lab).cpu)
            best["imports"] = min(best["imports"], timed(YARDSTICK, lab).cpu)
    print(f"{'a session of the desk':<24}{'ours ms':>9}{'imports s':>11}{'ratio':>8}{'aim':>7}")
    for what, aim in AIMS.items():
        a_day = best[what] / SESSIONS
        print(f"{what:<24}{a_day * 1e3:>9.1f}{best['imports']:>11.2f}{a_day / best['imports']:>8.3f}{aim:>7.3f}")


if __name__ == "__main__":
    main()
