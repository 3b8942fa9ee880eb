"""A forward test of what a run would replay: the same strategy, gateway and inputs, on accounts at a broker.

RunSpec ─► strategy, gateway, points, rules (as in `sim run`) ──► Session, which brings clock, brokers and bars
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simulator.config import WEEKDAYS, Config, load_config, override_config
from simulator.errors import DataError
from simulator.forward.agenda import SETTLE
from simulator.forward.books import Books, Split, adjust_for_splits
from simulator.forward.feed import Fetch, RecordedFeed, Source, input_digests
from simulator.forward.protocols import Clock, ForwardBroker, Known
from simulator.forward.registration import Registration
from simulator.forward.session import Session
from simulator.forward.settings import load_settings
from simulator.forward.state import State
from simulator.forward.trader import Trader
from simulator.forward.watch import Watch, Watched
from simulator.market.bars import NUMBERS, Bars
from simulator.market.calendar import NEW_YORK, day_number, day_of, sessions
from simulator.market.events import load_events
from simulator.market.fetch import last_complete_session
from simulator.market.load import available, load_bars
from simulator.market.news import News, load_news
from simulator.market.table import DAILY, BarTable, step_of
from simulator.runs.accounts import COUNCIL
from simulator.runs.cash_return import with_cash_return
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.identity import code_version
from simulator.runs.load_inputs import find_benchmark
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.store.database import open_store
from simulator.store.events import Event
from simulator.trading.cycle import TradingRules
from simulator.trading.orders import Origin, session_hours
from simulator.trading.strategy import Committee, Strategy, points_of, seats_of
from simulator.workspace import Workspace


def members_of(strategy: Strategy[Any], config: Config) -> Mapping[str, Strategy[Any]]:
    """Return {account: the strategy that trades there}: six of a council, one of a rule."""
    if not isinstance(strategy, Committee):
        return {COUNCIL: strategy}
    names = {account.role: name for name, account in config.accounts.accounts.items()}
    members = {names.get(seat, seat): strategy.member(seat) for seat in strategy.members}
    members[names.get(strategy.chairman, COUNCIL)] = strategy
    return {name: members[name] for name in (*(n for n in config.accounts.accounts if n in members), *members)}


def as_traded(spec: RunSpec) -> RunSpec:
    """Return `spec` under the terms a broker trades at: what a replay is held against the test under."""
    return replace(spec, parameters={**spec.parameters, "risk.execution": "alpaca"})


@contextmanager
def open_session(
    spec: RunSpec,
    last: date,
    workspace: Workspace,
    registration: Registration,
    mode: str,
    broker: Callable[[str], ForwardBroker],
    clock: Clock,
    fetch: Fetch | Source,
) -> Iterator[tuple[Session, asyncio.Runner]]:
    """Return the session of `spec` from `spec.first` to `last`, and the loop it lives in. Its inputs are kept in
    ``data`` of the registration's folder; `mode` is paper, live or rehearsal.

    `broker` opens the account of a name. Raises what a run raises before it begins.
    """
    spec, run, folder = as_traded(spec), registration.id, workspace.reports / registration.folder
    config = override_config(load_config(workspace.config), spec.overrides)
    rules, settings = TradingRules.from_config(config), load_settings(workspace.config)
    with open_gateway(spec, workspace, config) as asking, open_store(workspace) as store:
        loaded = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols))
        asking.open_for(run, seats_of(loaded.strategy))
        points = points_of(loaded.strategy, config.schedule)
        begin = _sessions_before(spec.first, loaded.strategy.window)
        beside = find_benchmark(loaded.strategy, spec.symbols, workspace)
        source = fetch if isinstance(fetch, Source) else Source(fetch)
        tables: dict[Path, BarTable] = {}
        headlines: list[News] | None = [] if source.news is not None and seats_of(loaded.strategy) else None
        shared, daily = Shared(tables, headlines), source.frequency == DAILY
        context = (config.assets.cash_instrument, *config.assets.context, *beside)
        load, marks = _loader(spec, begin, folder / "data", workspace, config, context, daily, shared), shared.marks
        # Beside intraday bars the cash instrument has its days in the workspace.
        symbols = dict.fromkeys((*spec.symbols, *([config.assets.cash_instrument] if daily else ()), *beside))
        feed = RecordedFeed(tuple(symbols), begin, folder / "data", source, load, tables, headlines)
        registered = datetime.fromisoformat(registration.registered_at) - SETTLE
        opening = min(registered, datetime.combine(spec.first, time(), NEW_YORK))
        if last_complete_session(opening, timedelta(0)) >= begin:  # within a session its bar is still to come
            asking.loop.run(feed.known_at(opening))
        traders = []
        for name, strategy in members_of(loaded.strategy, config).items():
            state = State(Origin(run, name))
            books = Books(config.accounts.cash, marks, rules.execution, stopped=state.stopped)
            traders.append(Trader(name, strategy, broker(name), books, state))
        weekday = WEEKDAYS.index(config.schedule.weekday)
        late = settings.late == "same session"
        session = Session(
            run, loaded.strategy, traders, points, rules, clock, feed, store, spec.first, last, weekday, late,
            0 if source.frequency == DAILY else step_of(source.frequency),
        )  # fmt: skip
        session.program = dict(code_version())
        gateway = asking.gateway
        session.spent = lambda: {"calls": gateway.asked, "cost_usd": gateway.cost_usd + gateway.budget.lost_usd}
        session.inputs = partial(input_digests, folder / "data")
        watched = Watched(run, loaded.strategy.name, registration.accounts, mode)
        session.watch = Watch(workspace, settings, watched, session.record)
        yield session, asking.loop


def record_start(session: Session, spec: RunSpec, **more: object) -> None:
    """Put on record, once, what is traded: a replay of the same is made from it; and each `exchange` it moves to."""
    events = [one.event for one in session.store.of_forward(session.run)]
    if any(one.kind == "forward.started" for one in events):
        if more.get("exchange") != exchange_of(events):
            session.store.append(session.run, [Event("forward.started", None, None, {"exchange": more["exchange"]})])
    else:
        facts = {
            "strategy": str(spec.strategy), "symbols": list(spec.symbols), "models": spec.models,
            "parameters": dict(spec.parameters), "first": str(spec.first), "last": str(session.last), **more,
        }  # fmt: skip
        session.store.append(session.run, [Event("forward.started", None, None, facts)])


def exchange_of(events: Sequence[Event]) -> str | None:
    """Return the address of the rehearsal exchange that a test traded at last, None for a broker's."""
    return next((one.payload["exchange"] for one in reversed(events) if "exchange" in one.payload), None)


