"""The protocols of decision code: what every strategy has, and the capabilities some have besides.

    Snapshot, journal ──opine──► opinion ──(consult)──► opinion ──decide──► Decision
    market only, asks models               book, asks models      book, asks nobody

Replay and forward trading ask here for the capabilities of a strategy; nobody looks at its class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import date
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from simulator import config
from simulator.config import Seat
from simulator.errors import UsageError
from simulator.market.bars import Bars, Instants, Snapshot
from simulator.trading.model import Book, Cadence, Decision
from simulator.trading.risk import EntryRules
from simulator.trading.schedule import MEETING, Point

Opinion = TypeVar("Opinion")

Reads = Literal["nothing", "market", "minutes", "journal"]
"""Reading of `Strategy.opine`: ``nothing`` (no opinion is formed, it is not called), the ``market`` alone, the market
and the ``minutes`` of the point before, or the market and the whole ``journal`` of decisions so far.

Opinions on the market and on minutes can be formed for all dates before a replay, those on the journal in order of date
only."""


class Strategy(Protocol[Opinion]):
    """Decision code. The same object decides in replay and in forward trading and keeps no state between calls."""

    @property
    def name(self) -> str: ...
    @property
    def cadence(self) -> Cadence: ...
    @property
    def window(self) -> int:
        """Bars of history it needs before the first decision."""

    @property
    def reads(self) -> Reads:
        """Declaration of what its opinion rests on."""

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> Opinion:
        """Return the opinion on the market as known in `snapshot`; may ask models.

        `journal` holds what `reads` declares and nothing else: (), the minutes of the point before as the record of a
        Decision without targets, or all decisions so far, oldest first.
        """

    def decide(self, snapshot: Snapshot, opinion: Opinion, book: Book, journal: Sequence[Decision]) -> Decision:
        """Return targets, given the opinion and the account; asks nobody. `journal` holds all decisions so far.

        Timing: fills no earlier than the next bar's open. Equal arguments give equal decisions: it is called again
        where the account changes before its orders are sent.
        """


@runtime_checkable
class Consults(Protocol[Opinion]):
    """A strategy that asks models with the account in hand, in order of date, before it decides."""

    async def consult(self, snapshot: Snapshot, opinion: Opinion, book: Book, journal: Sequence[Decision]) -> Opinion:
        """Return `opinion` with what was answered on the book added to it."""


@runtime_checkable
class ReadsPast(Protocol):
    """A strategy that reads what its account has been through: `Book.past` is filled for it."""

    @property
    def reads_past(self) -> Literal[True]: ...


@runtime_checkable
class Reports(Protocol):
    """A strategy that may be asked for its report alone: with `reports` it is asked after the last bar too, where
    nothing that it wants can be ordered any more."""

    @property
    def reports(self) -> bool: ...


@runtime_checkable
class DecidesAlone(Protocol):
    """A strategy that decides by the market alone: no account and no earlier decision enters."""

    def decide_alone(self, snapshot: Snapshot) -> Decision:
        """Return what `decide` returns whatever the opinion, the book and the journal."""

    def decide_ahead(self, snapshots: Sequence[Snapshot], bars: Bars, instants: Instants) -> Iterator[Decision]:
        """Yield `decide_alone` of each of `snapshots`: knowledge of `bars` at `instants` (K,)."""


@runtime_checkable
class KeepsMinutes(Protocol):
    """A strategy whose opinions can be written down for the next point to read."""

    def minutes(self, opinion: Any) -> Mapping[str, Any]:
        """Return the record of an opinion before any account acted on it; JSON-able."""


FOLLOWER: ContextVar[Callable[[str, Mapping[str, Any]], None] | None] = ContextVar("FOLLOWER", default=None)
"""Set by whoever follows an opinion as it forms: called with each stage that is over and its part of the minutes."""


@runtime_checkable
class KeepsOpinions(Protocol):
    """A strategy whose opinions rest on snapshot, minutes, stored answers and `basis` alone, and can be written down:
    one that was formed before is read again, and nobody is asked."""

    @property
    def basis(self) -> str | None:
        """All else an opinion is made of, beside the code of this package; None where it is unknown."""

    def write_opinion(self, opinion: Any) -> Mapping[str, object]:
        """Return `opinion`, JSON-able."""

    def read_opinion(self, content: Mapping[str, Any], snapshot: Snapshot) -> Any:
        """Return the opinion behind `content` at `snapshot`; its minutes and decisions are those of the one written.

        Raises ValueError, KeyError, TypeError or SimError for any other shape.
        """


@runtime_checkable
class Checkpointed(KeepsMinutes, Protocol):
    """A strategy that may look again between its meetings, at the times of config/schedule.yaml."""

    @property
    def checkpoint(self) -> Strategy[Any] | None:
        """Strategy that decides at checkpoints; None where there are none."""


@runtime_checkable
class Narrows(Protocol):
    """A strategy that looks at a part of many symbols, by what cannot be told once they are masked."""

    def narrow(self, snapshot: Snapshot) -> Snapshot:
        """Return `snapshot` with that part alone."""


@runtime_checkable
class Scheduled(Protocol):
    """A strategy that brings its own named points."""

    @property
    def points(self) -> tuple[Point, ...]: ...

    def at(self, point: str) -> Strategy[Any]:
        """Return the strategy that decides at the point of that name."""


@runtime_checkable
class RulesEntries(Protocol):
    """A strategy with rules of its own on entries, to which a person is held who changes one."""

    def entry_rules(self, symbol: str) -> EntryRules: ...


@runtime_checkable
class Explains(Protocol):
    """A strategy that can say why it trades a symbol, by what stands in its records."""

    def explain(self, symbol: str, journal: Sequence[Decision]) -> Sequence[str]:
        """Return reasons of the newest trade on `symbol`, a line each; `journal` holds all decisions so far."""


@runtime_checkable
class InTurn(Protocol):
    """A strategy whose parameters change at dates, its cadence perhaps among them."""

    @property
    def turns(self) -> Mapping[date, Cadence]:
        """Cadence from each day on, by date; the first from the beginning."""


@runtime_checkable
class Asks(Protocol):
    """A strategy that puts questions to models."""

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Model in every seat that is asked something."""

    @property
    def questions(self) -> Mapping[str, int]:
        """{stage: questions one opinion asks at most when nobody fails}."""


