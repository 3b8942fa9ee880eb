"""Exits in parts: how a position is divided, and what no target may ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UsageError
from simulator.forward.state import State
from simulator.market.bars import instant
from simulator.trading.cycle import Intent
from simulator.trading.model import Book, BrokerFill, Decision, Order, Target
from simulator.trading.orders import Origin, compile_orders
from simulator.trading.parts import part_shares, parts_left, parts_of, parts_of_many, quantities
from simulator.trading.sizing import check

MORNING = datetime(2024, 6, 3, 12, tzinfo=UTC)
shares = st.lists(st.floats(0.01, 0.33), min_size=1, max_size=3)


def test_thirds_of_a_hundred_and_one_leave_as_33_34_and_34() -> None:
    parts, rest = parts_of(((1 / 3, 11.0), (1 / 3, 12.0), (1 / 3, 13.0)), None)
    assert (quantities(parts, 101.0), rest) == ([33.0, 34.0, 34.0], 13.0)
    assert quantities(parts, -101.0) == [33.0, 34.0, 34.0]


def test_half_of_one_share_is_none_and_the_rest_is_all() -> None:
    parts, rest = parts_of(((0.5, 11.0),), 12.0)
    assert (quantities(parts, 1.0), rest) == ([0.0, 1.0], 12.0)
    assert part_shares(0.5, 1.0, whole=False) == 0.5


@given(shares, st.floats(0.0, 1e6), st.booleans())
def test_parts_and_the_rest_are_the_position(given_shares: list[float], held: float, closed: bool) -> None:
    exits = tuple((share, 10.0 + n) for n, share in enumerate(given_shares))
    parts, rest = parts_of(exits, 20.0 if closed else None)
    sizes = quantities(parts, held)
    assert sum(sizes) == np.floor(held + 1e-9)
    assert min(sizes) >= 0.0
    for share, size in zip(given_shares, sizes, strict=False):
        assert abs(size - share * held) <= len(given_shares) + 1
    assert rest == (20.0 if closed else None)


@given(shares, st.floats(1.0, 1e6))
def test_many_are_divided_as_one_to_the_last_bit(given_shares: list[float], take_profit: float) -> None:
    exits = tuple((share, 10.0 + n) for n, share in enumerate(given_shares))
    parts, rest = parts_of(exits, take_profit)
    many, rests = parts_of_many(np.array(exits)[None, None], np.array([[take_profit]]))
    assert tuple(map(tuple, many[0, 0].tolist())) == parts
    assert rests[0, 0] == rest


@pytest.mark.medium
@given(st.integers(2, 400), st.integers(0, 400))
def test_what_was_taken_of_a_part_is_not_taken_again(total: int, taken: int) -> None:
    parts, _ = parts_of(((0.3, 11.0), (0.3, 12.0)), 13.0)
    first, second, rest = quantities(parts, total)
    taken = min(taken, int(first + second))
    left = dict(zip((price for _, price in parts_left(parts, total - taken, taken)),
                    quantities(parts_left(parts, total - taken, taken), total - taken), strict=False))  # fmt: skip
    assert left.get(11.0, 0.0) == max(first - taken, 0.0)
    assert left.get(12.0, 0.0) == second - max(taken - first, 0.0)
    assert sum(left.values()) + rest == total - taken


@pytest.mark.parametrize(
    ("weight", "exits", "take_profit", "found"),
    [
        (0.1, ((0.6, 11.0), (0.6, 12.0)), None, "add up to 1"),
        (0.1, ((0.0, 11.0),), None, "above 0"),
        (0.1, ((1.0, 11.0),), 12.0, "or no take_profit"),
        (0.1, ((0.5, 12.0), (0.5, 11.0)), None, "upward"),
        (-0.1, ((0.5, 11.0),), 12.0, "downward"),
        (0.1, ((0.5, float("nan")),), None, "positive prices"),
        (0.1, ((0.5, -1.0),), None, "positive prices"),
        (0.1, ((float("nan"), 11.0),), None, "above 0"),
    ],
)
def test_shares_and_prices_that_make_no_sense_are_refused(weight, exits, take_profit, found) -> None:
    with pytest.raises(UsageError) as refused:
        check(Target("A", weight, exits=exits, take_profit=take_profit))
    assert found in str(refused.value)


def bought(quantity: float = 101.0) -> Intent:
    order = Order(0, "A", instant(MORNING), quantity, stop=90.0, take_profit=120.0, exits=((0.5, 110.0),))
    decision = Decision(MORNING, (Target("A", 0.1, stop=90.0, exits=((0.5, 110.0),), take_profit=120.0),))
    return Intent(decision, decision, orders=(order,), cancels=("A",), book=Book(1e5, {}, {"A": 100.0}, 1e5))


def test_an_entry_is_one_bracket_of_the_whole_and_divided_once_it_has_filled() -> None:
    """Exits of the first of two would be live, and refuse the second as a wash trade."""
    (one,) = compile_orders(bought(), Origin("run", "X"), "alpaca")
    assert (one.quantity, one.stop, one.take_profit, one.order_class) == (101.0, 90.0, 120.0, "bracket")


def test_a_restarted_account_knows_what_has_left() -> None:
    state = State(Origin("run", "X"))
    state.take_intent(bought())
    (entry,) = state.tickets

    def fill(key: str, quantity: float, price: float) -> None:
        state.take_fill(BrokerFill(f"{key}{quantity}{price}", key, "A", instant(MORNING), quantity, price))

    fill(entry, 50.0, 100.0)
    fill(entry, 51.0, 100.0)
    assert quantities(state.protection["A"].parts_left(101.0), 101.0) == [50.0, 51.0]
    fill(entry, -20.0, 110.0)
    assert quantities(state.protection["A"].parts_left(81.0), 81.0) == [30.0, 51.0]
    halved = state.protection["A"].divide(2.0, long=True)
    assert (quantities(halved.parts_left(162.0), 162.0), halved.exits[0][1]) == ([61.0, 101.0], 55.0)
    fill(entry, -30.0, 110.0)
    assert quantities(state.protection["A"].parts_left(51.0), 51.0) == [51.0]
    fill(entry, -51.0, 90.0)
    assert state.protection == {}
    assert list(state.stopped.values()) == [90.0]
