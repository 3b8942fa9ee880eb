"""Backtest tools: a strategy over history, what it shows, how it compares, and how much hangs on its settings.

Who makes the backtests is handed in with the state (`simulator.desk.backtests`); judged are they here, by one rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from simulator.desk.backtests import Backtest, Backtester, Setting, Wanted
from simulator.desk.formulas import grade, risk_class, risk_score
from simulator.desk.state import DeskState, fallen
from simulator.desk.tools.market import finite
from simulator.desk.tools.registry import Answer, ToolError, tool
from simulator.market.bars import Floats
from simulator.market.calendar import parse_date
from simulator.market.daily import closed_sessions
from simulator.stats.adjust import adjust
from simulator.stats.metrics import ENOUGH_SESSIONS, summary
from simulator.stats.series import Undefined
from simulator.stats.skill import mean_test
from simulator.stats.trades import trade_statistics

FEWEST_TRADES, MOST_P = 30, 0.05
VIABLE_WINS, VIABLE_SHARPE = 0.4, 0.5
MOST_MEMBERS = 256
"""Settings that one call may try."""

BEST_BY = (
    "the smallest p among these members, of equals the largest ratio of returns beyond the own exposure (not Sharpe); "
    "members with too few decisions only where there are no others"
)

YEARLY = ("annual_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "turnover")
"""Figures that speak of a year: of fewer than 60 sessions they say nothing."""
TOLD = ("total_return", *YEARLY, "max_drawdown", "var_95", "cvar_95", "exposure")

Name = Annotated[str, Field(min_length=1, max_length=200, description="strategy of the workspace, e.g. sma_cross")]
Symbols = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=20)]],
    Field(min_length=1, max_length=50, description="tickers that may be traded"),
]
Day = Annotated[str, Field(max_length=10, description="session, as 2024-01-31")]
Parameters = Annotated[dict[str, Setting] | None, Field(max_length=20, description="settings of the strategy")]
Id = Annotated[str, Field(min_length=1, max_length=80, description="id that run_backtest gave")]


class Measures(Answer):
    """Figures of a record; fractions, not percent, unless the name says dollars. `reasons` say why one is null: it
    cannot be told, or of fewer than 60 sessions nothing of a year can."""

    sessions: int
    trades: int
    win_rate: float | None
    profit_factor: float | None
    total_return: float | None
    annual_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    var_95: float | None
    cvar_95: float | None
    turnover: float | None
    exposure: float | None
    profit_dollars: float
    best_trade_share: float | None
    grade: str
    reasons: dict[str, str]


class BacktestResult(Measures):
    """A backtest. `recorded` ones stand in the registry and count as trials; `p` is that of nothing earned beyond its
    own usual exposure, as the best of `trials`, those of its own sweep taken together. `ready` where all `checks` are
    met and the risk is not UNACCEPTABLE."""

    id: str
    recorded: bool
    strategy: str
    symbols: list[str]
    first: str
    last: str
    p: float | None
    trials: float
    verdict: str
    risk_score: float | None
    risk_class: str | None
    checks: dict[str, bool]
    ready: bool
    notes: list[str]


class Metrics(Measures):
    """Figures of a backtest by its id, or of the account itself: `id` null."""

    id: str | None


class Compared(Answer):
    """One backtest beside the first: `difference` of the mean daily returns a year, on the sessions both have, and `p`
    of none, two-sided, Holm's over all comparisons."""

    id: str
    strategy: str
    total_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    win_rate: float | None
    sessions_in_common: int
    difference: float | None
    p: float | None
    reason: str | None


class Comparison(Answer):
    backtests: list[Compared]
    best: str
    verdict: str


class CurvePoint(Answer):
    """Equity at the close of a session; `drawdown` is the fraction below the highest of start and closes so far."""

    session: str
    equity: float
    drawdown: float


class Curve(Answer):
    id: str | None
    points: list[CurvePoint]
    left_out: int


class Member(Answer):
    """One setting; `p` as one of all members."""

    settings: dict[str, Setting]
    sharpe: float | None
    total_return: float | None
    max_drawdown: float | None
    p: float


