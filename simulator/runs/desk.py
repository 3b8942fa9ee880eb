"""One task of a desk as of an instant, as a person asks for it: agents, formulas and rules as at its points; no state
is moved.

    DeskTask ──► bars and account as of then ──► screen │ analyze │ optimize │ review │ backtest ──► facts, JSON-able
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal, ParamSpec, TypeVar

from simulator.config import load_config
from simulator.desk import screening
from simulator.desk.agents import meeting
from simulator.desk.agents.protocol import Agents
from simulator.desk.backtests import Backtest, Backtester, Report, Sensitivity, Setting, Wanted
from simulator.desk.formulas import Technicals, failed_filters, momentum_score, read_technicals
from simulator.desk.report import report_period
from simulator.desk.state import DeskState
from simulator.desk.strategy import Desk
from simulator.desk.tools import load_tools
from simulator.desk.tools.market import known
from simulator.errors import UsageError
from simulator.llm.gateway import Mode
from simulator.market.bars import Snapshot, instant, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.spec import MAX_COST, RunSpec, check_max_cost
from simulator.runs.strategies import load_strategy
from simulator.workspace import Workspace

Kind = Literal["screen", "analyze", "optimize", "review", "backtest"]
Facts = dict[str, object]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class DeskTask:
    """Task of the desk: `about` names a symbol, or the strategy of a backtest.

    `most` candidates are listed; a review reads the last `period` calendar days, a backtest the sessions from `first`.
    """

    kind: Kind
    about: str = ""
    looked_at: DeskRequest = field(default_factory=DeskRequest)
    strategy: str = "momentum_desk"
    models: str | None = None
    max_cost: float = MAX_COST
    cache: Mode = "record"
    most: int = 5
    period: int = 1
    detailed: bool = False
    first: str = "2024-01-01"


def carry_out(task: DeskTask, workspace: Workspace, backtester: Backtester | None = None) -> Facts:
    """Return what came of `task`, JSON-able: ``as_of``, ``account``, age of the ``prices``, what code found, and under
    ``agent`` its word.

    Answers on disk are used, as in a run; `backtester` makes the backtest that is asked for. Raises the errors of
    `simulator.errors` of what cannot be done.
    """
    config = load_config(workspace.config)
    check_max_cost(task.max_cost)
    state = open_desk(replace(task.looked_at, about=task.about), workspace)()
    spec = RunSpec(
        task.strategy, (), date.min, models=task.models, cache=task.cache, max_cost=task.max_cost
    )  # its dates are not read
    with open_gateway(spec, workspace, config) as asking:
        desk = load_strategy(task.strategy, workspace.strategies, asking).strategy
        if not isinstance(desk, Desk):
            raise UsageError(f'"{task.strategy}" is no desk', mend="its strategy.yaml says `kind: desk`")
        own = desk.definition
        state = replace(
            state,
            sectors=own.sectors,
            caps=own.caps,
            benchmark=own.spec.benchmark,
            as_traded=own.spec.as_traded,
            backtester=backtester and Aside(backtester),
        )
        asking.open_for(f"desk-{task.kind}-{state.today}", desk.seats)
        work = Work(task, state, desk.agents)
        found = asking.loop.run(TASKS[task.kind](work))
        asking.drain()
        cost = asking.gateway.cost_usd
    account = {"run": task.looked_at.run, "equity": state.book.equity, "positions": len(state.held)}
    as_of = state.snapshot.as_of.astimezone(NEW_YORK).isoformat()
    prices = price_age(state.snapshot, task.about)
    return {"task": task.kind, "as_of": as_of, "account": account, "prices": prices, **found, "cost_usd": cost}


def price_age(market: Snapshot, symbol: str) -> Facts:
    """Return when the newest bar of `symbol`, where it is one, or else of any, closed, and how many sessions have ended
    since: what is worked out now may rest on prices of last year."""
    bars = market.bars
    at = len(bars) - 1
    if market.has(symbol):
        at = int(bars.fresh[:, bars.column(symbol)].nonzero()[0][-1])
    closed = moment(int(bars.closes_at[at])).astimezone(NEW_YORK)
    since = sessions(closed.date() + timedelta(days=1), market.as_of.astimezone(NEW_YORK).date())
    over = int((since.closes_at <= instant(market.as_of)).sum())
    return {"until": closed.isoformat(), "sessions_since": over}


@dataclass(frozen=True)
class Work:
    """A task, all that tools see as of it, and who is asked: None where the formulas decide alone."""

    task: DeskTask
    state: DeskState
    agents: Agents | None

    @property
    def technicals(self) -> Technicals:
        """Technical state of the symbol asked about. Raises ToolError where it has no bar by then."""
        return read_technicals(self.state.snapshot, known(self.state, self.task.about), self.state.benchmark)


@dataclass(frozen=True)
class Aside:
    """A backtester at work in a thread of its own: a run asks in a loop of its own, and here one is running."""

    made_by: Backtester

    def run(self, wanted: Wanted, market: Snapshot, report: Report) -> Backtest:
        return call_aside(self.made_by.run, wanted, market, report)

    def find(self, name: str, market: Snapshot) -> Backtest:
        return call_aside(self.made_by.find, name, market)

    def sweep(
        self, wanted: Wanted, swept: Mapping[str, Sequence[Setting]], market: Snapshot, report: Report
    ) -> Sensitivity:
        return call_aside(self.made_by.sweep, wanted, swept, market, report)


def call_aside(function: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Return what `function` returns, called in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **more).result()


async def screen(work: Work) -> Facts:
    """Return the watchlist, as the screener ranks it where it is asked, and of the other symbols why not."""
    found = screening.screen(work.state)
    rows: dict[str, Facts] = {row["symbol"]: {**row} for row in found.rows}
    order, said = [*rows], None
    if work.agents is not None:
        morning = await meeting.hold_morning(work.agents, work.state, found.passed, found.rejected, 0)
        said = morning.screening
        if said is not None and said.value is not None:
            order = [symbol for symbol in morning.watchlist if symbol in rows]
            for one in said.value.candidates:
                rows.get(one.symbol, {})["rationale"] = one.rationale
    candidates = [rows[symbol] for symbol in order[: work.task.most]]
    return {"candidates": candidates, "rejected": found.rejected, "agent": said and said.row}


async def analyze(work: Work) -> Facts:
    """Return signals, score, class and plan of a symbol, what is held of it and of its sector, the analyzer's word."""
    t, state = work.technicals, work.state
    row: Facts = {**screening.analyze(t)}
    said = None if work.agents is None else await meeting.analyze(work.agents, state, t)
    if said is not None:
        row["recommendation"] = meeting.recommended(said, t)
    score, missing = momentum_score(t)
    entry, limit = screening.entry_of(t)
    sector = state.sector(t.symbol)
    return {
        **row,
        "momentum_score": round(score, 2),
        "without": [*missing],
        "failed_filters": [*failed_filters(t, state.as_traded, state.caps.filters)],
        "price": t.price,
        "entry": {"price": entry, "limit": limit},
        "held": {"weight": state.book.weight(t.symbol), "sector": sector, "of_sector": state.sector_weight(sector)},
        "agent": said and said.row,
    }


