"""Recall regression: are forecasts better where the model remembers more?

    y = β₀ + β₁ŷ + β₂LAP + β₃ŷ·LAP + ε         β₃ > 0 one-sided, clustered by date

y is the return of an asset from the open after a meeting to the open after the next, ŷ the weight the council wanted in
it, LAP (lookahead propensity) how well its models recall the asset's close before the meeting, asked for by name and
date and nothing else. Source: Gao, Jiang & Yan (2025, revised 2026). Their query concerns the outcome; a close that
lies before the forecast is asked for here, so that a lucky guess of y does not raise LAP and β₃ by itself.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from simulator.config import Seat
from simulator.contamination.case import Case
from simulator.contamination.reidentify import distinct_models
from simulator.contamination.results import Figure, Result
from simulator.contamination.words import numbers, p_text, percent
from simulator.llm.answers import schema_of
from simulator.llm.messages import Message
from simulator.llm.registry import request_for
from simulator.market.bars import Snapshot
from simulator.market.calendar import NEW_YORK
from simulator.number_format import ratio
from simulator.numerics import decompose, matmul, products
from simulator.stats.distributions import student_cdf, student_quantile
from simulator.stats.mean import mean_of
from simulator.stats.series import Floats
from simulator.trading.schedule import MEETING

TITLE = "Recollection"
TOLERANCE = 0.10
"""A recalled price this far off (log) counts as not recalled."""
FEWEST_DATES = 30
LEVEL = 0.05

SYSTEM = "You answer from memory."
TASK = """What was the closing price, in dollars, of each of these on {day}: {symbols}?

Answer with one JSON object: `closes`, an object with the price for each name, or null where you do not remember it. No
text before or after it."""


class Recollection(BaseModel):
    """Closing prices as a model remembers them."""

    # Title and description are part of the cache key of every question: data, whatever class and docstring say.
    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": False, "description": "Closing prices as a model remembers them."},
        title=TITLE,
    )
    closes: dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Fit:
    """OLS with standard errors clustered by date: coefficients (4,), their errors, and the number of dates."""

    beta: Floats
    error: Floats
    dates: int

    def p_above_0(self, n: int) -> float:
        """One-sided p of "β ≤ 0", Student's t with dates − 1 degrees of freedom."""
        return student_cdf(-float(self.beta[n] / self.error[n]), self.dates - 1)


async def ask(case: Case) -> Mapping[int, Mapping[str, float]]:
    """Return {meeting: {symbol: LAP, 0 … 1, the mean over the council's models}}."""
    if not case.asks_models:
        return {}
    models = distinct_models(case.seats)
    meetings = range(len(case.at_meetings.instants))
    asked = await asyncio.gather(*(_ask_recall(case, k, seat, chair) for k in meetings for seat, chair in models))
    found: dict[int, dict[str, float]] = {}
    for k in meetings:
        of_models = asked[k * len(models) : (k + 1) * len(models)]
        found[k] = {symbol: float(np.mean([one[symbol] for one in of_models])) for symbol in of_models[0]}
    return found


def judge(case: Case, lap: Mapping[int, Mapping[str, float]]) -> Result:
    """Flagged where β₃ is above 0, one-sided at 5 %."""
    if not case.asks_models:
        return Result("not applicable", "Needs a model: rules and analysts remember nothing.")
    rows = _rows(case, lap)
    dates, recalled = np.unique(rows[:, 0]), mean_of(rows[:, 3]) if len(rows) else None
    if recalled is None or len(dates) < FEWEST_DATES:
        few = f"Not assessable: {len(dates)} meetings with a next one, {FEWEST_DATES} are needed."
        return Result("not assessable", few)
    level = (Figure("LAP: closes recalled, mean", recalled.value, "share", recalled.low, recalled.high),)
    remembered = f"its models recall {percent(recalled.value, 0)} of what can be recalled"
    if not rows[:, 3].any():
        return Result("passed", "Its models recall none of the closes they were asked for.", level)
    if np.ptp(rows[:, 3]) < 1e-9 or np.ptp(rows[:, 2]) < 1e-9:
        what = "LAP does not vary" if np.ptp(rows[:, 3]) < 1e-9 else "forecasts do not vary"
        return Result("not assessable", f"Not assessable: {what} ({remembered}).", level)
    fit = fit_clustered(rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 0])
    if fit is None:
        return Result("not assessable", "Not assessable: forecast and LAP move as one.", level)
    p, reach = fit.p_above_0(3), student_quantile(0.975, fit.dates - 1)
    names = ("β₀", "β₁ of the forecast", "β₂ of LAP", "β₃ of forecast × LAP")
    ends = zip(names, fit.beta.tolist(), (reach * fit.error).tolist(), (None, None, None, p), strict=True)
    figures = [Figure(name, b, "slope", b - away, b + away, one_sided) for name, b, away, one_sided in ends]
    low, high = float(fit.beta[3] - reach * fit.error[3]), float(fit.beta[3] + reach * fit.error[3])
    slope = ratio(float(fit.beta[3]), 4, sign=True)
    estimate = f"β₃ {slope} ({numbers(low, high, 4, sign=True)}, one-sided {p_text(p)})"
    adjusted = "bars may be adjusted for splits and dividends, what a model recalls is not"
    notes = (f"{len(rows)} asset-dates, {fit.dates} dates", adjusted)
    if p < LEVEL:
        text = f"FLAGGED: forecasts are better where its models remember more: {estimate}; {remembered}."
        return Result("flagged", text, (*figures, *level), notes)
    text = f"Forecasts are not better where its models remember more: {estimate}; {remembered}."
    return Result("passed", text, (*figures, *level), notes)