@dataclass(frozen=True)
class Shared:
    """Knowledge that feed and loader share: `tables` by file, `headlines` the broker served (None: those of the
    workspace count), `marks` the last closes before the first session."""

    tables: dict[Path, BarTable]
    headlines: list[News] | None
    marks: dict[str, float] = field(default_factory=dict)


def _loader(
    spec: RunSpec,
    begin: date,
    data: Path,
    workspace: Workspace,
    config: Config,
    context: Sequence[str],
    daily: bool,
    shared: Shared,
) -> Callable[[datetime, Sequence[Split]], Known]:
    """Return the function that reads recorded bars as a replay of the same sessions does."""
    kept, marks = shared.tables, shared.marks
    midnight = datetime.combine(spec.first, time(), NEW_YORK)
    folders = (data, *workspace.bar_folders)
    events = load_events(workspace.events)
    news: Sequence[News] = load_news(workspace.news) if shared.headlines is None else shared.headlines

    def load(as_of: datetime, splits: Sequence[Split]) -> Known:
        today = as_of.astimezone(NEW_YORK).date()
        last = last_complete_session(as_of, timedelta(0)) if daily else today
        found = available(data)  # what is traded is recorded; context may come from the workspace
        there = [symbol for symbol in spec.symbols if symbol in found]
        loaded = load_bars(there or spec.symbols, folders, first=begin, last=last, context=context, kept=kept)
        loaded = replace(loaded, bars=with_absent(loaded.bars, spec.symbols))
        start = int(np.searchsorted(loaded.bars.session_of, day_number(spec.first)))
        if not marks and start and as_of >= midnight:
            before = adjust_for_splits(loaded.bars.rows(0, start), [one for one in splits if one.session <= spec.first])
            then = before.snapshot(midnight)
            marks.update({symbol: then.last(symbol) for symbol in spec.symbols if then.has(symbol)})
        shown = adjust_for_splits(loaded.context, splits)
        bars, _, _ = with_cash_return(loaded.bars, shown, config, start)
        goes_on = session_hours(as_of)[0] <= as_of and bars.session_of[-1] == day_number(today)
        if not daily and goes_on:  # what cash returns today is not known
            bars = replace(bars, cash_return=np.append(bars.cash_return[:-1], np.nan))
        snapshot = adjust_for_splits(bars, splits).snapshot(as_of, events, shown, news)
        # A split on the first session is in the shares that are bought then.
        return Known(snapshot, bars.rows(start, len(bars)), [one for one in splits if one.session > spec.first])

    return load


def with_absent(bars: Bars, symbols: Sequence[str]) -> Bars:
    """Return `bars` with a column for each of `symbols`, in their order, empty where there are no bars yet."""
    if bars.symbols == tuple(symbols):
        return bars
    columns: Any = {name: np.full((len(bars), len(symbols)), np.nan) for name in NUMBERS}
    for n, symbol in enumerate(symbols):
        for name in NUMBERS if symbol in bars.columns else ():
            columns[name][:, n] = getattr(bars, name)[:, bars.column(symbol)]
    sources = (bars.sources[bars.column(one)] if one in bars.columns else "no bars yet" for one in symbols)
    return replace(bars, symbols=tuple(symbols), sources=tuple(sources), **columns)


def _sessions_before(day: date, count: int) -> date:
    """Return the session `count` sessions before `day`."""
    before = sessions(day - timedelta(days=count * 8 // 5 + 20), day - timedelta(days=1))
    if len(before) < max(count, 1):
        raise DataError(f"the calendar has no {count} sessions before {day}")
    return day_of(before.session_of[-max(count, 1)])
