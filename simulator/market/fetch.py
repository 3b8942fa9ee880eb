"""Bars brought into ``data/``: from a provider or a folder, checked, compared with what is there, moved into place.

    source ──► Tables ──► quality ──► not worse than data/SYMBOL.*? ──► all written aside ──► all moved into place

Either every symbol asked for arrives or no file changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from simulator.errors import DataError, SimError, UsageError, did_you_mean
from simulator.files import check_writable, name_aside, place_all, sweep
from simulator.market import quality
from simulator.market.bars import instant
from simulator.market.calendar import day_number, day_of, sessions
from simulator.market.sources import files, synthetic
from simulator.market.table import DAILY, BarTable

SOURCES = ("yahoo", "alpaca", "files", "synthetic")
DELAY = timedelta(minutes=20)
"""Time after its close from which a session counts as complete at the providers."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class FetchRequest:
    """Bars to fetch. `last` None: to the last complete session; `symbols` empty: all of a folder.

    `path` is the folder of the source ``files``, or one file of it, and `zone` that of its intraday labels without one;
    `seed` and `every`, the spacing of bars, belong to ``synthetic``, `url` replaces Alpaca's address.
    """

    source: str
    symbols: tuple[str, ...]
    first: date | None = None
    last: date | None = None
    path: Path | None = None
    seed: int = 0
    url: str | None = None
    zone: ZoneInfo | None = None
    every: str = DAILY


@dataclass(frozen=True)
class FetchedFile:
    """A file that was written, and the problems in it that a person should look at."""

    symbol: str
    path: Path
    first: date
    last: date
    bars: int
    problems: tuple[quality.Problem, ...]


def fetch(request: FetchRequest, into: Path, now: datetime, say: Say) -> list[FetchedFile]:
    """Fetch the bars of `request` into the folder `into`, one CSV per symbol; `say` gets a line of progress per symbol.

    `now` (aware) decides which session is complete: bars of an unfinished one are not taken. Raises UsageError for an
    request that makes no sense, DataError when a source has nothing, when its bars are refused (`quality`), or when
    the file that is there covers more.
    """
    check_writable(into)
    tables = _fetch(request, now, say)
    checked = [(table, quality.check(table)) for table in tables]
    for _, problems in checked:
        if refused := next((problem for problem in problems if problem.refused), None):
            raise DataError(f"{refused}: bars like this are not taken in")
    for table, problems in checked:
        _refuse_worse(table, problems, into)
    paths = _write(tables, into, request.source)
    return [
        FetchedFile(table.symbol, path, table.first, table.last, len(table), tuple(problems))
        for (table, problems), path in zip(checked, paths, strict=True)
    ]


def last_complete_session(now: datetime, delay: timedelta = DELAY) -> date:
    """The newest session of XNYS that closed at least `delay` before `now`."""
    recent = sessions(now.date() - timedelta(days=15), now.date() + timedelta(days=1))
    done = int(np.searchsorted(recent.closes_at, instant(now - delay), side="right"))
    return day_of(recent.session_of[done - 1])


def _fetch(request: FetchRequest, now: datetime, say: Say) -> list[BarTable]:
    for symbol in request.symbols:
        if not files.is_symbol(symbol):
            raise UsageError(f'"{symbol}" is not a symbol', mend="separate symbols by commas: --symbols SPY,QQQ")
    if request.first and request.last and request.last < request.first:
        raise UsageError(f"--to {request.last} lies before --from {request.first}", mend="swap them")
    if request.source == "files":
        return _from_folder(request, say)
    if not request.symbols:
        raise UsageError(f"{request.source} needs symbols", mend="name them with --symbols SPY,QQQ")
    if request.first is None:
        raise UsageError(f"{request.source} needs a first day", mend="give one with --from 2015-01-01")
    last = request.last if request.last and request.last < now.astimezone(UTC).date() else last_complete_session(now)
    if not len(sessions(request.first, last)):
        until = f"to {last}" if last >= request.first else "on"
        raise DataError(f"no session of the New York Stock Exchange is complete from {request.first} {until}")
    return _from_provider(request, request.first, last, say)


def _from_provider(request: FetchRequest, first: date, last: date, say: Say) -> list[BarTable]:
    if request.source == "yahoo":
        from simulator.market.sources import yahoo

        return yahoo.fetch(request.symbols, first, last, say)
    if request.source == "alpaca":
        from simulator.market.sources import alpaca

        return alpaca.fetch(request.symbols, first, last, say, url=request.url)
    if request.source == "synthetic":
        return synthetic.fetch(request.symbols, first, last, request.seed, request.every)
    raise UsageError(f'no source "{request.source}"{did_you_mean(request.source, SOURCES)}')


def _from_folder(request: FetchRequest, say: Say) -> list[BarTable]:
    if request.path is None:
        raise UsageError("the source files needs a folder", mend="give one with --path DIR")
    there = _files_of(request.path, request.symbols, say)
    tables = []
    for symbol in request.symbols or there:
        if symbol not in there:
            raise DataError(f"holds no file for {symbol}{did_you_mean(symbol, there)}", where=str(request.path))
        say(f"{symbol} from {there[symbol]}")
        tables.append(_cut(files.read_table(there[symbol], symbol=symbol, zone=request.zone), request))
        for note in tables[-1].notes:
            say(f"{symbol}: {note}")
    return tables


