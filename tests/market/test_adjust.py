"""Splits, dividends and spacings of files, held against their prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from simulator.errors import DataError
from simulator.market.calendar import sessions
from simulator.market.load import load_bars
from simulator.market.quality import check, jumps
from simulator.market.sources.files import read_table, write_csv
from simulator.market.sources.synthetic import fetch
from simulator.market.table import BarTable

Write = Callable[..., Path]
JANUARY = (date(2024, 1, 2), date(2024, 6, 28))
ROWS = np.arange(len(sessions(*JANUARY)))
HEAD = "date,open,high,low,close,volume"


@pytest.fixture(scope="module")
def walk() -> BarTable:
    """Half a year of made-up bars, in cents, as one sees them today."""
    return fetch(["ACME"], *JANUARY, 3)[0]


def rows_of(
    table: BarTable, factor: float | np.ndarray = 1.0, extra: Sequence[np.ndarray] = (), digits: int = 2
) -> list[str]:
    """CSV rows of `table` with prices times `factor` and further columns."""
    prices = [np.round(np.round(getattr(table, name), 2) * factor, digits) for name in ("open", "high", "low", "close")]
    prices[1], prices[2] = np.max(prices, axis=0), np.min(prices, axis=0)
    columns = [*prices, np.round(table.volume / factor), *extra]
    days = table.session_of.astype("datetime64[D]").astype(str)
    return [",".join([day, *(f"{x:.10g}" for x in row)]) for day, *row in zip(days, *columns, strict=True)]


def step(row: int, factor: float) -> np.ndarray:
    return np.where(np.less(ROWS, row), factor, 1.0)


# ---- splits ------------------------------------------------------------------------------------------------------


@pytest.mark.fault("bars", "a jump that looks like an unadjusted split", "a note in terminal and report")
@pytest.mark.parametrize(
    ("ratio", "name"),
    [(7, "7-for-1 split"), (2.5, "5-for-2 split"), (50, "50-for-1 split"), (1.25, "5-for-4 split"),
     (5 / 3, "5-for-3 split"), (1 / 8, "1-for-8 reverse split"), (0.75, "3-for-4 reverse split")],
)  # fmt: skip
def test_an_unadjusted_split_inside_the_run_is_a_note(
    ratio: float, name: str, walk: BarTable, write: Write, folder: Path
) -> None:
    write("ACME", rows_of(walk, step(60, ratio), digits=6))
    day = sessions(*JANUARY).dates[60].astype(date)
    (note,) = [n for n in load_bars(["ACME"], folder, first=date(2024, 2, 1)).notes if "looks like" in n]
    assert note.startswith(f"ACME {day}: opens at")
    assert f"looks like an unadjusted {name}" in note
    later = load_bars(["ACME"], folder, first=date(2024, 5, 1)).notes
    assert not any("looks like" in n for n in later)


@pytest.mark.fault("bars", "a column of splits and prices as traded", "applied where the price jumps by the ratio")
@pytest.mark.parametrize(
    ("head", "none", "new"), [("Stock Splits", 0.0, 4.0), ("splitFactor", 1.0, 4.0), ("split", 1.0, 0.25)]
)
def test_splits_are_applied_where_the_price_jumps_by_them(
    head: str, none: float, new: float, walk: BarTable, write: Write
) -> None:
    factors = np.where(ROWS == 60, new, none)
    paid = np.where(ROWS == 30, 0.4, np.where(ROWS == 90, 0.1, 0))
    path = write("ACME", rows_of(walk, step(60, 4), [paid, factors]), f"{HEAD},dividend,{head}")
    table = read_table(path)
    np.testing.assert_allclose(table.close, walk.close, atol=0.01)
    np.testing.assert_allclose(table.volume, walk.volume, rtol=1e-3, atol=1)
    assert table.dividend[[30, 90]].tolist() == [0.1, 0.1]
    assert [n for n in table.notes if "splits" in n] == [
        f"bars before its splits are adjusted for them ({new:g} on {sessions(*JANUARY).dates[60]})"
    ]
    assert list(jumps(table)) == []


def test_dividends_in_new_shares_stay_as_they_are_where_adjusted_closes_say_so(walk: BarTable, write: Write) -> None:
    factors, paid = np.where(ROWS == 60, 4.0, 1.0), np.where(ROWS == 30, 1.0, 0.0)
    adjusted = np.round(walk.close * np.where(ROWS < 30, 1 - 1 / walk.close[29], 1.0), 6)
    path = write("ACME", rows_of(walk, step(60, 4), [adjusted, paid, factors]), f"{HEAD},adjClose,divCash,splitFactor")
    assert read_table(path).dividend[30] == 1.0


@pytest.mark.fault("bars", "a column of splits and prices adjusted for them", "left alone, with a note")
def test_splits_that_are_in_the_prices_are_left_alone_and_said(walk: BarTable, write: Write) -> None:
    path = write("ACME", rows_of(walk, 1.0, [np.where(ROWS == 60, 4.0, 0.0)]), f"{HEAD},Stock Splits")
    table = read_table(path)
    assert table.close.tolist() == np.round(walk.close, 2).tolist()
    assert table.notes[0].startswith("prices are adjusted for their splits already and are left alone (4 on ")


@pytest.mark.fault("bars", "splits of which some are in the prices", "refused")
@pytest.mark.parametrize(
    ("price", "factors", "said"),
    [
        (step(60, 4), {60: 4.0, 90: 2.0}, "prices jump by the split 4 on 2024-03-28 and not by 2 on"),
        (step(60, 4), {60: 10.0}, "the split column says 10 and the price opens at 0.2"),
        (step(60, 4), {60: -4.0}, "split is -4"),
        (step(60, 4), {60: np.inf}, "split is inf"),
    ],
)
def test_splits_that_do_not_fit_the_prices_are_refused(
    price: np.ndarray, factors: dict[int, float], said: str, walk: BarTable, write: Write
) -> None:
    column = np.array([factors.get(row, 1.0) for row in ROWS])
    path = write("ACME", rows_of(walk, price, [column]), f"{HEAD},split")
    with pytest.raises(DataError, match=r"ACME\.csv:\d+: ACME") as error:
        read_table(path)
    assert said in str(error.value)


def test_a_ratio_may_be_written_as_one(walk: BarTable, write: Write) -> None:
    rows = rows_of(walk, step(60, 1.5))
    column = ["3:2" if row == 60 else "" for row in ROWS]
    path = write("ACME", [f"{row},{ratio}" for row, ratio in zip(rows, column, strict=True)], f"{HEAD},Split")
    np.testing.assert_allclose(read_table(path).close, walk.close, atol=0.01)


# ---- dividends ---------------------------------------------------------------------------------------------------


@pytest.mark.fault("bars", "adjusted prices beside a column of dividends", "not paid twice, with a note")
@pytest.mark.parametrize(
    ("head", "extra"),
    [("Dividends,Stock Splits", 1), ("Dividends", 0), ("Adj Close,Dividends", 2)],
    ids=["history()", "any vendor", "both closes adjusted"],
)
def test_dividends_that_are_in_the_prices_are_not_paid_again(
    head: str, extra: int, walk: BarTable, write: Write
) -> None:
    factor = np.where(ROWS < 40, 0.98123, np.where(ROWS < 100, 0.99077, 1.0))
    paid = np.where(np.isin(ROWS, (40, 100)), 0.8, 0.0)
    columns = {0: [paid], 1: [paid, 0 * paid], 2: [np.round(np.round(walk.close, 2) * factor, 6), paid]}[extra]
    table = read_table(write("ACME", rows_of(walk, factor, columns, digits=6), f"{HEAD},{head}"))
    assert not table.dividend.any()
    assert table.notes == ("its prices hold dividends already: the 2 of its dividend column are not paid again",)


@pytest.mark.parametrize("adjusted", [False, True])
def test_what_was_paid_of_the_past_does_not_depend_on_the_prices_after_it(
    adjusted: bool, walk: BarTable, write: Write
) -> None:
    factor = np.where(ROWS < 40, 0.98123, np.where(ROWS < 100, 0.99077, 1.0)) if adjusted else np.ones(len(ROWS))
    paid = np.where(np.isin(ROWS, (40, 100)), 0.8, 0.0)
    rng = np.random.default_rng(4)
    noise = np.where(ROWS < 70, 1.0, rng.uniform(0.5, 2.0, len(ROWS)))
    whole, later = (
        read_table(write("ACME", rows_of(walk, factor * one, [paid], digits=6), f"{HEAD},Dividends"))
        for one in (1.0, noise)
    )
    short = read_table(write("ACME", rows_of(walk, factor, [paid], digits=6)[:70], f"{HEAD},Dividends"))
    assert whole.dividend[:70].tolist() == later.dividend[:70].tolist() == short.dividend.tolist()
    assert bool(short.dividend.any()) is not adjusted
    assert whole.dividend[100] == (0.0 if adjusted else 0.8)
    if not adjusted:  # prices that turn into others are judged as those
        assert later.dividend[[40, 100]].tolist() == [0.8, 0.0]
        assert later.notes[-1].endswith("1 of the 2 of its dividend column are not paid again")


@pytest.mark.parametrize("head", ["Dividends", "Dividends,Stock Splits", "Adj Close,Dividends"])
def test_dividends_beside_prices_as_traded_are_paid(head: str, walk: BarTable, write: Write) -> None:
    paid = np.where(np.isin(ROWS, (40, 100)), 0.8, 0.0)
    adjusted = np.round(walk.close * np.where(ROWS < 40, 0.98123, np.where(ROWS < 100, 0.99077, 1.0)), 6)
    columns = {"Dividends": [paid], "Dividends,Stock Splits": [paid, 0 * paid]}.get(head, [adjusted, paid])
    table = read_table(write("ACME", rows_of(walk, 1.0, columns), f"{HEAD},{head}"))
    assert (table.dividend[[40, 100]].tolist(), table.notes) == ([0.8, 0.8], ())


# ---- coarse bars, weekends, history ------------------------------------------------------------------------------


@pytest.mark.fault("bars", "weekly or monthly bars", "refused: read as daily ones they look ahead")
@pytest.mark.parametrize(("every", "shift"), [(5, 0), (21, 0), (4, 0), (5, 2)])
def test_bars_coarser_than_a_day_are_refused(every: int, shift: int, write: Write, folder: Path) -> None:
    days = sessions(*JANUARY).dates[::every] - shift
    write("ACME", [f"{day},10,12,9,11,5" for day in days])
    with pytest.raises(DataError, match=rf"ACME\.csv: ACME: bars stand {every} sessions apart") as error:
        load_bars(["ACME"], folder, first=JANUARY[0])
    assert "look ahead" in str(error.value)


def test_weekly_bars_in_a_part_of_a_daily_file_are_refused(write: Write) -> None:
    days = sessions(date(2024, 1, 2), date(2024, 12, 30)).dates
    path = write("ACME", [f"{day},10,12,9,11,5" for day in [*days[:100], *days[100:150:5], *days[150:]]])
    assert [p.what for p in check(read_table(path))] == [
        "bars stand 5 sessions apart from 2024-05-24 on: read as daily ones they look ahead; fetch daily bars"
    ]


def test_daily_bars_with_holes_are_daily(write: Write) -> None:
    path = write("ACME", [f"{day},10,12,9,11,5" for day in sessions(*JANUARY).dates[::3]])
    assert not any(problem.refused for problem in check(read_table(path)))


@pytest.mark.fault("bars", "bars on weekends (crypto)", "refused: they end at another hour than the session")
def test_bars_of_seven_days_a_week_are_refused_in_one_line(write: Write, folder: Path) -> None:
    write("BTC-USD", [f"{np.datetime64('2024-01-01') + n},10,12,9,11,5" for n in range(60)])
    with pytest.raises(DataError, match="has bars on weekends: they end at another hour than the sessions"):
        load_bars(["BTC-USD"], folder, first=JANUARY[0])


@pytest.mark.fault("bars", "holidays before 1970", "known back to 1953; earlier history is refused")
def test_sessions_before_1970_leave_out_the_holidays_of_their_time(write: Write) -> None:
    days = sessions(date(1968, 6, 10), date(1968, 6, 21)).dates.astype(str).tolist()
    assert "1968-06-12" not in days  # closed on Wednesdays, to catch up on paper
    assert len(days) == 8
    for holiday in (date(1960, 12, 26), date(1961, 5, 29), date(1963, 11, 25), date(1954, 11, 2), date(1969, 7, 21)):
        assert len(sessions(holiday, holiday)) == 0
    assert [len(sessions(date(year, 1, 1), date(year, 12, 31))) for year in (1953, 1962, 1969)] == [251, 252, 250]
    with pytest.raises(DataError, match="known from 1953-01-01 on, not on 1952-12-31"):
        sessions(date(1952, 12, 31), date(1953, 2, 1))
    old = read_table(write("OLD", ["1929-10-28,10,12,9,11,5", "1954-10-28,10,12,9,11,5"]))
    assert [p.what for p in check(old)] == [
        "begins on 1929-10-28; sessions are known from 1953-01-01 on: cut them off with "
        "`sim data fetch --source files --path DIR --symbols OLD --from 1953-01-01`"
    ]


def test_dividends_beside_prices_adjusted_for_a_split_just_before_are_paid(walk: BarTable, write: Write) -> None:
    paid = np.where(np.isin(ROWS, (40, 100)), 0.8, 0.0)
    path = write("ACME", rows_of(walk, np.where(np.less(ROWS, 95), 0.1, 1.0), [paid], digits=3), f"{HEAD},Dividends")
    assert read_table(path).dividend[[40, 100]].tolist() == [0.8, 0.8]


@pytest.mark.parametrize("head", ["Dividends,Stock Splits", "Dividends"])
def test_a_file_taken_over_is_read_again_as_it_was_taken(head: str, walk: BarTable, write: Write, folder: Path) -> None:
    paid = np.where(np.isin(ROWS, (40, 100)), 0.8, 0.0)
    splits = np.where(ROWS == 95, 10.0, 0.0)
    columns = [paid, splits] if "Splits" in head else [paid]
    factor = step(95, 10.0) if "Splits" in head else np.where(np.less(ROWS, 40), 0.99077, 1.0)
    before = read_table(write("ACME", rows_of(walk, factor, columns, digits=4), f"{HEAD},{head}"))
    write_csv(before, folder / "COPY.csv", "files")
    after = read_table(folder / "COPY.csv")
    for name in ("open", "high", "low", "close", "volume", "dividend"):
        assert getattr(after, name).tobytes() == getattr(before, name).tobytes()
