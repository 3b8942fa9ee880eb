"""The past of an account, kept up as bars and fills come: `Book.past`.

fills, equity by bar ──► History ──(past)──► Past: round trips, equity by session
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

import numpy as np

from simulator.market.bars import Bars, instant
from simulator.market.calendar import NEW_YORK, day_number, day_of, sessions
from simulator.trading.fills import FILL_WHYS
from simulator.trading.model import Fill, Past, RoundTrip
from simulator.trading.round_trips import walk_fills


class History:
    """The past over `bars` of one account that `began` with so many dollars. Positions that have ended are gone through
    once."""

    def __init__(self, bars: Bars, began: float | None = None) -> None:
        self.bars, self.began = bars, began
        self.ended: list[RoundTrip] = []
        self.since_flat: dict[str, list[Fill]] = {}
        self.equity: dict[int, float] = {}
        self.fills = self.played = 0

    def past(self, fills: Sequence[Fill], equity: Sequence[float], marks: Mapping[str, float], as_of: datetime) -> Past:
        """Return the past at `as_of`.

        Parameters
        ----------
        fills : all so far, oldest first, each at the opening of a bar so far
        equity : dollars at the close of each bar so far
        marks : dollars a share of what is held
        """
        for fill in fills[self.fills :]:
            self.since_flat.setdefault(fill.symbol, []).append(fill)
        sessions_played = self.bars.session_of[self.played : len(equity)].tolist()
        self.equity.update(zip(sessions_played, equity[self.played :], strict=True))
        self.fills, self.played = len(fills), len(equity)
        held: list[RoundTrip] = []
        for symbol, since in list(self.since_flat.items()):
            trips = self._walk(symbol, since, marks[symbol])
            if trips[-1].exit_at is None:
                held += trips
            else:
                self.ended += trips
                del self.since_flat[symbol]
        trips = sorted(chain(self.ended, held), key=lambda trip: (trip.entry_at, trip.symbol))
        going_on = session_going_on(as_of)
        closed = tuple((day_of(d), dollars) for d, dollars in self.equity.items() if d != going_on)
        return Past(tuple(trips), closed, self.began)

    def _walk(self, symbol: str, fills: Sequence[Fill], mark: float) -> list[RoundTrip]:
        first = int(np.searchsorted(self.bars.opens_at, fills[0].at))
        columns = {
            "order_id": [one.order_id for one in fills],
            "at": [one.at for one in fills],
            "quantity": [one.quantity for one in fills],
            "price": [one.price + one.slippage / one.quantity for one in fills],
            "slippage": [0.0] * len(fills),
            "commission": [one.commission for one in fills],
            "why": [FILL_WHYS.index(one.why) for one in fills],
        }
        rows = {name: np.array(values) for name, values in columns.items()}
        bars = self.bars.rows(first, self.played)
        return list(walk_fills(bars, bars.column(symbol), rows, mark))


def session_going_on(at: datetime) -> int | None:
    """Return the day (since the epoch) of the session at `at` whose close is still to come; None where there is none.

    It may not have opened yet.
    """
    today = at.astimezone(NEW_YORK).date()
    on = sessions(today, today)
    return day_number(today) if len(on) and instant(at) < int(on.closes_at[0]) else None
