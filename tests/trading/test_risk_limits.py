"""What the limits do when the account is already beyond them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from math import fsum, inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UsageError
from simulator.trading.execution import ExecutionRules
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


SYMBOLS = ("A", "B", "C", "D", "E")
caps = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7, 1.0])
weights = st.one_of(st.floats(-2, 2), st.sampled_from([0.1, 0.25, -0.3, 0.0, 1.0]))


def cut_by_hand(decision: Decision, book: Book, limits: Limits) -> tuple[dict[str, float], list[str]]:
    """The limits written down as plainly as can be, with math.fsum."""
    group = {s: limits.groups.get(s, s) for s in SYMBOLS}
    asked = {t.symbol: t.weight for t in decision.targets}
    cuts = []
    for symbol, weight in asked.items():
        if abs(weight) > limits.max_weight:
            asked[symbol] = limits.max_weight if weight > 0 else -limits.max_weight
            cuts.append(f"{symbol} {weight:+.4f} cut to {asked[symbol]:+.4f}: max_weight")
    others = {s: abs(book.weight(s)) for s in book.positions if s not in asked}
    rules = [(f"group {g}: max_group", limits.max_group, {g}) for g in sorted({group[s] for s in asked})]
    for rule, cap, groups in [*rules, ("all positions: max_gross", limits.max_gross, set(group.values()))]:
        members = [s for s in asked if group[s] in groups]
        room = max(cap - fsum(w for s, w in others.items() if group[s] in groups), 0.0)
        gross = fsum(abs(asked[s]) for s in members)
        if gross and gross > room * (1 + 1e-12):
            asked |= {s: asked[s] * (room / gross) for s in members}
            cuts.append(f"{rule}: gross {gross:.4f} cut to {room:.4f}")
    return asked, cuts


@given(
    asked=st.dictionaries(st.sampled_from(SYMBOLS), weights, max_size=5),
    held=st.dictionaries(st.sampled_from(SYMBOLS), st.floats(-20, 20), max_size=5),
    groups=st.dictionaries(st.sampled_from(SYMBOLS), st.sampled_from(["one", "two"]), max_size=5),
    three=st.tuples(caps, caps, caps),
    equity=st.sampled_from([-5.0, 0.0, 333.0, 1_000.0]),
)
def test_limits_cut_to_the_last_bit_what_is_worked_out_by_hand(asked, held, groups, three, equity):
    book = Book(0.0, held, dict.fromkeys(SYMBOLS, 17.3), equity)
    decision = Decision(NOW, tuple(Target(symbol, weight) for symbol, weight in asked.items()))
    allowed, cuts = limit(decision, book, Limits(*three, groups))
    by_hand, sentences = cut_by_hand(decision, book, Limits(*three, groups))
    assert [(t.symbol, t.weight) for t in allowed.targets] == list(by_hand.items())
    assert list(cuts) == sentences


@pytest.mark.medium
def test_limits_need_no_compiler():
    code = "import sys; import simulator.trading.risk; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.fault(
    "python", "a limit or cost that is NaN, infinite or negative", "refused, naming it: it would limit nothing"
)
@pytest.mark.parametrize("value", [nan, inf, -0.5])
@pytest.mark.parametrize("name", ["max_weight", "max_group", "max_gross"])
def test_a_limit_that_limits_nothing_is_refused(name: str, value: float) -> None:
    caps = {"max_weight": 1.0, "max_group": 1.0, "max_gross": 1.0, name: value}
    with pytest.raises(UsageError, match=f"config/risk.yaml: {name} was {value}"):
        Limits(**caps, groups={})


@pytest.mark.parametrize("value", [nan, inf, -0.5])
@pytest.mark.parametrize("name", ["slippage_bps", "commission_min", "borrow_rate", "maintenance_long", "min_trade"])
def test_a_cost_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} was {value}"):
        ExecutionRules(**{name: value})


@pytest.mark.fault("python", "a weight that is NaN or infinite", "refused, naming the symbol")
@pytest.mark.parametrize("weight", [nan, inf, -inf, None, "0.2"])
def test_a_weight_that_is_no_number_is_refused(weight: Any) -> None:
    decision = Decision(NOW, (Target("SPY", 0.2), Target("TLT", weight)))
    with pytest.raises(UsageError, match=f"weight of TLT was {weight}; give a finite fraction of equity"):
        limit(decision, Book(100.0, {}, {}, 100.0), FULL)
