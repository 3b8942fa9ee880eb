"""The same bars times a constant: the same decisions and returns, readable prices, and no figure of a run that held
nothing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import simulator
from simulator.number_format import decimals, price, price_text, round_price, shares
from simulator.rules import Rule, Snapshot, UsageError
from simulator.runs.strategies import available
from simulator.workspace import make_workspace, shipped

from ..conftest import Sim

SYMBOLS = {"sixty_forty": ("SPY", "BIL"), "macro_council": ("SPY",), "small_council": ("SPY", "QQQ")}
SPAN = "2024-01-02", "2024-06-28"
SIXTY = ("date", "open", "high", "low", "close", "volume", "dividend")


@cache
def sample(symbol: str) -> Sequence[Mapping[str, Any]]:
    rows = pyarrow.parquet.read_table(shipped() / "data" / "sample" / f"{symbol}.parquet").to_pylist()
    return [row for row in rows if "2022-06" < str(row["date"]) < "2024-07-02"]


def write_bars(workspace: Path, symbol: str, scale: float, source: str | None = None) -> None:
    """Write the sample's bars with prices and dividends `scale` times as high."""
    with (workspace / "data" / f"{symbol}.csv").open("w") as out:
        writer = csv.writer(out)
        writer.writerow(SIXTY)
        for row in sample(source or symbol):
            prices = (repr(row[name] * scale) for name in SIXTY[1:5])
            writer.writerow((row["date"], *prices, row["volume"], repr(row.get("dividend", 0.0) * scale)))


def trade(folder: Path, strategy: str, scale: float) -> simulator.Run:
    """A run of a shipped strategy in a workspace of its own, on bars `scale` times as high."""
    make_workspace(folder, git=False)
    symbols = SYMBOLS.get(strategy, ("SPY", "QQQ", "GLD"))
    for symbol in symbols:
        write_bars(folder, symbol, scale)
    return simulator.run(strategy, symbols, *SPAN, workspace=folder)


def wanted(run: simulator.Run) -> list[tuple[str, list[tuple[str, float]]]]:
    return [(one["as_of"], [(t["symbol"], round(t["weight"], 5)) for t in one["targets"]]) for one in run.records]


def fills(run: simulator.Run) -> list[dict[str, str]]:
    return list(csv.DictReader((run.folder / "fills.csv").read_text().splitlines()))


@pytest.mark.medium
@pytest.mark.fault("bars", "prices of 1e-5 or of 600,000 dollars", "the same decisions and returns as at 100 dollars")
# Not the desk, whose rules count in dollars: volume a day, stops in cents.
@pytest.mark.parametrize("strategy", [one for one in available(shipped() / "strategies") if one != "momentum_desk"])
def test_a_strategy_earns_the_same_at_any_size_of_prices(strategy: str, tmp_path: Path) -> None:
    council = "council" in strategy
    # Powers of two leave every digit of a float alone, powers of ten every digit of a price as people write it. From
    # one dollar to a hundred the tick that a limit must be passed by is a cent, which no scale leaves alone.
    scales = (1e-7, 1e3) if council else (2.0**-24, 2.0**11)
    base = trade(tmp_path / "base", strategy, 1.0)
    assert base.metrics["total_return"]
    for scale in scales:
        run = trade(tmp_path / f"{scale}", strategy, scale)
        assert wanted(run) == wanted(base)
        assert [(f["at"], f["why"]) for f in fills(run)] == [(f["at"], f["why"]) for f in fills(base)]
        for name in ("total_return", "max_drawdown", "turnover", "exposure"):
            assert run.metrics[name] == pytest.approx(base.metrics[name], rel=1e-9, abs=1e-12), (scale, name)


@pytest.mark.medium
def test_a_council_earns_nearly_the_same_where_prices_have_other_digits(tmp_path: Path) -> None:
    base, other = (trade(tmp_path / f"{scale}", "macro_council", scale) for scale in (1.0, 2e-8))
    assert wanted(other) == wanted(base)
    assert other.metrics["total_return"] == pytest.approx(base.metrics["total_return"], abs=2e-5)


