"""A thesis and what the market has made of it: a pure trace over the bars since the meeting.

    meeting ──terms──► pending ──fill──► open ──┬─► stopped      the fill rules of docs/decisions/0001-fill-rules.md,
                          ▲                     ├─► reached      for one position that starts from nothing
    checkpoints ──terms───┴─────────────────────┘

The trace knows no account: what one really holds may differ (buying power, a position carried over from the meeting
before), and is looked up in the account's book when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from simulator.council.records import (
    DecisionRecord,
    Direction,
    OpenedThesis,
    PitchAnswer,
    RevisedThesis,
    TermsRow,
    council_record,
)
from simulator.market.bars import Bars, Floats, instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.fills import tick_beyond
from simulator.trading.model import OrderKind

State = Literal["pending", "open", "stopped", "reached"]

LIVE: tuple[State, ...] = ("pending", "open")


@dataclass(frozen=True)
class Terms:
    """Decision about a thesis at one instant, in force from the first bar that opens at or after it.

    Attributes
    ----------
    at : ISO 8601, New York time
    conviction : −2 … +2 and not 0; its sign is the side of the position
    order, limit : how a position that is still to be opened gets in
    stop, target : protective prices; None = none
    """

    at: str
    conviction: int
    order: OrderKind = "market"
    limit: float | None = None
    stop: float | None = None
    target: float | None = None


@dataclass(frozen=True)
class Thesis:
    """An idea somebody holds: what it rests on, what would prove it wrong, and its terms, oldest first.

    `seat` holds it, `author` wrote the pitch it rests on: the same for a manager, another for the chairman. `score` is
    the pitch's mean review score, None where nobody reviewed it.
    """

    seat: str
    author: str
    instrument: str
    horizon: str
    thesis_bullets: tuple[str, ...]
    invalidation: str
    terms: tuple[Terms, ...]
    score: float | None = None

    @property
    def conviction(self) -> int:
        return self.terms[-1].conviction

    @property
    def direction(self) -> Direction:
        return "LONG" if self.conviction > 0 else "SHORT"

    def under(self, terms: Terms) -> Thesis:
        """The thesis from `terms` on; itself where they change nothing."""
        now = self.terms[-1]
        return self if replace(terms, at=now.at) == now else replace(self, terms=(*self.terms, terms))


@dataclass(frozen=True)
class Standing:
    """State of a thesis at the last bar of a snapshot.

    Attributes
    ----------
    state : pending (not filled yet), open, stopped or reached (out at its stop or its target)
    entered_at, entry : instant (ns, opening of the bar) and price of the first fill; None while pending
    left_at, exit : the same of the stop or target
    high, low : highest and lowest price since entry; None while pending
    sessions : sessions with a bar since entry, that of the entry included; 0 while pending
    side : +1 long, −1 short; that of the terms, unless these came too late for a position that had ended
    """

    state: State = "pending"
    entered_at: int | None = None
    entry: float | None = None
    left_at: int | None = None
    exit: float | None = None
    high: float | None = None
    low: float | None = None
    sessions: int = 0
    side: int = 1

    @property
    def direction(self) -> Direction:
        return "LONG" if self.side > 0 else "SHORT"


@dataclass(frozen=True)
class Followed:
    """A thesis and where it stands."""

    thesis: Thesis
    standing: Standing

    @property
    def live(self) -> bool:
        return self.standing.state in LIVE


def trace(thesis: Thesis, bars: Bars) -> Standing:
    """Return where `thesis` stands after the last of `bars`, which are those of a snapshot.

    Terms are carried out at the first bar opening at or after them: a position is entered at the open, or at the limit
    where the price goes through it within the bar; stop and target bind from then on, in the bar of an entry at the
    limit only where they certainly came after it; of two that one bar may have reached the stop counts. New terms on
    the same side replace the protective prices; on the other side they close at the market and open anew. Bars without
    a price are passed over.
    """
    column = bars.column(thesis.instrument)
    given = [instant(datetime.fromisoformat(terms.at)) for terms in thesis.terms]
    starts: list[int] = np.searchsorted(bars.opens_at, given, side="left").tolist()
    first = starts[0]
    prices = {name: getattr(bars, name)[first:, column] for name in ("open", "high", "low", "close")}
    at = _Position(0, None)
    for n, terms in enumerate(thesis.terms):
        stop = starts[n + 1] if n + 1 < len(starts) else len(bars)
        at = at.turn(terms)
        at = _advance(at, terms, prices, starts[n] - first, stop - first)
        if at.over:
            # Terms given before the bar of the entry had closed know nothing of a position that came and went within
            # it: their order went out all the same.
            if at.entered is None or n + 1 == len(given) or given[n + 1] >= bars.closes_at[first + at.entered]:
                break
            at = _Position(0, None)
    return _standing(at, bars, first, prices)


@dataclass(frozen=True)
class _Position:
    """The trace so far. Rows count from the first bar of the thesis."""

    side: int
    entered: int | None
    entry: float | None = None
    within: bool = False
    """True where it was entered within the bar, at its limit."""
    state: State = "pending"
    left: int | None = None
    exit: float | None = None
    before: _Position | None = None
    """Position on the other side until this one is entered, which takes a market order."""

    @property
    def over(self) -> bool:
        return self.state not in LIVE

    def turn(self, terms: Terms) -> _Position:
        side = 1 if terms.conviction > 0 else -1
        if side == self.side:
            return self
        if self.entered is not None:
            return _Position(side, None, before=self)
        return self.before or _Position(side, None)


def _advance(at: _Position, terms: Terms, prices: Mapping[str, Floats], start: int, stop: int) -> _Position:
    """`at` after the bars `start` (included) to `stop` (excluded), all under `terms`."""
    begin = start
    if at.entered is None:
        at = _enter(at, terms, prices, start, stop)
        if at.entered is None:
            return at
        begin = at.entered + at.within
        if at.within:
            at = _leave_entry_bar(at, terms, {name: float(values[at.entered]) for name, values in prices.items()})
            if at.over:
                return at
    bars = {name: values[begin:stop] for name, values in prices.items()}
    adverse, winning = ("low", "high") if at.side > 0 else ("high", "low")
    leaves = np.zeros(max(0, stop - begin), dtype=np.bool_)
    if terms.stop is not None:
        leaves |= (bars[adverse] - terms.stop) * at.side <= 0
    if terms.target is not None:
        leaves |= ((bars["open"] - terms.target) * at.side >= 0) | _through(bars[winning], terms.target, at.side)
    if not leaves.any():
        return at
    row = begin + int(leaves.argmax())
    return _leave(at, terms, {name: float(values[row]) for name, values in prices.items()}, row)


def _through(price: Floats, level: float, side: int) -> NDArray[np.bool_]:
    """Return where `price` lies beyond `level` by a tick, above it for side +1."""
    found: NDArray[np.bool_] = price * side >= (level + side * tick_beyond(level)) * side
    return found


def _enter(at: _Position, terms: Terms, prices: Mapping[str, Floats], start: int, stop: int) -> _Position:
    opened = prices["open"][start:stop]
    limit = None if at.before is not None else terms.limit
    if limit is None:
        fills = ~np.isnan(prices["close"][start:stop])
    else:
        nearest = prices["low" if at.side > 0 else "high"][start:stop]
        fills = ((opened - limit) * at.side <= 0) | _through(nearest, limit, -at.side)
    if not fills.any():
        return at
    row = int(fills.argmax())
    price = float(opened[row])
    within = limit is not None and (price - limit) * at.side > 0
    if within and limit is not None:
        price = limit
    return _Position(at.side, start + row, price, within, "open")


def _leave(at: _Position, terms: Terms, bar: Mapping[str, float], row: int) -> _Position:
    """Section D of the fill rules for a bar that reaches the stop or the target."""

    def beyond(price: float, level: float | None, side: int) -> bool:
        return level is not None and (price - level) * side >= 0

    if beyond(bar["open"], terms.stop, -at.side):
        return replace(at, state="stopped", left=row, exit=bar["open"])
    if beyond(bar["open"], terms.target, at.side):
        return replace(at, state="reached", left=row, exit=bar["open"])
    if beyond(bar["low" if at.side > 0 else "high"], terms.stop, -at.side):
        return replace(at, state="stopped", left=row, exit=terms.stop)
    return replace(at, state="reached", left=row, exit=terms.target)


def _leave_entry_bar(at: _Position, terms: Terms, bar: Mapping[str, float]) -> _Position:
    """Section E: a position entered within the bar is out in it where the bar went on to its stop, or closed beyond its
    target."""
    entry = cast(float, at.entry)
    if terms.stop is not None and (bar["low" if at.side > 0 else "high"] - terms.stop) * at.side <= 0:
        return replace(at, state="stopped", left=at.entered, exit=at.side * min(at.side * terms.stop, at.side * entry))
    if terms.target is not None and bool(_through(np.array(bar["close"]), terms.target, at.side)):
        return replace(
            at, state="reached", left=at.entered, exit=at.side * max(at.side * terms.target, at.side * entry)
        )
    return at


def _standing(at: _Position, bars: Bars, first: int, prices: Mapping[str, Floats]) -> Standing:
    if at.entered is None or at.entry is None:
        return Standing(side=at.side)
    end = len(bars) - first if at.left is None else at.left + 1
    # What a bar did before it was entered within is no part of the position: of that bar only entry and close count.
    begin = at.entered + at.within
    close = float(prices["close"][at.entered])
    held = bars.session_of[first + at.entered : first + end][~np.isnan(prices["close"][at.entered : end])]
    return Standing(
        state=at.state,
        entered_at=int(bars.opens_at[first + at.entered]),
        entry=at.entry,
        left_at=None if at.left is None else int(bars.opens_at[first + at.left]),
        exit=at.exit,
        high=float(np.fmax.reduce(prices["high"][begin:end], initial=max(at.entry, close))),
        low=float(np.fmin.reduce(prices["low"][begin:end], initial=min(at.entry, close))),
        sessions=int(1 + np.count_nonzero(np.diff(held))) if len(held) else 0,
        side=at.side,
    )


# ------------------------------------------------------------------------------------------------- as they are written


def terms_row(terms: Terms) -> TermsRow:
    """Return `terms` as JSON, without what is None."""
    return cast(TermsRow, {name: value for name, value in vars(terms).items() if value is not None})


def thesis_row(thesis: Thesis) -> OpenedThesis:
    """Return a thesis opened at a meeting as JSON: what its pitch, which stands in the same record, does not say."""
    row = {"seat": thesis.seat, "author": thesis.author, "instrument": thesis.instrument}
    score = {} if thesis.score is None else {"score": thesis.score}
    return cast(OpenedThesis, {**row, **score, "terms": [terms_row(terms) for terms in thesis.terms]})


def open_theses(record: DecisionRecord) -> tuple[Thesis, ...]:
    """Return the theses open after the meeting or checkpoint whose minutes are `record`; none for other records."""
    minutes = council_record(record)
    if minutes is None:
        return ()
    if minutes["kind"] == "council":
        pitches = {row["seat"]: row["answer"] for row in minutes["pitches"] if "answer" in row}
        return tuple(_thesis(one, pitches[one["author"]]) for one in minutes.get("opened", ()))
    if minutes["kind"] == "checkpoint":
        return tuple(_thesis(one, one) for one in minutes["theses"] if one["state"] in LIVE and one["conviction"])
    return ()


def _thesis(row: OpenedThesis | RevisedThesis, pitch: PitchAnswer | RevisedThesis) -> Thesis:
    return Thesis(
        seat=row["seat"],
        author=row["author"],
        instrument=row["instrument"],
        horizon=pitch["horizon"],
        thesis_bullets=tuple(pitch["thesis_bullets"]),
        invalidation=pitch["invalidation"],
        terms=tuple(Terms(**terms) for terms in row["terms"]),
        score=row.get("score"),
    )


def new_york(at: int | datetime) -> str:
    """Return an instant (ns since the epoch, or aware) as ISO 8601 in New York time."""
    return _in_new_york(at) if isinstance(at, int) else at.astimezone(NEW_YORK).isoformat()


@lru_cache(maxsize=4096)
def _in_new_york(at: int) -> str:
    # A thesis is written down at every checkpoint, with the same instants each time.
    return moment(at).astimezone(NEW_YORK).isoformat()
