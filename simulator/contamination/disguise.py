"""A strategy that is shown another market than the one it trades: masked, or turned upside down.

    Snapshot ──Disguise.snapshot──► masked Snapshot ──► strategy ──► masked Decision ──Disguise.decision──► Decision

The council is shown a Snapshot and nothing else, so nothing has to be searched and replaced in prompts: names, dates
and prices are other ones before the first fact is computed, and the answers are cached, billed and journalled as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.config import Asset
from simulator.market.bars import FIELDS, Bars, Floats, Snapshot, instant
from simulator.market.calendar import NEW_YORK
from simulator.market.events import Event
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.strategy import Narrows, Reads, Strategy

SHIFT_WEEKS = 5235
"""Weeks that masked dates are moved: a hundred years and a season, in whole weeks so that weekdays stay."""

BASE = 100.0
"""Newest close, and newest volume, of every masked symbol."""

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Disguise:
    """Names and dates to hide.

    Attributes
    ----------
    names : symbol → the name it is shown under; symbols not named keep theirs
    weeks : by how many dates are moved
    rescaled : whether the newest close and volume of each symbol are 100
    beside : series a strategy looks up by name, e.g. the cash instrument: shown in the context too, under their own
        name, where they are traded and would not be found under another

    Levels in the context (VIX, cash) stay: they are information, and a council shows them as level and yield only.
    """

    names: Mapping[str, str]
    weeks: int = 0
    rescaled: bool = True
    beside: tuple[str, ...] = ()

    def snapshot(self, market: Snapshot) -> Snapshot:
        """`market` as it is shown. News is left out: a headline names what is hidden."""
        as_of = self.moment(market.as_of)
        scale = self.scale(market)
        bars = market.bars
        volume = _towards_base(bars.volume) if self.rescaled else 1.0
        changed: dict[str, Any] = {name: getattr(bars, name) * scale for name in (*PRICES, "dividend")}
        changed["volume"] = bars.volume * volume
        shown = tuple(self.names.get(symbol, symbol) for symbol in bars.symbols)
        moved = instant(as_of) - instant(market.as_of)
        masked = self._move_bars(replace(bars, symbols=shown, **changed), moved)
        given = {one.name: getattr(market, one.name) for one in fields(market)}
        given |= {"bars": masked, "as_of": as_of, "context": self._context(market, as_of, moved)}
        if self.weeks:
            given["events"] = tuple(_moved_event(event, self.weeks) for event in market.events)
        if "news" in given:
            given["news"] = ()
        return Snapshot(**given)

    def moment(self, at: datetime) -> datetime:
        """`at` moved by whole weeks, at the same New York wall time."""
        return _moved_moment(at, self.weeks) if self.weeks else at

    def scale(self, market: Snapshot) -> Floats:
        """(N,) what prices are multiplied by; 1 for a symbol without a bar."""
        if not self.rescaled:
            return np.ones(len(market.symbols))
        return _towards_base(market.bars.close)

    def book(self, book: Book, market: Snapshot) -> Book:
        """`book` in masked names and prices; weights, cash and equity are the same."""
        by = dict(zip(market.symbols, self.scale(market).tolist(), strict=True))
        return Book(
            book.cash,
            {self.names.get(s, s): held / by[s] for s, held in book.positions.items()},
            {self.names.get(s, s): mark * by[s] for s, mark in book.marks.items()},
            book.equity,
        )

    def decision(self, decision: Decision, market: Snapshot) -> Decision:
        """A decision on the masked market as one on `market`. Its record stays masked."""
        real = {self.names.get(symbol, symbol): n for n, symbol in enumerate(market.symbols)}
        scale = self.scale(market)

        def one(target: Target) -> Target:
            n = real[target.symbol]
            prices = {name: getattr(target, name) for name in ("limit", "stop", "take_profit")}
            back: dict[str, Any] = {
                name: None if price is None else price / float(scale[n]) for name, price in prices.items()
            }
            return replace(target, symbol=market.symbols[n], **back)

        return Decision(market.as_of, tuple(one(target) for target in decision.targets), decision.record)

    def _move_bars(self, bars: Bars, by: int) -> Bars:
        if not self.weeks:
            return bars
        return replace(
            bars,
            opens_at=bars.opens_at + by,
            closes_at=bars.closes_at + by,
            session_of=bars.session_of + 7 * self.weeks,
        )

    def _context(self, market: Snapshot, as_of: datetime, moved: int) -> Snapshot | None:
        there = market.context.symbols if market.context is not None else ()
        missing = [symbol for symbol in self.beside if symbol in market.symbols and symbol not in there]
        series = market.bars.select(missing)
        if market.context is not None and len(market.context) == len(series):
            series = _side_by_side(market.context.bars, series)
        elif market.context is not None:
            series = market.context.bars
        return Snapshot(self._move_bars(series, moved), as_of)


class Wrapper:
    """A strategy that stands for `strategy` towards a replay: its name, its window, what it reads."""

    def __init__(self, strategy: Strategy[Any]) -> None:
        self.strategy = strategy
        self.name: str = strategy.name
        self.cadence: Cadence = strategy.cadence
        self.window: int = strategy.window
        self.reads: Reads = strategy.reads


class Disguised(Wrapper):
    """`strategy` deciding on a market it cannot recognise, for the account that trades the real one.

    It is handed no journal: what stands there names the real market. Councils and rules do not read it at meetings.
    """

    def __init__(self, strategy: Strategy[Any], disguise: Disguise) -> None:
        super().__init__(strategy)
        self.disguise = disguise

    async def opine(self, snapshot: Snapshot, _journal: Sequence[Decision]) -> Any:
        """Return the strategy's opinion on the masked market."""
        return await self.strategy.opine(self.mask(snapshot), ())

    def mask(self, snapshot: Snapshot) -> Snapshot:
        """Return the masked market: of many symbols those that the strategy chooses by the volumes of the real one."""
        chosen = self.strategy.narrow(snapshot) if isinstance(self.strategy, Narrows) else snapshot
        return self.disguise.snapshot(chosen)

    def decide(self, snapshot: Snapshot, opinion: Any, book: Book, _journal: Sequence[Decision]) -> Decision:
        """Return the strategy's decision, in the names and prices of the real market."""
        hidden, masked = self.disguise.book(book, snapshot), self.disguise.snapshot(snapshot)
        return self.disguise.decision(self.strategy.decide(masked, opinion, hidden, ()), snapshot)


