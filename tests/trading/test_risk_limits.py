"""What the limits do when the account is already beyond them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_limits_need_no_compiler():
    code = "import sys; import simulator.trading.risk; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
