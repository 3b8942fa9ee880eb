"""Strategies and bars that were never files: the same run as from files, known by their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import simulator
from simulator.errors import DataError, UsageError
from simulator.rules import Rule, Snapshot
from simulator.store.database import Store

from .conftest import trend

pytestmark = pytest.mark.medium
SPAN = {"start": "2023-01-03", "end": "2023-06-30"}

FILE = """
from simulator.rules import Rule
class Trend(Rule):
    fast, slow, window = 20, 60, 60
    def weights(self, market):
        closes = {symbol: market.history(symbol, last=self.slow) for symbol in market.symbols}
        return {s: 0.5 for s, c in closes.items() if len(c) >= self.slow and c[-self.fast:].mean() > c.mean()}
"""


class Trend(Rule):
    """As `trend`, as a class."""

    fast, slow, window = 20, 60, 60

    def weights(self, market: Snapshot) -> dict[str, float]:
        return trend(market, self.fast, self.slow)


def test_a_function_a_class_and_a_file_decide_the_same(lab: Path) -> None:
    path = lab / "strategies" / "trend_file.py"
    path.write_text(FILE)
    by_file, by_class, by_function = (
        simulator.run(one, "SPY,QQQ", workspace=lab, **SPAN) for one in (path, Trend, trend)
    )
    path.unlink()
    pd.testing.assert_series_equal(by_class.equity, by_file.equity, check_names=False)
    pd.testing.assert_series_equal(by_function.equity, by_file.equity, check_names=False)
    assert "def trend(market, fast=20" in (by_class.folder / "strategy.py").read_text()
    assert by_function.facts["command"].startswith("simulator.run(trend, symbols=['SPY', 'QQQ'], start='2023-01-03'")
    assert not (by_file.folder / "strategy.py").exists()


def test_an_unchanged_cell_is_the_same_run_and_a_changed_one_another_trial(lab: Path) -> None:
    def of(share: float) -> Any:
        def level(_: Snapshot) -> dict[str, float]:
            return {"SPY": share}

        return level

    one, same, other = (simulator.run(of(share), "SPY", workspace=lab, **SPAN) for share in (0.5, 0.5, 0.75))
    assert (one.id, one.folder) == (same.id, same.folder)
    assert other.id != one.id
    assert other.facts["inference"]["trials"] == (one.facts["inference"]["trials"] or 0) + 1


def bars_of(lab: Path, symbol: str) -> pd.DataFrame:
    table = pd.read_parquet(lab / "data" / "sample" / f"{symbol}.parquet")
    date = next(name for name in table.columns if "date" in name.lower() or "session" in name.lower())
    return table.set_index(pd.to_datetime(table[date])).drop(columns=date)


def test_bars_of_a_frame_are_read_as_those_of_a_file(lab: Path) -> None:
    spy, qqq = bars_of(lab, "SPY"), bars_of(lab, "QQQ")
    by_file = simulator.run("buy_and_hold", "SPY,QQQ", workspace=lab, **SPAN)
    shapes = {
        "one for each": {"spy": spy, "QQQ": qqq},
        "two levels, symbol first": pd.concat({"SPY": spy, "QQQ": qqq}, axis=1),
        "two levels, field first": pd.concat({"SPY": spy, "QQQ": qqq}, axis=1).swaplevel(axis=1),
        "rows by symbol": pd.concat({"SPY": spy, "QQQ": qqq}, names=["symbol", "date"]),
        "a column of symbols": pd.concat([spy.assign(symbol="SPY"), qqq.assign(symbol="QQQ")]),
    }
    for shape, given in shapes.items():
        made = simulator.run("buy_and_hold", "SPY,QQQ", bars=given, workspace=lab, **SPAN)
        assert made.facts["digest"] == by_file.facts["digest"], shape
        assert made.facts["sources"]["SPY"].endswith("/SPY.parquet")
    assert made.check("costs").table["value"].notna().any()
    assert made.closes("SPY").notna().all()


def test_bars_after_a_date_change_no_decision_before_it(lab: Path) -> None:
    spy = bars_of(lab, "SPY")
    prices = ["open", "high", "low", "close"]
    fallen = spy.copy()
    fallen.loc["2023-05-01":, prices] *= 0.6
    runs = [
        simulator.run(trend, "SPY", bars=bars, parameters={"cadence": "daily"}, workspace=lab, **SPAN)
        for bars in (spy, fallen)
    ]
    decided = [run.decisions[run.decisions["session"] <= "2023-05-01"] for run in runs]
    pd.testing.assert_frame_equal(*decided)
    assert not runs[0].decisions.equals(runs[1].decisions)


@pytest.mark.fault("python", "bars= is no table of bars, or lacks a symbol", "UsageError names the shapes it takes")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        (3, "bars was int"),
        ({"QQQ": None}, r'bars\["QQQ"\] was NoneType'),
        (pd.DataFrame({"close": [1.0]}), "columns close"),
        ({"GLD": pd.DataFrame({"open": [1.0]})}, "bars has none of SPY, but of GLD"),
    ],
)  # fmt: skip
def test_what_is_no_bars_is_one_line(given: Any, found: str, lab: Path) -> None:
    with pytest.raises(UsageError, match=found):
        simulator.run("buy_and_hold", "SPY", bars=given, workspace=lab, **SPAN)
    with pytest.raises(UsageError, match="no folder nowhere"):
        simulator.run("buy_and_hold", "SPY", bars="nowhere", workspace=lab, **SPAN)


@pytest.mark.parametrize("symbol", ["../X", "BTC/USD", ".", "A B"])
def test_a_symbol_that_is_no_name_of_a_file_is_refused(symbol: str, lab: Path) -> None:
    before = sorted((lab / "data").rglob("*"))
    with pytest.raises(UsageError, match=r"is no symbol that a file can be named by|bars has none of"):
        simulator.run("buy_and_hold", [symbol], bars={symbol: bars_of(lab, "SPY")}, workspace=lab, **SPAN)
    assert sorted((lab / "data").rglob("*")) == before


def test_an_index_of_dates_in_any_form_and_order_is_read(lab: Path) -> None:
    spy = bars_of(lab, "SPY").loc["2022-12-01":"2023-06-30"]
    texts, numbers, mixed = spy.copy(), spy.copy(), spy.sample(frac=1, random_state=1)
    texts.index = spy.index.strftime("%Y-%m-%d")
    numbers.index = spy.index.strftime("%Y%m%d").astype(int)
    found = {
        simulator.run("buy_and_hold", "SPY", bars=one, workspace=lab, **SPAN).facts["digest"]
        for one in (spy, texts, numbers, mixed)
    }
    assert len(found) == 1


@pytest.mark.fault("python", "bars= holds an impossible price", "it is refused as in a file, nothing is recorded")
def test_impossible_bars_are_refused_as_in_a_file(lab: Path) -> None:
    broken = bars_of(lab, "SPY")
    broken.loc["2023-03-01", "high"] = 1.0
    before = len(simulator.runs(workspace=lab))
    with pytest.raises(DataError, match="2023-03-01"):
        simulator.run("buy_and_hold", "SPY", bars=broken, workspace=lab, **SPAN)
    assert len(simulator.runs(workspace=lab)) == before
    with Store(f"sqlite:///{lab / 'sim.db'}") as store:
        store.check()


def test_a_folder_of_bars_is_an_option_of_the_command_too(lab: Path, sim: Any) -> None:
    made = simulator.run("buy_and_hold", "SPY", bars=bars_of(lab, "SPY"), workspace=lab, **SPAN)
    words = made.facts["command"].split()
    assert words[words.index("--bars") + 1] == made.facts["bars"]
    done = sim(*words[1:], "--json", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert made.id in done.stdout