async def optimize(work: Work) -> Facts:
    """Return the plan of an entry, whatever its class: price, shares, the rule that binds, stop, two targets; or the
    rules that forbid it. The optimizer approves or not."""
    t, state = work.technicals, work.state
    if state.book.positions.get(t.symbol):
        raise UsageError(f"{t.symbol} is held already", mend="the desk adds to no position")
    plans, vetoes = screening.propose(state, [t], lambda _: "BUY")
    found: Facts = {"symbol": t.symbol, "price": t.price, "plan": None, "vetoes": vetoes, "agent": None}
    if not plans:
        return found
    plan = plans[0]
    half = plan["shares"] // 2
    parts = ((plan["shares"] - half, plan["targets"][0]), (half, plan["targets"][1]))
    scaling = [{"shares": shares, "target": price} for shares, price in parts if shares]
    found["plan"] = {**plan, "scaling": scaling, "risk": plan["shares"] * (plan["entry"] - plan["stop"])}
    if work.agents is None:
        return found
    said = await meeting.optimize(work.agents, state, plan, None)
    return {**found, "approved": meeting.approved(said), "agent": said.row}


async def review(work: Work) -> Facts:
    """Return the report of a period by code: trades, figures so far, grade; and the reviewer's word."""
    report, task = report_period(work.state, len(work.state.equity), work.task.period), work.task
    if not task.detailed:
        report = {name: value for name, value in report.items() if name != "trades"}
    if work.agents is None:
        return {**report, "agent": None}
    said = await meeting.review(
        work.agents, work.state, task.period, report["so_far"], report["grade"], detailed=task.detailed
    )
    return {**report, "agent": said.row}


async def backtest(work: Work) -> Facts:
    """Return a backtest of the strategy asked about, on record and counted as a trial, and the backtester's word."""
    task, symbols = work.task, [*work.state.snapshot.symbols]
    wanted = {"strategy": task.about, "symbols": symbols, "start": task.first}
    results = load_tools()["run_backtest"].call(work.state, wanted).model_dump(mode="json")
    said = None if work.agents is None else await meeting.validate(work.agents, work.state, task.about, results)
    return {**results, "agent": said and said.row}


TASKS: Mapping[Kind, Callable[[Work], Coroutine[Any, Any, Facts]]] = {
    "screen": screen,
    "analyze": analyze,
    "optimize": optimize,
    "review": review,
    "backtest": backtest,
}
