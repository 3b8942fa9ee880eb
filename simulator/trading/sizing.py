"""From target weights to orders: one rule for both engines and for forward trading.

    Decision ──► orders_for(decision, book) ──► Instructions: cancels, protects, orders, refused ──► Broker

The rule is section A of docs/decisions/0001-fill-rules.md. Here it runs as plain Python, in the replay kernel compiled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from math import isnan, modf

from simulator.errors import UsageError
from simulator.market.bars import instant
from simulator.trading.broker import ImmediateBroker
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import price_or_nan, price_or_none
from simulator.trading.model import Book, Decision, Order, Protect, Rejection, Target
from simulator.trading.parts import check_exits, next_price, parts_of
from simulator.trading.sizes import (
    BAD_EXITS,
    DOLLARS,
    NO_EXITS,
    NO_ORDER,
    NO_PRICE,
    SHARES,
    make_on_tick,
    make_price_terms,
    make_size,
    make_size_at_broker,
)


def _truncate(number: float) -> float:
    return modf(number)[1]


size = make_size(_truncate)
on_tick = make_on_tick(round, math.floor)
price_terms = make_price_terms(on_tick)
size_at_broker = make_size_at_broker(_truncate, round)


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
        parts, take_profit = parts_of(target.exits, target.take_profit)
        target = replace(target, exits=parts, take_profit=take_profit)
        cancel.append(symbol)
        held, mark = float(book.positions.get(symbol, 0.0)), float(book.marks.get(symbol, 0.0))
        weight, limited, denied, exits = float(target.weight), target.limit is not None, 0.0, NO_EXITS
        if rules.alpaca:
            target, exits = _on_ticks(target, held, mark, equity)
            verdict, amount, keeps_side, denied = size_at_broker(
                weight, limited, exits, held, mark, equity, rules.whole_shares, least
            )
        else:
            verdict, amount, keeps_side = size(weight, limited, held, mark, equity, rules.whole_shares, least)
        if denied:
            why = "stop or take-profit" if exits == BAD_EXITS else "no short sale"
            refused.append(Rejection(-1, symbol, at, denied, 0.0, why))
        if keeps_side and exits != BAD_EXITS:
            protect.append(Protect(symbol, target.stop, target.take_profit, target.exits))
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
    for symbol, stop, take_profit, exits in instructions.protects:
        broker.protect(symbol, stop, take_profit, exits)
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
    if target.exits:
        check_exits(target.symbol, target.weight, target.exits, target.take_profit)


def _on_ticks(target: Target, held: float, mark: float, equity: float) -> tuple[Target, int]:
    prices = price_or_nan(target.limit), price_or_nan(target.stop), price_or_nan(target.take_profit)
    first = next_price(target.exits, prices[2])
    *found, exits = price_terms(float(target.weight), prices, first, held, mark, equity)
    limit, stop, take_profit = map(price_or_none, found)
    parts = tuple((share, on_tick(price, target.weight > 0.0)) for share, price in target.exits)
    return replace(target, limit=limit, stop=stop, take_profit=take_profit, exits=parts), exits


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
        exits=target.exits,
    )
