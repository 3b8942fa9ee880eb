"""The desk's meetings with its agents: whom it asks, with which facts, and what their words may change.

    before the open   screener ─► its first three ─► analyzer, side by side      market alone, asked ahead
                      plans ─► optimizer, one after the other's plan             the account in hand
    after the close   trades of the day or the week ─► reviewer ─► backtester    the account in hand

Words change three things: the order of the watchlist, a class downwards, and whether a plan is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulator.desk import formulas
from simulator.desk.agents.answers import Analysis, Optimization, PerformanceReview, Screening, Validation
from simulator.desk.agents.facts import (
    analyzer_facts,
    backtester_facts,
    optimizer_facts,
    reviewer_facts,
    screener_facts,
)
from simulator.desk.agents.protocol import AgentRow, Agents, Asked, Said, ask_agent, said_of
from simulator.desk.formulas import Recommendation, Technicals
from simulator.desk.state import DeskState
from simulator.desk.tools import load_tools
from simulator.errors import SimError
from simulator.market.calendar import day_of
from simulator.trading.model import Book

CLASSES: tuple[Recommendation, ...] = ("AVOID", "HOLD", "BUY", "STRONG_BUY")
"""From the lowest to the highest."""
NOBODY = Book(0.0, {}, {}, 0.0)
"""Book of those who are asked about the market alone."""


@dataclass(frozen=True)
class Morning:
    """Words of screener and analyzers before the open: the watchlist, best first, and a judgement of its best.

    `screening` is None where no symbol passed the filters and nobody was asked.
    """

    screening: Said[Screening] | None = None
    analyses: tuple[Said[Analysis], ...] = ()

    @property
    def watchlist(self) -> tuple[str, ...]:
        """Symbols of the screener, best first, each once; () where it gave no answer."""
        value = None if self.screening is None else self.screening.value
        return tuple(dict.fromkeys(one.symbol for one in value.candidates)) if value else ()

    @property
    def rows(self) -> tuple[AgentRow, ...]:
        """Their part of the record."""
        return tuple(one.row for one in (self.screening, *self.analyses) if one is not None)

    @classmethod
    def from_rows(cls, rows: Sequence[AgentRow]) -> Morning:
        """Return the words behind `rows`. Raises ValueError or KeyError for any other shape."""
        if not rows:
            return cls()
        return cls(said_of(rows[0], Screening), tuple(said_of(row, Analysis) for row in rows[1:]))

    def analysis_of(self, symbol: str) -> Said[Analysis] | None:
        """Return what was said of `symbol`; None where nobody was asked."""
        return next((one for one in self.analyses if one.about == symbol), None)


async def hold_morning(
    agents: Agents, state: DeskState, passed: Sequence[Technicals], rejected: Mapping[str, Sequence[str]], analysed: int
) -> Morning:
    """Ask the screener about the symbols that passed, best score first, and the analyzer about its first `analysed`.

    Only the market of `state` is seen. Nobody is asked where nothing passed.
    """
    if not passed:
        return Morning()
    market = replace(state, book=NOBODY, trips=(), equity=(), stops={}, targets={}, entries_today=0)
    known = {t.symbol: t for t in passed}
    facts = screener_facts(market.snapshot, passed, rejected)
    prices = {symbol: t.price for symbol, t in known.items()}
    screening = await ask_agent(agents, Asked("screener", Screening, facts, market, None, prices))
    morning = Morning(screening)
    chosen = [known[symbol] for symbol in morning.watchlist if symbol in known][:analysed]  # any other is struck out
    judged = await asyncio.gather(*(analyze(agents, market, t) for t in chosen))
    return replace(morning, analyses=tuple(judged))


async def analyze(agents: Agents, state: DeskState, t: Technicals) -> Said[Analysis]:
    """Ask the analyzer about one symbol."""
    facts = analyzer_facts(state.snapshot, t, state.caps)
    return await ask_agent(agents, Asked("analyzer", Analysis, facts, state, t.symbol, {t.symbol: t.price}))


def recommended(said: Said[Analysis] | None, t: Technicals) -> Recommendation:
    """Return the class that counts: that of the score, or a lower one that the analyzer stands behind.

    Without a usable answer it is AVOID: nothing is bought that nobody looked at.
    """
    by_score = formulas.classify(formulas.confidence([*formulas.signal_points(t).values()], t.lead63 > 0.0))
    if said is None or said.value is None:
        return "AVOID"
    return min(by_score, said.value.recommendation, key=CLASSES.index)


def overruled(said: Said[Analysis] | None, t: Technicals) -> str | None:
    """Return why the word of an analyzer does not count: it lies above the class of the score; None where it does."""
    counts = recommended(said, t)
    if said is None or said.value is None or said.value.recommendation == counts:
        return None
    return f"the analyzer said {said.value.recommendation}, the score says {counts}"


async def optimize(
    agents: Agents, state: DeskState, plan: Mapping[str, Any], analysis: Said[Analysis] | None
) -> Said[Optimization]:
    """Ask the optimizer about one plan: `symbol`, `shares`, `entry`, `stop`, `targets`, `binding`, by name."""
    symbol = str(plan["symbol"])
    facts = optimizer_facts(state, plan, None if analysis is None else analysis.row)
    return await ask_agent(
        agents, Asked("optimizer", Optimization, facts, state, symbol, {symbol: float(plan["entry"])})
    )


def approved(said: Said[Optimization]) -> bool:
    """Return True where the optimizer said so in an answer that could be read."""
    return said.value is not None and said.value.approve


async def review(
    agents: Agents,
    state: DeskState,
    period_days: int,
    metrics: Mapping[str, Any],
    grade: str,
    *,
    detailed: bool = False,
) -> Said[PerformanceReview]:
    """Ask the reviewer about the trades of the last `period_days` calendar days."""
    facts = reviewer_facts(state, period_days, detailed, metrics, grade)
    return await ask_agent(agents, Asked("reviewer", PerformanceReview, facts, state, f"{period_days} days"))


async def validate(agents: Agents, state: DeskState, strategy: str, results: Mapping[str, Any]) -> Said[Validation]:
    """Ask the backtester about one strategy, of which a backtest measured `results`."""
    facts = backtester_facts(strategy, results)
    return await ask_agent(agents, Asked("backtester", Validation, facts, state, strategy))


def backtest(state: DeskState, strategy: str) -> Mapping[str, Any]:
    """Return what a backtest of `strategy` on the desk's symbols over all bars known measures, {"error": …} without."""
    first = day_of(int(state.snapshot.bars.session_of[0]))
    symbols = [symbol for symbol in state.snapshot.symbols if state.snapshot.has(symbol)]
    asked = {"strategy": strategy, "symbols": symbols, "start": first.isoformat()}
    try:
        return load_tools()["run_backtest"].call(state, asked).model_dump(mode="json")
    except SimError as error:
        return {"error": str(error)}