class Shown(Wrapper):
    """`strategy` deciding on what `show` makes of the market. Names, dates and the newest close must stay."""

    def __init__(self, strategy: Strategy[Any], show: Callable[[Snapshot], Snapshot]) -> None:
        super().__init__(strategy)
        self.show = show

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> Any:
        return await self.strategy.opine(self.show(snapshot), journal)

    def decide(self, snapshot: Snapshot, opinion: Any, book: Book, journal: Sequence[Decision]) -> Decision:
        return self.strategy.decide(self.show(snapshot), opinion, book, journal)


def masks(symbols: Sequence[str]) -> dict[str, str]:
    """{symbol: ``ASSET_01`` …}. Alphabetical order stays, so that ties broken by name are broken the same way."""
    digits = max(2, len(str(len(symbols))))
    return {symbol: f"ASSET_{n:0{digits}}" for n, symbol in enumerate(sorted(symbols), 1)}


def other_names(symbols: Sequence[str], assets: Mapping[str, Asset], taken: Sequence[str] = ()) -> dict[str, str]:
    """Return {symbol: another real name}: of its own group in config/assets.yaml where there is one, else of any.

    Where fewer other assets are listed than there are symbols, the symbols trade names among themselves; empty for a
    single symbol without any other.
    """
    free = [name for name in sorted(assets) if name not in symbols and name not in taken]
    if len(free) < len(symbols):
        order = sorted(symbols)
        return dict(zip(order, (*order[1:], order[0]), strict=True)) if len(order) > 1 else {}
    chosen: dict[str, str] = {}
    for symbol in sorted(symbols):
        group = assets[symbol].group if symbol in assets else ""
        alike = [name for name in free if assets[name].group == group]
        chosen[symbol] = (alike or free)[0]
        free.remove(chosen[symbol])
    return chosen


