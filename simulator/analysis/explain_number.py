"""A number of a run explained: its value as the pages have it, how it is worked out, and its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simulator.analysis.account_series import AccountSeries, HeldPosition, read_account
from simulator.analysis.explain import find_symbol
from simulator.analysis.parts import BY_SYMBOL, METHODS, Columns, Method, Parts, by_session, by_trade
from simulator.analysis.verdict import FEWEST_SESSIONS, part_after_cutoff
from simulator.errors import UsageError
from simulator.evidence.members import name_account
from simulator.number_format import number_of
from simulator.stats.series import Floats

SKILL = ("beyond", "beyond_low", "beyond_high", "choosing", "costs", "excess", "reason")
"""What is known of the return beyond the usual exposure, by the names it has in run.json."""


@dataclass(frozen=True, eq=False)
class ExplainedNumber:
    """A metric of an account, or of a benchmark, with its parts.

    Attributes
    ----------
    name : of the account
    metric : its key; `values` and `reasons` hold its value, or why there is none, under the keys of the catalogue
    short : too few sessions for figures of a year
    whole, shown : all its parts, and those asked for: of a symbol or by trade
    rows : those of `shown` by name: ``session``, or ``run`` of a trial, columns, ``part``; trades with their own facts
    by_symbol : what each symbol adds to it; empty where that is unknown
    start : what the parts are added to
    """

    run: str
    account: str | None
    name: str
    metric: str
    method: Method
    values: Mapping[str, object]
    reasons: Mapping[str, str]
    short: bool
    whole: Parts
    shown: Parts
    rows: tuple[dict[str, object], ...]
    by_symbol: Mapping[str, float]
    start: float
    symbol: str | None

    @property
    def total(self) -> float | None:
        """The number as all its parts give it; None where it has none."""
        return None if self.whole.parts is None else self.start + float(self.whole.parts.sum())

    @property
    def sum(self) -> float | None:
        """Sum of the parts that are shown."""
        return None if self.shown.parts is None else float(self.shown.parts.sum())

    def to_json(self) -> dict[str, object]:
        """Return all of it but the name and the text of the number."""
        names = ("run", "account", "metric", "symbol", "start", "total", "sum")
        return {
            **{name: getattr(self, name) for name in names},
            "formula": self.method.formula,
            "steps": {name: value for name, value, _ in self.shown.steps},
            "by_symbol": dict(self.by_symbol),
            "rows": list(self.rows),
        }


def explain_number(
    folder: Path, metric: str, account: str | None = None, symbol: str | None = None, trades: int | None = None
) -> ExplainedNumber:
    """Return how `metric`, a key of the catalogue, comes out for `account`; with `symbol` its part in it, with `trades`
    that of so many trades, the largest.

    Raises UsageError for an account or symbol the run does not have, and where the number has no such parts; DataError
    for a damaged folder.
    """
    return explain_figure(read_account(folder, account), metric, symbol, trades)


def explain_figure(
    s: AccountSeries, metric: str, symbol: str | None = None, trades: int | None = None
) -> ExplainedNumber:
    """Return what `explain_number` does of an account that was read before."""
    method = METHODS[metric]
    wanted = None if symbol is None else find_symbol(s.run, symbol)
    values, reasons = _values(s)
    known = number_of(values.get(metric)) is not None
    whole = method.find(s) if known or metric.endswith(("_interval", "_band")) else Parts()
    shown: Parts | None = whole
    if known and (wanted or trades):
        shown = largest_trades(s, whole, trades, wanted) if trades else of_symbol(s, metric, whole, wanted or "")
    if shown is None or ((wanted or trades) and s.books is None):
        what, mend = "by trade" if trades else "by symbol", f"`sim explain {s.folder.name} {metric}` shows what it has"
        raise UsageError(f"{metric} has no parts {what}", mend=mend)
    return ExplainedNumber(
        run=s.folder.name,
        account=s.name,
        name=name_account(s.run, s.name) if s.name and s.books else s.name or s.run["strategy"],
        metric=metric,
        method=method,
        values=values,
        reasons=reasons,
        short=len(s.sessions) < FEWEST_SESSIONS,
        whole=whole,
        shown=shown,
        rows=_rows(s, shown),
        by_symbol=by_symbol(s, metric, whole) if known else {},
        start=s.run["cash"] if metric == "final_equity" else 0.0,
        symbol=wanted,
    )


def _values(s: AccountSeries) -> tuple[dict[str, object], dict[str, str]]:
    """Return the figures that pages show of an account, those of its return beyond its own exposure among them."""
    judged = part_after_cutoff(s.run) if s.name == s.run["account"] else None
    skill = judged.get("skill") if judged else None
    values = {**s.values, "final_equity": float(s.equity[-1])}
    if skill is None:
        why = "positions are not on record, or it is not the account the run is judged by"
        return values, {**dict.fromkeys((*SKILL, "usual_exposure"), why), **s.reasons}
    found: Mapping[str, object] = {**skill}
    values |= {name: found.get(name) for name in SKILL} | {"usual_exposure": skill["exposure"]}
    return values, {**dict.fromkeys(SKILL, skill["reason"] or ""), **s.reasons}


def _rows(s: AccountSeries, shown: Parts) -> tuple[dict[str, object], ...]:
    found = {name: values for name, (values, _) in shown.columns.items()}
    found |= {} if shown.parts is None else {"part": shown.parts}
    columns = {n: [None if value != value else value for value in values.tolist()] for n, values in found.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if not shown.held:
        return tuple({shown.kind: at, **row} for at, row in zip(shown.labels, rows, strict=True))
    decided = s.map_deciding_sessions()
    return tuple(
        {
            "entry": str(s.sessions[one.first]),
            "exit": None if one.last is None else str(s.sessions[one.last]),
            "symbol": one.symbol,
            "side": one.side,
            "decided": decided.get(one.order),
            **row,
        }
        for one, row in zip(shown.held, rows, strict=True)
    )


def by_symbol(s: AccountSeries, key: str, found: Parts) -> dict[str, float]:
    """Return what each symbol adds to a number; empty where that is unknown.

    What is left to the whole are dividends, interest, borrowing, and a benchmark's return where that is taken off.
    """
    sums: dict[str, float] = {}
    if key in BY_SYMBOL:
        for symbol in s.weights:
            parts = BY_SYMBOL[key](s, symbol).parts
            sums[symbol] = 0.0 if parts is None else float(parts.sum())
    for one, part in zip(*parts_of_trades(s, found), strict=True):
        sums[one.symbol] = sums.get(one.symbol, 0.0) + part
    return sums


def parts_of_trades(s: AccountSeries, found: Parts) -> tuple[Sequence[HeldPosition], list[float]]:
    """Return trades, or positions still held, and what each adds to a number; none where that is unknown."""
    if found.slope is None:
        return found.held, [] if found.parts is None or not found.held else found.parts.tolist()
    worth = found.slope if found.in_dollars else found.slope / s.before
    return s.held, [float((worth[one.sessions] * _count_dollars(s, found, one)).sum()) for one in s.held]


def _count_dollars(s: AccountSeries, found: Parts, one: HeldPosition) -> Floats:
    """Return the dollars of a position in its sessions that a number counts."""
    return one.dollars - one.before * s.free[one.sessions] if found.over_cash else one.dollars


def of_symbol(s: AccountSeries, key: str, found: Parts, symbol: str) -> Parts | None:
    """Return the parts of a number that come from `symbol`; None where that is unknown."""
    if key in BY_SYMBOL:
        return replace(BY_SYMBOL[key](s, symbol), steps=found.steps)
    if found.slope is not None:
        earned = np.zeros(len(s.equity))
        for one in s.held:
            if one.symbol == symbol:
                earned[one.sessions] += _count_dollars(s, found, one)
        worth = found.slope if found.in_dollars else found.slope / s.before
        name = "P&L over cash" if found.over_cash else "P&L"
        columns: Columns = {"weight": (s.weights[symbol], "%"), name: (earned, "$")}
        return by_session(s, worth * earned, columns, found.steps)
    return _of_trades(s, found, [n for n, one in enumerate(found.held) if one.symbol == symbol]) if found.held else None


def largest_trades(s: AccountSeries, found: Parts, count: int, symbol: str | None) -> Parts | None:
    """Return the `count` trades, or positions still held, that add or take most; None where that is unknown."""
    held, parts = parts_of_trades(s, found)
    whole = by_trade(s, held, np.array(parts), found.steps)
    ranked = sorted(range(len(held)), key=lambda n: (-abs(parts[n]), -abs(held[n].pnl)))
    chosen = [n for n in ranked if symbol in (None, held[n].symbol)][:count]
    return None if found.slope is None and not found.held else _of_trades(s, whole, sorted(chosen))


def _of_trades(s: AccountSeries, found: Parts, rows: Sequence[int]) -> Parts:
    parts = None if found.parts is None else found.parts[list(rows)]
    return by_trade(s, [found.held[n] for n in rows], parts, found.steps)
