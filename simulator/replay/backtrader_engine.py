"""The reference engine: backtrader's event loop around our feed and our broker.

Cerebro, per bar:  next_open ──► decide(k, broker) for every decision due ──► broker.next: fills, close ──► next
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.errors import DataError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay.backtrader_broker import Entry, ReplayBroker
from simulator.replay.backtrader_feed import bt, clock, feeds
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.broker import ImmediateBroker
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import STATUSES
from simulator.trading.sizing import place

Decide = Callable[[int, ImmediateBroker], None]


class _BarDecisions(bt.Strategy):  # type: ignore[misc]
    """Calls `decide` before the open of the bar a decision is due at. Symbols that start late hold nothing up."""

    params = (("instants", ()), ("opens_at", ()), ("decide", None))

    def __init__(self) -> None:
        self.following = 0
        self.t = 0

    def next_open(self) -> None:
        opens_at = self.p.opens_at[self.t]
        while self.following < len(self.p.instants) and self.p.instants[self.following] <= opens_at:
            self.p.decide(self.following, self.broker)
            self.following += 1

    def next(self) -> None:
        self.t += 1

    prenext_open = nextstart_open = next_open
    prenext = nextstart = next


def replay(
    bars: Bars,
    instants: Instants,
    decide: Decide,
    rules: ExecutionRules,
    cash: float,
    opening_marks: Floats | None = None,
    afterwards: Decide | None = None,
) -> Ledger:
    """Play `bars` and let `decide` trade on them.

    Parameters
    ----------
    instants : (K,) moments of decision, nanoseconds since the epoch, never falling
    decide : called as ``decide(k, broker)`` before the open of the first bar that opens at or after ``instants[k]``;
        those due after the last bar are called `afterwards`, if at all
    cash : dollars at the start; nothing is held
    opening_marks : (N,) last closes before the first bar, 0 or NaN where there is none; all 0 if None

    Raises DataError when there are no bars.
    """
    broker = _run(bars, instants, decide, rules, cash, opening_marks)
    if afterwards is not None:
        for k in range(int(np.searchsorted(instants, bars.opens_at[-1], side="right")), len(instants)):
            afterwards(k, broker)
    return broker.ledger()


def _run(
    bars: Bars,
    instants: Instants,
    decide: Decide,
    rules: ExecutionRules,
    cash: float,
    opening_marks: Floats | None,
    entry: Entry | None = None,
) -> ReplayBroker:
    if not len(bars) or not bars.symbols:
        raise DataError("no bars to replay")
    known = np.zeros(len(bars.symbols)) if opening_marks is None else np.nan_to_num(opening_marks.astype(np.float64))
    timekeeper, columns = clock(bars), feeds(bars)
    broker = ReplayBroker(bars, timekeeper, columns, rules, cash, known, entry)
    cerebro = bt.Cerebro(stdstats=False, runonce=True, preload=True, cheat_on_open=True)
    cerebro.broker = broker
    for feed in (timekeeper, *columns):
        cerebro.adddata(feed)
    due = {"instants": instants.tolist(), "opens_at": bars.opens_at.tolist()}
    cerebro.addstrategy(_BarDecisions, decide=decide, **due)
    cerebro.run()
    return broker


def replay_tape(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None = None
) -> Ledger:
    """Play the recorded decisions of `tape`, whose symbols must be those of `bars`, as :func:`replay` does."""
    tape = tape.align(bars.symbols)

    def decide(k: int, broker: ImmediateBroker) -> None:
        place(tape.decision(k), broker, rules)

    return replay(bars, tape.instants, decide, rules, cash, opening_marks)


def replay_part(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats, entry: Entry | None
) -> tuple[Ledger, dict[int, int]]:
    """Play `tape` over a part of a run that is entered with an account as it stands there; None opens a new one.

    Returns the books of the part, its orders counted on from those before, and {order sent before: its status} of those
    that ended in it, by the codes of a ledger's rows.
    """

    def decide(k: int, broker: ImmediateBroker) -> None:
        place(tape.decision(k), broker, rules)

    broker = _run(bars, tape.instants, decide, rules, cash, opening_marks, entry)
    return broker.ledger(), {number: STATUSES.index(status) for number, status in broker.earlier.items()}
