"""The report of a long run: `python benchmarks/report.py [--keep DIR]`.

Ten years of daily bars (synthetic) of twelve symbols, a council with its six accounts: `sim report` against `import
numpy, pandas, numba, backtrader` in the same minute, in processor seconds of whole processes, the best of three; and
the bytes of the page. The run itself, some minutes, is not measured; `--keep` leaves it where the next time finds it.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

from growth import SIM, YARDSTICK, measured, write_bars

SYMBOLS = [f"S{n:03}" for n in range(12)]
FIRST = date(2014, 1, 2)
AIM, AIM_BYTES = 3.0 / 0.6, 2_000_000
"""3 s where the imports take 0.6 s, and two megabytes."""


def make_run(lab: Path) -> None:
    """Write bars and run the council over them, unless both are there."""
    if list(lab.glob("reports/macro_council-*/run.json")):
        return
    measured([*SIM, "init", str(lab)], lab.parent)
    write_bars(lab / "data", SYMBOLS, FIRST)
    measured([*SIM, "run", "--symbols", ",".join(SYMBOLS), "--from", str(FIRST)], lab)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder of the run, made where it is missing")
    kept = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as name:
        lab = (kept or Path(name)) / "lab"
        lab.parent.mkdir(parents=True, exist_ok=True)
        make_run(lab)
        took = [(measured(YARDSTICK, lab)[0], *measured([*SIM, "report"], lab)) for _ in range(3)]
        (page,) = lab.glob("reports/macro_council-*/report.html")
        size = page.stat().st_size
    imports, ours = min(one[0] for one in took), min(one[1] for one in took)
    print(f"{'work':<44}{'ours':>12}{'imports':>9}{'ratio':>7}{'aim':>12}")
    work = "sim report, 10 years × 12 symbols × 6 accounts"
    print(f"{work:<44}{ours:>10.2f} s{imports:>7.2f} s{ours / imports:>7.2f}{AIM:>12.1f}")
    print(f"{'  its page':<44}{size:>10,} B{'':>16}{AIM_BYTES:>10,} B")
    print(f"{'  peak':<44}{max(one[2] for one in took):>9.0f} MB")


if __name__ == "__main__":
    main()
