"""How cost grows with what is asked for, each point a `sim run` of its own: `python benchmarks/growth.py [--write]`.

CPU seconds of the process as a multiple of a yardstick in the same minute (`import numpy, pandas, numba, backtrader`),
and the process's own peak of memory. Bars are synthetic. `--full` adds the largest points; `--write` puts table and
picture into docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from simulator.market.bars import Floats, Instants
from simulator.market.calendar import MINUTE, sessions
from simulator.market.sources.synthetic import fetch

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "pictures" / "growth.svg"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
YARDSTICK = [sys.executable, "-c", "import numpy, pandas, numba, backtrader"]
SIM = [sys.executable, "-m", "simulator"]
LAST = date(2023, 12, 29)
AIM = "≤ 15 s, ≤ 700 MB"

ACCOUNTS = {1: "sma_cross", 6: "macro_council"}
"""Accounts a run plays, and the strategy that has so many; a council's analysts answer offline."""


@dataclass(frozen=True)
class Point:
    axis: str
    size: int
    work: str
    cpu: float = 0.0
    yardstick: float = 0.0
    peak: float = 0.0


def measured(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and peak MB of one process. Raises CalledProcessError when it fails."""
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, stderr=said)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def write_bars(folder: Path, symbols: Sequence[str], first: date) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for table in fetch(symbols, first, LAST, seed=7):
        columns = {name: getattr(table, name) for name in ("open", "high", "low", "close", "volume")}
        days = {"date": table.session_of.astype("datetime64[D]")}
        pq.write_table(pa.table({**days, **columns}), folder / f"{table.symbol}.parquet")


def write_minutes(folder: Path, symbols: Sequence[str], months: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    on = sessions(date(2023, 1, 3), date(2023, months, 28))
    spans = zip(on.opens_at.tolist(), on.closes_at.tolist(), strict=True)
    starts: Instants = np.concatenate([np.arange(opens, closes, MINUTE) for opens, closes in spans])
    for n, symbol in enumerate(symbols):
        moves: Floats = np.random.default_rng(n).normal(0, 4e-4, len(starts))
        close = np.round(100 * np.exp(np.cumsum(moves)), 4)
        opened = np.concatenate([[100.0], close[:-1]])
        high, low = np.maximum(opened, close) + 0.01, np.minimum(opened, close) - 0.01
        prices = {"open": opened, "high": high, "low": low, "close": close, "volume": np.full(len(close), 1e3)}
        labels = {"timestamp": pa.array(starts, pa.timestamp("ns", "UTC"))}
        pq.write_table(pa.table({**labels, **prices}), folder / f"{symbol}.parquet")


def run_point(point: Point, lab: Path) -> Point:
    """Measure `point` in a fresh workspace; a small run before it compiles what nobody has compiled yet."""
    measured([*SIM, "init", str(lab)], lab.parent)
    strategy, symbols, first = "sma_cross", [f"S{n:03}" for n in range(20)], date(2014, 1, 2)
    if point.axis == "symbols":
        symbols = [f"S{n:03}" for n in range(point.size)]
    elif point.axis == "years":
        symbols, first = [f"S{n:03}" for n in range(100)], date(2024 - point.size, 1, 2)
    elif point.axis == "minutes":
        first = date(2023, 1, 3)
    if point.axis == "accounts":
        symbols, first, strategy = ["SPY", "QQQ"], date(2024, 1, 2), ACCOUNTS[point.size]
    else:  # in a process of its own: the peak of a process is never below what this one holds when it starts it
        months = str(point.size) if point.axis == "minutes" else "0"
        made = [sys.executable, __file__, "--bars", str(lab / "data"), ",".join(symbols), str(first), months]
        subprocess.run(made, check=True)
    words = [*SIM, "run", "--strategy", strategy, "--symbols", ",".join(symbols), "--from", str(first)]
    yardstick = measured(YARDSTICK, lab)[0]
    cpu, peak = measured(words, lab)
    return Point(point.axis, point.size, point.work, cpu, min(yardstick, measured(YARDSTICK, lab)[0]), peak)


def points(full: bool) -> list[Point]:
    years, symbols, months = ((1, 3, 10), (10, 100, 500), (1, 4, 12)) if full else ((1, 3), (10, 100), (1, 4))
    return [
        *(Point("symbols", n, f"{n} symbols × 10 years of days") for n in symbols),
        *(Point("years", n, f"100 symbols × {n} years of days") for n in years),
        *(Point("minutes", n, f"20 symbols × {n} months of minutes") for n in months),
        *(Point("accounts", n, f"{n} accounts, 2 symbols × 2024") for n in ACCOUNTS),
    ]


def table(found: Sequence[Point]) -> str:
    lines = ["| work | CPU seconds | × yardstick | peak |", "|---|--:|--:|--:|"]
    for one in found:
        lines.append(f"| {one.work} | {one.cpu:.1f} | {one.cpu / one.yardstick:.1f} | {one.peak:.0f} MB |")
    return "\n".join(lines)


def picture(found: Sequence[Point]) -> str:
    """Two rows of small panels: multiples of the yardstick, and megabytes, along each axis."""
    axes = list(dict.fromkeys(one.axis for one in found))
    parts = []
    for row, (what, value) in enumerate((("× yardstick", lambda p: p.cpu / p.yardstick), ("MB", lambda p: p.peak))):
        most = max(value(one) for one in found)
        for column, axis in enumerate(axes):
            mine = [one for one in found if one.axis == axis]
            left, top, widest = 20 + column * 180, 30 + row * 150, max(one.size for one in mine)
            spots = [(left + 140 * one.size / widest, top + 100 - 90 * value(one) / most) for one in mine]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            parts.append(f'<text x="{left}" y="{top - 8}">{what} by {axis}</text>')
            parts.append(f'<path d="M{left} {top}V{top + 100}H{left + 150}" fill="none" stroke="#999"/>')
            parts.append(f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>')
            for (x, y), one in zip(spots, mine, strict=True):
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#1f6feb"/>')
                parts.append(f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle">{value(one):.0f}</text>')
                parts.append(f'<text x="{x:.1f}" y="{top + 114}" text-anchor="middle">{one.size}</text>')
    size = f'width="{20 + 180 * len(axes)}" height="320"'
    style = "font:10px sans-serif;background:#fff"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">\n' + "\n".join(parts) + "\n</svg>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="up to 500 symbols, ten years, a year of minutes")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its picture")
    parser.add_argument("--bars", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bars:
        folder, symbols, first, months = asked.bars
        if months == "0":
            write_bars(Path(folder), symbols.split(","), date.fromisoformat(first))
        else:
            write_minutes(Path(folder), symbols.split(","), int(months))
        return
    found = []
    print(f"{'work':<40}{'ours, CPU s':>12}{'yardstick':>11}{'ratio':>8}{'peak MB':>9}  aim")
    for point in points(asked.full):
        with tempfile.TemporaryDirectory() as name:
            one = run_point(point, Path(name) / "lab")
        found.append(one)
        large = (one.axis, one.size) in (("symbols", 500), ("minutes", 12))
        ratio = one.cpu / one.yardstick
        line = (
            f"{one.work:<40}{one.cpu:>12.1f}{one.yardstick:>11.2f}{ratio:>8.1f}{one.peak:>9.0f}  {AIM if large else ''}"
        )
        print(line.rstrip(), flush=True)
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}", encoding="utf-8", newline="\n")
        PICTURE.write_text(picture(found), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
