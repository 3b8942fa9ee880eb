"""How a sweep grows with its members, each point a process of its own: `python benchmarks/sweep_growth.py [--write]`.

SMA pairs drawn from 250 × 400, decided weekly, on 20 symbols × 2,520 days of synthetic bars, two threads: CPU seconds
until all members are on disk, those of the inference, and the peak of the process's memory. `--minutes` adds 1,000
pairs decided daily on a year of minutes. `--write` puts table and picture into docs/sweeps.md; 100,000 members take
minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sweep
from engines import market
from growth import write_minutes

from simulator.studies.executors import Executor
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Sweep
from simulator.workspace import Workspace, shipped

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "sweeps.md", ROOT / "docs" / "pictures" / "sweep_growth.svg"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
FAST, SLOW = "3:252:1", "260:659:1"
SYMBOLS, THREADS = tuple(f"S{n:03}" for n in range(20)), 2
DAYS, MINUTES = "2,520 days", "a year of minutes"


@dataclass(frozen=True)
class Point:
    """CPU seconds of reading bars, of members until they are on disk, and of the inference; wall seconds of the last
    two; MB when the members were played, and at the end."""

    bars: str
    members: int
    read: float
    played: float
    inference: float
    wall: float
    peak_played: float
    peak: float


def used() -> tuple[float, float]:
    of = resource.getrusage(resource.RUSAGE_SELF)
    return of.ru_utime + of.ru_stime, of.ru_maxrss / 1024


def run_point(bars: str, members: int, lab: Path) -> Point:
    """Measure one sweep in this process, in the workspace `lab`, whose bars are there."""
    given = {
        "strategy": "sma_cross",
        "symbols": SYMBOLS,
        "first": "2023-01-03" if bars == MINUTES else str(sweep.FIRST),
    }
    cadence = "daily" if bars == MINUTES else "weekly"
    sets = [("fast", FAST), ("slow", SLOW), ("cadence", cadence)]
    workspace = Workspace(lab, lab)
    begun = used()[0]
    made = Sweep(make_study(workspace, None, sets, search="random", members=members, seed=7, **given), workspace)
    made.inputs.prepare()
    read, wall = used()[0], time.perf_counter()
    made.play(Executor(workers=THREADS))
    played, peak_played = used()
    made.conclude()
    inference, peak = used()
    times = read - begun, played - read, inference - played, time.perf_counter() - wall
    return Point(bars, members, *times, peak_played, peak)


def make_lab(bars: str, lab: Path) -> None:
    if bars == MINUTES:
        (lab / "data").mkdir(parents=True)
        write_minutes(lab / "data", SYMBOLS, 12)
    else:
        sweep.write_bars(lab / "data", market(len(SYMBOLS), sweep.COUNT))
    for part in ("strategies", "config"):
        shutil.copytree(shipped() / part, lab / part)
    shutil.copy(shipped() / "data" / "events.csv", lab / "data")
    shutil.copy(shipped() / "sim.toml", lab)


def table(found: Sequence[Point]) -> str:
    lines = [
        "| members | on 20 symbols × | played and written | inference | wall | peak |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for one in found:
        took = f"{one.played:,.1f} | {one.inference:,.1f} | {one.wall:,.0f} | {one.peak:,.0f} MB"
        lines.append(f"| {one.members:,} | {one.bars} | {took} |")
    return "\n".join(lines)


def picture(found: Sequence[Point]) -> str:
    """Two panels along the number of members: CPU seconds of both parts, and megabytes."""
    daily, parts = [one for one in found if one.bars == DAYS], []
    panels = (
        ("CPU seconds: members, and inference (grey)", ("played", "#1f6feb"), ("inference", "#999")),
        ("peak MB: members, and at the end (grey)", ("peak_played", "#1f6feb"), ("peak", "#999")),
    )
    widest = max(one.members for one in daily)
    for column, (title, *lines) in enumerate(panels):
        left, most = 40 + column * 340, max(float(getattr(one, name)) for one in daily for name, _ in lines)
        parts.append(f'<text x="{left}" y="20">{title}</text>')
        parts.append(f'<path d="M{left} 40V190H{left + 280}" fill="none" stroke="#999"/>')
        for name, colour in lines:
            spots = [
                (left + 260 * one.members / widest, 190 - 140 * getattr(one, name) / most, one.members) for one in daily
            ]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y, _ in spots]
            x, y, _ = spots[-1]
            parts.append(f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="end">{getattr(daily[-1], name):,.0f}</text>')
        for one in daily:
            if one.members * 20 > widest:
                x = left + 260 * one.members / widest
                parts.append(f'<text x="{x:.1f}" y="204" text-anchor="middle">{one.members // 1000}k</text>')
    style = "font:10px sans-serif;background:#fff"
    size = 'width="700" height="215"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">\n' + "\n".join(parts) + "\n</svg>\n"


def write(found: Sequence[Point]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}", encoding="utf-8", newline="\n")
    PICTURE.write_text(picture(found), encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[1_000, 3_000])
    parser.add_argument("--minutes", action="store_true", help="and 1,000 members on a year of minutes")
    parser.add_argument("--write", action="store_true", help="write docs/sweeps.md and its picture")
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        bars, members, lab = asked.point
        print(json.dumps(asdict(run_point(bars, int(members), Path(lab)))))
        return
    found: list[Point] = []
    print(f"{'work':<40}{'CPU s':>10}{'inference':>11}{'wall s':>9}{'peak MB':>9}  aim")
    for bars, members in [*((DAYS, n) for n in asked.members), *([(MINUTES, 1_000)] if asked.minutes else [])]:
        with tempfile.TemporaryDirectory() as place:
            make_lab(bars, Path(place) / "lab")
            words = [sys.executable, __file__, "--point", bars, str(members), str(Path(place) / "lab")]
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=dict(os.environ)).stdout
        one = Point(**json.loads(said.splitlines()[-1]))
        found.append(one)
        work = f"{members:,} pairs, 20 × {bars}"
        print(
            f"{work:<40}{one.played:>10.1f}{one.inference:>11.1f}{one.wall:>9.0f}{one.peak:>9.0f}  ≤ 4,096 MB",
            flush=True,
        )
    if asked.write:
        write(found)


if __name__ == "__main__":
    main()
