"""The accounts of a council side by side: who earned what, how sure that is, and whether the council stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.analysis.verdict import withheld
from simulator.evidence.reader import Evidence, Series, accounts_of
from simulator.evidence.records import RunRecord
from simulator.number_format import UNDEFINED, dollars, interval, number_of, p_value, percent, ratio, whole
from simulator.report import figures
from simulator.report.figures import Frame, Layer, Panel, Tick
from simulator.report.paired import returns_of
from simulator.report.tables import WITHHELD, WITHHELD_WHY, Cell

COLUMNS = (
    ("Sharpe", "with its 95\u00a0% interval"),
    ("Return", "total"),
    ("Drawdown", "largest"),
    ("Hit rate", "round trips"),
    ("Turnover", "a year"),
    ("LLM cost", "of its answers"),
    ("Calibration", "conviction to return"),
    ("Reviews", "score to outcome"),
)
DRAWS = 2_000
"""Of the bootstrap that sets the council beside its best member, where run.json has no such comparison."""


@dataclass(frozen=True)
class Bar:
    """An interval on a shared scale, in percent from the left."""

    low: float
    high: float
    point: float


@dataclass(frozen=True)
class Place:
    """One account in the leaderboard. `own` marks the one the report is about; `range` is its Sharpe interval."""

    rank: str
    name: str
    seat: str
    model: str
    own: bool
    cells: tuple[Cell, ...]
    range: str
    bar: Bar | None


@dataclass(frozen=True)
class Scale:
    """Where zero and the round values of the bars lie, in percent from the left."""

    zero: float
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Board:
    places: tuple[Place, ...]
    scale: Scale | None
    sentence: str


def board(evidence: Evidence) -> Board | None:
    """The leaderboard of a run, None for one without accounts beside its own."""
    run = evidence.run
    entries = ranked(run)
    if not entries:
        return None
    left, right = _span(entries)
    shown = not withheld(run) and right > left
    places = tuple(_place(run, entry, n, (left, right) if shown else None) for n, entry in enumerate(entries, 1))
    scale = None
    if shown:
        ticks = [Tick(_across(v, left, right), ratio(v, 0)) for v in figures.steps(left, right, 5)]
        scale = Scale(_across(0.0, left, right), tuple(ticks))
    return Board(places, scale, council_sentence(run, against_best(run, evidence.equity)))


def ranked(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Entries of ``accounts`` by Sharpe ratio, the best first; those without one last, in their own order.

    By total return where the run is too short for annualised figures: what is withheld orders nothing.
    """
    entries = list(run.get("accounts") or [])
    by = "total_return" if withheld(run) else "sharpe"

    def standing(entry: Mapping[str, Any]) -> float:
        reached = number_of((entry.get("metrics") or {}).get(by))
        return np.inf if reached is None else -reached

    return sorted(entries, key=standing)


