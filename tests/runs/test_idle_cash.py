"""What idle cash earns is what excess returns subtract; what is borrowed pays it and a spread."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import simulator
from simulator.analysis.verdict import judge

HOLD = """
from simulator.rules import Rule


class Strategy(Rule):
    name = "hold_{weight}"
    cadence = "{cadence}"

    def weights(self, snapshot):
        return {{symbol: {weight} for symbol in snapshot.symbols}}
"""


def holding(workspace: Path, weight: float, cadence: str = "daily") -> str:
    name = f"hold_{weight:g}".replace(".", "_")
    (workspace / "strategies" / f"{name}.py").write_text(HOLD.format(weight=weight, cadence=cadence))
    return name


def columns(run: simulator.Run) -> dict[str, np.ndarray]:
    with (run.folder / "equity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("equity", "cash", "risk_free")}


def test_an_idle_run_has_an_excess_return_of_exactly_nothing(workspace: Path) -> None:
    run = simulator.run(holding(workspace, 0), ["SPY"], "2022-01-03", "2023-12-29", workspace=workspace)
    found = columns(run)
    returns = found["equity"] / np.append(100_000.0, found["equity"][:-1]) - 1
    assert returns.tolist() == found["risk_free"].tolist()
    assert found["equity"][-1] > 105_000
    with (run.folder / "exposure.csv").open(newline="") as file:
        assert {float(row[name]) for row in csv.DictReader(file) for name in row if name != "session"} == {0.0}
    assert (run.facts["skill"]["excess"], run.facts["skill"]["p"], run.facts["skill"]["ratio"]) == (0.0, None, None)
    assert "No position was held" in run.verdict.headline
    assert run.facts["metrics"]["sharpe"] is None
    assert run.facts["metrics"]["volatility"] == pytest.approx(np.std(returns, ddof=1) * 252**0.5)
    assert run.facts["metrics"]["max_drawdown"] < 0  # bills fell, a little


def test_bills_on_credit_lose_the_spread_and_nothing_else(workspace: Path) -> None:
    (workspace / "config" / "risk.yaml").write_text(
        "max_weight: 2\nmax_gross: 2\nmax_group: 2\ninitial_margin_long: 0.5\n"
    )
    (workspace / "config" / "costs.yaml").write_text("slippage_bps: 0\n")
    run = simulator.run(holding(workspace, 2), ["BIL"], "2023-01-03", "2023-12-29", workspace=workspace)
    found = columns(run)
    excess = (found["equity"] / np.append(100_000.0, found["equity"][:-1]) - 1 - found["risk_free"])[1:]
    assert excess * 252 == pytest.approx(-0.015, abs=0.0015)  # a debit of 0.9 to 1.1 of equity
    assert run.metrics["sharpe"] < -5
    assert "Nothing but the cash instrument was held" in run.verdict.headline


@pytest.mark.medium
@pytest.mark.parametrize("cadence", ["once", "weekly"])
def test_a_debit_costs_the_spread_to_the_last_digit_and_is_no_skill(workspace: Path, cadence: str) -> None:
    """What is borrowed to hold bills earns them and pays them: what is left is the spread on the debit carried."""
    (workspace / "config" / "risk.yaml").write_text(
        "max_weight: 2\nmax_gross: 2\nmax_group: 2\ninitial_margin_long: 0.5\n"
    )
    (workspace / "config" / "costs.yaml").write_text("slippage_bps: 0\n")
    run = simulator.run(holding(workspace, 2, cadence), ["BIL"], "2022-01-03", "2023-12-29", workspace=workspace)
    found = columns(run)
    if cadence == "once":
        before = found["equity"][:-1]
        excess = found["equity"][1:] / before - 1 - found["risk_free"][1:]
        assert excess == pytest.approx(found["cash"][:-1] / before * 0.015 / 252, abs=1e-15)
    verdict = judge(run.facts)
    assert verdict.standing in ("nothing", "worse", "benchmark")
    assert "nothing to judge" in verdict.headline


def test_a_stated_rate_in_place_of_the_instrument_is_a_note(workspace: Path) -> None:
    assets = workspace / "config" / "assets.yaml"
    assets.write_text(assets.read_text().replace("cash_instrument: BIL", "cash_instrument: XYZ"))
    run = simulator.run(holding(workspace, 0), ["SPY"], "2022-01-03", "2022-12-30", workspace=workspace)
    assert run.facts["risk_free"] == "the stated rate of 2.00% a year (XYZ has no bars)"
    assert f"risk-free return: {run.facts['risk_free']}" in run.facts["notes"]
    assert run.metrics["total_return"] == pytest.approx(1.02 ** (251 / 252) - 1, rel=1e-9)


@pytest.mark.medium
@pytest.mark.parametrize("rate", [0.0, 0.08, 0.15])
def test_a_number_overrides_the_instrument_in_what_excess_returns_subtract_too(rate: float, workspace: Path) -> None:
    (workspace / "config" / "costs.yaml").write_text(f"cash_interest: {rate}\n")
    run = simulator.run(holding(workspace, 0), ["SPY"], "2022-01-03", "2022-12-30", workspace=workspace)
    found = columns(run)
    returns = found["equity"] / np.append(100_000.0, found["equity"][:-1]) - 1
    assert returns.tolist() == found["risk_free"].tolist()
    assert run.metrics["total_return"] == pytest.approx((1 + rate / 252) ** 251 - 1, rel=1e-9, abs=1e-15)
    assert (run.facts["skill"]["excess"], run.facts["metrics"]["sharpe"]) == (0.0, None)
    source = f"the stated rate of {rate:.2%} a year (cash_interest)"
    assert f"risk-free return: {source}" in run.facts["notes"]
    assert f"Over a risk-free return of {source}." in run.verdict.details


@pytest.mark.medium
def test_interest_at_a_stated_rate_is_no_choosing(workspace: Path) -> None:
    """A coin that holds cash most of the time chooses no more where the cash earns more."""
    earned = {}
    for rate in (0.0, 0.15):
        (workspace / "config" / "costs.yaml").write_text(f"cash_interest: {rate}\n")
        values = {"probability": 0.15, "seed": 3}
        run = simulator.run("random_entry", ["SPY"], "2023-01-03", "2024-12-30", parameters=values, workspace=workspace)
        earned[rate] = run.facts["skill"]["choosing"]
    assert earned[0.15] == pytest.approx(earned[0.0] - 0.15 * 0.15, abs=0.03)


SCALP = """
from simulator.trading.model import Decision, Target
from simulator.rules import Rule
class Scalp:
    name, cadence, window, reads = "scalp", "daily", 1, "nothing"
    async def opine(self, snapshot, journal):
        return None
    def decide(self, snapshot, opinion, book, journal):
        last = snapshot.last("SPY")
        return Decision(snapshot.as_of, (Target("SPY", 0.5, "limit", last * 0.999, last * 0.99, last * 1.001),))
