"""Bars for a run: found in the data folders, checked, and put on the timeline of the exchange. Never downloads.

data/SYMBOL.csv|.parquet ──┐                       refusals → DataError
                           ├─► BarTable per symbol ──► timeline ──► Loaded(bars, context, start, last, until, notes)
data/sample/SYMBOL.parquet ┘
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

import numpy as np

from simulator.errors import DataError, UsageError, did_you_mean
from simulator.files import sweep
from simulator.market import quality
from simulator.market.bars import Bars, Instants
from simulator.market.calendar import TABLE_FROM, Sessions, day_number, day_of, sessions
from simulator.market.sources import files, sample
from simulator.market.sources.headers import quote
from simulator.market.table import BarTable, in_hours, step_of, to_bars


@dataclass(frozen=True, eq=False)
class Loaded:
    """Bars of a run.

    Attributes
    ----------
    bars : the traded symbols, in the order asked for, warm-up history included
    context : series that are shown and not traded (VIX, the cash instrument), on the same timeline; those that are not
        available are absent
    start : row of the first bar of the run; the rows before it are history
    last : session of the last bar
    until : session up to which the files have bars of every traded symbol, perhaps later
    notes : sentences for the reader of a result
    """

    bars: Bars
    context: Bars
    start: int
    last: date
    until: date
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """One file of bars: `source` as shown to people, `read` gives its table (raises DataError)."""

    symbol: str
    path: Path
    source: str
    shipped: bool

    def read(self) -> BarTable:
        return replace(files.read_table(self.path, source=self.source), symbol=self.symbol)

    def problems(self) -> list[quality.Problem]:
        """Return every problem of its bars, see :func:`quality.check`; a file that cannot be read is one."""
        try:
            return quality.check(self.read())
        except DataError as error:
            what = "; ".join(filter(None, (error.found, error.mend)))
            return [quality.Problem(self.symbol, None, what, error.where or "", refused=True)]


@dataclass(frozen=True)
class _Window:
    first: date
    last: date | None
    history: int


def available(data: Path | Sequence[Path]) -> dict[str, Found]:
    """Symbol → the file its bars come from: the files of each folder in turn, samples (folders named so) last.

    Raises DataError where one folder holds two files for a symbol.
    """
    folders = [data] if isinstance(data, Path) else list(data)
    for folder in folders:
        sweep(folder)  # finishes what a killed fetch has begun
    samples = dict.fromkeys(f if f.name == sample.FOLDER else f / sample.FOLDER for f in folders)
    found: dict[str, Found] = {}
    for folder in (*(f for f in folders if f not in samples), *samples):
        found = _files_of(folder, folder in samples) | found
    return found


def select(folders: Sequence[Path], symbols: Sequence[str]) -> list[Found]:
    """Return the files of `symbols`, of all there are where none is named. Raises DataError for one without bars."""
    shelf = available(folders)
    unknown = next((symbol for symbol in symbols if symbol not in shelf), None)
    if unknown:
        guess = _guess(unknown, shelf, folders)
        raise DataError(f'no bars for "{unknown}"{guess}', mend="`sim data list` shows what is there")
    return [shelf[symbol] for symbol in symbols or sorted(shelf)]


def _guess(symbol: str, shelf: dict[str, Found], folders: Sequence[Path]) -> str:
    """Return a hint at the file or symbol that was meant; empty where none is near."""
    there = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    near = [path for path in there if symbol and re.match(rf"{re.escape(symbol)}\W", path.name, re.IGNORECASE)]
    if near:
        shown = files.shown_path(near[0])
        take = f"`sim data fetch --source files --path {quote(shown)} --symbols {symbol}`"
        return f" ({shown} is not named {symbol}.csv: rename it, or {take})"
    return did_you_mean(symbol, shelf)


def _files_of(folder: Path, shipped: bool) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        symbol = files.symbol_of(path)
        if not symbol or path.is_dir():
            continue
        if symbol in found:
            both = f"{files.shown_path(found[symbol].path)} and {files.shown_path(path)}"
            raise DataError(f"two files for {symbol}: {both}", mend="delete one")
        found[symbol] = Found(symbol, path, sample.SOURCE if shipped else f"{folder.name}/{path.name}", shipped)
    return found


def load_bars(
    symbols: Sequence[str],
    data: Path | Sequence[Path],
    *,
    first: date,
    last: date | None = None,
    history: int = 0,
    context: Sequence[str] = (),
    kept: Mapping[Path, BarTable] = MappingProxyType({}),
) -> Loaded:
    """Load checked bars of `symbols` from `first` to `last`, both included, with `history` sessions before `first`.

    Each symbol comes from the first of the folders `data` that has a file for it, else from their ``sample/``;
    `Bars.sources` says which. With `last` None the run ends at the last session that all symbols have. Symbols may
    start late, stop early or miss sessions (NaN there); `notes` says so. Files whose tables are `kept` are not read.

    Raises UsageError for symbols or dates that make no sense, DataError for a symbol without bars, for dates
    without bars, and for bars that `quality` refuses: corrupt data is worse than no data.
    """
    window = _Window(first, last, history)
    _check_request(symbols, first, last)
    found = available(data)
    for symbol in symbols:
        if symbol not in found:
            guess = _guess(symbol.upper(), found, [data] if isinstance(data, Path) else data)
            raise DataError(f'no bars for "{symbol}"{guess}', mend=f"fetch them with {_fetch([symbol], window)}")
    chosen = {s: found[s] for s in dict.fromkeys((*symbols, *context)) if s in found}
    tables = {s: load_table(one, kept.get(one.path)) for s, one in chosen.items()}
    if "pyarrow" in sys.modules:  # it keeps what the files took, a hundred megabytes of a year of minutes
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    traded, notes = _one_frequency([tables[s] for s in symbols])
    shown, more = _fitting([tables[s] for s in context if s in tables], traded[0].frequency)
    return _assemble(traded, shown, window, [*notes, *more])


def _check_request(symbols: Sequence[str], first: date, last: date | None) -> None:
    if not symbols:
        raise UsageError("no symbols were given", mend="name them with --symbols SPY,QQQ")
    twice = next((s for s in symbols if list(symbols).count(s) > 1), None)
    if twice:
        raise UsageError(f"{twice} is named twice in {','.join(symbols)}")
    if last is not None and last < first:
        raise UsageError(f"the run would begin on {first} and end on {last}, before it", mend="swap --from and --to")
    if last is not None and not len(sessions(first, last)):
        none = f"the New York Stock Exchange has no session from {first} to {last}"
        raise DataError(none, mend="move --from or --to")


def _fetch(symbols: Sequence[str], window: _Window) -> str:
    """The command that downloads what is missing, from the first session of the warm-up on."""
    first, until = window.first, window.last or date.today()
    if window.history:
        number = day_number(first)
        since = max(day_number(TABLE_FROM), number - window.history * 8 // 5 - 20)
        before = sessions(day_of(since), day_of(number - 1))
        first = day_of(before.session_of[-window.history :][0]) if len(before) else first
    return f"`sim data fetch --source yahoo --symbols {','.join(symbols)} --from {first} --to {until}`"


def load_table(found: Found, kept: BarTable | None = None) -> BarTable:
    """Read one file, or take the table that was `kept` of it. Raises DataError (symbol, date, file) for the first
    problem for which it is refused."""
    table = found.read() if kept is None else kept
    problems = quality.refusals(table)
    if problems:
        first = problems[0]
        if first.date is None:
            raise DataError(first.what, where=f"{first.where}: {first.symbol}")
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        whose = f"{first.where}: {first.symbol} {first.date}"
        lists = f"`sim data check --symbols {table.symbol}` lists what is wrong"
        raise DataError(f"{first.what}{others}", where=whose, mend=lists)
    return table


def _one_frequency(traded: list[BarTable]) -> tuple[list[BarTable], list[str]]:
    odd = next((t for t in traded if t.frequency != traded[0].frequency), None)
    if odd:
        spacings = dict.fromkeys(t.frequency for t in traded)
        known = "; ".join(
            f"{one} bars of {', '.join(t.symbol for t in traded if t.frequency == one)}" for one in spacings
        )
        raise DataError(known, mend="one run takes bars of one frequency: name those of one with --symbols")
    notes = [f"{t.symbol}: {note}" for t in traded for note in t.notes]
    if traded[0].daily:
        return traded, notes
    kept = [_regular_hours(t) for t in traded]
    for before, after in zip(traded, kept, strict=True):
        if len(after) < len(before):
            notes.append(f"{after.symbol}: {len(before) - len(after)} bars outside regular hours are left out")
        if quality.labels_ends(before):
            notes.append(
                f"{before.symbol}: labels look like the ends of its bars (none at the open) and are read as starts"
            )
    return kept, notes


def _regular_hours(table: BarTable) -> BarTable:
    within = in_hours(table, sessions(table.first, table.last))
    if not within.any():
        raise DataError(f"{table.symbol} has no bar within regular hours", where=table.path)
    return table if within.all() else table.take(within)


def _fitting(tables: list[BarTable], frequency: str) -> tuple[list[BarTable], list[str]]:
    """Context tables that can stand on a timeline of `frequency`: the same, or daily on intraday."""
    fitting = [t for t in tables if t.daily or t.frequency == frequency]
    others = [t for t in tables if not (t.daily or t.frequency == frequency)]
    notes = [f"{t.symbol} has {t.frequency} bars and is left out of a run on {frequency} bars" for t in others]
    return [t if t.daily else _regular_hours(t) for t in fitting], notes


def _assemble(traded: list[BarTable], shown: list[BarTable], window: _Window, notes: list[str]) -> Loaded:
    end, about_end = _end(traded, window)
    notes += about_end
    begin = min(t.session_of[0] for t in traded)
    days = np.unique(np.concatenate([np.unique(t.session_of) for t in traded]))
    if end < day_number(window.first) or not ((days >= day_number(window.first)) & (days <= end)).any():
        raise _empty(traded, window)
    calendar = sessions(day_of(begin), day_of(end))
    at = int(np.searchsorted(calendar.session_of, day_number(window.first)))
    notes += _late(begin, window, calendar, at)
    calendar = calendar.rows(max(0, at - window.history), len(calendar))
    start_day = max(day_number(window.first), int(begin))
    timeline = _timeline(traded, calendar)
    start = int(np.searchsorted(timeline.session_of, start_day))
    run = calendar.session_of[calendar.session_of >= start_day]
    notes += [note for t in traded for note in _coverage(t, run, window)]
    span = (day_of(timeline.session_of[0]), day_of(run[-1]))
    notes += [str(jump) for t in traded for jump in quality.jumps(t) if jump.date and span[0] <= jump.date <= span[1]]
    notes += [f"{t.symbol} (context) ends {t.last}, before the run does" for t in shown if t.session_of[-1] < run[-1]]
    frequency = traded[0].frequency
    bars, context = to_bars(traded, timeline, frequency), to_bars(shown, timeline, frequency)
    return Loaded(bars, context, start, day_of(run[-1]), ends_of(traded), tuple(notes))


def ends_of(tables: Sequence[BarTable]) -> date:
    """Return the session up to which all have bars."""
    return min(table.last for table in tables)


def _end(traded: list[BarTable], window: _Window) -> tuple[int, list[str]]:
    """Day number of the last session, and notes about it."""
    ends = {t.symbol: int(t.session_of[-1]) for t in traded}
    latest = max(ends.values())
    if window.last is not None:
        asked = day_number(window.last)
        missing = len(sessions(day_of(latest + 1), window.last)) if latest < asked else 0
        note = f"the bars end on {day_of(latest)}, {missing} sessions before --to {window.last}"
        return min(asked, latest), [note] if missing else []
    common = np.unique(traded[0].session_of)
    for table in traded[1:]:
        common = common[np.isin(common, table.session_of)]
    if not len(common):
        raise DataError(f"there is no session on which all of {', '.join(ends)} have bars", mend="give --to a date")
    end = int(common[-1])
    whose = "all symbols have" if len(traded) > 1 else f"{traded[0].symbol} has"
    further = [f"{symbol} goes on to {day_of(day)}" for symbol, day in ends.items() if day > end]
    tail = f" ({', '.join(further)})" if further else ""
    return end, [f"without --to the run ends on {day_of(end)}, the last session that {whose}{tail}"]


def _empty(tables: list[BarTable], window: _Window) -> DataError:
    until = f"from {window.first}" + (f" to {window.last}" if window.last else " on")
    has = ", ".join(f"{t.symbol} ({t.source}) has {t.first} to {t.last}" for t in tables)
    fetch = _fetch([t.symbol for t in tables], window)
    return DataError(f"no bars {until}; {has}", mend=f"fetch them with {fetch}")


def _late(begin: int, window: _Window, calendar: Sessions, at: int) -> list[str]:
    notes = []
    skipped = len(sessions(window.first, day_of(begin - 1))) if begin > day_number(window.first) else 0
    if skipped:
        notes.append(f"the bars begin on {day_of(begin)}, {skipped} sessions after --from {window.first}")
    if at < window.history:
        before = day_of(calendar.session_of[at])
        notes.append(f"{at} sessions of history exist before {before}; {window.history} were asked for")
    return notes


def _coverage(table: BarTable, run: Instants, window: _Window) -> list[str]:
    """Notes of a run over the sessions `run` about one symbol. Raises DataError where it has no bar there."""
    here = np.isin(run, table.session_of)
    if not here.any():
        raise _empty([table], window)
    at = np.flatnonzero(here)
    notes = []
    if at[0] > 0:
        notes.append(f"{table.symbol} starts late, on {day_of(run[at[0]])}")
    if at[-1] < len(run) - 1:
        notes.append(f"{table.symbol} ends early, on {day_of(run[at[-1]])}: a position stays at that price")
    holes = run[at[0] : at[-1] + 1][~here[at[0] : at[-1] + 1]]
    if len(holes):
        notes.append(f"{table.symbol} has no bar on {len(holes)} sessions, the first {day_of(holes[0])}")
    return notes


def _timeline(traded: list[BarTable], calendar: Sessions) -> Sessions:
    """Instants of the bars: of daily ones the sessions, else of every start that any symbol has, cut at the close."""
    if traded[0].daily:
        return calendar
    starts = np.unique(np.concatenate([t.starts for t in traded]))
    rows = np.searchsorted(calendar.opens_at, starts, side="right") - 1
    starts, rows = starts[rows >= 0], rows[rows >= 0]
    within = starts < calendar.closes_at[rows]
    starts, rows = starts[within], rows[within]
    ends = np.minimum(starts + step_of(traded[0].frequency), calendar.closes_at[rows])
    return Sessions(calendar.session_of[rows], starts, ends)
