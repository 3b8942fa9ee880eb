"""Accounts in which a person changed trades: what of them is held, and against what.

intents after the change ──book as recorded──► replay decides and plans on it: prompts, decisions, orders
orders as sent ──► fills ──replay's rules, recorded bars──► books at closes and at decisions (`own_records.py`)

The person's change is in the fills alone: everything else follows from these, to the cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial

from simulator.forward.approvals import Approval, list_changed
from simulator.forward.books import Books, in_new_shares
from simulator.rehearsal.difference import Difference
from simulator.rehearsal.own_records import OwnRecords, Questions, closed_by, minute, ratio_since
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Recorded
from simulator.trading.cycle import Intent
from simulator.trading.model import Book, BrokerFill, Past


@dataclass(eq=False)
class Approved:
    """Account of a forward test in which a person first changed a trade that was decided at `since`, and its records.

    Shares and prices are told in shares after all splits.
    """

    since: datetime
    own: OwnRecords

    @property
    def first(self) -> str:
        """Session from which on fills and books are the account's own."""
        return minute(self.since)[:10]

    @cached_property
    def points(self) -> dict[datetime, tuple[Intent, list[BrokerFill]]]:
        """First intents of decisions after the change, with the fills that were booked before each."""
        first = [one for one in self.own.planned if not (one.answered or one.intent.revision)]
        return {one.at: (one.intent, in_new_shares(one.fills, self.own.splits)) for one in first if one.at > self.since}

    def books(self) -> dict[datetime, Recorded]:
        """Return the account at each of its decisions after the change, as it was recorded."""

        def past(at: datetime, fills: Sequence[BrokerFill], inputs: ReplayInputs) -> Past:
            marks = dict(zip(inputs.traded.symbols, inputs.opening_marks.tolist(), strict=True))
            state = self.own.state
            days = {one.id: (one.symbol, minute(one.at)[:10]) for one in state.booked}
            stopped = {key: price / self._ratio(*days[key]) for key, price in state.stopped.items()}
            books = Books(self.own.cash, marks, self.own.rules.execution, stopped=stopped)
            return books.past(closed_by(inputs.traded, at), fills, at)

        points = self.points.items()
        return {at: Recorded(self._book(intent), partial(past, at, fills)) for at, (intent, fills) in points}

    def excuses(self, one: Difference) -> bool:
        """Return True for fills and books of sessions from the first change on: the account's own records hold them."""
        return one.part in ("fills", "books") and one.where[1] >= self.first

    def _book(self, intent: Intent) -> Book:
        book, day = intent.book, minute(intent.decision.as_of)[:10]
        ratio: Callable[[str], float] = lambda symbol: self._ratio(symbol, day)  # noqa: E731
        held = {symbol: shares * ratio(symbol) for symbol, shares in book.positions.items()}
        return replace(book, positions=held, marks={one: mark / ratio(one) for one, mark in book.marks.items()})

    def _ratio(self, symbol: str, session: str) -> float:
        return ratio_since(self.own.splits, symbol, session)


def find_changed(trades: Iterable[Approval]) -> dict[str, datetime]:
    """Return the accounts in which a person refused, changed or left unanswered a trade, with the instant of the first
    decision."""
    since: dict[str, datetime] = {}
    for one in list_changed(trades):
        named = {key.rpartition(".")[0] for key in one.changes} or {""}
        for account in one.sizes if "" in named else named:
            at = datetime.fromisoformat(one.decided_at)
            since[account] = min(at, since.get(account, at))
    return since


def find_questions(trades: Iterable[Approval], account: str) -> Questions:
    """Return the questions that named `account`."""
    asked = [one for one in trades if account in one.sizes]
    changed = {one.id: one.sizes[account] for one in asked if one.is_changed_in(account)}
    return {one.id: (datetime.fromisoformat(one.decided_at), one.symbol, changed.get(one.id)) for one in asked}
