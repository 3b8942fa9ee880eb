"""What the limits do when the account is already beyond them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from simulator.trading.model import Book, Decision, Target
from simulator.trading.risk import Limits, limit

FULL = Limits(1.0, 1.0, 1.0, {})
BEYOND = Book(-20_000.0, {"SPY": 120.0}, {"SPY": 1_000.0}, 100_000.0)
NOW = datetime(2024, 1, 2, 13, tzinfo=UTC)


@pytest.mark.parametrize("targets", [(), (Target("QQQ", 0.0),)])
def test_who_asks_for_nothing_is_cut_by_nothing_though_the_account_is_beyond_its_limits(targets):
    decision = Decision(NOW, targets)
    assert limit(decision, BEYOND, FULL) == (decision, ())


def test_what_is_asked_beside_a_position_beyond_the_limits_is_cut_to_nothing():
    allowed, cuts = limit(Decision(NOW, (Target("QQQ", 0.1),)), BEYOND, FULL)
    assert [target.weight for target in allowed.targets] == [0.0]
    assert cuts == ("all positions: max_gross: gross 0.1000 cut to 0.0000",)
