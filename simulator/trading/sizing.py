"""From target weights to orders: one rule for both engines and for forward trading.

    Decision ──► orders_for(decision, book) ──► Instructions: cancels, protects, orders, refused ──► Broker

The rule is section A of docs/decisions/0001-fill-rules.md. Here it runs as plain Python, in the replay kernel compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, modf

from simulator.errors import UsageError
from simulator.market.bars import instant
from simulator.trading.broker import ImmediateBroker
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Order, Protect, Rejection, Target

NO_ORDER, SHARES, DOLLARS, NO_PRICE = 0, 1, 2, 3
"""Verdicts on a target: nothing to do, an order in shares, an order in dollars, or no price to size by."""

CENT = 0.01
"""Dollars below which a change is rounding, and not named as left out."""

Size = Callable[[float, bool, float, float, float, bool, float], tuple[int, float, bool]]


def make_size(truncate: Callable[[float], float]) -> Size:
    """Return the rule, resting on a function that cuts a number to whole ones: plain Python or compiled."""

    def size(
        weight: float, limited: bool, held: float, mark: float, equity: float, whole_shares: bool, least: float
    ) -> tuple[int, float, bool]:
        """Return the order that a target `weight` of one symbol leads to.

        Parameters
        ----------
        weight : signed fraction of `equity`
        limited : True for a limit order
        held, mark : signed shares held now, and the last known price (0 = none yet)
        equity, least : dollars, and those below which a change is not worth an order; leaving a position always is

        Returns
        -------
        verdict : NO_ORDER, SHARES, DOLLARS or NO_PRICE
        amount : signed shares, or dollars to buy for; with NO_ORDER the shares left out: worth less than `least`, or
            where only whole ones count a part of one
        keeps_side : True where the position held now stays on its side, so that a new bracket protects it at once
        """
        if mark == 0.0:
            return NO_PRICE, 0.0, False
        want = asked = 0.0
        if equity > 0.0:
            want = asked = weight * equity / mark
            if whole_shares:
                want = truncate(asked)
        keeps_side = ((held > 0.0) & (want > 0.0)) | ((held < 0.0) & (want < 0.0))
        change = want - held
        small = abs(change) * mark < least
        if (held == 0.0 or keeps_side) and (small or change == 0.0):
            left_out = asked if want == 0.0 else change
            return NO_ORDER, left_out if abs(left_out) * mark >= CENT else 0.0, keeps_side
        if not keeps_side and abs(want) * mark < least:  # out is always worth an order, dust on the other side is not
            change = -held
        # One answer rather than two branches: which it is nobody can guess, the processor neither.
        dollars = (change > 0.0) & (held >= 0.0) & (not limited) & (not whole_shares)
        return DOLLARS if dollars else SHARES, change * mark if dollars else change, keeps_side

    return size


def _truncate(number: float) -> float:
    return modf(number)[1]


size = make_size(_truncate)


@dataclass(frozen=True)
class Instructions:
    """Requests of a decision to a broker, carried out in this order.

    Attributes
    ----------
    cancels : symbols whose open orders are withdrawn: all that have a target
    protects : new protective prices of positions that stay on their side
    orders : at most one a symbol, ids counting up from the `first_id` given
    refused : targets that did not become orders: the symbol has no price yet, the weight buys no whole share, or the
        change is too small
    """

    cancels: tuple[str, ...] = ()
    protects: tuple[Protect, ...] = ()
    orders: tuple[Order, ...] = ()
    refused: tuple[Rejection, ...] = ()


def orders_for(decision: Decision, book: Book, rules: ExecutionRules, first_id: int) -> Instructions:
    """Return the orders that lead from `book` to the weights of `decision`; symbols in the order of ``book.marks``.

    Timing: sizes rest on the marks and the equity of `book`, that is on the last closes; fills come later. Of two
    targets on one symbol the last counts; a NaN weight leaves the symbol alone. Raises UsageError for infinite
    weights and for prices that are not positive.
    """
    targets = {t.symbol: t for t in decision.targets if not isnan(t.weight)}
    ordered = [s for s in book.marks if s in targets] + [s for s in targets if s not in book.marks]
    at = instant(decision.as_of)
    cancel: list[str] = []
    protect: list[Protect] = []
    orders: list[Order] = []
    refused: list[Rejection] = []
    equity, least = float(book.equity), float(rules.least_worth(book.equity))
    for symbol in ordered:
        target = targets[symbol]
        check(target)
        cancel.append(symbol)
        held, mark = float(book.positions.get(symbol, 0.0)), float(book.marks.get(symbol, 0.0))
        limited = target.limit is not None
        verdict, amount, keeps_side = size(float(target.weight), limited, held, mark, equity, rules.whole_shares, least)
        if keeps_side:
            protect.append((symbol, target.stop, target.take_profit))
        if verdict == NO_PRICE:
            refused.append(Rejection(-1, symbol, at, 0.0, 0.0, "no price yet"))
        elif verdict != NO_ORDER:
            orders.append(_order(first_id + len(orders), at, target, verdict, amount))
        elif amount:
            why = "too small" if abs(amount) * mark < least else "less than one share"
            refused.append(Rejection(-1, symbol, at, amount, 0.0, why))
    return Instructions(tuple(cancel), tuple(protect), tuple(orders), tuple(refused))


def place(decision: Decision, broker: ImmediateBroker, rules: ExecutionRules) -> Instructions:
    """Size `decision` by the book of a replay and carry it out; return what was handed over."""
    instructions = orders_for(decision, broker.book(), rules, broker.next_id)
    carry_out(instructions, broker)
    return instructions


def carry_out(instructions: Instructions, broker: ImmediateBroker) -> None:
    """Hand `instructions` to the books of a replay, where nothing happens between planning and sending."""
    broker.cancel(instructions.cancels)
    for symbol, stop, take_profit in instructions.protects:
        broker.protect(symbol, stop, take_profit)
    broker.submit(instructions.orders, instructions.refused)


def check(target: Target) -> None:
    """Raise UsageError when `target` asks for something no order can express."""
    if target.weight in (float("inf"), float("-inf")):
        raise UsageError(f"weight of {target.symbol} was {target.weight}", mend="give a finite fraction of equity")
    for name, price in (("limit", target.limit), ("stop", target.stop), ("take_profit", target.take_profit)):
        if price is not None and not 0.0 < price < float("inf"):
            raise UsageError(f"{name} of {target.symbol} was {price}", mend="give a positive price, or None for none")
    if (target.order == "limit") != (target.limit is not None):
        raise UsageError(
            f'order of {target.symbol} was "{target.order}" with limit {target.limit}',
            mend='a limit price goes with order="limit", and only with it',
        )


def _order(number: int, at: int, target: Target, verdict: int, amount: float) -> Order:
    return Order(
        id=number,
        symbol=target.symbol,
        submitted_at=at,
        quantity=amount if verdict == SHARES else None,
        notional=amount if verdict == DOLLARS else None,
        kind=target.order,
        limit=target.limit,
        stop=target.stop,
        take_profit=target.take_profit,
    )