@pytest.mark.medium
@pytest.mark.fault("bars", "prices below a cent", "terminal, report and `sim explain` show their digits")
def test_small_prices_are_shown_with_their_digits(workspace: Path, sim: Sim) -> None:
    write_bars(workspace, "TINY", 1e-7, "SPY")
    run = simulator.run("macro_council", "TINY", "2024-01-02", "2024-02-28", workspace=workspace)
    fill = fills(run)[0]
    shown = sim("explain", run.folder.name, "--account", "council", cwd=workspace)
    assert shown.returncode == 0, shown.stderr
    assert f" {price(float(fill['price']))} " in shown.stdout
    shown = sim("explain", run.folder.name, fill["session"], cwd=workspace)
    assert f" at {price(float(fill['price']))} (" in shown.stdout
    for one in run.records:
        for target in one["targets"]:
            assert all(0.2 < target[n] / 4.7e-5 < 5 for n in ("limit", "stop", "take_profit") if target.get(n))


@pytest.mark.parametrize(
    ("value", "rounded", "text"),
    [
        (476.4899, 476.49, "$476.49"),
        (47.6449, 47.64, "$47.64"),
        (9999.994, 9999.99, "$9,999.99"),
        (4.764649, 4.7646, "$4.7646"),
        (4.5, 4.5, "$4.50"),
        (0.0952981234, 0.095298, "$0.095298"),
        (0.0000094532, 0.0000094532, "$0.0000094532"),
        (612345.678, 612350.0, "$612,350.00"),
        (-0.0000094532, -0.0000094532, "\u2212$0.0000094532"),
    ],
)
def test_a_price_is_rounded_and_written_by_its_size(value: float, rounded: float, text: str) -> None:
    assert round_price(value) == rounded
    assert price(rounded) == text
    assert "e" not in price_text(rounded)


def test_undefined_prices_and_parts_of_shares_are_written() -> None:
    assert price(math.nan) == "n/a"
    assert [shares(q) for q in (12.5, 0.0, 0.00003214567, 0.25)] == ["12.5000", "0.0000", "0.00003215", "0.2500"]
    assert decimals(470.0) == 2