class SensitivityResult(Answer):
    """A strategy in many settings, the best first, then by p. `best_by` is how the best was chosen, `p_of_all` its p
    with all tried beside these members. `overfitting` is the probability that the best in sample falls below the
    median out of sample. `neighbours`: median Sharpe of the members one step from the best."""

    id: str
    recorded: bool
    strategy: str
    first: str
    last: str
    members: list[Member]
    left_out: int
    best: Member
    best_by: str
    p_of_all: float
    neighbours: float | None
    overfitting: float | None
    failed: dict[str, str]
    verdict: str


@tool("backtest")
def run_backtest(
    state: DeskState,
    strategy: Name,
    symbols: Symbols,
    start: Day,
    end: Day | None = None,
    parameters: Parameters = None,
) -> BacktestResult:
    """Backtest of a strategy of the workspace, with its p, checks and risk; `end` null is the newest session."""
    made = _backtester(state).run(
        _check_wanted(state, strategy, symbols, start, end, parameters), state.snapshot, state.report
    )
    return judge(made)


@tool("backtest")
def calculate_metrics(state: DeskState, backtest: Id | None = None) -> Metrics:
    """Figures of a backtest, or of the account's own record so far where none is named."""
    if backtest is None:
        return Metrics(id=None, **_measures(_account(state)))
    return Metrics(id=backtest, **_measures(_backtester(state).find(backtest, state.snapshot)))


@tool("backtest")
def compare_strategies(
    state: DeskState, backtests: Annotated[list[Id], Field(min_length=2, max_length=8, description="ids")]
) -> Comparison:
    """Backtests side by side, each held against the first on the sessions both have."""
    if len(set(backtests)) < len(backtests):
        raise ToolError("the same backtest is named twice", mend="name others")
    found = [_backtester(state).find(name, state.snapshot) for name in backtests]
    against = [_difference(found[0], other) for other in found[1:]]
    known = [p for _, _, p, _ in against if p is not None]
    adjusted = iter(adjust(known, "holm").tolist() if known else ())
    rows = []
    for one, (common, difference, _, reason) in zip(
        found, [(len(found[0].sessions), None, None, None), *against], strict=True
    ):
        measures = _measures(one)
        p = None if difference is None else next(adjusted)
        told = {name: measures[name] for name in ("total_return", "sharpe", "max_drawdown", "win_rate")}
        about: dict[str, Any] = {"id": one.id, "strategy": one.wanted.strategy, "sessions_in_common": common}
        rows.append(Compared(**about, **told, difference=difference, p=p, reason=reason))
    better = [row for row in rows if row.p is not None and row.p < MOST_P and (row.difference or 0.0) > 0.0]
    best = max(better, key=lambda row: row.difference or 0.0, default=rows[0])
    word = f"{best.id} earned more than {rows[0].id}, by more than luck explains"
    return Comparison(
        backtests=rows, best=best.id, verdict=word if better else f"none can be told to earn more than {rows[0].id}"
    )


@tool("backtest")
def generate_equity_curve(
    state: DeskState,
    backtest: Id | None = None,
    points: Annotated[int, Field(ge=2, le=1000, description="points to return, evenly spaced")] = 100,
) -> Curve:
    """Equity and drawdown by session, of a backtest or, where none is named, of the account itself."""
    made = _account(state) if backtest is None else _backtester(state).find(backtest, state.snapshot)
    equity = made.equity
    below = fallen(np.array([made.cash, *equity]))[1:]
    kept = {round(k * (len(equity) - 1) / (points - 1)) for k in range(points)} if len(equity) else set()
    rows = [
        CurvePoint(session=str(made.sessions[n]), equity=float(equity[n]), drawdown=float(below[n]))
        for n in sorted(kept)
    ]
    return Curve(id=backtest, points=rows, left_out=len(equity) - len(rows))


