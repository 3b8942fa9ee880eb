from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from simulator.market.load import load_bars
from simulator.market.quality import Problem, check
from simulator.market.sources.files import read_table
from simulator.market.sources.synthetic import synthetic_bars

Write = Callable[..., Path]
JANUARY = (date(2024, 1, 2), date(2024, 1, 31))


def found(path: Path) -> list[str]:
    return [f"{p.symbol} {p.date}: {p.what}" for p in check(read_table(path))]


def test_sound_bars_have_no_problems(write: Write) -> None:
    assert found(write("ACME", JANUARY)) == []


def test_missing_sessions_are_named_one_by_one(write: Write) -> None:
    path = write("ACME", JANUARY)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if line[:10] not in ("2024-01-10", "2024-01-12")))
    assert found(path) == ["ACME 2024-01-10: the session is missing", "ACME 2024-01-12: the session is missing"]


def test_the_day_of_mourning_of_2025_is_no_gap(write: Write) -> None:
    assert found(write("ACME", (date(2025, 1, 6), date(2025, 1, 14)))) == []


def closing(prices: list[float], opens: list[float] | None = None) -> list[str]:
    days = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]
    firsts = opens or prices
    return [f"{d},{o},{max(o, c)},{min(o, c)},{c},1" for d, o, c in zip(days, firsts, prices, strict=False)]


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (300.0, 200.0, "3-for-2 split"),
        (300.0, 150.5, "2-for-1 split"),
        (300.0, 101.0, "3-for-1 split"),
        (300.0, 74.0, "4-for-1 split"),
        (300.0, 60.0, "5-for-1 split"),
        (300.0, 30.2, "10-for-1 split"),
        (300.0, 14.9, "20-for-1 split"),
        (3.0, 15.1, "1-for-5 reverse split"),
        (3.0, 30.0, "1-for-10 reverse split"),
    ],
)
def test_a_jump_near_a_split_ratio_is_named(before: float, after: float, name: str, write: Write) -> None:
    path = write("ACME", closing([before, before, after, after]))
    assert found(path) == [
        f"ACME 2024-01-04: opens at {after:g} after a close of {before:g}: looks like an unadjusted {name}"
    ]


@pytest.mark.fault(
    "bars", "a price jumps a thousandfold within a session", "a note with the factor, whether a split has it or not"
)
@pytest.mark.parametrize(
    ("opens", "closes", "said"),
    [
        ([0.1, 0.1, 100, 100], [0.1, 0.1, 100, 100], "opens at 100 after a close of 0.1: a factor of 1,000, as of"),
        (
            [100, 100, 0.02, 0.02],
            [100, 100, 0.02, 0.02],
            "opens at 0.02 after a close of 100: a factor of 5,000, as of",
        ),
        ([10, 10, 11, 80], [10, 10, 80, 80], "closes at 80 after a close of 10: a factor of 8, as of an unadjusted"),
    ],
)
def test_a_wild_jump_is_named_whatever_its_ratio(
    opens: list[float], closes: list[float], said: str, write: Write
) -> None:
    (problem,) = found(write("ACME", closing(closes, opens)))
    assert problem.startswith(f"ACME 2024-01-04: {said}")


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ([100, 100, 75, 75], [100, 100, 75, 75]),  # a fall by a quarter
        ([100, 100, 98, 50], [100, 100, 50, 50]),  # halved, but during the session
        ([100, 100, 50, 70], [100, 100, 70, 70]),  # opened at half and came back
    ],
)
def test_a_crash_is_no_split(opens: list[float], closes: list[float], write: Write) -> None:
    assert found(write("ACME", closing(closes, opens))) == []


def test_everything_wrong_with_a_file_is_listed_in_order_of_dates(write: Write) -> None:
    rows = [
        "2024-01-02,10,12,9,11,5",
        "2024-01-02,10,12,9,11,5",
        "2024-01-05,10,8,9,11,-5",
        "2024-01-04,0,12,nan,11,5",
        "2024-01-06,10,12,9,99,5",
    ]
    path = write("ACME", rows)
    assert found(path) == [
        "ACME 2024-01-02: is dated like the bar before it: a duplicate",
        "ACME 2024-01-04: comes after 2024-01-05: dates must ascend",
        "ACME 2024-01-04: open is 0, not above zero",
        "ACME 2024-01-04: low is NaN",
        "ACME 2024-01-05: high 8 is below low 9",
        "ACME 2024-01-05: volume is -5",
        "ACME 2024-01-06: Saturday is not a session of the New York Stock Exchange",
        "ACME 2024-01-06: close 99 lies outside [low 9, high 12]",
    ]
    assert [p.where.rpartition(":")[2] for p in check(read_table(path))] == ["3", "5", "5", "5", "4", "4", "6", "6"]


@pytest.mark.fault("bars", "a row repeats a date from further up", "refused with its line, as a repeated one")
def test_a_row_that_repeats_one_further_up_is_a_duplicate(write: Write) -> None:
    path = write("ACME", [*closing([10, 10, 10]), "2024-01-02,10,10,10,10,1"])
    (problem,) = [one for one in check(read_table(path)) if one.refused]
    assert problem.what == "comes after 2024-01-04: dates must ascend, and this one repeats a bar further up"
    assert problem.where.endswith("ACME.csv:5")


def test_only_what_keeps_a_run_from_starting_is_marked_refused(write: Write) -> None:
    path = write("ACME", [*closing([100, 100, 50]), "2024-01-08,50,50,50,60,1"])
    assert [(str(p.date), p.refused) for p in check(read_table(path))] == [
        ("2024-01-04", False),
        ("2024-01-05", False),
        ("2024-01-08", True),
    ]


def test_bars_are_checked_like_files() -> None:
    bars = synthetic_bars(["AAA", "BBB"], *JANUARY, seed=1)
    assert check(bars) == []
    close, low = bars.close.copy(), bars.low.copy()
    close[3, 1] = low[3, 1] = -1.0
    open_, high, volume = bars.open.copy(), bars.high.copy(), bars.volume.copy()
    for array in (open_, high, low, close, volume):
        array[5, 0] = np.nan
    broken = replace(bars, open=open_, high=high, low=low, close=close, volume=volume)
    assert check(broken) == [
        Problem("AAA", date(2024, 1, 9), "the session is missing", "synthetic, seed 1"),
        Problem("BBB", date(2024, 1, 5), "low is -1, not above zero", "synthetic, seed 1", True),
        Problem("BBB", date(2024, 1, 5), "close is -1, not above zero", "synthetic, seed 1", True),
    ]


def test_sessions_short_of_bars_are_named_and_early_closes_are_not_short(write: Write, folder: Path) -> None:
    def minutes(day: str, count: int) -> list[str]:
        return [f"{day} {9 + (30 + n) // 60:02}:{(30 + n) % 60:02},10,11,9,10,1" for n in range(count)]

    rows = [*minutes("2024-07-02", 389), *minutes("2024-07-03", 210), "2024-07-03 16:30,10,11,9,10,1"]
    assert found(write("ACME", rows)) == ["ACME 2024-07-02: 1 of 390 bars of 1min are missing"]
    assert len(load_bars(["ACME"], folder, first=date(2024, 7, 2)).bars) == 599


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem("ACME", date(2024, 1, 5), "low is -1, not above zero", "data/ACME.csv:5")
    assert str(problem) == "ACME 2024-01-05: low is -1, not above zero (data/ACME.csv:5)"
