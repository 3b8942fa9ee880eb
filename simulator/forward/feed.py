"""Bars of a forward run: fetched session by session as traded, kept as files of the run, read as a replay reads them.

broker's data ──fetch──► <run>/data/SYMBOL.csv, <run>/splits.csv ──load──► Known at an instant
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import DataError, SimError
from simulator.files import name_aside, place_all, read_text, sweep, write_file
from simulator.forward.books import Split
from simulator.forward.protocols import Known
from simulator.forward.threads import in_thread
from simulator.market.bars import NUMBERS, Snapshot, instant
from simulator.market.calendar import NEW_YORK
from simulator.market.events import COLUMNS as EVENT_COLUMNS
from simulator.market.fetch import last_complete_session
from simulator.market.news import News, load_news
from simulator.market.sources import files
from simulator.market.table import DAILY, BarTable, step_of

ASKED = "news-asked.txt"
"""Holds the instant up to which headlines were asked for."""
NEWS_BACK = timedelta(days=8)
"""Time that headlines are asked back: a day more than strategies look at."""

Fetch = Callable[[Sequence[str], date, date], Sequence[BarTable]]
"""Tables of symbols from one day to another, both included: one a symbol, as they were traded."""


@dataclass(frozen=True)
class Actions:
    """Corporate actions: dollars a share that go ex, by symbol and session, and splits."""

    dividends: Mapping[tuple[str, date], float] = field(default_factory=dict)
    splits: tuple[Split, ...] = ()


def no_actions(_symbols: Sequence[str], _first: date, _last: date) -> Actions:
    """Return none: where nobody tells them, prices are adjusted by the source."""
    return Actions()


FetchActions = Callable[[Sequence[str], date, date], Actions]
"""Corporate actions of symbols that go ex from one day to another, both included."""


FetchNews = Callable[[Sequence[str], datetime, datetime], Sequence[News]]
"""Headlines on symbols that were published from one instant to another, both included."""


@dataclass(frozen=True)
class Source:
    """Source of market data: bars as they were traded, corporate actions, and headlines where it tells any."""

    bars: Fetch
    actions: FetchActions = no_actions
    frequency: str = DAILY
    news: FetchNews | None = None


@dataclass(eq=False)
class RecordedFeed:
    """Feed that keeps the bars of `symbols`, from the session `begin` on, in `folder`.

    What is there is not asked again, so that a later restatement changes nothing that was decided on; what is new is
    appended. `load` reads the files: the argument is the instant, and the splits that hold by then. `tables` are those
    that need not be read again, as they stand on disk; `headlines` get those that the source tells.
    """

    symbols: Sequence[str]
    begin: date
    folder: Path
    source: Source
    load: Callable[[datetime, Sequence[Split]], Known]
    tables: dict[Path, BarTable] = field(default_factory=dict)
    headlines: list[News] | None = None
    _asked: date | None = None
    _kept: tuple[int, int] = (-1, -1)
    _dividends: Mapping[tuple[str, date], float] = field(default_factory=dict)

    async def known_at(self, as_of: datetime) -> Known:
        try:
            return await in_thread(lambda: self._known_at(as_of))
        except OSError as error:
            raise DataError(f"inputs cannot be recorded: {error.strerror or error}", where=str(self.folder)) from None

    def _known_at(self, as_of: datetime) -> Known:
        today = as_of.astimezone(NEW_YORK).date()
        try:
            self._ask_actions(today)
        except SimError:
            if self._asked != today:  # later in the day it is asked for what was announced late
                raise
        self._record(as_of, last_complete_session(as_of, timedelta(0)) if self._daily else today)
        asked_news = self._ask_headlines(as_of)
        known = self.load(as_of, [one for one in self.splits() if one.session <= today])
        self._keep(known.snapshot)
        if asked_news:  # once they are kept
            write_file(self.folder / ASKED, as_of.isoformat().encode())
        return known

    def _ask_headlines(self, as_of: datetime) -> bool:
        """Ask what has been published; return True where that was done. A headline that arrives late counts from the
        first instant that saw it, here and in a replay."""
        if self.headlines is None or self.source.news is None:
            return False
        if not self.headlines:
            self.headlines.extend(load_news(self.folder / "news"))
        path = self.folder / ASKED
        before = datetime.fromisoformat(read_text(path)) if path.is_file() else None
        if before is not None and as_of <= before:
            return False
        there = {(one.headline, one.symbols) for one in self.headlines}
        for one in self.source.news(self.symbols, as_of - NEWS_BACK, as_of):
            if (one.headline, one.symbols) not in there:
                late = before is not None and one.published_at <= before
                self.headlines.append(replace(one, published_at=as_of) if late else one)
        self.headlines.sort(key=lambda one: (one.published_at, one.headline))
        return True

    def _keep(self, snapshot: Snapshot) -> None:
        """Keep the headlines and events that were known beside the bars, as the workspace keeps them in ``data/``."""
        news = snapshot.news if self.headlines is None else self.headlines
        count = len(news), len(snapshot.events)
        if count == self._kept:
            return
        headlines = [
            json.dumps({"published_at": one.published_at.isoformat(), "headline": one.headline,
                        "symbols": list(one.symbols), "source": one.source}) + "\n"
            for one in news
        ]  # fmt: skip
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(EVENT_COLUMNS)
        rows.writerows(
            [one.at.isoformat(), one.name, one.importance, one.known_at.isoformat()] for one in snapshot.events
        )
        (self.folder / "news").mkdir(parents=True, exist_ok=True)
        write_file(self.folder / "news" / "headlines.jsonl", "".join(headlines).encode())
        write_file(self.folder / "events.csv", text.getvalue().encode())
        self._kept = count

    @property
    def _daily(self) -> bool:
        return self.source.frequency == DAILY

    @property
    def _splits_file(self) -> Path:
        return self.folder.parent / "splits.csv"

    def splits(self) -> list[Split]:
        """Return every split on record."""
        if not self._splits_file.is_file():
            return []
        rows = csv.DictReader(io.StringIO(read_text(self._splits_file)))
        try:  # people add what nobody tells
            found = [Split(row["symbol"], date.fromisoformat(row["session"]), float(row["ratio"])) for row in rows]
        except (KeyError, TypeError, ValueError):
            mend = "lines like NVDA,2024-06-10,10 below the first, which is symbol,session,ratio"
            raise DataError("the splits are not understood", where=str(self._splits_file), mend=mend) from None
        return found

    def _ask_actions(self, today: date) -> None:
        """Ask what goes ex by today: a split is known before the bars that show it. What is on record stays as it is.

        Raises DataError for two ratios of one symbol and morning.
        """
        known = self.source.actions(self.symbols, self.begin, today)
        there = self.splits()
        on_record = {(one.symbol, one.session) for one in there}
        new = [one for one in known.splits if (one.symbol, one.session) not in on_record]
        for one, other in pairwise(new):  # they come sorted
            if (one.symbol, one.session) == (other.symbol, other.session):
                raise DataError(
                    f"the broker tells two splits of {one.symbol} on {one.session}: {one.ratio:g} and {other.ratio:g}",
                    mend=f"write the right one to {self._splits_file}: symbol,session,ratio",
                )
        self._dividends = known.dividends
        if new:
            rows = "".join(f"{one.symbol},{one.session},{one.ratio!r}\n" for one in (*there, *new))
            self._splits_file.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._splits_file, f"symbol,session,ratio\n{rows}".encode())
        self._asked = today

    def _record(self, as_of: datetime, last: date) -> None:
        missing: dict[date, list[str]] = {}
        sweep(self.folder)
        paths = {symbol: self.folder / f"{symbol}.csv" for symbol in self.symbols}
        for symbol, path in paths.items():
            self._read(path)
            since = self.begin
            if path in self.tables:
                since = self.tables[path].last + timedelta(days=1 if self._daily else 0)
            if since <= last:
                missing.setdefault(since, []).append(symbol)
        self.folder.mkdir(parents=True, exist_ok=True)
        moves, appended = [], False
        for since, symbols in missing.items():
            for found in self.source.bars(symbols, since, last):
                path = paths[found.symbol]
                there = self.tables.get(path)
                table = self._complete(found, there, as_of)
                if not len(table):
                    continue
                if there is None:
                    moves.append((name_aside(path), path))
                    files.write_csv(table, moves[-1][0], table.source)
                else:
                    files.append_csv(table, path, table.source)
                    self.tables[path], appended = join_tables(there, table), True
        if self._daily and missing and not (moves or appended) and all(it.last < last for it in self.tables.values()):
            raise DataError(f"no symbol has a bar of {last} yet")
        place_all(self.folder, moves)
        for _, path in moves:
            self._read(path)

    def _read(self, path: Path) -> None:
        """Read the table of a file once; a line that a kill cut off is removed."""
        if path not in self.tables and path.is_file():
            files.cut_torn_line(path)
            self.tables[path] = files.read_table(path, source=f"{self.folder.name}/{path.name}")

    def _complete(self, table: BarTable, there: BarTable | None, as_of: datetime) -> BarTable:
        """Return what of `table` is new and has closed by `as_of`, with the dividends that went ex."""
        if not self._daily:
            new = table.starts + step_of(self.source.frequency) <= instant(as_of)
            table = table.take(new & (table.starts > there.starts[-1]) if there is not None else new)
        days = [date.fromordinal(int(one) + date(1970, 1, 1).toordinal()) for one in table.session_of]
        fresh = np.append(True, table.session_of[1:] != table.session_of[:-1])[: len(table)]
        if there is not None and len(table) and there.session_of[-1] == table.session_of[0]:
            fresh[0] = False
        paid = [
            self._dividends.get((table.symbol, day), 0.0) if new else 0.0 for day, new in zip(days, fresh, strict=True)
        ]
        return replace(table, dividend=np.nan_to_num(table.dividend) + np.array(paid))


Digests = dict[str, tuple[int, str]]
"""{file: (bytes, their sha256)}."""


def input_digests(folder: Path, first: Mapping[str, Any] | None = None) -> Digests:
    """Return digests of the bars, headlines and splits that a feed keeps in `folder`, all of which grow at their ends;
    with `first`, earlier digests, of as many bytes of the same files as those were of."""
    paths = [*folder.glob("*.csv"), folder / "news" / "headlines.jsonl", folder.parent / "splits.csv"]
    found = {one.relative_to(folder.parent).as_posix(): one for one in paths if one.is_file()}
    found.pop(f"{folder.name}/events.csv", None)  # by date of the event, not by when it was known
    whole = {name: found[name].read_bytes() for name in sorted(found) if first is None or name in first}
    cut = {name: text if first is None else text[: first[name][0]] for name, text in whole.items()}
    return {name: (len(text), hashlib.sha256(text).hexdigest()) for name, text in cut.items()}


def join_tables(old: BarTable, new: BarTable) -> BarTable:
    """Return the bars of `old`, then those of `new`."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(old, name), getattr(new, name)]) for name in ("session_of", "starts", *NUMBERS)
    }
    return BarTable(old.symbol, old.source, old.frequency, **columns, path=old.path, notes=old.notes)
