"""Row of an account at the end of a session: own books, what they accrued, what the broker states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.forward.books import Books, Split, Step, plain_price
from simulator.forward.payloads import to_json
from simulator.forward.protocols import Known
from simulator.forward.records import Accruals
from simulator.forward.state import State
from simulator.market.bars import Bars, instant, moment
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import Book, BrokerFill
from simulator.trading.orders import session_hours

if TYPE_CHECKING:
    from simulator.forward.trader import Trader


def day_row(trader: Trader, known: Known, session: date, account: Book | None) -> dict[str, Any]:
    """Return the row of `session` as `records.DayRow` has it, with `references` {fill id: price before slippage}.

    `account` is the broker's reading at its end, None where there is none.
    """
    fills = [one for one in trader.state.booked if one.at <= instant(known.snapshot.as_of)]
    bars, splits = known.snapshot.bars, known.splits
    (own,) = own_rows(trader.books, trader.state, bars, known.traded, fills, splits, [session])
    stated = None if account is None else (account.cash, account.equity)
    return dict(to_json({**own, **broker_part(own, stated)}))


def broker_part(own: Mapping[str, Any], stated: tuple[float, float] | None) -> dict[str, float | None]:
    """Return what a row says of the cash and equity that the broker `stated`, beside the `own` part of it."""
    if stated is None:
        return {"unexplained": None, "broker_equity": None, "broker_cash": None}
    cash, equity = stated
    return {"unexplained": cash + own["accrued"] - own["cash"], "broker_equity": equity, "broker_cash": cash}


def own_rows(
    books: Books, state: State, shown: Bars, traded: Bars, fills: Sequence[BrokerFill], splits: Sequence[Split],
    days: Sequence[date],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield the rows of `days`, sessions in their order, without what the broker states.

    `traded` are the bars of the run as they were traded, `shown` the same, in today's shares, after those before it;
    the last of `days` has all `fills`.
    """
    steps, t, ahead = books.by_bar(traded, fills, splits, days[-1]), 0, len(shown) - len(traded)
    whole, weights, equity = Accruals(), dict[str, float](), books.equity
    of_days = defaultdict[date, list[BrokerFill]](list)
    for one in fills:
        of_days[moment(one.at).astimezone(NEW_YORK).date()].append(one)
    for day in days:
        number, before, accrued, held = day_number(day), equity, Accruals(), []
        while t < len(traded) and traded.session_of[t] <= number:
            step = next(steps)
            whole = _add_step(whole, step)
            if traded.session_of[t] == number:
                at = moment(int(traded.opens_at[t])).astimezone(NEW_YORK).isoformat()
                overnight = _overnight(shown, ahead) if t == 0 else {}
                held.append({"at": at, "weights": weights, "moves": _moves(shown, ahead + t), "overnight": overnight})
                accrued = _add_step(accrued, step)
            else:
                before = step.account.equity
            equity, weights, t = step.account.equity, _weights(step), t + 1
        if day == days[-1]:
            step = next(steps)
            whole, accrued = _add_step(whole, step), _add_step(accrued, step)
        own, priced = step.book(), _price(day, of_days[day], traded, state)
        yield {
            "session": str(day), "equity": own.equity, "cash": own.cash, "pnl": own.equity - before,
            "positions": dict(own.positions), "marks": {symbol: own.marks[symbol] for symbol in own.positions},
            "held": held, **priced, "costs": priced["costs"] - accrued.borrow - accrued.commission,
            "accruals": asdict(accrued), "accrued": whole.total,
        }  # fmt: skip


def _price(day: date, fills: Sequence[BrokerFill], traded: Bars, state: State) -> dict[str, Any]:
    """Return what idle cash got on `day`, and what its `fills` cost beside the prices that they are held against."""
    references = {one.id: price for one in fills if (price := _reference(traded, one, state)) is not None}
    costs = sum((one.price - references[one.id]) * one.quantity for one in fills if one.id in references)
    ends = traded.cash_return[traded.session_of == day_number(day)]
    free = float(ends[-1]) if len(ends) and not isnan(ends[-1]) else 0.0
    return {"free": free, "costs": costs, "references": references}


def find_late(at: datetime, decided_at: datetime, now: datetime, traders: Sequence[Trader]) -> str:
    """Return why the point at `at`, before an open, is late: its orders were sent by `now`, after it. Else empty."""
    if not at < session_hours(at)[0] <= now:
        return ""
    intents = [one.state.intent for one in traders if one.state.decided_at(at)]
    count = sum(len(one.orders) for one in intents if one is not None)
    decided, sent = (one.astimezone(NEW_YORK) for one in (decided_at, now))
    return f"decided at {decided:%H:%M:%S}, sent at {sent:%H:%M:%S %Z}, after the open; orders: {count}"


def _add_step(so_far: Accruals, step: Step) -> Accruals:
    return Accruals(*(getattr(so_far, one.name) + getattr(step, one.name) for one in fields(Accruals)))


def _weights(step: Step) -> dict[str, float]:
    """Return the weights with which the next bar opens."""
    account = step.account
    held = [one for one in account.positions.values() if one.shares and account.equity > 0.0]
    return {one.symbol: one.shares * one.mark / account.equity for one in held}


def _moves(bars: Bars, row: int) -> dict[str, float]:
    """Return total returns from close to close over a bar, in today's shares."""
    if row < 1:
        return {}
    now, last, paid = bars.close[row], bars.close[row - 1], bars.dividend[row]
    moved = {symbol: float((now[n] + paid[n]) / last[n] - 1.0) for n, symbol in enumerate(bars.symbols)}
    return {symbol: move for symbol, move in moved.items() if not isnan(move)}


def _overnight(bars: Bars, row: int) -> dict[str, float]:
    """Return returns from the last close to the first open of the run, in which nobody could trade."""
    if row < 1:
        return {}
    moved = {symbol: float(bars.open[row, n] / bars.close[row - 1, n] - 1.0) for n, symbol in enumerate(bars.symbols)}
    return {symbol: move for symbol, move in moved.items() if not isnan(move)}


def _reference(traded: Bars, fill: BrokerFill, state: State) -> float | None:
    """Return the price before slippage, None where no bar tells."""
    t = int(np.searchsorted(traded.opens_at, fill.at, side="right")) - 1
    ticket = state.tickets.get(fill.client_order_id)
    limited = ticket is not None and ticket.kind == "limit"
    return plain_price(traded, t, fill, state.stopped.get(fill.id), limited)