def fit_clustered(y: Floats, forecast: Floats, lap: Floats, dates: Floats) -> Fit | None:
    """OLS of y on 1, ŷ, LAP, ŷ·LAP, all (n,), errors clustered by `dates` (n,), with G/(G − 1) · (n − 1)/(n − k).

    None where the regressors are collinear. Source: Liang & Zeger (1986).
    """
    x = np.column_stack((np.ones(len(y)), forecast, lap, forecast * lap))
    left, squares, right = decompose(x)
    if not (squares > 0.0).all() or len(y) <= x.shape[1]:
        return None
    inverse = matmul(right / squares, right.T)
    beta = matmul(right / squares, products(left, y[:, None]))
    scores = x * (y[:, None] - matmul(x, beta))
    groups = np.unique(dates)
    sums = np.array([scores[dates == one].sum(axis=0) for one in groups])
    size = len(groups) / (len(groups) - 1) * (len(y) - 1) / (len(y) - x.shape[1])
    covariance = matmul(matmul(size * inverse, products(sums, sums)), inverse)
    error = np.sqrt(np.diag(covariance))
    return None if not (error > 0).all() else Fit(beta[:, 0], error, len(groups))


def propensity(recalled: float | None, real: float) -> float:
    """1 for the price itself, falling to 0 at ten per cent (log) off; 0 for what is not remembered."""
    if recalled is None or not math.isfinite(recalled) or recalled <= 0 or not real > 0:
        return 0.0
    return max(0.0, 1.0 - abs(math.log(recalled / real)) / TOLERANCE)


async def _ask_recall(case: Case, k: int, seat: str, chair: Seat) -> dict[str, float]:
    market = case.at_meetings.snapshots[k]
    symbols = [symbol for symbol in market.symbols if market.has(symbol)]
    text = TASK.format(day=market.session, symbols=", ".join(symbols))
    day = market.as_of.astimezone(NEW_YORK).date()
    purpose = {"stage": "recall", "seat": seat, "session": str(day)}
    messages = (Message("system", SYSTEM), Message("user", text))
    request = request_for(chair, messages, schema_of(Recollection), purpose)
    answered = await case.asking.gateway.ask_for(request, Recollection)
    closes = answered.value.closes if answered.value is not None else {}
    return {symbol: propensity(closes.get(symbol), market.last(symbol)) for symbol in symbols}


def _rows(case: Case, lap: Mapping[int, Mapping[str, float]]) -> Floats:
    """(n, 4): meeting, y, ŷ, LAP of every asset and date with a price at both ends."""
    decided = [one for one, what in zip(case.decisions, case.inputs.points, strict=True) if what == MEETING]
    opens = [_opens(case, snapshot) for snapshot in case.at_meetings.snapshots]
    rows = []
    for k in range(len(decided) - 1):
        weights = {target.symbol: target.weight for target in decided[k].targets}
        for symbol, known in lap[k].items():
            enter, leave = opens[k].get(symbol), opens[k + 1].get(symbol)
            if enter and leave and symbol in weights:
                rows.append((float(k), leave / enter - 1, weights[symbol], known))
    return np.array(rows).reshape(-1, 4)


def _opens(case: Case, snapshot: Snapshot) -> dict[str, float]:
    """{symbol: open of the bar after the meeting}."""
    at = len(snapshot)
    if at >= len(case.inputs.bars):
        return {}
    opens = zip(case.inputs.bars.symbols, case.inputs.bars.open[at].tolist(), strict=True)
    return {symbol: price for symbol, price in opens if price > 0}