@pytest.mark.medium
@pytest.mark.fault("bars", "whole shares that nobody can afford", "a rejection, a note, and no Sharpe ratio")
def test_a_share_that_nobody_can_afford_is_rejected_and_noted(workspace: Path, sim: Sim) -> None:
    write_bars(workspace, "DEAR", 1000.0, "SPY")
    config = workspace / "config" / "risk.yaml"
    config.write_text(config.read_text().replace("shares: fractional", "shares: whole"))
    done = sim("run", "--strategy", "buy_and_hold", "--symbols", "DEAR", *_span(), cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert "note DEAR: the weight bought no whole share 1 time, one is $5" in " ".join(done.stdout.split())
    assert "Sharpe ratio n/a" in " ".join(done.stdout.split())
    (folder,) = (workspace / "reports").glob("buy_and_hold-*")
    (rejected,) = csv.DictReader((folder / "rejected.csv").read_text().splitlines())
    assert rejected["why"] == "less than one share"
    assert 0 < float(rejected["wanted"]) < 1
    facts = json.loads((folder / "run.json").read_text())
    assert facts["metrics"]["sharpe"] is None
    assert facts["reasons"]["sharpe"]
    assert facts["inference"]["sharpe_ci_low"] is None
    assert facts["audit"]["max_relative_difference"] == 0


@pytest.mark.medium
@pytest.mark.parametrize(("least", "stated"), [("0.1%", "0.1 % of equity"), ("$150", "$150")])
def test_changes_that_were_left_out_are_counted_in_a_note_and_named_among_the_assumptions(
    least: str, stated: str, workspace: Path, sim: Sim
) -> None:
    config = workspace / "config" / "risk.yaml"
    config.write_text(config.read_text().replace("min_trade: 0.1%", f"min_trade: {least}"))
    done = sim("run", "--strategy", "equal_weight", "--symbols", "SPY,QQQ", "--from", "2023-01-03", cwd=workspace)
    assert done.returncode == 0, done.stderr
    (folder,) = (workspace / "reports").glob("equal_weight-*")
    rejected = list(csv.DictReader((folder / "rejected.csv").read_text().splitlines()))
    small = [one for one in rejected if one["why"] == "too small"]
    assert small
    assert f"note {len(small)} changes below {stated} left out as too small: see rejected.csv" in " ".join(
        done.stdout.split()
    )
    page = (folder / "report.html").read_text().replace("\u00a0", " ")
    assert f"a change below {stated} is not traded, leaving a position always is" in page


def _span() -> tuple[str, ...]:
    return "--from", SPAN[0], "--to", SPAN[1]


class Nothing(Rule):
    """Nothing at all."""

    def weights(self, market: Snapshot) -> dict[str, float]:  # noqa: ARG002
        return {}


@pytest.mark.medium
@pytest.mark.parametrize(("interest", "earned"), [("cash", 0.026), ("0.0", 0.0), ("0.04", 0.02)])
def test_an_account_that_held_nothing_has_no_ratio_to_risk(interest: str, earned: float, workspace: Path) -> None:
    (workspace / "config" / "costs.yaml").write_text(f"cash_interest: {interest}\n")
    run = simulator.run(Nothing, "SPY", *SPAN, workspace=workspace)
    for name in ("sharpe", "sortino"):
        assert run.facts["metrics"][name] is None
        assert run.facts["reasons"][name]
    assert run.facts["inference"]["sharpe_ci_low"] is None
    assert run.metrics["total_return"] == pytest.approx(earned, abs=2e-3)


def weigh(workspace: Path, weights: Any) -> simulator.Run:
    class Mine(Rule):
        """As told."""

        cadence = "once"

        def weights(self, market: Snapshot) -> dict[str, float]:  # noqa: ARG002
            return weights  # type: ignore[no-any-return]

    return simulator.run(Mine, "SPY", "2024-01-02", "2024-01-31", workspace=workspace)


@pytest.mark.medium
@pytest.mark.fault("python", "a rule returns 50 for 50 %", "one line that says to write 0.5")
@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ({"SPY": 50}, "the weight of SPY was 50 on 2023-12-29, 5,000% of equity; weights are fractions of equity: "
         "write 0.5 for 50 %"),
        ({"SPY": -60.0}, "write -0.6 for -60 %"),
        ({"SPY": "50%"}, "the weight of SPY was '50%', not a number, on 2023-12-29; write a fraction of equity, 0.5"),
        ({"SPY": None}, "the weight of SPY was None, not a number"),
        ({"SPY": True}, "the weight of SPY was True, not a number"),
        ({"SPY": float("nan")}, "the weight of SPY was nan, not a finite number"),
        ({"SPY": -math.inf}, "the weight of SPY was -inf, not a finite number"),
        ({"SPY": 10**400}, "the weight of SPY was a int, not a number"),
        ({"spy": 0.5}, 'no symbol "spy" in this run, did you mean "SPY"?'),
        ({None: 0.5}, 'no symbol "None" in this run'),
        (None, "weights was None on 2023-12-29; return a dict, e.g. {'SPY': 0.6}; {} holds nothing"),
        (0.5, "weights was 0.5 on 2023-12-29; return a dict"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_meant_are_one_line_with_the_way_out(workspace: Path, weights: Any, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        weigh(workspace, weights)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.medium
def test_weights_of_numpy_and_a_weight_of_five_are_read(workspace: Path) -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert weigh(workspace, {"SPY": np.float32(0.5)}).records[0]["targets"][0]["weight"] == 0.5
    (note,) = [n for n in weigh(workspace, {"SPY": 5}).facts["notes"] if "times the equity" in n]
    assert note == "SPY was wanted at 5 times the equity and cut to 1: weights are fractions, 0.05 is 5 %"
    for table in (pd.Series({"SPY": 0.5}), pd.DataFrame({"SPY": [0.5]})):
        with pytest.raises(UsageError, match=r"weights was a (Series|DataFrame) on") as caught:
            weigh(workspace, table)
        assert "\n" not in str(caught.value)