def mirror(market: Snapshot) -> Snapshot:
    """`market` with the sign of everything that happened turned around: each log return is its negative, the newest
    close stays, words of direction in headlines are swapped for their opposites. Context and events stay."""
    bars = market.bars
    last = np.array([market.last(symbol) for symbol in market.symbols])
    squared = last * last
    with np.errstate(divide="ignore", invalid="ignore"):
        turned: dict[str, Any] = {
            "open": squared / bars.open,
            "high": squared / bars.low,
            "low": squared / bars.high,
            "close": squared / bars.close,
        }
    given = {one.name: getattr(market, one.name) for one in fields(market)}
    given["bars"] = replace(bars, **turned)
    if given.get("news"):
        given["news"] = tuple(replace(one, headline=opposite(one.headline)) for one in given["news"])
    return Snapshot(**given)


OPPOSITES = (
    *(("rises", "falls"), ("rise", "fall"), ("rose", "fell"), ("rising", "falling"), ("up", "down")),
    *(("gains", "loses"), ("gain", "loss"), ("jumps", "drops"), ("jump", "drop"), ("surges", "plunges")),
    *(("surge", "plunge"), ("rallies", "slumps"), ("rally", "slump"), ("soars", "sinks"), ("beats", "misses")),
    *(("beat", "miss"), ("raises", "cuts"), ("raise", "cut"), ("upgrades", "downgrades"), ("upgrade", "downgrade")),
    *(("higher", "lower"), ("strong", "weak"), ("stronger", "weaker"), ("better", "worse"), ("profit", "loss")),
    *(("record high", "record low"), ("bullish", "bearish"), ("growth", "contraction"), ("accelerates", "slows")),
)
_SWAP = dict(reversed(OPPOSITES)) | {b: a for a, b in reversed(OPPOSITES)}
_WORDS = re.compile(rf"\b(?:{'|'.join(sorted(_SWAP, key=lambda w: (-len(w), w)))})\b", re.IGNORECASE)


def opposite(headline: str) -> str:
    """`headline` with its words of direction swapped for their opposites; others stay."""

    def swap(found: re.Match[str]) -> str:
        word = _SWAP[found.group().lower()]
        return word.capitalize() if found.group()[0].isupper() else word

    return _WORDS.sub(swap, headline)


def _moved_moment(at: datetime, weeks: int) -> datetime:
    return at.astimezone(NEW_YORK) + timedelta(weeks=weeks)


@lru_cache(maxsize=100_000)
def _moved_event(event: Event, weeks: int) -> Event:
    """Every meeting is shown the same few hundred events."""
    return replace(event, at=_moved_moment(event.at, weeks), known_at=_moved_moment(event.known_at, weeks))


def _towards_base(values: Floats) -> Floats:
    """(N,) factor that makes the newest positive value of each column `BASE`; 1 where there is none."""
    factors = np.ones(values.shape[1])
    for n, column in enumerate(values.T):
        known = column[np.isfinite(column) & (column > 0)]
        if len(known):
            factors[n] = BASE / known[-1]
    return factors


def _side_by_side(left: Bars, right: Bars) -> Bars:
    """Both on the timeline they share."""
    both: dict[str, Any] = {
        name: np.hstack((getattr(left, name), getattr(right, name))) for name in (*FIELDS, "dividend")
    }
    return replace(left, symbols=left.symbols + right.symbols, sources=left.sources + right.sources, **both)