@runtime_checkable
class Committee(Asks, Protocol):
    """Several who propose and one account that trades what they agree on; each can trade its own proposals."""

    @property
    def members(self) -> tuple[str, ...]:
        """Seats that propose."""

    @property
    def chairman(self) -> str:
        """Seat of the chairman, whose account trades for all. It is not among `seats` where nobody is asked there."""

    def member(self, seat: str) -> Strategy[Any]:
        """Return the strategy that trades the proposals of `seat` alone, from the committee's own opinions."""


@runtime_checkable
class Replicable(Protocol):
    """A strategy that can put its questions once more, for other answers."""

    def for_replicate(self, replicate: int) -> Strategy[Any]:
        """Return the strategy for the answers of that number; 0 is the first."""


def checkpoint_of(strategy: Strategy[Any]) -> Strategy[Any] | None:
    """Return the strategy that decides at the checkpoints of `strategy`; None where it has none."""
    return strategy.checkpoint if isinstance(strategy, Checkpointed) else None


def strategy_at(strategy: Strategy[Any], point: str) -> Strategy[Any]:
    """Return the strategy that decides at `point`: `strategy` itself where it brings no other."""
    if isinstance(strategy, Scheduled):
        return strategy.at(point)
    return strategy if point == MEETING else checkpoint_of(strategy) or strategy


def seats_of(strategy: Strategy[Any]) -> Mapping[str, Seat]:
    """Return {seat: model} of all that `strategy` asks; {} where it asks nobody."""
    return strategy.seats if isinstance(strategy, Asks) else {}


def slice_journal(
    strategy: Strategy[Any], journal: Sequence[Decision], before: tuple[Strategy[Any], Snapshot, Any] | None
) -> Sequence[Decision]:
    """Return the part of the journal that the opinion of `strategy` reads, the same in prefetch, replay and forward.

    `journal` holds the decisions so far, `before` the strategy of the point before, what it knew and its opinion, None
    at the first point.
    """
    if strategy.reads == "journal":
        return journal
    if strategy.reads != "minutes" or before is None:
        return ()
    author, snapshot, opinion = before
    return (Decision(snapshot.as_of, (), author.minutes(opinion)),) if isinstance(author, KeepsMinutes) else ()


def points_of(strategy: Strategy[Any], schedule: config.Schedule) -> tuple[Point, ...]:
    """Return the points at which `strategy` is asked: its own, else its meeting and its checkpoints by `schedule`."""
    if isinstance(strategy, Scheduled):
        return strategy.points
    meeting = Point(MEETING, schedule.decision_time, schedule.cadence or strategy.cadence, always=True)
    if isinstance(strategy, InTurn):
        days = [*strategy.turns]
        return tuple(
            replace(meeting, cadence=schedule.cadence or strategy.turns[day], since=day, until=until)
            for day, until in zip(days, [*days[1:], None], strict=True)
        )
    if checkpoint_of(strategy) is None:
        return (meeting,)
    return (meeting, *(Point(f"checkpoint {at:%H:%M}", at) for at in sorted(set(schedule.checkpoints))))


def is_strategy_class(kind: type) -> bool:
    """Return True for a class with the methods of a Strategy. Raises UsageError where `decide` is asynchronous."""
    if not (hasattr(kind, "opine") and hasattr(kind, "decide")):
        return False
    if inspect.iscoroutinefunction(kind.decide):
        raise UsageError(
            f"{kind.__name__}.decide is asynchronous", mend="write `def decide`: it asks nobody, opine and consult may"
        )
    return True
