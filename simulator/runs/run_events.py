"""Events of a run for the store: its meetings, checkpoints, fills and calls, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.evidence.records import CallRow
from simulator.evidence.rows import exchange_time
from simulator.evidence.unrecorded import COUNCIL_EVENTS, MOST_FILLS
from simulator.market.bars import instant
from simulator.replay.run import Replayed
from simulator.runs.accounts import Account, council_account
from simulator.store.events import Event

Timed = tuple[int, Event]


def run_events(
    accounts: Sequence[Account], calls: Sequence[CallRow], replicates: Sequence[Replayed] = ()
) -> list[Event]:
    """Return the events of a run, oldest first; at one instant what was decided stands before what was filled.

    `replicates` are its replays: meetings and checkpoints of further ones carry their number as ``replicate``; 0, or
    nothing where `replicates` is empty, is the council's own account. Fills are those of every account, in their order;
    of a rule, which has none, those of the first replicate, with account None; none of an account with more than
    MOST_FILLS. All calls are one event, the last,
    with no instant; a run that asked nothing has none. Equal arguments give equal events.
    """
    council = council_account(accounts)
    name = None if council is None else council.name
    replays = replicates or (() if council is None else (council.replayed,))
    events = [event for number, replicate in enumerate(replays) for event in _council_events(replicate, name, number)]
    events += [event for one in accounts for event in _fill_events(one.replayed, one.name)]
    if not accounts and replicates:
        events += _fill_events(replicates[0], None)
    in_time = [event for _, event in sorted(events, key=lambda timed: timed[0])]
    asked = [Event("calls.made", None, None, {"calls": [dict(call) for call in calls]})] if calls else []
    return in_time + asked


def _council_events(replayed: Replayed, account: str | None, replicate: int) -> Iterator[Timed]:
    for result in replayed.results:
        kind = COUNCIL_EVENTS.get(result.decision.record.get("kind"))
        if kind is None:
            continue
        at = exchange_time(result.decision.as_of)
        payload = {"as_of": at, "session": at[:10], "record": dict(result.decision.record)}
        again = {"replicate": replicate} if replicate else {}
        yield instant(result.decision.as_of), Event(kind, at, account, {**payload, **again})


def _fill_events(replayed: Replayed, account: str | None) -> Iterator[Timed]:
    ledger = replayed.ledger
    if len(ledger.fill_rows) > MOST_FILLS:
        return
    decided = [exchange_time(order.submitted_at) for order in ledger.orders]
    for fill in ledger.fills:
        at = exchange_time(fill.at)
        payload = {**vars(fill), "at": at, "session": at[:10], "decided_at": decided[fill.order_id]}
        yield fill.at, Event("order.filled", at, account, payload)