"""


@pytest.mark.medium
def test_positions_that_begin_and_end_within_a_bar_are_held_and_judged(workspace: Path) -> None:
    (workspace / "strategies" / "scalp.py").write_text(SCALP)
    run = simulator.run("scalp", ["SPY"], "2023-01-03", "2023-12-29", workspace=workspace)
    within = run.trades[run.trades["sessions"] == 0]
    assert len(within) > 20
    assert run.facts["skill"]["idle"] is False
    assert "nothing to judge" not in run.verdict.headline


TINY = """
from simulator.rules import Rule
class Tiny(Rule):
    cadence = "daily"
    def weights(self, market):
        return {"SPY": 0.5 + step * (len(market) % 2)}
"""


@pytest.mark.medium
@pytest.mark.parametrize(("step", "many"), [("1e-9", False), ("0.009", False), ("0.02", True)])
def test_slivers_are_no_decisions(step: str, many: bool, workspace: Path) -> None:
    (workspace / "strategies" / "tiny.py").write_text(TINY.replace("step", step))
    run = simulator.run("tiny", ["SPY"], "2023-01-03", "2023-06-30", workspace=workspace)
    assert (run.facts["skill"]["decisions"] > 100) is many
    assert many or "is a benchmark" in run.verdict.headline


RAMP = """
from simulator.rules import Rule
class Ramp(Rule):
    cadence = "daily"
    n = 0
    def weights(self, market):
        self.__dict__["n"] = self.n + 1
        return {"NVDA": min(1.0, max(0.0, SHARE))}
"""


@pytest.mark.medium
@pytest.mark.parametrize(("share", "plain"), [("0.002 * self.n", "p_mean"), ("1 - 0.002 * self.n", "p_worse")])
def test_an_exposure_that_only_rises_or_falls_is_neither_skill_nor_worse(
    share: str, plain: str, workspace: Path
) -> None:
    """In the rising market of 2023 and 2024 it is above, or below, its mean so far all the time."""
    (workspace / "strategies" / "ramp.py").write_text(RAMP.replace("SHARE", share))
    run = simulator.run("ramp", ["NVDA"], "2023-01-03", "2024-12-30", workspace=workspace)
    skill = run.facts["skill"]
    mean_only = {"p_mean": skill["p_mean"], "p_worse": 1 - skill["p_mean"]}
    assert mean_only[plain] < 0.025 < min(skill["p"], skill["p_worse"])
    assert run.verdict.standing in ("luck", "paid")
    assert "An exposure that moved one way accounts for" in run.verdict.headline
