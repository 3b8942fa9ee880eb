"""Bars on the table before the replay starts: what is traded, what is shown beside it, when decisions fall."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from simulator.config import WEEKDAYS, Config
from simulator.errors import DataError, did_you_mean
from simulator.market import calendar
from simulator.market.adjust import IN_OTHER_SHARES
from simulator.market.bars import Bars
from simulator.market.events import load_events
from simulator.market.load import Found, available, load_bars
from simulator.market.news import load_news
from simulator.market.quality import UNADJUSTED
from simulator.replay.inputs import ReplayInputs
from simulator.runs.cash_return import with_cash_return
from simulator.trading.schedule import Point, Schedule, make_schedule
from simulator.trading.strategy import Strategy
from simulator.workspace import Workspace


@dataclass(frozen=True)
class LoadedInputs:
    """The inputs of a run, its last session, that up to which there are bars, and sentences a reader of the result must
    know."""

    inputs: ReplayInputs
    last: date
    until: date
    notes: tuple[str, ...]


def load_inputs(
    symbols: Sequence[str],
    first: date,
    last: date | None,
    window: int,
    points: Sequence[Point],
    workspace: Workspace,
    config: Config,
    beside: Sequence[str] = (),
) -> LoadedInputs:
    """Load bars, context, with what is shown `beside`, and events, and schedule `points` on them, with `window` bars of
    history before `first`.

    Raises DataError or UsageError.
    """
    context = tuple(dict.fromkeys((config.assets.cash_instrument, *config.assets.context, *beside)))
    loaded = load_bars(symbols, workspace.bar_folders, first=first, last=last, history=window, context=context)
    notes = list(loaded.notes)
    start = loaded.start
    if start == 0:
        # The first decision needs a known close, and a session of minutes is decided on before its first bar.
        start = int(np.searchsorted(loaded.bars.session_of, loaded.bars.session_of[0], side="right"))
        notes.append(f"trading starts one session later than asked: {loaded.bars.dates[0]} is the first bar there is")
    if start >= len(loaded.bars):
        raise DataError(
            f"one session of bars is too few to trade on ({loaded.bars.dates[0]})", mend="choose a longer period"
        )
    bars, risk_free, cash_notes = with_cash_return(loaded.bars, loaded.context, config, start)
    notes += cash_notes
    made_up = [s for s, source in zip(bars.symbols, bars.sources, strict=True) if "synthetic" in source]
    if made_up:
        notes.insert(0, f"{', '.join(made_up)}: synthetic bars, nothing here happened in a market")
    due = _schedule(points, bars, start, loaded.last, config)
    events, news = load_events(workspace.events), load_news(workspace.news)
    inputs = ReplayInputs(bars, loaded.context, start, due.instants, events, due.names, news, risk_free)
    return LoadedInputs(inputs, loaded.last, loaded.until, (*notes, *due.notes))


def refuse_splits(strategy: Strategy[Any], loaded: LoadedInputs) -> None:
    """Raise DataError for a desk on bars as traded that hold a split, or seem to: neither its averages nor its stops
    reach over one, and prices that are adjusted for a later one tell of it before it came. One before the first bar
    that is read, history included, has changed none of them."""
    first = loaded.inputs.bars.dates[0]
    jump = next((note for note in loaded.notes if UNADJUSTED in note or _splits_after(first, note)), None)
    if jump is None:
        return
    from simulator.desk.strategy import Desk

    if isinstance(strategy, Desk) and strategy.definition.spec.as_traded:
        mend = f"leave as_traded out on bars adjusted for it, or choose dates after it: the bars read begin on {first}"
        raise DataError(f"as_traded cannot work across a split: {jump}", mend=mend)


def _splits_after(first: np.datetime64, note: str) -> bool:
    """Return True of a note on prices in shares of another day that names a split after the session `first`."""
    told = re.findall(r"\bon (\d{4}-\d\d-\d\d)", note) if any(said in note for said in IN_OTHER_SHARES) else []
    return any(np.datetime64(day) > first for day in told)


def find_benchmark(strategy: Strategy[Any], symbols: Sequence[str], workspace: Workspace) -> tuple[str, ...]:
    """Return what `strategy` is shown beside `symbols`: the series a desk measures strength against, unless it is one
    of them. Raises DataError, before any work, where the workspace has no bars of it, or bars of an index."""
    from simulator.desk.strategy import Desk

    if not isinstance(strategy, Desk):
        return ()
    name, files = strategy.definition.spec.benchmark, available(workspace.bar_folders)
    if name in files or name not in symbols:  # a broker may have bars of what it trades
        check_benchmark(name, files)
    return (name,) if name not in symbols else ()


def check_benchmark(name: str, files: Mapping[str, Found]) -> None:
    """Raise DataError where there are no bars of a desk's benchmark, or none of its bars has a volume."""
    mend = "state another `benchmark` in its strategy.yaml"
    if name not in files:
        raise DataError(f'no bars of the benchmark "{name}"{did_you_mean(name, files)}', mend=mend)
    if not np.nan_to_num(files[name].read().volume).any():
        raise DataError(
            f"the benchmark {name} has no volume: it is an index, and nobody holds one", mend=f"{mend}, a fund"
        )


def schedule_again(loaded: LoadedInputs, points: Sequence[Point], config: Config) -> LoadedInputs:
    """Return `loaded` with other `points`, weekday or interest on idle cash, as if it had been loaded so; its notes are
    those it had."""
    inputs = loaded.inputs
    bars, risk_free, _ = with_cash_return(inputs.bars, inputs.context, config, inputs.start)
    due = _schedule(points, bars, inputs.start, loaded.last, config)
    changed = replace(inputs, bars=bars, risk_free=risk_free, instants=due.instants, points=due.names)
    return replace(loaded, inputs=changed)


def _schedule(points: Sequence[Point], bars: Bars, start: int, last: date, config: Config) -> Schedule:
    sessions = calendar.sessions(bars.dates[start].astype(date), last)
    return make_schedule(points, sessions, bars.closes_at, WEEKDAYS.index(config.schedule.weekday))
