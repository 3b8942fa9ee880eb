"""Netting votes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.council.vote import NEUTRAL_SCORE, Vote, conviction_of, decide_by_vote, net_votes

scores = st.sampled_from([1.0, 6.0, 7.3, 10.0, None])
votes = st.dictionaries(
    st.sampled_from("abcdefgh"), st.builds(Vote, st.sampled_from(["SPY", "QQQ"]), st.integers(-2, 2), scores)
)


@pytest.mark.parametrize(
    ("net", "conviction"), [(0.0, 0), (0.99, 0), (1.0, 1), (2.99, 1), (3.0, 2), (-1.0, -1), (-3.0, -2), (9.0, 2)]
)
def test_conviction_steps_at_one_and_at_three_net_votes(net, conviction):
    assert conviction_of(net) == conviction


def test_one_manager_alone_does_not_carry_full_conviction_at_a_fair_score():
    assert conviction_of(net_votes({"a": Vote("SPY", 2, NEUTRAL_SCORE)})["SPY"]) == 1
    assert conviction_of(net_votes({"a": Vote("SPY", 2), "b": Vote("SPY", 1)})["SPY"]) == 2


@given(votes)
def test_turning_every_vote_around_turns_the_result_around(cast):
    turned = {seat: Vote(v.instrument, -v.conviction, v.score) for seat, v in cast.items()}
    net, other = net_votes(cast), net_votes(turned)
    assert {s: conviction_of(n) for s, n in net.items()} == {s: -conviction_of(n) for s, n in other.items()}


@given(votes)
def test_the_order_of_seats_changes_nothing(cast):
    assert net_votes(dict(reversed(cast.items())), 15) == net_votes(cast, 15)


def test_trades_beyond_the_maximum_are_rejected_with_the_reason():
    net = {"SPY": 4.0, "QQQ": -3.5, "TLT": 1.2, "GLD": 0.2}
    sizes = {"half": "5%", "full": "15%"}
    decided = decide_by_vote({"net_votes": net, "max_trades": 2, "sizes": sizes, "pitches": {}, "reviews": {}})
    assert [(t["instrument"], t["conviction"]) for t in decided["approved_trades"]] == [("SPY", 2), ("QQQ", -2)]
    assert {t["position_size"] for t in decided["approved_trades"]} == {"15%"}
    reasons = {t["instrument"]: t["reason"] for t in decided["rejected_trades"]}
    assert "2 stronger trades" in reasons["TLT"]
    assert "too few" in reasons["GLD"]