@tool("backtest", "test_parameter_sensitivity")  # pytest takes whatever is called so for a test
def try_parameters(
    state: DeskState,
    strategy: Name,
    symbols: Symbols,
    start: Day,
    sweep: Annotated[
        dict[str, Annotated[list[Setting], Field(min_length=1, max_length=100)]],
        Field(min_length=1, max_length=4, description="values to try, by parameter"),
    ],
    end: Day | None = None,
    parameters: Parameters = None,
    most: Annotated[int, Field(ge=1, le=MOST_MEMBERS, description="members to return")] = 20,
) -> SensitivityResult:
    """A strategy in every combination of values: how much hangs on its settings, and what luck alone would show."""
    count = math.prod(len(set(values)) for values in sweep.values())
    if not 2 <= count <= MOST_MEMBERS:
        raise ToolError(f"{count} combinations", mend=f"give values that make 2 to {MOST_MEMBERS}")
    if both := sorted({*sweep} & {*(parameters or {})}):
        raise ToolError(f"{both[0]} stands under sweep and under parameters", mend="leave it out of one")
    wanted = _check_wanted(state, strategy, symbols, start, end, parameters)
    values = {name: list(dict.fromkeys(values)) for name, values in sweep.items()}
    made = _backtester(state).sweep(wanted, values, state.snapshot, state.report)

    def member(n: int) -> Member:
        figures = (made.sharpe[n], made.total_return[n], made.max_drawdown[n])
        sharpe, total, fallen = (finite(float(one)) for one in figures)
        return Member(
            settings=dict(made.settings[n]), sharpe=sharpe, total_return=total, max_drawdown=fallen, p=float(made.p[n])
        )

    order = np.lexsort((-np.nan_to_num(made.sharpe, nan=-np.inf), made.p, np.arange(count) != made.best))
    ranked = order.tolist()
    around = _neighbours(made.settings, values, made.best, made.sharpe)
    best, overfit = member(made.best), made.overfitting
    verdict = "the best has skill beyond its exposure" if made.p_of_all < MOST_P else "the best of all may be luck"
    verdict += ", and choosing the best does not carry over" if overfit is not None and overfit >= 0.5 else ""
    told = [member(n) for n in ranked[:most]]
    return SensitivityResult(
        id=made.id,
        recorded=made.counts,
        strategy=strategy,
        first=str(made.sessions[0]),
        last=str(made.sessions[1]),
        members=told,
        left_out=len(ranked) - len(told),
        best=best,
        best_by=BEST_BY,
        p_of_all=made.p_of_all,
        neighbours=around,
        overfitting=made.overfitting,
        failed={str(number): why for number, why in made.failed.items()},
        verdict=verdict if overfit is not None else f"{verdict} (overfitting is not known: {made.reason})",
    )


def judge(made: Backtest) -> BacktestResult:
    """Return `made` with what the desk asks of a strategy before it is traded: checks, risk score, grade."""
    measures = _measures(made)
    sharpe, wins = measures["sharpe"], measures["win_rate"]
    checks = {
        f"{FEWEST_TRADES} trades or more": measures["trades"] >= FEWEST_TRADES,
        f"p below {MOST_P}": made.p is not None and made.p < MOST_P,
        f"win rate above {VIABLE_WINS:.0%}": wins is not None and wins > VIABLE_WINS,
        f"Sharpe above {VIABLE_SHARPE}": sharpe is not None and sharpe > VIABLE_SHARPE,
    }
    parts = (measures["max_drawdown"], measures["cvar_95"], made.p, measures["best_trade_share"])
    risk = risk_score(*(math.nan if one is None else abs(one) for one in parts))
    told = None if math.isnan(risk) else risk_class(risk)
    return BacktestResult(
        id=made.id,
        recorded=made.counts,
        strategy=made.wanted.strategy,
        symbols=list(made.wanted.symbols),
        first=str(made.sessions[0]),
        last=str(made.sessions[-1]),
        p=made.p,
        trials=made.trials,
        verdict=made.verdict,
        risk_score=finite(risk),
        risk_class=told,
        checks=checks,
        ready=all(checks.values()) and told not in (None, "UNACCEPTABLE"),
        notes=list(made.notes),
        **measures,
    )


def _backtester(state: DeskState) -> Backtester:
    if state.backtester is None:
        raise ToolError("nobody makes backtests here", mend="`sim mcp backtest` and `sim desk backtest-strategy` do")
    return state.backtester


def _check_wanted(
    state: DeskState,
    strategy: str,
    symbols: list[str],
    start: str,
    end: str | None,
    parameters: dict[str, Setting] | None,
) -> Wanted:
    """Return what is asked for. Raises ToolError for sessions that are not over by now."""
    days = closed_sessions(state.snapshot)
    over = days.session if len(days) else date.min
    first, last = parse_date(start, "start"), None if end is None else parse_date(end, "end")
    for name, day in (("start", first), ("end", last)):
        if day is not None and day > over:
            raise ToolError(
                f"{name} was {day}, and the last session that is over is {over}", mend="name an earlier day"
            )
    if last is not None and last < first:
        raise ToolError(f"end {last} lies before start {first}", mend="name a later day")
    listed = tuple(dict.fromkeys(one.strip().upper() for one in symbols))
    return Wanted(strategy, listed, first, last, dict(parameters or {}))


