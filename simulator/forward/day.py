"""Row of an account at the end of a session: own books, what they accrued, what the broker states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date, datetime
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.forward.books import Step, plain_price
from simulator.forward.payloads import to_json
from simulator.forward.protocols import Known
from simulator.forward.records import Accruals
from simulator.forward.state import State
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import Book, BrokerFill
from simulator.trading.orders import session_hours

if TYPE_CHECKING:
    from simulator.forward.trader import Trader


def day_row(trader: Trader, known: Known, session: date, account: Book | None) -> dict[str, Any]:
    """Return the row of `session` as `records.DayRow` has it, with `references` {fill id: price before slippage}.

    `account` is the broker's reading at its end, None where there is none.
    """
    bars, fills = known.traded, [one for one in trader.state.booked if one.at <= instant(known.snapshot.as_of)]
    number, accrued, whole, held = day_number(session), Accruals(), Accruals(), []
    equity = before = trader.books.equity
    weights: dict[str, float] = {}
    for t, step in enumerate(trader.books.by_bar(bars, fills, known.splits)):
        whole = _add_step(whole, step)
        if t == len(bars):
            break
        if bars.session_of[t] == number:
            at = moment(int(bars.opens_at[t])).astimezone(NEW_YORK).isoformat()
            overnight = _overnight(known) if t == 0 else {}
            held.append({"at": at, "weights": weights, "moves": _moves(known, t), "overnight": overnight})
            accrued = _add_step(accrued, step)
        elif bars.session_of[t] < number:
            before = step.account.equity
        equity = step.account.equity
        weights = {
            one.symbol: one.shares * one.mark / equity
            for one in step.account.positions.values()
            if one.shares and equity > 0.0
        }
    own = trader.books.at(bars, fills, (), known.splits, session)
    today = [one for one in fills if moment(one.at).astimezone(NEW_YORK).date() == session]
    references = {one.id: price for one in today if (price := _reference(known, one, trader.state)) is not None}
    costs = sum((one.price - references[one.id]) * one.quantity for one in today if one.id in references)
    unexplained = None if account is None else account.cash + whole.total - own.cash
    ends = bars.cash_return[bars.session_of == number]
    free = float(ends[-1]) if len(ends) and not isnan(ends[-1]) else 0.0
    row: dict[str, Any] = {
        "session": str(session), "equity": own.equity, "cash": own.cash, "pnl": own.equity - before,
        "positions": dict(own.positions),
        "marks": {symbol: own.marks[symbol] for symbol in own.positions}, "held": held, "free": free,
        "costs": costs - accrued.borrow - accrued.commission,
        "accruals": asdict(accrued), "accrued": whole.total, "references": references, "unexplained": unexplained,
        "broker_equity": None if account is None else account.equity,
        "broker_cash": None if account is None else account.cash,
    }  # fmt: skip
    return dict(to_json(row))


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


def _moves(known: Known, t: int) -> dict[str, float]:
    """Return total returns from close to close over bar `t` of the run, in today's shares."""
    bars = known.snapshot.bars
    row = len(bars) - len(known.traded) + t
    if row < 1:
        return {}
    now, last, paid = bars.close[row], bars.close[row - 1], bars.dividend[row]
    moved = {symbol: float((now[n] + paid[n]) / last[n] - 1.0) for n, symbol in enumerate(bars.symbols)}
    return {symbol: move for symbol, move in moved.items() if not isnan(move)}


def _overnight(known: Known) -> dict[str, float]:
    """Return returns from the last close to the first open of the run, in which nobody could trade."""
    bars, row = known.snapshot.bars, len(known.snapshot.bars) - len(known.traded)
    if row < 1:
        return {}
    moved = {symbol: float(bars.open[row, n] / bars.close[row - 1, n] - 1.0) for n, symbol in enumerate(bars.symbols)}
    return {symbol: move for symbol, move in moved.items() if not isnan(move)}


def _reference(known: Known, fill: BrokerFill, state: State) -> float | None:
    """Return the price before slippage, None where no bar tells."""
    t = int(np.searchsorted(known.traded.opens_at, fill.at, side="right")) - 1
    ticket = state.tickets.get(fill.client_order_id)
    limited = ticket is not None and ticket.kind == "limit"
    return plain_price(known.traded, t, fill, state.stopped.get(fill.id), limited)
