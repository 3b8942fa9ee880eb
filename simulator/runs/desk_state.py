"""State of a desk as of an instant, read from a workspace: its bars, and the account of a run or a forward test.

bars, events, news of the workspace ──► Snapshot at --as-of, or now ─┐
run folder, or forward.* events ──► PastAccount at that instant ─────┴─► DeskState, for `sim mcp` and `sim desk`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

from simulator.config import Config, load_config
from simulator.desk.formulas import Caps
from simulator.desk.spec import DeskDefinition, load_definition, sectors_of
from simulator.desk.state import DeskState
from simulator.errors import DataError
from simulator.forward.books import adjust_for_splits
from simulator.market.bars import Bars, Snapshot, moment
from simulator.market.calendar import NEW_YORK, check_year, parse_instant
from simulator.market.events import load_events
from simulator.market.load import Found, Loaded, available, load_bars
from simulator.market.news import load_news
from simulator.market.table import DAILY, BarTable
from simulator.number_format import counted
from simulator.printing import say
from simulator.runs.cash_return import with_cash_return
from simulator.runs.load_inputs import check_benchmark
from simulator.runs.past_account import PastAccount, Recorded, at, find_account_folder, read_account
from simulator.runs.spec import split_parameters
from simulator.runs.strategies import SEATS
from simulator.trading.model import Book
from simulator.workspace import Workspace

DESK = "momentum_desk"
"""Strategy of the workspace whose limits and benchmark tools go by."""

BENCHMARK = "SPY"
"""What strength is measured against where the workspace has no desk."""

HISTORY = timedelta(days=3 * 366)
"""Bars before the instant: more than any window of the desk."""


@dataclass(frozen=True)
class DeskRequest:
    """Instant, symbols and account of a desk, as typed.

    Without `as_of` it is now, of a finished run its last close. Without `symbols` those of the run are there, without a
    run those of config/assets.yaml that have bars, of one frequency. Without a `run` the account is empty but for the
    cash of config/accounts.yaml. `about` is a symbol that is there too; its frequency counts, where there are several.
    """

    symbols: tuple[str, ...] = ()
    as_of: str | None = None
    run: str | None = None
    account: str | None = None
    bars: str | None = None
    about: str = ""


def read_as_of(typed: str) -> datetime:
    """Return the instant `typed`; a date alone stands for the end of that day. Raises UsageError."""
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return parse_instant(typed, "--as-of")
    return datetime.combine(check_year(day, "--as-of"), time(23, 59, 59), NEW_YORK)


def open_desk(request: DeskRequest, workspace: Workspace) -> Callable[[], DeskState]:
    """Return what gives the desk's state: as of a stated instant the same again, else the newest at each call.

    Bars are read anew when their files have changed. The run, ``last`` or the beginning of a name, is the one meant
    now: a backtest made meanwhile is no other account, and makes no name fit two. Raises DataError, UsageError or
    ConfigError for a request that cannot be met.
    """
    folder = find_account_folder(workspace, request.run) if request.run else None
    kept: list[tuple[object, Loaded]] = []
    told: set[str] = set()

    def load(as_of: datetime, recorded: Recorded | None, there: Workspace, config: Config, benchmark: str) -> Loaded:
        files = available(there.bar_folders)
        symbols = _symbols(request, recorded, files, config)
        stats = [files[symbol].path.stat() for symbol in symbols if symbol in files]
        key = (as_of.astimezone(NEW_YORK).date(), symbols, [(one.st_ino, one.st_mtime_ns) for one in stats])
        if not kept or kept[0][0] != key:
            check_benchmark(benchmark, files)
            tables: dict[Path, BarTable] = {}
            if recorded is None and not request.symbols:
                symbols, tables = _of_one_frequency([files[symbol] for symbol in symbols], request.about)
            kept[:] = [(key, _load(symbols, recorded, as_of, there, config, benchmark, tables))]
        return kept[0][1]

    def newest() -> DeskState:
        config = load_config(workspace.config)
        recorded = read_account(workspace, folder, request.account) if folder else None
        own = recorded.bars if recorded is not None and request.bars is None else None
        there = workspace.reading(str(own.absolute()) if own else request.bars)
        as_of = read_as_of(request.as_of) if request.as_of else (recorded and recorded.until) or datetime.now(UTC)
        desk = _definition(recorded, workspace)
        loaded = load(as_of, recorded, there, config, desk.spec.benchmark if desk else BENCHMARK)
        if request.as_of is None and recorded is None:
            until, later = _end_of_most(loaded.bars)
            if later and later not in told:
                told.add(later)
                say(
                    f"sim: as of {until.date()}, where most bars end; {later} has later ones, --as-of takes them",
                    err=True,
                )
            as_of = min(as_of, until)
        splits = recorded.splits_by(as_of) if recorded is not None and own else []
        bars, context = (adjust_for_splits(one, splits) for one in (loaded.bars, loaded.context))
        snapshot = bars.snapshot(as_of, load_events(there.events), context, load_news(there.news))
        if not len(snapshot):
            raise DataError(f"no bar has closed by {as_of:%Y-%m-%d %H:%M}", mend="name a later --as-of")
        return _state(snapshot, recorded, desk, config)

    state = newest()
    return (lambda: state) if request.as_of else newest


@lru_cache(1)
def _end_of_most(bars: Bars) -> tuple[datetime, str]:
    """Return when the last bar closed that at least half of the symbols have, and the symbols that have later ones.

    A newcomer's samples end on different days, and what ended a year before is nothing to look at.
    """
    ends = [int(bars.fresh[:, column].nonzero()[0][-1]) for column in range(len(bars.symbols))]
    last = sorted(ends)[len(ends) // 2]
    later = [symbol for symbol, end in zip(bars.symbols, ends, strict=True) if end > last]
    return moment(int(bars.closes_at[last])) if later else datetime.max.replace(tzinfo=UTC), ", ".join(later)


def _symbols(
    request: DeskRequest, recorded: Recorded | None, files: Mapping[str, Found], config: Config
) -> tuple[str, ...]:
    if recorded is not None:
        traded = dict.fromkeys(fill.symbol for fill in recorded.fills)
        return tuple(dict.fromkeys((*(request.symbols or recorded.symbols), *traded)))
    beside = shown_beside(config)
    named = dict.fromkeys((*config.assets.assets, request.about))
    found = request.symbols or tuple(one for one in named if one in files and one not in beside)
    if not found:
        raise DataError(
            "no symbol of config/assets.yaml has bars", mend="name some with --symbols, or `sim data fetch`"
        )
    return found


def shown_beside(config: Config) -> tuple[str, ...]:
    """Return the symbols that are shown and not traded."""
    return config.assets.cash_instrument, *config.assets.context


def _of_one_frequency(found: Sequence[Found], about: str) -> tuple[tuple[str, ...], dict[Path, BarTable]]:
    """Return the symbols whose bars have the spacing of those of `about`, else that which most have, and the tables of
    all: daily bars and those within a day stand on no timeline together. Others are told on stderr."""
    tables = {one.path: one.read() for one in found}
    by_spacing: dict[str, list[str]] = {}
    for one in found:
        by_spacing.setdefault(tables[one.path].frequency, []).append(one.symbol)
    taken = max(by_spacing, key=lambda one: (about in by_spacing[one], len(by_spacing[one]), one == DAILY))
    left = [f"{', '.join(symbols)} ({spacing})" for spacing, symbols in by_spacing.items() if spacing != taken]
    if left:
        count = counted(len(by_spacing[taken]), "symbol")
        say(f"sim: {taken} bars of {count} are looked at; --symbols takes others: {'; '.join(left)}", err=True)
    return tuple(by_spacing[taken]), tables


def _load(
    symbols: Sequence[str],
    recorded: Recorded | None,
    as_of: datetime,
    there: Workspace,
    config: Config,
    benchmark: str,
    tables: Mapping[Path, BarTable],
) -> Loaded:
    day = as_of.astimezone(NEW_YORK).date()
    first = day - HISTORY
    if recorded is not None and recorded.fills:
        first = min(first, recorded.fills[0].session)
    context = [*shown_beside(config), *((benchmark,) if benchmark not in symbols else ())]
    loaded = load_bars(symbols, there.bar_folders, first=first, last=day, context=context, kept=tables)
    bars, _, _ = with_cash_return(loaded.bars, loaded.context, config, 0)
    return replace(loaded, bars=bars)


def _definition(recorded: Recorded | None, workspace: Workspace) -> DeskDefinition | None:
    """Return the desk of the workspace as it played in the run that is looked at; None where there is none."""
    file = workspace.strategies / DESK / "strategy.yaml"
    parameters = split_parameters(recorded.parameters)[0] if recorded is not None and recorded.strategy == DESK else []
    own = {name: recorded.parameters[name] for name in parameters if not name.startswith(SEATS)} if recorded else {}
    return load_definition(file, workspace.config, own) if file.is_file() else None


def _state(snapshot: Snapshot, recorded: Recorded | None, desk: DeskDefinition | None, config: Config) -> DeskState:
    if recorded is None:
        marks = {symbol: snapshot.last(symbol) for symbol in snapshot.symbols if snapshot.has(symbol)}
        past = PastAccount(Book(config.accounts.cash, {}, marks, config.accounts.cash), began=config.accounts.cash)
    else:
        past = at(recorded, snapshot)
    return DeskState(
        snapshot,
        past.book,
        desk.sectors if desk else sectors_of(config.assets),
        desk.caps if desk else Caps(),
        trips=past.trips,
        equity=past.equity,
        stops=past.stops,
        targets=past.targets,
        entries_today=past.entries_today,
        began=past.began,
        benchmark=desk.spec.benchmark if desk else BENCHMARK,
        as_traded=desk is not None and desk.spec.as_traded,
    )