def _account(state: DeskState) -> Backtest:
    """Return the record of the account itself, so far as it is known."""
    if not state.equity:
        raise ToolError("the account has no session behind it", mend="name a backtest")
    days, dollars = zip(*state.equity, strict=True)
    moves, free = state.returns
    made = summary(moves, free) if len(moves) else None
    values = {} if made is None else made.values
    reasons = dict.fromkeys(TOLD, "fewer than two sessions") if made is None else made.reasons
    nothing = Wanted("the account", (), days[0], days[-1])
    cash = float(state.path[0])
    return Backtest("", False, nothing, cash, days, np.array(dollars), state.trips, values, reasons, None, 1.0, "")


def _measures(made: Backtest) -> dict[str, Any]:
    """Return the fields of `Measures`."""
    closed = [trip.pnl for trip in made.trips if trip.exit_at is not None]
    trading = trade_statistics(np.array(closed))
    reasons = {name: made.reasons.get(name, "not known") for name in TOLD if made.metrics.get(name) is None}
    values = {name: made.metrics.get(name) for name in TOLD}
    if len(made.sessions) < ENOUGH_SESSIONS:
        few = f"{len(made.sessions)} sessions, {ENOUGH_SESSIONS} are needed for a figure of a year"
        values |= dict.fromkeys(YEARLY)
        reasons |= dict.fromkeys(YEARLY, few)
    reasons = {name: why for name, why in reasons.items() if values[name] is None}
    for name, found in (("win_rate", trading["hit_rate"]), ("profit_factor", trading["profit_factor"])):
        values[name] = None if isinstance(found, Undefined) else finite(found)
        if values[name] is None:
            reasons[name] = found.reason if isinstance(found, Undefined) else "no trade lost"
    won = [pnl for pnl in closed if pnl > 0.0]
    share = max(won) / math.fsum(won) if won else None
    if share is None:
        reasons["best_trade_share"] = "no trade won"
    never_lost = bool(won) and all(pnl >= 0.0 for pnl in closed)
    factor = math.inf if never_lost else values["profit_factor"]
    asked = (values["win_rate"], factor, values["sharpe"], values["max_drawdown"])
    win_rate, factor, sharpe, fallen = (math.nan if one is None else one for one in asked)
    begin = made.cash
    return {
        **values,
        "sessions": len(made.sessions),
        "trades": len(closed),
        "profit_dollars": float(made.equity[-1]) - begin if len(made.equity) else 0.0,
        "best_trade_share": share,
        "grade": grade(len(closed), win_rate, factor, sharpe, abs(fallen)),
        "reasons": reasons,
    }


def _difference(one: Backtest, other: Backtest) -> tuple[int, float | None, float | None, str | None]:
    """Return sessions in common, the mean daily return of `other` less that of `one` a year, its two-sided p, and why
    there is none."""
    moves = []
    for each in (one, other):
        before = np.concatenate([[each.cash], each.equity[:-1]])
        rise = np.where(before > 0.0, each.equity / np.where(before > 0.0, before, 1.0) - 1.0, 0.0)
        moves.append(dict(zip(each.sessions, rise.tolist(), strict=True)))
    common = sorted(moves[0].keys() & moves[1].keys())
    found = mean_test(np.array([moves[1][day] - moves[0][day] for day in common]))
    if isinstance(found, Undefined):
        return len(common), None, None, found.reason
    return len(common), 252.0 * found.mean, min(1.0, 2.0 * min(found.p_mean, found.p_worse)), None


def _neighbours(
    settings: Sequence[Mapping[str, Setting]], values: Mapping[str, Sequence[Setting]], best: int, sharpe: Floats
) -> float | None:
    """Return the median of the members that differ from the best by one step of one number; None without any."""
    steps = {name: sorted(listed) for name, listed in values.items() if all(type(v) in (int, float) for v in listed)}
    near = []
    for n, one in enumerate(settings):
        moved = [name for name, value in one.items() if value != settings[best][name]]
        if len(moved) == 1 and moved[0] in steps:
            places = [steps[moved[0]].index(each[moved[0]]) for each in (one, settings[best])]
            near += [float(sharpe[n])] if abs(places[0] - places[1]) == 1 and math.isfinite(sharpe[n]) else []
    return median(near) if near else None