def _files_of(path: Path, symbols: Sequence[str], say: Say) -> dict[str, Path]:
    """Return the file of each symbol in a folder; one file, which may hold several symbols, for each asked for."""
    if path.is_file():
        named = symbols or tuple(filter(None, [files.symbol_of(path)]))
        if not named:
            raise UsageError(f'"{path.name}" is not named after a symbol', mend="name it with --symbols SPY")
        return dict.fromkeys(named, path)
    if not path.is_dir():
        raise UsageError(f"there is no folder {path}")
    there: dict[str, Path] = {}
    for one in sorted(path.iterdir()):
        symbol = files.symbol_of(one)
        if symbol in there and symbol in (symbols or there):
            raise DataError(f"two files for {symbol}: {there[symbol].name} and {one.name}", where=str(path))
        if symbol:
            there.setdefault(symbol, one)
    for one in files.find_misnamed(path):
        say(f"{one.name} is not named after a symbol and is left out; `--path` with the file and `--symbols` reads it")
    if not there:
        raise DataError("holds no file of bars (SYMBOL.csv, SYMBOL.csv.gz or SYMBOL.parquet)", where=str(path))
    return there


def _cut(table: BarTable, request: FetchRequest) -> BarTable:
    first = day_number(request.first or date.min)
    inside = (table.session_of >= first) & (table.session_of <= day_number(request.last or date.max))
    if not inside.any():
        raise DataError(f"{table.symbol} has no bars there: {table.first} to {table.last}", where=table.path)
    return table.take(inside)


def _refuse_worse(table: BarTable, problems: Sequence[quality.Problem], into: Path) -> None:
    """Raise DataError where the bars in place are better: more sessions, fewer problems, or real ones."""
    for path in into.iterdir() if into.is_dir() else ():
        if files.symbol_of(path) != table.symbol or not path.is_file():
            continue
        shown = files.shown_path(path)
        if path.name != f"{table.symbol}.csv" and not _is_source(path, table):
            raise DataError(f"{shown} is there and would stand beside the new file", mend=f"move {shown} away first")
        try:
            old = files.read_table(path)
        except DataError:
            continue  # what cannot be read cannot be better
        if not quality.refusals(old) and (reason := _better(old, table, problems)):
            raise DataError(f"{shown} {reason}", mend=f"fetch the whole range or move {shown} away first")


def _is_source(path: Path, table: BarTable) -> bool:
    return bool(table.path) and path.resolve() == Path(table.path).resolve()


def _better(old: BarTable, new: BarTable, problems: Sequence[quality.Problem]) -> str:
    """Say why `old` is better than `new`; empty where it is not."""
    if old.frequency != new.frequency:
        return f"has {old.frequency} bars, the new ones are {new.frequency}"
    if synthetic.SOURCE in new.source and synthetic.SOURCE not in old.source:
        return f"has bars of the market ({old.source}), the new ones are {new.source}"
    lost = np.setdiff1d(old.session_of, new.session_of)
    if len(lost):
        has = f"has {len(old)} bars from {old.first} to {old.last}"
        return f"{has}; {len(lost)} of their sessions are not among the new ones, {new.first} to {new.last}"
    here = [p for p in problems if p.date and old.first <= p.date <= old.last]
    if len(here) > len(quality.check(old)):
        return f"has fewer problems than the new bars, e.g. {here[0]}"
    return ""


def _original(path: Path) -> Path:
    """Return the name under which a file that is read anew in its own folder is kept."""
    numbered = (path.with_name(f"{path.name}.original{n or ''}") for n in count())
    return next(name for name in numbered if not name.exists())


def _write(tables: Sequence[BarTable], into: Path, source: str) -> list[Path]:
    """Write every table to a file beside its place, then move all into place: after a kill, too, all or none."""
    into.mkdir(parents=True, exist_ok=True)
    sweep(into)
    places = [into / f"{table.symbol}.csv" for table in tables]
    pairs = [(name_aside(place), place) for place in places]
    copies: list[Path] = []
    try:
        for table, (aside, _) in zip(tables, pairs, strict=True):
            # The source column of a folder's or made-up bars says what their table does, with the seed or the file.
            files.write_csv(table, aside, table.source if source in ("files", "synthetic") else source)
        moves: list[tuple[Path, Path]] = []
        for table, (aside, place) in zip(tables, pairs, strict=True):
            own = into / Path(table.path).name
            here = source == "files" and Path(table.path).resolve().parent == into.resolve()
            if here and _is_source(place, table):
                copies.append(name_aside(own))
                shutil.copy2(own, copies[-1])
                moves.append((copies[-1], _original(own)))
            moves.append((aside, place))
            if here and not _is_source(place, table):
                moves.append((own, _original(own)))
        place_all(into, moves)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SimError(f"{into} could not be written ({reason}); no file there was half-written") from error
    finally:
        for aside in (*copies, *(aside for aside, _ in pairs)):
            with suppress(OSError):
                aside.unlink(missing_ok=True)
    return places