def _span(entries: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    ends = [number_of(entry.get(key)) for entry in entries for key in ("sharpe_ci_low", "sharpe_ci_high")]
    known = [value for value in ends if value is not None]
    return figures.bounds([np.array([*known, 0.0])], room=0.04) if known else (0.0, 0.0)


def _across(value: float, left: float, right: float) -> float:
    return round(100 * (value - left) / (right - left), 2)


def _place(run: Mapping[str, Any], entry: Mapping[str, Any], rank: int, span: tuple[float, float] | None) -> Place:
    metrics, reasons = entry.get("metrics") or {}, entry.get("reasons") or {}
    short = withheld(run)
    sharpe, low, high = (
        number_of(value) for value in (metrics.get("sharpe"), entry.get("sharpe_ci_low"), entry.get("sharpe_ci_high"))
    )
    bar = None
    if span and sharpe is not None and low is not None and high is not None:
        bar = Bar(*(_across(value, *span) for value in (low, high, sharpe)))
    cells = (
        Cell(WITHHELD, "", WITHHELD_WHY) if short else _cell(ratio(sharpe), reasons.get("sharpe")),
        _cell(percent(metrics.get("total_return"), sign=True), reasons.get("total_return")),
        _cell(_loss(metrics.get("max_drawdown")), reasons.get("max_drawdown")),
        _cell(percent(metrics.get("hit_rate"), 0), reasons.get("hit_rate")),
        Cell(WITHHELD, "", WITHHELD_WHY) if short else _cell(_times(metrics.get("turnover")), reasons.get("turnover")),
        _cost(entry.get("llm")),
        _correlation(entry.get("calibration"), "ic", ("ic_low", "ic_high")),
        _correlation(entry.get("reviews"), "correlation", ("low", "high")),
    )
    return Place(
        rank=UNDEFINED if sharpe is None or short else str(rank),
        name=str(entry.get("name", "?")),
        seat=str(entry.get("seat") or ""),
        model=str(entry.get("model") or ""),
        own=entry.get("name") == run.get("account"),
        cells=cells,
        range="" if short else interval(low, high).replace(UNDEFINED, ""),
        bar=bar,
    )


def _cell(text: str, why: Any) -> Cell:
    return Cell(text, "", str(why or "no reason recorded")) if text == UNDEFINED else Cell(text)


def _loss(value: Any) -> str:
    x = number_of(value)
    return UNDEFINED if x is None else percent(-abs(x))


def _times(value: Any) -> str:
    text = ratio(value, 1)
    return text if text == UNDEFINED else text + "×"


def _cost(llm: Any) -> Cell:
    found = llm if isinstance(llm, Mapping) else {}
    cost = number_of(found.get("cost_usd"))
    if cost is None:
        return Cell(UNDEFINED, "", "its questions were not counted apart")
    return Cell(dollars(cost, 2), f"{whole(found.get('calls'))} asked")


def _correlation(part: Any, key: str, ends: tuple[str, str]) -> Cell:
    """A rank correlation; its interval and number of cases stand below it, as the note."""
    found = part if isinstance(part, Mapping) else {}
    value = number_of(found.get(key))
    if value is None:
        reasons = found.get("reasons")
        why = reasons.get(key) if isinstance(reasons, Mapping) else None
        return Cell(UNDEFINED, "", str(why or "nothing to correlate"))
    return Cell(ratio(value, sign=True), interval(found.get(ends[0]), found.get(ends[1])).replace(UNDEFINED, ""))


def against_best(run: RunRecord, equity: Mapping[str, Series]) -> Mapping[str, Any]:
    """The council's Sharpe ratio less that of its best member, paired session by session; `equity` as in `Evidence`.

    Keys: name (the member), difference, low, high (95 %), p (Ledoit & Wolf 2008, two-sided), or why there is none.
    """
    best = _best_member(run)
    own, other = equity["equity"], accounts_of(run, equity).get(best)
    if not best or other is None:
        return {}
    if withheld(run):
        return {"name": best, "why": "too few sessions"}
    from simulator.stats.compare import compare
    from simulator.stats.series import Undefined

    cash = float(run["cash"])
    free = np.nan_to_num(equity.get("risk_free", np.zeros_like(own)))
    if not (np.isfinite(own).all() and np.isfinite(other).all() and min(own.min(), other.min()) > 0):
        return {"name": best, "why": "an account was lost"}
    found = compare(returns_of(own, cash), returns_of(other, cash), free, draws=DRAWS)
    if isinstance(found, Undefined):
        return {"name": best, "why": found.reason}
    return {"name": best, "difference": found.difference, "low": found.low, "high": found.high, "p": found.p}


def _best_member(run: Mapping[str, Any]) -> str:
    others = [entry for entry in ranked(run) if entry.get("name") != run.get("account")]
    known = [entry for entry in others if number_of((entry.get("metrics") or {}).get("sharpe")) is not None]
    return str(known[0].get("name")) if known else ""


def council_sentence(run: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Whether the council can be told from its best member."""
    council, best = run.get("account"), found.get("name")
    if not council or not best:
        return ""
    p, difference = number_of(found.get("p")), number_of(found.get("difference"))
    if p is None or difference is None:
        return f"Whether {council} differs from its best member, {best}, cannot be judged: {found.get('why')}."
    bounds = interval(found.get("low"), found.get("high"))
    higher = f"{ratio(abs(difference))} {'higher' if difference > 0 else 'lower'}"
    measured = f"its Sharpe ratio is {higher}, 95\u00a0% interval {bounds}, p {p_value(p)} (paired, Ledoit-Wolf)"
    hindsight = "Which member is best is known only afterwards, and that favours it."
    if p >= 0.07:
        said = f"{council} cannot be told from its best member, {best}"
    elif p >= 0.03:
        said = f"{council} beside its best member, {best}, is borderline"
    else:
        said = f"{council} is {'better' if difference > 0 else 'worse'} than its best member, {best}"
    return f"{said}: {measured}. {hindsight}"


@dataclass(frozen=True)
class Curve:
    """One account in the chart of all: CSS class, name, and what became of its cash."""

    css: str
    name: str
    value: str


def curves(evidence: Evidence) -> tuple[Panel, tuple[Curve, ...]] | None:
    """All accounts in one panel, the council on top; None where fewer than two have a curve."""
    cash, own = float(evidence.run["cash"]), evidence.run.get("account")
    found = [(name, values) for name, values in evidence.accounts.items() if np.isfinite(values).any()]
    if len(found) < 2:
        return None
    members = [name for name, _ in found if name != own]
    css = {name: f"account a{n % 6 + 1}" for n, name in enumerate(members)} | {str(own): "strategy"}
    values = [np.array([cash]), *(v for _, v in found)]
    log = min(float(np.nanmin(v)) for v in values) > 0
    low, high = figures.bounds(values, log)
    ticks = figures.dollar_ticks(figures.log_steps(low, high, 6) if log else figures.steps(low, high, 6))
    back_to_front = sorted(found, key=lambda pair: pair[0] == own)
    layers = [figures.line(css[name], v, start=cash, most=800) for name, v in back_to_front]
    panel = figures.draw(layers, Frame(-1, len(evidence.sessions) - 1, low, high, 300, log), ticks)
    best_first = sorted(found, key=lambda pair: -float(pair[1][np.isfinite(pair[1])][-1]))
    keys = [Curve(css[n], n, percent(v[np.isfinite(v)][-1] / cash - 1, sign=True)) for n, v in best_first]
    return panel, tuple(keys)


@dataclass(frozen=True)
class Calibrated:
    """How one account's convictions came out: a small panel, what it says in words, and why it is empty."""

    name: str
    own: bool
    panel: Panel | None
    summary: str
    spoken: str


def calibration(run: Mapping[str, Any]) -> tuple[Calibrated, ...]:
    """Mean realised return of the instrument by conviction, a panel for each account, all on one scale."""
    found = [(entry, entry.get("calibration") or {}) for entry in ranked(run)]
    rows = {id(entry): _steps_of(part) for entry, part in found}
    ends = [value for steps in rows.values() for _, *values in steps for value in values if value is not None]
    if not ends:
        return ()
    low, high = figures.bounds([np.array([*ends, 0.0])], room=0.06)
    ticks = figures.percent_ticks(figures.steps(low, high, 4))
    frame = Frame(-2.5, 2.5, low, high, 120)
    own = run.get("account")
    return tuple(_calibrated(entry, part, rows[id(entry)], frame, ticks, own) for entry, part in found)


Step = tuple[int, float, float | None, float | None]


def _steps_of(part: Mapping[str, Any]) -> list[Step]:
    """(conviction, mean, low, high) where a mean is known."""
    rows = part.get("by_conviction")
    steps = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping):
            level, mean = number_of(row.get("conviction")), number_of(row.get("mean_return"))
            if level is not None and mean is not None and abs(level) <= 2:
                steps.append((int(level), mean, number_of(row.get("low")), number_of(row.get("high"))))
    return steps


def _calibrated(
    entry: Mapping[str, Any],
    part: Mapping[str, Any],
    steps: Sequence[Step],
    frame: Frame,
    ticks: Sequence[tuple[float, str]],
    own: Any,
) -> Calibrated:
    name = str(entry.get("name", "?"))
    cell = _correlation(part, "ic", ("ic_low", "ic_high"))
    if not steps:
        return Calibrated(name, name == own, None, cell.why, "")
    at = np.array([float(level) for level, *_ in steps])
    nan = float("nan")
    ends = np.array([[nan if low is None else low, nan if high is None else high, nan] for _, _, low, high in steps])
    layers = [
        Layer("whisker", "line", np.repeat(at, 3), ends.ravel()),
        Layer("dot", "dots", at, np.array([mean for _, mean, *_ in steps])),
    ]
    horizon = number_of(part.get("horizon_sessions"))
    over = "" if horizon is None else f", {whole(horizon)} sessions ahead"
    bounds = f" ({cell.note or cell.why})" if cell.note or cell.why else ""
    summary = f"{whole(part.get('n'))} calls{over}; rank correlation {cell.text}{bounds}"
    said = "; ".join(f"conviction {ratio(level, 0, True)}: {percent(mean, sign=True)}" for level, mean, *_ in steps)
    return Calibrated(name, name == own, figures.draw(layers, frame, ticks), summary, f"{name}: {said}")
