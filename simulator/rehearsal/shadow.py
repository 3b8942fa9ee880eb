"""The book of a forward test as its strategy decided it, beside the one that a person approved.

events: was anything refused, changed or left unanswered? ─no─► none: the two are one book
                     │ yes
recorded inputs ──replay_again──► equity and weights by session ──► days as decided, in place of the account's

A strategy that reads its book would have read this one: where models were asked about it, those questions were never
put, and the book ends there, with the last session that it saw the close of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from simulator.evidence.writer import session_ends
from simulator.forward.approvals import fold, list_changed
from simulator.forward.records import DayRow, ForwardRecord
from simulator.market.bars import Floats, moment
from simulator.market.calendar import NEW_YORK, day_of, sessions
from simulator.rehearsal.parity import cash_of, replay_again, spec_of, splits_of
from simulator.replay.ledger import Ledger
from simulator.replay.run import Replayed
from simulator.store.database import open_store
from simulator.workspace import Workspace


@dataclass(eq=False)
class Decided:
    """`decided_days`, worked out anew only where a session has ended since."""

    known: dict[str, tuple[int, dict[str, list[DayRow]]]] = field(default_factory=dict)

    def __call__(self, workspace: Workspace, run: str, folder: Path, record: ForwardRecord) -> dict[str, list[DayRow]]:
        ended, days = self.known.get(run, (-1, {}))
        if ended != len(record.days):
            days = decided_days(workspace, run, folder, record)
            self.known[run] = len(record.days), days
        return days


def decided_days(workspace: Workspace, run: str, folder: Path, record: ForwardRecord) -> dict[str, list[DayRow]]:
    """Return the sessions of `run`, in `folder`, as its strategy decided them, by account, as far as they can be known;
    no account where nobody changed what it decided.

    By replay's rules on the recorded inputs; what the exchange earned and idle cash got stays as it is in `record`.
    Raises DataError where the inputs are gone or the accounts began with positions.
    """
    if not record.days:
        return {}
    with open_store(workspace) as store:
        stored = store.of_forward(run)
    answers, events = fold({}, stored), [one.event for one in stored]
    if not list_changed(answers.values()):
        return {}
    spec, last = spec_of(events)
    accounts, _, _ = replay_again(spec, last, workspace, folder / "data", splits_of(events), cash_of(events))
    days = {name: [day for day in record.days if day.account == name] for name in record.accounts}
    return {
        name: list(_as_decided(own, accounts[name])) if name in accounts else []  # no decision could be made again
        for name, own in days.items()
        if own
    }


def _as_decided(days: Sequence[DayRow], replayed: Replayed) -> Iterator[DayRow]:
    ledger, before = replayed.ledger, None
    bars, marks = ledger.bars, ledger.marks
    rows = {moment(at).astimezone(NEW_YORK).isoformat(): t for t, at in enumerate(bars.opens_at.tolist())}
    ends = {str(day_of(bars.session_of[t])): int(t) for t in session_ends(bars).tolist()}
    for day in days:
        if (end := ends.get(day.session)) is None:
            continue
        (closes,) = sessions(on := date.fromisoformat(day.session), on).closes_at.tolist()
        if replayed.stopped is not None and bars.closes_at[end] < closes:
            break  # it ended within the session
        equity = float(ledger.equity[end])
        held = tuple(replace(bar, weights=_weights(ledger, marks, rows.get(bar.at, 0))) for bar in day.held)
        shares = zip(bars.symbols, ledger.positions[end].tolist(), strict=True)
        yield replace(
            day,
            equity=equity,
            cash=float(ledger.cash[end]),
            pnl=day.pnl if before is None else equity - before,
            positions={symbol: count for symbol, count in shares if count},
            held=held,
        )
        before = equity


def _weights(ledger: Ledger, marks: Floats, t: int) -> dict[str, float]:
    """Return the weights with which an account opens bar `t`, of the equity at the close before."""
    if t == 0 or ledger.equity[t - 1] <= 0.0:
        return {}
    worth = ledger.positions[t - 1] * marks[t - 1] / ledger.equity[t - 1]
    return {symbol: one for symbol, one in zip(ledger.bars.symbols, worth.tolist(), strict=True) if one}
