"""First screen: six figures beside the verdict and the equity curve."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from simulator.analysis.verdict import is_ruined, part_after_cutoff, withheld
from simulator.evidence.reader import Evidence
from simulator.evidence.records import RunRecord
from simulator.evidence.row_table import column_of
from simulator.number_format import cents, dollars, interval, percent
from simulator.report.catalogue import METRICS, SHARPE_INTERVAL, WITHHELD, WITHHELD_WHY
from simulator.report.table import Cell

NO_POSITIONS = "positions are not on record"
LOST = "everything was lost"


@dataclass(frozen=True)
class Tile:
    """A figure under its name, and a line below it: its interval, or what it is held against."""

    name: str
    text: str
    under: str


def compose(evidence: Evidence) -> tuple[Tile, ...]:
    """Return the six tiles: return, return beyond the exposure, Sharpe ratio, drawdown, exposure, cost."""
    run = evidence.run
    total, fall, exposure, volatility = (
        _cell(run, key) for key in ("total_return", "max_drawdown", "exposure", "volatility")
    )
    held = run["benchmarks"].get("buy_and_hold", {})
    beside = [METRICS[key].cell(held, {}).text for key in ("total_return", "max_drawdown")]
    sharpe, moved = _cell(run, "sharpe"), f"volatility {volatility.text}{'' if volatility.why else ' a year'}"
    bounds = SHARPE_INTERVAL.cell(run["inference"], run["reasons"], withheld(run))
    return (
        Tile("Return", total.text, total.why or f"buy-and-hold {beside[0]}"),
        _beyond(run),
        Tile("Sharpe ratio", sharpe.text, sharpe.why or bounds.why or _with_interval(bounds.text)),
        Tile("Largest drawdown", fall.text, fall.why or f"buy-and-hold {beside[1]}"),
        Tile("Exposure", exposure.text, exposure.why or moved),
        _cost(evidence),
    )


def _cell(run: RunRecord, key: str) -> Cell:
    return METRICS[key].cell(run["metrics"], run["reasons"], withheld(run))


def _with_interval(bounds: str) -> str:
    return f"95\u00a0% interval {bounds}"


def _beyond(run: RunRecord) -> Tile:
    """Return what the verdict is on: of the sessions after the models' cut-off where a model answered."""
    name, part = "Beyond its exposure", part_after_cutoff(run)
    if withheld(run):
        return Tile(name, WITHHELD, WITHHELD_WHY)
    if is_ruined(run):
        return Tile(name, "n/a", LOST)
    if part is None:
        return Tile(name, "n/a", "not assessable: sessions the models may remember")
    skill = part.get("skill")
    if skill is None or skill["beyond"] is None:
        return Tile(name, "n/a", (skill and skill["reason"]) or NO_POSITIONS)
    bounds = interval(skill["beyond_low"], skill["beyond_high"], percent)
    return Tile(name, percent(skill["beyond"], sign=True), f"a year, {_with_interval(bounds)}")


def _cost(evidence: Evidence) -> Tile:
    paid = [fsum(column_of(evidence.fills, name)) for name in ("slippage", "commission")]
    models = evidence.run["llm"]["cost_usd"]
    asked = f", models {cents(models)}" if models else ""
    return Tile("Cost", dollars(sum(paid)), f"slippage {dollars(paid[0])}, commission {dollars(paid[1])}{asked}")
